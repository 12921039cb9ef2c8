//! The bytes of records: a head of fixed places for the scripts, and a body that only Rust reads.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{ClientId, Subject};
use crate::revocation::{Actor, Reason, Revocation, Target};
use crate::secret::Secret;
use crate::store::redis::keys::{Id, NamedTarget};
use crate::store::{FeedEntry, Session, StoreError};
use crate::token::{Grant, NewToken, TokenDigest, TokenId, TokenKind};

const VERSION: u8 = 1;

/// How long a counterpart may be.
const LONGEST_COUNTERPART: usize = 60_000;

/// The mark of a token that was not consumed.
pub(super) const UNCONSUMED: [u8; 16] = [0; 16];

/// The mark of a token that was consumed before it was recorded, so by no rotation here.
pub(super) const IMPORTED: [u8; 16] = [0xff; 16];

/// The generation of such a token. No family gets so far, so no grace window covers it.
pub(super) const IMPORTED_GENERATION: u32 = u32::MAX - 1;

/// A token as it is kept. The scripts know its head by heart: see `lua/token.lua`.
#[derive(Clone, Debug)]
pub(super) struct StoredToken {
    pub(super) kind: TokenKind,
    pub(super) expires_at: Timestamp,
    pub(super) due: Timestamp,
    pub(super) generation: u32,
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
        bytes.0.extend(self.generation.to_be_bytes());
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
        let kind = match bytes.byte()? {
            b'a' => TokenKind::AccessToken,
            b'r' => TokenKind::RefreshToken,
            _ => return Err(broken()),
        };
        let expires_at = bytes.instant()?;
        let due = bytes.instant()?;
        let authenticated_at = bytes.instant()?;
        let generation = u32::from_be_bytes(bytes.array()?);
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

/// The two parts of a successor's record that are its own, where a script takes the rest from the token that it replaces.
pub(super) fn successor(
    token: &NewToken<'_>,
    due: Timestamp,
    issued_at: Timestamp,
) -> (Vec<u8>, Vec<u8>) {
    let mut head = Writer(Vec::new());
    head.kind(token.kind());
    head.instant(token.expires_at());
    head.instant(due);
    let mut own = Writer(Vec::new());
    own.own(issued_at, token.counterpart().map(AsRef::as_ref));
    (head.0, own.0)
}

/// Refuses what a record cannot hold: scripts know its place by a length of two bytes.
pub(super) fn check_counterparts(tokens: &[NewToken<'_>]) -> Result<(), StoreError> {
    let is_long = |token: &NewToken<'_>| {
        token.counterpart().is_some_and(|text| text.expose_secret().len() > LONGEST_COUNTERPART)
    };
    match tokens.iter().any(is_long) {
        true => Err(StoreError::conflict("a counterpart of more than 60,000 bytes cannot be kept")),
        false => Ok(()),
    }
}

/// What readers of the feed are told, beside the cutoff and until when, which the scripts keep in an entry's head.
pub(super) fn entry_body(revocation: &Revocation) -> Vec<u8> {
    let mut bytes = Writer(vec![VERSION]);
    bytes.target(revocation.target());
    bytes.text(revocation.reason().as_str());
    match revocation.actor() {
        Actor::Client(client) => {
            bytes.byte(b'c');
            bytes.text(client.as_str());
        }
        Actor::Operator => bytes.byte(b'o'),
        Actor::Store => bytes.byte(b's'),
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

/// When a family is due.
pub(super) fn due(family: &[u8]) -> Option<&[u8]> {
    family.get(..8)
}

pub(super) fn feed_entry(entry: &[u8]) -> Result<FeedEntry, StoreError> {
    let mut bytes = Reader(entry);
    let at = bytes.instant()?;
    let until = bytes.instant()?;
    bytes.take(16)?;
    bytes.version()?;
    let target = bytes.target()?;
    let reason = Reason::named(bytes.text()?).unwrap_or(Reason::Administrative);
    let actor = match bytes.byte()? {
        b'c' => Actor::Client(ClientId::new(bytes.text()?)),
        b'o' => Actor::Operator,
        b's' => Actor::Store,
        _ => return Err(broken()),
    };
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
        self.byte(match kind {
            TokenKind::AccessToken => b'a',
            TokenKind::RefreshToken => b'r',
        });
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

    fn target(&mut self, target: &Target) {
        match target {
            Target::Token(id) => match id.digest() {
                Some(digest) => {
                    self.byte(b'd');
                    self.0.extend(digest.as_bytes());
                }
                None => {
                    self.byte(b'n');
                    self.text(id.name().unwrap_or_default());
                }
            },
            Target::Grant(id) => self.named(b'g', id.as_str()),
            Target::Session(id) => self.named(b's', id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                self.named(b'a', subject.as_str());
                self.text(client.as_str());
            }
            Target::Subject(id) => self.named(b'u', id.as_str()),
            Target::Client(id) => self.named(b'c', id.as_str()),
            Target::Everything => self.byte(b'x'),
        }
    }

    fn named(&mut self, kind: u8, name: &str) {
        self.byte(kind);
        self.text(name);
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

    fn target(&mut self) -> Result<Target, StoreError> {
        Ok(match self.byte()? {
            b'd' => Target::Token(TokenDigest::from_bytes(self.array()?).into()),
            b'n' => Target::Token(TokenId::named(self.text()?)),
            b'g' => Target::Grant(self.text()?.into()),
            b's' => Target::Session(self.text()?.into()),
            b'a' => {
                Target::SubjectAtClient(Subject::new(self.text()?), ClientId::new(self.text()?))
            }
            b'u' => Target::Subject(self.text()?.into()),
            b'c' => Target::Client(self.text()?.into()),
            b'x' => Target::Everything,
            _ => return Err(broken()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> StoredToken {
        let login = Timestamp::from_unix_seconds(1_800_000_000);
        StoredToken {
            kind: TokenKind::RefreshToken,
            expires_at: Timestamp::MAX,
            due: login,
            generation: 3,
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
        let named = NamedTarget { kind: crate::token::TargetKind::Client, id: Id::new([1; 16]) };
        for targets in [&[][..], &[named], &[named; 6]] {
            let bytes = record().to_bytes(targets);
            let again = StoredToken::from_bytes(&bytes).unwrap();
            assert_eq!(again.grant, record().grant);
            assert_eq!(again.counterpart.unwrap().expose_secret(), "at");
            assert_eq!((again.expires_at, again.generation), (Timestamp::MAX, 3));
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
    fn an_entry_is_told_as_it_was_written() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let targets = [
            Target::Token(TokenDigest::from_bytes([5; 32]).into()),
            Target::Token(TokenId::named("row-17")),
            Target::Grant("g".into()),
            Target::Session("s".into()),
            Target::SubjectAtClient("alice".into(), "web".into()),
            Target::Subject("alice".into()),
            Target::Client("web".into()),
            Target::Everything,
        ];
        for target in targets {
            let revocation =
                Revocation::by_client(target.clone(), Reason::Logout, at, "web".into());
            let mut entry = Vec::new();
            entry.extend(at.as_unix_millis().to_be_bytes());
            entry.extend(at.as_unix_millis().to_be_bytes());
            entry.extend([0; 16]);
            entry.extend(entry_body(&revocation));
            let told = feed_entry(&entry).unwrap();
            assert_eq!(
                told,
                FeedEntry::new(target, at, Reason::Logout, Actor::Client("web".into()), at)
            );
        }
    }
}
