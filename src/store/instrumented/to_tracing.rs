//! Every call of a store as an event of the `tracing` crate.

use std::error::Error;
use std::fmt;

use crate::error::StoreError;
use crate::store::instrumented::{Observation, Observer, Outcome};

/// Tells `tracing` of every call: an event of the target `annul::store`, within whatever span the caller is in.
///
/// | field | value |
/// |---|---|
/// | `operation` | [`Operation::as_str`](crate::store::instrumented::Operation::as_str) |
/// | `outcome` | [`Outcome::as_str`] |
/// | `elapsed_us` | how long it took, in microseconds |
/// | `records` | how many a sweep removed, or a page of the feed holds; absent otherwise |
/// | `cause` | why it failed, with [`causes`](Self::causes); absent otherwise |
///
/// A store that is corrupt is an `ERROR`; one that is unavailable, a conflict, and a refresh token that came back are a
/// `WARN`; everything else is a `DEBUG`.
///
/// ```
/// use annul::MemoryStore;
/// use annul::store::instrumented::{Instrumented, TracingObserver};
///
/// let store = Instrumented::new(MemoryStore::new(), TracingObserver::new());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver {
    causes: bool,
}

impl TracingObserver {
    /// Without causes.
    pub const fn new() -> Self {
        Self { causes: false }
    }

    /// Says why a call failed, too: the messages of the error and of what caused it.
    ///
    /// # Security
    ///
    /// They are the engine's. A database may name the row that a statement failed on, and a driver the host that it
    /// could not reach. The shipped stores keep tokens and passwords out of theirs; know yours.
    #[must_use]
    pub const fn causes(mut self) -> Self {
        self.causes = true;
        self
    }
}

impl Observer for TracingObserver {
    fn observe(&self, observation: &Observation<'_>) {
        let operation = observation.operation.as_str();
        let outcome = observation.outcome.as_str();
        let elapsed_us = u64::try_from(observation.elapsed.as_micros()).unwrap_or(u64::MAX);
        let records = observation.records;
        let cause = observation.error.filter(|_| self.causes).map(Causes);
        let cause = cause.as_ref().map(tracing::field::display);
        // The level of an event is a constant of the place where it is.
        macro_rules! tell {
            ($Level:ident) => {
                tracing::event!(
                    target: "annul::store",
                    tracing::Level::$Level,
                    operation,
                    outcome,
                    elapsed_us,
                    records,
                    cause,
                    "store call"
                )
            };
        }
        match observation.outcome {
            Outcome::Corrupt => tell!(ERROR),
            Outcome::Conflict
            | Outcome::HeldBack
            | Outcome::Reused
            | Outcome::Unavailable
            | Outcome::Unsupported => tell!(WARN),
            Outcome::Already
            | Outcome::Applied
            | Outcome::AppliedInGrace
            | Outcome::BornDead
            | Outcome::Done
            | Outcome::Dropped
            | Outcome::Found
            | Outcome::Gap
            | Outcome::Live
            | Outcome::Newly
            | Outcome::NotFound
            | Outcome::Refused => tell!(DEBUG),
        }
    }
}

/// An error with all that caused it, in one line.
struct Causes<'a>(&'a StoreError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
