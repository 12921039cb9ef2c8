//! Allocations and bytes: of each request, and of each live token.
//!
//! Every allocation is counted, which costs time: nothing is timed here.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::process::Command;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use support::population::{A, B, C, Layout, OPERATIONS, Operation, Population};
use support::report;
use support::report::Target;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// How many methods of async traits a request calls: `authenticate` and `client` on the way to the caller's
/// identity, `find`, and `revoke`. Each boxes its future, and nothing else may allocate.
const fn trait_calls(operation: Operation) -> usize {
    match operation {
        Operation::Check => 1,
        Operation::Introspect | Operation::RevokeUnknown => 3,
        Operation::Logout | Operation::RevokeByRefresh | Operation::RevokeLive => 4,
    }
}

/// An answer that is not empty: the body, and the list that holds its `Content-Type`.
const fn answer(operation: Operation) -> usize {
    match operation {
        Operation::Introspect => 2,
        Operation::Check
        | Operation::Logout
        | Operation::RevokeByRefresh
        | Operation::RevokeLive
        | Operation::RevokeUnknown => 0,
    }
}

fn requests() {
    report::title("Allocations of one request");
    println!(
        "{:<24} {:>6} {:>6} {:>8} {:>12} {:>10}",
        "", "allocs", "bytes", "at most", "mean allocs", "mean bytes"
    );
    let samples = 2_000;
    let mut population = Population::new(A, if support::is_test() { 20_000 } else { 100_000 });
    for operation in OPERATIONS {
        // Tables grow now and then, which the means show; most requests see none of it, and they are the figure.
        let each = population.requests(operation, samples.min(population.users() / 12));
        let mut seen = Vec::with_capacity(each.len());
        // The header is made once for each call of `send`; what one call without requests does is no cost.
        let idle = Region::new(ALLOCATOR);
        population.send(operation, &[]);
        let idle = idle.change();
        for text in &each {
            let region = Region::new(ALLOCATOR);
            let (_, good) = population.send(operation, std::slice::from_ref(text));
            let change = region.change() - idle;
            assert_eq!(good, 1, "the request succeeds: {operation:?}");
            seen.push((change.allocations + change.reallocations, change.bytes_allocated));
        }
        let mean = |part: fn(&(usize, usize)) -> usize| {
            seen.iter().map(part).sum::<usize>() as f64 / seen.len() as f64
        };
        let (mean_allocations, mean_bytes) = (mean(|seen| seen.0), mean(|seen| seen.1));
        seen.sort_unstable();
        let (allocations, bytes) = seen[seen.len() / 2];
        let most = trait_calls(operation) + answer(operation);
        let verdict = Target::AtMost(most as f64).verdict(allocations as f64);
        println!(
            "{:<24} {allocations:>6} {bytes:>6} {most:>8} {mean_allocations:>12.3} {mean_bytes:>10.1}  {verdict}",
            operation.name()
        );
    }
}

const LAYOUTS: [Layout; 6] = [A, A.with_sessions(), B, B.with_sessions(), C, C.with_sessions()];

/// In a process of its own: fills one store and prints heap and resident bytes per token.
fn measure(layout: usize, size: u64) {
    let region = Region::new(ALLOCATOR);
    let before = support::resident();
    let population = Population::new(LAYOUTS[layout], size);
    let tokens = population.store.usage().tokens;
    let change = region.change();
    let heap = (change.bytes_allocated - change.bytes_deallocated) as f64 / tokens as f64;
    let grown = support::resident().zip(before).map(|(after, before)| after - before);
    let resident = grown.map_or(f64::NAN, |grown| grown as f64 / tokens as f64);
    println!("{heap} {resident}");
}

fn tokens(size: u64) {
    report::title(&format!("Bytes of one live token, {} live", report::short(size)));
    println!(
        "Heap, and resident in memory, of a fresh process; scopes, UUIDs and expiry index included.\n"
    );
    for (index, layout) in LAYOUTS.iter().enumerate() {
        let myself = std::env::current_exe().expect("a bench knows its own path");
        let output = Command::new(myself)
            .args([MEASURE, &index.to_string(), &size.to_string()])
            .output()
            .expect("a bench can run itself");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut figures = text.split_whitespace().map(|figure| figure.parse::<f64>());
        let (Some(Ok(heap)), Some(Ok(resident))) = (figures.next(), figures.next()) else {
            unreachable!("the child failed: {}", String::from_utf8_lossy(&output.stderr));
        };
        let session = if layout.sessions { " + session record" } else { "" };
        let what = format!("{}{session} (resident {resident:.1})", layout.name);
        report::line(&what, heap, Target::AtMost(200.0));
    }
}

const MEASURE: &str = "--measure";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, layout, size] = arguments.as_slice()
        && flag == MEASURE
    {
        let layout = layout.parse().expect("the number of a layout");
        measure(layout, size.parse().expect("a number of tokens"));
        return;
    }
    requests();
    for size in support::sizes() {
        // A thousand tokens do not fill the empty tables.
        tokens(size.max(10_000));
    }
}
