//! The published suites.

use std::future::ready;
use std::sync::Arc;

use annul::Namespace;
use annul::store::StoreError;
use annul::testkit::{Fixture, Suite, feed, issuance, store, sweep};

use crate::folder::Folder;
use crate::{key, options};

/// The store in this folder, as one tenant sees it, with another beside it.
fn fixture(folder: &Arc<Folder>, name: &str) -> Result<Fixture, StoreError> {
    let root = options(folder).open(&key()).map_err(StoreError::unavailable)?;
    let store = root.namespace(&Namespace::new(name));
    let other = root.namespace(&Namespace::new("other"));
    let (again, sweep, told) = (store.clone(), store.clone(), store.clone());
    let (counted, shown) = (store.clone(), store.clone());
    let fixture = Fixture::ledger(store)
        .sweep(sweep)
        .feed(told)
        .neighbour(Fixture::ledger(other.clone()).feed(other))
        // A second process cannot open the folder: see `opening`. So the second handle is a clone.
        .second_handle(move || ready(Ok(Fixture::ledger(again.clone()).feed(again.clone()))))
        .operations(move || ready(Ok(counted.operations())))
        .contents(move || {
            let shown = shown.clone();
            async move { Ok(format!("{:?}", shown.fingerprint().await?)) }
        })
        .spawning(|task| drop(tokio::spawn(task)))
        .rounds(20);
    Ok(fixture)
}

fn fresh(name: &'static str) -> Result<Fixture, StoreError> {
    let folder = Arc::new(Folder::in_memory());
    let again = Arc::clone(&folder);
    let reopened = move || ready(fixture(&again, name));
    Ok(fixture(&folder, name)?.restarting(reopened).guard(folder))
}

async fn holds(suite: Suite, name: &'static str) {
    let fresh = move || ready(fresh(name));
    suite.run(&fresh).await.assert_held();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_finds_and_revokes_as_promised() {
    holds(store::suite(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_issues_and_rotates_as_promised() {
    holds(issuance::suite(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_sweeps_as_promised() {
    holds(sweep::suite(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_its_readers_as_promised() {
    holds(feed::suite(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_is_promised_the_same() {
    for suite in [store::suite(), issuance::suite(), sweep::suite(), feed::suite()] {
        holds(suite, "tenant").await;
    }
}
