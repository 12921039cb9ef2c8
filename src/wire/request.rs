//! A request, as the host hands it over.

use std::fmt;
use std::net::IpAddr;

/// One HTTP request: the parts of it that this crate reads, borrowed.
///
/// Hosts that use the `http` crate call `Request::from_http` (feature `http`); others name the parts.
///
/// ```
/// use annul::Request;
///
/// let request = Request::post(b"token=45ghiukldjahdnhzdauz")
///     .header("Content-Type", b"application/x-www-form-urlencoded")
///     .header("Authorization", b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
/// assert!(!format!("{request:?}").contains("45ghiukldjahdnhzdauz"));
/// ```
///
/// # Security
///
/// The client certificate and the peer's address are inputs of their own. No header is ever taken for
/// either: what a proxy forwards is the host's to trust.
#[derive(Clone, Default)]
pub struct Request<'a> {
    method: &'a str,
    query: Option<&'a str>,
    content_type: Header<'a>,
    authorization: Header<'a>,
    origin: Header<'a>,
    requested_method: Header<'a>,
    certificate: Option<&'a [u8]>,
    peer: Option<IpAddr>,
    body: &'a [u8],
    oversized: bool,
}

/// A header that may stand once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Header<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Repeated,
}

impl<'a> Header<'a> {
    #[inline]
    fn add(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value, as text, if the header stands just once.
    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Once(value) => std::str::from_utf8(value).ok(),
            Self::Absent | Self::Repeated => None,
        }
    }
}

impl<'a> Request<'a> {
    /// A request with this method and body, and no headers yet.
    #[inline]
    pub fn new(method: &'a str, body: &'a [u8]) -> Self {
        Self { method, body, ..Self::default() }
    }

    /// A POST with this body, and no headers yet.
    #[inline]
    pub fn post(body: &'a [u8]) -> Self {
        Self::new("POST", body)
    }

    /// Adds a header, in any case. Call it for every header of the request, repeated ones too: those that
    /// are not read are dropped here, and a second `Authorization` must be seen to be refused.
    #[must_use]
    // So that a name which is known when the host is compiled costs nothing when it runs.
    #[inline(always)]
    pub fn header(mut self, name: &str, value: &'a [u8]) -> Self {
        let slot = match name.len() {
            6 if name.eq_ignore_ascii_case("origin") => &mut self.origin,
            12 if name.eq_ignore_ascii_case("content-type") => &mut self.content_type,
            13 if name.eq_ignore_ascii_case("authorization") => &mut self.authorization,
            29 if name.eq_ignore_ascii_case("access-control-request-method") => {
                &mut self.requested_method
            }
            _ => return self,
        };
        slot.add(value);
        self
    }

    /// The query string, without the question mark. Its parameters are never read; some profiles refuse a
    /// request that has one.
    #[must_use]
    pub fn query(mut self, query: &'a str) -> Self {
        self.query = Some(query).filter(|query| !query.is_empty());
        self
    }

    /// The client certificate of the TLS connection, in DER, after the host's TLS stack has accepted it.
    #[must_use]
    pub const fn certificate(mut self, der: &'a [u8]) -> Self {
        self.certificate = Some(der);
        self
    }

    /// The caller's address, for throttling.
    #[must_use]
    pub const fn peer(mut self, peer: IpAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Says that the host stopped reading the body, because it was longer than
    /// [`Limits::body_bytes`](crate::policy::Limits::body_bytes) or because it broke off. Answered 413.
    #[must_use]
    pub const fn oversized(mut self) -> Self {
        self.oversized = true;
        self
    }

    /// The method, as it stands.
    pub const fn method(&self) -> &'a str {
        self.method
    }

    /// Whether the URL has a query string.
    pub const fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// The body, as it stands.
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Whether the host stopped reading the body.
    pub const fn is_oversized(&self) -> bool {
        self.oversized
    }

    /// The client certificate, in DER.
    pub const fn client_certificate(&self) -> Option<&'a [u8]> {
        self.certificate
    }

    /// The caller's address.
    pub const fn peer_address(&self) -> Option<IpAddr> {
        self.peer
    }

    /// The `Origin` header, if a browser sent one.
    pub fn origin(&self) -> Option<&'a str> {
        self.origin.text()
    }

    /// Whether it is a CORS preflight: `OPTIONS` with `Access-Control-Request-Method`.
    pub fn is_preflight(&self) -> bool {
        self.method == "OPTIONS" && self.requested_method != Header::Absent
    }

    /// Whether the caller tried to authenticate by header; decides the status of a failure.
    pub(crate) fn has_authorization(&self) -> bool {
        self.authorization != Header::Absent
    }

    pub(crate) const fn content_type(&self) -> Header<'a> {
        self.content_type
    }

    pub(crate) const fn authorization(&self) -> Header<'a> {
        self.authorization
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing that a client wrote: query, headers and body can all hold secrets.
        f.debug_struct("Request")
            .field("peer", &self.peer)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
