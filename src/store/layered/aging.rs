//! A map that forgets: what is old, and what is too much.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Enough that threads seldom wait for each other.
const SHARDS: usize = 16;

/// Never holds more than its capacity, and drops by the generation: no list of uses is kept, and nothing is searched.
#[derive(Debug)]
pub(super) struct Aging<K, V> {
    shards: Box<[Mutex<Generations<K, V>>]>,
    keys: RandomState,
    /// How many one generation of one shard holds.
    most: usize,
    /// After how long nothing in a generation is wanted any more.
    lifetime: Duration,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// When the young generation began.
    since: Duration,
}

impl<K: Eq + Hash, V: Clone> Aging<K, V> {
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        let shards = (capacity / 2).clamp(1, SHARDS);
        let empty =
            || Generations { young: HashMap::new(), old: HashMap::new(), since: Duration::ZERO };
        Self {
            shards: std::iter::repeat_with(|| Mutex::new(empty())).take(shards).collect(),
            keys: RandomState::new(),
            most: capacity / (2 * shards),
            lifetime,
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        let shard = self.shard(key)?;
        shard.young.get(key).or_else(|| shard.old.get(key)).cloned()
    }

    pub(super) fn insert(&self, key: K, value: V, now: Duration) {
        let Some(mut shard) = self.shard(&key) else {
            return;
        };
        let is_full = shard.young.len() >= self.most && !shard.young.contains_key(&key);
        if is_full || now.saturating_sub(shard.since) > self.lifetime {
            shard.turn(now);
        }
        if self.most > 0 {
            shard.young.insert(key, value);
        }
    }

    pub(super) fn remove(&self, key: &K) {
        if let Some(mut shard) = self.shard(key) {
            shard.young.remove(key);
            shard.old.remove(key);
        }
    }

    fn shard(&self, key: &K) -> Option<MutexGuard<'_, Generations<K, V>>> {
        let hash = usize::try_from(self.keys.hash_one(key) >> 32).unwrap_or_default();
        let shard = self.shards.get(hash % self.shards.len())?;
        // Each change is one call of a map: a panic elsewhere leaves nothing half done.
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K, V> Generations<K, V> {
    fn turn(&mut self, now: Duration) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::store::layered::aging::Aging;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        for capacity in [0, 1, 2, 3, 7, 32, 33, 1_000] {
            let map = Aging::new(capacity, MINUTE);
            for key in 0..5_000_u32 {
                map.insert(key, key, Duration::ZERO);
                let last = map.get(&key);
                assert_eq!(last, (capacity > 1).then_some(key), "{capacity}");
            }
            let held = (0..5_000).filter(|key| map.get(key).is_some()).count();
            assert!(held <= capacity, "{held} of {capacity}");
            assert!(held >= capacity / 4, "{held} of {capacity}");
        }
    }

    #[test]
    fn what_is_old_goes_and_what_is_young_stays() {
        let map = Aging::new(1_000, MINUTE);
        map.insert("a", 1, Duration::ZERO);
        map.insert("a", 2, MINUTE);
        assert_eq!(map.get(&"a"), Some(2));
        // Whatever shard it is in, that shard has turned twice.
        for key in ["b", "c", "d", "e"].into_iter().cycle().take(4) {
            map.insert(key, 0, MINUTE * 3);
        }
        map.insert("a", 3, MINUTE * 3);
        map.remove(&"a");
        assert_eq!(map.get(&"a"), None);
    }
}
