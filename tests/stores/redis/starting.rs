//! What does not start, and what it says.

use std::time::Duration;

use annul::store::redis::{Durability, RedisConfig, RedisStartError};
use annul::store::{RevocationFeed, Sweep, SweepBudget};
use annul::{Clock, DigestKey, RedisStore, SystemClock};

use crate::load::{is_good, issue, revoke};
use crate::servers::{Cluster, Server, wait_until};

fn config(url: impl Into<String>) -> RedisConfig {
    RedisConfig::new(url, DigestKey::new(&[7; 32])).timeout(Duration::from_millis(250))
}

async fn refusal(config: RedisConfig) -> RedisStartError {
    match RedisStore::connect(config).await {
        Ok(store) => panic!("it started: {store:?}"),
        Err(error) => {
            println!("{error}");
            error
        }
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_somebody_answers_for_it() {
    let server = Server::start(&["maxmemory 100mb", "maxmemory-policy allkeys-lru"]);
    let error = refusal(config(server.url())).await;
    assert!(matches!(&error, RedisStartError::Evicting { policy } if policy == "allkeys-lru"));
    assert!(error.to_string().contains("maxmemory-policy noeviction"));
    assert_eq!(server.ask(&["DBSIZE"]), redis::Value::Int(0), "a refused start wrote something");
    RedisStore::connect(config(server.url()).i_have_checked_that_nothing_is_evicted())
        .await
        .unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    RedisStore::connect(config(server.url())).await.unwrap();
    // Where there is no limit nothing is evicted.
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    RedisStore::connect(config(server.url())).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let server = Server::start(&["requirepass correct"]);
    let port = server.port();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://:hunter2@127.0.0.1:{port}"),
        format!("redis://nobody:hunter2@127.0.0.1:{port}"),
    ] {
        let error = refusal(config(url)).await;
        assert!(matches!(error, RedisStartError::Refused { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    RedisStore::connect(config(format!("redis://:correct@127.0.0.1:{port}"))).await.unwrap();
}

/// What the message about a refused user says that it needs.
#[tokio::test]
async fn a_user_with_the_rights_that_are_asked_for_is_enough() {
    let server = Server::start(&[]);
    let rights =
        "on >secret ~{annul:* -@all +@read +@write +@scripting +@connection +info +time +wait";
    let mut user = vec!["ACL", "SETUSER", "annul"];
    user.extend(rights.split(' '));
    server.ask(&user);
    let url = format!("redis://annul:secret@127.0.0.1:{}", server.port());
    let store = RedisStore::connect(config(url.clone())).await.unwrap();
    issue(&store, "t").await.unwrap();
    revoke(&store, "t").await.unwrap();
    assert!(!is_good(&store, "t").await.unwrap());
    store.sweep(SystemClock.now(), SweepBudget::default()).await.unwrap();
    store.changes(None, 10).await.unwrap();
    // Another prefix is none of its business.
    let error = refusal(config(url).prefix("other")).await;
    assert!(matches!(error, RedisStartError::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn the_store_says_what_its_server_keeps() {
    let server = Server::start(&[]);
    let durability = async || RedisStore::connect(config(server.url())).await.unwrap().durability();
    assert_eq!(durability().await, Durability::SnapshotsOrNothing);
    server.ask(&["CONFIG", "SET", "appendonly", "yes"]);
    for (policy, expected) in [
        ("no", Durability::OperatingSystem),
        ("everysec", Durability::EverySecond),
        ("always", Durability::EveryWrite),
    ] {
        server.ask(&["CONFIG", "SET", "appendfsync", policy]);
        assert_eq!(durability().await, expected);
    }
    // A user that may not ask for it.
    server.ask(&["ACL", "SETUSER", "default", "-config"]);
    assert_eq!(durability().await, Durability::Unknown);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_node_that_keeps_least_counts() {
    let cluster = Cluster::start(0, &["appendonly yes", "appendfsync always"]);
    let durability = async || {
        let config = config(cluster.url()).timeout(Duration::from_secs(1));
        RedisStore::connect(config).await.unwrap().durability()
    };
    assert_eq!(durability().await, Durability::EveryWrite);
    cluster.nodes[1].ask(&["CONFIG", "SET", "appendfsync", "everysec"]);
    assert_eq!(durability().await, Durability::EverySecond);
    cluster.nodes[2].ask(&["CONFIG", "SET", "appendonly", "no"]);
    assert_eq!(durability().await, Durability::SnapshotsOrNothing);
}

#[tokio::test]
async fn a_replica_is_refused() {
    let primary = Server::start(&[]);
    let replica = Server::start(&[&format!("replicaof 127.0.0.1 {}", primary.port())]);
    wait_until("it replicates", || replica.text(&["INFO"]).contains("master_link_status:up"));
    assert!(matches!(refusal(config(replica.url())).await, RedisStartError::Replica));
}

#[tokio::test]
async fn a_cluster_and_a_single_server_are_not_taken_for_each_other() {
    let single = Server::start(&[]);
    let url = single.url().replace("redis://", "redis-cluster://");
    assert!(matches!(refusal(config(url)).await, RedisStartError::NotACluster));
    let node = Server::start(&["cluster-enabled yes"]);
    assert!(matches!(refusal(config(node.url())).await, RedisStartError::IsACluster));
}

#[tokio::test]
async fn where_nobody_answers_nothing_starts() {
    let server = Server::start(&[]);
    server.pause();
    assert!(matches!(refusal(config(server.url())).await, RedisStartError::Unreachable { .. }));
    let url = server.url();
    drop(server);
    assert!(matches!(refusal(config(url.clone())).await, RedisStartError::Unreachable { .. }));
    let url = url.replace("redis://", "redis-cluster://");
    assert!(matches!(refusal(config(url)).await, RedisStartError::Unreachable { .. }));
}

#[tokio::test]
async fn data_of_another_key_layout_or_schema_are_left_alone() {
    let server = Server::start(&[]);
    RedisStore::connect(config(server.url())).await.unwrap();
    let other = RedisConfig::new(server.url(), DigestKey::new(&[8; 32]));
    assert!(matches!(refusal(other.clone()).await, RedisStartError::WrongKey));
    let error = refusal(config(server.url()).shards(4)).await;
    assert!(matches!(error, RedisStartError::OtherShards { found: 1, asked: 4 }), "{error:?}");
    // Another prefix is another store.
    RedisStore::connect(other.prefix("other").shards(4)).await.unwrap();
    server.ask(&["HSET", "{annul:store}", "schema", "2"]);
    let error = refusal(config(server.url())).await;
    assert!(matches!(error, RedisStartError::OtherSchema { .. }), "{error:?}");
    assert!(error.to_string().contains("another prefix"));
}
