//! The published contract.

use annul::testkit;

use crate::tenancy::fresh;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_finds_and_revokes_as_a_token_store_must() {
    testkit::store::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_issues_and_rotates_as_a_ledger_must() {
    testkit::ledger::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_sweeps_as_a_sweep_must() {
    testkit::sweep::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_as_a_feed_must() {
    testkit::feed::suite().run(&fresh).await.assert_held();
}
