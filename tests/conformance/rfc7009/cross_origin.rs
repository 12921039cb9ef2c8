//! Section 2.3: cross-origin requests.

use annul::wire::cors::{OriginRegistry, Origins};
use annul::{Request, Response};

use crate::doubles::{FAILURES, Fault, Watched};
use crate::rfc7009::{credentials, is_empty_200};
use crate::support::{Server, form, seen};

const APP: &str = "https://app.example";

fn browser_server() -> Server {
    let mut server = Server::new();
    server.authority = server.authority.origins(Origins::from_iter([APP]));
    server
}

async fn preflight(server: &Server, origin: &str) -> Response {
    let request = Request::new("OPTIONS", b"")
        .header("Origin", origin.as_bytes())
        .header("Access-Control-Request-Method", b"POST");
    annul::handle_revoke(&server.authority, &request).await
}

async fn revoke_from(server: &Server, origin: &str, body: &str) -> Response {
    let request = form(body).header("Origin", origin.as_bytes());
    annul::handle_revoke(&server.authority, &request).await
}

fn allowed_origin(response: &Response) -> Option<&str> {
    response.header("access-control-allow-origin")
}

#[tokio::test]
async fn s2_3_a_registered_origin_may_call_and_no_other() {
    let server = browser_server();
    let answer = preflight(&server, APP).await;
    assert_eq!(answer.status(), 204);
    assert!(answer.body().is_empty());
    assert_eq!(allowed_origin(&answer), Some(APP));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    let headers = answer.header("access-control-allow-headers").unwrap();
    for header in ["authorization", "content-type"] {
        assert!(headers.split(", ").any(|listed| listed == header), "{header}");
    }
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    server.grant("g1", "spa").await;
    let answer = revoke_from(&server, APP, "token=rt-g1&client_id=spa").await;
    assert!(is_empty_200(&answer));
    assert_eq!(allowed_origin(&answer), Some(APP));
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(!server.is_active("rt-g1").await);

    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "https://APP.example",
        "https://app.example:8443",
        "https://app.example/",
        "null",
        "*",
        "",
    ] {
        assert_eq!(allowed_origin(&preflight(&server, origin).await), None, "{origin}");
        let answer = revoke_from(&server, origin, "token=t&client_id=spa").await;
        assert_eq!(allowed_origin(&answer), None, "{origin}");
        assert_eq!(answer.header("vary"), Some("Origin"), "{origin}");
    }
}

#[tokio::test]
async fn s2_3_no_origin_starts_a_header_of_its_own() {
    /// Goes by a pattern, as a host with a domain for each tenant does.
    struct Subdomains;

    impl OriginRegistry for Subdomains {
        fn allows(&self, origin: &str) -> bool {
            origin.starts_with("https://") && origin.ends_with(".example")
        }
    }

    let mut server = Server::new();
    server.authority = server.authority.origins(Subdomains);
    let tenant = "https://t1.example";
    assert_eq!(allowed_origin(&preflight(&server, tenant).await), Some(tenant));
    for origin in
        ["https://t1\r\nset-cookie: a=b.example", "https://t1\0.example", "https://ä.example"]
    {
        let answers = [
            preflight(&server, origin).await,
            revoke_from(&server, origin, "token=t&client_id=spa").await,
        ];
        for answer in answers {
            assert_eq!(allowed_origin(&answer), None, "{origin:?}");
        }
    }
}

#[tokio::test]
async fn s2_3_no_origins_no_cors() {
    let server = Server::new();
    let answer = preflight(&server, APP).await;
    assert_eq!(answer.status(), 405);
    assert_eq!(allowed_origin(&answer), None);
    let answer = revoke_from(&server, APP, "token=t&client_id=spa").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(allowed_origin(&answer), None);
}

#[tokio::test]
async fn s2_3_errors_can_be_read_by_a_registered_origin() {
    let server = browser_server();
    server.grant("g1", "other").await;
    let header = credentials("web");
    let foreign = form("token=rt-g1")
        .header("origin", APP.as_bytes())
        .header("authorization", header.as_bytes());
    let get = Request::new("GET", b"").header("origin", APP.as_bytes());
    let oversized = form("").header("origin", APP.as_bytes()).oversized();
    for (answer, status) in [
        (revoke_from(&server, APP, "token=t").await, 401),
        (revoke_from(&server, APP, "client_id=spa").await, 400),
        (annul::handle_revoke(&server.authority, &foreign).await, 400),
        (annul::handle_revoke(&server.authority, &get).await, 405),
        (annul::handle_revoke(&server.authority, &oversized).await, 413),
    ] {
        assert_eq!(answer.status(), status);
        assert_eq!(allowed_origin(&answer), Some(APP), "{status}");
    }

    let watched = Watched::new();
    watched.fail(Fault::Find(FAILURES[2].0));
    let origins = Origins::from_iter([APP]);
    let authority = watched.server.authority.clone().origins(origins);
    let request = form("token=t&client_id=spa").header("origin", APP.as_bytes());
    let answer = annul::handle_revoke(&authority, &request).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(allowed_origin(&answer), Some(APP));
}

#[tokio::test]
async fn s2_3_there_is_no_jsonp() {
    let server = Server::new();
    server.grant("g1", "spa").await;
    let get =
        Request::new("GET", b"").query("token=rt-g1&client_id=spa&callback=package.myCallback");
    let answer = annul::handle_revoke(&server.authority, &get).await;
    assert_eq!(answer.status(), 405);
    assert!(server.is_active("rt-g1").await);

    let with = server.revoke("token=t&client_id=spa&callback=alert(1)").await;
    let without = server.revoke("token=t&client_id=spa").await;
    assert_eq!(seen(&with), seen(&without));
    let with = server.revoke("client_id=spa&callback=alert(1)").await;
    let without = server.revoke("client_id=spa").await;
    assert_eq!(without.status(), 400);
    assert_eq!(seen(&with), seen(&without));
}
