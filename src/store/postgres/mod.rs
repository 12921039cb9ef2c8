//! Everything in PostgreSQL, for as many processes as there are.
//!
//! # One round trip
//!
//! Every operation is one statement that commits by itself (`statements.rs`), or one function of the schema
//! (`migrations/`): so a caller who hangs up, or a process that dies, leaves it done or not done. All run under READ
//! COMMITTED: a statement sees what was committed when it began, and each statement of a function begins anew.
//!
//! Locks are taken in the order token, family, session, entries by their keys, namespace; sweeps never wait for a row. So
//! no two operations wait for each other, and if two did, PostgreSQL would tell one of them, who is told `Conflict`.
//!
//! # No token outlives its revocation
//!
//! `find` joins the ledger when it reads, so a token that is issued beside its revocation is dead, whoever was first.
//!
//! A rotation consumes the token, and looks for entries in a later statement of its transaction. A client that revokes the
//! token alone locks the token's row, reads whether it was consumed, and writes. So both lock the token's row. If the
//! rotation locks first, the revocation then sees a consumed token and ends the grant. If the revocation locks first, the
//! rotation then sees its entry.
//!
//! # How long an entry stays
//!
//! An entry E may go when the last token that it covers has expired, and ten minutes later. A namespace's *horizon* is a
//! time that no token or session outlasts. A writer that would exceed it first raises it, in a separate transaction, by an
//! extra quarter of an hour to make this rare. The statement that records does nothing unless it *sees* the horizon high
//! enough. The same statement sees every entry that was committed before it began, and holds those that cover what it
//! records: they stay as long.
//!
//! So for a token T and an entry E that covers it: either E was committed before T's statement began, and is held. Or T's
//! statement began before E was committed; by then the horizon that covers T was committed too. A sweep that sees E begins
//! after E's commit, so it sees that horizon. Therefore an entry begins with `due = 0`: the first sweep to come by reads the
//! horizon, in a statement that begins after it has locked the row, and that is when E's `until` is final. What the
//! revocation itself saw of the horizon is a first estimate, for the readers of the feed; where the sweep finds more, they
//! are told again.
//!
//! # The feed
//!
//! Every entry draws its place from a sequence, and commits later: places are drawn in one order and become visible in
//! another. A writer takes a shared advisory lock *before* it draws (`annul_draw`), and holds it until after its commit is
//! visible. A reader reads the sequence, B, *then* who holds the lock, and waits until they all have let go. Whoever drew a
//! place up to B held the lock then, or had committed or given up. So when the wait is over, everything up to B is visible
//! that ever will be, and the page is read in a snapshot that begins after that.
//!
//! The reader takes no lock itself. An exclusive one would be shorter to write; but it would queue, every writer would queue
//! behind it, and one writer that is stuck would keep all revocations waiting for as long as somebody reads. This way it
//! keeps the readers waiting alone: the feed is unavailable, and is not told past a hole.
//!
//! A cursor holds the place of an entry that was read, which is on disk, and never that of the sequence, which after a crash
//! may give the places away again that nobody committed.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, StoreError, Sweep,
    SweepBudget, Swept, TokenLedger, TokenStore,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod columns;
mod config;
mod error;
mod feed;
mod find;
mod horizon;
mod issue;
mod keys;
mod link;
mod migrate;
mod notifier;
mod open;
mod records;
mod revoke;
mod rotate;
mod session;
mod single_connection;
mod start_error;
mod statements;
mod store;
mod sweep;
mod sweep_position;
mod tls;

pub use config::PostgresConfig;
pub use migrate::PostgresMigration;
pub use start_error::PostgresError;
pub use store::PostgresStore;

impl PostgresStore {
    /// The schema, step by step.
    pub const MIGRATIONS: &'static [PostgresMigration] = migrate::MIGRATIONS;

    /// Opens the store, once everything that it needs is found to be there.
    ///
    /// Called at the start of the process, within a tokio runtime that lasts as long as the store.
    ///
    /// # Errors
    ///
    /// Each says what to do:
    ///
    /// - [`PostgresError::Url`], [`PostgresError::RootCertificates`], [`PostgresError::Tls`],
    ///   [`PostgresError::Unreachable`], [`PostgresError::Login`], [`PostgresError::NoDatabase`],
    ///   [`PostgresError::ReadOnly`], [`PostgresError::ServerTooOld`]: mend the URL, or what it leads to.
    /// - [`PostgresError::NoSchema`], [`PostgresError::SchemaOlder`], [`PostgresError::SchemaNewer`]: run the migrations, or
    ///   another version of this crate.
    /// - [`PostgresError::NoPermission`]: grant what is missing.
    /// - [`PostgresError::SequenceBehind`]: set the sequence.
    /// - [`PostgresError::WrongKey`]: use the digest key that the rows were written with.
    pub async fn connect(config: PostgresConfig) -> Result<Self, PostgresError> {
        open::open(config).await
    }

    /// Applies the migrations that the database does not have yet, and says which those were.
    ///
    /// Called before [`connect`](Self::connect), by a user who may create tables. Safe beside itself: one process migrates,
    /// the others wait and find nothing to do.
    ///
    /// # Errors
    ///
    /// - [`PostgresError::Migration`]: one was not applied, and left nothing behind.
    /// - [`PostgresError::SchemaNewer`]: the tables are of a later version.
    /// - Those of [`connect`](Self::connect) about the way to the database.
    pub async fn migrate(config: &PostgresConfig) -> Result<Vec<PostgresMigration>, PostgresError> {
        migrate::migrate(config).await
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        // One key space for all kinds: the hint cannot matter.
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        find::find(self, token).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        revoke::revoke(self, revocation).await
    }
}

#[async_trait]
impl TokenLedger for PostgresStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        issue::issue(self, &grant, tokens, now).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        rotate::rotate(self, rotation).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        session::open_session(self, &session).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        session::session(self, id).await
    }
}

#[async_trait]
impl RevocationFeed for PostgresStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        feed::changes(self, after, limit).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        feed::changed(self, after).await
    }
}

#[async_trait]
impl Sweep for PostgresStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        sweep::sweep(self, now, budget).await
    }
}
