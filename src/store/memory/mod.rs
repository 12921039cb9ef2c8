//! Everything in memory: for tests, for one process, and as the model of what a store must do.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod feed;
mod find;
mod grants;
mod issue;
mod ledger;
mod log;
mod namespace;
mod records;
mod revoke;
mod rotate;
mod session;
mod shards;
mod shared;
mod store;
mod sweep;
mod table;

pub use store::{MemoryStore, Usage};

#[async_trait]
impl TokenStore for MemoryStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        Ok(self.namespace.find(token))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.namespace.revoke(revocation)
    }
}

#[async_trait]
impl TokenLedger for MemoryStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.namespace.issue(&Arc::new(grant), tokens, now)
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.namespace.rotate(rotation)
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.namespace.open_session(session)
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.namespace.session(id))
    }
}

#[async_trait]
impl RevocationFeed for MemoryStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        Ok(self.namespace.ledger.changes(after, limit))
    }
}

#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        Ok(sweep::sweep(&self.root, now, budget))
    }
}
