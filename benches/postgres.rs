//! The store in PostgreSQL against PostgreSQL's own tool, and what it costs at scale.
//!
//! Starts a server of its own, with `fsync` and `synchronous_commit` on, in the temporary folder: the figures are those of
//! the disk that this is on. What is compared is measured in turns, and compared round by round.

#![expect(clippy::disallowed_methods, reason = "a stopwatch")]
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "as above")]

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/stores/postgres/server.rs"]
mod server;
#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annul::store::{
    Lifetimes, PostgresConfig, PostgresStore, Sweep, SweepBudget, TokenLedger, TokenStore,
};
use annul::{DigestKey, Grant, NewToken, PresentedToken, Reason, Revocation, Target, Timestamp};
use server::Server;
use support::report;
use support::report::{Target as Aim, median};
use tokio_postgres::Client;

const CONNECTIONS: usize = 16;

struct Effort {
    rounds: usize,
    /// How long each side runs in each round.
    each: Duration,
    calls: usize,
}

impl Effort {
    fn new() -> Self {
        if support::is_test() {
            Self { rounds: 1, each: Duration::from_millis(300), calls: 50 }
        } else {
            Self { rounds: 7, each: Duration::from_secs(5), calls: 2_000 }
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000)
}

fn later(hours: u64) -> Timestamp {
    now() + Duration::from_secs(3_600 * hours)
}

/// A schema, the role that owns it, and a store over it.
struct Tables {
    role: String,
    store: PostgresStore,
    client: Client,
}

impl Tables {
    async fn new(server: &Server, role: &str) -> Self {
        let admin = server.admin().await;
        let sql = format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA {role} AUTHORIZATION {role}");
        admin.batch_execute(&sql).await.unwrap();
        let words = format!("host=127.0.0.1 port={} user={role} dbname=postgres", server.port());
        let config = PostgresConfig::new(&words, DigestKey::new(&[7; 32]));
        let config = config.connections(CONNECTIONS).timeout(Duration::from_secs(60));
        // The sweeps here are of a year later.
        let config = config.lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX));
        PostgresStore::migrate(&config).await.unwrap();
        let store = PostgresStore::connect(config).await.unwrap();
        Self { role: role.to_owned(), store, client: server::connect(&words).await }
    }

    /// Tokens that nobody asks for, two of each grant, eight of each session: rows as the store writes them.
    async fn fill(&self, from: u64, to: u64) {
        let sql = format!(
            "INSERT INTO annul_token
             SELECT sha256(int8send(n)), CASE n % 2 WHEN 0 THEN 'a' ELSE 'r' END, false, 0, 0, 4000000000000, 4000000000000 + n, 0, false,
                    substr(sha256(int8send(-n / 2)), 1, 16), substr(sha256(int8send(-n / 8)), 2, 16),
                    substr(sha256(int8send(-n / 8)), 3, 16), substr(sha256(int8send(-n / 8)), 4, 16),
                    substr(sha256(int8send(-n % 100)), 5, 16), int8send(n / 2), int8send(n % 100),
                    int8send(n / 8), int8send(n / 8), NULL, NULL
             FROM generate_series({from}::bigint, {to}::bigint) n"
        );
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// So many tokens, and among them, all over the table, these of ours: one grant and one session for each.
    async fn hold(&self, size: u64, ours: usize) {
        const PARTS: u64 = 20;
        for part in 0..PARTS {
            self.fill(size * part / PARTS + 1, size * (part + 1) / PARTS).await;
            for n in (0..ours).filter(|n| *n as u64 % PARTS == part) {
                self.issue(n).await;
            }
        }
        self.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    }

    async fn issue(&self, n: usize) {
        let grant = Grant::new(format!("g{n}"), "web", now()).subject("alice");
        let name = format!("at{n}");
        let token = [NewToken::access(PresentedToken::new(&name), later(24))];
        self.store.issue(grant.session(format!("s{n}")), &token, now()).await.unwrap();
    }

    async fn revoke(&self, target: Target) {
        let revocation = Revocation::by_operator(target, Reason::Administrative, now());
        self.store.revoke(&revocation).await.unwrap();
    }
}

/// Calls from so many tasks for so long: how many a second.
async fn rate<F, R>(tasks: usize, lasts: Duration, call: F) -> f64
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (stop, count, call) = (Arc::clone(&stop), Arc::clone(&count), call.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    call(count.fetch_add(1, Ordering::Relaxed)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(lasts).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// The statement that the store sends to revoke one thing, with values of pgbench's own in the places of its parameters.
fn script() -> String {
    let source = include_str!("../src/store/postgres/statements.rs");
    let (_, from) = source.split_once("const REVOKE: &str = \"\\\n").expect("the statement");
    let (statement, _) = from.split_once("\";").expect("its end");
    let mut statement = statement.to_owned();
    let values = [
        ("$13::bigint", "3600000::bigint"),
        ("$12::bytea", "NULL::bytea"),
        ("$11::text", "'o'::text"),
        ("$10::text", "'administrative'::text"),
        ("$9::bytea", "NULL::bytea"),
        ("$8::bytea", "int8send(:id::bigint)"),
        ("$7::bigint", "3600000::bigint"),
        ("$6::bigint", "0::bigint"),
        ("$5::bigint", "1800000000000::bigint"),
        ("$4::bigint", "1800000000000::bigint"),
        ("$3::smallint", "1::smallint"),
        ("$2::bigint", "7::bigint"),
        ("$1::bytea", "int8send(:id::bigint)"),
    ];
    for (parameter, value) in values {
        assert!(statement.contains(parameter), "{parameter} in {statement}");
        statement = statement.replace(parameter, value);
    }
    assert!(!statement.contains('$'), "{statement}");
    format!("\\set id random(1, 4611686018427387904)\n{};\n", statement.replace('\n', " "))
}

fn pgbench(server: &Server, role: &str, script: &std::path::Path, effort: &Effort) -> f64 {
    let seconds = effort.each.as_secs().max(1).to_string();
    let told = Command::new(server::program("pgbench"))
        .args(["-n", "-M", "prepared", "-c", &CONNECTIONS.to_string(), "-j", "2", "-T", &seconds])
        .args(["-h", "127.0.0.1", "-U", role, "-p", &server.port().to_string(), "-f"])
        .arg(script)
        .arg("postgres")
        .env(
            "PGOPTIONS",
            "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off \
             -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off",
        )
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&told.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|rest| rest.split(' ').next()?.parse().ok());
    rate.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&told.stderr)))
}

async fn against_pgbench(server: &Server, effort: &Effort) {
    report::title(
        "Revocations a second against pgbench -M prepared, the same statement, 16 connections",
    );
    let tables = Tables::new(server, "against").await;
    let file = server.folder().join("revoke.sql");
    std::fs::write(&file, script()).unwrap();
    // Connected and prepared, as pgbench is when it begins to count.
    drop(revocations(&tables.store, "first", effort.each / 10).await);
    let mut rounds = Vec::new();
    for round in 0..effort.rounds {
        let ours = async {
            let store = tables.store.clone();
            rate(CONNECTIONS, effort.each, move |n| {
                let store = store.clone();
                async move {
                    let target = Target::Grant(format!("grant-{round}-{n}").into());
                    let revocation = Revocation::by_operator(target, Reason::Administrative, now());
                    store.revoke(&revocation).await.unwrap();
                }
            })
            .await
        };
        // Each goes first as often as the other.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = ours.await;
            (ours, pgbench(server, &tables.role, &file, effort))
        } else {
            let theirs = pgbench(server, &tables.role, &file, effort);
            (ours.await, theirs)
        };
        rounds.push((ours, theirs));
    }
    report::note("this store", median(rounds.iter().map(|round| round.0)), "a second");
    report::note("pgbench", median(rounds.iter().map(|round| round.1)), "a second");
    let ratio = median(rounds.iter().map(|(ours, theirs)| ours / theirs));
    report::line("this store against pgbench", ratio, Aim::AtLeast(0.95));
}

/// How long each of these calls takes, one after the other, in microseconds.
async fn each<R: Future<Output = ()>>(calls: impl Iterator<Item = R>) -> f64 {
    let (begun, mut count) = (Instant::now(), 0);
    for call in calls {
        call.await;
        count += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count.max(1))
}

async fn flatness(server: &Server, effort: &Effort) {
    report::title(
        "Cost at scale: microseconds of each call, and how often that of the smallest size",
    );
    let ours = effort.calls * effort.rounds * 2;
    let mut all = Vec::new();
    for size in support::sizes() {
        let tables = Tables::new(server, &format!("flat{size}")).await;
        tables.hold(size, ours).await;
        all.push((size, tables));
    }
    let mut costs = vec![vec![[0.0; 3]; all.len()]; effort.rounds];
    for (round, costs) in costs.iter_mut().enumerate() {
        for ((_, tables), cost) in all.iter().zip(costs) {
            let first = round * effort.calls * 2;
            let spread = |n: usize| (first + n) * 7919 % ours;
            cost[0] = each((0..effort.calls).map(|n| async move {
                let name = format!("at{}", spread(n));
                let found = tables.store.find(PresentedToken::new(&name), None).await.unwrap();
                assert!(found.is_some(), "`{name}` is not found");
            }))
            .await;
            let revoked = (first..).take(effort.calls);
            cost[1] =
                each(revoked.map(|n| tables.revoke(Target::Grant(format!("g{n}").into())))).await;
            let logged_out = (first + effort.calls..).take(effort.calls);
            cost[2] =
                each(logged_out.map(|n| tables.revoke(Target::Session(format!("s{n}").into()))))
                    .await;
        }
    }
    for (operation, name) in
        ["check", "revoke a grant", "log a session out"].into_iter().enumerate()
    {
        for (n, (size, _)) in all.iter().enumerate() {
            let cost = median(costs.iter().map(|round| round[n][operation]));
            let ratio = median(costs.iter().map(|round| round[n][operation] / round[0][operation]));
            let what = format!("{name}, {} tokens: {cost:.0} us", report::short(*size));
            report::line(&what, ratio, Aim::AtMost(1.5));
        }
    }
}

async fn long_sessions(server: &Server, effort: &Effort) {
    report::title(
        "Sessions of many tokens: microseconds of a logout, and how often that of one token",
    );
    let (many, sessions) = if support::is_test() { (100, 2) } else { (10_000, 40) };
    let tables = Tables::new(server, "sessions").await;
    for count in [1, many] {
        for n in 0..sessions * effort.rounds {
            let id = format!("s{count}-{n}");
            let grant = Grant::new(id.as_str(), "web", now()).subject("alice").session(id.as_str());
            let names: Vec<String> = (0..count).map(|token| format!("{id}-{token}")).collect();
            for names in names.chunks(1_000) {
                let token = |name| NewToken::access(PresentedToken::new(name), later(24));
                let tokens: Vec<NewToken<'_>> = names.iter().map(|name| token(name)).collect();
                tables.store.issue(grant.clone(), &tokens, now()).await.unwrap();
            }
        }
    }
    tables.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let mut costs = Vec::new();
    for round in 0..effort.rounds {
        let mut pair = [0.0; 2];
        for (cost, count) in pair.iter_mut().zip([1, many]) {
            let of = (round * sessions..).take(sessions);
            let target = |n| Target::Session(format!("s{count}-{n}").into());
            *cost = each(of.map(|n| tables.revoke(target(n)))).await;
        }
        costs.push(pair);
    }
    let cost = median(costs.iter().map(|pair| pair[1]));
    let ratio = median(costs.iter().map(|pair| pair[1] / pair[0]));
    report::line(&format!("log out, {many} tokens: {cost:.0} us"), ratio, Aim::AtMost(1.5));
}

/// The time that one in a hundred calls exceeds, in milliseconds.
fn p99(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// Revocations, sixteen at a time, for so long: how long each took, in milliseconds.
async fn revocations(store: &PostgresStore, name: &str, lasts: Duration) -> Vec<f64> {
    let begun = Instant::now();
    let lanes: Vec<_> = (0..CONNECTIONS)
        .map(|lane| {
            let (store, name) = (store.clone(), name.to_owned());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < lasts {
                    let target = Target::Grant(format!("{name}-{lane}-{}", times.len()).into());
                    let revocation = Revocation::by_operator(target, Reason::Logout, now());
                    let asked = Instant::now();
                    store.revoke(&revocation).await.unwrap();
                    times.push(asked.elapsed().as_secs_f64() * 1e3);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for lane in lanes {
        times.extend(lane.await.unwrap());
    }
    times
}

async fn sweeping(server: &Server, effort: &Effort) {
    report::title(
        "Sweeping: records a second against issuing, and how long revocations are held up",
    );
    let mut rounds = Vec::new();
    for round in 0..effort.rounds.min(3) {
        let tables = Tables::new(server, &format!("swept{round}")).await;
        let store = tables.store.clone();
        let issued = rate(CONNECTIONS, effort.each, move |n| {
            let store = store.clone();
            async move {
                let (access, refresh) = (format!("at{n}"), format!("rt{n}"));
                let tokens = [
                    NewToken::access(PresentedToken::new(&access), later(1)),
                    NewToken::refresh(PresentedToken::new(&refresh), later(2)),
                ];
                let grant = Grant::new(format!("g{n}"), "web", now()).subject(format!("u{n}"));
                store.issue(grant.session(format!("s{n}")), &tokens, now()).await.unwrap();
            }
        })
        .await;
        let issued = 2.0 * issued;
        let quiet = p99(revocations(&tables.store, "quiet", effort.each).await);
        let long_after = later(24 * 365);
        let begun = Instant::now();
        let mut removed = 0;
        // For as long as there is something to sweep, or as long as the quiet time was.
        let sweeper = {
            let store = tables.store.clone();
            tokio::spawn(async move {
                loop {
                    let swept = store.sweep(long_after, SweepBudget::rows(10_000)).await.unwrap();
                    removed += swept.removed;
                    if !swept.more {
                        return (removed, begun.elapsed());
                    }
                }
            })
        };
        let held = p99(revocations(&tables.store, "held", effort.each).await);
        let (removed, took) = sweeper.await.unwrap();
        rounds.push((issued, removed as f64 / took.as_secs_f64(), held - quiet));
    }
    report::note("issued", median(rounds.iter().map(|round| round.0)), "records a second");
    report::note(
        "swept, beside revocations",
        median(rounds.iter().map(|round| round.1)),
        "a second",
    );
    let ratio = median(rounds.iter().map(|round| round.1 / round.0));
    report::line("swept against issued", ratio, Aim::AtLeast(1.0));
    let held = median(rounds.iter().map(|round| round.2));
    report::line("p99 of a revocation: milliseconds more than in quiet", held, Aim::AtMost(10.0));
}

fn main() {
    let effort = Effort::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&[
        "shared_buffers=1GB",
        "max_wal_size=8GB",
        "checkpoint_timeout=30min",
        "synchronous_commit=on",
    ]);
    runtime.block_on(async {
        if support::is_asked_for("rate") {
            against_pgbench(&server, &effort).await;
        }
        if support::is_asked_for("scale") {
            flatness(&server, &effort).await;
        }
        if support::is_asked_for("sessions") {
            long_sessions(&server, &effort).await;
        }
        if support::is_asked_for("sweep") {
            sweeping(&server, &effort).await;
        }
    });
}
