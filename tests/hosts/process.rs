//! The command line, and the end of the process.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http::form;
use crate::server::{Server, run, write_fixture};

#[track_caller]
fn assert_refused(output: &Output, code: i32, wanted: &[&str]) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert!(output.stdout.is_empty());
    for wanted in wanted {
        assert!(complaint.contains(wanted), "{wanted} is not in {complaint}");
    }
}

#[test]
fn a_store_that_does_not_exist_is_refused_and_its_password_is_not_shown() {
    for url in ["mysql://user:hunter2@db/x", "postgres", "sqlite:hunter2.db", "file:"] {
        let output = run(&["--listen", "127.0.0.1:0", "--store", url]);
        assert_refused(&output, 2, &["--store", url.split(':').next().unwrap()]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    }
    let output = run(&["--store", "memory", "--key-file", "k"]);
    assert_refused(&output, 2, &["--key-file"]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let cases: [(&[&str], &str); 10] = [
        (&["--nonsense"], "--nonsense"),
        (&["extra"], "extra"),
        (&["--listen"], "--listen"),
        (&["--generate-tokens", "5"], "--token-file"),
        (&["--token-file", "x"], "--generate-tokens"),
        (&["--generate-tokens", "many", "--token-file", "x"], "many"),
        (&["--fixtures="], "--fixtures"),
        (&["--tls-listen", "127.0.0.1:0"], "--tls-certificate"),
        (&["--tls-certificate", "x", "--tls-key", "x"], "--tls-listen"),
        (&["--tls-client-ca", "x"], "--tls-key"),
    ];
    for (arguments, wanted) in cases {
        assert_refused(&run(arguments), 2, &[wanted, "--help"]);
    }
}

#[test]
fn help_names_every_flag_and_what_is_not_there_yet() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "--listen",
        "--fixtures",
        "--store",
        "file:annul.store",
        "postgres://",
        "redis://",
        "redis-cluster://",
        "--key-file",
        "--generate-tokens",
        "--token-file",
        "--tls-listen",
        "--tls-certificate",
        "--tls-key",
        "--tls-client-ca",
        "/revoke",
        "/logout",
        "/introspect",
        "/resource",
        "/healthz",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/end_session",
        "/jwks",
        "client_secret_hash",
        "jwks_uri",
        "clock_skew",
        "throttle",
        "fapi2",
    ] {
        assert!(text.contains(wanted), "{wanted}");
    }
}

#[test]
fn a_fixture_that_makes_no_sense_is_refused() {
    let client = json!({ "client_id": "spa", "token_endpoint_auth_method": "none" });
    let clients = json!([client]);
    let cases: [(Value, &str); 9] = [
        (json!([]), "not a fixture"),
        (json!({}), "clients"),
        (json!({ "clients": clients, "profile": "nobody" }), "hyperid"),
        (json!({ "clients": clients, "paths": { "revoke": "revoke" } }), "revoke"),
        (json!({ "clients": clients, "paths": { "revoke": "/{x}" } }), "/{x}"),
        (json!({ "clients": clients, "paths": { "revoke": "/logout" } }), "/logout"),
        (json!({ "clients": clients, "paths": { "logout": "/resource" } }), "/resource"),
        (json!({ "clients": clients, "tokens": [{ "sub": "alice" }] }), "token"),
        (
            json!({ "clients": clients, "tokens": [{ "token": "secret-t" }, { "token": "secret-t" }] }),
            "tokens[1]",
        ),
    ];
    for (fixture, wanted) in cases {
        let file = write_fixture(&fixture);
        let output = run(&["--listen", "127.0.0.1:0", "--fixtures", file.to_str().unwrap()]);
        assert_refused(&output, 1, &[wanted]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("secret-t"));
    }
    let output = run(&["--listen", "127.0.0.1:0", "--fixtures", "no/such/file.json"]);
    assert_refused(&output, 1, &["no/such/file.json"]);
}

#[test]
fn an_address_that_is_taken_is_refused() {
    let server = Server::start("standard");
    let address = server.address.to_string();
    assert_refused(&run(&["--listen", &address]), 1, &[&address]);
}

/// Asks the process to stop, by its own number.
#[cfg(unix)]
fn signal(server: &mut Server, name: &str) {
    let id = server.process().id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill has to be installed for this test").success());
}

/// Looks again and again, for as long as anybody would wait.
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..30_000 {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("{what}: not in half a minute");
}

#[cfg(unix)]
#[test]
fn a_signal_stops_the_server_after_the_requests_that_are_under_way() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start("standard");
        let body = "token=at-2&client_id=spa";
        let request = form("/revoke", &[("Expect", "100-continue")], body);
        let mut connection = server.connect();
        connection.write(request.strip_suffix(body).unwrap());
        // The server asks for the body: the request is under way.
        connection.continued();
        signal(&mut server, name);
        // It takes no new connections any more: the signal has arrived.
        eventually("the listener closes", || {
            let refused = TcpStream::connect(server.address).err()?;
            (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
        });
        connection.write(body);
        connection.answer().assert_empty(200);
        let status = eventually("the process ends", || server.process().try_wait().unwrap());
        assert!(status.success(), "{name}: {status}");
    }
}
