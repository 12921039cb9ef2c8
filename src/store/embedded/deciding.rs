//! What every step of one decision needs.

use crate::clock::Timestamp;
use crate::store::Lifetimes;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::namespace::NamespaceState;

/// One operation that is being decided: where it writes, for whom, and when.
pub(super) struct Deciding<'d, 'e> {
    pub(super) batch: &'d mut Batch<'e>,
    pub(super) namespace: &'d NamespaceState,
    pub(super) lifetimes: Lifetimes,
    pub(super) now: Timestamp,
}
