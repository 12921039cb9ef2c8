//! The shipped authenticator: clients by their registered metadata.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use subtle::Choice;

use crate::auth_method::{AuthMethod, AuthMethods};
use crate::client::{
    AuthenticatedClient, Client, ClientAuthError, ClientAuthenticator, ClientKind, ClientRef,
    ClientRegistry, ClientTable, Credentials, Presented, SecretDigest,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::StoreError;
use crate::policy::{MethodMatch, Policy};
use crate::secret::{PresentedSecret, Secret};

/// Authenticates clients by what they registered.
///
/// As it is made it knows `client_secret_basic`, `client_secret_post` and `none`. Assertions come with the feature `jwt`
/// and its method `assertions`, certificates with `mtls` and `certificates`, secrets that are kept as hashes with `argon2`
/// and `secret_hashing`. [The guide](crate::guide::authenticating_clients) has an example for each.
///
/// An unknown client, a wrong secret, an expired one, a forged assertion, another client's certificate, a disabled
/// client and a method other than the registered one are refused alike, after the same work.
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
    pub(super) assertions: Option<Arc<dyn ProofCheck>>,
    pub(super) certificates: Option<Arc<dyn ProofCheck>>,
    pub(super) hashes: Option<Arc<dyn HashCheck>>,
}

/// Checks proofs other than secrets. Each implementation comes with its feature.
#[async_trait]
pub(super) trait ProofCheck: Send + Sync {
    /// Whether the credentials prove to be `client`.
    ///
    /// Without a client the answer is no, after the same work.
    async fn check(
        &self,
        client: Option<&Client>,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Checks secrets that are kept as slow hashes. The implementation comes with its feature.
#[async_trait]
pub(super) trait HashCheck: Send + Sync {
    /// Whether one of the hashes, PHC strings, is the secret's.
    ///
    /// Without any the answer is no, after the same work.
    async fn matches_any(
        &self,
        client_id: &str,
        secret: PresentedSecret<'_>,
        hashes: &[&Secret],
    ) -> Result<bool, StoreError>;
}

/// How many secrets are compared at least: a client has two while one is rotated.
const COMPARISONS: usize = 2;

impl<R: ClientRegistry> RegisteredClients<R> {
    /// Clients looked up in `registry`.
    pub fn new(registry: R) -> Self {
        Self {
            registry,
            clock: Arc::new(SystemClock),
            assertions: None,
            certificates: None,
            hashes: None,
        }
    }

    /// Asks another clock whether a secret or an assertion has expired.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The methods that clients can authenticate by under this policy: what server metadata is to say.
    pub fn auth_methods(&self, policy: &Policy) -> AuthMethods {
        let mut methods = AuthMethods::of(&[
            AuthMethod::ClientSecretBasic,
            AuthMethod::ClientSecretPost,
            AuthMethod::None,
        ]);
        if self.assertions.is_some() {
            methods = methods.with(AuthMethod::ClientSecretJwt).with(AuthMethod::PrivateKeyJwt);
        }
        if self.certificates.is_some() {
            methods =
                methods.with(AuthMethod::SelfSignedTlsClientAuth).with(AuthMethod::TlsClientAuth);
        }
        methods.and(policy.auth_methods)
    }

    /// The client that sent a secret.
    async fn by_secret<'a>(
        &'a self,
        (client_id, secret): (&'a str, PresentedSecret<'a>),
        method: AuthMethod,
        policy: &Policy,
    ) -> Result<Option<ClientRef<'a>>, StoreError> {
        let client = self.registry.client(client_id).await?;
        let client = client.filter(|client| may_use(client, method, policy));
        // Compared for nobody too: a failure costs the same whatever its cause.
        let secret_matches = self.digest_matches(client.as_deref(), secret)
            || self.hash_matches(client.as_deref(), client_id, secret).await?;
        // An empty one is none, also where a digest or a hash of it was registered.
        let is_given = !secret.expose_secret().is_empty();
        Ok(client.filter(|_| secret_matches && is_given))
    }

    /// The client that only named itself: a public one, or one that its certificate proves.
    async fn by_name<'a>(
        &'a self,
        client_id: &'a str,
        credentials: &Credentials<'a>,
    ) -> Result<Option<ClientRef<'a>>, StoreError> {
        let client = self.registry.client(client_id).await?;
        let client = client.filter(|client| may_use(client, client.method(), credentials.policy()));
        if let Some(client) = client.as_ref().filter(|client| client.method() == AuthMethod::None) {
            return Ok(Some(client.clone()));
        }
        let certified = client.filter(|client| {
            matches!(
                client.method(),
                AuthMethod::SelfSignedTlsClientAuth | AuthMethod::TlsClientAuth
            )
        });
        self.by_proof(self.certificates.as_ref(), certified, credentials).await
    }

    /// The client that an assertion is from.
    async fn by_assertion<'a>(
        &'a self,
        credentials: &Credentials<'a>,
    ) -> Result<Option<ClientRef<'a>>, StoreError> {
        let client = match credentials.claimed_client() {
            Some(client_id) => self.registry.client(client_id).await?,
            None => None,
        };
        let asserting = client.filter(|client| {
            let method = client.method();
            matches!(method, AuthMethod::ClientSecretJwt | AuthMethod::PrivateKeyJwt)
                && may_use(client, method, credentials.policy())
        });
        self.by_proof(self.assertions.as_ref(), asserting, credentials).await
    }

    async fn by_proof<'a>(
        &'a self,
        check: Option<&Arc<dyn ProofCheck>>,
        client: Option<ClientRef<'a>>,
        credentials: &Credentials<'a>,
    ) -> Result<Option<ClientRef<'a>>, StoreError> {
        let Some(check) = check else {
            return Ok(None);
        };
        let proven = check.check(client.as_deref(), credentials, self.clock.now()).await?;
        Ok(client.filter(|_| proven))
    }

    fn digest_matches(&self, client: Option<&Client>, secret: PresentedSecret<'_>) -> bool {
        let presented = SecretDigest::of(secret.expose_secret());
        let nobody = SecretDigest::from_bytes([0; 32]);
        let secrets = client.map(Client::secrets).unwrap_or_default();
        let mut found = Choice::from(0);
        for index in 0..secrets.len().max(COMPARISONS) {
            let candidate = secrets.get(index);
            let live = candidate.is_some_and(|candidate| candidate.is_live(|| self.clock.now()));
            let digest = candidate.map_or(&nobody, |candidate| &candidate.kept.digest);
            found |= digest.equals(&presented) & Choice::from(u8::from(live));
        }
        found.into()
    }

    /// Asked for every secret that is nobody's digest, so that each such secret costs its hashes.
    async fn hash_matches(
        &self,
        client: Option<&Client>,
        client_id: &str,
        secret: PresentedSecret<'_>,
    ) -> Result<bool, StoreError> {
        let Some(check) = &self.hashes else {
            return Ok(false);
        };
        let hashes = client.map(Client::hashes).unwrap_or_default();
        let live = hashes.iter().filter(|hash| hash.is_live(|| self.clock.now()));
        let live: Vec<&Secret> = live.map(|hash| &hash.kept).collect();
        check.matches_any(client_id, secret, &live).await
    }
}

/// Whether the client may authenticate by this method: it is the registered one, or stands for it, and the policy has it.
fn may_use(client: &Client, method: AuthMethod, policy: &Policy) -> bool {
    let sends_secret =
        |method| matches!(method, AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost);
    let either = policy.methods == MethodMatch::EitherSecret;
    let registered = client.method() == method
        || (either && sends_secret(client.method()) && sends_secret(method));
    registered && policy.auth_methods.contains(method) && !client.is_disabled()
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
        let policy = credentials.policy();
        let client = match *credentials.presented() {
            Presented::Assertion { .. } => self.by_assertion(&credentials).await?,
            Presented::Basic { client_id, secret, verbatim } => {
                let method = AuthMethod::ClientSecretBasic;
                // Mostly it reads the same; then a second look would cost as much again, for nothing.
                let verbatim = verbatim.filter(|(id, other)| {
                    *id != client_id || other.expose_secret() != secret.expose_secret()
                });
                match (self.by_secret((client_id, secret), method, policy).await?, verbatim) {
                    // Not encoded, perhaps.
                    (None, Some(verbatim)) => self.by_secret(verbatim, method, policy).await?,
                    (client, _) => client,
                }
            }
            Presented::ClientId { client_id } => self.by_name(client_id, &credentials).await?,
            Presented::Post { client_id, secret } => {
                let method = AuthMethod::ClientSecretPost;
                self.by_secret((client_id, secret), method, policy).await?
            }
            Presented::Authorization { .. } | Presented::Nothing => None,
        };
        let client = client.ok_or(ClientAuthError::Rejected)?;
        let kind = match client.method() {
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
