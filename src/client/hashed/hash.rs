//! One secret's hash, as a PHC string.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version, password_hash};

use crate::secret::{PresentedSecret, Secret};

/// The Argon2id hash of a client secret (RFC 9106), as a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$..$..`.
///
/// For secrets that a person may have chosen. It is salted, and slow on purpose: who steals it pays that price for
/// every guess. So does a server for every check, which is why [`RegisteredClients`] has them made by
/// [`SecretHashing`]. A generated secret needs none of this: a [`SecretDigest`] does.
///
/// ```
/// use annul::PresentedSecret;
/// use annul::client::SecretHash;
///
/// let hash = SecretHash::of("correct horse");
/// assert!(hash.matches(PresentedSecret::new("correct horse")));
///
/// let stored = hash.as_str().to_owned();
/// let loaded = SecretHash::parse(&stored)?;
/// assert!(!loaded.matches(PresentedSecret::new("battery staple")));
/// # Ok::<(), annul::client::InvalidSecretHash>(())
/// ```
///
/// [`RegisteredClients`]: crate::client::RegisteredClients
/// [`SecretDigest`]: crate::client::SecretDigest
/// [`SecretHashing`]: crate::client::SecretHashing
#[derive(Clone, Debug)]
pub struct SecretHash(Secret);

/// A text is not the hash of a client secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecretHash {
    /// Another function's hash, or an older version's: only `argon2id` with `v=19` is read.
    #[error("not Argon2id, version 19")]
    Algorithm,
    /// Not a PHC string with a salt and a hash.
    #[error("not a PHC string with a salt and a hash")]
    Malformed,
    /// Argon2id does not have these parameters, or not with these values.
    #[error("its parameters are not Argon2id's")]
    Parameters,
    /// Checking one secret would occupy a thread for seconds, or more than a gigabyte.
    #[error("its parameters cost too much")]
    TooCostly,
}

/// The secret could not be hashed at all: there was not the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the secret could not be hashed")]
pub(super) struct NotHashed;

/// The default cost, and a salt and a hash of zeros: what is computed where there is nothing to compare with.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                     $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The most memory, in KiB: one GiB.
const MOST_MEMORY: u32 = 1 << 20;

const MOST_PASSES: u32 = 64;

const MOST_LANES: u32 = 16;

/// The most memory that is gone through, all passes together, in KiB: a hundred times the default.
const MOST_WORK: u64 = 1 << 22;

const SALT_BYTES: usize = 16;

/// Longer than any secret that a request can hold.
pub(super) const LONGEST_SECRET: usize = 16_384;

impl SecretHash {
    /// Hashes a secret at registration, with a new salt and the default cost: 19 MiB, two passes, one lane. The
    /// secret itself is not kept.
    ///
    /// Takes tens of milliseconds of the calling thread.
    ///
    /// # Panics
    ///
    /// Where the operating system has neither randomness nor 19 MiB to give.
    pub fn of(secret: &str) -> Self {
        let mut salt = [0; SALT_BYTES];
        #[expect(clippy::expect_used, reason = "a predictable salt would be worse than no hash")]
        getrandom::fill(&mut salt).expect("the operating system provides randomness");
        let hashed = Argon2::default().hash_password_with_salt(secret.as_bytes(), &salt);
        #[expect(clippy::expect_used, reason = "as any allocation that fails")]
        let hash: PasswordHash = hashed.expect("the operating system provides memory");
        Self(Secret::new(hash.to_string()))
    }

    /// Reads a PHC string as it was stored.
    ///
    /// What a stored hash costs to check is in the string. Parameters beyond a GiB, 64 passes, 16 lanes, or a
    /// hundred times the work of the default are refused here, so that one registration cannot stop the others.
    ///
    /// # Errors
    ///
    /// - [`InvalidSecretHash`], whose text does not hold the hash.
    pub fn parse(phc: &str) -> Result<Self, InvalidSecretHash> {
        let hash = PasswordHash::new(phc).map_err(|_| InvalidSecretHash::Malformed)?;
        if hash.algorithm != Algorithm::Argon2id.ident()
            || hash.version != Some(Version::V0x13.into())
        {
            return Err(InvalidSecretHash::Algorithm);
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err(InvalidSecretHash::Malformed);
        }
        let params = Params::try_from(&hash).map_err(|_| InvalidSecretHash::Parameters)?;
        // A key identifier says that a key is needed that nobody here has.
        if !params.keyid().is_empty() {
            return Err(InvalidSecretHash::Parameters);
        }
        if params.m_cost() > MOST_MEMORY
            || params.t_cost() > MOST_PASSES
            || params.p_cost() > MOST_LANES
            || u64::from(params.m_cost()) * u64::from(params.t_cost()) > MOST_WORK
        {
            return Err(InvalidSecretHash::TooCostly);
        }
        Ok(Self(Secret::new(phc)))
    }

    /// The PHC string, for storing.
    pub fn as_str(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `secret` is the one that was hashed.
    ///
    /// Occupies the calling thread for as long as the parameters say, tens of milliseconds by default: not for an
    /// async thread, and not for strangers to call as often as they like. [`SecretHashing`] is for both.
    ///
    /// [`SecretHashing`]: crate::client::SecretHashing
    pub fn matches(&self, secret: PresentedSecret<'_>) -> bool {
        // Without the memory to find out, it is not known to match.
        secret.expose_secret().len() <= LONGEST_SECRET && self.check(secret).unwrap_or(false)
    }

    /// As `matches`, but tells a wrong secret from one that could not be hashed.
    pub(super) fn check(&self, secret: PresentedSecret<'_>) -> Result<bool, NotHashed> {
        let hash = PasswordHash::new(self.as_str()).map_err(|_| NotHashed)?;
        // Compares in constant time.
        match Argon2::default().verify_password(secret.expose_secret().as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(_) => Err(NotHashed),
        }
    }

    /// The PHC string, to be kept in a client's registration.
    pub(crate) fn into_text(self) -> Secret {
        self.0
    }

    /// Out of a client's registration, where only a hash's text comes to be.
    pub(crate) fn from_text(text: &Secret) -> Self {
        Self(text.clone())
    }

    /// What nobody's secret is compared with.
    pub(super) fn decoy() -> Self {
        Self(Secret::new(DECOY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(hash: &SecretHash, secret: &str) -> bool {
        hash.matches(PresentedSecret::new(secret))
    }

    /// From the test vectors of the reference implementation.
    #[test]
    fn hashes_of_other_implementations_are_checked() {
        for phc in [
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        ] {
            let hash = SecretHash::parse(phc).unwrap();
            assert_eq!(hash.as_str(), phc);
            assert!(matches(&hash, "password"), "{phc}");
            for wrong in ["", "passwor", "password ", "Password", phc] {
                assert!(!matches(&hash, wrong), "{phc}: {wrong}");
            }
        }
    }

    #[test]
    fn a_secret_is_hashed_with_the_default_cost_and_a_salt_of_its_own() {
        let hash = SecretHash::of("correct horse");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(matches(&hash, "correct horse"));
        assert!(!matches(&hash, "battery staple"));
        assert_ne!(hash.as_str(), SecretHash::of("correct horse").as_str());
        SecretHash::parse(hash.as_str()).unwrap();
    }

    #[test]
    fn what_is_not_a_sound_hash_is_refused() {
        const SALT_AND_HASH: &str = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for (refused, with) in [
            ("", InvalidSecretHash::Malformed),
            ("secret", InvalidSecretHash::Malformed),
            ("$argon2id$v=19$m=256,t=2,p=1", InvalidSecretHash::Malformed),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", InvalidSecretHash::Malformed),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$!", InvalidSecretHash::Malformed),
            ("$argon2i$v=19$m=256,t=2,p=1$SH", InvalidSecretHash::Algorithm),
            ("$argon2d$v=19$m=256,t=2,p=1$SH", InvalidSecretHash::Algorithm),
            ("$argon2id$v=16$m=256,t=2,p=1$SH", InvalidSecretHash::Algorithm),
            ("$argon2id$m=256,t=2,p=1$SH", InvalidSecretHash::Algorithm),
            ("$scrypt$v=19$m=256,t=2,p=1$SH", InvalidSecretHash::Algorithm),
            (
                "$2b$12$abcdefghijklmnopqrstuuDmbJMjT1qTWmNnsDCe0B2iG3gSTdVuu",
                InvalidSecretHash::Malformed,
            ),
            ("$argon2id$v=19$m=7,t=2,p=1$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=256,t=0,p=1$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=256,t=2,p=0$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=256,t=2,p=64$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=256,t=2,p=1,x=1$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=256,t=2,p=1,keyid=AAAA$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=99999999999,t=2,p=1$SH", InvalidSecretHash::Parameters),
            ("$argon2id$v=19$m=1048577,t=1,p=1$SH", InvalidSecretHash::TooCostly),
            ("$argon2id$v=19$m=256,t=65,p=1$SH", InvalidSecretHash::TooCostly),
            ("$argon2id$v=19$m=256,t=2,p=17$SH", InvalidSecretHash::TooCostly),
            ("$argon2id$v=19$m=1048576,t=5,p=1$SH", InvalidSecretHash::TooCostly),
        ] {
            let phc = refused.replace("SH", SALT_AND_HASH);
            assert_eq!(SecretHash::parse(&phc).err(), Some(with), "{phc}");
        }
        for sound in ["m=1048576,t=4,p=16", "m=65536,t=64,p=1", "m=8,t=1,p=1"] {
            let phc = format!("$argon2id$v=19${sound}${SALT_AND_HASH}");
            assert!(SecretHash::parse(&phc).is_ok(), "{phc}");
        }
    }

    #[test]
    fn neither_the_hash_nor_the_decoy_is_anybodys_to_see() {
        let hash = SecretHash::decoy();
        assert_eq!(format!("{hash:?}"), "SecretHash([redacted])");
        SecretHash::parse(hash.as_str()).unwrap();
        let default = Params::default();
        let decoy = PasswordHash::new(hash.as_str()).unwrap();
        let params = Params::try_from(&decoy.params).unwrap();
        assert_eq!(params, default);
        assert_eq!(decoy.salt.unwrap().len(), SALT_BYTES);
        assert_eq!(decoy.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
    }

    #[test]
    fn a_secret_that_no_request_can_hold_matches_nothing() {
        let cheap = Argon2::from(Params::new(8, 1, 1, None).unwrap());
        for (length, matched) in [(LONGEST_SECRET, true), (LONGEST_SECRET + 1, false)] {
            let secret = "s".repeat(length);
            let hash = cheap.hash_password_with_salt(secret.as_bytes(), b"somesalt").unwrap();
            let hash = SecretHash::parse(&hash.to_string()).unwrap();
            assert_eq!(matches(&hash, &secret), matched, "{length}");
        }
    }
}
