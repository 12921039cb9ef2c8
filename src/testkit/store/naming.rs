//! Tokens with odd expiries and odd names.

use crate::clock::Timestamp;
use crate::revocation::Target;
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, Scene, Seen, by_operator, targets_of};
use crate::token::{NewToken, PresentedToken, TokenId};

pub(super) async fn a_token_that_never_expires_is_found_and_revoked(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..7 {
        let scene = Scene::new(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        let ages = start + DAY.saturating_mul(100 * 365);
        scene.put(&grant, &NewToken::access(PresentedToken::new("at"), Timestamp::MAX)).await?;
        scene.put(&grant, &NewToken::refresh(PresentedToken::new("rt"), Timestamp::MAX)).await?;
        for token in ["at", "rt"] {
            let until = scene.record(token).await?.expires_at();
            ensure!(
                until == Timestamp::MAX,
                "it never expires, and is found to expire at {until:?}"
            );
        }
        for now in [start, ages] {
            scene.live(&["at", "rt"], scene.at(now)).await?;
        }
        let record = scene.record("at").await?;
        let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), scene.at(start)).await?;
        for now in [start, ages] {
            let found = scene.seen("at", scene.at(now)).await?;
            let expected = Seen::Revoked(target.kind());
            ensure!(found == expected, "{target:?} was revoked, and its token is {found}");
        }
    }
    Ok(())
}

pub(super) async fn a_name_that_ends_no_token_is_not_acknowledged(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let start = scene.start();
    let tokens = scene.put_pair(&scene.grant("g"), "g").await?;
    let id = scene.record("at-g").await?.id().clone();
    if id.name().is_some() {
        // The host names its tokens itself: then the name ends its token, and no other.
        scene.revoke(Target::Token(id), start).await?;
        scene.dead(&["at-g"], start).await?;
        return scene.live(&["rt-g"], start).await;
    }
    let before = scene.fixture.show_contents().await.ok();
    for name in ["jti-1", "at-g", ""] {
        let named = Target::Token(TokenId::named(name));
        let revoked = scene.store().revoke(&by_operator(named, start)).await;
        ensure!(
            revoked.is_err(),
            "tokens are named by their digests, and revoking the token named {name:?} came to {revoked:?}"
        );
    }
    scene.live(&tokens, start).await?;
    let after = scene.fixture.show_contents().await.ok();
    ensure!(before == after, "an entry that ends no token was written");
    Ok(())
}
