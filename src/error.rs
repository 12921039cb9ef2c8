//! What a store says when it did not do what it was asked.

use std::fmt;
use std::time::Duration;

/// A store did not do what it was asked.
///
/// ```
/// use annul::store::{StoreError, StoreErrorKind};
///
/// let error = StoreError::unavailable(std::io::Error::other("connection refused"));
/// assert_eq!(error.kind(), StoreErrorKind::Unavailable);
/// assert!(std::error::Error::source(&error).is_some());
/// ```
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    retry_after: Option<Duration>,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// What kind of failure it is; decides what the caller is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another writer was there first; a retry helps. Answered 503.
    Conflict,
    /// The data make no sense; a retry does not help. Answered 500.
    Corrupt,
    /// The store does not answer now. Answered 503.
    Unavailable,
    /// The store can never do this: a token too long to be presented, a name that no token has. Nothing was stored, and a retry
    /// does not help. Answered 400 `unsupported_token_type`.
    Unsupported,
}

impl StoreError {
    /// The store does not answer now.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Unavailable, retry_after: None, source: source.into() }
    }

    /// Another writer was there first.
    pub fn conflict(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Conflict, retry_after: None, source: source.into() }
    }

    /// The store can never do this.
    pub fn unsupported(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Unsupported, retry_after: None, source: source.into() }
    }

    /// The data make no sense.
    pub fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { kind: StoreErrorKind::Corrupt, retry_after: None, source: source.into() }
    }

    /// Says when to try again, for `Retry-After`.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What kind of failure it is.
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// When to try again, if the store knows.
    pub const fn suggested_retry(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Conflict => "the store saw a conflict",
            StoreErrorKind::Corrupt => "the store is corrupt",
            StoreErrorKind::Unavailable => "the store is unavailable",
            StoreErrorKind::Unsupported => "the store cannot do this",
        })
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}
