//! Client credentials in the `Authorization` header (RFC 7617; RFC 6749 section 2.3.1).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::token::has_control;
use crate::wire::form;

/// Room for the decoded credentials, so that reading them allocates nothing for clients of ordinary size.
pub struct Scratch {
    inline: [u8; INLINE],
    heap: Vec<u8>,
    /// Both halves, form-decoded, where that changes them.
    decoded: String,
}

const INLINE: usize = 96;

/// Longer header values are refused unread.
const LONGEST: usize = 16_384;

impl Default for Scratch {
    fn default() -> Self {
        Self { inline: [0; INLINE], heap: Vec::new(), decoded: String::new() }
    }
}

impl Scratch {
    /// Keeps a text for as long as the credentials are looked at.
    pub(crate) fn keep(&mut self, text: String) -> &str {
        self.decoded = text;
        &self.decoded
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch([redacted])")
    }
}

/// A client identifier and secret, twice: as the header's bytes say, and form-decoded as RFC 6749 wants.
pub struct Basic<'s> {
    verbatim: (&'s str, &'s str),
    decoded: Option<(&'s str, &'s str)>,
}

impl fmt::Debug for Basic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic([redacted])")
    }
}

/// The header does not hold Basic credentials that could be anybody's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not Basic credentials")]
#[non_exhaustive]
pub struct NotBasic;

impl<'s> Basic<'s> {
    /// Reads the value of an `Authorization` header.
    ///
    /// The scheme in any case, strict base64, UTF-8, no control characters; the first colon splits, so a
    /// secret may hold more of them.
    ///
    /// ```
    /// use annul::wire::basic::{Basic, Scratch};
    ///
    /// let mut scratch = Scratch::default();
    /// let basic = Basic::read(b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", &mut scratch).unwrap();
    /// assert_eq!(basic.decoded().unwrap().0, "s6BhdRkqt3");
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotBasic`], whatever is wrong with it.
    pub fn read(header: &[u8], scratch: &'s mut Scratch) -> Result<Self, NotBasic> {
        let space = header.iter().position(|byte| *byte == b' ').ok_or(NotBasic)?;
        let (scheme, rest) = header.split_at(space);
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return Err(NotBasic);
        }
        let encoded = rest.trim_ascii();
        if encoded.len() > LONGEST {
            return Err(NotBasic);
        }
        let room = base64::decoded_len_estimate(encoded.len());
        let space = if room <= INLINE {
            scratch.inline.as_mut_slice()
        } else {
            scratch.heap.resize(room, 0);
            scratch.heap.as_mut_slice()
        };
        let len = STANDARD.decode_slice(encoded, space).map_err(|_| NotBasic)?;
        let bytes = space.get(..len).unwrap_or_default();
        let colon = bytes.iter().position(|byte| *byte == b':').ok_or(NotBasic)?;
        let text = std::str::from_utf8(bytes).map_err(|_| NotBasic)?;
        let (client_id, secret) = text.split_at(colon);
        let secret = secret.get(1..).unwrap_or_default();
        // RFC 7617 s2: "The user-id and password MUST NOT contain any control characters."
        if client_id.is_empty() || has_control(text) {
            return Err(NotBasic);
        }
        let decoded = match (form::decode(client_id), form::decode(secret)) {
            (Ok(Cow::Borrowed(client_id)), Ok(Cow::Borrowed(secret))) => Some((client_id, secret)),
            (Ok(client_id), Ok(secret)) => {
                scratch.decoded = [client_id.as_ref(), secret.as_ref()].concat();
                let (client_id, secret) = scratch.decoded.split_at(client_id.len());
                let usable = !client_id.is_empty() && !has_control(&scratch.decoded);
                usable.then_some((client_id, secret))
            }
            (Err(_), _) | (_, Err(_)) => None,
        };
        Ok(Self { verbatim: (client_id, secret), decoded })
    }

    /// Identifier and secret after form-decoding; none where that fails.
    pub const fn decoded(&self) -> Option<(&'s str, &'s str)> {
        self.decoded
    }

    /// Identifier and secret as they stand; some clients skip the encoding.
    pub const fn verbatim(&self) -> (&'s str, &'s str) {
        self.verbatim
    }
}

/// The header value that a client sends: both halves form-urlencoded, then base64.
///
/// ```
/// let header = annul::wire::basic::header_value("s6BhdRkqt3", "gX1fBat3bV");
/// assert_eq!(header, "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
/// ```
pub fn header_value(client_id: &str, secret: &str) -> String {
    // One pair whose name is the identifier and whose value is the secret; "=" cannot stand in either.
    let pair = serde_urlencoded::to_string([(client_id, secret)]).unwrap_or_default();
    let credentials = pair.replacen('=', ":", 1);
    format!("Basic {}", STANDARD.encode(credentials))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Option<(String, String)> {
        let mut scratch = Scratch::default();
        let basic = Basic::read(header.as_bytes(), &mut scratch).ok()?;
        basic.decoded().map(|(id, secret)| (id.to_owned(), secret.to_owned()))
    }

    #[test]
    fn cli_02_the_vector_of_rfc_6749_appendix_b() {
        let header = "Basic Y2xpJTNBZW50KzE6cCUyNSUyQiUyNiUzQSVDMiVBMyVFMiU4MiVBQyslMkZ+";
        let (id, secret) = ("cli:ent 1", "p%+&:£€ /~");
        assert_eq!(read(header), Some((id.to_owned(), secret.to_owned())));
        assert_eq!(read(&header_value(id, secret)), Some((id.to_owned(), secret.to_owned())));
    }

    #[test]
    fn credentials_longer_than_the_scratch_are_read_too() {
        let secret = "x".repeat(5_000);
        assert_eq!(read(&header_value("web", &secret)), Some(("web".to_owned(), secret)));
    }
}
