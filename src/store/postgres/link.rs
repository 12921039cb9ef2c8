//! The way to the database: connections, and how long anything may take.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::StoreError;
use crate::store::postgres::config::PostgresConfig;
use crate::store::postgres::error::Failure;
use crate::store::postgres::tls::Tls;

pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// A pool of connections, and the time that anything over them may take.
#[derive(Debug)]
pub(super) struct Link {
    pool: Pool,
    within: Duration,
}

/// Whether a statement may be sent again where the first answer was that the connection is gone. It may have been done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Retry {
    Allowed,
    Never,
}

impl Link {
    pub(super) fn new(
        config: &PostgresConfig,
        connection: tokio_postgres::Config,
        tls: Tls,
    ) -> Result<Self, deadpool_postgres::BuildError> {
        let within = config.within();
        let fast = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(connection, tls, fast);
        let setup = setup(within);
        let pool = Pool::builder(manager)
            .max_size(config.connection_count())
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                let setup = setup.clone();
                Box::pin(
                    async move { client.batch_execute(&setup).await.map_err(HookError::Backend) },
                )
            }))
            .build()?;
        Ok(Self { pool, within })
    }

    /// Asks once, and once more over another connection where the first one was gone.
    pub(super) async fn rows(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        retry: Retry,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(self.ask(sql, params, retry).await?)
    }

    /// Asks for exactly one row.
    pub(super) async fn row(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        retry: Retry,
    ) -> Result<Row, StoreError> {
        let mut rows = self.ask(sql, params, retry).await?;
        match rows.pop() {
            Some(row) if rows.is_empty() => Ok(row),
            Some(_) | None => {
                Err(StoreError::corrupt("a statement that answers with one row did not"))
            }
        }
    }

    pub(super) async fn ask(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
        retry: Retry,
    ) -> Result<Vec<Row>, Failure> {
        match self.attempt(sql, params).await {
            Err(failure) if retry == Retry::Allowed && failure.is_of_connection() => {
                // The others may be as dead, and not know it yet.
                self.pool.retain(|_, _| false);
                self.attempt(sql, params).await
            }
            other => other,
        }
    }

    async fn attempt(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let begun = Instant::now();
        let client = match timeout(self.within, self.pool.get()).await {
            Ok(client) => client.map_err(of_pool)?,
            Err(_) => {
                let status = self.pool.status();
                return Err(if status.size < status.max_size {
                    Failure::Late
                } else {
                    Failure::Busy
                });
            }
        };
        // A caller who hangs up gives the connection back with its statement on the way: the next one stands behind it.
        let asked = async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, params).await
        };
        let left = self.within.saturating_sub(begun.elapsed());
        let outcome = match timeout(left, asked).await {
            Ok(outcome) => outcome.map_err(Failure::Postgres),
            // The server gives up what takes too long, and says so. Where it had the time and says nothing, nobody is
            // there, and the other connections lead nowhere either.
            Err(_) if left > patience(self.within) => {
                self.pool.retain(|_, _| false);
                Err(Failure::Late)
            }
            Err(_) => Err(Failure::Busy),
        };
        if outcome.as_ref().is_err_and(Failure::spoils) {
            drop(Object::take(client));
        }
        outcome
    }

    pub(super) fn within(&self) -> Duration {
        self.within
    }
}

fn of_pool(error: PoolError) -> Failure {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            Failure::Postgres(error)
        }
        // None of these is configured; all mean that there is no connection.
        PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => Failure::Busy,
    }
}

/// After how long the server gives up: a little earlier than the client, so that it is heard.
fn patience(within: Duration) -> Duration {
    within * 9 / 10
}

/// What every connection is told first.
fn setup(within: Duration) -> String {
    let millis = patience(within).as_millis().max(1);
    format!(
        // A revocation that was acknowledged is on disk, whatever the server's default is.
        "SELECT set_config('synchronous_commit', 'on', false)
             WHERE current_setting('synchronous_commit') = 'off';
         SET statement_timeout = {millis};
         SET lock_timeout = {millis};
         SET idle_in_transaction_session_timeout = {millis};
         SET default_transaction_isolation = 'read committed';
         SET default_transaction_deferrable = off;
         -- Every statement is a look-up by an index, also where the statistics are of yesterday.
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         SET plan_cache_mode = force_generic_plan;
         SET jit = off;"
    )
}
