//! What the records of each key space say, and under which keys they stand.
//!
//! The words of this crate stand in them as types of their own, borrowed from the bytes they are read from: so the public
//! types can change without a migration. Append to an enum here, never reorder it: formats without names count.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::revocation::{Actor, Target, TargetKind};
use crate::store::Session;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::NamespaceId;
use crate::store::rules::rotation::{Family, Generation};
use crate::store::rules::{OpenLogins, SweepClock, codes};
use crate::token::{Grant, TokenDigest, TokenKind};

/// What this version writes, and the only one that it reads.
pub(super) const FORMAT: u32 = 1;

/// One token, under its digest.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct TokenRow<'a> {
    /// The letter of its kind.
    kind: u8,
    /// The key of its grant, where it was rotated.
    pub(super) consumed: Option<[u8; 32]>,
    /// How many rotations led to it.
    generation: u32,
    pub(super) issued_at: u64,
    pub(super) expires_at: u64,
    #[serde(borrow)]
    pub(super) grant: StoredGrant<'a>,
    pub(super) counterpart: Option<&'a str>,
}

impl<'a> TokenRow<'a> {
    /// A token of this grant.
    pub(super) fn new(kind: TokenKind, generation: Generation, grant: &'a Grant) -> Self {
        Self {
            kind: codes::token_letter(kind),
            consumed: None,
            generation: generation.get(),
            issued_at: 0,
            expires_at: 0,
            grant: grant.into(),
            counterpart: None,
        }
    }

    pub(super) fn kind(&self) -> Result<TokenKind, StoreError> {
        codes::token_of_letter(self.kind).ok_or_else(|| corrupt("the kind of a token"))
    }

    pub(super) const fn generation(&self) -> Generation {
        Generation::new(self.generation)
    }
}

/// One entry of the ledger, under the key of its target.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EntryRow<'a> {
    pub(super) namespace: NamespaceId,
    #[serde(borrow)]
    pub(super) target: StoredTarget<'a>,
    pub(super) at: u64,
    /// Later than every record that it covers; see [`Lifetimes`](crate::store::Lifetimes).
    pub(super) until: u64,
    /// Where it stands in the feed.
    pub(super) place: u64,
    pub(super) reason: &'a str,
    /// The letter of the actor.
    pub(super) actor: u8,
    /// The actor, where that is a client.
    pub(super) client: Option<&'a str>,
}

impl EntryRow<'_> {
    pub(super) fn actor(&self) -> Result<Actor, StoreError> {
        codes::actor_of_letter(self.actor, self.client).ok_or_else(|| corrupt("an actor"))
    }
}

/// The letter of an actor, and the client that it is.
pub(super) fn stored_actor(actor: &Actor) -> (u8, Option<&str>) {
    let client = match actor {
        Actor::Client(client) => Some(client.as_str()),
        Actor::Operator | Actor::Store => None,
    };
    (codes::actor_letter(actor), client)
}

/// One grant, under its key, for as long as a token of it is recorded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct GrantRow {
    /// Tells its client and its subject from others.
    pub(super) owner: [u8; 16],
    /// The highest generation of successors; zero where it was not rotated yet.
    pub(super) generation: u32,
    pub(super) rotated_at: u64,
    /// Until when it is kept, and its consumed refresh tokens with it: no token of it is kept for longer.
    pub(super) until: u64,
}

impl GrantRow {
    /// The refresh tokens of the grant, where one of them was rotated.
    pub(super) fn family(&self) -> Option<Family> {
        (self.generation > 0).then(|| Family {
            generation: Generation::new(self.generation),
            rotated_at: Timestamp::from_unix_millis(self.rotated_at),
        })
    }
}

/// One session, under its key.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct SessionRow<'a> {
    pub(super) namespace: NamespaceId,
    pub(super) until: u64,
    #[serde(borrow)]
    pub(super) session: StoredSession<'a>,
}

/// The logins whose sessions last, under [`logins_key`].
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct LoginsRow {
    /// The day, and until when.
    days: Vec<(u64, u64)>,
}

impl From<&OpenLogins> for LoginsRow {
    fn from(logins: &OpenLogins) -> Self {
        Self { days: logins.days().map(|(day, until)| (day, until.as_unix_millis())).collect() }
    }
}

impl From<LoginsRow> for OpenLogins {
    fn from(row: LoginsRow) -> Self {
        let days = row.days.into_iter();
        Self::from_days(days.map(|(day, until)| (day, Timestamp::from_unix_millis(until))))
    }
}

/// The key of the logins of a namespace.
pub(super) fn logins_key(namespace: NamespaceId) -> [u8; 17] {
    let mut key = [b'l'; 17];
    key.iter_mut().zip(namespace).for_each(|(to, byte)| *to = byte);
    key
}

/// Per-namespace totals, keyed by namespace.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct NamespaceRow {
    /// The latest instant until which any token, grant or session has been kept so far.
    pub(super) horizon: u64,
    /// The last place that a sweep has taken an entry from.
    pub(super) swept: u64,
}

/// The totals of the store, under [`STORE`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoreRow {
    /// The last place that was given to an entry.
    pub(super) place: u64,
    /// What a sweep compares a clock with.
    latest: u64,
    leaped_to: Option<u64>,
}

impl StoreRow {
    pub(super) fn clock(&self) -> SweepClock {
        SweepClock {
            latest: Timestamp::from_unix_millis(self.latest),
            leaped_to: self.leaped_to.map(Timestamp::from_unix_millis),
        }
    }

    pub(super) fn set_clock(&mut self, clock: SweepClock) {
        self.latest = clock.latest.as_unix_millis();
        self.leaped_to = clock.leaped_to.map(Timestamp::as_unix_millis);
    }
}

/// What each opening has added to the feed, under [`OPENINGS`]: the latest ones, oldest first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct OpeningsRow {
    /// A random name, and the last place that was given before.
    pub(super) openings: Vec<(u64, u64)>,
}

pub(super) const STORE: &[u8] = b"store";
pub(super) const OPENINGS: &[u8] = b"openings";

/// What a record that is due is, in the order in which a sweep looks at those that are due at one time: a grant after its
/// tokens, and an entry after everything that it may cover.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DueKind {
    AccessToken,
    RefreshToken,
    Session,
    Grant,
    Entry,
}

impl DueKind {
    const ALL: [Self; 5] =
        [Self::AccessToken, Self::RefreshToken, Self::Session, Self::Grant, Self::Entry];

    const fn number(self) -> u8 {
        match self {
            Self::AccessToken => 1,
            Self::RefreshToken => 2,
            Self::Session => 3,
            Self::Grant => 4,
            Self::Entry => 5,
        }
    }

    fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    pub(super) const fn space(self) -> Space {
        match self {
            Self::AccessToken | Self::RefreshToken => Space::Tokens,
            Self::Entry => Space::Entries,
            Self::Grant => Space::Grants,
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
        let bytes = bytes.chain([self.kind.number()]).chain(self.key);
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
            let first = Self { at, kind: DueKind::of_number(*kind)?, key: first.try_into().ok()? };
            let others = others.iter().map(move |key| Self { key: *key, ..first });
            Some(std::iter::once(first).chain(others))
        };
        read().ok_or_else(|| corrupt("an expiry"))
    }

    /// The first key of all that are due later than `now`. "Never" is always later.
    pub(super) const fn after(now: Timestamp) -> [u8; 8] {
        now.as_unix_millis().saturating_add(1).to_be_bytes()
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
            // One without a digest is refused before.
            Target::Token(id) => Self::Token(id.digest().map_or([0; 32], |id| *id.as_bytes())),
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

impl StoredTarget<'_> {
    pub(super) const fn kind(&self) -> TargetKind {
        match self {
            Self::Token(_) => TargetKind::Token,
            Self::Grant(_) => TargetKind::Grant,
            Self::Session(_) => TargetKind::Session,
            Self::SubjectAtClient(..) => TargetKind::SubjectAtClient,
            Self::Subject(_) => TargetKind::Subject,
            Self::Client(_) => TargetKind::Client,
            Self::Everything => TargetKind::Everything,
        }
    }
}

impl From<StoredTarget<'_>> for Target {
    fn from(stored: StoredTarget<'_>) -> Self {
        match stored {
            StoredTarget::Token(digest) => Self::Token(TokenDigest::from_bytes(digest).into()),
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
        let mut last = None;
        for millis in [0, 1, 255, 256, 1_800_000_000_000, u64::MAX] {
            for kind in DueKind::ALL {
                let due = Due { at: Timestamp::from_unix_millis(millis), kind, key: [7; 32] };
                let key = due.to_key();
                let line: Vec<Due> = Due::of_line(&key, &[8; 64]).unwrap().collect();
                let other = Due { key: [8; 32], ..due };
                assert_eq!(line, [due, other, other]);
                assert!(last < Some(key));
                let is_never = due.at == Timestamp::MAX;
                assert_eq!(Due::after(due.at).as_slice() > key.as_slice(), !is_never);
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
            assert_eq!((StoredTarget::from(&target).kind(), read), (target.kind(), target));
        }
        for actor in [Actor::Client("web".into()), Actor::Operator, Actor::Store] {
            let (letter, client) = stored_actor(&actor);
            assert_eq!(codes::actor_of_letter(letter, client), Some(actor));
        }
        let session = Session::new("s", "alice", at, at).client("web").client("spa");
        let written = serde_json::to_string(&StoredSession::from(&session)).unwrap();
        let read: Session = serde_json::from_str::<StoredSession<'_>>(&written).unwrap().into();
        assert_eq!(read, session);
    }
}
