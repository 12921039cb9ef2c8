//! What a server says about itself: RFC 8414 members for the endpoints that are switched on.

use serde::Serialize;

use crate::auth_method::{AuthMethod, AuthMethods};
use crate::issuer::{InvalidUrl, Issuer, check_url};
use crate::jose::{Algorithm, Algorithms};

/// The ways to authenticate at an endpoint, and the algorithms that assertions may be signed with.
///
/// A document that lists `private_key_jwt` or `client_secret_jwt` must list their algorithms (RFC 8414 section 2), so the
/// two go together: asymmetric algorithms with the one, MACs with the other, and none where neither is offered.
///
/// ```
/// use annul::Policy;
/// use annul::client::RegisteredClients;
/// use annul::metadata::Offer;
///
/// let (clients, policy) = (RegisteredClients::default(), Policy::default());
/// let offer = Offer::new(clients.auth_methods(&policy), policy.assertions.algorithms);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    methods: AuthMethods,
    algorithms: Algorithms,
}

impl Offer {
    /// These methods, and for assertions these algorithms.
    pub const fn new(methods: AuthMethods, algorithms: Algorithms) -> Self {
        Self { methods, algorithms }
    }

    fn method_names(self) -> Vec<&'static str> {
        self.methods.iter().map(AuthMethod::as_str).collect()
    }

    fn algorithm_names(self) -> Vec<&'static str> {
        let offered = |algorithm: &Algorithm| {
            self.methods.contains(match algorithm.is_mac() {
                true => AuthMethod::ClientSecretJwt,
                false => AuthMethod::PrivateKeyJwt,
            })
        };
        // Clients look for the name that they sign with, and RFC 9864 gave this one a second.
        let names = |algorithm: Algorithm| {
            let second = (algorithm == Algorithm::EdDsa).then_some("Ed25519");
            [Some(algorithm.as_str()), second].into_iter().flatten()
        };
        self.algorithms.iter().filter(offered).flat_map(names).collect()
    }
}

impl From<AuthMethods> for Offer {
    /// With every algorithm that this crate verifies.
    fn from(methods: AuthMethods) -> Self {
        Self::new(methods, Algorithms::ALL)
    }
}

impl From<&[AuthMethod]> for Offer {
    /// With every algorithm that this crate verifies.
    fn from(methods: &[AuthMethod]) -> Self {
        AuthMethods::of(methods).into()
    }
}

impl<const LEN: usize> From<&[AuthMethod; LEN]> for Offer {
    /// With every algorithm that this crate verifies.
    fn from(methods: &[AuthMethod; LEN]) -> Self {
        AuthMethods::of(methods).into()
    }
}

/// Authorization server metadata (RFC 8414 section 2): the members about revocation and introspection.
///
/// Merge it into the document that the server publishes at `/.well-known/oauth-authorization-server`.
///
/// ```
/// use annul::Issuer;
/// use annul::client::AuthMethod;
/// use annul::metadata::ServerMetadata;
///
/// let issuer = Issuer::new("https://as.example").unwrap();
/// let metadata = ServerMetadata::new(issuer)
///     .revocation("https://as.example/revoke", &[AuthMethod::ClientSecretBasic, AuthMethod::None])
///     .unwrap();
/// assert_eq!(
///     metadata.to_json(),
///     r#"{"issuer":"https://as.example","revocation_endpoint":"https://as.example/revoke","#.to_owned()
///         + r#""revocation_endpoint_auth_methods_supported":["client_secret_basic","none"]}"#
/// );
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct ServerMetadata {
    issuer: Issuer,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Aliases::are_none")]
    mtls_endpoint_aliases: Aliases,
}

/// The endpoints as clients with a certificate call them (RFC 8705 section 5).
#[derive(Clone, Debug, Serialize)]
struct Aliases {
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
}

impl Aliases {
    const fn are_none(&self) -> bool {
        self.revocation_endpoint.is_none() && self.introspection_endpoint.is_none()
    }
}

impl ServerMetadata {
    /// Metadata with an issuer and no endpoints.
    pub const fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            revocation_endpoint: None,
            revocation_endpoint_auth_methods_supported: Vec::new(),
            revocation_endpoint_auth_signing_alg_values_supported: Vec::new(),
            introspection_endpoint: None,
            introspection_endpoint_auth_methods_supported: Vec::new(),
            introspection_endpoint_auth_signing_alg_values_supported: Vec::new(),
            mtls_endpoint_aliases: Aliases {
                revocation_endpoint: None,
                introspection_endpoint: None,
            },
        }
    }

    /// Publishes the revocation endpoint. The methods are always listed: a document that leaves them out says
    /// `client_secret_basic` only, and public clients then believe that they cannot revoke.
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`]: tokens travel to this URL, so it is https, unless the issuer is a loopback one. A query
    ///   is allowed, a fragment is not.
    pub fn revocation(
        mut self,
        endpoint: impl Into<String>,
        offer: impl Into<Offer>,
    ) -> Result<Self, InvalidUrl> {
        let offer = offer.into();
        self.revocation_endpoint = Some(self.endpoint(endpoint.into())?);
        self.revocation_endpoint_auth_methods_supported = offer.method_names();
        self.revocation_endpoint_auth_signing_alg_values_supported = offer.algorithm_names();
        Ok(self)
    }

    /// Publishes the introspection endpoint. [`AuthMethod::None`] is left out: nobody introspects
    /// unauthenticated.
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`]: as for [`revocation`](Self::revocation).
    pub fn introspection(
        mut self,
        endpoint: impl Into<String>,
        offer: impl Into<Offer>,
    ) -> Result<Self, InvalidUrl> {
        let Offer { methods, algorithms } = offer.into();
        let offer = Offer::new(methods.without(AuthMethod::None), algorithms);
        self.introspection_endpoint = Some(self.endpoint(endpoint.into())?);
        self.introspection_endpoint_auth_methods_supported = offer.method_names();
        self.introspection_endpoint_auth_signing_alg_values_supported = offer.algorithm_names();
        Ok(self)
    }

    /// Publishes another URL of the revocation endpoint, for clients that authenticate by certificate (RFC 8705
    /// section 5). For servers that ask for certificates on a host or port of its own, so that browsers
    /// elsewhere are not asked.
    ///
    /// ```
    /// use annul::client::AuthMethod;
    /// use annul::Issuer;
    /// use annul::metadata::ServerMetadata;
    ///
    /// # fn main() -> Result<(), annul::InvalidUrl> {
    /// let methods = [AuthMethod::TlsClientAuth, AuthMethod::None];
    /// let metadata = ServerMetadata::new(Issuer::new("https://as.example")?)
    ///     .revocation("https://as.example/revoke", &methods)?
    ///     .mtls_revocation("https://mtls.as.example/revoke")?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`]: as for [`revocation`](Self::revocation).
    pub fn mtls_revocation(mut self, endpoint: impl Into<String>) -> Result<Self, InvalidUrl> {
        self.mtls_endpoint_aliases.revocation_endpoint = Some(self.endpoint(endpoint.into())?);
        Ok(self)
    }

    /// Publishes another URL of the introspection endpoint, for clients that authenticate by certificate.
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`]: as for [`revocation`](Self::revocation).
    pub fn mtls_introspection(mut self, endpoint: impl Into<String>) -> Result<Self, InvalidUrl> {
        self.mtls_endpoint_aliases.introspection_endpoint = Some(self.endpoint(endpoint.into())?);
        Ok(self)
    }

    /// The document, an object without line breaks. A server that publishes more members reads it back and adds them.
    pub fn to_json(&self) -> String {
        // Strings cannot fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn endpoint(&self, url: String) -> Result<String, InvalidUrl> {
        check_url(&url, self.issuer.is_loopback())?;
        Ok(url)
    }
}
