//! A part of the data is lost, and the rest is not.

use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{Lifetimes, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    Clock, DigestKey, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock,
    Target, Timestamp,
};

use crate::load::is_good;
use crate::servers::Server;

const DAY: Duration = Duration::from_secs(86_400);

fn config(server: &Server) -> RedisConfig {
    RedisConfig::new(server.url(), DigestKey::new(&[7; 32]))
        .lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
}

async fn issue(store: &RedisStore, name: &str, lifetime: Duration, now: Timestamp) {
    let grant = Grant::new(format!("g-{name}"), "web", now).subject("alice");
    let token = NewToken::refresh(PresentedToken::new(name), now + lifetime);
    store.issue(grant, &[token], now).await.unwrap();
}

async fn revoke_everything(store: &RedisStore, at: Timestamp) {
    let everything = Revocation::by_operator(Target::Everything, Reason::Administrative, at);
    store.revoke(&everything).await.unwrap();
}

async fn good_at(store: &RedisStore, names: &[String], now: Timestamp) -> usize {
    let mut good = 0;
    for name in names {
        let found = store.find(PresentedToken::new(name), None).await.unwrap();
        good += usize::from(found.is_some_and(|found| found.verdict(now).is_active()));
    }
    good
}

/// Removes every key of the shard that has the feed, as if its node had come back empty.
fn lose_the_shard_of_the_feed(server: &Server) {
    let keys: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "{*}x"])).unwrap();
    assert_eq!(keys.len(), 1);
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let pattern = format!("{}*", keys[0].trim_end_matches('x'));
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(&pattern).query(&mut connection).unwrap();
    redis::cmd("DEL").arg(&keys).exec(&mut connection).unwrap();
}

#[tokio::test]
async fn a_shard_that_lost_its_horizon_keeps_revocations_as_long_as_tokens_elsewhere_live() {
    for issued_since in [false, true] {
        let server = Server::start(&[]);
        let store = RedisStore::connect(config(&server).shards(4)).await.unwrap();
        let now = SystemClock.now();
        let names: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
        for name in &names {
            issue(&store, name, 30 * DAY, now).await;
        }
        revoke_everything(&store, now - DAY).await;
        lose_the_shard_of_the_feed(&server);
        if issued_since {
            issue(&store, "short", Duration::from_secs(60), now).await;
        }
        assert!(good_at(&store, &names, now).await > 10, "too few are left to see anything");
        revoke_everything(&store, now + Duration::from_secs(1)).await;
        assert_eq!(good_at(&store, &names, now).await, 0);
        let later = now + 29 * DAY;
        for _ in 0..4 {
            store.sweep(later, SweepBudget::default()).await.unwrap();
        }
        assert_eq!(good_at(&store, &names, later).await, 0, "issued since: {issued_since}");
    }
}

#[tokio::test]
async fn processes_that_disagree_about_the_shards_do_not_know_each_others_tokens() {
    let server = Server::start(&[]);
    let one = RedisStore::connect(config(&server).shards(4)).await.unwrap();
    server.ask(&["FLUSHALL"]);
    let two = RedisStore::connect(config(&server)).await.unwrap();
    let now = SystemClock.now();
    let names: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    for name in &names {
        issue(&one, name, DAY, now).await;
    }
    assert_eq!(good_at(&one, &names, now).await, 40);
    // By the second none of them could be revoked for the first.
    assert_eq!(good_at(&two, &names, now).await, 0);
    assert!(!is_good(&two, "t0").await.unwrap());
}
