//! Is this rotation of a refresh token the first, a repetition within the grace window, or reuse?

use std::time::Duration;

use crate::clock::Timestamp;
use crate::revocation::TargetKind;
use crate::store::Refused;
use crate::token::TokenKind;

/// How many rotations led to a token, counted from zero.
///
/// ```
/// use annul::store::rules::rotation::Generation;
///
/// assert_eq!(Generation::new(3).next(), Generation::new(4));
/// assert_eq!(Generation::LAST.next(), Generation::LAST);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(u32);

impl Generation {
    /// Of what is issued for a new grant.
    pub const FIRST: Self = Self(0);

    /// The highest that counts, which successors then keep: a rotation every three seconds reaches it in a century.
    pub const LAST: Self = Self((1 << 30) - 2);

    /// Of a token that another system rotated out before it was recorded here. No family gets so far, so no grace window
    /// covers it.
    pub const IMPORTED: Self = Self((1 << 30) - 1);

    /// A generation as it was stored; what is beyond [`IMPORTED`](Self::IMPORTED) is read as that.
    #[must_use]
    pub const fn new(generation: u32) -> Self {
        if generation > Self::IMPORTED.0 { Self::IMPORTED } else { Self(generation) }
    }

    /// The number to store: below 2^30.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Of the successors.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::LAST.0 { Self(self.0 + 1) } else { Self::LAST }
    }
}

/// What a store knows about the token that is presented for rotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the decision takes all of it, and an author must not forget any"
)]
pub struct Presented {
    /// What kind of token it is.
    pub kind: TokenKind,
    /// Whether it was issued to the client that presents it.
    pub is_own: bool,
    /// The narrowest entry that covers it, if any does.
    pub covered_by: Option<TargetKind>,
    /// Whether it was rotated before.
    pub is_consumed: bool,
    /// How many rotations led to it.
    pub generation: Generation,
    /// The first instant at which it is no longer good.
    pub expires_at: Timestamp,
}

/// What a store knows about the refresh tokens of one grant, once one of them was rotated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the decision takes all of it, and an author must not forget any"
)]
pub struct Family {
    /// The highest generation of successors so far.
    pub generation: Generation,
    /// When the first successors of that generation were issued.
    pub rotated_at: Timestamp,
}

/// What is to be done about a rotation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a store that overlooked a fifth would hand tokens out"
)]
pub enum Decision {
    /// Consume the token, write the family as it is here, and issue the successors, of [`Generation::next`].
    First(Family),
    /// Issue the successors, of [`Generation::next`]; token and family stay as they are.
    InGrace,
    /// Change nothing, and answer so.
    Refuse(Refused),
    /// Revoke the grant ([`Revocation::by_reuse`](crate::Revocation::by_reuse)), and issue nothing.
    Reuse,
}

/// Decides a rotation. Token, family and covering entries must be read in the step that writes what is decided, or be
/// read again in it: of two callers with one token, one is the first.
///
/// In the order of the checks: another kind, another client, covered, rotated before, expired. A revocation comes before the
/// grace window, which never revives what was revoked. Reuse comes before expiry: a thief's token ends the grant
/// though it expired meanwhile.
///
/// ```
/// use std::time::Duration;
/// use annul::store::rules::rotation::{Decision, Family, Generation, Presented, decide};
/// use annul::{Timestamp, TokenKind};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let token = Presented {
///     kind: TokenKind::RefreshToken,
///     is_own: true,
///     covered_by: None,
///     is_consumed: false,
///     generation: Generation::FIRST,
///     expires_at: now + Duration::from_secs(60),
/// };
/// let family = Family { generation: Generation::new(1), rotated_at: now };
/// assert_eq!(decide(&token, None, now, Duration::ZERO), Decision::First(family));
///
/// let again = Presented { is_consumed: true, ..token };
/// assert_eq!(decide(&again, Some(family), now, Duration::from_secs(10)), Decision::InGrace);
/// assert_eq!(decide(&again, Some(family), now, Duration::ZERO), Decision::Reuse);
/// ```
#[must_use]
pub fn decide(
    token: &Presented,
    family: Option<Family>,
    now: Timestamp,
    grace: Duration,
) -> Decision {
    if token.kind != TokenKind::RefreshToken {
        return Decision::Refuse(Refused::NotARefreshToken);
    }
    if !token.is_own {
        return Decision::Refuse(Refused::ForeignClient);
    }
    if let Some(by) = token.covered_by {
        return Decision::Refuse(Refused::Revoked { by });
    }
    let next = token.generation.next();
    if token.is_consumed {
        let is_previous = token.generation != Generation::IMPORTED;
        let in_grace = family.is_some_and(|family| {
            is_previous && family.generation == next && in_window(family.rotated_at, now, grace)
        });
        return match in_grace {
            false => Decision::Reuse,
            true if token.expires_at <= now => Decision::Refuse(Refused::Expired),
            true => Decision::InGrace,
        };
    }
    if token.expires_at <= now {
        return Decision::Refuse(Refused::Expired);
    }
    Decision::First(match family {
        // A slower branch of the same family: the window is that of the first successors.
        Some(family) if family.generation >= next => family,
        Some(_) | None => Family { generation: next, rotated_at: now },
    })
}

/// Whether a repetition at `now` is within the grace window of a rotation.
///
/// The window has two sides. Another node's clock may be a little behind, and its repetition is as good. But a clock that was
/// set back by more than the window does not keep it open until it has caught up.
#[must_use]
pub fn in_window(rotated_at: Timestamp, now: Timestamp, grace: Duration) -> bool {
    rotated_at.distance(now) < grace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_two_sides_and_none_where_there_is_no_grace() {
        let at = Timestamp::from_unix_millis;
        let grace = Duration::from_millis(10);
        let open: Vec<u64> = (80..=120).filter(|now| in_window(at(100), at(*now), grace)).collect();
        assert_eq!(open, (91..=109).collect::<Vec<_>>());
        assert!(!in_window(at(100), at(100), Duration::ZERO));
        assert!(in_window(at(0), Timestamp::MAX, Duration::MAX));
    }

    #[test]
    fn a_generation_never_becomes_that_of_an_imported_token() {
        assert_eq!(Generation::LAST.next(), Generation::LAST);
        assert_eq!(Generation::IMPORTED.next(), Generation::LAST);
        assert_eq!(Generation::new(u32::MAX), Generation::IMPORTED);
        assert!(Generation::LAST < Generation::IMPORTED);
        assert!(Generation::IMPORTED.get() < 1 << 30);
    }
}
