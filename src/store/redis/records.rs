//! The bytes of records: a head of fixed places for the scripts, and a body that only Rust reads.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ClientId, Subject};
use crate::revocation::{Actor, Revocation, Target, TargetKind};
use crate::secret::Secret;
use crate::store::redis::keys::{Id, NamedTarget};
use crate::store::redis::script::FAR;
use crate::store::rules::rotation::{Family, Generation};
use crate::store::rules::{OpenLogins, codes};
use crate::store::{FeedEntry, Session};
use crate::token::{Grant, NewToken, TokenDigest, TokenKind};

const VERSION: u8 = 1;

/// The length of a day of [`OpenLogins`], in milliseconds: `DAY` in `lua/logins.lua`.
const DAY: u64 = 86_400_000;

/// The mark of a token that was not consumed.
pub(super) const UNCONSUMED: [u8; 16] = [0; 16];

/// The mark of a token that was consumed before it was recorded, so by no rotation here.
pub(super) const IMPORTED: [u8; 16] = [0xff; 16];

/// A token as it is kept. The scripts know its head by heart: see `lua/token.lua`.
#[derive(Clone, Debug)]
pub(super) struct StoredToken {
    pub(super) kind: TokenKind,
    pub(super) expires_at: Timestamp,
    pub(super) due: Timestamp,
    pub(super) generation: Generation,
    pub(super) consumed_by: [u8; 16],
    pub(super) grant_key: Id,
    pub(super) issued_at: Timestamp,
    pub(super) grant: Grant,
    pub(super) counterpart: Option<Arc<Secret>>,
}

impl StoredToken {
    pub(super) fn is_consumed(&self) -> bool {
        self.consumed_by != UNCONSUMED
    }

    /// `targets` where there is one shard, and one script looks at all of them. It refuses a record that has none.
    pub(super) fn to_bytes(&self, targets: &[NamedTarget]) -> Vec<u8> {
        let mut bytes = Writer(vec![VERSION]);
        bytes.kind(self.kind);
        bytes.instant(self.expires_at);
        bytes.instant(self.due);
        bytes.instant(self.grant.authenticated_at());
        bytes.0.extend(self.generation.get().to_be_bytes());
        bytes.0.extend(self.consumed_by);
        bytes.0.extend(self.grant_key.as_bytes());
        bytes.byte(u8::try_from(targets.len()).unwrap_or_default());
        for target in targets {
            bytes.byte(target.letter());
            bytes.0.extend(target.id.as_bytes());
        }
        bytes.own(self.issued_at, self.counterpart.as_deref());
        let grant = &self.grant;
        bytes.byte(u8::from(grant.is_offline()));
        bytes.text(grant.id().as_str());
        bytes.text(grant.client_id().as_str());
        bytes.maybe(grant.subject_id().map(|id| id.as_str()));
        // None for an offline grant: nothing asks for it again.
        bytes.maybe(grant.session_id().map(|id| id.as_str()));
        bytes.maybe(grant.scopes());
        bytes.0
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let mut bytes = Reader(bytes);
        bytes.version()?;
        let kind = codes::token_of_letter(bytes.byte()?).ok_or_else(broken)?;
        let expires_at = bytes.instant()?;
        let due = bytes.instant()?;
        let authenticated_at = bytes.instant()?;
        let generation = Generation::new(u32::from_be_bytes(bytes.array()?));
        let consumed_by = bytes.array()?;
        let grant_key = Id::new(bytes.array()?);
        let targets = usize::from(bytes.byte()?);
        bytes.take(targets * (1 + Id::BYTES))?;
        bytes.take(2)?;
        let issued_at = bytes.instant()?;
        let counterpart = bytes.maybe()?.map(|text| Arc::new(Secret::new(text)));
        let offline = bytes.byte()? != 0;
        let mut grant = Grant::new(bytes.text()?, bytes.text()?, authenticated_at);
        if let Some(subject) = bytes.maybe()? {
            grant = grant.subject(subject);
        }
        if let Some(session) = bytes.maybe()? {
            grant = grant.session(session);
        }
        if let Some(scope) = bytes.maybe()? {
            grant = grant.scope(scope);
        }
        if offline {
            grant = grant.offline();
        }
        Ok(Self {
            kind,
            expires_at,
            due,
            generation,
            consumed_by,
            grant_key,
            issued_at,
            grant,
            counterpart,
        })
    }
}

/// The parts of a successor's record that are its own, where a script takes the rest from the token that it replaces.
pub(super) struct SuccessorParts {
    /// Kind, expiry and due.
    pub(super) head: Vec<u8>,
    /// Generation and mark, where it was consumed before it was recorded.
    pub(super) mark: Vec<u8>,
    /// What it does not share with its grant.
    pub(super) own: Vec<u8>,
}

pub(super) fn successor(
    token: &NewToken<'_>,
    due: Timestamp,
    issued_at: Timestamp,
) -> SuccessorParts {
    let mut head = Writer(Vec::new());
    head.kind(token.kind());
    head.instant(token.expires_at());
    head.instant(due);
    let mut mark = Vec::new();
    if token.is_consumed() {
        mark.extend(Generation::IMPORTED.get().to_be_bytes());
        mark.extend(IMPORTED);
    }
    let mut own = Writer(Vec::new());
    own.own(issued_at, token.counterpart().map(AsRef::as_ref));
    SuccessorParts { head: head.0, mark, own: own.0 }
}

/// What readers of the feed get, except the letter of the kind, the cutoff and until when: those are in an entry's head.
pub(super) fn entry_body(revocation: &Revocation) -> Vec<u8> {
    let mut bytes = Writer(vec![VERSION]);
    bytes.target(revocation.target());
    bytes.text(revocation.reason().as_str());
    bytes.byte(codes::actor_letter(revocation.actor()));
    if let Actor::Client(client) = revocation.actor() {
        bytes.text(client.as_str());
    }
    bytes.0
}

/// The cutoff of an entry.
pub(super) fn cutoff(entry: &[u8]) -> Result<Option<Timestamp>, StoreError> {
    match entry {
        [] => Ok(None),
        _ => Reader(entry).instant().map(Some),
    }
}

/// Until when a grant record is kept, as it is stored.
pub(super) fn grant_until(grant: &[u8]) -> Option<&[u8]> {
    grant.get(..8)
}

/// The family of a grant record; none where no refresh token was rotated.
pub(super) fn family(grant: &[u8]) -> Result<Option<Family>, StoreError> {
    let mut bytes = Reader(grant.get(24..).unwrap_or_default());
    if bytes.0.is_empty() {
        return Ok(None);
    }
    let generation = u32::try_from(bytes.instant()?.as_unix_millis()).map_err(|_| broken())?;
    let rotated_at = bytes.instant()?;
    Ok(Some(Family { generation: Generation::new(generation), rotated_at }))
}

/// Adds the open logins of one shard.
pub(super) fn add_logins(logins: &mut OpenLogins, days: &[u8]) -> Result<(), StoreError> {
    let mut bytes = Reader(days);
    while !bytes.0.is_empty() {
        let day = bytes.instant()?.as_unix_millis();
        let until = bytes.until()?;
        logins.add(Timestamp::from_unix_millis(day.saturating_mul(DAY)), until);
    }
    Ok(())
}

/// Open logins, for a script.
pub(super) fn logins(logins: &OpenLogins) -> Vec<u8> {
    let mut bytes = Writer(Vec::new());
    for (day, until) in logins.days() {
        bytes.instant(Timestamp::from_unix_millis(day));
        bytes.instant(Timestamp::from_unix_millis(until.as_unix_millis().min(FAR)));
    }
    bytes.0
}

pub(super) fn feed_entry(entry: &[u8]) -> Result<FeedEntry, StoreError> {
    let mut bytes = Reader(entry);
    let at = bytes.instant()?;
    let until = bytes.until()?;
    bytes.take(16)?;
    let kind = codes::target_of_letter(bytes.byte()?).ok_or_else(broken)?;
    bytes.version()?;
    let target = bytes.target(kind)?;
    let reason = codes::reason_of_name(bytes.text()?);
    let letter = bytes.byte()?;
    let client = if bytes.0.is_empty() { None } else { Some(bytes.text()?) };
    let actor = codes::actor_of_letter(letter, client).ok_or_else(broken)?;
    Ok(FeedEntry::new(target, at, reason, actor, until))
}

pub(super) fn session_to_bytes(session: &Session, due: Timestamp) -> Vec<u8> {
    let mut bytes = Writer(Vec::new());
    bytes.instant(due);
    bytes.byte(VERSION);
    bytes.text(session.id().as_str());
    bytes.text(session.subject().as_str());
    bytes.instant(session.started_at());
    bytes.instant(session.expires_at());
    for client in session.clients() {
        bytes.text(client.as_str());
    }
    bytes.0
}

pub(super) fn session_from_bytes(bytes: &[u8]) -> Result<Session, StoreError> {
    let mut bytes = Reader(bytes);
    bytes.instant()?;
    bytes.version()?;
    let (id, subject) = (bytes.text()?, bytes.text()?);
    let mut session = Session::new(id, subject, bytes.instant()?, bytes.instant()?);
    while !bytes.0.is_empty() {
        session = session.client(bytes.text()?);
    }
    Ok(session)
}

fn broken() -> StoreError {
    StoreError::corrupt("a record in Redis is not one that this version of annul writes")
}

struct Writer(Vec<u8>);

impl Writer {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn kind(&mut self, kind: TokenKind) {
        self.byte(codes::token_letter(kind));
    }

    fn instant(&mut self, instant: Timestamp) {
        self.0.extend(instant.as_unix_millis().to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        let mut len = text.len();
        while len >= 0x80 {
            self.byte(u8::try_from(len & 0x7f).unwrap_or_default() | 0x80);
            len >>= 7;
        }
        self.byte(u8::try_from(len).unwrap_or_default());
        self.0.extend(text.as_bytes());
    }

    /// What a token does not share with its grant, behind its length: a script that rotates one puts another in its place.
    fn own(&mut self, issued_at: Timestamp, counterpart: Option<&Secret>) {
        let mut own = Self(Vec::new());
        own.instant(issued_at);
        own.maybe(counterpart.map(Secret::expose_secret));
        let own = own.0;
        self.0.extend(u16::try_from(own.len()).unwrap_or(u16::MAX).to_be_bytes());
        self.0.extend(own);
    }

    fn maybe(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// The names of a target; its kind is in the head of the entry.
    fn target(&mut self, target: &Target) {
        match target {
            Target::Token(id) => {
                self.0.extend(id.digest().map(TokenDigest::as_bytes).unwrap_or(&[0; 32]));
            }
            Target::Grant(id) => self.text(id.as_str()),
            Target::Session(id) => self.text(id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                self.text(subject.as_str());
                self.text(client.as_str());
            }
            Target::Subject(id) => self.text(id.as_str()),
            Target::Client(id) => self.text(id.as_str()),
            Target::Everything => {}
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(broken)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(broken)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, StoreError> {
        self.array().map(|[byte]| byte)
    }

    fn version(&mut self) -> Result<(), StoreError> {
        if self.byte()? == VERSION { Ok(()) } else { Err(broken()) }
    }

    fn instant(&mut self) -> Result<Timestamp, StoreError> {
        Ok(Timestamp::from_unix_millis(u64::from_be_bytes(self.array()?)))
    }

    /// Until when something is kept, where the scripts write their latest instant for "never".
    fn until(&mut self) -> Result<Timestamp, StoreError> {
        let until = self.instant()?;
        Ok(if until.as_unix_millis() >= FAR { Timestamp::MAX } else { until })
    }

    fn text(&mut self) -> Result<&'a str, StoreError> {
        let mut len = 0_usize;
        for place in 0..5 {
            let byte = self.byte()?;
            len |= usize::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return std::str::from_utf8(self.take(len)?).map_err(|_| broken());
            }
        }
        Err(broken())
    }

    fn maybe(&mut self) -> Result<Option<&'a str>, StoreError> {
        if self.byte()? == 0 { Ok(None) } else { self.text().map(Some) }
    }

    fn target(&mut self, kind: TargetKind) -> Result<Target, StoreError> {
        Ok(match kind {
            TargetKind::Token => Target::Token(TokenDigest::from_bytes(self.array()?).into()),
            TargetKind::Grant => Target::Grant(self.text()?.into()),
            TargetKind::Session => Target::Session(self.text()?.into()),
            TargetKind::SubjectAtClient => {
                Target::SubjectAtClient(Subject::new(self.text()?), ClientId::new(self.text()?))
            }
            TargetKind::Subject => Target::Subject(self.text()?.into()),
            TargetKind::Client => Target::Client(self.text()?.into()),
            TargetKind::Everything => Target::Everything,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Reason;

    fn record() -> StoredToken {
        let login = Timestamp::from_unix_seconds(1_800_000_000);
        StoredToken {
            kind: TokenKind::RefreshToken,
            expires_at: Timestamp::MAX,
            due: login,
            generation: Generation::new(3),
            consumed_by: UNCONSUMED,
            grant_key: Id::new([9; 16]),
            issued_at: login,
            grant: Grant::new("g", "web", login)
                .subject("alice")
                .session("s")
                .scope("é".repeat(200)),
            counterpart: Some(Arc::new(Secret::new("at"))),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let named = NamedTarget { kind: TargetKind::Client, id: Id::new([1; 16]) };
        for targets in [&[][..], &[named], &[named; 6]] {
            let bytes = record().to_bytes(targets);
            let again = StoredToken::from_bytes(&bytes).unwrap();
            assert_eq!(again.grant, record().grant);
            assert_eq!(again.counterpart.unwrap().expose_secret(), "at");
            assert_eq!((again.expires_at, again.generation.get()), (Timestamp::MAX, 3));
        }
    }

    /// `lua/token.lua` counts the same bytes, from one.
    #[test]
    fn the_head_of_a_record_is_where_the_scripts_look_for_it() {
        let bytes = record().to_bytes(&[]);
        assert_eq!(bytes[1], b'r');
        assert_eq!(bytes[2..10], [0xff; 8]);
        assert_eq!(bytes[10..18], record().due.as_unix_millis().to_be_bytes());
        assert_eq!(bytes[26..30], 3_u32.to_be_bytes());
        assert_eq!(bytes[30..46], UNCONSUMED);
        assert_eq!(bytes[46..62], [9; 16]);
        assert_eq!(bytes[62], 0);
    }

    #[test]
    fn what_was_cut_short_is_corrupt_and_no_panic() {
        let bytes = record().to_bytes(&[]);
        for len in 0..bytes.len() {
            assert!(StoredToken::from_bytes(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn open_logins_and_families_are_read_as_they_were_written() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let mut kept = OpenLogins::default();
        kept.add(at, at);
        kept.add(Timestamp::default(), Timestamp::MAX);
        let mut read = OpenLogins::default();
        add_logins(&mut read, &logins(&kept)).unwrap();
        assert_eq!(read, kept);
        assert_eq!(family(&[1; 24]).unwrap(), None);
        let mut grant = vec![1; 24];
        grant.extend(3_u64.to_be_bytes());
        grant.extend(at.as_unix_millis().to_be_bytes());
        let known = Family { generation: Generation::new(3), rotated_at: at };
        assert_eq!(family(&grant).unwrap(), Some(known));
        assert!(family(&grant[..30]).is_err());
    }

    #[test]
    fn an_entry_is_told_as_it_was_written() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let targets = [
            Target::Token(TokenDigest::from_bytes([5; 32]).into()),
            Target::Grant("g".into()),
            Target::Session("s".into()),
            Target::SubjectAtClient("alice".into(), "web".into()),
            Target::Subject("alice".into()),
            Target::Client("web".into()),
            Target::Everything,
        ];
        for target in targets {
            let revocation = Revocation::by_operator(target.clone(), Reason::Logout, at);
            let mut entry = Vec::new();
            entry.extend(at.as_unix_millis().to_be_bytes());
            entry.extend(at.as_unix_millis().to_be_bytes());
            entry.extend([0; 16]);
            entry.push(codes::target_letter(target.kind()));
            entry.extend(entry_body(&revocation));
            let told = feed_entry(&entry).unwrap();
            assert_eq!(told, FeedEntry::new(target, at, Reason::Logout, Actor::Operator, at));
        }
    }
}
