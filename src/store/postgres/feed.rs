//! The ledger, read in order; see "The feed" in the module's notes.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::error::StoreError;
use crate::store::postgres::link::Retry;
use crate::store::postgres::records::get;
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::store::rules::cursor::{Cursor, Position};
use crate::store::{Changes, FeedCursor, FeedPage};

/// How often a reader that waits looks by itself: a notification may get lost.
const POLL: Duration = Duration::from_secs(1);

/// The most entries of one page.
const PAGE: usize = 10_000;

/// Where the feed ends.
struct Ends {
    epoch: String,
    /// The last place that was drawn.
    last: i64,
}

/// The feed that a cursor is of, and how far its reader has come; none where it is no cursor of a feed like this.
fn read(cursor: &FeedCursor) -> Option<(String, Position)> {
    let cursor = Cursor::read(cursor)?;
    let position = cursor.only()?;
    Some((cursor.epoch, position))
}

/// A place, as a position has it.
fn number(place: i64) -> u128 {
    u128::try_from(place).unwrap_or_default()
}

/// The same as the database has it. What is beyond all places is a gap before it is asked for.
fn place_of(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A page of the ledger, in the order of its entries.
pub(super) async fn changes(
    store: &PostgresStore,
    after: Option<&FeedCursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let from = match after.map(read) {
        None => None,
        Some(Some(read)) => Some(read),
        Some(None) => return Ok(Changes::Gap),
    };
    let after = from.as_ref().map(|(_, from)| from.after);
    let ends = ends(store, after).await?;
    if let Some((epoch, from)) = &from
        && (*epoch != ends.epoch || from.is_beyond(number(ends.last)))
    {
        return Ok(Changes::Gap);
    }
    let limit = limit.clamp(1, PAGE);
    let place = after.map_or(0, place_of);
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
        Some((_, from)) if from.has_lost(number(swept)) => return Ok(Changes::Gap),
        Some((_, from)) => from,
        // Never beyond the end that the next call may find.
        None => Position::start(number(swept.max(newest.min(ends.last)))),
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
        next = next.at(number(place));
    }
    let cursor = Cursor::new(ends.epoch, vec![next]).to_feed_cursor();
    Ok(Changes::Page(FeedPage::new(entries, cursor, more)))
}

/// Where the feed ends, once nobody is about to commit an entry before that.
async fn ends(store: &PostgresStore, after: Option<u128>) -> Result<Ends, StoreError> {
    let row = store.link().row(statements::FEED_ENDS, &[], Retry::Allowed).await?;
    let (identity, last): (&str, i64) = (get(&row, 0)?, get(&row, 1)?);
    // It tells no two entries apart, but a cursor of another namespace's feed.
    let [a, b, c, d, e, f, g, h, ..] = store.keys().digests().derive("annul feed", identity);
    let epoch = format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    let mut writers: Vec<String> = get(&row, 2)?;
    if after == Some(number(last)) {
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
    let Some((_, position)) = read(after) else {
        return Ok(());
    };
    let mut notified = store.listen();
    let namespace = store.keys().namespace();
    loop {
        notified.mark_unchanged();
        let row = store
            .link()
            .row(statements::FEED_HAS, &[&namespace, &place_of(position.after)], Retry::Allowed)
            .await?;
        if get(&row, 0)? {
            return Ok(());
        }
        // Notified or not: look again.
        drop(timeout(POLL, notified.changed()).await);
    }
}
