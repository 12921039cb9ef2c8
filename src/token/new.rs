//! Tokens that are about to be issued.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::token::{PresentedToken, TokenKind};

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

    /// Marks a refresh token that another system already rotated out, when its tokens are imported. To rotate it is
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
