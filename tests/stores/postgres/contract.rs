//! The published contract.

use std::time::Duration;

use annul::store::{PostgresStore, TokenLedger, TokenStore};
use annul::{Namespace, PresentedToken, Target, testkit};

use crate::server;
use crate::tenancy::{Place, fresh};
use crate::words::{at, grant, is_revoked, operator, refresh};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_finds_and_revokes_as_a_token_store_must() {
    testkit::store::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_issues_and_rotates_as_a_ledger_must() {
    testkit::issuance::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_sweeps_as_a_sweep_must() {
    testkit::sweep::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_as_a_feed_must() {
    testkit::feed::suite().run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_another_tenant_names_by_its_digest_is_not_revoked() {
    let place = Place::new(server::shared()).await;
    // Longer than PostgreSQL can be told to wait, besides.
    let config = place.config().timeout(Duration::from_secs(40 * 24 * 3_600));
    let ours = PostgresStore::connect(config).await.unwrap();
    let theirs = ours.namespace(&Namespace::new("theirs"));
    ours.issue(grant("g"), &[refresh("t", 1)], at(0)).await.unwrap();
    let found = ours.find(PresentedToken::new("t"), None).await.unwrap().unwrap();
    let revocation = operator(Target::Token(found.id().clone()), at(0));
    theirs.revoke(&revocation).await.unwrap();
    assert!(!is_revoked(&ours, "t").await);
    ours.revoke(&revocation).await.unwrap();
    assert!(is_revoked(&ours, "t").await);
}
