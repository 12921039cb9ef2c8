//! What a fixture file may say, and that each of its members does something.

use std::collections::HashSet;

use annul::wire::basic;
use serde_json::{Value, json};

use crate::server::{Server, temporary};

fn api() -> Value {
    json!({ "client_id": "api", "client_secret": "api-secret", "may_introspect": true })
}

/// The status that a client gets for an unknown token.
fn status_for(server: &Server, client: &str, secret: &str) -> u16 {
    let header = basic::header_value(client, secret);
    let headers = [("Authorization", header.as_str())];
    server.post("/revoke", &headers, "token=unknown").status
}

#[test]
fn only_clients_have_to_be_there_and_unknown_members_are_ignored() {
    let server = Server::with_fixture(&json!({ "clients": [api()] }));
    assert_eq!(status_for(&server, "api", "api-secret"), 200);
    assert_eq!(server.warnings(), "");

    let server = Server::with_fixture(&json!({
        "clients": [api()], "throttle": false, "clock_skew": 5, "signing_key": { "kty": "EC" },
        "additional_keys": [1, 2], "a member of tomorrow": { "with": "anything" },
        "paths": { "end_session": "/bye" }, "sessions": [{ "sid": "s", "sub": "u", "x": 1 }],
        "tokens": [{ "token": "t", "client_id": "api", "x": [] }]
    }));
    server.assert_alive(&["t"]);
    assert_eq!(server.warnings(), "");
}

#[test]
fn a_broken_client_breaks_itself_and_nobody_else() {
    let server = Server::with_fixture(&json!({
        "clients": [
            api(),
            { "client_id": "keys", "client_secret": "s", "jwks": "not a key set" },
            { "client_id": "key", "client_secret": "s", "jwks": { "keys": [{ "no": "type" }] } },
            { "client_id": "method", "client_secret": "s", "token_endpoint_auth_method": "magic" },
            { "client_id": "secret", "client_secret": 17 },
            { "client_secret": "s" },
            "not even an object",
            { "client_id": "nulls", "client_secret": "s", "jwks": null, "backchannel_logout_uri": null,
              "post_logout_redirect_uris": null, "token_endpoint_auth_method": null }
        ],
        "tokens": [{ "token": "t", "client_id": "keys", "sub": "alice" }]
    }));
    for broken in ["keys", "key", "method", "secret", ""] {
        assert_eq!(status_for(&server, broken, "s"), 401, "{broken}");
    }
    assert_eq!(status_for(&server, "api", "api-secret"), 200);
    assert_eq!(status_for(&server, "nulls", "s"), 200);
    // What it was issued is still there.
    server.assert_alive(&["t"]);
    let warnings = server.warnings();
    assert_eq!(warnings.lines().count(), 6, "{warnings}");
    assert!(warnings.lines().all(|line| line.starts_with("warning: clients[")));
}

#[test]
fn a_peer_that_keeps_failing_is_answered_429() {
    let other = json!({ "client_id": "other", "client_secret": "other-secret" });
    let server = Server::with_fixture(&json!({
        "clients": [api(), other], "tokens": [{ "token": "t", "client_id": "other" }]
    }));
    let guess = basic::header_value("other", "a guess");
    let guess = |endpoint: &str| {
        let body = "token=t&refresh_token=t";
        server.post(endpoint, &[("Authorization", guess.as_str())], body)
    };
    let endpoints = ["/revoke", "/logout", "/introspect"];
    for (n, endpoint) in endpoints.iter().cycle().take(30).enumerate() {
        assert_eq!(guess(endpoint).status, 401, "guess {n}");
    }
    // On a slow machine some are regained on the way; they are used up in turn.
    let refused = (0..1_000).map(|_| guess("/revoke")).find(|answer| answer.status != 401).unwrap();
    refused.assert_error(429, "temporarily_unavailable");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    // Other clients at this address are still heard, and the token lives.
    assert_eq!(status_for(&server, "api", "api-secret"), 200);
    server.assert_alive(&["t"]);
    // The right secret is not heard, as long as nothing is regained.
    let unheard =
        |_| guess("/revoke").status == 429 && status_for(&server, "other", "other-secret") == 429;
    assert!((0..1_000).any(unheard));
}

#[test]
fn a_fixture_may_switch_the_throttle_off() {
    let server = Server::with_fixture(&json!({ "clients": [api()], "throttle": false }));
    for guess in 0..400 {
        assert_eq!(status_for(&server, "api", "a guess"), 401, "guess {guess}");
    }
    // Nor are 400 unknown tokens too many.
    for token in 0..400 {
        assert_eq!(status_for(&server, "api", "api-secret"), 200, "token {token}");
    }
}

#[test]
fn secrets_expire_and_previous_ones_are_still_accepted() {
    let server = Server::with_fixture(&json!({ "clients": [
        { "client_id": "rotating", "client_secret": "new", "previous_client_secrets": ["old", "older"] },
        { "client_id": "expired", "client_secret": "s", "client_secret_expires_at": 1_000_000_000 },
        { "client_id": "later", "client_secret": "s", "client_secret_expires_at": 9_000_000_000_u64 },
        { "client_id": "never", "client_secret": "s", "client_secret_expires_at": 0 }
    ]}));
    for secret in ["new", "old", "older"] {
        assert_eq!(status_for(&server, "rotating", secret), 200, "{secret}");
    }
    assert_eq!(status_for(&server, "rotating", "oldest"), 401);
    assert_eq!(status_for(&server, "expired", "s"), 401);
    assert_eq!(status_for(&server, "later", "s"), 200);
    assert_eq!(status_for(&server, "never", "s"), 200);
}

/// Argon2id hashes, with little memory so that the test is quick.
#[test]
fn secrets_may_be_given_as_hashes() {
    const NEW: &str = "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgbmV3$ghML757C/KtPfCvreGU6wRcT7DlGyPHnEUPBhx184Yk";
    const OLD: &str = "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgb2xk$Nb5bMm8N6rvjxT+SwP17hM6ECQKowCO3bAhBXVV52QE";
    let server = Server::with_fixture(&json!({
        "clients": [
            api(),
            { "client_id": "hashed", "client_secret_hash": NEW },
            { "client_id": "rotating", "client_secret_hash": NEW, "previous_client_secret_hashes": [OLD],
              "previous_client_secrets": ["oldest"] },
            { "client_id": "expired", "client_secret_hash": NEW, "client_secret_expires_at": 1_000_000_000 },
            { "client_id": "broken", "client_secret_hash": "$2b$12$not-argon2", "client_secret": "new" }
        ],
        "tokens": [{ "token": "t", "client_id": "hashed" }, { "token": "u", "client_id": "rotating" }]
    }));
    // The second time it is remembered.
    for _ in 0..2 {
        assert_eq!(status_for(&server, "hashed", "new"), 200);
    }
    for secret in ["new", "old", "oldest"] {
        assert_eq!(status_for(&server, "rotating", secret), 200, "{secret}");
    }
    for (client, secret) in [
        ("hashed", "old"),
        ("hashed", NEW),
        ("rotating", "wrong"),
        ("expired", "new"),
        ("broken", "new"),
        ("unknown", "new"),
        ("api", "new"),
    ] {
        assert_eq!(status_for(&server, client, secret), 401, "{client} {secret}");
    }
    let revoke = |client: &str, secret: &str, token: &str| {
        let header = basic::header_value(client, secret);
        server.post("/revoke", &[("Authorization", &header)], &format!("token={token}"))
    };
    revoke("hashed", "old", "t").assert_error(401, "invalid_client");
    server.assert_alive(&["t", "u"]);
    revoke("hashed", "new", "t").assert_empty(200);
    revoke("rotating", "old", "u").assert_empty(200);
    server.assert_dead(&["t", "u"]);
    let warnings = server.warnings();
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.starts_with("warning: clients[4] will not authenticate"), "{warnings}");
    assert!(!warnings.contains("not-argon2"), "{warnings}");
}

#[test]
fn every_member_of_a_token_means_something() {
    let spa = json!({ "client_id": "spa", "token_endpoint_auth_method": "none" });
    let server = Server::with_fixture(&json!({
        "clients": [spa, api()],
        "sessions": [{ "sid": "s1", "sub": "alice", "clients": ["spa", "not registered"] }],
        "tokens": [
            { "token": "plain" },
            { "token": "neighbour" },
            { "token": "scoped", "client_id": "spa", "sub": "alice", "scope": "a b", "expires_in": 1000 },
            { "token": "expired", "client_id": "spa", "expires_in": -1 },
            { "token": "revoked", "client_id": "spa", "grant_id": "g", "revoked": true },
            { "token": "sibling", "client_id": "spa", "grant_id": "g" },
            { "token": "spent", "token_type": "refresh_token", "client_id": "spa", "grant_id": "h", "consumed": true },
            { "token": "successor", "token_type": "refresh_token", "client_id": "spa", "grant_id": "h" },
            { "token": "login", "token_type": "refresh_token", "client_id": "spa", "sub": "alice", "sid": "s1" },
            { "token": "same session", "client_id": "api", "sub": "alice", "sid": "s1" },
            { "token": "offline", "client_id": "spa", "sub": "alice", "sid": "s1", "offline": true }
        ]
    }));
    server.assert_dead(&["expired", "revoked", "spent"]);
    server.assert_alive(&["sibling", "successor", "login", "same session", "offline"]);
    let scoped = server.introspect("scoped");
    assert_eq!(scoped.get("scope"), Some(&json!("a b")));
    let life =
        scoped.get("exp").unwrap().as_u64().unwrap() - scoped.get("iat").unwrap().as_u64().unwrap();
    assert_eq!(life, 1000);

    // Without a grant, each token has its own; without a client, it is the first one's.
    server.post("/revoke", &[], "token=plain&client_id=spa").assert_empty(200);
    server.assert_dead(&["plain"]);
    server.assert_alive(&["neighbour"]);
    // A spent refresh token's owner wants the rest dead.
    server.post("/revoke", &[], "token=spent&client_id=spa").assert_empty(200);
    server.assert_dead(&["successor"]);
    server.post("/logout", &[], "refresh_token=login&client_id=spa").assert_empty(200);
    server.assert_dead(&["login", "same session"]);
    server.assert_alive(&["offline", "sibling"]);
}

#[test]
fn only_clients_that_may_see_the_tokens_of_others() {
    let server = Server::with_fixture(&json!({
        "clients": [api(), { "client_id": "web", "client_secret": "s" }],
        "tokens": [
            { "token": "its own", "client_id": "web" },
            { "token": "rt", "token_type": "refresh_token", "client_id": "api" }
        ]
    }));
    server.assert_alive(&["its own", "rt"]);
    let header = basic::header_value("web", "s");
    let headers = [("Authorization", header.as_str())];
    let own = server.post("/introspect", &headers, "token=its+own").json();
    assert_eq!(own.get("active"), Some(&json!(true)));
    let other = server.post("/introspect", &headers, "token=rt").json();
    assert_eq!(other, json!({ "active": false }));
}

#[test]
fn paths_and_issuer_are_the_fixtures_to_choose() {
    let server = Server::with_fixture(&json!({
        "issuer": "https://as.example/tenant",
        "profile": "hyperid",
        "paths": { "revoke": "/a/revoke", "introspect": "/a/introspect" },
        "clients": [api()], "tokens": [{ "token": "t" }]
    }));
    let body = "token=t&client_id=api&client_secret=api-secret";
    let old = "/auth/realms/HyperID/protocol/openid-connect/revoke";
    assert_eq!(server.post(old, &[], body).status, 404);
    server.post("/a/revoke", &[], body).assert_empty(200);
    server.assert_dead(&["t"]);
    // What is not renamed is where the profile has it.
    let logout = "/auth/realms/HyperID/protocol/openid-connect/logout";
    server.post(logout, &[], "").assert_error(401, "invalid_client");
    let document = server.get("/.well-known/oauth-authorization-server", &[]).json();
    let member = |name: &str| document.get(name).and_then(Value::as_str).unwrap().to_owned();
    assert_eq!(member("issuer"), "https://as.example/tenant");
    assert_eq!(member("revocation_endpoint"), "https://as.example/a/revoke");
    assert_eq!(member("introspection_endpoint"), "https://as.example/a/introspect");
}

#[test]
fn an_issuer_that_must_not_be_published_is_not() {
    let fixture = json!({ "issuer": "http://as.example", "clients": [api()] });
    let server = Server::with_fixture(&fixture);
    let path = "/.well-known/oauth-authorization-server";
    assert_eq!(server.get(path, &[]).status, 404);
    assert!(server.warnings().contains("http://as.example"));
    assert_eq!(status_for(&server, "api", "api-secret"), 200);
}

#[test]
fn no_preflight_is_answered_where_no_client_has_an_origin() {
    let server = Server::with_fixture(&json!({ "clients": [api()] }));
    let headers = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")];
    let answer = server.send(crate::http::request("OPTIONS", "/revoke", &headers, ""));
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn generated_tokens_are_live_distinct_and_one_per_line() {
    let file = temporary("tokens");
    let fixture = json!({ "clients": [
        { "client_id": "spa", "token_endpoint_auth_method": "none" }, api()
    ]});
    let path = file.to_str().unwrap();
    let arguments = ["--generate-tokens", "25", "--token-file", path];
    let server = Server::with_fixture_and(&fixture, &arguments);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let tokens: Vec<&str> = text.lines().collect();
    assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 25);
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    assert!(tokens.iter().all(|token| token.len() == 43 && token.bytes().all(is_base64url)));
    server.assert_alive(&tokens);
    // Ten for each user.
    let users: Vec<Value> =
        tokens.iter().map(|token| server.introspect(token).get("sub").unwrap().clone()).collect();
    assert_eq!(users.chunk_by(|a, b| a == b).map(<[_]>::len).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(users.iter().collect::<HashSet<_>>().len(), 3);
    // They are the first client's, and die one by one.
    let first = tokens.first().unwrap();
    server.post("/revoke", &[], &format!("token={first}&client_id=spa")).assert_empty(200);
    server.assert_dead(&[first]);
    server.assert_alive(tokens.get(1..).unwrap());
}
