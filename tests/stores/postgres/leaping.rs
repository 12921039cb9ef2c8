//! A sweep does not believe a clock that leaps, and says so.

use std::sync::Arc;
use std::time::Duration;

use annul::store::{
    Lifetimes, PostgresStore, Rotation, Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use annul::{FakeClock, PresentedToken, Target, Timestamp};

use crate::server;
use crate::tenancy::Place;
use crate::words::{access, at, follow, grant, is_known, operator, refresh, session};

const HOUR: Duration = Duration::from_secs(3_600);

/// A process of its own, with a stopwatch of its own.
async fn process(place: &Place) -> (PostgresStore, Arc<FakeClock>) {
    let stopwatch = Arc::new(FakeClock::at(Timestamp::default()));
    let config = place.config().lifetimes(Lifetimes::default()).stopwatch(Arc::clone(&stopwatch));
    (PostgresStore::connect(config).await.unwrap(), stopwatch)
}

async fn sweep(store: &PostgresStore, minutes: u64) -> Swept {
    store.sweep(at(minutes), SweepBudget::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_believes_a_clock_that_leaps_only_once_it_has_stayed_there() {
    let place = Place::new(server::shared()).await;
    let (store, stopwatch) = process(&place).await;
    store.issue(grant("g"), &[access("t", 1)], at(0)).await.unwrap();
    assert_eq!(sweep(&store, 30).await, Swept::new(0, false));
    // Three hours ahead: the token's time would be over. Also an hour later, by that clock alone.
    for minutes in [210, 215, 275] {
        let ahead = Duration::from_secs(60 * (minutes - 30));
        assert_eq!(sweep(&store, minutes).await, Swept::held_back(ahead));
        assert!(is_known(&store, "t").await);
    }
    // Another process knows since when, and has seen no leap itself. Its clock is right.
    let (other, _) = process(&place).await;
    assert_eq!(sweep(&other, 31).await, Swept::new(0, false));
    // So it is a new leap.
    stopwatch.advance(2 * HOUR);
    assert!(sweep(&store, 215).await.clock_leap.is_some());
    stopwatch.advance(HOUR);
    assert!(sweep(&store, 274).await.clock_leap.is_some());
    let swept = sweep(&store, 275).await;
    assert_eq!((swept.clock_leap, swept.removed > 0), (None, true));
    assert!(!is_known(&store, "t").await);
}

/// Every operation that writes does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_right_contradicts_one_that_leaped() {
    for n in 0..3 {
        let place = Place::new(server::shared()).await;
        let (ahead, stopwatch) = process(&place).await;
        let (right, _) = process(&place).await;
        right.issue(grant("g"), &[access("t", 1), refresh("rt", 1)], at(0)).await.unwrap();
        right.open_session(session("s", 1)).await.unwrap();
        assert!(sweep(&ahead, 600).await.clock_leap.is_some());
        let (web, next) = ("web".into(), [refresh("next", 9)]);
        match n {
            0 => drop(right.issue(grant("g2"), &[access("t2", 1)], at(0)).await.unwrap()),
            1 => drop(right.revoke(&operator(Target::Grant("g3".into()), at(0))).await.unwrap()),
            _ => {
                let rotation = Rotation::new(PresentedToken::new("rt"), &web, &next, at(0));
                drop(right.rotate(&rotation).await.unwrap());
            }
        }
        stopwatch.advance(HOUR);
        assert!(sweep(&ahead, 660).await.clock_leap.is_some(), "{n}");
        assert!(is_known(&right, "t").await, "{n}");
        // Not again: it stays there, and it is the time.
        stopwatch.advance(HOUR);
        assert_eq!(sweep(&ahead, 720).await.clock_leap, None, "{n}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_notes_the_time_that_sweeps_are_compared_with() {
    let place = Place::new(server::shared()).await;
    let (store, _) = process(&place).await;
    // It never ends, and so the horizon is not raised again.
    let for_ever = annul::NewToken::refresh(PresentedToken::new("first"), Timestamp::MAX);
    store.issue(grant("g"), &[for_ever], at(0)).await.unwrap();
    assert!(sweep(&store, 61).await.clock_leap.is_some());
    store.issue(grant("g"), &[access("t", 1)], at(50)).await.unwrap();
    assert_eq!(sweep(&store, 110).await.clock_leap, None);
    let (web, next) = ("web".into(), [refresh("next", 9)]);
    let rotation = Rotation::new(PresentedToken::new("first"), &web, &next, at(160));
    store.rotate(&rotation).await.unwrap();
    assert_eq!(sweep(&store, 220).await.clock_leap, None);
    // A session says when it began, and not what time it is.
    let begins = annul::store::Session::new("s", "alice", at(270), at(600));
    store.open_session(begins).await.unwrap();
    store.open_session(session("old", 9)).await.unwrap();
    assert!(sweep(&store, 330).await.clock_leap.is_some());
    // A revocation does, and contradicts the leap.
    store.revoke(&operator(Target::Grant("other".into()), at(270))).await.unwrap();
    assert_eq!(sweep(&store, 330).await.clock_leap, None);
    // An issue by a clock that leaps notes nothing.
    store.issue(grant("g"), &[access("t2", 1)], at(1_000)).await.unwrap();
    assert_eq!(sweep(&store, 1_000).await.clock_leap, Some(Duration::from_secs(60 * 670)));
}

/// The clock of the process that revokes is ten hours behind, and the others' are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_kept_from_the_latest_time_that_was_seen() {
    let place = Place::new(server::shared()).await;
    let (store, _) = process(&place).await;
    sweep(&store, 600).await;
    store.revoke(&operator(Target::Subject("alice".into()), at(0))).await.unwrap();
    let told = follow(&store, &mut None).await.unwrap();
    // An hour in flight, and an hour that a clock may be ahead unnoticed.
    assert_eq!((told[0].at(), told[0].until()), (at(0), at(720)));
    sweep(&store, 659).await;
    let issued = store.issue(grant("g"), &[access("t", 20)], at(659)).await.unwrap();
    assert_ne!(issued, annul::store::Issued::Live);
}
