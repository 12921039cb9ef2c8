//! Recording tokens.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::TargetKind;
use crate::store::Issued;
use crate::store::redis::announce::{
    Announcement, GrantClaim, announce, announce_call, kept_until,
};
use crate::store::redis::answer::issue_outcome;
use crate::store::redis::join;
use crate::store::redis::keys::{GrantIds, Id, NamedTarget, Part};
use crate::store::redis::records::{self, StoredToken};
use crate::store::redis::script::{Call, WITHDRAW, millis};
use crate::store::redis::store::RedisStore;
use crate::store::rules::issuing;
use crate::store::rules::rotation::Generation;
use crate::token::{Grant, NewToken};

/// Tokens of one grant and generation that are to be recorded.
pub(super) struct NewTokens<'a> {
    pub(super) grant: &'a Grant,
    pub(super) ids: &'a GrantIds,
    pub(super) tokens: &'a [NewToken<'a>],
    pub(super) generation: Generation,
    pub(super) now: Timestamp,
}

/// Records tokens of the first generation.
pub(super) async fn issue(
    store: &RedisStore,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    now: Timestamp,
) -> Result<Issued, StoreError> {
    issuing::check(tokens)?;
    if tokens.is_empty() {
        return Ok(Issued::Live);
    }
    let ids = &store.keys.of_grant(grant);
    let new = NewTokens { grant, ids, tokens, generation: Generation::FIRST, now };
    let kept = kept_until(store, tokens);
    let announcement = Announcement { kept, login: grant.authenticated_at(), now };
    let by = if store.is_one_script_enough() {
        issue_in_one_script(store, &new, announcement).await?
    } else {
        // Announced everywhere before it is recorded anywhere.
        let claim = Some(GrantClaim::of(ids));
        let by = announce(store, &ids.targets, claim, announcement).await?;
        issue_each(store, &new, announcement).await?.or(by)
    };
    Ok(by.map_or(Issued::Live, |by| Issued::BornDead { by }))
}

async fn issue_in_one_script(
    store: &RedisStore,
    new: &NewTokens<'_>,
    announcement: Announcement,
) -> Result<Option<TargetKind>, StoreError> {
    let claim = Some(GrantClaim::of(new.ids));
    let mut call = announce_call(store, 0, &new.ids.targets, claim, announcement);
    for token in new.tokens {
        call = add_token(store, call, new, token);
    }
    Ok(issue_outcome(store.shared.link.call(&call).await?)?.covered_by)
}

/// Records tokens that were announced, each in its own shard. The kind of what covers one of them alone.
pub(super) async fn issue_each(
    store: &RedisStore,
    new: &NewTokens<'_>,
    announcement: Announcement,
) -> Result<Option<TargetKind>, StoreError> {
    let calls = new.tokens.iter().map(|token| -> join::BoxFuture<'_, _> {
        Box::pin(async move {
            let id = store.keys.token(&store.keys.digest(token.token()));
            let call = announce_call(store, store.keys.shard(&id), &[], None, announcement);
            let call = add_token(store, call, new, token);
            issue_outcome(store.shared.link.call(&call).await?)
        })
    });
    let outcomes = join::all(calls).await;
    if outcomes.iter().any(Result::is_err) {
        let recorded = new.tokens.iter().zip(&outcomes);
        let recorded = recorded.filter(|(_, outcome)| outcome.as_ref().is_ok_and(|i| i.is_new));
        withdraw(store, new, recorded.map(|(token, _)| token)).await?;
    }
    let mut by = None;
    for outcome in outcomes {
        by = by.or(outcome?.covered_by);
    }
    Ok(by)
}

/// Takes back tokens that were recorded beside one that was refused. Nobody was given them.
async fn withdraw<'a>(
    store: &RedisStore,
    new: &NewTokens<'_>,
    tokens: impl Iterator<Item = &'a NewToken<'a>>,
) -> Result<(), StoreError> {
    for token in tokens {
        let (id, record) = stored(store, new, token);
        let call = Call::new(&WITHDRAW, store.keys.key(Part::Token, &id)).argument(record);
        store.shared.link.call(&call).await?;
    }
    Ok(())
}

/// Adds a token's keys and arguments to a call.
fn add_token(store: &RedisStore, call: Call, new: &NewTokens<'_>, token: &NewToken<'_>) -> Call {
    let (id, record) = stored(store, new, token);
    call.key(store.keys.key(Part::Token, &id))
        .key(store.keys.key(Part::Entry, &id))
        .argument(*id.as_bytes())
        .argument(record)
}

/// A token's id, and its record as it is first written.
fn stored(store: &RedisStore, new: &NewTokens<'_>, token: &NewToken<'_>) -> (Id, Vec<u8>) {
    let id = store.keys.token(&store.keys.digest(token.token()));
    let due = store.shared.lifetimes.token_until(token.kind(), token.expires_at());
    let (generation, consumed_by) = match token.is_consumed() {
        true => (Generation::IMPORTED, records::IMPORTED),
        false => (new.generation, records::UNCONSUMED),
    };
    let record = StoredToken {
        kind: token.kind(),
        expires_at: token.expires_at(),
        due: Timestamp::from_unix_millis(millis(due)),
        generation,
        consumed_by,
        grant_key: new.ids.grant,
        issued_at: new.now,
        grant: new.grant.clone(),
        counterpart: token.counterpart().cloned(),
    };
    (id, record.to_bytes(stored_targets(store, new.ids)))
}

/// The targets that a record names, however it came to be recorded: where there is one shard, scripts look at those that
/// they find there and at no others.
fn stored_targets<'a>(store: &RedisStore, ids: &'a GrantIds) -> &'a [NamedTarget] {
    if store.shared.shards <= 1 { &ids.targets } else { &[] }
}
