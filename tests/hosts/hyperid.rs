//! HyperID: its logout and revocation requests, in the languages of its documentation.
//!
//! Not reproduced:
//!
//! | what | why |
//! |---|---|
//! | the `Content-Length: 98` of the revocation sample | its body has 90 bytes; any server would wait for the rest |
//! | the line breaks inside the sample bodies | they are typography: the documented length counts none |
//! | Keycloak's `unauthorized_client` for a wrong secret (KC-07, KC-23) | it tells strangers which clients exist |
//! | ending the session with its last application (KC-05) | the page says that revocation keeps the session |

use crate::http::Answer;
use crate::programs;
use crate::server::Server;

const LOGOUT: &str = "/auth/realms/HyperID/protocol/openid-connect/logout";
const REVOKE: &str = "/auth/realms/HyperID/protocol/openid-connect/revoke";

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];

const LOGOUT_PAIRS: &[(&str, &str)] = &[
    ("refresh_token", "your.refresh.token"),
    ("client_id", "your_app_client_id"),
    ("client_secret", "your_app_client_secret"),
];

const REVOKE_PAIRS: &[(&str, &str)] = &[
    ("token", "your.refresh.token"),
    ("client_id", "your_app_client_id"),
    ("client_secret", "your_app_client_secret"),
];

const LOGOUT_BODY: &str = "refresh_token=your.refresh.token&client_id=your_app_client_id\
    &client_secret=your_app_client_secret";

const REVOKE_BODY: &str = "token=your.refresh.token&client_id=your_app_client_id\
    &client_secret=your_app_client_secret";

/// Everything of alice's session, in both applications.
const SESSION: &[&str] = &[
    "your.refresh.token",
    "your.access.token",
    "same.app.access",
    "other.refresh.token",
    "other.access.token",
];

/// The session is over for all applications; what was granted offline, and other users, live on.
#[track_caller]
fn assert_logged_out(server: &Server, answer: &Answer) {
    answer.assert_empty(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    server.assert_dead(SESSION);
    server.assert_alive(&["offline.refresh.token", "bob.access.token"]);
}

/// The grant of the token is over; the session lives on, in the same application and in the other one.
#[track_caller]
fn assert_revoked(server: &Server, answer: &Answer) {
    answer.assert_empty(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    server.assert_dead(&["your.refresh.token", "your.access.token"]);
    server.assert_alive(&[
        "same.app.access",
        "other.refresh.token",
        "other.access.token",
        "offline.refresh.token",
        "bob.access.token",
    ]);
}

#[track_caller]
fn start() -> Server {
    let server = Server::start("hyperid");
    server.assert_alive(SESSION);
    server
}

#[test]
fn kc_24_the_documented_logout_request_byte_by_byte() {
    let server = start();
    let answer = server.send(format!(
        "POST {LOGOUT} HTTP/1.1\r\nHost: login.hypersecureid.com\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 98\r\n\r\n{LOGOUT_BODY}"
    ));
    assert_logged_out(&server, &answer);
}

#[test]
fn kc_24_the_documented_revocation_request_keeps_the_session() {
    let server = start();
    let answer = server.send(format!(
        "POST {REVOKE} HTTP/1.1\r\nHost: login.hypersecureid.com\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 90\r\n\r\n{REVOKE_BODY}"
    ));
    assert_revoked(&server, &answer);
    // The session that was kept can still be ended, by the other application.
    let body =
        "refresh_token=other.refresh.token&client_id=other_app&client_secret=other_app_secret";
    assert_logged_out(&server, &server.post(LOGOUT, &[], body));
}

#[test]
fn kc_24_curl_logs_out() {
    let server = start();
    let answer = programs::curl(
        &server,
        "curl --location 'BASE/auth/realms/HyperID/protocol/openid-connect/logout' \
         --header 'Content-Type: application/x-www-form-urlencoded' \
         --data-urlencode 'refresh_token=your.refresh.token' \
         --data-urlencode 'client_id=your_app_client_id' \
         --data-urlencode 'client_secret=your_app_client_secret'",
    );
    assert_logged_out(&server, &answer);
}

#[test]
fn kc_24_curl_revokes() {
    let server = start();
    let answer = programs::curl(
        &server,
        "curl --location 'BASE/auth/realms/HyperID/protocol/openid-connect/revoke' \
         --header 'Content-Type: application/x-www-form-urlencoded' \
         --data-urlencode 'token=your.refresh.token' \
         --data-urlencode 'client_id=your_app_client_id' \
         --data-urlencode 'client_secret=your_app_client_secret'",
    );
    assert_revoked(&server, &answer);
}

#[test]
fn kc_24_python_logs_out_and_revokes() {
    let server = start();
    let answer = programs::python(&server, REVOKE, FORM, REVOKE_BODY);
    assert_revoked(&server, &answer);
    // Its grant is over, and yet it says which session to end.
    let answer = programs::python(&server, LOGOUT, FORM, LOGOUT_BODY);
    assert_logged_out(&server, &answer);
}

#[test]
fn kc_24_fetch_logs_out() {
    let server = start();
    let answer = programs::fetch(&server, LOGOUT, FORM, LOGOUT_PAIRS);
    assert_logged_out(&server, &answer);
}

#[test]
fn kc_24_fetch_revokes() {
    let server = start();
    let answer = programs::fetch(&server, REVOKE, FORM, REVOKE_PAIRS);
    assert_revoked(&server, &answer);
}

#[test]
fn kc_24_axios_logs_out() {
    let server = start();
    let answer = programs::axios(&server, LOGOUT, FORM, LOGOUT_PAIRS);
    assert_logged_out(&server, &answer);
}

#[test]
fn kc_24_axios_revokes() {
    let server = start();
    let answer = programs::axios(&server, REVOKE, FORM, REVOKE_PAIRS);
    assert_revoked(&server, &answer);
}

#[test]
fn kc_22_repeating_either_is_answered_as_the_first_time() {
    let server = start();
    for (path, body) in [(REVOKE, REVOKE_BODY), (LOGOUT, LOGOUT_BODY)] {
        for _ in 0..3 {
            let answer = server.post(path, &[], body);
            answer.assert_empty(200);
        }
    }
    server.assert_dead(SESSION);
}

#[test]
fn kc_21_an_expired_but_genuine_refresh_token_logs_out() {
    let server = start();
    server.assert_dead(&["expired.refresh.token"]);
    let body = "refresh_token=expired.refresh.token&client_id=your_app_client_id\
        &client_secret=your_app_client_secret";
    server.post(LOGOUT, &[], body).assert_empty(200);
    server.assert_dead(&["bob.access.token"]);
    server.assert_alive(SESSION);
}

#[test]
fn kc_24_logging_out_with_an_offline_token_ends_that_grant_alone() {
    let server = start();
    let body = "refresh_token=offline.refresh.token&client_id=your_app_client_id\
        &client_secret=your_app_client_secret";
    server.post(LOGOUT, &[], body).assert_empty(200);
    server.assert_dead(&["offline.refresh.token"]);
    server.assert_alive(SESSION);
}

#[test]
fn kc_23_what_is_refused_ends_no_session() {
    let server = start();
    let credentials = "&client_id=your_app_client_id&client_secret=your_app_client_secret";
    let refused = [
        ("x=y", "invalid_request", "No refresh token"),
        ("refresh_token=", "invalid_request", "No refresh token"),
        ("refresh_token=made.up", "invalid_grant", "Invalid refresh token"),
        ("refresh_token=your.access.token", "invalid_grant", "Invalid refresh token"),
        (
            "refresh_token=other.refresh.token",
            "invalid_grant",
            "Invalid refresh token. Token client and authorized client don't match",
        ),
    ];
    for (body, error, description) in refused {
        let answer = server.post(LOGOUT, &[], &format!("{body}{credentials}"));
        assert_eq!(answer.assert_error(400, error), description, "{body}");
    }
    server.assert_alive(SESSION);
}

#[test]
fn kc_07_unknown_client_and_wrong_secret_are_told_apart_by_nobody() {
    let server = start();
    for path in [LOGOUT, REVOKE] {
        let unauthenticated = [
            "client_id=your_app_client_id&client_secret=wrong",
            "client_id=nobody&client_secret=wrong",
            "client_id=your_app_client_id",
            "client_id=nobody",
        ];
        let answers = unauthenticated.map(|credentials| {
            let body =
                format!("token=your.refresh.token&refresh_token=your.refresh.token&{credentials}");
            let answer = server.post(path, &[], &body);
            answer.assert_error(401, "invalid_client");
            (answer.header_names().len(), answer.body)
        });
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    }
    server.assert_alive(SESSION);
}
