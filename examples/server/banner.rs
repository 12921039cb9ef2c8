//! The commands to try, printed at start. A test runs every one of them.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::fixture::reachable;

/// What is printed below the first line when the standard fixture is loaded.
///
/// Each command stands on a line of its own, and the line after it says what it answers: the status, and the
/// body where there is one; `...` stands for the rest of it.
pub(crate) fn text(address: SocketAddr, clients: usize, place: &str) -> String {
    let base = format!("http://{}", reachable(address));
    let mut text = format!(
        "\nThe standard fixture is loaded: {clients} clients, their tokens {place}. Try these, in order.\n"
    );
    let mut step = |why: &str, commands: &[(&str, &str)]| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# {why}\n");
        for (command, answer) in commands {
            let _ = writeln!(text, "{}\n#   {answer}", command.replace("BASE", &base));
        }
    };
    let bearer_4 = "curl -i BASE/resource -H 'Authorization: Bearer at-4'";
    let bearer_1 = "curl -i BASE/resource -H 'Authorization: Bearer at-1'";
    let bearer_2 = "curl -i BASE/resource -H 'Authorization: Bearer at-2'";
    let bearer_3 = "curl -i BASE/resource -H 'Authorization: Bearer at-3'";
    step("Bob's access token opens the resource.", &[(bearer_4, r#"200 {"sub":"bob"}"#)]);
    step(
        "Its client revokes it, and it opens nothing any more.",
        &[
            ("curl -i BASE/revoke -u web:web-secret -d token=at-4", "200"),
            (bearer_4, r#"401 {"error":"invalid_token"}"#),
        ],
    );
    step(
        "Alice is logged in at two clients, web and spa.",
        &[(bearer_1, r#"200 {"sub":"alice"}"#), (bearer_2, r#"200 {"sub":"alice"}"#)],
    );
    step(
        "One of them logs her out: the tokens of both are dead. Only what she granted offline lives on.",
        &[
            ("curl -i BASE/logout -u web:web-secret -d refresh_token=rt-1", "200"),
            (bearer_1, r#"401 {"error":"invalid_token"}"#),
            (bearer_2, r#"401 {"error":"invalid_token"}"#),
            (bearer_3, r#"200 {"sub":"alice"}"#),
        ],
    );
    step(
        "Resource servers elsewhere ask by introspection.",
        &[
            ("curl -i BASE/introspect -u web:web-secret -d token=at-1", r#"200 {"active":false}"#),
            (
                "curl -i BASE/introspect -u web:web-secret -d token=at-3",
                r#"200 {"active":true,"scope":"read offline_access","client_id":"web","sub":"alice",..."#,
            ),
        ],
    );
    text.push_str("\nCtrl-C stops the server.\n");
    text
}
