//! Recent revocations through the layer: which of the records that are kept are out of date.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::clock::{Stopwatch, Timestamp};
use crate::revocation::Target;
use crate::token::TokenRecord;

/// A small ledger of its own. It does not say that a token is dead, only that the store has to be asked again: a record
/// that was asked for before the news, and that the news cover.
///
/// Nothing has to be found and removed when something is revoked, and a record that arrives late, from before the
/// revocation, is met by the same question as all others.
#[derive(Debug)]
pub(super) struct News {
    told: RwLock<Told>,
    /// When something was told last, in nanoseconds: what was asked for after that needs no look.
    latest: AtomicU64,
    most: usize,
    lifetime: Duration,
}

#[derive(Debug, Default)]
struct Told {
    young: HashMap<Target, Item>,
    old: HashMap<Target, Item>,
    /// When the young ones began.
    since: Duration,
    /// Everything that was asked for until then is out of date.
    all: Option<Duration>,
}

/// One target was revoked, with this cutoff; this was known then.
#[derive(Clone, Copy, Debug)]
struct Item {
    at: Timestamp,
    told: Duration,
}

impl News {
    /// At most `most` of each generation; `lifetime` is how long any record is believed.
    pub(super) fn new(most: usize, lifetime: Duration) -> Self {
        Self { told: RwLock::default(), latest: AtomicU64::new(0), most, lifetime }
    }

    /// Tells of a revocation that the store has answered, or may have applied without an answer.
    pub(super) fn tell(&self, target: Target, at: Timestamp, stopwatch: &dyn Stopwatch) {
        self.write(stopwatch, |told, now| {
            // Then nothing that the older ones concern is believed any more, whoever looks at whatever clock.
            if now.saturating_sub(told.since) > self.lifetime {
                std::mem::swap(&mut told.young, &mut told.old);
                told.young.clear();
                told.since = now;
            }
            if told.young.len() >= self.most && !told.young.contains_key(&target) {
                told.forget_all(now);
                return;
            }
            let item = told.young.entry(target).or_insert(Item { at, told: now });
            item.at = item.at.max(at);
            item.told = now;
        });
    }

    /// Tells of a revocation of which nobody knows what it covers.
    pub(super) fn tell_all(&self, stopwatch: &dyn Stopwatch) {
        self.write(stopwatch, Told::forget_all);
    }

    /// Whether a record that was fetched at this time is out of date.
    pub(super) fn concern(&self, record: &TokenRecord, asked: Duration) -> bool {
        if nanos(asked) > self.latest.load(SeqCst) {
            return false;
        }
        let told = self.read();
        told.all.is_some_and(|all| asked <= all)
            || [&told.young, &told.old].into_iter().any(|items| {
                !items.is_empty()
                    && record.targets().any(|target| {
                        let covers =
                            |item: &Item| asked <= item.told && target.covers(item.at, record);
                        items.get(&target).is_some_and(covers)
                    })
            })
    }

    fn write(&self, stopwatch: &dyn Stopwatch, change: impl FnOnce(&mut Told, Duration)) {
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        // Asked under the lock, so that it never goes back from one item to the next.
        let now = stopwatch.elapsed();
        change(&mut told, now);
        self.latest.fetch_max(nanos(now), SeqCst);
    }

    fn read(&self) -> RwLockReadGuard<'_, Told> {
        self.told.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    fn forget_all(&mut self, now: Duration) {
        self.all = Some(now);
        self.young.clear();
        self.old.clear();
    }
}

/// Rounded down, so that a record of the same nanosecond is not taken for a later one.
fn nanos(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clock::{FakeClock, Timestamp};
    use crate::revocation::Target;
    use crate::store::layered::news::News;

    #[test]
    fn they_never_hold_more_than_they_may_and_forget_what_is_old() {
        let minute = Duration::from_secs(60);
        let stopwatch = FakeClock::at(Timestamp::from_unix_seconds(100));
        let news = News::new(10, minute);
        let count = || {
            let told = news.read();
            (told.young.len(), told.old.len())
        };
        for n in 0..1_000 {
            let target = Target::Subject(format!("user-{n}").as_str().into());
            news.tell(target, Timestamp::default(), &stopwatch);
            stopwatch.advance(minute / 7);
            assert!(count().0 <= 10 && count().1 <= 10);
        }
        for expected in [(1, 8), (1, 1), (1, 1)] {
            stopwatch.advance(minute * 2);
            news.tell(Target::Everything, Timestamp::default(), &stopwatch);
            assert_eq!(count(), expected);
        }
    }
}
