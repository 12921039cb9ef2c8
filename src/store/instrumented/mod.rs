//! A store that is watched: every call, its outcome, and how long it took.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Stopwatch, SystemStopwatch, Timestamp};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod observer;
#[cfg(feature = "metrics")]
mod to_metrics;
#[cfg(feature = "tracing")]
mod to_tracing;

pub use observer::{Observation, Observer, Operation, Outcome};
#[cfg(feature = "metrics")]
pub use to_metrics::MetricsObserver;
#[cfg(feature = "tracing")]
pub use to_tracing::TracingObserver;

/// A store, and somebody who is told of each of its calls.
///
/// It goes around any store, and has whichever of the traits that has. Around a
/// [`Layered`](crate::store::Layered) it watches what callers see, inside of one what the engine does.
///
/// ```
/// use std::sync::Arc;
/// use annul::client::RegisteredClients;
/// use annul::store::instrumented::{Instrumented, Observation, Observer};
/// use annul::{Authority, MemoryStore};
///
/// struct Lines;
///
/// impl Observer for Lines {
///     fn observe(&self, observation: &Observation<'_>) {
///         let Observation { operation, outcome, elapsed, .. } = observation;
///         println!("{operation}: {outcome} after {elapsed:?}");
///     }
/// }
///
/// let store = Arc::new(Instrumented::new(MemoryStore::new(), Lines));
/// let authority = Authority::new(store, RegisteredClients::default());
/// ```
///
/// Where the observer is a pair, both are told: `(TracingObserver::new(), MetricsObserver::new())`.
/// [`RevocationFeed::changed`] is not observed: it is a wait, and most of them are given up.
pub struct Instrumented<S> {
    store: S,
    observer: Arc<dyn Observer>,
    stopwatch: Arc<dyn Stopwatch>,
}

impl<S> Instrumented<S> {
    /// Tells `observer` of every call of `store`.
    pub fn new(store: S, observer: impl Observer + 'static) -> Self {
        Self { store, observer: Arc::new(observer), stopwatch: Arc::new(SystemStopwatch::start()) }
    }

    /// Measures with this stopwatch. For tests.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.stopwatch = Arc::new(stopwatch);
        self
    }

    async fn observed<T: Observable + Send>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>
    where
        S: Sync,
    {
        let call_observed = Call {
            operation,
            observer: self.observer.as_ref(),
            stopwatch: self.stopwatch.as_ref(),
            began: self.stopwatch.elapsed(),
            is_over: false,
        };
        let answer = call.await;
        call_observed.answered(&answer);
        answer
    }
}

impl<S: fmt::Debug> fmt::Debug for Instrumented<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instrumented").field("store", &self.store).finish_non_exhaustive()
    }
}

/// A call that is under way. One that is given up was a call too.
struct Call<'a> {
    operation: Operation,
    observer: &'a dyn Observer,
    stopwatch: &'a dyn Stopwatch,
    began: Duration,
    is_over: bool,
}

impl<'a> Call<'a> {
    fn answered<T: Observable>(mut self, answer: &Result<T, StoreError>) {
        self.is_over = true;
        let observation = match answer {
            Ok(answer) => {
                let observation = self.observation(answer.outcome());
                match answer.records() {
                    Some(records) => observation.with_records(records),
                    None => observation,
                }
            }
            Err(error) => self.observation(error.kind().into()).with_error(error),
        };
        self.observer.observe(&observation);
    }

    fn observation<'e>(&self, outcome: Outcome) -> Observation<'e> {
        let elapsed = self.stopwatch.elapsed().saturating_sub(self.began);
        Observation::new(self.operation, outcome, elapsed)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.observer.observe(&self.observation(Outcome::Dropped));
        }
    }
}

/// An answer, as far as it may be told.
trait Observable {
    fn outcome(&self) -> Outcome;

    fn records(&self) -> Option<usize> {
        None
    }
}

impl Observable for Option<TokenRecord> {
    fn outcome(&self) -> Outcome {
        if self.is_some() { Outcome::Found } else { Outcome::NotFound }
    }
}

impl Observable for Option<Session> {
    fn outcome(&self) -> Outcome {
        if self.is_some() { Outcome::Found } else { Outcome::NotFound }
    }
}

impl Observable for Revoked {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Already => Outcome::Already,
            Self::Newly => Outcome::Newly,
        }
    }
}

impl Observable for Issued {
    fn outcome(&self) -> Outcome {
        match self {
            Self::BornDead { .. } => Outcome::BornDead,
            Self::Live => Outcome::Live,
        }
    }
}

impl Observable for Rotated {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Applied(_) => Outcome::Applied,
            Self::AppliedInGrace(_) => Outcome::AppliedInGrace,
            Self::Refused(_) => Outcome::Refused,
            Self::Reused(_) => Outcome::Reused,
        }
    }
}

impl Observable for () {
    fn outcome(&self) -> Outcome {
        Outcome::Done
    }
}

impl Observable for Swept {
    fn outcome(&self) -> Outcome {
        match self.clock_leap {
            Some(_) => Outcome::HeldBack,
            None => Outcome::Done,
        }
    }

    fn records(&self) -> Option<usize> {
        Some(self.removed)
    }
}

impl Observable for Changes {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Gap => Outcome::Gap,
            Self::Page(_) => Outcome::Done,
        }
    }

    fn records(&self) -> Option<usize> {
        match self {
            Self::Gap => None,
            Self::Page(page) => Some(page.entries().len()),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: TokenStore> TokenStore for Instrumented<S> {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.observed(Operation::Find, self.store.find(token, hint)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.observed(Operation::Revoke, self.store.revoke(revocation)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: TokenLedger> TokenLedger for Instrumented<S> {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.observed(Operation::Issue, self.store.issue(grant, tokens, now)).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.observed(Operation::Rotate, self.store.rotate(rotation)).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.observed(Operation::OpenSession, self.store.open_session(session)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.observed(Operation::Session, self.store.session(id)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Sweep> Sweep for Instrumented<S> {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        self.observed(Operation::Sweep, self.store.sweep(now, budget)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: RevocationFeed> RevocationFeed for Instrumented<S> {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.observed(Operation::Changes, self.store.changes(after, limit)).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        self.store.changed(after).await
    }
}
