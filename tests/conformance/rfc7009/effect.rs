//! Section 2.1: the effect.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::policy::CascadePolicy;
use annul::store::{Issued, Refused, Rotated, TokenLedger};
use annul::{Authority, Cascade, Grant, NewToken, Policy, PresentedToken};

use crate::doubles::server_with;
use crate::rfc7009::refresh;
use crate::support::Server;

#[tokio::test]
async fn s2_1_the_grace_window_does_not_revive_what_was_revoked() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let rotated = refresh(&server, "web", "rt-g1", "g2").await;
    assert!(matches!(rotated, Rotated::Applied(_)));
    let rotated = refresh(&server, "web", "rt-g1", "g3").await;
    assert!(matches!(rotated, Rotated::AppliedInGrace(_)));

    assert_eq!(server.revoke_as("web", "token=rt-g2").await.status(), 200);
    for spent in ["rt-g1", "rt-g2", "rt-g3"] {
        let refused = refresh(&server, "web", spent, "g4").await;
        assert!(
            matches!(refused, Rotated::Refused(Refused::Revoked { .. })),
            "{spent}: {refused:?}"
        );
        assert!(!server.is_active("at-g4").await && !server.is_active("rt-g4").await);
    }
}

#[tokio::test]
async fn s2_1_every_node_of_one_store_sees_it_at_once() {
    let node = Server::new();
    node.grant("g1", "web").await;
    let clients = RegisteredClients::new(crate::support::clients());
    let clock = Arc::clone(&node.clock);
    let second = Authority::new(Arc::clone(&node.store), clients).clock(clock);
    let at = PresentedToken::new("at-g1");
    assert!(second.check(at).await.unwrap().is_active());

    node.revoke_as("web", "token=rt-g1").await;
    assert!(!second.check(at).await.unwrap().is_active());
}

#[tokio::test]
async fn s2_1_a_refresh_token_takes_every_access_token_of_its_grant_and_no_other() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // Another authorization of the same user, client and session.
    server.grant("parallel", "web").await;
    refresh(&server, "web", "rt-g1", "g1b").await;
    refresh(&server, "web", "rt-g1b", "g1c").await;
    for token in ["at-g1", "at-g1b", "at-g1c", "rt-g1c"] {
        assert!(server.is_active(token).await, "{token}");
    }

    assert_eq!(server.revoke_as("web", "token=rt-g1c").await.status(), 200);
    for token in ["at-g1", "at-g1b", "at-g1c", "rt-g1c"] {
        assert!(!server.is_active(token).await, "{token}");
    }
    for token in ["at-parallel", "rt-parallel"] {
        assert!(server.is_active(token).await, "{token}");
    }
}

#[tokio::test]
async fn s2_1_the_policy_says_how_far_either_kind_reaches() {
    for access in [Cascade::Token, Cascade::Grant] {
        for refresh in [Cascade::Token, Cascade::Grant] {
            let mut policy = Policy::default();
            policy.cascade.access_token = access;
            policy.cascade.refresh_token = refresh;
            let server = Server::with_policy(policy);
            server.grant("g1", "web").await;
            server.grant("g2", "web").await;
            server.revoke_as("web", "token=at-g1").await;
            server.revoke_as("web", "token=rt-g2").await;

            assert!(!server.is_active("at-g1").await && !server.is_active("rt-g2").await);
            assert_eq!(server.is_active("rt-g1").await, access == Cascade::Token);
            assert_eq!(server.is_active("at-g2").await, refresh == Cascade::Token);
        }
    }
}

#[tokio::test]
async fn s2_1_a_client_may_have_a_reach_of_its_own() {
    let client = |id: &str| {
        let metadata = ClientMetadata::new(id, AuthMethod::ClientSecretBasic);
        Client::new(metadata).secret(&format!("{id}-secret"))
    };
    let alone = client("alone").cascade(CascadePolicy::both(Cascade::Token));
    let clients = ClientTable::from_iter([alone, client("web")]);
    let server = server_with(clients, Policy::default());
    server.grant("g1", "alone").await;
    server.grant("g2", "web").await;
    server.revoke_as("alone", "token=at-g1").await;
    server.revoke_as("web", "token=at-g2").await;
    assert!(!server.is_active("at-g1").await && server.is_active("rt-g1").await);
    assert!(!server.is_active("at-g2").await && !server.is_active("rt-g2").await);
}

#[tokio::test]
async fn s2_1_the_grant_is_over_and_the_users_next_grant_is_not() {
    let server = Server::new();
    server.grant("g1", "web").await;
    server.revoke_as("web", "token=rt-g1").await;
    // A token that was being minted while the revocation came in.
    let now = server.authority.now();
    let late = NewToken::access(PresentedToken::new("late"), now + Duration::from_secs(600));
    let grant = Grant::new("g1", "web", now).subject("alice").session("s1");
    let issued = server.store.issue(grant, &[late], now).await.unwrap();
    assert!(matches!(issued, Issued::BornDead { .. }));
    assert!(!server.is_active("late").await);
    // What the user consented to is the host's to keep: the next authorization works.
    server.grant("g2", "web").await;
    assert!(server.is_active("at-g2").await && server.is_active("rt-g2").await);
}
