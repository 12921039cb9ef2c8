//! A hash table whose records know when they may be forgotten.
//!
//! Records stand in the table itself, one cache miss away, and the hash of each is listed under the time at which
//! a sweep has to look at it. So a sweep touches the records that are due and no others.

use std::collections::BTreeMap;
use std::hash::RandomState;

use hashbrown::HashTable;

use crate::clock::Timestamp;
use crate::store::rules::is_due;

/// Something kept in a [`Table`].
pub(super) trait Record {
    /// The hash it is found under: keyed, or the bytes of a keyed digest, so that outsiders cannot choose it.
    fn hash(&self, keys: &RandomState) -> u64;
}

/// What one step of a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct SweepStep {
    /// How many records were looked at.
    pub(super) looked_at: usize,
    /// How many of them were removed.
    pub(super) removed: usize,
}

impl std::ops::AddAssign for SweepStep {
    fn add_assign(&mut self, other: Self) {
        self.looked_at += other.looked_at;
        self.removed += other.removed;
    }
}

#[derive(Debug)]
pub(super) struct Table<R> {
    records: HashTable<R>,
    /// The hashes to look at, by the minute after which to look.
    due: BTreeMap<u32, Vec<u64>>,
    keys: RandomState,
}

const MINUTE: u64 = 60_000;

impl<R: Record> Table<R> {
    pub(super) fn new(keys: RandomState) -> Self {
        Self { records: HashTable::new(), due: BTreeMap::new(), keys }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn get(&self, hash: u64, is_it: impl Fn(&R) -> bool) -> Option<&R> {
        self.records.find(hash, is_it)
    }

    pub(super) fn get_mut(&mut self, hash: u64, is_it: impl Fn(&R) -> bool) -> Option<&mut R> {
        self.records.find_mut(hash, is_it)
    }

    /// Adds a record that is not there yet, to be looked at by a sweep once it is `due`.
    pub(super) fn insert(&mut self, record: R, now: Timestamp, due: Timestamp) {
        let hash = record.hash(&self.keys);
        let keys = &self.keys;
        self.records.insert_unique(hash, record, |record| record.hash(keys));
        self.schedule(hash, now, due);
    }

    /// Looks at up to `budget` records that may be due; forgets those that are not needed any more, and hands them over.
    ///
    /// Time is counted in whole minutes here and in [`has_due`](Self::has_due). So once no table of records has anything due,
    /// none of them holds a record that is needed for no longer than an entry that goes.
    pub(super) fn sweep(
        &mut self,
        now: Timestamp,
        budget: usize,
        needed_until: impl Fn(&R) -> Timestamp,
        mut forgotten: impl FnMut(R),
    ) -> SweepStep {
        let mut step = SweepStep::default();
        while step.looked_at < budget {
            let Some(hash) = self.next_due(now) else {
                break;
            };
            step.looked_at += 1;
            let keys = &self.keys;
            let goes = |record: &R| {
                record.hash(keys) == hash && is_due(needed_until(record), last_minute(now))
            };
            if let Ok(entry) = self.records.find_entry(hash, goes) {
                forgotten(entry.remove().0);
                step.removed += 1;
                continue;
            }
            let stays = self.records.find(hash, |record| record.hash(keys) == hash);
            if let Some(later) = stays.map(&needed_until) {
                self.schedule(hash, now, later);
            }
        }
        if step.removed > 0 && self.records.len() * 4 < self.records.capacity() {
            let keys = &self.keys;
            self.records.shrink_to(self.records.len() * 2, |record| record.hash(keys));
        }
        step
    }

    /// Whether a sweep at `now` would find anything to look at.
    pub(super) fn has_due(&self, now: Timestamp) -> bool {
        // Whole minutes, so a record goes up to a minute late and never early.
        self.due.keys().next().is_some_and(|first| *first < minute(now))
    }

    fn next_due(&mut self, now: Timestamp) -> Option<u64> {
        while self.has_due(now) {
            let mut first = self.due.first_entry()?;
            if let Some(hash) = first.get_mut().pop() {
                return Some(hash);
            }
            first.remove();
        }
        None
    }

    fn schedule(&mut self, hash: u64, now: Timestamp, due: Timestamp) {
        let due = minute(due);
        // The further away, the coarser: a look that comes early is repeated, and a list costs more than a look.
        let step = match due.saturating_sub(minute(now)) {
            0..=64 => 1,
            65..=1_440 => 16,
            _ => 360,
        };
        self.due.entry(due - due % step).or_default().push(hash);
    }
}

/// The last instant of the minute before this one: what is due by then is due in whole minutes.
pub(super) fn last_minute(now: Timestamp) -> Timestamp {
    let millis = now.as_unix_millis();
    Timestamp::from_unix_millis((millis - millis % MINUTE).saturating_sub(1))
}

/// A minute further than `u32` reaches is eight thousand years away.
fn minute(time: Timestamp) -> u32 {
    u32::try_from(time.as_unix_millis() / MINUTE).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Eq, PartialEq)]
    struct Word(u64, &'static str, u64);

    impl Record for Word {
        fn hash(&self, _keys: &RandomState) -> u64 {
            self.0
        }
    }

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_unix_millis(minute * MINUTE)
    }

    fn table(words: impl IntoIterator<Item = Word>) -> Table<Word> {
        let mut table = Table::new(RandomState::new());
        for word in words {
            let due = at(word.2);
            table.insert(word, at(0), due);
        }
        table
    }

    fn sweep(table: &mut Table<Word>, minute: u64, budget: usize) -> SweepStep {
        table.sweep(at(minute), budget, |word| at(word.2), drop)
    }

    fn has(table: &Table<Word>, hash: u64, text: &str) -> bool {
        table.get(hash, |word| word.1 == text).is_some()
    }

    #[test]
    fn two_records_of_one_hash_are_both_found_and_either_can_go_first() {
        for (first, second) in [(1, 3), (3, 1)] {
            let mut table = table([Word(7, "first", first), Word(7, "second", second)]);
            assert!(has(&table, 7, "first") && has(&table, 7, "second"));
            sweep(&mut table, 2, 10);
            assert_eq!(has(&table, 7, "first"), first == 3);
            assert_eq!(has(&table, 7, "second"), second == 3);
            sweep(&mut table, 4, 10);
            assert_eq!(table.len(), 0);
        }
    }

    #[test]
    fn a_sweep_keeps_to_its_budget_and_takes_nothing_early() {
        let mut table = table((0..1_000).map(|n| Word(n, "w", n / 10)));
        assert_eq!(sweep(&mut table, 0, 10_000).looked_at, 0);
        assert_eq!(sweep(&mut table, 50, 100).removed, 100);
        assert!(table.has_due(at(50)));
        assert_eq!(sweep(&mut table, 50, 10_000).removed, 400);
        assert!(!table.has_due(at(50)));
        assert_eq!(table.len(), 500);
        assert!((500..1_000).all(|n| has(&table, n, "w")));
    }

    #[test]
    fn a_record_far_away_is_looked_at_early_and_goes_on_time() {
        for due in [64, 65, 100, 1_440, 1_441, 5_000, 100_000] {
            let mut table = table([Word(1, "w", due)]);
            for minute in (0..due).step_by(7).chain([due - 1]) {
                assert_eq!(sweep(&mut table, minute, 10).removed, 0, "{minute} of {due}");
            }
            assert_eq!(sweep(&mut table, due + 1, 10).removed, 1);
        }
    }

    #[test]
    fn memory_is_given_back() {
        let mut table = table((0..10_000).map(|n| Word(n, "w", 1)));
        let full = table.records.capacity();
        while sweep(&mut table, 2, 100).removed > 0 {}
        assert!(table.records.capacity() < full / 10);
        assert!(table.due.is_empty());
    }
}
