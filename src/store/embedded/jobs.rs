//! What callers ask of the threads, as plain data.

use std::sync::Arc;

use crate::clock::{SystemStopwatch, Timestamp};
use crate::revocation::{Revocation, Revoked};
use crate::store::embedded::grants::GrantName;
use crate::store::embedded::issue::DigestedToken;
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::queue::{Job, Settle, Slot};
use crate::store::embedded::rotate::DigestedRotation;
use crate::store::rules::keys::TargetKey;
use crate::store::{Changes, FeedCursor, Issued, Rotated, Session, Swept};
use crate::token::{Grant, TokenDigest, TokenRecord};

/// What a caller wants to know.
pub(super) enum Read {
    Changes {
        namespace: Arc<NamespaceState>,
        after: Option<FeedCursor>,
        limit: usize,
        slot: Arc<Slot<Changes>>,
    },
    Find {
        namespace: Arc<NamespaceState>,
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

/// What a caller wants written.
pub(super) enum Write {
    Issue {
        namespace: Arc<NamespaceState>,
        grant: Grant,
        name: GrantName,
        tokens: Vec<DigestedToken>,
        now: Timestamp,
        slot: Arc<Slot<Issued>>,
    },
    OpenSession {
        namespace: Arc<NamespaceState>,
        session: Session,
        slot: Arc<Slot<()>>,
    },
    Revoke {
        namespace: Arc<NamespaceState>,
        key: TargetKey,
        revocation: Revocation,
        slot: Arc<Slot<Revoked>>,
    },
    Rotate {
        namespace: Arc<NamespaceState>,
        rotation: DigestedRotation,
        now: Timestamp,
        slot: Arc<Slot<Rotated>>,
    },
    Sweep(Sweeping),
}

/// A sweep, in as many steps as its budget takes.
pub(super) struct Sweeping {
    pub(super) now: Timestamp,
    pub(super) left: usize,
    pub(super) removed: usize,
    pub(super) slot: Arc<Slot<Swept>>,
    pub(super) began: SystemStopwatch,
}

impl Sweeping {
    pub(super) fn new(now: Timestamp, rows: usize, slot: Arc<Slot<Swept>>) -> Self {
        Self { now, left: rows, removed: 0, slot, began: SystemStopwatch::start() }
    }
}

impl Job for Write {
    fn slot(&self) -> Arc<dyn Settle> {
        match self {
            Self::Issue { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::OpenSession { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::Revoke { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::Rotate { slot, .. } => Arc::<Slot<_>>::clone(slot),
            Self::Sweep(sweeping) => Arc::<Slot<_>>::clone(&sweeping.slot),
        }
    }
}
