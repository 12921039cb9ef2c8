//! How many threads hash, how many secrets wait for them, and what is remembered.

use std::thread;
use std::time::Duration;

/// How much hashing there may be.
///
/// ```
/// use annul::client::HashingLimits;
///
/// let mut limits = HashingLimits::default();
/// limits.workers = 2;
/// limits.queue = 16;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HashingLimits {
    /// Threads that hash, at least one; each needs the memory that the hashes ask for, 19 MiB by default. Default:
    /// half the processors.
    pub workers: usize,
    /// Secrets that may wait for a worker, at least one. The last one waits for the time of twice as many hashes,
    /// divided by the workers. Default: 64.
    pub queue: usize,
    /// Secrets that are remembered to have matched, as keyed digests; none where it is 0. Default: 1,024.
    pub remembered: usize,
    /// How long one is remembered. A hash that is no longer registered is never answered from memory. Default: 60
    /// seconds.
    pub remembered_for: Duration,
}

impl Default for HashingLimits {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            workers: (processors / 2).max(1),
            queue: 64,
            remembered: 1_024,
            remembered_for: Duration::from_secs(60),
        }
    }
}
