//! Forgetting, a batch at a time.

use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::statements;
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::sweep_position::{TABLES, Table};
use crate::store::{Retention, StoreError, SweepBudget, Swept};

/// The most that one transaction takes: its locks are held for some milliseconds, and nobody waits for longer.
const BATCH: usize = 1_000;

/// What one batch did.
#[derive(Debug)]
struct Batch {
    looked: usize,
    removed: usize,
    /// Up to where everything was looked at.
    reached: i64,
}

/// Forgets what is due, up to the budget, in each table in turn.
pub(super) async fn sweep(
    store: &PostgresStore,
    now: Timestamp,
    budget: SweepBudget,
) -> Result<Swept, StoreError> {
    let position = store.sweep_position();
    let first = position.first.fetch_add(1, Relaxed);
    let mut left = budget.max_rows();
    let mut removed = 0;
    let tables = TABLES.iter().zip(&position.reached).cycle();
    for (table, reached) in tables.skip(first % TABLES.len()).take(TABLES.len()) {
        loop {
            let rows = left.min(BATCH);
            if rows == 0 {
                return Ok(Swept::new(removed, true));
            }
            let from = reached.load(Relaxed);
            let batch = sweep_batch(store, *table, now, from, rows).await?;
            left = left.saturating_sub(batch.looked);
            removed += batch.removed;
            if batch.looked == rows {
                reached.store(batch.reached, Relaxed);
                continue;
            }
            // Nothing more from here on. Something may have come in before it.
            reached.store(0, Relaxed);
            if from == 0 {
                break;
            }
        }
    }
    Ok(Swept::new(removed, false))
}

async fn sweep_batch(
    store: &PostgresStore,
    table: Table,
    now: Timestamp,
    from: i64,
    rows: usize,
) -> Result<Batch, StoreError> {
    let (now, rows) = (millis(now), i32::try_from(rows).unwrap_or(i32::MAX));
    let retention = store.retention();
    let access = duration(retention.access_tokens);
    let refresh = duration(retention.refresh_tokens);
    let link = store.link();
    let row = match table {
        Table::Entries => {
            let in_flight = duration(Retention::IN_FLIGHT);
            let params: [Param<'_>; 4] = [&now, &from, &rows, &in_flight];
            link.row(statements::SWEEP_ENTRIES, &params, Retry::Allowed).await?
        }
        Table::Families => {
            link.row(statements::SWEEP_FAMILIES, &[&now, &from, &rows, &refresh], Retry::Allowed)
                .await?
        }
        Table::Sessions => {
            link.row(statements::SWEEP_SESSIONS, &[&now, &from, &rows], Retry::Allowed).await?
        }
        Table::Tokens => {
            let params: [Param<'_>; 5] = [&now, &from, &rows, &access, &refresh];
            link.row(statements::SWEEP_TOKENS, &params, Retry::Allowed).await?
        }
    };
    let count = |column| -> Result<usize, StoreError> {
        Ok(usize::try_from(get::<i32>(&row, column)?).unwrap_or_default())
    };
    let reached = get::<Option<i64>>(&row, 2)?.unwrap_or_default();
    Ok(Batch { looked: count(0)?, removed: count(1)?, reached })
}
