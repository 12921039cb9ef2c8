//! For how long this process has seen a clock that is ahead.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// Measures by the stopwatch, which no change of the clock moves.
pub(super) struct LeapWatch {
    stopwatch: Arc<dyn Stopwatch>,
    first_seen: Mutex<Option<Duration>>,
}

impl LeapWatch {
    pub(super) fn new(stopwatch: Arc<dyn Stopwatch>) -> Self {
        Self { stopwatch, first_seen: Mutex::new(None) }
    }

    /// The time since a leap was first seen; none where it was not.
    pub(super) fn since_leap(&self) -> Option<Duration> {
        let first_seen = *self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        first_seen.map(|first| self.stopwatch.elapsed().saturating_sub(first))
    }

    /// A leap is seen, for the first time or again.
    pub(super) fn leaps(&self) {
        let mut first_seen = self.first_seen.lock().unwrap_or_else(PoisonError::into_inner);
        first_seen.get_or_insert_with(|| self.stopwatch.elapsed());
    }

    /// There is no leap, or none any more.
    pub(super) fn is_right(&self) {
        *self.first_seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for LeapWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeapWatch").field("since_leap", &self.since_leap()).finish_non_exhaustive()
    }
}
