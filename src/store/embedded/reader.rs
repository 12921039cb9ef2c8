//! The threads that read: whoever asks waits in a future, and not on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::StoreError;
use crate::store::embedded::engine::{Engine, Snapshot};
use crate::store::embedded::jobs::Read;
use crate::store::embedded::queue::{Job as _, Wait};
use crate::store::embedded::shared::Shared;
use crate::store::embedded::{feed, find, session};

/// The most that one thread takes at once: waking it costs more than a read.
const MOST: usize = 8;

impl Read {
    /// A snapshot for each: a revocation that was acknowledged before it was asked for is in it.
    fn answer(&self, engine: &Engine) {
        let snapshot = engine.snapshot();
        match self {
            Self::Changes { namespace, after, limit, slot } => {
                slot.answer(feed::changes(&snapshot, namespace, after.as_ref(), *limit));
            }
            Self::Find { namespace, digest, slot } => {
                slot.answer(find::find(&snapshot, namespace, digest));
            }
            Self::Fingerprint { slot } => slot.answer(fingerprint(&snapshot)),
            Self::Session { key, slot } => {
                let found = session::find_session(&snapshot, key);
                slot.answer(found.map(|found| found.map(|(session, _)| session)));
            }
        }
    }
}

fn fingerprint(snapshot: &Snapshot<'_>) -> Result<[u8; 32], StoreError> {
    let mut hasher = blake3::Hasher::new();
    snapshot.each(|key, value| {
        for part in [key, value] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            hasher.update(&length.to_le_bytes());
            hasher.update(part);
        }
    })?;
    Ok(*hasher.finalize().as_bytes())
}

/// Until the store is closed and everything is answered.
pub(super) fn run(shared: &Shared, thread: usize) {
    let mut reads = Vec::new();
    while shared.reads.take(thread, MOST, Wait::Long, &mut reads) {
        for read in reads.drain(..) {
            let slot = read.slot();
            if slot.is_settled() {
                continue;
            }
            let engine = shared.engine();
            match engine.as_ref() {
                Some(engine) => {
                    if catch_unwind(AssertUnwindSafe(|| read.answer(engine))).is_err() {
                        slot.refuse("the engine panicked");
                    }
                }
                None => slot.refuse("the store is being opened again"),
            }
        }
    }
}
