//! The store in PostgreSQL, on real servers that these tests start and stop themselves.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod contract;
mod server;
mod tenancy;
