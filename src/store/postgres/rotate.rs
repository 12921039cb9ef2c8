//! Rotating a refresh token.

use crate::error::StoreError;
use crate::store::postgres::columns::Columns;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{horizon, records, statements};
use crate::store::rules::issuing;
use crate::store::rules::rotation::Generation;
use crate::store::{Refused, Rotated, Rotation};
use crate::token::TokenDigest;

/// Consumes the refresh token and records its successors, or says why not.
pub(super) async fn rotate(
    store: &PostgresStore,
    rotation: &Rotation<'_>,
) -> Result<Rotated, StoreError> {
    let columns = Columns::new(store, rotation.successors())?;
    let digest = store.keys().digests().digest(rotation.presented());
    let key = store.keys().token(&digest.into());
    let lifetimes = store.lifetimes();
    let until = columns.family_until(store);
    let (digests, keys) = (columns.digests(), columns.keys());
    let generations = columns.generations(None);
    let params: [Param<'_>; 20] = [
        &store.keys().namespace(),
        &digest.as_bytes().as_slice(),
        &key.as_bytes(),
        &store.keys().everything().as_bytes(),
        &rotation.client().as_str().as_bytes(),
        &millis(rotation.now()),
        &duration(rotation.grace()),
        &until,
        &duration(lifetimes.clock_leap()),
        &duration(lifetimes.longest_unrecorded()),
        &duration(lifetimes.kept_in_flight()),
        &records::generation(Generation::LAST),
        &digests,
        &keys,
        &columns.kinds,
        &columns.consumed,
        &generations,
        &columns.expiries,
        &columns.dues,
        &columns.counterparts,
    ];
    for _ in 0..horizon::RAISES {
        // The first attempt may have consumed the token: a second one would find it reused.
        let row = store.link().row(statements::ROTATE, &params, Retry::Never).await?;
        let outcome: i16 = get(&row, 0)?;
        if outcome == 9 {
            horizon::raise(store, until).await?;
            continue;
        }
        return rotated(store, outcome, &row, digest);
    }
    Err(horizon::not_raised())
}

/// The outcome of `annul_rotate`.
fn rotated(
    store: &PostgresStore,
    outcome: i16,
    row: &tokio_postgres::Row,
    digest: TokenDigest,
) -> Result<Rotated, StoreError> {
    let record = || records::record(row, 2, digest);
    Ok(match outcome {
        0 => Rotated::Applied(record()?),
        1 => Rotated::AppliedInGrace(record()?),
        2 => Rotated::Refused(Refused::Unknown),
        3 => Rotated::Refused(Refused::NotARefreshToken),
        4 => Rotated::Refused(Refused::ForeignClient),
        5 => Rotated::Refused(Refused::Revoked { by: records::target_kind(get(row, 1)?)? }),
        6 => Rotated::Refused(Refused::Expired),
        7 => {
            store.notify();
            Rotated::Reused(record()?)
        }
        8 => return Err(issuing::taken()),
        unknown => return Err(StoreError::corrupt(format!("a rotation came to {unknown}"))),
    })
}
