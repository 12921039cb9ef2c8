//! Writing an entry of the ledger.

use crate::error::StoreError;
use crate::revocation::{Revocation, Revoked, Target, TargetKind};
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::store::rules::issuing;

/// Writes the entry, and says whether it is a new one.
pub(super) async fn revoke(
    store: &PostgresStore,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let (keys, target) = (store.keys(), revocation.target());
    if let Target::Token(id) = target
        && id.digest().is_none()
    {
        return Err(issuing::no_such_name());
    }
    let key = keys.of(target);
    let kind = records::target_number(target.kind());
    let (namespace, at) = (keys.namespace(), millis(revocation.at()));
    let recorded_at = millis(revocation.recorded_at());
    let lifetimes = store.lifetimes();
    let unrecorded = duration(lifetimes.longest_unrecorded());
    let in_flight = duration(lifetimes.kept_in_flight());
    let leap = duration(lifetimes.clock_leap());
    let reason = revocation.reason().as_str();
    let (actor, client) = records::actor(revocation.actor());
    let written = match revocation.token_alone().and_then(|id| id.digest()) {
        Some(digest) => {
            let params: [Param<'_>; 13] = [
                &digest.as_bytes().as_slice(),
                &key.as_bytes(),
                &namespace,
                &at,
                &recorded_at,
                &unrecorded,
                &in_flight,
                &kind,
                &records::target_number(TargetKind::Grant),
                &reason,
                &actor,
                &client,
                &leap,
            ];
            store.link().rows(statements::REVOKE_OWN_TOKEN, &params, Retry::Allowed).await?
        }
        None => {
            let (name, second_name) = records::names_of(target);
            let params: [Param<'_>; 13] = [
                &key.as_bytes(),
                &namespace,
                &kind,
                &at,
                &recorded_at,
                &unrecorded,
                &in_flight,
                &name,
                &second_name,
                &reason,
                &actor,
                &client,
                &leap,
            ];
            store.link().rows(statements::REVOKE, &params, Retry::Allowed).await?
        }
    };
    let Some(row) = written.first() else {
        return Ok(Revoked::Already);
    };
    store.notify();
    Ok(if get(row, 0)? { Revoked::Newly } else { Revoked::Already })
}
