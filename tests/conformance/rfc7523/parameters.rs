//! The parameters of a request with an assertion, and members that an assertion need not have.

use annul::client::{AuthMethod, Client, ClientMetadata};
use annul::wire::basic;
use serde_json::{Value, json};

use crate::rfc7523::{
    SECRET, accepts, accepts_form, assert_unauthenticated, clients, job, server, server_for,
    with_keys,
};
use crate::signer::{
    Assertion, ED25519, ISSUER, JWT_BEARER, P256, SigningKey, jwks, parameters, presenting,
};
use crate::support::{START, error_of, form, seen};

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
