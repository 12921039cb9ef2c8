//! Everything in PostgreSQL, for as many processes as there are.
//!
//! # One round trip
//!
//! Every operation is one statement that commits by itself (`statements.rs`), or one function of the schema
//! (`migrations/`). So a caller who hangs up, or a process that dies, leaves it done or not done. All run under READ
//! COMMITTED: a statement sees what was committed when it began, and each statement of a function begins anew.
//!
//! To raise the horizon takes two more, and is rare: once an hour.
//!
//! # The rules
//!
//! The rules of [`rules`](crate::store::rules) are SQL functions where the database has to decide: `annul_covers`,
//! `annul_in_window` and so on, each once. The planner puts them in place, and the vectors try them.
//!
//! # The order of locks
//!
//! Locks are taken in this order: the token that is presented or revoked, its grant, the tokens that are recorded by their
//! digests, entries by their keys, the namespace, the clock. A new token is waited for by those alone who record the same
//! value. A sweep never waits for a row of a token, a grant, a session or an entry. So no two operations wait for each
//! other. If two did, PostgreSQL would end one of them, and its caller would get `Conflict`.
//!
//! # No token outlives its revocation
//!
//! `find` joins the ledger when it reads. So a token that is issued at the same time as its revocation is dead, whichever was
//! first.
//!
//! A rotation locks the token's row, looks for entries in a later statement, and then consumes the token. A client that
//! revokes the token alone locks the same row, reads whether it was consumed, and writes. If the rotation locks first, the
//! revocation sees a consumed token and ends the grant. If the revocation locks first, the rotation sees its entry.
//!
//! # One owner for each grant
//!
//! A grant has one row for as long as a token of it is recorded. The first issue writes it, and the owner in it. An issue
//! that finds the row locks it, so that no sweep removes it before the new tokens are committed. An issue that does not find
//! it inserts it; if another one was faster with another owner, that insert does nothing, no token is recorded, and the call
//! is repeated and sees the owner. A token that another transaction records at the same time breaks the primary key: all
//! of the statement is undone, and the call is repeated.
//!
//! # How long an entry stays
//!
//! An entry E goes after the last record that it covers, whatever the clocks of the sweepers show. Four things see to that.
//!
//! **The horizon.** No record of a namespace is kept for longer than until its *horizon*. A writer that would exceed it
//! first raises it, in a transaction of its own, to the next full hour. The statement that records does nothing unless it
//! *sees* the horizon high enough.
//!
//! **Issue and revoke.** Take a token T and an entry E that covers it. Either T's statement began after E was committed.
//! Then it sees E, locks it until T is committed, and makes E's `until` later than that of T if it is not. Or T's statement
//! began before E was committed. By then the horizon that T needs was committed too. A sweep that sees E begins after E's
//! commit, so it sees that horizon. Therefore an entry is written with `due = 0`: the first sweep that finds it locks the row
//! and reads the horizon in a later statement, and only then E's `until` is final. What the revocation itself saw of the
//! horizon is a first estimate, for the readers of the feed; where the sweep finds more, they are told again.
//!
//! **The sweep.** It removes E only if E was due before the first token, grant or session that is left in any namespace. It
//! reads that in a statement that begins after E is locked. A record that another sweeper has locked, or removed and not
//! committed, is still left. One that was committed before E was locked is seen. One that is not committed holds a lock on
//! E if its statement saw E, and then E is not locked by the sweep. If its statement did not see E, the paragraph above
//! applies. After a crash between two steps the records that are left keep their entries.
//!
//! **Records that are kept for longer than they were.** A consumed refresh token is kept for as long as its grant. The
//! sweep that prolongs it reads the entries that cover it, and removes the token instead if one of them would go first: so
//! it is where the grant goes on in another session, or after another login. The entry of that token alone stays while the
//! token is there, which the sweep looks up by its digest.
//!
//! A cutoff is kept while a session of its namespace lasts that began before it, whoever takes part in it. The sweep looks
//! for such a session when the entry is due. A session that is recorded is seen, however often it is prolonged. One whose
//! first statement is not committed is not seen: then the sweep was first, and the login came after all that was in
//! flight. To open a session changes no entry, and it is refused where the session's own entry is there.
//!
//! # The clock of a sweep
//!
//! The latest time that was seen is one row, `annul_clock`. A sweep reads it, decides by
//! [`SweepClock`](crate::store::rules::SweepClock) whether to believe its own clock, and writes it back if no other process
//! has written since. The statements that write note their time in it, as their last act (`annul_note`): a revocation, an
//! issue, a rotation. A session does not say what time it is: its login may be long ago. That writes once a minute. For how long a leap has been seen is measured
//! by the stopwatch of each process.
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
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
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
mod leaps;
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
mod sweep_clock;
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
