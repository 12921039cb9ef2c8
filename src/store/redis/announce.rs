//! Announcing what is about to be recorded to all that a revocation of it may point at.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::redis::answer::issued;
use crate::store::redis::join;
use crate::store::redis::keys::{Named, Part};
use crate::store::redis::script::{Call, ISSUE, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::token::{NewToken, TargetKind};

/// What tokens are announced by.
#[derive(Clone, Copy)]
pub(super) struct Announced {
    /// The latest expiry of any of them.
    pub(super) expiry: u64,
    /// The latest instant at which Redis forgets one of them.
    pub(super) forgotten: u64,
    /// The login that cutoffs are compared with.
    pub(super) login: Timestamp,
}

/// When tokens expire, and when Redis forgets them.
pub(super) fn announced_at(
    store: &RedisStore,
    login: Timestamp,
    tokens: &[NewToken<'_>],
) -> Announced {
    let retention = store.root.retention;
    let due = |token: &NewToken<'_>| forgotten(token.expires_at() + retention.of(token.kind()));
    Announced {
        expiry: tokens.iter().map(|token| millis(token.expires_at())).max().unwrap_or(0),
        forgotten: tokens.iter().map(due).max().unwrap_or(0),
        login,
    }
}

/// Raises the horizon in the shard of each target, and holds the entries that are there. The narrowest that covers.
pub(super) async fn announce(
    store: &RedisStore,
    targets: &[Named],
    announced: Announced,
) -> Result<Option<TargetKind>, StoreError> {
    let mut shards: BTreeMap<usize, Vec<Named>> = BTreeMap::new();
    for target in targets {
        shards.entry(store.space.shard(&target.id)).or_default().push(*target);
    }
    let calls = shards.into_iter().map(|(shard, targets)| -> join::Boxed<'_, _> {
        Box::pin(async move {
            let call = announcing(store, shard, &targets, announced);
            issued(store.root.link.call(&call).await?)
        })
    });
    let mut covering = Vec::new();
    for issued in join::all(calls).await {
        covering.extend(issued?);
    }
    Ok(targets.iter().map(|target| target.kind).find(|kind| covering.contains(kind)))
}

pub(super) fn announcing(
    store: &RedisStore,
    shard: usize,
    targets: &[Named],
    announced: Announced,
) -> Call {
    let mut call = Call::new(&ISSUE, store.space.shard_key(shard));
    for target in targets {
        call = call.key(store.space.key(Part::Entry, &target.id));
    }
    let kinds: Vec<u8> = targets.iter().map(Named::letter).collect();
    call.number(announced.expiry)
        .number(announced.forgotten)
        .number(announced.login.as_unix_millis())
        .argument(kinds)
}
