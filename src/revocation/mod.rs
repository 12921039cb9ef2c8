//! A revocation: one entry in the ledger, and the rule that says which tokens it covers.

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId};
use crate::token::{TokenId, TokenRecord};

mod reason;
mod target;

pub use reason::{Actor, Reason};
pub use target::{Target, TargetKind};

impl Target {
    /// The covering rule: whether an entry for this target, stamped `at`, ends `token`.
    ///
    /// A token, grant or session is named once and never again, so naming it is enough: a token minted
    /// by a request that was already in flight is born dead. A user or client comes back, so there the
    /// time at which the grant was authenticated decides.
    ///
    /// ```
    /// use std::time::Duration;
    /// use annul::{Grant, Target, Timestamp, TokenId, TokenKind, TokenRecord};
    ///
    /// let login = Timestamp::from_unix_seconds(1_000);
    /// let expiry = login + Duration::from_secs(600);
    /// let grant = Grant::new("g1", "web", login).subject("alice");
    /// let token = TokenRecord::new(TokenId::named("t"), TokenKind::AccessToken, grant, expiry);
    ///
    /// let password_changed = Target::Subject("alice".into());
    /// assert!(password_changed.covers(login, &token));
    /// assert!(!password_changed.covers(login - Duration::from_millis(1), &token));
    /// ```
    pub fn covers(&self, at: Timestamp, token: &TokenRecord) -> bool {
        let grant = token.grant();
        let names = match self {
            Self::Token(id) => token.id() == id,
            Self::Grant(id) => grant.id() == id,
            Self::Session(id) => grant.session_id() == Some(id),
            Self::SubjectAtClient(subject, client) => {
                grant.subject_id() == Some(subject) && grant.client_id() == client
            }
            Self::Subject(subject) => grant.subject_id() == Some(subject),
            Self::Client(client) => grant.client_id() == client,
            Self::Everything => true,
        };
        names && (self.kind().is_named_once() || grant.authenticated_at() <= at)
    }
}

/// One entry of the ledger: *everything under this target, granted at or before this instant, is dead*.
///
/// There are two ways to have one. A client's revocation can only be made out of an
/// [`OwnedToken`](crate::OwnedToken), the proof that the token was found and is this client's.
/// The host's own code uses the loudly named [`Revocation::by_operator`].
///
/// ```
/// use annul::{Reason, Revocation, Target, Timestamp};
///
/// let now = Timestamp::from_unix_seconds(1_700_000_000);
/// let revocation =
///     Revocation::by_operator(Target::Subject("alice".into()), Reason::PasswordChanged, now);
/// assert_eq!(revocation.at(), now);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    target: Target,
    at: Timestamp,
    recorded_at: Timestamp,
    reason: Reason,
    actor: Actor,
}

impl Revocation {
    /// A revocation on the server's own authority: no ownership is checked.
    ///
    /// `now` is when it is recorded, and also the cutoff unless [`with_cutoff`](Self::with_cutoff) sets another.
    pub const fn by_operator(target: Target, reason: Reason, now: Timestamp) -> Self {
        Self { target, at: now, recorded_at: now, reason, actor: Actor::Operator }
    }

    /// Sets the cutoff: the latest authentication that it ends. A signing key known to be stolen last Tuesday can be answered
    /// with last Tuesday.
    ///
    /// How long the entry is kept counts from when it is recorded, however old its cutoff; and from the cutoff where that is
    /// later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use annul::{Reason, Revocation, Target, Timestamp};
    ///
    /// let now = Timestamp::from_unix_seconds(1_700_000_000);
    /// let tuesday = now - Duration::from_secs(5 * 86_400);
    /// let stolen_key =
    ///     Revocation::by_operator(Target::Everything, Reason::KeyCompromise, now).with_cutoff(tuesday);
    /// assert_eq!((stolen_key.at(), stolen_key.recorded_at()), (tuesday, now));
    /// ```
    #[must_use]
    pub const fn with_cutoff(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// Sets when it is recorded, if that is later: a store counts the life of the entry from then.
    ///
    /// [`Authority::revoke`](crate::Authority::revoke) does this by its clock.
    #[must_use]
    pub fn recorded_by(mut self, now: Timestamp) -> Self {
        self.recorded_at = self.recorded_at.max(now);
        self
    }

    /// A client's revocation. `OwnedToken`, the proof of ownership, alone calls this; `tests/architecture` sees to it.
    pub(crate) const fn by_client(
        target: Target,
        reason: Reason,
        now: Timestamp,
        client: ClientId,
    ) -> Self {
        Self { target, at: now, recorded_at: now, reason, actor: Actor::Client(client) }
    }

    /// The token that a client revokes alone. If that token was consumed, the revocation is to be
    /// [widened](Self::widened_to) to its grant.
    #[must_use]
    pub const fn token_alone(&self) -> Option<&TokenId> {
        match (&self.target, &self.actor) {
            (Target::Token(id), Actor::Client(_)) => Some(id),
            _ => None,
        }
    }

    /// The same revocation for the whole grant of the token, for a client's revocation of one token alone; none for any other.
    ///
    /// A refresh token may be rotated between the look-up and the revocation. To revoke a consumed token means to end its
    /// grant: otherwise its successors would live. So a store writes this entry too, in the same step, where it finds the
    /// token consumed. `grant` must be the token's own.
    #[must_use]
    pub fn widened_to(&self, grant: GrantId) -> Option<Self> {
        self.token_alone().is_some().then(|| Self { target: Target::Grant(grant), ..self.clone() })
    }

    /// The end of a family one of whose consumed refresh tokens came back. For stores that implement
    /// [`TokenLedger::rotate`](crate::store::TokenLedger::rotate).
    pub const fn by_reuse(grant: GrantId, at: Timestamp) -> Self {
        Self {
            target: Target::Grant(grant),
            at,
            recorded_at: at,
            reason: Reason::RefreshTokenReuse,
            actor: Actor::Store,
        }
    }

    /// What it points at.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The cutoff.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// When it is recorded: the entry is kept for what may be in flight from then on.
    pub const fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// From when on it is kept for what may be in flight: when it is recorded, or its cutoff where that is later. What is
    /// authenticated until then is covered too.
    #[must_use]
    pub fn counts_from(&self) -> Timestamp {
        self.recorded_at.max(self.at)
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Who.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether it ends `token`; see [`Target::covers`].
    pub fn covers(&self, token: &TokenRecord) -> bool {
        self.target.covers(self.at, token)
    }
}

/// What applying a revocation changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an entry either is new or is not")]
pub enum Revoked {
    /// The ledger already said so; nothing changed.
    Already,
    /// The entry is new, or its cutoff moved forward.
    Newly,
}
