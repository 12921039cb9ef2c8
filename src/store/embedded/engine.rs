//! The engine: key spaces, snapshots, and batches that are on disk when they return.
//!
//! `fjall` was kept over `redb` by an experiment (the figures are in the message of the commit that added this file): its
//! journal takes one fsync for a batch, and it opens in the time that a journal of bounded length takes to read, after a
//! kill as well. `redb` either walks every page after a kill, or pays two fsyncs and the state of its allocator for each
//! commit, which is more than a revocation may cost here.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use fjall::{
    AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode,
    Readable as _,
};

use crate::error::StoreError;

/// Bytes as the engine holds them; cheap to clone.
pub(super) type Bytes = fjall::Slice;

/// The journal's length, and with it the time that opening takes.
const JOURNAL: u64 = 64 << 20;

/// What one key space gathers in memory before it is written out. The less, the less is there to be read from the journal
/// when the store is opened.
const MEMTABLE: u64 = 16 << 20;

/// Where the engine makes its caller wait without end: the store waits before that, where it can give up.
const SEALED: usize = 3;
const RUNS: usize = 18;

/// What is kept apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Space {
    /// What a sweep has to look at, by when.
    Due,
    /// The ledger, by target.
    Entries,
    /// The ledger, by place.
    Feed,
    /// Whose each grant is, and how often its refresh tokens were rotated.
    Grants,
    /// The totals of the store and of each namespace.
    Meta,
    Sessions,
    Tokens,
}

impl Space {
    const ALL: [Self; 7] = [
        Self::Due,
        Self::Entries,
        Self::Feed,
        Self::Grants,
        Self::Meta,
        Self::Sessions,
        Self::Tokens,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Entries => "entries",
            Self::Feed => "feed",
            Self::Grants => "grants",
            Self::Meta => "meta",
            Self::Sessions => "sessions",
            Self::Tokens => "tokens",
        }
    }
}

/// Records as they will be, by key; None for one that goes.
pub(super) type Records = BTreeMap<Bytes, Option<Bytes>>;

/// One thing for each space.
#[derive(Debug, Default)]
pub(super) struct PerSpace<T> {
    due: T,
    entries: T,
    feed: T,
    grants: T,
    meta: T,
    sessions: T,
    tokens: T,
}

impl<T> PerSpace<T> {
    fn try_new<E>(mut make: impl FnMut(Space) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self {
            due: make(Space::Due)?,
            entries: make(Space::Entries)?,
            feed: make(Space::Feed)?,
            grants: make(Space::Grants)?,
            meta: make(Space::Meta)?,
            sessions: make(Space::Sessions)?,
            tokens: make(Space::Tokens)?,
        })
    }

    pub(super) const fn of(&self, space: Space) -> &T {
        match space {
            Space::Due => &self.due,
            Space::Entries => &self.entries,
            Space::Feed => &self.feed,
            Space::Grants => &self.grants,
            Space::Meta => &self.meta,
            Space::Sessions => &self.sessions,
            Space::Tokens => &self.tokens,
        }
    }

    pub(super) const fn of_mut(&mut self, space: Space) -> &mut T {
        match space {
            Space::Due => &mut self.due,
            Space::Entries => &mut self.entries,
            Space::Feed => &mut self.feed,
            Space::Grants => &mut self.grants,
            Space::Meta => &mut self.meta,
            Space::Sessions => &mut self.sessions,
            Space::Tokens => &mut self.tokens,
        }
    }
}

impl PerSpace<Records> {
    pub(super) fn is_empty(&self) -> bool {
        Space::ALL.into_iter().all(|space| self.of(space).is_empty())
    }
}

/// Looks one record up, wherever this reader looks.
pub(super) trait Reads {
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
}

/// Why the engine did not write.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It failed while this batch was under way: perhaps written, perhaps not.
    Failed(String),
    /// It had failed before, and nothing of this batch was written.
    Refused,
}

pub(super) struct Engine {
    spaces: PerSpace<Keyspace>,
    operations: Arc<AtomicU64>,
    /// Last: the lock on the folder goes with it.
    database: Database,
}

impl Engine {
    /// Blocks, and reads the journal.
    pub(super) fn open(
        folder: &Path,
        cache: u64,
        operations: Arc<AtomicU64>,
    ) -> Result<Self, fjall::Error> {
        // The engine asserts what it believes about its files.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let database = Database::builder(folder)
                .cache_size(cache)
                .max_journaling_size(JOURNAL)
                .worker_threads(2)
                .open()?;
            let spaces = PerSpace::try_new(|space| {
                database.keyspace(space.name(), || {
                    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE)
                })
            })?;
            Ok(Self { spaces, operations, database })
        }));
        opened.unwrap_or(Err(fjall::Error::Unrecoverable))
    }

    const fn space(&self, space: Space) -> &Keyspace {
        self.spaces.of(space)
    }

    /// Everything as it is at this moment.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { engine: self, snapshot: self.database.snapshot() }
    }

    /// Writes all of it or nothing, and returns when it is on disk. Nobody sees any of it before.
    pub(super) fn commit(&self, mut writes: PerSpace<Records>) -> Result<(), WriteError> {
        let count = Space::ALL.into_iter().map(|space| writes.of(space).len()).sum();
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), count)
            .durability(Some(PersistMode::SyncData));
        // One space after the other, each in order: the way to the next place is short.
        for space in Space::ALL {
            for (key, value) in std::mem::take(writes.of_mut(space)) {
                match value {
                    Some(value) => batch.insert(self.space(space), key, value),
                    None => batch.remove(self.space(space), key),
                }
            }
        }
        self.operations.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Relaxed);
        batch.commit().map_err(|error| {
            if matches!(error, fjall::Error::Poisoned) {
                WriteError::Refused
            } else {
                WriteError::Failed(error.to_string())
            }
        })
    }

    /// Whether it will never write again. A failed fsync says nothing about what is on disk, so it does not go on.
    pub(super) fn has_failed(&self) -> bool {
        self.database.persist(PersistMode::Buffer).is_err()
    }

    /// Whether it is behind with its work, and would make a writer wait.
    pub(super) fn is_behind(&self) -> bool {
        Space::ALL.into_iter().any(|space| {
            let space = self.space(space);
            space.sealed_memtable_count() >= SEALED || space.tree.l0_run_count() >= RUNS
        })
    }
}

impl Reads for Engine {
    /// The latest: for the one who writes.
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.operations.fetch_add(1, Relaxed);
        self.space(space).get(key).map_err(unreadable)
    }
}

/// What was on disk when it was taken.
pub(super) struct Snapshot<'e> {
    engine: &'e Engine,
    snapshot: fjall::Snapshot,
}

impl Snapshot<'_> {
    /// The records of a space, in order, from `from` on and before `to`.
    pub(super) fn range(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> {
        let records = self.snapshot.range::<&[u8], _>(self.engine.space(space), (from, to));
        records.map(|record| {
            self.engine.operations.fetch_add(1, Relaxed);
            record.into_inner().map_err(unreadable)
        })
    }

    /// At most `limit` records of a space, in order, from `from` on and before `to`.
    pub(super) fn between(
        &self,
        space: Space,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.engine.operations.fetch_add(1, Relaxed);
        self.range(space, from, to).take(limit).collect()
    }

    /// Every record of every space.
    pub(super) fn each(&self, mut see: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        for space in Space::ALL {
            for record in self.snapshot.iter(self.engine.space(space)) {
                let (key, value) = record.into_inner().map_err(unreadable)?;
                see(&key, &value);
            }
        }
        Ok(())
    }
}

impl Reads for Snapshot<'_> {
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.engine.operations.fetch_add(1, Relaxed);
        self.snapshot.get(self.engine.space(space), key).map_err(unreadable)
    }
}

/// A read fails where the disk does; whatever a disk says now, it may answer later.
fn unreadable(error: fjall::Error) -> StoreError {
    StoreError::unavailable(error.to_string())
}
