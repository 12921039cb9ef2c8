//! The routes: the crate's router, and beside it what every authorization server has of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use annul::metadata::{Offer, ServerMetadata};
use annul::profile::Paths;
use annul::{Authority, InvalidUrl, Issuer, PresentedToken, TokenKind, Verdict};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::Failure;
use crate::fixture::reachable;
use crate::store::ServerStore;

/// The routes whose paths are not the fixture's to choose.
const FIXED: [&str; 4] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/resource",
    "/healthz",
];

/// How long a store that is well takes to answer at most.
const HEALTHY_WITHIN: Duration = Duration::from_secs(2);

/// Everything that is served.
pub(crate) fn app(
    authority: &Authority,
    store: Arc<dyn ServerStore>,
    paths: &Paths,
    issuer: &str,
    offer: Offer,
    tls: Option<SocketAddr>,
) -> Result<Router, Failure> {
    check_paths(paths)?;
    let own = Router::new().route("/resource", get(resource)).with_state(authority.clone());
    let health = Router::new().route("/healthz", get(healthz)).with_state(store);
    let mut app =
        annul::integration::axum::router(authority.clone(), paths).merge(own).merge(health);
    match metadata(issuer, paths, offer, tls) {
        Ok(document) => {
            let document: Arc<str> = document.into();
            let published = Router::new()
                .route("/.well-known/oauth-authorization-server", get(publish))
                .route("/.well-known/openid-configuration", get(publish))
                .with_state(document);
            app = app.merge(published);
        }
        // A test network may well call the server by a plain name: it works, but must not be published.
        Err(error) => eprintln!("warning: no metadata is published for {issuer}: {error}"),
    }
    Ok(app)
}

/// axum panics on paths that it cannot route; a sentence is kinder.
fn check_paths(paths: &Paths) -> Result<(), Failure> {
    let mut known = FIXED.to_vec();
    for path in [&paths.revoke, &paths.logout, &paths.introspect] {
        let sound = path.starts_with('/')
            && path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && !b"?#{}*:%".contains(&byte));
        if !sound {
            return Err(format!("{path} cannot be a path").into());
        }
        if known.contains(&path.as_ref()) {
            return Err(format!("two routes have the path {path}").into());
        }
        known.push(path);
    }
    Ok(())
}

fn metadata(
    issuer: &str,
    paths: &Paths,
    offer: Offer,
    tls: Option<SocketAddr>,
) -> Result<String, InvalidUrl> {
    // Paths are from the root of the host, wherever on it the issuer is.
    let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
    let end = issuer
        .get(after_scheme..)
        .and_then(|rest| rest.find('/'))
        .map_or(issuer.len(), |slash| after_scheme + slash);
    let host = issuer.get(..end).unwrap_or(issuer);
    let mut document = ServerMetadata::new(Issuer::loopback(issuer)?)
        .revocation(format!("{host}{}", paths.revoke), offer)?
        .introspection(format!("{host}{}", paths.introspect), offer)?;
    if let Some(address) = tls.map(reachable) {
        document = document
            .mtls_revocation(format!("https://{address}{}", paths.revoke))?
            .mtls_introspection(format!("https://{address}{}", paths.introspect))?;
    }
    Ok(document.to_json())
}

async fn publish(State(document): State<Arc<str>>) -> Response {
    json(StatusCode::OK, document.to_string())
}

/// A protected resource (RFC 6750): what it says is whose token it was shown.
async fn resource(State(authority): State<Authority>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        // s3.1: "If the request lacks any authentication information [...] the resource server SHOULD NOT
        // include an error code".
        return challenge("Bearer", "{}");
    };
    match authority.check(PresentedToken::new(token)).await {
        // A refresh token is no key to a resource, however alive it is.
        Ok(Verdict::Active(record)) if record.kind() == TokenKind::AccessToken => {
            let subject = record.grant().subject_id().map(|subject| subject.as_str());
            json(StatusCode::OK, serde_json::json!({ "sub": subject }).to_string())
        }
        Ok(_) => challenge(r#"Bearer error="invalid_token""#, r#"{"error":"invalid_token"}"#),
        // A token that cannot be checked is not good.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The token of the one `Authorization: Bearer` header; none where there is no such header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (scheme, token) = values.next()?.to_str().ok()?.split_once(' ')?;
    let once = values.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    once.then(|| token.trim_matches(' '))
}

fn challenge(challenge: &'static str, body: &'static str) -> Response {
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    (headers, json(StatusCode::UNAUTHORIZED, body.to_owned())).into_response()
}

fn json(status: StatusCode, body: String) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

/// Whether the store answers, and soon: asked for a token that nobody has.
async fn healthz(State(store): State<Arc<dyn ServerStore>>) -> StatusCode {
    // Whoever asks has a time-out as well, and wants to hear before that.
    let asked = store.find(PresentedToken::new("healthz"), None);
    match tokio::time::timeout(HEALTHY_WITHIN, asked).await {
        Ok(Ok(_)) => StatusCode::OK,
        Ok(Err(_)) | Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
