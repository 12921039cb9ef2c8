//! A round of calls with every outcome, on a store that takes time and can fail; and what an observer is told of it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::store::instrumented::{Instrumented, Observer};
use annul::store::{
    Changes, FeedCursor, Issued, Lifetimes, RevocationFeed, Rotated, Rotation, Session, StoreError,
    Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use annul::testkit::{Ability, Fixture, feed, issuance, store, sweep};
use annul::{
    ClientId, FakeClock, Grant, MemoryStore, Namespace, NewToken, PresentedToken, Reason,
    Revocation, Revoked, SessionId, Target, Timestamp, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

use crate::Notes;

pub(crate) const NOON: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3_600);
const TICK: Duration = Duration::from_millis(3);

/// What must never be told: each token, user, client, grant and session of the round, and why a database failed.
pub(crate) const SECRETS: [&str; 9] = [
    "at-secret",
    "rt-secret",
    "rt-next",
    "rt-third",
    "hunter2",
    "alice",
    "confidential-client",
    "grant-1",
    "session-1",
];

/// Each call takes three milliseconds, and may fail.
#[derive(Clone)]
struct Engine {
    memory: MemoryStore,
    stopwatch: Arc<FakeClock>,
    fails: Arc<AtomicU8>,
}

impl Engine {
    async fn call<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let mut asked = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.stopwatch.advance(TICK);
        // As drivers do: the message quotes the statement.
        let cause =
            "could not run: SELECT * FROM tokens WHERE token = 'at-secret' AS USER 'hunter2'";
        match self.fails.load(SeqCst) {
            1 => Err(StoreError::unavailable(cause)),
            2 => Err(StoreError::conflict(cause)),
            3 => Err(StoreError::corrupt(cause)),
            _ => call.await,
        }
    }
}

#[async_trait]
impl TokenStore for Engine {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.call(self.memory.find(token, hint)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.call(self.memory.revoke(revocation)).await
    }
}

#[async_trait]
impl TokenLedger for Engine {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.call(self.memory.issue(grant, tokens, now)).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.call(self.memory.rotate(rotation)).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.call(self.memory.open_session(session)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.call(self.memory.session(id)).await
    }
}

#[async_trait]
impl Sweep for Engine {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        self.call(self.memory.sweep(now, budget)).await
    }
}

#[async_trait]
impl RevocationFeed for Engine {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.call(self.memory.changes(after, limit)).await
    }

    async fn changed(&self, _after: &FeedCursor) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs a call to its end, with a waker that does nothing: the engine is ready when it is polled again.
fn run<T>(call: impl Future<Output = T>) -> T {
    let mut call = Box::pin(call);
    loop {
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return value;
        }
    }
}

/// Makes a call, and gives it up half way.
fn give_up<T>(call: impl Future<Output = T>) {
    let mut call = Box::pin(call);
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// Sweeps here jump in time.
fn memory() -> MemoryStore {
    MemoryStore::new().with_lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX))
}

/// One call of each operation with each of its outcomes; what they are, in order.
pub(crate) fn a_round(observer: impl Observer + 'static) -> Vec<(&'static str, &'static str)> {
    let stopwatch = Arc::new(FakeClock::at(NOON));
    let fails = Arc::new(AtomicU8::new(0));
    let engine =
        Engine { memory: memory(), stopwatch: Arc::clone(&stopwatch), fails: Arc::clone(&fails) };
    let store = Instrumented::new(engine, observer).stopwatch(stopwatch);
    let (at, rt) = (PresentedToken::new("at-secret"), PresentedToken::new("rt-secret"));
    let client = ClientId::new("confidential-client");
    let grant =
        || Grant::new("grant-1", "confidential-client", NOON).subject("alice").session("session-1");
    let session = || Session::new("session-1", "alice", NOON, NOON + HOUR);
    let refresh = |token| [NewToken::refresh(PresentedToken::new(token), NOON + HOUR)];
    let tokens = [NewToken::access(at, NOON + HOUR), NewToken::refresh(rt, NOON + HOUR)];
    let mut expected = Vec::new();
    let mut told = |operation, outcome| expected.push((operation, outcome));

    run(store.open_session(session())).unwrap();
    told("open_session", "done");
    run(store.session(&SessionId::new("session-1"))).unwrap().unwrap();
    told("session", "found");
    assert!(run(store.session(&SessionId::new("session-2"))).unwrap().is_none());
    told("session", "not_found");
    assert!(run(store.find(at, None)).unwrap().is_none());
    told("find", "not_found");
    run(store.issue(grant(), &tokens, NOON)).unwrap();
    told("issue", "live");
    run(store.find(at, None)).unwrap().unwrap();
    told("find", "found");
    let (next, third) = (refresh("rt-next"), refresh("rt-third"));
    let rotate =
        |spent, successors| Rotation::new(spent, &client, successors, NOON).with_grace(HOUR);
    run(store.rotate(&rotate(rt, &next))).unwrap();
    told("rotate", "applied");
    run(store.rotate(&rotate(rt, &third))).unwrap();
    told("rotate", "applied_in_grace");
    run(store.rotate(&rotate(at, &third))).unwrap();
    told("rotate", "refused");
    run(store.rotate(&rotate(rt, &third).with_grace(Duration::ZERO))).unwrap();
    told("rotate", "reused");
    let everything = Revocation::by_operator(Target::Everything, Reason::Administrative, NOON);
    run(store.revoke(&everything)).unwrap();
    told("revoke", "newly");
    run(store.revoke(&everything)).unwrap();
    told("revoke", "already");
    run(store.issue(grant(), &refresh("rt-next"), NOON)).unwrap();
    told("issue", "born_dead");
    run(store.changes(None, 10)).unwrap();
    told("changes", "done");
    run(store.changes(Some(&FeedCursor::new("at-secret")), 10)).unwrap();
    told("changes", "gap");
    run(store.changed(&FeedCursor::new("at-secret"))).unwrap();
    let swept = run(store.sweep(NOON + HOUR * 24 * 30, SweepBudget::rows(1_000))).unwrap();
    assert!(swept.removed > 0);
    told("sweep", "done");
    for (kind, outcome) in [(1, "unavailable"), (2, "conflict"), (3, "corrupt")] {
        fails.store(kind, SeqCst);
        assert!(run(store.find(at, None)).is_err());
        told("find", outcome);
    }
    give_up(store.find(at, None));
    told("find", "dropped");
    give_up(store.revoke(&everything));
    told("revoke", "dropped");
    // Never polled, never called.
    drop(store.find(at, None));
    expected
}

#[test]
fn each_call_is_told_once_with_its_outcome() {
    let notes = Notes::default();
    let expected = a_round(notes.clone());
    let told = notes.take();
    let outcomes: Vec<_> = told.iter().map(|told| (told.0, told.1)).collect();
    assert_eq!(outcomes, expected);
    for (operation, outcome, elapsed, records, error) in told {
        // Whoever gave up did so before the engine began.
        let wanted = if outcome == "dropped" { Duration::ZERO } else { TICK };
        assert_eq!(elapsed, wanted, "{operation} {outcome}");
        let counts = matches!((operation, outcome), ("sweep" | "changes", "done"));
        assert_eq!(records.is_some_and(|records| records > 0), counts, "{operation} {outcome}");
        let failed = matches!(outcome, "unavailable" | "conflict" | "corrupt");
        assert_eq!(error.is_some(), failed, "{operation} {outcome}");
    }
}

#[test]
fn a_pair_of_observers_is_told_twice_and_the_null_observer_is_nobody() {
    let (one, two) = (Notes::default(), Notes::default());
    let pair = ((one.clone(), ()), Arc::new(two.clone()));
    let expected = a_round(pair).len();
    assert_eq!((one.take().len(), two.take().len()), (expected, expected));
}

/// The contract is that of the store within; nothing about it changes by being watched.
#[tokio::test]
async fn a_watched_store_keeps_the_contract() {
    let notes = Notes::default();
    let watch = |store: &MemoryStore| -> Fixture {
        let store = Arc::new(Instrumented::new(store.clone(), notes.clone()));
        Fixture::ledger(Arc::clone(&store)).sweep(Arc::clone(&store)).feed(store)
    };
    let fresh = || {
        let memory = memory();
        let (again, dump) = (memory.clone(), memory.clone());
        let second = Arc::new(Instrumented::new(again, ()));
        let fixture = watch(&memory)
            .neighbour(watch(&memory.namespace(&Namespace::new("other"))))
            .second_handle(move || {
                let second = Arc::clone(&second);
                let handle = Fixture::ledger(Arc::clone(&second)).sweep(Arc::clone(&second));
                ready(Ok(handle.feed(second)))
            })
            .contents(move || ready(Ok(format!("{:?}", dump.usage()))))
            .rounds(10)
            .on_threads();
        ready(Ok(fixture))
    };
    let lacking = [Ability::Operations, Ability::Restart];
    store::suite().run(&fresh).await.assert_held_except_for(&lacking);
    issuance::suite().run(&fresh).await.assert_held_except_for(&lacking);
    sweep::suite().run(&fresh).await.assert_held();
    feed::suite().run(&fresh).await.assert_held_except_for(&lacking);
    assert!(notes.take().len() > 10_000);
}
