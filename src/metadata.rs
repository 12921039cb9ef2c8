//! What a server says about itself: RFC 8414 members for the endpoints that are switched on.

use serde::Serialize;

use crate::client::AuthMethod;
use crate::issuer::InvalidUrl;
use crate::issuer::Issuer;
use crate::issuer::check_url;

/// Authorization server metadata (RFC 8414 section 2): the members about revocation and introspection.
///
/// Merge it into the document that the server publishes at `/.well-known/oauth-authorization-server`.
///
/// ```
/// use annul::client::AuthMethod;
/// use annul::Issuer;
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
    #[serde(skip_serializing_if = "Option::is_none")]
    introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
}

impl ServerMetadata {
    /// Metadata with an issuer and no endpoints.
    pub const fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            revocation_endpoint: None,
            revocation_endpoint_auth_methods_supported: Vec::new(),
            introspection_endpoint: None,
            introspection_endpoint_auth_methods_supported: Vec::new(),
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
        methods: &[AuthMethod],
    ) -> Result<Self, InvalidUrl> {
        self.revocation_endpoint = Some(self.endpoint(endpoint.into())?);
        self.revocation_endpoint_auth_methods_supported = names(methods);
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
        methods: &[AuthMethod],
    ) -> Result<Self, InvalidUrl> {
        self.introspection_endpoint = Some(self.endpoint(endpoint.into())?);
        self.introspection_endpoint_auth_methods_supported = names(methods);
        self.introspection_endpoint_auth_methods_supported.retain(|method| *method != "none");
        Ok(self)
    }

    /// The document.
    pub fn to_json(&self) -> String {
        // Strings cannot fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn endpoint(&self, url: String) -> Result<String, InvalidUrl> {
        check_url(&url, self.issuer.is_loopback())?;
        Ok(url)
    }
}

fn names(methods: &[AuthMethod]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::with_capacity(methods.len());
    for name in methods.iter().map(|method| method.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
