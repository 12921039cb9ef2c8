//! `private_key_jwt` and `client_secret_jwt`: JWTs that clients sign to say who they are.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::auth_method::AuthMethod;
use crate::client::registered::ProofCheck;
use crate::client::{
    AssertionUse, Client, ClientRegistry, Credentials, JwksCache, MemoryReplayGuard, Presented,
    RegisteredClients, ReplayGuard, Use,
};
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::issuer::Issuer;
use crate::jose::{Algorithm, JwkSet};
use crate::jwt;
use crate::jwt::{Compact, Key};
use crate::policy::{AssertionPolicy, AudiencePolicy};

/// The only type of assertion there is (RFC 7523 section 2.2); SAML ones are not for new servers.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// FAPI 2.0 section 5.3.2.1: clocks that are further apart are not to be tolerated.
const MOST_SKEW: Duration = Duration::from_secs(60);

/// How long a use is remembered beyond `exp`. The same under every policy, since endpoints that share a guard may differ in
/// skew; and longer than any skew, since processes that share one may differ in time.
const REMEMBERED: Duration = MOST_SKEW.saturating_mul(2);

/// A client may have two secrets while one is rotated; nobody's are compared as often.
const MAC_COMPARISONS: usize = 2;

/// Verifies assertions: `private_key_jwt` and `client_secret_jwt` (RFC 7523; OpenID Connect Core section 9).
///
/// What an assertion must be like is the policy's to say ([`AssertionPolicy`]); this knows who the server is, which
/// assertions were used, and where keys are fetched. There is none without an [`Issuer`]: an assertion is addressed to
/// somebody.
///
/// ```
/// use annul::Issuer;
/// use annul::client::{Assertions, AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
///
/// let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let job = ClientMetadata::new("job", AuthMethod::PrivateKeyJwt).with_jwks(keys).unwrap();
///
/// let issuer = Issuer::new("https://as.example").unwrap();
/// let clients = RegisteredClients::new(ClientTable::from_iter([Client::new(job)]))
///     .assertions(Assertions::new(issuer));
/// ```
///
/// # Security
///
/// - An algorithm is accepted if the policy has it, if it is the one the client registered
///   (`token_endpoint_auth_signing_alg`), and if the registered key is of its type: a MAC is checked with a secret of a
///   client of `client_secret_jwt`, a signature with a public key of one of `private_key_jwt`, and never the one with
///   the other's.
/// - The header's `kid` chooses among the registered keys. A key, or the place of one, in the header is not looked at.
/// - A well-formed assertion costs one signature check (or two MACs) for any sender. A malformed one is refused before that,
///   for any sender alike. A client whose keys are fetched (`jwks_uri`) can be
///   told from others by the time of the fetch, once in an interval; and so can one that registered an RSA key with
///   another exponent than 65 537, or a third secret.
#[derive(Clone)]
pub struct Assertions {
    issuer: Issuer,
    endpoints: Vec<Box<str>>,
    replays: Arc<dyn ReplayGuard>,
    key_sets: Option<Arc<JwksCache>>,
}

impl Assertions {
    /// Assertions that are addressed to `issuer`. Up to a million uses are remembered in memory, and no key sets are
    /// fetched: a client whose keys are at a `jwks_uri` is refused until [`key_sets`](Self::key_sets) is given.
    pub fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            endpoints: Vec::new(),
            replays: Arc::new(MemoryReplayGuard::default()),
            key_sets: None,
        }
    }

    /// Also accepts this endpoint's URL as an audience, where the policy is [`AudiencePolicy::Legacy`].
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<Box<str>>) -> Self {
        self.endpoints.push(url.into());
        self
    }

    /// Remembers uses here: in a store that all processes of the server share, or in the token endpoint's own guard.
    #[must_use]
    pub fn replay_guard(mut self, replays: impl ReplayGuard + 'static) -> Self {
        self.replays = Arc::new(replays);
        self
    }

    /// Fetches the keys of clients that registered a `jwks_uri`.
    #[must_use]
    pub fn key_sets(mut self, cache: impl Into<Arc<JwksCache>>) -> Self {
        self.key_sets = Some(cache.into());
        self
    }

    /// Whether `assertion` proves, now, to be from `client`: for hosts that authenticate clients elsewhere too. Without a
    /// client, or with one that is disabled, the answer is no, after the same work. An assertion that is accepted is used
    /// up.
    ///
    /// Of the client its method, its algorithm and its keys are looked at. What
    /// [`Policy::auth_methods`](crate::Policy::auth_methods) says is the caller's to ask.
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: whether it was used before is not known.
    pub async fn verify(
        &self,
        client: Option<&Client>,
        assertion: &str,
        policy: &AssertionPolicy,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(jwt) = Compact::read(assertion) else {
            return Ok(false);
        };
        let Some(claims) = self.accept(&jwt, policy, now) else {
            // Nothing of this depends on who is registered.
            return Ok(false);
        };
        let client = client.filter(|client| !client.is_disabled());
        let signed = self.is_signed(client, &jwt, now).await;
        let Some(client) = client.filter(|client| client.id().as_str() == claims.subject && signed)
        else {
            return Ok(false);
        };
        let Some(jti) = claims.jti else {
            return Ok(true);
        };
        let expires_at = claims.expires_at + REMEMBERED;
        let first = AssertionUse::new(client.id(), jti, expires_at, now);
        Ok(self.replays.enter(first).await? == Use::First)
    }

    /// The claims, if they are what the policy wants, whoever the client is.
    fn accept<'j>(
        &self,
        jwt: &'j Compact<'_>,
        policy: &AssertionPolicy,
        now: Timestamp,
    ) -> Option<Claims<'j>> {
        if !policy.algorithms.contains(jwt.algorithm) || !is_for_this(jwt.typ.as_deref(), policy) {
            return None;
        }
        let claims = &jwt.claims;
        let issuer = claims.text("iss").ok()??;
        let subject = claims.text("sub").ok()??;
        let expires_at = claims.time("exp").ok()??;
        let not_before = claims.time("nbf").ok()?;
        let issued_at = claims.time("iat").ok()?;
        let jti = claims.text("jti").ok()?.filter(|jti| !jti.is_empty());
        let skew = skew(policy);
        let latest = now + skew;
        let young = match policy.max_age {
            Some(age) => issued_at.is_some_and(|issued| now <= issued + age + skew),
            None => true,
        };
        let timely = now < expires_at + skew
            && expires_at <= latest + policy.max_lifetime
            && not_before.is_none_or(|start| start <= latest)
            && issued_at.is_none_or(|issued| issued <= latest)
            && young;
        let accepted = issuer == subject
            && timely
            && (jti.is_some() || !policy.require_jti)
            && self.is_audience(claims.get("aud")?, policy.audience);
        accepted.then_some(Claims { subject, expires_at, jti })
    }

    fn is_audience(&self, audience: &Value, policy: AudiencePolicy) -> bool {
        let is_issuer = |value: &Value| value.as_str() == Some(self.issuer.as_str());
        let is_ours = |value: &Value| {
            let mut endpoints = self.endpoints.iter().map(AsRef::as_ref);
            is_issuer(value) || endpoints.any(|endpoint: &str| value.as_str() == Some(endpoint))
        };
        match (policy, audience.as_array().map(Vec::as_slice)) {
            (AudiencePolicy::IssuerOnly, Some([only])) => is_issuer(only),
            (AudiencePolicy::IssuerOnly | AudiencePolicy::IssuerStringOnly, Some(_)) => false,
            (AudiencePolicy::IssuerOnly | AudiencePolicy::IssuerStringOnly, None) => {
                is_issuer(audience)
            }
            (AudiencePolicy::Legacy, Some(audiences)) => audiences.iter().any(is_ours),
            (AudiencePolicy::Legacy, None) => is_ours(audience),
        }
    }

    /// Whether it is signed with a key, or under a secret, of this client. Costs the same for nobody.
    async fn is_signed(&self, client: Option<&Client>, jwt: &Compact<'_>, now: Timestamp) -> bool {
        let verify = |key| jwt::verify(jwt.algorithm, key, jwt.message, &jwt.signature);
        let method = if jwt.algorithm.is_mac() {
            AuthMethod::ClientSecretJwt
        } else {
            AuthMethod::PrivateKeyJwt
        };
        let client = client.filter(|client| {
            let pinned = client.metadata().token_endpoint_auth_signing_alg.as_deref();
            client.metadata().token_endpoint_auth_method == method
                && pinned.is_none_or(|name| Algorithm::from_name(name) == Some(jwt.algorithm))
        });
        if jwt.algorithm.is_mac() {
            let mut secrets = client.into_iter().flat_map(|client| client.mac_secrets(now));
            let tries = (0..MAC_COMPARISONS).map(|_| secrets.next().map_or(Key::Nobody, Key::Mac));
            let tries: Vec<Key<'_>> = tries.collect();
            return tries
                .into_iter()
                .chain(secrets.map(Key::Mac))
                .fold(false, |found, key| verify(key) | found);
        }
        let fetched = match (client, &self.key_sets) {
            (Some(client), Some(cache)) => match &client.metadata().jwks_uri {
                Some(uri) => cache.keys(uri, jwt.kid.as_deref(), now).await,
                None => None,
            },
            _ => None,
        };
        let registered = client.map(Client::keys);
        let keys: Option<&JwkSet> = fetched.as_deref().or(registered);
        let key = keys.and_then(|keys| keys.select(jwt.kid.as_deref(), jwt.algorithm)?.key());
        verify(key.map_or(Key::Nobody, Key::Public))
    }
}

/// What is left to check once the policy is content.
struct Claims<'j> {
    subject: &'j str,
    expires_at: Timestamp,
    jti: Option<&'j str>,
}

fn skew(policy: &AssertionPolicy) -> Duration {
    policy.clock_skew.min(MOST_SKEW)
}

/// Whether the header's `typ` lets it be a client's assertion (RFC 8725 section 3.11; rfc7523bis section 3.2).
///
/// Most clients send `JWT` or nothing. One that names another kind of JWT, such as a logout token or an access token, was
/// made for something else, whatever its claims are.
fn is_for_this(typ: Option<&str>, policy: &AssertionPolicy) -> bool {
    const OWN: &str = "client-authentication+jwt";

    let Some(typ) = typ else {
        return !policy.require_typ;
    };
    // RFC 7515 s4.1.9: "application/" may be left out, and media types are compared in any case.
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let own =
        typ.strip_suffix(OWN).is_some_and(|more| more.is_empty() || more.ends_with(['-', '.']));
    own || (!policy.require_typ && !typ.ends_with("+jwt"))
}

impl<R: ClientRegistry> RegisteredClients<R> {
    /// Also authenticates clients that registered `private_key_jwt` or `client_secret_jwt`.
    #[must_use]
    pub fn assertions(mut self, assertions: Assertions) -> Self {
        self.assertions = Some(Arc::new(assertions));
        self
    }
}

#[async_trait]
impl ProofCheck for Assertions {
    async fn check(
        &self,
        client: Option<&Client>,
        credentials: &Credentials<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let &Presented::Assertion { assertion_type, assertion: Some(assertion), client_id } =
            credentials.presented()
        else {
            return Ok(false);
        };
        // RFC 7521 s4.2: "The value [of client_id] MUST identify the same client as is identified by the client assertion."
        let same = |client: &&Client| client_id.is_none_or(|named| named == client.id().as_str());
        if assertion_type != Some(JWT_BEARER) {
            return Ok(false);
        }
        let policy = &credentials.policy().assertions;
        self.verify(client.filter(same), assertion.expose_secret(), policy, now).await
    }
}

impl fmt::Debug for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertions")
            .field("issuer", &self.issuer)
            .field("endpoints", &self.endpoints)
            .field("key_sets", &self.key_sets)
            .finish_non_exhaustive()
    }
}
