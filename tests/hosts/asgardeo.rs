//! Asgardeo: the engine of WSO2 behind a documentation of its own.
//!
//! Not reproduced:
//!
//! | what | why |
//! |---|---|
//! | WSO2's three headers | its page does not show them, and they put tokens into logs |
//! | what `wso2` lists | for the same reasons |

use crate::programs;
use crate::server::Server;

const REVOKE: &str = "/t/bifrost/oauth2/revoke";
const TOKEN: &str = "292896cf-5525-3551-b9e2-1787f1114924";
const REFRESH_TOKEN: &str = "0c1f9a9e-6d3f-3a58-8a5b-1f2f7f0a7d11";
const UNRELATED: &str = "5b6f2c1d-90ab-3d0c-9a59-6c2f1b7e4d20";
const CLIENT: &str = "Wsoq8t4nHW80gSnPfyDvRbiC__Ea";
const CONFIDENTIAL: &str = "7e6d5c4b-3a29-3817-a605-f4e3d2c1b0a9";
const CONFIDENTIAL_2: &str = "8f7e6d5c-4b3a-3928-9706-05f4e3d2c1ba";

const FORM: &[(&str, &str)] = &[("Content-Type", "application/x-www-form-urlencoded")];

/// The token is dead, nothing is named, and neither its refresh token nor another grant went along.
#[track_caller]
fn assert_alone(server: &Server, answer: &crate::http::Answer) {
    answer.assert_empty(200);
    for name in ["revokedaccesstoken", "revokedrefreshtoken", "authorizeduser"] {
        assert_eq!(answer.header(name), None);
    }
    server.assert_dead(&[TOKEN]);
    server.assert_alive(&[REFRESH_TOKEN, UNRELATED, CONFIDENTIAL]);
}

#[test]
fn asg_01_the_sample_request() {
    let server = Server::start("asgardeo");
    server.assert_alive(&[TOKEN]);
    let answer = programs::curl(
        &server,
        "curl --location --request POST 'BASE/t/bifrost/oauth2/revoke' \
         --header 'Content-Type: application/x-www-form-urlencoded' \
         --data-urlencode 'token_type_hint=access_token' \
         --data-urlencode 'token=292896cf-5525-3551-b9e2-1787f1114924' \
         --data-urlencode 'client_id=Wsoq8t4nHW80gSnPfyDvRbiC__Ea'",
    );
    assert_alone(&server, &answer);
}

#[test]
fn asg_01_jquery_sends_token_type_which_is_no_hint() {
    let server = Server::start("asgardeo");
    // A browser adds the origin; the answer is then readable by that page.
    let headers = [
        ("Accept", "*/*"),
        ("Origin", "https://app.bifrost.example"),
        ("X-Requested-With", "XMLHttpRequest"),
    ];
    let body = format!("token={TOKEN}&token_type=access_token&client_id={CLIENT}");
    let answer = server.post(REVOKE, &headers, &body);
    let readable_by = answer.header("access-control-allow-origin");
    assert_eq!(readable_by, Some("https://app.bifrost.example"));
    assert_alone(&server, &answer);
}

#[test]
fn asg_01_a_wrong_token_type_is_not_looked_at() {
    let server = Server::start("asgardeo");
    let pairs = [("token", TOKEN), ("token_type", "refresh_token"), ("client_id", CLIENT)];
    assert_alone(&server, &programs::fetch(&server, REVOKE, FORM, &pairs));
}

#[test]
fn asg_01_axios() {
    let server = Server::start("asgardeo");
    let pairs = [("token", TOKEN), ("token_type_hint", "access_token"), ("client_id", CLIENT)];
    assert_alone(&server, &programs::axios(&server, REVOKE, FORM, &pairs));
}

#[test]
fn asg_01_client_id_and_token_are_enough() {
    let server = Server::start("asgardeo");
    let body = format!("token={TOKEN}&client_id={CLIENT}");
    assert_alone(&server, &programs::python(&server, REVOKE, FORM, &body));
}

#[test]
fn asg_01_a_refresh_token_leaves_its_access_token_alone_too() {
    let server = Server::start("asgardeo");
    let body = format!("token={REFRESH_TOKEN}&token_type_hint=refresh_token&client_id={CLIENT}");
    server.post(REVOKE, &[], &body).assert_empty(200);
    server.assert_dead(&[REFRESH_TOKEN]);
    server.assert_alive(&[TOKEN, UNRELATED]);
}

#[test]
fn asg_01_a_confidential_client_needs_its_secret() {
    let server = Server::start("asgardeo");
    let body = format!("token={CONFIDENTIAL}&client_id=confidential_app");
    server.post(REVOKE, &[], &body).assert_error(401, "invalid_client");
    server.assert_alive(&[CONFIDENTIAL]);
    // In the form ...
    let body = format!("{body}&client_secret=confidential_app_secret");
    server.post(REVOKE, &[], &body).assert_empty(200);
    server.assert_dead(&[CONFIDENTIAL]);
    // ... or in the header.
    let answer = programs::curl(
        &server,
        &format!(
            "curl BASE{REVOKE} -u confidential_app:confidential_app_secret -d token={CONFIDENTIAL_2}"
        ),
    );
    answer.assert_empty(200);
    server.assert_dead(&[CONFIDENTIAL_2]);
}
