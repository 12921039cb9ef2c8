//! Every suite, through the layer: at its most stubborn, and where it keeps nothing.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use annul::store::{Layered, Lifetimes};
use annul::testkit::{Ability, Fixture, feed, issuance, store, sweep};
use annul::{FakeClock, MemoryStore, Namespace, Timestamp};

use crate::slow::Slow;
use crate::{YEAR, key};

type Layer = Arc<Layered<Slow<MemoryStore>>>;

/// Each handle is a layer: what another one revoked it would not see at once, so the second handle is the same one.
/// What was asked of the layers is counted in front of them, and what they asked behind them.
fn fixture(max_staleness: Duration, before: &Slow<()>, behind: &Slow<()>) -> Fixture {
    let memory =
        MemoryStore::new().with_lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX));
    let clock = Arc::new(FakeClock::at(Timestamp::default()));
    let open = {
        let (clock, before, behind) = (Arc::clone(&clock), before.clone(), behind.clone());
        move |memory: &MemoryStore| -> Slow<Layer> {
            let layer = Layered::new(behind.over(memory.clone()), key(), max_staleness);
            before.over(Arc::new(layer.clock(Arc::clone(&clock))))
        }
    };
    let layer = open(&memory);
    let neighbour = open(&memory.namespace(&Namespace::new("other")));
    let (again, dump) = (layer.clone(), memory.clone());
    handle(layer)
        .neighbour(handle(neighbour))
        .second_handle(move || ready(Ok(handle(again.clone()))))
        .restarting(move || ready(Ok(handle(open(&memory)))))
        .contents(move || ready(Ok(format!("{:?}", dump.usage()))))
        .clock(clock)
        .on_threads()
}

fn handle(layer: Slow<Layer>) -> Fixture {
    Fixture::ledger(layer.clone()).sweep(layer.clone()).feed(layer)
}

async fn the_contract_is_kept(max_staleness: Duration) -> (usize, usize) {
    let (before, behind) = (Slow::new(()), Slow::new(()));
    let fresh = || ready(Ok(fixture(max_staleness, &before, &behind)));
    let lacking = [Ability::Operations];
    store::suite().run(&fresh).await.assert_held_except_for(&lacking);
    issuance::suite().run(&fresh).await.assert_held_except_for(&lacking);
    sweep::suite().run(&fresh).await.assert_held();
    feed::suite().run(&fresh).await.assert_held();
    (before.finds(), behind.finds())
}

#[tokio::test]
async fn the_contract_is_kept_by_a_layer_that_believes_what_it_heard_for_a_year() {
    let (before, behind) = the_contract_is_kept(YEAR).await;
    assert!(behind < before, "nothing was kept: {behind} of {before} went through");
}

#[tokio::test]
async fn the_contract_is_kept_by_a_layer_that_believes_nothing() {
    let (before, behind) = the_contract_is_kept(Duration::ZERO).await;
    assert_eq!(behind, before);
}
