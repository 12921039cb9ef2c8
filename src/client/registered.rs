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

    /// One try: the client of this name, if it registered the method and the secret is one of its own.
    async fn try_secret(
        &self,
        client_id: &str,
        secret: PresentedSecret<'_>,
        method: AuthMethod,
        methods: MethodMatch,
    ) -> Result<Option<Arc<Client>>, ClientAuthError> {
        let client = self.registry.client(client_id).await?;
        let secret_matches = self.secret_matches(client.as_deref(), secret);
        Ok(client.filter(|client| {
            secret_matches && !client.is_disabled() && method_allowed(client, method, methods)
        }))
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
        let client = match *credentials.presented() {
            Presented::Basic { client_id, secret, verbatim } => {
                let method = AuthMethod::ClientSecretBasic;
                let client = self.try_secret(client_id, secret, method, methods).await?;
                match verbatim {
                    Some((client_id, secret)) if client.is_none() => {
                        self.try_secret(client_id, secret, method, methods).await?
                    }
                    Some(_) | None => client,
                }
            }
            Presented::Post { client_id, secret } => {
                self.try_secret(client_id, secret, AuthMethod::ClientSecretPost, methods).await?
            }
            Presented::ClientId { client_id, .. } => {
                self.registry.client(client_id).await?.filter(|client| {
                    !client.is_disabled()
                        && client.metadata().token_endpoint_auth_method == AuthMethod::None
                })
            }
            Presented::Assertion { .. } => None,
        };
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

/// A client registered for one of the two ways to send a secret may use the other where the policy says so.
fn method_allowed(client: &Client, used: AuthMethod, methods: MethodMatch) -> bool {
    let registered = client.metadata().token_endpoint_auth_method;
    let sends_secret =
        matches!(registered, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
    registered == used || (methods == MethodMatch::EitherSecret && sends_secret)
}
