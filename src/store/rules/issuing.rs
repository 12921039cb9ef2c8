//! Which tokens may be issued at all: those that can be revoked.

use crate::error::StoreError;
use crate::token::{NewToken, Unpresentable};

/// The longest counterpart that a store keeps, in bytes.
pub const LONGEST_COUNTERPART: usize = 60_000;

/// Refuses tokens that could not be revoked once they are out, before any of them is stored.
///
/// Called by every store first, with the tokens of an issue and with the successors of a rotation.
///
/// # Errors
///
/// - [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported): a token that the endpoints answer without
///   looking it up ([`PresentedToken::check`](crate::PresentedToken::check)), or a counterpart above
///   [`LONGEST_COUNTERPART`].
///
/// ```
/// use annul::store::rules::issuing::check;
/// use annul::{NewToken, PresentedToken, Timestamp};
///
/// let long = "x".repeat(PresentedToken::MAX_BYTES + 1);
/// let token = NewToken::access(PresentedToken::new(&long), Timestamp::MAX);
/// assert!(check(&[token]).is_err());
/// ```
pub fn check(tokens: &[NewToken<'_>]) -> Result<(), StoreError> {
    for token in tokens {
        token.token().check().map_err(|why: Unpresentable| StoreError::unsupported(why))?;
        let counterpart = token.counterpart().map_or(0, |kept| kept.expose_secret().len());
        if counterpart > LONGEST_COUNTERPART {
            return Err(StoreError::unsupported(
                "a counterpart of more than 60,000 bytes cannot be kept",
            ));
        }
    }
    Ok(())
}

/// The error for a token whose value is taken by another grant, or by a token of another kind.
#[must_use]
pub fn taken() -> StoreError {
    StoreError::conflict("a token of this value exists under another grant, or is of another kind")
}

/// The error for a grant id that is taken by another client or another subject.
#[must_use]
pub fn foreign_grant() -> StoreError {
    StoreError::conflict("a grant of this id exists for another client or another subject")
}

/// The error for a revocation of one token by a name that no token of the store has.
///
/// Called by stores whose tokens are named by their digests alone. To write such an entry would look like a revocation, and
/// end nothing.
#[must_use]
pub fn no_such_name() -> StoreError {
    StoreError::unsupported(
        "the tokens of this store are named by their digests: no token has a name of the host's",
    )
}
