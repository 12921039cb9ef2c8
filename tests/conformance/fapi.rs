//! FAPI 2.0 Security Profile, as far as it is about authenticating clients: sections 5.3.2.1 and 5.4.1.

use std::sync::Arc;

use annul::client::{
    Assertions, AuthMethod, Certificates, Client, ClientMetadata, ClientTable, RegisteredClients,
};
use annul::wire::request::PresentedCertificate;
use annul::{Authority, FakeClock, Issuer, MemoryStore, profile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::index::Index;
use crate::index::Status::Tested;
use crate::signer::{
    Assertion, ED25519, ISSUER, P256, P384, RSA, SigningKey, jwks, presenting, unique,
};
use crate::support::{START, Server, error_of, form};

pub(crate) const INDEX: Index = Index {
    source: include_str!("fapi.rs"),
    requirements: &[(
        "FAPI-01",
        Tested(&[
            "s5_3_2_1_clients_authenticate_by_private_key_jwt_or_mutual_tls_alone",
            "s5_3_2_1_the_audience_is_the_issuer_as_a_string",
            "s5_3_2_1_clocks_may_be_ten_seconds_off_and_not_more_than_sixty",
            "s5_4_1_signatures_are_ps256_es256_or_eddsa",
        ]),
    )],
};

const SECRET: &str = "gX1fBat3bV-gX1fBat3bV-gX1fBat3bV";

/// A server of the profile `fapi2`, with a client for each method and key, and everything switched on.
fn server(certificate: &[u8]) -> Server {
    let signing = |id: &str, key: &SigningKey| {
        let metadata = ClientMetadata::new(id, AuthMethod::PrivateKeyJwt);
        Client::new(metadata.with_jwks(&jwks([key.jwk()])).unwrap())
    };
    let plain = |id: &str, method| Client::new(ClientMetadata::new(id, method)).secret(SECRET);
    let own = ClientMetadata::new("own", AuthMethod::SelfSignedTlsClientAuth);
    let own_keys =
        jwks([json!({ "kty": "EC", "crv": "P-256", "x5c": [STANDARD.encode(certificate)] })]);
    let mut bank = ClientMetadata::new("bank", AuthMethod::TlsClientAuth);
    bank.tls_client_auth_san_dns = Some("bank.example".to_owned());
    let table = ClientTable::from_iter([
        signing("ed", &ED25519),
        signing("p256", &P256),
        signing("p384", &P384),
        signing("rsa", &RSA),
        plain("basic", AuthMethod::ClientSecretBasic),
        plain("post", AuthMethod::ClientSecretPost),
        plain("mac", AuthMethod::ClientSecretJwt),
        Client::new(ClientMetadata::new("spa", AuthMethod::None)),
        Client::new(own.with_jwks(&own_keys).unwrap()),
        Client::new(bank),
    ]);
    let clock = Arc::new(FakeClock::at(START));
    let clients = RegisteredClients::new(table)
        .clock(Arc::clone(&clock))
        .assertions(Assertions::new(Issuer::new(ISSUER).unwrap()))
        .certificates(Certificates::new());
    let store = Arc::new(MemoryStore::new());
    let authority = Authority::new(Arc::clone(&store), clients)
        .policy(profile::fapi2())
        .clock(Arc::clone(&clock));
    Server { authority, store, clock }
}

/// Whether these credentials revoke a fresh token of the client's.
async fn accepts(
    server: &Server,
    client: &str,
    credentials: &str,
    certificate: Option<PresentedCertificate<'_>>,
) -> bool {
    let id = unique("g");
    server.grant(&id, client).await;
    let body = format!("token=rt-{id}&{credentials}");
    let mut request = form(&body);
    if let Some(certificate) = certificate {
        request = request.certificate(certificate);
    }
    let answer = annul::handle_revoke(&server.authority, &request).await;
    let active = server.is_active(&format!("rt-{id}")).await;
    if answer.status() == 200 {
        assert!(!active, "answered 200, and the token lives");
        return true;
    }
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
    assert!(active, "refused, and the token is dead");
    false
}

async fn accepts_assertion(server: &Server, client: &str, jwt: &str) -> bool {
    accepts(server, client, &presenting(jwt), None).await
}

#[tokio::test]
async fn s5_3_2_1_clients_authenticate_by_private_key_jwt_or_mutual_tls_alone() {
    let made = rcgen::generate_simple_self_signed(["bank.example".to_owned()]).unwrap();
    let der = made.cert.der().to_vec();
    let server = server(&der);
    assert!(accepts_assertion(&server, "ed", &Assertion::of("ed", "EdDSA", &ED25519).jwt()).await);
    let own = PresentedCertificate::unverified(&der);
    assert!(accepts(&server, "own", "client_id=own", Some(own)).await);
    let bank = PresentedCertificate::verified(&der);
    assert!(accepts(&server, "bank", "client_id=bank", Some(bank)).await);

    // Every other method is refused, however right the credentials are.
    assert!(!accepts(&server, "spa", "client_id=spa", None).await);
    let post = format!("client_id=post&client_secret={SECRET}");
    assert!(!accepts(&server, "post", &post, None).await);
    let header = annul::wire::basic::header_value("basic", SECRET);
    let id = unique("g");
    server.grant(&id, "basic").await;
    let body = format!("token=rt-{id}");
    let request = form(&body).header("authorization", header.as_bytes());
    let answer = annul::handle_revoke(&server.authority, &request).await;
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
    assert!(server.is_active(&format!("rt-{id}")).await);
    let mac = Assertion::of("mac", "HS256", &SigningKey::mac(SECRET)).jwt();
    assert!(!accepts_assertion(&server, "mac", &mac).await);
}

#[tokio::test]
async fn s5_3_2_1_the_audience_is_the_issuer_as_a_string() {
    let server = server(b"");
    let with = |audience: serde_json::Value| {
        Assertion::of("ed", "EdDSA", &ED25519).claim("aud", audience).jwt()
    };
    assert!(accepts_assertion(&server, "ed", &with(json!(ISSUER))).await);
    for audience in [json!([ISSUER]), json!([ISSUER, ISSUER]), json!(format!("{ISSUER}/revoke"))] {
        assert!(!accepts_assertion(&server, "ed", &with(audience)).await);
    }
}

#[tokio::test]
async fn s5_3_2_1_clocks_may_be_ten_seconds_off_and_not_more_than_sixty() {
    let server = server(b"");
    for claim in ["iat", "nbf"] {
        for (seconds, accepted) in [(0, true), (10, true), (61, false)] {
            let jwt = Assertion::of("ed", "EdDSA", &ED25519).seconds(claim, seconds).jwt();
            let case = format!("{claim} {seconds} seconds ahead");
            assert_eq!(accepts_assertion(&server, "ed", &jwt).await, accepted, "{case}");
        }
    }
}

#[tokio::test]
async fn s5_4_1_signatures_are_ps256_es256_or_eddsa() {
    let server = server(b"");
    for (client, algorithm, key, accepted) in [
        ("rsa", "PS256", &*RSA, true),
        ("p256", "ES256", &*P256, true),
        ("ed", "EdDSA", &*ED25519, true),
        ("rsa", "RS256", &*RSA, false),
        ("rsa", "PS384", &*RSA, false),
        ("rsa", "PS512", &*RSA, false),
        ("p384", "ES384", &*P384, false),
    ] {
        let jwt = Assertion::of(client, algorithm, key).jwt();
        assert_eq!(accepts_assertion(&server, client, &jwt).await, accepted, "{algorithm}");
    }
}
