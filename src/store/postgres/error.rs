//! What PostgreSQL's errors mean to a store's caller.

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use crate::error::StoreError;

/// A statement that came to nothing, and what it says about the connection it was sent over.
pub(super) enum Failure {
    /// Nobody answered in time. The statement may have been done all the same.
    Late,
    /// Other statements took the time: no connection was free, or one was free too late.
    Busy,
    /// The database, or the way to it, said so.
    Postgres(tokio_postgres::Error),
}

impl Failure {
    /// Whether the connection was gone before, so that another one may do better.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            Self::Late | Self::Busy => false,
            Self::Postgres(error) => {
                error.is_closed()
                    || error.code().is_some_and(|code| {
                        [&SqlState::ADMIN_SHUTDOWN, &SqlState::CRASH_SHUTDOWN].contains(&code)
                    })
            }
        }
    }

    /// Whether another transaction recorded a row of the same key, and nothing was done.
    pub(super) fn is_taken(&self) -> bool {
        match self {
            Self::Late | Self::Busy => false,
            Self::Postgres(error) => error.code() == Some(&SqlState::UNIQUE_VIOLATION),
        }
    }

    /// Whether the connection is better not used again.
    pub(super) fn spoils(&self) -> bool {
        match self {
            Self::Late => true,
            Self::Busy => false,
            // Without a code it is no answer of the server's. The others: not the primary any more; its prepared statements
            // are not what they were.
            Self::Postgres(error) => error.code().is_none_or(|code| {
                [
                    &SqlState::READ_ONLY_SQL_TRANSACTION,
                    &SqlState::FEATURE_NOT_SUPPORTED,
                    &SqlState::INVALID_SQL_STATEMENT_NAME,
                    &SqlState::UNDEFINED_TABLE,
                    &SqlState::UNDEFINED_FUNCTION,
                ]
                .contains(&code)
            }),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Late => Self::unavailable("PostgreSQL did not answer in time"),
            Failure::Busy => Self::unavailable("every connection to PostgreSQL was busy"),
            Failure::Postgres(error) => of_postgres(error),
        }
    }
}

fn of_postgres(error: tokio_postgres::Error) -> StoreError {
    let Some(answer) = error.as_db_error() else {
        return StoreError::unavailable(error);
    };
    let (code, error) = (answer.code().clone(), ServerError::new(answer));
    // https://www.postgresql.org/docs/current/errcodes-appendix.html: the first two say which class.
    match (code.code(), code.code().get(..2).unwrap_or_default()) {
        // A serialization failure or a deadlock: another one was first.
        (_, "40") => StoreError::conflict(error),
        // Nothing is wrong with the data: what this user may do is for the operator to mend.
        ("42501", _) => StoreError::unavailable(error),
        // Values and names that make no sense.
        (_, "21" | "22" | "23" | "42") => StoreError::corrupt(error),
        // Damage that the server has found. The rest of its class is what has no code of its own, a disk quota for one.
        ("XX001" | "XX002", _) => StoreError::corrupt(error),
        (_, _) => StoreError::unavailable(error),
    }
}

/// What PostgreSQL said, without what it was about: its details, hints and contexts quote rows and statements, and a row
/// holds names, and the counterpart of a token.
#[derive(Debug)]
struct ServerError {
    code: Box<str>,
    message: Box<str>,
    constraint: Option<Box<str>>,
}

impl ServerError {
    fn new(error: &DbError) -> Self {
        Self {
            code: error.code().code().into(),
            message: error.message().into(),
            constraint: error.constraint().map(Into::into),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL: {} (SQLSTATE {}", self.message, self.code)?;
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ServerError {}

/// A row that does not hold what this version would have written.
pub(super) fn corrupt(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::corrupt(error)
}
