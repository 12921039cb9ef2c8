//! What `rotate` does, one call at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::policy::Cascade;
use crate::revocation::{Revocation, Revoked, Target, TargetKind};
use crate::store::{Refused, Rotated, TokenLedger, TokenStore};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{
    DAY, MILLI, MINUTE, Scene, Seen, Told, endpoint, revoke_at, rotate, rotate_as,
    targets_beyond_a_token,
};
use crate::token::{NewToken, PresentedToken, TokenKind, TokenRecord, TokenTypeHint};

const NO_GRACE: Duration = Duration::ZERO;

pub(super) async fn a_rotation_consumes_the_token_and_its_successors_live(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    scene.family(1).await?;
    let bystander = scene.grant("bystander");
    scene.issue_pair(&bystander, "bystander", start).await?;
    let mut spent = "r1".to_owned();
    for n in 2..5 {
        let next = format!("r{n}");
        let rotated = scene.rotate(&spent, &next, start, NO_GRACE).await?;
        let Rotated::Applied(record) = &rotated else {
            ensure!(false, "the rotation of a live refresh token came to {}", Told(&rotated));
            continue;
        };
        ensure!(record.grant().id().as_str() == "g", "it was {:?}'s", record.grant().id());
        let found = scene.seen(&spent, start).await?;
        ensure!(found == Seen::Consumed, "the consumed token is {found}");
        let access = format!("at-{next}");
        scene.live(&[&next, &access], start).await?;
        for (token, kind) in [(&next, TokenKind::RefreshToken), (&access, TokenKind::AccessToken)] {
            let record = scene.record(token).await?;
            ensure!(record.kind() == kind, "a successor is a {}", record.kind());
            let grant = record.grant();
            ensure!(**grant == scene.grant("g"), "a successor is of {grant:?}");
        }
        spent = next;
    }
    scene.live(&["at-r1", "at-bystander", "rt-bystander"], start).await
}

pub(super) async fn a_consumed_token_that_comes_back_ends_its_family(
    subject: &dyn Subject,
) -> Proof {
    for stolen in ["r1", "r2"] {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let family = scene.family(3).await?;
        scene.issue_pair(&scene.grant("bystander"), "bystander", now).await?;
        let rotated = scene.rotate(stolen, "stolen", now, NO_GRACE).await?;
        let reused = matches!(rotated, Rotated::Reused(_));
        ensure!(reused, "the second rotation of `{stolen}` came to {}", Told(&rotated));
        for token in &family {
            let found = scene.seen(token, now).await?;
            let by_grant = found == Seen::Revoked(TargetKind::Grant);
            ensure!(by_grant, "`{token}` is {found} after `{stolen}` came back");
        }
        scene.dead(&["stolen", "at-stolen"], now).await?;
        // The honest client's token is dead as well, and stays so.
        let rotated = scene.rotate("r3", "r4", now, NO_GRACE).await?;
        let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { .. }));
        ensure!(refused, "a rotation in a family that ended came to {}", Told(&rotated));
        scene.dead(&["r4", "at-r4"], now).await?;
        scene.live(&["at-bystander", "rt-bystander"], now).await?;
    }
    Ok(())
}

pub(super) async fn the_grace_window_is_for_the_previous_generation_only(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let now = scene.start();
    scene.family(2).await?;
    let rotated = scene.rotate("r1", "again", now, MINUTE).await?;
    let served = matches!(rotated, Rotated::AppliedInGrace(_));
    ensure!(served, "the previous generation came to {} in its window", Told(&rotated));
    scene.live(&["r2", "at-r2", "again", "at-again"], now).await?;

    let scene = Scene::with_ledger(subject).await?;
    let family = scene.family(3).await?;
    let rotated = scene.rotate("r1", "again", now, MINUTE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "the generation before the previous one came to {}", Told(&rotated));
    scene.dead(&family, now).await?;
    scene.dead(&["again", "at-again"], now).await
}

pub(super) async fn the_grace_window_ends_on_time(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let family = scene.family(2).await?;
    for (later, next) in [(MINUTE / 2, "early"), (MINUTE - MILLI, "last")] {
        let now = scene.at(start + later);
        let rotated = scene.rotate("r1", next, now, MINUTE).await?;
        let served = matches!(rotated, Rotated::AppliedInGrace(_));
        ensure!(served, "after {later:?} of a minute, a rotation came to {}", Told(&rotated));
    }
    let now = scene.at(start + MINUTE);
    let rotated = scene.rotate("r1", "late", now, MINUTE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "after its window, a rotation came to {}", Told(&rotated));
    scene.dead(&family, now).await?;
    scene.dead(&["early", "last", "late"], now).await
}

pub(super) async fn a_clock_that_goes_back_opens_no_grace_window(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let family = scene.family(2).await?;
    let now = scene.at(scene.start() - MINUTE);
    let rotated = scene.rotate("r1", "stolen", now, Duration::ZERO).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(
        reused,
        "a minute before it was rotated, and without grace, it came to {}",
        Told(&rotated)
    );
    scene.dead(&family, now).await?;
    scene.dead(&["stolen", "at-stolen"], now).await
}

pub(super) async fn the_grace_window_never_revives_what_was_revoked(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..6 {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let family = scene.family(2).await?;
        let Some(target) = targets_beyond_a_token(&scene.grant("g")).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), now).await?;
        let rotated = scene.rotate("r1", "again", now, MINUTE).await?;
        let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { .. }));
        ensure!(refused, "after {target:?} was revoked, a rotation came to {}", Told(&rotated));
        scene.dead(&family, now).await?;
        scene.dead(&["again", "at-again"], now).await?;
    }
    Ok(())
}

pub(super) async fn an_imported_consumed_token_has_no_grace(subject: &dyn Subject) -> Proof {
    // Alone with its successor, and beside a window that is open for another.
    for generations in [1, 2] {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let imported = NewToken::refresh(PresentedToken::new("r0"), now + DAY).already_consumed();
        scene.ledger()?.issue(scene.grant("g"), &[imported], now).await?;
        let family = scene.family(generations).await?;
        let rotated = scene.rotate("r0", "stolen", now, MINUTE).await?;
        let reused = matches!(rotated, Rotated::Reused(_));
        ensure!(reused, "a token that was imported as consumed came to {}", Told(&rotated));
        scene.dead(&family, now).await?;
        scene.dead(&["stolen", "at-stolen"], now).await?;
    }
    Ok(())
}

pub(super) async fn what_cannot_be_rotated_is_refused_and_not_consumed(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let (start, ledger) = (scene.start(), scene.ledger()?);
    scene.family(1).await?;
    let short = NewToken::refresh(PresentedToken::new("short"), start + MINUTE);
    ledger.issue(scene.grant("g2"), &[short], start).await?;
    for stranger in ["spa", "WEB", "we", "web2", ""] {
        let rotated = rotate_as(ledger, stranger, "r1", "stolen", start, MINUTE).await?;
        let refused = matches!(rotated, Rotated::Refused(Refused::ForeignClient));
        ensure!(refused, "a rotation by client {stranger:?} came to {}", Told(&rotated));
    }
    let rotated = scene.rotate("nobodys", "stolen", start, MINUTE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::Unknown));
    ensure!(refused, "an unknown token came to {}", Told(&rotated));
    let rotated = scene.rotate("at-r1", "stolen", start, MINUTE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::NotARefreshToken));
    ensure!(refused, "an access token came to {}", Told(&rotated));
    let now = scene.at(start + MINUTE);
    let rotated = scene.rotate("short", "stolen", now, MINUTE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::Expired));
    ensure!(refused, "an expired token came to {}", Told(&rotated));
    scene.dead(&["stolen", "at-stolen"], now).await?;
    scene.live(&["at-r1", "r1"], now).await?;
    // The owner is still the first.
    let rotated = scene.rotate("r1", "r2", now, NO_GRACE).await?;
    let applied = matches!(rotated, Rotated::Applied(_));
    ensure!(applied, "after strangers tried, the owner's rotation came to {}", Told(&rotated));
    // Nor can they end a family, by a token that is spent.
    let rotated = rotate_as(ledger, "spa", "r1", "stolen", now, NO_GRACE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::ForeignClient));
    ensure!(refused, "a stranger with a consumed token came to {}", Told(&rotated));
    scene.live(&["r2", "at-r2"], now).await
}

pub(super) async fn revoking_before_a_rotation_leaves_nothing_live(subject: &dyn Subject) -> Proof {
    for n in 0..6 {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let family = scene.family(1).await?;
        let Some(target) = targets_beyond_a_token(&scene.grant("g")).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), now).await?;
        let rotated = scene.rotate("r1", "next", now, MINUTE).await?;
        let by = target.kind();
        let refused =
            matches!(rotated, Rotated::Refused(Refused::Revoked { by: found }) if found == by);
        ensure!(refused, "after {target:?} was revoked, a rotation came to {}", Told(&rotated));
        scene.dead(&family, now).await?;
        scene.dead(&["next", "at-next"], now).await?;
    }
    // The token alone.
    let scene = Scene::with_ledger(subject).await?;
    scene.family(1).await?;
    let id = scene.record("r1").await?.id().clone();
    scene.revoke(Target::Token(id), scene.start()).await?;
    let rotated = scene.rotate("r1", "next", scene.start(), MINUTE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { by: TargetKind::Token }));
    ensure!(refused, "the rotation of a token revoked alone came to {}", Told(&rotated));
    scene.dead(&["r1", "next", "at-next"], scene.start()).await
}

pub(super) async fn revoking_after_a_rotation_leaves_nothing_live(subject: &dyn Subject) -> Proof {
    for n in 0..6 {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let family = scene.family(3).await?;
        let Some(target) = targets_beyond_a_token(&scene.grant("g")).into_iter().nth(n) else {
            continue;
        };
        scene.live(&["r3", "at-r3"], now).await?;
        scene.revoke(target.clone(), now).await?;
        for token in &family {
            let found = scene.seen(token, now).await?;
            ensure!(found.is_revoked(), "`{token}` is {found} after {target:?} was revoked");
        }
    }
    // At the endpoint, by the newest, the oldest, and an access token between.
    for token in ["r1", "r2", "r3", "at-r2"] {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        let family = scene.family(3).await?;
        let endpoint = endpoint(scene.shared(), Cascade::Grant, now);
        let status = revoke_at(&endpoint, "web", token).await;
        ensure!(status == 200, "revoking `{token}` was answered {status}");
        scene.dead(&family, now).await?;
    }
    Ok(())
}

/// Rotates the refresh token between the endpoint's look at it and its revocation.
struct RotatedMeanwhile(Arc<dyn TokenLedger>, crate::clock::Timestamp);

#[async_trait]
impl TokenStore for RotatedMeanwhile {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.0.find(token, hint).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        rotate(&*self.0, "r1", "next", self.1, NO_GRACE)
            .await
            .map_err(|unproven| StoreError::corrupt(unproven.to_string()))?;
        self.0.revoke(revocation).await
    }
}

pub(super) async fn revoking_a_token_that_was_rotated_meanwhile_ends_its_successors(
    subject: &dyn Subject,
) -> Proof {
    for cascade in [Cascade::Token, Cascade::Grant] {
        let scene = Scene::with_ledger(subject).await?;
        let now = scene.start();
        scene.family(1).await?;
        let meanwhile = RotatedMeanwhile(scene.shared_ledger()?, now);
        let status = revoke_at(&endpoint(meanwhile, cascade, now), "web", "r1").await;
        ensure!(status == 200, "revoking `r1` was answered {status}");
        scene
            .dead(&["r1", "next", "at-next"], now)
            .await
            .map_err(|unproven| unproven.within(format!("cascade {cascade:?}")))?;
    }
    Ok(())
}

pub(super) async fn the_first_token_of_a_long_family_still_ends_it(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let now = scene.start();
    let family = scene.family(500).await?;
    let rotated = scene.rotate("r1", "stolen", now, MINUTE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "after 499 rotations, the first token came to {}", Told(&rotated));
    scene.dead(&family, now).await?;
    scene.dead(&["stolen", "at-stolen"], now).await
}
