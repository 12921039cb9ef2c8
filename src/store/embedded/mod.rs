//! Everything in one folder: a store that lasts, without a server.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked, Target};
use crate::store::rules::issuing::{check, no_such_name};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod batch;
mod config;
mod covering;
mod deciding;
mod engine;
mod feed;
mod find;
mod folder;
mod grants;
#[cfg(test)]
mod invariants;
mod issue;
mod jobs;
mod journal;
mod namespace;
mod notifier;
mod open;
mod queue;
mod reader;
mod records;
mod revoke;
mod rotate;
mod session;
mod shared;
mod start_error;
mod store;
mod sweep;
mod writer;

pub use config::EmbeddedOptions;
pub use start_error::OpenError;
pub use store::EmbeddedStore;

use grants::GrantName;
use issue::DigestedToken;
use jobs::{Read, Sweeping, Write};
use queue::slot;
use rotate::DigestedRotation;

#[async_trait]
impl TokenStore for EmbeddedStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        let digest = self.namespace.key.digest(token);
        let (slot, answer) = slot();
        let namespace = Arc::clone(&self.namespace);
        self.read(Read::Find { namespace, digest, slot }, answer).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        if matches!(revocation.target(), Target::Token(id) if id.digest().is_none()) {
            return Err(no_such_name());
        }
        let (slot, answer) = slot();
        let (namespace, revocation) = (Arc::clone(&self.namespace), revocation.clone());
        // As in `issue`.
        let key = namespace.targets.of(revocation.target());
        self.write(Write::Revoke { namespace, key, revocation, slot }, answer).await
    }
}

#[async_trait]
impl TokenLedger for EmbeddedStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        check(tokens)?;
        let tokens =
            tokens.iter().map(|token| DigestedToken::of(token, &self.namespace.key)).collect();
        let (slot, answer) = slot();
        let namespace = Arc::clone(&self.namespace);
        // What can be done here is not done by the one thread for which all others wait.
        let name = GrantName::of(&grant, &namespace);
        self.write(Write::Issue { namespace, grant, name, tokens, now, slot }, answer).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        check(rotation.successors())?;
        let (rotation, now) = (DigestedRotation::of(rotation, &self.namespace.key), rotation.now());
        let (slot, answer) = slot();
        let namespace = Arc::clone(&self.namespace);
        self.write(Write::Rotate { namespace, rotation, now, slot }, answer).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        let (slot, answer) = slot();
        let namespace = Arc::clone(&self.namespace);
        self.write(Write::OpenSession { namespace, session, slot }, answer).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let key = self.namespace.session_key(id);
        let (slot, answer) = slot();
        self.read(Read::Session { key, slot }, answer).await
    }
}

#[async_trait]
impl Sweep for EmbeddedStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        let (slot, answer) = slot();
        let sweeping = Sweeping::new(now, budget.max_rows(), slot);
        self.write(Write::Sweep(sweeping), answer).await
    }
}

#[async_trait]
impl RevocationFeed for EmbeddedStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let (slot, answer) = slot();
        let (namespace, after) = (Arc::clone(&self.namespace), after.cloned());
        self.read(Read::Changes { namespace, after, limit, slot }, answer).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        match feed::place_of_cursor(after) {
            Some(place) => self.root.shared.notifier.wait_past(place).await,
            // A gap, which is worth asking for.
            None => Ok(()),
        }
    }
}
