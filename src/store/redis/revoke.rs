//! Writing the ledger.

use redis::Value;

use crate::clock::Timestamp;
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::StoreError;
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::Part;
use crate::store::redis::records::{self, StoredToken};
use crate::store::redis::script::{Call, REVOKE, millis, random};
use crate::store::redis::store::RedisStore;

/// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
/// since it was looked up: by then revoking it means that, and its successors would live.
pub(super) async fn revoke(
    store: &RedisStore,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let (outcome, consumed) = revoke_target(store, revocation).await?;
    let (Some(record), Actor::Client(client)) = (consumed, revocation.actor()) else {
        return Ok(outcome);
    };
    let target = Target::Grant(record.grant.id().clone());
    let (at, reason) = (revocation.at(), revocation.reason());
    let of_grant = Revocation::by_client(target, reason, at, client.clone());
    match revoke_target(store, &of_grant).await? {
        (Revoked::Newly, _) => Ok(Revoked::Newly),
        (Revoked::Already, _) => Ok(outcome),
    }
}

/// One call. With it comes the record of a token that a client revokes alone, if that was consumed.
async fn revoke_target(
    store: &RedisStore,
    revocation: &Revocation,
) -> Result<(Revoked, Option<StoredToken>), StoreError> {
    let target = revocation.target();
    let id = store.keys.target(target);
    let shard = store.keys.shard(&id);
    let (moves, is_record) = match target {
        Target::Token(token) => (false, token.digest().is_some()),
        Target::Grant(_) | Target::Session(_) => (false, false),
        Target::SubjectAtClient(..)
        | Target::Subject(_)
        | Target::Client(_)
        | Target::Everything => (true, false),
    };
    let mut call = Call::new(&REVOKE, store.keys.shard_key(shard))
        .key(store.keys.key(Part::Entry, &id))
        .key(store.keys.feed_key(shard));
    if is_record && matches!(revocation.actor(), Actor::Client(_)) {
        call = call.key(store.keys.key(Part::Token, &id));
    }
    let retention = store.shared.retention;
    let kept = retention.access_tokens.max(retention.refresh_tokens);
    let call = call
        .argument(*id.as_bytes())
        .argument(revocation.at().as_unix_millis().to_be_bytes())
        .number(u64::from(moves))
        .argument(records::entry_body(revocation))
        .argument(random()?)
        .number(millis(Timestamp::default() + store.shared.longest_lifetime))
        .number(millis(Timestamp::default() + kept));
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
