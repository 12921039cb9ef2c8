//! Clients whose keys are at a URL: the server fetches them, seldom, and from nowhere that a request names.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use annul::{Clock, SystemClock};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::http::Answer;
use crate::server::Server;

const ISSUER: &str = "https://as.example";

/// Answers every request with this, as HTTP/1.1, and counts them.
fn publish(status: &'static str, headers: String, body: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request).unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let len = body.len();
            // Whether the server reads on after a refusal is its own business.
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len}\r\n{headers}\r\n{body}"
            );
        }
    });
    (base, visits)
}

/// A client's key, by the identifier `1`.
struct Signer(Ed25519KeyPair);

impl Signer {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    fn key_set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] }).to_string()
    }

    /// The form of a revocation of `token`, with an assertion.
    fn form(&self, client: &str, header: &serde_json::Value, jti: &str, token: &str) -> String {
        let now = SystemClock.now().as_unix_seconds();
        let claims = json!({
            "iss": client, "sub": client, "aud": ISSUER, "jti": jti, "iat": now, "exp": now + 60
        });
        let [header, claims] =
            [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        format!(
            "token={token}&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion={message}.{signature}"
        )
    }
}

fn server(jwks_uri: &str) -> Server {
    Server::with_fixture(&json!({
        "issuer": ISSUER,
        "clients": [
            { "client_id": "job", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": jwks_uri },
            { "client_id": "api", "client_secret": "api-secret", "may_introspect": true }
        ],
        "tokens": [{ "token": "t1", "client_id": "job" }, { "token": "t2", "client_id": "job" }]
    }))
}

fn revoke(server: &Server, form: &str) -> Answer {
    server.post("/revoke", &[], form)
}

#[test]
fn jwa_20_keys_are_fetched_once_and_not_again_for_names_that_nobody_has() {
    let signer = Signer::new();
    let (base, visits) = publish("200 OK", String::new(), signer.key_set());
    let server = server(&format!("{base}/jwks"));
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    let named = |kid: &str| json!({ "alg": "EdDSA", "kid": kid });
    revoke(&server, &signer.form("job", &named("1"), "a", "t1")).assert_empty(200);
    server.assert_dead(&["t1"]);
    for n in 0..20 {
        let form = signer.form("job", &named("nobody's"), &format!("n{n}"), "t2");
        revoke(&server, &form).assert_error(401, "invalid_client");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 1);
    server.assert_alive(&["t2"]);
    revoke(&server, &signer.form("job", &named("1"), "b", "t2")).assert_empty(200);
    server.assert_dead(&["t2"]);
    assert_eq!(visits.load(Ordering::SeqCst), 1);
}

#[test]
fn jwa_20_a_place_that_the_assertion_names_is_not_visited() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let (base, _) = publish("200 OK", String::new(), ours.key_set());
    let (evil, visits) = publish("200 OK", String::new(), theirs.key_set());
    let server = server(&format!("{base}/jwks"));
    for member in ["jku", "x5u"] {
        let header = json!({ "alg": "EdDSA", "kid": "1", member: format!("{evil}/jwks") });
        let form = theirs.form("job", &header, member, "t1");
        revoke(&server, &form).assert_error(401, "invalid_client");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
    server.assert_alive(&["t1"]);
}

#[test]
fn jwa_20_no_redirect_is_followed_and_no_other_machine_visited_in_clear() {
    let signer = Signer::new();
    let (target, visits) = publish("200 OK", String::new(), signer.key_set());
    let location = format!("location: {target}/jwks\r\n");
    let (redirecting, asked) = publish("302 Found", location, String::new());
    let port = target.rsplit_once(':').unwrap().1;
    for uri in [
        format!("{redirecting}/jwks"),
        // The same listener, by a name that is not this machine's loopback.
        format!("http://127.0.0.2:{port}/jwks"),
        "ftp://127.0.0.1/jwks".to_owned(),
        "not a url".to_owned(),
    ] {
        let server = server(&uri);
        let form = signer.form("job", &json!({ "alg": "EdDSA", "kid": "1" }), "a", "t1");
        revoke(&server, &form).assert_error(401, "invalid_client");
        server.assert_alive(&["t1"]);
        assert!(server.warnings().contains(&uri), "{uri}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}
