//! Opening a store: everything that it needs is checked before the first request.

use std::sync::Arc;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::store::postgres::config::{PostgresConfig, address};
use crate::store::postgres::leaps::Leaps;
use crate::store::postgres::link::Link;
use crate::store::postgres::migrate::{VERSION, version};
use crate::store::postgres::notifier::Notifier;
use crate::store::postgres::single_connection::single_connection;
use crate::store::postgres::start_error::PostgresError;
use crate::store::postgres::store::{PostgresStore, Root};
use crate::store::postgres::sweep_position::SweepPosition;

/// What the store has to be allowed.
const NEEDS: &str = "\
SELECT n.what || ' on ' || n.name
FROM (VALUES
    ('SELECT', 'annul_schema'), ('UPDATE', 'annul_schema'),
    ('SELECT', 'annul_clock'), ('UPDATE', 'annul_clock'),
    ('SELECT', 'annul_namespace'), ('INSERT', 'annul_namespace'), ('UPDATE', 'annul_namespace'),
    ('SELECT', 'annul_token'), ('INSERT', 'annul_token'), ('UPDATE', 'annul_token'), ('DELETE', 'annul_token'),
    ('SELECT', 'annul_grant'), ('INSERT', 'annul_grant'), ('UPDATE', 'annul_grant'), ('DELETE', 'annul_grant'),
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

/// The last place that an entry has, or had: one look at the index for each namespace.
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

/// Checks the database, and opens the store over it.
pub(super) async fn open(config: PostgresConfig) -> Result<PostgresStore, PostgresError> {
    let connection = config.read()?;
    let channel = check(&config).await?;
    let tls = config.tls(&connection)?;
    let link = Link::new(&config, connection.clone(), tls.clone());
    let link = Arc::new(link.map_err(|error| PostgresError::Failed(error.into()))?);
    Ok(PostgresStore::new(Root {
        notifier: Notifier::new(&link),
        link,
        key: config.key().clone(),
        lifetimes: *config.kept(),
        leaps: Leaps::new(config.stopwatch_of_leaps()),
        sweep: SweepPosition::default(),
        connection,
        tls,
        channel,
    }))
}

/// Everything that can be wrong from the beginning. Gives the number that names the notifier's channel.
async fn check(config: &PostgresConfig) -> Result<u32, PostgresError> {
    let session = single_connection(config).await?;
    // The server may stop answering here as well as anywhere.
    match timeout(config.within(), checks(config, session.client())).await {
        Ok(looked) => looked,
        Err(late) => Err(PostgresError::Failed(late.into())),
    }
}

async fn checks(config: &PostgresConfig, client: &Client) -> Result<u32, PostgresError> {
    let at = || config.read().map(|read| address(&read)).unwrap_or_default();
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
