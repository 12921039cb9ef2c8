//! Sweeping: what is due, up to the budget. Records go first, and entries once no record is due.

use std::collections::BTreeSet;

use annul::store::rules::{OpenLogins, is_due};
use annul::store::{StoreError, Sweep, SweepBudget, Swept};
use annul::{SessionId, Timestamp};
use async_trait::async_trait;

use crate::bugs::Bug;
use crate::rows::{HOUR, Row, Rows, TEN_YEARS, Tables, pause};

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
        let believed = self.engine.clock.lock().unwrap().believe(now, &self.lifetimes(), None);
        if let Err(ahead) = believed {
            return Ok(Swept::held_back(ahead));
        }
        let rows = match self.bug {
            Some(Bug::IgnoresTheBudget) => usize::MAX,
            _ => budget.max_rows(),
        };
        let positions = if self.has(Bug::SweepsByPosition) {
            let positions = self.transaction(|tables| {
                let due = tables.tokens.values().enumerate();
                let due = due.filter(|(_, row)| is_due(self.due(tables, row), now));
                due.map(|(n, _)| n).take(rows).collect::<Vec<_>>()
            });
            pause().await;
            Some(positions)
        } else {
            None
        };
        let tenants: Vec<String> = self.begin().keys().cloned().collect();
        let mut removed = 0;
        let mut more = false;
        for tenant in tenants {
            let mut engine = self.begin();
            let Some(tables) = engine.get_mut(&tenant) else {
                continue;
            };
            if let Some(positions) = &positions {
                let mut position = 0;
                tables.tokens.retain(|_, _| {
                    position += 1;
                    !positions.contains(&(position - 1))
                });
                removed += positions.len();
                more |= !self.all_due(tables, now).is_empty();
                continue;
            }
            // Once the last record is gone, the entries.
            loop {
                let due = self.all_due(tables, now);
                let due: Vec<Due> = due.into_iter().take(rows.saturating_sub(removed)).collect();
                if due.is_empty() {
                    break;
                }
                removed += due.len();
                for due in due {
                    match due {
                        Due::Entry(key) => drop(tables.entries.remove(&key)),
                        Due::Session(id) => drop(tables.sessions.remove(&id)),
                        Due::Token(name) => drop(tables.tokens.remove(&name)),
                    }
                }
                let used: BTreeSet<_> =
                    tables.tokens.values().map(|row| row.grant.id().clone()).collect();
                tables.grants.retain(|id, _| used.contains(id));
            }
            more |= !self.all_due(tables, now).is_empty();
        }
        pause().await;
        if self.has(Bug::SaysThereIsNoMore) {
            more = false;
        }
        Ok(Swept::new(removed, more))
    }
}

impl Rows {
    /// The records that are due; where there are none, the entries.
    fn all_due(&self, tables: &Tables, now: Timestamp) -> Vec<Due> {
        let lifetimes = self.lifetimes();
        let tokens = tables.tokens.iter().filter(|(_, row)| is_due(self.due(tables, row), now));
        let sessions = tables
            .sessions
            .iter()
            .filter(|(_, session)| is_due(lifetimes.session_until(session.expires_at()), now));
        let tokens = tokens.map(|(name, _)| Due::Token(name.clone()));
        let records: Vec<Due> =
            tokens.chain(sessions.map(|(id, _)| Due::Session(id.clone()))).collect();
        let logins = match self.bug {
            Some(
                Bug::SessionsDoNotCount | Bug::ProlongingDoesNotCount | Bug::OnlyParticipantsCount,
            ) => OpenLogins::default(),
            _ => tables.open_logins(&lifetimes),
        };
        let entries = tables.entries.iter().filter(|(_, entry)| {
            let held_by = match self.bug {
                Some(Bug::HoldsByTheFirstCutoff) => entry.first,
                _ => entry.at,
            };
            is_due(lifetimes.entry_needed_until(entry.kind, held_by, entry.until, &logins), now)
        });
        let entries = entries.map(|(key, _)| Due::Entry(key.clone()));
        match records.is_empty() {
            _ if self.has(Bug::EntriesGoFirst) => entries.chain(records).collect(),
            true => entries.collect(),
            false => records,
        }
    }

    /// Until when a token is kept.
    pub(super) fn due(&self, tables: &Tables, row: &Row) -> Timestamp {
        let lifetimes = self.lifetimes();
        let until = lifetimes.token_until(row.kind, row.expires_at);
        let grant = tables.grants.get(row.grant.id());
        let family = grant.filter(|_| row.consumed && !self.has(Bug::ConsumedGoAtTheirExpiry));
        let family = family.map(|grant| lifetimes.family_until(grant.latest_expiry));
        match self.bug {
            Some(Bug::SweepsWhatIsADayOld) => row.issued_at + 24 * HOUR,
            Some(Bug::NeverIsTenYears) => until.min(row.issued_at + TEN_YEARS),
            _ => until.max(family.unwrap_or_default()),
        }
    }
}
