//! The shipped authenticator: clients by their registered metadata.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use subtle::Choice;

use crate::client::AuthMethod;
use crate::client::AuthenticatedClient;
use crate::client::Client;
use crate::client::ClientAuthError;
use crate::client::ClientAuthenticator;
use crate::client::ClientKind;
use crate::client::ClientRef;
use crate::client::ClientRegistry;
use crate::client::ClientTable;
use crate::client::Credentials;
use crate::client::Presented;
use crate::client::SecretDigest;
use crate::clock::Clock;
use crate::clock::SystemClock;
use crate::policy::MethodMatch;
use crate::secret::PresentedSecret;

/// Authenticates clients by what they registered: `client_secret_basic`, `client_secret_post` and `none`.
///
/// An unknown client, a wrong secret, an expired one, a disabled client and a method other than the registered
/// one are refused alike, after the same work: the presented secret is digested and compared as often.
///
/// ```
/// use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
///
/// let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
/// let spa = ClientMetadata::new("spa", AuthMethod::None);
/// let table =
///     ClientTable::from_iter([Client::new(web).secret("web-secret"), Client::new(spa)]);
/// let clients = RegisteredClients::new(table);
/// ```
pub struct RegisteredClients<R = ClientTable> {
    registry: R,
    clock: Arc<dyn Clock>,
}

/// How many secrets are compared at least: a client has two while one is rotated.
const COMPARISONS: usize = 2;

impl<R: ClientRegistry> RegisteredClients<R> {
    /// Clients looked up in `registry`.
    pub fn new(registry: R) -> Self {
        Self { registry, clock: Arc::new(SystemClock) }
    }

    /// Asks another clock whether a secret has expired.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The client, if it registered the method and, unless it is public, the secret is one of its own.
    fn accept<'r>(
        &self,
        client: Option<ClientRef<'r>>,
        attempt: &Attempt<'_>,
        methods: MethodMatch,
    ) -> Option<ClientRef<'r>> {
        // Compared for unknown clients too: a failure costs the same whatever its cause.
        let secret_matches = match attempt.secret {
            Some(secret) => self.secret_matches(client.as_deref(), secret),
            None => true,
        };
        client.filter(|client| {
            secret_matches && !client.is_disabled() && attempt.is_allowed(client, methods)
        })
    }

    fn secret_matches(&self, client: Option<&Client>, secret: PresentedSecret<'_>) -> bool {
        let presented = SecretDigest::of(secret.expose_secret());
        let nobody = SecretDigest::from_bytes([0; 32]);
        let secrets = client.map(Client::secrets).unwrap_or_default();
        let mut found = Choice::from(0);
        for index in 0..secrets.len().max(COMPARISONS) {
            let candidate = secrets.get(index);
            let live = candidate.is_some_and(|candidate| {
                candidate.expires_at.is_none_or(|expiry| self.clock.now() < expiry)
            });
            let digest = candidate.map_or(&nobody, |candidate| &candidate.digest);
            found |= digest.equals(&presented) & Choice::from(u8::from(live));
        }
        found.into()
    }
}

impl Default for RegisteredClients {
    /// No clients at all.
    fn default() -> Self {
        Self::new(ClientTable::default())
    }
}

impl<R> fmt::Debug for RegisteredClients<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClients").finish_non_exhaustive()
    }
}

#[async_trait]
impl<R: ClientRegistry> ClientAuthenticator for RegisteredClients<R> {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        let methods = credentials.methods();
        let mut client = None;
        for attempt in Attempt::all(credentials.presented()).into_iter().flatten() {
            let known = self.registry.client(attempt.client_id).await?;
            client = self.accept(known, &attempt, methods);
            if client.is_some() {
                break;
            }
        }
        let client = client.ok_or(ClientAuthError::Rejected)?;
        let kind = match client.metadata().token_endpoint_auth_method {
            AuthMethod::None => ClientKind::Public,
            AuthMethod::ClientSecretBasic
            | AuthMethod::ClientSecretJwt
            | AuthMethod::ClientSecretPost
            | AuthMethod::PrivateKeyJwt
            | AuthMethod::SelfSignedTlsClientAuth
            | AuthMethod::TlsClientAuth => ClientKind::Confidential,
        };
        let mut accepted = credentials.accepted_as(client.id().clone(), kind);
        if client.introspects() {
            accepted = accepted.with_introspection();
        }
        if let Some(cascade) = client.own_cascade() {
            accepted = accepted.with_cascade(cascade);
        }
        Ok(accepted)
    }
}

/// One reading of the credentials.
struct Attempt<'a> {
    client_id: &'a str,
    secret: Option<PresentedSecret<'a>>,
    method: AuthMethod,
}

impl<'a> Attempt<'a> {
    /// The readings to try: a second one only for Basic credentials that may not have been encoded.
    fn all(presented: &Presented<'a>) -> [Option<Self>; 2] {
        let basic = |client_id, secret| {
            Some(Self { client_id, secret: Some(secret), method: AuthMethod::ClientSecretBasic })
        };
        match *presented {
            Presented::Basic { client_id, secret, verbatim } => {
                [basic(client_id, secret), verbatim.and_then(|(id, secret)| basic(id, secret))]
            }
            Presented::Post { client_id, secret } => {
                let method = AuthMethod::ClientSecretPost;
                [Some(Self { client_id, secret: Some(secret), method }), None]
            }
            Presented::ClientId { client_id, .. } => {
                [Some(Self { client_id, secret: None, method: AuthMethod::None }), None]
            }
            Presented::Assertion { .. } => [None, None],
        }
    }

    /// A client registered for one of the two ways to send a secret may use the other where the policy says so.
    fn is_allowed(&self, client: &Client, methods: MethodMatch) -> bool {
        let sends_secret =
            |method| matches!(method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
        let registered = client.metadata().token_endpoint_auth_method;
        let either = methods == MethodMatch::EitherSecret;
        registered == self.method
            || (either && sends_secret(registered) && sends_secret(self.method))
    }
}
