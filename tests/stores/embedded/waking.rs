//! A caller whose waker panics.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use annul::store::{RevocationFeed, TokenLedger, TokenStore};
use annul::{Grant, NewToken, PresentedToken, Revoked};

use crate::folder::Folder;
use crate::{DAY, NOW, is_revoked, issue, open, revoke, state};

/// As an executor does that was shut down.
struct Broken;

#[expect(clippy::panic, reason = "this is what it is for")]
impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        panic!("this executor is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waker_that_panics_ends_no_thread() {
    let folder = Folder::in_memory();
    let store = open(&folder);
    let waker = Waker::from(Arc::new(Broken));
    let mut context = Context::from_waker(&waker);
    issue(&store, "first").await.unwrap();
    for round in 0..20 {
        let name = format!("t{round}");
        let token = [NewToken::refresh(PresentedToken::new(&name), NOW + DAY)];
        // Written; read, by every thread that reads; waited for, until the next entry.
        let mut writing = pin!(store.issue(Grant::new(name.as_str(), "web", NOW), &token, NOW));
        let mut reading = pin!(store.find(PresentedToken::new("first"), None));
        let annul::store::Changes::Page(page) = store.changes(None, 100).await.unwrap() else {
            unreachable!("who begins has missed nothing");
        };
        let mut waiting = pin!(store.changed(page.next()));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert!(writing.as_mut().poll(&mut context).is_pending());
        // Perhaps it is answered before its waker is there.
        let _is_answered = reading.as_mut().poll(&mut context).is_ready();
        let revoked = tokio::time::timeout(Duration::from_secs(20), revoke(&store, &name)).await;
        assert_eq!(revoked.unwrap().unwrap(), Revoked::Newly);
        assert!(is_revoked(state(&store, &name).await.unwrap()));
    }
}
