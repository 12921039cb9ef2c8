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

/// The writes of many operations, of which each sees what those before it have done.
pub(super) struct Batch<'e> {
    engine: &'e Engine,
    writes: PerSpace<Records>,
    /// What the operation that is being decided has written over, in its order.
    undo: Vec<Overwritten>,
    /// What was put down as due.
    scheduled: Vec<DueKey>,
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
        let key = due.to_key();
        self.scheduled.push(key);
        self.put_bytes(Space::Due, &key, &[]);
    }

    pub(super) fn is_empty(&self) -> bool {
        Space::ALL.into_iter().all(|space| self.writes.of(space).is_empty())
    }

    /// What was put down as due so far.
    pub(super) fn take_scheduled(&mut self) -> Vec<DueKey> {
        std::mem::take(&mut self.scheduled)
    }

    pub(super) fn into_writes(self) -> PerSpace<Records> {
        self.writes
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
        assert!(batch.is_empty() && batch.read(Space::Meta, b"half").unwrap().is_none());
        assert!(put(&mut batch, b"spent", Err(StoreError::conflict("no"))).is_err());
        assert!(put(&mut batch, b"whole", Ok(())).is_ok());
        let writes = batch.into_writes();
        let writes: Vec<&[u8]> = writes.of(Space::Meta).keys().map(|key| &**key).collect();
        assert_eq!(writes, [b"spent".as_slice(), b"whole"]);
        drop(engine);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
