//! What holds for every request, however strange: the parsers agree with other people's parsers, and the
//! revocation endpoint keeps its promises.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assertions;
mod basic;
mod forms;
mod revocation;

use annul::Timestamp;
use proptest::prelude::*;

const FORM: &[u8] = b"application/x-www-form-urlencoded";

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        // A counterexample becomes a test of its own, with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(future)
}
