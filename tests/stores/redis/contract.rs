//! The contract suites, on a single server and on a Cluster of three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{
    Changes, Lifetimes, RevocationFeed, Rotated, Rotation, StoreError, TokenLedger, TokenStore,
};
use annul::testkit::{Ability, Fixture};
use annul::{
    Clock, DigestKey, Grant, Namespace, NewToken, PresentedToken, Reason, RedisStore, Revocation,
    SystemClock, Target, testkit,
};

use crate::load::is_good;
use crate::servers::{Cluster, Server, commands, contents};

/// Each case finds an empty store: a prefix of its own.
struct Engine {
    url: String,
    ports: Vec<u16>,
    shards: u16,
    /// Whether its commands are counted: for that, 60 000 tokens are put in one by one.
    is_counted: bool,
    count: AtomicU64,
}

impl Engine {
    async fn fixture(&self) -> Result<Fixture, StoreError> {
        let prefix = format!("case{}", self.count.fetch_add(1, Ordering::SeqCst));
        let config = {
            let (url, prefix, shards) = (self.url.clone(), prefix.clone(), self.shards);
            move || {
                RedisConfig::new(url.clone(), DigestKey::new(&[7; 32]))
                    .prefix(prefix.clone())
                    .shards(shards)
                    .timeout(Duration::from_secs(10))
                    // The cases jump through time.
                    .lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
            }
        };
        let store = RedisStore::connect(config()).await.map_err(StoreError::unavailable)?;
        let neighbour = store.namespace(&Namespace::new("neighbour"));
        let again = move || {
            let config = config();
            async move {
                let store = RedisStore::connect(config).await.map_err(StoreError::unavailable)?;
                let (sweep, feed) = (store.clone(), store.clone());
                Ok(Fixture::ledger(store).sweep(sweep).feed(feed))
            }
        };
        let (counted, shown) = (self.ports.clone(), self.ports.clone());
        let (sweep, feed) = (store.clone(), store.clone());
        let fixture = Fixture::ledger(store)
            .sweep(sweep)
            .feed(feed)
            .neighbour(Fixture::ledger(neighbour.clone()).sweep(neighbour.clone()).feed(neighbour))
            .second_handle(again.clone())
            .restarting(again)
            .contents(move || std::future::ready(Ok(contents(&shown, &prefix))))
            .spawning(|task| drop(tokio::spawn(task)))
            // Redis forgets by its own clock what expired by ours.
            .starting_at(SystemClock.now())
            .rounds(10);
        Ok(match self.is_counted {
            true => fixture.operations(move || std::future::ready(Ok(commands(&counted)))),
            false => fixture,
        })
    }
}

async fn holds_every_contract(engine: Engine) {
    let lacking: &[Ability] = if engine.is_counted { &[] } else { &[Ability::Operations] };
    let engine = Arc::new(engine);
    let fresh = move || {
        let engine = Arc::clone(&engine);
        async move { engine.fixture().await }
    };
    let suites = [
        testkit::store::suite(),
        testkit::issuance::suite(),
        testkit::sweep::suite(),
        testkit::feed::suite(),
    ];
    for suite in suites {
        let report = suite.run(&fresh).await;
        println!("{report}");
        report.assert_held_except_for(lacking);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_server_holds_every_contract() {
    let server = Server::start(&[]);
    let (url, ports) = (server.url(), vec![server.port()]);
    let count = AtomicU64::new(0);
    holds_every_contract(Engine { url, ports, shards: 1, is_counted: true, count }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_three_holds_every_contract() {
    let cluster = Cluster::start(0, &[]);
    let (url, ports) = (cluster.url(), cluster.nodes.iter().map(Server::port).collect());
    let count = AtomicU64::new(0);
    holds_every_contract(Engine { url, ports, shards: 16, is_counted: false, count }).await;
}

/// Calls of scripts that the store itself sent.
fn calls(nodes: &[&Server]) -> u64 {
    let of = |node: &&Server| {
        let stats = node.text(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    };
    nodes.iter().map(of).sum()
}

async fn counts(url: String, nodes: &[&Server], shards: u16) -> [u64; 4] {
    let config = RedisConfig::new(url, DigestKey::new(&[7; 32])).shards(shards);
    let store = RedisStore::connect(config).await.unwrap();
    let now = SystemClock.now();
    let hour = now + Duration::from_secs(3_600);
    let grant = || Grant::new("g", "web", now).subject("alice").session("s");
    let web = "web".into();
    let mut counted = [0; 4];
    // The first time the servers learn the scripts.
    for round in ["a", "b"] {
        let (rt, next) = (format!("rt-{round}"), format!("next-{round}"));
        let token = PresentedToken::new(&rt);
        let start = calls(nodes);
        store.issue(grant(), &[NewToken::refresh(token, hour)], now).await.unwrap();
        let issued = calls(nodes);
        store.find(token, None).await.unwrap().unwrap();
        let found = calls(nodes);
        let successors = [NewToken::refresh(PresentedToken::new(&next), hour)];
        let rotated = store.rotate(&Rotation::new(token, &web, &successors, now)).await.unwrap();
        assert!(matches!(rotated, Rotated::Applied(_)));
        let exchanged = calls(nodes);
        let target = Target::Session(round.into());
        let logout = Revocation::by_operator(target, Reason::Logout, now);
        store.revoke(&logout).await.unwrap();
        let revoked = calls(nodes);
        counted = [issued - start, found - issued, exchanged - found, revoked - exchanged];
    }
    counted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_single_server_everything_is_one_round_trip() {
    let server = Server::start(&[]);
    assert_eq!(counts(server.url(), &[&server], 1).await, [1, 1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_revocation_is_one_call_and_nothing_enumerates() {
    let cluster = Cluster::start(0, &[]);
    let nodes: Vec<&Server> = cluster.nodes.iter().collect();
    let [issued, found, exchanged, revoked] = counts(cluster.url(), &nodes, 16).await;
    assert_eq!(revoked, 1);
    // A record and its seven entries; one call for each target's shard and one for the token's; and both for an exchange,
    // with its family and the token that is spent.
    assert_eq!(found, 8);
    assert!((2..=7).contains(&issued), "{issued} calls");
    assert!(exchanged <= found + 2 + 7, "{exchanged} calls");
}

/// One successor was consumed before it was recorded: such an exchange is not one script.
#[tokio::test]
async fn successors_that_were_recorded_in_steps_can_be_revoked() {
    let server = Server::start(&[]);
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    let store = RedisStore::connect(config).await.unwrap();
    let (now, web) = (SystemClock.now(), "web".into());
    let hour = now + Duration::from_secs(3_600);
    for (n, target) in [
        Target::Grant("g0".into()),
        Target::Session("s1".into()),
        Target::Subject("alice2".into()),
        Target::Client("web".into()),
    ]
    .into_iter()
    .enumerate()
    {
        let [old, access, refresh] = ["old", "access", "refresh"].map(|name| format!("{name}{n}"));
        let grant = Grant::new(format!("g{n}"), "web", now)
            .subject(format!("alice{n}"))
            .session(format!("s{n}"));
        let old = PresentedToken::new(&old);
        store.issue(grant, &[NewToken::refresh(old, hour)], now).await.unwrap();
        let next = [
            NewToken::access(PresentedToken::new(&access), hour),
            NewToken::refresh(PresentedToken::new(&refresh), hour).already_consumed(),
        ];
        let rotated = store.rotate(&Rotation::new(old, &web, &next, now)).await.unwrap();
        assert!(matches!(rotated, Rotated::Applied(_)));
        assert!(is_good(&store, &access).await.unwrap());
        let revocation = Revocation::by_operator(target.clone(), Reason::Administrative, now);
        store.revoke(&revocation).await.unwrap();
        assert!(!is_good(&store, &access).await.unwrap(), "{target:?} was revoked");
    }
}

#[tokio::test]
async fn what_is_too_much_is_refused_or_comes_in_parts() {
    let server = Server::start(&[]);
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    let store = RedisStore::connect(config).await.unwrap();
    let now = SystemClock.now();
    let hour = now + Duration::from_secs(3_600);
    let grant = || Grant::new("g", "web", now);
    let token = |length: usize| {
        NewToken::access(PresentedToken::new("t"), hour).keep_counterpart("c".repeat(length))
    };
    assert!(store.issue(grant(), &[token(70_000)], now).await.is_err());
    assert!(store.find(PresentedToken::new("t"), None).await.unwrap().is_none());
    store.issue(grant(), &[token(60_000)], now).await.unwrap();
    let target = Target::Grant("g".into());
    store.revoke(&Revocation::by_operator(target, Reason::Logout, now)).await.unwrap();
    let Changes::Page(page) = store.changes(None, usize::MAX).await.unwrap() else {
        panic!("a gap for who knows nothing");
    };
    assert_eq!(page.entries().len(), 1);
}
