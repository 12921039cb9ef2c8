//! The horizon of a namespace: no record of it is kept for longer. See "How long an entry stays" in the module's notes.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::millis;
use crate::store::postgres::statements;
use crate::store::postgres::store::PostgresStore;

const HOUR: i64 = 3_600_000;

/// How often the horizon is raised for one call. Nothing lowers it, so the second time is a database that was put back.
pub(super) const RAISES: usize = 3;

/// The next full hour. Rounded like this, the horizon and the grants are written seldom, and not with every token.
pub(super) fn to_the_hour(until: i64) -> i64 {
    let next = (until / HOUR + 1).saturating_mul(HOUR);
    next.min(millis(Timestamp::MAX))
}

/// Says that something is kept until then.
pub(super) async fn raise(store: &PostgresStore, until: i64) -> Result<(), StoreError> {
    let keys = store.keys();
    let params: [Param<'_>; 3] = [&keys.namespace(), &until, &keys.everything().as_bytes()];
    store.link().rows(statements::RAISE, &params, Retry::Allowed).await?;
    Ok(())
}

/// It was raised as often as may be, and is too low again.
pub(super) fn not_raised() -> StoreError {
    StoreError::unavailable("the horizon of the ledger does not stay raised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hour_is_later_unless_it_is_never() {
        assert_eq!([0, 1, HOUR - 1, HOUR].map(to_the_hour), [HOUR, HOUR, HOUR, 2 * HOUR]);
        let never = millis(Timestamp::MAX);
        assert_eq!(to_the_hour(never), never);
    }
}
