//! The ledger in memory: what was revoked, and when.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use crate::clock::Timestamp;
use crate::revocation::Revocation;
use crate::revocation::Revoked;
use crate::revocation::Target;
use crate::store::memory::shards::Shards;
use crate::store::memory::table::Due;
use crate::store::memory::table::Looked;
use crate::store::memory::table::Record;
use crate::store::memory::table::Table;
use crate::token::Grant;
use crate::token::TargetKind;
use crate::token::TokenDigest;
use crate::token::TokenId;

/// One entry.
#[derive(Debug)]
struct Entry {
    hash: u64,
    namespace: u32,
    target: Target,
    at: Timestamp,
    /// The expiry of the longest-lived token it can cover.
    until: Timestamp,
}

impl Record for Entry {
    fn hash(&self) -> u64 {
        self.hash
    }
}

#[derive(Debug)]
pub(super) struct Ledger {
    entries: Shards<Table<Entry>>,
    /// How many entries there are of each kind: a kind without entries is not looked up.
    counts: [AtomicUsize; KINDS.len()],
    /// The latest expiry of any token so far.
    horizon: AtomicU64,
    hasher: RandomState,
}

const KINDS: [TargetKind; 7] = [
    TargetKind::Token,
    TargetKind::Grant,
    TargetKind::Session,
    TargetKind::SubjectAtClient,
    TargetKind::Subject,
    TargetKind::Client,
    TargetKind::Everything,
];

impl Default for Ledger {
    fn default() -> Self {
        Self {
            entries: Shards::default(),
            counts: Default::default(),
            horizon: AtomicU64::new(0),
            // Targets can be chosen by outsiders (a client names itself), so their hash is keyed.
            hasher: RandomState::new(),
        }
    }
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.counts.iter().map(|count| count.load(SeqCst)).sum()
    }

    /// Says that a token expiring then is about to be recorded.
    ///
    /// Call it *before* the token is recorded and look for covering entries *after*. An entry written meanwhile
    /// either has seen the new horizon, or is seen by that look: so none is forgotten before the token expires.
    pub(super) fn expect_token_until(&self, expiry: Timestamp) {
        self.horizon.fetch_max(expiry.as_unix_millis(), SeqCst);
    }

    /// Writes one entry, or moves its cutoff forward.
    pub(super) fn apply(&self, namespace: u32, revocation: &Revocation) -> Revoked {
        let target = revocation.target();
        let hash = self.hash(namespace, target);
        let mut entries = write(self.entries.of(hash));
        if let Some(count) = self.counts.get(target.kind() as usize) {
            // Counted before the horizon is read; see `expect_token_until`.
            count.fetch_add(1, SeqCst);
        }
        let until = Timestamp::from_unix_millis(self.horizon.load(SeqCst)).max(revocation.at());
        let known = entries.get_mut(hash, |entry| entry.is(namespace, target));
        let Some(entry) = known else {
            let (target, at) = (target.clone(), revocation.at());
            entries.insert(Entry { hash, namespace, target, at, until }, until);
            return Revoked::Newly;
        };
        if let Some(count) = self.counts.get(target.kind() as usize) {
            count.fetch_sub(1, SeqCst);
        }
        entry.until = entry.until.max(until);
        if has_cutoff(target.kind()) && entry.at < revocation.at() {
            entry.at = revocation.at();
            Revoked::Newly
        } else {
            Revoked::Already
        }
    }

    /// Which kind of entry covers a token, if any does.
    pub(super) fn covering(
        &self,
        namespace: u32,
        digest: &TokenDigest,
        grant: &Grant,
    ) -> Option<TargetKind> {
        self.cover(namespace, digest, grant, |_| {})
    }

    /// As [`covering`](Self::covering), for a token that was just recorded: its entry is kept until the token
    /// expires.
    pub(super) fn covering_until(
        &self,
        namespace: u32,
        digest: &TokenDigest,
        grant: &Grant,
        expiry: Timestamp,
    ) -> Option<TargetKind> {
        self.cover(namespace, digest, grant, |target| {
            let hash = self.hash(namespace, target);
            let mut entries = write(self.entries.of(hash));
            if let Some(entry) = entries.get_mut(hash, |entry| entry.is(namespace, target)) {
                entry.until = entry.until.max(expiry);
            }
        })
    }

    pub(super) fn is_revoked(&self, namespace: u32, target: &Target) -> bool {
        self.cutoff(namespace, target).is_some()
    }

    /// Forgets entries that no token can need any more.
    pub(super) fn sweep(&self, now: Timestamp, shard: usize, budget: usize) -> Looked {
        let mut entries = write(self.entries.at(shard));
        entries.sweep(now, budget, |entry| {
            if entry.until > now {
                return Due::At(entry.until);
            }
            if let Some(count) = self.counts.get(entry.target.kind() as usize) {
                count.fetch_sub(1, SeqCst);
            }
            Due::Now
        })
    }

    pub(super) fn has_due(&self, now: Timestamp, shard: usize) -> bool {
        read(self.entries.at(shard)).has_due(now)
    }

    fn cover(
        &self,
        namespace: u32,
        digest: &TokenDigest,
        grant: &Grant,
        found: impl Fn(&Target),
    ) -> Option<TargetKind> {
        KINDS.into_iter().find(|kind| {
            let count = self.counts.get(*kind as usize).map_or(0, |count| count.load(SeqCst));
            if count == 0 {
                return false;
            }
            let Some(target) = target_of(*kind, digest, grant) else {
                return false;
            };
            let cutoff = self.cutoff(namespace, &target);
            let covers =
                cutoff.is_some_and(|at| !has_cutoff(*kind) || grant.authenticated_at() <= at);
            if covers {
                found(&target);
            }
            covers
        })
    }

    fn cutoff(&self, namespace: u32, target: &Target) -> Option<Timestamp> {
        let hash = self.hash(namespace, target);
        let entries = read(self.entries.of(hash));
        entries.get(hash, |entry| entry.is(namespace, target)).map(|entry| entry.at)
    }

    fn hash(&self, namespace: u32, target: &Target) -> u64 {
        self.hasher.hash_one((namespace, target))
    }
}

impl Entry {
    fn is(&self, namespace: u32, target: &Target) -> bool {
        self.namespace == namespace && self.target == *target
    }
}

/// The covering rule of `Target::covers`, turned round: the one target of each kind that could cover a token.
fn target_of(kind: TargetKind, digest: &TokenDigest, grant: &Grant) -> Option<Target> {
    let subject = grant.subject_id().cloned();
    let client = grant.client_id().clone();
    Some(match kind {
        TargetKind::Token => Target::Token(TokenId::from(*digest)),
        TargetKind::Grant => Target::Grant(grant.id().clone()),
        TargetKind::Session => Target::Session(grant.session_id()?.clone()),
        TargetKind::SubjectAtClient => Target::SubjectAtClient(subject?, client),
        TargetKind::Subject => Target::Subject(subject?),
        TargetKind::Client => Target::Client(client),
        TargetKind::Everything => Target::Everything,
    })
}

/// Whether time decides what an entry of this kind covers.
const fn has_cutoff(kind: TargetKind) -> bool {
    match kind {
        TargetKind::Token | TargetKind::Grant | TargetKind::Session => false,
        TargetKind::SubjectAtClient
        | TargetKind::Subject
        | TargetKind::Client
        | TargetKind::Everything => true,
    }
}

/// Nothing panics while a lock is held, so a poisoned one guards sound data all the same.
pub(super) fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// See [`read`].
pub(super) fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
