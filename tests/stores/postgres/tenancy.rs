//! A schema for each fixture, and a role that owns it: what one of them does is nobody else's, and is counted apart.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annul::store::{Lifetimes, PostgresConfig, PostgresStore, StoreError};
use annul::testkit::Fixture;
use annul::{DigestKey, Namespace};
use tokio_postgres::Client;

use crate::server;
use crate::server::Server;

/// What the tables of one fixture are found by: its role, and the schema of the same name.
pub(crate) struct Place {
    pub(crate) server: Arc<Server>,
    pub(crate) name: String,
}

/// Those that are to be dropped: dropping takes an await, and `Drop` has none.
static GONE: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Drop for Place {
    fn drop(&mut self) {
        GONE.lock().unwrap().push(std::mem::take(&mut self.name));
    }
}

pub(crate) const TABLES: [&str; 7] = [
    "annul_clock",
    "annul_entry",
    "annul_grant",
    "annul_namespace",
    "annul_schema",
    "annul_session",
    "annul_token",
];

impl Place {
    /// An empty schema, without tables.
    pub(crate) async fn bare(server: Arc<Server>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("f{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let admin = server.admin().await;
        let mut sql = String::new();
        for gone in GONE.lock().unwrap().drain(..) {
            sql += &format!(
                "DO $$ BEGIN
                     IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{gone}') THEN
                         DROP OWNED BY {gone} CASCADE; DROP ROLE {gone};
                     END IF;
                 END $$;"
            );
        }
        sql += &format!("CREATE ROLE {name} LOGIN; CREATE SCHEMA {name} AUTHORIZATION {name};");
        admin.batch_execute(&sql).await.unwrap();
        Self { server, name }
    }

    /// An empty schema with its tables.
    pub(crate) async fn new(server: Arc<Server>) -> Self {
        let place = Self::bare(server).await;
        PostgresStore::migrate(&place.config()).await.unwrap();
        place
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        let config = PostgresConfig::new(&self.words(), key());
        config.connections(4).timeout(Duration::from_secs(20)).lifetimes(Self::lifetimes())
    }

    /// The defaults, but for the clock: tests jump in time.
    pub(crate) fn lifetimes() -> Lifetimes {
        Lifetimes::default().with_clock_leap(Duration::MAX)
    }

    /// By the socket: it is what costs least.
    pub(crate) fn words(&self) -> String {
        let (folder, port) = (self.server.folder().display(), self.server.port());
        format!("host={folder} port={port} user={} dbname=postgres", self.name)
    }

    /// By way of another port: somebody stands between.
    pub(crate) fn config_at(&self, port: u16) -> PostgresConfig {
        let url = format!("postgres://{}@127.0.0.1:{port}/postgres", self.name);
        PostgresConfig::new(&url, key()).connections(4).timeout(Duration::from_secs(20))
    }

    pub(crate) async fn client(&self) -> Client {
        server::connect(&self.words()).await
    }

    /// Every row of every table.
    pub(crate) async fn dump(&self) -> Result<String, StoreError> {
        let client = self.client().await;
        let mut dump = String::new();
        for table in TABLES {
            let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
            for row in client.query(&sql, &[]).await.map_err(StoreError::unavailable)? {
                dump += &format!("{table} {}\n", row.get::<_, &str>(0));
            }
        }
        Ok(dump)
    }

    /// How many statements this role has had executed, those within functions too, and how many rows they were about.
    async fn operations(&self) -> Result<u64, StoreError> {
        let admin = self.server.admin().await;
        let sql = "SELECT coalesce(sum(calls + rows), 0)::bigint FROM pg_stat_statements
                   WHERE userid = $1::text::regrole";
        let row = admin.query_one(sql, &[&self.name]).await.map_err(StoreError::unavailable)?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap())
    }
}

pub(crate) fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

/// Over the same tables, once more.
pub(crate) async fn open(place: &Arc<Place>) -> Result<Fixture, StoreError> {
    let store = PostgresStore::connect(place.config()).await.map_err(StoreError::unavailable)?;
    let other = store.namespace(&Namespace::new("other"));
    let neighbour = Fixture::ledger(other.clone()).sweep(other.clone()).feed(other);
    Ok(Fixture::ledger(store.clone())
        .sweep(store.clone())
        .feed(store)
        .neighbour(neighbour.spawning(|task| drop(tokio::spawn(task))))
        .guard(Arc::clone(place))
        .spawning(|task| drop(tokio::spawn(task)))
        .rounds(10))
}

/// A fixture of everything that there is to show.
pub(crate) async fn fresh() -> Result<Fixture, StoreError> {
    let place = Arc::new(Place::new(server::shared()).await);
    let [second, again, counted, shown] = [0; 4].map(|_| Arc::clone(&place));
    Ok(open(&place)
        .await?
        .second_handle(move || {
            let place = Arc::clone(&second);
            async move { open(&place).await }
        })
        .restarting(move || {
            let place = Arc::clone(&again);
            async move { open(&place).await }
        })
        .operations(move || {
            let place = Arc::clone(&counted);
            async move { place.operations().await }
        })
        .contents(move || {
            let place = Arc::clone(&shown);
            async move { place.dump().await }
        }))
}
