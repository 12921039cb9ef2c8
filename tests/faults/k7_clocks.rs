//! K7: one-sided comparisons with a clock.

use std::time::Duration;

use annul::Timestamp;
use annul::store::{Lifetimes, Rotated};

use crate::stories::{HOUR, SECOND, START, grant, on_every_store, refresh, rotate, verdict};

const GRACE: Duration = Duration::from_secs(10);

/// A clock that was set back by hours does not keep the window open until it has caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k7_the_grace_window_has_two_sides() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let rotated_at = START + HOUR * 12;
        for (n, (now, is_open)) in [
            (rotated_at + SECOND * 9, true),
            (rotated_at + SECOND * 10, false),
            (rotated_at - SECOND * 9, true),
            (rotated_at - SECOND * 10, false),
            (rotated_at - HOUR, false),
            (rotated_at - HOUR * 11, false),
        ]
        .into_iter()
        .enumerate()
        {
            let (rt, first, second) = (format!("rt-{n}"), format!("a-{n}"), format!("b-{n}"));
            let id = format!("g-{n}");
            store.issue(grant(&id, START), &[refresh(&rt, Timestamp::MAX)], START).await.unwrap();
            let applied = rotate(store, &rt, &first, rotated_at, GRACE).await;
            assert!(matches!(applied, Ok(Rotated::Applied(_))), "{name}: {applied:?}");
            let again = rotate(store, &rt, &second, now, GRACE).await;
            if is_open {
                assert!(matches!(again, Ok(Rotated::AppliedInGrace(_))), "{name}, {n}: {again:?}");
            } else {
                assert!(matches!(again, Ok(Rotated::Reused(_))), "{name}, {n}: {again:?}");
                assert!(
                    !verdict(store, &first, now).await.is_active(),
                    "{name}, {n}: the family lives"
                );
            }
        }
    })
    .await;
}
