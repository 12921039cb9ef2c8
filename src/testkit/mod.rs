//! Contract suites: does a store or an authenticator of your own keep its promises?
//!
//! [`TokenStore`](crate::store::TokenStore) has two methods, and most of what they promise cannot be seen in their types:
//! that dead stays dead, for every interleaving, across restarts and sweeps and dropped futures. Each suite here is a list
//! of cases, each case one way in which stores have broken such a promise. They have names, reasons, and no dependencies.
//!
//! # Ten lines
//!
//! ```
//! use std::time::Duration;
//!
//! use annul::store::{Lifetimes, StoreError};
//! use annul::testkit::{Ability, Fixture, feed, issuance, store, sweep};
//! use annul::{MemoryStore, Namespace};
//!
//! async fn fresh() -> Result<Fixture, StoreError> {
//!     // The cases jump in time, so no clock leaps.
//!     let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
//!     let store = MemoryStore::new().with_lifetimes(lifetimes);
//!     let (again, dump) = (store.clone(), store.clone());
//!     let handle = |store: MemoryStore| {
//!         Fixture::ledger(store.clone()).sweep(store.clone()).feed(store)
//!     };
//!     let neighbour = handle(store.namespace(&Namespace::new("other")));
//!     Ok(handle(store)
//!         .neighbour(neighbour)
//!         .second_handle(move || std::future::ready(Ok(handle(again.clone()))))
//!         .contents(move || std::future::ready(Ok(format!("{:?}", dump.usage()))))
//!         .on_threads())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // It dies with the process, and what it does has no operations to count: the benches measure that.
//! let lacking = [Ability::Restart, Ability::Operations];
//! store::suite().run(&fresh).await.assert_held_except_for(&lacking);
//! issuance::suite().run(&fresh).await.assert_held_except_for(&lacking);
//! sweep::suite().run(&fresh).await.assert_held();
//! feed::suite().run(&fresh).await.assert_held_except_for(&lacking);
//! # }
//! ```
//!
//! A store that implements `TokenStore` alone runs [`store::suite`], and says how tokens get in: [`PutToken`], one
//! method over the tables that the host has. An authenticator runs [`client::suite`] over [`client::Clients`].
//!
//! # What a report says
//!
//! [`Suite::run`] runs every case, each on fixtures of its own, and its [`Report`] has three lists: what held, what is
//! violated, and what was *not checked*, because the fixture lacks an [`Ability`] that the case needs. Nothing is
//! skipped in silence: [`Report::assert_held`] fails for a case that was not checked, and
//! [`Report::assert_held_except_for`] wants to be told what may be missing.
//!
//! One mistake can break many cases. Each case has a [`Rank`], which says what it builds on. A report lists violations in that
//! order, and begins with the one to read first: mend that, and run again.
//!
//! Every case is a function as well, to be run alone while you mend it:
//!
//! ```
//! # use annul::{MemoryStore, testkit::{self, Fixture}};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), testkit::NotProven> {
//! let fresh = || std::future::ready(Ok(Fixture::ledger(MemoryStore::new())));
//! testkit::issuance::a_consumed_token_that_comes_back_ends_its_family(&fresh).await?;
//!
//! let case = testkit::store::suite().case("a_hint_never_hides_a_token").unwrap();
//! println!("{}: {}", case.name(), case.why());
//! case.run(&fresh).await
//! # }
//! ```
//!
//! # Time, chance, and runtimes
//!
//! Instants are passed in, as everywhere in this crate: the cases jump hours and years ahead, and back again.
//! A store whose sweeps do not believe a clock that leaps would remove nothing, and fail. Open it for the suites with
//! [`Lifetimes::with_clock_leap`](crate::store::Lifetimes::with_clock_leap) and [`Duration::MAX`](std::time::Duration::MAX).
//! The other [`Lifetimes`](crate::store::Lifetimes) may be the default ones. Something may be in flight for an hour, so
//! set no less.
//!
//! [`Fixture::starting_at`] and [`Fixture::clock`] are for stores that look at a clock. Chance comes out of a seeded generator, and a violation that it led to names the seed.
//!
//! The futures are awaited by your own test runtime, and the suites bring none. Racers need one thing more: something
//! that runs futures beside each other. [`Fixture::on_threads`] is for stores whose futures need nothing around them;
//! [`Fixture::spawning`] hands them to the runtime that a connection pool lives in. Without either they take turns on
//! one task, at awaits only, and the case is listed as not checked though it held so far.
//!
//! Races run over one handle and over two, round by round, as chance has it. A lock within the process hides the lack of a
//! transaction from one handle. So a race needs [`Fixture::second_handle`] too. Without it the case is listed as not
//! checked though it held over one.
//!
//! Dropped futures are polled as often as they are woken, once more in each attempt, and dropped where they wait, until
//! one completes: so every await in your code is once the last.
//!
//! # What they cannot show
//!
//! A process that is killed, a disk that lies, a partition of the network, and a bug that one run in a million meets.
//! Restarts here are clean: the handle is dropped. Kill yours in a test of your own.

pub mod client;
mod drive;
pub mod feed;
mod fixture;
mod handles;
pub mod issuance;
mod model;
mod proof;
mod random;
mod scene;
pub mod store;
mod suite;
pub mod sweep;
pub mod vectors;

pub use drive::Task;
pub use fixture::{Fixture, Put, PutToken, Subject};
pub use proof::{Ability, NotProven, Violation};
pub use suite::{Case, Rank, Report, Suite};
