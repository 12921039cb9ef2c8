//! The other direction: the request bodies that a client sends.
//!
//! For a host's own tests, and for a server that passes a revocation on to another one.

use std::fmt;

use serde::Serialize;

/// The form of a revocation or introspection request (RFC 7009 section 2.1, RFC 7662 section 2.1).
///
/// ```
/// use annul::wire::send::TokenForm;
///
/// let body = TokenForm::new("a+b").hint("refresh_token").client("web", Some("s3cr&t")).to_body();
/// assert_eq!(body, "token=a%2Bb&token_type_hint=refresh_token&client_id=web&client_secret=s3cr%26t");
/// ```
#[derive(Clone, Copy, Serialize)]
pub struct TokenForm<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type_hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

impl<'a> TokenForm<'a> {
    /// A form that names a token.
    pub const fn new(token: &'a str) -> Self {
        Self { token, token_type_hint: None, client_id: None, client_secret: None }
    }

    /// Says where to look first.
    #[must_use]
    pub const fn hint(mut self, hint: &'a str) -> Self {
        self.token_type_hint = Some(hint);
        self
    }

    /// Puts the client into the form: a secret for `client_secret_post`, none for a public client. Clients
    /// of `client_secret_basic` send [`basic::header_value`](crate::wire::basic::header_value) instead.
    #[must_use]
    pub const fn client(mut self, client_id: &'a str, client_secret: Option<&'a str>) -> Self {
        self.client_id = Some(client_id);
        self.client_secret = client_secret;
        self
    }

    /// The body to send as `application/x-www-form-urlencoded`.
    pub fn to_body(&self) -> String {
        // A struct of strings cannot fail to serialize.
        serde_urlencoded::to_string(self).unwrap_or_default()
    }
}

impl fmt::Debug for TokenForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenForm").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// The form of a logout with a refresh token.
///
/// ```
/// use annul::wire::send::LogoutForm;
///
/// let body = LogoutForm::new("rt-1", "web", Some("web-secret")).to_body();
/// assert_eq!(body, "refresh_token=rt-1&client_id=web&client_secret=web-secret");
/// ```
#[derive(Clone, Copy, Serialize)]
pub struct LogoutForm<'a> {
    refresh_token: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

impl<'a> LogoutForm<'a> {
    /// A form that logs out the session of `refresh_token`.
    pub const fn new(
        refresh_token: &'a str,
        client_id: &'a str,
        client_secret: Option<&'a str>,
    ) -> Self {
        Self { refresh_token, client_id, client_secret }
    }

    /// The body to send as `application/x-www-form-urlencoded`.
    pub fn to_body(&self) -> String {
        // A struct of strings cannot fail to serialize.
        serde_urlencoded::to_string(self).unwrap_or_default()
    }
}

impl fmt::Debug for LogoutForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogoutForm").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
