//! Forgetting what is due.

use std::sync::atomic::Ordering::Relaxed;

use redis::Value;

use crate::clock::Timestamp;
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::script::{Call, DUE, SWEEP, millis};
use crate::store::redis::store::RedisStore;
use crate::store::redis::{join, records};
use crate::store::{StoreError, SweepBudget, Swept};

/// How many rows one call looks at: Redis serves nobody else meanwhile.
const ROWS: usize = 250;

/// What is to be swept in one shard.
struct DueShard {
    shard: usize,
    /// Whose families decide whether a consumed token is still needed.
    grants: Vec<Id>,
}

/// Removes what is due, shard by shard.
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
        Box::pin(due_in_shard(store, now, (first.wrapping_add(n)) % count, rows.clamp(1, ROWS)))
    });
    let mut left = rows;
    let mut removed = 0;
    let mut more = false;
    for due in join::all(asked).await {
        let mut due = due?;
        while let Some(DueShard { shard, grants }) = due.take() {
            if left == 0 {
                more = true;
                break;
            }
            let (examined, gone, rest) =
                sweep_shard(store, now, shard, left.min(ROWS), &grants).await?;
            left -= examined.min(left);
            removed += gone;
            if rest && examined == 0 {
                // Somebody else is at it.
                more = true;
            } else if rest {
                due = due_in_shard(store, now, shard, left.clamp(1, ROWS)).await?;
            }
        }
    }
    Ok(Swept::new(removed, more))
}

/// Whether anything is due in a shard, and whose families decide.
async fn due_in_shard(
    store: &RedisStore,
    now: Timestamp,
    shard: usize,
    rows: usize,
) -> Result<Option<DueShard>, StoreError> {
    let call =
        Call::new(&DUE, store.keys.shard_key(shard)).number(millis(now)).argument(rows.to_string());
    let link = &store.shared.link;
    let Some([is_due, grants]) = parts(link.within(link.call(&call)).await?) else {
        return Err(unexpected());
    };
    if is_due != Value::Int(1) {
        return Ok(None);
    }
    let Value::Array(grants) = grants else {
        return Err(unexpected());
    };
    let ids =
        grants.into_iter().map(|id| bytes(id)?.try_into().map(Id::new).map_err(|_| unexpected()));
    let mut grants: Vec<Id> = ids.collect::<Result<_, _>>()?;
    grants.sort_unstable();
    grants.dedup();
    Ok(Some(DueShard { shard, grants }))
}

/// Rows examined, rows removed, and whether there are more.
async fn sweep_shard(
    store: &RedisStore,
    now: Timestamp,
    shard: usize,
    rows: usize,
    grants: &[Id],
) -> Result<(usize, usize, bool), StoreError> {
    let mut call = Call::new(&SWEEP, store.keys.shard_key(shard))
        .number(millis(now))
        .argument(rows.to_string());
    let link = &store.shared.link;
    let families = grants.iter().map(|grant| -> join::BoxFuture<'_, _> {
        Box::pin(link.within(read_value(store, Part::Family, grant, 8)))
    });
    for (grant, family) in grants.iter().zip(join::all(families).await) {
        call =
            call.argument(*grant.as_bytes()).argument(records::due(&family?).unwrap_or_default());
    }
    let swept = link.within(link.call(&call)).await?;
    let Some([Value::Int(examined), Value::Int(removed), Value::Int(more)]) = parts(swept) else {
        return Err(unexpected());
    };
    let count = |number: i64| usize::try_from(number).unwrap_or_default();
    Ok((count(examined), count(removed), more == 1))
}
