//! Writing an entry of the ledger.

use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::store::{Retention, StoreError};

/// Writes the entry, and says whether it is a new one.
pub(super) async fn revoke(
    store: &PostgresStore,
    revocation: &Revocation,
) -> Result<Revoked, StoreError> {
    let (keys, target) = (store.keys(), revocation.target());
    let key = keys.of(target);
    let (namespace, at) = (keys.namespace(), millis(revocation.at()));
    let in_flight = duration(Retention::IN_FLIGHT);
    let reason = revocation.reason().as_str();
    let (actor, client) = records::actor_number(revocation.actor());
    let own_digest = match (target, revocation.actor()) {
        (Target::Token(id), Actor::Client(_)) => id.digest(),
        (_, _) => None,
    };
    let written = match own_digest {
        Some(digest) => {
            let digest = digest.as_bytes().as_slice();
            let params: [Param<'_>; 7] =
                [&digest, &key.as_bytes(), &namespace, &at, &in_flight, &reason, &client];
            store.link().rows(statements::REVOKE_OWN_TOKEN, &params, Retry::Allowed).await?
        }
        None => {
            let kind = records::target_number(target);
            let (name, second_name) = records::names_of(target);
            let params: [Param<'_>; 10] = [
                &key.as_bytes(),
                &namespace,
                &kind,
                &at,
                &in_flight,
                &name,
                &second_name,
                &reason,
                &actor,
                &client,
            ];
            store.link().rows(statements::REVOKE, &params, Retry::Allowed).await?
        }
    };
    if written.is_empty() {
        return Ok(Revoked::Already);
    }
    store.notify();
    let newly = written.iter().map(|row| get(row, 0)).collect::<Result<Vec<bool>, _>>()?;
    Ok(if newly.contains(&true) { Revoked::Newly } else { Revoked::Already })
}
