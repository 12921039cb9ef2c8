//! What the records of each key space say, and under which keys they stand.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::Namespace;
use crate::store::StoreError;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::key::{TargetKey, TargetKeys};
use crate::store::embedded::stored::{StoredActor, StoredGrant, StoredTarget};
use crate::token::{DigestKey, TokenKind};

/// What this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

/// A namespace as keys name it.
pub(super) type TenantId = [u8; 16];

/// One namespace.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) key: DigestKey,
    pub(super) targets: TargetKeys,
}

impl Tenant {
    pub(super) fn new(key: &DigestKey, namespace: &Namespace) -> Self {
        let targets = TargetKeys::new(key, namespace);
        let key = key.for_namespace(namespace);
        // Half of a derived key is as unlike all others as the whole.
        let id = key.derive("annul embedded", "").first_chunk().copied().unwrap_or_default();
        Self { id, key, targets }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Kind {
    Access,
    Refresh,
}

impl From<TokenKind> for Kind {
    fn from(kind: TokenKind) -> Self {
        match kind {
            TokenKind::AccessToken => Self::Access,
            TokenKind::RefreshToken => Self::Refresh,
        }
    }
}

impl From<Kind> for TokenKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Access => Self::AccessToken,
            Kind::Refresh => Self::RefreshToken,
        }
    }
}

/// One token, under its digest.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct TokenRow<'a> {
    pub(super) kind: Kind,
    /// The key of its family, where it was exchanged.
    pub(super) consumed: Option<[u8; 32]>,
    /// How many exchanges led to it.
    pub(super) generation: u32,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
    #[serde(borrow)]
    pub(super) grant: StoredGrant<'a>,
    pub(super) counterpart: Option<&'a str>,
}

/// The generation of a token that was rotated out elsewhere, before it was recorded. No family gets so far, so no grace
/// window covers it.
pub(super) const IMPORTED: u32 = u32::MAX;

/// One entry of the ledger, under the key of its target.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EntryRow<'a> {
    pub(super) tenant: TenantId,
    #[serde(borrow)]
    pub(super) target: StoredTarget<'a>,
    pub(super) at: u64,
    /// The expiry of the longest-lived token it can cover, and `Retention::IN_FLIGHT`.
    pub(super) until: u64,
    /// Where it stands in the feed.
    pub(super) place: u64,
    /// Whether a sweep has seen it: from then on what is in flight has its time.
    pub(super) seen: bool,
    pub(super) reason: &'a str,
    pub(super) actor: StoredActor<'a>,
}

/// The refresh tokens of one grant that was rotated at least once, under the key of the grant.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct FamilyRow {
    /// The generation of the successors of the last exchange.
    pub(super) generation: u32,
    pub(super) rotated_at: u64,
    pub(super) latest_expiry: u64,
}

/// What there is one of in a namespace, under its name.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct TenantRow {
    /// The latest expiry of any token or session so far.
    pub(super) horizon: u64,
    /// The last place that a sweep has taken an entry from.
    pub(super) swept: u64,
}

/// What there is one of in a store, under [`STORE`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoreRow {
    /// The last place that was given to an entry.
    pub(super) place: u64,
}

/// What each opening has added to the feed, under [`OPENINGS`]: the latest ones, oldest first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct OpeningsRow {
    /// A random name, and the last place that was given before.
    pub(super) openings: Vec<(u64, u64)>,
}

pub(super) const STORE: &[u8] = b"store";
pub(super) const OPENINGS: &[u8] = b"openings";

/// What a record that is due is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DueKind {
    AccessToken,
    Entry,
    Family,
    RefreshToken,
    Session,
}

impl DueKind {
    const fn code(self) -> u8 {
        match self {
            Self::AccessToken => b'a',
            Self::Entry => b'e',
            Self::Family => b'f',
            Self::RefreshToken => b'r',
            Self::Session => b's',
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            b'a' => Some(Self::AccessToken),
            b'e' => Some(Self::Entry),
            b'f' => Some(Self::Family),
            b'r' => Some(Self::RefreshToken),
            b's' => Some(Self::Session),
            _ => None,
        }
    }

    pub(super) const fn space(self) -> Space {
        match self {
            Self::AccessToken | Self::RefreshToken => Space::Tokens,
            Self::Entry => Space::Entries,
            Self::Family => Space::Families,
            Self::Session => Space::Sessions,
        }
    }
}

impl From<TokenKind> for DueKind {
    fn from(kind: TokenKind) -> Self {
        match kind {
            TokenKind::AccessToken => Self::AccessToken,
            TokenKind::RefreshToken => Self::RefreshToken,
        }
    }
}

/// When a sweep has to look at which record.
///
/// Many are due at once, like the tokens that were issued together. They share a line: its key is that of the first, in the
/// order of time, so that a sweep reads from the front, and its value holds the keys of the other records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Due {
    pub(super) at: Timestamp,
    pub(super) kind: DueKind,
    pub(super) key: [u8; 32],
}

/// The time, the kind, the key of the record.
pub(super) type DueKey = [u8; 41];

impl Due {
    pub(super) fn to_key(self) -> DueKey {
        let mut key: DueKey = [0; 41];
        let bytes = self.at.as_unix_millis().to_be_bytes().into_iter();
        let bytes = bytes.chain([self.kind.code()]).chain(self.key);
        key.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
        key
    }

    /// All that share a line.
    pub(super) fn of_line(
        key: &[u8],
        value: &[u8],
    ) -> Result<impl Iterator<Item = Self>, StoreError> {
        let read = || {
            let (at, rest) = key.split_first_chunk()?;
            let (kind, first) = rest.split_first()?;
            let at = Timestamp::from_unix_millis(u64::from_be_bytes(*at));
            let (others, []) = value.as_chunks() else {
                return None;
            };
            let first = Self { at, kind: DueKind::of_code(*kind)?, key: first.try_into().ok()? };
            let others = others.iter().map(move |key| Self { key: *key, ..first });
            Some(std::iter::once(first).chain(others))
        };
        read().ok_or_else(|| corrupt("an expiry"))
    }

    /// The first key of all that are due later than `now`.
    pub(super) fn after(now: Timestamp) -> Option<[u8; 8]> {
        now.as_unix_millis().checked_add(1).map(u64::to_be_bytes)
    }
}

/// The key of a place in the feed of a namespace.
pub(super) fn feed_key(tenant: TenantId, place: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let bytes = tenant.into_iter().chain(place.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
    key
}

pub(super) fn place_of(feed_key: &[u8]) -> Result<u64, StoreError> {
    let place = feed_key.last_chunk().ok_or_else(|| corrupt("a place"))?;
    Ok(u64::from_be_bytes(*place))
}

pub(super) fn target_of(value: &[u8]) -> Result<[u8; 32], StoreError> {
    value.try_into().map_err(|_| corrupt("a line of the feed"))
}

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::corrupt(format!("{what} in the embedded store cannot be read"))
}

pub(super) fn decode<'a, R: Deserialize<'a>>(bytes: &'a [u8]) -> Result<R, StoreError> {
    postcard::from_bytes(bytes).map_err(StoreError::corrupt)
}

/// A record that owns what it says.
pub(super) fn read_row<R>(
    reads: &impl Reads,
    space: Space,
    key: &[u8],
) -> Result<Option<R>, StoreError>
where
    R: for<'a> Deserialize<'a>,
{
    reads.read(space, key)?.map(|bytes| decode(&bytes)).transpose()
}

/// When an entry was stamped, if there is one for this target.
pub(super) fn cutoff(
    reads: &impl Reads,
    target: TargetKey,
) -> Result<Option<Timestamp>, StoreError> {
    let Some(bytes) = reads.read(Space::Entries, target.as_bytes())? else {
        return Ok(None);
    };
    let entry: EntryRow<'_> = decode(&bytes)?;
    Ok(Some(Timestamp::from_unix_millis(entry.at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_stands_first_and_is_read_as_it_was_written() {
        let kinds = [
            DueKind::AccessToken,
            DueKind::Entry,
            DueKind::Family,
            DueKind::RefreshToken,
            DueKind::Session,
        ];
        let mut last = None;
        for millis in [0, 1, 255, 256, 1_800_000_000_000, u64::MAX] {
            for kind in kinds {
                let due = Due { at: Timestamp::from_unix_millis(millis), kind, key: [7; 32] };
                let key = due.to_key();
                let line: Vec<Due> = Due::of_line(&key, &[8; 64]).unwrap().collect();
                let other = Due { key: [8; 32], ..due };
                assert_eq!(line, [due, other, other]);
                assert!(last < Some(key));
                assert!(Due::after(due.at).is_none_or(|after| after.as_slice() > key.as_slice()));
                last = Some(key);
            }
        }
        let access = Due { at: Timestamp::default(), kind: DueKind::AccessToken, key: [7; 32] };
        let key = access.to_key();
        assert!(Due::of_line(&key[1..], &[]).is_err() && Due::of_line(&[0; 41], &[]).is_err());
        assert!(Due::of_line(&key, &[0; 31]).is_err());
    }

    #[test]
    fn a_tenant_has_a_name_of_its_own() {
        let key = DigestKey::new(&[7; 32]);
        let of = |name| Tenant::new(&key, &Namespace::new(name)).id;
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), TenantId::default());
        assert_eq!(of("a"), of("a"));
    }
}
