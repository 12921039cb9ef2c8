//! A token as it is presented, and the caller's hint about it.

use std::fmt;

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

    /// The longest token that the endpoints look up, in bytes: a longer one is answered as unknown. So none is issued either.
    pub const MAX_BYTES: usize = 16_384;

    /// Whether a request can present this token so that it is looked up.
    ///
    /// Stores ask this before they issue: what cannot be looked up cannot be revoked.
    ///
    /// # Errors
    ///
    /// - [`Unpresentable::Empty`]: an empty parameter is a missing one (RFC 6749 section 3.1).
    /// - [`Unpresentable::TooLong`]: it is longer than [`MAX_BYTES`](Self::MAX_BYTES).
    /// - [`Unpresentable::ControlCharacter`]: it holds a character that no token may hold (RFC 6749 appendix A.12).
    pub fn check(&self) -> Result<(), Unpresentable> {
        match self.0 {
            "" => Err(Unpresentable::Empty),
            token if token.len() > Self::MAX_BYTES => Err(Unpresentable::TooLong),
            token if has_control(token) => Err(Unpresentable::ControlCharacter),
            _ => Ok(()),
        }
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

/// Why no request can present a token so that it is looked up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unpresentable {
    /// It holds a control character.
    #[error("a token with a control character cannot be presented, and so not be revoked")]
    ControlCharacter,
    /// It is empty.
    #[error("an empty token cannot be presented, and so not be revoked")]
    Empty,
    /// It is longer than [`PresentedToken::MAX_BYTES`].
    #[error("a token of more than 16,384 bytes cannot be presented, and so not be revoked")]
    TooLong,
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

/// Whether a decoded credential holds a control character (RFC 6749 appendix A: `VSCHAR`).
pub(crate) fn has_control(text: &str) -> bool {
    text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == 0x7f))
}
