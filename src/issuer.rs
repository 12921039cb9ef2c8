//! The issuer identifier: what a server calls itself, in metadata and as the audience of assertions.

use std::fmt;

use serde::Serialize;

/// An issuer identifier (RFC 8414 section 2): an https URL without query or fragment, compared byte for byte.
///
/// ```
/// use annul::Issuer;
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

    /// Whether its endpoints may be plain http on this machine.
    pub(crate) const fn is_loopback(&self) -> bool {
        self.loopback
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

/// Whether tokens may travel to this URL, and metadata name it.
pub(crate) fn check_url(url: &str, loopback: bool) -> Result<(), InvalidUrl> {
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
