//! Writing the ledger.

use redis::Value;

use crate::error::StoreError;
use crate::revocation::{Revocation, Revoked, Target};
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::Part;
use crate::store::redis::records::{self, StoredToken};
use crate::store::redis::script::{Call, REVOKE, length, millis, random};
use crate::store::redis::store::RedisStore;
use crate::store::rules::issuing;

/// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
/// since it was looked up: by then revoking it means that, and its successors would live.
pub(super) async fn revoke(
    store: &RedisStore,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    if let Target::Token(id) = revocation.target()
        && id.digest().is_none()
    {
        return Err(issuing::no_such_name());
    }
    let (outcome, consumed) = revoke_target(store, revocation).await?;
    let Some(record) = consumed else {
        return Ok(outcome);
    };
    let Some(widened) = revocation.widened_to(record.grant.id().clone()) else {
        return Ok(outcome);
    };
    match revoke_target(store, &widened).await? {
        (Revoked::Newly, _) => Ok(Revoked::Newly),
        (Revoked::Already, _) => Ok(outcome),
    }
}

/// One call. With it comes the record of a token that a client revokes alone, if that was consumed.
async fn revoke_target(
    store: &RedisStore,
    revocation: &Revocation,
) -> Result<(Revoked, Option<StoredToken>), StoreError> {
    let target = store.keys.named(revocation.target());
    let shard = store.keys.shard(&target.id);
    let mut call = Call::new(&REVOKE, store.keys.shard_key(shard))
        .key(store.keys.key(Part::Entry, &target.id))
        .key(store.keys.feed_key(shard));
    if revocation.token_alone().is_some() {
        call = call.key(store.keys.key(Part::Token, &target.id));
    }
    let lifetimes = store.shared.lifetimes;
    let retention = lifetimes.retention();
    let kept = retention.access_tokens.max(retention.refresh_tokens);
    let longest = store.shared.longest_lifetime.saturating_add(kept);
    let call = call
        .argument(*target.id.as_bytes())
        .argument(revocation.at().as_unix_millis().to_be_bytes())
        .argument([target.letter()])
        .argument(records::entry_body(revocation))
        .argument(random()?)
        .number(millis(revocation.recorded_at()))
        .number(length(longest.max(lifetimes.longest_unrecorded())))
        .number(length(lifetimes.kept_in_flight()))
        .number(length(lifetimes.clock_leap()));
    let Some([Value::Int(is_new), consumed]) = parts(store.shared.link.call(&call).await?) else {
        return Err(unexpected());
    };
    let outcome = if is_new == 1 { Revoked::Newly } else { Revoked::Already };
    let consumed = match bytes(consumed)?.as_slice() {
        [] => None,
        record => Some(StoredToken::from_bytes(record)?),
    };
    Ok((outcome, consumed))
}
