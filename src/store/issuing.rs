//! What the token endpoint needs of a store: issue, rotate, sessions.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ClientId, SessionId};
use crate::revocation::TargetKind;
use crate::store::sessions::Session;
use crate::store::tokens::TokenStore;
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord};

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
    /// changes nothing, and never revives it. All of the tokens are recorded, or none.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](crate::store::StoreErrorKind::Conflict): a token of this value exists under another grant, or the grant's id is taken by another
    ///   client or another subject. Make a new one.
    /// - [`Unsupported`](crate::store::StoreErrorKind::Unsupported): a token that could not be revoked, because no request can present it
    ///   ([`PresentedToken::check`]).
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): do not hand the tokens out.
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError>;

    /// Rotates a refresh token into its successors, in one step: of any number of callers with the same
    /// token, one wins.
    ///
    /// Called by the host's token endpoint for `grant_type=refresh_token`, after it has authenticated the
    /// client.
    ///
    /// # Security
    ///
    /// A consumed token that is presented again after the grace window, or from before the previous generation, is
    /// reuse: the whole grant is revoked (RFC 9700 section 4.14). A token that was revoked on purpose is never
    /// revived by the window.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](crate::store::StoreErrorKind::Conflict): a successor's value exists under another grant. The token is consumed all the same: to
    ///   undo that would let two callers rotate it. Within the grace window it can be rotated again, to other successors.
    /// - [`Unsupported`](crate::store::StoreErrorKind::Unsupported): a successor that could not be revoked. Nothing was changed.
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): do not hand the successors out.
    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError>;

    /// Opens a session, or adds participants and time to one that is open.
    ///
    /// Called when a user has logged in, whenever another client of the session gets its first token, and whenever the
    /// session is to last longer.
    ///
    /// A revocation is remembered for as long as a session that began before its cutoff lasts, whoever takes part in it. So a
    /// store that does not learn of sessions, or of what prolongs them, can forget a password change while a login from
    /// before it still asks for tokens.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](crate::store::StoreErrorKind::Conflict): the session belongs to another subject, or was logged out. Its name is
    ///   used up; choose another.
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): not recorded.
    async fn open_session(&self, session: Session) -> Result<(), StoreError>;

    /// A session and its participants, open or logged out, while the store remembers it.
    ///
    /// # Errors
    ///
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): not known now.
    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError>;
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

/// The rotation of one refresh token into its successors.
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
    presented: PresentedToken<'a>,
    client: &'a ClientId,
    successors: &'a [NewToken<'a>],
    now: Timestamp,
    grace: Duration,
}

impl<'a> Rotation<'a> {
    /// Rotates `presented`, which comes from `client`, into `successors`. No grace window.
    pub const fn new(
        presented: PresentedToken<'a>,
        client: &'a ClientId,
        successors: &'a [NewToken<'a>],
        now: Timestamp,
    ) -> Self {
        Self { presented, client, successors, now, grace: Duration::ZERO }
    }

    /// For how long the token of the previous generation, and no older one, may be rotated again: a client
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

    /// The refresh token that is presented.
    pub const fn presented(&self) -> PresentedToken<'a> {
        self.presented
    }

    /// Who presents it.
    pub const fn client(&self) -> &'a ClientId {
        self.client
    }

    /// What it is rotated into.
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
    /// The successors are good; hand them out. The record is that of the token that was presented, as it was before: whose
    /// it was, its grant and its scope are what the token endpoint answers with.
    Applied(TokenRecord),
    /// The token, of the previous generation, was rotated once more within the grace window. The successors are good; hand
    /// them out. The record is that of the token that was presented, consumed.
    AppliedInGrace(TokenRecord),
    /// Nothing was rotated. Answer `invalid_grant`.
    Refused(Refused),
    /// The token had been rotated before: its grant is now revoked. Answer `invalid_grant`. The record is that of the
    /// token that was presented, for the alarm.
    Reused(TokenRecord),
}

/// Why a refresh token was not rotated.
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
