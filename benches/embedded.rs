//! The embedded store, beside its own engine and its own disk.
//!
//! What is compared is measured in turns, round by round, in folders of one file system (that of `TMPDIR`): ratios are what
//! counts, and both sides of each saw the same disk.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the raw engine is written straight down")]
#![expect(clippy::disallowed_methods, reason = "stopwatches")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use annul::store::embedded::EmbeddedOptions;
use annul::store::{Lifetimes, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    DigestKey, EmbeddedStore, Grant, NewToken, PresentedToken, Reason, Revocation, Revoked, Target,
    Timestamp, TokenId, TokenState,
};
use fjall::PersistMode;
use tokio::runtime::Runtime;

use support::report;
use support::report::{Target as Aim, median};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
/// Each grant has one refresh token and four access tokens.
const TOKENS_OF_A_GRANT: u64 = 5;
const CALLERS: usize = 64;

/// How much is done.
struct Effort {
    rounds: usize,
    /// How many revocations each caller waits for in a round.
    each: u64,
}

impl Effort {
    fn new() -> Self {
        if support::is_test() { Self { rounds: 1, each: 5 } } else { Self { rounds: 7, each: 300 } }
    }
}

/// Gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("annul-bench-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn key() -> DigestKey {
    DigestKey::new(&[7; 32])
}

fn open(folder: &Path) -> EmbeddedStore {
    // It is swept by a clock that leaps.
    let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
    EmbeddedOptions::new(folder).lifetimes(lifetimes).open(&key()).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn percentile(times: &mut [Duration], of_hundred: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * of_hundred / 100]
}

/// How long appends of four kilobytes and their fdatasync take.
fn fsyncs(folder: &Path) -> Vec<Duration> {
    let mut file = File::create(folder.join("probe")).unwrap();
    let times = if support::is_test() { 5 } else { 200 };
    (0..times)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect()
}

/// A name that is used once.
fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Relaxed)
}

fn of_grant(name: &str) -> Revocation {
    Revocation::by_operator(Target::Grant(name.into()), Reason::Administrative, NOW)
}

/// What callers who each wait for one revocation after the other have seen.
struct Seen {
    took: Duration,
    waited: Vec<Duration>,
    /// How many shared one fsync.
    batch: f64,
}

impl Seen {
    fn rate(&self) -> f64 {
        self.waited.len() as f64 / self.took.as_secs_f64()
    }
}

fn revoking(runtime: &Runtime, store: &EmbeddedStore, callers: usize, each: u64) -> Seen {
    let commits = store.commits();
    let began = Instant::now();
    let waited = runtime.block_on(async {
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut waited = Vec::new();
                    for _ in 0..each {
                        let revocation = of_grant(&format!("revoked-{}", fresh()));
                        let began = Instant::now();
                        assert_eq!(store.revoke(&revocation).await.unwrap(), Revoked::Newly);
                        waited.push(began.elapsed());
                    }
                    waited
                })
            })
            .collect();
        let mut waited = Vec::new();
        for caller in callers {
            waited.extend(caller.await.unwrap());
        }
        waited
    });
    let took = began.elapsed();
    let batch = waited.len() as f64 / (store.commits() - commits) as f64;
    Seen { took, waited, batch }
}

/// The engine by itself, with the records that a revocation is: a look for the entry, the entry, its line in the feed; and
/// for all of a batch one line that says when they are due.
struct Raw {
    database: fjall::Database,
    spaces: [fjall::Keyspace; 3],
}

impl Raw {
    fn open(folder: &Path) -> Self {
        let database = fjall::Database::builder(folder).open().unwrap();
        let space = |name| database.keyspace(name, Default::default).unwrap();
        let spaces = ["entries", "feed", "due"].map(space);
        Self { database, spaces }
    }

    /// How many a second, `batch` to an fsync, and how long each batch took.
    fn rate(&self, batch: u64, batches: u64) -> (f64, Vec<Duration>) {
        let [entries, feed, due] = &self.spaces;
        let began = Instant::now();
        let mut took = Vec::new();
        for _ in 0..batches {
            let began = Instant::now();
            let mut together = Vec::new();
            let mut writes = self.database.batch().durability(Some(PersistMode::SyncData));
            for _ in 0..batch {
                let place = fresh();
                let key = *blake(place).as_bytes();
                assert!(entries.get(key).unwrap().is_none());
                let mut entry = [0; 80];
                entry[..32].copy_from_slice(&key);
                let mut line = [0; 24];
                line[16..].copy_from_slice(&place.to_be_bytes());
                writes.insert(entries, key, entry);
                writes.insert(feed, line, key);
                together.extend(key);
            }
            let mut date = [0; 41];
            date[9..].copy_from_slice(&together[..32]);
            writes.insert(due, date, &together[32..]);
            writes.commit().unwrap();
            took.push(began.elapsed());
        }
        ((batch * batches) as f64 / began.elapsed().as_secs_f64(), took)
    }
}

fn blake(number: u64) -> annul::TokenDigest {
    key().digest(PresentedToken::new(&format!("raw-{number}")))
}

/// Rates and waiting, against the engine and the disk.
fn group_commit(effort: &Effort) {
    report::title("Group commit: many callers, one fsync");
    let runtime = runtime();
    let (ours, raw) = (Folder::new("ours"), Folder::new("raw"));
    let store = open(&ours.0);
    let engine = Raw::open(&raw.0.join("engine"));
    let rounds: Vec<[f64; 8]> = (0..effort.rounds)
        .map(|_| {
            let many = revoking(&runtime, &store, CALLERS, effort.each);
            let batch = (many.batch.round() as u64).max(1);
            let (raw_rate, _) = engine.rate(batch, CALLERS as u64 * effort.each / batch);
            let one = revoking(&runtime, &store, 1, effort.each);
            let mut sixteen = revoking(&runtime, &store, 16, effort.each);
            let waited = micros(percentile(&mut sixteen.waited, 99));
            let (_, mut raw_took) = engine.rate(16, effort.each);
            let raw_waited = micros(percentile(&mut raw_took, 99));
            let mut disk = fsyncs(&raw.0);
            let [disk, slow_disk] = [50, 99].map(|part| micros(percentile(&mut disk, part)));
            let batch = many.batch;
            [many.rate(), raw_rate, one.rate(), batch, waited, disk, slow_disk, raw_waited]
        })
        .collect();
    let middle = |figure: fn(&[f64; 8]) -> f64| median(rounds.iter().map(figure));
    report::note("fdatasync of an append of 4 KB", middle(|round| round[5]), "us");
    report::note("the same, p99", middle(|round| round[6]), "us");
    report::note("1 caller, revocations a second", middle(|round| round[2]), "/s");
    report::note("64 callers, revocations a second", middle(|round| round[0]), "/s");
    report::note("64 callers, revocations per fsync", middle(|round| round[3]), "");
    report::note("the engine by itself, as many per fsync", middle(|round| round[1]), "/s");
    report::note("16 callers, p99 of a revocation", middle(|round| round[4]), "us");
    report::note("the engine by itself, 16 per fsync, p99", middle(|round| round[7]), "us");
    report::line(
        "64 callers, against the engine at the same batch",
        middle(|round| round[0] / round[1]),
        Aim::AtLeast(0.8),
    );
    report::line(
        "64 callers, against one fsync for each revocation",
        middle(|round| round[0] / round[2]),
        Aim::AtLeast(10.0),
    );
    report::line(
        "16 callers, p99 of a revocation in fsyncs",
        middle(|round| round[4] / round[5]),
        Aim::AtMost(3.0),
    );
}

fn names(grant: u64) -> Vec<String> {
    (0..TOKENS_OF_A_GRANT).map(|token| format!("token-{grant}-{token}")).collect()
}

/// Issues the tokens of these grants, and says how many tokens that was a second.
fn fill(
    runtime: &Runtime,
    store: &EmbeddedStore,
    grants: std::ops::Range<u64>,
    expiry: Timestamp,
) -> f64 {
    let tokens = (grants.end - grants.start) * TOKENS_OF_A_GRANT;
    let next = Arc::new(AtomicU64::new(grants.start));
    let began = Instant::now();
    runtime.block_on(async {
        let callers: Vec<_> = (0..CALLERS * 4)
            .map(|_| {
                let (store, next) = (store.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let grant = next.fetch_add(1, Relaxed);
                        if grant >= grants.end {
                            return;
                        }
                        let names = names(grant);
                        let tokens: Vec<NewToken<'_>> = names
                            .iter()
                            .enumerate()
                            .map(|(n, name)| match n {
                                0 => NewToken::refresh(PresentedToken::new(name), expiry),
                                _ => NewToken::access(PresentedToken::new(name), expiry),
                            })
                            .collect();
                        let grant = Grant::new(format!("grant-{grant}"), "s6BhdRkqt3Xa", NOW)
                            .subject(format!("subject-{}", grant / 2))
                            .session(format!("session-{grant}"))
                            .scope("openid profile");
                        store.issue(grant, &tokens, NOW).await.unwrap();
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
    tokens as f64 / began.elapsed().as_secs_f64()
}

/// A store with so many tokens.
struct Full {
    folder: Folder,
    store: EmbeddedStore,
    grants: u64,
    /// Grants from here on have been revoked.
    left: u64,
}

impl Full {
    fn new(runtime: &Runtime, size: u64) -> Self {
        let folder = Folder::new(&format!("full-{size}"));
        let store = open(&folder.0);
        let grants = size / TOKENS_OF_A_GRANT;
        fill(runtime, &store, 0..grants, NOW + DAY);
        Self { folder, store, grants, left: grants }
    }

    fn one(&mut self) -> u64 {
        self.left -= 1;
        self.left
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Check,
    Logout,
    Revoke,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Logout => "logout",
            Self::Revoke => "revoke",
        }
    }

    async fn run(self, full: &mut Full, times: u64) -> Duration {
        let mut took = Duration::ZERO;
        for n in 0..times {
            if matches!(self, Self::Check) {
                // Not those next to each other, which lie in one block.
                let grant = n.wrapping_mul(7_368_787) % full.left;
                let name = format!("token-{grant}-1");
                let began = Instant::now();
                let found = full.store.find(PresentedToken::new(&name), None).await.unwrap();
                took += began.elapsed();
                assert_eq!(found.unwrap().state(), TokenState::Active);
                continue;
            }
            let grant = full.one();
            let target = if matches!(self, Self::Logout) {
                Target::Session(format!("session-{grant}").into())
            } else {
                let digest = key().for_namespace(&annul::Namespace::default());
                let name = format!("token-{grant}-0");
                Target::Token(TokenId::from(digest.digest(PresentedToken::new(&name))))
            };
            let revocation = Revocation::by_operator(target, Reason::Logout, NOW);
            let began = Instant::now();
            full.store.revoke(&revocation).await.unwrap();
            took += began.elapsed();
        }
        took
    }
}

/// Every operation at every size.
fn flatness(runtime: &Runtime, stores: &mut [Full], effort: &Effort) {
    report::title("Cost at scale: us of each operation, and how often that of the smallest size");
    let times = if support::is_test() { 5 } else { 100 };
    for operation in [Operation::Revoke, Operation::Logout, Operation::Check] {
        let mut round = || -> Vec<f64> {
            let stores = stores.iter_mut();
            let costs = stores.map(|full| {
                let took = runtime.block_on(operation.run(full, times.min(full.left / 20)));
                micros(took) / times.min(full.left / 20) as f64
            });
            costs.collect()
        };
        // What was written last is in memory; the first round brings in the rest.
        round();
        let rounds: Vec<Vec<f64>> = (0..effort.rounds.min(3)).map(|_| round()).collect();
        for (index, full) in stores.iter().enumerate() {
            let cost = median(rounds.iter().map(|round| round[index]));
            let size = report::short(full.grants * TOKENS_OF_A_GRANT);
            let what = format!("{}, {size} live: {cost:.0} us", operation.name());
            let ratio = median(rounds.iter().map(|round| round[index] / round[0]));
            report::line(&what, ratio, Aim::AtMost(1.5));
        }
    }
}

/// Logging out a session of one token, and one of many.
fn fan_out(runtime: &Runtime, effort: &Effort) {
    report::title("Logout of a session of many tokens, and a look at one of them afterwards");
    let many = if support::is_test() { 100 } else { 10_000 };
    let folder = Folder::new("sessions");
    let store = open(&folder.0);
    let logout = |tokens: u64| {
        runtime.block_on(async {
            let session = format!("session-{}", fresh());
            let names: Vec<String> = (0..tokens).map(|n| format!("{session}-{n}")).collect();
            for names in names.chunks(100) {
                let grant = Grant::new(format!("grant-{}", fresh()), "web", NOW)
                    .subject("alice")
                    .session(session.as_str());
                let tokens: Vec<_> = names
                    .iter()
                    .map(|name| NewToken::access(PresentedToken::new(name), NOW + DAY))
                    .collect();
                store.issue(grant, &tokens, NOW).await.unwrap();
            }
            let target = Target::Session(session.as_str().into());
            let revocation = Revocation::by_operator(target, Reason::Logout, NOW);
            let began = Instant::now();
            store.revoke(&revocation).await.unwrap();
            let found = store.find(PresentedToken::new(&names[0]), None).await.unwrap().unwrap();
            let took = micros(began.elapsed());
            assert!(matches!(found.state(), TokenState::Revoked { .. }));
            took
        })
    };
    let rounds: Vec<(f64, f64)> =
        (0..effort.rounds * 3).map(|_| (logout(1), logout(many))).collect();
    report::note("of one token", median(rounds.iter().map(|round| round.0)), "us");
    report::line(
        &format!("of {many} tokens, against that"),
        median(rounds.iter().map(|round| round.1 / round.0)),
        Aim::AtMost(1.5),
    );
}

/// Sweeping, alone and beside revocations.
fn sweeping(runtime: &Runtime, effort: &Effort) {
    report::title("Sweeping");
    let grants = if support::is_test() { 200 } else { 40_000 };
    let ages = NOW + 400 * DAY;
    let (mut ratios, mut held_up) = (Vec::new(), Vec::new());
    for round in 0..effort.rounds.min(3) {
        let folder = Folder::new(&format!("swept-{round}"));
        let store = open(&folder.0);
        let issued = fill(runtime, &store, 0..grants, NOW + DAY);
        let alone = revoking(runtime, &store, 16, effort.each.min(100));
        let (swept, beside) = beside_a_sweep(runtime, &store, ages, effort.each.min(100));
        ratios.push((swept, issued));
        let p99 = |mut seen: Seen| micros(percentile(&mut seen.waited, 99)) / 1_000.0;
        held_up.push((p99(beside) - p99(alone)).max(0.0));
    }
    report::note("issued", median(ratios.iter().map(|ratio| ratio.1)), "tokens/s");
    report::note("swept, beside 16 who revoke", median(ratios.iter().map(|ratio| ratio.0)), "/s");
    report::line(
        "swept, against issued",
        median(ratios.iter().map(|ratio| ratio.0 / ratio.1)),
        Aim::AtLeast(1.0),
    );
    report::line(
        "16 callers, by how many ms a sweep prolongs the p99",
        median(held_up),
        Aim::AtMost(10.0),
    );
}

/// Sweeps until nothing is left, while others revoke. How many records a second, and what the others have seen.
fn beside_a_sweep(
    runtime: &Runtime,
    store: &EmbeddedStore,
    now: Timestamp,
    each: u64,
) -> (f64, Seen) {
    let sweeper = store.clone();
    let swept = runtime.spawn(async move {
        let began = Instant::now();
        let mut removed = 0;
        loop {
            let swept = sweeper.sweep(now, SweepBudget::rows(10_000)).await.unwrap();
            removed += swept.removed;
            if !swept.more {
                break removed as f64 / began.elapsed().as_secs_f64();
            }
        }
    });
    let mut seen = revoking(runtime, store, 16, each);
    while !swept.is_finished() {
        let more = revoking(runtime, store, 16, each);
        seen.waited.extend(more.waited);
    }
    (runtime.block_on(swept).unwrap(), seen)
}

const CHILD: &str = "ANNUL_BENCH_CHILD";

/// Revokes until it is killed.
fn child(folder: &str) {
    let store = open(folder.as_ref());
    let runtime = runtime();
    loop {
        revoking(&runtime, &store, CALLERS, 20);
        println!("going on");
    }
}

/// How long it takes to open after kill -9.
fn opening(stores: Vec<Full>) {
    report::title("Opening after kill -9");
    for full in stores {
        let size = report::short(full.grants * TOKENS_OF_A_GRANT);
        let Full { folder, store, .. } = full;
        drop(store);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CHILD, &folder.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told =
            lines.take(if support::is_test() { 1 } else { 20 }).filter(Result::is_ok).count();
        assert!(told > 0, "the child did nothing");
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        let store = open(&folder.0);
        let took = began.elapsed().as_secs_f64();
        report::line(&format!("{size} live, seconds"), took, Aim::AtMost(5.0));
        drop(store);
        let used = Command::new("du").arg("-sk").arg(&folder.0).output().unwrap().stdout;
        let used = String::from_utf8_lossy(&used);
        let used: f64 = used.split_whitespace().next().unwrap().parse().unwrap();
        report::note(&format!("{size} live, on disk"), used / 1_024.0, "MB");
    }
}

fn main() {
    if let Ok(folder) = std::env::var(CHILD) {
        return child(&folder);
    }
    let effort = Effort::new();
    let runtime = runtime();
    if support::is_asked_for("rate") {
        group_commit(&effort);
    }
    if support::is_asked_for("scale") {
        let mut stores: Vec<Full> =
            support::sizes().iter().map(|size| Full::new(&runtime, *size)).collect();
        flatness(&runtime, &mut stores, &effort);
        opening(stores);
    }
    if support::is_asked_for("sessions") {
        fan_out(&runtime, &effort);
    }
    if support::is_asked_for("sweep") {
        sweeping(&runtime, &effort);
    }
}
