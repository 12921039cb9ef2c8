//! Section 2.2: the answers.

use std::time::Duration;

use annul::{Policy, Verdict, profile};

use crate::doubles::{FAILURES, Fault, Watched, policy};
use crate::rfc7009::{HINTS, body, is_empty_200, refresh};
use crate::support::{Server, error_of, seen};

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
