//! How long entries are kept, with sweeps in between: never for less than what they cover (`FAULTS` K1).

use std::sync::Arc;
use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{
    Issued, Lifetimes, Retention, Rotated, Rotation, Session, Sweep, SweepBudget, TokenLedger,
    TokenStore,
};
use annul::{
    Clock, DigestKey, FakeClock, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation,
    SystemClock, Target, Timestamp, TokenState,
};

use crate::servers::Server;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Nothing is kept but for a reason that the case names.
fn bare() -> Lifetimes {
    let mut retention = Retention::default();
    retention.access_tokens = Duration::ZERO;
    retention.refresh_tokens = Duration::ZERO;
    Lifetimes::default().with_retention(retention)
}

fn config(server: &Server, shards: u16, lifetimes: Lifetimes) -> RedisConfig {
    RedisConfig::new(server.url(), DigestKey::new(&[7; 32]))
        .shards(shards)
        .longest_lifetime(Duration::ZERO)
        .lifetimes(lifetimes)
        .timeout(Duration::from_secs(10))
}

async fn connect(server: &Server, shards: u16, lifetimes: Lifetimes) -> RedisStore {
    RedisStore::connect(config(server, shards, lifetimes)).await.unwrap()
}

async fn revoke(store: &RedisStore, target: Target, now: Timestamp) {
    let revocation = Revocation::by_operator(target, Reason::Administrative, now);
    store.revoke(&revocation).await.unwrap();
}

/// None where it is not found.
async fn state(store: &RedisStore, name: &str) -> Option<TokenState> {
    let found = store.find(PresentedToken::new(name), None).await.unwrap();
    found.map(|record| record.state())
}

async fn sweep_all(store: &RedisStore, now: Timestamp) {
    while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
}

fn refresh(name: &str, expiry: Timestamp) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(name), expiry)
}

fn targets() -> Vec<Target> {
    let grant = Grant::new("g", "web", Timestamp::default()).subject("alice").session("s");
    grant.targets().collect()
}

/// K1.1, where the clock is believed: what is forgotten is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_by_a_clock_that_is_ahead_removes_no_entry_before_its_records() {
    let server = Server::start(&[]);
    let believing = Lifetimes::default().with_clock_leap(Duration::MAX);
    for (shards, rows) in [(1, 1), (1, 3), (4, 1), (4, 3)] {
        for alone in [false, true] {
            for target in targets() {
                server.ask(&["FLUSHALL"]);
                let store = connect(&server, shards, believing).await;
                let now = SystemClock.now();
                let grant = || Grant::new("g", "web", now).subject("alice").session("s");
                let tokens = [1, 2, 3, 4, 5, 6].map(|n| (format!("t{n}"), now + HOUR * n * n));
                for (name, expiry) in &tokens {
                    let new = NewToken::refresh(PresentedToken::new(name), *expiry);
                    store.issue(grant(), &[new], now).await.unwrap();
                }
                let session = Session::new("s", "alice", now, now + HOUR).client("web");
                store.open_session(session).await.unwrap();
                if alone {
                    for (name, _) in &tokens {
                        let found = store.find(PresentedToken::new(name), None).await.unwrap();
                        revoke(&store, Target::Token(found.unwrap().id().clone()), now).await;
                    }
                } else {
                    revoke(&store, target.clone(), now).await;
                }
                for ahead in [HOUR * 2, DAY * 7, DAY * 7 + HOUR * 5, DAY * 9, DAY * 40] {
                    let mut more = true;
                    while more {
                        more =
                            store.sweep(now + ahead, SweepBudget::rows(rows)).await.unwrap().more;
                        for (name, _) in &tokens {
                            let state = state(&store, name).await;
                            assert!(
                                matches!(state, None | Some(TokenState::Revoked { .. })),
                                "{name}, ended by {target:?} (alone: {alone}), is {state:?} \
                                 after a sweep {ahead:?} ahead, {shards} shards"
                            );
                        }
                    }
                }
                assert_eq!(state(&store, "t6").await, None);
                if alone {
                    break;
                }
            }
        }
    }
}

/// K1.1, where it is not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_leaps_is_believed_once_it_has_stayed_there() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let stopwatch = Arc::new(FakeClock::at(Timestamp::default()));
        let config = config(&server, shards, Lifetimes::default());
        let store = RedisStore::connect(config.stopwatch(Arc::clone(&stopwatch))).await.unwrap();
        let now = SystemClock.now();
        let token = NewToken::access(PresentedToken::new("t"), now + HOUR);
        store.issue(Grant::new("g", "web", now), &[token], now).await.unwrap();
        revoke(&store, Target::Grant("g".into()), now).await;
        let sweep = async |now| store.sweep(now, SweepBudget::default()).await.unwrap();
        assert_eq!(sweep(now + MINUTE).await.clock_leap, None);
        let ahead = now + DAY * 60;
        let leap = DAY * 60 - MINUTE;
        assert_eq!(sweep(ahead).await.clock_leap, Some(leap));
        assert_eq!(sweep(ahead).await.removed, 0);
        assert!(state(&store, "t").await.is_some());
        // Neither an hour by that clock alone, nor an issue by it, nor a namespace of another name.
        let other = store.namespace(&annul::Namespace::new("other"));
        assert_eq!(other.sweep(ahead, SweepBudget::default()).await.unwrap().clock_leap, None);
        let late = NewToken::access(PresentedToken::new("late"), ahead + HOUR);
        store.issue(Grant::new("g2", "web", ahead), &[late], ahead).await.unwrap();
        assert_eq!(sweep(ahead + HOUR).await.clock_leap, Some(leap + HOUR));
        // Put right, it is forgotten.
        assert_eq!(sweep(now + MINUTE * 2).await.clock_leap, None);
        stopwatch.advance(HOUR * 5);
        assert!(sweep(ahead + HOUR * 2).await.clock_leap.is_some());
        assert!(sweep(ahead + HOUR * 3).await.clock_leap.is_some());
        stopwatch.advance(HOUR);
        let swept = sweep(ahead + HOUR * 3).await;
        assert!(swept.clock_leap.is_none() && swept.removed > 0, "{swept:?}");
        assert_eq!(state(&store, "t").await, None);
    }
}

/// What time it is is kept in every shard: a node that comes back empty does not make the others believe anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_forgot_the_time_is_told_it() {
    let server = Server::start(&[]);
    let store = connect(&server, 4, Lifetimes::default()).await;
    let now = SystemClock.now();
    let sweep = async |now| store.sweep(now, SweepBudget::default()).await.unwrap();
    sweep(now).await;
    let clocks = || {
        let keys: Vec<String> =
            redis::from_redis_value(server.ask(&["KEYS", "{annul:*}m"])).unwrap();
        keys.into_iter()
            .filter(|key| !server.text(&["HGET", key, "t"]).is_empty())
            .collect::<Vec<_>>()
    };
    let known = clocks();
    assert_eq!(known.len(), 4);
    for key in &known[..3] {
        server.ask(&["DEL", key]);
    }
    assert!(sweep(now + DAY).await.clock_leap.is_some());
    sweep(now + MINUTE).await;
    assert_eq!(clocks().len(), 4);
}

/// K1.2. The callers' clock is ahead of Redis' own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_cutoff_counts_from_when_it_was_recorded() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = connect(&server, shards, bare()).await;
        let now = SystemClock.now() + DAY * 20;
        let (stolen, login) = (now - DAY * 5, now - DAY * 6);
        let revocation = Revocation::by_operator(Target::Everything, Reason::KeyCompromise, now)
            .with_cutoff(stolen);
        store.revoke(&revocation).await.unwrap();
        for later in [SECOND, HOUR - MINUTE] {
            sweep_all(&store, now + later).await;
        }
        let now = now + (HOUR - MINUTE);
        let late = [NewToken::access(PresentedToken::new("late"), now + DAY)];
        let issued = store.issue(Grant::new("g", "web", login), &late, now).await.unwrap();
        assert_ne!(issued, Issued::Live, "{shards} shards");
    }
}

/// K1.2. The latest clock that the store has seen counts as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_by_a_clock_that_is_behind_counts_from_the_latest_time_seen() {
    let server = Server::start(&[]);
    let store = connect(&server, 1, bare()).await;
    let now = SystemClock.now() + DAY * 20;
    sweep_all(&store, now).await;
    revoke(&store, Target::Subject("alice".into()), now - DAY).await;
    sweep_all(&store, now + HOUR / 2).await;
    let grant = Grant::new("g", "web", now - DAY * 2).subject("alice");
    let late = [NewToken::access(PresentedToken::new("late"), now + DAY)];
    assert_ne!(store.issue(grant, &late, now + HOUR / 2).await.unwrap(), Issued::Live);
}

/// K1.3. The participant comes hours after the revocation, into a session that never paused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cutoff_is_kept_while_a_session_from_before_it_lasts_whoever_takes_part() {
    for shards in [1, 4] {
        for target in [
            Target::Client("c".into()),
            Target::SubjectAtClient("alice".into(), "c".into()),
            Target::Subject("alice".into()),
            Target::Everything,
        ] {
            let server = Server::start(&[]);
            let store = connect(&server, shards, bare().with_in_flight(MINUTE * 10)).await;
            let start = SystemClock.now();
            let at = |seconds: u32| start + SECOND * seconds;
            let session = |until| Session::new("s", "alice", start, until);
            store.open_session(session(at(1_000)).client("a")).await.unwrap();
            let mut is_revoked = false;
            for seconds in (0..19_500).step_by(500) {
                store.open_session(session(at(seconds + 1_000))).await.unwrap();
                if seconds > 100 && !is_revoked {
                    revoke(&store, target.clone(), at(100)).await;
                    is_revoked = true;
                }
                sweep_all(&store, at(seconds)).await;
            }
            store.open_session(session(at(20_000)).client("c")).await.unwrap();
            sweep_all(&store, at(19_510)).await;
            let grant = Grant::new("g", "c", start).subject("alice").session("s");
            let token = NewToken::access(PresentedToken::new("stolen"), at(20_000));
            let issued = store.issue(grant, &[token], at(19_510)).await.unwrap();
            assert_eq!(issued, Issued::BornDead { by: target.kind() }, "{shards} shards");
            // It goes with the last of them.
            let store = connect(&server, shards, bare().with_clock_leap(Duration::MAX)).await;
            sweep_all(&store, at(19_510) + DAY).await;
            let left: Vec<Vec<u8>> =
                redis::from_redis_value(server.ask(&["KEYS", "*}e*"])).unwrap();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// And by Redis itself, which forgets by its own clock.
#[tokio::test]
async fn a_cutoff_that_is_kept_for_a_session_is_kept_by_redis_as_well() {
    let server = Server::start(&[]);
    let store = connect(&server, 4, bare()).await;
    let now = SystemClock.now();
    revoke(&store, Target::Client("c".into()), now).await;
    let session = Session::new("s", "alice", now - HOUR, now + DAY * 90).client("a");
    store.open_session(session).await.unwrap();
    sweep_all(&store, now + HOUR / 2).await;
    let store = connect(&server, 4, bare().with_clock_leap(Duration::MAX)).await;
    sweep_all(&store, now + HOUR * 4).await;
    let instant = |pattern: &str| -> i64 {
        let keys: Vec<Vec<u8>> = redis::from_redis_value(server.ask(&["KEYS", pattern])).unwrap();
        assert_eq!(keys.len(), 1, "{pattern}");
        let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        redis::cmd("PEXPIRETIME").arg(&keys[0]).query(&mut connection).unwrap()
    };
    assert!(instant("*}e*") > instant("*}s*"));
    assert!(instant("*}x") > instant("*}s*"));
}

/// K1.4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_a_setting() {
    for (lifetimes, minutes) in [(bare(), 58), (bare().with_in_flight(HOUR * 2), 118)] {
        for shards in [1, 4] {
            for target in targets() {
                let server = Server::start(&[]);
                let store = connect(&server, shards, lifetimes).await;
                let approved = SystemClock.now();
                let at = |minutes: u32| approved + MINUTE * minutes;
                revoke(&store, target.clone(), at(1)).await;
                for minute in (1..=minutes).step_by(3) {
                    sweep_all(&store, at(minute)).await;
                }
                let grant = Grant::new("g", "web", approved).subject("alice").session("s");
                let token = NewToken::access(PresentedToken::new("late"), at(minutes) + HOUR);
                let issued = store.issue(grant, &[token], at(minutes)).await.unwrap();
                assert_eq!(issued, Issued::BornDead { by: target.kind() }, "{minutes} minutes");
            }
        }
    }
}

/// A JWT that no store has seen.
#[tokio::test]
async fn an_entry_outlives_what_was_issued_without_being_recorded() {
    let server = Server::start(&[]);
    let lifetimes = bare().with_longest_unrecorded(DAY).with_clock_leap(Duration::MAX);
    let store = connect(&server, 1, lifetimes).await;
    let now = SystemClock.now();
    revoke(&store, Target::Grant("g".into()), now).await;
    let entries =
        || -> Vec<Vec<u8>> { redis::from_redis_value(server.ask(&["KEYS", "*}e*"])).unwrap() };
    sweep_all(&store, now + DAY + HOUR / 2).await;
    assert_eq!(entries().len(), 1);
    sweep_all(&store, now + DAY + HOUR * 2).await;
    assert_eq!(entries().len(), 0);
}

/// The record of a consumed token is kept for as long as its family, and so is an entry for it alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_for_a_consumed_token_outlives_a_family_that_goes_on() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = connect(&server, shards, Lifetimes::default()).await;
        let start = SystemClock.now();
        let grant = Grant::new("g", "web", start);
        store.issue(grant, &[refresh("r0", start + DAY)], start).await.unwrap();
        let found = store.find(PresentedToken::new("r0"), None).await.unwrap().unwrap();
        let mut now = start;
        for n in 0..60 {
            let (old, next) = (format!("r{n}"), format!("r{}", n + 1));
            let successors = [refresh(&next, now + DAY)];
            let web = "web".into();
            let rotation = Rotation::new(PresentedToken::new(&old), &web, &successors, now);
            let rotated = store.rotate(&rotation).await.unwrap();
            assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
            if n == 0 {
                revoke(&store, Target::Token(found.id().clone()), now).await;
            }
            for _ in 0..12 {
                now = now + HOUR;
                sweep_all(&store, now).await;
            }
            let state = state(&store, "r0").await;
            assert!(matches!(state, Some(TokenState::Revoked { .. })), "{n}: {state:?}");
        }
    }
}
