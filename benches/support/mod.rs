//! What the benches share.
//!
//! All of them, each figure beside its target, are one command: `cargo bench --all-features`. Environment:
//!
//! - `ANNUL_BENCH_FULL=1` adds ten million live tokens (3 GB, some minutes more).
//! - `ANNUL_BENCH_SIZES=1000,1000000` names the sizes one by one.
//!
//! The parts of `embedded`, `postgres` and `redis` can be named, `rate`, `scale`, `sessions`, `sweep`:
//! `cargo bench --all-features --bench embedded -- sweep`.
//!
//! With `--test`, or run by `cargo test`, every bench does one small round: that it still works is then all
//! that is seen.

pub(crate) mod population;
pub(crate) mod report;
pub(crate) mod straight;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A client of ordinary size: an identifier of 12 and a secret of 39 characters.
pub(crate) const CLIENT_ID: &str = "s6BhdRkqt3Xa";
pub(crate) const CLIENT_SECRET: &str = "7Fjfp0ZBr1KtDRbnfVdmIwq9xT2mLs4cYh8eUaN";

pub(crate) const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// What the parts of the stores' benches are called.
const PARTS: [&str; 4] = ["rate", "scale", "sessions", "sweep"];

/// Whether one small round is all that is wanted. Cargo passes `--bench` to a bench that it runs as one.
pub(crate) fn is_test() -> bool {
    let mut arguments = std::env::args();
    arguments.any(|argument| argument == "--test") || std::env::args().all(|a| a != "--bench")
}

/// Whether a part of a bench is wanted: any, unless some are named, as in `cargo bench --bench embedded -- sweep`.
///
/// # Panics
///
/// A name of no part would measure nothing, and look as if all went well.
pub(crate) fn is_asked_for(part: &str) -> bool {
    let arguments = std::env::args().skip(1);
    let named: Vec<String> = arguments.filter(|argument| !argument.starts_with('-')).collect();
    let unknown = named.iter().find(|name| !PARTS.contains(&name.as_str()));
    assert!(unknown.is_none(), "the parts are {PARTS:?}, and not {unknown:?}");
    named.is_empty() || named.iter().any(|name| name == part)
}

/// How many live tokens to measure with.
pub(crate) fn sizes() -> Vec<u64> {
    if is_test() {
        return vec![1_000];
    }
    match (std::env::var("ANNUL_BENCH_SIZES"), full()) {
        (Ok(sizes), _) => sizes
            .split(',')
            .map(|size| size.trim().parse().expect("ANNUL_BENCH_SIZES holds numbers"))
            .collect(),
        (Err(_), true) => vec![1_000, 1_000_000, 10_000_000],
        (Err(_), false) => vec![1_000, 1_000_000],
    }
}

/// Whether the long run is wanted.
pub(crate) fn full() -> bool {
    std::env::var("ANNUL_BENCH_FULL").is_ok_and(|full| full != "0")
}

/// How much processor time this thread has had. On a shared machine that is the honest measure: it stands
/// still while others run.
pub(crate) fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// What the kernel says this process occupies.
pub(crate) fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Runs a future that never waits, as those over the memory store: no runtime in the figures.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the memory store never waits"),
    }
}
