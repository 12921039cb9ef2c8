//! Authlib's `OAuth2Session` on `requests`, in Python.

use serde_json::{Value, json};

use crate::clients::library::Library;
use crate::clients::{
    ODD_SECRET, PLAIN_SECRET, Party, another_credential_is_no_proof, ask, assert_refuses,
    assert_revokes, fapi2_refuses_the_rest, fapi2_takes_three_algorithms,
    introspection_sees_the_token_die, issuer, start,
};

/// Every algorithm that the server offers too, `EdDSA` by its name before and after RFC 9864.
const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"];

#[test]
fn cli_01_a_secret_in_the_header() {
    let mut library = Library::authlib();
    let party = Party::with_secret("client_secret_basic", PLAIN_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    assert_eq!(outcomes.first().unwrap().parameters(), ["token"]);
}

#[test]
fn cli_03_a_secret_that_it_leaves_unencoded_takes_a_lenient_policy() {
    let mut library = Library::authlib();
    let party = Party::with_secret("client_secret_basic", "50%25+more");
    let server = start("standard", &[&party]);
    assert_refuses(&mut library, &server, &party, &json!({}));
    // RFC 6749 section 2.3.1 wants both halves encoded. Profiles of systems whose clients do not, try twice.
    assert_revokes(&mut library, "wso2", &[&party]);
}

#[test]
fn cli_07_any_secret_in_the_form() {
    let mut library = Library::authlib();
    let party = Party::with_secret("client_secret_post", ODD_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    let sent = outcomes.first().unwrap().parameters();
    assert_eq!(sent, ["client_id", "client_secret", "token"]);
}

#[test]
fn s2_1_a_public_client_names_itself() {
    let mut library = Library::authlib();
    let outcomes = assert_revokes(&mut library, "standard", &[&Party::public()]);
    assert_eq!(outcomes.first().unwrap().parameters(), ["client_id", "token"]);
}

#[test]
fn jwa_17_any_secret_as_the_key_of_a_mac() {
    let mut library = Library::authlib();
    let party = Party::with_secret("client_secret_jwt", ODD_SECRET);
    let outcomes = assert_revokes(&mut library, "standard", &[&party]);
    assert_eq!(outcomes.first().unwrap().kind_of_assertion()["alg"], "HS256");
}

#[test]
fn jwa_17_a_private_key_under_each_algorithm() {
    let mut library = Library::authlib();
    let parties = ALGORITHMS.map(|algorithm| Party::with_key(&mut library, algorithm));
    let outcomes = assert_revokes(&mut library, "standard", &parties.each_ref());
    let sent = outcomes.iter().map(|outcome| outcome.kind_of_assertion()["alg"].clone());
    assert!(sent.eq(ALGORITHMS));
}

#[test]
fn jwa_06_the_issuer_is_the_audience_if_it_is_told_so() {
    let mut library = Library::authlib();
    let party = Party::with_key(&mut library, "ES256");
    let server = start("standard", &[&party]);
    let outcome = ask(&mut library, &server, &party, &json!({}));
    outcome.assert_answered();
    let sent = json!({
        "alg": "ES256", "typ": "JWT", "kid": false,
        "aud": issuer(&server), "lifetime": 3600, "nbf": null
    });
    assert_eq!(outcome.kind_of_assertion(), sent);
    // The assertion alone says who it is.
    assert_eq!(outcome.parameters(), ["client_assertion", "client_assertion_type", "token"]);
}

#[test]
fn jwa_06_the_endpoint_that_it_addresses_by_default_is_no_audience() {
    let mut library = Library::authlib();
    let party = Party::with_key(&mut library, "ES256");
    let server = start("standard", &[&party]);
    let outcome =
        assert_refuses(&mut library, &server, &party, &json!({ "audience": Value::Null }));
    assert_eq!(outcome.kind_of_assertion()["aud"], format!("{}/revoke", issuer(&server)));
}

#[test]
fn int_02_introspection_by_each_method_sees_the_token_die() {
    introspection_sees_the_token_die(
        Library::authlib(),
        PLAIN_SECRET,
        &json!({ "do": "introspect" }),
    );
}

#[test]
fn jwa_03_another_key_or_secret_is_no_proof() {
    another_credential_is_no_proof(Library::authlib(), PLAIN_SECRET);
}

#[test]
fn jwa_19_fapi2_takes_its_three_algorithms() {
    fapi2_takes_three_algorithms(Library::authlib());
}

#[test]
fn jwa_19_fapi2_refuses_everything_else() {
    fapi2_refuses_the_rest(Library::authlib(), PLAIN_SECRET);
}
