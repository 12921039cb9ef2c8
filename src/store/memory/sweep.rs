//! Forgets what is due, in steps.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::TokenRow;
use crate::store::memory::shards::{MANY, read, write};
use crate::store::memory::store::Root;
use crate::store::memory::table::{Due, SweepStep};
use crate::store::{Retention, SweepBudget, Swept};

/// How many steps a sweep of one namespace has.
const STEPS: usize = MANY;

/// Sweeps every namespace, within one budget.
pub(super) fn sweep(root: &Root, now: Timestamp, budget: SweepBudget) -> Swept {
    let retention = root.retention();
    let namespaces: Vec<Arc<NamespaceState>> = read(&root.namespaces).values().cloned().collect();
    let mut total = SweepStep::default();
    for _ in 0..namespaces.len() * STEPS {
        let left = budget.max_rows().saturating_sub(total.looked_at);
        if left == 0 {
            break;
        }
        // Each sweep goes on where the last one stopped, so that no shard is always last.
        let step = root.step.load(Relaxed);
        let Some(namespace) = namespaces.get(step / STEPS % namespaces.len()) else {
            break;
        };
        let part = namespace.sweep(now, step % STEPS, left, retention);
        total += part;
        if part.looked_at < left {
            root.step.store(step.wrapping_add(1), Relaxed);
        }
    }
    let more = namespaces.iter().any(|namespace| namespace.has_due(now));
    Swept::new(total.removed, more)
}

impl NamespaceState {
    /// One step: a shard of every table. Locks are held for one table's share of the budget at a time.
    fn sweep(&self, now: Timestamp, step: usize, budget: usize, retention: Retention) -> SweepStep {
        let kept = retention.refresh_tokens;
        let mut total = write(self.tokens.at(step)).sweep(
            now,
            budget,
            |row| self.token_due(row, now, retention),
            drop,
        );
        total += self.ledger.sweep(now, step, budget.saturating_sub(total.looked_at));
        total += write(self.families.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |family| Due::after(family.latest_expiry + kept, now),
            drop,
        );
        total += write(self.sessions.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |session| Due::after(session.expires_at() + kept, now),
            drop,
        );
        total += write(self.counterparts.at(step)).sweep(
            now,
            budget.saturating_sub(total.looked_at),
            |counterpart| Due::after(counterpart.expires_at + kept, now),
            |_| {
                self.counterparts_kept.fetch_sub(1, Relaxed);
            },
        );
        total
    }

    fn has_due(&self, now: Timestamp) -> bool {
        (0..STEPS).any(|step| {
            read(self.tokens.at(step)).has_due(now)
                || self.ledger.has_due(now, step)
                || read(self.families.at(step)).has_due(now)
                || read(self.sessions.at(step)).has_due(now)
                || read(self.counterparts.at(step)).has_due(now)
        })
    }

    /// A consumed refresh token is remembered for as long as its family can live: it may come back.
    fn token_due(&self, row: &TokenRow, now: Timestamp, retention: Retention) -> Due {
        let family = if row.stage.is_consumed() {
            let grant = row.grant.id();
            let hash = self.keys.hash_one(grant);
            let families = read(self.families.of(hash));
            families.get(hash, |family| family.grant == *grant).map(|family| family.latest_expiry)
        } else {
            None
        };
        let needed = row.expires_at.max(family.unwrap_or_default());
        Due::after(needed + retention.of(row.stage.kind()), now)
    }
}
