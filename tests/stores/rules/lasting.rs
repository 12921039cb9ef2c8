//! No entry goes before a record that it covers, or before what may be in flight.

use std::time::Duration;

use annul::store::{
    Issued, Lifetimes, Retention, Rotated, Session, Sweep, SweepBudget, TokenLedger, TokenStore,
};
use annul::{Grant, NewToken, PresentedToken, Reason, Revocation, Target, TargetKind, TokenState};

use crate::rules::{
    DAY, HOUR, MINUTE, NOW, SECOND, grant, is_revoked, issue, revocations, revoke, rotate, state,
    store, store_with, sweep_all,
};

fn targets() -> [Target; 6] {
    [
        Target::Grant("g".into()),
        Target::Session("s".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ]
}

/// K1.1, with sweeps of every size, by clocks that are ahead by less and more than the records are kept for.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_ahead_revives_nothing() {
    for target in targets() {
        for rows in [1, 2, 7] {
            let store = store();
            for n in 0..20 {
                issue(&*store, grant(&format!("g{n}")), HOUR * (n % 3 + 1), NOW).await.unwrap();
            }
            issue(&*store, grant("g"), HOUR, NOW).await.unwrap();
            revoke(&*store, target.clone(), NOW).await;
            for hours in [2, 3, 7 * 24, 7 * 24 + 1, 7 * 24 + 2, 7 * 24 + 3, 7 * 24 + 4, 8 * 24] {
                for _ in 0..4 {
                    store.sweep(NOW + HOUR * hours, SweepBudget::rows(rows)).await.unwrap();
                    let seen = state(&*store, "g").await;
                    assert!(seen.is_none() || is_revoked(seen), "{target:?}, {hours}: {seen:?}");
                }
            }
            sweep_all(&*store, NOW + DAY * 60).await;
            assert_eq!((state(&*store, "g").await, revocations(&*store).await), (None, 0));
        }
    }
}

/// At the same instant, and seconds apart in one minute: a sweep may count in minutes.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_due_with_its_record_goes_after_it() {
    let mut retention = Retention::default();
    (retention.access_tokens, retention.refresh_tokens) = (Duration::ZERO, Duration::ZERO);
    let in_flight = [Duration::ZERO, SECOND, SECOND * 20].into_iter();
    // The first sweep comes before both are due, or after.
    let first = [MINUTE * 9, MINUTE * 10 + SECOND * 31, MINUTE * 10 + SECOND * 55];
    for (in_flight, first) in in_flight.flat_map(|time| first.map(|first| (time, first))) {
        let lifetimes = Lifetimes::default().with_retention(retention).with_in_flight(in_flight);
        let store = store_with(lifetimes);
        let lasts = MINUTE * 10 + SECOND * 30;
        let old = Grant::new("g", "web", NOW - DAY * 3).subject("alice");
        issue(&*store, old, lasts, NOW).await.unwrap();
        let alice = Target::Subject("alice".into());
        let locked = Revocation::by_operator(alice, Reason::AccountLocked, NOW);
        store.revoke(&locked.with_cutoff(NOW - DAY * 2)).await.unwrap();
        for half_second in 0..600 {
            let now = NOW + first + SECOND / 2 * half_second;
            store.sweep(now, SweepBudget::rows(1)).await.unwrap();
            let seen = state(&*store, "g").await;
            assert!(
                seen.is_none() || is_revoked(seen),
                "{in_flight:?}, {first:?}, {half_second}: {seen:?}"
            );
        }
        assert_eq!((state(&*store, "g").await, revocations(&*store).await), (None, 0));
    }
}

/// K1.2.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_counts_from_when_it_was_recorded() {
    for sweep_first in [false, true] {
        let store = store();
        if sweep_first {
            sweep_all(&*store, NOW).await;
        }
        let old = NOW - DAY * 5;
        let stolen = Revocation::by_operator(Target::Everything, Reason::KeyCompromise, NOW);
        store.revoke(&stolen.with_cutoff(old)).await.unwrap();
        for later in [SECOND, MINUTE * 30, HOUR - SECOND] {
            sweep_all(&*store, NOW + later).await;
            let login = Grant::new(format!("g{}", later.as_secs()), "web", NOW - DAY * 6);
            let issued = issue(&*store, login, HOUR, NOW + later).await.unwrap();
            assert_eq!(issued, Issued::BornDead { by: TargetKind::Everything }, "{later:?}");
        }
    }
}

/// A host that says nothing of when it records: the store knows the time from its sweeps, and from what it issues.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_no_earlier_than_what_the_store_has_seen() {
    for by_sweep in [false, true] {
        // So that no record keeps the entry.
        let mut retention = Retention::default();
        (retention.access_tokens, retention.refresh_tokens) = (Duration::ZERO, Duration::ZERO);
        let store = store_with(Lifetimes::default().with_retention(retention));
        if by_sweep {
            sweep_all(&*store, NOW).await;
        } else {
            issue(&*store, Grant::new("other", "web", NOW), SECOND, NOW).await.unwrap();
        }
        revoke(&*store, Target::Subject("alice".into()), NOW - DAY * 30).await;
        let login = Grant::new("g", "web", NOW - DAY * 31).subject("alice");
        sweep_all(&*store, NOW + MINUTE * 50).await;
        let issued = issue(&*store, login, HOUR, NOW + MINUTE * 50).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: TargetKind::Subject });
    }
}

/// K1.3: whoever takes part in the session, and however often it is prolonged afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_cutoff_lasts_as_long_as_a_session_from_before_it() {
    let store = store();
    let session = |at: u32| Session::new("s", "alice", NOW, NOW + SECOND * at + SECOND * 600);
    store.open_session(session(0).client("a")).await.unwrap();
    revoke(&*store, Target::Client("c".into()), NOW + SECOND * 100).await;
    let pair = Target::SubjectAtClient("alice".into(), "c".into());
    revoke(&*store, pair, NOW + SECOND * 100).await;
    revoke(&*store, Target::Client("of-nobody".into()), NOW - DAY * 2).await;
    let mut at = 0;
    while at < 19_500 * 60 {
        at += 500;
        store.open_session(session(at)).await.unwrap();
        if at % 40_000 == 0 {
            sweep_all(&*store, NOW + SECOND * at).await;
        }
    }
    store.open_session(session(at).client("c")).await.unwrap();
    let now = NOW + SECOND * at;
    sweep_all(&*store, now).await;
    // The cutoff from before the login has gone: no session needs it.
    assert_eq!(revocations(&*store).await, 2);
    let joined = Grant::new("g", "c", NOW).subject("alice").session("s");
    let issued = issue(&*store, joined, HOUR, now).await.unwrap();
    assert_eq!(issued, Issued::BornDead { by: TargetKind::SubjectAtClient });
    sweep_all(&*store, now + DAY * 60).await;
    assert_eq!(revocations(&*store).await, 0);
}

/// K1.4: a device that polls for half an hour.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_for_half_an_hour_is_born_dead() {
    for target in targets() {
        let store = store();
        sweep_all(&*store, NOW).await;
        revoke(&*store, target.clone(), NOW + MINUTE).await;
        let now = NOW + MINUTE * 29;
        sweep_all(&*store, now).await;
        let issued = issue(&*store, grant("g"), HOUR, now).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: target.kind() });
        assert!(is_revoked(state(&*store, "g").await));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_something_may_be_in_flight_is_a_setting() {
    let lifetimes = Lifetimes::default().with_in_flight(DAY).with_longest_unrecorded(DAY * 2);
    let store = store_with(lifetimes);
    revoke(&*store, Target::Subject("alice".into()), NOW).await;
    sweep_all(&*store, NOW + DAY * 3 - MINUTE).await;
    assert_eq!(revocations(&*store).await, 1);
    sweep_all(&*store, NOW + DAY * 3 + MINUTE).await;
    assert_eq!(revocations(&*store).await, 0);
}

/// The window of a repetition is seconds long; a clock that was ahead for a week must not open it for a token that was revoked.
#[tokio::test(flavor = "multi_thread")]
async fn the_entry_of_one_consumed_token_outlives_a_record_that_its_family_prolongs() {
    let store = store();
    issue(&*store, grant("g"), HOUR, NOW).await.unwrap();
    let grace = (NOW, SECOND * 10);
    assert!(matches!(rotate(&*store, ("g", "r1"), HOUR, grace).await, Ok(Rotated::Applied(_))));
    let r1 = rotate(&*store, ("r1", "r2"), HOUR, grace).await;
    assert!(matches!(r1, Ok(Rotated::Applied(_))));
    let found = store.find(PresentedToken::new("r1"), None).await.unwrap().unwrap();
    revoke(&*store, Target::Token(found.id().clone()), NOW).await;
    // Its successor lives on, and keeps the family for a month.
    let r2 = rotate(&*store, ("r2", "r3"), DAY * 30, grace).await;
    assert!(matches!(r2, Ok(Rotated::Applied(_))));
    for days in [1, 8, 20, 36, 37, 38] {
        for _ in 0..3 {
            store.sweep(NOW + DAY * days, SweepBudget::rows(1)).await.unwrap();
            let seen = state(&*store, "r1").await;
            assert!(seen.is_none() || is_revoked(seen), "{days}: {seen:?}");
        }
    }
}

/// The window has two sides: a clock that was set back does not keep it open.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_does_not_keep_the_window_open() {
    for (back, is_open) in [(SECOND * 9, true), (SECOND * 10, false), (HOUR * 11, false)] {
        let store = store();
        issue(&*store, grant("g"), DAY, NOW).await.unwrap();
        let first = rotate(&*store, ("g", "r1"), DAY, (NOW, SECOND * 10)).await;
        assert!(matches!(first, Ok(Rotated::Applied(_))));
        let again =
            rotate(&*store, ("g", "r1-again"), DAY, (NOW - back, SECOND * 10)).await.unwrap();
        assert_eq!(matches!(again, Rotated::AppliedInGrace(_)), is_open, "{back:?}: {again:?}");
        assert_eq!(matches!(again, Rotated::Reused(_)), !is_open, "{back:?}: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_born_dead_keeps_its_entry() {
    // In good time, and when both are due.
    let sweeps = [[1, 30, 37, 38], [38, 38, 38, 38]];
    for (target, sweeps) in
        targets().into_iter().flat_map(|target| sweeps.map(|sweeps| (target.clone(), sweeps)))
    {
        let store = store();
        revoke(&*store, target.clone(), NOW).await;
        let late = [NewToken::refresh(PresentedToken::new("late"), NOW + DAY * 30)];
        let issued = store.issue(grant("g"), &late, NOW).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: target.kind() });
        for days in sweeps {
            for _ in 0..3 {
                store.sweep(NOW + DAY * days, SweepBudget::rows(1)).await.unwrap();
                let seen = state(&*store, "late").await;
                assert!(seen != Some(TokenState::Active), "{target:?}, day {days}");
            }
        }
    }
}
