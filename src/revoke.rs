//! RFC 7009 token revocation, in the order of its paragraphs.

use crate::authority::Authority;
use crate::event::{Endpoint, Event};
use crate::ownership::Claim;
use crate::policy::{CheckOrder, Policy, UnknownToken};
use crate::revocation::{Revoked, Target};
use crate::token::{PresentedToken, TokenKind, TokenRecord, TokenState, TokenTypeHint};
use crate::wire::basic::Scratch;
use crate::wire::error::{EndpointError, ErrorBody, Flaw, TokenFlaw};
use crate::wire::form::{Form, Parameter};
use crate::wire::request::Request;
use crate::wire::response::Response;

const ENDPOINT: Endpoint = Endpoint::Revocation;

/// Answers one request to the revocation endpoint (RFC 7009).
///
/// Never fails, and always answers: 200 when the token is dead or was never alive, an OAuth error otherwise,
/// 503 when the store did not answer and the token may still live.
///
/// ```
/// # async fn demo(authority: annul::Authority) {
/// use annul::Request;
///
/// let request = Request::post(b"token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token")
///     .header("content-type", b"application/x-www-form-urlencoded")
///     .header("authorization", b"Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW");
/// let response = annul::handle_revoke(&authority, &request).await;
/// println!("{} {:?}", response.status(), response.body());
/// # }
/// ```
pub async fn handle_revoke(authority: &Authority, request: &Request<'_>) -> Response {
    let outcome = match authority.preflight(request) {
        Some(preflight) => Ok(preflight),
        None => revoke(authority, request).await,
    };
    authority.answer(ENDPOINT, request, outcome)
}

async fn revoke(authority: &Authority, request: &Request<'_>) -> Result<Response, EndpointError> {
    let policy = authority.current_policy();
    // s2.1: "using the "application/x-www-form-urlencoded" format in the HTTP request entity-body"
    let form = authority.read(request)?;
    if policy.order == CheckOrder::TokenFirst {
        presented(&form)?;
    }
    // s2.1: "The authorization server first validates the client credentials"
    let mut scratch = Scratch::default();
    let credentials = authority.credentials(ENDPOINT, request, &form, &mut scratch)?;
    let attempt = authority.attempt(ENDPOINT, request, &credentials);
    let authenticated = authority.clients().authenticate(credentials).await;
    let client = attempt.admit(authenticated)?;
    let token = presented(&form)?;
    // s2.1: "If the server is unable to locate the token using the given hint, it MUST extend its search"
    let hint = form.get(Parameter::TokenTypeHint).map(TokenTypeHint::new);
    let found = match authority.store_for(token) {
        Some(store) => store.find(PresentedToken::new(token), hint).await?,
        None => None,
    };
    // s2.2: "invalid tokens do not cause an error response"
    let Some(record) = found else {
        authority.unknown_token(ENDPOINT, request, &client);
        return Ok(unknown(policy));
    };
    // s2.2.1: "the authorization server does not support the revocation of the presented token type"
    if !record.is_revocable() {
        authority.emit(&Event::UnsupportedToken { client: client.id() });
        return Err(EndpointError::UnsupportedTokenType);
    }
    // s2.1: "verifies whether the token was issued to the client making the revocation request"
    let owned = match authority.claim(ENDPOINT, record, &client) {
        Claim::Owned(owned) => owned,
        Claim::ForeignIgnored => return Ok(unknown(policy)),
        Claim::ForeignRefused => {
            return Err(EndpointError::InvalidGrant(TokenFlaw::ForeignToken));
        }
    };
    // s2.1: "the authorization server invalidates the token. The invalidation takes place immediately"
    let named = policy.revoked_token_headers.then(|| Box::new(owned.record().clone()));
    let cascade = client.cascade().unwrap_or(policy.cascade);
    let revocation = owned.revocation(cascade, authority.now());
    let outcome = authority.store().revoke(&revocation).await?;
    authority.revoked(&revocation, outcome);
    // s2.2: "The authorization server responds with HTTP status code 200"
    let response = success(policy);
    Ok(match named {
        Some(record) if outcome == Revoked::Newly => {
            name_revoked(response, &record, token, revocation.target())
        }
        Some(_) | None => response,
    })
}

fn presented<'f>(form: &'f Form<'_>) -> Result<&'f str, EndpointError> {
    form.get(Parameter::Token).ok_or_else(|| Flaw::MissingToken.into())
}

fn success(policy: &Policy) -> Response {
    Response::empty(200, policy.headers).with_fixed(policy.success_headers)
}

fn unknown(policy: &Policy) -> Response {
    match policy.unknown_token {
        UnknownToken::Empty => success(policy),
        UnknownToken::InvalidTokenBody => {
            let body = ErrorBody { error: "invalid_token", error_description: "Invalid token" };
            Response::empty(200, policy.headers).with_json(body.to_json())
        }
    }
}

/// WSO2's response headers: the presented token, its counterpart if the issuer kept it and it died too, and
/// the user. A token that was dead already is not named.
fn name_revoked(
    response: Response,
    record: &TokenRecord,
    token: &str,
    target: &Target,
) -> Response {
    if matches!(record.state(), TokenState::Revoked { .. }) {
        return response;
    }
    let (presented, counterpart) = match record.kind() {
        TokenKind::AccessToken => ("revokedaccesstoken", "revokedrefreshtoken"),
        TokenKind::RefreshToken => ("revokedrefreshtoken", "revokedaccesstoken"),
    };
    let other = record.counterpart().filter(|_| matches!(target, Target::Grant(_)));
    let values = [
        (presented, Some(token)),
        (counterpart, other.map(|other| other.expose_secret())),
        ("authorizeduser", record.grant().subject_id().map(|subject| subject.as_str())),
    ];
    values.into_iter().fold(response, |response, (name, value)| match value {
        // What cannot stand in a header is left out; it must never start a new one.
        Some(value) if value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) => {
            response.with_header(name, value.to_owned())
        }
        Some(_) | None => response,
    })
}
