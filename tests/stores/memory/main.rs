//! The memory store: the vectors, and what the rules make of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../rules/mod.rs"]
mod rules;
mod vectors;

use std::sync::Arc;

use annul::store::Lifetimes;
use annul::{MemoryStore, Stopwatch};

type Fresh = Arc<MemoryStore>;

fn fresh(lifetimes: Lifetimes, stopwatch: impl Stopwatch + 'static) -> Fresh {
    Arc::new(MemoryStore::new().with_lifetimes(lifetimes).with_stopwatch(stopwatch))
}
