//! A revocation: one entry in a ledger, and the rule that says which tokens it covers.

use std::fmt;

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::token::{TargetKind, TokenId, TokenRecord};

/// What a revocation points at: everything under it, granted at or before the revocation, is dead.
///
/// ```
/// use annul::{Target, TargetKind};
///
/// let target = Target::Session("s1".into());
/// assert_eq!(target.kind(), TargetKind::Session);
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Target {
    /// This token and no other. Written when an access token is revoked without cascade.
    Token(TokenId),
    /// Every token of one grant. Written when a refresh token is revoked, when an access token is revoked
    /// with cascade, and when a rotated-out refresh token comes back.
    Grant(GrantId),
    /// Every token bound to one browser session. Written by logout. Offline grants are not bound.
    Session(SessionId),
    /// What one user granted one client. Written when the user removes an application.
    SubjectAtClient(Subject, ClientId),
    /// What one user granted anybody. Written on a password change or when an account is locked.
    Subject(Subject),
    /// What one client holds. Written when a client is disabled or its secret has leaked.
    Client(ClientId),
    /// Every token there is. Written when a signing key is compromised.
    Everything,
}

impl Target {
    /// Which of the seven it is.
    pub const fn kind(&self) -> TargetKind {
        match self {
            Self::Token(_) => TargetKind::Token,
            Self::Grant(_) => TargetKind::Grant,
            Self::Session(_) => TargetKind::Session,
            Self::SubjectAtClient(..) => TargetKind::SubjectAtClient,
            Self::Subject(_) => TargetKind::Subject,
            Self::Client(_) => TargetKind::Client,
            Self::Everything => TargetKind::Everything,
        }
    }

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
        let granted_by_then = grant.authenticated_at() <= at;
        match self {
            Self::Token(id) => token.id() == id,
            Self::Grant(id) => grant.id() == id,
            Self::Session(id) => grant.session_id() == Some(id),
            Self::SubjectAtClient(subject, client) => {
                granted_by_then
                    && grant.subject_id() == Some(subject)
                    && grant.client_id() == client
            }
            Self::Subject(subject) => granted_by_then && grant.subject_id() == Some(subject),
            Self::Client(client) => granted_by_then && grant.client_id() == client,
            Self::Everything => granted_by_then,
        }
    }
}

/// Why something was revoked: for audit, and for what resource servers and clients are told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The account was locked, disabled or deleted.
    AccountLocked,
    /// An administrator decided so, for a reason of their own.
    Administrative,
    /// The client was disabled or deleted.
    ClientDisabled,
    /// The client asked, at the revocation endpoint (RFC 7009).
    ClientRequest,
    /// The client's secret or key has leaked.
    CredentialLeaked,
    /// A key that signs tokens was compromised.
    KeyCompromise,
    /// The user logged out.
    Logout,
    /// The user's password, or another credential, was changed.
    PasswordChanged,
    /// A refresh token that had been rotated out came back (RFC 9700 section 4.14).
    RefreshTokenReuse,
    /// The user took back what they had granted to an application.
    UserRequest,
}

impl Reason {
    /// Its name in logs, metrics and databases, which no version changes.
    ///
    /// ```
    /// use annul::Reason;
    ///
    /// assert_eq!(Reason::PasswordChanged.as_str(), "password_changed");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountLocked => "account_locked",
            Self::Administrative => "administrative",
            Self::ClientDisabled => "client_disabled",
            Self::ClientRequest => "client_request",
            Self::CredentialLeaked => "credential_leaked",
            Self::KeyCompromise => "key_compromise",
            Self::Logout => "logout",
            Self::PasswordChanged => "password_changed",
            Self::RefreshTokenReuse => "refresh_token_reuse",
            Self::UserRequest => "user_request",
        }
    }

    /// The reason of this name.
    ///
    /// A store that reads a name which a later version has written takes [`Reason::Administrative`]: why a token is dead
    /// matters less than that it is.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    const ALL: [Self; 10] = [
        Self::AccountLocked,
        Self::Administrative,
        Self::ClientDisabled,
        Self::ClientRequest,
        Self::CredentialLeaked,
        Self::KeyCompromise,
        Self::Logout,
        Self::PasswordChanged,
        Self::RefreshTokenReuse,
        Self::UserRequest,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who revoked.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Actor {
    /// A client that proved to own the token.
    Client(ClientId),
    /// The host's own code, by [`Revocation::by_operator`].
    Operator,
    /// The store itself, on finding that a rotated-out refresh token came back.
    Store,
}

/// One entry of the ledger: *everything under this target, granted at or before this instant, is dead*.
///
/// There are two ways to have one. A client's revocation can only be made out of an
/// [`OwnedToken`](crate::store::OwnedToken), the proof that the token was found and is this client's.
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
    reason: Reason,
    actor: Actor,
}

impl Revocation {
    /// A revocation on the server's own authority: nobody's ownership is checked.
    ///
    /// `at` is the cutoff. It is usually now; a signing key known to be stolen last Tuesday can be
    /// answered with last Tuesday.
    pub const fn by_operator(target: Target, reason: Reason, at: Timestamp) -> Self {
        Self { target, at, reason, actor: Actor::Operator }
    }

    /// Only `OwnedToken` calls this.
    pub(crate) const fn by_client(
        target: Target,
        reason: Reason,
        at: Timestamp,
        client: ClientId,
    ) -> Self {
        Self { target, at, reason, actor: Actor::Client(client) }
    }

    /// The end of a family one of whose consumed refresh tokens came back. For stores that implement
    /// [`TokenLedger::rotate`](crate::store::TokenLedger::rotate).
    pub const fn by_reuse(grant: GrantId, at: Timestamp) -> Self {
        Self {
            target: Target::Grant(grant),
            at,
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

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "token",
            Self::Grant => "grant",
            Self::Session => "session",
            Self::SubjectAtClient => "subject at client",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Everything => "everything",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::named("logout "), None);
    }
}
