//! Forgetting, a few records at a time, so that no revocation waits for it.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Bytes, Reads, Space};
use crate::store::embedded::records::{
    Due, DueKey, DueKind, EntryRow, FamilyRow, TokenRow, decode, feed_key, read_row,
};
use crate::store::embedded::session::find_session;
use crate::store::{Retention, StoreError};

/// The most to remember of what is due before the place that sweeping has come to.
const EARLY: usize = 4_096;

/// How far sweeping has come, from the moment on at which the engine was opened.
///
/// What was swept leaves a trail that the engine clears away later, and which takes longer to walk along than all the
/// rest of a sweep. So nothing is ever looked for behind `reached`: what is put down as due there, by a clock that stands
/// behind the sweeper's, is remembered one by one.
#[derive(Default)]
pub(super) struct Progress {
    /// Nothing that is due stands before this, but for the early. None where nobody has looked yet.
    reached: Option<Bytes>,
    early: BTreeSet<Bytes>,
}

impl Progress {
    /// What a batch that is on disk now has put down as due.
    pub(super) fn scheduled(&mut self, keys: &[DueKey]) {
        let Some(reached) = &self.reached else {
            return;
        };
        let early = keys.iter().filter(|key| key.as_slice() < &**reached);
        self.early.extend(early.map(|key| Bytes::from(key.as_slice())));
        if self.early.len() > EARLY {
            self.reached = self.early.pop_first();
            self.early.clear();
        }
    }

    /// What a step whose batch is on disk now has looked at.
    pub(super) fn stepped(&mut self, step: &SweepStep) {
        self.reached.clone_from(&step.reached);
        for key in &step.early {
            self.early.remove(key);
        }
    }
}

/// What one step of a sweep did.
#[derive(Default)]
pub(super) struct SweepStep {
    pub(super) looked_at: usize,
    pub(super) removed: usize,
    /// Whether there is more that is due.
    pub(super) more: bool,
    /// Those of the early that it has looked at.
    early: Vec<Bytes>,
    reached: Option<Bytes>,
}

/// What is to become of a record that is due.
enum Fate {
    Goes,
    /// It is needed until then.
    Stays(Timestamp),
}

/// Looks at up to `most` records that are due.
pub(super) fn sweep(
    batch: &mut Batch<'_>,
    now: Timestamp,
    progress: &Progress,
    most: usize,
    retention: Retention,
) -> Result<SweepStep, StoreError> {
    let mut step = SweepStep { reached: progress.reached.clone(), ..SweepStep::default() };
    let end = Due::after(now);
    let is_due = |key: &[u8]| end.is_none_or(|end| key < end.as_slice());
    for key in progress.early.iter().take_while(|key| is_due(key)) {
        if step.looked_at >= most {
            step.more = true;
            return Ok(step);
        }
        let line = batch.read(Space::Due, key)?;
        step.early.push(key.clone());
        if let Some(line) = line {
            step.look_at(batch, now, (key, &line), most, retention)?;
        }
    }
    let reached = progress.reached.as_deref();
    if !reached.is_none_or(is_due) {
        return Ok(step);
    }
    let from = reached.map_or(Bound::Unbounded, Bound::Included);
    let to = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(end.as_slice()));
    let snapshot = batch.engine().snapshot();
    for line in snapshot.range(Space::Due, from, to) {
        let (key, line) = line?;
        if step.looked_at >= most {
            step.more = true;
            step.reached = Some(key);
            return Ok(step);
        }
        step.look_at(batch, now, (&key, &line), most, retention)?;
    }
    if let Some(end) = end {
        step.reached = Some(Bytes::from(end));
    }
    Ok(step)
}

impl SweepStep {
    /// Looks at the records of a line, up to `most` of this step. The others are put down again.
    fn look_at(
        &mut self,
        batch: &mut Batch<'_>,
        now: Timestamp,
        (key, others): (&[u8], &[u8]),
        most: usize,
        retention: Retention,
    ) -> Result<(), StoreError> {
        batch.remove(Space::Due, key);
        for due in Due::of_line(key, others)? {
            if self.looked_at >= most {
                self.more = true;
                batch.schedule(due);
                continue;
            }
            self.looked_at += 1;
            match fate(batch, due, now, retention)? {
                Some(Fate::Goes) => {
                    batch.remove(due.kind.space(), &due.key);
                    self.removed += 1;
                }
                Some(Fate::Stays(at)) => batch.schedule(Due { at, ..due }),
                None => {}
            }
        }
        Ok(())
    }
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
        batch.remove(Space::Feed, &feed_key(entry.namespace, entry.place));
        let namespace = batch.namespace(entry.namespace)?;
        namespace.swept = namespace.swept.max(entry.place);
    }
    Ok(Some(fate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(millis: u64, key: u8) -> DueKey {
        let at = Timestamp::from_unix_millis(millis);
        Due { at, kind: DueKind::AccessToken, key: [key; 32] }.to_key()
    }

    #[test]
    fn what_is_put_down_behind_the_sweeper_is_remembered_and_if_it_is_too_much_looked_for() {
        let mut progress = Progress::default();
        // Nobody has looked yet, so everything is still before the sweeper.
        progress.scheduled(&[due(1, 1)]);
        assert!(progress.reached.is_none() && progress.early.is_empty());
        progress.reached = Some(Bytes::from(due(1_000_000, 0).as_slice()));
        progress.scheduled(&[due(2_000_000, 1), due(7, 1), due(7, 1)]);
        assert_eq!(progress.early.len(), 1);
        let many: Vec<DueKey> = (10..).map(|millis| due(millis, 1)).take(EARLY).collect();
        progress.scheduled(&many);
        assert!(progress.early.is_empty());
        assert_eq!(progress.reached.as_deref(), Some(due(7, 1).as_slice()));
    }
}
