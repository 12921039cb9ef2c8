//! What a caller offers to prove who it is: exactly one mechanism.

use crate::client::authenticated::AuthenticatedClient;
use crate::client::authenticated::ClientKind;
use crate::id::ClientId;
use crate::policy::BasicDecoding;
use crate::policy::MethodMatch;
use crate::policy::Policy;
use crate::secret::PresentedSecret;
use crate::wire::basic;
use crate::wire::basic::Basic;
use crate::wire::basic::Scratch;
use crate::wire::error::EndpointError;
use crate::wire::error::Flaw;
use crate::wire::form::Form;
use crate::wire::form::Parameter;
use crate::wire::request::Header;
use crate::wire::request::Request;

/// The credentials of one request.
///
/// They are made by [`Credentials::read`] alone, and used up by the authenticator that accepts them.
#[derive(Debug)]
pub struct Credentials<'a> {
    presented: Presented<'a>,
    methods: MethodMatch,
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
    /// A client identifier alone: a public client (`none`), or one that a certificate proves.
    ClientId {
        /// The client.
        client_id: &'a str,
        /// The certificate of the TLS connection, in DER, if the host passed one.
        certificate: Option<&'a [u8]>,
    },
    /// Identifier and secret in the form (`client_secret_post`).
    Post {
        /// The client.
        client_id: &'a str,
        /// The secret.
        secret: PresentedSecret<'a>,
    },
}

impl<'a> Credentials<'a> {
    /// Reads the credentials of a request. `scratch` is the room for decoding the header.
    ///
    /// # Errors
    ///
    /// - [`Flaw::TwoMechanisms`]: RFC 6749 section 2.3, "The client MUST NOT use more than one authentication
    ///   method in each request". Neither is then tried.
    /// - [`Flaw::ClientIdMismatch`]: the form names another client than the header.
    /// - [`Flaw::Repeated`]: two `Authorization` headers.
    /// - [`EndpointError::InvalidClient`]: none, or a header that cannot be read.
    pub fn read(
        request: &Request<'a>,
        form: &'a Form<'_>,
        scratch: &'a mut Scratch,
        policy: &Policy,
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
        let presented = if let Some(header) = header {
            Presented::from_header(header, scratch, client_id, policy)?
        } else if asserts {
            let assertion = assertion.map(PresentedSecret::new);
            Presented::Assertion { assertion_type, assertion, client_id }
        } else {
            let unnamed = EndpointError::InvalidClient { header: false };
            let client_id = client_id.ok_or(unnamed)?;
            if basic::has_control(client_id) || secret.is_some_and(basic::has_control) {
                return Err(unnamed);
            }
            match secret.map(PresentedSecret::new) {
                Some(secret) => Presented::Post { client_id, secret },
                None => {
                    Presented::ClientId { client_id, certificate: request.client_certificate() }
                }
            }
        };
        Ok(Self { presented, methods: policy.methods })
    }

    /// What was presented.
    pub const fn presented(&self) -> &Presented<'a> {
        &self.presented
    }

    /// Whether a method other than the registered one may be accepted.
    pub const fn methods(&self) -> MethodMatch {
        self.methods
    }

    /// The client that the credentials claim to be; an assertion's subject is not looked at.
    pub const fn claimed_client(&self) -> Option<&'a str> {
        match self.presented {
            Presented::Assertion { client_id, .. } => client_id,
            Presented::Basic { client_id, .. }
            | Presented::ClientId { client_id, .. }
            | Presented::Post { client_id, .. } => Some(client_id),
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
        form_client_id: Option<&str>,
        policy: &Policy,
    ) -> Result<Self, EndpointError> {
        let unreadable = EndpointError::InvalidClient { header: true };
        let lenient = policy.basic == BasicDecoding::Lenient;
        let basic = Basic::read(header, scratch).map_err(|_| unreadable)?;
        let (verbatim_id, verbatim_secret) = basic.verbatim();
        let verbatim = (verbatim_id, PresentedSecret::new(verbatim_secret));
        let (client_id, secret) = match basic.decoded() {
            Some((client_id, secret)) => (client_id, PresentedSecret::new(secret)),
            None if lenient => verbatim,
            None => return Err(unreadable),
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
