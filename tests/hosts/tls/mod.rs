//! Clients that authenticate by certificate (RFC 8705), as `curl --cert` does it.
//!
//! The certificates are made here. Two authorities sign certificates for the same names; the server trusts one.

mod certificates;
mod listener;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};

use crate::http::Answer;
use crate::programs;
use crate::server::{Server, temporary};

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
