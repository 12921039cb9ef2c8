//! Browser sessions and what logging one out does: OpenID Connect Core section 11, Back-Channel Logout section 2.1,
//! and the logout endpoint's effects.

use std::time::Duration;

use annul::policy::LogoutUnknown;
use annul::store::{Issued, Session, StoreErrorKind, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    Grant, Namespace, NewToken, PresentedToken, Reason, Revocation, Target, TargetKind, Verdict,
};

use crate::doubles::policy;
use crate::index::{Index, Status};
use crate::support::{START, Server, error_of, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("sessions.rs"),
    requirements: &[
        (
            "SID-01",
            // The host's login makes the identifier; here it is opaque.
            Status::Tested(&[
                "sid_01_a_session_id_is_opaque_and_compared_byte_for_byte",
                "sid_01_a_session_id_belongs_to_its_issuer",
            ]),
        ),
        (
            "SID-02",
            Status::Tested(&[
                "sid_02_an_offline_grant_outlives_its_session",
                "sid_02_logging_out_with_an_offline_token_ends_its_grant_alone",
                "sid_02_a_grant_without_a_session_outlives_every_session",
            ]),
        ),
    ],
};

const DAY: Duration = Duration::from_secs(86_400);

/// A grant to `web` by alice in this session, with tokens `at-ID` and `rt-ID`.
async fn grant_in(server: &Server, id: &str, session: &str) {
    let grant = Grant::new(id, "web", server.authority.now());
    let grant = grant.subject("alice").session(session);
    server.issue(grant, &format!("at-{id}"), &format!("rt-{id}")).await;
}

async fn end(server: &Server, session: &str) {
    let target = Target::Session(session.into());
    let logout = Revocation::by_operator(target, Reason::Logout, server.authority.now());
    server.authority.revoke(logout).await.unwrap();
}

/// Logs out as the confidential client `post`, or as a public one.
async fn logout(server: &Server, client: &str, token: &str) -> u16 {
    let secret = match client {
        "post" => "&client_secret=post-secret",
        _ => "",
    };
    let body = format!("refresh_token={token}&client_id={client}{secret}");
    server.logout(&body).await.status()
}

async fn lives(server: &Server, id: &str) -> bool {
    let access = server.is_active(&format!("at-{id}")).await;
    let refresh = server.is_active(&format!("rt-{id}")).await;
    assert_eq!(access, refresh, "half of {id} is dead");
    access
}

#[tokio::test]
async fn sid_01_a_session_id_is_opaque_and_compared_byte_for_byte() {
    let long = "x".repeat(60);
    let longer = format!("{long}y");
    // Equal but for case, for a trailing space, for a percent escape, and for the 61st byte.
    let ids = ["s1", "S1", "s1 ", "s%31", &long, &longer];
    for ended in ids {
        let server = Server::new();
        for (n, id) in ids.into_iter().enumerate() {
            grant_in(&server, &format!("g{n}"), id).await;
        }
        end(&server, ended).await;
        for (n, id) in ids.into_iter().enumerate() {
            assert_eq!(lives(&server, &format!("g{n}")).await, id != ended, "{id}");
        }
    }
}

#[tokio::test]
async fn sid_01_a_session_id_belongs_to_its_issuer() {
    let server = Server::new();
    grant_in(&server, "g", "s1").await;
    let now = server.authority.now();
    let tenant = server.store.namespace(&Namespace::new("tenant-b"));
    let session = Session::new("s1", "bob", now, now + DAY);
    tenant.open_session(session).await.unwrap();
    let token = NewToken::refresh(PresentedToken::new("rt-b"), now + DAY);
    let grant = Grant::new("g", "web", now).subject("bob").session("s1");
    tenant.issue(grant, &[token], now).await.unwrap();

    end(&server, "s1").await;
    assert!(!lives(&server, "g").await);
    let found = tenant.find(PresentedToken::new("rt-b"), None).await;
    assert!(found.unwrap().unwrap().verdict(now).is_active());
    let known = server.store.session(&"s1".into()).await.unwrap();
    assert!(known.is_none(), "tenant-b's session is seen from outside");
}

#[tokio::test]
async fn sid_02_an_offline_grant_outlives_its_session() {
    let server = Server::new();
    grant_in(&server, "online", "s1").await;
    let offline = Grant::new("offline", "web", server.authority.now());
    let offline = offline.subject("alice").session("s1").offline();
    server.issue(offline, "at-offline", "rt-offline").await;
    end(&server, "s1").await;
    assert!(!lives(&server, "online").await);
    assert!(lives(&server, "offline").await);
    let found = server.store.find(PresentedToken::new("rt-offline"), None);
    let record = found.await.unwrap().unwrap();
    assert!(record.grant().is_offline());
    assert_eq!(record.grant().session_id(), None);
}

#[tokio::test]
async fn sid_02_logging_out_with_an_offline_token_ends_its_grant_alone() {
    let server = Server::new();
    server.grant("online", "spa").await;
    let offline = Grant::new("offline", "spa", server.authority.now());
    let offline = offline.subject("alice").session("s1").offline();
    server.issue(offline, "at-offline", "rt-offline").await;
    assert_eq!(logout(&server, "spa", "rt-offline").await, 200);
    assert!(!lives(&server, "offline").await);
    assert!(lives(&server, "online").await);
}

#[tokio::test]
async fn sid_02_a_grant_without_a_session_outlives_every_session() {
    let server = Server::new();
    server.grant("bound", "spa").await;
    let unbound = Grant::new("unbound", "spa", server.authority.now()).subject("alice");
    server.issue(unbound, "at-unbound", "rt-unbound").await;
    assert_eq!(logout(&server, "spa", "rt-bound").await, 200);
    assert!(!lives(&server, "bound").await);
    assert!(lives(&server, "unbound").await);
    assert_eq!(logout(&server, "spa", "rt-unbound").await, 200);
    assert!(!lives(&server, "unbound").await);
}

#[tokio::test]
async fn logout_ends_the_session_for_all_of_its_clients_in_one_entry() {
    let server = Server::new();
    for client in ["post", "web", "other", "spa"] {
        server.grant(client, client).await;
    }
    grant_in(&server, "elsewhere", "s2").await;
    assert_eq!(logout(&server, "post", "rt-post").await, 200);
    for client in ["post", "web", "other", "spa"] {
        assert!(!lives(&server, client).await, "{client}");
    }
    assert!(lives(&server, "elsewhere").await, "another session ended too");
    assert_eq!(server.store.usage().revocations, 1);
}

#[tokio::test]
async fn logout_works_with_an_expired_and_with_a_consumed_token() {
    let now = START;
    let grant = |id: &str| Grant::new(id, "spa", now).subject("alice").session("s1");
    let stale = [
        NewToken::refresh(PresentedToken::new("expired"), now),
        NewToken::refresh(PresentedToken::new("consumed"), now + DAY).already_consumed(),
    ];
    for (id, token) in [("a", "expired"), ("b", "consumed")] {
        let server = Server::new();
        server.store.issue(grant("stale"), &stale, now).await.unwrap();
        server.issue(grant(id), &format!("at-{id}"), &format!("rt-{id}")).await;
        assert!(lives(&server, id).await);
        assert!(!server.is_active(token).await);
        assert_eq!(logout(&server, "spa", token).await, 200);
        assert!(!lives(&server, id).await, "{token} did not log out");
    }
}

#[tokio::test]
async fn logout_again_is_no_error_and_looks_the_same() {
    let server = Server::new();
    server.grant("g", "spa").await;
    let body = "refresh_token=rt-g&client_id=spa";
    let first = server.logout(body).await;
    let again = server.logout(body).await;
    assert_eq!(first.status(), 200);
    assert_eq!(seen(&first), seen(&again));
    assert!(!lives(&server, "g").await);
    assert_eq!(server.store.usage().revocations, 1);
}

#[tokio::test]
async fn logout_with_an_access_token_is_refused_and_ends_nothing() {
    let server = Server::new();
    server.grant("g", "spa").await;
    let response = server.logout("refresh_token=at-g&client_id=spa").await;
    assert_eq!(response.status(), 400);
    assert_eq!(error_of(&response), "invalid_grant");
    assert!(lives(&server, "g").await);
}

#[tokio::test]
async fn logout_with_another_clients_token_ends_nothing() {
    let server = Server::new();
    server.grant("g", "web").await;
    // A public client must not learn that the token lives; a confidential one is told that it is not its own.
    assert_eq!(logout(&server, "spa", "rt-g").await, 200);
    assert_eq!(logout(&server, "post", "rt-g").await, 400);
    assert!(lives(&server, "g").await);
    assert_eq!(server.store.usage().revocations, 0);
}

#[tokio::test]
async fn logout_ignores_another_clients_token_as_it_answers_an_unknown_one() {
    for unknown_token in [LogoutUnknown::Succeed, LogoutUnknown::InvalidGrant] {
        let server = Server::with_policy(policy(|policy| {
            policy.logout.unknown_token = unknown_token;
        }));
        server.grant("g", "web").await;
        let unknown = server.logout("refresh_token=nobodys&client_id=spa").await;
        // Neither that it lives nor of what kind it is.
        for token in ["rt-g", "at-g"] {
            let body = format!("refresh_token={token}&client_id=spa");
            let foreign = server.logout(&body).await;
            assert_eq!(seen(&foreign), seen(&unknown), "{token}, {unknown_token:?}");
        }
        assert!(lives(&server, "g").await);
    }
}

#[tokio::test]
async fn logout_leaves_the_users_other_sessions_alone() {
    let server = Server::new();
    let phone = Grant::new("phone", "spa", server.authority.now());
    let phone = phone.subject("alice").session("s2");
    server.issue(phone, "at-phone", "rt-phone").await;
    server.grant("laptop", "spa").await;
    assert_eq!(logout(&server, "spa", "rt-laptop").await, 200);
    assert!(!lives(&server, "laptop").await);
    assert!(lives(&server, "phone").await);
}

#[tokio::test]
async fn revoking_a_refresh_token_is_no_logout() {
    let server = Server::new();
    server.grant("g", "spa").await;
    server.grant("other-client", "web").await;
    let response = server.revoke("token=rt-g&client_id=spa").await;
    assert_eq!(response.status(), 200);
    assert!(!lives(&server, "g").await);
    assert!(lives(&server, "other-client").await);
    // The same client may even be granted something anew, in the same session.
    grant_in(&server, "again", "s1").await;
    assert!(lives(&server, "again").await);
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_spent() {
    let server = Server::new();
    let now = server.authority.now();
    let session = Session::new("s1", "alice", now, now + DAY).client("spa");
    server.store.open_session(session.clone()).await.unwrap();
    server.grant("g", "spa").await;
    assert_eq!(logout(&server, "spa", "rt-g").await, 200);

    let reopened = server.store.open_session(session.clone()).await;
    assert_eq!(reopened.unwrap_err().kind(), StoreErrorKind::Conflict);
    // Who took part is still known: those clients want to be told.
    let known = server.store.session(&"s1".into()).await.unwrap();
    assert_eq!(known, Some(session));
    // A code exchange that was under way comes too late.
    let late = [NewToken::refresh(PresentedToken::new("late"), now + DAY)];
    let grant = Grant::new("late", "spa", now).subject("alice").session("s1");
    let by = TargetKind::Session;
    let issued = server.store.issue(grant, &late, now).await.unwrap();
    assert_eq!(issued, Issued::BornDead { by });
    assert!(matches!(server.check("late").await, Verdict::Revoked { .. }));
}

#[tokio::test]
async fn a_session_that_was_logged_out_stays_so_for_as_long_as_it_would_have_lasted() {
    // No token has been issued yet that would keep the entry: the login itself must.
    let server = Server::new();
    let now = server.authority.now();
    let session = Session::new("s1", "alice", now, now + DAY).client("spa");
    server.store.open_session(session.clone()).await.unwrap();
    end(&server, "s1").await;
    server.clock.advance(DAY - Duration::from_secs(1));
    let now = server.authority.now();
    server.store.sweep(now, SweepBudget::rows(usize::MAX)).await.unwrap();
    let reopened = server.store.open_session(session).await;
    assert_eq!(reopened.unwrap_err().kind(), StoreErrorKind::Conflict);
    grant_in(&server, "late", "s1").await;
    assert!(!lives(&server, "late").await);
}

#[tokio::test]
async fn a_password_change_outlasts_the_session_that_it_ended() {
    // As above: the thief's browser session has no tokens yet, and asks for some an hour later.
    let server = Server::new();
    let login = server.authority.now();
    let session = Session::new("s1", "alice", login, login + DAY);
    server.store.open_session(session).await.unwrap();
    server.clock.advance(Duration::from_secs(60));
    let alice = Target::Subject("alice".into());
    let now = server.authority.now();
    let changed = Revocation::by_operator(alice, Reason::PasswordChanged, now);
    server.authority.revoke(changed).await.unwrap();
    server.clock.advance(Duration::from_secs(3_600));
    let now = server.authority.now();
    server.store.sweep(now, SweepBudget::rows(usize::MAX)).await.unwrap();
    let stolen = Grant::new("stolen", "spa", login).subject("alice").session("s1");
    server.issue(stolen, "at-stolen", "rt-stolen").await;
    assert!(!lives(&server, "stolen").await);
}

#[tokio::test]
async fn a_revocation_outlasts_a_session_that_was_prolonged_after_it() {
    let targets = [
        Target::Subject("alice".into()),
        Target::Client("spa".into()),
        Target::SubjectAtClient("alice".into(), "spa".into()),
        Target::Everything,
    ];
    for target in targets {
        let server = Server::new();
        let login = server.authority.now();
        let hour = Duration::from_secs(3_600);
        let session = |lasts| Session::new("s1", "alice", login, login + lasts).client("spa");
        server.store.open_session(session(hour)).await.unwrap();
        server.clock.advance(Duration::from_secs(60));
        let now = server.authority.now();
        let revocation = Revocation::by_operator(target.clone(), Reason::Administrative, now);
        server.authority.revoke(revocation).await.unwrap();
        // The thief's browser is busy, so the session goes on; but it asks for tokens only hours later.
        server.store.open_session(session(5 * hour)).await.unwrap();
        server.clock.advance(4 * hour);
        let now = server.authority.now();
        server.store.sweep(now, SweepBudget::rows(usize::MAX)).await.unwrap();
        let stolen = Grant::new("stolen", "spa", login).subject("alice").session("s1");
        server.issue(stolen, "at-stolen", "rt-stolen").await;
        assert!(!lives(&server, "stolen").await, "{target:?}");
    }
}

#[tokio::test]
async fn a_cutoff_in_the_past_covers_what_is_in_flight_now() {
    // A store that has just been started, or in which everything has expired: nothing else keeps the entry.
    let week = 7 * DAY;
    let targets = [
        Target::Grant("stolen".into()),
        Target::Session("s1".into()),
        Target::Subject("alice".into()),
        Target::Everything,
    ];
    for target in targets {
        let server = Server::new();
        let now = server.authority.now();
        let sweep_at = |now| server.store.sweep(now, SweepBudget::rows(usize::MAX));
        sweep_at(now).await.unwrap();
        let revocation = Revocation::by_operator(target.clone(), Reason::KeyCompromise, now - week);
        server.authority.revoke(revocation).await.unwrap();
        server.clock.advance(Duration::from_secs(300));
        sweep_at(server.authority.now()).await.unwrap();
        // The code that was issued before is exchanged.
        let stolen = Grant::new("stolen", "spa", now - 2 * week).subject("alice").session("s1");
        server.issue(stolen, "at-stolen", "rt-stolen").await;
        assert!(!lives(&server, "stolen").await, "{target:?}");
    }
}

#[tokio::test]
async fn a_session_is_joined_by_its_own_user_only() {
    let server = Server::new();
    let now = server.authority.now();
    let session = |subject: &str| Session::new("s1", subject, now, now + DAY);
    let store = &server.store;
    store.open_session(session("alice").client("web")).await.unwrap();
    store.open_session(session("alice").client("spa")).await.unwrap();
    let theirs = store.open_session(session("mallory").client("other")).await;
    assert_eq!(theirs.unwrap_err().kind(), StoreErrorKind::Conflict);
    let known = store.session(&"s1".into()).await.unwrap().unwrap();
    let clients: Vec<&str> = known.clients().iter().map(|id| id.as_str()).collect();
    assert_eq!((known.subject().as_str(), clients), ("alice", vec!["web", "spa"]));
}
