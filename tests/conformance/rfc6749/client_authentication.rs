//! Section 2.3: client authentication.

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable};
use annul::policy::BasicDecoding;
use annul::wire::basic;
use annul::wire::request::PresentedCertificate;
use annul::{Policy, profile};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::doubles::{PROFILES, Watched, policy, server_with};
use crate::rfc6749::{assert_refused, basic_client, revoke_with, server_of, verbatim};
use crate::support::{Server, form};

#[tokio::test]
async fn s2_3_1_the_example_of_the_rfc_authenticates() {
    let server = server_of(basic_client("s6BhdRkqt3", "gX1fBat3bV"), Policy::default()).await;
    let header = b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW";
    let answer = revoke_with(&server, header, "token=rt-g1").await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn cli_02_both_halves_are_form_decoded_in_every_profile() {
    // cli%3Aent+1:p%25%2B%26%3A%C2%A3%E2%82%AC+%2F~
    let header = b"Basic Y2xpJTNBZW50KzE6cCUyNSUyQiUyNiUzQSVDMiVBMyVFMiU4MiVBQyslMkZ+";
    for name in PROFILES {
        let client = basic_client("cli:ent 1", "p%+&:£€ /~");
        let server = server_of(client, profile::by_name(name).unwrap()).await;
        let answer = revoke_with(&server, header, "token=rt-g1").await;
        assert_eq!(answer.status(), 200, "{name}");
        assert!(!server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn cli_03_verbatim_credentials_work_only_where_the_policy_is_lenient() {
    for (id, secret) in
        [("web", "50+50"), ("web", "100%"), ("web", "%41"), ("we%62", "s"), ("w+b", "s")]
    {
        for (decoding, accepted) in [(BasicDecoding::Form, false), (BasicDecoding::Lenient, true)] {
            let server = server_of(basic_client(id, secret), policy(|p| p.basic = decoding)).await;
            let header = verbatim(format!("{id}:{secret}"));
            let answer = revoke_with(&server, &header, "token=rt-g1").await;
            let case = format!("{id}:{secret} under {decoding:?}");
            assert_eq!(answer.status(), if accepted { 200 } else { 401 }, "{case}");
            assert_eq!(server.is_active("rt-g1").await, !accepted, "{case}");
        }
    }
}

#[tokio::test]
async fn cli_03_the_two_readings_are_never_mixed() {
    let lenient = || policy(|policy| policy.basic = BasicDecoding::Lenient);
    // Half of each reading would be right.
    let server = server_of(basic_client("w b", "50+50"), lenient()).await;
    let answer = revoke_with(&server, &verbatim("w+b:50+50"), "token=rt-g1").await;
    assert_refused(&answer, 401, "invalid_client", "w b");
    assert!(server.is_active("rt-g1").await);

    // Two clients, each of which one reading names: the specified reading goes first.
    let clients = [basic_client("w b", "s s"), basic_client("w+b", "s+s")];
    let server = server_with(ClientTable::from_iter(clients), lenient());
    server.grant("spaced", "w b").await;
    server.grant("plus", "w+b").await;
    for (token, status) in [("rt-plus", 400), ("rt-spaced", 200)] {
        let body = format!("token={token}");
        let answer = revoke_with(&server, &verbatim("w+b:s+s"), &body).await;
        assert_eq!(answer.status(), status, "{token}");
    }
    assert!(server.is_active("rt-plus").await && !server.is_active("rt-spaced").await);
}

#[tokio::test]
async fn cli_04_the_secret_may_hold_colons_in_every_profile() {
    for name in PROFILES {
        for secret in ["a:b:c", ":", "::a", "a:"] {
            let policy = profile::by_name(name).unwrap();
            let server = server_of(basic_client("web", secret), policy).await;
            let header = verbatim(format!("web:{secret}"));
            let answer = revoke_with(&server, &header, "token=rt-g1").await;
            assert_eq!(answer.status(), 200, "{name} {secret}");
            assert!(!server.is_active("rt-g1").await, "{name} {secret}");
        }
    }
}

#[tokio::test]
async fn cli_04_the_scheme_is_read_in_any_case() {
    for scheme in ["Basic", "basic", "BASIC", "bAsIc", "Basic  "] {
        let server = Server::new();
        server.grant("g1", "web").await;
        let header = format!("{scheme} {}", STANDARD.encode("web:web-secret"));
        let answer = revoke_with(&server, header.as_bytes(), "token=rt-g1").await;
        assert_eq!(answer.status(), 200, "{scheme}");
        assert!(!server.is_active("rt-g1").await, "{scheme}");
    }
}

#[tokio::test]
async fn cli_05_the_challenge_quotes_the_realm_and_names_utf_8() {
    for (realm, challenge) in [
        ("oauth2", r#"Basic realm="oauth2", charset="UTF-8""#),
        (r#"a "b" \c"#, r#"Basic realm="a \"b\" \\c", charset="UTF-8""#),
    ] {
        let server = Server::with_policy(policy(|policy| policy.realm = realm));
        let answer = server.revoke_as("nobody", "token=t").await;
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
    }
}

#[tokio::test]
async fn cli_06_a_header_that_cannot_be_read_is_a_failed_authentication() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    let good = STANDARD.encode("web:web-secret");
    let headers: [Vec<u8>; 20] = [
        b"".into(),
        b" ".into(),
        b"Basic".into(),
        b"Basic ".into(),
        b"Basic ###".into(),
        // client1, without a colon
        b"Basic Y2xpZW50MQ==".into(),
        // a colon and nothing else
        b"Basic Og==".into(),
        // an empty identifier
        verbatim(":web-secret"),
        verbatim("web"),
        verbatim(b"web:\xff"),
        verbatim("web:web-secret%G0"),
        verbatim("web%:web-secret"),
        verbatim(format!("web:{}", "s".repeat(20_000))),
        // no padding, too much, the other alphabet, two values
        format!("Basic {}", good.trim_end_matches('=')).into(),
        format!("Basic {good}=").into(),
        format!("Basic {}-_", &good[..8]).into(),
        format!("Basic {good} {good}").into(),
        format!("Basic {good}, Basic {good}").into(),
        format!("Basic:{good}").into(),
        b"\xff\xfe \x00".into(),
    ];
    for header in headers {
        let answer = revoke_with(server, &header, "token=rt-g1").await;
        let case = String::from_utf8_lossy(&header);
        assert_refused(&answer, 401, "invalid_client", &case);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic "), "{case}");
    }
    watched.assert_only_throttled("");
    // Another scheme may be an authenticator's own; it is not the shipped one's.
    let answer = revoke_with(server, format!("Bearer {good}").as_bytes(), "token=rt-g1").await;
    assert_refused(&answer, 401, "invalid_client", "Bearer");
    assert_eq!(watched.journal.take(), ["admit", "authenticate", "report AuthenticationFailed"]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_3_1_secrets_in_the_form_work_for_clients_that_registered_them() {
    let server = Server::new();
    server.grant("g1", "post").await;
    server.grant("g2", "web").await;
    let answer = server.revoke("token=rt-g2&client_id=web&client_secret=web-secret").await;
    assert_refused(&answer, 401, "invalid_client", "web registered Basic");
    assert!(server.is_active("rt-g2").await);
    let answer = server.revoke("token=rt-g1&client_id=post&client_secret=post-secret").await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_3_1_credentials_in_the_uri_are_not_read() {
    for name in PROFILES {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        server.grant("g1", "post").await;
        server.grant("g2", "spa").await;
        for (token, query) in
            [("rt-g1", "client_id=post&client_secret=post-secret"), ("rt-g2", "client_id=spa")]
        {
            let body = format!("token={token}");
            let request = form(&body).query(query);
            let answer = annul::handle_revoke(&server.authority, &request).await;
            let refused = matches!(answer.status(), 400 | 401);
            assert!(refused, "{name}: {}", answer.status());
            assert!(server.is_active(token).await, "{name}");
        }
    }
}

#[tokio::test]
async fn s2_3_two_mechanisms_are_refused_and_neither_is_tried() {
    for name in PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        let web = basic::header_value("web", "web-secret");
        let web = web.as_bytes();
        let assertion_type = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let assertion = format!("{assertion_type}&client_assertion=e30.e30.c2ln");
        let cases: [(&[&[u8]], &str); 9] = [
            (&[web], "client_secret=web-secret"),
            (&[web], "client_id=web&client_secret=web-secret"),
            (&[web], &assertion),
            (&[web], assertion_type),
            (&[web], "client_assertion=e30.e30.c2ln"),
            (&[], &format!("client_id=web&client_secret=web-secret&{assertion}")),
            (&[web, web], ""),
            (&[web, b"Bearer x"], ""),
            // A header that is of no use still is a second mechanism.
            (&[b"Bearer x"], "client_id=post&client_secret=post-secret"),
        ];
        for (headers, credentials) in cases {
            let body = format!("token=rt-g1&{credentials}");
            let request = headers
                .iter()
                .fold(form(&body), |request, header| request.header("Authorization", header));
            let answer = annul::handle_revoke(&server.authority, &request).await;
            let case = format!("{name}: {} headers, {credentials}", headers.len());
            assert_refused(&answer, 400, "invalid_request", &case);
        }
        watched.assert_only_throttled(name);
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s3_2_1_a_client_id_in_the_form_must_be_the_headers() {
    for name in PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        server.grant("g2", "other").await;
        for named in ["other", "WEB", "web+", "spa"] {
            for token in ["rt-g1", "rt-g2"] {
                let body = format!("token={token}&client_id={named}");
                let answer = server.revoke_as("web", &body).await;
                assert_refused(&answer, 400, "invalid_request", &format!("{name}: {body}"));
            }
        }
        watched.assert_only_throttled(name);
        assert!(server.is_active("rt-g1").await && server.is_active("rt-g2").await);

        let answer = server.revoke_as("web", "token=rt-g1&client_id=web").await;
        assert_eq!(answer.status(), 200, "{name}");
        assert!(!server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s2_3_a_public_client_has_no_secret_to_prove() {
    for name in PROFILES {
        // Even one that was given a secret: it is registered as a client that nobody can authenticate.
        let metadata = ClientMetadata::new("spa", AuthMethod::None);
        let client = Client::new(metadata).secret("spa-secret");
        let server = server_of(client, profile::by_name(name).unwrap()).await;
        let by_form = server.revoke("token=rt-g1&client_id=spa&client_secret=spa-secret").await;
        assert_refused(&by_form, 401, "invalid_client", name);
        let by_header = server.revoke_as("spa", "token=rt-g1").await;
        assert_refused(&by_header, 401, "invalid_client", name);
        let empty = revoke_with(&server, &verbatim("spa:"), "token=rt-g1").await;
        assert_refused(&empty, 401, "invalid_client", name);
        assert!(server.is_active("rt-g1").await, "{name}");
    }
}

#[tokio::test]
async fn s3_2_1_a_confidential_client_must_authenticate() {
    for name in PROFILES {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        server.grant("g1", "web").await;
        server.grant("g2", "post").await;
        for (token, client) in [("rt-g1", "web"), ("rt-g2", "post")] {
            let named = server.revoke(&format!("token={token}&client_id={client}")).await;
            assert_refused(&named, 401, "invalid_client", name);
            let body = format!("token={token}");
            let empty = revoke_with(&server, &verbatim(format!("{client}:")), &body).await;
            assert_refused(&empty, 401, "invalid_client", name);
            // A certificate is no proof for a client that registered a secret.
            let body = format!("token={token}&client_id={client}");
            let request =
                form(&body).certificate(PresentedCertificate::verified(b"\x30\x03\x02\x01\x00"));
            let by_certificate = annul::handle_revoke(&server.authority, &request).await;
            assert_refused(&by_certificate, 401, "invalid_client", name);
            assert!(server.is_active(token).await, "{name}");
        }
    }
}

#[tokio::test]
async fn cli_14_a_secret_opens_no_side_door() {
    let methods = [
        AuthMethod::ClientSecretJwt,
        AuthMethod::PrivateKeyJwt,
        AuthMethod::SelfSignedTlsClientAuth,
        AuthMethod::TlsClientAuth,
    ];
    for name in PROFILES {
        for method in methods {
            let client = Client::new(ClientMetadata::new("web", method)).secret("web-secret");
            let server = server_of(client, profile::by_name(name).unwrap()).await;
            let case = format!("{name} {method:?}");
            let by_header = server.revoke_as("web", "token=rt-g1").await;
            assert_refused(&by_header, 401, "invalid_client", &case);
            let by_form = server.revoke("token=rt-g1&client_id=web&client_secret=web-secret").await;
            assert_refused(&by_form, 401, "invalid_client", &case);
            let by_name = server.revoke("token=rt-g1&client_id=web").await;
            assert_refused(&by_name, 401, "invalid_client", &case);
            assert!(server.is_active("rt-g1").await, "{case}");
        }
    }
    // Registered for one of the two ways to send a secret, used by the other: the policy decides.
    for (profile, status) in [(profile::standard(), 401), (profile::keycloak(), 200)] {
        let server = Server::with_policy(profile);
        server.grant("g1", "post").await;
        let answer = server.revoke_as("post", "token=rt-g1").await;
        assert_eq!(answer.status(), status);
        assert_eq!(server.is_active("rt-g1").await, status == 401);
    }
    // What says nothing is registered for Basic (RFC 7591 section 2).
    let client = Client::new(serde_json::from_str(r#"{"client_id":"web"}"#).unwrap());
    let server = server_of(client.secret("web-secret"), Policy::default()).await;
    assert_eq!(server.revoke_as("web", "token=rt-g1").await.status(), 200);
}

#[tokio::test]
async fn cli_17_a_disabled_client_cannot_authenticate() {
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None)).disabled();
    let clients = ClientTable::from_iter([basic_client("web", "web-secret").disabled(), spa]);
    let server = server_with(clients, Policy::default());
    server.grant("g1", "web").await;
    server.grant("g2", "spa").await;
    let web = server.revoke_as("web", "token=rt-g1").await;
    assert_refused(&web, 401, "invalid_client", "web");
    let spa = server.revoke("token=rt-g2&client_id=spa").await;
    assert_refused(&spa, 401, "invalid_client", "spa");
    // Disabling alone kills nothing; the operator's revocation does.
    assert!(server.is_active("rt-g1").await && server.is_active("rt-g2").await);
    let disabled = annul::Revocation::by_operator(
        annul::Target::Client("web".into()),
        annul::Reason::ClientDisabled,
        server.authority.now(),
    );
    server.authority.revoke(disabled).await.unwrap();
    assert!(!server.is_active("rt-g1").await && server.is_active("rt-g2").await);
}
