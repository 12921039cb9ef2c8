//! Section 2: scope, method, endpoint.

use annul::client::AuthMethod;
use annul::metadata::ServerMetadata;
use annul::store::{Refused, Rotated};
use annul::wire::cors::Origins;
use annul::{InvalidUrl, Issuer, Request, Verdict};

use crate::doubles::Watched;
use crate::rfc7009::{credentials, refresh, with_method};
use crate::support::{FORM, Server, error_of};

#[tokio::test]
async fn s2_a_revoked_refresh_token_refreshes_and_introspects_no_more() {
    let server = Server::new();
    server.grant("g1", "web").await;
    assert_eq!(server.revoke_as("web", "token=rt-g1").await.status(), 200);

    let refused = refresh(&server, "web", "rt-g1", "g2").await;
    assert!(matches!(refused, Rotated::Refused(Refused::Revoked { .. })));
    assert!(matches!(server.check("rt-g2").await, Verdict::Unknown));
    for caller in ["web", "rs"] {
        let answer = server.introspect_as(caller, "token=rt-g1").await;
        assert_eq!(answer.body(), br#"{"active":false}"#, "to {caller}");
    }
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_a_revoked_access_token_is_inactive_at_once() {
    let server = Server::new();
    server.grant("g1", "web").await;
    assert!(server.is_active("at-g1").await);
    assert_eq!(server.revoke_as("web", "token=at-g1").await.status(), 200);

    assert!(!server.is_active("at-g1").await);
    let answer = server.introspect_as("rs", "token=at-g1").await;
    assert_eq!(answer.body(), br#"{"active":false}"#);
}

#[tokio::test]
async fn s2_every_method_but_post_is_405_and_touches_nothing() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    for method in ["GET", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "post", ""] {
        let answer = with_method(server, method, "token=rt-g1").await;
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert_eq!(error_of(&answer), "invalid_request", "{method}");
    }
    assert_eq!(watched.journal.take(), [""; 0]);
    assert!(server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s2_405_names_options_where_preflights_are_answered() {
    let mut server = Server::new();
    server.authority = server.authority.origins(Origins::from_iter(["https://app.example"]));
    let answer = with_method(&server, "GET", "").await;
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
}

#[test]
fn s2_the_published_endpoint_may_have_a_query_and_never_a_fragment() {
    let published = |url: &str| {
        let issuer = Issuer::new("https://as.example").unwrap();
        ServerMetadata::new(issuer).revocation(url, &[AuthMethod::None])
    };
    let with_query = published("https://as.example/revoke?tenant=a").unwrap();
    assert!(with_query.to_json().contains("\"https://as.example/revoke?tenant=a\""));
    for (url, flaw) in [
        ("https://as.example/revoke#x", InvalidUrl::Fragment),
        ("https://as.example/revoke?a=b#", InvalidUrl::Fragment),
        ("/revoke", InvalidUrl::NotHttps),
        ("https:///revoke", InvalidUrl::NotAbsolute),
    ] {
        assert_eq!(published(url).unwrap_err(), flaw, "{url}");
    }
}

#[test]
fn s2_the_published_endpoint_is_https() {
    let publish = |issuer: Issuer, url: &str| {
        ServerMetadata::new(issuer).revocation(url, &[AuthMethod::None]).map(|_| ())
    };
    let public = || Issuer::new("https://as.example").unwrap();
    let local = || Issuer::loopback("http://127.0.0.1:8080").unwrap();
    assert_eq!(publish(public(), "http://as.example/revoke"), Err(InvalidUrl::NotHttps));
    assert_eq!(publish(public(), "http://localhost/revoke"), Err(InvalidUrl::NotHttps));
    assert_eq!(publish(local(), "http://127.0.0.1:8080/revoke"), Ok(()));
    // The override is for this machine alone.
    assert_eq!(publish(local(), "http://as.example/revoke"), Err(InvalidUrl::NotHttps));
}

#[tokio::test]
async fn s2_a_revocation_over_plain_http_is_honoured() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // The token has travelled in clear already: dead is the best it can be now.
    let request = http::Request::post("http://as.example/revoke")
        .header("content-type", FORM)
        .header("authorization", credentials("web"))
        .body("token=rt-g1")
        .unwrap();
    let answer = annul::handle_revoke(&server.authority, &Request::from_http(&request)).await;
    assert_eq!(answer.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}
