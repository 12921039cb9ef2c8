//! Every way a request can be refused, and the one table that says how that is answered.

use std::time::Duration;

use serde::Serialize;

use crate::policy::{BodyAuthenticationFailure, MediaTypeMismatch, Policy, Wording};
use crate::wire::response::Response;

/// Why an endpoint refused a request.
///
/// Nothing in it comes from the request, so nothing in an answer does either.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The caller did not prove to be a registered client.
    #[error("client authentication failed")]
    InvalidClient {
        /// Whether it tried with the `Authorization` header.
        header: bool,
    },
    /// The presented token cannot be used for this.
    #[error("the token cannot be used for this")]
    InvalidGrant(TokenFlaw),
    /// The request is malformed.
    #[error("malformed request")]
    InvalidRequest(Flaw),
    /// The body is not a form.
    #[error("the body is not a form")]
    MediaType,
    /// The method is not POST.
    #[error("the method is not POST")]
    MethodNotAllowed,
    /// The caller did not prove to be a registered client, and the method it used has its own answer to that.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Our side is broken in a way that a retry will not mend.
    #[error("internal error")]
    ServerError,
    /// The caller has to slow down.
    #[error("too many requests")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// The body is longer than the limit.
    #[error("the body is too large")]
    TooLarge,
    /// The store did not answer; whether the token still lives is not known.
    #[error("temporarily unavailable")]
    Unavailable {
        /// When to try again, if the store knows.
        retry_after: Option<Duration>,
    },
    /// The token is of a kind that cannot be revoked (RFC 7009 section 2.2.1).
    #[error("unsupported token type")]
    UnsupportedTokenType,
}

/// The answer of an authentication method that defines error codes and headers of its own.
///
/// ```
/// use annul::client::ClientAuthError;
/// use annul::wire::error::Refusal;
///
/// let refusal = Refusal::new("use_attestation_challenge", "a fresh challenge is required")
///     .header("oauth-client-attestation-challenge", "s3cUr3cH4ll3ng3".to_owned());
/// let error = ClientAuthError::from(refusal);
/// ```
///
/// # Security
///
/// Say the same whether or not the client exists. Code and description are constants, so that nothing from a request
/// ends up in them; a header's value is the method's to make.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("client authentication failed: {code}")]
pub struct Refusal {
    code: &'static str,
    description: &'static str,
    unauthorized: bool,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A refusal with status 400 and this error code and description, both of the characters that RFC 6749 section 5.2
    /// allows.
    ///
    /// # Panics
    ///
    /// When they hold other characters, a quotation mark or a backslash among them; a constant one does not compile.
    pub const fn new(code: &'static str, description: &'static str) -> Self {
        assert!(is_plain(code) && is_plain(description), "characters that no error may have");
        Self { code, description, unauthorized: false, headers: Vec::new() }
    }

    /// Answers 401 instead, with a challenge (RFC 9110 section 15.5.2): the `WWW-Authenticate` header given here, or else
    /// the one for `Basic`.
    #[must_use]
    pub const fn unauthorized(mut self) -> Self {
        self.unauthorized = true;
        self
    }

    /// Adds a header. A value with control characters is left out: it must never start another header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        if value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
            self.headers.push((name, value));
        }
        self
    }
}

/// RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E.
const fn is_plain(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let [byte, others @ ..] = rest {
        if !matches!(*byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e) {
            return false;
        }
        rest = others;
    }
    true
}

/// What is malformed about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// The body is in a character encoding other than UTF-8.
    Charset,
    /// The client identifiers in header and body differ.
    ClientIdMismatch,
    /// `refresh_token` is missing.
    MissingRefreshToken,
    /// `token` is missing.
    MissingToken,
    /// There is a query string.
    Query,
    /// A parameter, or the `Authorization` header, stands more than once.
    Repeated,
    /// More parameters than the limit.
    TooManyParameters,
    /// More than one way to authenticate was used (RFC 6749 section 2.3).
    TwoMechanisms,
    /// A percent escape or a character that cannot be decoded.
    Undecodable,
    /// A name or value is longer than the limit.
    ValueTooLong,
}

/// Why a presented token cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenFlaw {
    /// A refresh token that is another client's, at logout.
    ForeignRefreshToken,
    /// A token that is another client's, at revocation.
    ForeignToken,
    /// Not a refresh token that we issued.
    NotOurRefreshToken,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it is either theirs or ours")]
pub enum Fault {
    /// The caller's: a 4xx.
    Caller,
    /// Ours: a 5xx.
    Server,
}

/// The body of an error (RFC 6749 section 5.2).
#[derive(Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: &'static str,
    pub(crate) error_description: &'static str,
}

impl EndpointError {
    /// Whose fault it is: the caller's, or ours.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::InvalidClient { .. }
            | Self::InvalidGrant(_)
            | Self::InvalidRequest(_)
            | Self::MediaType
            | Self::MethodNotAllowed
            | Self::Refused(_)
            | Self::Throttled { .. }
            | Self::TooLarge
            | Self::UnsupportedTokenType => Fault::Caller,
            Self::ServerError | Self::Unavailable { .. } => Fault::Server,
        }
    }

    /// The HTTP status.
    pub const fn status(&self, policy: &Policy) -> u16 {
        match self {
            // RFC 6749 s5.2: "If the client attempted to authenticate via the "Authorization" request
            // header field, the authorization server MUST respond with an HTTP 401".
            Self::InvalidClient { header: true } => 401,
            Self::InvalidClient { header: false } => match policy.body_authentication_failure {
                BodyAuthenticationFailure::BadRequest400 => 400,
                BodyAuthenticationFailure::Unauthorized401 => 401,
            },
            Self::InvalidGrant(_) | Self::InvalidRequest(_) | Self::UnsupportedTokenType => 400,
            Self::MediaType => match policy.media_type {
                MediaTypeMismatch::BadRequest400 => 400,
                MediaTypeMismatch::UnsupportedMediaType415 => 415,
            },
            Self::MethodNotAllowed => 405,
            Self::Refused(refusal) if refusal.unauthorized => 401,
            Self::Refused(_) => 400,
            Self::ServerError => 500,
            Self::Throttled { .. } => 429,
            Self::TooLarge => 413,
            Self::Unavailable { .. } => 503,
        }
    }

    /// The registered error code.
    pub const fn code(&self, wording: Wording) -> &'static str {
        match (self, wording) {
            (Self::InvalidGrant(TokenFlaw::ForeignToken), Wording::Keycloak) => "invalid_request",
            (Self::InvalidClient { .. }, _) => "invalid_client",
            (Self::InvalidGrant(_), _) => "invalid_grant",
            (
                Self::InvalidRequest(_) | Self::MediaType | Self::MethodNotAllowed | Self::TooLarge,
                _,
            ) => "invalid_request",
            (Self::Refused(refusal), _) => refusal.code,
            (Self::ServerError, _) => "server_error",
            (Self::Throttled { .. } | Self::Unavailable { .. }, _) => "temporarily_unavailable",
            (Self::UnsupportedTokenType, _) => "unsupported_token_type",
        }
    }

    /// The fixed sentence that goes with it.
    pub const fn description(&self, wording: Wording) -> &'static str {
        match wording {
            Wording::Keycloak => self.keycloak_description(),
            Wording::Standard => self.standard_description(),
            Wording::Wso2 => self.wso2_description(),
        }
    }

    const fn standard_description(&self) -> &'static str {
        match self {
            Self::InvalidClient { .. } => "client authentication failed",
            Self::InvalidGrant(TokenFlaw::ForeignRefreshToken | TokenFlaw::ForeignToken) => {
                "the token was issued to another client"
            }
            Self::InvalidGrant(TokenFlaw::NotOurRefreshToken) => {
                "not a refresh token of this server"
            }
            Self::InvalidRequest(flaw) => match flaw {
                Flaw::Charset => "the character encoding must be UTF-8",
                Flaw::ClientIdMismatch => "client_id differs from the authenticated client",
                Flaw::MissingRefreshToken => "refresh_token is missing",
                Flaw::MissingToken => "token is missing",
                Flaw::Query => "parameters belong in the body, not in the URL",
                Flaw::Repeated => "a parameter is repeated",
                Flaw::TooManyParameters => "too many parameters",
                Flaw::TwoMechanisms => "more than one client authentication mechanism",
                Flaw::Undecodable => "the body cannot be decoded",
                Flaw::ValueTooLong => "a parameter is too long",
            },
            Self::MediaType => "the body must be application/x-www-form-urlencoded",
            Self::MethodNotAllowed => "the method must be POST",
            Self::Refused(refusal) => refusal.description,
            Self::ServerError => "internal error",
            Self::Throttled { .. } => "too many requests, try again later",
            Self::TooLarge => "the body is too large",
            Self::Unavailable { .. } => "the token may still be valid, try again later",
            Self::UnsupportedTokenType => "tokens of this type cannot be revoked",
        }
    }

    const fn keycloak_description(&self) -> &'static str {
        match self {
            Self::InvalidClient { .. } => "Invalid client or Invalid client credentials",
            Self::InvalidGrant(TokenFlaw::ForeignRefreshToken) => {
                "Invalid refresh token. Token client and authorized client don't match"
            }
            Self::InvalidGrant(TokenFlaw::ForeignToken) => "Unmatching clients",
            Self::InvalidGrant(TokenFlaw::NotOurRefreshToken) => "Invalid refresh token",
            Self::InvalidRequest(Flaw::MissingRefreshToken) => "No refresh token",
            Self::InvalidRequest(Flaw::MissingToken) => "Token not provided",
            Self::InvalidRequest(Flaw::Repeated) => "duplicated parameter",
            Self::UnsupportedTokenType => "Unsupported token type",
            Self::InvalidRequest(
                Flaw::Charset
                | Flaw::ClientIdMismatch
                | Flaw::Query
                | Flaw::TooManyParameters
                | Flaw::TwoMechanisms
                | Flaw::Undecodable
                | Flaw::ValueTooLong,
            )
            | Self::MediaType
            | Self::MethodNotAllowed
            | Self::Refused(_)
            | Self::ServerError
            | Self::Throttled { .. }
            | Self::TooLarge
            | Self::Unavailable { .. } => self.standard_description(),
        }
    }

    const fn wso2_description(&self) -> &'static str {
        match self {
            Self::InvalidClient { .. } => "Client Authentication failed.",
            Self::InvalidRequest(Flaw::MissingToken) => "Invalid revocation request",
            Self::InvalidRequest(Flaw::Repeated) => "Invalid request with repeated parameters.",
            Self::InvalidRequest(Flaw::TwoMechanisms) => {
                "Request body and headers contain authorization information"
            }
            Self::InvalidGrant(_)
            | Self::InvalidRequest(
                Flaw::Charset
                | Flaw::ClientIdMismatch
                | Flaw::MissingRefreshToken
                | Flaw::Query
                | Flaw::TooManyParameters
                | Flaw::Undecodable
                | Flaw::ValueTooLong,
            )
            | Self::MediaType
            | Self::MethodNotAllowed
            | Self::Refused(_)
            | Self::ServerError
            | Self::Throttled { .. }
            | Self::TooLarge
            | Self::Unavailable { .. }
            | Self::UnsupportedTokenType => self.standard_description(),
        }
    }

    /// The answer; `methods` are those that the endpoint answers at all.
    pub(crate) fn respond(&self, policy: &Policy, methods: &'static str) -> Response {
        let status = self.status(policy);
        let body = ErrorBody {
            error: self.code(policy.wording),
            error_description: self.description(policy.wording),
        };
        let response = Response::empty(status, policy.headers).with_json(body.to_json());
        match self {
            Self::InvalidClient { .. } if status == 401 => {
                // RFC 9110 s15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate".
                response.with_header("www-authenticate", basic_challenge(policy.realm))
            }
            Self::Refused(refusal) => refuse(response, refusal, policy),
            // RFC 9110 s10.2.1: the methods that the resource supports.
            Self::MethodNotAllowed => response.with_header("allow", methods),
            Self::Throttled { retry_after } => retry_later(response, *retry_after),
            Self::Unavailable { retry_after } => {
                retry_later(response, retry_after.unwrap_or(policy.retry_after))
            }
            Self::InvalidClient { .. }
            | Self::InvalidGrant(_)
            | Self::InvalidRequest(_)
            | Self::MediaType
            | Self::ServerError
            | Self::TooLarge
            | Self::UnsupportedTokenType => response,
        }
    }
}

impl ErrorBody {
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Two `&'static str` members cannot fail to serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl From<Flaw> for EndpointError {
    fn from(flaw: Flaw) -> Self {
        Self::InvalidRequest(flaw)
    }
}

fn refuse(response: Response, refusal: &Refusal, policy: &Policy) -> Response {
    let named =
        |header: &str| refusal.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header));
    let response = if refusal.unauthorized && !named("www-authenticate") {
        response.with_header("www-authenticate", basic_challenge(policy.realm))
    } else {
        response
    };
    let headers = refusal.headers.iter();
    headers.fold(response, |response, (name, value)| response.with_header(name, value.clone()))
}

/// RFC 7617 section 2: the realm is a quoted-string; `charset` has one allowed value.
fn basic_challenge(realm: &str) -> String {
    let mut quoted = String::with_capacity(realm.len());
    for char in realm.chars() {
        if matches!(char, '"' | '\\') {
            quoted.push('\\');
        }
        if !char.is_control() {
            quoted.push(char);
        }
    }
    format!("Basic realm=\"{quoted}\", charset=\"UTF-8\"")
}

/// RFC 9110 section 10.2.3: whole seconds; rounded up, so that nobody is told to come back too early.
fn retry_later(response: Response, after: Duration) -> Response {
    let seconds = after.as_millis().div_ceil(1000).max(1);
    response.with_header("retry-after", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn err_02_every_sentence_is_of_the_allowed_characters() {
        let flaws = [
            Flaw::Charset,
            Flaw::ClientIdMismatch,
            Flaw::MissingRefreshToken,
            Flaw::MissingToken,
            Flaw::Query,
            Flaw::Repeated,
            Flaw::TooManyParameters,
            Flaw::TwoMechanisms,
            Flaw::Undecodable,
            Flaw::ValueTooLong,
        ];
        let tokens = [
            TokenFlaw::ForeignRefreshToken,
            TokenFlaw::ForeignToken,
            TokenFlaw::NotOurRefreshToken,
        ];
        let errors = flaws
            .map(EndpointError::InvalidRequest)
            .into_iter()
            .chain(tokens.map(EndpointError::InvalidGrant))
            .chain([
                EndpointError::InvalidClient { header: true },
                EndpointError::MediaType,
                EndpointError::MethodNotAllowed,
                EndpointError::ServerError,
                EndpointError::Throttled { retry_after: Duration::ZERO },
                EndpointError::TooLarge,
                EndpointError::Unavailable { retry_after: None },
                EndpointError::UnsupportedTokenType,
            ]);
        for error in errors {
            for wording in [Wording::Keycloak, Wording::Standard, Wording::Wso2] {
                let text = [error.code(wording), error.description(wording)].concat();
                // RFC 6749 s5.2: %x20-21 / %x23-5B / %x5D-7E.
                assert!(text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\'));
            }
        }
    }

    #[test]
    fn cli_05_the_realm_is_a_quoted_string() {
        assert_eq!(
            basic_challenge("a \"b\" \\ c\r\n"),
            r#"Basic realm="a \"b\" \\ c", charset="UTF-8""#
        );
    }
}
