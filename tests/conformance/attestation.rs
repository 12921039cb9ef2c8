//! Attestation-based client authentication (a draft), implemented outside the crate: what a method that is defined by
//! headers needs of the authenticator trait, of its errors, and of the ownership check.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use annul::client::{
    AuthMethod, AuthenticatedClient, Client, ClientAuthError, ClientAuthenticator, ClientKind,
    ClientMetadata, ClientTable, Credentials, Presented, RegisteredClients,
};
use annul::policy::{ForeignToken, ForeignTokenPolicy};
use annul::wire::basic;
use annul::wire::error::Refusal;
use annul::wire::request::Header;
use annul::{Authority, FakeClock, Grant, GrantId, MemoryStore, Policy, Request, Response};
use async_trait::async_trait;
use aws_lc_rs::signature;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::doubles::{Journal, policy};
use crate::index::{Index, Status};
use crate::signer::{Assertion, ISSUER, JWT_BEARER, SigningKey};
use crate::support::{FORM, START, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("attestation.rs"),
    requirements: &[
        (
            "ATT-01",
            Status::Tested(&[
                "att_01_a_method_of_the_hosts_own_sees_every_header",
                "att_01_a_flawed_attestation_authenticates_nobody",
                "att_01_other_methods_go_on_working_beside_it",
            ]),
        ),
        (
            "ATT-02",
            Status::Tested(&[
                "att_02_a_challenge_is_demanded_with_a_code_and_a_header",
                "att_02_a_refusal_is_a_failed_attempt_and_names_no_client",
            ]),
        ),
        (
            "ATT-03",
            Status::Tested(&[
                "att_03_an_instance_revokes_its_own_tokens_alone",
                "att_03_every_endpoint_asks_whose_instance_it_is",
                "att_03_checks_add_up_and_the_client_still_counts",
            ]),
        ),
    ],
};

const ATTESTATION: &str = "oauth-client-attestation";
const PROOF: &str = "oauth-client-attestation-pop";
const CHALLENGE: &str = "s3cUr3cH4ll3ng3";

/// The method, as a host would write it: small, but its signatures are real.
struct Attested {
    others: RegisteredClients,
    /// The public key of whoever attests that an instance of the app is genuine.
    attester: Vec<u8>,
    used: Mutex<HashSet<String>>,
    instances: Arc<Instances>,
}

/// Which instance key each grant is bound to, as the token endpoint wrote it down.
type Instances = Mutex<HashMap<GrantId, Value>>;

fn invalid(description: &'static str) -> ClientAuthError {
    Refusal::new("invalid_client_attestation", description).into()
}

/// Header and claims of a JWT of this type that this Ed25519 key signed.
fn verified(jwt: &str, typ: &str, key: &[u8]) -> Option<Value> {
    let (message, signature) = jwt.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let decoded = |part| URL_SAFE_NO_PAD.decode(part).ok();
    let key = UnparsedPublicKey::new(&signature::ED25519, key);
    key.verify(message.as_bytes(), &decoded(signature)?).ok()?;
    let header: Value = serde_json::from_slice(&decoded(header)?).ok()?;
    let right = header["typ"] == typ && header["alg"] == "EdDSA";
    serde_json::from_slice(&decoded(claims)?).ok().filter(|_| right)
}

impl Attested {
    fn check(
        &self,
        attestation: &str,
        proof: &str,
        client_id: &str,
    ) -> Result<Value, ClientAuthError> {
        let attestation = verified(attestation, "oauth-client-attestation+jwt", &self.attester)
            .ok_or_else(|| invalid("the attestation is not one"))?;
        if attestation["sub"] != client_id {
            return Err(invalid("the attestation is of another client"));
        }
        if attestation["exp"].as_u64().is_none_or(|exp| exp <= START.as_unix_seconds()) {
            return Err(Refusal::new("use_fresh_attestation", "the attestation has expired").into());
        }
        let instance = attestation["cnf"]["jwk"].clone();
        let key = instance["x"].as_str().and_then(|x| URL_SAFE_NO_PAD.decode(x).ok());
        let proof = key
            .and_then(|key| verified(proof, "oauth-client-attestation-pop+jwt", &key))
            .ok_or_else(|| invalid("the proof is not one"))?;
        if proof["aud"] != ISSUER {
            return Err(invalid("the proof is for another server"));
        }
        if proof["challenge"] != CHALLENGE {
            let refusal = Refusal::new("use_attestation_challenge", "a challenge is required");
            let challenge = CHALLENGE.to_owned();
            return Err(refusal.header("OAuth-Client-Attestation-Challenge", challenge).into());
        }
        match proof["jti"].as_str() {
            Some(jti) if self.used.lock().unwrap().insert(jti.to_owned()) => Ok(instance),
            _ => Err(invalid("the proof was used before")),
        }
    }
}

#[async_trait]
impl ClientAuthenticator for Attested {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        let headers = (credentials.header(ATTESTATION), credentials.header(PROOF));
        let (attestation, proof) = match headers {
            (Header::Absent, Header::Absent) => return self.others.authenticate(credentials).await,
            (attestation, proof) => match (attestation.text(), proof.text()) {
                (Some(attestation), Some(proof)) => (attestation, proof),
                _ => return Err(invalid("each header must stand exactly once")),
            },
        };
        let &Presented::ClientId { client_id } = credentials.presented() else {
            return Err(invalid("exactly one method, and a client_id"));
        };
        let instance = self.check(attestation, proof, client_id)?;
        let instances = Arc::clone(&self.instances);
        let client = credentials.accepted_as(client_id.into(), ClientKind::Confidential);
        Ok(client.with_grant_check(move |grant| {
            instances.lock().unwrap().get(grant.id()) == Some(&instance)
        }))
    }
}

/// A server whose client `app` has many instances. Its other clients: `web` (Basic) and `rs` (Basic, may introspect).
struct Attesting {
    server: Server,
    attester: SigningKey,
    instances: Arc<Instances>,
}

impl Attesting {
    fn new(policy: Policy) -> Self {
        let attester = SigningKey::ed25519();
        let SigningKey::Ed25519(pair) = &attester else { unreachable!("it was made so") };
        let public = signature::KeyPair::public_key(pair).as_ref().to_vec();
        let basic = |id| Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretBasic));
        let others = ClientTable::from_iter([
            basic("web").secret("web-secret"),
            basic("rs").secret("rs-secret").may_introspect(),
        ]);
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(FakeClock::at(START));
        let instances = Arc::<Instances>::default();
        let clients = Attested {
            others: RegisteredClients::new(others).clock(Arc::clone(&clock)),
            attester: public,
            used: Mutex::default(),
            instances: Arc::clone(&instances),
        };
        let authority =
            Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
        Self { server: Server { authority, store, clock }, attester, instances }
    }

    /// A grant to `client`, in a session of its own, bound to this instance.
    async fn grant(&self, id: &str, client: &str, instance: &SigningKey) {
        self.instances.lock().unwrap().insert(id.into(), instance.jwk());
        let grant = Grant::new(id, client, START).subject("alice").session(format!("s-{id}"));
        self.server.issue(grant, &format!("at-{id}"), &format!("rt-{id}")).await;
    }

    fn attestation<'k>(&'k self, instance: &SigningKey) -> Assertion<'k> {
        let attestation = Assertion::of("app", "EdDSA", &self.attester);
        let attestation = attestation.header("typ", "oauth-client-attestation+jwt");
        attestation.claim("cnf", json!({ "jwk": instance.jwk() }))
    }

    /// Both headers, as this instance sends them.
    fn headers(&self, instance: &SigningKey) -> Vec<(&'static str, String)> {
        vec![(ATTESTATION, self.attestation(instance).jwt()), (PROOF, proof(instance).jwt())]
    }
}

fn proof(instance: &SigningKey) -> Assertion<'_> {
    let proof = Assertion::of("app", "EdDSA", instance);
    proof.header("typ", "oauth-client-attestation-pop+jwt").claim("challenge", CHALLENGE)
}

/// How the request reaches the crate.
#[derive(Clone, Copy, Debug)]
enum By {
    /// Named part by part, all headers borrowed from a list.
    List,
    /// As a value of the `http` crate.
    Http,
}

async fn ask(
    attesting: &Attesting,
    by: By,
    endpoint: &str,
    body: &str,
    headers: &[(&'static str, String)],
) -> Response {
    let authority = &attesting.server.authority;
    let list: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let mut http = http::Request::post("/").header("content-type", FORM);
    for (name, value) in headers {
        http = http.header(*name, value);
    }
    let http = http.body(body.to_owned()).unwrap();
    let request = match by {
        By::List => {
            let request = form(body).all_headers(&list);
            list.iter().fold(request, |request, (name, value)| request.header(name, value))
        }
        By::Http => Request::from_http(&http),
    };
    match endpoint {
        "logout" => annul::handle_logout(authority, &request).await,
        "introspect" => annul::handle_introspect(authority, &request).await,
        _ => annul::handle_revoke(authority, &request).await,
    }
}

#[tokio::test]
async fn att_01_a_method_of_the_hosts_own_sees_every_header() {
    for by in [By::List, By::Http] {
        let attesting = Attesting::new(Policy::default());
        let phone = SigningKey::ed25519();
        attesting.grant("g1", "app", &phone).await;
        let headers = attesting.headers(&phone);
        let answer = ask(&attesting, by, "revoke", "token=rt-g1&client_id=app", &headers).await;
        assert_eq!(answer.status(), 200, "{by:?}");
        assert!(!attesting.server.is_active("rt-g1").await);
    }
    // Where the host does not show them, nobody sees them; then a name alone proves nothing.
    let attesting = Attesting::new(Policy::default());
    let phone = SigningKey::ed25519();
    attesting.grant("g1", "app", &phone).await;
    let headers = attesting.headers(&phone);
    let request =
        headers.iter().fold(form("token=rt-g1&client_id=app"), |request, (name, value)| {
            request.header(name, value.as_bytes())
        });
    let answer = annul::handle_revoke(&attesting.server.authority, &request).await;
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
    assert!(attesting.server.is_active("rt-g1").await);
}

#[tokio::test]
async fn att_01_a_flawed_attestation_authenticates_nobody() {
    let attesting = Attesting::new(Policy::default());
    let (phone, thief) = (SigningKey::ed25519(), SigningKey::ed25519());
    attesting.grant("g1", "app", &phone).await;
    let attestation = || attesting.attestation(&phone);
    let headers = |attestation: Assertion<'_>, proof: Assertion<'_>| {
        vec![(ATTESTATION, attestation.jwt()), (PROOF, proof.jwt())]
    };
    let good = headers(attestation(), proof(&phone));
    let named = "token=rt-g1&client_id=app";
    let repeated = |name: &str| {
        let again = good.iter().find(|(known, _)| *known == name).cloned();
        good.iter().cloned().chain(again).collect::<Vec<_>>()
    };
    let with_secret = format!("{named}&client_secret=x");
    let type_and = "&client_assertion=e30.e30.c2ln&client_assertion_type=";
    let with_assertion = format!("{named}{type_and}{}", JWT_BEARER.replace(':', "%3A"));
    let basic = (("authorization"), basic::header_value("web", "web-secret"));
    for (case, body, headers) in [
        ("the attestation alone", named, good[..1].to_vec()),
        ("the proof alone", named, good[1..].to_vec()),
        ("two attestations", named, repeated(ATTESTATION)),
        ("two proofs", named, repeated(PROOF)),
        ("another client in the form", "token=rt-g1&client_id=web", good.clone()),
        ("no client in the form", "token=rt-g1", good.clone()),
        ("a secret besides", &with_secret, good.clone()),
        ("an assertion besides", &with_assertion, good.clone()),
        (
            "another header besides",
            "token=rt-g1",
            good.iter().cloned().chain([basic.clone()]).collect(),
        ),
        ("self-attested", named, headers(attestation().signed_by(&thief), proof(&phone))),
        ("another's proof", named, headers(attestation(), proof(&thief))),
        ("of another client", named, headers(attestation().claim("sub", "web"), proof(&phone))),
        ("of another type", named, headers(attestation().header("typ", "JWT"), proof(&phone))),
        (
            "proof of another type",
            named,
            headers(attestation(), proof(&phone).header("typ", "JWT")),
        ),
        (
            "for another server",
            named,
            headers(attestation(), proof(&phone).claim("aud", "https://evil.example")),
        ),
        ("without a key", named, headers(attestation().without("cnf"), proof(&phone))),
        ("swapped", named, vec![(ATTESTATION, good[1].1.clone()), (PROOF, good[0].1.clone())]),
        ("unsigned", named, vec![(ATTESTATION, "e30.e30.".to_owned()), good[1].clone()]),
    ] {
        for by in [By::List, By::Http] {
            let answer = ask(&attesting, by, "revoke", body, &headers).await;
            let error = error_of(&answer);
            assert_eq!(
                (answer.status(), error.as_str()),
                (400, "invalid_client_attestation"),
                "{case}"
            );
            assert!(attesting.server.is_active("rt-g1").await, "{case}");
        }
    }
    let answer = ask(&attesting, By::Http, "revoke", named, &good).await;
    assert_eq!(answer.status(), 200);
    attesting.grant("g2", "app", &phone).await;
    let replayed = ask(&attesting, By::Http, "revoke", "token=rt-g2&client_id=app", &good).await;
    assert_eq!(error_of(&replayed), "invalid_client_attestation");
    assert!(attesting.server.is_active("rt-g2").await);
}

#[tokio::test]
async fn att_01_other_methods_go_on_working_beside_it() {
    let attesting = Attesting::new(Policy::default());
    attesting.server.grant("g1", "web").await;
    let answer = attesting.server.revoke_as("web", "token=rt-g1").await;
    assert_eq!(answer.status(), 200);
    assert!(!attesting.server.is_active("rt-g1").await);
    let wrong = ("authorization", basic::header_value("web", "wrong"));
    attesting.server.grant("g2", "web").await;
    let answer = ask(&attesting, By::Http, "revoke", "token=rt-g2", &[wrong]).await;
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
    assert!(attesting.server.is_active("rt-g2").await);
}

#[tokio::test]
async fn att_02_a_challenge_is_demanded_with_a_code_and_a_header() {
    for by in [By::List, By::Http] {
        let attesting = Attesting::new(Policy::default());
        let phone = SigningKey::ed25519();
        attesting.grant("g1", "app", &phone).await;
        let body = "token=rt-g1&client_id=app";
        for unchallenged in
            [proof(&phone).without("challenge"), proof(&phone).claim("challenge", "x")]
        {
            let headers =
                [(ATTESTATION, attesting.attestation(&phone).jwt()), (PROOF, unchallenged.jwt())];
            let answer = ask(&attesting, by, "revoke", body, &headers).await;
            assert_eq!(
                (answer.status(), error_of(&answer).as_str()),
                (400, "use_attestation_challenge")
            );
            assert_eq!(answer.header("oauth-client-attestation-challenge"), Some(CHALLENGE));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert!(attesting.server.is_active("rt-g1").await);
            let converted: http::Response<Vec<u8>> = answer.into();
            assert_eq!(converted.headers()["oauth-client-attestation-challenge"], CHALLENGE);
        }
        let headers = attesting.headers(&phone);
        assert_eq!(ask(&attesting, by, "revoke", body, &headers).await.status(), 200);
        assert!(!attesting.server.is_active("rt-g1").await);
    }
    let attesting = Attesting::new(Policy::default());
    let phone = SigningKey::ed25519();
    let expired = attesting.attestation(&phone).seconds("exp", 0).jwt();
    let headers = [(ATTESTATION, expired), (PROOF, proof(&phone).jwt())];
    let answer =
        ask(&attesting, By::Http, "logout", "refresh_token=x&client_id=app", &headers).await;
    assert_eq!((answer.status(), error_of(&answer).as_str()), (400, "use_fresh_attestation"));
}

#[tokio::test]
async fn att_02_a_refusal_is_a_failed_attempt_and_names_no_client() {
    let mut attesting = Attesting::new(Policy::default());
    let events = Journal::default();
    let authority = attesting.server.authority.clone();
    attesting.server.authority = authority.events(events.clone());
    let phone = SigningKey::ed25519();
    let mut answers = Vec::new();
    for client in ["app", "nobody"] {
        let attestation = attesting.attestation(&phone).claim("sub", client).jwt();
        let headers =
            [(ATTESTATION, attestation.clone()), (PROOF, proof(&phone).without("challenge").jwt())];
        let body = format!("token=t&client_id={client}");
        let answer = ask(&attesting, By::List, "revoke", &body, &headers).await;
        answers.push(seen(&answer));
        let told = events.take();
        assert!(told.iter().any(|event| event.contains("ClientAuthenticationFailed")), "{told:?}");
        assert!(!told.concat().contains(&attestation));
        assert!(!format!("{answer:?}").contains(&attestation));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn att_03_an_instance_revokes_its_own_tokens_alone() {
    for (foreign, status, dies) in [
        (ForeignToken::Refuse, 400, false),
        // oidc-provider does it so: 200, and nothing happens.
        (ForeignToken::Ignore, 200, false),
        (ForeignToken::ProofByPossession, 200, true),
    ] {
        let policy = policy(|policy| policy.foreign_token = ForeignTokenPolicy::both(foreign));
        let mut attesting = Attesting::new(policy);
        let events = Journal::default();
        let authority = attesting.server.authority.clone();
        attesting.server.authority = authority.events(events.clone());
        let (phone, tablet) = (SigningKey::ed25519(), SigningKey::ed25519());
        attesting.grant("phone", "app", &phone).await;
        attesting.grant("tablet", "app", &tablet).await;
        let revoke = async |token: &str| {
            let body = format!("token={token}&client_id=app");
            ask(&attesting, By::Http, "revoke", &body, &attesting.headers(&phone)).await
        };
        let answer = revoke("rt-tablet").await;
        assert_eq!(answer.status(), status, "{foreign:?}");
        if status == 400 {
            assert_eq!(error_of(&answer), "invalid_grant");
        } else {
            assert_eq!(seen(&answer), seen(&revoke("no-such-token").await));
        }
        assert_eq!(attesting.server.is_active("rt-tablet").await, !dies, "{foreign:?}");
        let told = events.take();
        assert!(told.iter().any(|event| event.contains("ForeignToken")), "{told:?}");
        // Its own it can; and nobody calls that foreign.
        assert_eq!(revoke("at-phone").await.status(), 200);
        assert!(!attesting.server.is_active("rt-phone").await);
        let told = events.take();
        assert!(!told.iter().any(|event| event.contains("ForeignToken")), "{told:?}");
    }
}

#[tokio::test]
async fn att_03_every_endpoint_asks_whose_instance_it_is() {
    let attesting = Attesting::new(Policy::default());
    let (phone, tablet) = (SigningKey::ed25519(), SigningKey::ed25519());
    attesting.grant("phone", "app", &phone).await;
    attesting.grant("tablet", "app", &tablet).await;
    let ask = async |endpoint: &str, body: &str| {
        ask(&attesting, By::List, endpoint, body, &attesting.headers(&phone)).await
    };
    let own = ask("introspect", "token=at-phone&client_id=app").await;
    let own: Value = serde_json::from_slice(own.body()).unwrap();
    assert_eq!(own["active"], true);
    let others = ask("introspect", "token=at-tablet&client_id=app").await;
    assert_eq!(others.body(), br#"{"active":false}"#);
    // A resource server sees them all.
    let seen_by_rs = attesting.server.introspect_as("rs", "token=at-tablet").await;
    let seen_by_rs: Value = serde_json::from_slice(seen_by_rs.body()).unwrap();
    assert_eq!(seen_by_rs["active"], true);

    let answer = ask("logout", "refresh_token=rt-tablet&client_id=app").await;
    assert_eq!((answer.status(), error_of(&answer).as_str()), (400, "invalid_grant"));
    assert!(attesting.server.is_active("rt-tablet").await);
    let answer = ask("logout", "refresh_token=rt-phone&client_id=app").await;
    assert_eq!(answer.status(), 200);
    assert!(!attesting.server.is_active("rt-phone").await);
    assert!(attesting.server.is_active("rt-tablet").await);
    // A grant that is bound to no instance is no instance's.
    attesting.server.grant("unbound", "app").await;
    let answer = ask("revoke", "token=rt-unbound&client_id=app").await;
    assert_eq!(error_of(&answer), "invalid_grant");
    assert!(attesting.server.is_active("rt-unbound").await);
}

/// Accepts every name, and two checks: one on the grant's subject, one on its scope.
struct Narrowing;

#[async_trait]
impl ClientAuthenticator for Narrowing {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        let client_id = credentials.claimed_client().unwrap_or_default().into();
        let client = credentials.accepted_as(client_id, ClientKind::Confidential);
        let client = client
            .with_grant_check(|grant| grant.subject_id().is_some_and(|id| id.as_str() == "alice"))
            .with_grant_check(|grant| grant.scopes() == Some("phone"));
        // What a check closes over is not printed.
        assert!(format!("{client:?}").contains("grant_check: true"));
        Ok(client)
    }
}

#[tokio::test]
async fn att_03_checks_add_up_and_the_client_still_counts() {
    let server = Server::new();
    let authority =
        Authority::new(Arc::clone(&server.store), Narrowing).clock(Arc::clone(&server.clock));
    let server = Server { authority, ..server };
    for (id, client, subject, scope, own) in [
        ("g1", "app", "alice", "phone", true),
        ("g2", "app", "alice", "tablet", false),
        ("g3", "app", "bob", "phone", false),
        // What a check says of another client's grant does not make it this one's.
        ("g4", "other", "alice", "phone", false),
    ] {
        let grant = Grant::new(id, client, START).subject(subject).scope(scope);
        server.issue(grant, &format!("at-{id}"), &format!("rt-{id}")).await;
        let answer = server.revoke(&format!("token=rt-{id}&client_id=app")).await;
        assert_eq!(answer.status(), if own { 200 } else { 400 }, "{id}");
        assert_eq!(server.is_active(&format!("rt-{id}")).await, !own, "{id}");
    }
}
