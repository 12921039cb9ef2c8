//! Rotating a refresh token.

use redis::Value;

use crate::clock::Timestamp;
use crate::revocation::{Revocation, Target};
use crate::store::redis::announce::{announce, announcement_of};
use crate::store::redis::answer::{bytes, covering_kind, parts, unexpected};
use crate::store::redis::find::{FoundToken, look_up};
use crate::store::redis::issue::{issue_each, issue_generation};
use crate::store::redis::keys::Part;
use crate::store::redis::records::{self, StoredToken, check_counterparts};
use crate::store::redis::revoke::revoke;
use crate::store::redis::script::{CONSUME, Call, FAMILY, FAR, ROTATE, forgotten, millis, random};
use crate::store::redis::store::RedisStore;
use crate::store::{Refused, Rotated, Rotation, StoreError};
use crate::token::{NewToken, TargetKind, TokenKind, TokenRecord};

/// What became of the token in its own shard.
enum ConsumeOutcome {
    Expired,
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
    check_counterparts(rotation.successors())?;
    // The script makes successors that are good.
    let all_are_good = !rotation.successors().iter().any(NewToken::is_consumed);
    if store.is_one_script_enough() && all_are_good {
        rotate_in_one_script(store, rotation).await
    } else {
        rotate_in_steps(store, rotation).await
    }
}

/// In one step, where everything is in one shard.
async fn rotate_in_one_script(
    store: &RedisStore,
    rotation: &Rotation<'_>,
) -> Result<Rotated, StoreError> {
    let refused = |why| Ok(Rotated::Refused(why));
    let (now, retention) = (rotation.now(), store.shared.retention);
    let digest = store.keys.digest(rotation.presented());
    let id = store.keys.token(&digest);
    let client = store.keys.target(&Target::Client(rotation.client().clone()));
    let kept = Timestamp::default() + retention.refresh_tokens;
    let announcement = announcement_of(store, now, rotation.successors());
    let mut call = Call::new(&ROTATE, store.keys.shard_key(0))
        .key(store.keys.key(Part::Token, &id))
        .key(store.keys.key(Part::Entry, &id))
        .number(millis(now))
        .argument(random()?)
        .argument(*client.as_bytes())
        .number(grace_of(rotation))
        .number(millis(kept))
        .number(announcement.expiry)
        .number(announcement.forgotten);
    for token in rotation.successors() {
        let successor = store.keys.token(&store.keys.digest(token.token()));
        let due = token.expires_at() + retention.of(token.kind());
        let (head, own) = records::successor(token, Timestamp::from_unix_millis(millis(due)), now);
        call = call
            .key(store.keys.key(Part::Token, &successor))
            .key(store.keys.key(Part::Entry, &successor))
            .argument(*successor.as_bytes())
            .argument(head)
            .argument(own)
            .number(forgotten(due));
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
        b"conflict" => {
            Err(StoreError::conflict("a token of this value exists under another grant"))
        }
        _ => Err(unexpected()),
    }
}

/// Announces the successors, consumes the token, and records the successors: in this order, so that what fails on the way
/// leaves no two generations alive. What is lost by it can be asked for again in the grace window.
async fn rotate_in_steps(
    store: &RedisStore,
    rotation: &Rotation<'_>,
) -> Result<Rotated, StoreError> {
    let refused = |why| Ok(Rotated::Refused(why));
    let Some(found) = look_up(store, rotation.presented()).await? else {
        return refused(Refused::Unknown);
    };
    if found.record.kind != TokenKind::RefreshToken {
        return refused(Refused::NotARefreshToken);
    }
    if found.record.grant.client_id() != rotation.client() {
        return refused(Refused::ForeignClient);
    }
    if let Some(by) = found.by {
        return refused(Refused::Revoked { by });
    }
    let is_expired = found.record.expires_at <= rotation.now();
    if found.record.is_consumed() {
        return rotate_consumed(store, rotation, found).await;
    }
    if is_expired {
        return refused(Refused::Expired);
    }
    let (grant, successors) = (&found.record.grant, rotation.successors());
    let targets = store.keys.targets(grant);
    let announcement = announcement_of(store, grant.authenticated_at(), successors);
    // The family before the token: whoever finds the token consumed finds the window open.
    let by = announce(store, &targets, announcement).await?;
    if let Some(by) = by {
        return refused(Refused::Revoked { by });
    }
    grace_window(store, rotation, &found, true).await?;
    match consume(store, rotation, &found).await? {
        ConsumeOutcome::Expired => refused(Refused::Expired),
        ConsumeOutcome::Revoked => refused(Refused::Revoked { by: TargetKind::Token }),
        ConsumeOutcome::Unknown => refused(Refused::Unknown),
        ConsumeOutcome::Second => rotate_consumed(store, rotation, found).await,
        ConsumeOutcome::First => {
            let (generation, now) = (found.record.generation.saturating_add(1), rotation.now());
            let issued = issue_each(store, announcement, grant, successors, generation, now);
            match issued.await? {
                Some(by) => refused(Refused::Revoked { by }),
                None => Ok(Rotated::Applied(found.into_record())),
            }
        }
    }
}

/// A token that was consumed before: by the same client a moment ago, or by a thief.
async fn rotate_consumed(
    store: &RedisStore,
    rotation: &Rotation<'_>,
    found: FoundToken,
) -> Result<Rotated, StoreError> {
    if !grace_window(store, rotation, &found, false).await? {
        let grant = found.record.grant.id().clone();
        revoke(store, &Revocation::by_reuse(grant, rotation.now())).await?;
        return Ok(Rotated::Reused(found.into_record()));
    }
    if found.record.expires_at <= rotation.now() {
        return Ok(Rotated::Refused(Refused::Expired));
    }
    let record = &found.record;
    let (successors, now) = (rotation.successors(), rotation.now());
    let issued = issue_generation(
        store,
        &record.grant,
        successors,
        record.generation.saturating_add(1),
        now,
    );
    match issued.await? {
        Some(by) => Ok(Rotated::Refused(Refused::Revoked { by })),
        None => Ok(Rotated::AppliedInGrace(found.into_record())),
    }
}

/// Advances the family, or only asks: whether a second rotation of this token is in its window.
async fn grace_window(
    store: &RedisStore,
    rotation: &Rotation<'_>,
    found: &FoundToken,
    advances: bool,
) -> Result<bool, StoreError> {
    let record = &found.record;
    let expiries = rotation.successors().iter().map(NewToken::expires_at);
    let latest = expiries.fold(record.expires_at, Ord::max);
    let due = latest + store.shared.retention.refresh_tokens;
    let id = record.grant_key;
    let call = Call::new(&FAMILY, store.keys.shard_key(store.keys.shard(&id)))
        .key(store.keys.key(Part::Family, &id))
        .argument(*id.as_bytes())
        .number(u64::from(advances))
        .number(u64::from(record.generation.saturating_add(1)))
        .number(millis(rotation.now()))
        .number(grace_of(rotation))
        .number(millis(due));
    let Value::Int(is_open) = store.shared.link.call(&call).await? else {
        return Err(unexpected());
    };
    Ok(is_open == 1)
}

/// The compare-and-swap: of all callers with the same token, one finds it unconsumed.
async fn consume(
    store: &RedisStore,
    rotation: &Rotation<'_>,
    found: &FoundToken,
) -> Result<ConsumeOutcome, StoreError> {
    let id = &found.id;
    // A rotation has a name: if the answer is lost and the call sent again, it finds itself.
    let call = Call::new(&CONSUME, store.keys.shard_key(store.keys.shard(id)))
        .key(store.keys.key(Part::Token, id))
        .key(store.keys.key(Part::Entry, id))
        .number(millis(rotation.now()))
        .argument(random()?);
    match bytes(store.shared.link.call(&call).await?)?.as_slice() {
        b"expired" => Ok(ConsumeOutcome::Expired),
        b"first" => Ok(ConsumeOutcome::First),
        b"revoked" => Ok(ConsumeOutcome::Revoked),
        b"consumed" => Ok(ConsumeOutcome::Second),
        b"unknown" => Ok(ConsumeOutcome::Unknown),
        _ => Err(unexpected()),
    }
}

fn grace_of(rotation: &Rotation<'_>) -> u64 {
    u64::try_from(rotation.grace().as_millis()).unwrap_or(u64::MAX).min(FAR)
}
