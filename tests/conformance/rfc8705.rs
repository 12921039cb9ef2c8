//! RFC 8705, OAuth 2.0 Mutual-TLS Client Authentication: section 2 at the handlers, as the host passes certificates in.
//!
//! How names are compared is tested beside the code, and the handshake over sockets in `tests/hosts/tls`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annul::client::{
    AuthMethod, Certificates, Client, ClientMetadata, ClientTable, InvalidMetadata, JwksCache,
    JwksSource, RegisteredClients,
};
use annul::jose::JwkSet;
use annul::metadata::ServerMetadata;
use annul::store::StoreError;
use annul::wire::basic;
use annul::wire::request::PresentedCertificate;
use annul::{Authority, FakeClock, Issuer, MemoryStore, Request, Response, profile};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use serde_json::{Value, json};

use crate::doubles::PROFILES;
use crate::index::Index;
use crate::index::Status::Tested;
use crate::support::{START, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("rfc8705.rs"),
    requirements: &[
        (
            "TLS-01",
            Tested(&[
                "s2_client_id_and_certificate_come_together",
                "s2_a_certificate_is_asked_for_at_every_endpoint",
            ]),
        ),
        (
            "TLS-02",
            Tested(&[
                "s2_the_certificate_must_be_the_clients_own",
                "s2_a_certificate_stands_in_for_nothing_else",
                "s2_all_failures_look_alike",
            ]),
        ),
        (
            "TLS-03",
            Tested(&[
                "s2_1_the_chain_must_have_been_validated",
                "s2_1_2_each_kind_of_subject_is_looked_for_where_it_belongs",
                "s2_1_2_one_subject_and_no_more_may_be_registered",
            ]),
        ),
        (
            "TLS-04",
            Tested(&[
                "s2_2_a_registered_certificate_needs_no_chain",
                "s2_2_the_same_key_in_another_certificate_is_another",
                "s2_2_only_the_first_certificate_of_a_key_counts",
                "s2_2_certificates_at_a_jwks_uri_are_fetched_and_renewed",
            ]),
        ),
        ("TLS-05", Tested(&["tls_05_no_header_is_a_certificate"])),
        ("TLS-06", Tested(&["s5_the_metadata_names_the_aliases"])),
    ],
};

/// A certificate and its key.
struct Identity {
    der: Vec<u8>,
    key: KeyPair,
}

fn params(common_name: &str, alternatives: Vec<SanType>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = alternatives;
    params
}

fn identity(common_name: &str, alternatives: Vec<SanType>) -> Identity {
    let key = KeyPair::generate().unwrap();
    let der = params(common_name, alternatives).self_signed(&key).unwrap().der().to_vec();
    Identity { der, key }
}

/// A client of `tls_client_auth` with these subjects.
fn by_subject(id: &str, subjects: &[(&str, &str)]) -> Client {
    let mut registered =
        json!({ "client_id": id, "token_endpoint_auth_method": "tls_client_auth" });
    for (kind, subject) in subjects {
        registered[format!("tls_client_auth_{kind}")] = (*subject).into();
    }
    client(registered)
}

/// A client of `self_signed_tls_client_auth` with these keys.
fn by_key(id: &str, keys: &[Value]) -> Client {
    client(json!({
        "client_id": id,
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": { "keys": keys },
    }))
}

fn client(registered: Value) -> Client {
    let metadata: ClientMetadata = serde_json::from_value(registered).unwrap();
    Client::new(metadata)
}

/// A key, and the certificates that were made for it.
fn jwk(key: &KeyPair, certificates: &[&[u8]]) -> Value {
    let (x, y) = key.public_key_raw()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let x5c: Vec<String> = certificates.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": x5c })
}

/// A server of these clients, `web` with a secret and public `spa`; each has a grant of its own name.
async fn server(clients: impl IntoIterator<Item = Client>) -> Server {
    serve(clients, |clients| clients.certificates(Certificates::new())).await
}

async fn serve(
    clients: impl IntoIterator<Item = Client>,
    configure: impl FnOnce(RegisteredClients) -> RegisteredClients,
) -> Server {
    let plain = |id, method| Client::new(ClientMetadata::new(id, method));
    let mut all = vec![
        plain("web", AuthMethod::ClientSecretBasic).secret("web-secret"),
        plain("spa", AuthMethod::None),
    ];
    all.extend(clients);
    let names: Vec<String> = all.iter().map(|client| client.id().as_str().to_owned()).collect();
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let clients = RegisteredClients::new(ClientTable::from_iter(all)).clock(Arc::clone(&clock));
    let authority =
        Authority::new(Arc::clone(&store), configure(clients)).clock(Arc::clone(&clock));
    let server = Server { authority, store, clock };
    for name in names {
        server.grant(&name, &name).await;
    }
    server
}

type Shown<'c> = Option<PresentedCertificate<'c>>;

fn with<'r>(request: Request<'r>, certificate: Shown<'r>) -> Request<'r> {
    match certificate {
        Some(certificate) => request.certificate(certificate),
        None => request,
    }
}

/// A revocation of the client's refresh token, in its name.
async fn revoke(server: &Server, client: &str, certificate: Shown<'_>) -> Response {
    let body = format!("token=rt-{client}&client_id={client}");
    annul::handle_revoke(&server.authority, &with(form(&body), certificate)).await
}

async fn assert_accepted(server: &Server, client: &str, certificate: PresentedCertificate<'_>) {
    let answer = revoke(server, client, Some(certificate)).await;
    assert_eq!(answer.status(), 200, "{client}");
    assert!(!server.is_active(&format!("rt-{client}")).await, "{client}");
    assert!(!server.is_active(&format!("at-{client}")).await, "{client}");
}

async fn assert_refused(server: &Server, client: &str, certificate: Shown<'_>) {
    let answer = revoke(server, client, certificate).await;
    assert_eq!(answer.status(), 401, "{client}");
    assert_eq!(error_of(&answer), "invalid_client", "{client}");
    assert!(server.is_active(&format!("rt-{client}")).await, "{client}");
    assert!(server.is_active(&format!("at-{client}")).await, "{client}");
}

fn verified(identity: &Identity) -> PresentedCertificate<'_> {
    PresentedCertificate::verified(&identity.der)
}

fn unverified(identity: &Identity) -> PresentedCertificate<'_> {
    PresentedCertificate::unverified(&identity.der)
}

#[tokio::test]
async fn s2_client_id_and_certificate_come_together() {
    let (bank, own) = (identity("bank", vec![]), identity("own", vec![]));
    let server = server([
        by_subject("bank", &[("subject_dn", "CN=bank")]),
        by_key("own", &[jwk(&own.key, &[&own.der])]),
    ])
    .await;
    for (client, certificate) in [("bank", verified(&bank)), ("own", unverified(&own))] {
        assert_refused(&server, client, None).await;
        let body = format!("token=rt-{client}");
        let request = form(&body).certificate(certificate);
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!((answer.status(), error_of(&answer)), (401, "invalid_client".to_owned()));
        assert!(server.is_active(&format!("rt-{client}")).await);
        assert_accepted(&server, client, certificate).await;
    }
}

#[tokio::test]
async fn s2_a_certificate_is_asked_for_at_every_endpoint() {
    let bank = identity("bank", vec![]);
    let client = by_subject("bank", &[("subject_dn", "CN=bank")]).may_introspect();
    let server = server([client]).await;
    let body = "token=at-web&client_id=bank";
    for (certificate, wanted) in [(None, 401), (Some(verified(&bank)), 200)] {
        let request = with(form(body), certificate);
        let answer = annul::handle_introspect(&server.authority, &request).await;
        assert_eq!(answer.status(), wanted);
        let told = answer.body().starts_with(br#"{"active":true"#);
        assert_eq!(told, wanted == 200);
    }
    let body = "refresh_token=rt-bank&client_id=bank";
    for (certificate, wanted) in [(None, 401), (Some(verified(&bank)), 200)] {
        let request = with(form(body), certificate);
        let answer = annul::handle_logout(&server.authority, &request).await;
        assert_eq!(answer.status(), wanted);
        assert_eq!(server.is_active("rt-bank").await, wanted == 401);
    }
}

#[tokio::test]
async fn s2_the_certificate_must_be_the_clients_own() {
    let (bank, shop) = (identity("bank", vec![]), identity("shop", vec![]));
    let (own, other) = (identity("own", vec![]), identity("own", vec![]));
    let server = server([
        by_subject("bank", &[("subject_dn", "CN=bank")]),
        by_subject("shop", &[("subject_dn", "CN=shop")]),
        by_key("own", &[jwk(&own.key, &[&own.der])]),
        by_key("other", &[jwk(&other.key, &[&other.der])]),
    ])
    .await;
    for (client, wrong) in [("bank", &shop), ("shop", &bank), ("own", &other), ("other", &own)] {
        assert_refused(&server, client, Some(verified(wrong))).await;
        assert_refused(&server, client, Some(unverified(wrong))).await;
    }
    for (client, right) in [("bank", &bank), ("shop", &shop), ("own", &own), ("other", &other)] {
        assert_accepted(&server, client, verified(right)).await;
    }
}

#[tokio::test]
async fn s2_a_certificate_stands_in_for_nothing_else() {
    let web = identity("web", vec![]);
    // Both a secret and keys, by a mistake in its registration: the method says which of them counts.
    let mut registered =
        json!({ "client_id": "both", "jwks": { "keys": [jwk(&web.key, &[&web.der])] } });
    registered["tls_client_auth_subject_dn"] = "CN=web".into();
    let both = client(registered).secret("both-secret");
    let bank = by_subject("bank", &[("subject_dn", "CN=web")]).secret("bank-secret");
    let server = server([both, bank]).await;
    for client in ["web", "both"] {
        assert_refused(&server, client, Some(verified(&web))).await;
    }
    // A certificate beside a wrong secret or an assertion does not make it right.
    for body in [
        "token=rt-both&client_id=both&client_secret=wrong",
        "token=rt-both&client_id=both&client_assertion_type=x&client_assertion=y",
        "token=rt-bank&client_id=bank&client_secret=wrong",
        "token=rt-bank&client_id=bank&client_secret=bank-secret",
        "token=rt-bank&client_id=bank&client_assertion_type=x&client_assertion=y",
    ] {
        let request = form(body).certificate(verified(&web));
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!(error_of(&answer), "invalid_client", "{body}");
    }
    for client in ["both", "bank"] {
        let header = basic::header_value(client, "wrong");
        let body = format!("token=rt-{client}");
        let request = form(&body).header("authorization", header.as_bytes());
        let request = request.certificate(verified(&web));
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!(error_of(&answer), "invalid_client", "{client}");
        assert!(server.is_active(&format!("rt-{client}")).await);
    }
    // Nor does it do any harm.
    let header = basic::header_value("web", "web-secret");
    let request = form("token=rt-web").header("authorization", header.as_bytes());
    let answer =
        annul::handle_revoke(&server.authority, &request.certificate(unverified(&web))).await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-web").await);
    // A public client is a public client: it may revoke its own tokens, and may not introspect.
    let request = form("token=at-spa&client_id=spa").certificate(verified(&web));
    let answer = annul::handle_introspect(&server.authority, &request).await;
    assert_eq!(answer.status(), 401);
    assert_accepted(&server, "spa", verified(&web)).await;
}

#[tokio::test]
async fn s2_all_failures_look_alike() {
    let (bank, own) = (identity("bank", vec![]), identity("own", vec![]));
    let long = vec![0x30; 1 << 20];
    for name in PROFILES {
        let policy = profile::by_name(name).unwrap().policy;
        let clients = [
            by_subject("bank", &[("subject_dn", "CN=bank")]),
            by_subject("nothing", &[]),
            by_subject("unreadable", &[("subject_dn", "bank")]),
            by_key("own", &[jwk(&own.key, &[&own.der])]),
            by_key("keyless", &[]),
            by_subject("disabled", &[("subject_dn", "CN=bank")]).disabled(),
        ];
        let mut server = server(clients).await;
        server.authority = server.authority.policy(policy);
        let unknown = seen(&revoke(&server, "nobody", None).await);
        let shown = [
            None,
            Some(unverified(&bank)),
            Some(PresentedCertificate::verified(b"")),
            Some(PresentedCertificate::verified(b"\x30\x03\x02\x01\x00")),
            Some(PresentedCertificate::unverified(&long)),
            Some(PresentedCertificate::verified(&long)),
        ];
        for client in
            ["nobody", "bank", "nothing", "unreadable", "own", "keyless", "disabled", "web"]
        {
            for certificate in shown {
                let answer = seen(&revoke(&server, client, certificate).await);
                assert_eq!(answer, unknown, "{name}: {client} {certificate:?}");
            }
        }
        for client in ["nobody", "nothing", "unreadable", "keyless", "disabled", "own"] {
            let answer = seen(&revoke(&server, client, Some(verified(&bank))).await);
            assert_eq!(answer, unknown, "{name}: {client}");
        }
        // The one that is right is told apart, or this test would prove nothing.
        assert_ne!(seen(&revoke(&server, "bank", Some(verified(&bank))).await), unknown, "{name}");
    }
}

#[tokio::test]
async fn s2_without_certificates_configured_no_certificate_authenticates() {
    let (bank, own) = (identity("bank", vec![]), identity("own", vec![]));
    let clients = [
        by_subject("bank", &[("subject_dn", "CN=bank")]),
        by_key("own", &[jwk(&own.key, &[&own.der])]),
    ];
    let server = serve(clients, |clients| clients).await;
    assert_refused(&server, "bank", Some(verified(&bank))).await;
    assert_refused(&server, "own", Some(verified(&own))).await;
    assert_accepted(&server, "spa", verified(&own)).await;
}

#[tokio::test]
async fn s2_1_the_chain_must_have_been_validated() {
    let bank = identity("bank", vec![]);
    let server = server([by_subject("bank", &[("subject_dn", "CN=bank")])]).await;
    assert_refused(&server, "bank", Some(unverified(&bank))).await;
    assert_accepted(&server, "bank", verified(&bank)).await;
}

#[tokio::test]
async fn s2_1_2_each_kind_of_subject_is_looked_for_where_it_belongs() {
    let text = "client.example";
    let alternatives = vec![
        SanType::DnsName(text.try_into().unwrap()),
        SanType::URI("urn:client".try_into().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
        SanType::Rfc822Name("client@mail.example".try_into().unwrap()),
    ];
    let holder = identity("A Client", alternatives);
    let right = [
        ("subject_dn", "cn=a  client"),
        ("san_dns", "CLIENT.example"),
        ("san_uri", "urn:client"),
        ("san_ip", "2001:0db8:0:0::1"),
        ("san_email", "client@MAIL.example"),
    ];
    for subject in right {
        let server = server([by_subject("bank", &[subject])]).await;
        assert_refused(&server, "bank", Some(unverified(&holder))).await;
        assert_accepted(&server, "bank", verified(&holder)).await;
    }
    let wrong = [
        ("subject_dn", "CN=client.example"),
        ("subject_dn", "CN=A Client,O=Example"),
        ("san_dns", "A Client"),
        ("san_dns", "2001:db8::1"),
        ("san_dns", "mail.example"),
        ("san_dns", "example"),
        ("san_dns", "*.example"),
        ("san_uri", "URN:client"),
        ("san_uri", text),
        ("san_ip", "2001:db8::2"),
        ("san_ip", text),
        ("san_email", "Client@mail.example"),
        ("san_email", text),
    ];
    for subject in wrong {
        let server = server([by_subject("bank", &[subject])]).await;
        assert_refused(&server, "bank", Some(verified(&holder))).await;
    }
}

#[tokio::test]
async fn s2_1_2_one_subject_and_no_more_may_be_registered() {
    let alternatives = vec![SanType::DnsName("bank.example".try_into().unwrap())];
    let bank = identity("bank", alternatives);
    let both = [("subject_dn", "CN=bank"), ("san_dns", "bank.example")];
    for subjects in [&both[..], &[], &[("subject_dn", "")]] {
        let client = by_subject("bank", subjects);
        let flaw = match subjects.len() {
            2 => InvalidMetadata::TwoSubjects,
            _ => InvalidMetadata::NoSubject,
        };
        assert_eq!(client.metadata().validate(), Err(flaw));
        // A host that registers it all the same has a client that cannot authenticate.
        let server = server([client]).await;
        assert_refused(&server, "bank", Some(verified(&bank))).await;
    }
}

#[tokio::test]
async fn s2_2_a_registered_certificate_needs_no_chain() {
    let (first, second) = (identity("own", vec![]), identity("own", vec![]));
    let keys = [
        json!({ "kty": "oct", "k": "AAAA" }),
        jwk(&first.key, &[&first.der]),
        jwk(&second.key, &[&second.der]),
    ];
    for certificate in
        [unverified(&first), verified(&first), unverified(&second), verified(&second)]
    {
        let server = server([by_key("own", &keys)]).await;
        assert_accepted(&server, "own", certificate).await;
    }
}

#[tokio::test]
async fn s2_2_the_same_key_in_another_certificate_is_another() {
    let own = identity("own", vec![]);
    let again = params("own", vec![]).self_signed(&own.key).unwrap().der().to_vec();
    assert_ne!(again, own.der);
    let server = server([
        by_key("own", &[jwk(&own.key, &[&own.der])]),
        by_key("keyed", &[jwk(&own.key, &[])]),
    ])
    .await;
    let longer = [&own.der[..], &[0]].concat();
    let shorter = &own.der[..own.der.len() - 1];
    for der in [&again[..], &longer, shorter, b""] {
        assert_refused(&server, "own", Some(PresentedCertificate::unverified(der))).await;
        assert_refused(&server, "own", Some(PresentedCertificate::verified(der))).await;
    }
    // The key alone is not what the RFC compares.
    assert_refused(&server, "keyed", Some(unverified(&own))).await;
    assert_accepted(&server, "own", unverified(&own)).await;
}

#[tokio::test]
async fn s2_2_only_the_first_certificate_of_a_key_counts() {
    let (own, issuer) = (identity("own", vec![]), identity("issuer", vec![]));
    let server = server([by_key("own", &[jwk(&own.key, &[&own.der, &issuer.der])])]).await;
    assert_refused(&server, "own", Some(unverified(&issuer))).await;
    assert_accepted(&server, "own", unverified(&own)).await;
}

/// What a client publishes, and how often it was asked for it.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<(String, usize)>>);

impl Published {
    fn publish(&self, keys: &[Value]) {
        self.0.lock().unwrap().0 = json!({ "keys": keys }).to_string();
    }

    fn fetches(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

#[async_trait]
impl JwksSource for Published {
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
        assert_eq!(uri, "https://own.example/jwks");
        let mut published = self.0.lock().unwrap();
        published.1 += 1;
        JwkSet::from_json(published.0.as_bytes()).map_err(StoreError::corrupt)
    }
}

#[tokio::test]
async fn s2_2_certificates_at_a_jwks_uri_are_fetched_and_renewed() {
    let registered = || {
        client(json!({
            "client_id": "own",
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": "https://own.example/jwks",
        }))
    };
    let (old, new) = (identity("own", vec![]), identity("own", vec![]));
    let published = Published::default();
    let cache = JwksCache::new(published.clone());
    let certificates = Certificates::new().key_sets(cache);
    let server = serve([registered()], |clients| clients.certificates(certificates)).await;
    // What is no key set is no proof, and a minute later it is looked for again.
    assert_refused(&server, "own", Some(unverified(&old))).await;
    published.publish(&[jwk(&old.key, &[&old.der])]);
    assert_refused(&server, "own", Some(unverified(&old))).await;
    assert_eq!(published.fetches(), 1);
    server.clock.advance(Duration::from_secs(61));
    assert_accepted(&server, "own", unverified(&old)).await;
    assert_eq!(published.fetches(), 2);
    // The client moves to a new certificate: it does not wait until the set is old.
    published.publish(&[jwk(&new.key, &[&new.der])]);
    server.clock.advance(Duration::from_secs(61));
    server.grant("again", "own").await;
    let request = form("token=rt-again&client_id=own").certificate(unverified(&new));
    assert_eq!(annul::handle_revoke(&server.authority, &request).await.status(), 200);
    assert!(!server.is_active("rt-again").await);
    assert_eq!(published.fetches(), 3);
    // The old one is gone, and asking for it again and again fetches nothing.
    for _ in 0..5 {
        let answer = revoke(&server, "own", Some(unverified(&old))).await;
        assert_eq!(error_of(&answer), "invalid_client");
    }
    assert_eq!(published.fetches(), 3);
    // Without a cache nothing is fetched.
    let server = self::server([registered()]).await;
    assert_refused(&server, "own", Some(unverified(&new))).await;
}

#[tokio::test]
async fn tls_05_no_header_is_a_certificate() {
    let own = identity("own", vec![]);
    let server = server([
        by_subject("bank", &[("subject_dn", "CN=own")]),
        by_key("own", &[jwk(&own.key, &[&own.der])]),
    ])
    .await;
    let encoded = STANDARD.encode(&own.der);
    let pem = format!("-----BEGIN CERTIFICATE----- {encoded} -----END CERTIFICATE-----");
    let structured = format!(":{encoded}:");
    for name in [
        "X-SSL-Cert",
        "SSL-Client-Cert",
        "X-Client-Cert",
        "X-SSL-Client-Cert",
        "Client-Cert",
        "X-Forwarded-Client-Cert",
        "X-ARR-ClientCert",
        "X-Forwarded-Tls-Client-Cert",
    ] {
        for value in [&encoded, &pem, &structured] {
            for client in ["bank", "own"] {
                let body = format!("token=rt-{client}&client_id={client}");
                let request = form(&body)
                    .header(name, value.as_bytes())
                    .header("X-SSL-Client-Verify", b"SUCCESS");
                let answer = annul::handle_revoke(&server.authority, &request).await;
                assert_eq!(error_of(&answer), "invalid_client", "{name}");
                assert!(server.is_active(&format!("rt-{client}")).await, "{name}");
            }
        }
    }
}

#[test]
fn s5_the_metadata_names_the_aliases() {
    let metadata = ServerMetadata::new(Issuer::new("https://as.example").unwrap())
        .mtls_revocation("https://mtls.as.example/revoke")
        .and_then(|metadata| metadata.mtls_introspection("https://mtls.as.example/introspect"));
    let document: Value = serde_json::from_str(&metadata.unwrap().to_json()).unwrap();
    let aliases = json!({
        "revocation_endpoint": "https://mtls.as.example/revoke",
        "introspection_endpoint": "https://mtls.as.example/introspect",
    });
    assert_eq!(document["mtls_endpoint_aliases"], aliases);
}
