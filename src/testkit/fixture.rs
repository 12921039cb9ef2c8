//! What a case of the store suites runs on: an empty store, and what else can be done with it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::{FakeClock, Timestamp};
use crate::error::StoreError;
use crate::store::{Retention, RevocationFeed, Sweep, TokenLedger, TokenStore};
use crate::testkit::drive;
use crate::testkit::drive::{Spawn, Task};
use crate::testkit::proof::{Ability, NotProven};
use crate::token::{Grant, NewToken};

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

/// Puts tokens into a store that only finds and revokes them, as the host's token endpoint does.
///
/// Stores that implement [`TokenLedger`] need none: they issue.
#[async_trait]
pub trait PutToken: Send + Sync {
    /// Records one token of `grant`, issued at `now`.
    ///
    /// Called before the token is looked for, and beside revocations. What covers the token already must go on
    /// covering it.
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: it was not recorded; the case is then reported as violated.
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Put, StoreError>;
}

#[async_trait]
impl<T: PutToken + ?Sized> PutToken for Arc<T> {
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        (**self).put(grant, token, now).await
    }
}

/// What [`PutToken::put`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a token is recorded or is not")]
pub enum Put {
    /// The token is recorded.
    Done,
    /// The host's tables have no place for such a token: one without a user, an offline one, one that was consumed.
    /// What would be tried with it is listed as not checked.
    NoPlace,
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send>>;
type Probe<T> = Arc<dyn Fn() -> Answer<T> + Send + Sync>;

/// An empty store, and what else the subject can show of it.
///
/// Only the store is needed. What is not given is listed in the report as not checked.
///
/// ```
/// use annul::testkit::Fixture;
/// use annul::{MemoryStore, Namespace};
///
/// let store = MemoryStore::new();
/// let other = store.namespace(&Namespace::new("other"));
/// let fixture = Fixture::ledger(store.clone())
///     .sweep(store.clone())
///     .neighbour(Fixture::ledger(other))
///     .on_threads();
/// ```
pub struct Fixture {
    store: Arc<dyn TokenStore>,
    put: Arc<dyn PutToken>,
    ledger: Option<Arc<dyn TokenLedger>>,
    sweep: Option<Arc<dyn Sweep>>,
    feed: Option<Arc<dyn RevocationFeed>>,
    neighbour: Option<Box<Self>>,
    second_handle: Option<Arc<dyn Subject>>,
    restarting: Option<Arc<dyn Subject>>,
    operations: Option<Probe<u64>>,
    contents: Option<Probe<String>>,
    spawn: Option<Spawn>,
    clock: Option<Arc<FakeClock>>,
    exact: Option<Retention>,
    start: Timestamp,
    rounds: usize,
    seed: u64,
    /// Last: they go after what uses them.
    guards: Vec<Box<dyn Any + Send + Sync>>,
}

/// A [`TokenLedger`] puts tokens in by issuing them.
struct Issuing(Arc<dyn TokenLedger>);

#[async_trait]
impl PutToken for Issuing {
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        self.0.issue(grant.clone(), std::slice::from_ref(token), now).await?;
        Ok(Put::Done)
    }
}

impl Fixture {
    /// A store that finds and revokes, and the way by which tokens get into it.
    pub fn store(store: impl TokenStore + 'static, put: impl PutToken + 'static) -> Self {
        Self::of(Arc::new(store), Arc::new(put), None)
    }

    /// A store that issues and rotates too.
    pub fn ledger(ledger: impl TokenLedger + 'static) -> Self {
        let ledger: Arc<dyn TokenLedger> = Arc::new(ledger);
        Self::of(
            Arc::<dyn TokenLedger>::clone(&ledger),
            Arc::new(Issuing(Arc::clone(&ledger))),
            Some(ledger),
        )
    }

    fn of(
        store: Arc<dyn TokenStore>,
        put: Arc<dyn PutToken>,
        ledger: Option<Arc<dyn TokenLedger>>,
    ) -> Self {
        Self {
            store,
            put,
            ledger,
            sweep: None,
            feed: None,
            neighbour: None,
            second_handle: None,
            restarting: None,
            operations: None,
            contents: None,
            spawn: None,
            clock: None,
            exact: None,
            start: Timestamp::from_unix_seconds(1_800_000_000),
            rounds: 100,
            seed: 7,
            guards: Vec::new(),
        }
    }

    /// What sweeps it; usually the store itself.
    #[must_use]
    pub fn sweep(mut self, sweep: impl Sweep + 'static) -> Self {
        self.sweep = Some(Arc::new(sweep));
        self
    }

    /// What tells others what it revokes; usually the store itself.
    #[must_use]
    pub fn feed(mut self, feed: impl RevocationFeed + 'static) -> Self {
        self.feed = Some(Arc::new(feed));
        self
    }

    /// Another tenant of the same engine, empty too.
    #[must_use]
    pub fn neighbour(mut self, neighbour: Self) -> Self {
        self.neighbour = Some(Box::new(neighbour));
        self
    }

    /// Opens the same data once more, while this handle is in use: as another process does. Racers use both handles.
    ///
    /// It must share no lock with the first handle that another process would not share.
    #[must_use]
    pub fn second_handle(mut self, opens: impl Subject + 'static) -> Self {
        self.second_handle = Some(Arc::new(opens));
        self
    }

    /// Opens the same data again, after this handle was dropped: as the next start of the process does.
    #[must_use]
    pub fn restarting(mut self, opens: impl Subject + 'static) -> Self {
        self.restarting = Some(Arc::new(opens));
        self
    }

    /// How many operations the store has asked of its engine so far: statements, commands, rows looked at, whatever
    /// grows where it enumerates.
    #[must_use]
    pub fn operations<R>(mut self, count: impl Fn() -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<u64, StoreError>> + Send + 'static,
    {
        self.operations = Some(Arc::new(move || Box::pin(count())));
        self
    }

    /// Everything it holds, in any form that is the same for as long as nothing changes: a dump, a checksum, a count of
    /// rows and entries.
    #[must_use]
    pub fn contents<R>(mut self, show: impl Fn() -> R + Send + Sync + 'static) -> Self
    where
        R: Future<Output = Result<String, StoreError>> + Send + 'static,
    {
        self.contents = Some(Arc::new(move || Box::pin(show())));
        self
    }

    /// Racers run on threads of their own, each driving its futures by itself. For stores whose futures need no runtime.
    #[must_use]
    pub fn on_threads(self) -> Self {
        self.spawning(drive::on_a_thread)
    }

    /// Racers are handed to this function, for stores whose futures need a runtime: `|task| { tokio::spawn(task); }`.
    ///
    /// A runtime with one thread lets them take turns at awaits; one with several runs them beside each other.
    #[must_use]
    pub fn spawning(mut self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.spawn = Some(Arc::new(spawn));
        self
    }

    /// The clock that the store looks at, where it does not go by the instants that it is passed. The kit moves it along.
    #[must_use]
    pub fn clock(mut self, clock: Arc<FakeClock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Holds the store to the very answers that the stores of this crate give, where the contract leaves it a choice:
    /// the models then allow one answer for each token that has not expired, and use [`Fixture::neighbour`] too.
    ///
    /// Such a store names the narrowest revocation of those that cover a token. It remembers expired tokens for as long
    /// as `retention` says, and no longer after a sweep without a limit. It keeps every revocation for longer than the
    /// last record of a token or session in the namespace.
    #[must_use]
    pub const fn exact(mut self, retention: Retention) -> Self {
        self.exact = Some(retention);
        self
    }

    /// When every case begins. By default in January 2027, as good as any instant to a store that goes by those that it
    /// is passed; a store with a clock of its own wants the present.
    #[must_use]
    pub const fn starting_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// How often a race is run; the models take twenty steps for each. By default 100; a store behind a network may
    /// want fewer, a nightly run more.
    #[must_use]
    pub const fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Where chance begins: the same seed makes the same steps. A violation that chance has led to names it.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// A value whose `Drop` cleans up. It is dropped after the store.
    #[must_use]
    pub fn guard(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// The store.
    pub(super) fn tokens(&self) -> &Arc<dyn TokenStore> {
        &self.store
    }

    pub(super) fn puts(&self) -> &Arc<dyn PutToken> {
        &self.put
    }

    pub(super) fn rotates(&self) -> Result<&Arc<dyn TokenLedger>, NotProven> {
        self.ledger.as_ref().ok_or(NotProven::Lacks(Ability::Ledger))
    }

    pub(super) fn sweeps(&self) -> Result<&Arc<dyn Sweep>, NotProven> {
        self.sweep.as_ref().ok_or(NotProven::Lacks(Ability::Sweep))
    }

    pub(super) fn feeds(&self) -> Result<&Arc<dyn RevocationFeed>, NotProven> {
        self.feed.as_ref().ok_or(NotProven::Lacks(Ability::Feed))
    }

    pub(super) fn take_neighbour(&mut self) -> Result<Self, NotProven> {
        let mut neighbour = *self.neighbour.take().ok_or(NotProven::Lacks(Ability::Namespaces))?;
        // One engine, one time.
        neighbour.start = self.start;
        neighbour.exact = self.exact;
        Ok(neighbour)
    }

    pub(super) async fn open_second_handle(&self) -> Result<Self, NotProven> {
        let opens = self.second_handle.as_ref().ok_or(NotProven::Lacks(Ability::SecondHandle))?;
        let second = opens.fresh().await?;
        Ok(Self { start: self.start, exact: self.exact, ..second })
    }

    /// Drops the store and opens its data again; the guards stay.
    pub(super) async fn restart(self) -> Result<Self, NotProven> {
        let Self { restarting, guards, start, rounds, seed, clock, spawn, exact, .. } = self;
        let Self { store, put, ledger, sweep, feed, neighbour, second_handle, .. } = self;
        let Self { operations, contents, .. } = self;
        let opens = restarting.ok_or(NotProven::Lacks(Ability::Restart))?;
        // What is not named above lives on until this returns, and some data can only be opened once at a time.
        drop((store, put, ledger, sweep, feed, neighbour, second_handle, operations, contents));
        let mut again = opens.fresh().await?;
        again.guards.extend(guards);
        again.clock = again.clock.or(clock);
        again.spawn = again.spawn.or(spawn);
        Ok(Self { start, rounds, seed, exact, restarting: Some(opens), ..again })
    }

    pub(super) async fn count_operations(&self) -> Result<u64, NotProven> {
        let count = self.operations.as_ref().ok_or(NotProven::Lacks(Ability::Operations))?;
        Ok(count().await?)
    }

    pub(super) async fn show_contents(&self) -> Result<String, NotProven> {
        let show = self.contents.as_ref().ok_or(NotProven::Lacks(Ability::Contents))?;
        Ok(show().await?)
    }

    pub(super) const fn spawner(&self) -> Option<&Spawn> {
        self.spawn.as_ref()
    }

    pub(super) const fn exact_retention(&self) -> Option<Retention> {
        self.exact
    }

    pub(super) const fn start(&self) -> Timestamp {
        self.start
    }

    pub(super) const fn round_count(&self) -> usize {
        self.rounds
    }

    pub(super) const fn first_seed(&self) -> u64 {
        self.seed
    }

    /// Says that it is `now`, to a store that has a clock.
    pub(super) fn it_is(&self, now: Timestamp) {
        if let Some(clock) = &self.clock {
            clock.set(now);
        }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture").finish_non_exhaustive()
    }
}
