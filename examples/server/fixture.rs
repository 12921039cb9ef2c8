//! What the server starts with, read from JSON and put into a store.
//!
//! Every member but `clients` is optional and unknown members are ignored, those of features that are not
//! built in among them. Loading the same file again changes nothing and revives nothing.

use std::collections::HashSet;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use annul::profile::Profile;
use annul::store::{Session, StoreErrorKind};
use annul::wire::cors::Origins;
use annul::{
    DigestKey, Grant, NewToken, PresentedToken, Reason, Revocation, Target, Timestamp, TokenKind,
    profile,
};
use serde::Deserialize;

use crate::Failure;
use crate::store::ServerStore;

const STANDARD: &str = include_str!("fixtures/standard.json");

const PROFILES: &str = "standard, asgardeo, django_oauth_toolkit, fapi2, hyperid, keycloak, wso2";

/// How long what does not say otherwise lives, in seconds.
const ACCESS_TOKEN_LIFETIME: i64 = 3_600;
const REFRESH_TOKEN_LIFETIME: i64 = 86_400;
const SESSION_LIFETIME: i64 = 86_400;

/// One fixture file.
#[derive(Debug, Deserialize)]
pub(crate) struct Fixture {
    issuer: Option<String>,
    profile: Option<String>,
    #[serde(default)]
    paths: RenamedPaths,
    /// How far clients' clocks may be from ours, in seconds.
    clock_skew: Option<u64>,
    /// Kept as they stand: one broken client must not hinder the others. See [`crate::clients`].
    pub(crate) clients: Vec<serde_json::Value>,
    /// Whether callers that misbehave are slowed down.
    #[serde(default = "on")]
    pub(crate) throttle: bool,
    #[serde(default)]
    sessions: Vec<SessionEntry>,
    #[serde(default)]
    tokens: Vec<TokenEntry>,
}

#[derive(Debug, Default, Deserialize)]
struct RenamedPaths {
    revoke: Option<String>,
    logout: Option<String>,
    introspect: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SessionEntry {
    sid: String,
    sub: String,
    #[serde(default)]
    clients: Vec<String>,
    expires_in: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct TokenEntry {
    token: String,
    #[serde(default)]
    token_type: TokenType,
    /// The first client, where it does not say.
    client_id: Option<String>,
    sub: Option<String>,
    /// A grant of its own, where it does not say.
    grant_id: Option<String>,
    sid: Option<String>,
    scope: Option<String>,
    /// Negative for a token that has expired before it is loaded.
    expires_in: Option<i64>,
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    consumed: bool,
    #[serde(default)]
    revoked: bool,
    /// The token issued beside this one, for the response headers of the profile `wso2`.
    counterpart: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenType {
    #[default]
    AccessToken,
    RefreshToken,
}

const fn on() -> bool {
    true
}

impl Fixture {
    /// The one that is built in.
    pub(crate) fn standard() -> Result<Self, Failure> {
        Ok(serde_json::from_str(STANDARD)?)
    }

    /// The one in this file.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let shown = file.display();
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {shown}: {error}"))?;
        serde_json::from_str(&text)
            .map_err(|error| format!("{shown} is not a fixture: {error}").into())
    }

    /// The profile it names, with its own paths put in.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        let name = self.profile.as_deref().unwrap_or("standard");
        let mut profile = profile::by_name(name)
            .ok_or_else(|| format!("there is no profile {name}; this build has: {PROFILES}"))?;
        if let Some(seconds) = self.clock_skew {
            profile.policy.assertions.clock_skew = Duration::from_secs(seconds);
        }
        let renamed = [
            (&mut profile.paths.revoke, &self.paths.revoke),
            (&mut profile.paths.logout, &self.paths.logout),
            (&mut profile.paths.introspect, &self.paths.introspect),
        ];
        for (path, renamed) in renamed {
            if let Some(renamed) = renamed {
                *path = renamed.clone().into();
            }
        }
        Ok(profile)
    }

    /// What it calls itself, or the address it listens on.
    pub(crate) fn issuer(&self, address: SocketAddr) -> String {
        match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => format!("http://{}", reachable(address)),
        }
    }

    /// The origins of every client's pages; none where no client has any, and then no preflight is answered.
    pub(crate) fn origins(&self) -> Option<Origins> {
        let lists = self.clients.iter().filter_map(|client| client.get("origins")?.as_array());
        let origins: Vec<&str> = lists.flatten().filter_map(|origin| origin.as_str()).collect();
        (!origins.is_empty()).then(|| Origins::from_iter(origins))
    }

    /// The identifier of the client that comes first.
    pub(crate) fn first_client(&self) -> Result<&str, Failure> {
        let first = self.clients.first().and_then(|client| client.get("client_id"));
        first.and_then(|id| id.as_str()).ok_or_else(|| "the first client has no client_id".into())
    }
}

/// An address to put into a URL: nobody can connect to "any address".
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}

/// Puts sessions and tokens into a store, and says how many tokens are dead that the fixture does not call dead: a store
/// that lasts has seen them before.
pub(crate) async fn load(
    fixture: &Fixture,
    store: &dyn ServerStore,
    now: Timestamp,
) -> Result<usize, Failure> {
    for entry in &fixture.sessions {
        let expiry = after(now, entry.expires_in.unwrap_or(SESSION_LIFETIME));
        let session = Session::new(&*entry.sid, &*entry.sub, now, expiry);
        let session =
            entry.clients.iter().fold(session, |session, client| session.client(&**client));
        match store.open_session(session).await {
            Ok(()) => {}
            // A durable store remembers that it was logged out, and so it stays.
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                eprintln!("warning: session {}: {error}, left as it is", entry.sid);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut known = HashSet::new();
    let mut dead = 0;
    for (index, entry) in fixture.tokens.iter().enumerate() {
        if !known.insert(entry.token.as_str()) {
            return Err(format!("tokens[{index}] repeats an earlier token").into());
        }
        dead += issue(fixture, entry, store, now)
            .await
            .map(usize::from)
            // The token is a secret, in a fixture too: its place in the file is enough.
            .map_err(|failure| format!("tokens[{index}]: {failure}"))?;
    }
    Ok(dead)
}

/// Whether it is dead, though the fixture does not say so.
async fn issue(
    fixture: &Fixture,
    entry: &TokenEntry,
    store: &dyn ServerStore,
    now: Timestamp,
) -> Result<bool, Failure> {
    let client = match &entry.client_id {
        Some(client) => client,
        None => fixture.first_client()?,
    };
    let presented = PresentedToken::new(&entry.token);
    let mut grant = Grant::new(grant_id(entry), client, now);
    if let Some(subject) = &entry.sub {
        grant = grant.subject(&**subject);
    }
    if let Some(session) = &entry.sid {
        grant = grant.session(&**session);
    }
    if let Some(scope) = &entry.scope {
        grant = grant.scope(&**scope);
    }
    if entry.offline {
        grant = grant.offline();
    }
    let (kind, lifetime) = match entry.token_type {
        TokenType::AccessToken => (TokenKind::AccessToken, ACCESS_TOKEN_LIFETIME),
        TokenType::RefreshToken => (TokenKind::RefreshToken, REFRESH_TOKEN_LIFETIME),
    };
    let expiry = after(now, entry.expires_in.unwrap_or(lifetime));
    let mut token = if kind == TokenKind::AccessToken {
        NewToken::access(presented, expiry)
    } else {
        NewToken::refresh(presented, expiry)
    };
    if entry.consumed {
        token = token.already_consumed();
    }
    if let Some(counterpart) = &entry.counterpart {
        token = token.keep_counterpart(&**counterpart);
    }
    store.issue(grant, &[token], now).await?;
    let record = store.find(presented, None).await?;
    let record = record.ok_or("the store lost it at once")?;
    if entry.revoked {
        let target = Target::Token(record.id().clone());
        let revocation = Revocation::by_operator(target, Reason::Administrative, now);
        store.revoke(&revocation).await?;
        return Ok(false);
    }
    Ok(!entry.consumed && now < expiry && !record.verdict(now).is_active())
}

/// A token without a grant is a grant's only token. Its name is made from the token, so that it is the same the
/// next time the file is loaded, and by a digest, so that it does not give the token away.
fn grant_id(entry: &TokenEntry) -> String {
    if let Some(named) = &entry.grant_id {
        return named.clone();
    }
    let digest = DigestKey::new(&[0; 32]).digest(PresentedToken::new(&entry.token));
    let mut name = "only-".to_owned();
    for byte in digest.as_bytes().iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// `seconds` from now, before or after.
fn after(now: Timestamp, seconds: i64) -> Timestamp {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { now - distance } else { now + distance }
}
