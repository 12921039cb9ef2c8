//! The cache in front of a store: what it may keep, for how long, and that it never hides what was revoked through it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod promises;
mod races;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use annul::store::{Layered, TokenLedger, TokenStore};
use annul::{
    DigestKey, FakeClock, Grant, MemoryStore, NewToken, PresentedToken, Reason, Revocation, Target,
    Timestamp, TokenState,
};

use crate::slow::Slow;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(crate) const NOON: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

pub(crate) fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

pub(crate) fn access(token: &str) -> NewToken<'_> {
    NewToken::access(PresentedToken::new(token), NOON + YEAR)
}

pub(crate) fn refresh(token: &str) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(token), NOON + YEAR)
}

/// Alice's, at the client `web`, in the session `s1`.
pub(crate) fn grant(id: &str) -> Grant {
    Grant::new(id, "web", NOON).subject("alice").session("s1")
}

pub(crate) fn operator(target: Target) -> Revocation {
    Revocation::by_operator(target, Reason::Administrative, NOON + SECOND)
}

/// A layer over a store in memory, which counts what it is asked; and clocks that stand still.
pub(crate) struct Setting {
    pub(crate) memory: MemoryStore,
    pub(crate) behind: Slow<MemoryStore>,
    pub(crate) layer: Arc<Layered<Slow<MemoryStore>>>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) stopwatch: Arc<FakeClock>,
}

impl Setting {
    /// Records are believed for a minute. The grant `g1` has the tokens `at-1`, `at-2` and `rt-1`.
    pub(crate) async fn new() -> Self {
        Self::with(|layer| layer).await
    }

    pub(crate) async fn with(
        change: impl FnOnce(Layered<Slow<MemoryStore>>) -> Layered<Slow<MemoryStore>>,
    ) -> Self {
        let memory = MemoryStore::new();
        let tokens = [access("at-1"), access("at-2"), refresh("rt-1")];
        memory.issue(grant("g1"), &tokens, NOON).await.unwrap();
        let behind = Slow::new(memory.clone());
        let clock = Arc::new(FakeClock::at(NOON));
        let stopwatch = Arc::new(FakeClock::at(Timestamp::from_unix_seconds(100)));
        let layer = Layered::new(behind.clone(), key(), MINUTE)
            .clock(Arc::clone(&clock))
            .stopwatch(Arc::clone(&stopwatch));
        Self { memory, behind, layer: Arc::new(change(layer)), clock, stopwatch }
    }

    /// As time goes by: on both.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.stopwatch.advance(by);
    }

    /// Whether the token is good, by the layer's word.
    pub(crate) async fn is_good(&self, token: &str) -> bool {
        is_good(&self.layer, token).await
    }

    /// The same, and how often the store behind was asked for it.
    pub(crate) async fn asks(&self, token: &str) -> (bool, usize) {
        let before = self.behind.finds();
        let is_good = self.is_good(token).await;
        (is_good, self.behind.finds() - before)
    }
}

pub(crate) async fn is_good(store: &impl TokenStore, token: &str) -> bool {
    let found = store.find(PresentedToken::new(token), None).await.unwrap();
    found.is_some_and(|record| record.state() == TokenState::Active)
}
