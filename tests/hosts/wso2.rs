//! WSO2 API Manager and Identity Server: its documented `curl` commands, and what its clients can observe.
//!
//! Not reproduced, and in one case not yet:
//!
//! | id | what | why |
//! |---|---|---|
//! | WSO-02 | `application/json` on success, `text/html` on a 401 | the documented sample says `text/html` on success; a JSON error is declared as JSON |
//! | WSO-04 | a hint that narrows the search to one kind | documented, but its own source does not, and RFC 7009 section 2.1 forbids it |
//! | WSO-05 | 401 for another client's access token | it tells the caller that the token is alive; both kinds are the silent 200 that its refresh tokens get |
//! | WSO-05 | 400 for its own failures, the unquoted realm | a client must know whether to try again (503); RFC 9110 section 11.4 wants the quotes |
//! | WSO-06 | secrets with a colon failing, no percent-decoding | a defect: both spellings of a secret work here |
//! | WSO-07 | revocation without any client for implicit grants | anybody could end anybody's session; `client_id` is asked for, as its sample sends it |
//! | WSO-08 | callbacks (JSONP) | RFC 7009 section 2.3 warns of them, and CORS has replaced them |
//! | WSO-10 | `X-Frame-Options` | of its container, and not in the documented answer |
//! | WSO-11 | its logout servlet | not this endpoint |
//! | | `Transfer-Encoding: chunked` on an empty body | `Content-Length: 0` says the same |

use std::collections::BTreeSet;

use annul::wire::basic;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::Answer;
use crate::programs;
use crate::server::Server;

/// As the samples write it.
const AUTHORIZATION: &str =
    "Basic OVRRNVJLZWFhVGZGeUpRSkRzam9aZmp4UkhjYTpDZnJ3ZXRual9ZOTdSSzFTZWlWQWx1aXdVVmth";
const BASIC: (&str, &str) = ("Authorization", AUTHORIZATION);

const OPAQUE: &str = "a0d210c7a3de7d548e03f1986e9a5c39";
const ITS_REFRESH_TOKEN: &str = "5e87a8235cd4d066e15c4c989f5ecf94";
const UUID: &str = "1d18ec65-6151-3499-9352-68afe64299c3";

/// The JWT of the third sample, from the fixture: 1 424 characters that need not stand here again.
fn jwt() -> String {
    let fixture: serde_json::Value =
        serde_json::from_str(include_str!("../../examples/server/fixtures/wso2.json")).unwrap();
    let tokens = fixture.get("tokens").unwrap().as_array().unwrap();
    let mut tokens = tokens.iter().filter_map(|token| token.get("token")?.as_str());
    tokens.find(|token| token.starts_with("eyJ")).unwrap().to_owned()
}

/// The headers of the documented answers, without those of the connection.
const ALWAYS: [(&str, &str); 7] = [
    ("cache-control", "no-store"),
    ("access-control-allow-methods", "POST"),
    ("x-content-type-options", "nosniff"),
    ("pragma", "no-cache"),
    ("x-xss-protection", "1; mode=block"),
    (
        "access-control-allow-headers",
        "authorization,Access-Control-Allow-Origin,Content-Type,SOAPAction,Authorization",
    ),
    ("content-type", "text/html"),
];

/// An empty 200 with the documented headers, these, and no others.
#[track_caller]
fn assert_answer(answer: &Answer, named: &[(&str, &str)]) {
    answer.assert_empty(200);
    let expected = [&ALWAYS, named].concat();
    for (name, value) in &expected {
        assert_eq!(answer.header(name), Some(*value), "{name}");
    }
    let names: BTreeSet<&str> = expected.iter().map(|(name, _)| *name).collect();
    assert_eq!(answer.header_names(), names);
}

#[test]
fn wso_01_the_first_sample_names_both_tokens_and_the_user() {
    let server = Server::start("wso2");
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN]);
    let answer = programs::curl(
        &server,
        &format!(
            "curl -k -v -d \"token={OPAQUE}\" -H \"Authorization: {AUTHORIZATION}\" \
             -H \"Content-Type: application/x-www-form-urlencoded\" BASE/revoke"
        ),
    );
    let named = [
        ("revokedaccesstoken", OPAQUE),
        ("revokedrefreshtoken", ITS_REFRESH_TOKEN),
        ("authorizeduser", "admin@carbon.super"),
    ];
    assert_answer(&answer, &named);
    server.assert_dead(&[OPAQUE, ITS_REFRESH_TOKEN]);
    server.assert_alive(&[UUID, &jwt(), "implicit-access-token", "other-access-token"]);
}

#[test]
fn wso_01_the_second_sample_with_a_uuid_and_a_hint() {
    let server = Server::start("wso2");
    let answer = programs::curl(
        &server,
        &format!(
            "curl -k -v -d \"token={UUID}&token_type_hint=access_token\" \
             -H \"Authorization: {AUTHORIZATION}\" \
             -H \"Content-Type: application/x-www-form-urlencoded\" BASE/revoke"
        ),
    );
    // Its issuer kept no counterpart, so none is named.
    let named = [("revokedaccesstoken", UUID), ("authorizeduser", "admin@carbon.super")];
    assert_answer(&answer, &named);
    server.assert_dead(&[UUID]);
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN, &jwt()]);
}

#[test]
fn wso_01_the_third_sample_with_a_jwt() {
    let server = Server::start("wso2");
    let jwt = jwt();
    let answer = programs::curl(
        &server,
        &format!(
            "curl -k -v -d \"token={jwt}\" -H \"Authorization: {AUTHORIZATION}\" \
             -H \"Content-Type: application/x-www-form-urlencoded\" BASE/revoke"
        ),
    );
    let named = [("revokedaccesstoken", jwt.as_str()), ("authorizeduser", "admin@carbon.super")];
    assert_answer(&answer, &named);
    server.assert_dead(&[&jwt]);
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN, UUID]);
}

#[test]
fn wso_01_a_refresh_token_names_the_same_two() {
    let server = Server::start("wso2");
    let body = format!("token={ITS_REFRESH_TOKEN}&token_type_hint=refresh_token");
    let answer = server.post("/revoke", &[BASIC], &body);
    let named = [
        ("revokedaccesstoken", OPAQUE),
        ("revokedrefreshtoken", ITS_REFRESH_TOKEN),
        ("authorizeduser", "admin@carbon.super"),
    ];
    assert_answer(&answer, &named);
    server.assert_dead(&[OPAQUE, ITS_REFRESH_TOKEN]);
}

#[test]
fn wso_03_an_unknown_token_names_nothing() {
    let server = Server::start("wso2");
    for junk in ["token=made-up", "token=eyJ.eyJ.x", "token=%F0%9F%94%91"] {
        assert_answer(&server.post("/revoke", &[BASIC], junk), &[]);
    }
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN, UUID, &jwt()]);
}

#[test]
fn wso_03_a_token_that_was_dead_already_names_nothing() {
    let server = Server::start("wso2");
    server.post("/revoke", &[BASIC], &format!("token={OPAQUE}"));
    for token in [OPAQUE, ITS_REFRESH_TOKEN] {
        let answer = server.post("/revoke", &[BASIC], &format!("token={token}"));
        assert_answer(&answer, &[]);
    }
    server.assert_dead(&[OPAQUE, ITS_REFRESH_TOKEN]);
}

#[test]
fn wso_04_every_hint_finds_every_kind() {
    for token in [OPAQUE, ITS_REFRESH_TOKEN] {
        for hint in ["", "access_token", "refresh_token", "id_token"] {
            let server = Server::start("wso2");
            let body = format!("token={token}&token_type_hint={hint}");
            let answer = server.post("/revoke", &[BASIC], &body);
            assert_eq!(answer.header("authorizeduser"), Some("admin@carbon.super"));
            server.assert_dead(&[OPAQUE, ITS_REFRESH_TOKEN]);
        }
    }
}

#[test]
fn wso_04_an_expired_access_token_still_takes_its_refresh_token_along() {
    let server = Server::start("wso2");
    server.assert_dead(&["expired-access-token"]);
    server.assert_alive(&["its-live-refresh-token"]);
    let answer = server.post("/revoke", &[BASIC], "token=expired-access-token");
    answer.assert_empty(200);
    server.assert_dead(&["its-live-refresh-token"]);
}

#[test]
fn wso_05_its_errors_in_its_words() {
    let server = Server::start("wso2");
    let missing = server.post("/revoke", &[BASIC], "token_type_hint=access_token");
    let repeated = server.post("/revoke", &[BASIC], &format!("token={OPAQUE}&a=1&a=2"));
    let both = server.post(
        "/revoke",
        &[BASIC],
        &format!("token={OPAQUE}&client_id=9TQ5RKeaaTfFyJQJDsjoZfjxRHca&client_secret=x"),
    );
    for (answer, description) in [
        (&missing, "Invalid revocation request"),
        (&repeated, "Invalid request with repeated parameters."),
        (&both, "Request body and headers contain authorization information"),
    ] {
        assert_eq!(answer.assert_error(400, "invalid_request"), description);
    }
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN]);
}

#[test]
fn wso_05_failed_authentication_revokes_nothing_and_names_nothing() {
    let server = Server::start("wso2");
    let wrong = basic::header_value("9TQ5RKeaaTfFyJQJDsjoZfjxRHca", "wrong");
    let answer = server.post("/revoke", &[("Authorization", &wrong)], &format!("token={OPAQUE}"));
    let description = answer.assert_error(401, "invalid_client");
    assert_eq!(description, "Client Authentication failed.");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic realm=\""), "{challenge}");
    assert_eq!(answer.header("authorizeduser"), None);
    server.assert_alive(&[OPAQUE, ITS_REFRESH_TOKEN]);
}

#[test]
fn wso_05_another_clients_tokens_are_a_silent_200() {
    let server = Server::start("wso2");
    for token in ["other-access-token", "other-refresh-token", "implicit-access-token"] {
        let answer = server.post("/revoke", &[BASIC], &format!("token={token}"));
        assert_answer(&answer, &[]);
    }
    server.assert_alive(&["other-access-token", "other-refresh-token", "implicit-access-token"]);
}

#[test]
fn wso_06_a_secret_may_hold_colons_and_percent_signs() {
    let server = Server::start("wso2");
    // As RFC 6749 section 2.3.1 spells it, and as clients that skip the encoding do.
    let encoded = basic::header_value("colons", "a:b:c%41+d");
    let verbatim = format!("Basic {}", STANDARD.encode("colons:a:b:c%41+d"));
    assert_ne!(encoded, verbatim);
    for (header, token) in [(&encoded, "colons-access-token"), (&verbatim, "colons-access-token-2")]
    {
        server.assert_alive(&[token]);
        let answer =
            server.post("/revoke", &[("Authorization", header)], &format!("token={token}"));
        answer.assert_empty(200);
        server.assert_dead(&[token]);
    }
    let wrong = basic::header_value("colons", "a");
    let answer = server.post("/revoke", &[("Authorization", &wrong)], "token=x");
    answer.assert_error(401, "invalid_client");
}

#[test]
fn wso_07_the_implicit_sample_needs_the_client_id_alone() {
    let server = Server::start("wso2");
    let answer = programs::curl(
        &server,
        "curl -X POST -H \"Content-Type: application/x-www-form-urlencoded;charset=UTF-8\" \
         -d \"token=implicit-access-token&token_type_hint=access_token&client_id=implicit_app\" \
         BASE/revoke",
    );
    let named =
        [("revokedaccesstoken", "implicit-access-token"), ("authorizeduser", "admin@carbon.super")];
    assert_answer(&answer, &named);
    server.assert_dead(&["implicit-access-token"]);
}

#[test]
fn wso_07_nobody_revokes_without_being_a_client() {
    let server = Server::start("wso2");
    for body in [
        "token=implicit-access-token&token_type_hint=access_token",
        "token=implicit-access-token&client_id=nobody",
        // A confidential client must not pass for a public one.
        "token=a0d210c7a3de7d548e03f1986e9a5c39&client_id=9TQ5RKeaaTfFyJQJDsjoZfjxRHca",
    ] {
        server.post("/revoke", &[], body).assert_error(401, "invalid_client");
    }
    server.assert_alive(&["implicit-access-token", OPAQUE]);
}

#[test]
fn wso_08_a_callback_is_a_parameter_like_any_other() {
    let server = Server::start("wso2");
    let answer = server.post("/revoke", &[BASIC], &format!("token={UUID}&callback=package.cb"));
    answer.assert_empty(200);
    assert_eq!(answer.header("content-type"), Some("text/html"));
    server.assert_dead(&[UUID]);
    let answer = server.post("/revoke", &[BASIC], "callback=package.cb");
    answer.assert_error(400, "invalid_request");
}

#[test]
fn wso_09_either_token_takes_the_other_along_and_no_other_grant() {
    for token in [OPAQUE, ITS_REFRESH_TOKEN] {
        let server = Server::start("wso2");
        server.post("/revoke", &[BASIC], &format!("token={token}"));
        server.assert_dead(&[OPAQUE, ITS_REFRESH_TOKEN]);
        server.assert_alive(&[UUID, &jwt(), "its-live-refresh-token", "other-refresh-token"]);
    }
}

#[test]
fn wso_10_a_charset_and_the_case_of_the_media_type_do_not_matter() {
    let server = Server::start("wso2");
    let kinds = [
        ("application/x-www-form-urlencoded;charset=UTF-8", OPAQUE.to_owned()),
        ("Application/X-WWW-Form-Urlencoded; charset=\"utf-8\"", UUID.to_owned()),
        ("application/x-www-form-urlencoded", jwt()),
    ];
    for (kind, token) in kinds {
        let body = format!("token={token}");
        let headers = [("Content-Type", kind), BASIC];
        let answer = server.send(crate::http::request("POST", "/revoke", &headers, &body));
        answer.assert_empty(200);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-xss-protection"), Some("1; mode=block"));
        server.assert_dead(&[&token]);
    }
}

#[test]
fn wso_10_fetch_adds_the_charset_by_itself() {
    let server = Server::start("wso2");
    let pairs = [("token", "implicit-access-token"), ("client_id", "implicit_app")];
    let answer = programs::fetch(&server, "/revoke", &[], &pairs);
    answer.assert_empty(200);
    server.assert_dead(&["implicit-access-token"]);
}
