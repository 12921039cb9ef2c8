//! What stays through sweep after sweep, and what does not pile up.

use std::time::Duration;

use annul::store::{Changes, RevocationFeed, Session, Sweep, SweepBudget, TokenStore};
use annul::{Reason, Revocation, Target};

use crate::folder::Folder;
use crate::{NOW, is_revoked, issue, open, state};

const HOUR: Duration = Duration::from_secs(3_600);

fn password_changed(minute: u32) -> Revocation {
    let alice = Target::Subject("alice".into());
    let at = NOW + Duration::from_secs(60) * minute;
    Revocation::by_operator(alice, Reason::PasswordChanged, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_change_outlasts_a_session_that_goes_on_however_often_is_swept() {
    use annul::store::TokenLedger;

    let folder = Folder::in_memory();
    let store = open(&folder);
    let until = |hours| Session::new("s", "alice", NOW, NOW + HOUR * hours).client("web");
    store.open_session(until(1)).await.unwrap();
    store.revoke(&password_changed(1)).await.unwrap();
    // The thief's browser is busy, so the session goes on; but it asks for tokens only hours later.
    store.open_session(until(5)).await.unwrap();
    for quarter in 1..20 {
        let now = NOW + HOUR / 4 * quarter;
        while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
    }
    issue(&store, "stolen").await.unwrap();
    assert!(is_revoked(state(&store, "stolen").await.unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cutoff_that_moves_leaves_no_lines_behind() {
    let folder = Folder::in_memory();
    let store = open(&folder);
    for minute in 0..20 {
        store.revoke(&password_changed(minute)).await.unwrap();
    }
    let Changes::Page(page) = store.changes(None, 100).await.unwrap() else {
        unreachable!("whoever begins has missed nothing");
    };
    assert_eq!(page.entries().len(), 1);
    assert_eq!(page.entries()[0].at(), password_changed(19).at());
}
