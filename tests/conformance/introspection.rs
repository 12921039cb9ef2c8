//! Token introspection (RFC 7662).

use std::time::Duration;

use annul::client::RegisteredClients;
use annul::store::{StoreError, TokenStore};
use annul::throttle::{Caller, Misuse, SlowDown, Throttle};
use annul::wire::basic;
use annul::{
    Authority, Grant, PresentedToken, Reason, Request, Response, Revocation, Revoked, Target,
    Timestamp, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::doubles::Watched;
use crate::index::{Index, Status};
use crate::support::{Server, clients, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("introspection.rs"),
    requirements: &[
        (
            "INT-01",
            Status::Tested(&[
                "int_01_every_token_that_is_no_good_is_answered_alike",
                "int_01_an_active_token_is_described",
            ]),
        ),
        ("INT-02", Status::Tested(&["int_02_an_inactive_answer_says_nothing_else"])),
        (
            "INT-03",
            Status::Tested(&[
                "int_03_a_caller_without_credentials_is_refused_whatever_the_token",
                "int_03_a_public_client_may_not_introspect_even_its_own_tokens",
                "int_03_a_client_without_permission_sees_its_own_tokens_only",
                "int_03_a_throttled_caller_costs_no_look_up",
            ]),
        ),
        (
            "INT-04",
            Status::Tested(&[
                "int_04_whatever_was_revoked_above_a_token_it_is_inactive",
                "int_04_a_token_is_inactive_from_its_expiry_on",
                "int_04_a_consumed_refresh_token_is_inactive",
            ]),
        ),
        ("INT-05", Status::Tested(&["int_05_no_hint_changes_the_answer"])),
        (
            "INT-06",
            Status::Tested(&[
                "int_06_wrong_credentials_are_401_with_a_challenge",
                "int_06_a_bearer_token_is_no_credential_here",
            ]),
        ),
        (
            "INT-07",
            Status::Tested(&[
                "int_07_get_is_refused_and_reveals_nothing",
                "int_07_no_answer_may_be_stored",
            ]),
        ),
    ],
};

const INACTIVE: &[u8] = br#"{"active":false}"#;

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

async fn is_active(server: &Server, token: &str) -> bool {
    let response = server.introspect_as("rs", &format!("token={token}")).await;
    assert_eq!(response.status(), 200);
    let active = json_of(&response)["active"].as_bool().unwrap();
    assert!(active || response.body() == INACTIVE);
    active
}

#[tokio::test]
async fn int_01_every_token_that_is_no_good_is_answered_alike() {
    let server = Server::new();
    for id in ["revoked", "expired", "live"] {
        server.grant(id, "web").await;
    }
    server.revoke_as("web", "token=rt-revoked").await;
    // Ten minutes: the access tokens are over, the refresh tokens are not.
    server.clock.advance(Duration::from_secs(600));
    assert!(is_active(&server, "rt-live").await);
    let long = format!("token={}", "x".repeat(20_000));
    let answers = [
        server.introspect_as("rs", "token=rt-revoked").await,
        server.introspect_as("rs", "token=at-expired").await,
        server.introspect_as("rs", "token=nobody-knows-it").await,
        server.introspect_as("rs", "token=with%00control").await,
        server.introspect_as("rs", &long).await,
        // Alive, and not for this caller.
        server.introspect_as("other", "token=rt-live").await,
    ];
    for answer in &answers {
        assert_eq!((answer.status(), answer.body()), (200, INACTIVE));
        assert_eq!(seen(answer), seen(&answers[0]));
    }
}

#[tokio::test]
async fn int_01_an_active_token_is_described() {
    let server = Server::new();
    let now = server.authority.now().as_unix_seconds();
    let grant = Grant::new("g", "web", server.authority.now());
    let grant = grant.subject("alice").session("s1").scope("read write");
    server.issue(grant, "at", "rt").await;
    let machine = Grant::new("machine", "web", server.authority.now());
    server.issue(machine, "at-machine", "rt-machine").await;
    let response = server.introspect_as("rs", "token=at").await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(
        json_of(&response),
        json!({
            "active": true, "client_id": "web", "sub": "alice", "scope": "read write",
            "iat": now, "exp": now + 600, "token_use": "access_token",
        })
    );
    assert_eq!(
        json_of(&server.introspect_as("rs", "token=rt-machine").await),
        json!({
            "active": true, "client_id": "web", "iat": now, "exp": now + 86_400,
            "token_use": "refresh_token",
        })
    );
}

#[tokio::test]
async fn int_02_an_inactive_answer_says_nothing_else() {
    let server = Server::new();
    server.grant("g", "web").await;
    server.revoke_as("web", "token=at-g").await;
    for token in ["at-g", "rt-g", "unknown"] {
        let response = server.introspect_as("rs", &format!("token={token}")).await;
        assert_eq!(json_of(&response), json!({ "active": false }), "{token}");
    }
}

#[tokio::test]
async fn int_03_a_caller_without_credentials_is_refused_whatever_the_token() {
    let server = Server::new();
    server.grant("g", "web").await;
    let mut answers = Vec::new();
    for token in ["at-g", "rt-g", "unknown"] {
        let body = format!("token={token}");
        let response = annul::handle_introspect(&server.authority, &form(&body)).await;
        assert_eq!(response.status(), 401);
        assert_eq!(error_of(&response), "invalid_client");
        assert!(response.header("www-authenticate").is_some());
        answers.push(seen(&response));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn int_03_a_public_client_may_not_introspect_even_its_own_tokens() {
    let server = Server::new();
    server.grant("g", "spa").await;
    for token in ["at-g", "rt-g", "unknown"] {
        let body = format!("token={token}&client_id=spa");
        let response = annul::handle_introspect(&server.authority, &form(&body)).await;
        assert_eq!(response.status(), 401, "{token}");
        assert_eq!(error_of(&response), "invalid_client");
    }
}

#[tokio::test]
async fn int_03_a_client_without_permission_sees_its_own_tokens_only() {
    let server = Server::new();
    server.grant("own", "web").await;
    server.grant("foreign", "other").await;
    let active = |response: Response| json_of(&response)["active"].clone();
    assert_eq!(active(server.introspect_as("web", "token=at-own").await), json!(true));
    assert_eq!(active(server.introspect_as("web", "token=at-foreign").await), json!(false));
    assert_eq!(active(server.introspect_as("rs", "token=at-foreign").await), json!(true));
}

/// Hears nobody; and a store that must not be asked.
struct Closed;

impl Throttle for Closed {
    fn admit(&self, _: Caller<'_>, _: Timestamp) -> Result<(), SlowDown> {
        Err(SlowDown { retry_after: Duration::from_secs(7) })
    }

    fn report(&self, _: Caller<'_>, _: Misuse, _: Timestamp) {}
}

#[async_trait]
impl TokenStore for Closed {
    async fn find(
        &self,
        _: PresentedToken<'_>,
        _: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        Err(StoreError::corrupt("a throttled caller reached the store"))
    }

    async fn revoke(&self, _: &Revocation) -> Result<Revoked, StoreError> {
        Err(StoreError::corrupt("introspection revoked something"))
    }
}

#[tokio::test]
async fn int_03_a_throttled_caller_costs_no_look_up() {
    let authority = Authority::new(Closed, RegisteredClients::new(clients())).throttle(Closed);
    let header = basic::header_value("rs", "rs-secret");
    let request = form("token=at-g").header("authorization", header.as_bytes());
    let response = annul::handle_introspect(&authority, &request).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.header("retry-after"), Some("7"));
}

#[tokio::test]
async fn int_04_whatever_was_revoked_above_a_token_it_is_inactive() {
    let targets = [
        Target::Grant("g".into()),
        Target::Session("s1".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ];
    let elsewhere = [
        Target::Grant("h".into()),
        Target::Session("s2".into()),
        Target::SubjectAtClient("alice".into(), "other".into()),
        Target::SubjectAtClient("bob".into(), "web".into()),
        Target::Subject("bob".into()),
        Target::Client("other".into()),
    ];
    for (target, dies) in targets
        .map(|target| (target, true))
        .into_iter()
        .chain(elsewhere.map(|target| (target, false)))
    {
        let server = Server::new();
        server.grant("g", "web").await;
        assert!(is_active(&server, "at-g").await && is_active(&server, "rt-g").await);
        let now = server.authority.now();
        let revocation = Revocation::by_operator(target.clone(), Reason::Administrative, now);
        server.authority.revoke(revocation).await.unwrap();
        for token in ["at-g", "rt-g"] {
            assert_eq!(is_active(&server, token).await, !dies, "{token} {target:?}");
        }
    }
    // And the token alone.
    let server = Server::new();
    server.grant("g", "web").await;
    let found = server.store.find(PresentedToken::new("at-g"), None).await;
    let target = Target::Token(found.unwrap().unwrap().id().clone());
    let now = server.authority.now();
    let revocation = Revocation::by_operator(target, Reason::Administrative, now);
    server.authority.revoke(revocation).await.unwrap();
    assert!(!is_active(&server, "at-g").await);
    assert!(is_active(&server, "rt-g").await);
}

#[tokio::test]
async fn int_04_a_token_is_inactive_from_its_expiry_on() {
    let server = Server::new();
    server.grant("g", "web").await;
    server.clock.advance(Duration::from_millis(599_999));
    assert!(is_active(&server, "at-g").await);
    server.clock.advance(Duration::from_millis(1));
    assert!(!is_active(&server, "at-g").await);
    assert!(is_active(&server, "rt-g").await);
}

#[tokio::test]
async fn int_04_a_consumed_refresh_token_is_inactive() {
    let server = Server::new();
    server.grant("g", "web").await;
    let rotated = crate::rotation::rotate(&server, "rt-g", "rt-2").await;
    assert!(matches!(rotated, annul::store::Rotated::Applied(_)));
    assert!(!is_active(&server, "rt-g").await);
    assert!(is_active(&server, "rt-2").await);
}

#[tokio::test]
async fn int_05_no_hint_changes_the_answer() {
    let server = Server::new();
    server.grant("g", "web").await;
    server.grant("dead", "web").await;
    server.revoke_as("web", "token=rt-dead").await;
    for token in ["at-g", "rt-g", "at-dead", "rt-dead", "unknown"] {
        let plain = server.introspect_as("rs", &format!("token={token}")).await;
        assert_eq!(plain.body() == INACTIVE, !token.ends_with("-g"), "{token}");
        for hint in ["access_token", "refresh_token", "pct", "", "x%00"] {
            let body = format!("token={token}&token_type_hint={hint}");
            let hinted = server.introspect_as("rs", &body).await;
            assert_eq!(seen(&hinted), seen(&plain), "{token} {hint}");
        }
    }
}

#[tokio::test]
async fn int_06_wrong_credentials_are_401_with_a_challenge() {
    let server = Server::new();
    server.grant("g", "web").await;
    let mut answers = Vec::new();
    for (client, secret) in [("rs", "wrong"), ("nobody", "rs-secret"), ("rs", "")] {
        let header = basic::header_value(client, secret);
        let request = form("token=at-g").header("authorization", header.as_bytes());
        let response = annul::handle_introspect(&server.authority, &request).await;
        assert_eq!(response.status(), 401);
        assert_eq!(error_of(&response), "invalid_client");
        let challenge = response.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
        answers.push(seen(&response));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn int_06_a_bearer_token_is_no_credential_here() {
    let server = Server::new();
    server.grant("g", "rs").await;
    for bearer in [&b"Bearer at-g"[..], b"Bearer unknown", b"Bearer"] {
        let request = form("token=at-g").header("authorization", bearer);
        let response = annul::handle_introspect(&server.authority, &request).await;
        assert_eq!(response.status(), 401);
        assert!(response.header("www-authenticate").is_some());
        assert_eq!(error_of(&response), "invalid_client");
    }
}

#[tokio::test]
async fn int_07_get_is_refused_and_reveals_nothing() {
    let server = Server::new();
    server.grant("g", "web").await;
    let header = basic::header_value("rs", "rs-secret");
    for method in ["GET", "HEAD", "PUT", "DELETE", "post"] {
        let request = Request::new(method, b"token=at-g")
            .query("token=at-g")
            .header("content-type", b"application/x-www-form-urlencoded")
            .header("authorization", header.as_bytes());
        let response = annul::handle_introspect(&server.authority, &request).await;
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.header("allow"), Some("POST"));
        let body = String::from_utf8_lossy(response.body()).into_owned();
        assert!(!body.contains("active"), "{body}");
    }
}

#[tokio::test]
async fn int_07_no_answer_may_be_stored() {
    let server = Server::new();
    server.grant("g", "web").await;
    for (client, body) in [("rs", "token=at-g"), ("rs", "token=unknown"), ("rs", ""), ("x", "")] {
        let response = server.introspect_as(client, body).await;
        assert_eq!(response.header("cache-control"), Some("no-store"), "{body}");
        assert_eq!(response.header("pragma"), Some("no-cache"));
    }
    // Seen fresh, a revocation shows at once.
    assert!(is_active(&server, "at-g").await);
    server.revoke_as("web", "token=rt-g").await;
    assert!(!is_active(&server, "at-g").await);
}

#[tokio::test]
async fn s4_looking_at_another_clients_token_is_told_to_the_audit_log() {
    let watched = Watched::new();
    watched.server.grant("g1", "web").await;
    let answer = watched.server.introspect_as("other", "token=at-g1").await;
    assert_eq!(answer.body(), br#"{"active":false}"#);
    let told = watched.events.take();
    assert!(told.iter().any(|event| event.starts_with("ForeignToken")), "{told:?}");
    watched.server.introspect_as("rs", "token=at-g1").await;
    assert_eq!(watched.events.take(), [""; 0]);
}
