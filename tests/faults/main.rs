//! What failed once, by kind: each story is told to every shipped store, with its default settings and a clock of the story's own.
//!
//! A file a kind. What belongs to one engine alone (a snapshot that is lost, a standby that is away) is in the tests of that store;
//! what the contract suites must see is in `tests/testkit`.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and waits for servers"
)]

mod k1_attacks;
mod k1_forgotten;
mod k2_acknowledged;
mod k7_clocks;
mod k8_contract;
mod stories;

#[path = "../stores/embedded/folder.rs"]
mod folder;
#[path = "../stores/postgres/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the PostgreSQL store")]
mod server;
#[path = "../stores/redis/servers.rs"]
#[expect(dead_code, reason = "shared with the tests of the Redis store")]
mod servers;
#[path = "../stores/postgres/tenancy.rs"]
#[expect(dead_code, reason = "shared with the tests of the PostgreSQL store")]
mod tenancy;
