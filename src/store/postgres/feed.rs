//! The ledger, read in order; see "The feed" in the module's notes.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::store::postgres::link::Retry;
use crate::store::postgres::records::get;
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::store::{Changes, FeedCursor, FeedPage, StoreError};

/// How often a reader that waits looks by itself: a notification may get lost.
const POLL: Duration = Duration::from_secs(1);

/// The most entries of one page.
const PAGE: usize = 10_000;

/// How far a reader has come.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Position {
    epoch: String,
    place: i64,
    /// Where the feed stood when this reader began with nothing. Up to there it asks for what is in force, and misses
    /// nothing by what is not.
    mark: i64,
}

impl Position {
    fn read(cursor: &FeedCursor) -> Option<Self> {
        let mut parts = cursor.as_str().split('.');
        let (epoch, place, mark) = (parts.next()?, parts.next()?, parts.next()?);
        let place: u64 = place.parse().ok()?;
        let mark: u64 = mark.parse().ok()?;
        (parts.next().is_none() && place.to_string().len() + mark.to_string().len() <= 38)
            .then_some(())?;
        Some(Self {
            epoch: epoch.to_owned(),
            place: i64::try_from(place).ok()?,
            mark: i64::try_from(mark).ok()?,
        })
    }

    fn cursor(&self) -> FeedCursor {
        FeedCursor::new(format!("{}.{}.{}", self.epoch, self.place, self.mark))
    }
}

/// Where the feed ends.
struct Ends {
    epoch: String,
    /// The last place that was drawn.
    last: i64,
}

/// A page of the ledger, in the order of its entries.
pub(super) async fn changes(
    store: &PostgresStore,
    after: Option<&FeedCursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let from = match after.map(Position::read) {
        None => None,
        Some(Some(position)) => Some(position),
        Some(None) => return Ok(Changes::Gap),
    };
    let ends = ends(store, from.as_ref().map(|from| from.place)).await?;
    if let Some(from) = &from
        && (from.epoch != ends.epoch || from.place > ends.last || from.mark > ends.last)
    {
        return Ok(Changes::Gap);
    }
    let limit = limit.clamp(1, PAGE);
    let place = from.as_ref().map_or(0, |from| from.place);
    // One more than wanted tells whether there is more.
    let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let namespace = store.keys().namespace();
    let found = store
        .link()
        .rows(statements::FEED_PAGE, &[&namespace, &place, &ends.last, &wanted], Retry::Allowed)
        .await?;
    let Some(first) = found.first() else {
        return Err(StoreError::corrupt("the feed answered with nothing at all"));
    };
    let (swept, newest): (i64, i64) = (get(first, 0)?, get(first, 1)?);
    if swept.max(newest) > ends.last {
        // Drawn meanwhile, or else the sequence is behind the entries, and most of them would not be told.
        let row = store.link().row(statements::FEED_ENDS, &[], Retry::Allowed).await?;
        if swept.max(newest) > get(&row, 1)? {
            return Err(StoreError::corrupt(
                "the sequence annul_place is behind the entries: the next start refuses, and says how to set it",
            ));
        }
    }
    let mut next = match from {
        Some(from) if swept > from.place.max(from.mark) => return Ok(Changes::Gap),
        Some(from) => from,
        None => {
            // Never beyond the end that the next call may find.
            let mark = swept.max(newest.min(ends.last));
            Position { epoch: ends.epoch, place: 0, mark }
        }
    };
    let mut entries = Vec::with_capacity(found.len().min(limit));
    let mut more = false;
    for row in &found {
        let Some(place) = get::<Option<i64>>(row, 2)? else {
            continue;
        };
        if entries.len() == limit {
            more = true;
            break;
        }
        entries.push(records::entry(row, 3)?);
        // The place of an entry that is on disk, never that of the sequence: of a place that was drawn and given up
        // nothing is left after a crash, and it may be drawn again.
        next.place = place;
    }
    Ok(Changes::Page(FeedPage::new(entries, next.cursor(), more)))
}

/// Where the feed ends, once nobody is about to commit an entry before that.
async fn ends(store: &PostgresStore, place: Option<i64>) -> Result<Ends, StoreError> {
    let row = store.link().row(statements::FEED_ENDS, &[], Retry::Allowed).await?;
    let (identity, last): (&str, i64) = (get(&row, 0)?, get(&row, 1)?);
    // It tells no two entries apart, but a cursor of another namespace's feed.
    let [a, b, c, d, e, f, g, h, ..] = store.keys().digests().derive("annul feed", identity);
    let epoch = format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    let mut writers: Vec<String> = get(&row, 2)?;
    if place == Some(last) {
        writers.clear();
    }
    let waiting = async {
        let mut pause = Duration::from_millis(1);
        while !writers.is_empty() {
            let row = store.link().row(statements::FEED_WAITS, &[&writers], Retry::Allowed).await?;
            if get::<i64>(&row, 0)? == 0 {
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    };
    match timeout(store.link().within(), waiting).await {
        Ok(waited) => waited.map(|()| Ends { epoch, last }),
        Err(_) => Err(StoreError::unavailable(
            "a revocation has been under way for too long, and the feed cannot be told past it",
        )),
    }
}

/// Waits until there is an entry after this cursor.
pub(super) async fn changed(store: &PostgresStore, after: &FeedCursor) -> Result<(), StoreError> {
    let Some(position) = Position::read(after) else {
        return Ok(());
    };
    let mut notified = store.listen();
    let namespace = store.keys().namespace();
    loop {
        notified.mark_unchanged();
        let row = store
            .link()
            .row(statements::FEED_HAS, &[&namespace, &position.place], Retry::Allowed)
            .await?;
        if get(&row, 0)? {
            return Ok(());
        }
        // Notified or not: look again.
        drop(timeout(POLL, notified.changed()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_no_other_is() {
        let position = Position { epoch: "feed".to_owned(), place: 7, mark: 9 };
        assert_eq!(Position::read(&position.cursor()), Some(position));
        for foreign in
            ["", "feed", "feed.7", "feed.7.9.1", "feed.-7.9", "feed.7.99999999999999999999"]
        {
            assert_eq!(Position::read(&FeedCursor::new(foreign)), None, "{foreign}");
        }
    }
}
