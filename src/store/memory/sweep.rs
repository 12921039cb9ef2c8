//! Forgets what is due, in steps: records first, and entries of the ledger once no record is due.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::revocation::TargetKind;
use crate::store::memory::ledger::Needed;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::{RowKey, TokenRow};
use crate::store::memory::shards::{MANY, lock, read, write};
use crate::store::memory::store::Root;
use crate::store::memory::table::{SweepStep, last_minute};
use crate::store::rules::OpenLogins;
use crate::store::{Lifetimes, SweepBudget, Swept};
use crate::token::{Grant, TokenId};

/// How many steps a sweep of one namespace's records has.
const STEPS: usize = MANY;

/// Sweeps every namespace, within one budget.
pub(super) fn sweep(root: &Root, now: Timestamp, budget: SweepBudget) -> Swept {
    // Noted before any shard is looked at; see `Ledger::covering`.
    if let Err(ahead) = root.shared.believe(now) {
        return Swept::held_back(ahead);
    }
    let namespaces: Vec<Arc<NamespaceState>> = read(&root.namespaces).values().cloned().collect();
    let mut total = SweepStep::default();
    for _ in 0..namespaces.len() * STEPS {
        let left = budget.max_rows().saturating_sub(total.looked_at);
        if left == 0 {
            break;
        }
        // Each sweep continues where the last one stopped, so that no shard is always last.
        let step = root.step.load(Relaxed);
        let Some(namespace) = namespaces.get(step / STEPS % namespaces.len()) else {
            break;
        };
        let part = namespace.sweep_records(now, step % STEPS, left);
        total += part;
        if part.looked_at < left {
            root.step.store(step.wrapping_add(1), Relaxed);
        }
    }
    for namespace in &namespaces {
        let left = budget.max_rows().saturating_sub(total.looked_at);
        if left == 0 {
            break;
        }
        total += namespace.sweep_entries(now, left);
    }
    let more = namespaces.iter().any(|namespace| namespace.has_due(now));
    Swept::new(total.removed, more)
}

impl NamespaceState {
    /// One step: a shard of every table of records. Locks are held for one table's share of the budget at a time.
    fn sweep_records(&self, now: Timestamp, step: usize, budget: usize) -> SweepStep {
        let lifetimes = self.shared.lifetimes();
        let mut grants: Vec<Arc<Grant>> = Vec::new();
        let mut total = write(self.tokens.at(step)).sweep(
            now,
            budget,
            |row| self.row_until(row, &lifetimes),
            |row| grants.push(row.grant),
        );
        // Not before the shard of tokens is unlocked: grants come before tokens.
        for grant in grants {
            let hash = self.keys.hash_one(grant.id());
            write(self.grants.of(hash)).release(hash, &grant);
        }
        total += write(self.families.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |family| lifetimes.family_until(family.latest_expiry),
            drop,
        );
        total += write(self.sessions.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |session| lifetimes.session_until(session.expires_at()),
            drop,
        );
        total += write(self.counterparts.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |counterpart| lifetimes.family_until(counterpart.expires_at),
            |_| {
                self.counterparts_kept.fetch_sub(1, Relaxed);
            },
        );
        total
    }

    /// Entries, unless a record is due: of two that are due, the record goes first, whichever shard it is in.
    fn sweep_entries(&self, now: Timestamp, budget: usize) -> SweepStep {
        let has_logins = *lock(&self.open_logins) != OpenLogins::default();
        if !(has_logins || self.ledger.has_due(now)) || self.has_due_records(now) {
            return SweepStep::default();
        }
        let swept = self.ledger.sweep(now, budget, self);
        // The records of those sessions are gone.
        lock(&self.open_logins).remove_due(last_minute(now), &self.shared.lifetimes());
        swept
    }

    fn has_due(&self, now: Timestamp) -> bool {
        self.has_due_records(now) || self.ledger.has_due(now)
    }

    fn has_due_records(&self, now: Timestamp) -> bool {
        self.tokens.iter().any(|shard| read(shard).has_due(now))
            || self.families.iter().any(|shard| read(shard).has_due(now))
            || self.sessions.iter().any(|shard| read(shard).has_due(now))
            || self.counterparts.iter().any(|shard| read(shard).has_due(now))
    }

    /// A consumed refresh token is remembered for as long as its family can live: it may come back.
    fn row_until(&self, row: &TokenRow, lifetimes: &Lifetimes) -> Timestamp {
        let until = lifetimes.token_until(row.stage.kind(), row.expires_at);
        if row.stage.is_consumed() { until.max(self.family_until(&row.grant)) } else { until }
    }
}

impl Needed for NamespaceState {
    /// The record of a consumed token is kept for longer when its family is prolonged, by a sibling that the entry does not
    /// cover.
    fn token_entry_until(&self, id: &TokenId, until: Timestamp) -> Timestamp {
        let lifetimes = self.shared.lifetimes();
        let Some(key) = id.digest().map(RowKey::of) else {
            return until;
        };
        let rows = read(self.tokens.of(key.hash));
        let row = rows.get(key.hash, |row| row.key == key);
        let record_until = row.map(|row| self.row_until(row, &lifetimes));
        record_until.map_or(until, |record| until.max(lifetimes.entry_outlives(record)))
    }

    fn cutoff_until(&self, kind: TargetKind, cutoff: Timestamp, until: Timestamp) -> Timestamp {
        let open_logins = lock(&self.open_logins);
        self.shared.lifetimes().entry_needed_until(kind, cutoff, until, &open_logins)
    }
}
