//! Clocks that are ahead, or behind, and put right; and what never expires.

use crate::clock::Timestamp;
use crate::revocation::Target;
use crate::store::{Issued, SweepBudget};
use crate::testkit::fixture::Subject;
use crate::testkit::model::IN_FLIGHT;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, Seen, targets_beyond_a_token, targets_of};
use crate::testkit::sweep::keeping::sweeping;
use crate::testkit::sweep::taking::AGES;
use crate::token::{Grant, NewToken, PresentedToken};

pub(super) async fn a_clock_that_was_ahead_revives_nothing(subject: &dyn Subject) -> Proof {
    for n in 0..7 {
        for rows in [1, 1_000] {
            let scene = sweeping(subject).await?;
            let (start, grant) = (scene.start(), scene.grant("g"));
            // With others that are due before it and after it, so that a sweep of one row leaves some.
            for id in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
                let new = NewToken::refresh(PresentedToken::new(id), start + HOUR);
                scene.ledger()?.issue(scene.grant(id), &[new], start).await?;
            }
            let record = scene.record("g").await?;
            let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
                continue;
            };
            scene.revoke(target.clone(), start).await?;
            let week = 7 * 24;
            for hours in [2, 3, week, week + 1, week + 2, week + 3, 10 * 24, 30 * 24, 45 * 24] {
                for _ in 0..3 {
                    let ahead = scene.at(start + HOUR.saturating_mul(hours));
                    scene.fixture.sweeps()?.sweep(ahead, SweepBudget::rows(rows)).await?;
                    // The clock is put right.
                    let found = scene.seen("g", scene.at(start)).await?;
                    ensure!(
                        found == Seen::Unknown || found.is_revoked(),
                        "{target:?} was revoked, and after a sweep {hours} hours ahead its token is {found}"
                    );
                }
            }
        }
    }
    Ok(())
}

pub(super) async fn a_revocation_by_a_clock_that_is_behind_is_kept_as_long(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..6 {
        let scene = sweeping(subject).await?;
        let start = scene.start();
        let grant = Grant::new("g", "web", start - DAY).subject("alice").session("s");
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
            continue;
        };
        // The store has seen the time, and the node that revokes is behind.
        scene.sweep_all(start).await?;
        scene.revoke(target.clone(), start - 2 * HOUR).await?;
        let now = start + IN_FLIGHT;
        scene.sweep_all(now).await?;
        let issued = scene.issue_pair(&grant, "late", now).await?;
        ensure!(
            issued == Issued::BornDead { by: target.kind() },
            "{IN_FLIGHT:?} after {target:?} was revoked by a clock behind, issuing came to {issued:?}"
        );
    }
    Ok(())
}

pub(super) async fn what_never_expires_is_never_due(subject: &dyn Subject) -> Proof {
    for rows in [1, 1_000] {
        let scene = sweeping(subject).await?;
        let start = scene.start();
        for id in ["lives", "dead", "short"] {
            let until = if id == "short" { start + HOUR } else { Timestamp::MAX };
            let new = NewToken::refresh(PresentedToken::new(id), until);
            scene.ledger()?.issue(scene.grant(id), &[new], start).await?;
        }
        scene.revoke(Target::Grant("dead".into()), start).await?;
        for later in [DAY, 30 * DAY, AGES, 20 * AGES] {
            let now = scene.at(start + later);
            for _ in 0..3 {
                scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(rows)).await?;
            }
            let found = scene.seen("lives", now).await?;
            ensure!(found == Seen::Active, "{later:?} on, a token that never expires is {found}");
            let found = scene.seen("dead", now).await?;
            ensure!(
                found.is_revoked(),
                "{later:?} on, a revoked one that never expires is {found}"
            );
        }
        let found = scene.seen("short", start).await?;
        ensure!(
            found == Seen::Unknown,
            "a token of an hour was not swept beside them: it is {found}"
        );
    }
    Ok(())
}
