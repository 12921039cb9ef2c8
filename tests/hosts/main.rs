//! The real server on a real socket, talked to by the clients that people use.
//!
//! Each of the four systems that this crate stands in for has a module: its documented requests are sent as
//! its documentation writes them, by `curl`, Python, Node or a bare socket, and what the answer says is checked
//! against what became of the tokens. These programs have to be installed; a test without its client fails.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod http;
mod programs;
mod server;

mod asgardeo;
mod clients;
mod django_oauth_toolkit;
#[cfg(unix)]
mod engines;
mod examples;
mod fixtures;
mod hyperid;
mod jwks;
mod keycloak;
mod process;
#[cfg(unix)]
mod restart;
mod sockets;
mod standard;
mod tls;
mod wso2;

/// Each requirement of these three systems has a test that begins with its number, or stands in the table at
/// the top of its module with the reason why not.
#[test]
fn every_vendor_requirement_is_tested_or_has_its_reason() {
    let systems = [
        ("wso", 11, include_str!("wso2.rs")),
        ("asg", 1, include_str!("asgardeo.rs")),
        ("dot", 7, include_str!("django_oauth_toolkit.rs")),
    ];
    for (prefix, last, source) in systems {
        for number in 1..=last {
            let test = format!("\nfn {prefix}_{number:02}_");
            let row = format!("\n//! | {}-{number:02} |", prefix.to_uppercase());
            assert!(
                source.contains(&test) || source.contains(&row),
                "{prefix}-{number:02} is neither tested nor explained"
            );
        }
    }
}
