//! Keycloak's endpoints and HyperID's, as their clients see them.

use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable};
use annul::store::{Issued, Session, TokenLedger};
use annul::wire::basic;
use annul::{Grant, LogoutSuccess, NewToken, PresentedToken, Response, profile};

use crate::doubles::{FAILURES, Fault, Watched, policy, server_with};
use crate::index::Index;
use crate::index::Status::{NotDone, Tested};
use crate::support::{START, Server, error_of, form, seen};

pub(crate) const INDEX: Index = Index {
    source: include_str!("keycloak.rs"),
    requirements: &[
        (
            "KC-01",
            Tested(&[
                "kc_01_errors_come_in_this_order_and_success_is_an_empty_200",
                "kc_01_any_repeated_parameter_is_refused",
            ]),
        ),
        (
            "KC-02",
            Tested(&[
                "kc_02_a_missing_token_is_not_provided",
                "kc_02_an_unknown_token_is_an_error_object_under_200",
            ]),
        ),
        (
            "KC-03",
            Tested(&["kc_03_clients_that_do_not_match", "kc_03_a_type_that_cannot_be_revoked"]),
        ),
        ("KC-04", Tested(&["kc_04_the_hint_is_never_read"])),
        ("KC-05", Tested(&["kc_05_a_refresh_token_leaves_the_session_and_the_other_app_alone"])),
        ("KC-06", Tested(&["kc_06_an_access_token_goes_alone"])),
        (
            "KC-07",
            NotDone(
                "two codes for an unknown client and a wrong secret would tell strangers which clients \
                 exist: kc_07_no_answer_tells_which_clients_exist asserts the one answer to both",
            ),
        ),
        ("KC-20", Tested(&["kc_20_the_refresh_token_wins_over_the_other_protocols_parameters"])),
        (
            "KC-21",
            Tested(&[
                "kc_21_an_expired_refresh_token_logs_out",
                "kc_21_another_clients_refresh_token_does_not",
            ]),
        ),
        (
            "KC-22",
            Tested(&[
                "kc_22_logout_ends_the_session_for_all_and_may_be_repeated",
                "kc_22_an_offline_token_ends_its_own_grant",
            ]),
        ),
        ("KC-23", Tested(&["kc_23_every_error_in_keycloaks_words"])),
        (
            "KC-24",
            Tested(&[
                "kc_24_hyperid_answers_200_to_both_of_its_requests",
                "kc_24_the_status_of_a_logout_is_one_of_two",
            ]),
        ),
    ],
};

const BY_POST: &str = "client_id=post&client_secret=post-secret";

fn keycloak() -> Server {
    Server::with_policy(profile::keycloak())
}

fn hyperid() -> Server {
    Server::with_policy(profile::hyperid())
}

/// The members of an error's body.
fn error(response: &Response) -> (u16, String, String) {
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    let description = body.get("error_description").unwrap().as_str().unwrap();
    (response.status(), error_of(response), description.to_owned())
}

fn assert_error(response: &Response, status: u16, code: &str, description: &str) {
    let expected = (status, code.to_owned(), description.to_owned());
    assert_eq!(error(response), expected);
}

fn assert_empty(response: &Response, status: u16) {
    assert_eq!(response.status(), status);
    assert!(response.body().is_empty());
    assert_eq!(response.header("content-type"), None);
}

/// What the token endpoint would get for a token minted now in this grant.
async fn mint(server: &Server, grant: Grant, token: &str) -> Issued {
    let now = server.authority.now();
    let token = NewToken::access(PresentedToken::new(token), now + Duration::from_secs(600));
    server.store.issue(grant, &[token], now).await.unwrap()
}

/// A session of alice's in which two applications, `post` and `web`, have a grant.
async fn two_apps(server: &Server) {
    let expiry = START + Duration::from_secs(864_000);
    let session = Session::new("s1", "alice", START, expiry).client("post").client("web");
    server.store.open_session(session).await.unwrap();
    server.grant("1", "post").await;
    server.grant("2", "web").await;
}

// ── 11.1 Revocation

#[tokio::test]
async fn kc_01_errors_come_in_this_order_and_success_is_an_empty_200() {
    let watched = Watched::with_policy(profile::keycloak());
    let server = &watched.server;
    two_apps(server).await;
    // The client before the token; the token before whose it is. Transport and realm are the host's.
    for (body, status, code) in [
        ("", 401, "invalid_client"),
        (BY_POST, 400, "invalid_request"),
        ("token=rt-2&client_id=post&client_secret=x", 401, "invalid_client"),
    ] {
        let answer = server.revoke(body).await;
        assert_eq!((answer.status(), &*error_of(&answer)), (status, code), "{body}");
    }
    watched.fail(Fault::Find(FAILURES[2].0));
    assert_eq!(server.revoke("token=rt-1").await.status(), 401);
    let answer = server.revoke(&format!("token=rt-1&{BY_POST}")).await;
    assert_eq!(answer.status(), 503);
    watched.heal();

    let answer = server.revoke(&format!("token=rt-1&{BY_POST}")).await;
    assert_empty(&answer, 200);
    assert!(!server.is_active("rt-1").await && server.is_active("rt-2").await);
}

#[tokio::test]
async fn kc_01_any_repeated_parameter_is_refused() {
    let server = keycloak();
    two_apps(&server).await;
    for repeated in ["token=rt-1", "zz=1&zz=2", "client_id=post"] {
        let body = format!("token=rt-1&{BY_POST}&{repeated}");
        let answer = server.revoke(&body).await;
        assert_error(&answer, 400, "invalid_request", "duplicated parameter");
    }
    assert!(server.is_active("rt-1").await);
}

#[tokio::test]
async fn kc_02_a_missing_token_is_not_provided() {
    for server in [keycloak(), hyperid()] {
        for token in ["", "token=&", "refresh_token=rt-1&"] {
            let answer = server.revoke(&format!("{token}{BY_POST}")).await;
            assert_error(&answer, 400, "invalid_request", "Token not provided");
        }
    }
}

#[tokio::test]
async fn kc_02_an_unknown_token_is_an_error_object_under_200() {
    let keycloak = keycloak();
    for token in ["nonsense", "e30.e30.c2ln", "x%00"] {
        let body = format!("token={token}&{BY_POST}");
        let answer = keycloak.revoke(&body).await;
        assert_error(&answer, 200, "invalid_token", "Invalid token");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        // HyperID documents an empty 200, and so does RFC 7009.
        assert_empty(&hyperid().revoke(&body).await, 200);
    }
}

#[tokio::test]
async fn kc_03_clients_that_do_not_match() {
    for server in [keycloak(), hyperid()] {
        two_apps(&server).await;
        for token in ["at-2", "rt-2"] {
            for client in [BY_POST, "client_id=spa"] {
                let answer = server.revoke(&format!("token={token}&{client}")).await;
                assert_error(&answer, 400, "invalid_request", "Unmatching clients");
            }
            assert!(server.is_active(token).await);
        }
    }
}

#[tokio::test]
async fn kc_03_a_type_that_cannot_be_revoked() {
    let watched = Watched::with_self_contained_access_tokens(profile::keycloak());
    let server = &watched.server;
    two_apps(server).await;
    let answer = server.revoke(&format!("token=at-1&{BY_POST}")).await;
    assert_error(&answer, 400, "unsupported_token_type", "Unsupported token type");
    assert!(server.is_active("at-1").await);
}

#[tokio::test]
async fn kc_04_the_hint_is_never_read() {
    for token in ["at-1", "rt-1", "at-2", "nonsense"] {
        let mut outcomes = Vec::new();
        for hint in ["", "access_token", "refresh_token", "offline", "%00"] {
            let server = keycloak();
            two_apps(&server).await;
            let body = format!("token={token}&token_type_hint={hint}&{BY_POST}");
            let answer = seen(&server.revoke(&body).await);
            let alive = (server.is_active("at-1").await, server.is_active("rt-1").await);
            outcomes.push((answer, alive));
        }
        outcomes.dedup();
        assert_eq!(outcomes.len(), 1, "{token}: {outcomes:?}");
    }
}

#[tokio::test]
async fn kc_05_a_refresh_token_leaves_the_session_and_the_other_app_alone() {
    for server in [keycloak(), hyperid()] {
        two_apps(&server).await;
        let answer = server.revoke(&format!("token=rt-1&{BY_POST}")).await;
        assert_empty(&answer, 200);
        assert!(!server.is_active("rt-1").await && !server.is_active("at-1").await);
        assert!(server.is_active("rt-2").await && server.is_active("at-2").await);

        // Not reproduced: with the last application gone, Keycloak ends the user's session too. Whoever
        // removes an application did not ask to be logged out.
        assert_empty(&server.revoke_as("web", "token=rt-2").await, 200);
        assert!(!server.is_active("rt-2").await && !server.is_active("at-2").await);
        let next = Grant::new("3", "web", server.authority.now()).subject("alice").session("s1");
        assert_eq!(mint(&server, next, "at-3").await, Issued::Live);
        assert!(server.is_active("at-3").await);
    }
}

#[tokio::test]
async fn kc_06_an_access_token_goes_alone() {
    for server in [keycloak(), hyperid()] {
        two_apps(&server).await;
        let answer = server.revoke(&format!("token=at-1&{BY_POST}")).await;
        assert_empty(&answer, 200);
        assert!(!server.is_active("at-1").await);
        for token in ["rt-1", "at-2", "rt-2"] {
            assert!(server.is_active(token).await, "{token}");
        }
        // The grant and the session are untouched: the next access token lives.
        let grant = Grant::new("1", "post", START).subject("alice").session("s1");
        assert_eq!(mint(&server, grant, "at-1b").await, Issued::Live);
        assert!(!server.is_active("at-1").await);
    }
}

#[tokio::test]
async fn kc_07_no_answer_tells_which_clients_exist() {
    for server in [keycloak(), hyperid()] {
        let unknown = server.revoke("token=t&client_id=nobody&client_secret=x").await;
        let wrong = server.revoke("token=t&client_id=post&client_secret=x").await;
        assert_error(&wrong, 401, "invalid_client", "Invalid client or Invalid client credentials");
        assert_eq!(seen(&unknown), seen(&wrong));
        // Nor are Keycloak's other two liberties taken.
        let public_with_secret = server.revoke("token=t&client_id=spa&client_secret=x").await;
        assert_eq!(public_with_secret.status(), 401);
        let header_and_form = server.revoke_as("web", "token=t&client_id=other").await;
        assert_eq!(header_and_form.status(), 400);
    }
}

// ── 11.2 Logout

#[tokio::test]
async fn kc_20_the_refresh_token_wins_over_the_other_protocols_parameters() {
    let server = keycloak();
    two_apps(&server).await;
    let others =
        "id_token_hint=e30.e30.c2ln&post_logout_redirect_uri=https%3A%2F%2Fevil.example&state=x";
    let answer = server.logout(&format!("refresh_token=rt-1&{others}&{BY_POST}")).await;
    assert_empty(&answer, 204);
    assert_eq!(answer.header("location"), None);
    assert!(!server.is_active("rt-1").await && !server.is_active("rt-2").await);

    // Without it, it is the other protocol, which this endpoint does not speak.
    let server = keycloak();
    two_apps(&server).await;
    for refresh_token in ["", "refresh_token=&"] {
        let answer = server.logout(&format!("{refresh_token}{others}&{BY_POST}")).await;
        assert_error(&answer, 400, "invalid_request", "No refresh token");
    }
    assert!(server.is_active("rt-1").await);
}

#[tokio::test]
async fn kc_21_an_expired_refresh_token_logs_out() {
    for (server, status) in [(keycloak(), 204), (hyperid(), 200)] {
        two_apps(&server).await;
        server.clock.advance(Duration::from_secs(86_401));
        assert!(!server.is_active("rt-1").await);
        // The other application refreshed meanwhile.
        let now = server.authority.now();
        let grant = Grant::new("2", "web", START).subject("alice").session("s1");
        let refresh = PresentedToken::new("rt-2b");
        let refresh = NewToken::refresh(refresh, now + Duration::from_secs(86_400));
        server.store.issue(grant, &[refresh], now).await.unwrap();
        assert!(server.is_active("rt-2b").await);

        let answer = server.logout(&format!("refresh_token=rt-1&{BY_POST}")).await;
        assert_empty(&answer, status);
        assert!(!server.is_active("rt-2b").await);
    }
    // Not reproduced: "Toked issued before the user session started". Session identifiers are never used
    // twice here, so a token cannot be older than the session it names.
}

#[tokio::test]
async fn kc_21_another_clients_refresh_token_does_not() {
    for server in [keycloak(), hyperid()] {
        two_apps(&server).await;
        for client in [BY_POST, "client_id=spa"] {
            let answer = server.logout(&format!("refresh_token=rt-2&{client}")).await;
            assert_eq!(answer.status(), 400);
            assert_eq!(error_of(&answer), "invalid_grant");
        }
        for token in ["at-1", "rt-1", "at-2", "rt-2"] {
            assert!(server.is_active(token).await, "{token}");
        }
        assert_eq!(server.store.usage().revocations, 0);
    }
}

#[tokio::test]
async fn kc_22_logout_ends_the_session_for_all_and_may_be_repeated() {
    let server = keycloak();
    two_apps(&server).await;
    let elsewhere = Grant::new("phone", "post", START).subject("alice").session("s2");
    server.issue(elsewhere, "at-phone", "rt-phone").await;
    let offline = Grant::new("offline", "post", START).subject("alice").session("s1").offline();
    server.issue(offline, "at-offline", "rt-offline").await;

    let body = format!("refresh_token=rt-1&{BY_POST}");
    let first = server.logout(&body).await;
    assert_empty(&first, 204);
    for header in ["cache-control", "pragma"] {
        assert!(first.header(header).is_some(), "{header}");
    }
    for token in ["at-1", "rt-1", "at-2", "rt-2"] {
        assert!(!server.is_active(token).await, "{token}");
    }
    // Another session of hers, and a grant that is meant to outlive the session.
    for token in ["at-phone", "rt-phone", "at-offline", "rt-offline"] {
        assert!(server.is_active(token).await, "{token}");
    }
    // A refresh that was under way does not bring the session back.
    let late = Grant::new("2", "web", START).subject("alice").session("s1");
    assert!(matches!(mint(&server, late, "at-2b").await, Issued::BornDead { .. }));
    assert_eq!(seen(&server.logout(&body).await), seen(&first));
}

#[tokio::test]
async fn kc_22_an_offline_token_ends_its_own_grant() {
    let server = keycloak();
    two_apps(&server).await;
    let offline = Grant::new("offline", "post", START).subject("alice").session("s1").offline();
    server.issue(offline, "at-offline", "rt-offline").await;
    let answer = server.logout(&format!("refresh_token=rt-offline&{BY_POST}")).await;
    assert_empty(&answer, 204);
    assert!(!server.is_active("rt-offline").await && !server.is_active("at-offline").await);
    for token in ["at-1", "rt-1", "at-2", "rt-2"] {
        assert!(server.is_active(token).await, "{token}");
    }
}

#[tokio::test]
async fn kc_23_every_error_in_keycloaks_words() {
    for server in [keycloak(), hyperid()] {
        two_apps(&server).await;
        let refused = "Invalid client or Invalid client credentials";
        let foreign = "Invalid refresh token. Token client and authorized client don't match";
        for (body, status, code, description) in [
            (BY_POST.to_owned(), 400, "invalid_request", "No refresh token"),
            (
                format!("refresh_token=nonsense&{BY_POST}"),
                400,
                "invalid_grant",
                "Invalid refresh token",
            ),
            // An access token in its place.
            (
                format!("refresh_token=at-1&{BY_POST}"),
                400,
                "invalid_grant",
                "Invalid refresh token",
            ),
            (format!("refresh_token=rt-2&{BY_POST}"), 400, "invalid_grant", foreign),
            ("refresh_token=rt-1".to_owned(), 401, "invalid_client", refused),
            // Keycloak says unauthorized_client here: one answer for all failures (KC-07).
            ("refresh_token=rt-1&client_id=post".to_owned(), 401, "invalid_client", refused),
            (
                "refresh_token=rt-1&client_id=post&client_secret=x".to_owned(),
                401,
                "invalid_client",
                refused,
            ),
            (
                "refresh_token=rt-1&client_id=nobody&client_secret=x".to_owned(),
                401,
                "invalid_client",
                refused,
            ),
        ] {
            let answer = server.logout(&body).await;
            assert_error(&answer, status, code, description);
            let challenged = answer.header("www-authenticate").is_some();
            assert_eq!(challenged, status == 401, "{body}");
        }
        for token in ["at-1", "rt-1", "at-2", "rt-2"] {
            assert!(server.is_active(token).await, "{token}");
        }
    }
    // Certificate-bound refresh tokens do not exist here: no store keeps a binding, so none is asked for.
}

#[tokio::test]
async fn kc_24_hyperid_answers_200_to_both_of_its_requests() {
    let paths = profile::hyperid().paths;
    let realm = "/auth/realms/HyperID/protocol/openid-connect";
    assert_eq!(paths.revoke, format!("{realm}/revoke"));
    assert_eq!(paths.logout, format!("{realm}/logout"));

    // "keeping the user's session active"
    let server = hyperid();
    two_apps(&server).await;
    let answer = server.revoke(&format!("token=rt-1&{BY_POST}")).await;
    assert_empty(&answer, 200);
    assert!(!server.is_active("rt-1").await && server.is_active("rt-2").await);
    let again = server.revoke(&format!("token=rt-1&{BY_POST}")).await;
    assert_empty(&again, 200);

    // "session is completely terminated for all applications"
    let server = hyperid();
    two_apps(&server).await;
    for _ in 0..2 {
        let answer = server.logout(&format!("refresh_token=rt-1&{BY_POST}")).await;
        assert_empty(&answer, 200);
        assert!(!server.is_active("rt-1").await && !server.is_active("rt-2").await);
    }

    // Clients are registered without a method as often as not: either way to send the secret will do.
    let metadata = ClientMetadata::new("post", AuthMethod::ClientSecretBasic);
    let client = Client::new(metadata).secret("post-secret");
    let server = server_with(ClientTable::from_iter([client]), profile::hyperid());
    server.grant("1", "post").await;
    let answer = server.revoke(&format!("token=at-1&{BY_POST}")).await;
    assert_empty(&answer, 200);
    let header = basic::header_value("post", "post-secret");
    let request = form("token=rt-1").header("authorization", header.as_bytes());
    assert_empty(&annul::handle_revoke(&server.authority, &request).await, 200);
    assert!(!server.is_active("at-1").await && !server.is_active("rt-1").await);
}

#[tokio::test]
async fn kc_24_the_status_of_a_logout_is_one_of_two() {
    for (success, status) in [(LogoutSuccess::Ok200, 200), (LogoutSuccess::NoContent204, 204)] {
        let server = Server::with_policy(policy(|policy| policy.logout.success = success));
        two_apps(&server).await;
        let answer = server.logout(&format!("refresh_token=rt-1&{BY_POST}")).await;
        assert_empty(&answer, status);
        assert!(!server.is_active("rt-2").await);
    }
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_denied_logs_nobody_out_with_a_200() {
    let watched = Watched::with_self_contained_refresh_tokens();
    watched.server.grant("g1", "post").await;
    let answer =
        watched.server.logout("refresh_token=rt-g1&client_id=post&client_secret=post-secret").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(error_of(&answer), "unsupported_token_type");
    let asked = watched.journal.take();
    assert!(!asked.iter().any(|line| line.starts_with("revoke")), "{asked:?}");
}
