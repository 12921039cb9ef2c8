//! What is known about a token, and whether it is still good.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::revocation::{Target, TargetKind};
use crate::secret::Secret;
use crate::token::{Grant, TokenId, TokenKind};

/// What has happened to a token, apart from growing old.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenState {
    /// Nothing.
    #[default]
    Active,
    /// A refresh token that was rotated into its successor. Its grant is remembered, so that seeing it
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

    /// Everything that an entry can point at to end this token, narrowest first: for stores that look their entries up.
    ///
    /// ```
    /// use annul::{Grant, TargetKind, Timestamp, TokenId, TokenKind, TokenRecord};
    ///
    /// let login = Timestamp::from_unix_seconds(1_000);
    /// let grant = Grant::new("g1", "web", login).subject("alice");
    /// let token = TokenRecord::new(TokenId::named("t"), TokenKind::AccessToken, grant, Timestamp::MAX);
    /// let kinds: Vec<TargetKind> = token.targets().map(|target| target.kind()).collect();
    /// // Not `Session`: this grant is bound to none.
    /// assert_eq!(kinds.first(), Some(&TargetKind::Token));
    /// assert_eq!(kinds.last(), Some(&TargetKind::Everything));
    /// assert_eq!(kinds.len(), 6);
    /// ```
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        std::iter::once(Target::Token(self.id.clone())).chain(self.grant.targets())
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
    /// A refresh token that was already consumed.
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
