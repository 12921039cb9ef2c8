//! The hint that the feed has something new.

use std::time::Duration;

use annul::EmbeddedStore;
use annul::store::{Changes, FeedCursor, RevocationFeed};

use crate::folder::Folder;
use crate::{key, revoke};

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn read(store: &EmbeddedStore, after: Option<&FeedCursor>) -> (usize, FeedCursor) {
    match store.changes(after, 100).await.unwrap() {
        Changes::Page(page) => (page.entries().len(), page.next().clone()),
        Changes::Gap => unreachable!("nothing was swept"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_news_is_told_when_they_can_be_read() {
    let folder = Folder::in_memory();
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    revoke(&store, "before").await.unwrap();
    let (count, mut cursor) = read(&store, None).await;
    assert_eq!(count, 1);
    for n in 0..50 {
        let waiting = {
            let (store, cursor) = (store.clone(), cursor.clone());
            tokio::spawn(async move { store.changed(&cursor).await })
        };
        revoke(&store, &format!("g{n}")).await.unwrap();
        tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
        let (count, next) = read(&store, Some(&cursor)).await;
        assert_eq!(count, 1);
        cursor = next;
    }
    // Across a restart too: there was news before anybody asked.
    let old = cursor.clone();
    revoke(&store, "last").await.unwrap();
    drop(store);
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    tokio::time::timeout(PATIENCE, store.changed(&old)).await.unwrap().unwrap();
    assert_eq!(read(&store, Some(&old)).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_notices_that_a_copy_was_put_back() {
    let (folder, copy) = (Folder::in_memory(), Folder::in_memory());
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    revoke(&store, "kept").await.unwrap();
    let (_, early) = read(&store, None).await;
    drop(store);
    let run = |from: &Folder, to: &Folder| {
        let from = from.path().join(".");
        let mut command = std::process::Command::new("cp");
        let status = command.arg("-a").arg("--sparse=always").arg(from).arg(to.path()).status();
        assert!(status.unwrap().success());
    };
    run(&folder, &copy);
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    revoke(&store, "lost").await.unwrap();
    let (_, late) = read(&store, Some(&early)).await;
    drop(store);
    // The copy goes on, and gives its own entry the place that the reader has seen.
    let store = EmbeddedStore::open(copy.path(), &key()).unwrap();
    revoke(&store, "other").await.unwrap();
    assert_eq!(store.changes(Some(&late), 100).await.unwrap(), Changes::Gap);
    assert_eq!(read(&store, Some(&early)).await.0, 1);
}

#[tokio::test]
async fn a_cursor_of_a_neighbour_is_a_gap() {
    let folder = Folder::in_memory();
    let store = EmbeddedStore::open(folder.path(), &key()).unwrap();
    let neighbour = store.namespace(&annul::Namespace::new("neighbour"));
    revoke(&neighbour, "theirs").await.unwrap();
    revoke(&store, "ours").await.unwrap();
    let Changes::Page(ours) = store.changes(None, 9).await.unwrap() else { panic!() };
    let theirs = neighbour.changes(Some(ours.next()), 9).await.unwrap();
    assert!(matches!(theirs, Changes::Gap), "{theirs:?}");
    let again = store.changes(Some(ours.next()), 9).await.unwrap();
    assert!(matches!(again, Changes::Page(_)), "{again:?}");
}
