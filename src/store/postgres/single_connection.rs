//! One connection outside the pool, and what its errors mean at the start.

use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::store::postgres::config::{PostgresConfig, address};
use crate::store::postgres::start_error::PostgresError;

/// One connection outside the pool, and the task that drives it.
pub(super) struct SingleConnection {
    client: Client,
    driver: AbortHandle,
}

impl SingleConnection {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for SingleConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects, within the configured time.
pub(super) async fn single_connection(
    config: &PostgresConfig,
) -> Result<SingleConnection, PostgresError> {
    let read = config.read()?;
    let connecting = timeout(config.within(), read.connect(config.tls(&read)?)).await;
    let (client, connection) = match connecting {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(not_connected(&read, error)),
        Err(late) => {
            return Err(PostgresError::Unreachable { at: address(&read), source: late.into() });
        }
    };
    // Its errors are those of the statements that wait for it.
    let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(SingleConnection { client, driver })
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

fn not_connected(config: &tokio_postgres::Config, error: tokio_postgres::Error) -> PostgresError {
    let at = address(config);
    let user = config.get_user().unwrap_or_default().to_owned();
    match error.code() {
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => PostgresError::NoDatabase { at },
        Some(code)
            if [&SqlState::INVALID_PASSWORD, &SqlState::INVALID_AUTHORIZATION_SPECIFICATION]
                .contains(&code) =>
        {
            PostgresError::Login { at, user }
        }
        // The server wants a password, and the URL has none.
        None if config.get_password().is_none() && asks_for_password(&error) => {
            PostgresError::Login { at, user }
        }
        // What went wrong has no name that could be matched, but a text.
        None if takes_no_writes(&error) => PostgresError::ReadOnly { at },
        None if error.to_string().contains("TLS") => {
            PostgresError::Tls { at, source: error.into() }
        }
        Some(code) if *code != SqlState::CANNOT_CONNECT_NOW => PostgresError::Failed(error.into()),
        Some(_) | None => PostgresError::Unreachable { at, source: error.into() },
    }
}

fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.to_string().contains("password"))
}

fn takes_no_writes(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.to_string().contains("does not allow writes"))
}
