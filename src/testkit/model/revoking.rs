//! Revocations, at the endpoint and by the operator.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Cascade, CascadePolicy};
use crate::revocation::{Target, TargetKind};
use crate::testkit::model::history::Goal;
use crate::testkit::model::world::World;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{
    HOUR, MILLI, MINUTE, Seen, endpoint, endpoint_with, log_out_at, revoke_at,
};
use crate::token::TokenKind;

pub(super) async fn client_revokes(world: &mut World) -> Proof {
    let Some(n) = world.pick(|_| true) else {
        return Ok(());
    };
    let seen = world.look(n).await?;
    let Some(token) = world.history.tokens.get(n).cloned() else {
        return Ok(());
    };
    let foreign = world.random.one_in(4);
    let owner = token.grant.client_id().as_str();
    let client = if foreign { stranger(world, owner) } else { owner };
    // A consumed token that is revoked by itself has a case of its own; only in exact mode it is among the steps.
    let alone = (world.is_exact() || !token.consumed) && world.random.one_in(2);
    let cascade = if alone { Cascade::Token } else { Cascade::Grant };
    let mut policy = CascadePolicy::both(cascade);
    if world.is_exact() && world.random.one_in(2) {
        // What is for the other kind does not matter.
        let other = if alone { Cascade::Grant } else { Cascade::Token };
        match token.kind {
            TokenKind::AccessToken => policy.refresh_token = other,
            TokenKind::RefreshToken => policy.access_token = other,
        }
    }
    world.say(format!("{client} revokes {} ({cascade:?})", token.name));
    let endpoint = endpoint_with(Arc::clone(world.scene.fixture.tokens()), policy, world.now);
    let status = revoke_at(&endpoint, client, &token.name).await;
    let refused = foreign && client != "public" && seen != Seen::Unknown;
    let expected = if refused { 400 } else { 200 };
    ensure!(status == expected, "the endpoint answered {status} instead of {expected}");
    if seen != Seen::Unknown && !foreign {
        // The endpoint revokes the grant of a consumed token, whatever the policy. Where it found a revoked one the
        // store does the same.
        if alone && (!token.consumed || seen.is_revoked()) {
            world.history.revoke(Goal::Token(n), world.now, world.now, None);
        }
        if !alone || token.consumed {
            let of_grant = Goal::Other(Target::Grant(token.grant.id().clone()));
            world.history.revoke(of_grant, world.now, world.now, None);
        }
    }
    Ok(())
}

/// Not the owner; in exact mode also a public client, and another client that has tokens.
fn stranger(world: &mut World, owner: &str) -> &'static str {
    if !world.is_exact() {
        return "stranger";
    }
    let all = ["stranger", "public", if owner == "web" { "spa" } else { "web" }];
    world.random.pick(&all).copied().unwrap_or("stranger")
}

/// At the logout endpoint, by the owner or by another client.
pub(super) async fn log_out(world: &mut World) -> Proof {
    let Some(n) = world.pick(|_| true) else {
        return Ok(());
    };
    let seen = world.look(n).await?;
    let Some(token) = world.history.tokens.get(n).cloned() else {
        return Ok(());
    };
    let foreign = world.random.one_in(4);
    let owner = token.grant.client_id().as_str();
    let client = if foreign { stranger(world, owner) } else { owner };
    world.say(format!("{client} logs out with {}", token.name));
    let tokens = Arc::clone(world.scene.fixture.tokens());
    let endpoint = endpoint(tokens, Cascade::Grant, world.now);
    log_out_at(&endpoint, client, &token.name).await;
    if foreign || seen == Seen::Unknown || token.kind != TokenKind::RefreshToken {
        return Ok(());
    }
    let session = token.grant.session_id().filter(|_| !token.grant.is_offline());
    let target = match session {
        Some(session) => Target::Session(session.clone()),
        None => Target::Grant(token.grant.id().clone()),
    };
    world.history.revoke(Goal::Other(target), world.now, world.now, None);
    Ok(())
}

pub(super) async fn operator_revokes(world: &mut World) -> Proof {
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
    // In exact mode also by a clock that is ahead.
    let ahead = world.is_exact() && world.random.one_in(4);
    let at = if ahead { at + HOUR } else { at };
    let alone = target.kind() == TargetKind::Token;
    let goal = if alone { Goal::Token(n) } else { Goal::Other(target.clone()) };
    world.say(format!("revoke {target:?} at {at:?}"));
    let expected = world.history.news(&goal, at);
    let recorded_at = world.now.max(at);
    let told = world.scene.revoke_since(target, at, recorded_at).await?;
    let right = expected.is_none_or(|expected| expected == told);
    ensure!(right, "the store said {told:?} instead of {expected:?}");
    world.history.revoke(goal, at, recorded_at, Some(told));
    Ok(())
}
