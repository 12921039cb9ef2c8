//! Doubles: a store, an authenticator and a throttle that write down what they are asked, and that fail on
//! demand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annul::client::{
    AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientTable, Credentials,
    RegisteredClients,
};
use annul::store::{StoreError, TokenStore};
use annul::throttle::{Caller, Misuse, SlowDown, Throttle};
use annul::{
    Authority, Event, EventSink, FakeClock, MemoryStore, Policy, PresentedToken, Revocation,
    Revoked, Timestamp, TokenKind, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

use crate::support::{START, Server, clients};

/// What happened, in order: one line for each call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl EventSink for Journal {
    fn emit(&self, event: &Event<'_>) {
        self.note(format!("{event:?}"));
    }
}

/// How to fail: an error cannot be cloned, so it is made anew each time.
pub(crate) type Failure = fn() -> StoreError;

/// Every kind of failure, and the status it is answered with.
pub(crate) const FAILURES: [(Failure, u16); 3] = [
    (|| StoreError::conflict("another writer"), 503),
    (|| StoreError::corrupt("nonsense"), 500),
    (|| StoreError::unavailable("connection refused"), 503),
];

/// Where to fail.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// When the client is looked up.
    Authenticate(Failure),
    /// When the token is looked up.
    Find(Failure),
    /// When the entry is to be written: nothing is written.
    Revoke(Failure),
    /// After the entry was written: the answer is lost.
    RevokeAnswer(Failure),
}

/// The memory store, watched.
pub(crate) struct WatchedStore {
    inner: Arc<MemoryStore>,
    journal: Journal,
    fault: SharedFault,
    kinds: Kinds,
}

type SharedFault = Arc<Mutex<Option<Fault>>>;

/// Which tokens a store can revoke.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Kinds {
    AccessTokens,
    /// Both kinds.
    Both,
    /// Refresh tokens alone: access tokens are accepted by resource servers that do not ask.
    RefreshTokens,
}

#[async_trait]
impl TokenStore for WatchedStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.journal.note(format!("find {hint:?}"));
        if let Some(Fault::Find(failure)) = *self.fault.lock().unwrap() {
            return Err(failure());
        }
        let found = self.inner.find(token, hint).await?;
        Ok(found.map(|record| match (self.kinds, record.kind()) {
            (Kinds::RefreshTokens, TokenKind::AccessToken) => record.not_revocable(),
            (Kinds::AccessTokens, TokenKind::RefreshToken) => record.not_revocable(),
            _ => record,
        }))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.journal.note(format!("revoke {}", revocation.target().kind()));
        let fault = *self.fault.lock().unwrap();
        if let Some(Fault::Revoke(failure)) = fault {
            return Err(failure());
        }
        let revoked = self.inner.revoke(revocation).await?;
        match fault {
            Some(Fault::RevokeAnswer(failure)) => Err(failure()),
            _ => Ok(revoked),
        }
    }
}

/// The shipped authenticator, watched.
struct WatchedClients {
    inner: RegisteredClients,
    journal: Journal,
    fault: SharedFault,
}

#[async_trait]
impl ClientAuthenticator for WatchedClients {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        self.journal.note("authenticate");
        if let Some(Fault::Authenticate(failure)) = *self.fault.lock().unwrap() {
            return Err(failure().into());
        }
        self.inner.authenticate(credentials).await
    }
}

/// Hears a caller until it has misbehaved so often.
struct WatchedThrottle {
    journal: Journal,
    limit: usize,
    misuses: Mutex<HashMap<Name, usize>>,
}

/// A caller, by address and claimed client.
type Name = (Option<IpAddr>, Option<String>);

/// What a caller that is not heard is told.
pub(crate) const SLOW_DOWN: Duration = Duration::from_secs(30);

impl WatchedThrottle {
    fn name(caller: Caller<'_>) -> Name {
        (caller.peer, caller.client.map(str::to_owned))
    }
}

impl Throttle for WatchedThrottle {
    fn admit(&self, caller: Caller<'_>, _: Timestamp) -> Result<(), SlowDown> {
        self.journal.note("admit");
        let misuses = self.misuses.lock().unwrap();
        match misuses.get(&Self::name(caller)).copied().unwrap_or_default() < self.limit {
            true => Ok(()),
            false => Err(SlowDown { retry_after: SLOW_DOWN }),
        }
    }

    fn report(&self, caller: Caller<'_>, misuse: Misuse, _: Timestamp) {
        self.journal.note(format!("report {misuse:?}"));
        let mut misuses = self.misuses.lock().unwrap();
        *misuses.entry(Self::name(caller)).or_default() += 1;
    }
}

/// A server whose every part is watched.
pub(crate) struct Watched {
    pub(crate) server: Server,
    /// Calls to throttle, authenticator and store.
    pub(crate) journal: Journal,
    /// What the audit log was told.
    pub(crate) events: Journal,
    fault: SharedFault,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default(), Kinds::Both, usize::MAX)
    }

    pub(crate) fn with_policy(policy: impl Into<Policy>) -> Self {
        Self::with(policy, Kinds::Both, usize::MAX)
    }

    /// A server that cannot revoke access tokens.
    pub(crate) fn with_self_contained_access_tokens(policy: impl Into<Policy>) -> Self {
        Self::with(policy, Kinds::RefreshTokens, usize::MAX)
    }

    /// A server that cannot revoke refresh tokens.
    pub(crate) fn with_self_contained_refresh_tokens() -> Self {
        Self::with(Policy::default(), Kinds::AccessTokens, usize::MAX)
    }

    /// A server that hears nobody who misbehaved so often.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self::with(Policy::default(), Kinds::Both, limit)
    }

    fn with(policy: impl Into<Policy>, kinds: Kinds, limit: usize) -> Self {
        let journal = Journal::default();
        let events = Journal::default();
        let fault = SharedFault::default();
        let store = Arc::new(MemoryStore::new());
        let clock = Arc::new(FakeClock::at(START));
        let watched_store = WatchedStore {
            inner: Arc::clone(&store),
            journal: journal.clone(),
            fault: Arc::clone(&fault),
            kinds,
        };
        let watched_clients = WatchedClients {
            inner: RegisteredClients::new(clients()).clock(Arc::clone(&clock)),
            journal: journal.clone(),
            fault: Arc::clone(&fault),
        };
        let throttle =
            WatchedThrottle { journal: journal.clone(), limit, misuses: Mutex::default() };
        let authority = Authority::new(watched_store, watched_clients)
            .policy(policy)
            .events(events.clone())
            .throttle(throttle)
            .clock(Arc::clone(&clock));
        Self { server: Server { authority, store, clock }, journal, events, fault }
    }

    /// Neither the authenticator nor the store was asked anything.
    pub(crate) fn assert_only_throttled(&self, case: &str) {
        let asked = self.journal.take();
        let throttled = |line: &String| line == "admit" || line.starts_with("report ");
        assert!(!asked.is_empty() && asked.iter().all(throttled), "{case}: {asked:?}");
    }

    /// From now on, fails there.
    pub(crate) fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// Fails no more.
    pub(crate) fn heal(&self) {
        *self.fault.lock().unwrap() = None;
    }
}

/// A server with other clients.
pub(crate) fn server_with(clients: ClientTable, policy: impl Into<Policy>) -> Server {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let clients = RegisteredClients::new(clients).clock(Arc::clone(&clock));
    let authority =
        Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
    Server { authority, store, clock }
}

/// The names of all profiles under which clients may have secrets.
pub(crate) const PROFILES: [&str; 6] =
    ["standard", "asgardeo", "django_oauth_toolkit", "hyperid", "keycloak", "wso2"];

/// The default policy, but for this.
pub(crate) fn policy(change: impl FnOnce(&mut Policy)) -> Policy {
    let mut policy = Policy::default();
    change(&mut policy);
    policy
}
