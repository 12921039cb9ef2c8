//! Clients by the certificate of their TLS connection (RFC 8705 section 2).

mod name;
#[cfg(test)]
mod samples;
mod subject;

use std::sync::Arc;

use async_trait::async_trait;

use crate::auth_method::AuthMethod;
use crate::client::certificate::subject::{Expected, Holder};
use crate::client::registered::ProofCheck;
use crate::client::{Client, Credentials, JwksCache, RegisteredClients};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::jose::JwkSet;

/// Proof by the certificate of the TLS connection (RFC 8705): `tls_client_auth` and `self_signed_tls_client_auth`.
///
/// A client of `tls_client_auth` is the one whose registered subject the certificate has. Just one must be registered.
///
/// | member | compared |
/// |---|---|
/// | `tls_client_auth_subject_dn` | as RFC 5280 section 7.1 says; written as RFC 4514 says, last part first |
/// | `tls_client_auth_san_dns` | in any case; a pattern in the certificate is not expanded |
/// | `tls_client_auth_san_uri` | byte for byte |
/// | `tls_client_auth_san_ip` | in binary, however it is spelled |
/// | `tls_client_auth_san_email` | the local part byte for byte, the domain in any case |
///
/// A client of `self_signed_tls_client_auth` is the one whose key set (`jwks`; or `jwks_uri`, with
/// [`key_sets`](Self::key_sets)) has this very certificate, as the first of a key's `x5c`. Another certificate for the
/// same key is another.
///
/// ```
/// use annul::client::{AuthMethod, Certificates, Client, ClientMetadata, ClientTable, RegisteredClients};
/// use annul::wire::request::PresentedCertificate;
/// use annul::{Authority, MemoryStore, Request};
///
/// # async fn demo(der: &[u8]) {
/// let mut bank = ClientMetadata::new("bank", AuthMethod::TlsClientAuth);
/// bank.tls_client_auth_subject_dn = Some("CN=bank,O=Example,C=DE".to_owned());
/// let clients = RegisteredClients::new(ClientTable::from_iter([Client::new(bank)]))
///     .certificates(Certificates::new());
/// let authority = Authority::new(MemoryStore::new(), clients);
///
/// // What the TLS stack says, once its handshake is over.
/// let request = Request::post(b"token=rt-1&client_id=bank")
///     .header("content-type", b"application/x-www-form-urlencoded")
///     .certificate(PresentedCertificate::verified(der));
/// let response = annul::handle_revoke(&authority, &request).await;
/// # }
/// ```
///
/// # Security
///
/// - Nothing here validates a chain, an expiry or a revocation list: the TLS stack does, for an authority that is trusted
///   to name *clients*. A certificate that it let through without goes in as
///   [`unverified`](crate::wire::request::PresentedCertificate::unverified), which opens nothing to a client of `tls_client_auth`.
/// - A registered certificate is good until it is taken out of the key set, its expiry notwithstanding.
/// - Every certificate is parsed, whoever shows it and whatever comes of it. A client whose keys are fetched (`jwks_uri`)
///   can be told from others by the time of the fetch, once in an interval.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    key_sets: Option<Arc<JwksCache>>,
}

impl Certificates {
    /// Both methods. A policy's [`auth_methods`](crate::Policy::auth_methods) can exclude one.
    pub const fn new() -> Self {
        Self { key_sets: None }
    }

    /// Fetches the certificates of clients that registered a `jwks_uri`.
    #[must_use]
    pub fn key_sets(mut self, cache: impl Into<Arc<JwksCache>>) -> Self {
        self.key_sets = Some(cache.into());
        self
    }

    /// Whether the client registered this very certificate.
    async fn is_registered(&self, client: &Client, der: &[u8], now: Timestamp) -> bool {
        let has_it = |keys: &JwkSet| keys.keys().iter().any(|key| key.certificate() == Some(der));
        if has_it(client.keys()) {
            return true;
        }
        match (&self.key_sets, client.metadata().jwks_uri.as_deref()) {
            (Some(cache), Some(uri)) => {
                // A client that renews its certificate is not to wait until the set is old.
                let keys = cache.keys_with(uri, has_it, now).await;
                keys.is_some_and(|keys| has_it(&keys))
            }
            (None, _) | (_, None) => false,
        }
    }
}

impl<R> RegisteredClients<R> {
    /// Accepts the certificates of clients that registered a method for them.
    #[must_use]
    pub fn certificates(mut self, certificates: Certificates) -> Self {
        self.certificates = Some(Arc::new(certificates));
        self
    }
}

#[async_trait]
impl ProofCheck for Certificates {
    async fn check(
        &self,
        client: Option<&Client>,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(certificate) = credentials.certificate() else {
            return Ok(false);
        };
        // Parsed for nobody too, and for those who need no more than its bytes: a failure costs the same.
        let holder = Holder::read(certificate.der());
        let Some(client) = client else {
            return Ok(false);
        };
        Ok(match client.method() {
            AuthMethod::TlsClientAuth => {
                let expected = Expected::of(client.metadata());
                let is_expected =
                    holder.zip(expected).is_some_and(|(holder, expected)| holder.is(&expected));
                certificate.is_verified() && is_expected
            }
            AuthMethod::SelfSignedTlsClientAuth => {
                self.is_registered(client, certificate.der(), now).await
            }
            AuthMethod::ClientSecretBasic
            | AuthMethod::ClientSecretJwt
            | AuthMethod::ClientSecretPost
            | AuthMethod::None
            | AuthMethod::PrivateKeyJwt => false,
        })
    }
}
