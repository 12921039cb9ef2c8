//! Forgetting what is due.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use redis::Value;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::script::{CLOCK, Call, DUE, FAR, SWEEP, length, millis};
use crate::store::redis::store::RedisStore;
use crate::store::redis::{join, records};
use crate::store::rules::{OpenLogins, SweepClock};
use crate::store::{SweepBudget, Swept};

/// How many rows one call looks at: Redis serves no other caller until it is done.
const ROWS: usize = 250;

/// What a sweep has to know of one shard.
struct ShardState {
    shard: usize,
    has_due_records: bool,
    /// Whose records decide whether a consumed token is still needed.
    grants: Vec<Id>,
    has_due_entries: bool,
    clock: SweepClock,
    logins: Vec<u8>,
}

/// Which rows one call of the script looks at.
#[derive(Clone, Copy)]
enum Queue {
    /// Tokens and sessions.
    Records,
    /// Entries and grant records, which outlive those.
    Entries,
}

/// One sweep.
struct Pass<'a> {
    store: &'a RedisStore,
    now: Timestamp,
    logins: Vec<u8>,
    left: usize,
    removed: usize,
}

/// Removes what is due: the records of every shard first. An entry is removed only while no record that is due is left in any
/// shard: what it covers, which is due earlier, is gone by then.
pub(super) async fn sweep(
    store: &RedisStore,
    now: Timestamp,
    budget: SweepBudget,
) -> Result<Swept, StoreError> {
    let count = store.keys.shard_count().max(1);
    let rows = budget.max_rows();
    // Each sweep begins with another shard, so that none is always last.
    let first = store.shared.first_swept.fetch_add(1, Relaxed);
    let asked = (0..count).map(|n| -> join::BoxFuture<'_, _> {
        Box::pin(shard_state(store, now, first.wrapping_add(n) % count, rows))
    });
    let states: Vec<ShardState> = join::all(asked).await.into_iter().collect::<Result<_, _>>()?;
    if let Err(ahead) = believe(store, now, &states).await? {
        return Ok(Swept::held_back(ahead));
    }
    let mut logins = OpenLogins::default();
    for state in &states {
        records::add_logins(&mut logins, &state.logins)?;
    }
    let logins = records::logins(&logins);
    let mut pass = Pass { store, now, logins, left: rows, removed: 0 };
    let with_entries: Vec<usize> =
        states.iter().filter(|state| state.has_due_entries).map(|state| state.shard).collect();
    let mut is_clear = true;
    for state in states.into_iter().filter(|state| state.has_due_records) {
        is_clear &= pass.sweep_records(state).await?;
    }
    let mut more = !is_clear;
    if is_clear {
        for shard in with_entries {
            more |= !pass.sweep_entries(shard).await?;
        }
    }
    Ok(Swept::new(pass.removed, more))
}

impl Pass<'_> {
    /// Removes records of one shard. Whether none that is due is left.
    async fn sweep_records(&mut self, mut state: ShardState) -> Result<bool, StoreError> {
        while state.has_due_records {
            if self.left == 0 {
                return Ok(false);
            }
            let (looked, rest) =
                self.sweep_rows(state.shard, Queue::Records, &state.grants).await?;
            if !rest {
                return Ok(true);
            }
            if looked == 0 {
                // Another sweep is at it.
                return Ok(false);
            }
            state = shard_state(self.store, self.now, state.shard, self.left).await?;
        }
        Ok(true)
    }

    /// Removes entries and grant records of one shard. Whether none that is due is left.
    async fn sweep_entries(&mut self, shard: usize) -> Result<bool, StoreError> {
        loop {
            if self.left == 0 {
                return Ok(false);
            }
            let (looked, rest) = self.sweep_rows(shard, Queue::Entries, &[]).await?;
            if !rest || looked == 0 {
                return Ok(!rest);
            }
        }
    }

    /// One call: how many rows it looked at, and whether more is due.
    async fn sweep_rows(
        &mut self,
        shard: usize,
        queue: Queue,
        grants: &[Id],
    ) -> Result<(usize, bool), StoreError> {
        let (store, link) = (self.store, &self.store.shared.link);
        let mut call = Call::new(&SWEEP, store.keys.shard_key(shard))
            .number(instant(self.now))
            .argument(self.left.min(ROWS).to_string())
            .argument(match queue {
                Queue::Records => "Q",
                Queue::Entries => "R",
            })
            .number(length(store.shared.lifetimes.kept_in_flight()))
            .argument(&self.logins);
        let kept = grants.iter().map(|grant| -> join::BoxFuture<'_, _> {
            Box::pin(link.within(read_value(store, Part::Grant, grant, 8)))
        });
        for (grant, kept) in grants.iter().zip(join::all(kept).await) {
            let kept = kept?;
            let until = records::grant_until(&kept).unwrap_or_default();
            call = call.argument(*grant.as_bytes()).argument(until);
        }
        let swept = link.within(link.call(&call)).await?;
        let Some([Value::Int(looked), Value::Int(removed), Value::Int(more)]) = parts(swept) else {
            return Err(unexpected());
        };
        let count = |number: i64| usize::try_from(number).unwrap_or_default();
        self.left -= count(looked).min(self.left);
        self.removed += count(removed);
        Ok((count(looked), more == 1))
    }
}

/// What time it is for the scripts. Never their latest instant, which is what is never due.
fn instant(now: Timestamp) -> u64 {
    millis(now).min(FAR - 1)
}

/// Asks one shard.
async fn shard_state(
    store: &RedisStore,
    now: Timestamp,
    shard: usize,
    rows: usize,
) -> Result<ShardState, StoreError> {
    let call = Call::new(&DUE, store.keys.shard_key(shard))
        .number(instant(now))
        .argument(rows.clamp(1, ROWS).to_string());
    let link = &store.shared.link;
    let answer = parts(link.within(link.call(&call)).await?);
    let Some([records, Value::Array(grants), entries, latest, leaped_to, logins]) = answer else {
        return Err(unexpected());
    };
    let ids =
        grants.into_iter().map(|id| bytes(id)?.try_into().map(Id::new).map_err(|_| unexpected()));
    let mut grants: Vec<Id> = ids.collect::<Result<_, _>>()?;
    grants.sort_unstable();
    grants.dedup();
    let clock = SweepClock {
        latest: kept_instant(latest)?.unwrap_or_default(),
        leaped_to: kept_instant(leaped_to)?,
    };
    Ok(ShardState {
        shard,
        has_due_records: records == Value::Int(1),
        grants,
        has_due_entries: entries == Value::Int(1),
        clock,
        logins: bytes(logins)?,
    })
}

/// An instant as a shard's own record has it; none where it has none.
fn kept_instant(value: Value) -> Result<Option<Timestamp>, StoreError> {
    let text = String::from_utf8(bytes(value)?).map_err(|_| unexpected())?;
    match text.as_str() {
        "" => Ok(None),
        text => text.parse().map(Timestamp::from_unix_millis).map(Some).map_err(|_| unexpected()),
    }
}

/// Whether this sweep believes its clock, or by how much that is ahead. Every shard is told what came of it, so that the loss
/// of one forgets nothing.
async fn believe(
    store: &RedisStore,
    now: Timestamp,
    states: &[ShardState],
) -> Result<Result<(), Duration>, StoreError> {
    // The latest of all: a shard where nothing happens would find every clock ahead.
    let mut clock = SweepClock {
        latest: states.iter().map(|state| state.clock.latest).max().unwrap_or_default(),
        // A shard that was written to since by a clock that is not ahead contradicts the leap.
        leaped_to: states.iter().map(|state| state.clock.leaped_to).min().unwrap_or_default(),
    };
    let (namespace, elapsed) = (store.keys.shard_key(0), store.shared.stopwatch.elapsed());
    let believed = {
        let mut leaps = store.shared.leaps.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = leaps.entry(namespace).or_default();
        watch.believe(&mut clock, now, &store.shared.lifetimes, elapsed)
    };
    let link = &store.shared.link;
    let behind = states.iter().filter(|state| state.clock != clock);
    let calls = behind.map(|state| -> join::BoxFuture<'_, _> {
        let leaped_to = clock.leaped_to.map(|at| millis(at).to_string()).unwrap_or_default();
        let call = Call::new(&CLOCK, store.keys.shard_key(state.shard))
            .number(millis(clock.latest))
            .argument(leaped_to);
        Box::pin(async move { link.within(link.call(&call)).await })
    });
    join::all(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(believed)
}
