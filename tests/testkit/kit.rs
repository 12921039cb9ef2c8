//! The kit's own manners: nothing is skipped in silence, chance can be repeated, guards go last, panics are caught.

use std::future::ready;
use std::sync::{Arc, Mutex};

use annul::store::{StoreError, TokenStore};
use annul::testkit::{Ability, Fixture, NotProven, feed, issuance, store, sweep};
use annul::{MemoryStore, PresentedToken, Revocation, Revoked, TokenRecord, TokenTypeHint};
use async_trait::async_trait;

use crate::bugs::Bug;
use crate::rows::Rows;

#[test]
fn every_case_has_a_reason_and_a_name_of_its_own() {
    let all = [store::suite(), issuance::suite(), sweep::suite(), feed::suite()];
    let mut names: Vec<&str> = Vec::new();
    for suite in all {
        for case in suite.cases() {
            assert!(case.why().len() > 40 && case.why().ends_with('.'), "{}", case.name());
            names.push(case.name());
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[tokio::test]
async fn what_is_lacking_is_listed_and_fails_whoever_wants_all() {
    let bare = || ready(Ok(Fixture::ledger(MemoryStore::new())));
    let report = sweep::suite().run(&bare).await;
    assert!(report.held().is_empty() && report.violations().is_empty());
    assert_eq!(report.not_checked().len(), sweep::suite().cases().len());
    assert!(report.not_checked().iter().all(|(_, ability)| *ability == Ability::Sweep));
    let shown = report.to_string();
    assert!(shown.contains("not checked: a_sweep_takes_nothing_that_is_good: needs a Sweep"));
    report.assert_held_except_for(&[Ability::Sweep]);
    assert!(std::panic::catch_unwind(|| report.assert_held()).is_err());
    // Taking turns is not running beside each other.
    let outcome = issuance::of_racers_with_one_refresh_token_one_wins(&bare).await;
    assert!(matches!(outcome, Err(NotProven::Lacks(Ability::Parallel))));
}

#[tokio::test]
async fn a_violation_says_what_and_why_and_chance_can_be_repeated() {
    let broken = || ready(Ok(Rows::fixture(Some(Bug::CutoffMovesBack)).seed(11)));
    let mut seen = Vec::new();
    for _ in 0..2 {
        let outcome = store::a_naive_model_of_tokens_and_revocations_agrees(&broken).await;
        let Err(NotProven::Violated(violation)) = outcome else {
            unreachable!("the cutoff moved back, and nobody noticed");
        };
        assert!(violation.why().contains("looks"), "{violation}");
        assert!(violation.seen().starts_with("seed "), "{violation}");
        seen.push(violation.to_string());
    }
    assert_eq!(seen[0], seen[1]);
}

/// One forgotten read, and twenty violations: the report begins with what they have in common.
#[tokio::test]
async fn a_report_of_many_violations_says_which_to_read_first() {
    let broken = || ready(Ok(Rows::fixture(Some(Bug::FindsWithoutItsLedger)).rounds(3)));
    let report = store::suite().run(&broken).await;
    assert!(report.violations().len() > 10, "{report}");
    let first = report.read_first().unwrap();
    assert_eq!(first.case(), "each_target_ends_what_it_covers_and_nothing_else");
    let begins = format!("read first: {}: Of the seven targets", first.case());
    assert!(report.to_string().starts_with(&begins), "{report}");
    let ranks = report.violations().iter().map(|it| store::suite().case(it.case()).unwrap().rank());
    assert!(ranks.is_sorted(), "{report}");
    // With one there is nothing to choose.
    let broken = || ready(Ok(Rows::fixture(Some(Bug::HintFilters)).rounds(3).on_threads()));
    let report = store::suite().run(&broken).await;
    assert_eq!(report.violations().len(), 1);
    assert!(report.to_string().starts_with("TokenStore: "), "{report}");
}

/// A lock within the process hides the lack of a transaction, where all racers use one handle.
#[tokio::test]
async fn a_store_without_transactions_is_found_by_its_second_handle() {
    let case = issuance::suite().case("of_racers_with_one_refresh_token_one_wins").unwrap();
    let alone = || ready(Ok(Rows::one_handle(Bug::LocksItsHandleAlone).on_threads()));
    let outcome = case.run(&alone).await;
    assert!(matches!(outcome, Err(NotProven::Lacks(Ability::SecondHandle))), "{outcome:?}");
    let two = || ready(Ok(Rows::fixture(Some(Bug::LocksItsHandleAlone)).on_threads()));
    let outcome = case.run(&two).await;
    assert!(matches!(outcome, Err(NotProven::Violated(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_fixture_that_cannot_be_made_is_a_violation() {
    let none = || ready(Err(StoreError::unavailable("connection refused")));
    let report = store::suite().run(&none).await;
    assert_eq!(report.violations().len(), store::suite().cases().len());
    assert!(report.violations()[0].seen().contains("connection refused"));
}

/// Tells when it goes.
struct Told(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Drop for Told {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

struct Guarded(MemoryStore, #[expect(dead_code, reason = "dropped")] Told);

#[async_trait]
impl TokenStore for Guarded {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.0.find(token, hint).await
    }

    async fn revoke(&self, _revocation: &Revocation) -> Result<Revoked, StoreError> {
        unreachable!("this store has a bad day")
    }
}

#[async_trait]
impl annul::testkit::PutToken for Guarded {
    async fn put(
        &self,
        grant: &annul::Grant,
        token: &annul::NewToken<'_>,
        now: annul::Timestamp,
    ) -> Result<annul::testkit::Put, StoreError> {
        use annul::store::TokenLedger;
        self.0.issue(grant.clone(), std::slice::from_ref(token), now).await?;
        Ok(annul::testkit::Put::Done)
    }
}

#[tokio::test]
async fn the_guard_goes_after_the_store_also_where_the_store_panics() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&order);
    let fresh = move || {
        let store = Guarded(MemoryStore::new(), Told("store", Arc::clone(&told)));
        let store = Arc::new(store);
        let guard = Told("guard", Arc::clone(&told));
        ready(Ok(Fixture::store(Arc::clone(&store), store).guard(guard)))
    };
    let outcome = store::suite().case("a_replayed_revocation_changes_nothing").unwrap();
    let Err(NotProven::Violated(violation)) = outcome.run(&fresh).await else {
        unreachable!("it panicked, and nobody noticed");
    };
    assert!(violation.seen().contains("bad day"), "{violation}");
    assert_eq!(*order.lock().unwrap(), ["store", "guard"]);
    // On a thread of its own, too: it is reported, and nobody waits for it for ever.
    order.lock().unwrap().clear();
    let told = Arc::clone(&order);
    let fresh = move || {
        let store = Guarded(MemoryStore::new(), Told("store", Arc::clone(&told)));
        let store = Arc::new(store);
        ready(Ok(Fixture::store(Arc::clone(&store), store).on_threads()))
    };
    let outcome = store::of_racers_that_revoke_the_same_one_brings_the_news(&fresh).await;
    let Err(NotProven::Violated(violation)) = outcome else {
        unreachable!("it panicked, and nobody noticed");
    };
    assert!(violation.seen().contains("a racer panicked"), "{violation}");
}
