//! Sweeping: what is due, in any table, up to the budget.

use annul::store::{StoreError, Sweep, SweepBudget, Swept};
use annul::{SessionId, Timestamp};
use async_trait::async_trait;

use crate::bugs::Bug;
use crate::rows::{HOUR, Row, Rows, Tables, pause};

/// What a sweep takes: a table and a key.
#[derive(Clone, Debug)]
enum Due {
    Entry(String),
    Session(SessionId),
    Token(String),
}

#[async_trait]
impl Sweep for Rows {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        pause().await;
        if self.has(Bug::SweepsNothing) {
            return Ok(Swept::new(0, false));
        }
        if self.has(Bug::SweepsByEmptying) {
            let rest = self.transaction(std::mem::take);
            pause().await;
            self.transaction(|tables| *tables = rest);
        }
        if self.has(Bug::SweepsTheNeighbours) {
            for tables in self.begin().values_mut() {
                tables.entries.retain(|_, entry| now < entry.at + 24 * HOUR);
            }
        }
        let due_of = |tables: &Tables| -> Vec<Due> {
            let tokens = tables.tokens.iter().filter(|(_, row)| self.due(tables, row) <= now);
            let entries = tables.entries.iter().filter(|(_, entry)| entry.until <= now);
            let sessions = tables.sessions.iter().filter(|(_, it)| it.expires_at() <= now);
            let tokens = tokens.map(|(name, _)| Due::Token(name.clone()));
            let entries = entries.map(|(key, _)| Due::Entry(key.clone()));
            let sessions = sessions.map(|(id, _)| Due::Session(id.clone()));
            tokens.chain(entries).chain(sessions).collect()
        };
        let rows = match self.bug {
            Some(Bug::IgnoresTheBudget) => usize::MAX,
            _ => budget.max_rows(),
        };
        let positions = if self.has(Bug::SweepsByPosition) {
            let positions = self.transaction(|tables| {
                let due = tables.tokens.values().enumerate();
                let due = due.filter(|(_, row)| self.due(tables, row) <= now);
                due.map(|(n, _)| n).take(rows).collect::<Vec<_>>()
            });
            pause().await;
            Some(positions)
        } else {
            None
        };
        self.transaction(|tables| tables.horizon = tables.horizon.max(now));
        let tenants: Vec<String> = self.begin().keys().cloned().collect();
        let mut removed = 0;
        let mut more = false;
        for tenant in tenants {
            let mut engine = self.begin();
            let Some(tables) = engine.get_mut(&tenant) else {
                continue;
            };
            tables.horizon = tables.horizon.max(now);
            if let Some(positions) = &positions {
                let mut position = 0;
                tables.tokens.retain(|_, _| {
                    position += 1;
                    !positions.contains(&(position - 1))
                });
                removed += positions.len();
                more |= !due_of(tables).is_empty();
                continue;
            }
            for due in due_of(tables).into_iter().take(rows.saturating_sub(removed)) {
                removed += 1;
                match due {
                    Due::Entry(key) => drop(tables.entries.remove(&key)),
                    Due::Session(id) => drop(tables.sessions.remove(&id)),
                    Due::Token(name) => drop(tables.tokens.remove(&name)),
                }
            }
            more |= !due_of(tables).is_empty();
            tables.families.retain(|_, family| now < family.latest_expiry);
        }
        pause().await;
        if self.has(Bug::SaysThereIsNoMore) {
            more = false;
        }
        Ok(Swept::new(removed, more))
    }
}

impl Rows {
    /// When a sweep may take a token.
    fn due(&self, tables: &Tables, row: &Row) -> Timestamp {
        let family = tables.families.get(row.grant.id()).map(|family| family.latest_expiry);
        let family = family.filter(|_| row.consumed && !self.has(Bug::ConsumedGoAtTheirExpiry));
        match self.bug {
            Some(Bug::SweepsWhatIsADayOld) => row.issued_at + 24 * HOUR,
            _ => row.expires_at.max(family.unwrap_or_default()),
        }
    }
}
