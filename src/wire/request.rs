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
    all: Option<&'a dyn HeaderSource>,
    certificate: Option<PresentedCertificate<'a>>,
    peer: Option<IpAddr>,
    body: &'a [u8],
    oversized: bool,
}

/// A header that may stand once.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it stands once, or it does not")]
pub enum Header<'a> {
    /// It is not there.
    #[default]
    Absent,
    /// Its value.
    Once(&'a [u8]),
    /// It stands more than once.
    Repeated,
}

/// All headers of a request, as the host has them.
///
/// Implemented for lists of names and values, and with feature `http` for `http::HeaderMap`.
pub trait HeaderSource: Sync {
    /// Hands over every value of the header with this name, given in lower case, in the order they stand.
    fn each<'s>(&'s self, name: &str, found: &mut dyn FnMut(&'s [u8]));
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync> HeaderSource for Vec<(N, V)> {
    fn each<'s>(&'s self, name: &str, found: &mut dyn FnMut(&'s [u8])) {
        each(self, name, found);
    }
}

impl<N: AsRef<str> + Sync, V: AsRef<[u8]> + Sync, const LEN: usize> HeaderSource for [(N, V); LEN] {
    fn each<'s>(&'s self, name: &str, found: &mut dyn FnMut(&'s [u8])) {
        each(self, name, found);
    }
}

fn each<'s, N: AsRef<str>, V: AsRef<[u8]>>(
    headers: &'s [(N, V)],
    name: &str,
    found: &mut dyn FnMut(&'s [u8]),
) {
    let named = headers.iter().filter(|(given, _)| given.as_ref().eq_ignore_ascii_case(name));
    named.for_each(|(_, value)| found(value.as_ref()));
}

/// The client certificate of the TLS connection, as the host's TLS stack left it.
///
/// In either case the handshake proved that the client holds the key. What differs is whether somebody vouches for the
/// subject.
#[derive(Clone, Copy)]
pub struct PresentedCertificate<'a> {
    der: &'a [u8],
    verified: bool,
}

impl<'a> PresentedCertificate<'a> {
    /// A certificate, in DER, whose chain the TLS stack validated up to an authority that the server trusts for client
    /// certificates. `tls_client_auth` (RFC 8705 section 2.1) wants this.
    pub const fn verified(der: &'a [u8]) -> Self {
        Self { der, verified: true }
    }

    /// A certificate, in DER, that anybody could have made. It is enough for `self_signed_tls_client_auth` (RFC 8705
    /// section 2.2), where the client registered this very certificate.
    pub const fn unverified(der: &'a [u8]) -> Self {
        Self { der, verified: false }
    }

    /// Its bytes.
    pub const fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Whether the TLS stack validated its chain.
    pub const fn is_verified(&self) -> bool {
        self.verified
    }
}

impl fmt::Debug for PresentedCertificate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedCertificate")
            .field("bytes", &self.der.len())
            .field("verified", &self.verified)
            .finish()
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What clients write into headers can be a secret.
        f.write_str(match self {
            Self::Absent => "Absent",
            Self::Once(_) => "Once([redacted])",
            Self::Repeated => "Repeated",
        })
    }
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
    pub fn text(&self) -> Option<&'a str> {
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
    /// are not read are dropped here, and a second `Authorization` must be seen to be refused. An authenticator that
    /// reads other headers needs [`all_headers`](Self::all_headers) too.
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

    /// The client certificate of the TLS connection.
    #[must_use]
    pub const fn certificate(mut self, certificate: PresentedCertificate<'a>) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Lets the authenticator look up every header of the request, for methods that read others than `Authorization`,
    /// such as attestation-based client authentication. The headers that this crate reads are given by
    /// [`header`](Self::header) all the same. `Request::from_http` does both.
    ///
    /// ```
    /// use annul::Request;
    ///
    /// let headers = vec![
    ///     ("content-type", "application/x-www-form-urlencoded"),
    ///     ("oauth-client-attestation", "eyJ0eXAi..."),
    /// ];
    /// let request = Request::post(b"token=rt-1&client_id=app").all_headers(&headers);
    /// let request =
    ///     headers.iter().fold(request, |request, (name, value)| request.header(name, value.as_bytes()));
    /// ```
    #[must_use]
    pub const fn all_headers(mut self, headers: &'a dyn HeaderSource) -> Self {
        self.all = Some(headers);
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

    /// The client certificate.
    pub const fn client_certificate(&self) -> Option<PresentedCertificate<'a>> {
        self.certificate
    }

    /// The header of this name, in lower case, where the host lets [all of them](Self::all_headers) be seen.
    pub fn other_header(&self, name: &str) -> Header<'a> {
        let mut header = Header::Absent;
        if let Some(all) = self.all {
            all.each(name, &mut |value| header.add(value));
        }
        header
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
