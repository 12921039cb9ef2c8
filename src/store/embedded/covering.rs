//! Which entries of the ledger cover a token or a login, and for how long those stay.
//!
//! One thread writes, so every rule is the plain one: an entry stays for longer than the last record that it can cover, and
//! whatever makes that later, a token born dead under it or a session that is prolonged, writes so in the same batch.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::TargetKind;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{EntryRow, decode};
use crate::store::rules::covering::{covers, targets_of_login};
use crate::store::rules::keys::TargetKey;
use crate::store::{Lifetimes, Session};
use crate::token::{Grant, TokenId};

/// When an entry was stamped, if there is one for this target.
fn cutoff(reads: &impl Reads, target: TargetKey) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = reads.read(Space::Entries, target.as_bytes())? else {
        return Ok(None);
    };
    let entry: EntryRow<'_> = decode(&bytes)?;
    Ok(Some(Timestamp::from_unix_millis(entry.at)))
}

/// The keys of what can cover a token, each with the kind of its target: the narrowest first.
fn covering_keys(
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
) -> impl Iterator<Item = (TargetKind, TargetKey)> + use<> {
    let token = (TargetKind::Token, namespace.targets.token(id));
    std::iter::once(token).chain(namespace.targets.of_grant(grant).iter())
}

/// Which kind of entry covers a token, if any does, and the key of that entry: the rule of `Target::covers`.
fn covering_entry(
    reads: &impl Reads,
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
) -> Result<Option<(TargetKind, TargetKey)>, StoreError> {
    for (kind, key) in covering_keys(namespace, id, grant) {
        if cutoff(reads, key)?.is_some_and(|at| covers(kind, at, grant.authenticated_at())) {
            return Ok(Some((kind, key)));
        }
    }
    Ok(None)
}

/// Which kind of entry covers a token, if any does.
pub(super) fn covering(
    reads: &impl Reads,
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
) -> Result<Option<TargetKind>, StoreError> {
    Ok(covering_entry(reads, namespace, id, grant)?.map(|(kind, _)| kind))
}

/// Which kind of entry covers a token that is being recorded, if any does. That entry then stays until then.
pub(super) fn hold_covering(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
    until: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let Some((kind, key)) = covering_entry(batch, namespace, id, grant)? else {
        return Ok(None);
    };
    prolong(batch, key, until)?;
    Ok(Some(kind))
}

fn prolong(batch: &mut Batch<'_>, key: TargetKey, until: Timestamp) -> Result<(), StoreError> {
    let until = until.as_unix_millis();
    let known = batch.read(Space::Entries, key.as_bytes())?;
    let known: Option<EntryRow<'_>> = known.as_deref().map(decode).transpose()?;
    if let Some(mut known) = known.filter(|known| known.until < until) {
        known.until = until;
        batch.put(Space::Entries, key.as_bytes(), &known)?;
    }
    Ok(())
}

/// Keeps the entries that cover the login of a session for longer than its record: tokens can be asked for in it until it
/// ends, under the login it began with.
pub(super) fn hold_for_session(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    session: &Session,
    (record_until, lifetimes): (Timestamp, &Lifetimes),
) -> Result<(), StoreError> {
    let until = lifetimes.entry_outlives(record_until);
    for target in targets_of_login(session) {
        let key = namespace.targets.of(&target);
        let at = cutoff(batch, key)?;
        if at.is_some_and(|at| covers(target.kind(), at, session.started_at())) {
            prolong(batch, key, until)?;
        }
    }
    Ok(())
}

pub(super) fn is_logged_out(
    batch: &Batch<'_>,
    namespace: &NamespaceState,
    session: &SessionId,
) -> Result<bool, StoreError> {
    Ok(cutoff(batch, namespace.targets.session(session))?.is_some())
}

/// Says that a record is being written that is kept until then: what is revoked from now on may cover it.
pub(super) fn expect_until(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    record_until: Timestamp,
) -> Result<(), StoreError> {
    let row = batch.namespace(namespace.id)?;
    row.horizon = row.horizon.max(record_until.as_unix_millis());
    Ok(())
}
