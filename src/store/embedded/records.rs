//! What the records of each key space say, and under which keys they stand.
//!
//! The words of this crate stand in them as types of their own, borrowed from the bytes they are read from: so the public
//! types can change without a migration. Append to an enum here, never reorder it: formats without names count.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::revocation::{Actor, Reason, Target};
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::NamespaceId;
use crate::store::{Session, StoreError};
use crate::token::{Grant, TokenDigest, TokenId, TokenKind};

/// What this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

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
    /// The key of its family, where it was rotated.
    pub(super) consumed: Option<[u8; 32]>,
    /// How many rotations led to it.
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
    pub(super) namespace: NamespaceId,
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
    /// The generation of the successors of the last rotation.
    pub(super) generation: u32,
    pub(super) rotated_at: u64,
    pub(super) latest_expiry: u64,
}

/// What there is one of in a namespace, under its name.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct NamespaceRow {
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
pub(super) fn feed_key(namespace: NamespaceId, place: u64) -> [u8; 24] {
    let mut key = [0; 24];
    let bytes = namespace.into_iter().chain(place.to_be_bytes());
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

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoredGrant<'a> {
    #[serde(borrow)]
    id: &'a str,
    client: &'a str,
    subject: Option<&'a str>,
    /// None for an offline grant: nothing asks for it again.
    session: Option<&'a str>,
    authenticated_at: u64,
    scope: Option<&'a str>,
    offline: bool,
}

impl<'a> From<&'a Grant> for StoredGrant<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self {
            id: grant.id().as_str(),
            client: grant.client_id().as_str(),
            subject: grant.subject_id().map(AsRef::as_ref),
            session: grant.session_id().map(AsRef::as_ref),
            authenticated_at: grant.authenticated_at().as_unix_millis(),
            scope: grant.scopes(),
            offline: grant.is_offline(),
        }
    }
}

impl From<StoredGrant<'_>> for Grant {
    fn from(stored: StoredGrant<'_>) -> Self {
        let at = Timestamp::from_unix_millis(stored.authenticated_at);
        let mut grant = Self::new(stored.id, stored.client, at);
        if let Some(subject) = stored.subject {
            grant = grant.subject(subject);
        }
        if let Some(session) = stored.session {
            grant = grant.session(session);
        }
        if let Some(scope) = stored.scope {
            grant = grant.scope(scope);
        }
        if stored.offline { grant.offline() } else { grant }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StoredTarget<'a> {
    Token([u8; 32]),
    NamedToken(&'a str),
    Grant(&'a str),
    Session(&'a str),
    SubjectAtClient(&'a str, &'a str),
    Subject(&'a str),
    Client(&'a str),
    Everything,
}

impl<'a> From<&'a Target> for StoredTarget<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Token(id) => match id.digest() {
                Some(digest) => Self::Token(*digest.as_bytes()),
                None => Self::NamedToken(id.name().unwrap_or_default()),
            },
            Target::Grant(id) => Self::Grant(id.as_str()),
            Target::Session(id) => Self::Session(id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                Self::SubjectAtClient(subject.as_str(), client.as_str())
            }
            Target::Subject(subject) => Self::Subject(subject.as_str()),
            Target::Client(client) => Self::Client(client.as_str()),
            Target::Everything => Self::Everything,
        }
    }
}

impl From<StoredTarget<'_>> for Target {
    fn from(stored: StoredTarget<'_>) -> Self {
        match stored {
            StoredTarget::Token(digest) => Self::Token(TokenDigest::from_bytes(digest).into()),
            StoredTarget::NamedToken(name) => Self::Token(TokenId::named(name)),
            StoredTarget::Grant(id) => Self::Grant(id.into()),
            StoredTarget::Session(id) => Self::Session(id.into()),
            StoredTarget::SubjectAtClient(subject, client) => {
                Self::SubjectAtClient(subject.into(), client.into())
            }
            StoredTarget::Subject(subject) => Self::Subject(subject.into()),
            StoredTarget::Client(client) => Self::Client(client.into()),
            StoredTarget::Everything => Self::Everything,
        }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StoredActor<'a> {
    Client(&'a str),
    Operator,
    Store,
}

impl<'a> From<&'a Actor> for StoredActor<'a> {
    fn from(actor: &'a Actor) -> Self {
        match actor {
            Actor::Client(client) => Self::Client(client.as_str()),
            Actor::Operator => Self::Operator,
            Actor::Store => Self::Store,
        }
    }
}

impl From<StoredActor<'_>> for Actor {
    fn from(stored: StoredActor<'_>) -> Self {
        match stored {
            StoredActor::Client(client) => Self::Client(client.into()),
            StoredActor::Operator => Self::Operator,
            StoredActor::Store => Self::Store,
        }
    }
}

/// The reason of a stored name. Why a token is dead matters less than that it is: the name of a later version is taken
/// for an administrator's decision.
pub(super) fn reason_named(name: &str) -> Reason {
    Reason::named(name).unwrap_or(Reason::Administrative)
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoredSession<'a> {
    #[serde(borrow)]
    id: &'a str,
    subject: &'a str,
    started_at: u64,
    expires_at: u64,
    clients: Vec<&'a str>,
}

impl<'a> From<&'a Session> for StoredSession<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            id: session.id().as_str(),
            subject: session.subject().as_str(),
            started_at: session.started_at().as_unix_millis(),
            expires_at: session.expires_at().as_unix_millis(),
            clients: session.clients().iter().map(AsRef::as_ref).collect(),
        }
    }
}

impl From<StoredSession<'_>> for Session {
    fn from(stored: StoredSession<'_>) -> Self {
        let session = Self::new(
            stored.id,
            stored.subject,
            Timestamp::from_unix_millis(stored.started_at),
            Timestamp::from_unix_millis(stored.expires_at),
        );
        stored.clients.into_iter().fold(session, Self::client)
    }
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
    fn what_is_written_is_read_again() {
        let at = Timestamp::from_unix_millis(1_800_000_000_123);
        let bare = Grant::new("g", "web", at);
        let full = bare.clone().subject("alice").session("s").scope("read");
        for grant in [bare, full.clone(), full.offline()] {
            let written = serde_json::to_string(&StoredGrant::from(&grant)).unwrap();
            let read: Grant = serde_json::from_str::<StoredGrant<'_>>(&written).unwrap().into();
            assert_eq!(StoredGrant::from(&read), StoredGrant::from(&grant));
            assert_eq!(read.session_id(), grant.session_id());
        }
        let targets = [
            Target::Token(TokenDigest::from_bytes([9; 32]).into()),
            Target::Token(TokenId::named("row-17")),
            Target::Grant("g".into()),
            Target::Session("s".into()),
            Target::SubjectAtClient("alice".into(), "web".into()),
            Target::Subject("alice".into()),
            Target::Client("web".into()),
            Target::Everything,
        ];
        for target in targets {
            let written = serde_json::to_string(&StoredTarget::from(&target)).unwrap();
            let read: Target = serde_json::from_str::<StoredTarget<'_>>(&written).unwrap().into();
            assert_eq!(read, target);
        }
        for actor in [Actor::Client("web".into()), Actor::Operator, Actor::Store] {
            let written = serde_json::to_string(&StoredActor::from(&actor)).unwrap();
            let read: Actor = serde_json::from_str::<StoredActor<'_>>(&written).unwrap().into();
            assert_eq!(read, actor);
        }
        let session = Session::new("s", "alice", at, at).client("web").client("spa");
        let written = serde_json::to_string(&StoredSession::from(&session)).unwrap();
        let read: Session = serde_json::from_str::<StoredSession<'_>>(&written).unwrap().into();
        assert_eq!(read, session);
    }
}
