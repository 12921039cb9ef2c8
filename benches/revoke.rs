//! The endpoints in process: nanoseconds of each whole request.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::hint::black_box;
use std::time::Duration;

use annul::client::{ClientAuthenticator, Credentials};
use annul::wire::basic::Scratch;
use annul::wire::form::Form;
use annul::{Policy, Request};
use criterion::Criterion;

use support::population;
use support::population::{A, OPERATIONS, Population, StraightPopulation};

fn authenticate(criterion: &mut Criterion) {
    let clients = population::clients();
    let policy = Policy::default();
    let header = population::authorization();
    criterion.bench_function("authenticate/basic", |bencher| {
        bencher.iter(|| {
            let request = Request::post(b"")
                .header("content-type", support::FORM)
                .header("authorization", header.as_bytes());
            let form = Form::read(&request, &policy).expect("an empty form");
            let mut scratch = Scratch::default();
            let credentials =
                Credentials::read(&request, &form, &mut scratch, &policy).expect("one mechanism");
            support::run(clients.authenticate(black_box(credentials))).expect("the right secret")
        });
    });
}

fn endpoints(criterion: &mut Criterion, size: u64) {
    let mut group = criterion.benchmark_group(format!("{} live", support::report::short(size)));
    let mut straight = StraightPopulation::new(size);
    for (name, live) in [("straight/unknown", false), ("straight/live", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| straight.time(live, times));
        });
    }
    drop(straight);
    let mut population = Population::new(A, size);
    for operation in OPERATIONS {
        group.bench_function(operation.name(), |bencher| {
            bencher.iter_custom(|times| population.time(operation, times));
        });
        population.refill();
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    authenticate(&mut criterion);
    for size in support::sizes() {
        endpoints(&mut criterion, size);
    }
    criterion.final_summary();
}
