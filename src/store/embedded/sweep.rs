//! Forgetting, a few records at a time, so that no revocation waits for it.
//!
//! In the order of time, and at one time the records before the entries. An entry is written to stay for longer than what it
//! covers, and goes at that time and not before, wherever it is listed. So every record that it covers is gone by then,
//! though a budget or a crash cuts the sweep short.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Duration;

use crate::clock::{Stopwatch, Timestamp};
use crate::error::StoreError;
use crate::store::Lifetimes;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::engine::{Bytes, Reads, Space};
use crate::store::embedded::records::{
    Due, DueKey, DueKind, EntryRow, GrantRow, LoginsRow, SessionRow, StoredTarget, TokenRow,
    decode, feed_key, logins_key, read_row,
};
use crate::store::embedded::session::open_logins;
use crate::store::rules::{LeapWatch, is_due};

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
    /// By how much the clock is ahead, where that is not believed.
    pub(super) held_back: Option<Duration>,
    /// Those of the early that it has looked at.
    early: Vec<Bytes>,
    reached: Option<Bytes>,
}

/// How long this process has seen the clock of the sweeps ahead.
#[derive(Default)]
pub(super) struct Leap(LeapWatch);

impl Leap {
    /// Whether the clock is believed; if not, by how much it is ahead.
    pub(super) fn believe(
        &mut self,
        batch: &mut Batch<'_>,
        now: Timestamp,
        lifetimes: &Lifetimes,
        stopwatch: &dyn Stopwatch,
    ) -> Result<Result<(), Duration>, StoreError> {
        /// An idle store writes nothing for less.
        const MINUTE: Duration = Duration::from_secs(60);
        let elapsed = stopwatch.elapsed();
        let store = batch.store()?;
        let known = store.clock();
        let mut clock = known;
        let believed = self.0.believe(&mut clock, now, lifetimes, elapsed);
        if clock.leaped_to != known.leaped_to || clock.latest >= known.latest + MINUTE {
            store.set_clock(clock);
        }
        Ok(believed)
    }
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
    lifetimes: &Lifetimes,
) -> Result<SweepStep, StoreError> {
    let mut step = SweepStep { reached: progress.reached.clone(), ..SweepStep::default() };
    let end = Due::after(now);
    let is_before_end = |key: &[u8]| key < end.as_slice();
    for key in progress.early.iter().take_while(|key| is_before_end(key)) {
        if step.looked_at >= most {
            step.more = true;
            return Ok(step);
        }
        let line = batch.read(Space::Due, key)?;
        step.early.push(key.clone());
        if let Some(line) = line {
            step.look_at(batch, now, (key, &line), most, lifetimes)?;
        }
    }
    let reached = progress.reached.as_deref();
    if !reached.is_none_or(is_before_end) {
        return Ok(step);
    }
    let from = reached.map_or(Bound::Unbounded, Bound::Included);
    let snapshot = batch.engine().snapshot();
    for line in snapshot.range(Space::Due, from, Bound::Excluded(end.as_slice())) {
        let (key, line) = line?;
        if step.looked_at >= most {
            step.more = true;
            step.reached = Some(key);
            return Ok(step);
        }
        step.look_at(batch, now, (&key, &line), most, lifetimes)?;
    }
    step.reached = Some(Bytes::from(end));
    Ok(step)
}

impl SweepStep {
    /// A step that has looked at nothing, because the clock is so far ahead.
    pub(super) fn held_back(progress: &Progress, ahead: Duration) -> Self {
        let reached = progress.reached.clone();
        Self { held_back: Some(ahead), reached, ..Self::default() }
    }

    /// Looks at the records of a line, up to `most` of this step. The others are put down again.
    fn look_at(
        &mut self,
        batch: &mut Batch<'_>,
        now: Timestamp,
        (key, others): (&[u8], &[u8]),
        most: usize,
        lifetimes: &Lifetimes,
    ) -> Result<(), StoreError> {
        batch.remove(Space::Due, key);
        for due in Due::of_line(key, others)? {
            if self.looked_at >= most {
                self.more = true;
                batch.schedule(due);
                continue;
            }
            self.looked_at += 1;
            match fate(batch, due, now, lifetimes)? {
                Some(Fate::Goes) => {
                    batch.remove(due.kind.space(), &due.key);
                    self.removed += 1;
                }
                Some(Fate::Stays(at)) => {
                    self.more |= is_due(at, now);
                    batch.schedule(Due { at, ..due });
                }
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
    lifetimes: &Lifetimes,
) -> Result<Option<Fate>, StoreError> {
    let needed = match due.kind {
        // It expires when it does: its row need not be read.
        DueKind::AccessToken => return Ok(Some(Fate::Goes)),
        DueKind::Entry => return entry(batch, due, lifetimes),
        DueKind::Grant => {
            let row: Option<GrantRow> = read_row(batch, Space::Grants, &due.key)?;
            let until = row.map(|row| Timestamp::from_unix_millis(row.until));
            return Ok(until.map(|until| in_turn(until, due)));
        }
        DueKind::RefreshToken => refresh_token(batch, &due.key)?,
        DueKind::Session => return session(batch, due, now, lifetimes),
    };
    Ok(needed.map(|needed| fate_by(needed, now)))
}

fn fate_by(needed: Timestamp, now: Timestamp) -> Fate {
    if is_due(needed, now) { Fate::Goes } else { Fate::Stays(needed) }
}

/// What others wait for goes when its time has come in the order of the sweep, and is listed anew for then.
fn in_turn(needed: Timestamp, due: Due) -> Fate {
    if needed > due.at { Fate::Stays(needed) } else { Fate::Goes }
}

/// A consumed refresh token is remembered for as long as its grant: it may come back. Any other was listed for when it goes.
fn refresh_token(batch: &Batch<'_>, key: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = batch.read(Space::Tokens, key)? else {
        return Ok(None);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    Ok(Some(consumed_until(batch, &row)?.unwrap_or_default()))
}

/// Until when a consumed token is kept.
fn consumed_until(batch: &Batch<'_>, row: &TokenRow<'_>) -> Result<Option<Timestamp>, StoreError> {
    let Some(grant) = row.consumed else {
        return Ok(None);
    };
    let grant: Option<GrantRow> = read_row(batch, Space::Grants, &grant)?;
    Ok(grant.map(|grant| Timestamp::from_unix_millis(grant.until)))
}

/// With it go the logins that were over before: every session that was to go before this one has.
fn session(
    batch: &mut Batch<'_>,
    due: Due,
    now: Timestamp,
    lifetimes: &Lifetimes,
) -> Result<Option<Fate>, StoreError> {
    let Some(bytes) = batch.read(Space::Sessions, &due.key)? else {
        return Ok(None);
    };
    let row: SessionRow<'_> = decode(&bytes)?;
    let fate = fate_by(Timestamp::from_unix_millis(row.until), now);
    if matches!(fate, Fate::Goes) {
        let mut logins = open_logins(batch, row.namespace)?;
        if logins.remove_due(due.at - Duration::from_millis(1), lifetimes) {
            batch.put(Space::Meta, &logins_key(row.namespace), &LoginsRow::from(&logins))?;
        }
    }
    Ok(Some(fate))
}

fn entry(
    batch: &mut Batch<'_>,
    due: Due,
    lifetimes: &Lifetimes,
) -> Result<Option<Fate>, StoreError> {
    let Some(bytes) = batch.read(Space::Entries, &due.key)? else {
        return Ok(None);
    };
    let entry: EntryRow<'_> = decode(&bytes)?;
    let until = Timestamp::from_unix_millis(entry.until);
    let needed = match entry.target {
        // Its record may be kept for longer since, with the grant: the entry does not cover the other tokens of that.
        StoredTarget::Token(digest) => {
            let row = batch.read(Space::Tokens, &digest)?;
            let row: Option<TokenRow<'_>> = row.as_deref().map(decode).transpose()?;
            let record = row.map(|row| consumed_until(batch, &row)).transpose()?.flatten();
            until.max(record.map(|record| lifetimes.entry_outlives(record)).unwrap_or_default())
        }
        StoredTarget::Grant(_)
        | StoredTarget::Session(_)
        | StoredTarget::SubjectAtClient(..)
        | StoredTarget::Subject(_)
        | StoredTarget::Client(_)
        | StoredTarget::Everything => {
            let logins = open_logins(batch, entry.namespace)?;
            let (kind, cutoff) = (entry.target.kind(), Timestamp::from_unix_millis(entry.at));
            lifetimes.entry_needed_until(kind, cutoff, until, &logins)
        }
    };
    let fate = in_turn(needed, due);
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
