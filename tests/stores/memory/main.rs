//! The memory store: the vectors, how long it keeps what, and what it refuses to record.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod issuing;
mod lasting;
mod leaping;
mod vectors;

use std::time::Duration;

use annul::store::{
    Issued, Lifetimes, Rotated, Rotation, StoreError, Sweep, SweepBudget, TokenLedger, TokenStore,
};
use annul::{
    ClientId, Grant, MemoryStore, NewToken, PresentedToken, Reason, Revocation, Target, Timestamp,
    TokenState,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A store that believes every clock.
fn store() -> MemoryStore {
    MemoryStore::new().with_lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
}

/// Alice's grant to `web` in session `s`, of a login now.
fn grant(id: &str) -> Grant {
    Grant::new(id, "web", NOW).subject("alice").session("s")
}

/// Issues one refresh token, named as its grant is, that lasts for so long.
async fn issue(
    store: &MemoryStore,
    grant: Grant,
    lasts: Duration,
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let name = grant.id().to_string();
    let token = [NewToken::refresh(PresentedToken::new(&name), now + lasts)];
    store.issue(grant, &token, now).await
}

async fn rotate(
    store: &MemoryStore,
    (presented, successor): (&str, &str),
    lasts: Duration,
    (now, grace): (Timestamp, Duration),
) -> Result<Rotated, StoreError> {
    let (web, new) =
        (ClientId::new("web"), [NewToken::refresh(PresentedToken::new(successor), now + lasts)]);
    let rotation = Rotation::new(PresentedToken::new(presented), &web, &new, now);
    store.rotate(&rotation.with_grace(grace)).await
}

async fn revoke(store: &MemoryStore, target: Target, now: Timestamp) {
    store.revoke(&Revocation::by_operator(target, Reason::Administrative, now)).await.unwrap();
}

async fn state(store: &MemoryStore, name: &str) -> Option<TokenState> {
    let found = store.find(PresentedToken::new(name), None).await.unwrap();
    found.map(|record| record.state())
}

const fn is_revoked(state: Option<TokenState>) -> bool {
    matches!(state, Some(TokenState::Revoked { .. }))
}

async fn sweep_all(store: &MemoryStore, now: Timestamp) {
    while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
}
