//! Who is asking? The trait an authenticator implements, and the shipped one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::wire::error::Refusal;

#[cfg(feature = "jwt")]
mod assertion;
mod authenticated;
#[cfg(feature = "mtls")]
mod certificate;
mod credentials;
#[cfg(feature = "argon2")]
mod hashed;
#[cfg(feature = "jwks")]
mod jwks;
mod metadata;
mod registered;
mod registry;
#[cfg(feature = "jwt")]
mod replay;
mod secret;

pub use crate::auth_method::{AuthMethod, AuthMethods};
#[cfg(feature = "jwt")]
pub use assertion::Assertions;
pub use authenticated::{AuthenticatedClient, ClientKind};
#[cfg(feature = "mtls")]
pub use certificate::Certificates;
pub use credentials::{Credentials, Presented};
#[cfg(feature = "argon2")]
pub use hashed::HashingLimits;
#[cfg(feature = "argon2")]
pub use hashed::HashingStats;
#[cfg(feature = "argon2")]
pub use hashed::InvalidSecretHash;
#[cfg(feature = "argon2")]
pub use hashed::SecretHash;
#[cfg(feature = "argon2")]
pub use hashed::SecretHashing;
#[cfg(feature = "jwks")]
pub use jwks::JwksCache;
#[cfg(feature = "jwks")]
pub use jwks::JwksSource;
pub use metadata::{ClientMetadata, InvalidMetadata};
pub use registered::RegisteredClients;
pub use registry::{Client, ClientRef, ClientRegistry, ClientTable};
#[cfg(feature = "jwt")]
pub use replay::AssertionUse;
#[cfg(feature = "jwt")]
pub use replay::LedgerReplayGuard;
#[cfg(feature = "jwt")]
pub use replay::MemoryReplayGuard;
#[cfg(feature = "jwt")]
pub use replay::ReplayGuard;
#[cfg(feature = "jwt")]
pub use replay::Use;
pub use secret::SecretDigest;

/// Decides whether credentials are a registered client's.
///
/// # A whole implementation
///
/// ```
/// use annul::client::{
///     AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind, Credentials, Presented,
///     SecretDigest,
/// };
/// use async_trait::async_trait;
///
/// /// A server with one client.
/// struct OneClient {
///     digest: SecretDigest,
/// }
///
/// #[async_trait]
/// impl ClientAuthenticator for OneClient {
///     async fn authenticate(
///         &self,
///         credentials: Credentials<'_>,
///     ) -> Result<AuthenticatedClient, ClientAuthError> {
///         let &Presented::Basic { client_id, secret, .. } = credentials.presented() else {
///             return Err(ClientAuthError::Rejected);
///         };
///         // The digest is compared for unknown names too: both failures cost the same.
///         let secret_matches = self.digest.matches(secret);
///         if client_id == "web" && secret_matches {
///             Ok(credentials.accepted_as("web".into(), ClientKind::Confidential))
///         } else {
///             Err(ClientAuthError::Rejected)
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait ClientAuthenticator: Send + Sync {
    /// Accepts the credentials, with [`Credentials::accepted_as`], or rejects them.
    ///
    /// Called once for each request, before any token is looked up.
    ///
    /// # Security
    ///
    /// - Accepting wrong credentials lets a stranger revoke and introspect that client's tokens.
    /// - Answering faster, or otherwise, for unknown clients than for wrong secrets tells strangers which
    ///   clients exist.
    ///
    /// # Errors
    ///
    /// - [`ClientAuthError::Rejected`]: not a registered client's credentials, whatever is wrong with them.
    /// - [`ClientAuthError::Refused`]: the same, with an answer of the method's own. What it says must not depend on
    ///   whether the client exists.
    /// - [`ClientAuthError::Store`]: not known now; the endpoint answers 503, never 401.
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError>;
}

/// Why credentials were not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientAuthError {
    /// They are not enough, and the client is to be told what to do: for methods that define error codes and headers of
    /// their own, such as `use_attestation_challenge`. It is not counted as a failure by a
    /// [`Throttle`](crate::throttle::Throttle); what is plainly wrong is [`Rejected`](Self::Rejected).
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// They are not a registered client's.
    #[error("client authentication failed")]
    Rejected,
    /// The place where clients are registered failed.
    #[error("the client registry failed")]
    Store(#[from] StoreError),
}

impl From<Refusal> for ClientAuthError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

type Answer<'f> =
    Pin<Box<dyn Future<Output = Result<AuthenticatedClient, ClientAuthError>> + Send + 'f>>;

macro_rules! forward {
    ($($Pointer:ty),+) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<T: ClientAuthenticator + ?Sized> ClientAuthenticator for $Pointer {
            fn authenticate<'s, 'c, 'f>(&'s self, credentials: Credentials<'c>) -> Answer<'f>
            where
                's: 'f,
                'c: 'f,
                Self: 'f,
            {
                (**self).authenticate(credentials)
            }
        }
    )+};
}

forward!(&T, Box<T>, Arc<T>);
