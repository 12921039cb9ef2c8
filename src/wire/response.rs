//! A response, for the host to send.

use std::borrow::Cow;
use std::fmt;

/// One HTTP response: a status, headers and a body.
///
/// ```
/// # use annul::{Authority, MemoryStore, Request};
/// # use annul::client::RegisteredClients;
/// # async fn demo() {
/// let authority = Authority::new(MemoryStore::new(), RegisteredClients::default());
/// let response = annul::handle_revoke(&authority, &Request::new("GET", b"")).await;
/// assert_eq!(response.status(), 405);
/// assert_eq!(response.header("allow"), Some("POST"));
/// # }
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Response {
    status: u16,
    fixed: [&'static [(&'static str, &'static str)]; 2],
    own: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Response {
    /// An empty response with the headers that every answer has.
    pub(crate) const fn empty(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { status, fixed: [headers, &[]], own: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    pub(crate) const fn with_fixed(
        mut self,
        headers: &'static [(&'static str, &'static str)],
    ) -> Self {
        let [first, _] = self.fixed;
        self.fixed = [first, headers];
        self
    }

    pub(crate) fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.own.push((name, value.into()));
        self
    }

    pub(crate) fn with_json(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self.with_header("content-type", "application/json")
    }

    /// The status code.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Every header; names are in lower case, but for those that a policy spells otherwise. Where one stands twice, send
    /// it twice.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fixed = self.fixed.iter().flat_map(|headers| headers.iter().copied());
        let own = self.own.iter().map(|(name, value)| (*name, value.as_ref()));
        fixed.chain(own)
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The headers that were made for this response, and the body, without a copy.
    #[cfg(feature = "http")]
    pub(crate) fn into_body(self) -> Cow<'static, [u8]> {
        self.body
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values and bodies can name tokens and users (profile `wso2`, introspection).
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers().map(|(name, _)| name).collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
