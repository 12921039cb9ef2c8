//! Section 2.1: the request.

use annul::policy::{CascadePolicy, ForeignToken, ForeignTokenPolicy, MediaTypeMismatch};
use annul::wire::basic;
use annul::{Cascade, Policy, profile};

use crate::doubles::{Watched, policy};
use crate::rfc7009::{HINTS, body, credentials, is_empty_200, with_media_types};
use crate::support::{Server, error_of, form, seen};

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
