//! Logout with a refresh token: the session ends for all of its clients.

use crate::authority::Authority;
use crate::event::{Endpoint, Event};
use crate::ownership::Claim;
use crate::policy::{LogoutSuccess, LogoutUnknown, Policy};
use crate::token::{PresentedToken, TokenKind, TokenTypeHint};
use crate::wire::basic::Scratch;
use crate::wire::error::{EndpointError, Flaw, TokenFlaw};
use crate::wire::form::Parameter;
use crate::wire::request::Request;
use crate::wire::response::Response;

const ENDPOINT: Endpoint = Endpoint::Logout;

/// Answers one request to the logout endpoint: a form with `refresh_token` and the client's credentials.
///
/// Ends the session that the token belongs to, for every client in it, in one write; or the grant alone, for an
/// offline token. An expired or already consumed token still logs its session out, and repeating a logout is
/// no error.
///
/// ```
/// # async fn demo(authority: annul::Authority) {
/// use annul::Request;
///
/// let request = Request::post(b"refresh_token=rt-1&client_id=web&client_secret=web-secret")
///     .header("content-type", b"application/x-www-form-urlencoded");
/// let response = annul::handle_logout(&authority, &request).await;
/// println!("{}", response.status());
/// # }
/// ```
pub async fn handle_logout(authority: &Authority, request: &Request<'_>) -> Response {
    let outcome = match authority.preflight(request) {
        Some(preflight) => Ok(preflight),
        None => logout(authority, request).await,
    };
    authority.answer(ENDPOINT, request, outcome)
}

async fn logout(authority: &Authority, request: &Request<'_>) -> Result<Response, EndpointError> {
    let policy = authority.current_policy();
    let form = authority.read(request)?;
    let mut scratch = Scratch::default();
    let credentials = authority.credentials(ENDPOINT, request, &form, &mut scratch)?;
    let attempt = authority.attempt(ENDPOINT, request, &credentials);
    let authenticated = authority.clients().authenticate(credentials).await;
    let client = attempt.admit(authenticated)?;
    let token = form.get(Parameter::RefreshToken).ok_or(Flaw::MissingRefreshToken)?;
    let hint = Some(TokenTypeHint::RefreshToken);
    let found = match authority.store_for(token) {
        Some(store) => store.find(PresentedToken::new(token), hint).await?,
        None => None,
    };
    let Some(record) = found else {
        authority.unknown_token(ENDPOINT, request, &client);
        return unknown(policy);
    };
    // An access token in its place is a mistake of the client's; a 200 would leave the user logged in. Whose it is
    // comes first: what is ignored must not be told from what is unknown by its kind either.
    let refreshes = record.kind() == TokenKind::RefreshToken;
    let owned = match authority.claim(ENDPOINT, record, &client) {
        Claim::ForeignIgnored => return unknown(policy),
        Claim::ForeignRefused if refreshes => {
            return Err(EndpointError::InvalidGrant(TokenFlaw::ForeignRefreshToken));
        }
        Claim::Owned(owned) if refreshes => owned,
        Claim::ForeignRefused | Claim::Owned(_) => {
            return Err(EndpointError::InvalidGrant(TokenFlaw::NotOurRefreshToken));
        }
    };
    // As at revocation: a 200 for what cannot be denied would be a lie.
    if !owned.record().is_revocable() {
        authority.emit(&Event::UnsupportedToken { client: client.id() });
        return Err(EndpointError::UnsupportedTokenType);
    }
    let revocation = owned.logout(authority.now());
    let outcome = authority.store().revoke(&revocation).await?;
    authority.revoked(&revocation, outcome);
    Ok(success(policy))
}

/// The answer for an unknown token, and for one that must look unknown.
const fn unknown(policy: &Policy) -> Result<Response, EndpointError> {
    match policy.logout.unknown_token {
        LogoutUnknown::InvalidGrant => {
            Err(EndpointError::InvalidGrant(TokenFlaw::NotOurRefreshToken))
        }
        LogoutUnknown::Succeed => Ok(success(policy)),
    }
}

const fn success(policy: &Policy) -> Response {
    let status = match policy.logout.success {
        LogoutSuccess::NoContent204 => 204,
        LogoutSuccess::Ok200 => 200,
    };
    Response::empty(status, policy.headers)
}
