//! What is told of one revocation.

use std::time::Duration;

use crate::policy::Cascade;
use crate::revocation::{Actor, Reason, Revocation, Target};
use crate::store::Rotated;
use crate::testkit::feed::reader::{Reader, feeding, grant_of};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Told, endpoint, revoke_at, targets_of};
use crate::token::{NewToken, PresentedToken};

pub(super) async fn each_revocation_is_told_as_it_was_made(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let grant = scene.grant("g");
    scene.put_pair(&grant, "g").await?;
    let targets = targets_of(&grant, &scene.record("at-g").await?);
    let reasons = [
        Reason::Administrative,
        Reason::UserRequest,
        Reason::Logout,
        Reason::AccountLocked,
        Reason::PasswordChanged,
        Reason::CredentialLeaked,
        Reason::KeyCompromise,
    ];
    let mut reader = Reader::new(100);
    reader.read(&*feed).await?;
    ensure!(reader.entries.is_empty(), "nothing was revoked, and {:?} is told", reader.entries);
    for (n, (target, reason)) in targets.into_iter().zip(reasons).enumerate() {
        let at = scene.start() + MINUTE.saturating_mul(u32::try_from(n).unwrap_or(0));
        scene.store().revoke(&Revocation::by_operator(target.clone(), reason, at)).await?;
        reader.read(&*feed).await?;
        let Some(entry) = reader.told(&target) else {
            return Err(NotProven::seen(format!("{target:?} was revoked, and is not told")));
        };
        ensure!(
            (entry.at(), entry.reason(), entry.actor()) == (at, reason, &Actor::Operator),
            "{target:?} was revoked at {at:?} by an operator for {reason:?}, and is told as {entry:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_clients_revocation_is_told_with_its_name(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    scene.put_pair(&scene.grant("g"), "g").await?;
    let now = scene.start() + MINUTE;
    let endpoint = endpoint(scene.shared(), Cascade::Grant, now);
    let status = revoke_at(&endpoint, "web", "rt-g").await;
    ensure!(status == 200, "revoking a token of one's own is answered {status}");
    let mut reader = Reader::new(100);
    reader.read(&*feed).await?;
    let entry = reader.told(&grant_of("g"));
    let by = Actor::Client("web".into());
    ensure!(
        entry.is_some_and(|entry| *entry.actor() == by && entry.reason() == Reason::ClientRequest),
        "client `web` revoked its grant, and that is told as {entry:?}"
    );
    Ok(())
}

pub(super) async fn the_end_of_a_family_is_told(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    scene.fixture.rotates()?;
    scene.family(3).await?;
    let mut reader = Reader::up_to_date(&*feed).await?;
    let again = scene.rotate("r1", "r9", scene.start() + HOUR, Duration::ZERO).await?;
    let reused = matches!(again, Rotated::Reused(_));
    ensure!(reused, "a consumed token came back, and that came to {}", Told(&again));
    reader.read(&*feed).await?;
    let entry = reader.told(&grant_of("g"));
    ensure!(
        entry.is_some_and(|entry| {
            *entry.actor() == Actor::Store && entry.reason() == Reason::RefreshTokenReuse
        }),
        "a consumed token came back, and that is told as {entry:?}"
    );
    Ok(())
}

pub(super) async fn a_cutoff_that_moved_is_told_again(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let mut reader = Reader::new(100);
    let targets = [
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Everything,
    ];
    for at in [scene.start(), scene.start() + MINUTE, scene.start() + HOUR] {
        for target in &targets {
            scene.revoke(target.clone(), at).await?;
            // It may be told twice, and an earlier one does not take back a later one.
            scene.revoke(target.clone(), scene.start()).await?;
        }
        reader.entries.clear();
        reader.read(&*feed).await?;
        for target in &targets {
            let latest = reader.entries.iter().filter(|entry| entry.target() == target);
            let latest = latest.map(|entry| entry.at()).max();
            ensure!(
                latest == Some(at),
                "the cutoff of {target:?} moved to {at:?}, and is told as {latest:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn what_is_told_lasts_as_long_as_what_it_covers(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let grant = scene.grant("g");
    let expiry = scene.start() + 30 * DAY;
    let long = NewToken::refresh(PresentedToken::new("long"), expiry);
    scene.put_pair(&grant, "g").await?;
    scene.put(&grant, &long).await?;
    let record = scene.record("long").await?;
    for target in targets_of(&grant, &record) {
        scene.revoke(target, scene.start()).await?;
    }
    let mut reader = Reader::new(100);
    reader.read(&*feed).await?;
    ensure!(reader.entries.len() >= 7, "of seven revocations {} are told", reader.entries.len());
    for entry in reader.entries {
        ensure!(
            !entry.covers(&record) || entry.until() >= expiry,
            "it covers a token that lives until {expiry:?}: {entry:?}"
        );
    }
    Ok(())
}
