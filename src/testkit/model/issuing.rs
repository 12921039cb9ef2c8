//! Logins, sessions and new tokens.

use crate::error::StoreErrorKind;
use crate::store::{Issued, Session};
use crate::testkit::model::history::{Opened, Token};
use crate::testkit::model::world::World;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Seen};
use crate::token::{Grant, NewToken, TokenKind};

const CLIENTS: [&str; 2] = ["web", "spa"];
const USERS: [&str; 2] = ["alice", "bob"];

/// A grant: now, or in a session that there was before. In exact mode one of three belongs to no session, and some of
/// those to no user.
fn login(world: &mut World) -> Grant {
    let grant = session_login(world);
    if !world.is_exact() {
        return grant;
    }
    let new = Grant::new(grant.id().clone(), grant.client_id().clone(), world.now);
    match (world.random.below(9), grant.subject_id().cloned(), grant.session_id().cloned()) {
        (0, _, _) => new,
        (1, Some(user), _) => new.subject(user),
        (2, _, _) => grant.offline(),
        // Another login in the same session.
        (3, Some(user), Some(session)) => new.subject(user).session(session),
        (_, _, _) => grant,
    }
}

fn session_login(world: &mut World) -> Grant {
    let client = world.random.pick(&CLIENTS).copied().unwrap_or("web");
    let user = world.random.pick(&USERS).copied().unwrap_or("alice");
    // Now, or into a session that was there before.
    let sessions: Vec<Opened> = world.history.sessions.iter().rev().take(3).cloned().collect();
    let joined = if world.random.one_in(2) { world.random.pick(&sessions) } else { None };
    let id = world.name("g");
    match joined {
        Some(session) => {
            let login = session.grant.authenticated_at();
            let user = session.grant.subject_id().cloned();
            let grant = Grant::new(id, client, login).session(session.id.clone());
            user.into_iter().fold(grant, Grant::subject)
        }
        None => {
            let session = world.name("s");
            let grant = Grant::new(id, client, world.now).subject(user);
            grant.session(session)
        }
    }
}

pub(super) async fn issue(world: &mut World) -> Proof {
    let grant = login(world);
    let lasts = world.random.pick(&[10 * MINUTE, HOUR]).copied().unwrap_or(HOUR);
    // In exact mode also one that has expired when it is issued, and refresh tokens that outlive few.
    let short = world.is_exact() && world.random.one_in(2);
    let (lasts, day) = if short { (lasts - 10 * MINUTE, HOUR) } else { (lasts, DAY) };
    let access = world.new_token(&grant, TokenKind::AccessToken, lasts, 0);
    let refresh = world.new_token(&grant, TokenKind::RefreshToken, day, 0);
    world.say(format!("issue {} and {} of {:?}", access.name, refresh.name, grant.id()));
    record(world, vec![access, refresh]).await
}

/// A token of a grant that is there, revoked perhaps.
pub(super) async fn issue_late(world: &mut World) -> Proof {
    let Some(token) = world.pick(|_| true).and_then(|n| world.history.tokens.get(n)) else {
        return Ok(());
    };
    let grant = token.grant.clone();
    let late = world.new_token(&grant, TokenKind::AccessToken, HOUR, 0);
    world.say(format!("issue {} late, of {:?}", late.name, grant.id()));
    record(world, vec![late]).await
}

/// A token that is there already, with another expiry.
pub(super) async fn issue_again(world: &mut World) -> Proof {
    let Some(n) = world.pick(|token| !token.may_be_gone) else {
        return Ok(());
    };
    let Some(token) = world.history.tokens.get(n).filter(|_| world.steps.rotates) else {
        return Ok(());
    };
    let mut again = token.clone();
    again.expires_at = world.now + DAY;
    let ledger = world.scene.ledger()?;
    let issued = ledger.issue(again.grant.clone(), &[again.as_new()], world.now).await?;
    world.history.expect(again.kind, again.expires_at);
    world.say(format!("issue {} again", again.name));
    if world.is_exact() {
        let allowed = world.history.allowed(n, world.now);
        let right = match issued {
            Issued::BornDead { by } => allowed.contains(&Seen::Revoked(by)),
            Issued::Live => allowed.iter().any(|seen| !seen.is_revoked()),
        };
        ensure!(right, "`{}`, issued again, is {issued:?}", again.name);
    }
    Ok(())
}

async fn record(world: &mut World, tokens: Vec<Token>) -> Proof {
    let Some(grant) = tokens.first().map(|token| token.grant.clone()) else {
        return Ok(());
    };
    let latest = tokens.iter().map(|token| token.expires_at).max().unwrap_or(world.now);
    let surely_dead = world.history.surely_covers(&grant);
    if world.steps.rotates {
        let new: Vec<NewToken<'_>> = tokens.iter().map(Token::as_new).collect();
        let issued = world.scene.ledger()?.issue(grant.clone(), &new, world.now).await?;
        let by = match issued {
            Issued::BornDead { by } => {
                ensure!(world.history.may_cover(&grant, by), "born dead by a {by} nobody revoked");
                Some(by)
            }
            Issued::Live => {
                ensure!(!surely_dead, "what was revoked was issued as live");
                None
            }
        };
        world.history.settle(&grant, latest, by);
    } else {
        for token in &tokens {
            let new = token.as_new();
            let puts = world.scene.fixture.puts();
            puts.put(&grant, &new, world.now).await?;
        }
    }
    world.history.hear(world.now);
    for token in &tokens {
        world.history.expect(token.kind, token.expires_at);
    }
    world.history.tokens.extend(tokens);
    Ok(())
}

pub(super) async fn open_session(world: &mut World) -> Proof {
    let Some(token) = world.pick(|_| true).and_then(|n| world.history.tokens.get(n)) else {
        return Ok(());
    };
    let grant = token.grant.clone();
    let (Some(id), Some(user)) = (grant.session_id(), grant.subject_id()) else {
        return Ok(());
    };
    let lasts = world.random.pick(&[HOUR, 3 * DAY]).copied().unwrap_or(HOUR);
    let expires_at = world.now + lasts;
    let client = grant.client_id().clone();
    // When the session began, whichever login in it this is.
    let same = world.history.tokens.iter().find(|token| token.grant.session_id() == Some(id));
    let login = same.map_or(&grant, |token| &token.grant).authenticated_at();
    let session = Session::new(id.clone(), user.clone(), login, expires_at).client(client.clone());
    world.say(format!("open {id:?} of {user:?} for {lasts:?}"));
    let told = world.scene.ledger()?.open_session(session).await;
    world.history.expect(TokenKind::RefreshToken, expires_at);
    match (told, world.history.logged_out(id)) {
        (Ok(()), Some(true)) => ensure!(false, "a session that was logged out was opened"),
        (Ok(()), Some(false) | None) => {
            world.history.forget(id);
            // What a grant made in it would be like; a revocation of one that was made is not over the session.
            let any = Grant::new("", client.clone(), login).subject(user.clone());
            let opened = Opened { id: id.clone(), grant: any.session(id.clone()), expires_at };
            world.history.hold(&opened);
            world.history.sessions.push(opened);
        }
        (Err(error), Some(_)) if error.kind() == StoreErrorKind::Conflict => {}
        (Err(error), _) => return Err(error.into()),
    }
    Ok(())
}
