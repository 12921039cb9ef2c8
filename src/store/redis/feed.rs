//! The ledger in order, shard by shard.

use std::fmt::Write as _;

use redis::Value;

use crate::error::StoreError;
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::script::{Call, FEED, random};
use crate::store::redis::store::RedisStore;
use crate::store::redis::{join, records};
use crate::store::rules::cursor::{Cursor, Position};
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage};

/// How many entries one page has at most: Redis serves nobody else while it reads them.
const MOST: usize = 1_000;

/// What one shard has after a sequence number.
struct ShardPage {
    epoch: Vec<u8>,
    swept: u128,
    last: u128,
    rows: Vec<(u128, Option<FeedEntry>)>,
    /// Whether there is nothing after these rows.
    is_all: bool,
}

/// One page of the feed, from all shards.
pub(super) async fn changes(
    store: &RedisStore,
    after: Option<&FeedCursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let limit = limit.clamp(1, MOST);
    let count = store.keys.shard_count();
    let began = match after.map(Cursor::read) {
        None => None,
        Some(Some(reader)) if reader.shards.len() == count => Some(reader),
        Some(_) => return Ok(Changes::Gap),
    };
    let read_up_to = |shard: usize| {
        let reader = began.as_ref().and_then(|reader| reader.shards.get(shard));
        reader.map(|position| position.after).unwrap_or_default()
    };
    let asked = (0..count).map(|shard| -> join::BoxFuture<'_, _> {
        Box::pin(read_shard(store, shard, read_up_to(shard), limit))
    });
    let pages: Vec<ShardPage> = join::all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let epoch = combined_epoch(&pages);
    let mut reader = match began {
        Some(reader) if reader.epoch != epoch || has_lost(&reader, &pages) => {
            return Ok(Changes::Gap);
        }
        Some(reader) => reader,
        None => Cursor::new(epoch, pages.iter().map(|page| Position::start(page.last)).collect()),
    };
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for (shard, page) in pages.into_iter().enumerate() {
        ends.push((page.is_all, page.last));
        rows.extend(page.rows.into_iter().map(|(number, entry)| (number, shard, entry)));
    }
    // Nearly the order in which they came, and each shard has its turn.
    rows.sort_by_key(|(number, shard, _)| (*number, *shard));
    let rest = rows.split_off(limit.min(rows.len()));
    for (_, shard, _) in rest {
        if let Some((is_all, _)) = ends.get_mut(shard) {
            *is_all = false;
        }
    }
    let mut entries = Vec::new();
    for (number, shard, entry) in rows {
        entries.extend(entry);
        if let Some(position) = reader.shards.get_mut(shard) {
            *position = position.at(number);
        }
    }
    let mut more = false;
    for (position, (is_all, last)) in reader.shards.iter_mut().zip(ends) {
        if is_all {
            *position = position.at(position.after.max(last));
        }
        more |= !is_all;
    }
    Ok(Changes::Page(FeedPage::new(entries, reader.to_feed_cursor(), more)))
}

async fn read_shard(
    store: &RedisStore,
    shard: usize,
    after: u128,
    limit: usize,
) -> Result<ShardPage, StoreError> {
    let call = Call::new(&FEED, store.keys.shard_key(shard))
        .key(store.keys.feed_key(shard))
        .argument(stream_id(after))
        .argument(limit.to_string())
        .argument(random()?);
    let answer = parts(store.shared.link.call(&call).await?);
    let Some([epoch, swept, last, Value::Array(found)]) = answer else {
        return Err(unexpected());
    };
    let (swept, last) = (sequence_number(swept)?, sequence_number(last)?);
    let mut read = Vec::new();
    let mut found = found.into_iter();
    while let (Some(at), Some(id), Some(entry)) = (found.next(), found.next(), found.next()) {
        let id = bytes(id)?.try_into().map_err(|_| unexpected())?;
        read.push((sequence_number(at)?, Id::new(id), bytes(entry)?));
    }
    let is_cluster = store.shared.link.is_cluster();
    let rows = read.into_iter().map(|(at, id, mut entry)| -> join::BoxFuture<'_, _> {
        Box::pin(async move {
            if entry.is_empty() && is_cluster {
                // Perhaps the slot is moving. A call for this key alone is answered by the node that has it.
                entry = read_value(store, Part::Entry, &id, 0).await?;
            }
            // Where there is none, Redis itself has forgotten it, and everything that it could cover before that.
            let entry = match entry.as_slice() {
                [] => None,
                entry => Some(records::feed_entry(entry)?),
            };
            Ok::<_, StoreError>((at, entry))
        })
    });
    let rows: Vec<_> = join::all(rows).await.into_iter().collect::<Result<_, _>>()?;
    let is_all = rows.len() < limit || rows.last().is_some_and(|(at, _)| *at >= last);
    Ok(ShardPage { epoch: bytes(epoch)?, swept, last, rows, is_all })
}

/// Whether something is gone that this reader has not seen, or was never there.
fn has_lost(reader: &Cursor, pages: &[ShardPage]) -> bool {
    reader
        .shards
        .iter()
        .zip(pages)
        .any(|(position, page)| position.has_lost(page.swept) || position.is_beyond(page.last))
}

fn combined_epoch(pages: &[ShardPage]) -> String {
    let mut hasher = blake3::Hasher::new();
    for page in pages {
        hasher.update(&page.epoch);
    }
    let mut text = String::new();
    for byte in hasher.finalize().as_bytes().iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The sequence number of an id in a stream: milliseconds, and a count within each.
fn sequence_number(value: Value) -> Result<u128, StoreError> {
    let text = String::from_utf8(bytes(value)?).map_err(|_| unexpected())?;
    let (ms, n) = text.split_once('-').ok_or_else(unexpected)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| unexpected());
    Ok(u128::from(number(ms)?) << 64 | u128::from(number(n)?))
}

/// The id of a sequence number.
fn stream_id(number: u128) -> String {
    format!("{}-{}", number >> 64, number & u128::from(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_stream_are_numbers_in_the_same_order() {
        let read = |text: &str| sequence_number(Value::BulkString(text.as_bytes().to_vec()));
        let largest = format!("{}-{}", u64::MAX, u64::MAX);
        let ids = ["0-0", "0-1", "17-0", "17-2", "18-0", &largest];
        let numbers: Vec<u128> = ids.iter().map(|id| read(id).unwrap()).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.iter().map(|number| stream_id(*number)).collect::<Vec<_>>(), ids);
        for odd in ["", "17", "17-", "-1-2", "17-x"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
