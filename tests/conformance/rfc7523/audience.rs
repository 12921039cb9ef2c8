//! For whom an assertion is, and what kind of JWT it is.

use std::sync::Arc;

use annul::client::{Assertions, ClientTable, RegisteredClients};
use annul::policy::AudiencePolicy;
use annul::{Authority, FakeClock, Issuer, MemoryStore, Policy};
use serde_json::{Value, json};

use crate::doubles::policy;
use crate::rfc7523::{
    REVOCATION_ENDPOINT, TOKEN_ENDPOINT, accepts, clients, job, server, server_of, server_with,
};
use crate::signer::ISSUER;
use crate::support::{START, Server};

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
