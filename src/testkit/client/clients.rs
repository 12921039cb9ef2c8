//! What a case of the client suite runs on: an authenticator, and whom it knows.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::client::{
    AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind, Credentials,
};
use crate::id::ClientId;
use crate::policy::Policy;
use crate::testkit::drive;
use crate::testkit::drive::{Spawn, Task};
use crate::testkit::proof::{Ability, NotProven};
use crate::wire::basic;
use crate::wire::basic::Scratch;
use crate::wire::form::Form;
use crate::wire::request::{PresentedCertificate, Request};

/// An authenticator, and the clients that it is to let in.
///
/// ```
/// use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
/// use annul::testkit::client::{Clients, Login};
///
/// let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
/// let authenticator = RegisteredClients::new(ClientTable::from_iter([spa]));
/// let clients = Clients::new(authenticator).login(Login::public("spa"));
/// ```
pub struct Clients {
    authenticator: Arc<dyn ClientAuthenticator>,
    logins: Vec<Login>,
    refused: Vec<MakeOffer>,
    out_of_order: Option<Arc<dyn ClientAuthenticator>>,
    policy: Arc<Policy>,
    spawn: Option<Spawn>,
    rounds: usize,
    seed: u64,
    /// Last: they go after what uses them.
    guards: Vec<Box<dyn Any + Send + Sync>>,
}

type MakeOffer = Arc<dyn Fn() -> Offer + Send + Sync>;

/// Credentials that are right, and who is to come out of them.
#[derive(Clone)]
pub struct Login {
    client: ClientId,
    kind: ClientKind,
    offer: MakeOffer,
    secret: Option<(SentIn, String)>,
}

#[derive(Clone, Copy)]
enum SentIn {
    Form,
    Header,
}

/// A request's credentials: the form and the headers in which they are sent, and the certificate of its connection.
///
/// ```
/// use annul::testkit::client::Offer;
///
/// let assertion = Offer::new()
///     .parameter("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
///     .parameter("client_assertion", "eyJhbGciOi...");
/// ```
#[derive(Clone, Default)]
pub struct Offer {
    parameters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    certificate: Option<(Vec<u8>, bool)>,
}

/// What became of an [`Offer`].
pub(super) enum Answer {
    Accepted(AuthenticatedClient),
    /// The authenticator's word, without its causes.
    Refused(String),
    /// Its registry failed.
    Store,
    /// It was no credential, and the authenticator was not asked.
    Unreadable,
}

impl Clients {
    /// An authenticator that knows nobody yet.
    pub fn new(authenticator: impl ClientAuthenticator + 'static) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
            logins: Vec::new(),
            refused: Vec::new(),
            out_of_order: None,
            policy: Arc::new(Policy::default()),
            spawn: None,
            rounds: 20,
            seed: 7,
            guards: Vec::new(),
        }
    }

    /// A client that it is to let in. The more of them, and of the more methods, the more is checked.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.logins.push(login);
        self
    }

    /// What it is to refuse: made anew each time, because some credentials are wrong only the second time.
    #[must_use]
    pub fn refuses(mut self, offer: impl Fn() -> Offer + Send + Sync + 'static) -> Self {
        self.refused.push(Arc::new(offer));
        self
    }

    /// The same authenticator over a registry that does not answer.
    #[must_use]
    pub fn out_of_order(mut self, authenticator: impl ClientAuthenticator + 'static) -> Self {
        self.out_of_order = Some(Arc::new(authenticator));
        self
    }

    /// The policy to read requests under, where it is not the default.
    #[must_use]
    pub fn policy(mut self, policy: impl Into<Policy>) -> Self {
        self.policy = Arc::new(policy.into());
        self
    }

    /// Requests beside each other run on threads of their own; see [`Fixture::on_threads`](crate::testkit::Fixture::on_threads).
    #[must_use]
    pub fn on_threads(self) -> Self {
        self.spawning(drive::on_a_thread)
    }

    /// They are handed to this function; see [`Fixture::spawning`](crate::testkit::Fixture::spawning).
    #[must_use]
    pub fn spawning(mut self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// How often a race is run. By default 20.
    #[must_use]
    pub const fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Where chance begins.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A value whose `Drop` cleans up. It is dropped after the authenticator.
    #[must_use]
    pub fn guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    pub(super) fn logins(&self) -> Result<&[Login], NotProven> {
        if self.logins.is_empty() {
            return Err(NotProven::seen("no client is to be let in: an authenticator of nobody"));
        }
        Ok(&self.logins)
    }

    /// Those that have a secret.
    pub(super) fn secrets(&self) -> Result<Vec<&Login>, NotProven> {
        let secrets: Vec<&Login> =
            self.logins()?.iter().filter(|login| login.secret.is_some()).collect();
        if secrets.is_empty() { Err(NotProven::Lacks(Ability::Secrets)) } else { Ok(secrets) }
    }

    pub(super) fn refused(&self) -> Result<impl Iterator<Item = Offer>, NotProven> {
        if self.refused.is_empty() {
            return Err(NotProven::Lacks(Ability::Refusals));
        }
        Ok(self.refused.iter().map(|offer| offer()))
    }

    pub(super) fn broken(&self) -> Result<&dyn ClientAuthenticator, NotProven> {
        self.out_of_order.as_deref().ok_or(NotProven::Lacks(Ability::OutOfOrder))
    }

    pub(super) fn authenticator(&self) -> &Arc<dyn ClientAuthenticator> {
        &self.authenticator
    }

    pub(super) const fn current_policy(&self) -> &Arc<Policy> {
        &self.policy
    }

    pub(super) const fn spawner(&self) -> Option<&Spawn> {
        self.spawn.as_ref()
    }

    pub(super) const fn round_count(&self) -> usize {
        self.rounds
    }

    pub(super) const fn first_seed(&self) -> u64 {
        self.seed
    }

    pub(super) async fn ask(&self, offer: &Offer) -> Answer {
        offer.ask(&*self.authenticator, &self.policy).await
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("logins", &self.logins).finish_non_exhaustive()
    }
}

impl Login {
    /// A confidential client that sends its secret in the header (`client_secret_basic`).
    pub fn basic(client: impl Into<ClientId>, secret: &str) -> Self {
        Self::by_secret(client.into(), secret, SentIn::Header)
    }

    /// A confidential client that sends its secret in the form (`client_secret_post`).
    pub fn post(client: impl Into<ClientId>, secret: &str) -> Self {
        Self::by_secret(client.into(), secret, SentIn::Form)
    }

    /// A client that names itself, and has no secret (`none`).
    pub fn public(client: impl Into<ClientId>) -> Self {
        let client = client.into();
        let name = Offer::naming(client.as_str());
        Self {
            client,
            kind: ClientKind::Public,
            offer: Arc::new(move || name.clone()),
            secret: None,
        }
    }

    /// A confidential client that proves itself otherwise: by an assertion, a certificate, a header of its method's. It is
    /// made anew each time, because an assertion is good only once.
    pub fn otherwise(
        client: impl Into<ClientId>,
        offer: impl Fn() -> Offer + Send + Sync + 'static,
    ) -> Self {
        let kind = ClientKind::Confidential;
        Self { client: client.into(), kind, offer: Arc::new(offer), secret: None }
    }

    fn by_secret(client: ClientId, secret: &str, sent_in: SentIn) -> Self {
        let right = sent_in.offer(client.as_str(), secret);
        Self {
            client,
            kind: ClientKind::Confidential,
            offer: Arc::new(move || right.clone()),
            secret: Some((sent_in, secret.to_owned())),
        }
    }

    pub(super) const fn client(&self) -> &ClientId {
        &self.client
    }

    pub(super) const fn kind(&self) -> ClientKind {
        self.kind
    }

    pub(super) fn offer(&self) -> Offer {
        (self.offer)()
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.as_ref().map_or("", |(_, secret)| secret)
    }

    /// In the same way, with other words.
    pub(super) fn with(&self, client: &str, secret: &str) -> Offer {
        let sent_in = self.secret.as_ref().map_or(SentIn::Form, |(sent_in, _)| *sent_in);
        sent_in.offer(client, secret)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("client", &self.client).finish_non_exhaustive()
    }
}

impl SentIn {
    fn offer(self, client: &str, secret: &str) -> Offer {
        match self {
            Self::Form => Offer::naming(client).parameter("client_secret", secret),
            Self::Header => {
                Offer::new().header("authorization", &basic::header_value(client, secret))
            }
        }
    }
}

impl Offer {
    /// No credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parameter of the form.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The certificate of the connection, in DER, and whether the TLS stack has validated its chain.
    #[must_use]
    pub fn certificate(mut self, der: impl Into<Vec<u8>>, verified: bool) -> Self {
        self.certificate = Some((der.into(), verified));
        self
    }

    pub(super) fn naming(client: &str) -> Self {
        Self::new().parameter("client_id", client)
    }

    /// Asks an authenticator, as the endpoints do.
    pub(super) async fn ask(
        &self,
        authenticator: &dyn ClientAuthenticator,
        policy: &Policy,
    ) -> Answer {
        let body = serde_urlencoded::to_string(&self.parameters).unwrap_or_default();
        let mut request = Request::post(body.as_bytes())
            .header("content-type", b"application/x-www-form-urlencoded")
            .all_headers(&self.headers);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_bytes());
        }
        if let Some((der, verified)) = &self.certificate {
            request = request.certificate(match verified {
                true => PresentedCertificate::verified(der),
                false => PresentedCertificate::unverified(der),
            });
        }
        let mut scratch = Scratch::default();
        let Ok(form) = Form::read(&request, policy) else {
            return Answer::Unreadable;
        };
        let Ok(credentials) = Credentials::read(&request, &form, &mut scratch, policy) else {
            return Answer::Unreadable;
        };
        match authenticator.authenticate(credentials).await {
            Ok(client) => Answer::Accepted(client),
            Err(ClientAuthError::Store(_)) => Answer::Store,
            Err(error) => Answer::Refused(format!("{error:?}")),
        }
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // They can be somebody's real ones.
        f.write_str("Offer([redacted])")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(client) => write!(f, "accepted as {:?}", client.id().as_str()),
            Self::Refused(error) => f.write_str(error),
            Self::Store => f.write_str("a failure of the registry"),
            Self::Unreadable => f.write_str("not readable as credentials"),
        }
    }
}
