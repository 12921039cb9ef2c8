//! What every suite is made of: cases, and the report.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::testkit::fixture::{Fixture, Subject};
use crate::testkit::proof::{Ability, NotProven, Proof, Violation};

pub(super) type Proving<'s> = Pin<Box<dyn Future<Output = Proof> + Send + 's>>;

/// Which cases a case builds on: which of several violations to look at first.
///
/// The author of a case gives it a rank. It is no diagnosis: a store may be wrong in two ways.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rank {
    /// What all others build on: that what was written is found, and that a revocation ends what it names.
    Basis,
    /// One rule, by one caller, in its turn.
    Rule,
    /// Callers at the same time, dropped calls, other handles, restarts, odd clocks, and chance.
    Trial,
}

/// One clause of a contract: a name, the reason it exists, and the code that tries to break it.
#[derive(Clone, Copy)]
pub struct Case<F: 'static = Fixture> {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
    pub(super) rank: Rank,
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

    /// Which cases it builds on.
    pub const fn rank(&self) -> Rank {
        self.rank
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
        let mut violations = Vec::new();
        for case in self.cases {
            match case.run(subject).await {
                Ok(()) => report.held.push(case.name),
                Err(NotProven::Lacks(ability)) => report.not_checked.push((case.name, ability)),
                Err(NotProven::Violated(violation)) => violations.push((case.rank, violation)),
            }
        }
        // The sort is stable: within a rank, in the order of the suite.
        violations.sort_by_key(|(rank, _)| *rank);
        report.violations = violations.into_iter().map(|(_, violation)| violation).collect();
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

    /// The cases that do not hold: those of the lowest [`Rank`] first, and within a rank in the order of the suite.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The violation to look at first: the others may be its consequences.
    pub fn read_first(&self) -> Option<&Violation> {
        self.violations.first()
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
        if let Some(first) = self.read_first().filter(|_| self.violations.len() > 1) {
            writeln!(f, "read first: {}: {}", first.case(), first.why().trim())?;
        }
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
/// the reason that reports give. The cases stand under their [`Rank`].
macro_rules! suite {
    (
        $suite:literal of $Fixture:ty:
        $($rank:ident { $($(#[doc = $why:literal])+ $module:ident::$case:ident,)+ })+
    ) => {
        $($(
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
        )+)+

        /// Every case.
        pub const fn suite() -> $crate::testkit::Suite<$Fixture> {
            $crate::testkit::Suite {
                name: $suite,
                cases: &[$($($crate::testkit::Case {
                    name: stringify!($case),
                    why: concat!($($why),+),
                    rank: $crate::testkit::Rank::$rank,
                    run: |subject| Box::pin($case(subject)),
                },)+)+],
            }
        }
    };
}
pub(super) use suite;
