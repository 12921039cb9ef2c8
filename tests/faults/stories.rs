//! The stores that every story is told to, and the words that it is told in.

use std::time::Duration;

use annul::store::embedded::EmbeddedOptions;
use annul::store::redis::RedisConfig;
use annul::store::{
    Lifetimes, PostgresStore, Rotated, Rotation, StoreErrorKind, Sweep, SweepBudget, Swept,
    TokenLedger,
};
use annul::{
    ClientId, DigestKey, Grant, MemoryStore, NewToken, PresentedToken, Reason, RedisStore,
    Revocation, Target, Timestamp, TokenRecord, Verdict,
};

use crate::folder::Folder;
use crate::server;
use crate::servers::Server;
use crate::tenancy::Place;

/// A store that does all that these stories need.
pub(crate) trait Store: TokenLedger + Sweep {}

impl<S: TokenLedger + Sweep> Store for S {}

/// Far from today: Redis forgets by a clock of its own.
pub(crate) const START: Timestamp = Timestamp::from_unix_seconds(4_000_000_000);

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// Tells a story to each of the four stores, an empty one, with these lifetimes.
pub(crate) async fn on_every_store(
    lifetimes: Lifetimes,
    story: impl AsyncFn(&'static str, &dyn Store),
) {
    let memory = MemoryStore::new().with_lifetimes(lifetimes);
    story("memory", &memory).await;

    let folder = Folder::in_memory();
    let embedded = EmbeddedOptions::new(folder.path())
        .lifetimes(lifetimes)
        .open(&DigestKey::new(&[7; 32]))
        .unwrap();
    story("embedded", &embedded).await;

    let place = Place::new(server::shared()).await;
    let postgres = PostgresStore::connect(place.config().lifetimes(lifetimes)).await.unwrap();
    story("PostgreSQL", &postgres).await;

    let redis_server = Server::start(&[]);
    for shards in [1, 4] {
        let config = RedisConfig::new(redis_server.url(), DigestKey::new(&[7; 32]))
            .prefix(format!("shards-{shards}"))
            .shards(shards)
            // Its default would hide what the lifetimes do.
            .longest_lifetime(Duration::ZERO)
            .lifetimes(lifetimes);
        let redis = RedisStore::connect(config).await.unwrap();
        story(if shards == 1 { "Redis" } else { "Redis, several shards" }, &redis).await;
    }
}

pub(crate) fn refresh(name: &str, expires_at: Timestamp) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(name), expires_at)
}

pub(crate) fn access(name: &str, expires_at: Timestamp) -> NewToken<'_> {
    NewToken::access(PresentedToken::new(name), expires_at)
}

/// A grant of alice at the client `web`, in the session `s1`.
pub(crate) fn grant(id: &str, login: Timestamp) -> Grant {
    Grant::new(id, "web", login).subject("alice").session("s1")
}

pub(crate) async fn record(store: &dyn Store, name: &str) -> Option<TokenRecord> {
    store.find(PresentedToken::new(name), None).await.unwrap()
}

pub(crate) async fn verdict(store: &dyn Store, name: &str, now: Timestamp) -> Verdict {
    record(store, name).await.map_or(Verdict::Unknown, |record| record.verdict(now))
}

pub(crate) async fn revoke(store: &dyn Store, target: Target, now: Timestamp) {
    let revocation = Revocation::by_operator(target, Reason::Administrative, now);
    store.revoke(&revocation).await.unwrap();
}

/// Sweeps until nothing more is due; says what the last sweep reported.
pub(crate) async fn sweep(store: &dyn Store, now: Timestamp) -> Swept {
    loop {
        let swept = store.sweep(now, SweepBudget::default()).await.unwrap();
        if !swept.more {
            return swept;
        }
    }
}

/// Rotates a token of the client `web` into one that never expires.
pub(crate) async fn rotate(
    store: &dyn Store,
    presented: &str,
    successor: &str,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotated, StoreErrorKind> {
    let (client, successors) = (ClientId::new("web"), [refresh(successor, Timestamp::MAX)]);
    let rotation = Rotation::new(PresentedToken::new(presented), &client, &successors, now);
    store.rotate(&rotation.with_grace(grace)).await.map_err(|error| error.kind())
}
