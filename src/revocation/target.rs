//! What a revocation points at.

use std::fmt;

use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::token::TokenId;

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
}

/// The seven things a revocation can point at, without saying which one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TargetKind {
    /// One token.
    Token,
    /// One authorization and everything issued from it.
    Grant,
    /// One browser session.
    Session,
    /// One user's grants to one client.
    SubjectAtClient,
    /// Everything one user granted.
    Subject,
    /// Everything one client holds.
    Client,
    /// Every token of the namespace.
    Everything,
}

impl TargetKind {
    /// All of them, narrowest first: the order in which a record names the entry that covers it.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::Grant,
        Self::Session,
        Self::SubjectAtClient,
        Self::Subject,
        Self::Client,
        Self::Everything,
    ];

    /// Whether targets of this kind are named once and never again, so that naming one is enough to end it.
    ///
    /// A user or a client comes back: there the instant of the authentication decides.
    #[must_use]
    pub const fn is_named_once(self) -> bool {
        match self {
            Self::Token | Self::Grant | Self::Session => true,
            Self::SubjectAtClient | Self::Subject | Self::Client | Self::Everything => false,
        }
    }
}

// A kind that is added, and not to `ALL`, does not compile. The widest is the last.
const _: () = assert!(TargetKind::ALL.len() == TargetKind::Everything as usize + 1);

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
