//! Redis and Valkey: one server, or a Cluster.
//!
//! # What is where
//!
//! Every key begins with a hash tag, `{prefix:namespace:shard/shards}`, and everything that one script touches carries the same:
//! so each script is one step in one slot, on a single server and in a Cluster alike. What a revocation points at decides
//! its shard: the entry, its line in the feed and, for a token, the token's record are there together. *Revoke* is one call
//! of one script.
//!
//! # What covers what, across shards
//!
//! A token's record and the entries that may cover it are in several shards, and no step spans two. Three rules make up
//! for that.
//!
//! 1. *Find* reads the record first and the entries then. An entry that was written before the look-up began is seen.
//! 2. *Issue* first announces in the shard of every target until when the token's record is kept, and only then records it. In
//!    each shard that raises the horizon, which a new entry has to outlast, and looks for an entry that is there, in one step.
//!    So an entry for one of its targets is either there to be held for longer than the record, or comes later and finds
//!    the horizon raised. Whatever fails or hangs up on the way, no token is recorded that was not announced. The grant's
//!    own shard has a record of whose the grant is, which the announcement checks and makes: where it is another's, no token
//!    is recorded.
//! 3. Redis forgets by its own clock, and by that clock an entry is never forgotten before a record that it covers: it
//!    is kept until later, by the most that the clocks of two nodes may be apart. On one server a clock that is wrong makes
//!    tokens unknown and not good. Over several nodes that is so while their clocks are less than ten minutes apart: a node
//!    that is further ahead forgets its entries while a node behind it still has the records. A server whose clock was more
//!    than a day ahead of what is kept, and is put right, has deleted some of that and not the rest: flush it.
//!
//! *Issue* on one server records all tokens or none. In a Cluster a token whose value is taken fails the issue, and the others
//! are taken back. That leaves the horizons raised and the grant with its owner; and where the call fails on the way, the
//! tokens, which are never handed out.
//!
//! *Sweep* asks every shard first, removes tokens and sessions, and only then entries and grant records, from a queue of their
//! own: while a record that is due is left in any shard, no entry goes. It collects from every shard which sessions last, by
//! the day of their login, because a cutoff is kept while a session from before it lasts, whoever takes part in it. What
//! time it is, is kept in every shard too, and the latest of them decides whether a clock has leaped.
//!
//! A node that comes back without some of its data takes entries with it that cover tokens on other nodes, and nothing here
//! notices. So no entry is kept for less than the longest lifetime, whatever its shard has forgotten: what is revoked from
//! then on lasts. What was revoked before is gone, and only flushing all nodes makes up for that.
//!
//! *Rotate* consumes the token in its own shard, in the same step that looks for an entry for it alone; its successors are
//! recorded after that, announced before. What fails on the way costs the grace window's second attempt, never two live
//! generations. A failover that loses the consumption, and not the successors on another node, does make two: see *What an
//! acknowledged revocation survives* at [`RedisStore`].

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

mod announce;
mod answer;
mod config;
mod durability;
mod feed;
mod find;
mod issue;
mod join;
mod keys;
mod link;
mod open;
mod read;
mod records;
mod revoke;
mod rotate;
mod script;
mod session;
mod start_error;
mod store;
mod sweep;

pub use config::RedisConfig;
pub use durability::Durability;
pub use start_error::RedisStartError;
pub use store::RedisStore;

impl RedisStore {
    /// Connects, sees to it that the server keeps what it is told, and founds the store under its prefix if there is none.
    ///
    /// # Errors
    ///
    /// - [`RedisStartError`]: what is wrong, and what to do about it. Nothing was started.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisStartError> {
        open::open(config).await
    }
}

#[async_trait]
impl TokenStore for RedisStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        self.shared.link.within(find::find(self, token)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.shared.link.within(revoke::revoke(self, revocation)).await
    }
}

#[async_trait]
impl TokenLedger for RedisStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.shared.link.within(issue::issue(self, &grant, tokens, now)).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.shared.link.within(rotate::rotate(self, rotation)).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.shared.link.within(session::open_session(self, session)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.shared.link.within(session::session(self, id)).await
    }
}

#[async_trait]
impl Sweep for RedisStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        // Every call within it has its time-out, however many there are.
        sweep::sweep(self, now, budget).await
    }
}

#[async_trait]
impl RevocationFeed for RedisStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.shared.link.within(feed::changes(self, after, limit)).await
    }
}
