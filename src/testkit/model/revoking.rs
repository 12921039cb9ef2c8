//! Revocations, at the endpoint and by the operator.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::Cascade;
use crate::revocation::Target;
use crate::testkit::model::history::Goal;
use crate::testkit::model::world::World;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{HOUR, MILLI, MINUTE, Seen, endpoint, revoke_at};
use crate::token::TargetKind;

pub(super) async fn revoke_by_client(world: &mut World) -> Proof {
    let Some(n) = world.pick(|_| true) else {
        return Ok(());
    };
    let seen = world.look(n).await?;
    let Some(token) = world.history.tokens.get(n).cloned() else {
        return Ok(());
    };
    let foreign = world.random.one_in(4);
    let owner = token.grant.client_id().as_str();
    let client = if foreign { "stranger" } else { owner };
    // An exchanged token that is revoked by itself is a story of its own, with a case of its own.
    let alone = !token.consumed && world.random.one_in(2);
    let cascade = if alone { Cascade::Token } else { Cascade::Grant };
    world.say(format!("{client} revokes {} ({cascade:?})", token.name));
    let endpoint = endpoint(Arc::clone(world.scene.fixture.tokens()), cascade, world.now);
    let status = revoke_at(&endpoint, client, &token.name).await;
    let expected = if foreign && seen != Seen::Unknown { 400 } else { 200 };
    ensure!(status == expected, "the endpoint answered {status} instead of {expected}");
    if seen != Seen::Unknown && !foreign {
        let goal = match alone {
            true => Goal::Token(n),
            false => Goal::Other(Target::Grant(token.grant.id().clone())),
        };
        world.history.revoke(goal, world.now, None);
    }
    Ok(())
}

pub(super) async fn revoke_by_operator(world: &mut World) -> Proof {
    let Some(n) = world.pick(|token| !token.may_be_gone) else {
        return Ok(());
    };
    let Some(token) = world.history.tokens.get(n).cloned() else {
        return Ok(());
    };
    let grant = &token.grant;
    let client = grant.client_id().clone();
    let (user, session) = (grant.subject_id().cloned(), grant.session_id().cloned());
    // The wider, the rarer: where all is dead there is nothing to see.
    let target = match (world.random.below(24), user, session) {
        (0..=4, _, _) => Target::Grant(grant.id().clone()),
        (5..=8, _, Some(session)) => Target::Session(session),
        (9..=13, Some(user), _) => Target::SubjectAtClient(user, client),
        (14..=17, Some(user), _) => Target::Subject(user),
        (18 | 19, _, _) => Target::Client(client),
        (20, _, _) => Target::Everything,
        (_, _, _) => match world.look(n).await? {
            Seen::Unknown => return Ok(()),
            Seen::Active | Seen::Consumed | Seen::Expired | Seen::Revoked(_) => {
                Target::Token(world.scene.record(&token.name).await?.id().clone())
            }
        },
    };
    let earlier =
        world.random.pick(&[Duration::ZERO, Duration::ZERO, MILLI, 2 * MINUTE, HOUR]).copied();
    let at = world.now - earlier.unwrap_or_default();
    let alone = target.kind() == TargetKind::Token;
    let goal = if alone { Goal::Token(n) } else { Goal::Other(target.clone()) };
    world.say(format!("revoke {target:?} at {at:?}"));
    let expected = world.history.news(&goal, at);
    let told = world.scene.revoke(target, at).await?;
    let right = expected.is_none_or(|expected| expected == told);
    ensure!(right, "the store said {told:?} instead of {expected:?}");
    world.history.revoke(goal, at, Some(told));
    Ok(())
}
