//! RFC 7662 token introspection: for resource servers that ask over HTTP.

use serde::Serialize;

use crate::authority::Authority;
use crate::client::{AuthenticatedClient, ClientKind};
use crate::event::Endpoint;
use crate::token::{PresentedToken, TokenKind, TokenRecord, TokenTypeHint, Verdict};
use crate::wire::basic::Scratch;
use crate::wire::error::{EndpointError, Flaw};
use crate::wire::form::Parameter;
use crate::wire::request::Request;
use crate::wire::response::Response;

/// What an active token stands for (RFC 7662 section 2.2).
#[derive(Serialize)]
struct Active<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
    /// `access_token` or `refresh_token`: a resource server must not take the one for the other.
    token_use: &'static str,
}

const INACTIVE: &[u8] = br#"{"active":false}"#;

const ENDPOINT: Endpoint = Endpoint::Introspection;

/// Answers one request to the introspection endpoint (RFC 7662).
///
/// The caller authenticates as a confidential client. One that
/// [may introspect](crate::client::Client::may_introspect) sees every client's tokens, another sees its own.
/// Every other token, dead, unknown or not for this caller, is `{"active":false}` and nothing else.
///
/// ```
/// # async fn demo(authority: annul::Authority) {
/// use annul::Request;
///
/// let request = Request::post(b"token=at-1")
///     .header("content-type", b"application/x-www-form-urlencoded")
///     .header("authorization", b"Basic d2ViOndlYi1zZWNyZXQ=");
/// let response = annul::handle_introspect(&authority, &request).await;
/// println!("{}", String::from_utf8_lossy(response.body()));
/// # }
/// ```
pub async fn handle_introspect(authority: &Authority, request: &Request<'_>) -> Response {
    let outcome = match authority.preflight(request) {
        Some(preflight) => Ok(preflight),
        None => introspect(authority, request).await,
    };
    authority.answer(ENDPOINT, request, outcome)
}

async fn introspect(
    authority: &Authority,
    request: &Request<'_>,
) -> Result<Response, EndpointError> {
    let form = authority.read(request)?;
    // s2.1: "To prevent token scanning attacks, the endpoint MUST also require some form of authorization"
    let mut scratch = Scratch::default();
    let credentials = authority.credentials(ENDPOINT, request, &form, &mut scratch)?;
    let attempt = authority.attempt(ENDPOINT, request, &credentials);
    let authenticated = authority.clients().authenticate(credentials).await;
    let client = attempt.admit(authenticated)?;
    if client.kind() == ClientKind::Public {
        return Err(EndpointError::InvalidClient { header: request.has_authorization() });
    }
    let token = form.get(Parameter::Token).ok_or(Flaw::MissingToken)?;
    let hint = form.get(Parameter::TokenTypeHint).map(TokenTypeHint::new);
    let found = match authority.store_for(token) {
        Some(store) => store.find(PresentedToken::new(token), hint).await?,
        None => None,
    };
    match &found {
        Some(record) if !may_see(&client, record) => {
            authority.foreign_token(ENDPOINT, record, &client);
        }
        Some(_) => {}
        None => authority.unknown_token(ENDPOINT, request, &client),
    }
    let visible = found.filter(|record| may_see(&client, record));
    // s2.2: an inactive token's answer says nothing else about it, "including why".
    let body = match visible.map(|record| record.verdict(authority.now())) {
        Some(Verdict::Active(record)) => describe(&record).into(),
        Some(Verdict::Consumed | Verdict::Expired | Verdict::Revoked { .. } | Verdict::Unknown)
        | None => std::borrow::Cow::Borrowed(INACTIVE),
    };
    Ok(Response::empty(200, authority.current_policy().headers).with_json(body))
}

fn may_see(client: &AuthenticatedClient, record: &TokenRecord) -> bool {
    client.may_introspect() || client.owns(record.grant())
}

fn describe(record: &TokenRecord) -> Vec<u8> {
    let grant = record.grant();
    let expiry = record.expires_at();
    let active = Active {
        active: true,
        scope: grant.scopes(),
        client_id: grant.client_id().as_str(),
        sub: grant.subject_id().map(|subject| subject.as_str()),
        exp: (expiry != crate::clock::Timestamp::MAX).then(|| expiry.as_unix_seconds()),
        iat: record.issued_at().map(|issued| issued.as_unix_seconds()),
        token_use: match record.kind() {
            TokenKind::AccessToken => "access_token",
            TokenKind::RefreshToken => "refresh_token",
        },
    };
    // Room for two UUIDs and a scope, so that the body seldom grows.
    let mut body = Vec::with_capacity(256);
    // Strings and numbers cannot fail to serialize; if they ever did, the token would count as dead.
    match serde_json::to_writer(&mut body, &active) {
        Ok(()) => body,
        Err(_) => INACTIVE.to_vec(),
    }
}
