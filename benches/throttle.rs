//! The shipped throttle under attack: what a million strangers leave behind in memory, and what it costs to ask it and
//! to tell it.

#![expect(clippy::expect_used, reason = "a bench that cannot run must stop")]
#![expect(clippy::indexing_slicing, reason = "the yardstick is written straight down")]

#[expect(dead_code, reason = "each bench uses its own part")]
mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use annul::throttle::{Caller, Misuse, RateLimiter, SlowDown, Throttle};
use annul::wire::basic;
use annul::{Authority, MemoryStore, Request, Timestamp};

use support::report::{Target, median};
use support::{population, processor_time, report};

const MIB: f64 = 1_048_576.0;

/// Who the strangers are.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Peers {
    Distinct,
    /// One that fails until it is refused.
    One,
}

const fn peer(peers: Peers, number: u32) -> IpAddr {
    // A factor that is odd: no two numbers have the same address.
    let number = match peers {
        Peers::Distinct => number.wrapping_mul(2_654_435_761),
        Peers::One => 0,
    };
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

fn name(number: u32) -> String {
    format!("made-up-{number:08x}")
}

/// Fails once under each of these identifiers; how many were heard.
fn attack(authority: &Authority, peers: Peers, names: Range<u32>) -> usize {
    let heard = |number: &u32| {
        let header = basic::header_value(&name(*number), "a guess");
        let request = Request::post(b"token=t")
            .header("content-type", support::FORM)
            .header("authorization", header.as_bytes())
            .peer(peer(peers, *number));
        let status = support::run(annul::handle_revoke(authority, &request)).status();
        assert!(matches!(status, 401 | 429), "nobody is let in: {status}");
        status == 401
    };
    names.filter(heard).count()
}

fn memory(requests: u32) {
    report::title("MiB that failing requests leave behind, each under another client identifier");
    for (who, peers) in
        [("each from another peer", Peers::Distinct), ("all from one peer", Peers::One)]
    {
        let before = support::resident().expect("Linux");
        let authority = Authority::new(MemoryStore::new(), population::clients())
            .throttle(RateLimiter::default());
        let heard = attack(&authority, peers, 0..requests);
        if peers == Peers::Distinct {
            assert_eq!(heard, usize::try_from(requests).expect("32 bits"), "nobody is shut out");
        }
        let after = support::resident().expect("Linux");
        let left = (after as f64 - before as f64) / MIB;
        let what = format!("{} requests, {who}, {heard} heard", report::short(requests.into()));
        let verdict = Target::AtMost(10.0).verdict(left.abs());
        println!("{what:<64} {left:>+9.2}   target ± 10     {verdict}");
    }
}

/// Only the crate makes a [`Caller`]: so the stopwatch is a throttle too, and stops its time when it is asked.
struct Stopwatch {
    names: Vec<String>,
    rounds: usize,
}

impl Throttle for Stopwatch {
    fn admit(&self, caller: Caller<'_>, now: Timestamp) -> Result<(), SlowDown> {
        let strangers = || {
            self.names.iter().zip(0..).map(move |(name, number)| {
                let mut stranger = caller;
                stranger.client = Some(name);
                stranger.peer = Some(peer(Peers::Distinct, number));
                stranger
            })
        };
        let mut costs = vec![Vec::new(); 4];
        for _ in 0..self.rounds {
            let limiter = RateLimiter::default();
            let admit = |caller| limiter.admit(caller, now).is_ok();
            let report = |caller| limiter.report(caller, Misuse::AuthenticationFailed, now);
            let same = || std::iter::repeat_n(caller, self.names.len());
            costs[0].push(nanos(same(), |caller| assert!(admit(black_box(caller)))));
            costs[1].push(nanos(strangers(), |caller| report(black_box(caller))));
            costs[2].push(nanos(strangers(), |caller| {
                black_box(admit(black_box(caller)));
            }));
            costs[3].push(nanos(same(), |caller| report(black_box(caller))));
        }
        let what = [
            "admit, the same caller again and again",
            "report, each of another caller: the table fills up",
            "admit, each of another caller, the table full",
            "report, the same caller again and again",
        ];
        for (what, costs) in what.iter().zip(costs) {
            report::note(what, median(costs), "ns");
        }
        Ok(())
    }

    fn report(&self, _: Caller<'_>, _: Misuse, _: Timestamp) {}
}

/// What one of these calls costs.
fn nanos<T>(callers: impl Iterator<Item = T>, mut call: impl FnMut(T)) -> f64 {
    let start = processor_time();
    let mut calls = 0_u32;
    for caller in callers {
        call(caller);
        calls += 1;
    }
    (processor_time() - start).as_secs_f64() * 1e9 / f64::from(calls)
}

fn times(requests: u32) {
    report::title("Processor time of one question, and of one report");
    let stopwatch = Stopwatch {
        names: (0..requests).map(name).collect(),
        rounds: if requests > 10_000 { 5 } else { 1 },
    };
    let authority = Authority::new(MemoryStore::new(), population::clients()).throttle(stopwatch);
    let header = population::authorization();
    let request = Request::post(b"token=t")
        .header("content-type", support::FORM)
        .header("authorization", header.as_bytes())
        .peer(Ipv4Addr::new(192, 0, 2, 1).into());
    let status = support::run(annul::handle_revoke(&authority, &request)).status();
    assert_eq!(status, 200);
}

fn main() {
    let requests = if support::is_test() { 5_000 } else { 1_000_000 };
    memory(requests);
    times(requests);
}
