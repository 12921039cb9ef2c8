//! One value cut into many, each behind a lock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many shards a busy table has: more than cores, so that two threads seldom meet.
pub(super) const MANY: usize = 64;

/// How many shards a table has that is seldom written.
pub(super) const FEW: usize = 4;

#[derive(Debug)]
pub(super) struct Shards<T>(Box<[Shard<T>]>);

/// A cache line of its own for each lock, or neighbours would slow each other down.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<T>(RwLock<T>);

impl<T> Shards<T> {
    pub(super) fn new(count: usize, make: impl Fn() -> T) -> Self {
        Self((0..count).map(|_| Shard(RwLock::new(make()))).collect())
    }

    /// The shard of a hash, by other bits than the table inside uses for its buckets and tags.
    pub(super) fn of(&self, hash: u64) -> &RwLock<T> {
        self.at(self.index_of(hash))
    }

    /// The number of that shard.
    pub(super) fn index_of(&self, hash: u64) -> usize {
        usize::try_from(hash >> 40 & 0xffff).unwrap_or_default() % self.0.len()
    }

    /// The shard of a number, modulo how many there are.
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    pub(super) fn at(&self, index: usize) -> &RwLock<T> {
        &self.0[index % self.0.len()].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RwLock<T>> {
        self.0.iter().map(|shard| &shard.0)
    }
}

/// Nothing panics while a lock is held, so a poisoned one guards sound data all the same.
pub(super) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// See [`read`].
pub(super) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// See [`read`].
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
