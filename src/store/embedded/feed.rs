//! The ledger on disk, read in order.
//!
//! The one thread that writes gives out the places, so they stand in the order in which batches came to disk, and a
//! reader's snapshot has every one up to the last.

use std::ops::Bound;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::embedded::engine::{Reads, Snapshot, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{
    EntryRow, NamespaceRow, OPENINGS, OpeningsRow, STORE, StoreRow, decode, feed_key, place_of,
    read_row, target_of,
};
use crate::store::rules::codes::reason_of_name;
use crate::store::rules::cursor::{Cursor, Position};
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage};

/// How many openings are remembered. A cursor from before that has a gap.
const OPENINGS_KEPT: usize = 1_000;

/// The list of openings with one more.
pub(super) fn with_opening(mut row: OpeningsRow, name: u64, place: u64) -> OpeningsRow {
    row.openings.push((name, place));
    let surplus = row.openings.len().saturating_sub(OPENINGS_KEPT);
    row.openings.drain(..surplus);
    row
}

/// How far a reader has come, if it is a reader of this feed; and the name of the present opening.
///
/// A cursor names the opening in which its reader came so far. A copy of the data that was put back has no opening of what
/// came after it was made.
fn position(
    cursor: Option<&FeedCursor>,
    row: &OpeningsRow,
    last: u64,
) -> Option<(String, Position)> {
    let now = opening_name(row.openings.last()?.0);
    let Some(cursor) = cursor else {
        return Some((now, Position::start(last.into())));
    };
    let known = Cursor::read(cursor)?;
    let position = known.only()?;
    let mut openings = row.openings.iter();
    openings.find(|(name, _)| opening_name(*name) == known.epoch)?;
    // What was given out in an opening stands before the next one.
    let end = openings.next().map_or(last, |(_, place)| *place);
    (!position.is_beyond(end.into())).then_some((now, position))
}

fn opening_name(opening: u64) -> String {
    format!("{opening:x}")
}

/// How far the holder of a cursor has come, if it is a cursor.
pub(super) fn place_of_cursor(cursor: &FeedCursor) -> Option<u64> {
    u64::try_from(Cursor::read(cursor)?.only()?.after).ok()
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
    let Some((opening, from)) = position(after, &openings, store.place) else {
        return Ok(Changes::Gap);
    };
    let of_namespace: NamespaceRow =
        read_row(snapshot, Space::Meta, &namespace.id)?.unwrap_or_default();
    if from.has_lost(of_namespace.swept.into()) {
        return Ok(Changes::Gap);
    }
    // Both are places of this feed, which are counted in 64 bits.
    let place = |place: u128| u64::try_from(place).unwrap_or(store.place);
    let (after, mark) = (place(from.after), place(from.mark));
    let to = if from.catches_up() { mark } else { store.place };
    let limit = limit.max(1);
    let lines = if after < to {
        let (from, to) = (feed_key(namespace.id, after), feed_key(namespace.id, to));
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
        let actor = entry.actor()?;
        entries.push(FeedEntry::new(
            entry.target.into(),
            Timestamp::from_unix_millis(entry.at),
            reason_of_name(entry.reason),
            actor,
            Timestamp::from_unix_millis(entry.until),
        ));
    }
    let cursor = Cursor::new(opening, vec![from.at(next.into())]).to_feed_cursor();
    Ok(Changes::Page(FeedPage::new(entries, cursor, next < store.place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OpeningsRow {
        let row = with_opening(OpeningsRow::default(), 0xa, 0);
        with_opening(with_opening(row, 0xb, 10), 0xc, 20)
    }

    fn of(cursor: &str) -> Option<(String, Position)> {
        position(Some(&FeedCursor::new(cursor)), &row(), 30)
    }

    #[test]
    fn a_cursor_is_good_across_openings() {
        for cursor in ["a.7.9", "a.10.10", "b.15.0", "b.20.20", "c.30.0"] {
            let (opening, position) = of(cursor).unwrap();
            assert_eq!(opening, "c");
            let kept = Cursor::new(opening, vec![position]).to_feed_cursor();
            assert_eq!(Cursor::read(&kept).unwrap().only(), Some(position));
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
