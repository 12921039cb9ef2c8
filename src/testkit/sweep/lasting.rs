//! Until when a revocation counts: from its recording, for what is in flight, and for the sessions from before it.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::StoreErrorKind;
use crate::revocation::Target;
use crate::store::{Issued, Session, SweepBudget};
use crate::testkit::fixture::Subject;
use crate::testkit::model::IN_FLIGHT;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MILLI, MINUTE, Scene, Seen, targets_beyond_a_token};
use crate::testkit::sweep::keeping::{cutoffs, sweeping};
use crate::token::{Grant, NewToken, PresentedToken};

const SECOND: Duration = Duration::from_secs(1);

/// Tokens of this grant are born dead.
async fn is_born_dead(scene: &Scene, grant: &Grant, target: &Target, now: Timestamp) -> Proof {
    let id = grant.id().as_str().to_owned();
    let issued = scene.issue_pair(grant, &id, now).await?;
    let dead = issued == Issued::BornDead { by: target.kind() };
    ensure!(dead, "{target:?} was revoked, and issuing in `{id}` came to {issued:?}");
    scene.dead(&[format!("at-{id}"), format!("rt-{id}")], now).await
}

pub(super) async fn a_revocation_counts_from_when_it_is_recorded(subject: &dyn Subject) -> Proof {
    for target in cutoffs() {
        for sweeps_before in [false, true] {
            for later in [4 * SECOND, 30 * MINUTE, IN_FLIGHT] {
                let scene = sweeping(subject).await?;
                let start = scene.start();
                if sweeps_before {
                    scene.sweep_all(start).await?;
                }
                // The key is known to be stolen since then.
                scene.revoke_since(target.clone(), start - 5 * DAY, start).await?;
                scene.sweep_all(start + SECOND).await?;
                let now = start + later;
                scene.sweep_all(now).await?;
                let old = Grant::new("g", "web", start - 6 * DAY).subject("alice").session("s");
                let within = |unproven: NotProven| {
                    unproven.within(format!("swept before: {sweeps_before}, {later:?} on"))
                };
                is_born_dead(&scene, &old, &target, now).await.map_err(within)?;
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Issue,
    Open,
    Revoke,
}

const ORDERS: [[Act; 3]; 6] = [
    [Act::Issue, Act::Open, Act::Revoke],
    [Act::Issue, Act::Revoke, Act::Open],
    [Act::Open, Act::Issue, Act::Revoke],
    [Act::Open, Act::Revoke, Act::Issue],
    [Act::Revoke, Act::Issue, Act::Open],
    [Act::Revoke, Act::Open, Act::Issue],
];

/// Some sweeps of one row each.
async fn sweep_little(scene: &Scene, now: Timestamp) -> Proof {
    scene.at(now);
    for _ in 0..3 {
        scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(1)).await?;
    }
    Ok(())
}

pub(super) async fn sweeps_in_any_order_around_a_revocation_revive_nothing(
    subject: &dyn Subject,
) -> Proof {
    for (n, order) in ORDERS.into_iter().enumerate() {
        // A bit for each place: before, between and after.
        for sweeps in 0..16 {
            let scene = sweeping(subject).await?;
            let login = scene.start() - 6 * DAY;
            let grant = Grant::new("g", "web", login).subject("alice").session("s");
            let targets = targets_beyond_a_token(&grant);
            let Some(target) = targets.into_iter().nth((n + sweeps) % 6) else {
                continue;
            };
            let within = |unproven: NotProven| {
                unproven.within(format!("{order:?} of {target:?}, sweeps {sweeps:04b}"))
            };
            in_this_order(&scene, order, sweeps, &grant, &target).await.map_err(within)?;
        }
    }
    Ok(())
}

async fn in_this_order(
    scene: &Scene,
    order: [Act; 3],
    sweeps: usize,
    grant: &Grant,
    target: &Target,
) -> Proof {
    let (start, ledger) = (scene.start(), scene.ledger()?);
    let mut now = start;
    for (place, act) in order.into_iter().enumerate() {
        if sweeps & (1 << place) != 0 {
            sweep_little(scene, now).await?;
        }
        now = scene.at(now + 5 * MINUTE);
        match act {
            Act::Issue => {
                let new = NewToken::refresh(PresentedToken::new("rt"), start + 30 * DAY);
                ledger.issue(grant.clone(), &[new], now).await?;
            }
            Act::Open => {
                let login = grant.authenticated_at();
                let session = Session::new("s", "alice", login, start + 2 * DAY).client("web");
                match ledger.open_session(session).await {
                    Err(error) if error.kind() != StoreErrorKind::Conflict => {
                        return Err(error.into());
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Act::Revoke => {
                scene.revoke_since(target.clone(), start - 5 * DAY, now).await?;
            }
        }
    }
    if sweeps & 8 != 0 {
        sweep_little(scene, now).await?;
    }
    let found = scene.seen("rt", now).await?;
    ensure!(found.is_revoked(), "the token is {found}");
    for later in [2 * HOUR, DAY, 20 * DAY, 30 * DAY - MILLI] {
        sweep_little(scene, start + later).await?;
        let found = scene.seen("rt", start + later).await?;
        ensure!(found.is_revoked(), "{later:?} on, the token is {found}");
    }
    // Later it may be gone, and the revocation after it.
    for days in [31, 38, 60] {
        for _ in 0..3 {
            let now = scene.at(start + DAY.saturating_mul(days));
            scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(1)).await?;
            let found = scene.seen("rt", scene.at(start)).await?;
            let forgotten = found == Seen::Unknown || found.is_revoked();
            ensure!(forgotten, "{days} days on, the token is {found} by a clock that was set back");
        }
    }
    Ok(())
}

pub(super) async fn a_device_that_polls_within_the_hour_gets_nothing_live(
    subject: &dyn Subject,
) -> Proof {
    for minutes in [29, 59] {
        for n in 0..6 {
            let scene = sweeping(subject).await?;
            let (start, grant) = (scene.start(), scene.grant("g"));
            let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
                continue;
            };
            scene.sweep_all(start).await?;
            // Approved at the start.
            scene.revoke(target.clone(), start + MINUTE).await?;
            let mut polls = 5;
            while polls < minutes {
                scene.sweep_all(start + MINUTE.saturating_mul(polls)).await?;
                polls += 5;
            }
            let now = start + MINUTE.saturating_mul(minutes);
            scene.sweep_all(now).await?;
            let within = |unproven: NotProven| unproven.within(format!("after {minutes} minutes"));
            is_born_dead(&scene, &grant, &target, now).await.map_err(within)?;
        }
    }
    Ok(())
}

pub(super) async fn a_cutoff_lasts_as_long_as_a_session_whoever_joins_it(
    subject: &dyn Subject,
) -> Proof {
    let targets = [
        Target::Client("late".into()),
        Target::SubjectAtClient("alice".into(), "late".into()),
        Target::Subject("alice".into()),
        Target::Everything,
    ];
    for target in targets {
        // For hours, and for longer than most stores remember what has expired.
        for (step, lasts, times) in [(500 * SECOND, 600 * SECOND, 39), (DAY / 2, DAY, 60)] {
            let scene = sweeping(subject).await?;
            let (start, ledger) = (scene.start(), scene.ledger()?);
            let session = |now| Session::new("s", "alice", start, now + lasts);
            ledger.open_session(session(start).client("web")).await?;
            scene.revoke(target.clone(), start + 100 * SECOND).await?;
            let mut now = start;
            for n in 1..=times {
                now = scene.at(start + step.saturating_mul(n));
                ledger.open_session(session(now)).await?;
                if n % 5 == 0 {
                    scene.sweep_all(now).await?;
                }
            }
            ledger.open_session(session(now).client("late")).await?;
            scene.sweep_all(now).await?;
            let joined = Grant::new("g", "late", start).subject("alice").session("s");
            let within = |unproven: NotProven| {
                unproven.within(format!("a session that was prolonged every {step:?}"))
            };
            is_born_dead(&scene, &joined, &target, now).await.map_err(within)?;
        }
    }
    Ok(())
}

pub(super) async fn a_cutoff_that_moves_lasts_as_long_as_the_sessions_before_it(
    subject: &dyn Subject,
) -> Proof {
    for target in cutoffs() {
        // For what is in flight when it moves.
        let scene = sweeping(subject).await?;
        let start = scene.start();
        scene.revoke(target.clone(), start).await?;
        scene.revoke(target.clone(), start + 50 * MINUTE).await?;
        let now = start + 100 * MINUTE;
        scene.sweep_all(now).await?;
        let login = start + 10 * MINUTE;
        let grant = Grant::new("g", "web", login).subject("alice").session("s");
        is_born_dead(&scene, &grant, &target, now).await?;

        // For a session that began between the two cutoffs.
        let scene = sweeping(subject).await?;
        let ledger = scene.ledger()?;
        scene.open_session(HOUR).await?;
        scene.revoke(target.clone(), start + MINUTE).await?;
        let login = start + 2 * DAY;
        let mut now = login;
        while now < start + 30 * DAY {
            scene.sweep_all(now).await?;
            let session = Session::new("s2", "alice", login, now + DAY).client("web");
            ledger.open_session(session).await?;
            if now == start + 3 * DAY {
                scene.revoke(target.clone(), now).await?;
            }
            now = now + DAY / 2;
        }
        scene.sweep_all(now).await?;
        let grant = Grant::new("g", "web", login).subject("alice").session("s2");
        is_born_dead(&scene, &grant, &target, now).await?;
        // Who logged in after it is welcome.
        let later = Grant::new("later", "web", start + 4 * DAY).subject("alice").session("s3");
        let issued = scene.issue_pair(&later, "later", now).await?;
        ensure!(issued == Issued::Live, "a login after {target:?} came to {issued:?}");
    }
    Ok(())
}
