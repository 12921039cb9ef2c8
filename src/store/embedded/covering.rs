//! Which entries of the ledger cover a token or a login, and for how long those stay.
//!
//! One thread writes, so every rule is the plain one: an entry stays until the last token it can cover has expired, and
//! whatever makes that later, a token born dead under it or a session that goes on, writes so in the same batch.

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::Target;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::key::TargetKey;
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{EntryRow, decode};
use crate::store::{Retention, Session, StoreError};
use crate::token::{Grant, TargetKind, TokenId};

/// When an entry was stamped, if there is one for this target.
fn cutoff(reads: &impl Reads, target: TargetKey) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = reads.read(Space::Entries, target.as_bytes())? else {
        return Ok(None);
    };
    let entry: EntryRow<'_> = decode(&bytes)?;
    Ok(Some(Timestamp::from_unix_millis(entry.at)))
}

/// Whether targets of this kind are named once and never again: then the cutoff says nothing.
pub(super) const fn is_named_once(kind: TargetKind) -> bool {
    matches!(kind, TargetKind::Token | TargetKind::Grant | TargetKind::Session)
}

/// The keys of what can cover a token, each with the kind of its target: the narrowest first.
fn covering_keys(
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
) -> impl Iterator<Item = (TargetKind, TargetKey)> {
    let token = (TargetKind::Token, namespace.targets.token(id));
    let grant = namespace.targets.of_grant(grant);
    std::iter::once(token).chain(grant.iter().collect::<Vec<_>>())
}

/// Which kind of entry covers a token, if any does, and the key of that entry: the rule of `Target::covers`.
fn covering_entry(
    reads: &impl Reads,
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
) -> Result<Option<(TargetKind, TargetKey)>, StoreError> {
    for (kind, key) in covering_keys(namespace, id, grant) {
        let covers = match cutoff(reads, key)? {
            Some(at) => is_named_once(kind) || grant.authenticated_at() <= at,
            None => false,
        };
        if covers {
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

/// Which kind of entry covers a token that is being recorded, if any does. That entry then stays until the token expires.
pub(super) fn hold_covering(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    id: &TokenId,
    grant: &Grant,
    expiry: Timestamp,
) -> Result<Option<TargetKind>, StoreError> {
    let Some((kind, key)) = covering_entry(batch, namespace, id, grant)? else {
        return Ok(None);
    };
    prolong(batch, key, expiry)?;
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

/// Keeps the entries that cover the login of a session for as long as the session lasts: tokens can be asked for in it
/// until it ends, under the login it began with.
pub(super) fn hold_for_session(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    session: &Session,
) -> Result<(), StoreError> {
    let until = session.expires_at() + Retention::IN_FLIGHT;
    let mut targets = vec![Target::Subject(session.subject().clone()), Target::Everything];
    for client in session.clients() {
        targets.push(Target::Client(client.clone()));
        targets.push(Target::SubjectAtClient(session.subject().clone(), client.clone()));
    }
    for target in targets {
        let key = namespace.targets.of(&target);
        if cutoff(batch, key)?.is_some_and(|at| session.started_at() <= at) {
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
    let key = namespace.targets.of(&Target::Session(session.clone()));
    Ok(cutoff(batch, key)?.is_some())
}

/// Says that a token or session that expires then is being recorded: what is revoked from now on may cover it.
pub(super) fn expect_until(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    expiry: Timestamp,
) -> Result<(), StoreError> {
    let row = batch.namespace(namespace.id)?;
    row.horizon = row.horizon.max(expiry.as_unix_millis());
    Ok(())
}
