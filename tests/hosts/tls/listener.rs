//! The listener: what it announces, what it serves, and whom it lets through the handshake.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rcgen::KeyPair;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, SignatureScheme, StreamOwned,
};

use crate::http::form;
use crate::server::{Server, run};
use crate::tls::{Folder, Tls, bank, named};

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
