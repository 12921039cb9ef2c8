//! The schema, and how a database gets it.

use tokio_postgres::Client;

use crate::store::postgres::config::PostgresConfig;
use crate::store::postgres::single_connection::single_connection;
use crate::store::postgres::start_error::PostgresError;

/// One step of the schema: plain SQL, a transaction of its own.
///
/// For hosts that have a migrator of their own, and for `psql -v ON_ERROR_STOP=1 -f`.
///
/// ```
/// use annul::store::PostgresStore;
///
/// for migration in PostgresStore::MIGRATIONS {
///     println!("{:04}_{}.sql: {} bytes", migration.version, migration.name, migration.sql.len());
/// }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PostgresMigration {
    /// The version that the schema has afterwards.
    pub version: i32,
    /// What it is called, as in the name of its file.
    pub name: &'static str,
    /// What is to be executed.
    pub sql: &'static str,
}

pub(super) const MIGRATIONS: &[PostgresMigration] = &[PostgresMigration {
    version: 1,
    name: "ledger",
    sql: include_str!("migrations/0001_ledger.sql"),
}];

/// The version that this code wants.
pub(super) const VERSION: i32 = 1;

/// One migrator at a time, whatever schema it is about. The number is the one in the migrations; the second one is another.
const LOCK: &str = "SELECT pg_advisory_lock(1634627189, 2)";

pub(super) async fn migrate(
    config: &PostgresConfig,
) -> Result<Vec<PostgresMigration>, PostgresError> {
    // The lock goes with the connection, whatever happens.
    let session = single_connection(config).await?;
    let client = session.client();
    client.batch_execute(LOCK).await?;
    let before = version(client).await?.unwrap_or_default();
    if before > VERSION {
        return Err(PostgresError::SchemaNewer { found: before, wanted: VERSION });
    }
    let mut applied = Vec::new();
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > before) {
        if let Err(error) = client.batch_execute(migration.sql).await {
            let name = format!("{:04}_{}", migration.version, migration.name);
            return Err(PostgresError::Migration { name, source: error.into() });
        }
        applied.push(*migration);
    }
    Ok(applied)
}

/// The version of the schema, if there is one.
pub(super) async fn version(client: &Client) -> Result<Option<i32>, tokio_postgres::Error> {
    let row = client.query_one("SELECT to_regclass('annul_schema') IS NOT NULL", &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = client.query_opt("SELECT version FROM annul_schema", &[]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_lead_step_by_step_to_the_version_that_is_wanted() {
        let versions: Vec<i32> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=VERSION).collect::<Vec<_>>());
    }
}
