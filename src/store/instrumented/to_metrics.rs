//! Every call of a store as counters and a histogram of the `metrics` crate.

use crate::store::instrumented::{Observation, Observer};

const OPERATIONS: &str = "annul_store_operations_total";
const SECONDS: &str = "annul_store_operation_seconds";
const RECORDS: &str = "annul_store_records_total";

/// Tells the recorder of the `metrics` crate of every call, whichever is installed when it comes.
///
/// | metric | labels | value |
/// |---|---|---|
/// | `annul_store_operations_total` | `operation`, `outcome` | a counter of calls |
/// | `annul_store_operation_seconds` | `operation`, `outcome` | a histogram of how long they took |
/// | `annul_store_records_total` | `operation` | a counter of the records that sweeps removed (`sweep`), and that readers of the feed were given (`changes`) |
///
/// The labels are [`Operation::as_str`](crate::store::instrumented::Operation::as_str) and
/// [`Outcome::as_str`](crate::store::instrumented::Outcome::as_str): some thirty series in all, whatever is asked of the
/// store.
///
/// ```
/// use annul::MemoryStore;
/// use annul::store::instrumented::{Instrumented, MetricsObserver};
///
/// let store = Instrumented::new(MemoryStore::new(), MetricsObserver::new());
/// ```
///
/// Worth an alarm: `outcome="unavailable"`, each of which was a 503; `outcome="reused"`, each of which was most likely a
/// theft; and a sweep that has not been `done` for an hour.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct MetricsObserver;

impl MetricsObserver {
    /// Describes the three to the recorder that is installed, if there is one yet.
    pub fn new() -> Self {
        metrics::describe_counter!(OPERATIONS, "calls of the token store, by outcome");
        metrics::describe_histogram!(
            SECONDS,
            metrics::Unit::Seconds,
            "how long calls of the token store took"
        );
        metrics::describe_counter!(RECORDS, "records swept, and records read from the feed");
        Self
    }
}

impl Observer for MetricsObserver {
    fn observe(&self, observation: &Observation<'_>) {
        let operation = observation.operation.as_str();
        let outcome = observation.outcome.as_str();
        metrics::counter!(OPERATIONS, "operation" => operation, "outcome" => outcome).increment(1);
        metrics::histogram!(SECONDS, "operation" => operation, "outcome" => outcome)
            .record(observation.elapsed);
        if let Some(records) = observation.records {
            let records = u64::try_from(records).unwrap_or(u64::MAX);
            metrics::counter!(RECORDS, "operation" => operation).increment(records);
        }
    }
}
