//! Recording tokens.

use crate::clock::Timestamp;
use crate::store::redis::announce::{Announced, announce, announced_at, announcing};
use crate::store::redis::answer::issued;
use crate::store::redis::join;
use crate::store::redis::keys::{Named, Part};
use crate::store::redis::records::{self, Record, check_counterparts};
use crate::store::redis::script::{Call, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::store::{Issued, StoreError};
use crate::token::{Grant, NewToken, TargetKind};

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
    let targets = store.space.targets(grant);
    let announced = announced_at(store, grant.authenticated_at(), tokens);
    if store.is_at_once() {
        return put(store, 0, &targets, announced, grant, tokens, generation, now).await;
    }
    // Announced everywhere before it is recorded anywhere.
    let by = announce(store, &targets, announced).await?;
    let alone = put_all(store, announced, grant, tokens, generation, now).await?;
    Ok(alone.or(by))
}

/// Records tokens that were announced, each in its own shard.
pub(super) async fn put_all(
    store: &RedisStore,
    announced: Announced,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    generation: u32,
    now: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let puts = tokens.iter().map(|token| -> join::Boxed<'_, _> {
        Box::pin(async move {
            let id = store.space.token(&store.space.digest(token.token()));
            let shard = store.space.shard(&id);
            let one = std::slice::from_ref(token);
            put(store, shard, &[], announced, grant, one, generation, now).await
        })
    });
    let mut by = None;
    for put in join::all(puts).await {
        by = by.or(put?);
    }
    Ok(by)
}

#[expect(clippy::too_many_arguments, reason = "they are what a record is made of")]
async fn put(
    store: &RedisStore,
    shard: usize,
    targets: &[Named],
    announced: Announced,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    generation: u32,
    now: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let mut call = announcing(store, shard, targets, announced);
    for token in tokens {
        call = with_token(store, call, grant, token, generation, now);
    }
    issued(store.root.link.call(&call).await?)
}

/// Adds a token's keys and arguments to a call.
fn with_token(
    store: &RedisStore,
    call: Call,
    grant: &Grant,
    token: &NewToken<'_>,
    generation: u32,
    now: Timestamp,
) -> Call {
    let id = store.space.token(&store.space.digest(token.token()));
    let due = token.expires_at() + store.root.retention.of(token.kind());
    let (generation, spent_by) = match token.is_consumed() {
        true => (records::IMPORTED_GENERATION, records::IMPORTED),
        false => (generation, records::UNSPENT),
    };
    let record = Record {
        kind: token.kind(),
        expires_at: token.expires_at(),
        due: Timestamp::from_unix_millis(millis(due)),
        generation,
        spent_by,
        grant_key: store.space.grant(grant.id()),
        issued_at: now,
        grant: grant.clone(),
        counterpart: token.counterpart().cloned(),
    };
    call.key(store.space.key(Part::Token, &id))
        .key(store.space.key(Part::Entry, &id))
        .argument(*id.as_bytes())
        .argument(record.to_bytes(&embedded(store, grant)))
        .number(forgotten(due))
}

/// The targets that a record names, however it came to be recorded: where there is one shard, scripts look at those that
/// they find there and at no others.
fn embedded(store: &RedisStore, grant: &Grant) -> Vec<Named> {
    if store.root.shards <= 1 { store.space.targets(grant) } else { Vec::new() }
}
