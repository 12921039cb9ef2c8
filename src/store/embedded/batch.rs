//! What is about to be written: the records as they will be, over those that are on disk.

use serde::Serialize;

use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::embedded::engine::Bytes;
use crate::store::embedded::engine::Engine;
use crate::store::embedded::engine::PerSpace;
use crate::store::embedded::engine::Reads;
use crate::store::embedded::engine::Records;
use crate::store::embedded::engine::Space;
use crate::store::embedded::rows::Due;
use crate::store::embedded::rows::DueKey;
use crate::store::embedded::rows::encode;

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
}

struct Overwritten {
    space: Space,
    key: Bytes,
    /// None where nothing was to be written there before.
    before: Option<Option<Bytes>>,
}

impl<'e> Batch<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self { engine, writes: PerSpace::default(), undo: Vec::new(), scheduled: Vec::new() }
    }

    pub(super) const fn engine(&self) -> &'e Engine {
        self.engine
    }

    /// Decides one operation: all that it writes, or, where it fails, nothing.
    ///
    /// What ends in a conflict is kept: it was decided, and part of the decision may be that a token is spent.
    pub(super) fn decide<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let scheduled = self.scheduled.len();
        let outcome = operation(self);
        let failed = |error: &StoreError| error.kind() != StoreErrorKind::Conflict;
        if outcome.as_ref().is_err_and(failed) {
            self.scheduled.truncate(scheduled);
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
        self.write(space, key, Some(encode(row)?));
        Ok(())
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

    /// All that is to be written, and the keys of the lines that say what is due when.
    pub(super) fn finish(mut self) -> Result<(PerSpace<Records>, Vec<DueKey>), StoreError> {
        let lines = self.put_lines()?;
        Ok((self.writes, lines))
    }

    /// Puts down what is due when, in as few lines as it takes.
    fn put_lines(&mut self) -> Result<Vec<DueKey>, StoreError> {
        let mut scheduled = std::mem::take(&mut self.scheduled);
        scheduled.sort_unstable_by_key(|due| (due.at, due.kind));
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

    #[test]
    fn an_operation_that_fails_leaves_nothing_and_a_conflict_what_it_decided() {
        let folder = std::env::temp_dir().join(format!("annul-batch-{}", std::process::id()));
        let engine = Engine::open(&folder, 1 << 20, Arc::new(AtomicU64::new(0))).unwrap();
        let mut batch = Batch::new(&engine);
        let put = |batch: &mut Batch<'_>, key: &[u8], outcome| {
            batch.decide(|batch| {
                batch.put_bytes(Space::Meta, key, b"x");
                outcome
            })
        };
        assert!(put(&mut batch, b"half", Err(StoreError::unavailable("no"))).is_err());
        assert!(batch.read(Space::Meta, b"half").unwrap().is_none());
        assert!(put(&mut batch, b"spent", Err(StoreError::conflict("no"))).is_err());
        assert!(put(&mut batch, b"whole", Ok(())).is_ok());
        let (writes, lines) = batch.finish().unwrap();
        assert!(lines.is_empty());
        let writes: Vec<&[u8]> = writes.of(Space::Meta).keys().map(|key| &**key).collect();
        assert_eq!(writes, [b"spent".as_slice(), b"whole"]);
        drop(engine);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
