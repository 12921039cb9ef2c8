//! `openid-client` on Node, which does its OAuth with `oauth4webapi`.

use serde_json::json;

use crate::clients::library::Library;
use crate::clients::{
    ODD_SECRET, Party, another_credential_is_no_proof, ask, assert_revokes, fapi2_refuses_the_rest,
    fapi2_takes_three_algorithms, introspection_sees_the_token_die, issuer, start,
};

/// Every algorithm that it signs with, by the name that the tests and RFC 7591 know it by.
const ALGORITHMS: [&str; 4] = ["RS256", "PS256", "ES256", "EdDSA"];

#[test]
fn cli_02_any_secret_in_the_header() {
    let mut library = Library::openid_client();
    let party = Party::with_secret("client_secret_basic", ODD_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    // The credentials are nowhere else.
    assert_eq!(outcomes.first().unwrap().parameters(), ["token"]);
}

#[test]
fn cli_07_any_secret_in_the_form() {
    let mut library = Library::openid_client();
    let party = Party::with_secret("client_secret_post", ODD_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    let sent = outcomes.first().unwrap().parameters();
    assert_eq!(sent, ["client_id", "client_secret", "token"]);
}

#[test]
fn s2_1_a_public_client_names_itself() {
    let mut library = Library::openid_client();
    let outcomes = assert_revokes(&mut library, "standard", &[&Party::public()]);
    assert_eq!(outcomes.first().unwrap().parameters(), ["client_id", "token"]);
}

#[test]
fn jwa_17_any_secret_as_the_key_of_a_mac() {
    let mut library = Library::openid_client();
    let party = Party::with_secret("client_secret_jwt", ODD_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    assert_eq!(outcomes.first().unwrap().kind_of_assertion()["alg"], "HS256");
}

#[test]
fn jwa_17_a_private_key_under_each_algorithm() {
    let mut library = Library::openid_client();
    let parties = ALGORITHMS.map(|algorithm| Party::with_key(&mut library, algorithm));
    let outcomes = assert_revokes(&mut library, "standard", &parties.each_ref());
    // RFC 9864 renamed EdDSA on this curve, and the library follows.
    let sent = outcomes.iter().map(|outcome| outcome.kind_of_assertion()["alg"].clone());
    assert!(sent.eq(["RS256", "PS256", "ES256", "Ed25519"]));
}

#[test]
fn jwa_06_the_issuer_is_the_audience_unasked() {
    let mut library = Library::openid_client();
    let party = Party::with_key(&mut library, "ES256");
    let server = start("standard", &[&party]);
    let outcome = ask(&mut library, &server, &party, &json!({}));
    outcome.assert_answered();
    let sent = json!({
        "alg": "ES256", "typ": null, "kid": true,
        "aud": issuer(&server), "lifetime": 60, "nbf": true
    });
    assert_eq!(outcome.kind_of_assertion(), sent);
    // Beside the assertion it says who it is.
    let parameters = ["client_assertion", "client_assertion_type", "client_id", "token"];
    assert_eq!(outcome.parameters(), parameters);
}

#[test]
fn int_02_introspection_by_each_method_sees_the_token_die() {
    // The other document says the same.
    let order = json!({ "do": "introspect", "discovery": "oidc" });
    introspection_sees_the_token_die(Library::openid_client(), ODD_SECRET, &order);
}

#[test]
fn jwa_03_another_key_or_secret_is_no_proof() {
    for outcome in another_credential_is_no_proof(Library::openid_client(), ODD_SECRET) {
        // It looks at the challenge that a 401 always has before it looks at the body.
        assert_eq!(outcome.0["reported"], "OAUTH_WWW_AUTHENTICATE_CHALLENGE");
    }
}

#[test]
fn jwa_19_fapi2_takes_its_three_algorithms() {
    fapi2_takes_three_algorithms(Library::openid_client());
}

#[test]
fn jwa_19_fapi2_refuses_everything_else() {
    fapi2_refuses_the_rest(Library::openid_client(), ODD_SECRET);
}
