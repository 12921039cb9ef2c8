//! As many buckets as were asked for at the start, and never one more.
//!
//! The table is as processors build their caches: a key has eight places, and may stand in any of them. Where all
//! eight are taken, the bucket that lacks least gives way. So buckets that are full again go first, for nothing is
//! lost with them; then those in which one failure was counted; and one that is exhausted goes last. There is no
//! sweep, no list and no allocation: each call looks at eight places that lie side by side.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The places of one key: two cache lines of buckets.
pub(super) const WAYS: usize = 8;

/// More than there are cores that throttle at the same time.
const SHARDS: usize = 16;

/// All times are nanoseconds since 1970; they end in 2554, and from then on nothing is counted.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    key: u64,
    /// When nothing is lacking any more. A place that was never used is a full bucket.
    full_at: u64,
}

impl Bucket {
    const fn lacks(self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(128))]
struct Set([Bucket; WAYS]);

#[derive(Debug)]
#[repr(align(64))]
struct Shard(Mutex<Box<[Set]>>);

#[derive(Debug)]
pub(super) struct Buckets {
    shards: Box<[Shard]>,
    /// What lacks more than this was written by a clock that has gone back since.
    horizon: u64,
}

impl Buckets {
    /// Room for `capacity` buckets, none of which ever lacks more than `most`.
    pub(super) fn new(capacity: usize, most: u64) -> Self {
        let sets = (capacity / WAYS).max(1);
        let shards = SHARDS.min(sets);
        let shard = || Shard(Mutex::new(vec![Set::default(); sets / shards].into()));
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            // Twice as much, because two threads do not have the same time: a bucket that was exhausted a moment
            // ago must not look like rubbish to one that is a millisecond behind.
            horizon: most.saturating_mul(2),
        }
    }

    /// What the bucket lacks: at most `most`.
    pub(super) fn lacks(&self, key: u64, now: u64, most: u64) -> u64 {
        let mut shard = self.shard(key);
        let found = set(&mut shard, key).0.iter_mut().find(|bucket| bucket.key == key);
        found.map_or(0, |bucket| settle(bucket, now, most))
    }

    /// Puts into the bucket what `take` makes of what it lacks; nothing, if it makes nothing of it.
    pub(super) fn change(
        &self,
        key: u64,
        now: u64,
        most: u64,
        take: impl FnOnce(u64) -> Option<u64>,
    ) {
        let mut shard = self.shard(key);
        let Set(places) = set(&mut shard, key);
        let found = places.iter_mut().find(|bucket| bucket.key == key);
        let lacks = found.map_or(0, |bucket| settle(bucket, now, most));
        let Some(lacks) = take(lacks) else {
            return;
        };
        let needed = |bucket: &Bucket| match bucket.lacks(now) {
            _ if bucket.key == key => None,
            lacks if lacks > self.horizon => Some(0),
            lacks => Some(lacks),
        };
        // Its own place first, and then the one that is needed least.
        if let Some(place) = places.iter_mut().min_by_key(|bucket| needed(bucket)) {
            *place = Bucket { key, full_at: now.saturating_add(lacks) };
        }
    }

    /// How many buckets are not full.
    #[cfg(test)]
    pub(super) fn in_use(&self, now: u64) -> usize {
        let lacking = |set: &Set| set.0.iter().filter(|bucket| bucket.lacks(now) > 0).count();
        self.shards.iter().map(|shard| lock(shard).iter().map(lacking).sum::<usize>()).sum()
    }

    /// How many places there are, by counting them.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len() * WAYS).sum()
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
    fn shard(&self, key: u64) -> MutexGuard<'_, Box<[Set]>> {
        lock(&self.shards[part(key >> 48, self.shards.len())])
    }
}

/// Nothing panics while the lock is held, so a poisoned one guards sound buckets all the same.
fn lock(shard: &Shard) -> MutexGuard<'_, Box<[Set]>> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// By other bits than those that chose the shard.
#[expect(clippy::indexing_slicing, reason = "the remainder is below the length")]
fn set(shard: &mut [Set], key: u64) -> &mut Set {
    let len = shard.len();
    &mut shard[part(key & 0xffff_ffff, len)]
}

fn part(bits: u64, of: usize) -> usize {
    usize::try_from(bits).unwrap_or_default() % of
}

/// What a bucket lacks. If the clock went back, that may be more than anybody was ever refused for: then it is
/// exhausted from now on, and no longer.
fn settle(bucket: &mut Bucket, now: u64, most: u64) -> u64 {
    if bucket.lacks(now) > most {
        bucket.full_at = now.saturating_add(most);
    }
    bucket.lacks(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1_000;

    /// Keys that all have the same eight places.
    fn neighbours() -> impl Iterator<Item = u64> {
        (1..).map(|n| n << 32 & 0xffff_0000_0000)
    }

    fn put(buckets: &Buckets, key: u64, now: u64, lacks: u64) {
        buckets.change(key, now, MOST, |_| Some(lacks));
    }

    #[test]
    fn the_places_are_counted_and_bounded() {
        for (capacity, places) in
            [(0, 8), (1, 8), (15, 8), (16, 16), (127, 120), (128, 128), (65_536, 65_536)]
        {
            assert_eq!(Buckets::new(capacity, MOST).places(), places, "{capacity}");
        }
        for capacity in [8, 100, 129, 1_000, 4_095, 65_537] {
            let places = Buckets::new(capacity, MOST).places();
            assert!(places <= capacity && places + 128 > capacity, "{capacity}: {places}");
        }
    }

    #[test]
    fn what_lacks_least_gives_way() {
        let buckets = Buckets::new(65_536, MOST);
        let keys: Vec<u64> = neighbours().take(WAYS + 2).collect();
        for (key, lacks) in keys.iter().zip([500, 700, 90, 800, 400, 600, 300, 900]) {
            put(&buckets, *key, 0, lacks);
        }
        let lacks = |now| keys.iter().map(|key| buckets.lacks(*key, now, MOST)).collect::<Vec<_>>();
        assert_eq!(lacks(0), [500, 700, 90, 800, 400, 600, 300, 900, 0, 0]);
        // The third is full again by now, and nothing is lost with it.
        put(&buckets, keys[8], 100, 250);
        assert_eq!(lacks(100), [400, 600, 0, 700, 300, 500, 200, 800, 250, 0]);
        // The seventh lacks least.
        put(&buckets, keys[9], 100, 1);
        assert_eq!(lacks(100), [400, 600, 0, 700, 300, 500, 0, 800, 250, 1]);
        // A bucket that is there is changed where it stands.
        put(&buckets, keys[4], 100, 20);
        assert_eq!(lacks(100), [400, 600, 0, 700, 20, 500, 0, 800, 250, 1]);
    }

    #[test]
    fn a_bucket_from_a_clock_that_went_back_lacks_no_more_than_any_other() {
        let buckets = Buckets::new(65_536, MOST);
        put(&buckets, 7, 1_000_000, MOST);
        assert_eq!(buckets.lacks(7, 10, MOST), MOST);
        // To look at it is enough: from then on it regains.
        assert_eq!(buckets.lacks(7, 310, MOST), MOST - 300);
        // One that nobody looks at is no obstacle to others.
        let keys: Vec<u64> = neighbours().take(WAYS + 1).collect();
        for key in &keys[..WAYS] {
            put(&buckets, *key, 1_000_000, MOST);
        }
        put(&buckets, keys[WAYS], 10, 5);
        put(&buckets, keys[0], 10, 5);
        assert_eq!(buckets.lacks(keys[WAYS], 10, MOST), 5, "the newcomer stays");
        assert_eq!(buckets.lacks(keys[0], 10, MOST), 5);
    }

    #[test]
    fn two_threads_need_not_have_the_same_time() {
        let buckets = Buckets::new(65_536, MOST);
        let keys: Vec<u64> = neighbours().take(WAYS + 1).collect();
        put(&buckets, keys[0], 20, MOST);
        for key in &keys[1..WAYS] {
            put(&buckets, *key, 20, 500);
        }
        // One that is a moment behind brings a newcomer, which is no way to get rid of what is exhausted.
        put(&buckets, keys[WAYS], 19, 5);
        assert_eq!(buckets.lacks(keys[0], 20, MOST), MOST);
        assert_eq!(buckets.lacks(keys[WAYS], 19, MOST), 5);
    }

    #[test]
    fn no_time_overflows() {
        let buckets = Buckets::new(8, u64::MAX);
        for now in [0, 1, u64::MAX - 1, u64::MAX] {
            put(&buckets, 1, now, MOST);
            assert!(buckets.lacks(1, now, MOST) <= MOST);
            assert!(buckets.lacks(1, 0, MOST) <= MOST);
        }
    }
}
