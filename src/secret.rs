//! Text that must never be printed.

use std::fmt;

use zeroize::Zeroize;

/// An owned secret: prints as `[redacted]`, has no `PartialEq`, `Display` or `Deref`, and is wiped when it is dropped.
///
/// ```
/// use annul::Secret;
///
/// let secret = Secret::new("correct horse");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// assert_eq!(secret.expose_secret(), "correct horse");
/// ```
///
/// # Security
///
/// Two secrets cannot be compared with `==`. Keep a [`SecretDigest`](crate::client::SecretDigest) and
/// verify against that, in constant time.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Takes the secret over.
    pub fn new(secret: impl Into<Box<str>>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. The name is long so that every use can be found.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret as it stands in a request: borrowed, and as silent as [`Secret`].
///
/// ```
/// use annul::PresentedSecret;
///
/// let secret = PresentedSecret::new("correct horse");
/// assert_eq!(format!("{secret:?}"), "[redacted]");
/// ```
#[derive(Clone, Copy)]
pub struct PresentedSecret<'a>(&'a str);

impl<'a> PresentedSecret<'a> {
    /// Borrows the secret.
    pub const fn new(secret: &'a str) -> Self {
        Self(secret)
    }

    /// The secret itself. The name is long so that every use can be found.
    pub const fn expose_secret(&self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for PresentedSecret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}
