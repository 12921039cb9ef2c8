//! A second ledger, as a host would write it over a database: tables, statements, transactions, and an await around each
//! of them. It decides by `annul::store::rules`. It keeps the contract, unless it is given one of the [`Bug`]s that such
//! stores have.

mod alone;
mod cover;
mod find;
mod issue;
mod revoke;
mod rotate;
mod session;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use annul::store::rules::rotation::{Family, Generation};
use annul::store::rules::{OpenLogins, SweepClock};
use annul::store::{
    Issued, Lifetimes, Rotated, Rotation, Session, StoreError, TokenLedger, TokenStore,
};
use annul::testkit::{Fixture, Put, PutToken};
use annul::{
    FakeClock, Grant, GrantId, NewToken, PresentedToken, Revocation, Revoked, SessionId,
    TargetKind, Timestamp, TokenKind, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

use crate::bugs::Bug;

const TEN_MINUTES: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The database: it outlives its handles.
#[derive(Default)]
pub(crate) struct Engine {
    tables: Mutex<BTreeMap<String, Tables>>,
    /// The latest time that any of them has seen.
    clock: Mutex<SweepClock>,
    statements: AtomicU64,
    reads: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    tokens: BTreeMap<String, Row>,
    entries: BTreeMap<String, Entry>,
    grants: BTreeMap<GrantId, GrantRow>,
    sessions: BTreeMap<SessionId, Session>,
    /// The latest instant until which any record is kept.
    horizon: Timestamp,
}

#[derive(Clone, Debug)]
struct Row {
    kind: TokenKind,
    grant: Grant,
    issued_at: Timestamp,
    expires_at: Timestamp,
    generation: Generation,
    consumed: bool,
    /// Only where a bug keeps revocation with the token.
    marked: Option<TargetKind>,
}

#[derive(Clone, Debug)]
struct Entry {
    kind: TargetKind,
    /// The cutoff, and what it was at first.
    at: Timestamp,
    first: Timestamp,
    until: Timestamp,
}

/// Whose the grant is, for as long as a token of it is recorded.
#[derive(Clone, Debug)]
struct GrantRow {
    owner: Grant,
    /// Once one of its refresh tokens was rotated.
    family: Option<Family>,
    /// Of the tokens that were rotated, and of their successors.
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
    is_busy: AtomicBool,
}

#[derive(Default)]
struct Own {
    cached: BTreeMap<String, TokenRecord>,
    unwritten: Vec<Revocation>,
    consumed: BTreeSet<String>,
    loaded: Option<Tables>,
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
                let (own, is_busy) = (Mutex::default(), AtomicBool::default());
                Arc::new(Self { engine, tenant, bug, clock, own, is_busy })
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

    /// A ledger that nobody opens a second time.
    pub(crate) fn one_handle(bug: Bug) -> Fixture {
        let (own, is_busy) = (Mutex::default(), AtomicBool::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let (engine, bug) = (Arc::new(Engine::default()), Some(bug));
        Fixture::ledger(Arc::new(Self { engine, tenant: "a", bug, clock, own, is_busy }))
    }

    /// A host that only finds and revokes, and whose tables have every token a user.
    pub(crate) fn host() -> Fixture {
        let engine = Arc::new(Engine::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let (own, is_busy) = (Mutex::default(), AtomicBool::default());
        let rows = Arc::new(Self { engine, tenant: "a", bug: None, clock, own, is_busy });
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
        if let Some(loaded) = &mut self.own.lock().unwrap().loaded {
            return work(loaded);
        }
        self.committed(work)
    }

    /// The same, of which a bug has no copy.
    fn committed<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        let tenant = if self.has(Bug::ForgetsTheTenant) { "all" } else { self.tenant };
        work(self.begin().entry(tenant.to_owned()).or_default())
    }

    /// Notes the time of a write, and says the latest that was seen.
    fn note(&self, now: Timestamp) -> Timestamp {
        let mut clock = self.engine.clock.lock().unwrap();
        clock.note(now, &self.lifetimes());
        clock.latest
    }

    /// The settings. The cases jump in time, so no clock leaps.
    fn lifetimes(&self) -> Lifetimes {
        let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
        match self.bug {
            Some(Bug::NothingIsInFlight) => lifetimes.with_in_flight(Duration::ZERO),
            Some(Bug::TenMinutesInFlight) => lifetimes.with_in_flight(TEN_MINUTES),
            _ => lifetimes,
        }
    }
}

impl Tables {
    /// The sessions, by their logins.
    fn open_logins(&self, lifetimes: &Lifetimes) -> OpenLogins {
        let mut logins = OpenLogins::default();
        for session in self.sessions.values() {
            logins.add(session.started_at(), lifetimes.session_until(session.expires_at()));
        }
        logins
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
        let alone = self.alone().await;
        let outcome = self.write_revocation(revocation).await;
        alone.save().await;
        outcome
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
        let alone = self.alone().await;
        let outcome = self.issue_tokens(grant, tokens, now).await;
        alone.save().await;
        outcome
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let alone = self.alone().await;
        let outcome = self.rotate_token(rotation).await;
        alone.save().await;
        outcome
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        let alone = self.alone().await;
        let outcome = self.join_session(session).await;
        alone.save().await;
        outcome
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        pause().await;
        Ok(self.committed(|tables| tables.sessions.get(id).cloned()))
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
