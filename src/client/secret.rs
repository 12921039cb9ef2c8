//! How a client's secret is kept: as a digest, never as it is.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::PresentedSecret;

/// The SHA-256 digest of a generated client secret.
///
/// For secrets that a server generates, with 128 bits of randomness or more. A secret that a person chose can
/// be guessed from this digest; it wants a slow, salted function instead, as the feature `argon2` brings.
///
/// ```
/// use annul::client::SecretDigest;
/// use annul::PresentedSecret;
///
/// let digest = SecretDigest::of("gX1fBat3bV");
/// assert!(digest.matches(PresentedSecret::new("gX1fBat3bV")));
/// assert!(!digest.matches(PresentedSecret::new("guess")));
/// ```
#[derive(Clone)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// Digests a secret at registration; the secret itself is not kept.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// A digest as it was stored.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest, for storing.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `secret` is the one that was digested. Takes the same time whatever the answer.
    pub fn matches(&self, secret: PresentedSecret<'_>) -> bool {
        self.equals(&Self::of(secret.expose_secret())).into()
    }

    /// Compares in constant time: every difference is gathered before the one question that is asked of it.
    pub(super) fn equals(&self, other: &Self) -> Choice {
        let (ours, _) = self.0.as_chunks::<8>();
        let (theirs, _) = other.0.as_chunks::<8>();
        let difference = ours.iter().zip(theirs).fold(0, |difference, (ours, theirs)| {
            difference | (u64::from_ne_bytes(*ours) ^ u64::from_ne_bytes(*theirs))
        });
        difference.ct_eq(&0)
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([redacted])")
    }
}
