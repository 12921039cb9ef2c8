//! Form bodies, read strictly and without a copy.
//!
//! RFC 6749 appendix B and OAuth 2.1 section 3.2: `+` is a space, `%HH` is a byte, the bytes are UTF-8 before and
//! after that; a parameter without a value counts as absent; a parameter that is known must not stand twice,
//! however its name is spelled.

use std::borrow::Cow;
use std::fmt;

use crate::policy::{Duplicates, Policy, QueryString};
use crate::wire::error::{EndpointError, Flaw};
use crate::wire::request::{Header, Request};

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

const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

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
        matches!(self, Self::ClientAssertion | Self::IdTokenHint | Self::RefreshToken | Self::Token)
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
    /// The whole body.
    text: &'a str,
    /// The values that had to be decoded, one after the other.
    decoded: String,
    values: [Value; KNOWN],
}

/// Where the value of one parameter stands. Offsets, because a request's form is moved more often than it is
/// read.
#[derive(Clone, Copy, Default)]
enum Value {
    #[default]
    Absent,
    Decoded {
        start: u32,
        end: u32,
    },
    Plain {
        start: u32,
        end: u32,
    },
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
        let mut form = Self::default();
        form.parse(request.body(), policy)?;
        Ok(form)
    }

    /// The value of a parameter; none where it is absent or empty.
    pub fn get(&self, parameter: Parameter) -> Option<&str> {
        let (text, start, end) = match *self.values.get(parameter as usize)? {
            Value::Absent => return None,
            Value::Decoded { start, end } => (self.decoded.as_str(), start, end),
            Value::Plain { start, end } => (self.text, start, end),
        };
        text.get(start as usize..end as usize).filter(|value| !value.is_empty())
    }

    fn parse(&mut self, body: &'a [u8], policy: &Policy) -> Result<(), Flaw> {
        let limits = &policy.limits;
        // Once for the whole body: the delimiters are ASCII, so every part of it is UTF-8 too.
        let text = std::str::from_utf8(body).map_err(|_| Flaw::Undecodable)?;
        self.text = text;
        let mut others: Vec<Cow<'a, str>> = Vec::new();
        let mut count = 0;
        let mut pairs = Pairs { text, at: 0 };
        while let Some(pair) = pairs.next() {
            count += 1;
            if count > limits.pairs {
                return Err(Flaw::TooManyParameters);
            }
            let name = pair.name(text)?;
            let known = Parameter::from_name(&name);
            let value = self.keep(pair)?;
            let too_long =
                value.len() > limits.value_bytes && !known.is_some_and(Parameter::may_be_long);
            if name.len() > limits.value_bytes || too_long {
                return Err(Flaw::ValueTooLong);
            }
            let repeated = match known.and_then(|known| self.values.get_mut(known as usize)) {
                Some(slot) => !matches!(std::mem::replace(slot, value), Value::Absent),
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
        Ok(())
    }

    /// Decodes the value of a pair, if it holds anything to decode.
    fn keep(&mut self, pair: Pair) -> Result<Value, Flaw> {
        let offset = |at: usize| u32::try_from(at).map_err(|_| Flaw::ValueTooLong);
        let plain = Value::Plain { start: offset(pair.value)?, end: offset(pair.end)? };
        if !pair.coded {
            return Ok(plain);
        }
        match decode(self.text.get(pair.value..pair.end).unwrap_or_default())? {
            Cow::Borrowed(_) => Ok(plain),
            Cow::Owned(value) => {
                let start = offset(self.decoded.len())?;
                self.decoded.push_str(&value);
                Ok(Value::Decoded { start, end: offset(self.decoded.len())? })
            }
        }
    }
}

impl Value {
    const fn len(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Decoded { start, end } | Self::Plain { start, end } => (end - start) as usize,
        }
    }
}

/// The pairs of a body, found in one pass; empty ones (`&&`) are skipped.
struct Pairs<'a> {
    text: &'a str,
    at: usize,
}

/// Where one pair stands.
#[derive(Clone, Copy)]
struct Pair {
    start: usize,
    /// Where its name ends.
    name: usize,
    /// Where its value begins.
    value: usize,
    end: usize,
    /// Whether it holds a `%` or a `+`.
    coded: bool,
}

impl Pairs<'_> {
    fn next(&mut self) -> Option<Pair> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at) == Some(&b'&') {
            self.at += 1;
        }
        let start = self.at;
        if start == bytes.len() {
            return None;
        }
        let mut equals = None;
        let mut coded = false;
        let mut at = start;
        let end = loop {
            at = next_special(bytes, at);
            match bytes.get(at) {
                None | Some(b'&') => break at,
                Some(b'=') => equals = equals.or(Some(at)),
                Some(_) => coded = true,
            }
            at += 1;
        };
        self.at = end;
        let (name, value) = equals.map_or((end, end), |equals| (equals, equals + 1));
        Some(Pair { start, name, value, end, coded })
    }
}

impl Pair {
    fn name(self, text: &str) -> Result<Cow<'_, str>, Flaw> {
        let name = text.get(self.start..self.name).unwrap_or_default();
        if self.coded { decode(name) } else { Ok(Cow::Borrowed(name)) }
    }
}

/// Where the next `&`, `=`, `%` or `+` stands, or the end: eight bytes at a step.
fn next_special(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let (words, tail) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return from + index * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'&' | b'=' | b'%' | b'+');
    let within = tail.iter().position(is_special).unwrap_or(tail.len());
    from + rest.len() - tail.len() + within
}

/// Whether a `%` or a `+` stands in it.
fn is_coded(bytes: &[u8]) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    words.iter().any(|word| coded(u64::from_le_bytes(*word)) != 0)
        || tail.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

/// Marks the first byte that delimits or is coded, by its highest bit.
const fn specials(word: u64) -> u64 {
    equals(word, b'&') | equals(word, b'=') | coded(word)
}

/// Marks the first `%` or `+`.
const fn coded(word: u64) -> u64 {
    equals(word, b'%') | equals(word, b'+')
}

/// Marks the first byte that is `byte`; bytes above it may be marked wrongly, which nobody looks at.
const fn equals(word: u64, byte: u8) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    let zero = word ^ u64::from_ne_bytes([byte; 8]);
    zero.wrapping_sub(ONES) & !zero & HIGHS
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
pub(crate) fn decode(text: &str) -> Result<Cow<'_, str>, Flaw> {
    let bytes = text.as_bytes();
    if !is_coded(bytes) {
        return Ok(Cow::Borrowed(text));
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
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Flaw::Undecodable)
}

fn hex_digit(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The media type in any case, with any parameter but a charset other than UTF-8.
fn check_media_type(header: Header<'_>) -> Result<(), EndpointError> {
    // What nearly every client sends, letter for letter.
    if header == Header::Once(MEDIA_TYPE.as_bytes()) {
        return Ok(());
    }
    let mut parts = header.text().ok_or(EndpointError::MediaType)?.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
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
