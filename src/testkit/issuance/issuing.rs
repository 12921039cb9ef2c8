//! What `issue` records and says.

use crate::error::StoreErrorKind;
use crate::revocation::Target;
use crate::store::Issued;
use crate::testkit::drive::{awaits, give_up_after, never_completes};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Scene, Seen, targets_beyond_a_token};
use crate::token::{NewToken, PresentedToken};

pub(super) async fn issuing_says_whether_the_tokens_are_live(subject: &dyn Subject) -> Proof {
    for n in 0..6 {
        let scene = Scene::with_ledger(subject).await?;
        let grant = scene.grant("g");
        let issued = scene.issue_pair(&grant, "first", scene.start()).await?;
        ensure!(issued == Issued::Live, "with nothing revoked, issuing came to {issued:?}");
        scene.live(&["at-first", "rt-first"], scene.start()).await?;
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(n) else {
            continue;
        };
        let now = scene.at(scene.start() + MINUTE);
        scene.revoke(target.clone(), now).await?;
        let by = target.kind();
        let issued = scene.issue_pair(&grant, "late", now).await?;
        ensure!(
            issued == Issued::BornDead { by },
            "after {target:?} was revoked, issuing came to {issued:?}"
        );
        for token in ["at-late", "rt-late"] {
            let found = scene.seen(token, now).await?;
            ensure!(found == Seen::Revoked(by), "a token that was born dead is {found}");
        }
    }
    Ok(())
}

pub(super) async fn issuing_again_changes_and_revives_nothing(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let (grant, start) = (scene.grant("g"), scene.start());
    let ledger = scene.ledger()?;
    scene.issue_pair(&grant, "g", start).await?;
    let before = scene.record("rt-g").await?;
    // With another expiry, and another time: the first word counts.
    for later in [MINUTE, HOUR] {
        scene.issue_pair(&grant, "g", start + later).await?;
        let after = scene.record("rt-g").await?;
        ensure!(after.expires_at() == before.expires_at(), "issuing again moved its expiry");
        ensure!(after.issued_at() == before.issued_at(), "issuing again moved its time of issue");
    }
    // Consumed.
    scene.rotate("rt-g", "next", start, MINUTE).await?;
    scene.issue_pair(&grant, "g", start).await?;
    let found = scene.seen("rt-g", start).await?;
    ensure!(found == Seen::Consumed, "a consumed token was issued again and is {found}");
    // Expired.
    let short = PresentedToken::new("short");
    ledger.issue(grant.clone(), &[NewToken::access(short, start + MINUTE)], start).await?;
    let now = scene.at(start + 2 * MINUTE);
    ledger.issue(grant.clone(), &[NewToken::access(short, now + DAY)], now).await?;
    let found = scene.seen("short", now).await?;
    ensure!(found == Seen::Expired, "an expired token was issued again and is {found}");
    // Revoked.
    scene.revoke(Target::Grant("g".into()), now).await?;
    let issued = scene.issue_pair(&grant, "g", now).await?;
    ensure!(issued != Issued::Live, "a revoked token was issued again as live");
    scene.dead(&["at-g", "rt-g", "next", "at-next", "short"], now).await
}

pub(super) async fn a_token_of_another_grant_is_a_conflict(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    scene.issue_pair(&scene.grant("g"), "g", start).await?;
    let ledger = scene.ledger()?;
    for token in ["at-g", "rt-g"] {
        let new = [NewToken::refresh(PresentedToken::new(token), start + DAY)];
        let issued = ledger.issue(scene.grant("other"), &new, start).await;
        let told = issued.as_ref().err().map(|error| error.kind());
        ensure!(
            told == Some(StoreErrorKind::Conflict),
            "a token of another grant was issued: {issued:?}"
        );
        let owner = scene.record(token).await?;
        ensure!(owner.grant().id().as_str() == "g", "it changed hands: {:?}", owner.grant().id());
    }
    scene.revoke(Target::Grant("other".into()), start).await?;
    scene.live(&["at-g", "rt-g"], start).await
}

pub(super) async fn dropping_an_issue_at_any_await_leaves_nothing_beyond_revocation(
    subject: &dyn Subject,
) -> Proof {
    for polls in awaits() {
        let scene = Scene::with_ledger(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        let names = ["one", "two", "three"];
        let new = names.map(|name| NewToken::refresh(PresentedToken::new(name), start + DAY));
        let issuing = scene.ledger()?.issue(grant.clone(), &new, start);
        let issued = give_up_after(polls, issuing).await;
        if let Some(issued) = &issued {
            ensure!(matches!(issued, Ok(Issued::Live)), "issuing came to {issued:?}");
            scene.live(&names, start).await?;
        }
        for name in names {
            if let Some(record) = scene.store().find(PresentedToken::new(name), None).await? {
                ensure!(record.grant().id().as_str() == "g", "`{name}` belongs to no grant");
            }
        }
        scene.revoke(Target::Grant("g".into()), start).await?;
        scene
            .dead(&names, start)
            .await
            .map_err(|unproven| unproven.within(format!("issued, given up after {polls} polls")))?;
        if issued.is_some() {
            return Ok(());
        }
        // Nothing of the first attempt is in the way of the second.
        let again = scene.ledger()?.issue(grant, &new, start).await?;
        ensure!(again != Issued::Live, "what was revoked was issued as live");
        scene.dead(&names, start).await?;
    }
    Err(never_completes())
}
