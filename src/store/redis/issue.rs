//! Recording tokens.

use crate::clock::Timestamp;
use crate::store::redis::announce::{Announcement, announce, announce_call, announcement_of};
use crate::store::redis::answer::issue_outcome;
use crate::store::redis::join;
use crate::store::redis::keys::{NamedTarget, Part};
use crate::store::redis::records::{self, StoredToken, check_counterparts};
use crate::store::redis::script::{Call, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::store::{Issued, StoreError};
use crate::token::{Grant, NewToken, TargetKind};

/// Records tokens of the first generation.
pub(super) async fn issue(
    store: &RedisStore,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let dead = issue_generation(store, grant, tokens, 0, now).await?;
    Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
}

/// Records tokens, and says whether a revocation covers them already.
pub(super) async fn issue_generation(
    store: &RedisStore,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    generation: u32,
    now: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    if tokens.is_empty() {
        return Ok(None);
    }
    check_counterparts(tokens)?;
    let targets = store.keys.targets(grant);
    let announcement = announcement_of(store, grant.authenticated_at(), tokens);
    if store.is_one_script_enough() {
        return issue_in_shard(store, 0, &targets, announcement, grant, tokens, generation, now)
            .await;
    }
    // Announced everywhere before it is recorded anywhere.
    let by = announce(store, &targets, announcement).await?;
    let alone = issue_each(store, announcement, grant, tokens, generation, now).await?;
    Ok(alone.or(by))
}

/// Records tokens that were announcement, each in its own shard.
pub(super) async fn issue_each(
    store: &RedisStore,
    announcement: Announcement,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    generation: u32,
    now: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let calls = tokens.iter().map(|token| -> join::BoxFuture<'_, _> {
        Box::pin(async move {
            let id = store.keys.token(&store.keys.digest(token.token()));
            let shard = store.keys.shard(&id);
            let one = std::slice::from_ref(token);
            issue_in_shard(store, shard, &[], announcement, grant, one, generation, now).await
        })
    });
    let mut by = None;
    for issued in join::all(calls).await {
        by = by.or(issued?);
    }
    Ok(by)
}

#[expect(clippy::too_many_arguments, reason = "they are what a record is made of")]
async fn issue_in_shard(
    store: &RedisStore,
    shard: usize,
    targets: &[NamedTarget],
    announcement: Announcement,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    generation: u32,
    now: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let mut call = announce_call(store, shard, targets, announcement);
    for token in tokens {
        call = add_token(store, call, grant, token, generation, now);
    }
    issue_outcome(store.shared.link.call(&call).await?)
}

/// Adds a token's keys and arguments to a call.
fn add_token(
    store: &RedisStore,
    call: Call,
    grant: &Grant,
    token: &NewToken<'_>,
    generation: u32,
    now: Timestamp,
) -> Call {
    let id = store.keys.token(&store.keys.digest(token.token()));
    let due = token.expires_at() + store.shared.retention.of(token.kind());
    let (generation, consumed_by) = match token.is_consumed() {
        true => (records::IMPORTED_GENERATION, records::IMPORTED),
        false => (generation, records::UNCONSUMED),
    };
    let record = StoredToken {
        kind: token.kind(),
        expires_at: token.expires_at(),
        due: Timestamp::from_unix_millis(millis(due)),
        generation,
        consumed_by,
        grant_key: store.keys.grant(grant.id()),
        issued_at: now,
        grant: grant.clone(),
        counterpart: token.counterpart().cloned(),
    };
    call.key(store.keys.key(Part::Token, &id))
        .key(store.keys.key(Part::Entry, &id))
        .argument(*id.as_bytes())
        .argument(record.to_bytes(&stored_targets(store, grant)))
        .number(forgotten(due))
}

/// The targets that a record names, however it came to be recorded: where there is one shard, scripts look at those that
/// they find there and at no others.
fn stored_targets(store: &RedisStore, grant: &Grant) -> Vec<NamedTarget> {
    if store.shared.shards <= 1 { store.keys.targets(grant) } else { Vec::new() }
}
