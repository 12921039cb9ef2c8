//! The clock of the machine goes back a minute.

use std::time::Duration;

use annul::store::{Rotated, Rotation, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    ClientId, Grant, NewToken, PresentedToken, Reason, Revocation, Revoked, Target, TokenState,
};

use crate::folder::Folder;
use crate::{DAY, NOW, is_revoked, issue, open, revoke, state};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_loses_nothing_and_revives_nothing() {
    let folder = Folder::in_memory();
    let before = NOW - MINUTE;
    {
        let store = open(&folder);
        for name in ["dead", "live", "spent"] {
            issue(&store, name).await.unwrap();
        }
        revoke(&store, "dead").await.unwrap();
        let web = ClientId::new("web");
        let next = [NewToken::refresh(PresentedToken::new("next"), NOW + DAY)];
        let rotation = Rotation::new(PresentedToken::new("spent"), &web, &next, NOW);
        assert!(matches!(store.rotate(&rotation).await.unwrap(), Rotated::Applied(_)));
        store.sweep(NOW, SweepBudget::default()).await.unwrap();
        store.sweep(before, SweepBudget::default()).await.unwrap();
        assert_eq!(state(&store, "live").await.unwrap(), Some(TokenState::Active));
        assert_eq!(state(&store, "next").await.unwrap(), Some(TokenState::Active));
        assert_eq!(state(&store, "spent").await.unwrap(), Some(TokenState::Consumed));
        assert!(is_revoked(state(&store, "dead").await.unwrap()));
    }
    // It goes back while the process is down, as it does with a dead battery; and the same without a restart below.
    for _ in 0..2 {
        let store = open(&folder);
        let swept = store.sweep(before, SweepBudget::default()).await.unwrap();
        assert_eq!((swept.removed, swept.more), (0, false));
        assert!(is_revoked(state(&store, "dead").await.unwrap()));
        // A cutoff of a minute ago takes nothing back from the one of now.
        let changed = |at| {
            let alice = Target::Subject("alice".into());
            Revocation::by_operator(alice, Reason::PasswordChanged, at)
        };
        store.revoke(&changed(NOW)).await.unwrap();
        assert_eq!(store.revoke(&changed(before)).await.unwrap(), Revoked::Already);
        for name in ["dead", "live", "next"] {
            assert!(is_revoked(state(&store, name).await.unwrap()), "{name}");
        }
        // A day on, and back again: what was in the sweep's way is found wherever the clock stands.
        store.sweep(NOW + DAY, SweepBudget::default()).await.unwrap();
        store.sweep(before, SweepBudget::default()).await.unwrap();
        assert!(is_revoked(state(&store, "dead").await.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_before_where_the_last_sweep_came_to_is_swept_too() {
    let folder = Folder::in_memory();
    let store = open(&folder);
    let long_after = NOW + 400 * DAY;
    store.sweep(long_after, SweepBudget::default()).await.unwrap();
    // Issued by a clock that stands behind the sweeper's.
    issue(&store, "late").await.unwrap();
    // The token and its grant.
    assert_eq!(store.sweep(long_after, SweepBudget::default()).await.unwrap().removed, 2);
    assert_eq!(state(&store, "late").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn however_much_is_due_before_where_the_last_sweep_came_to_every_sweep_takes_its_share() {
    let folder = Folder::in_memory();
    let store = open(&folder);
    let long_after = NOW + 400 * DAY;
    issue(&store, "first").await.unwrap();
    store.sweep(long_after, SweepBudget::default()).await.unwrap();
    // More than is remembered one by one, and then some that are.
    for (grant, count) in [("many", 5_000), ("few", 100)] {
        let names: Vec<String> = (0..count).map(|n| format!("{grant}-{n}")).collect();
        let tokens: Vec<_> = names
            .iter()
            .map(|name| NewToken::access(PresentedToken::new(name), NOW + DAY))
            .collect();
        store.issue(Grant::new(grant, "web", NOW), &tokens, NOW).await.unwrap();
        let some = store.sweep(long_after, SweepBudget::rows(60)).await.unwrap();
        assert_eq!((some.removed, some.more), (60, true), "{grant}");
        // A clock that stands further back takes none of them, and hides none.
        store.sweep(NOW, SweepBudget::default()).await.unwrap();
        let rest = store.sweep(long_after, SweepBudget::rows(count)).await.unwrap();
        // With their grant.
        assert_eq!((rest.removed, rest.more), (count + 1 - 60, false), "{grant}");
    }
}
