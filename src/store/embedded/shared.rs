//! What the threads of a store share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::clock::Stopwatch;
use crate::store::Lifetimes;
use crate::store::embedded::engine::Engine;
use crate::store::embedded::jobs::{Read, Write};
use crate::store::embedded::notifier::Notifier;
use crate::store::embedded::open;
use crate::store::embedded::queue::{Ending, Queue};
use crate::store::embedded::start_error::OpenError;
use crate::token::DigestKey;

/// What the threads share.
pub(super) struct Shared {
    pub(super) key: DigestKey,
    pub(super) folder: PathBuf,
    pub(super) cache: u64,
    pub(super) lifetimes: Lifetimes,
    pub(super) stopwatch: Arc<dyn Stopwatch>,
    pub(super) operations: Arc<AtomicU64>,
    pub(super) commits: AtomicU64,
    /// None where it has failed and could not be opened again yet.
    pub(super) engine: RwLock<Option<Engine>>,
    pub(super) writes: Queue<Write>,
    pub(super) reads: Queue<Read>,
    pub(super) ending: Ending,
    pub(super) notifier: Notifier,
}

impl Shared {
    pub(super) fn engine(&self) -> RwLockReadGuard<'_, Option<Engine>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the engine again. Nobody reads meanwhile, nor afterwards if it fails.
    ///
    /// The folder may not be what it was: a volume that is no longer mounted there leaves an empty folder, in which the
    /// engine would make a new store, where nobody's session was ever revoked.
    pub(super) fn reopen(&self) -> Result<(), OpenError> {
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        // First: its lock on the folder goes with it.
        close(&mut engine);
        let operations = Arc::clone(&self.operations);
        let (opened, place) = open::reopen(&self.folder, &self.key, self.cache, operations)?;
        *engine = Some(opened);
        self.notifier.notify(place);
        Ok(())
    }
}

/// Closes an engine, which may have panicked before and may do so again.
pub(super) fn close(engine: &mut Option<Engine>) {
    let engine = AssertUnwindSafe(|| drop(engine.take()));
    // What it did not close, the next opening finds locked, and says so.
    catch_unwind(engine).unwrap_or_default();
}
