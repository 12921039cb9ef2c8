//! How much is forgiven, and how fast: the arithmetic of one bucket.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};

/// So many at once, and after that one for each time that passes.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use annul::throttle::Quota;
///
/// // Ten failures; then one a minute.
/// let strict = Quota::new(NonZeroU32::new(10).unwrap(), Duration::from_secs(60));
/// assert_eq!(strict.burst.get(), 10);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Quota {
    /// How many at once.
    pub burst: NonZeroU32,
    /// The time in which one of them is regained. Zero: nothing is counted.
    pub per: Duration,
}

impl Quota {
    /// `burst` at once, one of them regained every `per`.
    pub const fn new(burst: NonZeroU32, per: Duration) -> Self {
        Self { burst, per }
    }
}

/// A [`Quota`], made ready to calculate with. All times are nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    quota: governor::Quota,
    /// How long an empty bucket takes to be full again: none ever lacks more.
    pub(super) most: u64,
}

/// A hundred years: whoever writes `Duration::MAX` means it, and sums of these must not overflow.
const FOREVER: u64 = 100 * 365 * 24 * 3_600 * 1_000_000_000;

impl Rate {
    /// None where nothing is counted.
    pub(super) fn new(quota: Quota) -> Option<Self> {
        let burst = u64::from(quota.burst.get());
        let per = u64::try_from(quota.per.as_nanos()).unwrap_or(u64::MAX).min(FOREVER / burst);
        let quota =
            governor::Quota::with_period(Duration::from_nanos(per))?.allow_burst(quota.burst);
        Some(Self { quota, most: per * burst })
    }

    /// One more, in a bucket that lacks this much time until it is full: what it lacks then.
    ///
    /// # Errors
    ///
    /// - Nothing is left: the time until something is.
    pub(super) fn take(self, lacks: u64) -> Result<u64, Duration> {
        let limiter = governor::RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(
            self.quota,
            Bucket(Cell::new(lacks)),
            Present,
        );
        match limiter.check() {
            Ok(()) => Ok(limiter.into_state_store().0.get()),
            Err(refused) => Err(refused.wait_time_from(Present.now())),
        }
    }
}

/// The time is always zero: governor is only asked about the present, and everything it keeps is relative to it.
/// So there is no clock that it could be wrong about, and no sum that could overflow in some far year.
struct Present;

impl Clock for Present {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::default()
    }
}

/// One bucket for the length of one question, outside of any table.
struct Bucket(Cell<u64>);

impl StateStore for Bucket {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (decision, lacks) = decide(Some(self.0.get().into()))?;
        self.0.set(lacks.into());
        Ok(decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn quota(burst: u32, per: Duration) -> Quota {
        Quota::new(NonZeroU32::new(burst).unwrap(), per)
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_one_for_each_period() {
        let rate = Rate::new(quota(3, Duration::from_secs(10))).unwrap();
        let after = |lacks| rate.take(lacks);
        assert_eq!(after(0), Ok(10 * SECOND));
        assert_eq!(after(10 * SECOND), Ok(20 * SECOND));
        assert_eq!(after(20 * SECOND), Ok(30 * SECOND));
        assert_eq!(after(30 * SECOND), Err(Duration::from_secs(10)));
        assert_eq!(after(30 * SECOND - 1), Err(Duration::from_nanos(10 * SECOND - 1)));
        assert_eq!(after(20 * SECOND + 1), Err(Duration::from_nanos(1)));
        assert_eq!(rate.most, 30 * SECOND);
    }

    #[test]
    fn no_quota_is_too_wide_or_too_slow_to_calculate_with() {
        for burst in [1, 2, 1_000, u32::MAX] {
            for per in [Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX] {
                let rate = Rate::new(quota(burst, per)).unwrap();
                assert!(rate.most <= FOREVER && rate.most >= u64::from(burst));
                assert!(rate.take(0).is_ok());
                assert!(rate.take(rate.most).is_err(), "{burst} {per:?}");
            }
        }
    }

    #[test]
    fn no_time_at_all_means_that_nothing_is_counted() {
        assert!(Rate::new(quota(1, Duration::ZERO)).is_none());
    }
}
