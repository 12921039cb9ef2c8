//! The ledger in order, shard by shard.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use redis::Value;

use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::script::{Call, FEED, random};
use crate::store::redis::store::RedisStore;
use crate::store::redis::{join, records};
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage, StoreError};

/// How many entries one page has at most: Redis serves nobody else while it reads them.
const MOST: usize = 1_000;

/// An id in the stream of one shard's feed: milliseconds, and a count within each.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct StreamId(u64, u64);

/// How far a reader has come in one shard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct ShardPosition {
    stream_id: StreamId,
    /// Where the shard stood when this reader began with nothing. Up to there it asks for what is in force, and misses
    /// nothing by what is not.
    mark: StreamId,
}

/// How far a reader has come.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Cursor {
    /// Tells these data from others, and from themselves after a loss.
    epoch: String,
    shards: Vec<ShardPosition>,
}

/// What one shard has after a stream id.
struct ShardPage {
    epoch: Vec<u8>,
    swept: StreamId,
    last: StreamId,
    rows: Vec<(StreamId, Option<FeedEntry>)>,
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
    let began = match after.map(|cursor| cursor.as_str().parse::<Cursor>()) {
        None => None,
        Some(Ok(reader)) if reader.shards.len() == count => Some(reader),
        Some(_) => return Ok(Changes::Gap),
    };
    let stream_id = |shard: usize| {
        let reader = began.as_ref().and_then(|reader| reader.shards.get(shard));
        reader.map(|position| position.stream_id).unwrap_or_default()
    };
    let asked = (0..count).map(|shard| -> join::BoxFuture<'_, _> {
        Box::pin(read_shard(store, shard, stream_id(shard), limit))
    });
    let pages: Vec<ShardPage> = join::all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let epoch = combined_epoch(&pages);
    let mut reader = match began {
        Some(reader) if reader.epoch != epoch || reader.has_lost(&pages) => {
            return Ok(Changes::Gap);
        }
        Some(reader) => reader,
        None => {
            let begins = |page: &ShardPage| ShardPosition {
                stream_id: StreamId::default(),
                mark: page.last,
            };
            Cursor { epoch, shards: pages.iter().map(begins).collect() }
        }
    };
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for (shard, page) in pages.into_iter().enumerate() {
        ends.push((page.is_all, page.last));
        rows.extend(page.rows.into_iter().map(|(stream_id, entry)| (stream_id, shard, entry)));
    }
    // Nearly the order in which they came, and each shard has its turn.
    rows.sort_by_key(|(stream_id, shard, _)| (*stream_id, *shard));
    let rest = rows.split_off(limit.min(rows.len()));
    for (_, shard, _) in rest {
        if let Some((is_all, _)) = ends.get_mut(shard) {
            *is_all = false;
        }
    }
    let mut entries = Vec::new();
    for (stream_id, shard, entry) in rows {
        entries.extend(entry);
        if let Some(position) = reader.shards.get_mut(shard) {
            position.stream_id = stream_id;
        }
    }
    let mut more = false;
    for (position, (is_all, last)) in reader.shards.iter_mut().zip(ends) {
        if is_all {
            position.stream_id = position.stream_id.max(last);
        }
        more |= !is_all;
    }
    Ok(Changes::Page(FeedPage::new(entries, reader.cursor(), more)))
}

async fn read_shard(
    store: &RedisStore,
    shard: usize,
    after: StreamId,
    limit: usize,
) -> Result<ShardPage, StoreError> {
    let call = Call::new(&FEED, store.keys.shard_key(shard))
        .key(store.keys.feed_key(shard))
        .argument(after.to_string())
        .argument(limit.to_string())
        .argument(random()?);
    let answer = parts(store.shared.link.call(&call).await?);
    let Some([epoch, swept, last, Value::Array(found)]) = answer else {
        return Err(unexpected());
    };
    let stream_id = |value: Value| -> Result<StreamId, StoreError> {
        let text = String::from_utf8(bytes(value)?).map_err(|_| unexpected())?;
        text.parse().map_err(|()| unexpected())
    };
    let (swept, last) = (stream_id(swept)?, stream_id(last)?);
    let mut read = Vec::new();
    let mut found = found.into_iter();
    while let (Some(at), Some(id), Some(entry)) = (found.next(), found.next(), found.next()) {
        let id = bytes(id)?.try_into().map_err(|_| unexpected())?;
        read.push((stream_id(at)?, Id::new(id), bytes(entry)?));
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

impl Cursor {
    /// Whether something is gone that this reader has not seen, or was never there.
    fn has_lost(&self, pages: &[ShardPage]) -> bool {
        self.shards.iter().zip(pages).any(|(position, page)| {
            page.swept > position.stream_id.max(position.mark) || position.stream_id > page.last
        })
    }

    fn cursor(&self) -> FeedCursor {
        FeedCursor::new(self.to_string())
    }
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

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for StreamId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, n) = text.split_once('-').ok_or(())?;
        Ok(Self(ms.parse().map_err(drop)?, n.parse().map_err(drop)?))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.epoch)?;
        for ShardPosition { stream_id, mark } in &self.shards {
            write!(f, ".{stream_id}")?;
            if mark > stream_id {
                write!(f, "/{mark}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let epoch = parts.next().ok_or(())?.to_owned();
        let mut shards = Vec::new();
        for part in parts {
            let (stream_id, mark) = match part.split_once('/') {
                Some((stream_id, mark)) => (stream_id.parse()?, mark.parse()?),
                None => (part.parse()?, StreamId::default()),
            };
            shards.push(ShardPosition { stream_id, mark });
        }
        Ok(Self { epoch, shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let reader = Cursor {
            epoch: "feed".to_owned(),
            shards: vec![
                ShardPosition { stream_id: StreamId(17, 2), mark: StreamId(18, 0) },
                ShardPosition { stream_id: StreamId(17, 2), mark: StreamId::default() },
            ],
        };
        assert_eq!(reader.to_string(), "feed.17-2/18-0.17-2");
        assert_eq!(reader.to_string().parse(), Ok(reader));
        for foreign in ["feed.17", "feed.17-2/", "feed.17-2/x", "feed.-1-2", "feed.17-2."] {
            assert!(foreign.parse::<Cursor>().is_err(), "{foreign}");
        }
    }
}
