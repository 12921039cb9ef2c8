//! What is told of each call, and who is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{StoreError, StoreErrorKind};

/// Is told of every call of an [`Instrumented`](crate::store::instrumented::Instrumented) store.
///
/// The shipped ones are `TracingObserver` (feature `tracing`) and `MetricsObserver` (feature `metrics`). A pair of
/// observers is one too, and `()` is one that takes no notice.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use annul::store::instrumented::{Observation, Observer};
///
/// /// How often the store did not do what it was asked.
/// #[derive(Default)]
/// struct Failures(AtomicUsize);
///
/// impl Observer for Failures {
///     fn observe(&self, observation: &Observation<'_>) {
///         if observation.outcome.is_failure() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Called once for each call, when it has been answered or nobody waits for the answer any more; in the caller's
    /// own task, so be quick.
    fn observe(&self, observation: &Observation<'_>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, observation: &Observation<'_>) {
        (**self).observe(observation);
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    fn observe(&self, observation: &Observation<'_>) {
        self.0.observe(observation);
        self.1.observe(observation);
    }
}

impl Observer for () {
    fn observe(&self, _observation: &Observation<'_>) {}
}

/// One call of a store: facts, and nothing of what it was about. No token, digest, name or secret is in it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Observation<'a> {
    /// What the store was asked to do.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, waiting for its turn to be polled included.
    pub elapsed: Duration,
    /// How many records a sweep removed, or a page of the feed holds.
    pub records: Option<usize>,
    /// Where there is one. What caused it is the engine's own text, which may hold what the engine was sent: think
    /// before you keep it.
    pub error: Option<&'a StoreError>,
}

impl<'a> Observation<'a> {
    /// A call without records or an error: for tests of an observer.
    pub const fn new(operation: Operation, outcome: Outcome, elapsed: Duration) -> Self {
        Self { operation, outcome, elapsed, records: None, error: None }
    }

    /// Says how many records it was about.
    #[must_use]
    pub const fn with_records(mut self, records: usize) -> Self {
        self.records = Some(records);
        self
    }

    /// Says what went wrong.
    #[must_use]
    pub const fn with_error(mut self, error: &'a StoreError) -> Self {
        self.error = Some(error);
        self
    }
}

/// What a store was asked to do: a method of one of its traits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Operation {
    /// [`RevocationFeed::changes`](crate::store::RevocationFeed::changes)
    Changes,
    /// [`TokenStore::find`](crate::store::TokenStore::find)
    Find,
    /// [`TokenLedger::issue`](crate::store::TokenLedger::issue)
    Issue,
    /// [`TokenLedger::open_session`](crate::store::TokenLedger::open_session)
    OpenSession,
    /// [`TokenStore::revoke`](crate::store::TokenStore::revoke)
    Revoke,
    /// [`TokenLedger::rotate`](crate::store::TokenLedger::rotate)
    Rotate,
    /// [`TokenLedger::session`](crate::store::TokenLedger::session)
    Session,
    /// [`Sweep::sweep`](crate::store::Sweep::sweep)
    Sweep,
}

impl Operation {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changes => "changes",
            Self::Find => "find",
            Self::Issue => "issue",
            Self::OpenSession => "open_session",
            Self::Revoke => "revoke",
            Self::Rotate => "rotate",
            Self::Session => "session",
            Self::Sweep => "sweep",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// A revocation that changed nothing.
    Already,
    /// A refresh token was rotated.
    Applied,
    /// A refresh token was rotated once more, within the grace window.
    AppliedInGrace,
    /// Tokens were issued that a revocation covers already.
    BornDead,
    /// The store answered [`StoreErrorKind::Conflict`].
    Conflict,
    /// The store answered [`StoreErrorKind::Corrupt`].
    Corrupt,
    /// A session was recorded, a sweep or a page of the feed is complete.
    Done,
    /// Nobody waited for the answer: the caller hung up, or ran out of patience. What was asked is perhaps done.
    Dropped,
    /// A token or a session is known.
    Found,
    /// A reader of the feed has to begin again.
    Gap,
    /// Tokens were issued that are good.
    Live,
    /// A revocation that is news.
    Newly,
    /// A token or a session is not known.
    NotFound,
    /// A refresh token was not rotated.
    Refused,
    /// A consumed refresh token was presented again: most likely a theft.
    Reused,
    /// A sweep removed nothing, because the clock leaps.
    HeldBack,
    /// The store answered [`StoreErrorKind::Unavailable`].
    Unavailable,
    /// The store answered [`StoreErrorKind::Unsupported`].
    Unsupported,
}

impl Outcome {
    /// Its name, in lower case with underscores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Already => "already",
            Self::Applied => "applied",
            Self::AppliedInGrace => "applied_in_grace",
            Self::BornDead => "born_dead",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Done => "done",
            Self::Dropped => "dropped",
            Self::Found => "found",
            Self::Gap => "gap",
            Self::Live => "live",
            Self::Newly => "newly",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Reused => "reused",
            Self::HeldBack => "held_back",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
        }
    }

    /// Whether the caller was left without an answer, or with an error.
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Conflict | Self::Corrupt | Self::Dropped | Self::Unavailable | Self::Unsupported
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<StoreErrorKind> for Outcome {
    fn from(kind: StoreErrorKind) -> Self {
        match kind {
            StoreErrorKind::Conflict => Self::Conflict,
            StoreErrorKind::Corrupt => Self::Corrupt,
            StoreErrorKind::Unavailable => Self::Unavailable,
            StoreErrorKind::Unsupported => Self::Unsupported,
        }
    }
}
