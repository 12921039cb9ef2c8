//! What is in the tables, and how it is read and written.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use crate::clock::Timestamp;
use crate::id::{ClientId, SessionId, Subject};
use crate::revocation::{Actor, Reason, Target};
use crate::secret::Secret;
use crate::store::postgres::error::corrupt;
use crate::store::{FeedEntry, Session, StoreError};
use crate::token::{Grant, TargetKind, TokenDigest, TokenId, TokenKind, TokenRecord, TokenState};

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

pub(super) const fn kind_number(kind: TokenKind) -> i16 {
    match kind {
        TokenKind::AccessToken => 0,
        TokenKind::RefreshToken => 1,
    }
}

/// The kind of an entry; also the order in which they are asked who covers a token.
pub(super) fn target_number(target: &Target) -> i16 {
    match target {
        Target::Token(id) if id.digest().is_none() => 7,
        Target::Token(_) => 0,
        Target::Grant(_) => 1,
        Target::Session(_) => 2,
        Target::SubjectAtClient(..) => 3,
        Target::Subject(_) => 4,
        Target::Client(_) => 5,
        Target::Everything => 6,
    }
}

pub(super) fn target_kind(number: i16) -> Result<TargetKind, StoreError> {
    Ok(match number {
        0 | 7 => TargetKind::Token,
        1 => TargetKind::Grant,
        2 => TargetKind::Session,
        3 => TargetKind::SubjectAtClient,
        4 => TargetKind::Subject,
        5 => TargetKind::Client,
        6 => TargetKind::Everything,
        unknown => return Err(corrupt(format!("an entry is of kind {unknown}"))),
    })
}

/// The name in an entry, and the client beside it.
pub(super) fn names_of(target: &Target) -> (&[u8], Option<&[u8]>) {
    match target {
        Target::Token(id) => match id.digest() {
            Some(digest) => (digest.as_bytes(), None),
            None => (id.name().unwrap_or_default().as_bytes(), None),
        },
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

pub(super) fn actor_number(actor: &Actor) -> (i16, Option<&[u8]>) {
    match actor {
        Actor::Operator => (0, None),
        Actor::Store => (1, None),
        Actor::Client(client) => (2, Some(client.as_str().as_bytes())),
    }
}

/// One row of the columns that `FIND` and `ROTATE` share, from this column on.
pub(super) fn record(
    row: &Row,
    first: usize,
    digest: TokenDigest,
) -> Result<TokenRecord, StoreError> {
    let kind = match get::<i16>(row, first)? {
        0 => TokenKind::AccessToken,
        1 => TokenKind::RefreshToken,
        unknown => return Err(corrupt(format!("a token is of kind {unknown}"))),
    };
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
    let target = match get::<i16>(row, first)? {
        0 => {
            let digest: [u8; 32] =
                bytes.try_into().map_err(|_| corrupt("a digest in the ledger is cut short"))?;
            Target::Token(TokenDigest::from_bytes(digest).into())
        }
        1 => Target::Grant(text(bytes)?.into()),
        2 => Target::Session(text(bytes)?.into()),
        3 => Target::SubjectAtClient(text(bytes)?.into(), name(row, first + 2)?.into()),
        4 => Target::Subject(text(bytes)?.into()),
        5 => Target::Client(text(bytes)?.into()),
        6 => Target::Everything,
        7 => Target::Token(TokenId::named(text(bytes)?)),
        unknown => return Err(corrupt(format!("an entry is of kind {unknown}"))),
    };
    // Why a token is dead matters less than that it is: a later version may know more reasons.
    let reason = Reason::named(get(row, first + 5)?).unwrap_or(Reason::Administrative);
    let actor = match get::<i16>(row, first + 6)? {
        0 => Actor::Operator,
        1 => Actor::Store,
        2 => Actor::Client(ClientId::new(name(row, first + 7)?)),
        unknown => return Err(corrupt(format!("an entry was made by actor {unknown}"))),
    };
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
