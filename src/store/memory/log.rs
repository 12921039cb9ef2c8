//! The order of the ledger: the place of each entry, and how far a reader has come.
//!
//! Each shard lists its entries by their places in the feed, under the lock that it is written under anyway; the places
//! come out of one counter. A reader takes the counter first and looks at the shards then: whoever was given a place by
//! that time holds the lock of its shard until the entry stands, so up to there nothing can be missing.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use crate::store::FeedCursor;
use crate::store::rules::cursor::{Cursor, Position};

/// Where every entry of one namespace has its place.
#[derive(Debug)]
pub(super) struct Places {
    /// Tells this feed from every other: a store in memory begins anew with each process.
    epoch: String,
    last: AtomicU64,
    /// The last place that a sweep has taken an entry from.
    swept: AtomicU64,
}

impl Places {
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch: format!("{epoch:x}"), last: AtomicU64::new(0), swept: AtomicU64::new(0) }
    }

    /// The next place. Call it under the lock of the shard that the entry goes to.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, SeqCst) + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(SeqCst)
    }

    /// Says that an entry is gone. Call it under the lock of its shard.
    pub(super) fn sweep(&self, place: u64) {
        self.swept.fetch_max(place, SeqCst);
    }

    /// Whether something is gone that a reader who came so far has not seen. Call it after the shards were looked at.
    pub(super) fn lost_to(&self, position: Position) -> bool {
        position.has_lost(self.swept.load(SeqCst).into())
    }

    /// Where a reader stands, if it is a reader of this feed.
    pub(super) fn position(&self, cursor: Option<&FeedCursor>) -> Option<Position> {
        let last = self.last().into();
        let Some(cursor) = cursor else {
            return Some(Position::start(last));
        };
        let cursor = Cursor::read(cursor).filter(|cursor| cursor.epoch == self.epoch)?;
        cursor.only().filter(|position| !position.is_beyond(last))
    }

    /// What a reader keeps.
    pub(super) fn cursor(&self, position: Position) -> FeedCursor {
        Cursor::new(self.epoch.clone(), vec![position]).to_feed_cursor()
    }
}

/// The entries of one shard by their places, the gone and the moved ones among them.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<Line>);

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Line {
    pub(super) place: u64,
    pub(super) hash: u64,
}

impl Log {
    /// Adds what was just given the latest place of all.
    pub(super) fn push(&mut self, place: u64, hash: u64) {
        self.0.push_back(Line { place, hash });
    }

    /// Those after `from`, up to and with `to`.
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = Line> {
        let first = self.0.partition_point(|line| line.place <= from);
        self.0.range(first..).copied().take_while(move |line| line.place <= to)
    }

    /// Forgets lines without an entry, once half of them are.
    pub(super) fn tidy(&mut self, entries: usize, stands: impl Fn(Line) -> bool) {
        if self.0.len() > 2 * entries + 16 {
            self.0.retain(|line| stands(*line));
            self.0.shrink_to(2 * self.0.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_another_feed_or_beyond_this_one_is_none() {
        let places = Places::new(0xfeed);
        for _ in 0..9 {
            places.next();
        }
        let position = Position::start(9).at(7);
        assert_eq!(places.position(Some(&places.cursor(position))), Some(position));
        for foreign in
            ["", "feed.7", "feed.7.9.1.1", "feet.7.9", "fee.7.9", "feed.10.9", "feed.7.10"]
        {
            assert_eq!(places.position(Some(&FeedCursor::new(foreign))), None, "{foreign}");
        }
    }

    #[test]
    fn a_log_of_what_is_gone_does_not_grow() {
        let mut log = Log::default();
        for place in 1..=10_000 {
            log.push(place, place);
            log.tidy(1, |line| line.place == place);
        }
        assert!(log.0.len() < 20);
        assert_eq!(log.between(0, 20_000).last(), Some(Line { place: 10_000, hash: 10_000 }));
    }
}
