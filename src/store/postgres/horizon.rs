//! The horizon of a namespace: no token and no session outlasts it. See "How long an entry stays" in the module's notes.

use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::postgres::link::Retry;
use crate::store::postgres::records::millis;
use crate::store::postgres::statements;
use crate::store::postgres::store::PostgresStore;

/// The horizon is raised in steps of a quarter of an hour: seldom, and not with every token.
const STEP: i64 = 900_000;

/// How often the horizon is raised for one call. Nothing lowers it, so the second time is a database that was put back.
pub(super) const RAISES: usize = 3;

/// Says that something lasts until then; see the module's "How long an entry stays".
pub(super) async fn raise(store: &PostgresStore, latest: i64) -> Result<(), StoreError> {
    let namespace = store.keys().namespace();
    let step = (latest / STEP + 1).saturating_mul(STEP).min(millis(Timestamp::MAX));
    let horizon = step.max(latest);
    store.link().rows(statements::RAISE, &[&namespace, &horizon], Retry::Allowed).await?;
    Ok(())
}

/// It was raised as often as may be, and is too low again.
pub(super) fn not_raised() -> StoreError {
    StoreError::unavailable("the horizon of the ledger does not stay raised")
}
