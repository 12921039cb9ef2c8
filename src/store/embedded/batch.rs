//! What is about to be written: the records as they will be, over those that are on disk.

use std::collections::HashMap;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::StoreErrorKind;
use crate::store::embedded::engine::Bytes;
use crate::store::embedded::engine::Engine;
use crate::store::embedded::engine::Reads;
use crate::store::embedded::engine::Space;
use crate::store::embedded::rows::Due;
use crate::store::embedded::rows::encode;

type Writes = HashMap<(Space, Bytes), Option<Bytes>>;

/// The writes of many operations, of which each sees what those before it have done.
pub(super) struct Batch<'e> {
    engine: &'e Engine,
    decided: Writes,
    /// Those of the operation that is being decided.
    tried: Writes,
    /// The earliest that this batch has put down as due.
    earliest: Option<Timestamp>,
}

impl<'e> Batch<'e> {
    pub(super) fn new(engine: &'e Engine) -> Self {
        Self { engine, decided: Writes::new(), tried: Writes::new(), earliest: None }
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
        let outcome = operation(self);
        let failed = |error: &StoreError| error.kind() != StoreErrorKind::Conflict;
        if outcome.as_ref().is_err_and(failed) {
            self.tried.clear();
        } else {
            self.decided.extend(self.tried.drain());
        }
        outcome
    }

    pub(super) fn put(
        &mut self,
        space: Space,
        key: &[u8],
        row: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.tried.insert((space, key.into()), Some(encode(row)?));
        Ok(())
    }

    pub(super) fn put_bytes(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.tried.insert((space, key.into()), Some(value.into()));
    }

    pub(super) fn remove(&mut self, space: Space, key: &[u8]) {
        self.tried.insert((space, key.into()), None);
    }

    /// Has a sweep look at a record at that time.
    pub(super) fn schedule(&mut self, due: Due) {
        self.earliest = Some(self.earliest.map_or(due.at, |known| known.min(due.at)));
        self.put_bytes(Space::Due, &due.to_key(), &[]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    pub(super) const fn earliest(&self) -> Option<Timestamp> {
        self.earliest
    }

    pub(super) fn into_writes(self) -> impl Iterator<Item = (Space, Bytes, Option<Bytes>)> {
        self.decided.into_iter().map(|((space, key), value)| (space, key, value))
    }
}

impl Reads for Batch<'_> {
    fn read(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let place = (space, Bytes::from(key));
        match self.tried.get(&place).or_else(|| self.decided.get(&place)) {
            Some(value) => Ok(value.clone()),
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
        let writes: Vec<_> = batch.into_writes().map(|(_, key, _)| key.to_vec()).collect();
        assert_eq!(writes.len(), 2);
        assert!(!writes.contains(&b"half".to_vec()));
        drop(engine);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
