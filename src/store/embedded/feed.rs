//! The ledger on disk, read in order.
//!
//! The one thread that writes gives out the places, so they stand in the order in which batches came to disk, and a
//! reader's snapshot has every one up to the last.

use std::fmt;
use std::ops::Bound;

use crate::clock::Timestamp;
use crate::store::embedded::engine::{Reads, Snapshot, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{
    EntryRow, NamespaceRow, OPENINGS, OpeningsRow, STORE, StoreRow, decode, feed_key, place_of,
    read_row, reason_named, target_of,
};
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage, StoreError};

/// How many openings are remembered. A cursor from before that has a gap.
const OPENINGS_KEPT: usize = 1_000;

/// The list of openings with one more.
pub(super) fn with_opening(mut row: OpeningsRow, name: u64, place: u64) -> OpeningsRow {
    row.openings.push((name, place));
    let surplus = row.openings.len().saturating_sub(OPENINGS_KEPT);
    row.openings.drain(..surplus);
    row
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Position {
    /// The opening in which it came so far. A copy of the data that was put back has no opening of what came after it
    /// was made.
    opening: u64,
    place: u64,
    /// Where the feed stood when this reader began with nothing. Up to there it asks for what is in force, and misses
    /// nothing by what is not.
    mark: u64,
}

impl Position {
    /// Where a reader stands, if it is a reader of this feed.
    fn of(cursor: Option<&FeedCursor>, row: &OpeningsRow, last: u64) -> Option<Self> {
        let now = row.openings.last()?.0;
        let Some(cursor) = cursor else {
            return Some(Self { opening: now, place: 0, mark: last });
        };
        let known = Self::read(cursor)?;
        let mut openings = row.openings.iter();
        openings.find(|(name, _)| *name == known.opening)?;
        // What was given out in an opening stands before the next one.
        let end = openings.next().map_or(last, |(_, place)| *place);
        (known.place <= end && known.mark <= end).then_some(Self { opening: now, ..known })
    }

    const fn catches_up(&self) -> bool {
        self.place < self.mark
    }

    fn read(cursor: &FeedCursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let opening = u64::from_str_radix(parts.next()?, 16).ok()?;
        let place = parts.next()?.parse().ok()?;
        let mark = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { opening, place, mark })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}.{}", self.opening, self.place, self.mark)
    }
}

/// How far the holder of a cursor has come, if it is a cursor.
pub(super) fn place_of_cursor(cursor: &FeedCursor) -> Option<u64> {
    Position::read(cursor).map(|position| position.place)
}

/// One page, as one snapshot has it.
pub(super) fn changes(
    snapshot: &Snapshot<'_>,
    namespace: &NamespaceState,
    after: Option<&FeedCursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let store: StoreRow = read_row(snapshot, Space::Meta, STORE)?.unwrap_or_default();
    let mut openings: OpeningsRow = read_row(snapshot, Space::Meta, OPENINGS)?.unwrap_or_default();
    // By names of this namespace's own: the place of another one's cursor says nothing about what was seen here.
    let mask = u64::from_le_bytes(namespace.id.first_chunk().copied().unwrap_or_default());
    openings.openings.iter_mut().for_each(|(name, _)| *name ^= mask);
    let Some(from) = Position::of(after, &openings, store.place) else {
        return Ok(Changes::Gap);
    };
    let of_namespace: NamespaceRow =
        read_row(snapshot, Space::Meta, &namespace.id)?.unwrap_or_default();
    if !from.catches_up() && of_namespace.swept > from.place {
        return Ok(Changes::Gap);
    }
    let to = if from.catches_up() { from.mark } else { store.place };
    let limit = limit.max(1);
    let lines = if from.place < to {
        let (from, to) = (feed_key(namespace.id, from.place), feed_key(namespace.id, to));
        let (from, to) = (Bound::Excluded(from.as_slice()), Bound::Included(to.as_slice()));
        snapshot.between(Space::Feed, from, to, limit.saturating_add(1))?
    } else {
        Vec::new()
    };
    let mut entries = Vec::with_capacity(lines.len().min(limit));
    let mut next = to;
    let full = lines.len() > limit;
    for (key, value) in lines.into_iter().take(limit) {
        if full {
            next = place_of(&key)?;
        }
        let Some(bytes) = snapshot.read(Space::Entries, &target_of(&value)?)? else {
            continue;
        };
        let entry: EntryRow<'_> = decode(&bytes)?;
        entries.push(FeedEntry::new(
            entry.target.into(),
            Timestamp::from_unix_millis(entry.at),
            reason_named(entry.reason),
            entry.actor.into(),
            Timestamp::from_unix_millis(entry.until),
        ));
    }
    let cursor = FeedCursor::new(Position { place: next, ..from }.to_string());
    Ok(Changes::Page(FeedPage::new(entries, cursor, next < store.place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OpeningsRow {
        let row = with_opening(OpeningsRow::default(), 0xa, 0);
        with_opening(with_opening(row, 0xb, 10), 0xc, 20)
    }

    fn of(cursor: &str) -> Option<Position> {
        Position::of(Some(&FeedCursor::new(cursor)), &row(), 30)
    }

    #[test]
    fn a_cursor_is_good_across_openings() {
        for cursor in ["a.7.9", "a.10.10", "b.15.0", "b.20.20", "c.30.0"] {
            let position = of(cursor).unwrap();
            assert_eq!(position.opening, 0xc);
            assert_eq!(Position::read(&FeedCursor::new(position.to_string())), Some(position));
        }
    }

    #[test]
    fn a_cursor_of_what_was_put_back_and_of_another_feed_is_none() {
        // Places that were given out after the copy was made: another opening has given them out since.
        for cursor in
            ["a.11.0", "a.1.11", "b.21.0", "c.31.0", "d.1.1", "", "c", "c.1", "c.1.1.1", "c.x.1"]
        {
            assert_eq!(of(cursor), None, "{cursor}");
        }
    }

    #[test]
    fn the_list_of_openings_does_not_grow_without_end() {
        let mut row = row();
        for name in 0..5_000 {
            row = with_opening(row, name, 30);
        }
        assert_eq!(row.openings.len(), OPENINGS_KEPT);
        assert_eq!(row.openings.last(), Some(&(4_999, 30)));
    }
}
