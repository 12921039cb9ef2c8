//! kill -9 in the middle of load: what was acknowledged is there, and nothing is there by half.
//!
//! The child is this test binary. It tells its parent by a pipe what was acknowledged, and dies where it is.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use annul::store::{Rotated, Rotation, Sweep, SweepBudget, TokenLedger};
use annul::{ClientId, EmbeddedStore, Grant, NewToken, PresentedToken, TokenState};

use crate::folder::Folder;
use crate::{DAY, NOW, is_revoked, key, revoke, state};

const FOLDER: &str = "ANNUL_TEST_FOLDER";
const ROUND: &str = "ANNUL_TEST_ROUND";

/// How many callers there are at once.
const CALLERS: usize = 24;

pub(crate) struct Child {
    process: std::process::Child,
    lines: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::of_round(folder, 0)
    }

    fn of_round(folder: &Path, round: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "kill::the_child", "--nocapture"])
            .env(FOLDER, folder)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// The next line that it has told; none once it is dead and everything is read.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // What the test harness prints around it has no such mark. A line that was cut off was told by nobody.
            if let Some(told) = line.strip_suffix('\n').and_then(|line| line.split_once('>')) {
                return Some(told.1.to_owned());
            }
        }
    }

    pub(crate) fn wait_for(&mut self, told: &str) {
        while self.line().unwrap() != told {}
    }

    /// SIGKILL, and it is gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn tell(what: &str) {
    // One write: the lines of two callers never mix.
    std::io::stdout().write_all(format!(">{what}\n").as_bytes()).unwrap();
}

#[ignore = "the process that the tests here start and kill"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_child() {
    let folder = std::env::var(FOLDER).unwrap();
    let round: usize = std::env::var(ROUND).unwrap().parse().unwrap();
    let store = Arc::new(EmbeddedStore::open(folder, &key()).unwrap());
    tell("open");
    let callers: Vec<_> =
        (0..CALLERS).map(|caller| tokio::spawn(work(Arc::clone(&store), round, caller))).collect();
    let sweeping = tokio::spawn(async move {
        loop {
            // Everything is still needed.
            store.sweep(NOW, SweepBudget::rows(100)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for caller in callers {
        caller.await.unwrap();
    }
    sweeping.await.unwrap();
}

/// Logins, exchanges and logouts without end, each told once it is acknowledged.
async fn work(store: Arc<EmbeddedStore>, round: usize, caller: usize) {
    let web = ClientId::new("web");
    for n in 0.. {
        let name = format!("{round}-{caller}-{n}");
        let (access, refresh) = (format!("a{name}"), format!("r{name}"));
        let pair = [
            NewToken::access(PresentedToken::new(&access), NOW + DAY),
            NewToken::refresh(PresentedToken::new(&refresh), NOW + DAY),
        ];
        let grant = Grant::new(name.as_str(), "web", NOW).subject("alice").session("s");
        store.issue(grant, &pair, NOW).await.unwrap();
        tell(&format!("issued {name}"));
        if n % 2 == 0 {
            let next = format!("n{name}");
            let successor = [NewToken::refresh(PresentedToken::new(&next), NOW + DAY)];
            let rotation = Rotation::new(PresentedToken::new(&refresh), &web, &successor, NOW);
            let rotated = store.rotate(&rotation).await.unwrap();
            assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
            tell(&format!("rotated {name}"));
        }
        if n % 3 != 0 {
            revoke(&*store, &name).await.unwrap();
            tell(&format!("revoked {name}"));
        }
    }
}

/// What was told of one grant.
#[derive(Default)]
struct Told {
    issued: BTreeSet<String>,
    rotated: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let Some((what, name)) = line.split_once(' ') else {
            return;
        };
        let names = match what {
            "issued" => &mut self.issued,
            "rotated" => &mut self.rotated,
            "revoked" => &mut self.revoked,
            other => unreachable!("the child told {other}"),
        };
        names.insert(name.to_owned());
    }

    /// Everything that was told is true, and what was not told has happened or has not.
    async fn is_true_of(&self, store: &EmbeddedStore) {
        for name in &self.issued {
            let access = state(store, &format!("a{name}")).await.unwrap();
            let refresh = state(store, &format!("r{name}")).await.unwrap();
            let next = state(store, &format!("n{name}")).await.unwrap();
            let states = [access, refresh, next];
            assert!(access.is_some() && refresh.is_some(), "{name} was issued and is {states:?}");
            if self.revoked.contains(name) {
                let dead = states.into_iter().flatten().all(|state| is_revoked(Some(state)));
                assert!(dead, "{name} was revoked and is {states:?}");
                continue;
            }
            if self.rotated.contains(name) {
                assert!(next.is_some(), "{name} was exchanged and is {states:?}");
            }
            if !is_revoked(access) {
                assert_eq!(access, Some(TokenState::Active), "{name}");
                // Spent and succeeded, or neither.
                let spent = refresh == Some(TokenState::Consumed);
                assert_eq!(next.is_some(), spent, "{name} is {states:?}");
            }
        }
    }

    /// What the callers were at when they died, which nobody told: a pair of tokens is there as a pair or not at all.
    async fn left_no_half(&self, store: &EmbeddedStore, round: usize) {
        for caller in 0..CALLERS {
            let prefix = format!("{round}-{caller}-");
            let told = self.issued.iter().filter(|name| name.starts_with(&prefix)).count();
            for name in [told, told + 1].map(|n| format!("{prefix}{n}")) {
                let access = state(store, &format!("a{name}")).await.unwrap();
                let refresh = state(store, &format!("r{name}")).await.unwrap();
                assert_eq!(access.is_some(), refresh.is_some(), "{name} is there by half");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_kill_9_is_true_after_it() {
    // On the disk, where an fsync is one.
    let folder = Folder::new();
    let mut told = Told::default();
    for round in 0..8 {
        let mut child = Child::of_round(folder.path(), round);
        child.wait_for("open");
        // Each time at another moment.
        for _ in 0..=round * 331 {
            told.hear(&child.line().unwrap());
        }
        child.kill();
        // What it told while it was dying.
        while let Some(line) = child.line() {
            told.hear(&line);
        }
        let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
        told.is_true_of(&store).await;
        told.left_no_half(&store, round).await;
    }
    assert!(told.revoked.len() > 1_000, "only {} were revoked", told.revoked.len());
    assert!(told.rotated.len() > 1_000, "only {} were exchanged", told.rotated.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_while_it_opens_opens() {
    let folder = Folder::new();
    for n in 0..12 {
        let mut child = Child::of_round(folder.path(), 0);
        // In the making, at first; later in the reading.
        std::thread::sleep(Duration::from_millis(7 * n));
        child.kill();
    }
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    crate::issue(&store, "after").await.unwrap();
    assert_eq!(state(&store, "after").await.unwrap(), Some(TokenState::Active));
}
