//! The ledger in order, shard by shard.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use redis::Value;

use crate::store::redis::answer::{bytes, parts};
use crate::store::redis::keys::{Id, Part};
use crate::store::redis::read::look;
use crate::store::redis::script::{Call, FEED, random};
use crate::store::redis::store::RedisStore;
use crate::store::redis::{join, records};
use crate::store::{Changes, FeedCursor, FeedEntry, FeedPage, StoreError};

/// How many entries one page has at most: Redis serves nobody else while it reads them.
const MOST: usize = 1_000;

/// A place in the feed of one shard: milliseconds, and a count within each.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Place(u64, u64);

/// How far a reader has come in one shard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Position {
    place: Place,
    /// Where the shard stood when this reader began with nothing. Up to there it asks for what is in force, and misses
    /// nothing by what is not.
    mark: Place,
}

/// How far a reader has come.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Reader {
    /// Tells these data from others, and from themselves after a loss.
    epoch: String,
    shards: Vec<Position>,
}

/// What one shard tells.
struct Told {
    epoch: Vec<u8>,
    swept: Place,
    last: Place,
    lines: Vec<(Place, Option<FeedEntry>)>,
    /// Whether there is nothing after these lines.
    is_all: bool,
}

pub(super) async fn changes(
    store: &RedisStore,
    after: Option<&FeedCursor>,
    limit: usize,
) -> Result<Changes, StoreError> {
    let limit = limit.clamp(1, MOST);
    let count = store.space.shard_count();
    let began = match after.map(|cursor| cursor.as_str().parse::<Reader>()) {
        None => None,
        Some(Ok(reader)) if reader.shards.len() == count => Some(reader),
        Some(_) => return Ok(Changes::Gap),
    };
    let place = |shard: usize| {
        let reader = began.as_ref().and_then(|reader| reader.shards.get(shard));
        reader.map(|position| position.place).unwrap_or_default()
    };
    let asked = (0..count)
        .map(|shard| -> join::Boxed<'_, _> { Box::pin(tell(store, shard, place(shard), limit)) });
    let told: Vec<Told> = join::all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let epoch = epoch_of(&told);
    let mut reader = match began {
        Some(reader) if reader.epoch != epoch || reader.has_lost(&told) => {
            return Ok(Changes::Gap);
        }
        Some(reader) => reader,
        None => {
            let begins = |told: &Told| Position { place: Place::default(), mark: told.last };
            Reader { epoch, shards: told.iter().map(begins).collect() }
        }
    };
    let mut lines = Vec::new();
    let mut ends = Vec::new();
    for (shard, told) in told.into_iter().enumerate() {
        ends.push((told.is_all, told.last));
        lines.extend(told.lines.into_iter().map(|(place, entry)| (place, shard, entry)));
    }
    // Nearly the order in which they came, and each shard has its turn.
    lines.sort_by_key(|(place, shard, _)| (*place, *shard));
    let rest = lines.split_off(limit.min(lines.len()));
    for (_, shard, _) in rest {
        if let Some((is_all, _)) = ends.get_mut(shard) {
            *is_all = false;
        }
    }
    let mut entries = Vec::new();
    for (place, shard, entry) in lines {
        entries.extend(entry);
        if let Some(position) = reader.shards.get_mut(shard) {
            position.place = place;
        }
    }
    let mut more = false;
    for (position, (is_all, last)) in reader.shards.iter_mut().zip(ends) {
        if is_all {
            position.place = position.place.max(last);
        }
        more |= !is_all;
    }
    Ok(Changes::Page(FeedPage::new(entries, reader.cursor(), more)))
}

async fn tell(
    store: &RedisStore,
    shard: usize,
    after: Place,
    limit: usize,
) -> Result<Told, StoreError> {
    let call = Call::new(&FEED, store.space.shard_key(shard))
        .key(store.space.feed_key(shard))
        .argument(after.to_string())
        .argument(limit.to_string())
        .argument(random()?);
    let wrong = || StoreError::corrupt("an answer of another kind");
    let told = parts(store.root.link.call(&call).await?);
    let Some([epoch, swept, last, Value::Array(found)]) = told else {
        return Err(wrong());
    };
    let place = |value: Value| -> Result<Place, StoreError> {
        let text = String::from_utf8(bytes(value)?).map_err(|_| wrong())?;
        text.parse().map_err(|()| wrong())
    };
    let (swept, last) = (place(swept)?, place(last)?);
    let mut read = Vec::new();
    let mut found = found.into_iter();
    while let (Some(at), Some(id), Some(entry)) = (found.next(), found.next(), found.next()) {
        let id = bytes(id)?.try_into().map_err(|_| wrong())?;
        read.push((place(at)?, Id::new(id), bytes(entry)?));
    }
    let is_cluster = store.root.link.is_cluster();
    let looks = read.into_iter().map(|(at, id, mut entry)| -> join::Boxed<'_, _> {
        Box::pin(async move {
            if entry.is_empty() && is_cluster {
                // Perhaps the slot is moving. A call for this key alone is answered by the node that has it.
                entry = look(store, Part::Entry, &id, 0).await?;
            }
            // Where there is none, Redis itself has forgotten it, and everything that it could cover before that.
            let entry = match entry.as_slice() {
                [] => None,
                entry => Some(records::feed_entry(entry)?),
            };
            Ok::<_, StoreError>((at, entry))
        })
    });
    let lines: Vec<_> = join::all(looks).await.into_iter().collect::<Result<_, _>>()?;
    let is_all = lines.len() < limit || lines.last().is_some_and(|(at, _)| *at >= last);
    Ok(Told { epoch: bytes(epoch)?, swept, last, lines, is_all })
}

impl Reader {
    /// Whether something is gone that this reader has not seen, or was never there.
    fn has_lost(&self, told: &[Told]) -> bool {
        self.shards.iter().zip(told).any(|(position, told)| {
            told.swept > position.place.max(position.mark) || position.place > told.last
        })
    }

    fn cursor(&self) -> FeedCursor {
        FeedCursor::new(self.to_string())
    }
}

fn epoch_of(told: &[Told]) -> String {
    let mut hasher = blake3::Hasher::new();
    for told in told {
        hasher.update(&told.epoch);
    }
    let mut text = String::new();
    for byte in hasher.finalize().as_bytes().iter().take(8) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, n) = text.split_once('-').ok_or(())?;
        Ok(Self(ms.parse().map_err(drop)?, n.parse().map_err(drop)?))
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.epoch)?;
        for Position { place, mark } in &self.shards {
            write!(f, ".{place}")?;
            if mark > place {
                write!(f, "/{mark}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Reader {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let epoch = parts.next().ok_or(())?.to_owned();
        let mut shards = Vec::new();
        for part in parts {
            let (place, mark) = match part.split_once('/') {
                Some((place, mark)) => (place.parse()?, mark.parse()?),
                None => (part.parse()?, Place::default()),
            };
            shards.push(Position { place, mark });
        }
        Ok(Self { epoch, shards })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let reader = Reader {
            epoch: "feed".to_owned(),
            shards: vec![
                Position { place: Place(17, 2), mark: Place(18, 0) },
                Position { place: Place(17, 2), mark: Place::default() },
            ],
        };
        assert_eq!(reader.to_string(), "feed.17-2/18-0.17-2");
        assert_eq!(reader.to_string().parse(), Ok(reader));
        for foreign in ["feed.17", "feed.17-2/", "feed.17-2/x", "feed.-1-2", "feed.17-2."] {
            assert!(foreign.parse::<Reader>().is_err(), "{foreign}");
        }
    }
}
