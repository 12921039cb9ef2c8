//! Every interleaving within small bounds: because the rules are pure, all of them can be visited.
//!
//! A store that is nothing but the rules ([`store`]) serves two nodes with clocks of their own, which run behind or ahead and are
//! put right ([`world`]). From the empty store on, every step that a host, a client, an operator, a timer or a crash can take is
//! taken in every state that can be reached ([`steps`]), and in each of them two promises are looked at ([`promises`]):
//!
//! - a token that an acknowledged revocation covers is not good, and never good again;
//! - a token that no revocation covers does not die before its time.
//!
//! Put the old rule of one of the stores back, and the search finds the story that it tells: see [`old_rules`].

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod old_rules;
mod promises;
mod search;
mod steps;
mod store;
mod world;

use std::thread;

use search::{Search, search};
use world::Universe;

/// The most states that a search may take before the bounds are too wide for a test.
const MOST: usize = 20_000_000;

/// The most states until an old rule is found out.
const ENOUGH: usize = 10_000_000;

#[test]
fn no_interleaving_brings_a_token_back_to_life_or_kills_one_that_nothing_covers() {
    let searches: Vec<(&str, Search)> = thread::scope(|scope| {
        let threads: Vec<_> = Universe::all()
            .into_iter()
            .map(|universe| scope.spawn(move || (universe.name, search(&universe, MOST, None))))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut states = 0;
    for (name, found) in searches {
        println!("{name}: {} states, {} steps", found.states, found.steps);
        if let Some(story) = &found.broken {
            panic!("{name}:\n{story}");
        }
        assert!(found.is_complete, "{name}: the bounds are too wide");
        states += found.states;
    }
    println!("{states} states in all");
    assert!(states > 1_000_000, "only {states} states: the bounds are too narrow");
}

/// A search that cannot fail proves nothing: each of these rules was one of a store's once.
#[test]
fn the_old_rules_are_found_out() {
    for old in old_rules::ALL {
        let universe = Universe::all().swap_remove(old.world);
        let retention = old.retention.unwrap_or(universe.retention);
        let universe = Universe { rules: old.rules, retention, ..universe };
        let Some(story) = search(&universe, ENOUGH, Some(old.breaks)).broken else {
            panic!("{} ({}) is not found out in: {}", old.fault, old.what, universe.name);
        };
        println!("{} ({}), in {}:\n{story}", old.fault, old.what, universe.name);
    }
}
