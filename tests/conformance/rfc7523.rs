//! RFC 7521 and RFC 7523, OpenID Connect Core section 9 and rfc7523bis: clients that authenticate by a signed JWT.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::client::{
    AssertionUse, Assertions, AuthMethod, AuthMethods, Client, ClientMetadata, ClientTable,
    InvalidMetadata, JwksCache, JwksSource, LedgerReplayGuard, MemoryReplayGuard,
    RegisteredClients, ReplayGuard, Use,
};
use annul::jose::{Algorithm, Algorithms, JwkSet};
use annul::policy::AudiencePolicy;
use annul::store::{StoreError, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::wire::basic;
use annul::{
    Authority, FakeClock, Grant, Issuer, MemoryStore, Namespace, NewToken, Policy, PresentedToken,
    Reason, Response, Revocation, Target, TargetKind, Verdict,
};
use async_trait::async_trait;
use aws_lc_rs::signature;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::doubles::{FAILURES, Failure, Journal, policy};
use crate::index::{Index, Status};
use crate::signer::{
    Assertion, ED25519, ISSUER, JWT_BEARER, P256, P384, RSA, SigningKey, base64url, compact, jwks,
    parameters, presenting, unique,
};
use crate::support::{START, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("rfc7523.rs"),
    requirements: &[
        (
            "JWA-01",
            Status::Tested(&[
                "jwa_01_type_and_assertion_come_together",
                "jwa_01_an_assertion_and_another_mechanism_are_two",
            ]),
        ),
        ("JWA-02", Status::Tested(&["jwa_02_a_client_id_beside_it_names_the_same_client"])),
        ("JWA-03", Status::Tested(&["jwa_03_every_failure_is_answered_alike"])),
        ("JWA-04", Status::Tested(&["jwa_04_issuer_and_subject_are_the_client"])),
        ("JWA-05", Status::Tested(&["jwa_05_legacy_audiences_are_the_issuer_and_our_endpoints"])),
        ("JWA-06", Status::Tested(&["jwa_06_the_issuer_is_the_only_audience"])),
        ("JWA-07", Status::Tested(&["jwa_07_fapi_wants_the_audience_as_a_string"])),
        ("JWA-08", Status::Tested(&["jwa_08_without_an_issuer_there_are_no_assertions"])),
        (
            "JWA-09",
            Status::Tested(&[
                "jwa_09_another_kind_of_jwt_is_no_assertion",
                "jwa_09_the_type_can_be_required",
            ]),
        ),
        ("JWA-10", Status::Tested(&["jwa_10_an_audience_injected_by_another_server_is_refused"])),
        ("JWA-11", Status::Tested(&["jwa_11_expiry_is_required_and_bounded"])),
        (
            "JWA-12",
            Status::Tested(&[
                "jwa_12_not_before_and_age_are_respected",
                "jwa_12_times_may_have_fractions",
            ]),
        ),
        ("JWA-13", Status::Tested(&["jwa_13_clocks_may_differ_by_a_minute_at_most"])),
        (
            "JWA-14",
            Status::Tested(&[
                "jwa_14_an_assertion_is_used_once_at_whichever_endpoint",
                "jwa_14_the_identifier_is_required_unless_the_policy_says_otherwise",
                "jwa_14_a_used_assertion_is_refused_until_it_expires_and_after",
            ]),
        ),
        (
            "JWA-15",
            Status::Tested(&[
                "jwa_15_of_many_uses_at_once_one_is_the_first",
                "jwa_15_clients_may_choose_the_same_identifier",
                "jwa_15_what_is_refused_uses_nothing_up",
                "jwa_15_a_full_guard_refuses_what_it_cannot_remember",
                "jwa_15_a_guard_that_fails_lets_nobody_in",
                "jwa_15_two_processes_share_a_ledger",
                "jwa_15_what_a_ledger_remembers_opens_nothing",
                "jwa_15_revoking_what_a_ledger_remembers_does_not_forget_it",
            ]),
        ),
        (
            "JWA-16",
            Status::Tested(&[
                "jwa_16_what_is_not_signed_is_refused",
                "jwa_16_what_can_be_read_in_two_ways_is_refused",
                "jwa_16_other_serializations_are_refused",
                "jwa_16_a_signature_is_of_one_form",
            ]),
        ),
        (
            "JWA-17",
            Status::Tested(&[
                "jwa_17_a_public_key_is_no_secret",
                "jwa_17_macs_and_signatures_do_not_stand_for_each_other",
                "jwa_17_the_key_of_a_mac_is_the_secret_and_only_a_live_one",
            ]),
        ),
        (
            "JWA-18",
            Status::Tested(&[
                "jwa_18_a_registered_algorithm_is_the_only_one",
                "jwa_18_metadata_with_an_unusable_algorithm_is_invalid",
            ]),
        ),
        (
            "JWA-19",
            Status::Tested(&[
                "jwa_19_every_algorithm_is_verified",
                "jwa_19_a_policy_narrows_the_algorithms",
                "jwa_19_small_and_trivial_rsa_keys_are_refused",
            ]),
        ),
        (
            "JWA-20",
            Status::Tested(&[
                "jwa_20_a_key_is_chosen_by_its_identifier",
                "jwa_20_keys_for_something_else_verify_nothing",
                "jwa_20_a_key_in_the_header_is_not_looked_at",
                "jwa_20_a_storm_of_unknown_identifiers_fetches_once",
                "jwa_20_requests_wait_for_the_fetch_that_is_under_way",
                "jwa_20_a_rotated_key_is_fetched_after_the_interval",
                "jwa_20_a_source_that_fails_leaves_the_keys_before_in_use",
                "jwa_20_a_fetch_goes_on_when_the_request_that_began_it_is_dropped",
                "jwa_20_a_client_whose_keys_cannot_be_had_looks_unknown",
            ]),
        ),
        ("JWA-21", Status::Tested(&["jwa_21_unknown_members_are_ignored"])),
        ("JWA-22", Status::Tested(&["jwa_22_saml_assertions_are_refused"])),
    ],
};

const TOKEN_ENDPOINT: &str = "https://as.example/token";
const REVOCATION_ENDPOINT: &str = "https://as.example/revoke";

/// The secret of `mac`: not ASCII alone, since its bytes in UTF-8 are what counts.
const SECRET: &str = "gX1fBat3bV-gX1fBat3bV-gX1fBat3bV-ä";

/// A client with these keys.
fn with_keys(id: &str, keys: impl IntoIterator<Item = Value>) -> Client {
    let metadata = ClientMetadata::new(id, AuthMethod::PrivateKeyJwt);
    Client::new(metadata.with_jwks(&jwks(keys)).unwrap())
}

/// A client whose secret is the key of a MAC.
fn with_secret(id: &str, secret: &str) -> Client {
    Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretJwt)).secret(secret)
}

/// `job` and `job2` (Ed25519), `rsa`, `p256`, `p384`, `mac` and `mac2` (secrets), `web` (Basic, `web-secret`).
fn clients() -> Vec<Client> {
    let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    vec![
        with_keys("job", [ED25519.jwk()]),
        with_keys("job2", [ED25519.jwk()]),
        with_keys("rsa", [RSA.jwk()]),
        with_keys("p256", [P256.jwk()]),
        with_keys("p384", [P384.jwk()]),
        with_secret("mac", SECRET),
        with_secret("mac2", "another-secret-another-secret-another"),
        Client::new(web).secret("web-secret"),
    ]
}

fn assertions() -> Assertions {
    let issuer = Issuer::new(ISSUER).unwrap();
    // They count under one policy alone.
    Assertions::new(issuer).endpoint(TOKEN_ENDPOINT).endpoint(REVOCATION_ENDPOINT)
}

fn server_of(
    clients: impl IntoIterator<Item = Client>,
    policy: Policy,
    assertions: Assertions,
) -> Server {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let clients = RegisteredClients::new(ClientTable::from_iter(clients));
    let clients = clients.clock(Arc::clone(&clock)).assertions(assertions);
    let authority =
        Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
    Server { authority, store, clock }
}

fn server() -> Server {
    server_with(|_| {})
}

/// A server with the default policy, but for this.
fn server_with(change: impl FnOnce(&mut Policy)) -> Server {
    server_of(clients(), policy(change), assertions())
}

/// A server with these clients alone.
fn server_for(clients: impl IntoIterator<Item = Client>) -> Server {
    server_of(clients, Policy::default(), assertions())
}

fn server_remembering(guard: impl ReplayGuard + 'static) -> Server {
    server_of(clients(), Policy::default(), assertions().replay_guard(guard))
}

/// An assertion of `job`, right in every respect.
fn job() -> Assertion<'static> {
    Assertion::of("job", "EdDSA", &ED25519)
}

/// Whether the assertion authenticates `client` at the revocation endpoint.
///
/// It does if it revokes a fresh token of the client's, and its grant. If it does not, the answer is that of every failed
/// authentication, and the token lives.
async fn accepts(server: &Server, client: &str, assertion: &str) -> bool {
    accepts_form(server, client, &presenting(assertion)).await
}

async fn accepts_form(server: &Server, client: &str, credentials: &str) -> bool {
    let id = unique("g");
    server.grant(&id, client).await;
    let answer = server.revoke(&format!("token=at-{id}&{credentials}")).await;
    let access = server.is_active(&format!("at-{id}")).await;
    let refresh = server.is_active(&format!("rt-{id}")).await;
    assert_eq!(access, refresh, "half of the grant is dead");
    if answer.status() == 200 {
        assert!(!access, "answered 200, and the token lives");
        return true;
    }
    assert_unauthenticated(&answer);
    assert!(access, "refused, and the token is dead");
    false
}

fn assert_unauthenticated(answer: &Response) {
    assert_eq!((answer.status(), error_of(answer).as_str()), (401, "invalid_client"));
    assert!(answer.header("www-authenticate").is_some());
}

// ── The parameters

#[tokio::test]
async fn jwa_01_type_and_assertion_come_together() {
    let server = server();
    let jwt = job().jwt();
    let typed = |value: &str, jwt: &str| {
        parameters(&[("client_assertion_type", value), ("client_assertion", jwt)])
    };
    for credentials in [
        parameters(&[("client_assertion", &jwt)]),
        parameters(&[("client_assertion_type", JWT_BEARER)]),
        parameters(&[("client_assertion", &jwt), ("client_id", "job")]),
        parameters(&[("client_assertion_type", JWT_BEARER), ("client_id", "job")]),
        typed("", &jwt),
        typed("jwt-bearer", &jwt),
        typed(&JWT_BEARER.to_uppercase(), &jwt),
        typed(&format!("{JWT_BEARER} "), &jwt),
        typed("urn:ietf:params:oauth:grant-type:jwt-bearer", &jwt),
        typed(JWT_BEARER, ""),
        typed(JWT_BEARER, &format!("{jwt} ")),
        typed(JWT_BEARER, &format!(" {jwt}")),
    ] {
        assert!(!accepts_form(&server, "job", &credentials).await, "{credentials}");
    }
    // None of them used it up.
    assert!(accepts(&server, "job", &jwt).await);

    // Nor is there another way for a client that sends half of it: a public one is not let in by its name.
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
    let server = server_for([spa]);
    assert!(accepts_form(&server, "spa", "client_id=spa").await);
    for half in ["client_assertion=e30.e30.c2ln", "client_assertion_type=x"] {
        assert!(!accepts_form(&server, "spa", &format!("client_id=spa&{half}")).await, "{half}");
    }
}

#[tokio::test]
async fn jwa_01_an_assertion_and_another_mechanism_are_two() {
    // RFC 7521 s4.2.1 says `invalid_client`; RFC 6749 s5.2, which every client knows, `invalid_request`.
    let mut all = clients();
    all.push(with_keys("both", [ED25519.jwk()]).secret("both-secret"));
    let server = server_for(all);
    server.grant("g1", "both").await;
    let jwt = Assertion::of("both", "EdDSA", &ED25519).jwt();
    let basic = basic::header_value("both", "both-secret");
    let bearer = "Bearer at-g1".to_owned();
    let body = format!("token=at-g1&{}", presenting(&jwt));
    for (header, body) in [
        (Some(&basic), body.clone()),
        (Some(&bearer), body.clone()),
        (None, format!("{body}&client_id=both&client_secret=both-secret")),
        (Some(&basic), format!("token=at-g1&client_assertion={jwt}")),
        (None, format!("{body}&client_assertion={jwt}")),
        (None, format!("{body}&{}", parameters(&[("client_assertion_type", JWT_BEARER)]))),
    ] {
        let request = form(&body);
        let request = match header {
            Some(header) => request.header("authorization", header.as_bytes()),
            None => request,
        };
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!((answer.status(), error_of(&answer).as_str()), (400, "invalid_request"));
        assert!(server.is_active("at-g1").await);
    }
    // None of them used it up.
    assert!(accepts(&server, "both", &jwt).await);
}

#[tokio::test]
async fn jwa_02_a_client_id_beside_it_names_the_same_client() {
    let server = server();
    let beside = |id: &str| {
        let jwt = job().jwt();
        format!("{}&{}", presenting(&jwt), parameters(&[("client_id", id)]))
    };
    assert!(accepts_form(&server, "job", &beside("job")).await);
    // `job2` has the same key.
    for id in ["job2", "web", "nobody", "Job", "job "] {
        assert!(!accepts_form(&server, "job", &beside(id)).await, "{id}");
        assert!(!accepts_form(&server, "job2", &beside(id)).await, "{id}");
    }
}

#[tokio::test]
async fn jwa_03_every_failure_is_answered_alike() {
    // Byte by byte (CLI-16): nobody learns who is registered, how, or what was wrong.
    let metadata = |id: &str, method| ClientMetadata::new(id, method);
    let mut all = clients();
    all.push(with_keys("disabled", [ED25519.jwk()]).disabled());
    all.push(with_keys("keyless", []));
    all.push(Client::new(metadata("jwksless", AuthMethod::PrivateKeyJwt)));
    all.push(Client::new(metadata("secretless", AuthMethod::ClientSecretJwt)));
    all.push(
        Client::new(metadata("expired", AuthMethod::ClientSecretJwt)).secret_until(SECRET, START),
    );
    let mut pinned = metadata("pinned", AuthMethod::PrivateKeyJwt);
    pinned.token_endpoint_auth_signing_alg = Some("ES256".to_owned());
    all.push(Client::new(pinned.with_jwks(&jwks([ED25519.jwk()])).unwrap()));
    let mut fetched = metadata("fetched", AuthMethod::PrivateKeyJwt);
    fetched.jwks_uri = Some("https://client.example/jwks".to_owned());
    all.push(Client::new(fetched));
    let server = server_for(all);
    server.grant("g1", "job").await;

    let used = job().jwt();
    assert!(accepts(&server, "job", &used).await);
    let other = SigningKey::ed25519();
    let secret = SigningKey::mac(SECRET);
    let of = |client: &str| Assertion::of(client, "EdDSA", &ED25519).jwt();
    let failures = [
        of("nobody"),
        Assertion::of("nobody", "HS256", &secret).jwt(),
        of("disabled"),
        of("keyless"),
        of("jwksless"),
        of("pinned"),
        of("fetched"),
        of("web"),
        of("mac"),
        Assertion::of("expired", "HS256", &secret).jwt(),
        Assertion::of("secretless", "HS256", &SigningKey::mac("")).jwt(),
        job().signed_by(&other).jwt(),
        Assertion::of("job", "ES256", &P256).jwt(),
        Assertion::of("job", "HS256", &secret).jwt(),
        Assertion::of("mac", "HS256", &SigningKey::mac("guess")).jwt(),
        job().claim("aud", "https://evil.example").jwt(),
        job().seconds("exp", -61).jwt(),
        job().seconds("exp", 100_000).jwt(),
        job().seconds("nbf", 61).jwt(),
        job().without("jti").jwt(),
        job().without("exp").jwt(),
        job().header("alg", "none").jwt(),
        job().header("crit", json!(["exp"])).jwt(),
        job().header("typ", "logout+jwt").jwt(),
        used,
        "e30.e30.c2ln".to_owned(),
        "x".to_owned(),
        String::new(),
    ];
    let mut answers = Vec::new();
    for token in ["at-g1", "no-such-token"] {
        for failure in &failures {
            let answer = server.revoke(&format!("token={token}&{}", presenting(failure))).await;
            assert_unauthenticated(&answer);
            answers.push(seen(&answer));
        }
    }
    for failure in &failures {
        let credentials = presenting(failure);
        answers.push(seen(&server.logout(&format!("refresh_token=rt-g1&{credentials}")).await));
        let body = format!("token=at-g1&{credentials}");
        answers.push(seen(&annul::handle_introspect(&server.authority, &form(&body)).await));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(server.is_active("at-g1").await && server.is_active("rt-g1").await);
}

#[tokio::test]
async fn jwa_04_issuer_and_subject_are_the_client() {
    let mut all = clients();
    all.push(with_keys("Job", [SigningKey::ed25519().jwk()]));
    all.push(with_keys("https://client.example/ö", [ED25519.jwk()]));
    let server = server_for(all);
    assert!(accepts(&server, "job", &job().jwt()).await);
    for (case, assertion) in [
        ("no issuer", job().without("iss")),
        ("no subject", job().without("sub")),
        ("neither", job().without("iss").without("sub")),
        ("another issuer", job().claim("iss", "job2")),
        ("another subject", job().claim("sub", "job2")),
        ("both another's, who has another key", job().claim("iss", "Job").claim("sub", "Job")),
        ("issuer in another case", job().claim("iss", "Job")),
        ("subject in another case", job().claim("sub", "JOB")),
        ("a space", job().claim("iss", "job ").claim("sub", "job ")),
        ("the server", job().claim("iss", ISSUER)),
        ("empty", job().claim("iss", "").claim("sub", "")),
        ("null", job().claim("iss", Value::Null).claim("sub", Value::Null)),
        ("a list", job().claim("iss", json!(["job"])).claim("sub", json!(["job"]))),
        ("a NUL", job().claim("iss", "job\0").claim("sub", "job\0")),
    ] {
        for client in ["job", "job2", "Job"] {
            assert!(!accepts(&server, client, &assertion.jwt()).await, "{case} {client}");
            let named = format!("{}&client_id={client}", presenting(&assertion.jwt()));
            assert!(!accepts_form(&server, client, &named).await, "{case} {client} named");
        }
    }
    // Escapes in JSON change nothing; some encoders escape every slash.
    let url = "https://client.example/ö";
    let assertion = Assertion::of(url, "EdDSA", &ED25519);
    let escaped = assertion.payload().replace('/', "\\/").replace('ö', "\\u00f6");
    assert!(escaped.contains(r#""sub":"https:\/\/client.example\/\u00f6""#), "{escaped}");
    let jwt = assertion.encode(r#"{"alg":"EdDSA"}"#, &escaped);
    assert!(accepts(&server, url, &jwt).await);
}

// ── Audience

/// Every audience that was ever tried, and who accepts it: `IssuerOnly`, `IssuerStringOnly`, `Legacy`.
fn audiences() -> Vec<(Value, [bool; 3])> {
    vec![
        (json!(ISSUER), [true, true, true]),
        (json!([ISSUER]), [true, false, true]),
        (json!([ISSUER, "https://evil.example"]), [false, false, true]),
        (json!(["https://evil.example", ISSUER]), [false, false, true]),
        (json!([ISSUER, ISSUER]), [false, false, true]),
        (json!([ISSUER, TOKEN_ENDPOINT]), [false, false, true]),
        (json!([ISSUER, 17]), [false, false, true]),
        (json!(TOKEN_ENDPOINT), [false, false, true]),
        (json!(REVOCATION_ENDPOINT), [false, false, true]),
        (json!([TOKEN_ENDPOINT]), [false, false, true]),
        (json!("https://as.example/"), [false; 3]),
        (json!("https://as.example/token/"), [false; 3]),
        (json!("https://as.example/introspect"), [false; 3]),
        (json!("https://AS.example"), [false; 3]),
        (json!("HTTPS://as.example"), [false; 3]),
        (json!("https://as.example:443"), [false; 3]),
        (json!("https://as.example "), [false; 3]),
        (json!("https://as.example.evil.example"), [false; 3]),
        (json!("https://evil.example"), [false; 3]),
        (json!(["https://evil.example"]), [false; 3]),
        (json!("as.example"), [false; 3]),
        (json!(""), [false; 3]),
        (json!([]), [false; 3]),
        (json!([""]), [false; 3]),
        (json!([[ISSUER]]), [false; 3]),
        (json!({ "0": ISSUER }), [false; 3]),
        (json!(17), [false; 3]),
        (json!(true), [false; 3]),
        (Value::Null, [false; 3]),
    ]
}

async fn assert_audiences(audience: AudiencePolicy, column: usize) {
    let server = server_with(|policy| policy.assertions.audience = audience);
    for (aud, accepted) in audiences() {
        let jwt = job().claim("aud", aud.clone()).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted[column], "{aud}");
    }
    assert!(!accepts(&server, "job", &job().without("aud").jwt()).await);
}

#[tokio::test]
async fn jwa_05_legacy_audiences_are_the_issuer_and_our_endpoints() {
    assert_audiences(AudiencePolicy::Legacy, 2).await;
    // An endpoint counts if the host said that it is one.
    let legacy = policy(|policy| policy.assertions.audience = AudiencePolicy::Legacy);
    let plain = Assertions::new(Issuer::new(ISSUER).unwrap());
    let server = server_of(clients(), legacy, plain);
    assert!(!accepts(&server, "job", &job().claim("aud", TOKEN_ENDPOINT).jwt()).await);
    assert!(accepts(&server, "job", &job().jwt()).await);
}

#[tokio::test]
async fn jwa_06_the_issuer_is_the_only_audience() {
    assert_eq!(Policy::default().assertions.audience, AudiencePolicy::IssuerOnly);
    assert_audiences(AudiencePolicy::IssuerOnly, 0).await;
}

#[tokio::test]
async fn jwa_07_fapi_wants_the_audience_as_a_string() {
    assert_audiences(AudiencePolicy::IssuerStringOnly, 1).await;
}

#[tokio::test]
async fn jwa_08_without_an_issuer_there_are_no_assertions() {
    // `Assertions::new` takes an `Issuer`, and what is no issuer identifier does not become one.
    for no_issuer in
        ["", "as.example", "http://as.example", "https://as.example?x", "https://as.example#x"]
    {
        assert!(Issuer::new(no_issuer).is_err(), "{no_issuer}");
    }
    let clock = Arc::new(FakeClock::at(START));
    let store = Arc::new(MemoryStore::new());
    let without = RegisteredClients::new(ClientTable::from_iter(clients()));
    let methods = without.auth_methods(&Policy::default());
    assert!(!methods.has_assertions());
    let authority = Authority::new(Arc::clone(&store), without).clock(Arc::clone(&clock));
    let server = Server { authority, store, clock };
    assert!(!accepts(&server, "job", &job().jwt()).await);
}

#[tokio::test]
async fn jwa_09_another_kind_of_jwt_is_no_assertion() {
    let server = server();
    for (typ, accepted) in [
        ("client-authentication+jwt", true),
        ("application/client-authentication+jwt", true),
        ("Client-Authentication+JWT", true),
        ("vendor.client-authentication+jwt", true),
        ("JWT", true),
        ("jwt", true),
        ("application/jwt", true),
        ("JOSE", true),
        ("logout+jwt", false),
        ("application/logout+jwt", false),
        ("LOGOUT+JWT", false),
        ("Application/Logout+Jwt", false),
        ("at+jwt", false),
        ("application/at+jwt", false),
        ("AT+JWT", false),
        ("statuslist+jwt", false),
        ("dpop+jwt", false),
        ("DPoP+jwt", false),
        ("token-introspection+jwt", false),
        ("secevent+jwt", false),
        ("oauth-authz-req+jwt", false),
        ("oauth-client-attestation+jwt", false),
        ("oauth-client-attestation-pop+jwt", false),
        ("notclient-authentication+jwt", false),
        ("client-authentication+jwt+jwt", false),
    ] {
        let jwt = job().header("typ", typ).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{typ}");
    }
    for wrong in [json!(17), json!(["JWT"]), Value::Null] {
        assert!(!accepts(&server, "job", &job().header("typ", wrong).jwt()).await);
    }
}

#[tokio::test]
async fn jwa_09_the_type_can_be_required() {
    let server = server_with(|policy| policy.assertions.require_typ = true);
    assert!(!accepts(&server, "job", &job().jwt()).await);
    for (typ, accepted) in [
        ("client-authentication+jwt", true),
        ("application/client-authentication+jwt", true),
        ("CLIENT-AUTHENTICATION+jwt", true),
        ("JWT", false),
        ("client-authentication", false),
        ("logout+jwt", false),
        ("notclient-authentication+jwt", false),
        ("", false),
    ] {
        let jwt = job().header("typ", typ).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{typ}");
    }
}

#[tokio::test]
async fn jwa_10_an_audience_injected_by_another_server_is_refused() {
    // T37: a client talks to us and to an attacker, whose metadata name our token endpoint as its own. What the client
    // then signs for "that server's token endpoint", the attacker has, and presents here.
    let server = server();
    let stolen = job().claim("aud", TOKEN_ENDPOINT).jwt();
    assert!(!accepts(&server, "job", &stolen).await);
    let stolen = job().claim("aud", json!(["https://evil.example", TOKEN_ENDPOINT])).jwt();
    assert!(!accepts(&server, "job", &stolen).await);
    // The old reading falls for it; that is why it is not the default.
    let legacy = server_with(|policy| policy.assertions.audience = AudiencePolicy::Legacy);
    assert!(accepts(&legacy, "job", &stolen).await);
}

// ── Times

#[tokio::test]
async fn jwa_11_expiry_is_required_and_bounded() {
    let server = server();
    let limits = Policy::default().assertions;
    let skew = limits.clock_skew.as_secs().cast_signed();
    let latest = skew + limits.max_lifetime.as_secs().cast_signed();
    assert!(!accepts(&server, "job", &job().without("exp").jwt()).await);
    for (seconds, accepted) in [
        (-1_000_000, false),
        (-skew - 1, false),
        // "on or after which the JWT MUST NOT be accepted", on our clock and on one that is late.
        (-skew, false),
        (-skew + 1, true),
        (0, true),
        (60, true),
        (latest, true),
        (latest + 1, false),
        (86_400 * 365, false),
    ] {
        let jwt = job().seconds("exp", seconds).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{seconds}");
    }
    let ends_of_time =
        [json!(u64::MAX), json!(1e300), json!(-1), json!(i64::MIN), json!(0), json!(-1e300)];
    let no_times = [json!("1800000060"), json!([1_800_000_060]), json!(true), Value::Null];
    for value in ends_of_time.into_iter().chain(no_times) {
        let jwt = job().claim("exp", value.clone()).jwt();
        assert!(!accepts(&server, "job", &jwt).await, "{value}");
    }
}

#[tokio::test]
async fn jwa_12_not_before_and_age_are_respected() {
    let server = server();
    let skew = Policy::default().assertions.clock_skew.as_secs().cast_signed();
    for name in ["nbf", "iat"] {
        for (seconds, accepted) in
            [(-1_000_000, true), (0, true), (skew, true), (skew + 1, false), (1_000_000, false)]
        {
            let jwt = job().seconds(name, seconds).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{name} {seconds}");
        }
        for wrong in [json!("0"), json!({}), Value::Null] {
            let jwt = job().claim(name, wrong.clone()).jwt();
            assert!(!accepts(&server, "job", &jwt).await, "{name} {wrong}");
        }
        assert!(accepts(&server, "job", &job().claim(name, -5).jwt()).await);
    }
    let aging = server_with(|policy| policy.assertions.max_age = Some(Duration::from_secs(300)));
    assert!(!accepts(&aging, "job", &job().jwt()).await, "no iat");
    for (seconds, accepted) in
        [(0, true), (-300 - skew, true), (-301 - skew, false), (skew + 1, false)]
    {
        let jwt = job().seconds("iat", seconds).jwt();
        assert_eq!(accepts(&aging, "job", &jwt).await, accepted, "{seconds}");
    }
}

#[tokio::test]
async fn jwa_12_times_may_have_fractions() {
    // RFC 7519 section 2: "non-integer values can be represented".
    let server = server();
    let start = START.as_unix_seconds() as f64;
    for (name, offset, accepted) in [
        ("exp", 0.5, true),
        ("exp", -29.5, true),
        ("exp", -30.5, false),
        ("nbf", 30.0, true),
        ("nbf", 30.5, false),
        ("iat", 29.999, true),
    ] {
        let jwt = job().claim(name, start + offset).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{name} {offset}");
    }
    let jwt = job().claim("jti", unique("exponent-"));
    let payload = jwt.payload().replace("1800000060", "1.80000006e9");
    assert!(payload.contains("e9"));
    assert!(accepts(&server, "job", &jwt.encode(r#"{"alg":"EdDSA"}"#, &payload)).await);
}

#[tokio::test]
async fn jwa_13_clocks_may_differ_by_a_minute_at_most() {
    for (skew, seconds, accepted) in [
        (30, 10, true),
        (10, 10, true),
        (60, 60, true),
        (60, 61, false),
        (30, 61, false),
        // More than sixty counts as sixty.
        (3_600, 60, true),
        (3_600, 61, false),
        (0, 0, true),
        (0, 1, false),
    ] {
        let server = server_with(|policy| policy.assertions.clock_skew = Duration::from_secs(skew));
        for name in ["iat", "nbf"] {
            let jwt = job().seconds(name, seconds).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{skew} {name} {seconds}");
        }
        // And the other way round: one that has expired.
        let jwt = job().seconds("exp", 1 - seconds).jwt();
        assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{skew} exp {seconds}");
    }
}

// ── Used once

#[tokio::test]
async fn jwa_14_an_assertion_is_used_once_at_whichever_endpoint() {
    // The token endpoint's guard is the same one.
    for first in ["revoke", "logout", "introspect"] {
        for second in ["revoke", "logout", "introspect"] {
            let server = server();
            server.grant("g1", "job").await;
            server.grant("g2", "job").await;
            let credentials = presenting(&job().jwt());
            let used = at(&server, first, "g1", &credentials).await;
            assert_eq!(used.status(), 200, "{first}");
            // Introspection changes nothing; the others end what they were shown.
            assert_eq!(server.is_active("rt-g1").await, first == "introspect");
            // Logout ends the session, and so the other grant in it.
            let lived = server.is_active("rt-g2").await;
            let replayed = at(&server, second, "g2", &credentials).await;
            assert_unauthenticated(&replayed);
            assert_eq!(server.is_active("rt-g2").await, lived, "{first}, then {second}");
        }
    }
    // T39: two servers that remember apart, each with its own endpoint, are the mistake that a shared guard prevents.
    let guard = Arc::new(MemoryReplayGuard::default());
    let token_endpoint = server_remembering(Arc::clone(&guard));
    let revocation_endpoint = server_remembering(guard);
    let jwt = job().jwt();
    assert!(accepts(&token_endpoint, "job", &jwt).await);
    assert!(!accepts(&revocation_endpoint, "job", &jwt).await);
}

/// A request about the refresh token of this grant.
async fn at(server: &Server, endpoint: &str, id: &str, credentials: &str) -> Response {
    match endpoint {
        "logout" => server.logout(&format!("refresh_token=rt-{id}&{credentials}")).await,
        "introspect" => {
            let body = format!("token=rt-{id}&{credentials}");
            annul::handle_introspect(&server.authority, &form(&body)).await
        }
        _ => server.revoke(&format!("token=rt-{id}&{credentials}")).await,
    }
}

#[tokio::test]
async fn jwa_14_the_identifier_is_required_unless_the_policy_says_otherwise() {
    let strict = server();
    assert!(!accepts(&strict, "job", &job().without("jti").jwt()).await);
    for wrong in [json!(""), json!(17), json!(["x"]), Value::Null] {
        let jwt = job().claim("jti", wrong.clone()).jwt();
        assert!(!accepts(&strict, "job", &jwt).await, "{wrong}");
    }
    let lax = server_with(|policy| policy.assertions.require_jti = false);
    let nameless = job().without("jti").jwt();
    // RFC 7523 leaves it open: then it can be used again, until it expires.
    assert!(accepts(&lax, "job", &nameless).await && accepts(&lax, "job", &nameless).await);
    let named = job().jwt();
    assert!(accepts(&lax, "job", &named).await && !accepts(&lax, "job", &named).await);
    assert!(!accepts(&lax, "job", &job().claim("jti", 17).jwt()).await);
}

#[tokio::test]
async fn jwa_14_a_used_assertion_is_refused_until_it_expires_and_after() {
    let memory = || server_remembering(MemoryReplayGuard::with_capacity(16));
    let ledger = || server_remembering(LedgerReplayGuard::new(MemoryStore::new()));
    for server in [memory(), ledger()] {
        let jwt = job().jwt();
        assert!(accepts(&server, "job", &jwt).await);
        // Good until 60 s, and 30 s of skew beyond: no instant between forgetting and expiry.
        for seconds in [0, 59, 60, 89, 90, 91, 1_000_000] {
            server.clock.set(START + Duration::from_secs(seconds));
            assert!(!accepts(&server, "job", &jwt).await, "{seconds}");
        }
        server.clock.set(START + Duration::from_millis(89_999));
        assert!(!accepts(&server, "job", &jwt).await);
    }
}

#[tokio::test]
async fn jwa_14_endpoints_that_differ_in_skew_do_not_open_each_other() {
    // The token endpoint allows none, the revocation endpoint a minute; and a sweep comes between.
    let uses = Arc::new(MemoryStore::new());
    let memory: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let ledger: Arc<dyn ReplayGuard> = Arc::new(LedgerReplayGuard::new(Arc::clone(&uses)));
    for guard in [memory, ledger] {
        let with_skew = |seconds| {
            let skew = Duration::from_secs(seconds);
            let policy = policy(|policy| policy.assertions.clock_skew = skew);
            server_of(clients(), policy, assertions().replay_guard(Arc::clone(&guard)))
        };
        let (token_endpoint, revocation_endpoint) = (with_skew(0), with_skew(60));
        let jwt = job().jwt();
        assert!(accepts(&token_endpoint, "job", &jwt).await);
        let late = START + Duration::from_secs(100);
        uses.sweep(late, SweepBudget::rows(100_000)).await.unwrap();
        revocation_endpoint.clock.set(late);
        assert!(!accepts(&revocation_endpoint, "job", &jwt).await);
        assert!(accepts(&revocation_endpoint, "job", &job().jwt()).await, "too late for any");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jwa_15_of_many_uses_at_once_one_is_the_first() {
    const TASKS: usize = 64;

    let memory = server_remembering(MemoryReplayGuard::default());
    let ledger = server_remembering(LedgerReplayGuard::new(MemoryStore::new()));
    for server in [memory, ledger] {
        let server = Arc::new(server);
        for round in 0..8 {
            let body = presenting(&job().jwt());
            for task in 0..TASKS {
                server.grant(&format!("r{round}t{task}"), "job").await;
            }
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let (server, body) = (Arc::clone(&server), body.clone());
                    let id = format!("r{round}t{task}");
                    tokio::spawn(async move {
                        let answer = server.revoke(&format!("token=rt-{id}&{body}")).await;
                        (answer.status(), server.is_active(&format!("rt-{id}")).await)
                    })
                })
                .collect();
            let mut first = 0;
            for task in tasks {
                match task.await.unwrap() {
                    (200, false) => first += 1,
                    other => assert_eq!(other, (401, true)),
                }
            }
            assert_eq!(first, 1);
        }
    }
}

#[tokio::test]
async fn jwa_15_clients_may_choose_the_same_identifier() {
    // T38: neither another client's, nor one whose name and identifier run into each other.
    let memory: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let ledger: Arc<dyn ReplayGuard> = Arc::new(LedgerReplayGuard::new(MemoryStore::new()));
    for guard in [memory, ledger] {
        let mut all = clients();
        all.push(with_keys("jobx", [ED25519.jwk()]));
        let server = server_of(all, Policy::default(), assertions().replay_guard(guard));
        for (client, jti) in
            [("job", "1"), ("job2", "1"), ("job", "x1"), ("jobx", "1"), ("job", "21")]
        {
            let jwt = Assertion::of(client, "EdDSA", &ED25519).claim("jti", jti).jwt();
            assert!(accepts(&server, client, &jwt).await, "{client} {jti}");
            let again = Assertion::of(client, "EdDSA", &ED25519).claim("jti", jti);
            assert!(!accepts(&server, client, &again.seconds("exp", 70).jwt()).await);
        }
        // Identifiers are compared as they stand.
        for jti in ["a", "A", "a ", "\u{e4}", "a\u{308}"] {
            assert!(accepts(&server, "job", &job().claim("jti", jti).jwt()).await, "{jti}");
        }
    }
}

#[tokio::test]
async fn jwa_15_what_is_refused_uses_nothing_up() {
    let mut all = clients();
    all.push(with_keys("disabled", [ED25519.jwk()]).disabled());
    let server = server_for(all);
    let other = SigningKey::ed25519();
    let jti = "next";
    let next = || job().claim("jti", jti);
    for (case, assertion) in [
        ("forged with a foreseen identifier", next().signed_by(&other)),
        ("for another server", next().claim("aud", "https://evil.example")),
        ("for us and another", next().claim("aud", json!([ISSUER, "https://evil.example"]))),
        ("not yet valid", next().seconds("nbf", 120)),
        ("already expired", next().seconds("exp", -120)),
        ("too far", next().seconds("exp", 1_000_000)),
        ("of another kind", next().header("typ", "dpop+jwt")),
        ("unequal", next().claim("iss", "job2")),
        ("with an extension", next().header("crit", json!(["x"]))),
    ] {
        assert!(!accepts(&server, "job", &assertion.jwt()).await, "{case}");
    }
    let named = format!("{}&client_id=job2", presenting(&next().jwt()));
    assert!(!accepts_form(&server, "job", &named).await, "another's name beside it");
    assert!(accepts(&server, "job", &next().jwt()).await);

    // A client that is enabled again can use what it tried while it was disabled.
    let guard = Arc::new(MemoryReplayGuard::default());
    let shared = || assertions().replay_guard(Arc::clone(&guard));
    let disabled = with_keys("job", [ED25519.jwk()]).disabled();
    let enabled = with_keys("job", [ED25519.jwk()]);
    let jwt = job().jwt();
    let before = server_of([disabled], Policy::default(), shared());
    assert!(!accepts(&before, "job", &jwt).await);
    let of_methods = policy(|policy| policy.auth_methods = AuthMethods::of(&[AuthMethod::None]));
    let without = server_of([enabled.clone()], of_methods, shared());
    assert!(!accepts(&without, "job", &jwt).await, "the policy has no such method");
    assert!(accepts(&server_of([enabled], Policy::default(), shared()), "job", &jwt).await);
}

#[tokio::test]
async fn jwa_15_a_full_guard_refuses_what_it_cannot_remember() {
    let server = server_remembering(MemoryReplayGuard::with_capacity(1));
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    server.grant("g1", "job").await;
    for _ in 0..200 {
        let jwt = job().jwt();
        let body = format!("token=no-such-token&{}", presenting(&jwt));
        let answer = server.revoke(&body).await;
        match answer.status() {
            200 => accepted.push(jwt),
            status => {
                assert_eq!((status, error_of(&answer).as_str()), (503, "temporarily_unavailable"));
                assert!(answer.header("retry-after").is_some());
                refused.push(jwt);
            }
        }
    }
    assert!(!accepted.is_empty() && !refused.is_empty());
    // It forgot none of them to make room, and what it refused has no effect.
    for jwt in &accepted {
        assert!(!accepts(&server, "job", jwt).await);
    }
    let body = format!("token=rt-g1&{}", presenting(&refused[0]));
    assert_eq!(server.revoke(&body).await.status(), 503);
    assert!(server.is_active("rt-g1").await);
    // There is room again once the others have expired.
    server.clock.advance(Duration::from_secs(180));
    assert!(accepts(&server, "job", &job().seconds("exp", 240).jwt()).await);
}

/// A guard that does not know.
struct FailingGuard(Failure);

#[async_trait]
impl ReplayGuard for FailingGuard {
    async fn enter(&self, _: AssertionUse<'_>) -> Result<Use, StoreError> {
        Err((self.0)())
    }
}

#[tokio::test]
async fn jwa_15_a_guard_that_fails_lets_nobody_in() {
    for (failure, status) in FAILURES {
        let server = server_remembering(FailingGuard(failure));
        let events = Journal::default();
        let server = Server { authority: server.authority.events(events.clone()), ..server };
        server.grant("g1", "job").await;
        for endpoint in ["revoke", "logout", "introspect"] {
            let answer = at(&server, endpoint, "g1", &presenting(&job().jwt())).await;
            assert_eq!(answer.status(), status, "{endpoint}");
            assert!(events.take().iter().any(|event| event.contains("StoreFailed")));
        }
        assert!(server.is_active("rt-g1").await);
        // Whoever cannot get so far is not told of it.
        let forged = job().signed_by(&SigningKey::ed25519()).jwt();
        assert!(!accepts(&server, "job", &forged).await);
    }
}

#[tokio::test]
async fn jwa_15_two_processes_share_a_ledger() {
    let uses = MemoryStore::new();
    let ledger = || LedgerReplayGuard::new(uses.namespace(&Namespace::new("client assertions")));
    let (one, two) = (server_remembering(ledger()), server_remembering(ledger()));
    let jwt = job().jwt();
    assert!(accepts(&one, "job", &jwt).await);
    assert!(!accepts(&two, "job", &jwt).await);
    assert!(accepts(&two, "job", &job().jwt()).await);
    // A restart forgets nothing either.
    assert!(!accepts(&server_remembering(ledger()), "job", &jwt).await);
    // When they have expired, the store's own sweep takes them.
    assert_eq!(uses.usage().tokens, 2);
    let later = START + Duration::from_secs(7_200);
    uses.sweep(later, SweepBudget::rows(100_000)).await.unwrap();
    assert_eq!(uses.usage().tokens, 0);
}

/// The text under which a ledger remembers a use: the digest of client and identifier.
fn remembered(client: &str, jti: &str) -> String {
    let mut digest = Sha256::new();
    digest.update((client.len() as u64).to_be_bytes());
    digest.update(client);
    digest.update(jti);
    format!("assertion.{}", base64url(digest.finalize()))
}

#[tokio::test]
async fn jwa_15_what_a_ledger_remembers_opens_nothing() {
    // The worst place for it: the very store that the tokens are in, without a namespace.
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let guard = LedgerReplayGuard::new(Arc::clone(&store));
    let rs = Client::new(ClientMetadata::new("rs", AuthMethod::ClientSecretBasic));
    let mut all = clients();
    all.push(rs.secret("rs-secret").may_introspect());
    let clients = RegisteredClients::new(ClientTable::from_iter(all)).clock(Arc::clone(&clock));
    let clients = clients.assertions(assertions().replay_guard(guard));
    let authority = Authority::new(Arc::clone(&store), clients).clock(Arc::clone(&clock));
    let server = Server { authority, store, clock };
    assert!(accepts(&server, "job", &job().claim("jti", "once").jwt()).await);

    let name = remembered("job", "once");
    let found = server.store.find(PresentedToken::new(&name), None).await.unwrap();
    assert!(found.is_some(), "the test looks in the wrong place");
    for seconds in [0, 60, 89, 90, 1_000] {
        server.clock.set(START + Duration::from_secs(seconds));
        assert!(!server.is_active(&name).await, "{seconds}");
        let answer = server.introspect_as("rs", &format!("token={name}")).await;
        assert_eq!(answer.body(), br#"{"active":false}"#);
    }
    server.clock.set(START);
    // Nor can it be exchanged for something that does.
    let successor =
        [NewToken::refresh(PresentedToken::new("rt-stolen"), START + Duration::from_secs(60))];
    let client = "job".into();
    let rotation =
        annul::store::Rotation::new(PresentedToken::new(&name), &client, &successor, START);
    server.store.rotate(&rotation).await.unwrap();
    assert!(!server.is_active("rt-stolen").await);
    // And the host cannot issue it by accident.
    let new = [NewToken::access(PresentedToken::new(&name), START + Duration::from_secs(60))];
    let issued = server.store.issue(Grant::new("g", "job", START), &new, START).await;
    assert!(issued.is_err());
    assert!(!server.is_active(&name).await);
}

#[tokio::test]
async fn jwa_15_revoking_what_a_ledger_remembers_does_not_forget_it() {
    let store = Arc::new(MemoryStore::new());
    let guard = || LedgerReplayGuard::new(Arc::clone(&store));
    let server = server_remembering(guard());
    let jwt = job().claim("jti", "once").jwt();
    assert!(accepts(&server, "job", &jwt).await);
    // The client presents the name of the use as a token to revoke, in a server over that very store.
    let clients = RegisteredClients::new(ClientTable::from_iter(clients()));
    let clients =
        clients.clock(Arc::clone(&server.clock)).assertions(assertions().replay_guard(guard()));
    let over = Authority::new(Arc::clone(&store), clients).clock(Arc::clone(&server.clock));
    let body = format!("token={}&{}", remembered("job", "once"), presenting(&job().jwt()));
    assert_eq!(annul::handle_revoke(&over, &form(&body)).await.status(), 200);
    let verdict = over.check(PresentedToken::new(&remembered("job", "once"))).await.unwrap();
    assert!(matches!(verdict, Verdict::Revoked { by: TargetKind::Grant }), "{verdict:?}");
    store.sweep(START, SweepBudget::rows(100_000)).await.unwrap();
    assert!(!accepts(&server, "job", &jwt).await);

    // The operator revokes everything of the client's: what is used afterwards is remembered all the same.
    let everything = Target::Client("job".into());
    let at = START + Duration::from_secs(5);
    let revocation = Revocation::by_operator(everything, Reason::CredentialLeaked, at);
    store.revoke(&revocation).await.unwrap();
    let jwt = job().jwt();
    assert!(accepts(&server, "job", &jwt).await);
    assert!(!accepts(&server, "job", &jwt).await);
}

// ── Signatures

#[tokio::test]
async fn jwa_16_what_is_not_signed_is_refused() {
    let server = server();
    let mac = SigningKey::mac(SECRET);
    for (client, algorithm, key) in
        [("job", "EdDSA", &*ED25519), ("rsa", "RS256", &*RSA), ("mac", "HS256", &mac)]
    {
        let assertion = Assertion::of(client, algorithm, key);
        assert!(accepts(&server, client, &assertion.jwt()).await);
        let assertion = assertion.claim("jti", unique("unsigned-"));
        let payload = assertion.payload();
        for none in ["none", "None", "NONE", "nOnE", "none ", "\u{6e}one", "", "null", "HS0"] {
            let header = json!({ "alg": none }).to_string();
            let message = format!("{}.{}", base64url(&header), base64url(&payload));
            assert!(!accepts(&server, client, &format!("{message}.")).await, "{none}");
            assert!(!accepts(&server, client, &message).await, "{none}");
            assert!(!accepts(&server, client, &format!("{message}.AA")).await, "{none}");
            // Signed, but the header says that it is not.
            assert!(
                !accepts(&server, client, &assertion.encode(&header, &payload)).await,
                "{none}"
            );
        }
        let jwt = assertion.jwt();
        let (message, signature) = jwt.rsplit_once('.').unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        let another = assertion.clone().claim("scope", "admin").payload();
        let (header, _) = message.split_once('.').unwrap();
        for broken in [
            message.to_owned(),
            format!("{message}."),
            format!("{message}.{}", base64url(flipped)),
            format!("{message}.{}", base64url(vec![0; bytes.len()])),
            format!("{message}.{}", base64url(&bytes[..bytes.len() - 1])),
            format!("{message}.{}", base64url([bytes.as_slice(), &[0]].concat())),
            format!("{message}.{}", base64url([&[0], bytes.as_slice()].concat())),
            format!("{header}.{}.{signature}", base64url(another)),
            format!("{}.{signature}", jwt.split_once('.').unwrap().1),
        ] {
            assert!(!accepts(&server, client, &broken).await, "{broken}");
        }
        assert!(accepts(&server, client, &jwt).await);
    }
}

#[tokio::test]
async fn jwa_16_what_can_be_read_in_two_ways_is_refused() {
    let server = server();
    let fresh = || {
        let assertion = job();
        (assertion.payload(), assertion)
    };
    let header = r#"{"alg":"EdDSA"}"#;
    for header in [
        r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
        r#"{"alg":"none","alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","\u0061lg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"1","kid":"1"}"#,
        r#"{"alg":"EdDSA","crit":["x"],"x":1}"#,
        r#"{"alg":"EdDSA","crit":[]}"#,
        r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
        r#"{"alg":"EdDSA","crit":["exp"]}"#,
        r#"{"alg":"EdDSA","kid":1}"#,
        r#"{"alg":["EdDSA"]}"#,
        r#"{"alg":"eddsa"}"#,
        r#"{"typ":"JWT"}"#,
        r#"["EdDSA"]"#,
        r#"{"alg":"EdDSA"}{}"#,
        "",
    ] {
        let (payload, assertion) = fresh();
        assert!(!accepts(&server, "job", &assertion.encode(header, &payload)).await, "{header}");
    }
    for more in [
        r#""sub":"job""#,
        r#""sub":"job2""#,
        r#""iss":"job""#,
        r#""aud":"https://evil.example""#,
        r#""exp":1800000060"#,
        r#""jti":"x""#,
        r#""\u0073ub":"job""#,
        r#""x":1,"x":2"#,
    ] {
        let (payload, assertion) = fresh();
        let (open, rest) = (&payload[..1], &payload[1..]);
        for payload in [format!("{open}{more},{rest}"), payload.replace('}', &format!(",{more}}}"))]
        {
            assert!(
                !accepts(&server, "job", &assertion.encode(header, &payload)).await,
                "{payload}"
            );
        }
    }
    for payload in ["", "[]", "17", "\"job\"", "null", "{", &"[".repeat(50_000)] {
        let (_, assertion) = fresh();
        let named = presenting(&assertion.encode(header, payload)) + "&client_id=job";
        assert!(!accepts_form(&server, "job", &named).await);
    }
    // What JSON allows is not forbidden: spaces, and members in any order.
    let (payload, assertion) = fresh();
    let spaced = payload.replace(':', " : ").replace(" : //", "://").replace(',', " ,\r\n\t");
    let jwt = assertion.encode("{ \"alg\" : \"EdDSA\" }", &spaced);
    assert!(accepts(&server, "job", &jwt).await);
}

#[tokio::test]
async fn jwa_16_other_serializations_are_refused() {
    let server = server();
    let jwt = job().jwt();
    let parts: Vec<&str> = jwt.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let flattened = json!({ "protected": header, "payload": payload, "signature": signature });
    let general = json!({
        "payload": payload,
        "signatures": [{ "protected": header, "signature": signature }],
    });
    let nested = compact(r#"{"alg":"EdDSA","cty":"JWT"}"#, &jwt, "EdDSA", &ED25519);
    let jwe = base64url(r#"{"alg":"dir","enc":"A256GCM"}"#);
    let mut last = signature.to_owned();
    // The last character of 64 bytes holds two bits and four that must be zero.
    let end = last.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(end).unwrap();
    last.push(alphabet.as_bytes()[index ^ 1].into());
    for other in [
        flattened.to_string(),
        general.to_string(),
        nested,
        format!("{jwe}..{header}.{payload}.{signature}"),
        format!("{jwe}.{header}.{payload}.{signature}.AA"),
        format!("{jwt}.AA.AA"),
        format!("{jwt}."),
        format!(".{jwt}"),
        format!("{header}..{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.{payload}.{last}"),
        format!("{header}=.{payload}.{signature}"),
        jwt.replace('.', " ."),
        format!("{jwt}\n"),
        format!("{jwt}\0"),
        format!("Bearer {jwt}"),
        format!("\"{jwt}\""),
        format!("{jwt} {jwt}"),
    ] {
        assert!(!accepts(&server, "job", &other).await, "{other}");
    }
    assert!(accepts(&server, "job", &jwt).await);
}

#[tokio::test]
async fn jwa_16_a_signature_is_of_one_form() {
    // RFC 7518 s3.4: both numbers at full length, and not as ASN.1 has them.
    let SigningKey::Ec { pair, .. } = &*P256 else { unreachable!("P256 is on a curve") };
    let pkcs8 = pair.to_pkcs8v1().unwrap();
    let asn1 = signature::EcdsaKeyPair::from_pkcs8(
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        pkcs8.as_ref(),
    );
    let asn1 = SigningKey::Ec { pair: asn1.unwrap(), curve: "P-256" };
    let server = server();
    let assertion = Assertion::of("p256", "ES256", &P256);
    assert!(!accepts(&server, "p256", &assertion.clone().signed_by(&asn1).jwt()).await);
    // Zeroes are not the signature of everything (CVE-2022-21449).
    let jwt = assertion.jwt();
    let (message, _) = jwt.rsplit_once('.').unwrap();
    for zeroes in [vec![0; 64], [[0; 31].as_slice(), &[1], &[0; 31], &[1]].concat()] {
        assert!(!accepts(&server, "p256", &format!("{message}.{}", base64url(zeroes))).await);
    }
    assert!(accepts(&server, "p256", &jwt).await);
}

#[tokio::test]
async fn jwa_17_a_public_key_is_no_secret() {
    let server = server();
    let mut tried = 0;
    for (client, key) in [("rsa", &*RSA), ("p256", &*P256), ("p384", &*P384), ("job", &*ED25519)] {
        for bytes in key.public_bytes() {
            let mac = SigningKey::mac(bytes);
            for algorithm in ["HS256", "HS384", "HS512"] {
                let jwt = Assertion::of(client, algorithm, &mac).jwt();
                assert!(!accepts(&server, client, &jwt).await, "{client} {algorithm}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 4 * 12 * 3);
    // The other way round: the key of `mac` is its secret, however it is spelled, and no public key that it registered too.
    let metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let metadata = metadata.with_jwks(&jwks([ED25519.jwk()])).unwrap();
    let server = server_for([Client::new(metadata).secret(SECRET)]);
    for bytes in ED25519.public_bytes() {
        let jwt = Assertion::of("mac", "HS256", &SigningKey::mac(bytes)).jwt();
        assert!(!accepts(&server, "mac", &jwt).await);
    }
    assert!(!accepts(&server, "mac", &Assertion::of("mac", "EdDSA", &ED25519).jwt()).await);
    assert!(
        accepts(&server, "mac", &Assertion::of("mac", "HS256", &SigningKey::mac(SECRET)).jwt())
            .await
    );
}

#[tokio::test]
async fn jwa_17_macs_and_signatures_do_not_stand_for_each_other() {
    let keys = with_keys("keys", [ED25519.jwk()]).secret(SECRET);
    let metadata = |id: &str, method| ClientMetadata::new(id, method);
    let basic = Client::new(metadata("basic", AuthMethod::ClientSecretBasic)).secret(SECRET);
    let post = Client::new(metadata("post", AuthMethod::ClientSecretPost)).secret(SECRET);
    let with_set =
        |id: &str, method| metadata(id, method).with_jwks(&jwks([ED25519.jwk()])).unwrap();
    let all = [
        keys,
        basic,
        post,
        Client::new(with_set("public", AuthMethod::None)),
        Client::new(with_set("tls", AuthMethod::SelfSignedTlsClientAuth)).secret(SECRET),
        Client::new(with_set("mac", AuthMethod::ClientSecretJwt)).secret(SECRET),
    ];
    let server = server_for(all);
    let secret = SigningKey::mac(SECRET);
    for client in ["keys", "basic", "post", "public", "tls"] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let jwt = Assertion::of(client, algorithm, &secret).jwt();
            assert!(!accepts(&server, client, &jwt).await, "{client} {algorithm}");
        }
    }
    for client in ["basic", "post", "public", "tls", "mac"] {
        let jwt = Assertion::of(client, "EdDSA", &ED25519).jwt();
        assert!(!accepts(&server, client, &jwt).await, "{client}");
    }
    assert!(accepts(&server, "keys", &Assertion::of("keys", "EdDSA", &ED25519).jwt()).await);
    assert!(accepts(&server, "mac", &Assertion::of("mac", "HS256", &secret).jwt()).await);
    // And a client registered for an assertion has no other way in: a leaked secret opens no side door.
    for client in ["keys", "mac"] {
        let body = parameters(&[("client_id", client), ("client_secret", SECRET)]);
        assert!(!accepts_form(&server, client, &body).await);
        assert!(!accepts_form(&server, client, &format!("client_id={client}")).await);
    }
}

#[tokio::test]
async fn jwa_17_the_key_of_a_mac_is_the_secret_and_only_a_live_one() {
    let metadata = || ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let digested = annul::client::SecretDigest::of("digested");
    let rotating = Client::new(metadata())
        .secret_until("old", START + Duration::from_secs(10))
        .secret_until("over", START)
        .secret_digest(digested, None)
        .secret("new")
        .secret("newer");
    let server = server_for([rotating, with_secret("mac2", "theirs")]);
    let by = |key: SigningKey| Assertion::of("mac", "HS256", &key).jwt();
    for (secret, before, after) in [
        ("old", true, false),
        ("over", false, false),
        ("new", true, true),
        ("newer", true, true),
        ("digested", false, false),
        ("theirs", false, false),
        ("NEW", false, false),
        ("", false, false),
    ] {
        server.clock.set(START);
        assert_eq!(accepts(&server, "mac", &by(SigningKey::mac(secret))).await, before, "{secret}");
        server.clock.advance(Duration::from_secs(10));
        assert_eq!(accepts(&server, "mac", &by(SigningKey::mac(secret))).await, after, "{secret}");
    }
    // Neither what a database has instead of it, nor another spelling of its bytes.
    let digest = annul::client::SecretDigest::of("new");
    for bytes in [digest.as_bytes().to_vec(), base64url("new").into_bytes(), b"bmV3".to_vec()] {
        assert!(!accepts(&server, "mac", &by(SigningKey::mac(bytes))).await);
    }
    // One that was digested alone cannot serve, and a client without any has none: not an empty one either.
    let server = server_for([Client::new(metadata())]);
    for nothing in [Vec::new(), vec![0; 32]] {
        assert!(!accepts(&server, "mac", &by(SigningKey::mac(nothing))).await);
    }
}

#[tokio::test]
async fn cli_17_a_disabled_client_proves_nothing_elsewhere_either() {
    let assertions = assertions();
    let policy = Policy::default().assertions;
    let client = with_keys("job", [ED25519.jwk()]);
    let jwt = job().jwt();
    let disabled = client.clone().disabled();
    assert!(!assertions.verify(Some(&disabled), &jwt, &policy, START).await.unwrap());
    // And uses nothing up.
    assert!(assertions.verify(Some(&client), &jwt, &policy, START).await.unwrap());
}

#[tokio::test]
async fn jwa_18_a_registered_algorithm_is_the_only_one() {
    let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for pinned in algorithms {
        let mut metadata = ClientMetadata::new("rsa", AuthMethod::PrivateKeyJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata.with_jwks(&jwks([RSA.jwk()])).unwrap())]);
        for algorithm in algorithms {
            let jwt = Assertion::of("rsa", algorithm, &RSA).jwt();
            assert_eq!(accepts(&server, "rsa", &jwt).await, algorithm == pinned, "{algorithm}");
        }
    }
    let secret = SigningKey::mac(SECRET);
    for pinned in ["HS256", "HS384", "HS512"] {
        let mut metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata).secret(SECRET)]);
        for algorithm in ["HS256", "HS384", "HS512"] {
            let jwt = Assertion::of("mac", algorithm, &secret).jwt();
            assert_eq!(accepts(&server, "mac", &jwt).await, algorithm == pinned, "{algorithm}");
        }
    }
    // Two names of one algorithm; and what this crate does not know, or what signs nothing, lets nobody in.
    for (pinned, accepted) in [
        ("EdDSA", true),
        ("Ed25519", true),
        ("ES256", false),
        ("HS256", false),
        ("none", false),
        ("ES512", false),
        ("Ed448", false),
        ("eddsa", false),
        ("", false),
        ("ML-DSA-44", false),
    ] {
        let mut metadata = ClientMetadata::new("job", AuthMethod::PrivateKeyJwt);
        metadata.token_endpoint_auth_signing_alg = Some(pinned.to_owned());
        let server = server_for([Client::new(metadata.with_jwks(&jwks([ED25519.jwk()])).unwrap())]);
        for name in ["EdDSA", "Ed25519"] {
            let jwt = Assertion::of("job", name, &ED25519).jwt();
            assert_eq!(accepts(&server, "job", &jwt).await, accepted, "{pinned} {name}");
        }
    }
}

#[test]
fn jwa_18_metadata_with_an_unusable_algorithm_is_invalid() {
    for method in [AuthMethod::PrivateKeyJwt, AuthMethod::ClientSecretJwt] {
        for (name, valid) in [("RS256", true), ("HS512", true), ("none", false), ("x", false)] {
            let mut metadata = ClientMetadata::new("job", method);
            metadata.token_endpoint_auth_signing_alg = Some(name.to_owned());
            let expected = if valid { Ok(()) } else { Err(InvalidMetadata::SigningAlgorithm) };
            assert_eq!(metadata.validate(), expected, "{name}");
        }
    }
}

#[tokio::test]
async fn jwa_19_every_algorithm_is_verified() {
    let server = server();
    let secret = SigningKey::mac(SECRET);
    let by_key: [(&str, &SigningKey, &[&'static str]); 5] = [
        ("rsa", &RSA, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
        ("p256", &P256, &["ES256"]),
        ("p384", &P384, &["ES384"]),
        ("job", &ED25519, &["EdDSA", "Ed25519"]),
        ("mac", &secret, &["HS256", "HS384", "HS512"]),
    ];
    let all = by_key.iter().flat_map(|(.., algorithms)| algorithms.iter().copied());
    let all: Vec<&'static str> = all.collect();
    for (client, key, own) in by_key {
        for algorithm in own {
            let assertion = Assertion::of(client, algorithm, key);
            let jwt = assertion.jwt();
            // Signed by one algorithm, and said to be by another: of the same key, or of other ones.
            for other in all.iter().filter(|other| *other != algorithm) {
                if Algorithm::from_name(other) == Algorithm::from_name(algorithm) {
                    continue;
                }
                let jwt = assertion.clone().header("alg", *other).jwt();
                assert!(!accepts(&server, client, &jwt).await, "{algorithm} as {other}");
            }
            assert!(accepts(&server, client, &jwt).await, "{algorithm}");
            assert!(!accepts(&server, client, &jwt).await, "{algorithm} again");
        }
    }
    for unknown in
        ["ES512", "ES256K", "Ed448", "RS1", "HS1", "RSA-OAEP", "dir", "ML-DSA-65", "es256"]
    {
        let jwt = Assertion::of("p256", "ES256", &P256).header("alg", unknown).jwt();
        assert!(!accepts(&server, "p256", &jwt).await, "{unknown}");
    }
}

#[tokio::test]
async fn jwa_19_a_policy_narrows_the_algorithms() {
    // FAPI 2.0 s5.4.1.
    let server = server_with(|policy| policy.assertions.algorithms = Algorithms::FAPI2);
    let secret = SigningKey::mac(SECRET);
    for (client, algorithm, key, accepted) in [
        ("rsa", "PS256", &*RSA, true),
        ("p256", "ES256", &*P256, true),
        ("job", "EdDSA", &*ED25519, true),
        ("rsa", "RS256", &*RSA, false),
        ("rsa", "RS512", &*RSA, false),
        ("rsa", "PS384", &*RSA, false),
        ("p384", "ES384", &*P384, false),
        ("mac", "HS256", &secret, false),
    ] {
        let jwt = Assertion::of(client, algorithm, key).jwt();
        assert_eq!(accepts(&server, client, &jwt).await, accepted, "{algorithm}");
    }
    // What the client registered does not widen what the policy has.
    let mut metadata = ClientMetadata::new("rsa", AuthMethod::PrivateKeyJwt);
    metadata.token_endpoint_auth_signing_alg = Some("RS256".to_owned());
    let client = Client::new(metadata.with_jwks(&jwks([RSA.jwk()])).unwrap());
    let fapi = policy(|policy| policy.assertions.algorithms = Algorithms::FAPI2);
    let server = server_of([client], fapi, assertions());
    for algorithm in ["RS256", "PS256"] {
        assert!(!accepts(&server, "rsa", &Assertion::of("rsa", algorithm, &RSA).jwt()).await);
    }
    let none = server_with(|policy| policy.assertions.algorithms = Algorithms::of(&[]));
    assert!(!accepts(&none, "job", &job().jwt()).await);
}

/// A test key of 1024 bits, and an assertion of `weak` that it signed, good until a minute after [`START`]: the library
/// that signs the others makes no such key.
const WEAK_MODULUS: &str = "yT7-ixSsZh9EISLqshlaUa-eDGVo9DrMSMQaxCs_tkVI1HFOcq2kdRZnzLlBWb9w_IzEB7VvGGSWD7UQIovpftml2OSXiCjvqOKXOIOaCWltpN0PVVDEh1vuu3BZQh7fp_-B-Ts1EJj7XJKcppOhCfuQnLwwJj4CBVYvf_oJwxM";
const WEAKLY_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ3ZWFrIiwic3ViIjoid2VhayIsImF1ZCI6Imh0dHBzOi8vYXMuZXhhbXBsZSIsImV4cCI6MTgwMDAwMDA2MCwianRpIjoid2Vhay0xIn0.s1RdwbHfk9KOMgiXcERjJUFBys_4d8SVimOBxoIiaxW9rDEixrxsejBiOEayCa57EeDiN18Byzb_q2ugAy5ZhP8R5n3leiwwjWxaYhUTbl3zKINLyZisZi4161AzhmRhMSwVEzHv97vTAJskac6yX86TVUk57bIM4FS7IknnRpo";

#[tokio::test]
async fn jwa_19_small_and_trivial_rsa_keys_are_refused() {
    let weak = json!({ "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB" });
    // The signature is right: a library that minds no size says so.
    let (message, signature) = WEAKLY_SIGNED.rsplit_once('.').unwrap();
    let (n, e) = (URL_SAFE_NO_PAD.decode(WEAK_MODULUS).unwrap(), [1, 0, 1]);
    let components = signature::RsaPublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
    let legacy = &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    let right = URL_SAFE_NO_PAD.decode(signature).unwrap();
    components.verify(legacy, message.as_bytes(), &right).unwrap();
    let server = server_for([with_keys("weak", [weak])]);
    assert!(!accepts(&server, "weak", WEAKLY_SIGNED).await);
    // It stays too small where a certificate stands beside it.
    let certified = json!({ "kty": "RSA", "n": WEAK_MODULUS, "e": "AQAB", "x5c": ["MAMCAQA="] });
    let server = server_for([with_keys("weak", [certified])]);
    assert!(!accepts(&server, "weak", WEAKLY_SIGNED).await);
    // Zeroes before it do not make it longer.
    let padded = base64url([vec![0; 128], n].concat());
    let padded = json!({ "kty": "RSA", "n": padded, "e": "AQAB" });
    assert!(!accepts(&server_for([with_keys("weak", [padded])]), "weak", WEAKLY_SIGNED).await);

    // Under the exponent 1 the padded digest is its own signature, and anybody can write it (RFC 8017 section 9.2).
    let n = RSA.jwk()["n"].clone();
    for e in ["AQ", "", "AA", "Ag", "AAE"] {
        let trivial = json!({ "kty": "RSA", "n": n, "e": e });
        let server = server_for([with_keys("trivial", [trivial])]);
        let jwt = Assertion::of("trivial", "RS256", &RSA).jwt();
        let (message, _) = jwt.rsplit_once('.').unwrap();
        let info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        let digest = [info.as_slice(), &Sha256::digest(message)].concat();
        let filler = vec![0xff; 256 - 3 - digest.len()];
        let forged = [[0, 1].as_slice(), &filler, &[0], &digest].concat();
        let jwt = format!("{message}.{}", base64url(forged));
        assert!(!accepts(&server, "trivial", &jwt).await, "{e}");
    }
}

// ── Keys

#[tokio::test]
async fn jwa_20_a_key_is_chosen_by_its_identifier() {
    let two = SigningKey::ed25519();
    let first = ED25519.jwk_with(json!({ "kid": "1" }));
    let second = two.jwk_with(json!({ "kid": "2" }));
    let another = P256.jwk_with(json!({ "kid": "3" }));
    let server = server_for([
        with_keys("one", [first.clone()]),
        with_keys("both", [first.clone(), second.clone(), another]),
        with_keys("nameless", [ED25519.jwk()]),
        with_keys("mixed", [ED25519.jwk(), second.clone()]),
        with_keys("twice", [first.clone(), two.jwk_with(json!({ "kid": "1" }))]),
        with_keys("other", [second]),
    ]);
    for (client, kid, key, accepted) in [
        ("one", None, &*ED25519, true),
        ("one", Some("1"), &*ED25519, true),
        ("one", Some("2"), &*ED25519, false),
        ("one", Some(""), &*ED25519, false),
        ("one", Some("1 "), &*ED25519, false),
        ("both", Some("1"), &*ED25519, true),
        ("both", Some("2"), &two, true),
        ("both", Some("1"), &two, false),
        ("both", Some("2"), &*ED25519, false),
        // OpenID Connect Core s10.1: among several, a `kid` must say which.
        ("both", None, &*ED25519, false),
        ("both", None, &two, false),
        ("both", Some("9"), &*ED25519, false),
        // Of another type than the algorithm's.
        ("both", Some("3"), &*ED25519, false),
        ("nameless", None, &*ED25519, true),
        ("nameless", Some("any"), &*ED25519, true),
        ("mixed", Some("2"), &two, true),
        ("mixed", Some("2"), &*ED25519, false),
        ("mixed", Some("9"), &*ED25519, true),
        ("mixed", None, &*ED25519, false),
        ("twice", Some("1"), &*ED25519, false),
        ("twice", Some("1"), &two, false),
        // The key of another client is not this one's, whatever its name.
        ("other", Some("1"), &*ED25519, false),
        ("other", None, &*ED25519, false),
    ] {
        let assertion = Assertion::of(client, "EdDSA", key);
        let assertion = match kid {
            Some(kid) => assertion.header("kid", kid),
            None => assertion,
        };
        let found = accepts(&server, client, &assertion.jwt()).await;
        assert_eq!(found, accepted, "{client} {kid:?}");
    }
    // Of one type there is but one: then the algorithm says which.
    let jwt = Assertion::of("both", "ES256", &P256).jwt();
    assert!(accepts(&server, "both", &jwt).await);
}

#[tokio::test]
async fn jwa_20_keys_for_something_else_verify_nothing() {
    for (members, accepted) in [
        (json!({}), true),
        (json!({ "use": "sig" }), true),
        (json!({ "use": "enc" }), false),
        (json!({ "use": "SIG" }), false),
        (json!({ "key_ops": ["verify"] }), true),
        (json!({ "key_ops": ["sign", "verify"] }), true),
        (json!({ "key_ops": ["sign"] }), false),
        (json!({ "key_ops": ["encrypt"] }), false),
        (json!({ "key_ops": [] }), false),
        (json!({ "alg": "RS256" }), true),
        (json!({ "alg": "PS256" }), false),
        (json!({ "alg": "RSA-OAEP-256" }), false),
        (json!({ "alg": "none" }), false),
        (json!({ "alg": "HS256" }), false),
        (json!({ "kty": "oct" }), false),
        (json!({ "kty": "EC" }), false),
        (json!({ "kty": "rsa" }), false),
        (json!({ "n": "AQAB" }), false),
        (json!({ "n": null }), false),
    ] {
        let server = server_for([with_keys("rsa", [RSA.jwk_with(members.clone())])]);
        let jwt = Assertion::of("rsa", "RS256", &RSA).jwt();
        assert_eq!(accepts(&server, "rsa", &jwt).await, accepted, "{members}");
    }
    // A point that is not on the curve, and one on another.
    for members in [
        json!({ "x": base64url([1; 32]) }),
        json!({ "crv": "P-384" }),
        json!({ "crv": "secp256k1" }),
    ] {
        let server = server_for([with_keys("p256", [P256.jwk_with(members.clone())])]);
        let jwt = Assertion::of("p256", "ES256", &P256).jwt();
        assert!(!accepts(&server, "p256", &jwt).await, "{members}");
    }
    // A symmetric key among the public ones is no secret of the client's.
    let secret = SigningKey::mac(SECRET);
    let server = server_for([with_keys("oct", [secret.jwk(), ED25519.jwk()])]);
    assert!(!accepts(&server, "oct", &Assertion::of("oct", "HS256", &secret).jwt()).await);
    assert!(accepts(&server, "oct", &Assertion::of("oct", "EdDSA", &ED25519).jwt()).await);
}

#[tokio::test]
async fn jwa_20_a_key_in_the_header_is_not_looked_at() {
    let own = SigningKey::ed25519();
    let source = Arc::new(Source::default());
    source.publish("https://evil.example/jwks", [own.jwk()]);
    let cache = Arc::new(JwksCache::new(Arc::clone(&source)));
    let server = server_of(clients(), Policy::default(), assertions().key_sets(cache));
    for (name, value) in [
        ("jwk", own.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
    ] {
        let forged = job().header(name, value.clone()).signed_by(&own);
        assert!(!accepts(&server, "job", &forged.jwt()).await, "{name}");
        // Whose own key signed is not harmed by it.
        assert!(accepts(&server, "job", &job().header(name, value).jwt()).await, "{name}");
    }
    assert_eq!(source.fetches(), 0);
}

/// Key sets by their URL; counts how often it is asked.
#[derive(Default)]
struct Source {
    sets: Mutex<HashMap<String, String>>,
    fetches: AtomicUsize,
    /// Every fetch takes one, where there is a gate.
    gate: Option<Semaphore>,
}

impl Source {
    fn gated() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::default() }
    }

    fn publish(&self, uri: &str, keys: impl IntoIterator<Item = Value>) {
        self.sets.lock().unwrap().insert(uri.to_owned(), jwks(keys));
    }

    /// From now on, fails.
    fn withdraw(&self, uri: &str) {
        self.sets.lock().unwrap().remove(uri);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }

    fn open(&self) {
        self.gate.as_ref().unwrap().add_permits(1);
    }
}

#[async_trait]
impl JwksSource for Source {
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
        self.fetches.fetch_add(1, SeqCst);
        match &self.gate {
            Some(gate) => gate.acquire().await.unwrap().forget(),
            // Others run meanwhile, as they would while a connection is made.
            None => tokio::task::yield_now().await,
        }
        let sets = self.sets.lock().unwrap();
        let set = sets.get(uri).ok_or_else(|| StoreError::unavailable("connection refused"))?;
        JwkSet::from_json(set.as_bytes()).map_err(StoreError::corrupt)
    }
}

const KEYS_AT: &str = "https://client.example/jwks";

/// `fetched`, whose keys are at [`KEYS_AT`], fetched at most once a minute and kept for ten.
fn server_fetching(source: &Arc<Source>) -> Server {
    let mut metadata = ClientMetadata::new("fetched", AuthMethod::PrivateKeyJwt);
    metadata.jwks_uri = Some(KEYS_AT.to_owned());
    let mut all = clients();
    all.push(Client::new(metadata));
    let cache = JwksCache::new(Arc::clone(source))
        .refetch_interval(Duration::from_secs(60))
        .lifetime(Duration::from_secs(600));
    server_of(all, Policy::default(), assertions().key_sets(cache))
}

/// An assertion of `fetched`, good from now on.
fn fetched(server: &Server, kid: &str, key: &SigningKey) -> String {
    let now = server.authority.now().as_unix_seconds();
    let assertion = Assertion::of("fetched", "EdDSA", key).header("kid", kid);
    assertion.claim("exp", now + 60).jwt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jwa_20_a_storm_of_unknown_identifiers_fetches_once() {
    const STORM: usize = 300;

    let source = Arc::new(Source::default());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = Arc::new(server_fetching(&source));
    let forger = Arc::new(SigningKey::ed25519());
    for minute in 0..3 {
        let tasks: Vec<_> = (0..STORM)
            .map(|n| {
                let (server, forger) = (Arc::clone(&server), Arc::clone(&forger));
                tokio::spawn(async move {
                    let (kid, key) = match n % 3 {
                        // Some of them are the client itself.
                        0 => ("1".to_owned(), &*ED25519),
                        _ => (format!("{minute}-{n}"), &*forger),
                    };
                    let jwt = fetched(&server, &kid, key);
                    assert_eq!(accepts(&server, "fetched", &jwt).await, n % 3 == 0);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(source.fetches(), minute + 1);
        server.clock.advance(Duration::from_secs(60));
    }
}

/// Polls once: as far as it gets by itself.
async fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    let mut future = Some(future);
    poll_fn(|context| {
        let polled = future.take().map(|future| future.poll(context));
        Poll::Ready(match polled {
            Some(Poll::Ready(output)) => Some(output),
            Some(Poll::Pending) | None => None,
        })
    })
    .await
}

#[tokio::test]
async fn jwa_20_requests_wait_for_the_fetch_that_is_under_way() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let (one, two) = (fetched(&server, "1", &ED25519), fetched(&server, "1", &ED25519));
    // Both come before there are any keys: the second must not be refused for it.
    let mut first = pin!(accepts(&server, "fetched", &one));
    let mut second = pin!(accepts(&server, "fetched", &two));
    assert_eq!(poll_once(first.as_mut()).await, None);
    assert_eq!(poll_once(second.as_mut()).await, None);
    source.open();
    assert!(first.await);
    assert_eq!(poll_once(second.as_mut()).await, Some(true));
    assert_eq!(source.fetches(), 1);

    // The same when the key was rotated: both know the new one.
    let rotated = SigningKey::ed25519();
    source.publish(KEYS_AT, [rotated.jwk_with(json!({ "kid": "2" }))]);
    server.clock.advance(Duration::from_secs(60));
    let (one, two) = (fetched(&server, "2", &rotated), fetched(&server, "2", &rotated));
    let old = fetched(&server, "1", &ED25519);
    let mut first = pin!(accepts(&server, "fetched", &one));
    let mut second = pin!(accepts(&server, "fetched", &two));
    assert_eq!(poll_once(first.as_mut()).await, None);
    assert_eq!(poll_once(second.as_mut()).await, None);
    // Whoever needs nothing new does not wait for it.
    assert!(accepts(&server, "fetched", &old).await);
    source.open();
    assert!(first.await);
    assert_eq!(poll_once(second.as_mut()).await, Some(true));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn jwa_20_a_rotated_key_is_fetched_after_the_interval() {
    let source = Arc::new(Source::default());
    let (old, new) = (&*ED25519, SigningKey::ed25519());
    source.publish(KEYS_AT, [old.jwk_with(json!({ "kid": "old" }))]);
    let server = server_fetching(&source);
    assert!(accepts(&server, "fetched", &fetched(&server, "old", old)).await);
    source.publish(KEYS_AT, [new.jwk_with(json!({ "kid": "new" }))]);
    for (seconds, accepted, fetches) in
        [(0, false, 1), (59, false, 1), (60, true, 2), (61, true, 2)]
    {
        server.clock.set(START + Duration::from_secs(seconds));
        let found = accepts(&server, "fetched", &fetched(&server, "new", &new)).await;
        assert_eq!((found, source.fetches()), (accepted, fetches), "{seconds}");
    }
    // The old one went with the set it was in.
    server.clock.set(START + Duration::from_secs(62));
    assert!(!accepts(&server, "fetched", &fetched(&server, "old", old)).await);

    // One that was withdrawn, and that nobody misses, is accepted for as long as a set lives.
    source.publish(KEYS_AT, [old.jwk_with(json!({ "kid": "old" }))]);
    for (seconds, accepted) in [(659, true), (660, false)] {
        server.clock.set(START + Duration::from_secs(seconds));
        let found = accepts(&server, "fetched", &fetched(&server, "new", &new)).await;
        assert_eq!(found, accepted, "{seconds}");
    }
}

#[tokio::test]
async fn jwa_20_a_source_that_fails_leaves_the_keys_before_in_use() {
    let source = Arc::new(Source::default());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
    source.withdraw(KEYS_AT);
    for (seconds, fetches) in [(599, 1), (600, 2), (601, 2), (659, 2), (660, 3), (7_200, 4)] {
        server.clock.set(START + Duration::from_secs(seconds));
        assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await, "{seconds}");
        assert_eq!(source.fetches(), fetches, "{seconds}");
    }
    // So does one that answers with something else.
    source.sets.lock().unwrap().insert(KEYS_AT.to_owned(), "<html>".to_owned());
    server.clock.set(START + Duration::from_secs(9_000));
    assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
    assert_eq!(source.fetches(), 5);
    // An empty set is an answer: the client withdrew its keys.
    source.publish(KEYS_AT, []);
    server.clock.set(START + Duration::from_secs(9_999));
    assert!(!accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
}

#[tokio::test]
async fn jwa_20_a_fetch_goes_on_when_the_request_that_began_it_is_dropped() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let forged = fetched(&server, "x", &SigningKey::ed25519());
    let honest = fetched(&server, "1", &ED25519);
    let mut waiting = Box::pin(accepts(&server, "fetched", &honest));
    {
        // A stranger asks first, and hangs up.
        let mut dropped = pin!(accepts(&server, "fetched", &forged));
        assert_eq!(poll_once(dropped.as_mut()).await, None);
        assert_eq!(poll_once(waiting.as_mut()).await, None);
    }
    assert_eq!(poll_once(waiting.as_mut()).await, None);
    source.open();
    assert!(waiting.await, "kept out by a stranger");
    assert_eq!(source.fetches(), 1);
}

#[tokio::test]
async fn jwa_20_dropping_every_fetch_keeps_no_withdrawn_key_in_use() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "stolen" }))]);
    let server = server_fetching(&source);
    source.open();
    assert!(accepts(&server, "fetched", &fetched(&server, "stolen", &ED25519)).await);
    let new = SigningKey::ed25519();
    source.publish(KEYS_AT, [new.jwk_with(json!({ "kid": "new" }))]);
    server.clock.advance(Duration::from_secs(600));
    {
        let stolen = fetched(&server, "stolen", &ED25519);
        let mut dropped = pin!(accepts(&server, "fetched", &stolen));
        assert_eq!(poll_once(dropped.as_mut()).await, None);
    }
    source.open();
    assert!(!accepts(&server, "fetched", &fetched(&server, "stolen", &ED25519)).await);
    assert!(accepts(&server, "fetched", &fetched(&server, "new", &new)).await);
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn jwa_20_a_fetch_that_hangs_is_given_up_after_a_minute() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let early = fetched(&server, "1", &ED25519);
    let mut hanging = Box::pin(accepts(&server, "fetched", &early));
    assert_eq!(poll_once(hanging.as_mut()).await, None);
    tokio::task::yield_now().await;
    server.clock.advance(Duration::from_secs(60));
    let late = fetched(&server, "1", &ED25519);
    let mut late = Box::pin(accepts(&server, "fetched", &late));
    assert_eq!(poll_once(late.as_mut()).await, None);
    assert!(!hanging.await);
    source.open();
    assert!(late.await);
    assert_eq!(source.fetches(), 2);
}

#[test]
fn jwa_20_without_a_runtime_a_dropped_fetch_wedges_nothing_and_leaves_no_old_key_in_use() {
    /// As far as it gets by itself; everything here gets to its end, but for the gate.
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let at = |seconds| {
        server.clock.set(START + Duration::from_secs(seconds));
        fetched(&server, "1", &ED25519)
    };
    let asked = |jwt: &str| poll(pin!(accepts(&server, "fetched", jwt)));
    source.open();
    assert_eq!(asked(&at(0)), Poll::Ready(true));
    // Old by now; and this request is dropped while it fetches.
    assert_eq!(asked(&at(600)), Poll::Pending);
    assert_eq!(asked(&at(601)), Poll::Ready(false));
    source.open();
    assert_eq!(asked(&at(660)), Poll::Ready(true));
    assert_eq!(source.fetches(), 3);
}

#[tokio::test]
async fn jwa_20_a_client_whose_keys_cannot_be_had_looks_unknown() {
    let source = Arc::new(Source::default());
    let server = server_fetching(&source);
    server.grant("g1", "fetched").await;
    let ask = async |jwt: String| {
        seen(&server.revoke(&format!("token=rt-g1&{}", presenting(&jwt))).await)
    };
    let keyless = ask(fetched(&server, "1", &ED25519)).await;
    let unknown = ask(Assertion::of("nobody", "EdDSA", &ED25519).header("kid", "1").jwt()).await;
    assert_eq!(keyless, unknown);
    assert_eq!(keyless.0, 401);
    assert!(server.is_active("rt-g1").await);
    assert_eq!(source.fetches(), 1);
    // A client that only says so fetches nothing: neither one that is disabled, nor one registered otherwise.
    let mut web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    web.jwks_uri = Some(KEYS_AT.to_owned());
    let mut disabled = ClientMetadata::new("disabled", AuthMethod::PrivateKeyJwt);
    disabled.jwks_uri = Some(KEYS_AT.to_owned());
    source.publish(KEYS_AT, [ED25519.jwk()]);
    let cache = JwksCache::new(Arc::clone(&source));
    let all = [Client::new(web).secret("web-secret"), Client::new(disabled).disabled()];
    let server = server_of(all, Policy::default(), assertions().key_sets(cache));
    for client in ["web", "disabled"] {
        let jwt = Assertion::of(client, "EdDSA", &ED25519).jwt();
        assert!(!accepts(&server, client, &jwt).await, "{client}");
    }
    assert_eq!(source.fetches(), 1);
}

// ── The rest

#[tokio::test]
async fn jwa_21_unknown_members_are_ignored() {
    let server = server();
    let assertion = job()
        .claim("https://client.example/claim", json!({ "a": [1, { "b": null }] }))
        .claim("scope", "admin")
        .claim("client_id", "somebody else")
        .claim("iat", START.as_unix_seconds())
        .header("cty", "JWT")
        .header("zip", "DEF")
        .header("x", json!({ "alg": "none" }));
    assert!(accepts(&server, "job", &assertion.jwt()).await);
}

#[tokio::test]
async fn jwa_22_saml_assertions_are_refused() {
    let server = server();
    let jwt = job().jwt();
    for saml in ["urn:ietf:params:oauth:client-assertion-type:saml2-bearer", "saml2-bearer"] {
        for assertion in [jwt.as_str(), "PHNhbWxwOkFzc2VydGlvbi8-"] {
            let body =
                parameters(&[("client_assertion_type", saml), ("client_assertion", assertion)]);
            assert!(!accepts_form(&server, "job", &body).await, "{saml}");
            assert!(
                !accepts_form(&server, "job", &format!("{body}&client_id=job")).await,
                "{saml}"
            );
        }
    }
    assert!(accepts(&server, "job", &jwt).await);
}
