//! Rotations, and what each may come to.

use std::time::Duration;

use crate::id::ClientId;
use crate::revocation::Target;
use crate::store::{Refused, Rotated};
use crate::testkit::model::history::{Goal, Token};
use crate::testkit::model::world::World;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Seen, Told, rotate_as};
use crate::token::TokenKind;

pub(super) async fn rotate(world: &mut World) -> Proof {
    let refresh = |token: &Token| token.kind == TokenKind::RefreshToken;
    let Some(n) = world.pick(refresh) else {
        return Ok(());
    };
    let seen = world.look(n).await?;
    let Some(spent) = world.history.tokens.get(n).cloned() else {
        return Ok(());
    };
    let foreign = world.random.one_in(8);
    let owner = spent.grant.client_id().as_str();
    let other = if world.is_exact() && owner == "web" { "spa" } else { "stranger" };
    let client = ClientId::new(if foreign { other } else { owner });
    // In exact mode also a window that is longer than some tokens live.
    let long = world.is_exact() && world.random.one_in(4);
    let window = if long { 2 * HOUR } else { MINUTE };
    let grace = if world.random.one_in(2) { window } else { Duration::ZERO };
    let next = world.name("t");
    let rotated = {
        let ledger = world.scene.ledger()?;
        rotate_as(ledger, client.as_str(), &spent.name, &next, world.now, grace).await?
    };
    world.say(format!(
        "{client} rotates {} for {next} with {grace:?} grace: {}",
        spent.name,
        Told(&rotated)
    ));
    let latest = world.history.successors(&spent.grant).map(|token| token.generation).max();
    let of_latest = world.history.successors(&spent.grant);
    let of_latest = of_latest.filter(|token| Some(token.generation) == latest);
    let since = of_latest.map(|token| token.issued_at).min();
    let in_grace = latest == Some(spent.generation + 1)
        && since.is_some_and(|since| since.distance(world.now) < grace);
    // Where two lines go on, "previous" has two meanings; where a sweep was, the store may have lost count.
    let mut generations: Vec<u32> =
        world.history.successors(&spent.grant).map(|token| token.generation).collect();
    let count = generations.len();
    generations.sort_unstable();
    generations.dedup();
    let vague = match world.is_exact() {
        true => world.history.family(&spent.grant).any(|token| token.may_be_gone),
        false => spent.may_be_gone || generations.len() < count,
    };
    let exact = world.is_exact();
    let expired = spent.expires_at <= world.now;
    let right = match (&rotated, seen) {
        (Rotated::Refused(Refused::Unknown), seen) => seen == Seen::Unknown,
        (Rotated::Refused(Refused::ForeignClient), seen) => foreign && seen != Seen::Unknown,
        (_, seen) if exact && foreign && seen != Seen::Unknown => false,
        (Rotated::Refused(Refused::Revoked { by }), seen) if exact => seen == Seen::Revoked(*by),
        (Rotated::Refused(Refused::Revoked { .. }), seen) => seen.is_revoked(),
        (_, Seen::Unknown | Seen::Revoked(_)) => false,
        (_, _) if foreign => false,
        (Rotated::Applied(_), seen) => seen == Seen::Active,
        (Rotated::AppliedInGrace(_), seen) => seen == Seen::Consumed && (in_grace || vague),
        (Rotated::Reused(_), _) => spent.consumed && (!in_grace || vague),
        (Rotated::Refused(Refused::Expired), _) => {
            expired && (!spent.consumed || in_grace || vague)
        }
        (Rotated::Refused(Refused::NotARefreshToken), _) => false,
    };
    ensure!(right, "`{}` was {seen}, and its rotation came to {}", spent.name, Told(&rotated));
    match rotated {
        Rotated::Applied(_) | Rotated::AppliedInGrace(_) => {
            let mut access = world.new_token(
                &spent.grant,
                TokenKind::AccessToken,
                10 * MINUTE,
                spent.generation + 1,
            );
            access.name = format!("at-{next}");
            let mut refresh =
                world.new_token(&spent.grant, TokenKind::RefreshToken, DAY, spent.generation + 1);
            refresh.name = next;
            let lives = !world.history.surely_covers(&spent.grant);
            ensure!(lives, "the successors of what was revoked were handed out");
            world.history.settle(&spent.grant, refresh.expires_at, None);
            world.history.expect(refresh.kind, refresh.expires_at);
            world.history.tokens.extend([access, refresh]);
            if let Some(token) = world.history.tokens.get_mut(n) {
                token.consumed = true;
            }
        }
        Rotated::Reused(_) => {
            let family = Goal::Other(Target::Grant(spent.grant.id().clone()));
            world.history.revoke(family, world.now, world.now, None);
        }
        Rotated::Refused(_) => {
            let found = world.scene.seen(&next, world.now).await?;
            ensure!(found != Seen::Active, "a refused rotation left `{next}` alive");
        }
    }
    Ok(())
}
