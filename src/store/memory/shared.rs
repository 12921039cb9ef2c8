//! What all namespaces share: the lifetimes, and the latest time that the store has seen.

use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use crate::clock::{Stopwatch, SystemStopwatch, Timestamp};
use crate::store::Lifetimes;
use crate::store::memory::shards::{lock, read, write};
use crate::store::rules::{LeapWatch, SweepClock};

pub(super) struct Shared {
    lifetimes: RwLock<Lifetimes>,
    stopwatch: RwLock<Arc<dyn Stopwatch>>,
    /// [`SweepClock::latest`], which every writer reads.
    latest: AtomicU64,
    /// Whether [`Leap::to`] is something, which every writer reads.
    leaps: AtomicBool,
    leap: Mutex<Leap>,
}

/// A clock that was found ahead.
#[derive(Clone, Copy, Default)]
struct Leap {
    /// [`SweepClock::leaped_to`].
    to: Option<Timestamp>,
    watch: LeapWatch,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            lifetimes: RwLock::default(),
            stopwatch: RwLock::new(Arc::new(SystemStopwatch::start())),
            latest: AtomicU64::new(0),
            leaps: AtomicBool::new(false),
            leap: Mutex::default(),
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

    /// Takes note of the time of an issue, a rotation or a revocation.
    pub(super) fn note(&self, now: Timestamp, lifetimes: &Lifetimes) {
        let mut clock = SweepClock { latest: self.latest(), leaped_to: None };
        if clock.note(now, lifetimes) {
            self.latest.fetch_max(clock.latest.as_unix_millis(), SeqCst);
        }
        if self.leaps.load(SeqCst) {
            self.with_clock(|clock, _| clock.note(now, lifetimes));
        }
    }

    /// Decides whether a sweep believes the clock. If not, by how much it is ahead.
    pub(super) fn believe(&self, now: Timestamp) -> Result<(), Duration> {
        let elapsed = read(&self.stopwatch).elapsed();
        self.with_clock(|clock, watch| watch.believe(clock, now, &self.lifetimes(), elapsed))
    }

    fn with_clock<T>(&self, decide: impl FnOnce(&mut SweepClock, &mut LeapWatch) -> T) -> T {
        let mut leap = lock(&self.leap);
        let mut clock = SweepClock { latest: self.latest(), leaped_to: leap.to };
        let decided = decide(&mut clock, &mut leap.watch);
        self.latest.fetch_max(clock.latest.as_unix_millis(), SeqCst);
        leap.to = clock.leaped_to;
        self.leaps.store(leap.to.is_some(), SeqCst);
        decided
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("latest", &self.latest()).finish_non_exhaustive()
    }
}
