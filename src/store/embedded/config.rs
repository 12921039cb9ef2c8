//! What is set when a store is opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Stopwatch, SystemStopwatch};
use crate::store::Lifetimes;

/// The shortest time-out and the longest.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(86_400);

/// How an [`EmbeddedStore`](crate::store::EmbeddedStore) is to be opened.
///
/// ```no_run
/// use std::time::Duration;
/// use annul::DigestKey;
/// use annul::store::embedded::EmbeddedOptions;
///
/// # fn main() -> Result<(), annul::store::embedded::OpenError> {
/// let store = EmbeddedOptions::new("/var/lib/my-server/tokens")
///     .time_out(Duration::from_secs(2))
///     .open(&DigestKey::new(&[7; 32]))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EmbeddedOptions {
    pub(super) folder: PathBuf,
    pub(super) lifetimes: Lifetimes,
    pub(super) stopwatch: Arc<dyn Stopwatch>,
    pub(super) time_out: Duration,
    pub(super) cache: u64,
}

impl EmbeddedOptions {
    /// In this folder, which is made where there is none.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            lifetimes: Lifetimes::default(),
            stopwatch: Arc::new(SystemStopwatch::start()),
            time_out: Duration::from_secs(5),
            cache: 128 << 20,
        }
    }

    /// Keeps tokens, sessions and revocations for this long, in all namespaces. What is stored already is kept as it was set
    /// then.
    #[must_use]
    pub const fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Tells a clock that leaps from one that is right, in sweeps, with this stopwatch. For tests.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.stopwatch = Arc::new(stopwatch);
        self
    }

    /// After how long a caller is told that the store is unavailable. By default five seconds; between ten milliseconds and
    /// a day.
    ///
    /// The operation may happen all the same, later: then repeating it changes nothing.
    #[must_use]
    pub fn time_out(mut self, time_out: Duration) -> Self {
        self.time_out = time_out.clamp(SHORTEST, LONGEST);
        self
    }

    /// How many bytes of the data to keep in memory. By default 128 MiB.
    #[must_use]
    pub const fn cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }
}

impl fmt::Debug for EmbeddedOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedOptions")
            .field("folder", &self.folder)
            .field("lifetimes", &self.lifetimes)
            .field("time_out", &self.time_out)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}
