//! What a case may come to: proven, violated, or not checked for lack of an ability.

use std::fmt;

use crate::error::StoreError;

/// Something that a store can do, or that can be seen of it, and that a case needs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Ability {
    /// Tells what it holds, to see that nothing changed: [`Fixture::contents`](crate::testkit::Fixture::contents).
    Contents,
    /// Implements [`RevocationFeed`](crate::store::RevocationFeed): [`Fixture::feed`](crate::testkit::Fixture::feed).
    Feed,
    /// Implements [`TokenLedger`](crate::store::TokenLedger): [`Fixture::ledger`](crate::testkit::Fixture::ledger).
    Ledger,
    /// Serves several tenants: [`Fixture::neighbour`](crate::testkit::Fixture::neighbour).
    Namespaces,
    /// Counts what it asks of its engine: [`Fixture::operations`](crate::testkit::Fixture::operations).
    Operations,
    /// Can be had with its registry out of order: [`Clients::out_of_order`](crate::testkit::client::Clients::out_of_order).
    OutOfOrder,
    /// Can be used from several threads or tasks at once, and the kit was told how: [`Fixture::on_threads`](crate::testkit::Fixture::on_threads),
    /// [`Fixture::spawning`](crate::testkit::Fixture::spawning). Without it racers take turns on one task, at awaits only.
    Parallel,
    /// Has a place for such a token, be it an offline one, one without a user, or a consumed one:
    /// [`Put::NoPlace`](crate::testkit::Put::NoPlace) says no.
    Place,
    /// Knows credentials that are to be refused: [`Clients::refuses`](crate::testkit::client::Clients::refuses).
    Refusals,
    /// Keeps its data when it is closed: [`Fixture::restarting`](crate::testkit::Fixture::restarting).
    Restart,
    /// Can be opened a second time while it is open: [`Fixture::second_handle`](crate::testkit::Fixture::second_handle).
    SecondHandle,
    /// Has a client with a secret: [`Login::basic`](crate::testkit::client::Login::basic),
    /// [`Login::post`](crate::testkit::client::Login::post).
    Secrets,
    /// Implements [`Sweep`](crate::store::Sweep): [`Fixture::sweep`](crate::testkit::Fixture::sweep).
    Sweep,
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Contents => "a look at its contents",
            Self::Feed => "a RevocationFeed",
            Self::Ledger => "a TokenLedger",
            Self::Namespaces => "a second namespace",
            Self::Operations => "a count of its operations",
            Self::OutOfOrder => "an authenticator whose registry is out of order",
            Self::Parallel => "threads or tasks beside each other",
            Self::Place => "a place for such tokens",
            Self::Refusals => "credentials that are to be refused",
            Self::Restart => "data that outlive it",
            Self::Secrets => "a client with a secret",
            Self::SecondHandle => "a second handle on the same data",
            Self::Sweep => "a Sweep",
        })
    }
}

/// Why a case did not hold.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a case was checked or was not")]
pub enum NotProven {
    /// The fixture lacks what the case needs.
    Lacks(Ability),
    /// The contract is broken.
    Violated(Violation),
}

/// One broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    case: &'static str,
    why: &'static str,
    seen: String,
}

impl Violation {
    /// The case, by the name of its function.
    pub const fn case(&self) -> &'static str {
        self.case
    }

    /// Why that case exists.
    pub const fn why(&self) -> &'static str {
        self.why
    }

    /// What was seen, with the seed where chance had a part.
    pub fn seen(&self) -> &str {
        &self.seen
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    because: {}", self.case, self.seen, self.why.trim())
    }
}

impl NotProven {
    /// What a case saw; its name and reason are added where it returns.
    pub(super) fn seen(seen: impl Into<String>) -> Self {
        Self::Violated(Violation { case: "", why: "", seen: seen.into() })
    }

    pub(super) fn of(self, case: &'static str, why: &'static str) -> Self {
        match self {
            Self::Lacks(ability) => Self::Lacks(ability),
            Self::Violated(violation) => Self::Violated(Violation { case, why, ..violation }),
        }
    }

    /// Says where it was, in front of what was seen.
    pub(super) fn within(self, place: impl fmt::Display) -> Self {
        match self {
            Self::Lacks(ability) => Self::Lacks(ability),
            Self::Violated(violation) => Self::seen(format!("{place}: {}", violation.seen)),
        }
    }
}

impl fmt::Display for NotProven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks(ability) => write!(f, "not checked: needs {ability}"),
            Self::Violated(violation) => violation.fmt(f),
        }
    }
}

impl std::error::Error for NotProven {}

impl From<StoreError> for NotProven {
    fn from(error: StoreError) -> Self {
        let mut seen = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            seen = format!("{seen}: {error}");
            cause = error.source();
        }
        Self::seen(seen)
    }
}

/// What a case returns.
pub(super) type Proof = Result<(), NotProven>;

/// Returns what was seen, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($seen:tt)+) => {
        if !$holds {
            return Err($crate::testkit::NotProven::seen(format!($($seen)+)));
        }
    };
}
pub(super) use ensure;
