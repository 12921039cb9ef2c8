//! Client metadata, by the names of the registration specifications.

use serde::{Deserialize, Serialize};

use crate::auth_method::{AuthMethod, AuthMethods};
use crate::jose::{Algorithm, InvalidJwkSet, JwkSet};

/// What a client registered (RFC 7591 section 2; OpenID Connect registration and logout; RFC 8705).
///
/// Members that this crate does not know are ignored; members that belong to features which are not built in
/// are kept.
///
/// ```
/// use annul::client::{AuthMethod, ClientMetadata};
///
/// let json = r#"{ "client_id": "spa", "token_endpoint_auth_method": "none", "logo_uri": "x" }"#;
/// let metadata: ClientMetadata = serde_json::from_str(json).unwrap();
/// assert_eq!(metadata.token_endpoint_auth_method, AuthMethod::None);
/// metadata.validate().unwrap();
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(default)]
pub struct ClientMetadata {
    /// The client identifier.
    pub client_id: String,
    /// How it authenticates; `client_secret_basic` where it does not say.
    pub token_endpoint_auth_method: AuthMethod,
    /// The one algorithm its assertions are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// Where its key set is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks: Option<serde_json::Value>,
    /// `web` or `native`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_type: Option<String>,
    /// The algorithm its ID tokens, and so its logout tokens, are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<String>,
    /// Where a browser may be sent after logout; compared byte for byte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where logout tokens go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether logout tokens must name the session.
    pub backchannel_logout_session_required: bool,
    /// What is loaded in an iframe on logout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontchannel_logout_uri: Option<String>,
    /// Whether that must name issuer and session.
    pub frontchannel_logout_session_required: bool,
    /// The expected subject of its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_subject_dn: Option<String>,
    /// The expected DNS name in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_dns: Option<String>,
    /// The expected URI in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_uri: Option<String>,
    /// The expected IP address in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_ip: Option<String>,
    /// The expected email address in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_client_auth_san_email: Option<String>,
}

/// Why metadata cannot be registered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidMetadata {
    /// `client_id` is empty or holds characters outside `VSCHAR` (RFC 6749 appendix A.1).
    #[error("client_id must be one or more visible ASCII characters")]
    ClientId,
    /// No subject was registered for the certificate of a client of `tls_client_auth` (RFC 8705 section 2.1.2: it "MUST
    /// use exactly one of the below metadata parameters").
    #[error("a client of tls_client_auth must register the subject of its certificate")]
    NoSubject,
    /// The `token_endpoint_auth_signing_alg` of a client that authenticates by assertion is `none`, or not an algorithm
    /// that this crate verifies (OpenID Connect Registration section 2: "The value none MUST NOT be used").
    #[error("token_endpoint_auth_signing_alg is no algorithm that an assertion may have")]
    SigningAlgorithm,
    /// `jwks` and `jwks_uri` exclude each other (RFC 7591 section 2).
    #[error("jwks and jwks_uri exclude each other")]
    TwoKeySets,
    /// More than one subject was registered for the certificate (RFC 8705 section 2.1.2).
    #[error("no more than one certificate subject may be registered")]
    TwoSubjects,
}

impl ClientMetadata {
    /// The metadata of a client that authenticates by `method`.
    pub fn new(client_id: impl Into<String>, method: AuthMethod) -> Self {
        Self { client_id: client_id.into(), token_endpoint_auth_method: method, ..Self::default() }
    }

    /// Adds the client's public keys (`jwks`): a JWK set, as JSON.
    ///
    /// ```
    /// use annul::client::{AuthMethod, ClientMetadata};
    ///
    /// let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    /// let metadata = ClientMetadata::new("job", AuthMethod::PrivateKeyJwt).with_jwks(keys).unwrap();
    /// assert!(metadata.has_jwks());
    /// ```
    ///
    /// # Errors
    ///
    /// - [`InvalidJwkSet`]: not JSON, or not an object with an array `keys`.
    pub fn with_jwks(mut self, json: &str) -> Result<Self, InvalidJwkSet> {
        let value = serde_json::from_str(json).map_err(|_| InvalidJwkSet)?;
        JwkSet::from_value(&value)?;
        self.jwks = Some(value);
        Ok(self)
    }

    /// The keys that can be used; what is no key set holds none.
    pub(super) fn key_set(&self) -> JwkSet {
        self.jwks.as_ref().and_then(|jwks| JwkSet::from_value(jwks).ok()).unwrap_or_default()
    }

    /// Whether a key set stands in the metadata itself.
    pub const fn has_jwks(&self) -> bool {
        self.jwks.is_some()
    }

    /// Checks what the registration specifications forbid. Nothing else calls it: a host does, before it registers a
    /// client.
    ///
    /// A client of `private_key_jwt` or `self_signed_tls_client_auth` without a key set passes: its keys may come later.
    /// Until then it cannot authenticate. Nor are the keys themselves checked: those that cannot be used are left out of
    /// [`Client::keys`](crate::client::Client::keys).
    ///
    /// # Errors
    ///
    /// - [`InvalidMetadata`], naming the first rule that is broken.
    pub fn validate(&self) -> Result<(), InvalidMetadata> {
        if self.client_id.is_empty() || !self.client_id.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Err(InvalidMetadata::ClientId);
        }
        if self.jwks.is_some() && self.jwks_uri.is_some() {
            return Err(InvalidMetadata::TwoKeySets);
        }
        let asserts = AuthMethods::of(&[self.token_endpoint_auth_method]).has_assertions();
        let signing_alg = self.token_endpoint_auth_signing_alg.as_deref().filter(|_| asserts);
        if signing_alg.is_some_and(|name| Algorithm::from_name(name).is_none()) {
            return Err(InvalidMetadata::SigningAlgorithm);
        }
        let subjects = [
            &self.tls_client_auth_subject_dn,
            &self.tls_client_auth_san_dns,
            &self.tls_client_auth_san_uri,
            &self.tls_client_auth_san_ip,
            &self.tls_client_auth_san_email,
        ];
        let mut subjects = subjects.into_iter().flatten();
        let subject = subjects.next();
        if subjects.next().is_some() {
            return Err(InvalidMetadata::TwoSubjects);
        }
        let wants_subject = self.token_endpoint_auth_method == AuthMethod::TlsClientAuth;
        if wants_subject && subject.is_none_or(String::is_empty) {
            return Err(InvalidMetadata::NoSubject);
        }
        Ok(())
    }
}
