//! Time as a value: nothing in this crate asks the operating system what time it is, except
//! [`SystemClock`], or how long something took, except [`SystemStopwatch`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Milliseconds, not the seconds of a JWT: a password change and the login after it fall into the
/// same second easily, and only one of the two must survive.
///
/// ```
/// use std::time::Duration;
/// use annul::Timestamp;
///
/// let noon = Timestamp::from_unix_seconds(1_700_000_000);
/// let later = noon + Duration::from_millis(1);
/// assert!(later > noon);
/// assert_eq!(later.as_unix_seconds(), 1_700_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Later than any other instant: the expiry of a token that never expires.
    pub const MAX: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch, as in a JWT's `exp`; saturates at [`Timestamp::MAX`].
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// How far apart two instants are, whichever is first.
    ///
    /// For what was near a kept instant: a clock may have been set back since, or be another machine's.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration::from_millis(self.0.abs_diff(other.0))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_unix_seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::MAX`]: an overflow must not turn a far expiry into a past one.
    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at the Unix epoch.
    fn sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }
}

/// Tells the time.
///
/// # Security
///
/// A clock that runs slow keeps expired tokens alive; one that runs fast ends them early and stamps
/// revocations in the future, which also covers what is granted until then.
pub trait Clock: Send + Sync {
    /// The present instant. Called once for each request that gets as far as a token, and once more whenever a
    /// [`Throttle`](crate::throttle::Throttle) is asked or told.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The operating system's clock.
///
/// ```
/// use annul::{Clock, SystemClock, Timestamp};
///
/// assert!(SystemClock.now() > Timestamp::from_unix_seconds(1_700_000_000));
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit value: there is nothing to add")]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
    fn now(&self) -> Timestamp {
        // Before 1970 the clock is plainly wrong: then the epoch itself is as good an answer.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default() + since
    }
}

/// Says how long something takes, whatever anybody does to the clock.
///
/// A [`Clock`] can be set back, and then an age read off it is too small. A stopwatch cannot; but it may stand still
/// while a virtual machine is suspended, when a clock does not. What must not grow old asks both.
pub trait Stopwatch: Send + Sync {
    /// The time since an instant of its own choosing. Never less than it has shown before, to any thread.
    fn elapsed(&self) -> Duration;
}

impl<S: Stopwatch + ?Sized> Stopwatch for Arc<S> {
    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }
}

/// The operating system's stopwatch.
///
/// ```
/// use annul::{Stopwatch, SystemStopwatch};
///
/// let stopwatch = SystemStopwatch::start();
/// let earlier = stopwatch.elapsed();
/// assert!(stopwatch.elapsed() >= earlier);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemStopwatch(Instant);

impl SystemStopwatch {
    /// A stopwatch that shows the time since now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemStopwatch {
    fn default() -> Self {
        Self::start()
    }
}

impl Stopwatch for SystemStopwatch {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is told to move; for tests. As a stopwatch it shows the time since 1970.
///
/// ```
/// use std::time::Duration;
/// use annul::{Clock, FakeClock, Timestamp};
///
/// let clock = FakeClock::at(Timestamp::from_unix_seconds(1_000));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Timestamp::from_unix_seconds(1_005));
/// ```
pub struct FakeClock(AtomicU64);

impl FakeClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.as_unix_millis()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_unix_millis(), Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::SeqCst))
    }
}

impl Stopwatch for FakeClock {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now().as_unix_millis())
    }
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FakeClock").field(&self.now()).finish()
    }
}
