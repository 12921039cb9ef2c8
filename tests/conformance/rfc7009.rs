//! RFC 7009, OAuth 2.0 Token Revocation.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{
    Assertions, AuthMethod, Client, ClientMetadata, ClientTable, Credentials, RegisteredClients,
};
use annul::metadata::ServerMetadata;
use annul::policy::{CascadePolicy, ForeignToken, ForeignTokenPolicy, MediaTypeMismatch};
use annul::store::{Issued, Refused, Rotated, Rotation, StoreErrorKind, TokenLedger, TokenStore};
use annul::wire::basic;
use annul::wire::basic::{Basic, Scratch};
use annul::wire::cors::{OriginRegistry, Origins};
use annul::wire::form::Form;
use annul::wire::send::{LogoutForm, TokenForm};
use annul::{
    Authority, Cascade, ClientId, Grant, InvalidUrl, Issuer, MemoryStore, NewToken, Policy,
    PresentedToken, Reason, Request, Response, Revocation, Target, Verdict, profile,
};

use crate::doubles::{FAILURES, Fault, Watched, policy, server_with};
use crate::index::Index;
use crate::index::Status::{NotDone, Tested};
use crate::signer::{Assertion, ISSUER, SigningKey, presenting};
use crate::support::{FORM, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("rfc7009.rs"),
    requirements: &[
        ("R7009-01", Tested(&["s2_a_revoked_refresh_token_refreshes_and_introspects_no_more"])),
        ("R7009-02", Tested(&["s2_a_revoked_access_token_is_inactive_at_once"])),
        (
            "R7009-03",
            Tested(&[
                "s2_every_method_but_post_is_405_and_touches_nothing",
                "s2_405_names_options_where_preflights_are_answered",
            ]),
        ),
        ("R7009-04", Tested(&["s2_the_published_endpoint_may_have_a_query_and_never_a_fragment"])),
        ("R7009-05", Tested(&["s2_the_published_endpoint_is_https"])),
        ("R7009-06", Tested(&["s2_a_revocation_over_plain_http_is_honoured"])),
        (
            "R7009-10",
            Tested(&[
                "s2_1_a_body_that_is_not_declared_a_form_is_refused",
                "s2_1_the_media_type_is_read_in_any_case_and_with_parameters",
            ]),
        ),
        ("R7009-11", Tested(&["s2_1_a_missing_or_empty_token_is_an_error_and_never_200"])),
        ("R7009-12", Tested(&["s2_1_a_token_in_the_query_is_not_read"])),
        ("R7009-13", Tested(&["s2_1_every_hint_finds_every_kind_of_token"])),
        ("R7009-14", Tested(&["s2_1_every_hint_finds_every_kind_of_token"])),
        ("R7009-15", Tested(&["s2_1_no_hint_changes_an_answer_or_an_effect"])),
        ("R7009-16", Tested(&["s2_1_no_hint_changes_an_answer_or_an_effect"])),
        ("R7009-17", Tested(&["s4_1_2_a_registered_hint_reaches_the_store"])),
        (
            "R7009-18",
            Tested(&["s2_1_wrong_credentials_are_refused_whether_the_token_lives_or_not"]),
        ),
        ("R7009-19", Tested(&["s5_a_public_client_must_name_itself"])),
        (
            "R7009-20",
            Tested(&[
                "s2_1_no_client_revokes_another_clients_token",
                "s2_1_possession_is_proof_only_where_the_policy_says_so",
            ]),
        ),
        ("R7009-21", Tested(&["s2_1_nothing_is_written_before_both_checks"])),
        (
            "R7009-30",
            Tested(&[
                "s2_a_revoked_refresh_token_refreshes_and_introspects_no_more",
                "s2_1_the_grace_window_does_not_revive_what_was_revoked",
            ]),
        ),
        ("R7009-31", Tested(&["s2_1_every_node_of_one_store_sees_it_at_once"])),
        (
            "R7009-32",
            Tested(&["s2_1_a_refresh_token_takes_every_access_token_of_its_grant_and_no_other"]),
        ),
        (
            "R7009-33",
            Tested(&[
                "s2_1_the_policy_says_how_far_either_kind_reaches",
                "s2_1_a_client_may_have_a_reach_of_its_own",
            ]),
        ),
        ("R7009-34", Tested(&["s2_1_the_grant_is_over_and_the_users_next_grant_is_not"])),
        ("R7009-36", Tested(&["s2_2_1_the_presented_tokens_own_type_decides"])),
        (
            "R7009-37",
            NotDone(
                "no shipped store keeps JWT access tokens; one that cannot be denied is answered \
                 unsupported_token_type (R7009-45), never a false 200",
            ),
        ),
        ("R7009-40", Tested(&["s2_2_success_is_an_empty_200"])),
        ("R7009-41", Tested(&["s2_2_junk_is_200_and_writes_nothing", "s2_2_a_dead_token_is_200"])),
        ("R7009-42", Tested(&["s2_2_the_second_answer_is_the_first_byte_for_byte"])),
        ("R7009-43", Tested(&["s2_2_success_is_an_empty_200"])),
        ("R7009-44", Tested(&["s2_2_1_errors_are_those_of_rfc_6749"])),
        ("R7009-45", Tested(&["s2_2_1_the_presented_tokens_own_type_decides"])),
        (
            "R7009-46",
            Tested(&[
                "s2_2_1_a_store_that_fails_is_503_or_500_and_never_200",
                "s2_2_1_retry_after_is_the_stores_or_the_policys_in_whole_seconds",
            ]),
        ),
        ("R7009-47", Tested(&["s2_2_1_a_retry_after_503_completes_the_cascade"])),
        (
            "R7009-50",
            Tested(&[
                "s2_3_a_registered_origin_may_call_and_no_other",
                "s2_3_no_origin_starts_a_header_of_its_own",
                "s2_3_no_origins_no_cors",
            ]),
        ),
        ("R7009-51", Tested(&["s2_3_errors_can_be_read_by_a_registered_origin"])),
        ("R7009-52", Tested(&["s2_3_there_is_no_jsonp"])),
        (
            "R7009-60",
            Tested(&[
                "s5_the_throttle_is_asked_before_any_store",
                "s5_a_client_that_guesses_tokens_is_refused_until_it_has_waited",
                "s5_a_client_that_its_credentials_do_not_name_is_refused_too",
                "s5_nobody_guesses_tokens_at_a_public_clients_expense",
            ]),
        ),
        (
            "R7009-61",
            Tested(&[
                "s5_one_look_up_whatever_the_hint",
                "s5_a_token_beyond_the_limit_costs_no_look_up",
            ]),
        ),
        ("R7009-62", Tested(&["s5_nobody_unauthenticated_learns_whether_a_token_lives"])),
        (
            "R7009-63",
            Tested(&[
                "r7009_63_nothing_printable_holds_a_token_or_a_secret",
                "r7009_63_a_refused_issue_leaves_its_counterpart_to_nobody",
            ]),
        ),
        ("R7009-64", Tested(&["s5_only_the_owner_and_the_operator_revoke"])),
    ],
};

/// No hint, the two of RFC 7009, and others that a client might send.
const HINTS: [Option<&str>; 12] = [
    None,
    Some("access_token"),
    Some("refresh_token"),
    Some("foo"),
    Some(""),
    Some("ACCESS_TOKEN"),
    Some("id_token"),
    Some("pct"),
    Some("urn:ietf:params:oauth:token-type:refresh_token"),
    Some("refresh_token+"),
    Some("refresh_token,access_token"),
    Some("%C3%A9"),
];

fn body(token: &str, hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("token={token}&token_type_hint={hint}"),
        None => format!("token={token}"),
    }
}

fn credentials(client: &str) -> String {
    basic::header_value(client, &format!("{client}-secret"))
}

/// A well-formed revocation by `web`, but for this method.
async fn with_method(server: &Server, method: &str, body: &str) -> Response {
    let header = credentials("web");
    let request = Request::new(method, body.as_bytes())
        .header("content-type", FORM)
        .header("authorization", header.as_bytes());
    annul::handle_revoke(&server.authority, &request).await
}

/// A well-formed revocation by `web`, but for these media types.
async fn with_media_types(server: &Server, media_types: &[&str], body: &str) -> Response {
    let header = credentials("web");
    let request = Request::post(body.as_bytes()).header("authorization", header.as_bytes());
    let request = media_types
        .iter()
        .fold(request, |request, media_type| request.header("Content-Type", media_type.as_bytes()));
    annul::handle_revoke(&server.authority, &request).await
}

/// What the token endpoint would answer to `refresh_token`, exchanged for `at-NEXT` and `rt-NEXT`.
async fn refresh(server: &Server, client: &str, refresh_token: &str, next: &str) -> Rotated {
    let now = server.authority.now();
    let (access, refresh) = (format!("at-{next}"), format!("rt-{next}"));
    let successors = [
        NewToken::access(PresentedToken::new(&access), now + Duration::from_secs(600)),
        NewToken::refresh(PresentedToken::new(&refresh), now + Duration::from_secs(86_400)),
    ];
    let client = ClientId::new(client);
    let rotation = Rotation::new(PresentedToken::new(refresh_token), &client, &successors, now)
        .with_grace(Duration::from_secs(60));
    server.store.rotate(&rotation).await.unwrap()
}

fn is_empty_200(response: &Response) -> bool {
    response.status() == 200
        && response.body().is_empty()
        && response.header("content-type").is_none()
}

// ── Section 2: scope, method, endpoint

#[tokio::test]
async fn s2_a_revoked_refresh_token_refreshes_and_introspects_no_more() {
    let server = Server::new();
    server.grant("g1", "web").await;
    assert_eq!(server.revoke_as("web", "token=rt-g1").await.status(), 200);

    let refused = refresh(&server, "web", "rt-g1", "g2").await;
    assert!(matches!(refused, Rotated::Refused(Refused::Revoked { .. })));
    assert!(matches!(server.check("rt-g2").await, Verdict::Unknown));
    for caller in ["web", "rs"] {
        let answer = server.introspect_as(caller, "token=rt-g1").await;
        assert_eq!(answer.body(), br#"{"active":false}"#, "to {caller}");
    }
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_a_revoked_access_token_is_inactive_at_once() {
    let server = Server::new();
    server.grant("g1", "web").await;
    assert!(server.is_active("at-g1").await);
    assert_eq!(server.revoke_as("web", "token=at-g1").await.status(), 200);

    assert!(!server.is_active("at-g1").await);
    let answer = server.introspect_as("rs", "token=at-g1").await;
    assert_eq!(answer.body(), br#"{"active":false}"#);
}

#[tokio::test]
async fn s2_every_method_but_post_is_405_and_touches_nothing() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "post", ""] {
        let answer = with_method(server, method, "token=rt-g1").await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert_eq!(error_of(&answer), "invalid_request", "{method}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_405_names_options_where_preflights_are_answered() {
    let mut server = Server::new();
    server.authority = server.authority.origins(Origins::from_iter(["https://app.example"]));
    let answer = with_method(&server, "GET", "").await;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
}

#[test]
fn s2_the_published_endpoint_may_have_a_query_and_never_a_fragment() {
    let published = |url: &str| {
        let issuer = Issuer::new("https://as.example").unwrap();
        ServerMetadata::new(issuer).revocation(url, &[AuthMethod::None])
    };
    let with_query = published("https://as.example/revoke?tenant=a").unwrap();
    assert!(with_query.to_json().contains("\"https://as.example/revoke?tenant=a\""));
    for (url, flaw) in [
        ("https://as.example/revoke#x", InvalidUrl::Fragment),
        ("https://as.example/revoke?a=b#", InvalidUrl::Fragment),
        ("/revoke", InvalidUrl::NotHttps),
        ("https:///revoke", InvalidUrl::NotAbsolute),
    ] {
        assert_eq!(published(url).unwrap_err(), flaw, "{url}");
    }
}

#[test]
fn s2_the_published_endpoint_is_https() {
    let publish = |issuer: Issuer, url: &str| {
        ServerMetadata::new(issuer).revocation(url, &[AuthMethod::None]).map(|_| ())
    };
    let public = || Issuer::new("https://as.example").unwrap();
    let local = || Issuer::loopback("http://127.0.0.1:8080").unwrap();
    assert_eq!(publish(public(), "http://as.example/revoke"), Err(InvalidUrl::NotHttps));
    assert_eq!(publish(public(), "http://localhost/revoke"), Err(InvalidUrl::NotHttps));
    assert_eq!(publish(local(), "http://127.0.0.1:8080/revoke"), Ok(()));
    // The override is for this machine alone.
    assert_eq!(publish(local(), "http://as.example/revoke"), Err(InvalidUrl::NotHttps));
}

#[tokio::test]
async fn s2_a_revocation_over_plain_http_is_honoured() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // The token has travelled in clear already: dead is the best it can be now.
    let request = http::Request::post("http://as.example/revoke")
        .header("content-type", FORM)
        .header("authorization", credentials("web"))
        .body("token=rt-g1")
        .unwrap();
    let answer = annul::handle_revoke(&server.authority, &Request::from_http(&request)).await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

// ── Section 2.1: the request

#[tokio::test]
async fn s2_1_a_body_that_is_not_declared_a_form_is_refused() {
    let unsupported =
        policy(|policy| policy.media_type = MediaTypeMismatch::UnsupportedMediaType415);
    for (policy, status) in [(Policy::default(), 400), (unsupported, 415)] {
        let server = Server::with_policy(policy);
        server.grant("g1", "web").await;
        let json = r#"{"token":"rt-g1"}"#;
        let form = "token=rt-g1";
        let refused: [(&[&str], &str); 10] = [
            (&["application/json"], json),
            (&["application/json"], form),
            (&["multipart/form-data; boundary=x"], form),
            (&["text/plain"], form),
            (&[""], form),
            (&[], form),
            (&["application/x-www-form-urlencoded-2"], form),
            (&["application/x-www-form-urlencoded, text/plain"], form),
            (&["x/y; application/x-www-form-urlencoded"], form),
            // Two of them: who knows which one the host's proxy went by.
            (&["application/x-www-form-urlencoded", "application/x-www-form-urlencoded"], form),
        ];
        for (media_types, body) in refused {
            let answer = with_media_types(&server, media_types, body).await;
            assert_eq!(answer.status(), status, "{media_types:?}");
            assert_eq!(error_of(&answer), "invalid_request", "{media_types:?}");
        }
        assert!(server.is_active("rt-g1").await);
    }
}

#[tokio::test]
async fn s2_1_the_media_type_is_read_in_any_case_and_with_parameters() {
    for media_type in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-UrlEncoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "application/x-www-form-urlencoded;charset=utf-8",
        "application/x-www-form-urlencoded ; Charset=\"utf-8\"",
        "application/x-www-form-urlencoded; x=y",
        "application/x-www-form-urlencoded;",
    ] {
        let server = Server::new();
        server.grant("g1", "web").await;
        let answer = with_media_types(&server, &[media_type], "token=rt-g1").await;
        assert_eq!(answer.status(), 200, "{media_type}");
        assert!(!server.is_active("rt-g1").await, "{media_type}");
    }
}

#[tokio::test]
async fn s2_1_a_missing_or_empty_token_is_an_error_and_never_200() {
    let server = Server::new();
    for body in [
        "",
        "token",
        "token=",
        "&&",
        "=",
        "=x",
        "token_type_hint=access_token",
        "Token=rt",
        "tokens=rt",
        "refresh_token=rt",
    ] {
        let answer = server.revoke_as("web", body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(error_of(&answer), "invalid_request", "{body}");
    }
}

#[tokio::test]
async fn s2_1_a_token_in_the_query_is_not_read() {
    let django = profile::django_oauth_toolkit().policy;
    for (policy, answer_to_both) in [(Policy::default(), 200), (django, 400)] {
        let server = Server::with_policy(policy);
        server.grant("g1", "web").await;
        server.grant("g2", "web").await;
        let header = credentials("web");
        let post = |body: &'static str| {
            form(body).query("token=rt-g1").header("authorization", header.as_bytes())
        };
        let answer = annul::handle_revoke(&server.authority, &post("")).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(error_of(&answer), "invalid_request");
        // Nor does it replace, or repeat, the one in the body.
        let answer = annul::handle_revoke(&server.authority, &post("token=rt-g2")).await;
        assert_eq!(answer.status(), answer_to_both);
        assert_eq!(server.is_active("rt-g2").await, answer_to_both != 200);
        assert!(server.is_active("rt-g1").await);
    }
}

#[tokio::test]
async fn s2_1_every_hint_finds_every_kind_of_token() {
    for cascade in [Cascade::Token, Cascade::Grant] {
        for hint in HINTS {
            for (presented, other) in [("at-g1", "rt-g1"), ("rt-g1", "at-g1")] {
                let policy = policy(|policy| policy.cascade = CascadePolicy::both(cascade));
                let server = Server::with_policy(policy);
                server.grant("g1", "web").await;
                let answer = server.revoke_as("web", &body(presented, hint)).await;
                assert_eq!(answer.status(), 200, "{presented} by {hint:?}");
                assert!(!server.is_active(presented).await, "{presented} by {hint:?}");
                let spared = cascade == Cascade::Token;
                assert_eq!(server.is_active(other).await, spared, "{other} by {hint:?}");
            }
            let answer = Server::new().revoke_as("web", &body("no-such-token", hint)).await;
            assert_eq!(answer.status(), 200, "an unknown token by {hint:?}");
        }
    }
}

#[tokio::test]
async fn s2_1_no_hint_changes_an_answer_or_an_effect() {
    for policy in [Policy::default(), profile::keycloak().policy] {
        for token in ["at-g1", "rt-g1", "at-g2", "rt-g2", "at-g3", "no-such-token"] {
            let mut outcomes = Vec::new();
            for hint in HINTS {
                let server = Server::with_policy(policy.clone());
                server.grant("g1", "web").await;
                server.grant("g2", "other").await;
                server.grant("g3", "web").await;
                server.revoke_as("web", "token=rt-g3").await;
                let answer = server.revoke_as("web", &body(token, hint)).await;
                let mut alive = Vec::new();
                for token in ["at-g1", "rt-g1", "at-g2", "rt-g2"] {
                    alive.push(server.is_active(token).await);
                }
                outcomes.push((seen(&answer), alive));
            }
            let without = &outcomes[0];
            for (outcome, hint) in outcomes.iter().zip(HINTS) {
                assert_eq!(outcome, without, "{token} by {hint:?}");
            }
        }
    }
}

#[tokio::test]
async fn s4_1_2_a_registered_hint_reaches_the_store() {
    let watched = Watched::new();
    for (hint, asked) in [
        (None, "find None"),
        (Some(""), "find None"),
        (Some("access_token"), "find Some(AccessToken)"),
        (Some("refresh_token"), "find Some(RefreshToken)"),
        (Some("pct"), r#"find Some(Other("pct"))"#),
    ] {
        let answer = watched.server.revoke_as("web", &body("t", hint)).await;
        assert_eq!(answer.status(), 200);
        assert!(watched.journal.take().contains(&asked.to_owned()), "{hint:?}");
    }
}

#[tokio::test]
async fn s2_1_wrong_credentials_are_refused_whether_the_token_lives_or_not() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("live", "web").await;
    server.grant("dead", "web").await;
    server.revoke_as("web", "token=rt-dead").await;
    watched.journal.take();

    let wrong = basic::header_value("web", "other-secret");
    for token in ["at-live", "rt-live", "at-dead", "rt-dead", "unknown", ""] {
        let body = body(token, None);
        let request = form(&body).header("authorization", wrong.as_bytes());
        let by_header = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!(by_header.status(), 401, "{token}");
        assert_eq!(error_of(&by_header), "invalid_client", "{token}");

        let by_form = format!("{body}&client_id=post&client_secret=wrong");
        let by_form = server.revoke(&by_form).await;
        assert_eq!(by_form.status(), 401, "{token}");
        assert_eq!(error_of(&by_form), "invalid_client", "{token}");
    }
    let calls = watched.journal.take();
    assert!(calls.iter().all(|call| !call.starts_with("find")), "{calls:?}");
    assert!(server.is_active("at-live").await && server.is_active("rt-live").await);
}

#[tokio::test]
async fn s5_a_public_client_must_name_itself() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "spa").await;
    for body in [
        "token=rt-g1",
        "token=rt-g1&client_id=",
        "token=rt-g1&client_id=nobody",
        "token=rt-g1&client_id=SPA",
        "token=rt-g1&client_id=spa+",
        // A confidential client cannot pass for a public one.
        "token=rt-g1&client_id=web",
    ] {
        let answer = server.revoke(body).await;
        assert_eq!(answer.status(), 401, "{body}");
        assert_eq!(error_of(&answer), "invalid_client", "{body}");
    }
    let calls = watched.journal.take();
    assert!(calls.iter().all(|call| !call.starts_with("find")), "{calls:?}");
    assert!(server.is_active("rt-g1").await);

    assert!(is_empty_200(&server.revoke("token=rt-g1&client_id=spa").await));
    assert!(!server.is_active("rt-g1").await && !server.is_active("at-g1").await);
}

#[tokio::test]
async fn s2_1_no_client_revokes_another_clients_token() {
    let hints = [None, Some("access_token"), Some("refresh_token")];
    for (owner, stranger) in [("web", "other"), ("web", "spa"), ("spa", "spa2"), ("spa", "web")] {
        for token in ["at-g1", "rt-g1"] {
            for hint in hints {
                let watched = Watched::new();
                let server = &watched.server;
                server.grant("g1", owner).await;
                let body = body(token, hint);
                let public = stranger.starts_with("spa");
                let answer = match public {
                    true => server.revoke(&format!("{body}&client_id={stranger}")).await,
                    false => server.revoke_as(stranger, &body).await,
                };
                let case = format!("{stranger} with {token} of {owner} by {hint:?}");
                if public {
                    // Anybody can claim to be a public client: an error would say that the token lives.
                    assert!(is_empty_200(&answer), "{case}");
                } else {
                    assert_eq!(answer.status(), 400, "{case}");
                    assert_eq!(error_of(&answer), "invalid_grant", "{case}");
                }
                assert!(server.is_active("at-g1").await, "{case}");
                assert!(server.is_active("rt-g1").await, "{case}");
                assert_eq!(server.store.usage().revocations, 0, "{case}");
                let events = watched.events.take();
                assert!(
                    events.iter().any(|event| event.starts_with("ForeignToken")),
                    "{case}: {events:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn s2_1_possession_is_proof_only_where_the_policy_says_so() {
    for name in crate::doubles::PROFILES {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        server.grant("g1", "web").await;
        server.revoke_as("other", "token=rt-g1").await;
        server.revoke("token=rt-g1&client_id=spa").await;
        assert!(server.is_active("rt-g1").await, "{name}");
    }
    let by_possession = policy(|policy| {
        policy.foreign_token = ForeignTokenPolicy::both(ForeignToken::ProofByPossession)
    });
    let server = Server::with_policy(by_possession);
    server.grant("g1", "web").await;
    assert_eq!(server.revoke_as("other", "token=rt-g1").await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_1_nothing_is_written_before_both_checks() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    let asked_in_order: [(&str, &str, &[&str]); 5] = [
        ("other", "token=", &["admit", "authenticate"]),
        ("other", "token=rt-g1", &["admit", "authenticate", "find None"]),
        ("other", "token=unknown", &["admit", "authenticate", "find None", "report UnknownToken"]),
        ("nobody", "token=rt-g1", &["admit", "authenticate", "report AuthenticationFailed"]),
        ("web", "token=rt-g1", &["admit", "authenticate", "find None", "revoke grant"]),
    ];
    for (client, body, calls) in asked_in_order {
        server.revoke_as(client, body).await;
        assert_eq!(watched.journal.take(), calls, "{client} {body}");
    }
    assert!(!server.is_active("rt-g1").await);
}

// ── Section 2.1: the effect

#[tokio::test]
async fn s2_1_the_grace_window_does_not_revive_what_was_revoked() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let rotated = refresh(&server, "web", "rt-g1", "g2").await;
    assert!(matches!(rotated, Rotated::Applied(_)));
    let rotated = refresh(&server, "web", "rt-g1", "g3").await;
    assert!(matches!(rotated, Rotated::AppliedInGrace(_)));

    assert_eq!(server.revoke_as("web", "token=rt-g2").await.status(), 200);
    for spent in ["rt-g1", "rt-g2", "rt-g3"] {
        let refused = refresh(&server, "web", spent, "g4").await;
        assert!(
            matches!(refused, Rotated::Refused(Refused::Revoked { .. })),
            "{spent}: {refused:?}"
        );
        assert!(!server.is_active("at-g4").await && !server.is_active("rt-g4").await);
    }
}

#[tokio::test]
async fn s2_1_every_node_of_one_store_sees_it_at_once() {
    let node = Server::new();
    node.grant("g1", "web").await;
    let clients = RegisteredClients::new(crate::support::clients());
    let clock = Arc::clone(&node.clock);
    let second = Authority::new(Arc::clone(&node.store), clients).clock(clock);
    let at = PresentedToken::new("at-g1");
    assert!(second.check(at).await.unwrap().is_active());

    node.revoke_as("web", "token=rt-g1").await;
    assert!(!second.check(at).await.unwrap().is_active());
}

#[tokio::test]
async fn s2_1_a_refresh_token_takes_every_access_token_of_its_grant_and_no_other() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // Another authorization of the same user, client and session.
    server.grant("parallel", "web").await;
    refresh(&server, "web", "rt-g1", "g1b").await;
    refresh(&server, "web", "rt-g1b", "g1c").await;
    for token in ["at-g1", "at-g1b", "at-g1c", "rt-g1c"] {
        assert!(server.is_active(token).await, "{token}");
    }

    assert_eq!(server.revoke_as("web", "token=rt-g1c").await.status(), 200);
    for token in ["at-g1", "at-g1b", "at-g1c", "rt-g1c"] {
        assert!(!server.is_active(token).await, "{token}");
    }
    for token in ["at-parallel", "rt-parallel"] {
        assert!(server.is_active(token).await, "{token}");
    }
}

#[tokio::test]
async fn s2_1_the_policy_says_how_far_either_kind_reaches() {
    for access in [Cascade::Token, Cascade::Grant] {
        for refresh in [Cascade::Token, Cascade::Grant] {
            let mut policy = Policy::default();
            policy.cascade.access_token = access;
            policy.cascade.refresh_token = refresh;
            let server = Server::with_policy(policy);
            server.grant("g1", "web").await;
            server.grant("g2", "web").await;
            server.revoke_as("web", "token=at-g1").await;
            server.revoke_as("web", "token=rt-g2").await;

            assert!(!server.is_active("at-g1").await && !server.is_active("rt-g2").await);
            assert_eq!(server.is_active("rt-g1").await, access == Cascade::Token);
            assert_eq!(server.is_active("at-g2").await, refresh == Cascade::Token);
        }
    }
}

#[tokio::test]
async fn s2_1_a_client_may_have_a_reach_of_its_own() {
    let client = |id: &str| {
        let metadata = ClientMetadata::new(id, AuthMethod::ClientSecretBasic);
        Client::new(metadata).secret(&format!("{id}-secret"))
    };
    let alone = client("alone").cascade(CascadePolicy::both(Cascade::Token));
    let clients = ClientTable::from_iter([alone, client("web")]);
    let server = server_with(clients, Policy::default());
    server.grant("g1", "alone").await;
    server.grant("g2", "web").await;
    server.revoke_as("alone", "token=at-g1").await;
    server.revoke_as("web", "token=at-g2").await;
    assert!(!server.is_active("at-g1").await && server.is_active("rt-g1").await);
    assert!(!server.is_active("at-g2").await && !server.is_active("rt-g2").await);
}

#[tokio::test]
async fn s2_1_the_grant_is_over_and_the_users_next_grant_is_not() {
    let server = Server::new();
    server.grant("g1", "web").await;
    server.revoke_as("web", "token=rt-g1").await;
    // A token that was being minted while the revocation came in.
    let now = server.authority.now();
    let late = NewToken::access(PresentedToken::new("late"), now + Duration::from_secs(600));
    let grant = Grant::new("g1", "web", now).subject("alice").session("s1");
    let issued = server.store.issue(grant, &[late], now).await.unwrap();
    assert!(matches!(issued, Issued::BornDead { .. }));
    assert!(!server.is_active("late").await);
    // What the user consented to is the host's to keep: the next authorization works.
    server.grant("g2", "web").await;
    assert!(server.is_active("at-g2").await && server.is_active("rt-g2").await);
}

// ── Section 2.2: the answers

#[tokio::test]
async fn s2_2_success_is_an_empty_200() {
    let server = Server::new();
    server.grant("g1", "web").await;
    server.grant("g2", "web").await;
    let mut answers = Vec::new();
    for token in ["at-g1", "rt-g1", "rt-g2", "rt-g2", "no-such-token"] {
        let answer = server.revoke_as("web", &body(token, None)).await;
        assert!(is_empty_200(&answer), "{token}");
        answers.push(seen(&answer));
    }
    // Live, dead or never seen: nobody can tell from the answer.
    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn s2_2_junk_is_200_and_writes_nothing() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    let of_another_server = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9\
         .eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUiLCJqdGkiOiJhdC1nMSJ9.c2lnbmF0dXJl";
    let none_alg = "eyJhbGciOiJub25lIn0.eyJqdGkiOiJhdC1nMSIsImNsaWVudF9pZCI6IndlYiJ9.";
    let long = "a".repeat(64 * 1024);
    let long_jwt = format!("eyJ.{}.x", "b".repeat(64 * 1024 - 6));
    let junk = [
        "45ghiukldjahdnhzdauz",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "e30.e30.",
        of_another_server,
        none_alg,
        "+",
        "%20",
        "%00",
        "at-g1%00",
        "%0D%0ASet-Cookie:x",
        "at-g1+",
        "+at-g1",
        "AT-G1",
        "at-g1%C2%A0",
        "null",
        "undefined",
        "0",
        "-1",
        "%27%20OR%201=1%20--",
        "..%2F..%2Fetc%2Fpasswd",
        "%F0%9F%94%91",
        "%EF%BB%BFat-g1",
        "=",
        "{}",
        "Bearer+at-g1",
        &long,
        &long_jwt,
    ];
    for token in junk {
        let head: String = token.chars().take(40).collect();
        let answer = server.revoke_as("web", &body(token, None)).await;
        assert!(is_empty_200(&answer), "{head}");
        let calls = watched.journal.take();
        assert!(calls.iter().all(|call| !call.starts_with("revoke")), "{head}");
    }
    assert_eq!(server.store.usage().revocations, 0);
    assert!(server.is_active("at-g1").await && server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_2_a_dead_token_is_200() {
    let server = Server::new();
    server.grant("expired", "web").await;
    server.clock.advance(Duration::from_secs(601));
    assert!(matches!(server.check("at-expired").await, Verdict::Expired));
    // Its owner wants the rest of the grant dead too: the refresh token still lived.
    assert!(server.is_active("rt-expired").await);
    assert!(is_empty_200(&server.revoke_as("web", "token=at-expired").await));
    assert!(!server.is_active("rt-expired").await);

    server.grant("spent", "web").await;
    refresh(&server, "web", "rt-spent", "next").await;
    assert!(matches!(server.check("rt-spent").await, Verdict::Consumed));
    assert!(is_empty_200(&server.revoke_as("web", "token=rt-spent").await));
    assert!(!server.is_active("rt-next").await && !server.is_active("at-next").await);

    server.grant("old", "web").await;
    server.clock.advance(Duration::from_secs(90_000));
    assert!(is_empty_200(&server.revoke_as("web", "token=rt-old").await));
    assert!(is_empty_200(&server.revoke_as("web", "token=rt-old").await));
}

#[tokio::test]
async fn s2_2_the_second_answer_is_the_first_byte_for_byte() {
    for name in ["standard", "asgardeo", "django_oauth_toolkit", "hyperid", "keycloak"] {
        let server = Server::with_policy(profile::by_name(name).unwrap());
        for token in ["at-g1", "rt-g1"] {
            server.grant("g1", "web").await;
            let first = seen(&server.revoke_as("web", &body(token, None)).await);
            let second = seen(&server.revoke_as("web", &body(token, None)).await);
            assert_eq!(first, second, "{name} {token}");
            assert!(!server.is_active(token).await, "{name} {token}");
        }
    }
}

#[tokio::test]
async fn s2_2_1_errors_are_those_of_rfc_6749() {
    let server = Server::new();
    server.grant("g1", "other").await;
    for (answer, status, code) in [
        (server.revoke_as("web", "").await, 400, "invalid_request"),
        (server.revoke_as("web", "token=a&token=a").await, 400, "invalid_request"),
        (server.revoke_as("web", "token=rt-g1").await, 400, "invalid_grant"),
        (server.revoke_as("nobody", "token=a").await, 401, "invalid_client"),
        (server.revoke("token=a").await, 401, "invalid_client"),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(error_of(&answer), code);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn s2_2_1_the_presented_tokens_own_type_decides() {
    for hint in HINTS {
        let watched = Watched::with_self_contained_access_tokens(Policy::default());
        let server = &watched.server;
        server.grant("g1", "web").await;
        let answer = server.revoke_as("web", &body("at-g1", hint)).await;
        assert_eq!(answer.status(), 400, "{hint:?}");
        assert_eq!(error_of(&answer), "unsupported_token_type", "{hint:?}");
        let calls = watched.journal.take();
        assert!(calls.iter().all(|call| !call.starts_with("revoke")), "{hint:?}");
        assert!(server.is_active("at-g1").await && server.is_active("rt-g1").await);

        // s5: access tokens that resource servers do not ask about outlive the refresh token.
        assert!(is_empty_200(&server.revoke_as("web", &body("rt-g1", hint)).await));
        assert!(!server.is_active("rt-g1").await, "{hint:?}");
        let answer = server.revoke_as("web", &body("at-g1", hint)).await;
        assert_eq!(error_of(&answer), "unsupported_token_type", "{hint:?}");
    }
}

#[tokio::test]
async fn s2_2_1_a_store_that_fails_is_503_or_500_and_never_200() {
    let faults: [fn(crate::doubles::Failure) -> Fault; 4] =
        [Fault::Authenticate, Fault::Find, Fault::Revoke, Fault::RevokeAnswer];
    for name in crate::doubles::PROFILES {
        for fault in faults {
            for (failure, status) in FAILURES {
                let watched = Watched::with_policy(profile::by_name(name).unwrap());
                let server = &watched.server;
                server.grant("g1", "web").await;
                watched.fail(fault(failure));
                let answer = server.revoke_as("web", "token=rt-g1").await;
                let case = format!("{name}: {:?}", failure());
                assert_eq!(answer.status(), status, "{case}");
                let code = match status {
                    503 => "temporarily_unavailable",
                    _ => "server_error",
                };
                assert_eq!(error_of(&answer), code, "{case}");
                assert_eq!(answer.header("retry-after").is_some(), status == 503, "{case}");
                assert!(answer.header("www-authenticate").is_none(), "{case}");
                // The caller was told that it may still live; nobody else was told that it is dead.
                let events = watched.events.take();
                assert!(events.iter().any(|event| event.starts_with("StoreFailed")));
                assert!(events.iter().all(|event| !event.starts_with("Revoked")));

                watched.heal();
                let answer = server.revoke_as("web", "token=rt-g1").await;
                assert_eq!(answer.status(), 200, "{case}");
                assert!(!server.is_active("rt-g1").await, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn s2_2_1_retry_after_is_the_stores_or_the_policys_in_whole_seconds() {
    use annul::store::StoreError;

    let cases: [(crate::doubles::Failure, &str); 4] = [
        (|| StoreError::unavailable("down"), "17"),
        (|| StoreError::unavailable("down").retry_after(Duration::from_secs(3)), "3"),
        (|| StoreError::unavailable("down").retry_after(Duration::from_millis(1_001)), "2"),
        (|| StoreError::unavailable("down").retry_after(Duration::ZERO), "1"),
    ];
    let policy = policy(|policy| policy.retry_after = Duration::from_secs(17));
    for (failure, seconds) in cases {
        let watched = Watched::with_policy(policy.clone());
        watched.fail(Fault::Find(failure));
        let answer = watched.server.revoke_as("web", "token=t").await;
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.header("retry-after"), Some(seconds));
    }
}

#[tokio::test]
async fn s2_2_1_a_retry_after_503_completes_the_cascade() {
    for fault in [Fault::Revoke(FAILURES[2].0), Fault::RevokeAnswer(FAILURES[2].0)] {
        let watched = Watched::new();
        let server = &watched.server;
        server.grant("g1", "web").await;
        refresh(server, "web", "rt-g1", "g1b").await;
        watched.fail(fault);
        assert_eq!(server.revoke_as("web", "token=rt-g1b").await.status(), 503);
        // One entry covers the whole grant, so there is no half of a cascade to see.
        let alive = matches!(fault, Fault::Revoke(_));
        for token in ["at-g1", "at-g1b", "rt-g1b"] {
            assert_eq!(server.is_active(token).await, alive, "{token}");
        }

        watched.heal();
        assert!(is_empty_200(&server.revoke_as("web", "token=rt-g1b").await));
        for token in ["at-g1", "at-g1b", "rt-g1b"] {
            assert!(!server.is_active(token).await, "{token}");
        }
    }
}

// ── Section 2.3: cross-origin requests

const APP: &str = "https://app.example";

fn browser_server() -> Server {
    let mut server = Server::new();
    server.authority = server.authority.origins(Origins::from_iter([APP]));
    server
}

async fn preflight(server: &Server, origin: &str) -> Response {
    let request = Request::new("OPTIONS", b"")
        .header("Origin", origin.as_bytes())
        .header("Access-Control-Request-Method", b"POST");
    annul::handle_revoke(&server.authority, &request).await
}

async fn revoke_from(server: &Server, origin: &str, body: &str) -> Response {
    let request = form(body).header("Origin", origin.as_bytes());
    annul::handle_revoke(&server.authority, &request).await
}

fn allowed_origin(response: &Response) -> Option<&str> {
    response.header("access-control-allow-origin")
}

#[tokio::test]
async fn s2_3_a_registered_origin_may_call_and_no_other() {
    let server = browser_server();
    let answer = preflight(&server, APP).await;
    assert_eq!(answer.status(), 204);
    assert!(answer.body().is_empty());
    assert_eq!(allowed_origin(&answer), Some(APP));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    let headers = answer.header("access-control-allow-headers").unwrap();
    for header in ["authorization", "content-type"] {
        assert!(headers.split(", ").any(|listed| listed == header), "{header}");
    }
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    server.grant("g1", "spa").await;
    let answer = revoke_from(&server, APP, "token=rt-g1&client_id=spa").await;
    assert!(is_empty_200(&answer));
    assert_eq!(allowed_origin(&answer), Some(APP));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(!server.is_active("rt-g1").await);

    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://APP.example",
        "https://app.example:8443",
        "https://app.example/",
        "null",
        "*",
        "",
    ] {
        assert_eq!(allowed_origin(&preflight(&server, origin).await), None, "{origin}");
        let answer = revoke_from(&server, origin, "token=t&client_id=spa").await;
        assert_eq!(allowed_origin(&answer), None, "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
    }
}

#[tokio::test]
async fn s2_3_no_origin_starts_a_header_of_its_own() {
    /// Goes by a pattern, as a host with a domain for each tenant does.
    struct Subdomains;

    impl OriginRegistry for Subdomains {
        fn allows(&self, origin: &str) -> bool {
            origin.starts_with("https://") && origin.ends_with(".example")
        }
    }

    let mut server = Server::new();
    server.authority = server.authority.origins(Subdomains);
    let tenant = "https://t1.example";
    assert_eq!(allowed_origin(&preflight(&server, tenant).await), Some(tenant));
    for origin in
        ["https://t1\r\nset-cookie: a=b.example", "https://t1\0.example", "https://ä.example"]
    {
        let answers = [
            preflight(&server, origin).await,
            revoke_from(&server, origin, "token=t&client_id=spa").await,
        ];
        for answer in answers {
            assert_eq!(allowed_origin(&answer), None, "{origin:?}");
        }
    }
}

#[tokio::test]
async fn s2_3_no_origins_no_cors() {
    let server = Server::new();
    let answer = preflight(&server, APP).await;
    assert_eq!(answer.status(), 405);
    assert_eq!(allowed_origin(&answer), None);
    let answer = revoke_from(&server, APP, "token=t&client_id=spa").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(allowed_origin(&answer), None);
}

#[tokio::test]
async fn s2_3_errors_can_be_read_by_a_registered_origin() {
    let server = browser_server();
    server.grant("g1", "other").await;
    let header = credentials("web");
    let foreign = form("token=rt-g1")
        .header("origin", APP.as_bytes())
        .header("authorization", header.as_bytes());
    let get = Request::new("GET", b"").header("origin", APP.as_bytes());
    let oversized = form("").header("origin", APP.as_bytes()).oversized();
    for (answer, status) in [
        (revoke_from(&server, APP, "token=t").await, 401),
        (revoke_from(&server, APP, "client_id=spa").await, 400),
        (annul::handle_revoke(&server.authority, &foreign).await, 400),
        (annul::handle_revoke(&server.authority, &get).await, 405),
        (annul::handle_revoke(&server.authority, &oversized).await, 413),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(allowed_origin(&answer), Some(APP), "{status}");
    }

    let watched = Watched::new();
    watched.fail(Fault::Find(FAILURES[2].0));
    let origins = Origins::from_iter([APP]);
    let authority = watched.server.authority.clone().origins(origins);
    let request = form("token=t&client_id=spa").header("origin", APP.as_bytes());
    let answer = annul::handle_revoke(&authority, &request).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(allowed_origin(&answer), Some(APP));
}

#[tokio::test]
async fn s2_3_there_is_no_jsonp() {
    let server = Server::new();
    server.grant("g1", "spa").await;
    let get =
        Request::new("GET", b"").query("token=rt-g1&client_id=spa&callback=package.myCallback");
    let answer = annul::handle_revoke(&server.authority, &get).await;
    assert_eq!(answer.status(), 405);
    assert!(server.is_active("rt-g1").await);

    let with = server.revoke("token=t&client_id=spa&callback=alert(1)").await;
    let without = server.revoke("token=t&client_id=spa").await;
    assert_eq!(seen(&with), seen(&without));
    let with = server.revoke("client_id=spa&callback=alert(1)").await;
    let without = server.revoke("client_id=spa").await;
    assert_eq!(without.status(), 400);
    assert_eq!(seen(&with), seen(&without));
}

// ── Section 5: security

#[tokio::test]
async fn s5_the_throttle_is_asked_before_any_store() {
    let watched = Watched::with_limit(0);
    let server = &watched.server;
    server.grant("g1", "web").await;
    let answer = server.revoke_as("web", "token=rt-g1").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(error_of(&answer), "temporarily_unavailable");
    assert_eq!(watched.journal.take(), ["admit"]);
    assert!(server.is_active("rt-g1").await);
    let events = watched.events.take();
    assert!(events.iter().any(|event| event.starts_with("Throttled")), "{events:?}");

    // Guessing counts, by address and by client.
    let watched = Watched::with_limit(3);
    let server = &watched.server;
    let header = credentials("web");
    for (guess, status) in [("a", 200), ("b", 200), ("c", 200), ("d", 429)] {
        let body = body(guess, None);
        let request =
            form(&body).header("authorization", header.as_bytes()).peer([192, 0, 2, 1].into());
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!(answer.status(), status, "{guess}");
    }
    let answer = server.revoke_as("web", "token=e").await;
    assert_eq!(answer.status(), 200, "another address");
}

/// A server with the shipped throttle, as it comes.
fn limited() -> Server {
    let server = Server::new();
    let authority = server.authority.throttle(annul::throttle::RateLimiter::default());
    Server { authority, ..server }
}

#[tokio::test]
async fn s5_a_client_that_guesses_tokens_is_refused_until_it_has_waited() {
    let server = limited();
    server.grant("g1", "web").await;
    // Each from an address of its own: it is the client that guesses.
    let header = credentials("web");
    let address = |n: u16| {
        let [high, low] = n.to_be_bytes();
        std::net::IpAddr::from([198, 18, high, low])
    };
    for n in 0..300 {
        let body = body(&format!("guess-{n}"), None);
        let request = form(&body).header("authorization", header.as_bytes()).peer(address(n));
        // At any endpoint: they count together.
        let status = match n % 2 {
            0 => annul::handle_revoke(&server.authority, &request).await.status(),
            _ => annul::handle_introspect(&server.authority, &request).await.status(),
        };
        assert_eq!(status, 200, "{n}");
    }
    let right = form("token=rt-g1").header("authorization", header.as_bytes()).peer(address(0));
    let answer = annul::handle_revoke(&server.authority, &right).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(error_of(&answer), "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(server.is_active("rt-g1").await);
    assert_eq!(server.revoke_as("other", "token=t").await.status(), 200);

    server.clock.advance(Duration::from_secs(1));
    assert_eq!(annul::handle_revoke(&server.authority, &right).await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_a_client_that_its_credentials_do_not_name_is_refused_too() {
    use annul::client::{AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind};

    /// Accepts credentials that do not say whose they are.
    struct Tickets;

    #[async_trait::async_trait]
    impl ClientAuthenticator for Tickets {
        async fn authenticate(
            &self,
            credentials: Credentials<'_>,
        ) -> Result<AuthenticatedClient, ClientAuthError> {
            assert_eq!(credentials.claimed_client(), None);
            Ok(credentials.accepted_as("web".into(), ClientKind::Confidential))
        }
    }

    let server = Server::new();
    server.grant("g1", "web").await;
    let authority = Authority::new(server.store.clone(), Tickets)
        .clock(server.clock.clone())
        .throttle(annul::throttle::RateLimiter::default());
    let ask = async |token: &str| {
        let body = body(token, None);
        let request = form(&body).header("authorization", b"Ticket 1");
        annul::handle_revoke(&authority, &request).await.status()
    };
    for n in 0..300 {
        assert_eq!(ask("a-guess").await, 200, "{n}");
    }
    assert_eq!(ask("rt-g1").await, 429);
    assert!(server.is_active("rt-g1").await);
    server.clock.advance(Duration::from_millis(100));
    assert_eq!(ask("rt-g1").await, 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_nobody_guesses_tokens_at_a_public_clients_expense() {
    let server = limited();
    server.grant("g1", "spa").await;
    let ask = async |token: &str, last: u8| {
        let body = format!("token={token}&client_id=spa");
        let request = form(&body).peer([192, 0, 2, last].into());
        annul::handle_revoke(&server.authority, &request).await.status()
    };
    for n in 0..300 {
        assert_eq!(ask("a-guess", 1).await, 200, "{n}");
    }
    assert_eq!(ask("rt-g1", 1).await, 429);
    assert!(server.is_active("rt-g1").await);
    // Anybody could have said to be `spa`; the user of it who is somewhere else is still heard.
    assert_eq!(ask("rt-g1", 2).await, 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_one_look_up_whatever_the_hint() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    for hint in HINTS {
        for token in ["unknown", "at-g1", "rt-g1"] {
            server.revoke_as("web", &body(token, hint)).await;
            let calls = watched.journal.take();
            let look_ups = calls.iter().filter(|call| call.starts_with("find"));
            assert_eq!(look_ups.count(), 1, "{token} by {hint:?}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn s5_a_token_beyond_the_limit_costs_no_look_up() {
    let watched = Watched::new();
    let limit = Policy::default().limits.token_bytes;
    for (length, look_ups) in [(limit, 1), (limit + 1, 0), (100_000, 0)] {
        let token = "t".repeat(length);
        let answer = watched.server.revoke_as("web", &body(&token, None)).await;
        assert!(is_empty_200(&answer), "{length}");
        let calls = watched.journal.take();
        let found = calls.iter().filter(|call| call.starts_with("find"));
        assert_eq!(found.count(), look_ups, "{length}");
        assert!(calls.contains(&"report UnknownToken".to_owned()), "{length}");
    }
}

#[tokio::test]
async fn s5_nobody_unauthenticated_learns_whether_a_token_lives() {
    for name in crate::doubles::PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        watched.journal.take();
        for client in ["", "&client_id=web", "&client_id=nobody", "&client_id=web&client_secret=x"]
        {
            let mut answers = Vec::new();
            for token in ["at-g1", "rt-g1", "no-such-token"] {
                let answer = server.revoke(&format!("token={token}{client}")).await;
                assert_ne!(answer.status(), 200, "{name} {client}");
                answers.push(seen(&answer));
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{name} {client}");
        }
        let calls = watched.journal.take();
        assert!(calls.iter().all(|call| !call.starts_with("find")), "{name}: {calls:?}");
        assert!(server.is_active("rt-g1").await);
    }
    // A public client's name is no proof of anything, so its holder learns nothing either.
    let server = Server::new();
    server.grant("g1", "web").await;
    let live = server.revoke("token=rt-g1&client_id=spa").await;
    let unknown = server.revoke("token=no-such-token&client_id=spa").await;
    assert_eq!(seen(&live), seen(&unknown));
}

#[tokio::test]
async fn r7009_63_nothing_printable_holds_a_token_or_a_secret() {
    // Each marker is found nowhere else, whichever way it is spelled.
    const TOKEN: &str = "tok-7c1e";
    const SECRET: &str = "sec-9d2f";
    let mut printed: Vec<String> = Vec::new();

    let metadata = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    let client = Client::new(metadata).secret(SECRET);
    printed.push(format!("{client:?}"));
    let clients = ClientTable::from_iter([client]);
    printed.push(format!("{clients:?}"));
    printed.push(format!("{:?}", RegisteredClients::new(clients.clone())));

    let mut policy = profile::wso2().policy;
    policy.cascade = CascadePolicy::both(Cascade::Token);
    let mut server = server_with(clients, policy);
    let events = crate::doubles::Journal::default();
    server.authority = server.authority.events(events.clone());

    let now = server.authority.now();
    let expiry = now + Duration::from_secs(600);
    let token = PresentedToken::new(TOKEN);
    let new_token = NewToken::access(token, expiry).keep_counterpart(format!("{TOKEN}-r"));
    printed.push(format!("{token:?} {new_token:?}"));
    let client_id = ClientId::new("web");
    let successors = [new_token.clone()];
    printed.push(format!("{:?}", Rotation::new(token, &client_id, &successors, now)));
    let grant = Grant::new("g1", "web", now).subject("alice");
    server.store.issue(grant, &successors, now).await.unwrap();
    let record = server.store.find(token, None).await.unwrap();
    printed.push(format!("{record:?}"));

    let header = basic::header_value("web", SECRET);
    let body = format!("token={TOKEN}&state={SECRET}");
    let query = format!("token={TOKEN}");
    let request = form(&body).header("authorization", header.as_bytes()).query(&query);
    printed.push(format!("{request:?}"));
    let read = Form::read(&request, server.authority.current_policy()).unwrap();
    printed.push(format!("{read:?}"));
    let mut scratch = Scratch::default();
    let policy = server.authority.current_policy();
    let credentials = Credentials::read(&request, &read, &mut scratch, policy).unwrap();
    printed.push(format!("{credentials:?} {:?}", credentials.presented()));
    let mut scratch = Scratch::default();
    printed.push(format!("{:?}", Basic::read(header.as_bytes(), &mut scratch)));
    printed.push(format!("{scratch:?}"));

    // In this profile a header of the answer does hold the token, and its Debug output must not.
    let answer = annul::handle_revoke(&server.authority, &request).await;
    assert_eq!(answer.header("revokedaccesstoken"), Some(TOKEN));
    printed.push(format!("{answer:?}"));
    let by_post = format!("token={TOKEN}&client_id=web&client_secret={SECRET}-wrong");
    printed.push(format!("{:?}", server.revoke(&by_post).await));
    let unknown = format!("token={TOKEN}-unknown&client_id=web&client_secret={SECRET}");
    printed.push(format!("{:?}", server.revoke(&unknown).await));
    let post_form = form(&by_post);
    let read = Form::read(&post_form, policy).unwrap();
    let mut scratch = Scratch::default();
    let credentials = Credentials::read(&post_form, &read, &mut scratch, policy).unwrap();
    printed.push(format!("{credentials:?}"));

    let events = events.take();
    for event in ["Revoked", "ClientAuthenticationFailed", "UnknownToken"] {
        assert!(events.iter().any(|line| line.starts_with(event)), "{events:?}");
    }
    printed.extend(events);
    printed.push(format!("{:?} {:?}", server.authority, server.store));
    printed.push(format!("{:?}", MemoryStore::new()));
    let sent = TokenForm::new(TOKEN).client("web", Some(SECRET));
    printed.push(format!("{sent:?} {:?}", LogoutForm::new(TOKEN, "web", Some(SECRET))));
    printed.push(format!("{:?}", annul::Secret::new(SECRET)));
    printed.push(format!("{:?}", annul::PresentedSecret::new(SECRET)));

    // An assertion, by whatever it is held: it is as good as a secret until it is used or has expired.
    let metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let mac = Client::new(metadata).secret(SECRET);
    let key = SigningKey::mac(SECRET);
    printed.push(format!("{mac:?} {:?}", mac.mac_secrets(now).collect::<Vec<_>>()));
    let assertions = Assertions::new(Issuer::new(ISSUER).unwrap());
    printed.push(format!("{assertions:?}"));
    let clock = Arc::clone(&server.clock);
    let clients = RegisteredClients::new(ClientTable::from_iter([mac])).clock(Arc::clone(&clock));
    let clients = clients.assertions(assertions);
    printed.push(format!("{clients:?}"));
    let authority = Authority::new(Arc::clone(&server.store), clients).clock(clock);
    let heard = crate::doubles::Journal::default();
    let authority = authority.events(heard.clone());
    let good = Assertion::of("mac", "HS256", &key);
    let forged = good.clone().claim("jti", SECRET).signed_by(&SigningKey::mac("x")).jwt();
    let good = good.claim("jti", TOKEN).jwt();
    for jwt in [&good, &good, &forged] {
        let body = format!("token={TOKEN}-unknown&{}", presenting(jwt));
        let request = form(&body);
        printed.push(format!("{request:?}"));
        let read = Form::read(&request, policy).unwrap();
        let mut scratch = Scratch::default();
        let credentials = Credentials::read(&request, &read, &mut scratch, policy).unwrap();
        printed.push(format!("{read:?} {credentials:?} {:?}", credentials.presented()));
        let answer = annul::handle_revoke(&authority, &request).await;
        printed.push(format!("{answer:?} {}", String::from_utf8_lossy(answer.body())));
    }
    let heard = heard.take();
    for event in ["UnknownToken", "ClientAuthenticationFailed"] {
        assert!(heard.iter().any(|line| line.starts_with(event)), "{heard:?}");
    }
    printed.extend(heard);
    let mut parts: Vec<&str> = good.split('.').skip(1).collect();
    parts.extend(forged.split('.').skip(1));

    let base64_of_both = header.trim_start_matches("Basic ");
    for line in printed {
        for part in &parts {
            assert!(!line.contains(part), "{line}");
        }
        for marker in [TOKEN, SECRET, base64_of_both] {
            assert!(!line.contains(marker), "{line}");
        }
    }
}

#[tokio::test]
async fn r7009_63_a_refused_issue_leaves_its_counterpart_to_nobody() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let now = server.authority.now();
    let token = PresentedToken::new("at-g1");
    let new_token = NewToken::access(token, now + Duration::from_secs(600));
    let theirs = [new_token.keep_counterpart("rt-of-another-client")];
    let issued = server.store.issue(Grant::new("g2", "other", now), &theirs, now).await;
    assert_eq!(issued.unwrap_err().kind(), StoreErrorKind::Conflict);
    let record = server.store.find(token, None).await.unwrap().unwrap();
    assert_eq!(record.grant().id().as_str(), "g1");
    assert!(record.counterpart().is_none());
}

#[tokio::test]
async fn s5_only_the_owner_and_the_operator_revoke() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // Neither a resource server that may introspect the token, nor one that received it.
    for client in ["rs", "other"] {
        assert_eq!(server.revoke_as(client, "token=at-g1").await.status(), 400);
    }
    server.revoke("token=at-g1&client_id=spa").await;
    assert!(server.is_active("at-g1").await && server.is_active("rt-g1").await);

    let locked = Target::Subject("alice".into());
    let now = server.authority.now();
    let revocation = Revocation::by_operator(locked, Reason::AccountLocked, now);
    server.authority.revoke(revocation).await.unwrap();
    assert!(!server.is_active("at-g1").await && !server.is_active("rt-g1").await);
}
