//! The store in PostgreSQL, on real servers that these tests start and stop themselves.

#![expect(clippy::disallowed_methods, reason = "a stopwatch")]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod contract;
mod faults;
mod feed;
mod issuing;
mod leaping;
mod lifetimes;
mod plans;
mod proxy;
mod server;
mod starting;
mod tenancy;
mod vectors;
mod words;
