//! Writes an entry of the ledger: what was revoked, and when.

use crate::clock::Timestamp;
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::embedded::batch::Batch;
use crate::store::embedded::covering::is_named_once;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::key::TargetKey;
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{Due, DueKind, EntryRow, TokenRow, decode, feed_key};
use crate::store::{Retention, StoreError};
use crate::token::Grant;

/// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
/// since it was looked up: by then revoking it means that, and its successors would live.
pub(super) fn revoke(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    key: TargetKey,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let outcome = revoke_target(batch, namespace, key, revocation)?;
    let (Target::Token(id), Actor::Client(client)) = (revocation.target(), revocation.actor())
    else {
        return Ok(outcome);
    };
    let Some(digest) = id.digest() else {
        return Ok(outcome);
    };
    let Some(bytes) = batch.read(Space::Tokens, digest.as_bytes())? else {
        return Ok(outcome);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    if row.consumed.is_none() {
        return Ok(outcome);
    }
    let target = Target::Grant(Grant::from(row.grant).id().clone());
    let key = namespace.targets.of(&target);
    let (at, reason) = (revocation.at(), revocation.reason());
    let of_grant = Revocation::by_client(target, reason, at, client.clone());
    Ok(match revoke_target(batch, namespace, key, &of_grant)? {
        Revoked::Newly => Revoked::Newly,
        Revoked::Already => outcome,
    })
}

/// Writes the entry of this key, that of its target, or moves its cutoff forward.
pub(super) fn revoke_target(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    key: TargetKey,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let (kind, at) = (revocation.target().kind(), revocation.at());
    let horizon = Timestamp::from_unix_millis(batch.namespace(namespace.id)?.horizon);
    let until = (horizon.max(at) + Retention::IN_FLIGHT).as_unix_millis();
    let known = batch.read(Space::Entries, key.as_bytes())?;
    let known: Option<EntryRow<'_>> = known.as_deref().map(decode).transpose()?;
    if let Some(mut known) = known {
        let moves = !is_named_once(kind) && known.at < at.as_unix_millis();
        if !moves {
            if known.until < until {
                known.until = until;
                batch.put(Space::Entries, key.as_bytes(), &known)?;
            }
            return Ok(Revoked::Already);
        }
        // The line of the old place would tell the entry twice.
        batch.remove(Space::Feed, &feed_key(namespace.id, known.place));
        let until = known.until.max(until);
        // It is looked at when it was to be before, and then again.
        append_entry(batch, namespace, key, revocation, until)?;
        return Ok(Revoked::Newly);
    }
    append_entry(batch, namespace, key, revocation, until)?;
    let at = Timestamp::from_unix_millis(until);
    batch.schedule(Due { at, kind: DueKind::Entry, key: *key.as_bytes() });
    Ok(Revoked::Newly)
}

/// Puts an entry at the end of the feed.
fn append_entry(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    key: TargetKey,
    revocation: &Revocation,
    until: u64,
) -> Result<(), StoreError> {
    let place = batch.next_place()?;
    let entry = EntryRow {
        namespace: namespace.id,
        target: revocation.target().into(),
        at: revocation.at().as_unix_millis(),
        until,
        place,
        seen: false,
        reason: revocation.reason().as_str(),
        actor: revocation.actor().into(),
    };
    batch.put(Space::Entries, key.as_bytes(), &entry)?;
    batch.put_bytes(Space::Feed, &feed_key(namespace.id, place), key.as_bytes());
    Ok(())
}
