//! What is looked at before the first request: better no server than one that finds out later.

use std::fmt;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::store::postgres::config::{PostgresConfig, place};
use crate::store::postgres::migrate::{PostgresMigration, VERSION, version};

/// Why a [`PostgresStore`](crate::store::PostgresStore) was not opened, and what to do about it. None of them holds a password.
#[derive(Debug)]
#[non_exhaustive]
pub enum PostgresError {
    /// The database went away, or something else that has no name here.
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// The server does not let this user in, or not with this password.
    Login {
        /// `host:port/database`.
        at: String,
        /// Whom the server knows or does not know.
        user: String,
    },
    /// A migration was not applied; what is in the database is what was there before.
    Migration {
        /// Which one: `0001_ledger`.
        name: String,
        /// What PostgreSQL said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such database.
    NoDatabase {
        /// `host:port/database`.
        at: String,
    },
    /// The user may not do something that the store has to.
    NoPermission {
        /// What is missing: `INSERT on annul_entry`.
        missing: String,
        /// Who needs it.
        user: String,
    },
    /// The tables are not there.
    NoSchema {
        /// `host:port/database`.
        at: String,
    },
    /// It is a standby, or read-only for this user, and takes no writes.
    ReadOnly {
        /// `host:port/database`.
        at: String,
    },
    /// No authority is trusted, or what was given as one cannot be read.
    RootCertificates,
    /// The tables are of a later version of this crate.
    SchemaNewer {
        /// The version of the tables.
        found: i32,
        /// The version that is wanted.
        wanted: i32,
    },
    /// The tables are of an earlier version of this crate.
    SchemaOlder {
        /// The version of the tables.
        found: i32,
        /// The version that is wanted.
        wanted: i32,
    },
    /// The sequence of places is behind the entries, as it is where the tables were copied without it.
    SequenceBehind {
        /// Where the sequence is.
        found: i64,
        /// The last place that was given away.
        wanted: i64,
    },
    /// The server is older than PostgreSQL 13.
    ServerTooOld {
        /// What it says that it is.
        found: String,
    },
    /// TLS was asked for, and there is none, or the server's certificate is not trusted.
    Tls {
        /// `host:port/database`.
        at: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers there.
    Unreachable {
        /// `host:port/database`.
        at: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The URL makes no sense.
    Url,
    /// The rows were written with another digest key: every token would be unknown.
    WrongKey,
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(source) => {
                f.write_str("PostgreSQL did not do what it was asked at the start")?;
                match source.source() {
                    Some(cause) => write!(f, ": {cause}"),
                    None => Ok(()),
                }
            }
            Self::Login { at, user } => write!(
                f,
                "PostgreSQL at {at} does not let user `{user}` in: check the user and the password of the URL, and pg_hba.conf"
            ),
            Self::Migration { name, .. } => write!(
                f,
                "migration {name} was not applied; nothing was changed. It needs a user who may create tables in the first \
                 schema of its search path"
            ),
            Self::NoDatabase { at } => {
                write!(f, "there is no such database: {at}. Create it with `createdb`, or mend the URL")
            }
            Self::NoPermission { missing, user } => {
                write!(f, "user `{user}` lacks {missing}. Its owner grants it: GRANT {missing} TO {user}")
            }
            Self::NoSchema { at } => write!(
                f,
                "there are no tables of annul in the search path at {at}. Run the migrations: PostgresStore::migrate, or \
                 psql -v ON_ERROR_STOP=1 -f 0001_ledger.sql"
            ),
            Self::ReadOnly { at } => {
                write!(f, "{at} is a standby, or read-only, and takes no writes: name the primary, or all hosts, in the URL")
            }
            Self::SchemaNewer { found, wanted } => write!(
                f,
                "the tables are of version {found}, and this is version {wanted}: use a later version of annul"
            ),
            Self::SchemaOlder { found, wanted } => write!(
                f,
                "the tables are of version {found}, and version {wanted} is wanted. Run the migrations: \
                 PostgresStore::migrate, or psql -v ON_ERROR_STOP=1 -f with those after {found:04}"
            ),
            Self::SequenceBehind { found, wanted } => write!(
                f,
                "the sequence annul_place is at {found}, and the entries go up to {wanted}: the tables were copied, or replicated, \
                 without it, and readers of the feed would miss entries. Set it: SELECT setval('annul_place', {wanted})"
            ),
            Self::ServerTooOld { found } => {
                write!(f, "the server is PostgreSQL {found}; 13 or later is needed")
            }
            Self::RootCertificates => f.write_str(
                "no certificate of an authority to trust: PostgresConfig::root_certificates wants PEM, and without it those of \
                 the operating system are used (ca-certificates)",
            ),
            Self::Tls { at, .. } => write!(
                f,
                "TLS with {at} failed: is it switched on there (ssl = on), is the certificate for the host that the URL names, \
                 and is its authority trusted? PostgresConfig::root_certificates names one of your own"
            ),
            Self::Unreachable { at, .. } => {
                write!(f, "PostgreSQL at {at} does not answer: is it running, and does it listen there?")
            }
            Self::Url => f.write_str(
                "the URL of PostgreSQL cannot be read; it looks like postgres://user:password@host:5432/database, with %40 \
                 for an @ in the password",
            ),
            Self::WrongKey => f.write_str(
                "the tables were written with another digest key: every token would be unknown. Use the key that they were \
                 written with",
            ),
        }
    }
}

impl std::error::Error for PostgresError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(source)
            | Self::Migration { source, .. }
            | Self::Tls { source, .. }
            | Self::Unreachable { source, .. } => Some(source.as_ref()),
            Self::Login { .. }
            | Self::NoDatabase { .. }
            | Self::NoPermission { .. }
            | Self::NoSchema { .. }
            | Self::ReadOnly { .. }
            | Self::SchemaNewer { .. }
            | Self::SchemaOlder { .. }
            | Self::SequenceBehind { .. }
            | Self::ServerTooOld { .. }
            | Self::RootCertificates
            | Self::Url
            | Self::WrongKey => None,
        }
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl PostgresError {
    pub(super) fn of_migration(
        migration: &PostgresMigration,
        error: tokio_postgres::Error,
    ) -> Self {
        let name = format!("{:04}_{}", migration.version, migration.name);
        Self::Migration { name, source: error.into() }
    }

    fn of_connecting(config: &tokio_postgres::Config, error: tokio_postgres::Error) -> Self {
        let at = place(config);
        let user = config.get_user().unwrap_or_default().to_owned();
        match error.code() {
            Some(code) if *code == SqlState::INVALID_CATALOG_NAME => Self::NoDatabase { at },
            Some(code)
                if [
                    &SqlState::INVALID_PASSWORD,
                    &SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                ]
                .contains(&code) =>
            {
                Self::Login { at, user }
            }
            // The server wants a password, and the URL has none.
            None if config.get_password().is_none() && asks_for_password(&error) => {
                Self::Login { at, user }
            }
            // What went wrong has no name that could be matched, but a text.
            None if takes_no_writes(&error) => Self::ReadOnly { at },
            None if error.to_string().contains("TLS") => Self::Tls { at, source: error.into() },
            Some(code) if *code != SqlState::CANNOT_CONNECT_NOW => Self::Failed(error.into()),
            Some(_) | None => Self::Unreachable { at, source: error.into() },
        }
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

/// One connection, beside the pool, and the task that drives it.
pub(super) struct Alone {
    client: Client,
    driver: AbortHandle,
}

impl Alone {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub(super) async fn alone(config: &PostgresConfig) -> Result<Alone, PostgresError> {
    let read = config.read()?;
    let connecting = timeout(config.within(), read.connect(config.tls(&read)?)).await;
    let (client, connection) = match connecting {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(PostgresError::of_connecting(&read, error)),
        Err(late) => {
            return Err(PostgresError::Unreachable { at: place(&read), source: late.into() });
        }
    };
    // Its errors are those of the statements that wait for it.
    let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Alone { client, driver })
}

/// What the store has to be allowed.
const NEEDS: &str = "\
SELECT n.what || ' on ' || n.name
FROM (VALUES
    ('SELECT', 'annul_schema'), ('UPDATE', 'annul_schema'),
    ('SELECT', 'annul_namespace'), ('INSERT', 'annul_namespace'), ('UPDATE', 'annul_namespace'),
    ('SELECT', 'annul_token'), ('INSERT', 'annul_token'), ('UPDATE', 'annul_token'), ('DELETE', 'annul_token'),
    ('SELECT', 'annul_family'), ('INSERT', 'annul_family'), ('UPDATE', 'annul_family'), ('DELETE', 'annul_family'),
    ('SELECT', 'annul_session'), ('INSERT', 'annul_session'), ('UPDATE', 'annul_session'), ('DELETE', 'annul_session'),
    ('SELECT', 'annul_entry'), ('INSERT', 'annul_entry'), ('UPDATE', 'annul_entry'), ('DELETE', 'annul_entry')
) AS n(what, name)
WHERE NOT has_table_privilege(n.name, n.what)
UNION ALL
SELECT n.what || ' on SEQUENCE annul_place' FROM (VALUES ('SELECT'), ('USAGE')) AS n(what)
WHERE NOT has_sequence_privilege('annul_place', n.what)
UNION ALL
SELECT 'EXECUTE on FUNCTION ' || p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = (SELECT c.relnamespace FROM pg_class c WHERE c.oid = 'annul_schema'::regclass)
AND p.proname LIKE 'annul\\_%' AND NOT has_function_privilege(p.oid, 'EXECUTE')";

/// The last place that an entry has, or had: one look at the index for each tenant.
const LAST_PLACE: &str = "\
WITH RECURSIVE ends AS (
    (SELECT e.namespace, e.place FROM annul_entry e ORDER BY e.namespace DESC, e.place DESC LIMIT 1)
    UNION ALL
    SELECT l.namespace, l.place
    FROM ends, LATERAL (SELECT e.namespace, e.place FROM annul_entry e WHERE e.namespace < ends.namespace
                        ORDER BY e.namespace DESC, e.place DESC LIMIT 1) l
)
SELECT coalesce(greatest((SELECT max(e.place) FROM ends e), (SELECT max(n.swept) FROM annul_namespace n)), 0)";

const LAST_DRAWN: &str =
    "SELECT CASE WHEN p.is_called THEN p.last_value ELSE 0 END FROM annul_place p";

/// Looks at everything that can be wrong from the beginning. The number that names the channel of the hints.
pub(super) async fn check(config: &PostgresConfig) -> Result<u32, PostgresError> {
    let session = alone(config).await?;
    // The server may stop answering here as well as anywhere.
    match timeout(config.within(), look(config, session.client())).await {
        Ok(looked) => looked,
        Err(late) => Err(PostgresError::Failed(late.into())),
    }
}

async fn look(config: &PostgresConfig, client: &Client) -> Result<u32, PostgresError> {
    let at = || config.read().map(|read| place(&read)).unwrap_or_default();
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::integer, current_setting('server_version'),
                    pg_is_in_recovery(), current_user::text",
            &[],
        )
        .await?;
    if row.try_get::<_, i32>(0)? < 130_000 {
        return Err(PostgresError::ServerTooOld { found: row.try_get(1)? });
    }
    if row.try_get(2)? {
        return Err(PostgresError::ReadOnly { at: at() });
    }
    let user: String = row.try_get(3)?;
    let found = match version(client).await {
        Ok(found) => found.ok_or_else(|| PostgresError::NoSchema { at: at() })?,
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let missing = "SELECT on annul_schema".to_owned();
            return Err(PostgresError::NoPermission { missing, user });
        }
        Err(error) => return Err(error.into()),
    };
    if found > VERSION {
        return Err(PostgresError::SchemaNewer { found, wanted: VERSION });
    }
    if found < VERSION {
        return Err(PostgresError::SchemaOlder { found, wanted: VERSION });
    }
    let missing = client.query(NEEDS, &[]).await?;
    let missing: Vec<String> =
        missing.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if !missing.is_empty() {
        return Err(PostgresError::NoPermission { missing: missing.join(", "), user });
    }
    // Whoever is first says which key it is.
    let own = config.key().derive("annul key check", "");
    client
        .execute(
            "UPDATE annul_schema SET key_check = $1 WHERE key_check IS NULL",
            &[&own.as_slice()],
        )
        .await?;
    let row = client.query_one("SELECT key_check FROM annul_schema", &[]).await?;
    if row.try_get::<_, &[u8]>(0)? != own.as_slice() {
        return Err(PostgresError::WrongKey);
    }
    // In this order, and in two snapshots: others draw places meanwhile.
    let wanted: i64 = client.query_one(LAST_PLACE, &[]).await?.try_get(0)?;
    let found: i64 = client.query_one(LAST_DRAWN, &[]).await?.try_get(0)?;
    if found < wanted {
        return Err(PostgresError::SequenceBehind { found, wanted });
    }
    let row = client.query_one("SELECT 'annul_entry'::regclass::oid", &[]).await?;
    Ok(row.try_get(0)?)
}

/// How long to wait before what has failed in the background is tried again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
