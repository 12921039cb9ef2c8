//! Forgetting, a batch at a time: records first, and an entry after the last record that it may cover.

use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::sweep_position::Table;
use crate::store::postgres::{statements, sweep_clock};
use crate::store::{SweepBudget, Swept};

/// The most that one transaction takes: its locks are held for some milliseconds, and nothing waits for longer.
const BATCH: usize = 1_000;

/// What one batch did.
#[derive(Debug)]
struct Batch {
    looked: usize,
    removed: usize,
    /// Up to where everything was looked at.
    reached: i64,
}

/// Forgets what is due, up to the budget.
pub(super) async fn sweep(
    store: &PostgresStore,
    now: Timestamp,
    budget: SweepBudget,
) -> Result<Swept, StoreError> {
    if let Err(ahead) = sweep_clock::believe(store, now).await? {
        return Ok(Swept::held_back(ahead));
    }
    // What is kept for ever is never due, whatever a clock says.
    let now = millis(now).min(millis(Timestamp::MAX) - 1);
    let mut left = budget.max_rows();
    let mut removed = 0;
    for table in [Table::Tokens, Table::Sessions, Table::Grants, Table::Entries] {
        let now = now.min(last_free(store, table).await?);
        let reached = store.sweep_position().of(table);
        loop {
            let rows = left.min(BATCH);
            if rows == 0 {
                return Ok(Swept::new(removed, true));
            }
            let from = reached.load(Relaxed);
            let batch = sweep_batch(store, table, now, from, rows).await?;
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

/// Up to when rows of this table may go, as far as can be said before they are locked: before the first record for which
/// they are kept. What is due later is not worth a look.
async fn last_free(store: &PostgresStore, table: Table) -> Result<i64, StoreError> {
    let first = match table {
        Table::Tokens | Table::Sessions => return Ok(i64::MAX),
        Table::Grants | Table::Entries => {
            store.link().row(statements::FIRST_DUE, &[], Retry::Allowed).await?
        }
    };
    let of = |column| -> Result<i64, StoreError> {
        Ok(get::<Option<i64>>(&first, column)?.unwrap_or(i64::MAX))
    };
    let (token, grant, session) = (of(0)?, of(1)?, of(2)?);
    Ok(match table {
        Table::Entries => token.min(grant).min(session) - 1,
        Table::Grants | Table::Tokens | Table::Sessions => token - 1,
    })
}

async fn sweep_batch(
    store: &PostgresStore,
    table: Table,
    now: i64,
    from: i64,
    rows: usize,
) -> Result<Batch, StoreError> {
    let rows = i32::try_from(rows).unwrap_or(i32::MAX);
    let in_flight = duration(store.lifetimes().kept_in_flight());
    let (statement, params): (_, &[Param<'_>]) = match table {
        Table::Entries => (statements::SWEEP_ENTRIES, &[&now, &from, &rows, &in_flight]),
        Table::Grants => (statements::SWEEP_GRANTS, &[&now, &from, &rows]),
        Table::Sessions => (statements::SWEEP_SESSIONS, &[&now, &from, &rows]),
        Table::Tokens => (statements::SWEEP_TOKENS, &[&now, &from, &rows]),
    };
    let row = store.link().row(statement, params, Retry::Allowed).await?;
    let count = |column| -> Result<usize, StoreError> {
        Ok(usize::try_from(get::<i32>(&row, column)?).unwrap_or_default())
    };
    let reached = get::<Option<i64>>(&row, 2)?.unwrap_or_default();
    Ok(Batch { looked: count(0)?, removed: count(1)?, reached })
}
