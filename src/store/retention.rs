//! How long a store remembers what has expired.

use std::time::Duration;

use crate::token::TokenKind;

/// How long expired tokens are remembered.
///
/// Their owner may still want the rest of the grant, or the session, dead: an expired but genuine refresh token
/// logs out. What it costs is memory.
///
/// ```
/// use std::time::Duration;
/// use annul::MemoryStore;
/// use annul::store::Retention;
///
/// let mut retention = Retention::default();
/// retention.refresh_tokens = Duration::from_secs(86_400);
/// let store = MemoryStore::new().with_retention(retention);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// Default: one hour.
    pub access_tokens: Duration,
    /// Default: seven days.
    pub refresh_tokens: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            access_tokens: Duration::from_secs(3_600),
            refresh_tokens: Duration::from_secs(7 * 86_400),
        }
    }
}

impl Retention {
    /// How long an entry of the ledger outlives what it is known to cover: a token may be on its way that nobody has
    /// announced. The longest way begins with an authorization code, which lives ten minutes at most (RFC 6749 section
    /// 4.1.2).
    pub const IN_FLIGHT: Duration = Duration::from_secs(600);

    /// How long a token of this kind is remembered after its expiry.
    pub const fn of(&self, kind: TokenKind) -> Duration {
        match kind {
            TokenKind::AccessToken => self.access_tokens,
            TokenKind::RefreshToken => self.refresh_tokens,
        }
    }
}
