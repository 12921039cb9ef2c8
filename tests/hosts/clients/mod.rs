//! OAuth client libraries, as their users call them: `openid-client` on Node, Authlib on Python.
//!
//! They read the server's metadata, make their own keys and sign their own assertions; the fixture has the public
//! half of what they made. The report of a library is checked against what became of the token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clients::library::Library;
use crate::server::Server;

mod authlib;
mod library;
mod openid_client;

/// Long enough for a MAC, and with every kind of character that some encoding changes.
const ODD_SECRET: &str = "0123456789abcdef0123456789:a b+c%20d&e=f/g?h\"i\\j'k~l\u{e9}\u{20ac}";

/// Long enough for a MAC, and the same under every encoding.
const PLAIN_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A client of the fixture, with one live token, which is named after it.
struct Party {
    registration: Value,
    algorithm: Option<&'static str>,
    /// What it proves itself by: a secret, or a private key.
    credential: Value,
}

impl Party {
    fn public() -> Self {
        Self {
            registration: json!({ "client_id": "spa", "token_endpoint_auth_method": "none" }),
            algorithm: None,
            credential: Value::Null,
        }
    }

    fn with_secret(method: &'static str, secret: &str) -> Self {
        let registration = json!({
            "client_id": method,
            "token_endpoint_auth_method": method,
            "client_secret": secret,
            "may_introspect": true
        });
        Self { registration, algorithm: None, credential: secret.into() }
    }

    /// With a key that the library makes.
    fn with_key(library: &mut Library, algorithm: &'static str) -> Self {
        let (public, private) = key(library, algorithm);
        let registration = json!({
            "client_id": format!("job-{algorithm}"),
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": algorithm,
            "jwks": { "keys": [public] },
            "may_introspect": true
        });
        Self { registration, algorithm: Some(algorithm), credential: private }
    }

    fn id(&self) -> &str {
        self.registered("client_id")
    }

    fn method(&self) -> &str {
        self.registered("token_endpoint_auth_method")
    }

    fn token(&self) -> String {
        format!("token-of-{}", self.id())
    }

    fn registered(&self, name: &str) -> &str {
        self.registration.get(name).and_then(Value::as_str).unwrap()
    }
}

/// The public and the private half of a new key.
fn key(library: &mut Library, algorithm: &str) -> (Value, Value) {
    let made = library.carry_out(&json!({ "do": "key", "algorithm": algorithm }));
    (made.get("public").unwrap().clone(), made.get("private").unwrap().clone())
}

/// A server with these clients, and the one that [`Server::introspect`] speaks for.
fn start(profile: &str, parties: &[&Party]) -> Server {
    let mut clients =
        vec![json!({ "client_id": "api", "client_secret": "api-secret", "may_introspect": true })];
    clients.extend(parties.iter().map(|party| party.registration.clone()));
    let token =
        |party: &&Party| json!({ "token": party.token(), "client_id": party.id(), "sub": "alice" });
    let tokens: Vec<Value> = parties.iter().map(token).collect();
    let server =
        Server::with_fixture(&json!({ "profile": profile, "clients": clients, "tokens": tokens }));
    assert_eq!(server.warnings(), "");
    for party in parties {
        assert!(server.opens(&party.token()), "{}", party.token());
    }
    server
}

/// What the server is called, in its metadata and to whom assertions are addressed.
fn issuer(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// Lets the library carry out what `order` says beside the ordinary: who asks, for its own token.
fn ask(library: &mut Library, server: &Server, party: &Party, order: &Value) -> Outcome {
    let mut whole = json!({
        "do": "revoke",
        "issuer": issuer(server),
        "discovery": "oauth2",
        "audience": issuer(server),
        "client_id": party.id(),
        "method": party.method(),
        "algorithm": party.algorithm,
        "credential": party.credential,
        "token": party.token()
    });
    let members = whole.as_object_mut().unwrap();
    members.extend(order.as_object().unwrap().clone());
    Outcome(library.carry_out(&whole))
}

/// The library revokes the token of each, and of nobody else.
#[track_caller]
fn assert_revokes(library: &mut Library, profile: &str, parties: &[&Party]) -> Vec<Outcome> {
    let server = start(profile, parties);
    let mut outcomes = Vec::new();
    for (index, party) in parties.iter().enumerate() {
        let outcome = ask(library, &server, party, &json!({}));
        outcome.assert_answered();
        for (other, bystander) in parties.iter().enumerate() {
            assert_eq!(server.opens(&bystander.token()), other > index, "{}", bystander.id());
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// The library is told that it is not who it says, and the token lives on.
#[track_caller]
fn assert_refuses(library: &mut Library, server: &Server, party: &Party, order: &Value) -> Outcome {
    let outcome = ask(library, server, party, order);
    outcome.assert_refused();
    assert!(server.opens(&party.token()), "{}", party.token());
    outcome
}

/// What a library reports, and the form that it sent.
struct Outcome(Value);

impl Outcome {
    /// What was answered: `null` where the answer was empty.
    #[track_caller]
    fn assert_answered(&self) -> &Value {
        self.0.get("answer").unwrap_or_else(|| panic!("{}", self.0))
    }

    #[track_caller]
    fn assert_refused(&self) {
        let status = self.0.get("status").and_then(Value::as_u64);
        assert_eq!((status, self.0.get("refused")), (Some(401), Some(&"invalid_client".into())));
    }

    /// The names of the parameters.
    fn parameters(&self) -> Vec<&str> {
        let form = self.0.get("form").and_then(Value::as_object).unwrap();
        form.keys().map(String::as_str).collect()
    }

    /// The header and the claims of the assertion.
    fn assertion(&self) -> [Value; 2] {
        let assertion = self.0.pointer("/form/client_assertion").and_then(Value::as_str).unwrap();
        let mut parts = assertion.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        [(); 2].map(|()| serde_json::from_slice(&parts.next().unwrap()).unwrap())
    }

    /// What the assertion is like, once its own values are checked or left away.
    #[track_caller]
    fn kind_of_assertion(&self) -> Value {
        let [header, claims] = self.assertion();
        let claim = |name: &str| claims.get(name).cloned().unwrap_or_default();
        assert_eq!(claim("iss"), claim("sub"));
        assert!(!claim("jti").as_str().unwrap().is_empty());
        let issued = claim("iat").as_u64().unwrap();
        json!({
            "alg": header.get("alg"),
            "typ": header.get("typ"),
            "kid": header.get("kid").is_some(),
            "aud": claim("aud"),
            "lifetime": claim("exp").as_u64().unwrap() - issued,
            "nbf": claims.get("nbf").map(|start| start.as_u64() == Some(issued))
        })
    }
}

/// Asks about each token before and after it is revoked; `order` says how.
fn introspection_sees_the_token_die(mut library: Library, secret: &str, order: &Value) {
    let parties = [
        Party::with_secret("client_secret_basic", secret),
        Party::with_secret("client_secret_jwt", secret),
        Party::with_key(&mut library, "PS256"),
    ];
    let server = start("standard", &parties.each_ref());
    for party in &parties {
        let before = ask(&mut library, &server, party, order);
        assert_eq!(before.assert_answered().get("active"), Some(&json!(true)));
        assert_eq!(before.assert_answered().get("client_id"), Some(&json!(party.id())));
        ask(&mut library, &server, party, &json!({})).assert_answered();
        let after = ask(&mut library, &server, party, order);
        assert_eq!(after.assert_answered(), &json!({ "active": false }));
        server.assert_dead(&[&party.token()]);
    }
}

/// Another's credentials are refused, and the client's own accepted afterwards. What the library said of the refusals.
fn another_credential_is_no_proof(mut library: Library, secret: &str) -> Vec<Outcome> {
    let job = Party::with_key(&mut library, "ES256");
    let (_, another) = key(&mut library, "ES256");
    let mac = Party::with_secret("client_secret_jwt", secret);
    let basic = Party::with_secret("client_secret_basic", secret);
    let server = start("standard", &[&job, &mac, &basic]);
    let wrong = format!("{secret}!");
    let wrongs = [(&job, another), (&mac, wrong.as_str().into()), (&basic, wrong.as_str().into())];
    let outcomes = wrongs.map(|(party, credential)| {
        assert_refuses(&mut library, &server, party, &json!({ "credential": credential }))
    });
    for party in [&job, &mac, &basic] {
        ask(&mut library, &server, party, &json!({})).assert_answered();
        server.assert_dead(&[&party.token()]);
    }
    outcomes.into()
}

fn fapi2_takes_three_algorithms(mut library: Library) {
    let parties =
        ["PS256", "ES256", "EdDSA"].map(|algorithm| Party::with_key(&mut library, algorithm));
    for outcome in assert_revokes(&mut library, "fapi2", &parties.each_ref()) {
        // JWA-07: "Only a string equal to the issuer".
        let assertion = outcome.kind_of_assertion();
        assert!(assertion.get("aud").is_some_and(Value::is_string), "{assertion}");
    }
}

fn fapi2_refuses_the_rest(mut library: Library, secret: &str) {
    let parties = [
        Party::with_key(&mut library, "RS256"),
        Party::with_secret("client_secret_basic", secret),
        Party::with_secret("client_secret_post", secret),
        Party::with_secret("client_secret_jwt", secret),
        Party::public(),
    ];
    let server = start("fapi2", &parties.each_ref());
    for party in &parties {
        assert_refuses(&mut library, &server, party, &json!({}));
    }
}
