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
mod sharing;
mod sweeping;

use std::time::Duration;

use annul::store::{Issued, StoreError, TokenLedger, TokenStore};
use annul::{
    DigestKey, Grant, NewToken, PresentedToken, Reason, Revocation, Revoked, Target, Timestamp,
    TokenState,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
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
