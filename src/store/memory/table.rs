//! A hash table whose records know when they may be forgotten.
//!
//! The hash map holds a 64-bit hash and a slot number, the slots stand in chunks that are never moved, and each
//! slot links to the next one that is due in the same minute. So a record costs its own size and about thirty
//! bytes, growing copies nothing but the map, and sweeping touches the records that are due and no others.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::hash::Hasher;

use crate::clock::Timestamp;

/// Something kept in a [`Table`].
pub(super) trait Record {
    /// The hash it is found under: keyed, or of the bytes of a digest, so that outsiders cannot choose it.
    fn hash(&self) -> u64;
}

/// What is to become of a record that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// Look again at that time.
    At(Timestamp),
    /// Forget it.
    Now,
}

/// The result of one [`Table::sweep`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Looked {
    /// How many records were looked at.
    pub(super) at: usize,
    /// How many of them were removed.
    pub(super) removed: usize,
}

#[derive(Debug)]
pub(super) struct Table<R> {
    /// The slot of each hash. Two records of one hash are next to impossible; the later one is listed apart.
    slots: HashMap<Hash, u32, BuildHasherDefault<AsIs>>,
    collided: Vec<u32>,
    chunks: Vec<Vec<Slot<R>>>,
    free: u32,
    due: BTreeMap<u32, u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<R> {
    record: Option<R>,
    /// The next slot that is free, or due in the same minute.
    next: u32,
}

const CHUNK: usize = 128;
const NONE: u32 = u32::MAX;
const MINUTE: u64 = 60_000;

/// Half the alignment of a `u64`, so that hash and slot number fill twelve bytes and not sixteen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Hash([u32; 2]);

impl std::hash::Hash for Hash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [high, low] = self.0;
        state.write_u64(u64::from(high) << 32 | u64::from(low));
    }
}

impl From<u64> for Hash {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of a u64")]
    fn from(hash: u64) -> Self {
        Self([(hash >> 32) as u32, hash as u32])
    }
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self {
            slots: HashMap::default(),
            collided: Vec::new(),
            chunks: Vec::new(),
            free: NONE,
            due: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<R: Record> Table<R> {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, hash: u64, is_it: impl Fn(&R) -> bool) -> Option<&R> {
        let index = self.find(hash, is_it)?;
        self.slot(index)?.record.as_ref()
    }

    pub(super) fn get_mut(&mut self, hash: u64, is_it: impl Fn(&R) -> bool) -> Option<&mut R> {
        let index = self.find(hash, is_it)?;
        self.slot_mut(index)?.record.as_mut()
    }

    /// Adds a record that is not there yet, to be looked at by a sweep after `due`.
    pub(super) fn insert(&mut self, record: R, due: Timestamp) {
        let hash = Hash::from(record.hash());
        let index = self.take_slot();
        if let Some(slot) = self.slot_mut(index) {
            slot.record = Some(record);
        }
        match self.slots.entry(hash) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(index);
            }
            std::collections::hash_map::Entry::Occupied(_) => self.collided.push(index),
        }
        self.len += 1;
        self.schedule(index, due);
    }

    /// Looks at up to `budget` records that are due, and forgets those that `decide` lets go.
    pub(super) fn sweep(
        &mut self,
        now: Timestamp,
        budget: usize,
        decide: impl Fn(&R) -> Due,
    ) -> Looked {
        let mut looked = Looked::default();
        while looked.at < budget {
            // Whole minutes, so a record goes up to a minute late and never early.
            let Some((&minute, &first)) = self.due.iter().next() else {
                break;
            };
            if u64::from(minute) >= now.as_unix_millis() / MINUTE {
                break;
            }
            let next = self.slot(first).map_or(NONE, |slot| slot.next);
            if next == NONE {
                self.due.remove(&minute);
            } else {
                self.due.insert(minute, next);
            }
            looked.at += 1;
            let decision = self.slot(first).and_then(|slot| slot.record.as_ref()).map(&decide);
            match decision {
                Some(Due::At(later)) => {
                    // At least the present minute, which this sweep does not reach.
                    self.schedule(first, later.max(now));
                }
                Some(Due::Now) | None => {
                    self.forget(first);
                    looked.removed += 1;
                }
            }
        }
        looked
    }

    /// Whether a sweep at `now` would find anything to look at.
    pub(super) fn has_due(&self, now: Timestamp) -> bool {
        let minute = now.as_unix_millis() / MINUTE;
        self.due.keys().next().is_some_and(|first| u64::from(*first) < minute)
    }

    fn find(&self, hash: u64, is_it: impl Fn(&R) -> bool) -> Option<u32> {
        let first = *self.slots.get(&Hash::from(hash))?;
        let matches = |index: &u32| {
            self.slot(*index).and_then(|slot| slot.record.as_ref()).is_some_and(&is_it)
        };
        if matches(&first) {
            return Some(first);
        }
        self.collided.iter().copied().find(matches)
    }

    fn slot(&self, index: u32) -> Option<&Slot<R>> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<R>> {
        let index = usize::try_from(index).ok()?;
        self.chunks.get_mut(index / CHUNK)?.get_mut(index % CHUNK)
    }

    fn take_slot(&mut self) -> u32 {
        if self.free != NONE {
            let index = self.free;
            self.free = self.slot(index).map_or(NONE, |slot| slot.next);
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let full = (self.chunks.len() - 1) * CHUNK;
        let chunk = self.chunks.last_mut();
        let within = chunk.map_or(0, |chunk| {
            chunk.push(Slot { record: None, next: NONE });
            chunk.len() - 1
        });
        // 2^32 records of one shard would need a terabyte.
        u32::try_from(full + within).unwrap_or(NONE)
    }

    fn schedule(&mut self, index: u32, due: Timestamp) {
        // A minute further than u32 reaches is eight thousand years away.
        let minute = u32::try_from(due.as_unix_millis() / MINUTE).unwrap_or(u32::MAX);
        let next = self.due.insert(minute, index).unwrap_or(NONE);
        if let Some(slot) = self.slot_mut(index) {
            slot.next = next;
        }
    }

    fn forget(&mut self, index: u32) {
        let free = self.free;
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        slot.next = free;
        let Some(record) = slot.record.take() else {
            return;
        };
        self.free = index;
        self.len -= 1;
        let hash = Hash::from(record.hash());
        if self.slots.get(&hash) == Some(&index) {
            self.slots.remove(&hash);
            // A record of the same hash, listed apart, takes the place.
            let heir = self.collided.iter().position(|other| {
                let other = self.slot(*other).and_then(|slot| slot.record.as_ref());
                other.is_some_and(|other| Hash::from(other.hash()) == hash)
            });
            if let Some(heir) = heir {
                let index = self.collided.swap_remove(heir);
                self.slots.insert(hash, index);
            }
        } else {
            self.collided.retain(|other| *other != index);
        }
        if self.slots.len() * 4 < self.slots.capacity() && self.slots.capacity() > 4 * CHUNK {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Eq, PartialEq)]
    struct Word(u64, &'static str);

    impl Record for Word {
        fn hash(&self) -> u64 {
            self.0
        }
    }

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_unix_millis(minute * MINUTE)
    }

    fn get<'t>(table: &'t Table<Word>, hash: u64, text: &str) -> Option<&'t Word> {
        table.get(hash, |word| word.1 == text)
    }

    #[test]
    fn two_records_of_one_hash_are_both_found_and_either_can_go_first() {
        for (first_due, second_due) in [(1, 3), (3, 1)] {
            let mut table = Table::default();
            table.insert(Word(7, "first"), at(first_due));
            table.insert(Word(7, "second"), at(second_due));
            assert!(get(&table, 7, "first").is_some() && get(&table, 7, "second").is_some());
            let looked = table.sweep(at(2), 10, |_| Due::Now);
            assert_eq!(looked, Looked { at: 1, removed: 1 });
            assert_eq!(get(&table, 7, "first").is_some(), first_due == 3);
            assert_eq!(get(&table, 7, "second").is_some(), second_due == 3);
            assert_eq!(table.len(), 1);
        }
    }

    #[test]
    fn a_sweep_keeps_to_its_budget_and_takes_nothing_early() {
        let mut table = Table::default();
        for n in 0..1_000 {
            table.insert(Word(n, "w"), at(n / 10));
        }
        assert_eq!(table.sweep(at(0), 10_000, |_| Due::Now).at, 0);
        assert_eq!(table.sweep(at(50), 100, |_| Due::Now).removed, 100);
        assert!(table.has_due(at(50)));
        assert_eq!(table.sweep(at(50), 10_000, |_| Due::Now).removed, 400);
        assert!(!table.has_due(at(50)));
        assert_eq!(table.len(), 500);
        assert!((500..1_000).all(|n| get(&table, n, "w").is_some()));
    }

    #[test]
    fn a_record_that_is_still_needed_is_looked_at_again_later() {
        let mut table = Table::default();
        table.insert(Word(1, "w"), at(1));
        assert_eq!(table.sweep(at(5), 10, |_| Due::At(at(9))), Looked { at: 1, removed: 0 });
        assert!(!table.has_due(at(9)));
        assert_eq!(table.sweep(at(10), 10, |_| Due::Now).removed, 1);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_freed_slot_is_used_again() {
        let mut table = Table::default();
        for round in 0..50 {
            for n in 0..CHUNK as u64 {
                table.insert(Word(n, "w"), at(round));
            }
            table.sweep(at(round + 1), CHUNK, |_| Due::Now);
        }
        assert_eq!(table.chunks.len(), 1);
        assert_eq!(table.len(), 0);
    }
}
