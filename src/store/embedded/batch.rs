//! What is about to be written: the records as they will be, over those that are on disk.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Lifetimes;
use crate::store::embedded::engine::{Bytes, Engine, PerSpace, Reads, Records, Space};
use crate::store::embedded::namespace::NamespaceId;
use crate::store::embedded::records::{
    Due, DueKey, NamespaceRow, STORE, StoreRow, corrupt, read_row,
};

/// The most records of one line of what is due.
const LINE: usize = 128;

/// The writes of many operations, of which each sees what those before it have done.
pub(super) struct Batch<'e> {
    engine: &'e Engine,
    writes: PerSpace<Records>,
    /// What the operation that is being decided has written over, in its order.
    undo: Vec<Overwritten>,
    /// What is due when.
    scheduled: Vec<Due>,
    totals: Totals,
    /// Where records are written before they are kept.
    scratch: Vec<u8>,
}

/// Totals of the store and of each namespace. Almost every operation reads them.
#[derive(Clone, Default)]
struct Totals {
    store: Option<Total<StoreRow>>,
    namespaces: Vec<(NamespaceId, Total<NamespaceRow>)>,
}

/// As it is on disk, and as it will be.
#[derive(Clone, Copy)]
struct Total<R> {
    before: R,
    now: R,
}

impl<R: Copy + Default + PartialEq + Serialize + for<'r> Deserialize<'r>> Total<R> {
    fn read(engine: &Engine, key: &[u8]) -> Result<Self, StoreError> {
        let before = read_row(engine, Space::Meta, key)?.unwrap_or_default();
        Ok(Self { before, now: before })
    }

    fn changed(self) -> Option<R> {
        (self.now != self.before).then_some(self.now)
    }
}

/// All that is to be written.
pub(super) struct Finished {
    pub(super) writes: PerSpace<Records>,
    /// The keys of the lines that say what is due when.
    pub(super) lines: Vec<DueKey>,
    /// The last place in the feed that was given, if any was.
    pub(super) place: Option<u64>,
}

struct Overwritten {
    space: Space,
    key: Bytes,
    /// None where nothing was to be written there before.
    before: Option<Option<Bytes>>,
}

impl<'e> Batch<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self {
            engine,
            writes: PerSpace::default(),
            undo: Vec::new(),
            scheduled: Vec::new(),
            totals: Totals::default(),
            scratch: Vec::new(),
        }
    }

    pub(super) const fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Decides one operation: all that it writes, or, where it fails, nothing.
    ///
    /// What ends in a conflict is kept: it was decided, and part of the decision may be that a token is consumed.
    pub(super) fn decide<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let scheduled = self.scheduled.len();
        let totals = self.totals.clone();
        let outcome = operation(self);
        let failed = |error: &StoreError| error.kind() != StoreErrorKind::Conflict;
        if outcome.as_ref().is_err_and(failed) {
            self.scheduled.truncate(scheduled);
            self.totals = totals;
            while let Some(Overwritten { space, key, before }) = self.undo.pop() {
                let writes = self.writes.of_mut(space);
                match before {
                    Some(record) => writes.insert(key, record),
                    None => writes.remove(&key),
                };
            }
        }
        self.undo.clear();
        outcome
    }

    fn write(&mut self, space: Space, key: &[u8], record: Option<Bytes>) {
        let key = Bytes::from(key);
        let before = self.writes.of_mut(space).insert(key.clone(), record);
        self.undo.push(Overwritten { space, key, before });
    }

    pub(super) fn put(
        &mut self,
        space: Space,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<(), StoreError> {
        let scratch = std::mem::take(&mut self.scratch);
        let bytes = postcard::to_extend(row, scratch).map_err(StoreError::corrupt)?;
        self.put_bytes(space, key, &bytes);
        self.scratch = bytes;
        self.scratch.clear();
        Ok(())
    }

    /// The store as it will be.
    pub(super) fn store(&mut self) -> Result<&mut StoreRow, StoreError> {
        let store = match &mut self.totals.store {
            Some(store) => store,
            unread @ None => unread.insert(Total::read(self.engine, STORE)?),
        };
        Ok(&mut store.now)
    }

    /// The next place in the feed.
    pub(super) fn next_place(&mut self) -> Result<u64, StoreError> {
        let store = self.store()?;
        store.place += 1;
        Ok(store.place)
    }

    /// Takes note of the time of an issue, a rotation or a revocation.
    pub(super) fn note(&mut self, now: Timestamp, lifetimes: &Lifetimes) -> Result<(), StoreError> {
        let store = self.store()?;
        let mut clock = store.clock();
        if clock.note(now, lifetimes) {
            store.set_clock(clock);
        }
        Ok(())
    }

    /// A namespace as it will be.
    pub(super) fn namespace(&mut self, id: NamespaceId) -> Result<&mut NamespaceRow, StoreError> {
        let namespaces = &mut self.totals.namespaces;
        let known = namespaces.iter().position(|(known, _)| *known == id);
        let index = match known {
            Some(index) => index,
            None => {
                namespaces.push((id, Total::read(self.engine, &id)?));
                namespaces.len() - 1
            }
        };
        let (_, total) = namespaces.get_mut(index).ok_or_else(|| corrupt("a namespace"))?;
        Ok(&mut total.now)
    }

    pub(super) fn put_bytes(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.write(space, key, Some(value.into()));
    }

    pub(super) fn remove(&mut self, space: Space, key: &[u8]) {
        self.write(space, key, None);
    }

    /// Has a sweep look at a record at that time.
    pub(super) fn schedule(&mut self, due: Due) {
        self.scheduled.push(due);
    }

    /// All that is to be written.
    pub(super) fn finish(mut self) -> Result<Finished, StoreError> {
        let Totals { store, namespaces } = std::mem::take(&mut self.totals);
        let store = store.and_then(Total::changed);
        if let Some(store) = store {
            self.put(Space::Meta, STORE, &store)?;
        }
        for (id, total) in namespaces {
            if let Some(namespace) = total.changed() {
                self.put(Space::Meta, &id, &namespace)?;
            }
        }
        let lines = self.put_lines()?;
        Ok(Finished { writes: self.writes, lines, place: store.map(|store| store.place) })
    }

    /// Puts down what is due when, in as few lines as it takes.
    fn put_lines(&mut self) -> Result<Vec<DueKey>, StoreError> {
        let mut scheduled = std::mem::take(&mut self.scheduled);
        scheduled.sort_unstable_by_key(|due| (due.at, due.kind, due.key));
        let mut lines = Vec::new();
        for together in scheduled.chunk_by(|one, next| (one.at, one.kind) == (next.at, next.kind)) {
            for line in together.chunks(LINE) {
                let Some((first, others)) = line.split_first() else {
                    continue;
                };
                let key = first.to_key();
                // Nothing is due twice at one time, and if it were, nothing in its line were to be lost.
                let known = self.read(Space::Due, &key)?;
                let mut value = known.map_or_else(Vec::new, |known| known.to_vec());
                value.extend(others.iter().flat_map(|other| other.key));
                self.put_bytes(Space::Due, &key, &value);
                lines.push(key);
            }
        }
        Ok(lines)
    }
}

impl Reads for Batch<'_> {
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.writes.of(space).get(key) {
            Some(record) => Ok(record.clone()),
            None => self.engine.read(space, key),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::store::embedded::records::DueKind;

    #[test]
    fn what_is_due_at_one_time_shares_lines_and_a_line_that_is_there_keeps_what_it_holds() {
        let folder = std::env::temp_dir().join(format!("annul-lines-{}", std::process::id()));
        let engine = Engine::open(&folder, 1 << 20, Arc::new(AtomicU64::new(0))).unwrap();
        let due = |millis, kind, key: u8| {
            let at = Timestamp::from_unix_millis(millis);
            Due { at, kind, key: [key; 32] }
        };
        let keys = |batch: Batch<'_>| {
            let Finished { writes, lines, .. } = batch.finish().unwrap();
            let mut held = Vec::new();
            for (key, value) in writes.of(Space::Due) {
                let of_line = Due::of_line(key, value.as_ref().unwrap()).unwrap();
                held.push(of_line.map(|due| due.key[0]).collect::<Vec<_>>());
            }
            assert_eq!(lines.len(), held.len());
            engine.commit(writes).unwrap();
            held
        };
        let mut batch = Batch::new(&engine);
        batch.schedule(due(5, DueKind::Entry, 1));
        batch.schedule(due(4, DueKind::Entry, 2));
        batch.schedule(due(5, DueKind::AccessToken, 3));
        batch.schedule(due(5, DueKind::Entry, 4));
        assert_eq!(keys(batch), [vec![2], vec![3], vec![1, 4]]);
        let mut batch = Batch::new(&engine);
        batch.schedule(due(5, DueKind::Entry, 1));
        batch.schedule(due(5, DueKind::Entry, 6));
        assert_eq!(keys(batch), [vec![1, 4, 6]]);
        let mut batch = Batch::new(&engine);
        (0..=200).for_each(|key| batch.schedule(due(6, DueKind::Session, key)));
        assert_eq!(keys(batch).iter().map(Vec::len).collect::<Vec<_>>(), [128, 73]);
        drop(engine);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_operation_that_fails_leaves_nothing_and_a_conflict_what_it_decided() {
        let folder = std::env::temp_dir().join(format!("annul-batch-{}", std::process::id()));
        let engine = Engine::open(&folder, 1 << 20, Arc::new(AtomicU64::new(0))).unwrap();
        let mut batch = Batch::new(&engine);
        let put = |batch: &mut Batch<'_>, key: &[u8], outcome| {
            batch.decide(|batch| {
                batch.put_bytes(Space::Tokens, key, b"x");
                batch.namespace([7; 16])?.horizon += 1;
                let at = Timestamp::from_unix_millis(batch.next_place()?);
                batch.schedule(Due { at, kind: DueKind::Entry, key: [7; 32] });
                outcome
            })
        };
        assert!(put(&mut batch, b"half", Err(StoreError::unavailable("no"))).is_err());
        assert!(batch.read(Space::Tokens, b"half").unwrap().is_none());
        assert!(put(&mut batch, b"spent", Err(StoreError::conflict("no"))).is_err());
        assert!(put(&mut batch, b"whole", Ok(())).is_ok());
        let Finished { writes, lines, place } = batch.finish().unwrap();
        let of = |space| writes.of(space).keys().map(|key| key.to_vec()).collect::<Vec<_>>();
        assert_eq!(of(Space::Tokens), [b"spent".to_vec(), b"whole".to_vec()]);
        assert_eq!(of(Space::Due), lines);
        assert_eq!((lines.len(), place), (2, Some(2)));
        let namespace = writes.of(Space::Meta).get([7; 16].as_slice()).unwrap().clone().unwrap();
        let namespace: NamespaceRow = crate::store::embedded::records::decode(&namespace).unwrap();
        assert_eq!(namespace.horizon, 2);
        drop(engine);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
