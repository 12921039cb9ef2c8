//! Everything in one folder: a store that lasts, without a server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, thread};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{Namespace, SessionId};
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, Retention, RevocationFeed, Rotated, Rotation, Session, StoreError,
    Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use crate::token::{DigestKey, Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod batch;
mod bell;
mod engine;
mod feed;
#[cfg(test)]
mod invariants;
mod journal;
mod key;
mod ledger;
mod open;
mod queue;
mod reader;
mod rows;
mod stored;
mod sweep;
mod tokens;
mod writer;

pub use open::OpenError;

use bell::Bell;
use engine::Engine;
use open::Found;
use queue::{Answer, Ending, Queue, lock, slot};
use reader::Read;
use rows::Tenant;
use tokens::{Exchange, Fresh};
use writer::{Sweeping, Write, Writer};

/// How many requests may wait for the disk.
const CAPACITY: usize = 8_192;

/// The shortest time-out and the longest.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(86_400);

/// A store in a folder of its own: durable, without a server, for one process.
///
/// What was acknowledged survives the process and a crash of the machine: every operation that writes returns after its
/// data were fsynced, and all that are under way at once share one fsync. What was cut off half way, by a kill or by a full
/// disk, has happened or has not, never a part of it. Opening takes the time to read a journal of bounded length, however
/// many tokens there are.
///
/// Nothing blocks the runtime: threads of its own wait for the disk, so the futures need no particular runtime. A disk that
/// is full, or does not answer in time, is [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable); what
/// was acknowledged can still be read, and writing resumes by itself once there is room.
///
/// ```
/// use std::time::Duration;
/// use annul::store::TokenLedger;
/// use annul::{Clock, DigestKey, EmbeddedStore, Grant, NewToken, PresentedToken, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("annul-doc-{}", std::process::id()));
/// // The same key at every start: it belongs with the deployment's other secrets.
/// let key = DigestKey::new(&[7; 32]);
/// let store = EmbeddedStore::open(&folder, &key)?;
///
/// let now = SystemClock.now();
/// let token = NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600));
/// store.issue(Grant::new("g1", "web", now), &[token], now).await?;
/// # drop(store);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok(())
/// # }
/// ```
///
/// # Dropping
///
/// The last clone to be dropped waits for what is under way, and closes the folder; it can be opened again at once. A
/// process that is killed loses nothing that was acknowledged either.
///
/// # Backups
///
/// Copy the folder while no process has it open, or take an atomic snapshot of its file system. Readers of the feed
/// notice that a copy was put back, and begin again.
#[derive(Clone)]
pub struct EmbeddedStore {
    root: Arc<Root>,
    tenant: Arc<Tenant>,
}

/// How an [`EmbeddedStore`] is to be opened.
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
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    folder: PathBuf,
    retention: Retention,
    time_out: Duration,
    cache: u64,
}

impl EmbeddedOptions {
    /// In this folder, which is made where there is none.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: folder.as_ref().to_owned(),
            retention: Retention::default(),
            time_out: Duration::from_secs(5),
            cache: 128 << 20,
        }
    }

    /// Remembers expired tokens for this long, in all namespaces.
    #[must_use]
    pub const fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
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

    /// Opens the store, or makes a new one. Blocks, for as long as it takes to read the journal: seconds at most.
    ///
    /// # Errors
    ///
    /// - [`OpenError`]: what is wrong, and what to do about it. Nothing was changed, and nothing is half open.
    pub fn open(self, key: &DigestKey) -> Result<EmbeddedStore, OpenError> {
        let found = open::check(&self.folder, key)?;
        let operations = Arc::new(AtomicU64::new(0));
        let is_new = matches!(found, Found::Nothing(_));
        let (engine, place) =
            open::engine(&self.folder, self.cache, Arc::clone(&operations), is_new)?;
        if let Found::Nothing(making) = found {
            making.finish(&self.folder, key)?;
        }
        let readers = thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8));
        let shared = Shared {
            key: key.clone(),
            folder: self.folder,
            cache: self.cache,
            retention: self.retention,
            operations,
            commits: AtomicU64::new(0),
            engine: RwLock::new(Some(engine)),
            writes: Queue::new(CAPACITY, 1),
            reads: Queue::new(CAPACITY, readers),
            ending: Ending::default(),
            bell: Bell::default(),
        };
        shared.bell.ring(place);
        let folder = shared.folder.clone();
        let root = Root::start(shared, readers, self.time_out)
            .map_err(|source| OpenError::Io { folder, source })?;
        let tenant = Arc::new(Tenant::new(key, &Namespace::default()));
        Ok(EmbeddedStore { root: Arc::new(root), tenant })
    }
}

/// What the threads share.
struct Shared {
    key: DigestKey,
    folder: PathBuf,
    cache: u64,
    retention: Retention,
    operations: Arc<AtomicU64>,
    commits: AtomicU64,
    /// None where it has failed and could not be opened again yet.
    engine: RwLock<Option<Engine>>,
    writes: Queue<Write>,
    reads: Queue<Read>,
    ending: Ending,
    bell: Bell,
}

impl Shared {
    fn engine(&self) -> RwLockReadGuard<'_, Option<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the engine again. Nobody reads meanwhile, nor afterwards if it fails.
    ///
    /// The folder may not be what it was: a volume that is no longer mounted there leaves an empty folder, in which the
    /// engine would make a new store, where nobody's session was ever revoked.
    fn reopen(&self) -> Result<(), OpenError> {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        // First: its lock on the folder goes with it.
        close(&mut engine);
        let operations = Arc::clone(&self.operations);
        let (opened, place) = open::again(&self.folder, &self.key, self.cache, operations)?;
        *engine = Some(opened);
        self.bell.ring(place);
        Ok(())
    }
}

/// What every namespace shares, and what ends the threads.
struct Root {
    shared: Arc<Shared>,
    workers: Mutex<Vec<JoinHandle<()>>>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

impl Root {
    fn start(shared: Shared, readers: usize, time_out: Duration) -> std::io::Result<Self> {
        let root =
            Self { shared: Arc::new(shared), workers: Mutex::default(), watch: Mutex::default() };
        // Where a thread cannot be started, those before it are ended by dropping this.
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        let shared = Arc::clone(&root.shared);
        let watch = move || queue::watch(&shared.writes, &shared.reads, time_out, &shared.ending);
        *lock(&root.watch) = Some(named("annul-watch").spawn(watch)?);
        let shared = Arc::clone(&root.shared);
        let writer =
            named("annul-write").spawn(move || Writer::new(&shared, time_out / 4).run())?;
        lock(&root.workers).push(writer);
        for number in 0..readers {
            let shared = Arc::clone(&root.shared);
            let reader = named("annul-read").spawn(move || reader::run(&shared, number))?;
            lock(&root.workers).push(reader);
        }
        Ok(root)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.shared.writes.close();
        self.shared.reads.close();
        for worker in lock(&self.workers).drain(..) {
            // A thread that has panicked has ended too.
            drop(worker.join());
        }
        self.shared.ending.say();
        if let Some(watch) = lock(&self.watch).take() {
            drop(watch.join());
        }
        close(&mut self.shared.engine.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Closes an engine, which may have panicked before and may do so again.
fn close(engine: &mut Option<Engine>) {
    let engine = AssertUnwindSafe(|| drop(engine.take()));
    // What it did not close, the next opening finds locked, and says so.
    catch_unwind(engine).unwrap_or_default();
}

impl EmbeddedStore {
    /// Opens the store in this folder, or makes a new one, with [`EmbeddedOptions`] as they are by default.
    ///
    /// Blocks, for as long as it takes to read the journal: seconds at most.
    ///
    /// # Errors
    ///
    /// - [`OpenError`]: what is wrong, and what to do about it.
    pub fn open(folder: impl AsRef<Path>, key: &DigestKey) -> Result<Self, OpenError> {
        EmbeddedOptions::new(folder).open(key)
    }

    /// The same folder, as another tenant sees it: it finds and revokes nothing of this one's, and one sweep serves both.
    ///
    /// ```
    /// # fn demo(store: annul::EmbeddedStore) {
    /// use annul::Namespace;
    ///
    /// let b = store.namespace(&Namespace::new("tenant-b"));
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        let tenant = Arc::new(Tenant::new(&self.root.shared.key, namespace));
        Self { root: Arc::clone(&self.root), tenant }
    }

    /// How many records the store has asked its engine to read and to write since it was opened: for a metric.
    pub fn operations(&self) -> u64 {
        self.root.shared.operations.load(Relaxed)
    }

    /// How often it has waited for the disk to write since it was opened: for a metric. Many operations share one.
    pub fn commits(&self) -> u64 {
        self.root.shared.commits.load(Relaxed)
    }

    /// A digest of everything in it, in all namespaces: two copies with the same one hold the same.
    ///
    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`](crate::store::StoreErrorKind::Unavailable): it cannot be read now.
    pub async fn fingerprint(&self) -> Result<[u8; 32], StoreError> {
        let (slot, answer) = slot();
        self.read(Read::Fingerprint { slot }, answer).await
    }

    async fn read<T: Send>(&self, read: Read, answer: Answer<T>) -> Result<T, StoreError> {
        self.root.shared.reads.put(read)?;
        answer.await
    }

    async fn write<T: Send>(&self, write: Write, answer: Answer<T>) -> Result<T, StoreError> {
        self.root.shared.writes.put(write)?;
        answer.await
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore")
            .field("folder", &self.root.shared.folder)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for EmbeddedStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        let digest = self.tenant.key.digest(token);
        let (slot, answer) = slot();
        let tenant = Arc::clone(&self.tenant);
        self.read(Read::Find { tenant, digest, slot }, answer).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let (slot, answer) = slot();
        let (tenant, revocation) = (Arc::clone(&self.tenant), revocation.clone());
        // What can be done here is not done by the one thread for which all others wait.
        let key = tenant.targets.of(revocation.target());
        self.write(Write::Revoke { tenant, key, revocation, slot }, answer).await
    }
}

#[async_trait]
impl TokenLedger for EmbeddedStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        let tokens = tokens.iter().map(|token| Fresh::of(token, &self.tenant.key)).collect();
        let (slot, answer) = slot();
        let tenant = Arc::clone(&self.tenant);
        self.write(Write::Issue { tenant, grant, tokens, now, slot }, answer).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let exchange = Exchange::of(rotation, &self.tenant.key);
        let (slot, answer) = slot();
        let tenant = Arc::clone(&self.tenant);
        self.write(Write::Rotate { tenant, exchange, slot }, answer).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        let (slot, answer) = slot();
        let tenant = Arc::clone(&self.tenant);
        self.write(Write::OpenSession { tenant, session, slot }, answer).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let key = tokens::session_key(&self.tenant, id);
        let (slot, answer) = slot();
        self.read(Read::Session { key, slot }, answer).await
    }
}

#[async_trait]
impl Sweep for EmbeddedStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        let (slot, answer) = slot();
        let sweeping = Sweeping::new(now, budget.max_rows(), slot);
        self.write(Write::Sweep(sweeping), answer).await
    }
}

#[async_trait]
impl RevocationFeed for EmbeddedStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        let (slot, answer) = slot();
        let (tenant, after) = (Arc::clone(&self.tenant), after.cloned());
        self.read(Read::Changes { tenant, after, limit, slot }, answer).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        match feed::place_of_cursor(after) {
            Some(place) => self.root.shared.bell.beyond(place).await,
            // A gap, which is worth asking for.
            None => Ok(()),
        }
    }
}
