//! Revocation over HTTP, beside a bare axum handler that only reads the same form.
//!
//! Both are served by processes of this bench's own, on the same kind of runtime, each with the first core to
//! itself while it is asked; `wrk` asks, on the second. They are measured in turns and compared round by round.
//! After each round on live tokens the store is counted: a 200 has to mean a revoked token.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::hint::black_box;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use annul::profile::Paths;
use annul::wire::basic;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Form, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

use support::population::{B, Population};
use support::report::{Target, median};
use support::{CLIENT_ID, population, report};

const CONNECTIONS: u64 = 16;

const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";

/// What the bench says to be served, in a process of its own.
const SERVE: &str = "--serve";

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Bare,
    Annul,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Annul => "annul",
        }
    }
}

// The servers.

/// What the bare handler reads.
#[derive(Deserialize)]
struct Fields {
    token: String,
    token_type_hint: Option<String>,
    client_id: Option<String>,
}

async fn bare(Form(fields): Form<Fields>) -> StatusCode {
    black_box((&fields.token, &fields.token_type_hint, &fields.client_id));
    StatusCode::OK
}

/// Serves until standard input ends. The first line on standard output is the address.
fn serve(kind: &str, size: u64) {
    let population = (kind == Kind::Annul.name()).then(|| Population::new(B, size));
    let app = match &population {
        Some(population) => {
            annul::integration::axum::router(population.authority.clone(), &Paths::default())
        }
        None => Router::new().route("/revoke", post(bare)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        say(&listener.local_addr().expect("an address").to_string());
        std::thread::spawn(move || obey(population));
        let listener = listener.tap_io(|stream| {
            stream.set_nodelay(true).expect("TCP_NODELAY");
        });
        axum::serve(listener, app).await.expect("it serves for ever");
    });
}

/// Answers the bench's questions. Nobody asks while a server is measured.
fn obey(mut population: Option<Population>) {
    for line in std::io::stdin().lines() {
        let line = line.expect("standard input");
        match line.split_once(' ') {
            None => {
                let revocations = population
                    .as_ref()
                    .map_or(0, |population| population.store.usage().revocations);
                let (spent, waited) = (processor_time().as_nanos(), waited().as_nanos());
                say(&format!("{revocations} {spent} {waited}"));
            }
            Some((_, file)) => {
                let population = population.as_mut().expect("only a store is filled");
                population.refill();
                say(&write_tokens(Path::new(file), population.live()).to_string());
            }
        }
    }
    std::process::exit(0);
}

/// What the whole process has had of the processor, in user and kernel mode.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// How long the thread that serves was ready to run while its core ran another process.
fn waited() -> Duration {
    let text =
        std::fs::read_to_string("/proc/self/schedstat").expect("Linux says how it schedules");
    let nanos = text.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("the second of three numbers"))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the bench listens");
}

/// One token a line. Says how many.
fn write_tokens(file: &Path, tokens: impl Iterator<Item = String>) -> u64 {
    let mut out = BufWriter::new(std::fs::File::create(file).expect("a file of tokens"));
    let mut written = 0;
    for token in tokens {
        writeln!(out, "{token}").expect("room on the disk");
        written += 1;
    }
    out.flush().expect("room on the disk");
    written
}

// The bench.

/// A server in a process of its own.
struct Server {
    kind: Kind,
    address: String,
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(kind: Kind, size: u64) -> Self {
        let myself = std::env::current_exe().expect("a bench knows its own path");
        let mut process = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(myself)
            .args([SERVE, kind.name(), &size.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server process");
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("its standard output"));
        let mut server = Self { kind, address: String::new(), process, questions, answers };
        server.address = server.answer();
        server
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer of the server");
        assert!(line.ends_with('\n'), "the {} server has stopped", self.kind.name());
        line.trim_end().to_owned()
    }

    fn ask(&mut self, question: &str) -> String {
        let questions = self.questions.as_mut().expect("it is open until the end");
        writeln!(questions, "{question}").expect("the server listens");
        self.answer()
    }

    fn state(&mut self) -> State {
        let answer = self.ask("state");
        let mut numbers = answer.split(' ').map(|number| number.parse().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        State {
            revocations: next(),
            spent: Duration::from_nanos(next()),
            waited: Duration::from_nanos(next()),
        }
    }

    /// One request on a connection of its own.
    fn status(&self, authorization: &str) -> u16 {
        let body = format!("token={}", population::stranger(0));
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        let request = format!(
            "POST /revoke HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        status.expect("a status line")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.process.wait();
    }
}

/// Where a server stands.
struct State {
    revocations: u64,
    /// How much the process has had of the processor.
    spent: Duration,
    waited: Duration,
}

/// What one run of `wrk` has seen, and what it cost the server.
#[derive(Clone, Copy)]
struct Reading {
    requests: u64,
    per_second: f64,
    /// In milliseconds, as the next.
    p50: f64,
    p99: f64,
    /// Microseconds of the processor for each request.
    cost: f64,
    /// Percent of the time in which the server's core was with somebody else.
    kept_waiting: f64,
    revoked: u64,
}

fn load(server: &mut Server, seconds: u32, tokens: &Path) -> Reading {
    let before = server.state();
    let output = Command::new("taskset")
        .args(["-c", LOAD_CORE, "wrk", "-t1", &format!("-c{CONNECTIONS}"), "--latency"])
        .args([&format!("-d{seconds}s"), "-s", LOAD])
        .args([&format!("http://{}/revoke", server.address), "--"])
        .arg(tokens)
        .arg(population::authorization())
        .output()
        .expect("taskset runs");
    let after = server.state();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = text.lines().find_map(|line| line.strip_prefix("figures ")).map(|figures| {
        figures.split(' ').map(|figure| figure.parse().expect("a number")).collect::<Vec<u64>>()
    });
    let Some([requests, micros, failed, p50, p99]) = figures.as_deref() else {
        unreachable!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    assert_eq!(*failed, 0, "no request fails: {text}");
    let requests = *requests;
    Reading {
        requests,
        per_second: requests as f64 * 1e6 / *micros as f64,
        p50: *p50 as f64 / 1e3,
        p99: *p99 as f64 / 1e3,
        cost: (after.spent - before.spent).as_secs_f64() * 1e6 / requests as f64,
        kept_waiting: (after.waited - before.waited).as_secs_f64() * 1e8 / *micros as f64,
        revoked: after.revocations - before.revocations,
    }
}

const LOAD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/load.lua");

struct Bench {
    bare: Server,
    annul: Server,
    /// Who sends it decides which tokens it holds.
    tokens: PathBuf,
    rounds: usize,
    seconds: u32,
    test: bool,
}

impl Bench {
    /// One round: both are sent the same. Either goes first as often as the other.
    fn round(&mut self, number: usize) -> (Reading, Reading) {
        let Self { bare, annul, tokens, seconds, .. } = self;
        if number.is_multiple_of(2) {
            let bare = load(bare, *seconds, tokens);
            (load(annul, *seconds, tokens), bare)
        } else {
            (load(annul, *seconds, tokens), load(bare, *seconds, tokens))
        }
    }

    fn unknown(&mut self) -> Vec<(Reading, Reading)> {
        let strangers = if self.test { 1_000 } else { 500_000 };
        write_tokens(&self.tokens, (0..strangers).map(population::stranger));
        if !self.test {
            self.round(0);
        }
        let rounds: Vec<_> = (0..self.rounds).map(|number| self.round(number)).collect();
        assert!(
            rounds.iter().all(|(annul, _)| annul.revoked == 0),
            "strangers' tokens are no one's"
        );
        rounds
    }

    /// Each round with a store filled anew: each token is sent once, and is the only one of its grant that is.
    fn live(&mut self) -> Vec<(Reading, Reading)> {
        (0..self.rounds)
            .map(|number| {
                let file = self.tokens.display().to_string();
                let listed: u64 =
                    self.annul.ask(&format!("refill {file}")).parse().expect("a number of tokens");
                let (annul, bare) = self.round(number);
                let expected = if self.test { annul.requests.min(listed) } else { annul.requests };
                assert!(expected <= listed, "{listed} tokens are too few for {expected} requests");
                // When the clock stops, every connection may have a request whose answer is not waited for.
                assert!(
                    annul.revoked.abs_diff(expected) <= CONNECTIONS,
                    "{expected} live tokens were sent, {} were revoked",
                    annul.revoked
                );
                (annul, bare)
            })
            .collect()
    }
}

fn print(name: &str, rounds: &[(Reading, Reading)], least: f64) {
    let annul = |part: fn(&Reading) -> f64| median(rounds.iter().map(|round| part(&round.0)));
    let bare = |part: fn(&Reading) -> f64| median(rounds.iter().map(|round| part(&round.1)));
    let ratio = |part: fn(&Reading) -> f64| {
        median(rounds.iter().map(|(annul, bare)| part(annul) / part(bare)))
    };
    let rate = |reading: &Reading| reading.per_second;
    let what = format!("{name}: {:.0} requests/s, bare {:.0}", annul(rate), bare(rate));
    report::line(&what, ratio(rate), Target::AtLeast(least));
    let cost = |reading: &Reading| reading.cost;
    let what = format!("{name}: {:.2} µs of processor, bare {:.2}", annul(cost), bare(cost));
    report::line(&what, ratio(cost), Target::AtMost(1.2));
    let (p50, p99) = (|reading: &Reading| reading.p50, |reading: &Reading| reading.p99);
    println!(
        "{name}: p50 {:.3} ms, p99 {:.3} ms; bare {:.3} ms, {:.3} ms",
        annul(p50),
        annul(p99),
        bare(p50),
        bare(p99)
    );
    let waiting = |reading: &Reading| reading.kept_waiting;
    println!(
        "{name}: kept waiting for its core {:.1} % of the time; bare {:.1} %{}",
        annul(waiting),
        bare(waiting),
        if annul(waiting).max(bare(waiting)) > 2.0 {
            ": others were busy, repeat this"
        } else {
            ""
        }
    );
}

/// What is missing, if anything is.
fn missing() -> Option<&'static str> {
    // Each prints its help and fails, or its version; what counts is that it can be started.
    let starts = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !starts("wrk") {
        return Some("this bench needs wrk to make the load: Debian's package wrk");
    }
    if !starts("taskset") {
        return Some(
            "this bench needs taskset to give each side a core: Debian's package util-linux",
        );
    }
    None
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, kind, size] = arguments.as_slice()
        && flag == SERVE
    {
        serve(kind, size.parse().expect("a number of tokens"));
        return ExitCode::SUCCESS;
    }
    let test = support::is_test();
    let size = if test { 1_000 } else { 1_000_000 };
    report::title(&format!(
        "Revocation over HTTP against a bare axum handler, {} live, {CONNECTIONS} connections",
        report::short(size)
    ));
    if let Some(missing) = missing() {
        eprintln!("error: {missing}");
        return ExitCode::FAILURE;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        println!("Not measured: this machine has one core.");
        return ExitCode::SUCCESS;
    }
    let tokens = format!("http-{}.tokens", std::process::id());
    let mut bench = Bench {
        bare: Server::start(Kind::Bare, 0),
        annul: Server::start(Kind::Annul, size),
        tokens: Path::new(env!("CARGO_TARGET_TMPDIR")).join(tokens),
        rounds: if test { 1 } else { 7 },
        seconds: if test { 1 } else { 2 },
        test,
    };
    let wrong = basic::header_value(CLIENT_ID, "not its secret");
    assert_eq!(bench.bare.status(&wrong), 200, "the bare handler asks for no secret");
    assert_eq!(bench.annul.status(&wrong), 401, "a wrong secret is refused");
    assert_eq!(bench.annul.status(&population::authorization()), 200, "the right one is not");
    let unknown = bench.unknown();
    print("unknown token", &unknown, 0.90);
    let live = bench.live();
    print("live token", &live, 0.85);
    let _ = std::fs::remove_file(&bench.tokens);
    ExitCode::SUCCESS
}
