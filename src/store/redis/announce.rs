//! Announcing what is about to be recorded to all that a revocation of it may point at.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::store::redis::answer::issue_outcome;
use crate::store::redis::join;
use crate::store::redis::keys::{GrantIds, Id, NamedTarget, Part};
use crate::store::redis::script::{Call, ISSUE, length, millis};
use crate::store::redis::store::RedisStore;
use crate::token::NewToken;

/// What records are announced by.
#[derive(Clone, Copy)]
pub(super) struct Announcement {
    /// Until when the last of them is kept.
    pub(super) kept: Timestamp,
    /// The login that cutoffs are compared with.
    pub(super) login: Timestamp,
    /// When they are recorded; 0 where that is not known.
    pub(super) now: Timestamp,
}

/// Whose the grant of the records is.
#[derive(Clone, Copy)]
pub(super) struct GrantClaim {
    grant: Id,
    owner: [u8; 16],
}

impl GrantClaim {
    pub(super) const fn of(ids: &GrantIds) -> Self {
        Self { grant: ids.grant, owner: ids.owner }
    }
}

/// Until when the last of some tokens is kept.
pub(super) fn kept_until(store: &RedisStore, tokens: &[NewToken<'_>]) -> Timestamp {
    let lifetimes = store.shared.lifetimes;
    let until = |token: &NewToken<'_>| lifetimes.token_until(token.kind(), token.expires_at());
    tokens.iter().map(until).max().unwrap_or_default()
}

/// Raises the horizon in the shard of each target, and holds the entries that are there. The narrowest that covers.
///
/// The grant's own shard learns whose the grant is. Where it is known to be another's, this fails.
pub(super) async fn announce(
    store: &RedisStore,
    targets: &[NamedTarget],
    claim: Option<GrantClaim>,
    announcement: Announcement,
) -> Result<Option<TargetKind>, StoreError> {
    let mut shards: BTreeMap<usize, Vec<NamedTarget>> = BTreeMap::new();
    for target in targets {
        shards.entry(store.keys.shard(&target.id)).or_default().push(*target);
    }
    let calls = shards.into_iter().map(|(shard, targets)| -> join::BoxFuture<'_, _> {
        let claim = claim.filter(|claim| store.keys.shard(&claim.grant) == shard);
        Box::pin(async move {
            let call = announce_call(store, shard, &targets, claim, announcement);
            let issued = issue_outcome(store.shared.link.call(&call).await?)?;
            Ok::<_, StoreError>(issued.covered_by)
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
    claim: Option<GrantClaim>,
    announcement: Announcement,
) -> Call {
    let mut call = Call::new(&ISSUE, store.keys.shard_key(shard));
    for target in targets {
        call = call.key(store.keys.key(Part::Entry, &target.id));
    }
    if let Some(claim) = &claim {
        call = call.key(store.keys.key(Part::Grant, &claim.grant));
    }
    let kinds: Vec<u8> = targets.iter().map(NamedTarget::letter).collect();
    let lifetimes = store.shared.lifetimes;
    let call = call
        .number(millis(announcement.kept))
        .number(announcement.login.as_unix_millis())
        .argument(kinds)
        .number(length(lifetimes.kept_in_flight()))
        .number(millis(announcement.now))
        .number(length(lifetimes.clock_leap()));
    match claim {
        Some(claim) => call.argument(claim.grant.as_bytes()).argument(claim.owner),
        None => call.argument("").argument(""),
    }
}
