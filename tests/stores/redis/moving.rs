//! In the middle of a slot's move: some keys of a shard are on one node, and some on another.

use std::collections::BTreeMap;
use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{Changes, RevocationFeed, Rotated, Rotation, TokenLedger, TokenStore};
use annul::{
    Clock, DigestKey, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock,
    Target,
};

use crate::load::is_good;
use crate::servers::{Cluster, Server};

const DAY: Duration = Duration::from_secs(86_400);

/// The letter behind the hash tag.
fn part(key: &[u8]) -> u8 {
    let end = key.iter().position(|byte| *byte == b'}').unwrap();
    key[end + 1]
}

fn connection(node: &Server) -> redis::Connection {
    redis::Client::open(node.url()).unwrap().get_connection().unwrap()
}

/// Begins to move every slot that has an entry in it, and stops half way: what `moves` says, has moved.
fn half_move(cluster: &Cluster, moves: impl Fn(u8) -> bool) {
    let mut slots: BTreeMap<(u16, u16), Vec<Vec<u8>>> = BTreeMap::new();
    for node in &cluster.nodes {
        let keys: Vec<Vec<u8>> =
            redis::from_redis_value(node.ask(&["KEYS", "{annul:*:*"])).unwrap();
        for key in keys {
            let mut asked = redis::cmd("CLUSTER");
            let slot = asked.arg("KEYSLOT").arg(&key).query(&mut connection(node)).unwrap();
            slots.entry((slot, node.port())).or_default().push(key);
        }
    }
    slots.retain(|_, keys| keys.iter().any(|key| part(key) == b'e'));
    assert!(!slots.is_empty());
    for ((slot, port), keys) in slots {
        let from = cluster.nodes.iter().find(|node| node.port() == port).unwrap();
        let to = cluster.nodes.iter().find(|node| node.port() != port).unwrap();
        let slot = slot.to_string();
        let id = |node: &Server| node.text(&["CLUSTER", "MYID"]);
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
        for key in keys.iter().filter(|key| moves(part(key))) {
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(to.port()).arg(key).arg(0).arg(5_000);
            migrate.query::<redis::Value>(&mut connection(from)).unwrap();
        }
    }
}

/// A refresh token `t`, and a revocation of its subject.
async fn revoked(store: &RedisStore) {
    let now = SystemClock.now();
    let grant = Grant::new("g", "web", now).subject("alice");
    let token = NewToken::refresh(PresentedToken::new("t"), now + DAY);
    store.issue(grant, &[token], now).await.unwrap();
    let target = Target::Subject("alice".into());
    store.revoke(&Revocation::by_operator(target, Reason::Administrative, now)).await.unwrap();
}

fn config(url: String) -> RedisConfig {
    RedisConfig::new(url, DigestKey::new(&[7; 32]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_passes_no_entry_over_that_is_on_the_other_node() {
    for entries_move in [false, true] {
        let cluster = Cluster::start(0, &[]);
        let store = RedisStore::connect(config(cluster.url()).shards(4)).await.unwrap();
        let Changes::Page(page) = store.changes(None, 10).await.unwrap() else {
            panic!("a gap for who knows nothing");
        };
        revoked(&store).await;
        half_move(&cluster, |part| (part == b'e') == entries_move);
        let Changes::Page(page) = store.changes(Some(page.next()), 10).await.unwrap() else {
            panic!("a gap, and nothing was lost");
        };
        let targets: Vec<_> = page.entries().iter().map(|entry| entry.target().clone()).collect();
        assert_eq!(targets, [Target::Subject("alice".into())], "entries move: {entries_move}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_of_a_cluster_with_one_shard_is_dead_while_its_slot_moves() {
    let cluster = Cluster::start(0, &[]);
    let store = RedisStore::connect(config(cluster.url()).shards(1)).await.unwrap();
    revoked(&store).await;
    assert!(!is_good(&store, "t").await.unwrap());
    half_move(&cluster, |part| part != b'e');
    // Unavailable would do too.
    assert_ne!(is_good(&store, "t").await.ok(), Some(true), "a revoked token is good");
    let web = "web".into();
    let rotation = Rotation::new(PresentedToken::new("t"), &web, &[], SystemClock.now());
    let exchanged = store.rotate(&rotation).await;
    let is_refused = matches!(exchanged, Err(_) | Ok(Rotated::Refused(_)));
    assert!(is_refused, "a revoked token was exchanged: {exchanged:?}");
}
