//! The store: its handle, its threads, and how both begin and end.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, thread};

use crate::error::StoreError;
use crate::id::Namespace;
use crate::store::embedded::config::EmbeddedOptions;
use crate::store::embedded::jobs::{Read, Write};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::notifier::Notifier;
use crate::store::embedded::open::FolderState;
use crate::store::embedded::queue::{Answer, Ending, Queue, lock, slot};
use crate::store::embedded::shared::{Shared, close};
use crate::store::embedded::start_error::OpenError;
use crate::store::embedded::writer::Writer;
use crate::store::embedded::{open, queue, reader};
use crate::token::DigestKey;

/// How many requests may wait for the disk.
const CAPACITY: usize = 8_192;

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
    pub(super) root: Arc<Root>,
    pub(super) namespace: Arc<NamespaceState>,
}

impl EmbeddedOptions {
    /// Opens the store, or makes a new one. Blocks, for as long as it takes to read the journal: seconds at most.
    ///
    /// # Errors
    ///
    /// - [`OpenError`]: what is wrong, and what to do about it. Nothing was changed, and nothing is half open.
    pub fn open(self, key: &DigestKey) -> Result<EmbeddedStore, OpenError> {
        let found = open::check(&self.folder, key)?;
        let operations = Arc::new(AtomicU64::new(0));
        let is_new = matches!(found, FolderState::Nothing(_));
        let (engine, place) =
            open::engine(&self.folder, self.cache, Arc::clone(&operations), is_new)?;
        if let FolderState::Nothing(making) = found {
            making.finish(&self.folder, key)?;
        }
        let readers = thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8));
        let shared = Shared {
            key: key.clone(),
            folder: self.folder,
            cache: self.cache,
            lifetimes: self.lifetimes,
            stopwatch: self.stopwatch,
            operations,
            commits: AtomicU64::new(0),
            engine: RwLock::new(Some(engine)),
            writes: Queue::new(CAPACITY, 1),
            reads: Queue::new(CAPACITY, readers),
            ending: Ending::default(),
            notifier: Notifier::default(),
        };
        shared.notifier.notify(place);
        let folder = shared.folder.clone();
        let root = Root::start(shared, readers, self.time_out)
            .map_err(|source| OpenError::Io { folder, source })?;
        let namespace = Arc::new(NamespaceState::new(key, &Namespace::default()));
        Ok(EmbeddedStore { root: Arc::new(root), namespace })
    }
}

/// What every namespace shares, and what ends the threads.
pub(super) struct Root {
    pub(super) shared: Arc<Shared>,
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
        self.shared.ending.end();
        if let Some(watch) = lock(&self.watch).take() {
            drop(watch.join());
        }
        close(&mut self.shared.engine.write().unwrap_or_else(PoisonError::into_inner));
    }
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
        let namespace = Arc::new(NamespaceState::new(&self.root.shared.key, namespace));
        Self { root: Arc::clone(&self.root), namespace }
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

    pub(super) async fn read<T: Send>(
        &self,
        read: Read,
        answer: Answer<T>,
    ) -> Result<T, StoreError> {
        self.root.shared.reads.put(read)?;
        answer.await
    }

    pub(super) async fn write<T: Send>(
        &self,
        write: Write,
        answer: Answer<T>,
    ) -> Result<T, StoreError> {
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
