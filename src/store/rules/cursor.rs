//! How far a reader of the feed has come: the text of a cursor, and when it is a gap.

use std::fmt;

use crate::store::FeedCursor;

/// How far a reader has come in one shard of the feed.
///
/// Sequence numbers grow in the order of the feed. Only their order counts: an engine may leave some out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "this is all that a cursor says about a shard")]
pub struct Position {
    /// The sequence number of the last entry that was read, or was not there any more.
    pub after: u128,
    /// The last sequence number of the shard when this reader began with nothing. Up to there it reads what is in force, and
    /// misses nothing by what is not.
    pub mark: u128,
}

impl Position {
    /// A reader that knows nothing, in a shard whose last sequence number is this.
    #[must_use]
    pub const fn start(last: u128) -> Self {
        Self { after: 0, mark: last }
    }

    /// The same reader, further on.
    #[must_use]
    pub const fn at(self, after: u128) -> Self {
        Self { after, ..self }
    }

    /// Whether it still reads what was there when it began.
    #[must_use]
    pub const fn catches_up(self) -> bool {
        self.after < self.mark
    }

    /// Whether it has come further than the feed reaches: then it is a reader of another feed, or of one that was lost.
    #[must_use]
    pub const fn is_beyond(self, last: u128) -> bool {
        self.after > last || self.mark > last
    }

    /// Whether an entry that it has not read may be gone, where this is the highest sequence number that a sweep removed.
    ///
    /// What was there when it began and is swept while it catches up is no loss: it covered nothing any more.
    #[must_use]
    pub const fn has_lost(self, swept: u128) -> bool {
        swept > self.after && swept > self.mark
    }
}

/// What a [`FeedCursor`] says: which feed, and a position for each of its shards.
///
/// ```
/// use annul::store::rules::cursor::{Cursor, Position};
///
/// let cursor = Cursor::new("9f2c", vec![Position::start(7).at(3)]);
/// assert_eq!(cursor.to_feed_cursor().as_str(), "9f2c.3.7");
/// assert_eq!(Cursor::read(&cursor.to_feed_cursor()), Some(cursor));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "this is all that a cursor says")]
pub struct Cursor {
    /// Tells this feed from every other, and from itself after a loss. Without a full stop.
    pub epoch: String,
    /// One for each shard.
    pub shards: Vec<Position>,
}

impl Cursor {
    /// A cursor of this feed.
    #[must_use]
    pub fn new(epoch: impl Into<String>, shards: Vec<Position>) -> Self {
        Self { epoch: epoch.into(), shards }
    }

    /// Reads a cursor; none where it is no cursor of ours.
    #[must_use]
    pub fn read(cursor: &FeedCursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let epoch = parts.next().filter(|epoch| !epoch.is_empty())?;
        let mut shards = Vec::new();
        while let Some(after) = parts.next() {
            shards.push(Position { after: number(after)?, mark: number(parts.next()?)? });
        }
        (!shards.is_empty()).then(|| Self::new(epoch, shards))
    }

    /// The text for the reader to keep.
    #[must_use]
    pub fn to_feed_cursor(&self) -> FeedCursor {
        FeedCursor::new(self.to_string())
    }

    /// The one position of a feed that has one shard.
    #[must_use]
    pub fn only(&self) -> Option<Position> {
        match self.shards.as_slice() {
            [position] => Some(*position),
            _ => None,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.epoch)?;
        self.shards.iter().try_for_each(|Position { after, mark }| write!(f, ".{after}.{mark}"))
    }
}

/// As it is written, and in no other way: a cursor has one text.
fn number(text: &str) -> Option<u128> {
    let number: u128 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_no_other_text_is_one() {
        for shards in [vec![Position::start(9).at(7)], vec![Position::start(u128::MAX); 3]] {
            let cursor = Cursor::new("feed", shards);
            assert_eq!(Cursor::read(&cursor.to_feed_cursor()), Some(cursor));
        }
        let odd = [
            "",
            "feed",
            "feed.7",
            "feed.7.9.1",
            ".7.9",
            "feed.x.9",
            "feed.+7.9",
            "feed.07.9",
            "feed.7.-1",
        ];
        for text in odd {
            assert_eq!(Cursor::read(&FeedCursor::new(text)), None, "{text}");
        }
    }

    #[test]
    fn what_is_swept_is_a_loss_to_those_who_had_caught_up() {
        let catching_up = Position::start(10).at(3);
        assert!(catching_up.catches_up() && !catching_up.has_lost(4) && !catching_up.has_lost(10));
        assert!(catching_up.has_lost(11));
        let following = Position::start(10).at(12);
        assert!(!following.catches_up() && !following.has_lost(12) && following.has_lost(13));
        assert!(!following.is_beyond(12) && following.is_beyond(11));
        assert!(Position::start(10).is_beyond(9));
    }
}
