//! Writes an entry of the ledger: what was revoked, and when.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Revocation, Revoked, Target};
use crate::store::Lifetimes;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Reads as _, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{
    Due, DueKind, EntryRow, TokenRow, decode, feed_key, stored_actor,
};
use crate::store::rules::covering::{Entry, entry};
use crate::store::rules::keys::TargetKey;
use crate::token::{Grant, TokenId};

/// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
/// since it was looked up: by then revoking it means that, and its successors would live.
pub(super) fn revoke(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    lifetimes: &Lifetimes,
    key: TargetKey,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    batch.note(revocation.recorded_at(), lifetimes)?;
    let outcome = revoke_target(batch, namespace, lifetimes, key, revocation)?;
    let Some(digest) = revocation.token_alone().and_then(TokenId::digest) else {
        return Ok(outcome);
    };
    let Some(bytes) = batch.read(Space::Tokens, digest.as_bytes())? else {
        return Ok(outcome);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    if row.consumed.is_none() {
        return Ok(outcome);
    }
    let grant = Grant::from(row.grant).id().clone();
    let Some(widened) = revocation.widened_to(grant) else {
        return Ok(outcome);
    };
    let key = namespace.targets.of(widened.target());
    Ok(match revoke_target(batch, namespace, lifetimes, key, &widened)? {
        Revoked::Newly => Revoked::Newly,
        Revoked::Already => outcome,
    })
}

/// Ends the family of a grant one of whose consumed refresh tokens was presented again.
pub(super) fn revoke_reused(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    lifetimes: &Lifetimes,
    (grant, now): (&Grant, Timestamp),
) -> Result<(), StoreError> {
    let reuse = Revocation::by_reuse(grant.id().clone(), now);
    let key = namespace.targets.of(&Target::Grant(grant.id().clone()));
    revoke_target(batch, namespace, lifetimes, key, &reuse)?;
    Ok(())
}

/// Writes the entry of this key, that of its target, or moves its cutoff forward.
fn revoke_target(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    lifetimes: &Lifetimes,
    key: TargetKey,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let (kind, at) = (revocation.target().kind(), revocation.at());
    let recorded_at = revocation.counts_from().max(batch.store()?.clock().latest);
    let horizon = Timestamp::from_unix_millis(batch.namespace(namespace.id)?.horizon);
    let until = lifetimes.entry_until(horizon, recorded_at).as_unix_millis();
    let known = batch.read(Space::Entries, key.as_bytes())?;
    let known: Option<EntryRow<'_>> = known.as_deref().map(decode).transpose()?;
    let cutoff = known.as_ref().map(|known| Timestamp::from_unix_millis(known.at));
    let change = entry(kind, cutoff, at);
    match (change, known) {
        (Entry::Stays, Some(mut known)) => {
            if known.until < until {
                known.until = until;
                batch.put(Space::Entries, key.as_bytes(), &known)?;
            }
        }
        (Entry::Moves, Some(known)) => {
            // The line of the old place would tell the entry twice.
            batch.remove(Space::Feed, &feed_key(namespace.id, known.place));
            // Its old due date stays; the sweep will reschedule it.
            append_entry(batch, namespace, key, revocation, known.until.max(until))?;
        }
        (Entry::New | Entry::Moves | Entry::Stays, _) => {
            append_entry(batch, namespace, key, revocation, until)?;
            let at = Timestamp::from_unix_millis(until);
            batch.schedule(Due { at, kind: DueKind::Entry, key: *key.as_bytes() });
        }
    }
    Ok(change.outcome())
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
    let (actor, client) = stored_actor(revocation.actor());
    let entry = EntryRow {
        namespace: namespace.id,
        target: revocation.target().into(),
        at: revocation.at().as_unix_millis(),
        until,
        place,
        reason: revocation.reason().as_str(),
        actor,
        client,
    };
    batch.put(Space::Entries, key.as_bytes(), &entry)?;
    batch.put_bytes(Space::Feed, &feed_key(namespace.id, place), key.as_bytes());
    Ok(())
}
