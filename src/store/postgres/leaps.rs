//! For how long this process has seen a clock that is ahead.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Stopwatch, Timestamp};
use crate::store::Lifetimes;
use crate::store::rules::{LeapWatch, SweepClock};

/// Measures by a stopwatch, which no change of the clock moves.
pub(super) struct Leaps {
    stopwatch: Arc<dyn Stopwatch>,
    watch: Mutex<LeapWatch>,
}

impl Leaps {
    pub(super) fn new(stopwatch: Arc<dyn Stopwatch>) -> Self {
        Self { stopwatch, watch: Mutex::default() }
    }

    /// Whether this is the time; if not, by how much it is ahead of what is kept.
    pub(super) fn believe(
        &self,
        kept: &mut SweepClock,
        now: Timestamp,
        lifetimes: &Lifetimes,
    ) -> Result<(), Duration> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.believe(kept, now, lifetimes, self.stopwatch.elapsed())
    }
}

impl fmt::Debug for Leaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaps").field("watch", &self.watch).finish_non_exhaustive()
    }
}
