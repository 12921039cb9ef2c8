//! One value cut into many, each behind a lock of its own.

use std::sync::RwLock;

/// How many. More than cores, so that two threads seldom meet; few enough that an empty store stays small.
pub(super) const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Shards<T>(Box<[Shard<T>]>);

/// A cache line of its own for each lock, or neighbours would slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard<T>(RwLock<T>);

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl<T> Shards<T> {
    /// The shard of a hash, by other bits than the map inside uses for its buckets and tags.
    pub(super) fn of(&self, hash: u64) -> &RwLock<T> {
        self.at(usize::try_from(hash >> 40 & 0xffff).unwrap_or_default())
    }

    /// The shard of a number, modulo how many there are.
    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    pub(super) fn at(&self, index: usize) -> &RwLock<T> {
        &self.0[index % SHARDS].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RwLock<T>> {
        self.0.iter().map(|shard| &shard.0)
    }
}
