//! Django OAuth Toolkit, mounted at `/o/`.
//!
//! Not reproduced:
//!
//! | id | what | why |
//! |---|---|---|
//! | DOT-01 | success without `Cache-Control` | `no-store` costs nothing, and an answer that is never cached cannot be a stale one |
//! | DOT-02 | GET answered as `invalid_request` by oauthlib | the view in front of it answers 405, as here |
//! | DOT-03 | a `Bearer` challenge for failed Basic credentials | the wrong scheme: a client would look for a token to send |
//! | DOT-03 | falling back from Basic to the form | RFC 6749 section 2.3: one mechanism per request |
//! | DOT-06 | `unsupported_token_type` decided from the hint | the token decides (RFC 7009 section 2.2.1) |
//! | DOT-07 | JSON bodies | deprecated there; RFC 7009 section 2.1 knows forms only |

use annul::wire::basic;

use crate::http::request;
use crate::programs;
use crate::server::Server;

const REVOKE: &str = "/o/revoke_token/";
const CREDENTIALS: &str = "client_id=XXXX&client_secret=XXXX";

#[test]
fn dot_01_the_public_sample_request() {
    let server = Server::start("django_oauth_toolkit_public");
    server.assert_alive(&["XXXX", "XXXX-refresh"]);
    let answer = server.send(
        "POST /o/revoke_token/ HTTP/1.1\r\nHost: localhost:8000\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 25\r\n\r\n\
         token=XXXX&client_id=XXXX",
    );
    answer.assert_empty(200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    server.assert_dead(&["XXXX", "XXXX-refresh"]);
    server.assert_alive(&["YYYY"]);
}

#[test]
fn dot_01_the_confidential_sample_request() {
    let server = Server::start("django_oauth_toolkit");
    server.assert_alive(&["XXXX", "XXXX-refresh"]);
    let answer = server.send(
        "POST /o/revoke_token/ HTTP/1.1\r\nHost: localhost:8000\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 44\r\n\r\n\
         token=XXXX&client_id=XXXX&client_secret=XXXX",
    );
    answer.assert_empty(200);
    server.assert_dead(&["XXXX", "XXXX-refresh"]);
    server.assert_alive(&["YYYY", "YYYY-refresh", "other", "public"]);
}

#[test]
fn dot_01_the_documented_curl_command() {
    let server = Server::start("django_oauth_toolkit");
    let answer = programs::curl(
        &server,
        "curl --data \"token=XXXX&client_id=XXXX&client_secret=XXXX\" BASE/o/revoke_token/",
    );
    answer.assert_empty(200);
    server.assert_dead(&["XXXX", "XXXX-refresh"]);
    server.assert_alive(&["YYYY", "YYYY-refresh"]);
}

#[test]
fn dot_01_python_and_fetch_and_axios() {
    let server = Server::start("django_oauth_toolkit");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("token=XXXX&{CREDENTIALS}");
    programs::python(&server, REVOKE, &form, &body).assert_empty(200);
    server.assert_dead(&["XXXX"]);
    server.assert_alive(&["YYYY", "public"]);
    let credentials = [("client_id", "XXXX"), ("client_secret", "XXXX")];
    let pairs = [&[("token", "YYYY")], &credentials[..]].concat();
    programs::fetch(&server, REVOKE, &[], &pairs).assert_empty(200);
    server.assert_dead(&["YYYY"]);
    let pairs = [("token", "public"), ("client_id", "public_app")];
    programs::axios(&server, REVOKE, &form, &pairs).assert_empty(200);
    server.assert_dead(&["public"]);
}

#[test]
fn dot_01_the_trailing_slash_is_part_of_the_path() {
    let server = Server::start("django_oauth_toolkit");
    let answer = server.post("/o/revoke_token", &[], &format!("token=XXXX&{CREDENTIALS}"));
    assert_eq!(answer.status, 404);
    server.assert_alive(&["XXXX"]);
}

#[test]
fn dot_02_method_then_query_then_token_then_client() {
    let server = Server::start("django_oauth_toolkit");
    let good = format!("token=XXXX&{CREDENTIALS}");
    // Each request has every later mistake too, so the first one answered is the first one looked for.
    let answer = server.send(request("GET", "/o/revoke_token/?token=XXXX", &[], ""));
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let with_query = "/o/revoke_token/?token=XXXX";
    let answer = server.post(with_query, &[], "client_id=nobody");
    let query = answer.assert_error(400, "invalid_request");
    let answer = server.post(REVOKE, &[], "client_id=nobody");
    let missing = answer.assert_error(400, "invalid_request");
    assert_ne!(query, missing);
    let answer = server.post(REVOKE, &[], "token=XXXX&client_id=nobody");
    answer.assert_error(401, "invalid_client");
    // A query string alone is reason enough.
    let answer = server.post("/o/revoke_token/?a=b", &[], &good);
    assert_eq!(answer.assert_error(400, "invalid_request"), query);
    server.assert_alive(&["XXXX"]);
}

#[test]
fn dot_03_a_confidential_client_sends_its_secret_either_way() {
    let server = Server::start("django_oauth_toolkit");
    let basic = basic::header_value("XXXX", "XXXX");
    let header = [("Authorization", basic.as_str())];
    server.post(REVOKE, &header, "token=XXXX").assert_empty(200);
    server.assert_dead(&["XXXX"]);
    let body = format!("token=YYYY&{CREDENTIALS}");
    server.post(REVOKE, &[], &body).assert_empty(200);
    server.assert_dead(&["YYYY"]);
    // Registered for Basic, sent in the form.
    let body = "token=other&client_id=other_app&client_secret=other_app_secret";
    server.post(REVOKE, &[], body).assert_empty(200);
    server.assert_dead(&["other"]);
}

#[test]
fn dot_03_failed_basic_credentials_are_challenged_for_basic() {
    let server = Server::start("django_oauth_toolkit");
    let wrong = basic::header_value("XXXX", "wrong");
    let header = [("Authorization", wrong.as_str())];
    let answer = server.post(REVOKE, &header, "token=XXXX");
    answer.assert_error(401, "invalid_client");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic "), "{challenge}");
    // No second chance in the form.
    let answer = server.post(REVOKE, &header, &format!("token=XXXX&{CREDENTIALS}"));
    answer.assert_error(400, "invalid_request");
    // A confidential client without its secret is not a public one.
    let answer = server.post(REVOKE, &[], "token=XXXX&client_id=XXXX");
    answer.assert_error(401, "invalid_client");
    server.assert_alive(&["XXXX"]);
}

#[test]
fn dot_04_another_clients_token_is_a_silent_200_and_lives() {
    let server = Server::start("django_oauth_toolkit");
    let unknown = server.post(REVOKE, &[], &format!("token=made-up&{CREDENTIALS}"));
    for token in ["other", "public"] {
        let foreign = server.post(REVOKE, &[], &format!("token={token}&{CREDENTIALS}"));
        foreign.assert_empty(200);
        assert_eq!(foreign.header_names(), unknown.header_names());
    }
    let foreign = server.post(REVOKE, &[], "token=XXXX&client_id=public_app");
    foreign.assert_empty(200);
    server.assert_alive(&["other", "public", "XXXX"]);
}

#[test]
fn dot_04_every_hint_finds_the_token() {
    for hint in ["access_token", "refresh_token", "id_token", ""] {
        let server = Server::start("django_oauth_toolkit");
        let body = format!("token=XXXX&token_type_hint={hint}&{CREDENTIALS}");
        server.post(REVOKE, &[], &body).assert_empty(200);
        server.assert_dead(&["XXXX", "XXXX-refresh"]);
    }
}

#[test]
fn dot_05_either_token_takes_the_other_along() {
    for token in ["XXXX", "XXXX-refresh"] {
        let server = Server::start("django_oauth_toolkit");
        let body = format!("token={token}&{CREDENTIALS}");
        server.post(REVOKE, &[], &body).assert_empty(200);
        server.assert_dead(&["XXXX", "XXXX-refresh"]);
        server.assert_alive(&["YYYY", "YYYY-refresh"]);
    }
}

#[test]
fn dot_06_an_unknown_hint_is_no_unsupported_token_type() {
    let server = Server::start("django_oauth_toolkit");
    let body = format!("token=XXXX&token_type_hint=pct&{CREDENTIALS}");
    server.post(REVOKE, &[], &body).assert_empty(200);
    server.assert_dead(&["XXXX"]);
}

#[test]
fn dot_07_a_json_body_is_refused() {
    let server = Server::start("django_oauth_toolkit");
    let body = r#"{"token":"XXXX","client_id":"XXXX","client_secret":"XXXX"}"#;
    let headers = [("Content-Type", "application/json")];
    let answer = server.send(request("POST", REVOKE, &headers, body));
    answer.assert_error(400, "invalid_request");
    server.assert_alive(&["XXXX"]);
}
