//! What is in the tables, and how it is read and written.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{SessionId, Subject};
use crate::revocation::{Actor, Target, TargetKind};
use crate::secret::Secret;
use crate::store::postgres::error::corrupt;
use crate::store::rules::codes;
use crate::store::rules::rotation::Generation;
use crate::store::{FeedEntry, Session};
use crate::token::{Grant, TokenDigest, TokenKind, TokenRecord, TokenState};

/// Later than any time that is meant: "never". Far from what `bigint` can hold, so that sums of it are no overflow.
const NEVER: i64 = i64::MAX / 4;

/// A time, as it is kept.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_unix_millis()).unwrap_or(NEVER).min(NEVER)
}

/// In milliseconds, and never more than "never".
pub(super) fn duration(duration: Duration) -> i64 {
    millis(Timestamp::default() + duration)
}

/// A time, as it was kept.
pub(super) fn time(millis: i64) -> Timestamp {
    match u64::try_from(millis) {
        Ok(_) if millis >= NEVER => Timestamp::MAX,
        Ok(millis) => Timestamp::from_unix_millis(millis),
        Err(_) => Timestamp::default(),
    }
}

/// A letter of the codes, as it is kept.
fn letter(letter: u8) -> String {
    char::from(letter).to_string()
}

/// A letter of the codes, as it was kept; none of the codes is zero.
fn letter_of(text: &str) -> u8 {
    match text.as_bytes() {
        [letter] => *letter,
        _ => 0,
    }
}

pub(super) fn kind_letter(kind: TokenKind) -> String {
    letter(codes::token_letter(kind))
}

/// A generation, as it is kept.
pub(super) fn generation(generation: Generation) -> i32 {
    i32::try_from(generation.get()).unwrap_or(i32::MAX)
}

/// The kind of an entry: the narrower, the smaller.
pub(super) fn target_number(kind: TargetKind) -> i16 {
    codes::target_number(kind).into()
}

pub(super) fn target_kind(number: i16) -> Result<TargetKind, StoreError> {
    let kind = u8::try_from(number).ok().and_then(codes::target_of_number);
    kind.ok_or_else(|| corrupt(format!("an entry is of kind {number}")))
}

/// The name in an entry, and the client next to it.
pub(super) fn names_of(target: &Target) -> (&[u8], Option<&[u8]>) {
    match target {
        Target::Token(id) => (id.digest().map_or(&[], |digest| digest.as_bytes()), None),
        Target::Grant(id) => (id.as_str().as_bytes(), None),
        Target::Session(id) => (id.as_str().as_bytes(), None),
        Target::SubjectAtClient(subject, client) => {
            (subject.as_str().as_bytes(), Some(client.as_str().as_bytes()))
        }
        Target::Subject(subject) => (subject.as_str().as_bytes(), None),
        Target::Client(client) => (client.as_str().as_bytes(), None),
        Target::Everything => (&[], None),
    }
}

pub(super) fn actor(actor: &Actor) -> (String, Option<&[u8]>) {
    let client = match actor {
        Actor::Client(client) => Some(client.as_str().as_bytes()),
        Actor::Operator | Actor::Store => None,
    };
    (letter(codes::actor_letter(actor)), client)
}

/// One row of the columns that `FIND` and `ROTATE` share, from this column on.
pub(super) fn record(
    row: &Row,
    first: usize,
    digest: TokenDigest,
) -> Result<TokenRecord, StoreError> {
    let kind = codes::token_of_letter(letter_of(get(row, first)?))
        .ok_or_else(|| corrupt("a token is of an unknown kind"))?;
    let authenticated_at = time(get(row, first + 4)?);
    let mut grant = Grant::new(name(row, first + 6)?, name(row, first + 7)?, authenticated_at);
    if let Some(subject) = optional_name(row, first + 8)? {
        grant = grant.subject(subject);
    }
    if let Some(session) = optional_name(row, first + 9)? {
        grant = grant.session(session);
    }
    if let Some(scope) = optional_name(row, first + 10)? {
        grant = grant.scope(scope);
    }
    if get(row, first + 5)? {
        grant = grant.offline();
    }
    let expires_at = time(get(row, first + 3)?);
    let record = TokenRecord::new(digest.into(), kind, grant, expires_at)
        .with_issued_at(time(get(row, first + 2)?));
    let record = match optional_name(row, first + 11)? {
        Some(counterpart) => record.with_counterpart(Arc::new(Secret::new(counterpart))),
        None => record,
    };
    Ok(if get(row, first + 1)? { record.with_state(TokenState::Consumed) } else { record })
}

pub(super) fn session(row: &Row, id: &SessionId) -> Result<Session, StoreError> {
    let subject: Subject = name(row, 0)?.into();
    let session = Session::new(id.clone(), subject, time(get(row, 1)?), time(get(row, 2)?));
    let clients: Vec<&[u8]> = get(row, 3)?;
    clients.into_iter().try_fold(session, |session, client| Ok(session.client(text(client)?)))
}

/// The entry in a row of the feed, from this column on.
pub(super) fn entry(row: &Row, first: usize) -> Result<FeedEntry, StoreError> {
    let bytes: &[u8] = get(row, first + 1)?;
    let target = match target_kind(get(row, first)?)? {
        TargetKind::Token => {
            let digest: [u8; 32] =
                bytes.try_into().map_err(|_| corrupt("a digest in the ledger is cut short"))?;
            Target::Token(TokenDigest::from_bytes(digest).into())
        }
        TargetKind::Grant => Target::Grant(text(bytes)?.into()),
        TargetKind::Session => Target::Session(text(bytes)?.into()),
        TargetKind::SubjectAtClient => {
            Target::SubjectAtClient(text(bytes)?.into(), name(row, first + 2)?.into())
        }
        TargetKind::Subject => Target::Subject(text(bytes)?.into()),
        TargetKind::Client => Target::Client(text(bytes)?.into()),
        TargetKind::Everything => Target::Everything,
    };
    let reason = codes::reason_of_name(get(row, first + 5)?);
    let client = optional_name(row, first + 7)?;
    let actor = codes::actor_of_letter(letter_of(get(row, first + 6)?), client)
        .ok_or_else(|| corrupt("an entry was made by an unknown actor"))?;
    let (at, until) = (time(get(row, first + 3)?), time(get(row, first + 4)?));
    Ok(FeedEntry::new(target, at, reason, actor, until))
}

pub(super) fn get<'r, T: tokio_postgres::types::FromSql<'r>>(
    row: &'r Row,
    column: usize,
) -> Result<T, StoreError> {
    row.try_get(column).map_err(corrupt)
}

fn name(row: &Row, column: usize) -> Result<&str, StoreError> {
    text(get(row, column)?)
}

fn optional_name(row: &Row, column: usize) -> Result<Option<&str>, StoreError> {
    get::<Option<&[u8]>>(row, column)?.map(text).transpose()
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was_and_never_stays_never() {
        for at in [0, 1, 1_800_000_000_123] {
            let at = Timestamp::from_unix_millis(at);
            assert_eq!(time(millis(at)), at);
        }
        assert_eq!(time(millis(Timestamp::MAX)), Timestamp::MAX);
        // Also where something was added to it on the way.
        assert_eq!(time(millis(Timestamp::MAX) + 600_000), Timestamp::MAX);
        assert!(millis(Timestamp::MAX).checked_mul(3).is_some());
        assert_eq!(millis(Timestamp::default() + Duration::from_secs(1)), 1_000);
    }
}
