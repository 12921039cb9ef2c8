//! The embedded store: the contract, on a disk, across restarts, kills and full disks.
//!
//! The tests of disks that are full or stand still mount some of their own, which takes root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clock;
mod contract;
mod disk;
mod folder;
mod hint;
mod keeping;
mod kill;
mod opening;
#[path = "../rules/mod.rs"]
mod rules;
mod sharing;
mod sweeping;
mod vectors;
mod waking;

use std::ops::Deref;
use std::time::Duration;

use annul::store::embedded::EmbeddedOptions;
use annul::store::{Issued, Lifetimes, StoreError, TokenLedger, TokenStore};
use annul::{
    DigestKey, EmbeddedStore, Grant, NewToken, PresentedToken, Reason, Revocation, Revoked,
    Stopwatch, Target, Timestamp, TokenState,
};

use crate::folder::Folder;

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

/// How to open a store that believes every clock.
fn options(folder: &Folder) -> EmbeddedOptions {
    let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
    EmbeddedOptions::new(folder.path()).lifetimes(lifetimes)
}

/// A store that believes every clock.
fn open(folder: &Folder) -> EmbeddedStore {
    options(folder).open(&key()).unwrap()
}

/// A store, and its folder.
struct Fresh {
    store: EmbeddedStore,
    _folder: Folder,
}

impl Deref for Fresh {
    type Target = EmbeddedStore;

    fn deref(&self) -> &EmbeddedStore {
        &self.store
    }
}

fn fresh(lifetimes: Lifetimes, stopwatch: impl Stopwatch + 'static) -> Fresh {
    let folder = Folder::in_memory();
    let options = EmbeddedOptions::new(folder.path()).lifetimes(lifetimes).stopwatch(stopwatch);
    Fresh { store: options.open(&key()).unwrap(), _folder: folder }
}

/// Issues one token, a day long, that has a grant of its own by the same name.
async fn issue(store: &impl TokenLedger, name: &str) -> Result<Issued, StoreError> {
    let grant = Grant::new(name, "web", NOW).subject("alice");
    let token = NewToken::refresh(PresentedToken::new(name), NOW + DAY);
    store.issue(grant, &[token], NOW).await
}

/// Revokes that grant.
async fn revoke(store: &impl TokenStore, name: &str) -> Result<Revoked, StoreError> {
    let target = Target::Grant(name.into());
    store.revoke(&Revocation::by_operator(target, Reason::Administrative, NOW)).await
}

/// What a token is; nothing for an unknown one.
async fn state(store: &impl TokenStore, name: &str) -> Result<Option<TokenState>, StoreError> {
    let found = store.find(PresentedToken::new(name), None).await?;
    Ok(found.map(|record| record.state()))
}

const fn is_revoked(state: Option<TokenState>) -> bool {
    matches!(state, Some(TokenState::Revoked { .. }))
}
