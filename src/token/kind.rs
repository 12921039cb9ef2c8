//! Access tokens and refresh tokens.

use std::fmt;

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
