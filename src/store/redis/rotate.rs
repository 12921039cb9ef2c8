//! Rotating a refresh token.

use redis::Value;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Revocation, Target, TargetKind};
use crate::store::redis::announce::{Announcement, GrantClaim, announce, kept_until};
use crate::store::redis::answer::{bytes, covering_kind, parts, unexpected};
use crate::store::redis::find::{FoundToken, look_up};
use crate::store::redis::issue::{NewTokens, issue_each};
use crate::store::redis::keys::Part;
use crate::store::redis::read::read_value;
use crate::store::redis::records::{self, StoredToken};
use crate::store::redis::revoke::revoke;
use crate::store::redis::script::{ADVANCE, CONSUME, Call, ROTATE, length, millis, random};
use crate::store::redis::store::RedisStore;
use crate::store::rules::issuing;
use crate::store::rules::rotation::{Decision, Presented, decide};
use crate::store::{Refused, Rotated, Rotation};
use crate::token::{NewToken, TokenRecord};

/// How much of a grant record is read to decide a rotation: all of it.
const GRANT_BYTES: u64 = 40;

/// What became of the token in its own shard.
enum ConsumeOutcome {
    First,
    Revoked,
    Second,
    Unknown,
}

/// Consumes a refresh token and records its successors.
pub(super) async fn rotate(
    store: &RedisStore,
    rotation: &Rotation<'_>,
) -> Result<Rotated, StoreError> {
    issuing::check(rotation.successors())?;
    if store.is_one_script_enough() {
        return rotate_in_one_script(store, rotation).await;
    }
    // Another rotation of the same token may come between the look and the deed. Then the token is consumed, and stays so.
    for _ in 0..2 {
        if let Some(rotated) = rotate_in_steps(store, rotation).await? {
            return Ok(rotated);
        }
    }
    Err(unexpected())
}

/// In one step, where everything is in one shard.
async fn rotate_in_one_script(
    store: &RedisStore,
    rotation: &Rotation<'_>,
) -> Result<Rotated, StoreError> {
    let refused = |why| Ok(Rotated::Refused(why));
    let (now, lifetimes) = (rotation.now(), store.shared.lifetimes);
    let digest = store.keys.digest(rotation.presented());
    let id = store.keys.token(&digest);
    let client = store.keys.target(&Target::Client(rotation.client().clone()));
    let mut call = Call::new(&ROTATE, store.keys.shard_key(0))
        .key(store.keys.key(Part::Token, &id))
        .key(store.keys.key(Part::Entry, &id))
        .number(millis(now))
        .argument(random()?)
        .argument(*client.as_bytes())
        .number(length(rotation.grace()))
        .number(length(lifetimes.retention().refresh_tokens))
        .number(millis(latest_expiry(rotation)))
        .number(millis(kept_until(store, rotation.successors())))
        .number(length(lifetimes.kept_in_flight()))
        .number(length(lifetimes.clock_leap()));
    for token in rotation.successors() {
        let successor = store.keys.token(&store.keys.digest(token.token()));
        let due = lifetimes.token_until(token.kind(), token.expires_at());
        let parts = records::successor(token, Timestamp::from_unix_millis(millis(due)), now);
        call = call
            .key(store.keys.key(Part::Token, &successor))
            .key(store.keys.key(Part::Entry, &successor))
            .argument(*successor.as_bytes())
            .argument(parts.head)
            .argument(parts.mark)
            .argument(parts.own);
    }
    let Some([outcome, record, by]) = parts(store.shared.link.call(&call).await?) else {
        return Err(unexpected());
    };
    let found = |record: Value| -> Result<TokenRecord, StoreError> {
        let record = StoredToken::from_bytes(&bytes(record)?)?;
        Ok(FoundToken { digest, id, record, by: None }.into_record())
    };
    match bytes(outcome)?.as_slice() {
        b"first" => Ok(Rotated::Applied(found(record)?)),
        b"again" => Ok(Rotated::AppliedInGrace(found(record)?)),
        b"reused" => {
            let record = found(record)?;
            let grant = record.grant().id().clone();
            revoke(store, &Revocation::by_reuse(grant, now)).await?;
            Ok(Rotated::Reused(record))
        }
        b"expired" => refused(Refused::Expired),
        b"foreign" => refused(Refused::ForeignClient),
        b"other kind" => refused(Refused::NotARefreshToken),
        b"unknown" => refused(Refused::Unknown),
        b"revoked" => match covering_kind(by)? {
            Some(by) => refused(Refused::Revoked { by }),
            None => Err(unexpected()),
        },
        b"conflict" => Err(issuing::taken()),
        _ => Err(unexpected()),
    }
}

/// Announces the successors, consumes the token, and records the successors: in this order, so that what fails on the way
/// leaves no two generations alive. What is lost by it can be asked for again in the grace window.
///
/// None where another rotation consumed the token since it was looked up.
async fn rotate_in_steps(
    store: &RedisStore,
    rotation: &Rotation<'_>,
) -> Result<Option<Rotated>, StoreError> {
    let refused = |why| Ok(Some(Rotated::Refused(why)));
    let Some(found) = look_up(store, rotation.presented()).await? else {
        return refused(Refused::Unknown);
    };
    let record = &found.record;
    let presented = Presented {
        kind: record.kind,
        is_own: record.grant.client_id() == rotation.client(),
        covered_by: found.by,
        is_consumed: record.is_consumed(),
        generation: record.generation,
        expires_at: record.expires_at,
    };
    let family = match presented.is_consumed {
        true => {
            records::family(&read_value(store, Part::Grant, &record.grant_key, GRANT_BYTES).await?)?
        }
        // Advanced in the shard of the grant, whatever it is by then.
        false => None,
    };
    let is_first = match decide(&presented, family, rotation.now(), rotation.grace()) {
        Decision::First(_) => true,
        Decision::InGrace => false,
        Decision::Refuse(why) => return refused(why),
        Decision::Reuse => {
            let reuse = Revocation::by_reuse(record.grant.id().clone(), rotation.now());
            revoke(store, &reuse).await?;
            return Ok(Some(Rotated::Reused(found.into_record())));
        }
    };
    let (grant, now) = (&record.grant, rotation.now());
    let ids = &store.keys.of_grant(grant);
    let latest = latest_expiry(rotation).max(record.expires_at);
    let family_kept = store.shared.lifetimes.family_until(latest);
    let kept = kept_until(store, rotation.successors()).max(family_kept);
    let announcement = Announcement { kept, login: grant.authenticated_at(), now };
    let claim = Some(GrantClaim::of(ids));
    if let Some(by) = announce(store, &ids.targets, claim, announcement).await? {
        return refused(Refused::Revoked { by });
    }
    if is_first {
        // The family before the token: who finds the token consumed finds the window open.
        advance_family(store, &found, kept, now).await?;
        match consume(store, &found, kept, now).await? {
            ConsumeOutcome::First => {}
            ConsumeOutcome::Revoked => {
                return refused(Refused::Revoked { by: TargetKind::Token });
            }
            ConsumeOutcome::Second => return Ok(None),
            ConsumeOutcome::Unknown => return refused(Refused::Unknown),
        }
    }
    let (tokens, generation) = (rotation.successors(), record.generation.next());
    let new = NewTokens { grant, ids, tokens, generation, now };
    let rotated = match issue_each(store, &new, announcement).await? {
        Some(by) => Rotated::Refused(Refused::Revoked { by }),
        None if is_first => Rotated::Applied(found.into_record()),
        None => Rotated::AppliedInGrace(found.into_record()),
    };
    Ok(Some(rotated))
}

/// Advances the family of the token's grant to the generation of the successors, if it has not come as far.
async fn advance_family(
    store: &RedisStore,
    found: &FoundToken,
    kept: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = found.record.grant_key;
    let call = Call::new(&ADVANCE, store.keys.shard_key(store.keys.shard(&id)))
        .key(store.keys.key(Part::Grant, &id))
        .argument(*id.as_bytes())
        .number(u64::from(found.record.generation.get()))
        .number(millis(now))
        .number(millis(kept));
    store.shared.link.call(&call).await.map(drop)
}

/// The compare-and-swap: of all callers with the same token, one finds it unconsumed.
async fn consume(
    store: &RedisStore,
    found: &FoundToken,
    kept: Timestamp,
    now: Timestamp,
) -> Result<ConsumeOutcome, StoreError> {
    let id = &found.id;
    // A rotation has a name: if the answer is lost and the call sent again, it finds itself.
    let call = Call::new(&CONSUME, store.keys.shard_key(store.keys.shard(id)))
        .key(store.keys.key(Part::Token, id))
        .key(store.keys.key(Part::Entry, id))
        .argument(random()?)
        .number(millis(kept))
        .number(millis(now))
        .number(length(store.shared.lifetimes.clock_leap()));
    match bytes(store.shared.link.call(&call).await?)?.as_slice() {
        b"first" => Ok(ConsumeOutcome::First),
        b"revoked" => Ok(ConsumeOutcome::Revoked),
        b"consumed" => Ok(ConsumeOutcome::Second),
        b"unknown" => Ok(ConsumeOutcome::Unknown),
        _ => Err(unexpected()),
    }
}

fn latest_expiry(rotation: &Rotation<'_>) -> Timestamp {
    rotation.successors().iter().map(NewToken::expires_at).max().unwrap_or_default()
}
