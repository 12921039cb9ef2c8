//! Forgetting what can no longer matter.

use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::StoreError;

/// Forgets what can no longer matter.
#[async_trait]
pub trait Sweep: Send + Sync {
    /// Removes at most `budget.rows` records whose time has come at `now`.
    ///
    /// Called by the host's timer, or by [`Authority::sweep`](crate::Authority::sweep). Only time decides what goes: the
    /// records of tokens and sessions first, a revocation after the last one that it covers. Safe to call from several places
    /// at once, and to stop half way.
    ///
    /// A clock that leaps is not believed: nothing is removed, and [`Swept::clock_leap`] says so. Nothing that is removed
    /// makes a token good that is still found, whatever the clock shows.
    ///
    /// # Errors
    ///
    /// - [`Unavailable`](crate::store::StoreErrorKind::Unavailable): nothing or a part was removed; call again later.
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError>;
}

/// How much one [`Sweep::sweep`] may do.
///
/// ```
/// use annul::store::SweepBudget;
///
/// assert_eq!(SweepBudget::rows(500).max_rows(), 500);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SweepBudget {
    rows: usize,
}

impl SweepBudget {
    /// At most this many records, where zero counts as one: a sweep that may do nothing would never be done.
    pub const fn rows(rows: usize) -> Self {
        Self { rows: if rows == 0 { 1 } else { rows } }
    }

    /// At most how many records.
    pub const fn max_rows(self) -> usize {
        self.rows
    }
}

impl Default for SweepBudget {
    /// 1 000 records: well under a millisecond in memory.
    fn default() -> Self {
        Self::rows(1_000)
    }
}

/// What one [`Sweep::sweep`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// How many records were removed.
    pub removed: usize,
    /// Whether the budget ran out first: call again soon.
    pub more: bool,
    /// By how much the clock is ahead of the latest time that the store has seen, where that is too much to be believed: then
    /// nothing was removed. If the clock is right because the machine was off, it is believed after a while; see
    /// [`SweepClock`](crate::store::rules::SweepClock).
    pub clock_leap: Option<Duration>,
}

impl Swept {
    /// What a sweep reports.
    pub const fn new(removed: usize, more: bool) -> Self {
        Self { removed, more, clock_leap: None }
    }

    /// What a sweep reports that does not believe the clock.
    pub const fn held_back(clock_leap: Duration) -> Self {
        Self { removed: 0, more: false, clock_leap: Some(clock_leap) }
    }
}
