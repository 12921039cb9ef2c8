//! Forgetting, a few records at a time, so that no revocation waits for it.

use std::ops::Bound;

use crate::clock::Timestamp;
use crate::store::Retention;
use crate::store::StoreError;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::Bytes;
use crate::store::embedded::engine::Reads;
use crate::store::embedded::engine::Space;
use crate::store::embedded::rows::Due;
use crate::store::embedded::rows::DueKind;
use crate::store::embedded::rows::EntryRow;
use crate::store::embedded::rows::FamilyRow;
use crate::store::embedded::rows::TenantRow;
use crate::store::embedded::rows::TokenRow;
use crate::store::embedded::rows::decode;
use crate::store::embedded::rows::feed_key;
use crate::store::embedded::rows::read_row;
use crate::store::embedded::tokens::find_session;

/// What one step of a sweep did.
pub(super) struct Step {
    pub(super) looked_at: usize,
    pub(super) removed: usize,
    /// Where the next one begins: nothing stands before it. None where nothing more is due.
    pub(super) next: Option<Bytes>,
}

/// What is to become of a record that is due.
enum Fate {
    Goes,
    /// It is needed until then.
    Stays(Timestamp),
}

/// Looks at up to `most` records that are due, from `from` on.
pub(super) fn step(
    batch: &mut Batch<'_>,
    now: Timestamp,
    from: Option<&Bytes>,
    most: usize,
    retention: Retention,
) -> Result<Step, StoreError> {
    let first = from.map_or(Bound::Unbounded, |from| Bound::Included(from.as_ref()));
    let end = Due::after(now);
    let end = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
    let mut due =
        batch.engine().snapshot().between(Space::Due, first, end, most.saturating_add(1))?;
    let next = due.get(most).map(|(key, _)| key.clone());
    due.truncate(most);
    let mut step = Step { looked_at: due.len(), removed: 0, next };
    for (key, _) in due {
        batch.remove(Space::Due, &key);
        let due = Due::of_key(&key)?;
        match fate(batch, due, now, retention)? {
            Some(Fate::Goes) => {
                batch.remove(due.kind.space(), &due.key);
                step.removed += 1;
            }
            Some(Fate::Stays(at)) => batch.schedule(Due { at, ..due }),
            None => {}
        }
    }
    Ok(step)
}

/// None for a record that is gone.
fn fate(
    batch: &mut Batch<'_>,
    due: Due,
    now: Timestamp,
    retention: Retention,
) -> Result<Option<Fate>, StoreError> {
    let needed = match due.kind {
        // It expires when it does: its row need not be read.
        DueKind::AccessToken => return Ok(Some(Fate::Goes)),
        DueKind::Entry => return entry(batch, due, now),
        DueKind::Family => {
            let family: Option<FamilyRow> = read_row(batch, Space::Families, &due.key)?;
            family.map(|family| Timestamp::from_unix_millis(family.latest_expiry))
        }
        DueKind::RefreshToken => refresh_token(batch, &due.key)?,
        DueKind::Session => find_session(batch, &due.key)?.map(|session| session.expires_at()),
    };
    Ok(needed.map(|needed| fate_by(needed + retention.refresh_tokens, now)))
}

fn fate_by(needed: Timestamp, now: Timestamp) -> Fate {
    if needed > now { Fate::Stays(needed) } else { Fate::Goes }
}

/// A consumed refresh token is remembered for as long as its family can live: it may come back.
fn refresh_token(batch: &Batch<'_>, key: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = batch.read(Space::Tokens, key)? else {
        return Ok(None);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    let family: Option<FamilyRow> = match row.consumed {
        Some(family) => read_row(batch, Space::Families, &family)?,
        None => None,
    };
    let latest_expiry = family.map_or(0, |family| family.latest_expiry);
    Ok(Some(Timestamp::from_unix_millis(row.expires_at.max(latest_expiry))))
}

fn entry(batch: &mut Batch<'_>, due: Due, now: Timestamp) -> Result<Option<Fate>, StoreError> {
    let Some(bytes) = batch.read(Space::Entries, &due.key)? else {
        return Ok(None);
    };
    let mut entry: EntryRow<'_> = decode(&bytes)?;
    if !entry.seen {
        // It may be stamped last week, and nobody says when it was written: what was in flight then is given its time
        // from now on.
        let until = (now + Retention::IN_FLIGHT).as_unix_millis();
        entry.seen = true;
        entry.until = entry.until.max(until);
        batch.put(Space::Entries, &due.key, &entry)?;
    }
    let fate = fate_by(Timestamp::from_unix_millis(entry.until), now);
    if matches!(fate, Fate::Goes) {
        batch.remove(Space::Feed, &feed_key(entry.tenant, entry.place));
        let mut tenant: TenantRow =
            read_row(batch, Space::Meta, &entry.tenant)?.unwrap_or_default();
        tenant.swept = tenant.swept.max(entry.place);
        batch.put(Space::Meta, &entry.tenant, &tenant)?;
    }
    Ok(Some(fate))
}
