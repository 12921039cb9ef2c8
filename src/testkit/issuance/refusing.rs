//! What `issue` and `rotate` refuse to record.

use crate::clock::Timestamp;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Issued, Rotated, Rotation};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Scene, Seen, Told};
use crate::token::{Grant, NewToken, PresentedToken};

/// Refused with this error.
fn ensure_refused<T>(
    outcome: Result<T, StoreError>,
    expected: StoreErrorKind,
    what: &str,
) -> Proof {
    match outcome {
        Ok(_) => Err(NotProven::seen(format!("{what}, and no error"))),
        Err(error) if error.kind() == expected => Ok(()),
        Err(error) => Err(NotProven::from(error).within(format!("{what}, not as {expected:?}"))),
    }
}

/// None of these was recorded.
async fn ensure_unknown(scene: &Scene, tokens: &[&str]) -> Proof {
    for token in tokens {
        let found = scene.seen(token, scene.start()).await?;
        ensure!(found == Seen::Unknown, "`{token}` was refused, and is {found}");
    }
    Ok(())
}

fn refresh(token: &str, until: Timestamp) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(token), until)
}

pub(super) async fn a_grant_id_of_another_client_or_subject_is_a_conflict(
    subject: &dyn Subject,
) -> Proof {
    let (by, with) = (StoreErrorKind::Conflict, "a grant id of another owner was issued to");
    for is_rotated in [false, true] {
        for has_subject in [true, false] {
            let scene = Scene::with_ledger(subject).await?;
            let (start, ledger) = (scene.start(), scene.ledger()?);
            let at = |client: &str| Grant::new("g", client, start);
            let own = if has_subject { at("web").subject("alice") } else { at("web") };
            ledger.issue(own.clone(), &[refresh("r1", start + DAY)], start).await?;
            let newest = if is_rotated { "r2" } else { "r1" };
            if is_rotated {
                let rotated = scene.rotate("r1", "r2", start, MINUTE).await?;
                ensure!(matches!(rotated, Rotated::Applied(_)), "it came to {}", Told(&rotated));
            }
            let others = [
                at("spa"),
                at("spa").subject("alice"),
                at("web").subject("bob"),
                at("web").subject(""),
                at("web"),
                at("web").subject("alice"),
            ];
            for other in others.into_iter().filter(|other| !other.is_of_same_owner(&own)) {
                let what = format!("{with} {:?} and {:?}", other.client_id(), other.subject_id());
                let tokens = [refresh("one", start + DAY), refresh("two", start + DAY)];
                ensure_refused(ledger.issue(other, &tokens, start).await, by, &what)?;
                ensure_unknown(&scene, &["one", "two"]).await?;
            }
            let found = scene.record(newest).await?;
            ensure!(found.grant().is_of_same_owner(&own), "it changed hands: {:?}", found.grant());
            // Its owner may add to it, after another login too.
            let later = Grant::new("g", "web", start + MINUTE).scope("openid");
            let later = if has_subject { later.subject("alice") } else { later };
            let issued = ledger.issue(later, &[refresh("more", start + DAY)], start).await?;
            ensure!(issued == Issued::Live, "its owner's next token came to {issued:?}");
            scene.live(&[newest, "more"], start).await?;
        }
    }
    Ok(())
}

pub(super) async fn tokens_are_issued_together_or_not_at_all(subject: &dyn Subject) -> Proof {
    for is_first in [true, false] {
        let scene = Scene::with_ledger(subject).await?;
        let (start, ledger) = (scene.start(), scene.ledger()?);
        scene.issue_pair(&scene.grant("taken"), "taken", start).await?;
        let (free, taken) = (refresh("free", start + DAY), refresh("rt-taken", start + DAY));
        let tokens = if is_first { [taken, free] } else { [free, taken] };
        let issued = ledger.issue(scene.grant("g"), &tokens, start).await;
        ensure_refused(issued, StoreErrorKind::Conflict, "one of two tokens was taken")?;
        ensure_unknown(&scene, &["free"]).await?;
        // Nothing of it is in the way of a second attempt.
        let issued = ledger.issue(scene.grant("g"), &[refresh("free", start + DAY)], start).await?;
        ensure!(issued == Issued::Live, "what was refused before came to {issued:?}");
        scene.live(&["free", "at-taken", "rt-taken"], start).await?;
    }
    Ok(())
}

pub(super) async fn a_token_that_cannot_be_presented_is_not_issued(subject: &dyn Subject) -> Proof {
    let longest = "x".repeat(PresentedToken::MAX_BYTES);
    let long = format!("{longest}x");
    for odd in ["", "a\nb", "a\u{0}", "a\u{7f}", &long] {
        let scene = Scene::with_ledger(subject).await?;
        let (start, ledger) = (scene.start(), scene.ledger()?);
        let what = format!("a token of {} bytes that cannot be presented was issued", odd.len());
        scene.family(1).await?;
        let tokens = [refresh("fine", start + HOUR), refresh(odd, start + HOUR)];
        let issued = ledger.issue(scene.grant("other"), &tokens, start).await;
        ensure_refused(issued, StoreErrorKind::Unsupported, &what)?;
        let client = "web".into();
        let rotation = Rotation::new(PresentedToken::new("r1"), &client, &tokens, start);
        let rotated = ledger.rotate(&rotation).await;
        ensure_refused(rotated, StoreErrorKind::Unsupported, &what)?;
        ensure_unknown(&scene, &["fine"]).await?;
        scene.live(&["r1"], start).await?;
    }
    // One byte less can be.
    let scene = Scene::with_ledger(subject).await?;
    let (start, grant) = (scene.start(), scene.grant("g"));
    scene.ledger()?.issue(grant, &[refresh(&longest, start + HOUR)], start).await?;
    scene.live(&[&longest], start).await
}

pub(super) async fn a_rotation_onto_a_taken_value_leaves_the_token_consumed(
    subject: &dyn Subject,
) -> Proof {
    for has_window in [true, false] {
        let scene = Scene::with_ledger(subject).await?;
        let (start, ledger) = (scene.start(), scene.ledger()?);
        let family = scene.family(1).await?;
        scene.issue_pair(&scene.grant("taken"), "taken", start).await?;
        let client = "web".into();
        let successors = [refresh("free", start + DAY), refresh("rt-taken", start + DAY)];
        let rotation = Rotation::new(PresentedToken::new("r1"), &client, &successors, start);
        let rotated = ledger.rotate(&rotation).await;
        ensure_refused(rotated, StoreErrorKind::Conflict, "a successor was taken")?;
        ensure_unknown(&scene, &["free"]).await?;
        let found = scene.seen("r1", start).await?;
        ensure!(found == Seen::Consumed, "a successor was taken, and the token is {found}");
        scene.live(&["at-taken", "rt-taken"], start).await?;
        // Within the window it can be rotated again, and without one that is reuse.
        let grace = if has_window { MINUTE } else { std::time::Duration::ZERO };
        let rotated = scene.rotate("r1", "next", start, grace).await?;
        if has_window {
            let served = matches!(rotated, Rotated::AppliedInGrace(_));
            ensure!(served, "a second attempt came to {}", Told(&rotated));
            scene.live(&["next", "at-next"], start).await?;
        } else {
            let reused = matches!(rotated, Rotated::Reused(_));
            ensure!(reused, "a second attempt without a window came to {}", Told(&rotated));
            scene.dead(&family, start).await?;
        }
    }
    Ok(())
}
