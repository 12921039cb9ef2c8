//! `RedisStore` against the bare client: the same scripts, called over the same kind of connection, with as many calls in
//! flight. It starts a server of its own, which keeps nothing on a disk.
//!
//! `cargo bench --features redis --bench redis`

#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on panics, and has a stopwatch"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annul::store::redis::RedisConfig;
use annul::store::{Lifetimes, Rotation, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    Clock, DigestKey, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock,
    Target, Timestamp,
};
use redis::aio::MultiplexedConnection;

use crate::report::{Target as Goal, median};
use crate::servers::Server;

#[expect(dead_code, reason = "the other benches use the rest")]
mod support;
use support::report;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/stores/redis/servers.rs"]
mod servers;

const DAY: Duration = Duration::from_secs(86_400);

const REVOKE: &str = concat!(
    "#!lua\n",
    include_str!("../src/store/redis/lua/common.lua"),
    include_str!("../src/store/redis/lua/entry.lua"),
    include_str!("../src/store/redis/lua/token.lua"),
    include_str!("../src/store/redis/lua/revoke.lua"),
);

const FIND: &str = concat!(
    "#!lua flags=allow-oom\n",
    include_str!("../src/store/redis/lua/common.lua"),
    include_str!("../src/store/redis/lua/entry.lua"),
    include_str!("../src/store/redis/lua/token.lua"),
    include_str!("../src/store/redis/lua/find.lua"),
);

/// Runs `count` of them, so many at once, and says how long that took.
async fn run<F>(count: u64, in_flight: u64, operation: impl Fn(u64) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let futures: Vec<F> = (0..count).map(operation).collect();
    let queue = Arc::new(std::sync::Mutex::new(futures.into_iter()));
    let lanes: Vec<_> = (0..in_flight)
        .map(|_| {
            let (next, queue) = (Arc::clone(&next), Arc::clone(&queue));
            tokio::spawn(async move {
                loop {
                    let future = queue.lock().unwrap().next();
                    let Some(future) = future else { return };
                    future.await;
                    next.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    assert_eq!(next.load(Ordering::Relaxed), count, "every call succeeds");
    start.elapsed()
}

fn rate(count: u64, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
}

/// A server, the store on it, and the bare client.
struct Bench {
    server: Server,
    store: RedisStore,
    bare: MultiplexedConnection,
    now: Timestamp,
    names: AtomicU64,
}

impl Bench {
    async fn start() -> Self {
        let server = Server::start(&[]);
        // One of the benches sweeps tomorrow.
        let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
        let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32])).lifetimes(lifetimes);
        let store = RedisStore::connect(config.timeout(Duration::from_secs(30))).await.unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let bare = client.get_multiplexed_async_connection().await.unwrap();
        Self { server, store, bare, now: SystemClock.now(), names: AtomicU64::new(0) }
    }

    /// Numbers that were not used before.
    fn fresh(&self, count: u64) -> u64 {
        self.names.fetch_add(count, Ordering::SeqCst)
    }

    async fn load(&self, script: &str) -> Arc<str> {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(script);
        let hash: String = command.query_async(&mut self.bare.clone()).await.unwrap();
        hash.into()
    }

    fn grant(&self, n: u64) -> Grant {
        Grant::new(format!("grant-{n}"), "s6BhdRkqt3", self.now)
            .subject(format!("user-{n}"))
            .session(format!("session-{n}"))
            .scope("openid profile")
    }

    /// Issues one access token for each of these numbers.
    async fn fill(&self, from: u64, count: u64, lasts: Duration) -> Duration {
        run(count, 64, |n| {
            let (store, n) = (self.store.clone(), from + n);
            let (grant, now) = (self.grant(n), self.now);
            async move {
                let name = format!("token-{n}");
                let new = [NewToken::access(PresentedToken::new(&name), now + lasts)];
                store.issue(grant, &new, now).await.unwrap();
            }
        })
        .await
    }

    async fn revoke(&self, count: u64, in_flight: u64) -> Duration {
        let from = self.fresh(count);
        run(count, in_flight, |n| {
            let (store, now) = (self.store.clone(), self.now);
            async move {
                let target = Target::Grant(format!("grant-{}", from + n).into());
                store.revoke(&Revocation::by_operator(target, Reason::Logout, now)).await.unwrap();
            }
        })
        .await
    }

    async fn revoke_bare(&self, hash: &Arc<str>, count: u64, in_flight: u64) -> Duration {
        let from = self.fresh(count);
        let now = self.now.as_unix_millis();
        let at = now.to_be_bytes();
        run(count, in_flight, |n| {
            let (mut bare, hash, n) = (self.bare.clone(), Arc::clone(hash), u128::from(from + n));
            async move {
                // As long as the store's own.
                let id = (n << 64 | 1).to_be_bytes();
                let tag = b"{annul:000000000000:0/1}";
                let mut command = redis::cmd("EVALSHA");
                command.arg(&*hash).arg(3);
                command.arg([tag.as_slice(), b"m"].concat());
                command.arg([tag.as_slice(), b"e", &id].concat());
                command.arg([tag.as_slice(), b"x"].concat());
                command.arg(&id).arg(&at).arg("g");
                let body = format!("\u{1}\u{10}grant-{n:010}\u{6}logouto");
                // When it is recorded, the longest lifetime with what is remembered after it, what is in flight, and the
                // leap of a clock.
                command.arg(body).arg(&id).arg(now).arg(3_196_800_000_u64).arg(3_600_000_u64);
                command.arg(9_000_000_000_000_000_u64);
                let answer: redis::Value = command.query_async(&mut bare).await.unwrap();
                assert!(matches!(&answer, redis::Value::Array(parts) if parts.len() == 2));
            }
        })
        .await
    }

    async fn check(&self, among: u64, count: u64, in_flight: u64) -> Duration {
        let step = 7_919;
        run(count, in_flight, |n| {
            let store = self.store.clone();
            async move {
                let name = format!("token-{}", n * step % among);
                let found = store.find(PresentedToken::new(&name), None).await.unwrap();
                assert!(found.is_some());
            }
        })
        .await
    }

    /// The bare client has no names: it asks for records by their keys, as they are in the server.
    async fn check_bare(
        &self,
        keys: &Arc<[Vec<u8>]>,
        hash: &Arc<str>,
        count: u64,
        in_flight: u64,
    ) -> Duration {
        run(count, in_flight, |n| {
            let (mut bare, hash, keys) = (self.bare.clone(), Arc::clone(hash), Arc::clone(keys));
            async move {
                let key = &keys[usize::try_from(n).unwrap() * 7_919 % keys.len()];
                let (tag, id) = key.split_at(key.len() - 17);
                let mut command = redis::cmd("EVALSHA");
                command.arg(&*hash).arg(2).arg([tag, b"m"].concat()).arg(key).arg(&id[1..]);
                let answer: redis::Value = command.query_async(&mut bare).await.unwrap();
                assert!(matches!(&answer, redis::Value::Array(parts) if parts.len() == 2));
            }
        })
        .await
    }

    fn used_memory(&self) -> f64 {
        let info = self.server.text(&["INFO", "memory"]);
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().parse().unwrap()
    }

    fn calls(&self) -> f64 {
        let stats = self.server.text(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        line.map_or(0.0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

struct Effort {
    rounds: usize,
    calls: u64,
}

impl Effort {
    fn new() -> Self {
        match support::is_test() {
            true => Self { rounds: 1, calls: 200 },
            false => Self { rounds: 9, calls: 10_000 },
        }
    }
}

async fn against_the_bare_client(effort: &Effort) {
    report::title("A call against the bare EVALSHA of the same script");
    let bench = Bench::start().await;
    let (revoke, find) = (bench.load(REVOKE).await, bench.load(FIND).await);
    let tokens = effort.calls;
    bench.fill(0, tokens, DAY).await;
    bench.names.store(tokens * 1_000, Ordering::SeqCst);
    let keys: Vec<Vec<u8>> = redis::from_redis_value(bench.server.ask(&["KEYS", "*}t*"])).unwrap();
    // An id may hold those two bytes as well.
    let is_token = |key: &Vec<u8>| key.iter().rev().nth(17) == Some(&b'}');
    let keys: Arc<[Vec<u8>]> =
        keys.into_iter().filter(|key| is_token(key) && key[key.len() - 17] == b't').collect();
    for in_flight in [1, 16] {
        let calls = if in_flight == 1 { effort.calls / 4 } else { effort.calls };
        let mut revoking = Vec::new();
        let mut checking = Vec::new();
        let mut rates = Vec::new();
        for round in 0..effort.rounds {
            // Each goes first as often as the other.
            let (own, bare) = if round % 2 == 0 {
                let own = bench.revoke(calls, in_flight).await;
                (own, bench.revoke_bare(&revoke, calls, in_flight).await)
            } else {
                let bare = bench.revoke_bare(&revoke, calls, in_flight).await;
                (bench.revoke(calls, in_flight).await, bare)
            };
            revoking.push(bare.as_secs_f64() / own.as_secs_f64());
            rates.push(rate(calls, own));
            let (own, bare) = if round % 2 == 0 {
                let own = bench.check(tokens, calls, in_flight).await;
                (own, bench.check_bare(&keys, &find, calls, in_flight).await)
            } else {
                let bare = bench.check_bare(&keys, &find, calls, in_flight).await;
                (bench.check(tokens, calls, in_flight).await, bare)
            };
            checking.push(bare.as_secs_f64() / own.as_secs_f64());
        }
        report::note(&format!("revocations, {in_flight} in flight"), median(rates), "a second");
        let what = format!("revoke, {in_flight} in flight: rate against the bare call");
        report::line(&what, median(revoking), Goal::AtLeast(0.95));
        let what = format!("check, {in_flight} in flight: rate against the bare call");
        report::line(&what, median(checking), Goal::AtLeast(0.95));
    }
}

async fn round_trips() {
    report::title("Round trips, counted by the server");
    let bench = Bench::start().await;
    bench.fill(0, 1, DAY).await;
    bench.check(1, 1, 1).await;
    bench.revoke(1, 1).await;
    let (store, now) = (&bench.store, bench.now);
    let client = "s6BhdRkqt3".into();
    for n in [1, 2] {
        let before = bench.calls();
        let name = format!("refresh-{n}");
        let token = PresentedToken::new(&name);
        let new = [NewToken::refresh(token, now + DAY)];
        store.issue(bench.grant(n), &new, now).await.unwrap();
        let issued = bench.calls();
        let name = format!("next-{n}");
        let next = [NewToken::refresh(PresentedToken::new(&name), now + DAY)];
        store.rotate(&Rotation::new(token, &client, &next, now)).await.unwrap();
        let exchanged = bench.calls();
        store.find(token, None).await.unwrap().unwrap();
        let found = bench.calls();
        bench.revoke(1, 1).await;
        let revoked = bench.calls();
        if n == 2 {
            report::line("issue", issued - before, Goal::AtMost(1.0));
            report::line("rotate", exchanged - issued, Goal::AtMost(1.0));
            report::line("check", found - exchanged, Goal::AtMost(1.0));
            report::line("revoke", revoked - found, Goal::AtMost(1.0));
        }
    }
}

async fn flatness(effort: &Effort) {
    report::title("The cost of a call, by the number of live tokens");
    let mut first: Option<(f64, f64)> = None;
    for size in support::sizes() {
        let bench = Bench::start().await;
        let empty = bench.used_memory();
        let took = bench.fill(0, size, DAY).await;
        bench.names.store(size * 10, Ordering::SeqCst);
        let tokens = u32::try_from(size).map_or(f64::NAN, f64::from);
        let per_token = (bench.used_memory() - empty) / tokens;
        let mut revoking = Vec::new();
        let mut checking = Vec::new();
        for _ in 0..effort.rounds {
            revoking.push(bench.revoke(effort.calls, 16).await.as_secs_f64());
            checking.push(bench.check(size, effort.calls, 16).await.as_secs_f64());
        }
        let (revoke, check) = (median(revoking), median(checking));
        let (revoke_first, check_first) = *first.get_or_insert((revoke, check));
        let size_text = report::short(size);
        report::note(&format!("{size_text} live: issued"), rate(size, took), "a second");
        report::note(&format!("{size_text} live: memory of each"), per_token, "bytes");
        let what = format!("{size_text} live: revoke, times that of the fewest");
        report::line(&what, revoke / revoke_first, Goal::AtMost(1.5));
        let what = format!("{size_text} live: check, times that of the fewest");
        report::line(&what, check / check_first, Goal::AtMost(1.5));
    }
}

async fn fan_out(effort: &Effort) {
    report::title("The cost of a logout, by the number of tokens in the session");
    let bench = Bench::start().await;
    let sessions = if support::is_test() { 2 } else { 20 };
    let mut first = None;
    for tokens in [1, if support::is_test() { 10 } else { 10_000 }] {
        let mut costs = Vec::new();
        for _ in 0..sessions {
            let session = bench.fresh(1);
            let grant = Grant::new(format!("g{session}"), "web", bench.now)
                .subject("alice")
                .session(format!("many-{session}"));
            run(tokens, 64, |n| {
                let (store, grant, now) = (bench.store.clone(), grant.clone(), bench.now);
                async move {
                    let name = format!("many-{session}-{n}");
                    let new = [NewToken::access(PresentedToken::new(&name), now + DAY)];
                    store.issue(grant, &new, now).await.unwrap();
                }
            })
            .await;
            let target = Target::Session(format!("many-{session}").into());
            let logout = Revocation::by_operator(target, Reason::Logout, bench.now);
            // The connection has been idle or busy; the first call after that is not the one to measure.
            for _ in 0..20 {
                bench.check_one(&format!("many-{session}-0")).await;
            }
            let start = Instant::now();
            bench.store.revoke(&logout).await.unwrap();
            costs.push(start.elapsed().as_secs_f64());
        }
        let cost = median(costs);
        let base = *first.get_or_insert(cost);
        let what = format!("logout of {tokens} tokens: {:.0} us", cost * 1e6);
        report::line(&what, cost / base, Goal::AtMost(1.5));
    }
    let _ = effort;
}

impl Bench {
    async fn check_one(&self, name: &str) {
        self.store.find(PresentedToken::new(name), None).await.unwrap().unwrap();
    }
}

async fn sweeping() {
    report::title("Sweeping beside revocations");
    let bench = Bench::start().await;
    let count = if support::is_test() { 1_000 } else { 200_000 };
    let issuing = bench.fill(0, count, Duration::from_secs(60)).await;
    bench.names.store(count * 10, Ordering::SeqCst);
    let stop = Arc::new(AtomicBool::new(false));
    let revoking = {
        let (store, stop, now) = (bench.store.clone(), Arc::clone(&stop), bench.now);
        tokio::spawn(async move {
            let mut took = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return took;
                }
                let target = Target::Grant(format!("swept-beside-{n}").into());
                let start = Instant::now();
                store.revoke(&Revocation::by_operator(target, Reason::Logout, now)).await.unwrap();
                took.push(start.elapsed().as_secs_f64() * 1e3);
            }
            took
        })
    };
    let start = Instant::now();
    let later = bench.now + DAY;
    let mut removed = 0;
    loop {
        let swept = bench.store.sweep(later, SweepBudget::rows(10_000)).await.unwrap();
        removed += swept.removed;
        if !swept.more {
            break;
        }
    }
    let took = start.elapsed();
    stop.store(true, Ordering::SeqCst);
    let mut beside = revoking.await.unwrap();
    let removed = u64::try_from(removed).unwrap();
    assert!(removed >= count, "{removed} of {count}");
    report::note("issued, 64 in flight", rate(count, issuing), "a second");
    report::note("swept", rate(removed, took), "a second");
    let ratio = rate(removed, took) / rate(count, issuing);
    report::line("swept for each issued in the same time", ratio, Goal::AtLeast(1.0));
    beside.sort_by(f64::total_cmp);
    let p99 = beside.get(beside.len() * 99 / 100).copied().unwrap_or(f64::NAN);
    report::line("p99 of a revocation beside it, in ms", p99, Goal::AtMost(10.0));
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let effort = Effort::new();
    runtime.block_on(async {
        if support::is_asked_for("rate") {
            against_the_bare_client(&effort).await;
            round_trips().await;
        }
        if support::is_asked_for("scale") {
            flatness(&effort).await;
        }
        if support::is_asked_for("sessions") {
            fan_out(&effort).await;
        }
        if support::is_asked_for("sweep") {
            sweeping().await;
        }
    });
}
