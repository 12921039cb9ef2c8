//! Registered clients, and where they are looked up.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::auth_method::AuthMethod;
use crate::client::{ClientMetadata, SecretDigest};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::ClientId;
use crate::jose::JwkSet;
use crate::policy::CascadePolicy;
use crate::secret::Secret;

/// Looks a client's registration up.
///
/// # A whole implementation
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use annul::client::{AuthMethod, Client, ClientMetadata, ClientRef, ClientRegistry, SecretDigest};
/// use annul::store::StoreError;
/// use async_trait::async_trait;
///
/// /// A table of the host's own: the digest of each client's secret.
/// struct Rows(Mutex<HashMap<String, [u8; 32]>>);
///
/// #[async_trait]
/// impl ClientRegistry for Rows {
///     async fn client<'a>(&'a self, id: &'a str) -> Result<Option<ClientRef<'a>>, StoreError> {
///         let rows = self.0.lock().map_err(|_| StoreError::unavailable("poisoned"))?;
///         Ok(rows.get(id).map(|digest| {
///             let metadata = ClientMetadata::new(id, AuthMethod::ClientSecretBasic);
///             Client::new(metadata).secret_digest(SecretDigest::from_bytes(*digest), None).into()
///         }))
///     }
/// }
/// ```
///
/// `id` is what a request says, before anything about it is checked: bind it, and never put it into a query's text. Look
/// it up byte for byte: a column that ignores case makes two clients of one.
#[async_trait]
pub trait ClientRegistry: Send + Sync {
    /// The client of this identifier; none if there is no such client.
    ///
    /// Called once for each request, before its credentials are checked; and a second time where
    /// [`BasicDecoding::Lenient`](crate::policy::BasicDecoding::Lenient) reads a failed header once more.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable): not known now; the
    ///   endpoint answers 503.
    async fn client<'a>(&'a self, id: &'a str) -> Result<Option<ClientRef<'a>>, StoreError>;
}

type Answer<'a, 'f> =
    Pin<Box<dyn Future<Output = Result<Option<ClientRef<'a>>, StoreError>> + Send + 'f>>;

#[deny(clippy::missing_trait_methods)]
impl<R: ClientRegistry + ?Sized> ClientRegistry for Arc<R> {
    fn client<'a, 'f>(&'a self, id: &'a str) -> Answer<'a, 'f>
    where
        'a: 'f,
        Self: 'f,
    {
        (**self).client(id)
    }
}

/// A registration that was looked up: borrowed from a registry in memory, or shared with a cache.
///
/// A counter that every request of a busy client goes through would cost more than the look-up.
///
/// ```
/// use annul::client::{AuthMethod, Client, ClientMetadata, ClientRef};
///
/// let client = Client::new(ClientMetadata::new("web", AuthMethod::ClientSecretBasic));
/// let found = ClientRef::from(&client);
/// assert_eq!(found.id().as_str(), "web");
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a registry either has it or fetched it")]
pub enum ClientRef<'a> {
    /// It stands in the registry.
    Borrowed(&'a Client),
    /// It was fetched, or comes out of a cache.
    Shared(Arc<Client>),
}

impl Deref for ClientRef<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        match self {
            Self::Borrowed(client) => client,
            Self::Shared(client) => client,
        }
    }
}

impl<'a> From<&'a Client> for ClientRef<'a> {
    fn from(client: &'a Client) -> Self {
        Self::Borrowed(client)
    }
}

impl From<Arc<Client>> for ClientRef<'_> {
    fn from(client: Arc<Client>) -> Self {
        Self::Shared(client)
    }
}

impl From<Client> for ClientRef<'_> {
    fn from(client: Client) -> Self {
        Self::Shared(Arc::new(client))
    }
}

/// One registered client.
///
/// ```
/// use annul::client::{AuthMethod, Client, ClientMetadata};
///
/// let metadata = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
/// let client = Client::new(metadata).secret("web-secret").may_introspect();
/// assert_eq!(client.id().as_str(), "web");
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    id: ClientId,
    metadata: ClientMetadata,
    keys: JwkSet,
    secrets: Vec<LiveSecret<Digested>>,
    /// PHC strings, which only the feature `argon2` adds and reads.
    hashes: Vec<LiveSecret<Secret>>,
    may_introspect: bool,
    disabled: bool,
    cascade: Option<CascadePolicy>,
}

/// A secret that may still be used, as it is kept.
#[derive(Clone, Debug)]
pub(super) struct LiveSecret<T> {
    pub(super) kept: T,
    expires_at: Option<Timestamp>,
}

/// A secret's digest.
#[derive(Clone, Debug)]
pub(super) struct Digested {
    pub(super) digest: SecretDigest,
    /// The secret itself, for a client of `client_secret_jwt`: a MAC cannot be checked without it.
    recoverable: Option<Secret>,
}

impl<T> LiveSecret<T> {
    /// Whether it has not expired. The clock is asked only where it matters.
    pub(super) fn is_live(&self, now: impl Fn() -> Timestamp) -> bool {
        self.expires_at.is_none_or(|expiry| now() < expiry)
    }
}

impl Client {
    /// A client without a secret. Its keys are those of its metadata.
    pub fn new(metadata: ClientMetadata) -> Self {
        Self {
            id: ClientId::new(&metadata.client_id),
            keys: metadata.key_set(),
            metadata,
            secrets: Vec::new(),
            hashes: Vec::new(),
            may_introspect: false,
            disabled: false,
            cascade: None,
        }
    }

    /// Adds a secret that does not expire. While a secret is rotated, the old and the new one are both added.
    ///
    /// An empty one is none: everybody knows it. Only its digest is kept; and, of a client registered for
    /// `client_secret_jwt`, the secret too, which is wiped when the client is dropped.
    #[must_use]
    pub fn secret(self, secret: &str) -> Self {
        self.add_secret(secret, None)
    }

    /// Adds a secret as [`secret`](Self::secret) does, with the time at which it expires (`client_secret_expires_at`).
    #[must_use]
    pub fn secret_until(self, secret: &str, expires_at: Timestamp) -> Self {
        self.add_secret(secret, Some(expires_at))
    }

    /// Adds a secret that was digested at registration, and when it expires (`client_secret_expires_at`). It cannot serve
    /// for `client_secret_jwt`.
    #[must_use]
    pub fn secret_digest(mut self, digest: SecretDigest, expires_at: Option<Timestamp>) -> Self {
        self.secrets.push(LiveSecret { kept: Digested { digest, recoverable: None }, expires_at });
        self
    }

    fn add_secret(mut self, secret: &str, expires_at: Option<Timestamp>) -> Self {
        if secret.is_empty() {
            return self;
        }
        let recoverable =
            (self.method() == AuthMethod::ClientSecretJwt).then(|| Secret::new(secret));
        let digest = SecretDigest::of(secret);
        self.secrets.push(LiveSecret { kept: Digested { digest, recoverable }, expires_at });
        self
    }

    /// Lets the client introspect every client's tokens: for resource servers.
    #[must_use]
    pub const fn may_introspect(mut self) -> Self {
        self.may_introspect = true;
        self
    }

    /// Replaces the policy's cascade for this client.
    #[must_use]
    pub const fn cascade(mut self, cascade: CascadePolicy) -> Self {
        self.cascade = Some(cascade);
        self
    }

    /// Suspends the client: it can no longer authenticate. Its tokens live on until
    /// [`Target::Client`](crate::Target::Client) is revoked.
    #[must_use]
    pub const fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// Its identifier.
    pub const fn id(&self) -> &ClientId {
        &self.id
    }

    /// What it registered.
    pub const fn metadata(&self) -> &ClientMetadata {
        &self.metadata
    }

    /// The public keys that stand in its metadata (`jwks`).
    pub const fn keys(&self) -> &JwkSet {
        &self.keys
    }

    /// The secrets that have not expired and can be recovered: the keys of `client_secret_jwt`.
    pub fn mac_secrets(&self, now: Timestamp) -> impl Iterator<Item = &Secret> {
        let live = self.secrets.iter().filter(move |secret| secret.is_live(|| now));
        live.filter_map(|secret| secret.kept.recoverable.as_ref())
    }

    pub(super) const fn method(&self) -> AuthMethod {
        self.metadata.token_endpoint_auth_method
    }

    pub(super) fn secrets(&self) -> &[LiveSecret<Digested>] {
        &self.secrets
    }

    pub(super) fn hashes(&self) -> &[LiveSecret<Secret>] {
        &self.hashes
    }

    pub(super) const fn introspects(&self) -> bool {
        self.may_introspect
    }

    /// Whether it is [suspended](Self::disabled): for hosts that authenticate clients elsewhere too.
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    pub(super) const fn own_cascade(&self) -> Option<CascadePolicy> {
        self.cascade
    }
}

#[cfg(feature = "argon2")]
impl Client {
    /// Adds a secret that is kept as a slow hash, and when it expires (`client_secret_expires_at`). A client may
    /// have secrets of both kinds; digests are compared first, because they cost next to nothing. It cannot serve for
    /// `client_secret_jwt`.
    ///
    /// It authenticates nobody before the authenticator is told to hash, with
    /// [`RegisteredClients::secret_hashing`](crate::client::RegisteredClients::secret_hashing).
    ///
    /// ```
    /// use annul::client::{AuthMethod, Client, ClientMetadata, SecretHash};
    ///
    /// let metadata = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    /// // As it was stored when the client registered.
    /// let stored = "$argon2id$v=19$m=19456,t=2,p=1$bm90IG9mdGVuIHVzZWQ$\
    ///               LaIQABn+pkSf3fsAxxS51nQAJJy3L2i7Azac1jKNtlM";
    /// let client = Client::new(metadata).secret_hash(SecretHash::parse(stored)?, None);
    /// # Ok::<(), annul::client::InvalidSecretHash>(())
    /// ```
    #[must_use]
    pub fn secret_hash(
        mut self,
        hash: crate::client::SecretHash,
        expires_at: Option<Timestamp>,
    ) -> Self {
        self.hashes.push(LiveSecret { kept: hash.into_text(), expires_at });
        self
    }
}

/// A registry in memory, filled once.
///
/// ```
/// use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable};
///
/// let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
/// let table = ClientTable::from_iter([spa]);
/// assert_eq!(table.len(), 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientTable(HashMap<Box<str>, Client>);

impl ClientTable {
    /// How many clients are registered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Client> for ClientTable {
    fn from_iter<I: IntoIterator<Item = Client>>(clients: I) -> Self {
        Self(clients.into_iter().map(|client| (client.id.as_str().into(), client)).collect())
    }
}

#[async_trait]
impl ClientRegistry for ClientTable {
    async fn client<'a>(&'a self, id: &'a str) -> Result<Option<ClientRef<'a>>, StoreError> {
        Ok(self.0.get(id).map(ClientRef::Borrowed))
    }
}
