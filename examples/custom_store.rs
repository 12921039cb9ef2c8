//! A host that has token tables already implements two methods over them, and is done.
//!
//! [`Tables`] stands for a database: rows, two tables, and the queries that a store makes of them, written
//! beside each in SQL. The second table is the whole idea: a revocation is a row that is added, and nothing is
//! searched for and deleted.
//!
//! ```text
//! cargo run --example custom_store
//! ```
//!
//! `tests/testkit/example.rs` proves it with the published suite, as you would prove yours.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{StoreError, TokenStore};
use annul::{
    Authority, Clock, DigestKey, FakeClock, Grant, PresentedToken, Request, Response, Revocation,
    Revoked, Target, Timestamp, TokenDigest, TokenId, TokenKind, TokenRecord, TokenState,
    TokenTypeHint,
};
use async_trait::async_trait;

/// ```sql
/// CREATE TABLE tokens (
///   digest BYTEA PRIMARY KEY,   -- never the token itself
///   id BIGINT UNIQUE NOT NULL, kind TEXT NOT NULL, grant_id TEXT NOT NULL, client_id TEXT NOT NULL,
///   user_id TEXT, session_id TEXT, logged_in_at BIGINT NOT NULL, expires_at BIGINT NOT NULL
/// );
/// ```
pub(crate) struct TokenRow {
    pub(crate) id: u64,
    pub(crate) kind: TokenKind,
    pub(crate) grant_id: &'static str,
    pub(crate) client_id: &'static str,
    pub(crate) user_id: &'static str,
    pub(crate) session_id: &'static str,
    pub(crate) logged_in_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// ```sql
/// CREATE TABLE revocations (target TEXT PRIMARY KEY, revoked_at BIGINT NOT NULL);
/// ```
#[derive(Default)]
pub(crate) struct Tables {
    tokens: BTreeMap<TokenDigest, TokenRow>,
    revocations: BTreeMap<String, Revocation>,
}

pub(crate) struct HostStore {
    /// From wherever the deployment keeps its secrets.
    pub(crate) key: DigestKey,
    pub(crate) tables: Mutex<Tables>,
}

#[async_trait]
impl TokenStore for HostStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        // One table for every kind of token: there is no order to search in.
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let digest = self.key.digest(token);
        let tables = self.tables()?;
        // SELECT * FROM tokens WHERE digest = $1 -- expired rows too: their owner may log out with them
        let Some(row) = tables.tokens.get(&digest) else {
            return Ok(None);
        };
        let grant = Grant::new(row.grant_id, row.client_id, row.logged_in_at)
            .subject(row.user_id)
            .session(row.session_id);
        let id = TokenId::named(row.id.to_string());
        let record = TokenRecord::new(id.clone(), row.kind, grant.clone(), row.expires_at);
        // SELECT * FROM revocations WHERE target IN ($1, $2, $3, $4, $5, $6, $7)
        let subject = row.user_id.into();
        let client = grant.client_id().clone();
        let targets = [
            Target::Token(id),
            Target::Grant(grant.id().clone()),
            Target::Session(row.session_id.into()),
            Target::SubjectAtClient(row.user_id.into(), client.clone()),
            Target::Subject(subject),
            Target::Client(client),
            Target::Everything,
        ];
        let entries = targets.iter().filter_map(|target| tables.revocations.get(&key_of(target)?));
        // For users and clients time decides: whoever logs in after a password change is welcome again.
        let state = match entries.into_iter().find(|entry| entry.covers(&record)) {
            Some(entry) => TokenState::Revoked { by: entry.target().kind() },
            None => TokenState::Active,
        };
        Ok(Some(record.with_state(state)))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        // A target that this code has not heard of must not be answered as done.
        let key = key_of(revocation.target())
            .ok_or_else(|| StoreError::unavailable("a target of a later version"))?;
        // INSERT INTO revocations VALUES ($1, $2) ON CONFLICT (target) DO UPDATE
        //   SET revoked_at = excluded.revoked_at WHERE revocations.revoked_at < excluded.revoked_at
        let mut tables = self.tables()?;
        match tables.revocations.get_mut(&key) {
            Some(entry) if entry.at() >= revocation.at() => Ok(Revoked::Already),
            Some(entry) => {
                *entry = revocation.clone();
                Ok(Revoked::Newly)
            }
            None => {
                tables.revocations.insert(key, revocation.clone());
                Ok(Revoked::Newly)
            }
        }
    }
}

/// The primary key of an entry. The length keeps `("a", "b:c")` and `("a:b", "c")` apart.
fn key_of(target: &Target) -> Option<String> {
    Some(match target {
        Target::Token(id) => format!("token:{}", id.name()?),
        Target::Grant(id) => format!("grant:{id}"),
        Target::Session(id) => format!("session:{id}"),
        Target::SubjectAtClient(user, client) => {
            format!("user at client:{}:{user}:{client}", user.as_str().len())
        }
        Target::Subject(user) => format!("user:{user}"),
        Target::Client(id) => format!("client:{id}"),
        Target::Everything => "everything".to_owned(),
        _ => return None,
    })
}

impl HostStore {
    fn tables(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        // A database that does not answer is `StoreError::unavailable`: callers get 503 and come back.
        self.tables.lock().map_err(|_| StoreError::corrupt("a writer panicked"))
    }

    pub(crate) fn insert(&self, token: &str, row: TokenRow) -> Result<(), StoreError> {
        let digest = self.key.digest(PresentedToken::new(token));
        self.tables()?.tokens.insert(digest, row);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(HostStore { key: DigestKey::new(&[7; 32]), tables: Mutex::default() });
    // Time is a value: a fake clock lets this example, and your tests, move it.
    let clock = Arc::new(FakeClock::at(Timestamp::from_unix_seconds(1_800_000_000)));
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
    let clients = RegisteredClients::new(ClientTable::from_iter([spa]));
    let authority = Authority::new(Arc::clone(&store), clients).clock(Arc::clone(&clock));

    let login = clock.now();
    let row = |id, kind, grant_id, lifetime| TokenRow {
        id,
        kind,
        grant_id,
        client_id: "spa",
        user_id: "alice",
        session_id: "s1",
        logged_in_at: login,
        expires_at: login + Duration::from_secs(lifetime),
    };
    store.insert("at-1", row(1, TokenKind::AccessToken, "g1", 600))?;
    store.insert("rt-1", row(2, TokenKind::RefreshToken, "g1", 86_400))?;
    store.insert("at-2", row(3, TokenKind::AccessToken, "g2", 600))?;

    show(&authority, "after login", &["at-1", "rt-1", "at-2"]).await?;

    let response = revoke(&authority, b"token=at-1&client_id=spa").await;
    println!("\nPOST /revoke token=at-1: {}", response.status());
    show(&authority, "its grant is gone", &["at-1", "rt-1", "at-2"]).await?;

    let response = revoke(&authority, b"token=at-2&client_id=stranger").await;
    println!("\nPOST /revoke by a stranger: {}", response.status());
    show(&authority, "nothing happened", &["at-2"]).await?;

    clock.advance(Duration::from_secs(600));
    println!("\nTen minutes pass.");
    show(&authority, "expired by itself", &["at-2"]).await?;
    Ok(())
}

async fn revoke(authority: &Authority, body: &[u8]) -> Response {
    let request = Request::post(body).header("content-type", b"application/x-www-form-urlencoded");
    annul::handle_revoke(authority, &request).await
}

async fn show(authority: &Authority, when: &str, tokens: &[&str]) -> Result<(), StoreError> {
    println!("{when}:");
    for token in tokens {
        let verdict = authority.check(PresentedToken::new(token)).await?;
        let good = if verdict.is_active() { "good" } else { "no good" };
        println!("  {token} is {good}");
    }
    Ok(())
}
