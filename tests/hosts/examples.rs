//! The small examples do what they print.

use std::process::Command;

use crate::server::program;

fn printed(example: &str) -> Vec<String> {
    let output = Command::new(program(example)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn in_process_revokes_the_grant() {
    let lines = printed("in_process");
    assert_eq!(lines.first().unwrap(), "at-1 is active: true");
    assert!(lines.contains(&"HTTP/1.1 200".to_owned()));
    assert!(lines.contains(&"cache-control: no-store".to_owned()));
    assert_eq!(lines.last().unwrap(), "at-1 is active: false");
}

#[test]
fn custom_store_revokes_expires_and_refuses_strangers() {
    let wanted = [
        "after login:",
        "at-1 is good",
        "rt-1 is good",
        "at-2 is good",
        "",
        "POST /revoke token=at-1: 200",
        "its grant is gone:",
        "at-1 is no good",
        "rt-1 is no good",
        "at-2 is good",
        "",
        "POST /revoke by a stranger: 401",
        "nothing happened:",
        "at-2 is good",
        "",
        "Ten minutes pass.",
        "expired by itself:",
        "at-2 is no good",
    ];
    assert_eq!(printed("custom_store"), wanted);
}
