//! Clients that authenticate by certificate (RFC 8705), as `curl --cert` does it.
//!
//! The certificates are made here. Two authorities sign certificates for the same names; the server trusts one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned,
};

use crate::http::{Answer, form};
use crate::programs;
use crate::server::{Server, run, temporary};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, in files for curl.
struct Identity {
    der: Vec<u8>,
    key: KeyPair,
    files: (PathBuf, PathBuf),
}

/// A folder of certificates; it goes when the test ends.
struct Folder {
    path: PathBuf,
    trusted: Authority,
    stranger: Authority,
}

fn named(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.extended_key_usages = Vec::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn authority() -> Authority {
    // Both have the same name: what tells them apart is the key.
    CertifiedIssuer::self_signed(authority_params("Clients"), KeyPair::generate().unwrap()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

impl Folder {
    fn new() -> Self {
        let path = temporary("tls");
        fs::create_dir_all(&path).unwrap();
        let folder = Self { path, trusted: authority(), stranger: authority() };
        let mut server = CertificateParams::default();
        server.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        folder.issue("server", &server, &folder.trusted);
        folder.write("ca.pem", &pem("CERTIFICATE", folder.trusted.der()));
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).to_str().unwrap().to_owned()
    }

    /// A certificate of its own key, by this authority.
    fn issue(&self, name: &str, params: &CertificateParams, authority: &Authority) -> Identity {
        let key = KeyPair::generate().unwrap();
        let der = params.signed_by(&key, authority).unwrap().der().to_vec();
        self.keep(name, der, key)
    }

    fn self_signed(&self, name: &str, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        self.keep(name, der, key)
    }

    fn keep(&self, name: &str, der: Vec<u8>, key: KeyPair) -> Identity {
        let certificate = self.write(&format!("{name}.pem"), &pem("CERTIFICATE", &der));
        let private = pem("PRIVATE KEY", &key.serialize_der());
        let files = (certificate, self.write(&format!("{name}.key"), &private));
        Identity { der, key, files }
    }

    /// A server that trusts one of the authorities, and these clients beside the others.
    fn serve(&self, clients: &[Value]) -> Tls<'_> {
        self.serve_with(clients, &["--tls-client-ca", &self.file("ca.pem")])
    }

    fn serve_with(&self, clients: &[Value], arguments: &[&str]) -> Tls<'_> {
        let (certificate, key) = (self.file("server.pem"), self.file("server.key"));
        let listen = ["--tls-listen", "127.0.0.1:0"];
        let files = ["--tls-certificate", &certificate, "--tls-key", &key];
        let arguments = [&listen[..], &files, arguments].concat();
        let mut server = Server::with_fixture_and(&fixture(clients), &arguments);
        let second = server.next_line();
        let address = second.strip_prefix("listening on https://").unwrap().parse().unwrap();
        Tls { server, address, folder: self }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The client `bank`, by the subject of its certificate.
fn bank() -> Value {
    json!({
        "client_id": "bank",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_subject_dn": r"CN=bank,O=Example\, Inc.,C=DE",
    })
}

/// The client `own`, by the certificates it registered itself.
fn own(registered: &[&Identity]) -> Value {
    let keys: Vec<Value> = registered
        .iter()
        .map(|identity| {
            // A point: 4, and both coordinates.
            let (_, point) = identity.key.public_key_raw().split_first().unwrap();
            let (x, y) = point.split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            let x5c = [STANDARD.encode(&identity.der)];
            json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "x5c": x5c })
        })
        .collect();
    json!({
        "client_id": "own",
        "token_endpoint_auth_method": "self_signed_tls_client_auth",
        "jwks": { "keys": keys },
    })
}

/// Each client has an access token, `at-` and its name, and a refresh token of the same grant.
fn fixture(clients: &[Value]) -> Value {
    let mut all = vec![
        json!({ "client_id": "web", "client_secret": "web-secret" }),
        json!({ "client_id": "spa", "token_endpoint_auth_method": "none" }),
        json!({ "client_id": "api", "client_secret": "api-secret", "may_introspect": true }),
    ];
    all.extend_from_slice(clients);
    let names = all.iter().map(|client| client.get("client_id").unwrap().as_str().unwrap());
    let tokens: Vec<Value> = names
        .flat_map(|id| {
            [("at", "access_token"), ("rt", "refresh_token")].map(|(prefix, token_type)| {
                let token = format!("{prefix}-{id}");
                json!({ "token": token, "token_type": token_type, "client_id": id, "grant_id": id })
            })
        })
        .collect();
    json!({ "clients": all, "tokens": tokens })
}

/// A server with a TLS listener beside the plain one.
struct Tls<'f> {
    server: Server,
    address: SocketAddr,
    folder: &'f Folder,
}

impl Tls<'_> {
    /// POSTs a form to `/revoke`, with the certificate of this client.
    fn revoke(&self, identity: Option<&Identity>, body: &str) -> Answer {
        self.curl(identity, &format!("--data '{body}' BASE/revoke"))
    }

    fn curl(&self, identity: Option<&Identity>, arguments: &str) -> Answer {
        let shown = identity.map_or_else(String::new, |identity| {
            let (certificate, key) = &identity.files;
            format!("--cert '{}' --key '{}'", certificate.display(), key.display())
        });
        let arguments = arguments.replace("BASE", &format!("https://{}", self.address));
        let ca = self.folder.file("ca.pem");
        programs::shell(&format!(
            "curl --include --silent --show-error --max-time 60 --cacert '{ca}' {shown} {arguments}"
        ))
    }

    /// The certificate opens nothing: not to a client, and not to this one, whose tokens live.
    #[track_caller]
    fn assert_refused(&self, identity: Option<&Identity>, client: &str) {
        let body = format!("token=at-{client}&client_id={client}");
        let answer = self.revoke(identity, &body);
        answer.assert_error(401, "invalid_client");
        self.server.assert_alive(&[&format!("at-{client}"), &format!("rt-{client}")]);
        let stranger = self.revoke(identity, "token=at-web&client_id=nobody");
        assert_eq!(undated(answer), undated(stranger), "an oracle: is the client known?");
    }

    /// The certificate proves to be this client: its grant is revoked.
    #[track_caller]
    fn assert_accepted(&self, identity: &Identity, client: &str) {
        let (access, refresh) = (format!("at-{client}"), format!("rt-{client}"));
        self.server.assert_alive(&[&access, &refresh]);
        let body = format!("token={refresh}&client_id={client}");
        self.revoke(Some(identity), &body).assert_empty(200);
        self.server.assert_dead(&[&access, &refresh]);
        self.server.assert_alive(&["at-web", "rt-web"]);
    }
}

/// Everything that can be seen of an answer, but when it was sent.
fn undated(answer: Answer) -> (u16, BTreeMap<String, Option<String>>, Vec<u8>) {
    let names = answer.header_names().into_iter();
    let headers =
        names.map(|name| (name.to_owned(), answer.header(name).map(str::to_owned))).collect();
    (answer.status, headers, answer.body)
}

#[test]
fn tls_03_a_certificate_of_the_trusted_authority_revokes() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.assert_accepted(&identity, "bank");
}

#[test]
fn tls_03_both_versions_of_tls_do() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
        let tls = folder.serve(&[bank()]);
        let arguments = format!("{version} --data 'token=at-bank&client_id=bank' BASE/revoke");
        tls.curl(Some(&identity), &arguments).assert_empty(200);
        tls.server.assert_dead(&["at-bank", "rt-bank"]);
    }
}

#[test]
fn tls_03_the_authority_may_sign_through_another() {
    let folder = Folder::new();
    let params = authority_params("Clients below");
    let key = KeyPair::generate().unwrap();
    let below = Authority::signed_by(params, key, &folder.trusted).unwrap();
    let identity = folder.issue("bank", &named("bank"), &below);
    let tls = folder.serve(&[bank()]);
    // Without the certificate between, nobody can tell where it comes from.
    tls.assert_refused(Some(&identity), "bank");
    let chain = [pem("CERTIFICATE", &identity.der), pem("CERTIFICATE", below.der())].concat();
    folder.write("bank.pem", &chain);
    tls.assert_accepted(&identity, "bank");
}

#[test]
fn tls_01_no_certificate_is_no_proof() {
    let folder = Folder::new();
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve(&[bank(), own(&[&registered])]);
    tls.assert_refused(None, "bank");
    tls.assert_refused(None, "own");
    // Over plain HTTP there is none at all.
    let answer = tls.server.post("/revoke", &[], "token=at-bank&client_id=bank");
    answer.assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-bank"]);
}

#[test]
fn tls_01_a_certificate_without_a_client_id_is_nobody() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.revoke(Some(&identity), "token=at-bank").assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-bank", "rt-bank"]);
}

#[test]
fn tls_02_the_certificate_of_another_client_is_refused() {
    let folder = Folder::new();
    let shop = json!({
        "client_id": "shop",
        "token_endpoint_auth_method": "tls_client_auth",
        "tls_client_auth_san_dns": "shop.example",
    });
    let mut params = named("shop");
    params.subject_alt_names = vec![SanType::DnsName("shop.example".try_into().unwrap())];
    let of_shop = folder.issue("shop", &params, &folder.trusted);
    let of_bank = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank(), shop]);
    tls.assert_refused(Some(&of_shop), "bank");
    tls.assert_refused(Some(&of_bank), "shop");
    // Nor does it revoke the tokens of another, once it has said who it is.
    let answer = tls.revoke(Some(&of_bank), "token=at-shop&client_id=bank");
    answer.assert_error(400, "invalid_grant");
    tls.server.assert_alive(&["at-shop", "rt-shop"]);
    tls.assert_accepted(&of_shop, "shop");
    tls.server.assert_alive(&["at-bank", "rt-bank"]);
}

#[test]
fn tls_03_the_right_subject_by_the_wrong_authority_is_refused() {
    let folder = Folder::new();
    let by_stranger = folder.issue("stranger", &named("bank"), &folder.stranger);
    let by_itself = folder.self_signed("itself", &named("bank"));
    let tls = folder.serve(&[bank()]);
    tls.assert_refused(Some(&by_stranger), "bank");
    tls.assert_refused(Some(&by_itself), "bank");
}

#[test]
fn tls_03_a_certificate_that_is_not_for_clients_or_not_for_today_is_refused() {
    let folder = Folder::new();
    let mut params = named("bank");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let for_servers = folder.issue("servers", &params, &folder.trusted);
    let mut params = named("bank");
    params.not_after = date_time_ymd(2020, 1, 1);
    let expired = folder.issue("expired", &params, &folder.trusted);
    let tls = folder.serve(&[bank()]);
    tls.assert_refused(Some(&for_servers), "bank");
    tls.assert_refused(Some(&expired), "bank");
}

#[test]
fn tls_03_where_no_authority_is_trusted_nobody_has_a_subject() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve_with(&[bank(), own(&[&registered])], &[]);
    tls.assert_refused(Some(&identity), "bank");
    tls.assert_accepted(&registered, "own");
}

#[test]
fn tls_04_a_registered_certificate_needs_no_authority() {
    let folder = Folder::new();
    let first = folder.self_signed("first", &named("own"));
    let second = folder.self_signed("second", &named("own"));
    let tls = folder.serve(&[own(&[&first, &second])]);
    tls.assert_accepted(&second, "own");
}

#[test]
fn tls_04_another_certificate_for_the_same_key_is_refused() {
    let folder = Folder::new();
    let registered = folder.self_signed("own", &named("own"));
    let key = KeyPair::try_from(registered.key.serialize_der()).unwrap();
    let again = named("own").signed_by(&key, &folder.trusted).unwrap().der().to_vec();
    let again = folder.keep("again", again, key);
    let tls = folder.serve(&[own(&[&registered])]);
    // Not even one that the authority vouches for.
    tls.assert_refused(Some(&again), "own");
    tls.assert_accepted(&registered, "own");
}

#[test]
fn tls_05_a_header_is_no_certificate() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let registered = folder.self_signed("own", &named("own"));
    let tls = folder.serve(&[bank(), own(&[&registered])]);
    for (client, identity) in [("bank", &identity), ("own", &registered)] {
        let der = STANDARD.encode(&identity.der);
        let pem = pem("CERTIFICATE", &identity.der).replace('\n', "%0A");
        let quoted = format!("Hash=0;Cert=\"{pem}\"");
        let structured = format!(":{der}:");
        for (name, value) in [
            ("X-SSL-Cert", &pem),
            ("SSL-Client-Cert", &pem),
            ("X-Client-Cert", &der),
            ("X-SSL-Client-Cert", &der),
            ("X-ARR-ClientCert", &der),
            ("X-Forwarded-Client-Cert", &quoted),
            // RFC 9440
            ("Client-Cert", &structured),
        ] {
            let verified = [(name, value.as_str()), ("X-SSL-Client-Verify", "SUCCESS")];
            let body = format!("token=at-{client}&client_id={client}");
            let answer = tls.server.post("/revoke", &verified, &body);
            answer.assert_error(401, "invalid_client");
            let header =
                format!("--header '{name}: {value}' --header 'X-SSL-Client-Verify: SUCCESS'");
            let answer = tls.curl(None, &format!("{header} --data '{body}' BASE/revoke"));
            answer.assert_error(401, "invalid_client");
        }
        tls.server.assert_alive(&[&format!("at-{client}"), &format!("rt-{client}")]);
    }
}

#[test]
fn tls_06_the_metadata_has_the_aliases_that_work() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    let document = tls.server.get("/.well-known/oauth-authorization-server", &[]).json();
    let alias = |name: &str| {
        let alias = document.pointer(&format!("/mtls_endpoint_aliases/{name}")).unwrap();
        alias.as_str().unwrap().to_owned()
    };
    assert_eq!(alias("introspection_endpoint"), format!("https://{}/introspect", tls.address));
    let methods = document.get("revocation_endpoint_auth_methods_supported").unwrap();
    for method in ["tls_client_auth", "self_signed_tls_client_auth"] {
        assert!(methods.as_array().unwrap().contains(&method.into()), "{method}");
    }
    let revocation = alias("revocation_endpoint");
    let arguments = format!("--data 'token=at-bank&client_id=bank' {revocation}");
    tls.curl(Some(&identity), &arguments).assert_empty(200);
    tls.server.assert_dead(&["at-bank"]);
    // Where no authority is trusted, nobody can vouch for a subject.
    let untrusting = folder.serve_with(&[bank()], &[]);
    let document = untrusting.server.get("/.well-known/oauth-authorization-server", &[]).json();
    let methods = document.get("revocation_endpoint_auth_methods_supported").unwrap();
    assert!(methods.as_array().unwrap().contains(&"self_signed_tls_client_auth".into()));
    assert!(!methods.as_array().unwrap().contains(&"tls_client_auth".into()));
    // Without TLS none of it is promised.
    let server = Server::start("standard");
    let document = server.get("/.well-known/oauth-authorization-server", &[]).text().to_owned();
    assert!(!document.contains("mtls") && !document.contains("tls_client_auth"), "{document}");
}

#[test]
fn a_certificate_stands_in_for_nothing_else() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let named_web = folder.issue("web", &named("web"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    // Who registered a secret shows the secret, whatever else it has.
    tls.assert_refused(Some(&named_web), "web");
    let basic = |secret: &str, body: &str| {
        tls.curl(Some(&identity), &format!("--user web:{secret} --data '{body}' BASE/revoke"))
    };
    basic("wrong", "token=at-web").assert_error(401, "invalid_client");
    tls.server.assert_alive(&["at-web"]);
    basic("web-secret", "token=at-web").assert_empty(200);
    tls.server.assert_dead(&["at-web", "rt-web"]);
    // A public client is one, with a certificate too, and without.
    tls.revoke(Some(&identity), "token=at-spa&client_id=spa").assert_empty(200);
    tls.server.assert_dead(&["at-spa", "rt-spa"]);
    tls.assert_refused(None, "bank");
}

#[test]
fn the_other_routes_are_served_over_tls_too() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    let bearer = "--header 'Authorization: Bearer at-bank' BASE/resource";
    assert_eq!(tls.curl(None, bearer).status, 200);
    assert_eq!(tls.curl(None, "BASE/healthz").status, 200);
    let form = "--data 'token=at-bank&client_id=bank' BASE/introspect";
    assert_eq!(tls.curl(Some(&identity), form).json().get("active"), Some(&true.into()));
    let form = "--data 'refresh_token=rt-bank&client_id=bank' BASE/logout";
    tls.curl(None, form).assert_error(401, "invalid_client");
    assert_eq!(tls.curl(None, bearer).status, 200);
    tls.curl(Some(&identity), form).assert_empty(200);
    assert_eq!(tls.curl(None, bearer).status, 401);
}

/// Offers a certificate whose key it does not hold.
#[derive(Debug)]
struct Liar(Arc<CertifiedKey>);

impl ResolvesClientCert for Liar {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What the server sends to a client with this certificate and this key.
fn answer_to(tls: &Tls<'_>, certificate: &[u8], key: &KeyPair, version: usize) -> String {
    let mut roots = RootCertStore::empty();
    roots.add(tls.folder.trusted.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certificate = CertificateDer::from(certificate.to_vec());
    let certified = Arc::new(CertifiedKey::new(vec![certificate], key));
    let versions = rustls::ALL_VERSIONS.get(version..=version).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Liar(certified)));
    let name = "127.0.0.1".try_into().unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(tls.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut stream = StreamOwned::new(session, socket);
    let body = "token=at-bank&client_id=bank";
    // In TLS 1.3 the client has finished before the server looks: the refusal comes instead of an answer.
    let _ = stream.write_all(form("/revoke", &[("Connection", "close")], body).as_bytes());
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => String::from_utf8(answer).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_certificate_without_its_key_does_not_get_through_the_handshake() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let other = KeyPair::generate().unwrap();
    for version in 0..rustls::ALL_VERSIONS.len() {
        let tls = folder.serve(&[bank()]);
        let answer = answer_to(&tls, &identity.der, &other, version);
        assert!(answer.contains("DecryptError"), "{answer}");
        tls.server.assert_alive(&["at-bank", "rt-bank"]);
        let answer = answer_to(&tls, &identity.der, &identity.key, version);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        tls.server.assert_dead(&["at-bank", "rt-bank"]);
    }
}

#[test]
fn a_silent_or_a_senseless_client_holds_up_nobody() {
    let folder = Folder::new();
    let identity = folder.issue("bank", &named("bank"), &folder.trusted);
    let tls = folder.serve(&[bank()]);
    let silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(tls.address).unwrap()).collect();
    let mut plain = TcpStream::connect(tls.address).unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP"), "plain HTTP on the TLS port");
    tls.assert_accepted(&identity, "bank");
    // After its time has passed the server hangs up by itself.
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert!(matches!(stream.read(&mut [0; 16]), Ok(0)), "still open");
    }
}

#[test]
fn files_that_make_no_sense_are_refused_by_name() {
    let folder = Folder::new();
    folder.write("empty.pem", "");
    let (certificate, key) = (folder.file("server.pem"), folder.file("server.key"));
    let ca = folder.file("ca.pem");
    let (empty, missing) = (folder.file("empty.pem"), folder.file("missing.pem"));
    let cases = [
        [&empty, &key, &ca, &empty],
        [&missing, &key, &ca, &missing],
        [&certificate, &empty, &ca, &empty],
        [&certificate, &certificate, &ca, &certificate],
        [&certificate, &key, &empty, &empty],
        [&certificate, &key, &key, &key],
    ];
    for [certificate, key, ca, named] in cases {
        let output = run(&[
            "--listen",
            "127.0.0.1:0",
            "--tls-listen",
            "127.0.0.1:0",
            "--tls-certificate",
            certificate,
            "--tls-key",
            key,
            "--tls-client-ca",
            ca,
        ]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(named), "{named} is not in {complaint}");
        assert!(!complaint.contains("PRIVATE"), "{complaint}");
    }
}
