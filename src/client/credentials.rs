//! What a caller offers to prove who it is: exactly one mechanism.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::client::authenticated::{AuthenticatedClient, ClientKind};
use crate::id::ClientId;
use crate::policy::{BasicDecoding, Policy};
use crate::secret::PresentedSecret;
use crate::token::has_control;
use crate::wire::basic::{Basic, Scratch};
use crate::wire::error::{EndpointError, Flaw};
use crate::wire::form::{Form, Parameter};
use crate::wire::request::{Header, PresentedCertificate, Request};

/// The credentials of one request.
///
/// They are made by [`Credentials::read`] alone, and used up by the authenticator that accepts them.
#[derive(Debug)]
pub struct Credentials<'a> {
    presented: Presented<'a>,
    /// Whom an assertion claims to be from, by its `sub`; nothing vouches for it yet.
    subject: Option<&'a str>,
    request: &'a Request<'a>,
    policy: &'a Policy,
}

/// Which mechanism a request used, and what it holds.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Presented<'a> {
    /// A JWT (`private_key_jwt`, `client_secret_jwt`; RFC 7521 section 4.2).
    Assertion {
        /// `client_assertion_type`
        assertion_type: Option<&'a str>,
        /// `client_assertion`
        assertion: Option<PresentedSecret<'a>>,
        /// `client_id`, which must then name the same client.
        client_id: Option<&'a str>,
    },
    /// An `Authorization` header of another scheme than `Basic`. No shipped authenticator accepts one.
    Authorization {
        /// The scheme, as it stands; schemes are compared in any case.
        scheme: &'a str,
        /// What follows it.
        credentials: PresentedSecret<'a>,
        /// `client_id`, which must then name the same client.
        client_id: Option<&'a str>,
    },
    /// The `Authorization` header (`client_secret_basic`).
    Basic {
        /// The client, form-decoded.
        client_id: &'a str,
        /// The secret, form-decoded.
        secret: PresentedSecret<'a>,
        /// Both as they stand in the header, where the policy is
        /// [`BasicDecoding::Lenient`].
        verbatim: Option<(&'a str, PresentedSecret<'a>)>,
    },
    /// A client identifier alone: a public client (`none`), or one that the
    /// [certificate](Credentials::certificate) or another [header](Credentials::header) proves.
    ClientId {
        /// The client.
        client_id: &'a str,
    },
    /// Nothing that names a client. No shipped authenticator accepts it.
    Nothing,
    /// Identifier and secret in the form (`client_secret_post`).
    Post {
        /// The client.
        client_id: &'a str,
        /// The secret.
        secret: PresentedSecret<'a>,
    },
}

impl<'a> Credentials<'a> {
    /// Reads the credentials of a request. `scratch` is the room for decoding them.
    ///
    /// # Errors
    ///
    /// - [`Flaw::TwoMechanisms`]: RFC 6749 section 2.3, "The client MUST NOT use more than one authentication
    ///   method in each request". Neither is then tried.
    /// - [`Flaw::ClientIdMismatch`]: the form names another client than the header.
    /// - [`Flaw::Repeated`]: two `Authorization` headers.
    /// - [`EndpointError::InvalidClient`]: a header, or an identifier or secret in the form, that nobody could have.
    pub fn read(
        request: &'a Request<'a>,
        form: &'a Form<'_>,
        scratch: &'a mut Scratch,
        policy: &'a Policy,
    ) -> Result<Self, EndpointError> {
        let secret = form.get(Parameter::ClientSecret);
        let assertion = form.get(Parameter::ClientAssertion);
        let assertion_type = form.get(Parameter::ClientAssertionType);
        let client_id = form.get(Parameter::ClientId);
        let header = match request.authorization() {
            Header::Absent => None,
            Header::Once(header) => Some(header),
            Header::Repeated => return Err(Flaw::Repeated.into()),
        };
        let asserts = assertion.is_some() || assertion_type.is_some();
        if [header.is_some(), secret.is_some(), asserts].into_iter().filter(|used| *used).count()
            > 1
        {
            return Err(Flaw::TwoMechanisms.into());
        }
        // Whoever used the header is answered as if it had been wrong, whatever else the form says.
        let unreadable = EndpointError::InvalidClient { header: header.is_some() };
        if client_id.is_some_and(has_control) || secret.is_some_and(has_control) {
            return Err(unreadable);
        }
        let mut subject = None;
        let presented = if let Some(header) = header {
            Presented::from_header(header, scratch, client_id, policy)?
        } else if asserts {
            subject = assertion.and_then(|assertion| subject_of(assertion, scratch));
            let assertion = assertion.map(PresentedSecret::new);
            Presented::Assertion { assertion_type, assertion, client_id }
        } else {
            match (client_id, secret.map(PresentedSecret::new)) {
                (Some(client_id), Some(secret)) => Presented::Post { client_id, secret },
                (Some(client_id), None) => Presented::ClientId { client_id },
                // A secret that is nobody's.
                (None, Some(_)) => return Err(unreadable),
                (None, None) => Presented::Nothing,
            }
        };
        Ok(Self { presented, subject, request, policy })
    }

    /// What was presented.
    pub const fn presented(&self) -> &Presented<'a> {
        &self.presented
    }

    /// What the authority decides by: the methods, audiences and algorithms that it accepts.
    pub const fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// The client certificate of the TLS connection, if the host passed one.
    pub const fn certificate(&self) -> Option<PresentedCertificate<'a>> {
        self.request.client_certificate()
    }

    /// A header of the request, by its name in lower case, for methods that are defined by headers; absent where the
    /// host passed [none of them](Request::all_headers).
    pub fn header(&self, name: &str) -> Header<'a> {
        self.request.other_header(name)
    }

    /// The client that the credentials claim to be; of an assertion its subject, though nothing vouches for it yet.
    pub const fn claimed_client(&self) -> Option<&'a str> {
        match self.presented {
            Presented::Assertion { client_id, .. } => match self.subject {
                Some(subject) => Some(subject),
                None => client_id,
            },
            Presented::Authorization { client_id, .. } => client_id,
            Presented::Basic { client_id, .. }
            | Presented::ClientId { client_id, .. }
            | Presented::Post { client_id, .. } => Some(client_id),
            Presented::Nothing => None,
        }
    }

    /// Turns accepted credentials into the proof that the endpoints ask for. Only an authenticator that has
    /// checked them may call this.
    pub fn accepted_as(self, client: ClientId, kind: ClientKind) -> AuthenticatedClient {
        AuthenticatedClient::new(client, kind)
    }
}

impl<'a> Presented<'a> {
    fn from_header(
        header: &'a [u8],
        scratch: &'a mut Scratch,
        form_client_id: Option<&'a str>,
        policy: &Policy,
    ) -> Result<Self, EndpointError> {
        let unreadable = || EndpointError::InvalidClient { header: true };
        if let Some((scheme, credentials)) = other_scheme(header) {
            return Ok(Self::Authorization { scheme, credentials, client_id: form_client_id });
        }
        let lenient = policy.basic == BasicDecoding::Lenient;
        let basic = Basic::read(header, scratch).map_err(|_| unreadable())?;
        let (verbatim_id, verbatim_secret) = basic.verbatim();
        let verbatim = (verbatim_id, PresentedSecret::new(verbatim_secret));
        let (client_id, secret) = match basic.decoded() {
            Some((client_id, secret)) => (client_id, PresentedSecret::new(secret)),
            None if lenient => verbatim,
            None => return Err(unreadable()),
        };
        // RFC 6749 s3.2.1: a client_id in the form identifies; it must not name somebody else.
        let named = form_client_id
            .is_none_or(|named| named == client_id || (lenient && named == verbatim_id));
        if !named {
            return Err(Flaw::ClientIdMismatch.into());
        }
        Ok(Self::Basic { client_id, secret, verbatim: lenient.then_some(verbatim) })
    }
}

/// A header of another scheme than `Basic` (RFC 9110 section 11.4), if it is text.
fn other_scheme(header: &[u8]) -> Option<(&str, PresentedSecret<'_>)> {
    let (scheme, credentials) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    let token = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_graphic());
    let other = token && !scheme.eq_ignore_ascii_case("basic");
    other.then(|| (scheme, PresentedSecret::new(credentials.trim_ascii())))
}

/// The `sub` of a JWT's payload. Nothing is verified: this only says whom the caller wants to be.
fn subject_of<'a>(assertion: &str, scratch: &'a mut Scratch) -> Option<&'a str> {
    #[derive(Deserialize)]
    struct Payload {
        sub: String,
    }

    let payload = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1)?).ok()?;
    let Payload { sub } = serde_json::from_slice(&payload).ok()?;
    Some(scratch.keep(sub)).filter(|subject| !has_control(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(payload: &str, more: &str) -> Option<String> {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        let body = format!("client_assertion=e30.{payload}.c2ln{more}");
        let request = Request::post(body.as_bytes())
            .header("content-type", b"application/x-www-form-urlencoded");
        let policy = Policy::default();
        let form = Form::read(&request, &policy).unwrap();
        let mut scratch = Scratch::default();
        let credentials = Credentials::read(&request, &form, &mut scratch, &policy).unwrap();
        credentials.claimed_client().map(str::to_owned)
    }

    #[test]
    fn jwa_02_an_assertion_alone_says_whom_it_claims_to_be_from() {
        for (payload, subject) in [
            (r#"{"sub":"job"}"#, Some("job")),
            (r#"{"x":[{}],"sub":"job","iss":"web"}"#, Some("job")),
            (r#"{"sub":"https:\/\/client.example\/\u00f6"}"#, Some("https://client.example/ö")),
            (r#"{"sub":"job\u0000"}"#, None),
            (r#"{"sub":"job","sub":"web"}"#, None),
            (r#"{"sub":null}"#, None),
            (r#"{"sub":["job"]}"#, None),
            (r#"{"iss":"job"}"#, None),
            ("17", None),
            ("", None),
        ] {
            assert_eq!(claimed(payload, "").as_deref(), subject, "{payload}");
            // The subject counts; what stands beside it is compared with it later.
            let beside = claimed(payload, "&client_id=web");
            assert_eq!(beside.as_deref(), Some(subject.unwrap_or("web")), "{payload}");
        }
    }
}
