//! What goes wrong with real servers, while callers are at it.

use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{
    Changes, Lifetimes, RevocationFeed, Rotated, Rotation, StoreErrorKind, Sweep, SweepBudget,
    TokenLedger,
};
use annul::{Clock, DigestKey, NewToken, PresentedToken, RedisStore, SystemClock};

use crate::load::{Load, is_good, issue, revoke};
use crate::servers::{Cluster, Server, wait_until};

fn config(url: String) -> RedisConfig {
    RedisConfig::new(url, DigestKey::new(&[7; 32])).timeout(Duration::from_secs(1))
}

async fn connect(url: String) -> RedisStore {
    RedisStore::connect(config(url)).await.unwrap()
}

/// Runs something that blocks beside the callers.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_server_that_is_killed() {
    let mut server = Server::start(&["appendonly yes", "appendfsync always"]);
    let store = connect(server.url()).await;
    let load = Load::start(&store, 8);
    load.goes_on(300).await;
    for _ in 0..2 {
        server.kill();
        load.fails().await;
        server = aside(move || {
            server.restart();
            server
        })
        .await;
        load.goes_on(300).await;
    }
    load.ends(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_is_unavailable_in_time_and_serves_again_by_itself() {
    let server = Server::start(&[]);
    let store = connect(server.url()).await;
    let load = Load::start(&store, 4);
    load.goes_on(100).await;
    server.pause();
    load.fails().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    server.resume();
    load.goes_on(100).await;
    load.ends(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_cut_is_opened_again() {
    let server = Server::start(&[]);
    let store = connect(server.url()).await;
    let load = Load::start(&store, 4);
    for _ in 0..20 {
        load.goes_on(20).await;
        server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    load.goes_on(20).await;
    assert_eq!(load.told.unavailable(), 0, "within the time-out, nobody notices");
    load.ends(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_forgotten_the_scripts_is_told_them_again() {
    let server = Server::start(&[]);
    let store = connect(server.url()).await;
    let load = Load::start(&store, 4);
    for _ in 0..5 {
        load.goes_on(20).await;
        server.ask(&["SCRIPT", "FLUSH"]);
    }
    load.goes_on(20).await;
    assert_eq!(load.told.unavailable(), 0);
    load.ends(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_memory_is_unavailable_and_loses_nothing() {
    let server = Server::start(&[]);
    let jumping = Lifetimes::default().with_clock_leap(Duration::MAX);
    let store = RedisStore::connect(config(server.url()).lifetimes(jumping)).await.unwrap();
    for name in ["dead", "live"] {
        issue(&store, name).await.unwrap();
    }
    revoke(&store, "dead").await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    for refused in [revoke(&store, "live").await, issue(&store, "late").await] {
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    // Refused as a whole: what is there is as it was, and can be seen.
    assert!(!is_good(&store, "dead").await.unwrap());
    assert!(is_good(&store, "live").await.unwrap());
    assert!(!is_good(&store, "late").await.unwrap());
    // And a sweep makes room.
    let later = SystemClock.now() + Duration::from_secs(40 * 86_400);
    let swept = store.sweep(later, SweepBudget::rows(100)).await.unwrap();
    assert!(swept.removed >= 2, "{swept:?}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    issue(&store, "late").await.unwrap();
    revoke(&store, "late").await.unwrap();
    assert!(!is_good(&store, "late").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_a_minute_revives_nothing() {
    let server = Server::start(&[]);
    let store = connect(server.url()).await;
    let now = SystemClock.now();
    let back = now - Duration::from_secs(60);
    for name in ["dead", "spent"] {
        issue(&store, name).await.unwrap();
    }
    revoke(&store, "dead").await.unwrap();
    let client = "web".into();
    let exchange = |next: &'static str, now| {
        let (store, client) = (&store, &client);
        async move {
            let expiry = now + Duration::from_secs(3_600);
            let next = [NewToken::refresh(PresentedToken::new(next), expiry)];
            let rotation = Rotation::new(PresentedToken::new("spent"), client, &next, now);
            store.rotate(&rotation).await.unwrap()
        }
    };
    assert!(matches!(exchange("next", now).await, Rotated::Applied(_)));
    store.sweep(back, SweepBudget::default()).await.unwrap();
    assert!(!is_good(&store, "dead").await.unwrap());
    // No window is open, however long ago the first exchange is going to be.
    assert!(matches!(exchange("stolen", back).await, Rotated::Reused(_)));
    assert!(!is_good(&store, "next").await.unwrap());
    assert!(!is_good(&store, "stolen").await.unwrap());
    // What is revoked by the slow clock is as dead.
    issue(&store, "late").await.unwrap();
    revoke(&store, "late").await.unwrap();
    assert!(!is_good(&store, "late").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_demoted_answers_nothing_and_nothing_old() {
    let server = Server::start(&[]);
    let other = Server::start(&[]);
    let store = connect(server.url()).await;
    issue(&store, "live").await.unwrap();
    server.ask(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    for refused in [is_good(&store, "live").await.map(drop), revoke(&store, "live").await] {
        assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Unavailable);
    }
    server.ask(&["REPLICAOF", "NO", "ONE"]);
    issue(&store, "again").await.unwrap();
    assert!(is_good(&store, "again").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_primary_has_is_not_acknowledged_however_often_it_is_asked() {
    let server = Server::start(&[]);
    let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", server.port())]);
    wait_until("it replicates", || server.text(&["INFO"]).contains("connected_slaves:1"));
    wait_until("it is in step", || replica.text(&["INFO"]).contains("master_link_status:up"));
    let hasty = connect(server.url()).await;
    let config = config(server.url()).require_replicas(1, Duration::from_millis(200));
    let careful = RedisStore::connect(config).await.unwrap();
    issue(&careful, "t").await.unwrap();
    replica.pause();
    revoke(&hasty, "t").await.unwrap();
    for _ in 0..3 {
        // Nothing is left to be written, and still nobody else has it.
        let told = revoke(&careful, "t").await.unwrap_err();
        assert_eq!(told.kind(), StoreErrorKind::Unavailable);
        // Whoever only looks does not wait for replicas, nor behind those who do.
        assert!(!is_good(&careful, "t").await.unwrap());
    }
    replica.resume();
    let mut tries = 0;
    while let Err(error) = revoke(&careful, "t").await {
        tries += 1;
        assert!(tries < 100, "the replica is back, and {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_everything_knows_no_token_and_tells_its_readers() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = RedisStore::connect(config(server.url()).shards(shards)).await.unwrap();
        for name in ["dead", "live"] {
            issue(&store, name).await.unwrap();
        }
        revoke(&store, "dead").await.unwrap();
        let Changes::Page(page) = store.changes(None, 10).await.unwrap() else {
            panic!("a gap before anything was lost");
        };
        assert_eq!(page.entries().len(), 1);
        let kept = page.next();
        assert!(matches!(store.changes(Some(kept), 10).await.unwrap(), Changes::Page(_)));
        server.ask(&["FLUSHALL"]);
        for name in ["dead", "live"] {
            assert!(!is_good(&store, name).await.unwrap());
        }
        assert_eq!(store.changes(Some(kept), 10).await.unwrap(), Changes::Gap);
        issue(&store, "after").await.unwrap();
        revoke(&store, "after").await.unwrap();
        assert!(!is_good(&store, "after").await.unwrap());
        let Changes::Page(page) = store.changes(None, 10).await.unwrap() else {
            panic!("a gap for who knows nothing");
        };
        assert_eq!(page.entries().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_with_a_primary_whose_replica_had_to_have_it() {
    let mut cluster = Cluster::start(1, &[]);
    let config = config(cluster.url()).shards(16).require_replicas(1, Duration::from_millis(900));
    let store = RedisStore::connect(config).await.unwrap();
    let load = Load::start(&store, 8);
    load.goes_on(200).await;
    let primary = cluster
        .nodes
        .iter()
        .position(|node| node.text(&["INFO", "replication"]).contains("role:master"))
        .unwrap();
    cluster.nodes[primary].kill();
    load.fails().await;
    let cluster = aside(move || {
        let others = cluster.nodes.iter().enumerate().filter(|(n, _)| *n != primary);
        let others: Vec<_> = others.map(|(_, node)| node).collect();
        wait_until("a replica is promoted", || {
            let is_primary =
                |node: &&&Server| node.text(&["INFO", "replication"]).contains("role:master");
            others.iter().filter(is_primary).count() == 3
                && others[0].text(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
        });
        cluster
    })
    .await;
    // The new primary has no replica yet, and acknowledges nothing.
    load.fails().await;
    let mut cluster = cluster;
    let cluster = aside(move || {
        cluster.nodes[primary].restart();
        wait_until("it is a replica now", || {
            cluster.nodes[primary].text(&["INFO"]).contains("master_link_status:up")
        });
        cluster
    })
    .await;
    load.goes_on(400).await;
    load.ends(&store).await;
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_with_a_paused_node_serves_again_by_itself() {
    let cluster = Cluster::start(0, &[]);
    let store = RedisStore::connect(config(cluster.url()).shards(16)).await.unwrap();
    let load = Load::start(&store, 4);
    for node in &cluster.nodes {
        load.goes_on(50).await;
        node.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    }
    load.goes_on(50).await;
    cluster.nodes[0].pause();
    load.fails().await;
    // Long enough for the others to give it up.
    tokio::time::sleep(Duration::from_secs(4)).await;
    cluster.nodes[0].resume();
    load.goes_on(100).await;
    load.ends(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_loses_nothing_and_is_checked_all_the_while() {
    let cluster = Cluster::start(0, &[]);
    let store = RedisStore::connect(config(cluster.url()).shards(2)).await.unwrap();
    let load = Load::start(&store, 4);
    load.goes_on(200).await;
    let good = ["good-1", "good-2", "good-3", "good-4"];
    for name in good {
        issue(&store, name).await.unwrap();
    }
    let keys: Vec<String> = cluster
        .nodes
        .iter()
        .flat_map(|node| {
            let keys: Vec<Vec<u8>> = redis::from_redis_value(node.ask(&["KEYS", "{*}m"])).unwrap();
            keys.into_iter().map(|key| String::from_utf8(key).unwrap())
        })
        .collect();
    assert_eq!(keys.len(), 2, "two shards: {keys:?}");
    let (checks, cluster) = (store.clone(), cluster);
    let cluster = aside(move || {
        let runtime = tokio::runtime::Handle::current();
        for key in &keys {
            let slot: u16 =
                redis::from_redis_value(cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]))
                    .unwrap();
            move_slot(&cluster, slot, || {
                for name in good {
                    let is_good = runtime.block_on(is_good(&checks, name)).unwrap();
                    assert!(is_good, "`{name}` is not found while its slot moves");
                }
            });
        }
        cluster
    })
    .await;
    load.goes_on(200).await;
    load.ends(&store).await;
    drop(cluster);
}

/// As `redis-cli --cluster reshard` does it, with a look every now and then.
fn move_slot(cluster: &Cluster, slot: u16, look: impl Fn()) {
    let id = |node: &Server| node.text(&["CLUSTER", "MYID"]);
    let number = slot.to_string();
    let count = |node: &Server| -> u64 {
        redis::from_redis_value(node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &number])).unwrap()
    };
    let from = cluster.nodes.iter().max_by_key(|node| count(node)).unwrap();
    let to = cluster.nodes.iter().find(|node| node.port() != from.port()).unwrap();
    to.ask(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &id(from)]);
    from.ask(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &id(to)]);
    look();
    let port = to.port().to_string();
    let mut rounds = 0;
    loop {
        let keys = from.ask(&["CLUSTER", "GETKEYSINSLOT", &number, "20"]);
        let keys: Vec<Vec<u8>> = redis::from_redis_value(keys).unwrap();
        if keys.is_empty() {
            break;
        }
        let client = redis::Client::open(from.url()).unwrap();
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(&port).arg("").arg(0).arg(5_000).arg("KEYS").arg(&keys);
        migrate.query::<redis::Value>(&mut client.get_connection().unwrap()).unwrap();
        rounds += 1;
        if rounds % 3 == 0 {
            look();
        }
    }
    look();
    for node in &cluster.nodes {
        node.ask(&["CLUSTER", "SETSLOT", &number, "NODE", &id(to)]);
    }
}
