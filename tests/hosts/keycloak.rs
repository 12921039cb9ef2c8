//! Keycloak, where it differs from what HyperID documents.
//!
//! The requirements on it are listed in `tests/conformance`; here is what they look like on a socket.

use crate::server::Server;

const LOGOUT: &str = "/realms/master/protocol/openid-connect/logout";
const REVOKE: &str = "/realms/master/protocol/openid-connect/revoke";
const CREDENTIALS: &str = "client_id=web&client_secret=web-secret";

#[test]
fn kc_22_logout_answers_204_and_so_does_the_next_one() {
    let server = Server::start("keycloak");
    let session = ["rt-web", "at-web", "at-web-2", "rt-other", "at-other"];
    server.assert_alive(&session);
    for _ in 0..2 {
        let answer = server.post(LOGOUT, &[], &format!("refresh_token=rt-web&{CREDENTIALS}"));
        answer.assert_empty(204);
        server.assert_dead(&session);
    }
    server.assert_alive(&["rt-offline", "at-bob"]);
}

#[test]
fn kc_02_an_unknown_token_is_named_in_a_200() {
    let server = Server::start("keycloak");
    let answer = server.post(REVOKE, &[], &format!("token=made.up&{CREDENTIALS}"));
    assert_eq!(answer.assert_error(200, "invalid_token"), "Invalid token");
    let answer = server.post(REVOKE, &[], CREDENTIALS);
    let description = answer.assert_error(400, "invalid_request");
    assert_eq!(description, "Token not provided");
}

#[test]
fn kc_03_another_clients_token_is_refused_and_lives() {
    let server = Server::start("keycloak");
    for token in ["rt-other", "at-other"] {
        let answer = server.post(REVOKE, &[], &format!("token={token}&{CREDENTIALS}"));
        let description = answer.assert_error(400, "invalid_request");
        assert_eq!(description, "Unmatching clients");
    }
    server.assert_alive(&["rt-other", "at-other"]);
}

#[test]
fn kc_06_an_access_token_dies_alone_whatever_the_hint() {
    for hint in ["", "&token_type_hint=access_token", "&token_type_hint=refresh_token"] {
        let server = Server::start("keycloak");
        let answer = server.post(REVOKE, &[], &format!("token=at-web{hint}&{CREDENTIALS}"));
        answer.assert_empty(200);
        server.assert_dead(&["at-web"]);
        server.assert_alive(&["rt-web", "at-web-2", "at-other"]);
    }
}

#[test]
fn kc_01_any_repeated_parameter_is_refused() {
    let server = Server::start("keycloak");
    for repeated in ["token=rt-web&token=rt-web", "token=rt-web&x=1&x=1"] {
        let answer = server.post(REVOKE, &[], &format!("{repeated}&{CREDENTIALS}"));
        let description = answer.assert_error(400, "invalid_request");
        assert_eq!(description, "duplicated parameter");
    }
    server.assert_alive(&["rt-web"]);
}
