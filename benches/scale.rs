//! What changes with scale: more live tokens, longer sessions, a second thread. And the yardstick beside it.
//!
//! Everything that is compared is measured in turns, many rounds of it, and compared round by round: what a
//! shared machine does to one it does to the other.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use support::population::{A, B, Layout, OPERATIONS, Operation, Population, StraightPopulation};
use support::report;
use support::report::{Target, median};

const ROUNDS: usize = 11;

/// How often each round and each reading is repeated.
struct Effort {
    rounds: usize,
    requests: u64,
}

impl Effort {
    fn new() -> Self {
        if support::is_test() {
            Self { rounds: 1, requests: 200 }
        } else {
            Self { rounds: ROUNDS, requests: 10_000 }
        }
    }
}

fn nanos(took: Duration, times: u64) -> f64 {
    took.as_secs_f64() * 1e9 / times as f64
}

/// The whole request against the straight composition.
fn against_straight(size: u64, effort: &Effort) {
    report::title(&format!(
        "handle_revoke against the straight composition, {} live",
        report::short(size)
    ));
    let mut ours = Population::new(A, size);
    let mut straight = StraightPopulation::new(size);
    for (operation, live, name) in
        [(Operation::RevokeLive, true, "live"), (Operation::RevokeUnknown, false, "unknown")]
    {
        let rounds: Vec<(f64, f64)> = (0..effort.rounds)
            .map(|_| {
                let straight = nanos(straight.time(live, effort.requests), effort.requests);
                let ours = nanos(ours.time(operation, effort.requests), effort.requests);
                (ours, straight)
            })
            .collect();
        let ours = median(rounds.iter().map(|round| round.0));
        let straight = median(rounds.iter().map(|round| round.1));
        let ratio = median(rounds.iter().map(|(ours, straight)| ours / straight));
        let what = format!("{name}: {ours:.0} ns, straight {straight:.0} ns (aim: below 1)");
        report::line(&what, ratio, Target::AtMost(1.3));
    }
}

/// Every operation at every size.
fn flatness(sizes: &[u64], effort: &Effort) {
    report::title("Cost at scale: ns of each operation, and how often that of the smallest size");
    let mut populations: Vec<Population> =
        sizes.iter().map(|size| Population::new(A, *size)).collect();
    for operation in OPERATIONS {
        let rounds: Vec<Vec<f64>> = (0..effort.rounds)
            .map(|_| {
                let times = populations.iter_mut();
                times
                    .map(|population| {
                        nanos(population.time(operation, effort.requests), effort.requests)
                    })
                    .collect()
            })
            .collect();
        for (index, size) in sizes.iter().enumerate() {
            let cost = median(rounds.iter().map(|round| round[index]));
            let what = format!("{}, {} live: {cost:.0} ns", operation.name(), report::short(*size));
            let ratio = median(rounds.iter().map(|round| round[index] / round[0]));
            report::line(&what, ratio, Target::AtMost(3.0));
        }
    }
}

/// Grants and sessions of many tokens. All of them stand in one store, so that its size is no part of it.
fn fan_out(effort: &Effort) {
    report::title(
        "Grants and sessions of many tokens: ns of each, and how often that of one token",
    );
    let (many, copies) = if support::is_test() { (100, 2) } else { (10_000, 50) };
    let single = Layout { name: "", grants: 1, access_tokens: 0, sessions: true };
    let wide = |tokens: u64| Layout { access_tokens: tokens - 1, ..single };
    for (operation, layouts) in [
        (Operation::RevokeByRefresh, vec![wide(1), wide(many)]),
        (Operation::Logout, vec![wide(1), wide(100.min(many)), wide(many)]),
    ] {
        // Twice as many as are revoked: half of a population stays.
        let mut populations: Vec<Population> = Population::together(&layouts, copies * 2);
        let rounds: Vec<Vec<f64>> = (0..effort.rounds)
            .map(|_| {
                let costs = populations.iter_mut().map(|population| {
                    let requests = population.requests(operation, copies);
                    let (took, good) = population.send(operation, &requests);
                    assert_eq!(good, requests.len(), "every request succeeds");
                    nanos(took, copies)
                });
                let costs = costs.collect();
                Population::refill_together(&mut populations);
                costs
            })
            .collect();
        for (index, layout) in layouts.iter().enumerate() {
            let cost = median(rounds.iter().map(|round| round[index]));
            let tokens = layout.tokens_per_user();
            let what = format!("{}, {tokens} tokens: {cost:.0} ns", operation.name());
            let ratio = median(rounds.iter().map(|round| round[index] / round[0]));
            report::line(&what, ratio, Target::AtMost(1.2));
        }
    }
}

/// Sends each list on a thread of its own, and says how long that took from the first start to the last end.
#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
fn send_at_once(population: &Population, operation: Operation, lists: &[Vec<String>]) -> Duration {
    let barrier = Barrier::new(lists.len());
    let spans: Vec<(Instant, Instant)> = std::thread::scope(|scope| {
        let threads: Vec<_> = lists
            .iter()
            .map(|requests| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let (_, good) = population.send(operation, requests);
                    assert_eq!(good, requests.len(), "every request succeeds");
                    (start, Instant::now())
                })
            })
            .collect();
        let spans = threads.into_iter().map(|thread| thread.join());
        spans.map(|span| span.expect("a thread that sends")).collect()
    });
    let start = spans.iter().map(|span| span.0).min();
    let end = spans.iter().map(|span| span.1).max();
    start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start)
}

/// Two threads on one store: each sends as many requests as the one thread alone.
fn two_threads(size: u64, effort: &Effort) {
    report::title(&format!("Two threads against one, {} live", report::short(size)));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        println!("Not measured: this machine has one core.");
        return;
    }
    let mut population = Population::new(B, size);
    for operation in [Operation::RevokeLive, Operation::RevokeUnknown, Operation::Check] {
        let ratios: Vec<f64> = (0..effort.rounds)
            .map(|round| {
                population.refill();
                let each = (effort.requests * 2).min(population.users() / 8);
                let one = population.requests(operation, each);
                let two = [0; 2].map(|_| population.requests(operation, each));
                // Each goes first as often as the other: the ledger grows on the way.
                let (one, two) = if round % 2 == 0 {
                    let one = send_at_once(&population, operation, &[one]);
                    (one, send_at_once(&population, operation, &two))
                } else {
                    let two = send_at_once(&population, operation, &two);
                    (send_at_once(&population, operation, &[one]), two)
                };
                // Twice the requests in the same time would be 2.
                2.0 * one.as_secs_f64() / two.as_secs_f64()
            })
            .collect();
        report::line(
            &format!("{}: requests a second", operation.name()),
            median(ratios),
            Target::AtLeast(1.3),
        );
    }
}

fn main() {
    let effort = Effort::new();
    let sizes = support::sizes();
    for size in &sizes {
        against_straight(*size, &effort);
    }
    flatness(&sizes, &effort);
    fan_out(&effort);
    two_threads(if support::is_test() { 10_000 } else { 1_000_000 }, &effort);
}
