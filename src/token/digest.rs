//! The names under which tokens are kept: a keyed digest, never the token.

use std::fmt;

use crate::id::{Namespace, Text};
use crate::token::PresentedToken;

// Keyed BLAKE3 and not HMAC-SHA-256: measured on 43-byte tokens it takes two thirds of the time where the processor
// has SHA instructions, and a quarter where it has none. On tokens of a kilobyte HMAC would win.

/// The deployment's key for token digests.
///
/// A stolen database holds digests that nobody without this key can test a guess against, and the digest of a
/// token in one [`Namespace`] is not its digest in another. Every process that shares a database needs the
/// same key; losing it means that no token is found any more.
///
/// ```
/// use annul::{DigestKey, Namespace, PresentedToken};
///
/// let key = DigestKey::new(&[7; 32]);
/// let token = PresentedToken::new("45ghiukldjahdnhzdauz");
/// assert_eq!(key.digest(token), key.digest(token));
///
/// let other = key.for_namespace(&Namespace::new("tenant-b"));
/// assert_ne!(key.digest(token), other.digest(token));
/// ```
#[derive(Clone)]
pub struct DigestKey([u8; 32]);

impl DigestKey {
    /// A key from 32 random bytes, kept wherever the deployment keeps its secrets.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(*key)
    }

    /// A key of the operating system's making: for stores that die with the process.
    ///
    /// # Panics
    ///
    /// Where the operating system has no randomness to give, nothing else can be relied on either.
    #[cfg(feature = "memory")]
    pub fn random() -> Self {
        let mut key = [0; 32];
        #[expect(clippy::expect_used, reason = "a predictable key would be worse than no server")]
        getrandom::fill(&mut key).expect("the operating system provides randomness");
        Self::new(&key)
    }

    /// The key for one tenant, derived from this one.
    #[must_use]
    pub fn for_namespace(&self, namespace: &Namespace) -> Self {
        Self(self.derive("annul namespace", namespace.as_str()))
    }

    /// A key for another purpose, or a value that tells whether two keys are the same.
    pub(crate) fn derive(&self, purpose: &str, name: &str) -> [u8; 32] {
        // The NUL keeps this apart from the digest of any token: tokens hold no control characters.
        *blake3::keyed_hash(&self.0, [purpose, "\0", name].concat().as_bytes()).as_bytes()
    }

    /// The digest under which a token is kept.
    pub fn digest(&self, token: PresentedToken<'_>) -> TokenDigest {
        TokenDigest(*blake3::keyed_hash(&self.0, token.expose_secret().as_bytes()).as_bytes())
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey([redacted])")
    }
}

/// A token's keyed digest (BLAKE3): what stores keep in the token's place.
///
/// ```
/// use annul::TokenDigest;
///
/// let stored = TokenDigest::from_bytes([1; 32]);
/// assert_eq!(stored.as_bytes(), &[1; 32]);
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// A digest as it was stored.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest, for storing.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a test's output; useless without the key.
        let [a, b, c, d, ..] = self.0;
        write!(f, "TokenDigest({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// The name under which one token alone can be revoked: its digest, or the host's own name for its row.
///
/// ```
/// use annul::{TokenDigest, TokenId};
///
/// assert_eq!(TokenId::named("row-17").name(), Some("row-17"));
/// let digest = TokenDigest::from_bytes([1; 32]);
/// assert_eq!(TokenId::from(digest).digest(), Some(&digest));
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TokenId(Kept);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Kept {
    Digest(TokenDigest),
    Named(Text),
}

impl TokenId {
    /// A name of the host's own: a row's key, or a JWT's issuer and `jti`. Not the token.
    pub fn named(name: impl AsRef<str>) -> Self {
        Self(Kept::Named(Text::new(name.as_ref())))
    }

    /// The digest, where the token is kept under one.
    pub const fn digest(&self) -> Option<&TokenDigest> {
        match &self.0 {
            Kept::Digest(digest) => Some(digest),
            Kept::Named(_) => None,
        }
    }

    /// The host's own name, where it has one.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Kept::Digest(_) => None,
            Kept::Named(name) => Some(name.as_str()),
        }
    }
}

impl From<TokenDigest> for TokenId {
    fn from(digest: TokenDigest) -> Self {
        Self(Kept::Digest(digest))
    }
}
