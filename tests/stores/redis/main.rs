//! `RedisStore` on real servers, which the tests start themselves.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and measures time"
)]

mod contract;
#[cfg(feature = "redistls")]
mod encrypted;
mod faults;
mod issuing;
mod keeping;
mod lasting;
mod load;
mod losing;
mod moving;
mod servers;
mod starting;
mod vectors;
