//! Many callers, one fsync.

use std::sync::Arc;

use annul::EmbeddedStore;

use crate::folder::Folder;
use crate::{issue, key, revoke};

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_come_at_once_share_their_fsyncs() {
    let folder = Folder::new();
    let store = Arc::new(EmbeddedStore::open(folder.path(), &key()).unwrap());
    let before = store.commits();
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..20 {
                    revoke(&*store, &format!("{caller}-{n}")).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let commits = store.commits() - before;
    assert!(commits >= 20, "{commits} fsyncs for callers who wait for each of 20 revocations");
    assert!(commits < 64 * 20 / 8, "{commits} fsyncs for {} revocations", 64 * 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_already_costs_no_fsync_and_what_is_new_costs_one() {
    let folder = Folder::new();
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    issue(&store, "t").await.unwrap();
    let before = store.commits();
    revoke(&store, "t").await.unwrap();
    assert_eq!(store.commits() - before, 1);
    for _ in 0..5 {
        revoke(&store, "t").await.unwrap();
    }
    assert_eq!(store.commits() - before, 1);
}
