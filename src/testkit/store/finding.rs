//! What `find` says of a token.

use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MINUTE, Scene, Seen};
use crate::token::{Grant, NewToken, PresentedToken, TokenKind, TokenState, TokenTypeHint};

pub(super) async fn a_token_is_found_as_it_was_put_in(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let login = scene.start() - HOUR;
    for (id, client, user, session) in [("g1", "web", "alice", "s1"), ("g2", "spa", "bob", "s2")] {
        let grant = Grant::new(id, client, login).subject(user).session(session);
        let [access, refresh] = scene.put_pair(&grant, id).await?;
        for (token, kind, lasts) in
            [(access, TokenKind::AccessToken, HOUR), (refresh, TokenKind::RefreshToken, DAY)]
        {
            let record = scene.record(&token).await?;
            let found = record.grant();
            ensure!(record.kind() == kind, "`{token}` was found as a {}", record.kind());
            ensure!(found.id() == grant.id(), "`{token}` is of {:?}", found.id());
            ensure!(
                found.client_id() == grant.client_id(),
                "`{token}` of {:?} was found as {:?}'s",
                grant.client_id(),
                found.client_id()
            );
            ensure!(
                found.subject_id() == grant.subject_id(),
                "`{token}` is of user {:?}",
                found.subject_id()
            );
            ensure!(
                found.session_id() == grant.session_id(),
                "`{token}` is in session {:?}",
                found.session_id()
            );
            ensure!(
                found.authenticated_at() == login,
                "the login of `{token}` moved from {login:?} to {:?}",
                found.authenticated_at()
            );
            let expiry = scene.start() + lasts;
            ensure!(
                record.expires_at() == expiry,
                "`{token}` expires at {:?} instead of {expiry:?}",
                record.expires_at()
            );
            ensure!(record.state() == TokenState::Active, "`{token}` is {:?}", record.state());
            ensure!(record.is_revocable(), "`{token}` is said to be irrevocable");
        }
    }
    Ok(())
}

pub(super) async fn what_was_never_issued_is_not_found(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let nothing = scene.seen("at-g", scene.start()).await?;
    ensure!(nothing == Seen::Unknown, "an empty store found a token: {nothing}");
    scene.put_pair(&scene.grant("g"), "g").await?;
    let long = "x".repeat(8_000);
    for token in
        ["", "at", "at-", "at-gg", "g", "web", "%", "at-%", "at-_", "' OR 1=1 --", "é", &long]
    {
        let found = scene.seen(token, scene.start()).await?;
        ensure!(found == Seen::Unknown, "{token:.20?} was never issued and is {found}");
    }
    Ok(())
}

pub(super) async fn a_hint_never_hides_a_token(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let tokens = scene.put_pair(&scene.grant("g"), "g").await?;
    let hints = [
        None,
        Some(TokenTypeHint::AccessToken),
        Some(TokenTypeHint::RefreshToken),
        Some(TokenTypeHint::Other("urn:example:unheard-of")),
        Some(TokenTypeHint::Other("")),
    ];
    for token in &tokens {
        let unhinted = scene.record(token).await?;
        for hint in hints {
            let found = scene.store().find(PresentedToken::new(token), hint).await?;
            let same = found.is_some_and(|found| found.id() == unhinted.id());
            ensure!(same, "`{token}` is not found with hint {hint:?}");
        }
    }
    Ok(())
}

pub(super) async fn tokens_are_compared_byte_for_byte(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let long = "x".repeat(300);
    let longer = format!("{long}y");
    let tokens = ["token", "TOKEN", "Token", "token.", "t0ken", "ｔoken", &long, &longer];
    for (n, token) in tokens.iter().enumerate() {
        let new = NewToken::refresh(PresentedToken::new(token), scene.start() + DAY);
        scene.put(&scene.grant(&format!("g{n}")), &new).await?;
    }
    for (n, token) in tokens.iter().enumerate() {
        let record = scene.record(token).await?;
        let grant = record.grant().id();
        ensure!(
            grant.as_str() == format!("g{n}"),
            "{token:.20?} was found as the token of {grant}"
        );
    }
    for token in [" token", "token ", "tokeN", "token\u{0301}", "ToKen."] {
        let found = scene.seen(token, scene.start()).await?;
        ensure!(found == Seen::Unknown, "{token:?} was never issued and is {found}");
    }
    Ok(())
}

pub(super) async fn an_expired_token_is_still_found(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let expiry = scene.start() + 10 * MINUTE;
    let new = NewToken::refresh(PresentedToken::new("rt"), expiry);
    scene.put(&scene.grant("g"), &new).await?;
    // The first instant at which it is no longer good.
    for now in [expiry, expiry + MINUTE] {
        scene.at(now);
        let found = scene.seen("rt", now).await?;
        ensure!(found == Seen::Expired, "a token that has just expired is {found}");
    }
    Ok(())
}

pub(super) async fn a_consumed_token_is_still_found(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let new = NewToken::refresh(PresentedToken::new("rt"), scene.start() + DAY).already_consumed();
    scene.put(&scene.grant("g"), &new).await?;
    let found = scene.seen("rt", scene.start()).await?;
    ensure!(found == Seen::Consumed, "a token that was put in as consumed is {found}");
    let record = scene.record("rt").await?;
    ensure!(record.grant().id().as_str() == "g", "its grant is {:?}", record.grant().id());
    Ok(())
}
