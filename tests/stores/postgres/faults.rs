//! What goes wrong in the middle of it all. What was acknowledged before is so after; what is asked meanwhile is refused in
//! time; and service resumes by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annul::store::{
    PostgresStore, Rotated, Rotation, StoreError, StoreErrorKind, Sweep, SweepBudget, TokenLedger,
    TokenStore,
};
use annul::{PresentedToken, Target};
use tokio::task::JoinHandle;

use crate::proxy::{Proxy, Way};
use crate::server;
use crate::server::Server;
use crate::tenancy::Place;
use crate::words::{access, at, follow, grant, is_revoked, of_grant, operator, refresh};

/// What each call may take.
const WITHIN: Duration = Duration::from_millis(800);

/// And what this machine may take to say so: other tests run beside this one.
const SLACK: Duration = Duration::from_secs(6);

/// Somebody who revokes one grant after the other, and writes down what was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<Seen>>,
}

#[derive(Default)]
struct Seen {
    acknowledged: Vec<String>,
    /// Those that were not. They may have been revoked.
    refused: usize,
    /// Some were acknowledged after some had been refused.
    resumed: bool,
}

impl Load {
    fn new(store: &PostgresStore, lanes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let lanes = (0..lanes).map(|lane| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = Seen::default();
                for n in 0.. {
                    let id = format!("g{lane}-{n}");
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let begun = Instant::now();
                    let issued = store.issue(grant(&id), &[access(&id, 9)], at(0)).await;
                    let outcome = match issued {
                        Ok(_) => store.revoke(&of_grant(&id)).await.map(drop),
                        Err(error) => Err(error),
                    };
                    assert!(begun.elapsed() < 2 * WITHIN + SLACK, "{:?}", begun.elapsed());
                    match outcome {
                        Ok(()) => {
                            seen.resumed |= seen.refused > 0;
                            seen.acknowledged.push(id);
                        }
                        Err(error) => {
                            assert_unavailable(&error);
                            seen.refused += 1;
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                }
                seen
            })
        });
        let lanes = lanes.collect();
        Self { stop, lanes }
    }

    async fn stop(self) -> Seen {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Seen { resumed: true, ..Seen::default() };
        for lane in self.lanes {
            let seen = lane.await.unwrap();
            all.acknowledged.extend(seen.acknowledged);
            all.refused += seen.refused;
            all.resumed &= seen.resumed;
        }
        all
    }
}

fn assert_unavailable(error: &StoreError) {
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{:?}", std::error::Error::source(error));
}

/// Asks until there is an answer again.
async fn resumes(store: &PostgresStore) {
    let begun = Instant::now();
    loop {
        match store.find(PresentedToken::new("anything"), None).await {
            Ok(_) => return,
            Err(error) => assert_unavailable(&error),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "service does not resume");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn all_are_dead(store: &PostgresStore, acknowledged: &[String]) {
    for id in acknowledged {
        assert!(is_revoked(store, id).await, "`{id}` was acknowledged, and lives");
    }
}

async fn patient(place: &Place) -> PostgresStore {
    PostgresStore::connect(place.config().timeout(WITHIN).connections(8)).await.unwrap()
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_of_the_server_and_service_resumes() {
    // With everything that makes it durable.
    let place = Place::new(Arc::new(Server::start(&[]))).await;
    let store = patient(&place).await;
    let mut cursor = None;
    let mut told = follow(&store, &mut cursor).await.unwrap();
    let load = Load::new(&store, 8);
    for _ in 0..2 {
        pause(700).await;
        told.extend(follow(&store, &mut cursor).await.unwrap());
        place.server.kill();
        pause(300).await;
        assert_unavailable(&store.find(PresentedToken::new("t"), None).await.unwrap_err());
        assert_unavailable(&follow(&store, &mut cursor.clone()).await.unwrap_err());
        place.server.run();
        resumes(&store).await;
    }
    pause(300).await;
    let seen = load.stop().await;
    assert!(seen.refused > 0 && seen.resumed, "the fault was not felt, or never ended");
    assert!(seen.acknowledged.len() > 20, "{}", seen.acknowledged.len());
    all_are_dead(&store, &seen.acknowledged).await;
    // Nor has the reader missed any.
    told.extend(follow(&store, &mut cursor).await.unwrap());
    for id in &seen.acknowledged {
        let target = Target::Grant(id.as_str().into());
        assert!(told.iter().any(|entry| *entry.target() == target), "`{id}` was not told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ends_are_replaced() {
    let place = Place::new(server::shared()).await;
    let (store, admin) = (patient(&place).await, place.server.admin().await);
    let load = Load::new(&store, 8);
    for _ in 0..10 {
        pause(50).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1::text";
        let ended = admin.query_one(sql, &[&place.name]).await.unwrap().get::<_, i64>(0);
        assert!(ended > 0, "there was nobody to end");
    }
    resumes(&store).await;
    let seen = load.stop().await;
    all_are_dead(&store, &seen.acknowledged).await;
    // Idle ones too: the first call after it finds them gone, and is served by another.
    admin
        .query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1::text",
            &[&place.name],
        )
        .await
        .unwrap();
    store.revoke(&of_grant("after")).await.unwrap();
}

/// As a connection to a primary that has become a standby: it answers, and it takes no writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_no_writes_any_more_is_not_used_again() {
    let place = Place::new(server::shared()).await;
    let (name, admin) = (&place.name, place.server.admin().await);
    let config = place.config().timeout(WITHIN).connections(1);
    let store = PostgresStore::connect(config).await.unwrap();
    let read_only = format!("ALTER ROLE {name} SET default_transaction_read_only = on");
    admin.batch_execute(&read_only).await.unwrap();
    assert_unavailable(&store.revoke(&of_grant("g")).await.unwrap_err());
    let writable = format!("ALTER ROLE {name} RESET default_transaction_read_only");
    admin.batch_execute(&writable).await.unwrap();
    store.revoke(&of_grant("g")).await.unwrap();
}

/// A name or an address that begins to lead to a standby: it answers, and what it has is of a while ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_leads_to_a_standby_tells_nobody_that_what_was_revoked_is_good() {
    let place = Place::new(Arc::new(Server::start(server::IN_HASTE))).await;
    let proxy = Proxy::new(place.server.port()).await;
    let (writes, reads) = (patient(&place).await, place.config_at(proxy.port).timeout(WITHIN));
    let reads = PostgresStore::connect(reads).await.unwrap();
    writes.issue(grant("g"), &[refresh("t", 1)], at(0)).await.unwrap();
    // A copy of how it was before the revocation, for it is told to stay there.
    let standby = place.server.standby();
    standby.admin().await.batch_execute("SELECT pg_wal_replay_pause()").await.unwrap();
    writes.revoke(&of_grant("g")).await.unwrap();
    proxy.leads_to(standby.port());
    for _ in 0..3 {
        let found = reads.find(PresentedToken::new("t"), None).await;
        assert_unavailable(&found.expect_err("a standby was asked"));
        assert_unavailable(&follow(&reads, &mut None).await.unwrap_err());
    }
    proxy.leads_to(place.server.port());
    resumes(&reads).await;
    assert!(is_revoked(&reads, "t").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_swallows_everything_is_given_up_in_time_and_left_behind() {
    let place = Place::new(server::shared()).await;
    let proxy = Proxy::new(place.server.port()).await;
    let config = place.config_at(proxy.port).timeout(WITHIN).connections(8);
    let store = PostgresStore::connect(config).await.unwrap();
    let load = Load::new(&store, 8);
    pause(300).await;
    for way in [Way::Lost, Way::Cut] {
        proxy.is(way);
        pause(200).await;
        assert_unavailable(&store.find(PresentedToken::new("t"), None).await.unwrap_err());
        proxy.is(Way::Open);
        resumes(&store).await;
        pause(300).await;
    }
    let seen = load.stop().await;
    assert!(seen.refused > 0 && seen.resumed, "the fault was not felt, or never ended");
    all_are_dead(&store, &seen.acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stands_still_for_ten_seconds_is_unavailable_in_time_and_used_again_when_it_goes_on()
 {
    let place = Place::new(Arc::new(Server::start(server::IN_HASTE))).await;
    let store = patient(&place).await;
    store.issue(grant("g"), &[access("t", 9)], at(0)).await.unwrap();
    store.revoke(&of_grant("g")).await.unwrap();
    let load = Load::new(&store, 8);
    pause(300).await;
    place.server.pause();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let asked = Instant::now();
        assert_unavailable(&store.find(PresentedToken::new("t"), None).await.unwrap_err());
        assert_unavailable(&store.revoke(&of_grant("other")).await.unwrap_err());
        assert!(asked.elapsed() < 2 * WITHIN + SLACK);
    }
    place.server.go_on();
    resumes(&store).await;
    pause(300).await;
    let seen = load.stop().await;
    assert!(seen.refused > 0 && seen.resumed, "the fault was not felt, or never ended");
    all_are_dead(&store, &seen.acknowledged).await;
    assert!(is_revoked(&store, "t").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_unavailable_and_nothing_is_lost() {
    let server = Arc::new(Server::start(&[]));
    let disk = server.small_disk();
    let place = Place::bare(Arc::clone(&server)).await;
    let admin = server.admin().await;
    admin
        .batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.path().display()))
        .await
        .unwrap();
    let name = &place.name;
    admin
        .batch_execute(&format!(
            "GRANT CREATE ON TABLESPACE small TO {name}; ALTER ROLE {name} SET default_tablespace = small"
        ))
        .await
        .unwrap();
    PostgresStore::migrate(&place.config()).await.unwrap();
    let store = patient(&place).await;
    let load = Load::new(&store, 4);
    pause(300).await;
    disk.fill();
    // What there is of room in the tables themselves is used up first.
    let mut acknowledged = Vec::new();
    let refused = loop {
        let id = format!("more{}", acknowledged.len());
        match store.issue(grant(&id), &[access(&id, 9)], at(0)).await {
            Ok(_) => match store.revoke(&of_grant(&id)).await {
                Ok(_) => acknowledged.push(id),
                Err(error) => break error,
            },
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100_000, "the disk does not get full");
    };
    assert_unavailable(&refused);
    let cause = std::error::Error::source(&refused);
    assert!(cause.is_some_and(|cause| cause.to_string().contains("No space left")), "{cause:?}");
    disk.make_room();
    resumes(&store).await;
    store.revoke(&of_grant("after")).await.unwrap();
    let seen = load.stop().await;
    all_are_dead(&store, &seen.acknowledged).await;
    all_are_dead(&store, &acknowledged).await;
}

/// PostgreSQL quotes the row that it refuses, and what is in a row is nobody's who reads the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_names_what_was_violated_and_quotes_no_row() {
    let place = Place::new(server::shared()).await;
    let store = patient(&place).await;
    let narrow = "ALTER TABLE annul_token ADD CONSTRAINT too_late CHECK (expires_at < 10)";
    place.client().await.batch_execute(narrow).await.unwrap();
    let token = refresh("t", 1).keep_counterpart("s3cret");
    let error = store.issue(grant("g-of-somebody"), &[token], at(0)).await.unwrap_err();
    let mut text = format!("{error:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        text += &format!("; {error}");
        cause = error.source();
    }
    for told in ["too_late", "23514", "check constraint"] {
        assert!(text.contains(told), "{text}");
    }
    // As it is, and in hexadecimal.
    for hidden in ["s3cret", "733363726574", "somebody", "736f6d65626f6479"] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_back_a_minute_revives_nothing() {
    let place = Place::new(server::shared()).await;
    let store = patient(&place).await;
    let (now, before) = (at(10), at(9));
    store.issue(grant("g"), &[access("at", 9), refresh("rt", 9)], now).await.unwrap();
    store.revoke(&operator(Target::Subject("alice".into()), now)).await.unwrap();
    // The same by the clock of a minute ago is an earlier cutoff, and no news.
    let again = store.revoke(&operator(Target::Subject("alice".into()), before)).await.unwrap();
    assert_eq!(again, annul::Revoked::Already);
    store.issue(grant("late"), &[refresh("late", 9)], before).await.unwrap();
    store.sweep(now, SweepBudget::default()).await.unwrap();
    store.sweep(before, SweepBudget::default()).await.unwrap();
    for token in ["at", "rt", "late"] {
        assert!(is_revoked(&store, token).await, "`{token}` lives");
    }
    // A family: spent at ten past, and again a minute earlier.
    let bob = annul::Grant::new("b", "web", at(0)).subject("bob");
    store.issue(bob, &[refresh("r1", 9)], now).await.unwrap();
    let web = "web".into();
    for (time, next, reused) in [(now, "r2", false), (before, "r3", true)] {
        let next = [refresh(next, 9)];
        let rotation = Rotation::new(PresentedToken::new("r1"), &web, &next, time);
        let rotated = store.rotate(&rotation).await.unwrap();
        assert_eq!(matches!(rotated, Rotated::Reused(_)), reused, "{rotated:?}");
    }
    assert!(is_revoked(&store, "r2").await);
}
