//! The ways to authenticate a client, by their registered names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a client authenticates (`token_endpoint_auth_method`).
///
/// There is no separate registered method for the revocation endpoint: RFC 7009 section 2.1 refers to the
/// token endpoint's.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Identifier and secret in the `Authorization` header; the default of RFC 7591 section 2.
    #[default]
    ClientSecretBasic,
    /// A JWT under a MAC with the secret as key.
    ClientSecretJwt,
    /// Identifier and secret in the form.
    ClientSecretPost,
    /// A public client: its identifier alone.
    None,
    /// A JWT signed with a registered key.
    PrivateKeyJwt,
    /// A certificate that the client registered itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth,
    /// A certificate of a trusted authority (RFC 8705 section 2.1).
    TlsClientAuth,
}

impl AuthMethod {
    const ALL: [Self; 7] = [
        Self::ClientSecretBasic,
        Self::ClientSecretJwt,
        Self::ClientSecretPost,
        Self::None,
        Self::PrivateKeyJwt,
        Self::SelfSignedTlsClientAuth,
        Self::TlsClientAuth,
    ];

    /// The registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretJwt => "client_secret_jwt",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
            Self::TlsClientAuth => "tls_client_auth",
        }
    }
}

/// A set of methods.
///
/// ```
/// use annul::client::{AuthMethod, AuthMethods};
///
/// let methods = AuthMethods::of(&[AuthMethod::PrivateKeyJwt, AuthMethod::TlsClientAuth]);
/// assert!(methods.contains(AuthMethod::PrivateKeyJwt));
/// assert!(!methods.contains(AuthMethod::None));
/// ```
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct AuthMethods(u8);

impl AuthMethods {
    /// Every method.
    pub const ALL: Self = Self::of(&AuthMethod::ALL);

    /// These methods.
    pub const fn of(methods: &[AuthMethod]) -> Self {
        let mut set = Self(0);
        let mut rest = methods;
        while let [first, others @ ..] = rest {
            set = set.with(*first);
            rest = others;
        }
        set
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, method: AuthMethod) -> Self {
        Self(self.0 | 1 << method as u8)
    }

    /// These but one.
    #[must_use]
    pub const fn without(self, method: AuthMethod) -> Self {
        Self(self.0 & !(1 << method as u8))
    }

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the method is one of them.
    pub const fn contains(self, method: AuthMethod) -> bool {
        self.0 & 1 << method as u8 != 0
    }

    /// Whether assertions are a way in, so that their algorithms have to be published (RFC 8414 section 2).
    pub const fn has_assertions(self) -> bool {
        self.contains(AuthMethod::ClientSecretJwt) || self.contains(AuthMethod::PrivateKeyJwt)
    }

    /// The methods, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = AuthMethod> {
        AuthMethod::ALL.into_iter().filter(move |method| self.contains(*method))
    }
}

impl fmt::Debug for AuthMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
