//! The threads that read: whoever asks waits in a future, and not on the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::store::embedded::engine::Engine;
use crate::store::embedded::queue::{Job, Settle, Slot, Wait};
use crate::store::embedded::rows::Tenant;
use crate::store::embedded::{Shared, feed, tokens};
use crate::store::{Changes, FeedCursor, Session, StoreError};
use crate::token::{TokenDigest, TokenRecord};

/// The most that one thread takes at once: waking it costs more than a read.
const MOST: usize = 8;

/// What a caller wants to know.
pub(super) enum Read {
    Changes {
        tenant: Arc<Tenant>,
        after: Option<FeedCursor>,
        limit: usize,
        slot: Arc<Slot<Changes>>,
    },
    Find {
        tenant: Arc<Tenant>,
        digest: TokenDigest,
        slot: Arc<Slot<Option<TokenRecord>>>,
    },
    Fingerprint {
        slot: Arc<Slot<[u8; 32]>>,
    },
    Session {
        key: [u8; 32],
        slot: Arc<Slot<Option<Session>>>,
    },
}

impl Job for Read {
    fn slot(&self) -> Arc<dyn Settle> {
        match self {
            Self::Changes { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::Find { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::Fingerprint { slot } => Arc::<Slot<_>>::clone(slot),
            Self::Session { slot, .. } => Arc::<Slot<_>>::clone(slot),
        }
    }
}

impl Read {
    /// A snapshot for each: a revocation that was acknowledged before it was asked for is in it.
    fn answer(&self, engine: &Engine) {
        let snapshot = engine.snapshot();
        match self {
            Self::Changes { tenant, after, limit, slot } => {
                slot.answer(feed::changes(&snapshot, tenant, after.as_ref(), *limit));
            }
            Self::Find { tenant, digest, slot } => {
                slot.answer(tokens::find(&snapshot, tenant, digest));
            }
            Self::Fingerprint { slot } => slot.answer(fingerprint(&snapshot)),
            Self::Session { key, slot } => slot.answer(tokens::find_session(&snapshot, key)),
        }
    }
}

fn fingerprint(
    snapshot: &crate::store::embedded::engine::Snapshot<'_>,
) -> Result<[u8; 32], StoreError> {
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
