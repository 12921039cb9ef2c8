//! Rotations by clocks that are ahead or behind, and of what never expires.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::store::{Rotated, Rotation};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Scene, Seen, Told};
use crate::token::{NewToken, PresentedToken};

pub(super) async fn a_clock_that_was_set_back_does_not_keep_the_grace_window_open(
    subject: &dyn Subject,
) -> Proof {
    // A little behind is another node, and as good.
    for (behind, is_open) in [(MINUTE / 2, true), (MINUTE, false), (11 * HOUR, false)] {
        let scene = Scene::with_ledger(subject).await?;
        let family = scene.family(2).await?;
        let now = scene.at(scene.start() - behind);
        let rotated = scene.rotate("r1", "again", now, MINUTE).await?;
        if is_open {
            let served = matches!(rotated, Rotated::AppliedInGrace(_));
            ensure!(served, "by a clock {behind:?} behind, it came to {}", Told(&rotated));
            continue;
        }
        let reused = matches!(rotated, Rotated::Reused(_));
        ensure!(reused, "by a clock {behind:?} behind, it came to {}", Told(&rotated));
        scene.dead(&family, now).await?;
        scene.dead(&["again", "at-again"], now).await?;
    }
    Ok(())
}

pub(super) async fn a_node_whose_clock_is_behind_rotates_as_well(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    scene.family(1).await?;
    for (now, spent, next) in [
        (start - 10 * MINUTE, "r1", "r2"),
        (start + 10 * MINUTE, "r2", "r3"),
        (start - 10 * MINUTE, "r3", "r4"),
    ] {
        let now = scene.at(now);
        let rotated = scene.rotate(spent, next, now, Duration::ZERO).await?;
        let applied = matches!(rotated, Rotated::Applied(_));
        ensure!(applied, "the rotation of `{spent}` at {now:?} came to {}", Told(&rotated));
        let found = scene.seen(spent, now).await?;
        ensure!(found == Seen::Consumed, "the consumed token is {found}");
        scene.live(&[next], now).await?;
    }
    let rotated = scene.rotate("r1", "stolen", start, Duration::ZERO).await?;
    ensure!(matches!(rotated, Rotated::Reused(_)), "its reuse came to {}", Told(&rotated));
    scene.dead(&["r4", "at-r4", "stolen", "at-stolen"], start).await
}

pub(super) async fn a_refresh_token_that_never_expires_is_rotated(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let (start, ledger) = (scene.start(), scene.ledger()?);
    let never = |token| NewToken::refresh(PresentedToken::new(token), Timestamp::MAX);
    ledger.issue(scene.grant("g"), &[never("r1")], start).await?;
    let client = ClientId::new("web");
    let now = scene.at(start + DAY.saturating_mul(50 * 365));
    for (spent, next) in [("r1", "r2"), ("r2", "r3")] {
        let successors = [never(next)];
        let rotation = Rotation::new(PresentedToken::new(spent), &client, &successors, now);
        let rotated = ledger.rotate(&rotation).await?;
        let applied = matches!(rotated, Rotated::Applied(_));
        ensure!(applied, "fifty years on, the rotation of `{spent}` came to {}", Told(&rotated));
        scene.live(&[next], now).await?;
    }
    let rotated = scene.rotate("r1", "stolen", now, MINUTE).await?;
    ensure!(matches!(rotated, Rotated::Reused(_)), "its reuse came to {}", Told(&rotated));
    scene.dead(&["r3", "stolen", "at-stolen"], now).await
}
