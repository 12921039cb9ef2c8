//! Section 5.2: errors.

use annul::policy::BodyAuthenticationFailure;
use annul::wire::basic;
use annul::wire::cors::Origins;
use annul::{Policy, Request, Response, profile};

use crate::doubles::{FAILURES, Fault, PROFILES, Watched, policy};
use crate::rfc6749::{assert_refused, revoke_with, verbatim};
use crate::support::{Server, error_of, form};

/// What no answer may hold.
const MARKER: &str = "zQ9xMARKERx9Qz";

/// One answer of every sort, from every endpoint.
async fn every_answer(policy: &Policy) -> Vec<(&'static str, Response)> {
    let watched = Watched::with_policy(policy.clone());
    let server = &watched.server;
    for (id, client) in [("g1", "web"), ("g2", "web"), ("g3", "other"), ("g4", "post")] {
        server.grant(id, client).await;
    }
    let authority = server.authority.clone().origins(Origins::from_iter(["https://app.example"]));
    let web = basic::header_value("web", "web-secret");
    let web = web.as_bytes();
    let by_web = |body| form(body).header("authorization", web);
    let long = format!("token=t&state={MARKER}{}", "x".repeat(9_000));
    let many = format!("token={MARKER}{}", "&x=".repeat(70));
    let by_post = format!("token={MARKER}&client_id=post&client_secret={MARKER}");
    let unknown = format!("token={MARKER}&token_type_hint={MARKER}");
    let repeated = format!("token={MARKER}&token={MARKER}");
    let undecodable = format!("token={MARKER}%{MARKER}");
    let two = format!("token={MARKER}&client_secret={MARKER}");
    let mismatch = format!("token={MARKER}&client_id={MARKER}");
    let logout = format!("refresh_token={MARKER}");
    let bad_header = format!("{MARKER} {MARKER}");
    let json = format!("{{\"token\":\"{MARKER}\"}}");

    let mut answers = Vec::new();
    for (case, request) in [
        ("revoked", by_web("token=at-g1")),
        ("revoked again", by_web("token=at-g1")),
        ("unknown", by_web(&unknown)),
        ("foreign", by_web("token=rt-g3")),
        ("foreign to a public client", form("token=rt-g3&client_id=spa")),
        ("missing token", by_web("")),
        ("repeated", by_web(&repeated)),
        ("undecodable", by_web(&undecodable)),
        ("too long", by_web(&long)),
        ("too many", by_web(&many)),
        ("two mechanisms", by_web(&two)),
        ("mismatch", by_web(&mismatch)),
        ("bad header", form("token=t").header("authorization", bad_header.as_bytes())),
        ("bad form credentials", form(&by_post)),
        ("no credentials", form(&unknown)),
        ("not a form", Request::post(json.as_bytes()).header("authorization", web)),
        (
            "charset",
            Request::post(b"token=t")
                .header("content-type", b"application/x-www-form-urlencoded; charset=utf-16"),
        ),
        ("query", by_web(&unknown).query(MARKER)),
        ("method", Request::new(MARKER, b"")),
        ("oversized", by_web(&unknown).oversized()),
        (
            "preflight",
            Request::new("OPTIONS", b"")
                .header("origin", MARKER.as_bytes())
                .header("access-control-request-method", b"POST"),
        ),
        ("from a script", by_web(&unknown).header("origin", MARKER.as_bytes())),
    ] {
        answers.push((case, annul::handle_revoke(&authority, &request).await));
    }
    for (case, request) in [
        ("logout", by_web("refresh_token=rt-g2")),
        ("logout with an unknown token", by_web(&logout)),
        ("logout with an access token", by_web("refresh_token=at-g2")),
        ("logout with a foreign token", by_web("refresh_token=rt-g3")),
        ("logout without a token", by_web("")),
        ("logout without credentials", form(&logout)),
        ("logout by method", Request::new("GET", b"")),
    ] {
        answers.push((case, annul::handle_logout(&authority, &request).await));
    }
    for (case, request) in [
        ("introspection", by_web("token=rt-g3")),
        ("introspection of an unknown token", by_web(&unknown)),
        ("introspection without a token", by_web("")),
        ("introspection without credentials", form(&unknown)),
        ("introspection by a public client", form("token=t&client_id=spa")),
    ] {
        answers.push((case, annul::handle_introspect(&authority, &request).await));
    }
    for (failure, _) in FAILURES {
        watched.fail(Fault::Find(failure));
        let request = by_web(&unknown);
        answers.push(("failure", annul::handle_revoke(&authority, &request).await));
    }
    let throttled = Watched::with_limit(0);
    let authority = throttled.server.authority.policy(policy.clone());
    let request = by_web(&unknown);
    answers.push(("throttled", annul::handle_revoke(&authority, &request).await));
    answers
}

/// The profiles' policies, and one that answers 400 where another answers 401.
fn every_policy() -> impl Iterator<Item = Policy> {
    let bad_request = policy(|policy| {
        policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
    });
    let profiles = PROFILES.map(|name| profile::by_name(name).unwrap().policy);
    profiles.into_iter().chain([bad_request])
}

#[tokio::test]
async fn s5_2_who_used_the_header_is_answered_401_whatever_the_form_says_beside_it() {
    let policy = policy(|policy| {
        policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
    });
    let server = Server::with_policy(policy);
    let answer = revoke_with(&server, &verbatim("web:wrong"), "token=t&client_id=web%00").await;
    assert_refused(&answer, 401, "invalid_client", "in the header");
    assert!(answer.header("www-authenticate").is_some());
    let answer = server.revoke("token=t&client_id=web%00").await;
    assert_refused(&answer, 400, "invalid_client", "in the form");
}

#[tokio::test]
async fn s5_2_every_error_is_json_with_just_two_members() {
    let mut statuses = Vec::new();
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            statuses.push(answer.status());
            if answer.status() < 300 {
                continue;
            }
            assert_eq!(answer.header("content-type"), Some("application/json"), "{case}");
            let body: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
            let members: Vec<&str> = body.as_object().unwrap().keys().map(|k| &**k).collect();
            assert_eq!(members, ["error", "error_description"], "{case}");
            assert!(body["error"].is_string() && body["error_description"].is_string());
        }
    }
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(statuses, [200, 204, 400, 401, 405, 413, 429, 500, 503]);
}

#[tokio::test]
async fn s5_2_every_error_is_of_the_allowed_characters_and_echoes_nothing() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let body = String::from_utf8(answer.body().to_vec()).unwrap();
            assert!(!body.contains(MARKER), "{case}: {body}");
            for (name, value) in answer.headers() {
                assert!(!value.contains(MARKER), "{case}: {name}: {value}");
            }
            if answer.status() < 300 {
                continue;
            }
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            for member in ["error", "error_description"] {
                let text = body[member].as_str().unwrap();
                // s5.2: %x20-21 / %x23-5B / %x5D-7E
                let allowed = |b| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
                assert!(text.bytes().all(allowed), "{case}: {text}");
                assert!(!text.is_empty(), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn s5_2_invalid_request_is_for_these() {
    let answers = every_answer(&Policy::default()).await;
    for (case, status) in [
        ("missing token", 400),
        ("repeated", 400),
        ("undecodable", 400),
        ("too long", 400),
        ("too many", 400),
        ("two mechanisms", 400),
        ("mismatch", 400),
        ("not a form", 400),
        ("charset", 400),
        ("logout without a token", 400),
        ("introspection without a token", 400),
        ("method", 405),
        ("oversized", 413),
    ] {
        let (_, answer) = answers.iter().find(|(name, _)| *name == case).unwrap();
        assert_refused(answer, status, "invalid_request", case);
    }
}

#[tokio::test]
async fn s5_2_invalid_client_is_for_these() {
    let form_status = [(Policy::default(), 401)].into_iter().chain([(
        policy(|policy| {
            policy.body_authentication_failure = BodyAuthenticationFailure::BadRequest400;
        }),
        400,
    )]);
    for (policy, form_status) in form_status {
        let answers = every_answer(&policy).await;
        for (case, status) in [
            ("bad header", 401),
            ("bad form credentials", form_status),
            ("no credentials", form_status),
            ("logout without credentials", form_status),
            ("introspection without credentials", form_status),
            ("introspection by a public client", form_status),
        ] {
            let (_, answer) = answers.iter().find(|(name, _)| *name == case).unwrap();
            assert_refused(answer, status, "invalid_client", case);
        }
    }
    // An assertion, which nothing here can check, is not an unknown method of ours but a failed proof.
    let server = Server::new();
    let assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A\
                     jwt-bearer&client_assertion=e30.e30.c2ln&client_id=web";
    let answer = server.revoke(&format!("token=t&{assertion}")).await;
    assert_refused(&answer, 401, "invalid_client", "assertion");
}

#[tokio::test]
async fn s5_2_a_failed_header_is_401_with_a_basic_challenge() {
    for policy in every_policy() {
        let server = Server::with_policy(policy);
        let good_but_unknown = basic::header_value("nobody", "x");
        let headers: [&[u8]; 4] = [good_but_unknown.as_bytes(), b"Basic ###", b"Bearer token", b""];
        for header in headers {
            let request = form("token=t&refresh_token=t").header("authorization", header);
            for answer in [
                annul::handle_revoke(&server.authority, &request).await,
                annul::handle_logout(&server.authority, &request).await,
                annul::handle_introspect(&server.authority, &request).await,
            ] {
                assert_refused(&answer, 401, "invalid_client", "header");
                let challenge = answer.header("www-authenticate").unwrap();
                assert!(challenge.starts_with("Basic realm=\""), "{challenge}");
            }
        }
    }
}

#[tokio::test]
async fn err_06_401_and_the_challenge_come_together() {
    let mut challenged = 0;
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let challenge = answer.header("www-authenticate").is_some();
            assert_eq!(answer.status() == 401, challenge, "{case}");
            challenged += usize::from(challenge);
        }
    }
    assert!(challenged > 20, "{challenged}");
}

#[tokio::test]
async fn err_07_the_list_of_codes_is_closed() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            if answer.status() < 300 {
                continue;
            }
            let code = error_of(&answer);
            let statuses: &[u16] = match code.as_str() {
                "invalid_request" => &[400, 405, 413],
                "invalid_client" => &[400, 401],
                "invalid_grant" | "unsupported_token_type" => &[400],
                "server_error" => &[500],
                "temporarily_unavailable" => &[429, 503],
                _ => &[],
            };
            assert!(statuses.contains(&answer.status()), "{case}: {code}");
        }
    }
}

#[tokio::test]
async fn s5_1_no_answer_may_be_stored() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}");
            assert_eq!(answer.header("pragma"), Some("no-cache"), "{case}");
        }
    }
}

#[tokio::test]
async fn err_09_405_has_allow_and_retry_after_is_in_seconds() {
    for policy in every_policy() {
        for (case, answer) in every_answer(&policy).await {
            let allow = answer.header("allow");
            assert_eq!(allow.is_some(), answer.status() == 405, "{case}");
            assert!(allow.is_none_or(|methods| methods.contains("POST")), "{case}");
            let retry_after = answer.header("retry-after");
            let temporary = matches!(answer.status(), 429 | 503);
            assert_eq!(retry_after.is_some(), temporary, "{case}");
            if let Some(seconds) = retry_after {
                assert!(seconds.parse::<u32>().unwrap() > 0, "{case}");
                assert!(seconds.bytes().all(|b| b.is_ascii_digit()), "{case}");
            }
        }
    }
}

#[tokio::test]
async fn err_10_hardening_headers_are_there_and_can_be_removed() {
    for (case, answer) in every_answer(&Policy::default()).await {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{case}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{case}");
    }
    let bare = policy(|policy| policy.headers = &[]);
    for (case, answer) in every_answer(&bare).await {
        assert_eq!(answer.header("x-content-type-options"), None, "{case}");
        assert_eq!(answer.header("referrer-policy"), None, "{case}");
    }
}

#[tokio::test]
async fn err_11_failures_of_ours_are_503_or_500_at_every_endpoint() {
    let faults: [fn(crate::doubles::Failure) -> Fault; 3] =
        [Fault::Authenticate, Fault::Find, Fault::Revoke];
    for fault in faults {
        for (failure, status) in FAILURES {
            let watched = Watched::new();
            let server = &watched.server;
            server.grant("g1", "web").await;
            watched.fail(fault(failure));
            let code = match status {
                503 => "temporarily_unavailable",
                _ => "server_error",
            };
            let mut answers =
                vec![server.revoke_as("web", "token=rt-g1").await, logout_as_web(server).await];
            if !matches!(fault(failure), Fault::Revoke(_)) {
                answers.push(server.introspect_as("web", "token=rt-g1").await);
            }
            for answer in answers {
                assert_refused(&answer, status, code, &format!("{:?}", failure()));
            }
            watched.heal();
            assert!(server.is_active("rt-g1").await);
        }
    }
}

async fn logout_as_web(server: &Server) -> Response {
    let header = basic::header_value("web", "web-secret");
    let request = form("refresh_token=rt-g1").header("authorization", header.as_bytes());
    annul::handle_logout(&server.authority, &request).await
}
