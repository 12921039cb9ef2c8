//! A second ledger, as a host would write it over a database: tables, statements, transactions, and an await around each
//! of them. It keeps the contract, unless it is given one of the [`Bug`]s that such stores have.

mod cover;
mod find;
mod issue;
mod revoke;
mod rotate;
mod session;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use annul::store::{Issued, Rotated, Rotation, Session, StoreError, TokenLedger, TokenStore};
use annul::testkit::{Fixture, Put, PutToken};
use annul::{
    FakeClock, Grant, GrantId, NewToken, PresentedToken, Revocation, Revoked, SessionId,
    TargetKind, Timestamp, TokenKind, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

use crate::bugs::Bug;

const HOUR: Duration = Duration::from_secs(3_600);
const IN_FLIGHT: Duration = Duration::from_secs(600);

/// The database: it outlives its handles.
#[derive(Default)]
pub(crate) struct Engine {
    tables: Mutex<BTreeMap<String, Tables>>,
    statements: AtomicU64,
    reads: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    tokens: BTreeMap<String, Row>,
    entries: BTreeMap<String, Entry>,
    families: BTreeMap<GrantId, Family>,
    sessions: BTreeMap<SessionId, Session>,
    /// The latest expiry or instant that it has heard of.
    horizon: Timestamp,
}

#[derive(Clone, Debug)]
struct Row {
    kind: TokenKind,
    grant: Grant,
    issued_at: Timestamp,
    expires_at: Timestamp,
    generation: u32,
    consumed: bool,
    /// Only where a bug keeps revocation with the token.
    marked: Option<TargetKind>,
}

#[derive(Clone, Debug)]
struct Entry {
    at: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Debug)]
struct Family {
    generation: u32,
    rotated_at: Timestamp,
    latest_expiry: Timestamp,
}

/// One connection.
pub(crate) struct Rows {
    engine: Arc<Engine>,
    tenant: &'static str,
    bug: Option<Bug>,
    clock: Arc<FakeClock>,
    /// What only this process knows, where a bug keeps something there.
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    cached: BTreeMap<String, TokenRecord>,
    unwritten: Vec<Revocation>,
    consumed: BTreeSet<String>,
}

async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Rows {
    /// An empty database with this bug, and all that can be shown of it.
    pub(crate) fn fixture(bug: Option<Bug>) -> Fixture {
        let engine = Arc::new(Engine::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let open = {
            let (engine, clock) = (Arc::clone(&engine), Arc::clone(&clock));
            move |tenant| {
                let (engine, clock) = (Arc::clone(&engine), Arc::clone(&clock));
                Arc::new(Self { engine, tenant, bug, clock, own: Mutex::default() })
            }
        };
        let again = {
            let open = open.clone();
            move || {
                let rows = open("a");
                std::future::ready(Ok(Fixture::ledger(Arc::clone(&rows)).sweep(rows)))
            }
        };
        let (counted, shown) = (Arc::clone(&engine), engine);
        let rows = open("a");
        Fixture::ledger(Arc::clone(&rows))
            .sweep(rows)
            .neighbour(Fixture::ledger(open("b")))
            .second_handle(again.clone())
            .restarting(again)
            .operations(move || std::future::ready(Ok(counted.statements.load(Ordering::SeqCst))))
            .contents(move || std::future::ready(Ok(shown.dump())))
            .clock(clock)
    }

    /// A host that only finds and revokes, and whose tables have every token a user.
    pub(crate) fn host() -> Fixture {
        let engine = Arc::new(Engine::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let rows = Arc::new(Self { engine, tenant: "a", bug: None, clock, own: Mutex::default() });
        Fixture::store(Arc::clone(&rows), rows)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn begin(&self) -> MutexGuard<'_, BTreeMap<String, Tables>> {
        self.engine.statements.fetch_add(1, Ordering::SeqCst);
        self.engine.tables.lock().unwrap()
    }

    /// One transaction over this tenant's tables.
    fn transaction<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        let tenant = if self.has(Bug::ForgetsTheTenant) { "all" } else { self.tenant };
        work(self.begin().entry(tenant.to_owned()).or_default())
    }
}

impl Engine {
    fn dump(&self) -> String {
        let reads = self.reads.load(Ordering::SeqCst);
        format!("{reads} {:?}", self.tables.lock().unwrap())
    }
}

#[async_trait]
impl TokenStore for Rows {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.find_token(token, hint).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.write_revocation(revocation).await
    }
}

#[async_trait]
impl TokenLedger for Rows {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.issue_tokens(grant, tokens, now).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.rotate_token(rotation).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.join_session(session).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        pause().await;
        Ok(self.transaction(|tables| tables.sessions.get(id).cloned()))
    }
}

#[async_trait]
impl PutToken for Rows {
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        if grant.subject_id().is_none() || grant.is_offline() || token.is_consumed() {
            return Ok(Put::NoPlace);
        }
        self.issue(grant.clone(), std::slice::from_ref(token), now).await?;
        Ok(Put::Done)
    }
}
