//! A sweep among others who write.

use std::time::Duration;

use annul::store::{Sweep, SweepBudget, TokenLedger};
use annul::{EmbeddedStore, Grant, NewToken, PresentedToken, Revoked};

use crate::folder::Folder;
use crate::{DAY, NOW, key, open, options, revoke};

const EXPIRED: usize = 60_000;

async fn issue_what_expires_in_a_day(store: &EmbeddedStore) {
    for grant in 0..EXPIRED / 2_000 {
        let names: Vec<String> = (0..2_000).map(|n| format!("{grant}-{n}")).collect();
        let tokens: Vec<_> = names
            .iter()
            .map(|name| NewToken::access(PresentedToken::new(name), NOW + DAY))
            .collect();
        store.issue(Grant::new(grant.to_string(), "web", NOW), &tokens, NOW).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_lets_a_revocation_through_and_answers_long_before_the_time_out() {
    let folder = Folder::in_memory();
    let store = open(&folder);
    issue_what_expires_in_a_day(&store).await;
    drop(store);
    // A quarter of the time-out is what it takes at once: too little for all of it.
    let options = options(&folder).time_out(Duration::from_secs(1));
    let store = options.open(&key()).unwrap();
    let sweeper = store.clone();
    let budget = SweepBudget::rows(2 * EXPIRED);
    let sweep = tokio::spawn(async move { sweeper.sweep(NOW + 400 * DAY, budget).await });
    while store.commits() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(revoke(&store, "meanwhile").await.unwrap(), Revoked::Newly);
    assert!(!sweep.is_finished(), "the revocation had to wait for the whole sweep");
    let swept = sweep.await.unwrap().unwrap();
    assert!(swept.more && swept.removed > 0 && swept.removed < EXPIRED, "{swept:?}");
    let mut removed = swept.removed;
    loop {
        let swept = store.sweep(NOW + 400 * DAY, budget).await.unwrap();
        removed += swept.removed;
        if !swept.more {
            break;
        }
    }
    // With their grants.
    assert_eq!(removed, EXPIRED + EXPIRED / 2_000);
}
