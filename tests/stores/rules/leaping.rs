//! A sweep does not believe a clock that leaps.

use std::sync::Arc;

use annul::store::{Lifetimes, Sweep, SweepBudget, Swept};
use annul::{FakeClock, SystemStopwatch, Target, Timestamp, TokenState};

use crate::fresh;
use crate::rules::{DAY, HOUR, MINUTE, NOW, grant, issue, revoke, state};

async fn sweep(store: &impl Sweep, now: Timestamp) -> Swept {
    store.sweep(now, SweepBudget::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_leaps_removes_nothing_until_it_has_stayed_there() {
    let stopwatch = Arc::new(FakeClock::at(Timestamp::default()));
    let store = fresh(Lifetimes::default(), Arc::clone(&stopwatch));
    issue(&*store, grant("g"), HOUR, NOW).await.unwrap();
    issue(&*store, grant("dead"), HOUR, NOW).await.unwrap();
    revoke(&*store, Target::Grant("dead".into()), NOW).await;
    let ahead = NOW + DAY * 30;
    let swept = sweep(&*store, ahead).await;
    assert_eq!((swept.removed, swept.more, swept.clock_leap), (0, false, Some(DAY * 30)));
    assert_eq!(state(&*store, "g").await, Some(TokenState::Active));
    // Later by its own account, and not by the stopwatch; then the other way round.
    assert!(sweep(&*store, ahead + HOUR * 2).await.clock_leap.is_some());
    stopwatch.advance(HOUR);
    assert!(sweep(&*store, ahead + HOUR / 2).await.clock_leap.is_some());
    // Put right: sweeps work again, and the leap is forgotten.
    assert_eq!(sweep(&*store, NOW + MINUTE).await.clock_leap, None);
    assert!(sweep(&*store, ahead + HOUR * 2).await.clock_leap.is_some());
    stopwatch.advance(HOUR);
    let swept = sweep(&*store, ahead + HOUR * 3).await;
    assert!(swept.removed >= 3 && swept.clock_leap.is_none(), "{swept:?}");
    assert_eq!(state(&*store, "g").await, None);
}

/// What is issued moves the latest time along: so a store that is swept once a day believes its clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_believes_its_clock() {
    let store = fresh(Lifetimes::default(), SystemStopwatch::start());
    for minutes in (0..24 * 60).step_by(50) {
        let now = NOW + MINUTE * minutes;
        issue(&*store, grant(&minutes.to_string()), HOUR, now).await.unwrap();
    }
    assert_eq!(sweep(&*store, NOW + DAY).await.clock_leap, None);
    assert_eq!(sweep(&*store, NOW + DAY * 2).await.clock_leap, Some(DAY));
}
