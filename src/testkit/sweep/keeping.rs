//! What a sweep must leave where it is.

use std::time::Duration;

use crate::revocation::Target;
use crate::store::{Issued, Rotated, Session};
use crate::testkit::fixture::Subject;
use crate::testkit::model::IN_FLIGHT;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{
    DAY, HOUR, MILLI, MINUTE, Scene, Seen, Told, targets_beyond_a_token, targets_of,
};
use crate::token::{Grant, NewToken, PresentedToken};

pub(super) async fn sweeping(subject: &dyn Subject) -> Result<Scene, NotProven> {
    let scene = Scene::with_ledger(subject).await?;
    scene.fixture.sweeps()?;
    Ok(scene)
}

pub(super) async fn a_sweep_takes_nothing_that_is_good(subject: &dyn Subject) -> Proof {
    let scene = sweeping(subject).await?;
    let start = scene.start();
    let lasting = [MINUTE, HOUR, DAY, 30 * DAY];
    for (n, lasts) in lasting.into_iter().enumerate() {
        let name = format!("t{n}");
        let token = PresentedToken::new(&name);
        let new = match n % 2 {
            0 => NewToken::access(token, start + lasts),
            _ => NewToken::refresh(token, start + lasts),
        };
        scene.ledger()?.issue(scene.grant(&name), &[new], start).await?;
    }
    for last in lasting {
        // The last instant of each.
        let now = start + last - MILLI;
        scene.sweep_all(now).await?;
        for (n, lasts) in lasting.into_iter().enumerate() {
            let found = scene.seen(&format!("t{n}"), now).await?;
            ensure!(
                found == Seen::Active || lasts < last,
                "a token that lasts {lasts:?} was swept after {last:?}: it is {found}"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_revocation_outlives_every_token_it_covers(subject: &dyn Subject) -> Proof {
    let lasting = [HOUR, DAY, 30 * DAY];
    for n in 0..7 {
        let scene = sweeping(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        for (n, lasts) in lasting.into_iter().enumerate() {
            let name = format!("t{n}");
            let new = NewToken::refresh(PresentedToken::new(&name), start + lasts);
            scene.ledger()?.issue(grant.clone(), &[new], start).await?;
        }
        let longest = scene.record("t2").await?;
        let Some(target) = targets_of(&grant, &longest).into_iter().nth(n) else {
            continue;
        };
        let revoked = scene.at(start + MINUTE);
        scene.revoke(target.clone(), revoked).await?;
        let only_longest = matches!(target, Target::Token(_));
        let times = [2 * MINUTE, 11 * MINUTE, HOUR - MILLI, HOUR, DAY - MILLI, DAY, 29 * DAY];
        for later in times.into_iter().chain([30 * DAY - MILLI]) {
            let now = start + later;
            scene.sweep_all(now).await?;
            for (n, lasts) in lasting.into_iter().enumerate() {
                if lasts <= later || (only_longest && n < 2) {
                    continue;
                }
                let found = scene.seen(&format!("t{n}"), now).await?;
                ensure!(
                    found.is_revoked(),
                    "after a sweep at {later:?}, a token that lasts {lasts:?} and was ended by \
                     {target:?} is {found}"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn a_token_that_came_later_prolongs_its_revocation(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..6 {
        let scene = sweeping(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        scene.issue_pair(&grant, "g", start).await?;
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), start).await?;
        let late = NewToken::refresh(PresentedToken::new("late"), start + 30 * DAY);
        let issued = scene.ledger()?.issue(grant, &[late], start).await?;
        ensure!(issued != Issued::Live, "what was revoked was issued as live");
        for later in [2 * DAY, 20 * DAY, 30 * DAY - MILLI] {
            let now = start + later;
            scene.sweep_all(now).await?;
            let found = scene.seen("late", now).await?;
            ensure!(
                found.is_revoked(),
                "born dead by {target:?}, and {found} after a sweep at {later:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_revocation_waits_for_what_is_in_flight(subject: &dyn Subject) -> Proof {
    // Now, and with a cutoff of last week: the key is known to be stolen since then.
    for earlier in [MINUTE, 7 * DAY] {
        for n in 0..6 {
            let scene = sweeping(subject).await?;
            let start = scene.start();
            scene.sweep_all(start).await?;
            let login = start - earlier;
            let grant = Grant::new("g", "web", login).subject("alice").session("s");
            let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
                continue;
            };
            scene.revoke_since(target.clone(), login, start).await?;
            let now = start + IN_FLIGHT;
            scene.sweep_all(now).await?;
            let issued = scene.issue_pair(&grant, "late", now).await?;
            let by = target.kind();
            ensure!(
                issued == Issued::BornDead { by },
                "{IN_FLIGHT:?} and a sweep after {target:?} was revoked, issuing came to {issued:?}"
            );
            scene.dead(&["at-late", "rt-late"], now).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_repeated_revocation_is_kept_as_a_new_one_would_be(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..6 {
        let scene = sweeping(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), start).await?;
        scene.sweep_all(start).await?;
        // What the first one was kept for is over, and no sweep has come by to take it.
        let again = scene.at(start + IN_FLIGHT + 2 * MINUTE);
        scene.revoke(target.clone(), again).await?;
        for later in [Duration::ZERO, MINUTE, IN_FLIGHT - MILLI] {
            scene.sweep_all(again + later).await?;
        }
        let now = again + (IN_FLIGHT - MILLI);
        let issued = scene.issue_pair(&grant, "late", now).await?;
        ensure!(
            issued == Issued::BornDead { by: target.kind() },
            "{target:?} was revoked for the second time, and within {IN_FLIGHT:?} issuing came to {issued:?}"
        );
        scene.dead(&["at-late", "rt-late"], now).await?;
    }
    Ok(())
}

/// Those that end a session's logins without naming it.
pub(super) fn cutoffs() -> [Target; 4] {
    [
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Everything,
    ]
}

pub(super) async fn a_password_change_outlasts_the_sessions_it_ended(
    subject: &dyn Subject,
) -> Proof {
    for target in cutoffs() {
        // A store of its own for each: what is born dead keeps the entry as well.
        for later in [2 * HOUR, DAY - MINUTE] {
            let scene = sweeping(subject).await?;
            let start = scene.start();
            scene.open_session(DAY).await?;
            let changed = scene.at(start + MINUTE);
            scene.revoke(target.clone(), changed).await?;
            let now = start + later;
            scene.sweep_all(now).await?;
            let id = format!("after-{}", later.as_secs());
            scene.issue_pair(&scene.grant(&id), &id, now).await?;
            let stolen = [format!("at-{id}"), format!("rt-{id}")];
            let within = |unproven: NotProven| unproven.within(format!("{target:?}, {later:?} on"));
            scene.dead(&stolen, now).await.map_err(within)?;
        }
    }
    Ok(())
}

pub(super) async fn a_revocation_outlasts_a_session_that_was_prolonged_after_it(
    subject: &dyn Subject,
) -> Proof {
    for target in cutoffs() {
        let scene = sweeping(subject).await?;
        let start = scene.start();
        scene.open_session(HOUR).await?;
        let revoked = scene.at(start + MINUTE);
        scene.revoke(target.clone(), revoked).await?;
        // The thief's browser is busy, so the session lasts; but it asks for tokens only weeks later.
        scene.open_session(30 * DAY).await?;
        let now = start + 20 * DAY;
        scene.sweep_all(now).await?;
        scene.issue_pair(&scene.grant("stolen"), "stolen", now).await?;
        let within = |unproven: NotProven| unproven.within(format!("{target:?}"));
        scene.dead(&["at-stolen", "rt-stolen"], now).await.map_err(within)?;
    }
    Ok(())
}

pub(super) async fn a_logged_out_session_stays_spent(subject: &dyn Subject) -> Proof {
    for later in [11 * MINUTE, 2 * HOUR, DAY - MILLI] {
        let scene = sweeping(subject).await?;
        let start = scene.start();
        let session = scene.open_session(DAY).await?;
        scene.revoke(Target::Session("s".into()), start).await?;
        let now = start + later;
        scene.sweep_all(now).await?;
        let opened = scene.ledger()?.open_session(session).await;
        ensure!(opened.is_err(), "{later:?} after logout, the session was opened again");
        scene.issue_pair(&scene.grant("late"), "late", now).await?;
        scene.dead(&["at-late", "rt-late"], now).await?;
        // Other sessions are not in the way of each other.
        let other = Session::new("s2", "alice", now, now + DAY);
        scene.ledger()?.open_session(other).await?;
    }
    Ok(())
}

pub(super) async fn a_consumed_token_is_remembered_while_its_family_lives(
    subject: &dyn Subject,
) -> Proof {
    let scene = sweeping(subject).await?;
    scene.family(1).await?;
    let mut now = scene.start();
    // Used every twelve hours, it outlives its first token, of a day, many times over.
    for n in 1..40 {
        now = now + DAY / 2;
        scene.sweep_all(now).await?;
        let (spent, next) = (format!("r{n}"), format!("r{}", n + 1));
        let rotated = scene.rotate(&spent, &next, now, MINUTE).await?;
        let applied = matches!(rotated, Rotated::Applied(_));
        ensure!(applied, "rotation {n} of a family in use came to {}", Told(&rotated));
    }
    scene.sweep_all(now).await?;
    scene.live(&["r40", "at-r40"], now).await?;
    let rotated = scene.rotate("r1", "stolen", now, MINUTE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "nineteen days on, the first token of the family came to {}", Told(&rotated));
    scene.dead(&["r40", "at-r40", "stolen", "at-stolen"], now).await
}
