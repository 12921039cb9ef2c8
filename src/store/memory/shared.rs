//! What all namespaces share: the lifetimes, and the latest time that the store has seen.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crate::clock::{Stopwatch, SystemStopwatch, Timestamp};
use crate::store::Lifetimes;
use crate::store::memory::shards::{lock, read, write};
use crate::store::rules::SweepClock;

pub(super) struct Shared {
    lifetimes: RwLock<Lifetimes>,
    stopwatch: RwLock<Arc<dyn Stopwatch>>,
    /// [`SweepClock::latest`], which every writer reads.
    latest: AtomicU64,
    leap: Mutex<Option<Leap>>,
}

/// A clock that was found ahead.
#[derive(Clone, Copy)]
struct Leap {
    /// [`SweepClock::leaped_to`].
    to: Timestamp,
    /// What the stopwatch showed then.
    seen_at: Duration,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            lifetimes: RwLock::default(),
            stopwatch: RwLock::new(Arc::new(SystemStopwatch::start())),
            latest: AtomicU64::new(0),
            leap: Mutex::new(None),
        }
    }

    pub(super) fn lifetimes(&self) -> Lifetimes {
        *read(&self.lifetimes)
    }

    pub(super) fn set_lifetimes(&self, lifetimes: Lifetimes) {
        *write(&self.lifetimes) = lifetimes;
    }

    pub(super) fn set_stopwatch(&self, stopwatch: Arc<dyn Stopwatch>) {
        *write(&self.stopwatch) = stopwatch;
    }

    /// The latest time that was seen and believed: a sweep that is under way is not later.
    pub(super) fn latest(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.latest.load(SeqCst))
    }

    /// Takes note of the time of an issue, a rotation or a session.
    pub(super) fn note(&self, now: Timestamp, lifetimes: &Lifetimes) {
        let mut clock = SweepClock { latest: self.latest(), leaped_to: None };
        if clock.note(now, lifetimes.clock_leap()) {
            self.latest.fetch_max(clock.latest.as_unix_millis(), SeqCst);
        }
    }

    /// Decides whether a sweep believes the clock. If not, by how much it is ahead.
    pub(super) fn believe(&self, now: Timestamp) -> Result<(), Duration> {
        let elapsed = read(&self.stopwatch).elapsed();
        let mut leap = lock(&self.leap);
        let leaped_to = leap.map(|leap| leap.to);
        let mut clock = SweepClock { latest: self.latest(), leaped_to };
        let since_leap = leap.map(|leap| elapsed.saturating_sub(leap.seen_at));
        let believed = clock.believe(now, self.lifetimes().clock_leap(), since_leap);
        self.latest.fetch_max(clock.latest.as_unix_millis(), SeqCst);
        *leap = clock.leaped_to.map(|to| leap.unwrap_or(Leap { to, seen_at: elapsed }));
        believed
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("latest", &self.latest()).finish_non_exhaustive()
    }
}
