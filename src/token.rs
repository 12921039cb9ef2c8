//! Tokens: as presented, as kept, and what is known about them.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::secret::Secret;

mod digest;

pub use digest::{DigestKey, TokenDigest, TokenId};

/// A token as somebody presents it: a secret that is borrowed, never kept, and never printed.
///
/// ```
/// use annul::PresentedToken;
///
/// let token = PresentedToken::new("45ghiukldjahdnhzdauz");
/// assert_eq!(format!("{token:?}"), "[redacted]");
/// ```
#[derive(Clone, Copy)]
pub struct PresentedToken<'a>(&'a str);

impl<'a> PresentedToken<'a> {
    /// Borrows the token.
    pub const fn new(token: &'a str) -> Self {
        Self(token)
    }

    /// The token itself; for a store to digest or to verify. Never log it, never keep it.
    pub const fn expose_secret(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for PresentedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What kind of token it is. Decided by the record, never by the caller's hint.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TokenKind {
    /// A token for a resource server (RFC 6749 section 1.4).
    AccessToken,
    /// A token for the token endpoint (RFC 6749 section 1.5).
    RefreshToken,
}

impl TokenKind {
    /// The name in the OAuth Token Type Hints registry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the caller suggests to look first (`token_type_hint`, RFC 7009 section 2.1).
///
/// An order to search in and nothing else: a store that finds nothing there looks everywhere. Stores
/// with one key space for all kinds, as ours, need not look at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenTypeHint<'a> {
    /// `access_token`
    AccessToken,
    /// `refresh_token`
    RefreshToken,
    /// A value from the registry or a private one; a store that does not know it ignores it.
    Other(&'a str),
}

impl<'a> TokenTypeHint<'a> {
    /// Reads the parameter's value; every value is a hint, and an unknown one is a hint to ignore.
    pub fn new(value: &'a str) -> Self {
        match value {
            "access_token" => Self::AccessToken,
            "refresh_token" => Self::RefreshToken,
            other => Self::Other(other),
        }
    }
}

/// One authorization: what all tokens descending from it have in common.
///
/// ```
/// use annul::{Grant, Timestamp};
///
/// let at_login = Timestamp::from_unix_seconds(1_700_000_000);
/// let grant = Grant::new("g1", "web", at_login)
///     .subject("alice")
///     .session("s1")
///     .scope("openid profile");
/// assert_eq!(grant.client_id().as_str(), "web");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    id: GrantId,
    client_id: ClientId,
    subject: Option<Subject>,
    session: Option<SessionId>,
    authenticated_at: Timestamp,
    scope: Option<Arc<str>>,
    offline: bool,
}

impl Grant {
    /// A grant without an end user: what `client_credentials` yields.
    ///
    /// `authenticated_at` is OpenID's `auth_time`: when the user proved who they are for this grant, or
    /// when the token was issued where there is no user. Cutoffs compare with it rather than with each
    /// token's own time of issue, which is what makes a password change end a stolen session's
    /// *future* tokens too.
    pub fn new(
        id: impl Into<GrantId>,
        client_id: impl Into<ClientId>,
        authenticated_at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            client_id: client_id.into(),
            subject: None,
            session: None,
            authenticated_at,
            scope: None,
            offline: false,
        }
    }

    /// The end user who granted it.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The browser session it was granted in. Logging that session out ends the grant, unless it is
    /// [`offline`](Self::offline).
    #[must_use]
    pub fn session(mut self, session: impl Into<SessionId>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Marks an `offline_access` grant (OpenID Connect Core section 11): it outlives the session it was
    /// granted in, by design.
    #[must_use]
    pub const fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// The granted scope, space separated, as introspection shows it.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The grant's own identifier.
    pub const fn id(&self) -> &GrantId {
        &self.id
    }

    /// The client its tokens were issued to: the only one that may revoke them.
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The end user, if there is one.
    pub const fn subject_id(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The session whose end is also the end of this grant; none for an offline grant.
    pub const fn session_id(&self) -> Option<&SessionId> {
        if self.offline { None } else { self.session.as_ref() }
    }

    /// When the user proved who they are for it.
    pub const fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// The scope, if it was given one.
    pub fn scopes(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Whether it outlives its session.
    pub const fn is_offline(&self) -> bool {
        self.offline
    }
}

/// The seven things a revocation can point at, without saying which one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TargetKind {
    /// One token.
    Token,
    /// One authorization and everything issued from it.
    Grant,
    /// One browser session.
    Session,
    /// One user's grants to one client.
    SubjectAtClient,
    /// Everything one user granted.
    Subject,
    /// Everything one client holds.
    Client,
    /// Every token of the namespace.
    Everything,
}

/// What has happened to a token, apart from growing old.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenState {
    /// Nothing.
    #[default]
    Active,
    /// A refresh token that was exchanged for its successor. Its grant is remembered, so that seeing it
    /// again can end the whole family (RFC 9700 section 4.14).
    Consumed,
    /// A revocation covers it.
    Revoked {
        /// What that revocation points at.
        by: TargetKind,
    },
}

/// Everything known about one token, live or dead.
///
/// ```
/// use annul::{Grant, Timestamp, TokenId, TokenKind, TokenRecord};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let expiry = Timestamp::from_unix_seconds(1_700_003_600);
/// let grant = Grant::new("g1", "web", now).subject("alice");
/// // A host with its own tables names the token by its row.
/// let record = TokenRecord::new(TokenId::named("row-17"), TokenKind::RefreshToken, grant, expiry);
/// assert!(!record.is_expired(now));
/// assert_eq!(record.grant().client_id().as_str(), "web");
/// ```
#[derive(Clone, Debug)]
pub struct TokenRecord {
    id: TokenId,
    kind: TokenKind,
    grant: Arc<Grant>,
    issued_at: Option<Timestamp>,
    expires_at: Timestamp,
    state: TokenState,
    revocable: bool,
    counterpart: Option<Arc<Secret>>,
}

impl TokenRecord {
    /// An active token of `grant`.
    pub fn new(
        id: TokenId,
        kind: TokenKind,
        grant: impl Into<Arc<Grant>>,
        expires_at: Timestamp,
    ) -> Self {
        Self {
            id,
            kind,
            grant: grant.into(),
            issued_at: None,
            expires_at,
            state: TokenState::Active,
            revocable: true,
            counterpart: None,
        }
    }

    /// When it was issued, for introspection's `iat`.
    #[must_use]
    pub const fn with_issued_at(mut self, issued_at: Timestamp) -> Self {
        self.issued_at = Some(issued_at);
        self
    }

    /// What has happened to it.
    ///
    /// # Security
    ///
    /// A store that leaves this [`TokenState::Active`] on a revoked token makes
    /// [`Authority::check`](crate::Authority::check) and introspection say that the token is good.
    #[must_use]
    pub const fn with_state(mut self, state: TokenState) -> Self {
        self.state = state;
        self
    }

    /// Says that this store has no way to deny the token: a self-contained token that resource servers
    /// accept without asking. Revoking it is then answered `unsupported_token_type`, never a false 200
    /// (RFC 7009 section 2.2.1).
    #[must_use]
    pub const fn not_revocable(mut self) -> Self {
        self.revocable = false;
        self
    }

    /// Keeps the token that was issued beside this one, in clear. Only the `wso2` profile's response
    /// headers have a use for it.
    #[must_use]
    pub fn with_counterpart(mut self, counterpart: Arc<Secret>) -> Self {
        self.counterpart = Some(counterpart);
        self
    }

    /// The name under which this token alone can be revoked.
    pub const fn id(&self) -> &TokenId {
        &self.id
    }

    /// What kind of token it is.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The authorization it descends from.
    pub const fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// When it was issued, if the store knows.
    pub const fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// The first instant at which it is no longer good.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// What has happened to it.
    pub const fn state(&self) -> TokenState {
        self.state
    }

    /// Whether the store can deny it at all.
    pub const fn is_revocable(&self) -> bool {
        self.revocable
    }

    /// The token issued beside this one, where the issuer chose to keep it.
    pub fn counterpart(&self) -> Option<&Secret> {
        self.counterpart.as_deref()
    }

    /// Whether it has outlived itself at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The answer to "is this token still good?" at `now`.
    pub fn verdict(self, now: Timestamp) -> Verdict {
        match self.state {
            TokenState::Revoked { by } => Verdict::Revoked { by },
            TokenState::Active | TokenState::Consumed if self.is_expired(now) => Verdict::Expired,
            TokenState::Consumed => Verdict::Consumed,
            TokenState::Active => Verdict::Active(self),
        }
    }
}

/// The answer to "is this token still good?".
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Yes; this is what it stands for.
    Active(TokenRecord),
    /// A refresh token that was already exchanged.
    Consumed,
    /// It has outlived itself.
    Expired,
    /// A revocation covers it.
    Revoked {
        /// What that revocation points at.
        by: TargetKind,
    },
    /// No store knows it.
    Unknown,
}

impl Verdict {
    /// Whether the token may be accepted. Everything but [`Verdict::Active`] means no.
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active(_))
    }
}

/// A token that is about to be issued.
///
/// ```
/// use std::time::Duration;
/// use annul::{NewToken, PresentedToken, Timestamp};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let access = NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600));
/// let refresh = NewToken::refresh(PresentedToken::new("rt-1"), now + Duration::from_secs(86_400));
/// assert!(access.expires_at() < refresh.expires_at());
/// ```
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    token: PresentedToken<'a>,
    kind: TokenKind,
    expires_at: Timestamp,
    consumed: bool,
    counterpart: Option<Arc<Secret>>,
}

impl<'a> NewToken<'a> {
    /// An access token.
    pub const fn access(token: PresentedToken<'a>, expires_at: Timestamp) -> Self {
        Self { token, kind: TokenKind::AccessToken, expires_at, consumed: false, counterpart: None }
    }

    /// A refresh token.
    pub const fn refresh(token: PresentedToken<'a>, expires_at: Timestamp) -> Self {
        Self {
            token,
            kind: TokenKind::RefreshToken,
            expires_at,
            consumed: false,
            counterpart: None,
        }
    }

    /// Marks a refresh token that another system already rotated out, when its tokens are imported. To exchange it is
    /// reuse, whatever the grace window. A token of either kind that is marked so is never good: that is how used
    /// assertions are remembered in a token store.
    #[must_use]
    pub const fn already_consumed(mut self) -> Self {
        self.consumed = true;
        self
    }

    /// Keeps `counterpart`, the token issued beside this one, in clear.
    ///
    /// # Security
    ///
    /// This is the one place where a token is kept as it is. Only hosts that must send WSO2's
    /// `RevokedAccessToken` and `RevokedRefreshToken` headers want it.
    #[must_use]
    pub fn keep_counterpart(mut self, counterpart: impl Into<Box<str>>) -> Self {
        self.counterpart = Some(Arc::new(Secret::new(counterpart)));
        self
    }

    /// The token to digest.
    pub const fn token(&self) -> PresentedToken<'a> {
        self.token
    }

    /// Its kind.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The first instant at which it is no longer good.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether it comes into the store already rotated out.
    pub const fn is_consumed(&self) -> bool {
        self.consumed
    }

    /// The token issued beside it, where the issuer wants that kept.
    pub const fn counterpart(&self) -> Option<&Arc<Secret>> {
        self.counterpart.as_ref()
    }
}
