//! Announcing what is about to be recorded to all that a revocation of it may point at.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::redis::answer::issue_outcome;
use crate::store::redis::join;
use crate::store::redis::keys::{NamedTarget, Part};
use crate::store::redis::script::{Call, ISSUE, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::token::{NewToken, TargetKind};

/// What tokens are announced by.
#[derive(Clone, Copy)]
pub(super) struct Announcement {
    /// The latest expiry of any of them.
    pub(super) expiry: u64,
    /// The latest instant at which Redis forgets one of them.
    pub(super) forgotten: u64,
    /// The login that cutoffs are compared with.
    pub(super) login: Timestamp,
}

/// When tokens expire, and when Redis forgets them.
pub(super) fn announcement_of(
    store: &RedisStore,
    login: Timestamp,
    tokens: &[NewToken<'_>],
) -> Announcement {
    let retention = store.shared.retention;
    let due = |token: &NewToken<'_>| forgotten(token.expires_at() + retention.of(token.kind()));
    Announcement {
        expiry: tokens.iter().map(|token| millis(token.expires_at())).max().unwrap_or(0),
        forgotten: tokens.iter().map(due).max().unwrap_or(0),
        login,
    }
}

/// Raises the horizon in the shard of each target, and holds the entries that are there. The narrowest that covers.
pub(super) async fn announce(
    store: &RedisStore,
    targets: &[NamedTarget],
    announcement: Announcement,
) -> Result<Option<TargetKind>, StoreError> {
    let mut shards: BTreeMap<usize, Vec<NamedTarget>> = BTreeMap::new();
    for target in targets {
        shards.entry(store.keys.shard(&target.id)).or_default().push(*target);
    }
    let calls = shards.into_iter().map(|(shard, targets)| -> join::BoxFuture<'_, _> {
        Box::pin(async move {
            let call = announce_call(store, shard, &targets, announcement);
            issue_outcome(store.shared.link.call(&call).await?)
        })
    });
    let mut covering = Vec::new();
    for issued in join::all(calls).await {
        covering.extend(issued?);
    }
    Ok(targets.iter().map(|target| target.kind).find(|kind| covering.contains(kind)))
}

pub(super) fn announce_call(
    store: &RedisStore,
    shard: usize,
    targets: &[NamedTarget],
    announcement: Announcement,
) -> Call {
    let mut call = Call::new(&ISSUE, store.keys.shard_key(shard));
    for target in targets {
        call = call.key(store.keys.key(Part::Entry, &target.id));
    }
    let kinds: Vec<u8> = targets.iter().map(NamedTarget::letter).collect();
    call.number(announcement.expiry)
        .number(announcement.forgotten)
        .number(announcement.login.as_unix_millis())
        .argument(kinds)
}
