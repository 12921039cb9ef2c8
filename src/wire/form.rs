//! Form bodies, read strictly and without a copy.
//!
//! RFC 6749 appendix B and OAuth 2.1 section 3.2: `+` is a space, `%HH` is a byte, the bytes are UTF-8;
//! a parameter without a value counts as absent; a parameter that is known must not stand twice, however
//! its name is spelled.

use std::borrow::Cow;
use std::fmt;

use crate::policy::Duplicates;
use crate::policy::Policy;
use crate::policy::QueryString;
use crate::wire::error::EndpointError;
use crate::wire::error::Flaw;
use crate::wire::request::Header;
use crate::wire::request::Request;

/// The parameters that this crate knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Parameter {
    /// `client_assertion` (RFC 7521 section 4.2)
    ClientAssertion,
    /// `client_assertion_type` (RFC 7521 section 4.2)
    ClientAssertionType,
    /// `client_id` (RFC 6749 section 2.3.1)
    ClientId,
    /// `client_secret` (RFC 6749 section 2.3.1)
    ClientSecret,
    /// `id_token_hint` (RP-Initiated Logout section 2)
    IdTokenHint,
    /// `logout_hint` (RP-Initiated Logout section 2)
    LogoutHint,
    /// `post_logout_redirect_uri` (RP-Initiated Logout section 2)
    PostLogoutRedirectUri,
    /// `refresh_token`
    RefreshToken,
    /// `state` (RP-Initiated Logout section 2)
    State,
    /// `token` (RFC 7009 section 2.1)
    Token,
    /// `token_type_hint` (RFC 7009 section 2.1)
    TokenTypeHint,
    /// `ui_locales` (RP-Initiated Logout section 2)
    UiLocales,
}

const KNOWN: usize = 12;

impl Parameter {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "client_assertion" => Self::ClientAssertion,
            "client_assertion_type" => Self::ClientAssertionType,
            "client_id" => Self::ClientId,
            "client_secret" => Self::ClientSecret,
            "id_token_hint" => Self::IdTokenHint,
            "logout_hint" => Self::LogoutHint,
            "post_logout_redirect_uri" => Self::PostLogoutRedirectUri,
            "refresh_token" => Self::RefreshToken,
            "state" => Self::State,
            "token" => Self::Token,
            "token_type_hint" => Self::TokenTypeHint,
            "ui_locales" => Self::UiLocales,
            _ => return None,
        })
    }

    /// Whether its value is a token or an assertion, which the body's own limit bounds.
    const fn may_be_long(self) -> bool {
        matches!(
            self,
            Self::ClientAssertion | Self::IdTokenHint | Self::RefreshToken | Self::Token
        )
    }
}

/// The known parameters of one request body.
///
/// ```
/// use annul::wire::form::{Form, Parameter};
/// use annul::{Policy, Request};
///
/// let request = Request::post(b"token=a%2Bb&unknown=1&state=")
///     .header("content-type", b"application/x-www-form-urlencoded");
/// let form = Form::read(&request, &Policy::default()).unwrap();
/// assert_eq!(form.get(Parameter::Token), Some("a+b"));
/// assert_eq!(form.get(Parameter::State), None);
/// ```
#[derive(Default)]
pub struct Form<'a> {
    values: [Option<Cow<'a, str>>; KNOWN],
}

impl<'a> Form<'a> {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// - [`EndpointError::MediaType`]: the body is not declared `application/x-www-form-urlencoded`.
    /// - [`EndpointError::TooLarge`]: it is longer than [`Limits::body_bytes`](crate::policy::Limits).
    /// - [`EndpointError::InvalidRequest`]: it cannot be decoded, repeats a parameter, or goes beyond
    ///   another limit.
    pub fn read(request: &Request<'a>, policy: &Policy) -> Result<Self, EndpointError> {
        check_media_type(request.content_type())?;
        if request.has_query() && policy.query == QueryString::Refuse {
            return Err(Flaw::Query.into());
        }
        if request.is_oversized() || request.body().len() > policy.limits.body_bytes {
            return Err(EndpointError::TooLarge);
        }
        Ok(Self::parse(request.body(), policy)?)
    }

    /// The value of a parameter; none where it is absent or empty.
    pub fn get(&self, parameter: Parameter) -> Option<&str> {
        self.values
            .get(parameter as usize)?
            .as_deref()
            .filter(|value| !value.is_empty())
    }

    fn parse(body: &'a [u8], policy: &Policy) -> Result<Self, Flaw> {
        let limits = &policy.limits;
        let mut form = Self::default();
        let mut others: Vec<Cow<'a, str>> = Vec::new();
        let pairs = body
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty());
        for (index, pair) in pairs.enumerate() {
            if index >= limits.pairs {
                return Err(Flaw::TooManyParameters);
            }
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(equals) => {
                    let (name, value) = pair.split_at(equals);
                    (name, value.get(1..).unwrap_or_default())
                }
                None => (pair, [].as_slice()),
            };
            let name = decode(name)?;
            let value = decode(value)?;
            let known = Parameter::from_name(&name);
            let may_be_long = known.is_some_and(Parameter::may_be_long);
            if name.len() > limits.value_bytes || (value.len() > limits.value_bytes && !may_be_long)
            {
                return Err(Flaw::ValueTooLong);
            }
            let repeated = match known.and_then(|known| form.values.get_mut(known as usize)) {
                Some(slot) => slot.replace(value).is_some(),
                None if policy.duplicates == Duplicates::RefuseAny => {
                    let repeated = others.contains(&name);
                    others.push(name);
                    repeated
                }
                None => false,
            };
            if repeated {
                return Err(Flaw::Repeated);
            }
        }
        Ok(form)
    }
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form([redacted])")
    }
}

/// Decodes one name or value: borrowed where it holds neither `+` nor `%`, which is the rule.
///
/// # Errors
///
/// [`Flaw::Undecodable`]: a `%` without two hexadecimal digits, or bytes that are not UTF-8.
pub(crate) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Flaw> {
    // No early exit, so that the compiler can look at many bytes at once.
    let coded = bytes.iter().fold(false, |coded, byte| {
        coded | (*byte == b'%') | (*byte == b'+')
    });
    if !coded {
        return std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|_| Flaw::Undecodable);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = rest.next().and_then(hex_digit).ok_or(Flaw::Undecodable)?;
                let low = rest.next().and_then(hex_digit).ok_or(Flaw::Undecodable)?;
                high << 4 | low
            }
            plain => *plain,
        });
    }
    String::from_utf8(decoded)
        .map(Cow::Owned)
        .map_err(|_| Flaw::Undecodable)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    char::from(*byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The media type in any case, with any parameter but a charset other than UTF-8.
fn check_media_type(header: Header<'_>) -> Result<(), EndpointError> {
    let mut parts = header
        .text()
        .ok_or(EndpointError::MediaType)?
        .split(';')
        .map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(EndpointError::MediaType);
    }
    for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(Flaw::Charset.into());
        }
    }
    Ok(())
}
