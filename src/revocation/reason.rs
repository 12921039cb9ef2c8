//! Why something was revoked, and who did it.

use std::fmt;

use crate::id::ClientId;

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
    /// The host's own code, by [`Revocation::by_operator`](crate::Revocation::by_operator).
    Operator,
    /// The store itself, on finding that a rotated-out refresh token came back.
    Store,
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
