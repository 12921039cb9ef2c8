//! What the server prints when it is started without a fixture, taken at its word.

use serde_json::Value;

use crate::programs;
use crate::server::Server;

#[test]
fn every_printed_command_answers_what_is_printed_below_it() {
    let mut server = Server::without_fixture();
    let mut lines = Vec::new();
    loop {
        let line = server.next_line();
        if line.starts_with("Ctrl-C") {
            break;
        }
        lines.push(line);
        assert!(lines.len() < 1_000, "no end in sight");
    }
    let mut commands = Vec::new();
    for pair in lines.windows(2) {
        let [command, answer] = pair else {
            continue;
        };
        if command.starts_with("curl ") {
            assert!(command.contains(&server.address.to_string()), "{command}");
            let answer = answer.strip_prefix("#   ").expect("what it answers");
            let (status, body) = answer.split_once(' ').unwrap_or((answer, ""));
            commands.push((command.as_str(), status.parse::<u16>().unwrap(), body));
        }
    }
    for (command, status, body) in &commands {
        let answer = programs::shell(command);
        assert_eq!(answer.status, *status, "{command}");
        match body.strip_suffix("...") {
            Some(beginning) => assert!(answer.text().starts_with(beginning), "{command}"),
            None => assert_eq!(answer.text(), *body, "{command}"),
        }
    }
    // All that the tour is about was in it.
    for wanted in ["/resource", "/revoke", "/logout", "/introspect"] {
        let shown = commands.iter().any(|(command, ..)| command.contains(wanted));
        assert!(shown, "no command for {wanted}");
    }
    for status in [200, 401] {
        let shown = commands.iter().any(|(_, shown, _)| *shown == status);
        assert!(shown, "no command that answers {status}");
    }
    server.assert_dead(&["at-4", "rt-4", "at-1", "rt-1", "at-2", "rt-2"]);
    server.assert_alive(&["at-3", "rt-3"]);
}

#[test]
fn revocation_takes_the_grant_and_logout_the_session() {
    let server = Server::start("standard");
    server.assert_alive(&["at-1", "rt-1", "at-2", "rt-2", "at-3", "rt-3", "at-4", "rt-4"]);
    server.post("/revoke", &[], "token=at-2&client_id=spa").assert_empty(200);
    server.assert_dead(&["at-2", "rt-2"]);
    server.assert_alive(&["at-1", "rt-1", "at-3", "rt-3", "at-4", "rt-4"]);
    // A refresh token that was revoked still says which session to end.
    server.post("/logout", &[], "refresh_token=rt-2&client_id=spa").assert_empty(200);
    server.assert_dead(&["at-1", "rt-1", "at-2", "rt-2"]);
    server.assert_alive(&["at-3", "rt-3", "at-4", "rt-4"]);
}

#[test]
fn the_resource_takes_live_access_tokens_only() {
    let server = Server::start("standard");
    let says = |authorization: &str| {
        let answer = server.get("/resource", &[("Authorization", authorization)]);
        (answer.status, answer.text().to_owned())
    };
    assert_eq!(says("Bearer at-1"), (200, r#"{"sub":"alice"}"#.to_owned()));
    assert_eq!(says("bearer at-1").0, 200);
    assert_eq!(says("Bearer at-machine"), (200, r#"{"sub":null}"#.to_owned()));
    for refused in [
        "Bearer rt-1",
        "Bearer at-expired",
        "Bearer at-revoked",
        "Bearer rt-spent",
        "Bearer nonsense",
        "Bearer ",
        "Bearer",
        "Basic d2ViOndlYi1zZWNyZXQ=",
    ] {
        assert_eq!(says(refused).0, 401, "{refused}");
    }
    // RFC 6750 section 3.1: who sent no token is not told that it is invalid.
    let answer = server.get("/resource", &[]);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let twice = [("Authorization", "Bearer at-1"), ("Authorization", "Bearer at-1")];
    assert_eq!(server.get("/resource", &twice).status, 401);
}

#[test]
fn the_metadata_names_the_endpoints_and_the_health_check_is_well() {
    let server = Server::start("standard");
    let base = format!("http://{}", server.address);
    let first = server.get("/.well-known/oauth-authorization-server", &[]);
    let second = server.get("/.well-known/openid-configuration", &[]);
    assert_eq!((first.status, &first.body), (200, &second.body));
    let document = first.json();
    let member = |name: &str| document.get(name).and_then(Value::as_str).unwrap();
    assert_eq!(member("issuer"), base);
    let endpoint = member("revocation_endpoint").strip_prefix(&base).unwrap();
    server.post(endpoint, &[], "token=at-2&client_id=spa").assert_empty(200);
    server.assert_dead(&["at-2"]);
    let endpoint = member("introspection_endpoint").strip_prefix(&base).unwrap();
    let answer = server.post(endpoint, &[], "token=at-1&client_id=spa");
    answer.assert_error(401, "invalid_client");

    let answer = server.get("/healthz", &[]);
    assert_eq!(answer.status, 200);
}

#[test]
fn what_is_not_built_yet_is_not_found() {
    let server = Server::start("standard");
    for path in ["/end_session", "/jwks", "/", "/revoke/"] {
        assert_eq!(server.get(path, &[]).status, 404, "{path}");
    }
}
