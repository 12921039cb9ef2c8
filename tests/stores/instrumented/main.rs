//! The watched store: each call is told once, with what came of it, to `tracing`, to `metrics` and to an observer of one's
//! own; and nothing that was secret is in what is told.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod recorded;
mod traced;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use annul::store::instrumented::{Observation, Observer};

/// What an observer is told, in a form that can be compared and printed.
pub(crate) type Told = (&'static str, &'static str, Duration, Option<usize>, Option<String>);

/// Keeps everything it is told.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<Told>>>);

impl Observer for Notes {
    fn observe(&self, observation: &Observation<'_>) {
        let Observation { operation, outcome, elapsed, records, error, .. } = *observation;
        let error = error.map(ToString::to_string);
        let told = (operation.as_str(), outcome.as_str(), elapsed, records, error);
        self.0.lock().unwrap().push(told);
    }
}

impl Notes {
    /// What was told since this was asked last.
    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}
