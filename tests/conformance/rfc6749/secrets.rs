//! Section 2.3: secrets that are empty, expired or wrong.

use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, SecretDigest};
use annul::wire::basic;
use annul::{Policy, profile};

use crate::doubles::{PROFILES, server_with};
use crate::rfc6749::{assert_refused, basic_client, revoke_with, server_of};
use crate::support::{START, error_of, form, seen};

#[tokio::test]
async fn cli_15_an_empty_secret_is_none() {
    // Left empty in somebody's table, perhaps.
    let web = Client::new(ClientMetadata::new("web", AuthMethod::ClientSecretBasic)).secret("");
    let server = server_of(web, Policy::default()).await;
    let header = basic::header_value("web", "");
    assert_eq!(revoke_with(&server, header.as_bytes(), "token=t").await.status(), 401);
    let mac = Client::new(ClientMetadata::new("mac", AuthMethod::ClientSecretJwt)).secret("");
    assert_eq!(mac.mac_secrets(START).count(), 0);
}

#[tokio::test]
async fn cli_15_two_secrets_live_during_rotation_and_an_expired_one_is_dead() {
    let expiry = START + Duration::from_secs(60);
    let client = Client::new(ClientMetadata::new("web", AuthMethod::ClientSecretBasic))
        .secret_digest(SecretDigest::of("old"), Some(expiry))
        .secret("new")
        .secret_digest(SecretDigest::of("third"), Some(expiry));
    let server = server_of(client, Policy::default()).await;
    let with = async |secret: &str| {
        let header = basic::header_value("web", secret);
        revoke_with(&server, header.as_bytes(), "token=t").await.status()
    };
    for (secret, status) in [("old", 200), ("new", 200), ("third", 200), ("wrong", 401)] {
        assert_eq!(with(secret).await, status, "{secret}");
    }
    server.clock.advance(Duration::from_millis(59_999));
    assert_eq!(with("old").await, 200);
    server.clock.advance(Duration::from_millis(1));
    for (secret, status) in [("old", 401), ("new", 200), ("third", 401)] {
        assert_eq!(with(secret).await, status, "{secret} after its time");
    }
    // The digest of a secret is not a secret.
    let digest = SecretDigest::of("new");
    let hex: String = digest.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(with(&hex).await, 401);
}

#[tokio::test]
async fn cli_16_all_failures_to_authenticate_look_alike_in_every_profile() {
    let metadata = |id: &str| ClientMetadata::new(id, AuthMethod::ClientSecretBasic);
    let clients = ClientTable::from_iter([
        basic_client("web", "right"),
        basic_client("disabled", "secret").disabled(),
        Client::new(metadata("expired")).secret_digest(SecretDigest::of("secret"), Some(START)),
        Client::new(metadata("secretless")),
        Client::new(ClientMetadata::new("jwt", AuthMethod::PrivateKeyJwt)).secret("secret"),
        Client::new(ClientMetadata::new("spa", AuthMethod::None)),
    ]);
    for name in PROFILES {
        let server = server_with(clients.clone(), profile::by_name(name).unwrap());
        server.grant("g1", "web").await;
        let mut by_header = Vec::new();
        let mut by_form = Vec::new();
        for id in ["unknown", "web", "disabled", "expired", "secretless", "jwt", "spa"] {
            let header = basic::header_value(id, "secret");
            for token in ["rt-g1", "no-such-token"] {
                let body = format!("token={token}");
                let answer = revoke_with(&server, header.as_bytes(), &body).await;
                assert_refused(&answer, 401, "invalid_client", &format!("{name} {id}"));
                by_header.push(seen(&answer));
                let body = format!("token={token}&client_id={id}&client_secret=secret");
                by_form.push(seen(&server.revoke(&body).await));
            }
        }
        by_header.dedup();
        by_form.dedup();
        assert_eq!(by_header.len(), 1, "{name}: {by_header:?}");
        assert_eq!(by_form.len(), 1, "{name}: {by_form:?}");
        assert_eq!(by_header, by_form, "{name}");
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn cli_11_an_empty_secret_is_nobodys_even_where_it_was_digested() {
    let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    let web = Client::new(web).secret_digest(SecretDigest::of(""), None);
    let server = server_with(ClientTable::from_iter([web]), Policy::default());
    server.grant("g1", "web").await;
    let header = basic::header_value("web", "");
    let request = form("token=rt-g1").header("authorization", header.as_bytes());
    let answer = annul::handle_revoke(&server.authority, &request).await;
    assert!(server.is_active("rt-g1").await);
    assert_eq!((answer.status(), error_of(&answer).as_str()), (401, "invalid_client"));
}
