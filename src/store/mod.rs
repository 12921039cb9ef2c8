//! Where tokens and revocations are kept: the traits a store implements.
//!
//! A host with its own token tables implements [`TokenStore`], two methods, and is done. The other traits
//! are optional abilities, implemented by the shipped stores.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{ClientId, SessionId, Subject};
use crate::revocation::{Revocation, Revoked};
use crate::token::{Grant, NewToken, PresentedToken, TargetKind, TokenRecord, TokenTypeHint};

#[cfg(feature = "embedded")]
pub mod embedded;
mod error;
mod feed;
mod forward;
pub mod instrumented;
mod layered;
#[cfg(feature = "memory")]
pub mod memory;
mod owned;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
mod retention;

#[cfg(feature = "embedded")]
pub use embedded::EmbeddedStore;
pub use error::{StoreError, StoreErrorKind};
pub use feed::{Changes, FeedCursor, FeedEntry, FeedPage, RevocationFeed};
pub use layered::Layered;
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
pub(crate) use owned::Claim;
pub use owned::OwnedToken;
#[cfg(feature = "postgres")]
pub use postgres::PostgresConfig;
#[cfg(feature = "postgres")]
pub use postgres::PostgresError;
#[cfg(feature = "postgres")]
pub use postgres::PostgresMigration;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use retention::Retention;

/// Finds tokens and revokes them: all that the endpoints need.
///
/// # A whole implementation
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use annul::store::{StoreError, TokenStore};
/// use annul::{
///     PresentedToken, Revocation, Revoked, Target, TokenRecord, TokenState, TokenTypeHint,
/// };
/// use async_trait::async_trait;
///
/// /// A host's own table: what it knows about each token, and the revocation of each target.
/// #[derive(Default)]
/// struct Tokens {
///     rows: HashMap<String, TokenRecord>,
///     ledger: Mutex<HashMap<Target, Revocation>>,
/// }
///
/// #[async_trait]
/// impl TokenStore for Tokens {
///     async fn find(
///         &self,
///         token: PresentedToken<'_>,
///         _hint: Option<TokenTypeHint<'_>>,
///     ) -> Result<Option<TokenRecord>, StoreError> {
///         // A real table is keyed by a digest of the token, never by the token.
///         let Some(record) = self.rows.get(token.expose_secret()).cloned() else {
///             return Ok(None);
///         };
///         let ledger = self.ledger.lock().map_err(|_| StoreError::corrupt("poisoned"))?;
///         Ok(Some(match ledger.values().find(|revocation| revocation.covers(&record)) {
///             Some(by) => record.with_state(TokenState::Revoked { by: by.target().kind() }),
///             None => record,
///         }))
///     }
///
///     async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
///         let mut ledger = self.ledger.lock().map_err(|_| StoreError::corrupt("poisoned"))?;
///         match ledger.get(revocation.target()) {
///             Some(known) if known.at() >= revocation.at() => Ok(Revoked::Already),
///             // The later cutoff counts: the second password change ends what was granted since the first.
///             Some(_) | None => {
///                 ledger.insert(revocation.target().clone(), revocation.clone());
///                 Ok(Revoked::Newly)
///             }
///         }
///     }
/// }
/// # use std::time::Duration;
/// # use annul::{Grant, Reason, Timestamp, TokenId, TokenKind};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), StoreError> {
/// # let mut tokens = Tokens::default();
/// # let minute = |n: u64| Timestamp::from_unix_seconds(1_800_000_000) + Duration::from_secs(60 * n);
/// # for (name, login) in [("first", 0), ("second", 2), ("third", 4)] {
/// #     let grant = Grant::new(name, "web", minute(login)).subject("alice");
/// #     let id = TokenId::named(name);
/// #     let record = TokenRecord::new(id, TokenKind::AccessToken, grant, minute(60));
/// #     tokens.rows.insert(name.to_owned(), record);
/// # }
/// # for changed in [1, 3] {
/// #     let alice = Target::Subject("alice".into());
/// #     let changed = Revocation::by_operator(alice, Reason::PasswordChanged, minute(changed));
/// #     assert_eq!(tokens.revoke(&changed).await?, Revoked::Newly);
/// #     assert_eq!(tokens.revoke(&changed).await?, Revoked::Already);
/// # }
/// # for (name, lives) in [("first", false), ("second", false), ("third", true)] {
/// #     let found = tokens.find(PresentedToken::new(name), None).await?;
/// #     assert_eq!(found.is_some_and(|record| record.verdict(minute(5)).is_active()), lives);
/// # }
/// # Ok(())
/// # }
/// ```
///
/// A longer one, with time and SQL-like tables, is `examples/custom_store.rs`.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Everything known about a presented token: any kind, live or dead.
    ///
    /// Called by [`Authority::check`](crate::Authority::check), and by every endpoint at most once for each request, after
    /// the caller has authenticated. `hint` is an order
    /// to search in and never a filter: a store that finds nothing of the hinted kind looks at all others
    /// (RFC 7009 section 2.1). Expired, consumed and revoked tokens are found too, for as long as the store
    /// remembers them: their owner may want the rest of the grant dead.
    ///
    /// # Security
    ///
    /// - Saying `None` for a live token answers 200 and revokes nothing: the worst lie there is.
    /// - Naming the wrong client in the record's grant lets that client revoke the token.
    /// - Leaving out [`TokenState::Revoked`](crate::TokenState::Revoked) makes introspection call a dead token
    ///   good.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`]: not known now; the endpoint answers 503.
    /// - [`StoreErrorKind::Corrupt`]: never to be known; the endpoint answers 500.
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError>;

    /// Applies one revocation: atomic, durable when it returns, idempotent.
    ///
    /// Called after ownership was proved, or by the host's own code. From the moment it returns, `find`
    /// reports every token that [`Revocation::covers`] as revoked, on every node, tokens that are issued later
    /// included. Applying it again, or with an earlier cutoff, changes nothing and is no error.
    ///
    /// # Security
    ///
    /// - Returning `Ok` before the entry would survive a crash un-revokes the token after one.
    /// - Dropping the returned future half way must leave the entry either written or not written.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`]: perhaps applied, perhaps not; the endpoint answers 503 and the
    ///   caller repeats the request.
    /// - [`StoreErrorKind::Conflict`]: another writer won, and repeating helps; answered 503 too.
    /// - [`StoreErrorKind::Corrupt`]: the endpoint answers 500.
    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError>;
}

/// Records what the token endpoint issues, so that it can be found and revoked later.
///
/// ```
/// # async fn demo() -> Result<(), annul::store::StoreError> {
/// use std::time::Duration;
/// use annul::store::{Issued, TokenLedger};
/// use annul::{Clock, Grant, MemoryStore, NewToken, PresentedToken, SystemClock};
///
/// let store = MemoryStore::new();
/// let now = SystemClock.now();
/// let grant = Grant::new("g1", "web", now).subject("alice").session("s1");
/// let tokens = [
///     NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600)),
///     NewToken::refresh(PresentedToken::new("rt-1"), now + Duration::from_secs(86_400)),
/// ];
/// assert_eq!(store.issue(grant, &tokens, now).await?, Issued::Live);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait TokenLedger: TokenStore {
    /// Records tokens that were just made for `grant`.
    ///
    /// Called by the host's token endpoint before it answers. Recording the same token of the same grant again
    /// changes nothing, and never revives it.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Conflict`]: a token of this value exists under another grant; make a new one.
    /// - [`StoreErrorKind::Unavailable`]: do not hand the tokens out.
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError>;

    /// Exchanges a refresh token for its successors, in one step: of any number of callers with the same
    /// token, one wins.
    ///
    /// Called by the host's token endpoint for `grant_type=refresh_token`, after it has authenticated the
    /// client.
    ///
    /// # Security
    ///
    /// A consumed token that comes back after the grace window, or from before the previous generation, is
    /// reuse: the whole grant is revoked (RFC 9700 section 4.14). A token that was revoked on purpose is never
    /// revived by the window.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Conflict`]: a successor's value exists under another grant. The token is spent; within
    ///   the grace window it can be exchanged for others.
    /// - [`StoreErrorKind::Unavailable`]: do not hand the successors out.
    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError>;

    /// Opens a session, or adds participants and time to one that is open.
    ///
    /// Called when a user has logged in, whenever another client of the session gets its first token, and whenever the
    /// session is to last longer.
    ///
    /// A revocation is remembered for as long as the last token or session under it that the store knows of. So a store
    /// that is never told of sessions, or of what prolongs them, can forget a password change while a login from before
    /// it still asks for tokens.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Conflict`]: the session belongs to another subject, or was logged out. Its name is
    ///   spent; choose another.
    /// - [`StoreErrorKind::Unavailable`]: not recorded.
    async fn open_session(&self, session: Session) -> Result<(), StoreError>;

    /// A session and its participants, open or logged out, while the store remembers it.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`]: not known now.
    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError>;
}

/// Forgets what can no longer matter.
#[async_trait]
pub trait Sweep: Send + Sync {
    /// Removes at most `budget.rows` records whose time has come at `now`.
    ///
    /// Called by the host's timer. Only time decides what goes: a revocation stays until the last token it can
    /// cover has expired. Safe to call from several places at once, and to stop half way.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`]: nothing or a part was removed; call again later.
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError>;
}

/// What [`TokenLedger::issue`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a new token either lives or does not")]
pub enum Issued {
    /// A revocation already covers the grant: the tokens are recorded, dead. Do not hand them out.
    BornDead {
        /// What that revocation points at.
        by: TargetKind,
    },
    /// No revocation covers the tokens: hand them out. One that had been recorded before is what it was, which may be
    /// expired or consumed.
    Live,
}

/// The exchange of one refresh token for its successors.
///
/// ```
/// use std::time::Duration;
/// use annul::store::Rotation;
/// use annul::{ClientId, NewToken, PresentedToken, Timestamp};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let client = ClientId::new("web");
/// let successors = [NewToken::refresh(PresentedToken::new("rt-2"), now + Duration::from_secs(600))];
/// let rotation = Rotation::new(PresentedToken::new("rt-1"), &client, &successors, now)
///     .with_grace(Duration::from_secs(10));
/// assert_eq!(rotation.grace(), Duration::from_secs(10));
/// ```
#[derive(Clone, Debug)]
pub struct Rotation<'a> {
    spent: PresentedToken<'a>,
    client: &'a ClientId,
    successors: &'a [NewToken<'a>],
    now: Timestamp,
    grace: Duration,
}

impl<'a> Rotation<'a> {
    /// Exchanges `spent`, presented by `client`, for `successors`. No grace window.
    pub const fn new(
        spent: PresentedToken<'a>,
        client: &'a ClientId,
        successors: &'a [NewToken<'a>],
        now: Timestamp,
    ) -> Self {
        Self { spent, client, successors, now, grace: Duration::ZERO }
    }

    /// For how long the token of the previous generation, and no older one, may be exchanged again: a client
    /// whose answer got lost, or that refreshed in two tabs at once, is not logged out.
    ///
    /// # Security
    ///
    /// A thief who is as quick gets successors too, and nobody notices. Seconds are enough for a lost answer.
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The refresh token to exchange.
    pub const fn spent(&self) -> PresentedToken<'a> {
        self.spent
    }

    /// Who presents it.
    pub const fn client(&self) -> &'a ClientId {
        self.client
    }

    /// What it is exchanged for.
    pub const fn successors(&self) -> &'a [NewToken<'a>] {
        self.successors
    }

    /// When.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The grace window.
    pub const fn grace(&self) -> Duration {
        self.grace
    }
}

/// What [`TokenLedger::rotate`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Rotated {
    /// The successors are good; hand them out.
    Applied(TokenRecord),
    /// The token, of the previous generation, was exchanged once more within the grace window. The successors
    /// are good; hand them out.
    AppliedInGrace(TokenRecord),
    /// Nothing was exchanged. Answer `invalid_grant`.
    Refused(Refused),
    /// The token had been exchanged before: its grant is now revoked. Answer `invalid_grant`.
    Reused(TokenRecord),
}

/// Why a refresh token was not exchanged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// It has expired.
    Expired,
    /// It is another client's.
    ForeignClient,
    /// It is not a refresh token.
    NotARefreshToken,
    /// A revocation covers it.
    Revoked {
        /// What that revocation points at.
        by: TargetKind,
    },
    /// It is not known.
    Unknown,
}

/// A browser session at the authorization server, and the clients that take part in it.
///
/// ```
/// use std::time::Duration;
/// use annul::store::Session;
/// use annul::Timestamp;
///
/// let login = Timestamp::from_unix_seconds(1_700_000_000);
/// let session = Session::new("s1", "alice", login, login + Duration::from_secs(86_400))
///     .client("web")
///     .client("spa");
/// assert_eq!(session.clients().len(), 2);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    id: SessionId,
    subject: Subject,
    started_at: Timestamp,
    expires_at: Timestamp,
    clients: Vec<ClientId>,
}

impl Session {
    /// A session without participants.
    pub fn new(
        id: impl Into<SessionId>,
        subject: impl Into<Subject>,
        started_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { id: id.into(), subject: subject.into(), started_at, expires_at, clients: Vec::new() }
    }

    /// Adds a participant, once.
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientId>) -> Self {
        let client = client.into();
        if !self.clients.contains(&client) {
            self.clients.push(client);
        }
        self
    }

    /// Its identifier.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whose it is.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// When it began: the login that cutoffs are compared with.
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The first instant at which it is over by itself.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The clients that take part in it.
    pub fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// Takes the participants and the later expiry of `other`, which is the same session.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Conflict`]: it is another subject's; this one is unchanged.
    pub fn join(&mut self, other: &Self) -> Result<(), StoreError> {
        if self.subject != other.subject {
            return Err(StoreError::conflict("the session belongs to another subject"));
        }
        self.expires_at = self.expires_at.max(other.expires_at);
        for client in &other.clients {
            if !self.clients.contains(client) {
                self.clients.push(client.clone());
            }
        }
        Ok(())
    }
}

/// How much one [`Sweep::sweep`] may do.
///
/// ```
/// use annul::store::SweepBudget;
///
/// assert_eq!(SweepBudget::rows(500).max_rows(), 500);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SweepBudget {
    rows: usize,
}

impl SweepBudget {
    /// At most this many records.
    pub const fn rows(rows: usize) -> Self {
        Self { rows }
    }

    /// At most how many records.
    pub const fn max_rows(self) -> usize {
        self.rows
    }
}

impl Default for SweepBudget {
    /// 1 000 records: well under a millisecond in memory.
    fn default() -> Self {
        Self::rows(1_000)
    }
}

/// What one [`Sweep::sweep`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// How many records were removed.
    pub removed: usize,
    /// Whether the budget ran out first: call again soon.
    pub more: bool,
}

impl Swept {
    /// What a sweep reports.
    pub const fn new(removed: usize, more: bool) -> Self {
        Self { removed, more }
    }
}
