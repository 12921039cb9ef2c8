//! What the rules make of every store, from outside: how long it keeps what, what it refuses, which clock it believes.
//!
//! Each store's tests have this folder as a module, and say in their `main.rs` how a store is made.

mod issuing;
mod lasting;
mod leaping;

use std::time::Duration;

use annul::store::{
    Changes, Issued, Lifetimes, RevocationFeed, Rotated, Rotation, StoreError, Sweep, SweepBudget,
    TokenLedger, TokenStore,
};
use annul::{
    ClientId, Grant, NewToken, PresentedToken, Reason, Revocation, SystemStopwatch, Target,
    Timestamp, TokenState,
};

use crate::{Fresh, fresh};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A store that believes every clock.
fn store() -> Fresh {
    store_with(Lifetimes::default())
}

/// The same, with other lifetimes.
fn store_with(lifetimes: Lifetimes) -> Fresh {
    fresh(lifetimes.with_clock_leap(Duration::MAX), SystemStopwatch::start())
}

/// Alice's grant to `web` in session `s`, of a login now.
fn grant(id: &str) -> Grant {
    Grant::new(id, "web", NOW).subject("alice").session("s")
}

/// Issues one refresh token, named as its grant is, that lasts for so long.
async fn issue(
    store: &impl TokenLedger,
    grant: Grant,
    lasts: Duration,
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let name = grant.id().to_string();
    let token = [NewToken::refresh(PresentedToken::new(&name), now + lasts)];
    store.issue(grant, &token, now).await
}

async fn rotate(
    store: &impl TokenLedger,
    (presented, successor): (&str, &str),
    lasts: Duration,
    (now, grace): (Timestamp, Duration),
) -> Result<Rotated, StoreError> {
    let (web, new) =
        (ClientId::new("web"), [NewToken::refresh(PresentedToken::new(successor), now + lasts)]);
    let rotation = Rotation::new(PresentedToken::new(presented), &web, &new, now);
    store.rotate(&rotation.with_grace(grace)).await
}

async fn revoke(store: &impl TokenStore, target: Target, now: Timestamp) {
    store.revoke(&Revocation::by_operator(target, Reason::Administrative, now)).await.unwrap();
}

async fn state(store: &impl TokenStore, name: &str) -> Option<TokenState> {
    let found = store.find(PresentedToken::new(name), None).await.unwrap();
    found.map(|record| record.state())
}

const fn is_revoked(state: Option<TokenState>) -> bool {
    matches!(state, Some(TokenState::Revoked { .. }))
}

async fn sweep_all(store: &impl Sweep, now: Timestamp) {
    while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
}

/// How many entries are in force, up to a thousand.
async fn revocations(store: &impl RevocationFeed) -> usize {
    match store.changes(None, 1_000).await.unwrap() {
        Changes::Page(page) => page.entries().len(),
        Changes::Gap => unreachable!("who begins has missed nothing"),
    }
}
