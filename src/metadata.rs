//! What a server says about itself: RFC 8414 members for the endpoints that are switched on.

use std::fmt;

use serde::Serialize;

use crate::client::AuthMethod;

/// An issuer identifier (RFC 8414 section 2): an https URL without query or fragment, compared byte for byte.
///
/// ```
/// use annul::metadata::Issuer;
///
/// assert!(Issuer::new("https://as.example").is_ok());
/// assert!(Issuer::new("http://as.example").is_err());
/// assert!(Issuer::new("http://127.0.0.1:8080").is_err());
/// assert!(Issuer::loopback("http://127.0.0.1:8080").is_ok());
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Issuer {
    url: String,
    #[serde(skip)]
    loopback: bool,
}

/// Why a URL cannot be published.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Endpoint and issuer URLs have no fragment (RFC 7009 section 2, RFC 8414 section 2).
    #[error("a URL must not have a fragment")]
    Fragment,
    /// Not https (RFC 7009 section 2: tokens travel to this URL).
    #[error("a URL must be https")]
    NotHttps,
    /// No host, a user name before it, or characters that no URL has.
    #[error("not an absolute URL")]
    NotAbsolute,
    /// An issuer has no query (RFC 8414 section 2).
    #[error("an issuer must not have a query")]
    Query,
}

impl Issuer {
    /// An issuer to publish.
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`], naming what is wrong with it.
    pub fn new(url: impl Into<String>) -> Result<Self, InvalidUrl> {
        Self::checked(url.into(), false)
    }

    /// An issuer for development, which may be `http` where the host is `localhost`, `127.0.0.1` or `[::1]`.
    /// Endpoints of such an issuer may be too.
    ///
    /// # Errors
    ///
    /// - [`InvalidUrl`], naming what is wrong with it.
    pub fn loopback(url: impl Into<String>) -> Result<Self, InvalidUrl> {
        Self::checked(url.into(), true)
    }

    /// The issuer, byte for byte as it was given.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    fn checked(url: String, loopback: bool) -> Result<Self, InvalidUrl> {
        check_url(&url, loopback)?;
        if url.contains('?') {
            return Err(InvalidUrl::Query);
        }
        Ok(Self { url, loopback })
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Authorization server metadata (RFC 8414 section 2): the members about revocation and introspection.
///
/// Merge it into the document that the server publishes at `/.well-known/oauth-authorization-server`.
///
/// ```
/// use annul::client::AuthMethod;
/// use annul::metadata::{Issuer, ServerMetadata};
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
        check_url(&url, self.issuer.loopback)?;
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

fn check_url(url: &str, loopback: bool) -> Result<(), InvalidUrl> {
    if url.contains('#') {
        return Err(InvalidUrl::Fragment);
    }
    let (rest, secure) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => return Err(InvalidUrl::NotHttps),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    // No user name either: what stands before an `@` only looks like the host.
    let plain = |byte| matches!(byte, 0x21..=0x7e);
    if authority.contains('@') || !url.bytes().all(plain) {
        return Err(InvalidUrl::NotAbsolute);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').unwrap_or_default(),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    if host.is_empty() || !(port.is_empty() || port.starts_with(':')) {
        return Err(InvalidUrl::NotAbsolute);
    }
    let local = matches!(host, "localhost" | "127.0.0.1" | "::1");
    if secure || (loopback && local) { Ok(()) } else { Err(InvalidUrl::NotHttps) }
}
