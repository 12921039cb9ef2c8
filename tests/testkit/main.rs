//! The published suites: honest stores keep them, and each case notices at least one store that is not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a double need not know later variants")]

mod authenticators;
mod bugs;
#[expect(dead_code, reason = "an example has a main")]
#[path = "../../examples/custom_store.rs"]
mod custom_store;
mod example;
mod journal;
mod kit;
mod rows;

use std::fmt::Debug;
use std::future::ready;
use std::time::Duration;

use annul::store::{Lifetimes, Retention, StoreError};
use annul::testkit::{Ability, Fixture, NotProven, Suite, feed, issuance, store, sweep};
use annul::{MemoryStore, Namespace};

use crate::bugs::Bug;
use crate::journal::Journal;
use crate::rows::Rows;

fn handle(store: &MemoryStore) -> Fixture {
    Fixture::ledger(store.clone()).sweep(store.clone()).feed(store.clone())
}

/// The memory store, seen from two tenants.
fn memory(store: &MemoryStore, other: &MemoryStore) -> Fixture {
    let (again, dump) = (store.clone(), store.clone());
    handle(store)
        .neighbour(handle(other))
        .second_handle(move || ready(Ok(handle(&again))))
        .contents(move || ready(Ok(format!("{:?}", dump.usage()))))
        .on_threads()
}

/// The cases jump in time.
fn fresh() -> MemoryStore {
    MemoryStore::new().with_lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
}

async fn default_namespace() -> Result<Fixture, StoreError> {
    let store = fresh();
    let other = store.namespace(&Namespace::new("other"));
    Ok(memory(&store, &other).rounds(400))
}

/// With short memories, so that sweeps take much of what the models have made.
async fn exact() -> Result<Fixture, StoreError> {
    let mut retention = Retention::default();
    retention.access_tokens = Duration::from_secs(1_200);
    retention.refresh_tokens = Duration::from_secs(7_200);
    let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX).with_retention(retention);
    let store = MemoryStore::new().with_lifetimes(lifetimes);
    let other = store.namespace(&Namespace::new("other"));
    Ok(memory(&store, &other).exact(retention).rounds(400))
}

#[tokio::test]
async fn the_memory_store_gives_the_exact_answer_where_others_have_a_choice() {
    let cases = [
        store::suite().case("a_naive_model_of_tokens_and_revocations_agrees"),
        issuance::suite().case("a_naive_model_of_rotations_and_sessions_agrees"),
        sweep::suite().case("a_naive_model_that_forgets_nothing_agrees"),
        issuance::suite().case("of_racers_with_one_refresh_token_one_wins"),
        sweep::suite().case("sweepers_beside_each_other_take_nothing_that_is_good"),
    ];
    for case in cases {
        case.unwrap().run(&exact).await.unwrap();
    }
}

async fn another_namespace() -> Result<Fixture, StoreError> {
    let root = fresh();
    let store = root.namespace(&Namespace::new("tenant"));
    Ok(memory(&store, &root))
}

/// It dies with the process, and has no operations to count: the benches measure what revoking costs.
const OF_MEMORY: [Ability; 2] = [Ability::Operations, Ability::Restart];

#[tokio::test]
async fn the_memory_store_keeps_the_contract_in_its_default_namespace() {
    store::suite().run(&default_namespace).await.assert_held_except_for(&OF_MEMORY);
    issuance::suite().run(&default_namespace).await.assert_held_except_for(&OF_MEMORY);
    sweep::suite().run(&default_namespace).await.assert_held();
    feed::suite().run(&default_namespace).await.assert_held_except_for(&OF_MEMORY);
}

#[tokio::test]
async fn the_memory_store_keeps_the_contract_in_another_namespace() {
    store::suite().run(&another_namespace).await.assert_held_except_for(&OF_MEMORY);
    issuance::suite().run(&another_namespace).await.assert_held_except_for(&OF_MEMORY);
    sweep::suite().run(&another_namespace).await.assert_held();
    feed::suite().run(&another_namespace).await.assert_held_except_for(&OF_MEMORY);
}

/// The window between the look-up of a rotation and its write is narrow: a few hundred rounds miss it.
#[tokio::test]
async fn the_memory_store_loses_no_race_in_ten_thousand() {
    let fresh = || async { Ok(default_namespace().await?.rounds(10_000)) };
    let case = issuance::suite().case("revoking_one_token_beside_its_rotation_leaves_nothing_live");
    case.unwrap().run(&fresh).await.unwrap();
}

async fn honest() -> Result<Fixture, StoreError> {
    Ok(Rows::fixture(None).on_threads())
}

#[tokio::test]
async fn a_second_honest_store_keeps_all_of_it() {
    store::suite().run(&honest).await.assert_held();
    issuance::suite().run(&honest).await.assert_held();
    sweep::suite().run(&honest).await.assert_held();
}

/// On the tasks of a runtime, where a store with a connection pool wants to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racers_may_run_on_a_runtime() {
    let fresh = || ready(Ok(Rows::fixture(None).spawning(|task| drop(tokio::spawn(task)))));
    issuance::suite().run(&fresh).await.assert_held();
}

#[tokio::test]
async fn racers_may_run_on_a_runtime_with_one_thread() {
    let fresh = || ready(Ok(Rows::fixture(None).spawning(|task| drop(tokio::spawn(task)))));
    issuance::suite().run(&fresh).await.assert_held();
}

#[tokio::test]
async fn a_host_with_tables_of_its_own_runs_what_it_has() {
    let host = || ready(Ok(Rows::host().on_threads()));
    let report = store::suite().run(&host).await;
    let lacking = [
        Ability::Contents,
        Ability::Namespaces,
        Ability::Operations,
        Ability::Place,
        Ability::Restart,
        Ability::SecondHandle,
    ];
    report.assert_held_except_for(&lacking);
    assert_eq!(report.held().len() + report.not_checked().len(), store::suite().cases().len());
    // What it does not have is not held against it, and not counted as proven either.
    let report = issuance::suite().run(&host).await;
    assert_eq!(report.held().len(), 0, "{report}");
    assert!(report.not_checked().iter().all(|(_, ability)| *ability == Ability::Ledger));
    let report = sweep::suite().run(&host).await;
    assert_eq!(report.held().len(), 0, "{report}");
}

#[tokio::test]
async fn a_feed_in_a_table_of_its_own_keeps_the_contract() {
    let honest = || ready(Ok(Journal::fixture(None).on_threads()));
    feed::suite().run(&honest).await.assert_held();
    store::suite()
        .run(&honest)
        .await
        .assert_held_except_for(&[Ability::Contents, Ability::Operations]);
}

/// Runs the cases that must notice each bug, and says which did not, and which case nobody tried. Racers take turns: so
/// they meet in the same places each time.
async fn each_case_notices<B: Copy + Debug + Send + Sync>(
    suite: Suite,
    bugs: &[(B, &[&str])],
    broken: impl Fn(B) -> Fixture + Copy + Send + Sync,
) {
    let mut unnoticed = Vec::new();
    let mut untried: Vec<&str> = suite.cases().iter().map(|case| case.name()).collect();
    for (bug, cases) in bugs {
        let broken = || ready(Ok(broken(*bug)));
        for name in *cases {
            let case = suite.case(name).unwrap();
            match case.run(&broken).await {
                Err(NotProven::Violated(violation)) => {
                    assert_eq!(violation.case(), *name);
                    untried.retain(|untried| untried != name);
                }
                other => unnoticed.push(format!("{name} with {bug:?}: {other:?}")),
            }
        }
    }
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
    assert!(untried.is_empty(), "no bug for:\n{}", untried.join("\n"));
}

fn rows(bug: Bug) -> Fixture {
    Rows::fixture(Some(bug))
}

#[tokio::test]
async fn each_case_of_the_store_suite_can_fail() {
    each_case_notices(store::suite(), bugs::STORE, rows).await;
}

#[tokio::test]
async fn each_case_of_the_issuance_suite_can_fail() {
    each_case_notices(issuance::suite(), bugs::LEDGER, rows).await;
}

#[tokio::test]
async fn each_case_of_the_sweep_suite_can_fail() {
    each_case_notices(sweep::suite(), bugs::SWEEP, rows).await;
}

#[tokio::test]
async fn each_case_of_the_feed_suite_can_fail() {
    each_case_notices(feed::suite(), journal::FEED, |bug| Journal::fixture(Some(bug))).await;
}
