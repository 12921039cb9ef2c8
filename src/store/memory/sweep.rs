//! Forgets what is due, in steps.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::store::memory::namespace::Tenant;
use crate::store::memory::records::TokenRow;
use crate::store::memory::shards::{MANY, read, write};
use crate::store::memory::store::Root;
use crate::store::memory::table::{Due, Looked};
use crate::store::{Retention, SweepBudget, Swept};

/// How many steps a sweep of one tenant has.
const STEPS: usize = MANY;

/// Sweeps every namespace, within one budget.
pub(super) fn sweep(root: &Root, now: Timestamp, budget: SweepBudget) -> Swept {
    let retention = root.retention();
    let tenants: Vec<Arc<Tenant>> = read(&root.tenants).values().cloned().collect();
    let mut looked = Looked::default();
    for _ in 0..tenants.len() * STEPS {
        let left = budget.max_rows().saturating_sub(looked.at);
        if left == 0 {
            break;
        }
        // Each sweep goes on where the last one stopped, so that no shard is always last.
        let step = root.step.load(Relaxed);
        let Some(tenant) = tenants.get(step / STEPS % tenants.len()) else {
            break;
        };
        let part = tenant.sweep(now, step % STEPS, left, retention);
        looked += part;
        if part.at < left {
            root.step.store(step.wrapping_add(1), Relaxed);
        }
    }
    let more = tenants.iter().any(|tenant| tenant.has_due(now));
    Swept::new(looked.removed, more)
}

impl Tenant {
    /// One step: a shard of every table. Locks are held for one table's share of the budget at a time.
    fn sweep(&self, now: Timestamp, step: usize, budget: usize, retention: Retention) -> Looked {
        let kept = retention.refresh_tokens;
        let mut looked = write(self.tokens.at(step)).sweep(
            now,
            budget,
            |row| self.token_due(row, now, retention),
            drop,
        );
        looked += self.ledger.sweep(now, step, budget.saturating_sub(looked.at));
        looked += write(self.families.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |family| Due::after(family.latest_expiry + kept, now),
            drop,
        );
        looked += write(self.sessions.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |session| Due::after(session.expires_at() + kept, now),
            drop,
        );
        looked += write(self.counterparts.at(step)).sweep(
            now,
            budget.saturating_sub(looked.at),
            |counterpart| Due::after(counterpart.expires_at + kept, now),
            |_| {
                self.counterparts_kept.fetch_sub(1, Relaxed);
            },
        );
        looked
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
