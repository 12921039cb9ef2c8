//! What every suite is made of: cases, the subject they run on, and the report.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use async_trait::async_trait;

use crate::store::StoreError;
use crate::testkit::fixture::Fixture;

/// Makes what a case runs on, an empty one for each case.
///
/// Every function without parameters that returns such a future is a subject: most hosts write
/// `async fn fresh() -> Result<Fixture, StoreError>` and pass `&fresh`.
///
/// ```
/// use annul::MemoryStore;
/// use annul::store::StoreError;
/// use annul::testkit::{Fixture, Subject};
///
/// async fn fresh() -> Result<Fixture, StoreError> {
///     Ok(Fixture::ledger(MemoryStore::new()))
/// }
///
/// let subject: &dyn Subject = &fresh;
/// ```
#[async_trait]
pub trait Subject<F = Fixture>: Send + Sync {
    /// An empty fixture that shares nothing with any made before.
    ///
    /// Called at least once by every case, and again and again by those that try something at every await. What it makes
    /// outside the process (a schema, a folder, a key prefix) belongs into the fixture's guard.
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: it could not be made; the case is then reported as violated.
    async fn fresh(&self) -> Result<F, StoreError>;
}

#[async_trait]
impl<F, M, R> Subject<F> for M
where
    M: Fn() -> R + Send + Sync,
    R: Future<Output = Result<F, StoreError>> + Send,
{
    async fn fresh(&self) -> Result<F, StoreError> {
        self().await
    }
}

/// Something that a store can do, or that can be seen of it, and that a case needs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Ability {
    /// Tells what it holds, to see that nothing changed: [`Fixture::contents`].
    Contents,
    /// Implements [`RevocationFeed`](crate::store::RevocationFeed): [`Fixture::feed`].
    Feed,
    /// Implements [`TokenLedger`](crate::store::TokenLedger): [`Fixture::ledger`].
    Ledger,
    /// Serves several tenants: [`Fixture::neighbour`].
    Namespaces,
    /// Counts what it asks of its engine: [`Fixture::operations`].
    Operations,
    /// Can be had with its registry out of order: [`Clients::out_of_order`](crate::testkit::client::Clients::out_of_order).
    OutOfOrder,
    /// Can be used from several threads or tasks at once, and the kit was told how: [`Fixture::on_threads`],
    /// [`Fixture::spawning`]. Without it racers take turns on one task, at awaits only.
    Parallel,
    /// Has a place for such a token, be it an offline one, one without a user, or a consumed one:
    /// [`Put::NoPlace`](crate::testkit::Put::NoPlace) says no.
    Place,
    /// Knows credentials that are to be refused: [`Clients::refuses`](crate::testkit::client::Clients::refuses).
    Refusals,
    /// Keeps its data when it is closed: [`Fixture::restarting`].
    Restart,
    /// Can be opened a second time while it is open: [`Fixture::second_handle`].
    SecondHandle,
    /// Has a client with a secret: [`Login::basic`](crate::testkit::client::Login::basic),
    /// [`Login::post`](crate::testkit::client::Login::post).
    Secrets,
    /// Implements [`Sweep`](crate::store::Sweep): [`Fixture::sweep`].
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

pub(super) type Proving<'s> = Pin<Box<dyn Future<Output = Proof> + Send + 's>>;

/// One clause of a contract: a name, the reason it exists, and the code that tries to break it.
#[derive(Clone, Copy)]
pub struct Case<F: 'static = Fixture> {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    pub(super) run: for<'s> fn(&'s dyn Subject<F>) -> Proving<'s>,
}

impl<F> Case<F> {
    /// The name of its function.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What goes wrong in the world where it does not hold.
    pub fn why(&self) -> &'static str {
        self.why.trim()
    }

    /// Runs it alone.
    ///
    /// # Errors
    ///
    /// - [`NotProven::Violated`]: it does not hold, or the subject panicked.
    /// - [`NotProven::Lacks`]: the subject cannot show it.
    pub async fn run(&self, subject: &dyn Subject<F>) -> Result<(), NotProven> {
        let mut running = pin!((self.run)(subject));
        // A store that panics has broken one case; the others are still worth running.
        std::future::poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(context)));
            polled.unwrap_or_else(|panic| {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
                let seen = format!("panicked: {}", said.unwrap_or("without a word"));
                Poll::Ready(Err(NotProven::seen(seen).of(self.name, self.why)))
            })
        })
        .await
    }
}

impl<F> fmt::Debug for Case<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The cases of one contract.
#[derive(Clone, Copy)]
pub struct Suite<F: 'static = Fixture> {
    pub(super) name: &'static str,
    pub(super) cases: &'static [Case<F>],
}

impl<F> Suite<F> {
    /// The contract: the name of the trait.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Every case, in the order in which they run.
    pub const fn cases(&self) -> &'static [Case<F>] {
        self.cases
    }

    /// The case of this name.
    pub fn case(&self, name: &str) -> Option<&'static Case<F>> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// Runs every case, the later ones too where one does not hold.
    pub async fn run(&self, subject: &dyn Subject<F>) -> Report {
        let mut report = Report { suite: self.name, ..Report::default() };
        for case in self.cases {
            match case.run(subject).await {
                Ok(()) => report.held.push(case.name),
                Err(NotProven::Lacks(ability)) => report.not_checked.push((case.name, ability)),
                Err(NotProven::Violated(violation)) => report.violations.push(violation),
            }
        }
        report
    }
}

impl<F> fmt::Debug for Suite<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("name", &self.name).field("cases", &self.cases).finish()
    }
}

/// What became of every case of a suite.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Report {
    suite: &'static str,
    held: Vec<&'static str>,
    not_checked: Vec<(&'static str, Ability)>,
    violations: Vec<Violation>,
}

impl Report {
    /// The cases that held.
    pub fn held(&self) -> &[&'static str] {
        &self.held
    }

    /// The cases that the subject cannot show, each with what it lacks. They may be broken.
    pub fn not_checked(&self) -> &[(&'static str, Ability)] {
        &self.not_checked
    }

    /// The cases that do not hold.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// For a test: every case held, or could not be checked for lack of one of these.
    ///
    /// # Panics
    ///
    /// With the whole report, if a case is violated, or was not checked for another reason. So an ability that gets
    /// lost on the way fails the test, and does not pass for proven.
    pub fn assert_held_except_for(&self, lacking: &[Ability]) {
        let unexpected = self.not_checked.iter().any(|(_, ability)| !lacking.contains(ability));
        #[expect(clippy::panic, reason = "this is how a test fails")]
        if unexpected || !self.violations.is_empty() {
            panic!("{self}");
        }
    }

    /// For a test: every case held, none was left out.
    ///
    /// # Panics
    ///
    /// As [`assert_held_except_for`](Self::assert_held_except_for).
    pub fn assert_held(&self) {
        self.assert_held_except_for(&[]);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} held, {} violated, {} not checked",
            self.suite,
            self.held.len(),
            self.violations.len(),
            self.not_checked.len(),
        )?;
        for violation in &self.violations {
            writeln!(f, "  violated: {violation}")?;
        }
        for (case, ability) in &self.not_checked {
            writeln!(f, "  not checked: {case}: needs {ability}")?;
        }
        Ok(())
    }
}

/// Makes of each case's code, in a module below, a public function and a row of the suite's table. The doc comment is
/// the reason that reports give.
macro_rules! suite {
    ($suite:literal of $Fixture:ty: $($(#[doc = $why:literal])+ $module:ident::$case:ident,)+) => {
        $(
            $(#[doc = $why])+
            ///
            /// # Errors
            ///
            /// - [`NotProven::Violated`](crate::testkit::NotProven::Violated): it does not hold.
            /// - [`NotProven::Lacks`](crate::testkit::NotProven::Lacks): the subject cannot show it.
            pub async fn $case(
                subject: &dyn $crate::testkit::Subject<$Fixture>,
            ) -> Result<(), $crate::testkit::NotProven> {
                $module::$case(subject)
                    .await
                    .map_err(|unproven| unproven.of(stringify!($case), concat!($($why),+)))
            }
        )+

        /// Every case.
        pub const fn suite() -> $crate::testkit::Suite<$Fixture> {
            $crate::testkit::Suite {
                name: $suite,
                cases: &[$($crate::testkit::Case {
                    name: stringify!($case),
                    why: concat!($($why),+),
                    run: |subject| Box::pin($case(subject)),
                },)+],
            }
        }
    };
}
pub(super) use suite;

/// Returns what was seen, unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($seen:tt)+) => {
        if !$holds {
            return Err($crate::testkit::NotProven::seen(format!($($seen)+)));
        }
    };
}
pub(super) use ensure;
