//! Whether a sweep believes its clock; what it compares it with is kept in the database.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::postgres::link::Retry;
use crate::store::postgres::records::{get, millis, time};
use crate::store::postgres::statements;
use crate::store::postgres::store::PostgresStore;
use crate::store::rules::SweepClock;

/// How often the clock is read again because another process has written it since.
const MEETINGS: usize = 10;

/// Whether this is the time; if not, by how much it is ahead.
pub(super) async fn believe(
    store: &PostgresStore,
    now: Timestamp,
) -> Result<Result<(), Duration>, StoreError> {
    for _ in 0..MEETINGS {
        let row = store.link().row(statements::CLOCK, &[], Retry::Allowed).await?;
        let (latest, leaped_to): (i64, Option<i64>) = (get(&row, 0)?, get(&row, 1)?);
        let mut clock = SweepClock { latest: time(latest), leaped_to: leaped_to.map(time) };
        let believed = store.leaps().believe(&mut clock, now, store.lifetimes());
        let (new_latest, new_leap) = (millis(clock.latest), clock.leaped_to.map(millis));
        if (new_latest, new_leap) == (latest, leaped_to) {
            return Ok(believed);
        }
        let written = store
            .link()
            .rows(
                statements::SET_CLOCK,
                &[&new_latest, &new_leap, &latest, &leaped_to],
                Retry::Allowed,
            )
            .await?;
        if !written.is_empty() {
            return Ok(believed);
        }
    }
    Err(StoreError::unavailable(
        "the clock of the ledger is being written elsewhere, again and again",
    ))
}
