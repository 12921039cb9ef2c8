//! Real threads on one memory store. Whatever the interleaving: one winner, nothing live in what was revoked, and no
//! half state where a request was given up in the middle.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{
    Issued, Lifetimes, Refused, Rotated, Rotation, Session, StoreError, StoreErrorKind, Sweep,
    SweepBudget, Swept, TokenLedger, TokenStore,
};
use annul::{
    Authority, ClientId, FakeClock, Grant, MemoryStore, NewToken, PresentedToken, Reason, Request,
    Response, Revocation, Revoked, Target, Timestamp, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const RACERS: usize = 4;
const ROUNDS: usize = 800;

/// Runs a future that never waits: the memory store's all are such.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store waited for something"),
    }
}

/// Runs all jobs at once, one thread each, and in every round a little further apart.
fn at_once<R: Send>(round: usize, jobs: Vec<Box<dyn FnOnce() -> R + Send + '_>>) -> Vec<R> {
    let missing = AtomicUsize::new(jobs.len());
    let missing = &missing;
    std::thread::scope(|scope| {
        let racers: Vec<_> = jobs
            .into_iter()
            .enumerate()
            .map(|(lane, job)| {
                scope.spawn(move || {
                    missing.fetch_sub(1, Ordering::SeqCst);
                    while missing.load(Ordering::SeqCst) > 0 {
                        std::thread::yield_now();
                    }
                    for _ in 0..(round * (lane + 1)) % 97 {
                        std::hint::spin_loop();
                    }
                    job()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    })
}

fn boxed<'j, R>(job: impl FnOnce() -> R + Send + 'j) -> Box<dyn FnOnce() -> R + Send + 'j> {
    Box::new(job)
}

fn grant(id: &str) -> Grant {
    Grant::new(id, "web", START).subject("alice").session("s1")
}

fn issue(store: &MemoryStore, grant: Grant, access: &str, refresh: &str) -> Issued {
    let tokens = [
        NewToken::access(PresentedToken::new(access), START + HOUR),
        NewToken::refresh(PresentedToken::new(refresh), START + HOUR),
    ];
    now(store.issue(grant, &tokens, START)).unwrap()
}

fn rotate(store: &MemoryStore, spent: &str, next: &str, grace: Duration) -> Rotated {
    let client = ClientId::new("web");
    let access = format!("at-{next}");
    let successors = [
        NewToken::access(PresentedToken::new(&access), START + HOUR),
        NewToken::refresh(PresentedToken::new(next), START + HOUR),
    ];
    let rotation = Rotation::new(PresentedToken::new(spent), &client, &successors, START);
    now(store.rotate(&rotation.with_grace(grace))).unwrap()
}

fn is_live(store: &MemoryStore, token: &str, at: Timestamp) -> bool {
    let found = now(store.find(PresentedToken::new(token), None)).unwrap();
    found.is_some_and(|record| record.verdict(at).is_active())
}

fn revoke(store: &MemoryStore, target: Target) -> Revoked {
    let revocation = Revocation::by_operator(target, Reason::Administrative, START);
    now(store.revoke(&revocation)).unwrap()
}

fn sweep(store: &MemoryStore, at: Timestamp) -> Swept {
    now(store.sweep(at, SweepBudget::rows(usize::MAX))).unwrap()
}

#[test]
fn of_racers_with_one_refresh_token_one_wins_and_the_reuse_ends_the_family() {
    let store = MemoryStore::new();
    let mut winners = 0;
    for round in 0..ROUNDS {
        let names = |lane: usize| format!("{round}-next-{lane}");
        let (access, spent) = (format!("{round}-at"), format!("{round}-rt"));
        issue(&store, grant(&format!("g{round}")), &access, &spent);
        let jobs = (0..RACERS).map(|lane| {
            let (store, spent) = (&store, &spent);
            boxed(move || rotate(store, spent, &names(lane), Duration::ZERO))
        });
        let outcomes = at_once(round, jobs.collect());
        let count = |wanted: fn(&Rotated) -> bool| outcomes.iter().filter(|o| wanted(o)).count();
        let applied = count(|outcome| matches!(outcome, Rotated::Applied(_)));
        let reused = count(|outcome| matches!(outcome, Rotated::Reused(_)));
        let refused = count(|outcome| matches!(outcome, Rotated::Refused(Refused::Revoked { .. })));
        // The winner itself is refused where the reuse was found before its successors were recorded.
        assert!(applied <= 1 && reused >= 1, "{outcomes:?}");
        assert_eq!(applied + reused + refused, RACERS, "{outcomes:?}");
        winners += applied;
        for token in (0..RACERS).map(names).chain([access, spent]) {
            assert!(!is_live(&store, &token, START), "{token} survived");
            assert!(!is_live(&store, &format!("at-{token}"), START));
        }
    }
    assert!(winners > 0, "nobody ever won");
    assert_eq!(store.usage().revocations, ROUNDS);
}

#[test]
fn within_the_grace_window_all_racers_are_served_and_one_was_first() {
    let store = MemoryStore::new();
    for round in 0..ROUNDS {
        let names = |lane: usize| format!("{round}-next-{lane}");
        let (access, spent) = (format!("{round}-at"), format!("{round}-rt"));
        issue(&store, grant(&format!("g{round}")), &access, &spent);
        let jobs = (0..RACERS).map(|lane| {
            let (store, spent) = (&store, &spent);
            boxed(move || rotate(store, spent, &names(lane), MINUTE))
        });
        let outcomes = at_once(round, jobs.collect());
        let first = |outcome: &&Rotated| matches!(outcome, Rotated::Applied(_));
        let later = |outcome: &&Rotated| matches!(outcome, Rotated::AppliedInGrace(_));
        assert_eq!(outcomes.iter().filter(first).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes.iter().filter(later).count(), RACERS - 1);
        for token in (0..RACERS).map(names) {
            assert!(is_live(&store, &token, START));
            assert!(is_live(&store, &format!("at-{token}"), START));
        }
    }
    assert_eq!(store.usage().revocations, 0);
}

fn targets(round: usize) -> [Target; 3] {
    [
        Target::Grant(format!("g{round}").into()),
        Target::Session(format!("s{round}").into()),
        Target::Subject(format!("alice{round}").into()),
    ]
}

fn own_grant(round: usize) -> Grant {
    Grant::new(format!("g{round}"), "web", START)
        .subject(format!("alice{round}"))
        .session(format!("s{round}"))
}

#[test]
fn revoking_beside_an_exchange_leaves_nothing_live() {
    let store = MemoryStore::new();
    for round in 0..ROUNDS {
        issue(&store, own_grant(round), &format!("{round}-at"), &format!("{round}-rt"));
        let target = &targets(round)[round % 3];
        let (spent, next) = (format!("{round}-rt"), format!("{round}-next"));
        at_once(
            round,
            vec![
                boxed(|| assert_eq!(revoke(&store, target.clone()), Revoked::Newly)),
                boxed(|| {
                    let rotated = rotate(&store, &spent, &next, MINUTE);
                    let applied = matches!(rotated, Rotated::Applied(_));
                    let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { .. }));
                    assert!(applied || refused, "{rotated:?}");
                }),
            ],
        );
        for token in ["at", "rt", "next"] {
            assert!(!is_live(&store, &format!("{round}-{token}"), START), "{target:?}");
        }
        assert!(!is_live(&store, &format!("at-{round}-next"), START), "{target:?}");
    }
}

#[test]
fn revoking_a_token_alone_beside_its_exchange_leaves_no_successor_live() {
    let store = Arc::new(MemoryStore::new());
    let web = Client::new(ClientMetadata::new("web", AuthMethod::None));
    let clients = RegisteredClients::new(ClientTable::from_iter([web]));
    let authority = Authority::new(Arc::clone(&store), clients)
        .policy(annul::profile::asgardeo())
        .clock(FakeClock::at(START));
    let (store, authority) = (&store, &authority);
    for round in 0..ROUNDS {
        issue(store, own_grant(round), &format!("{round}-at"), &format!("{round}-rt"));
        let (spent, next) = (format!("{round}-rt"), format!("{round}-next"));
        let body = format!("token={spent}&client_id=web");
        at_once(
            round,
            vec![
                boxed(|| {
                    let form = Request::post(body.as_bytes())
                        .header("content-type", b"application/x-www-form-urlencoded");
                    assert_eq!(now(annul::handle_revoke(authority, &form)).status(), 200);
                }),
                boxed(|| {
                    rotate(store, &spent, &next, MINUTE);
                }),
            ],
        );
        for token in [&spent, &next, &format!("at-{next}")] {
            assert!(!is_live(store, token, START), "{token}");
        }
    }
}

#[test]
fn revoking_before_or_after_an_exchange_leaves_nothing_live() {
    for (n, revoke_first) in [(0, true), (1, false), (2, true), (3, false), (4, true), (5, false)] {
        let store = MemoryStore::new();
        issue(&store, own_grant(0), "at", "rt");
        let target = &targets(0)[n / 2];
        if revoke_first {
            revoke(&store, target.clone());
        }
        let rotated = rotate(&store, "rt", "next", MINUTE);
        assert_eq!(matches!(rotated, Rotated::Applied(_)), !revoke_first);
        assert_eq!(is_live(&store, "next", START), !revoke_first);
        revoke(&store, target.clone());
        for token in ["at", "rt", "next", "at-next"] {
            assert!(!is_live(&store, token, START), "{target:?}");
        }
    }
}

#[test]
fn issuing_beside_a_revocation_and_a_sweep_leaves_nothing_live() {
    for round in 0..ROUNDS {
        // A new store each time: before its first token no expiry keeps an entry.
        let store = MemoryStore::new();
        let target = &targets(round)[round % 3];
        at_once(
            round,
            vec![
                boxed(|| {
                    issue(&store, own_grant(round), "at", "rt");
                }),
                boxed(|| {
                    revoke(&store, target.clone());
                }),
                boxed(|| {
                    for _ in 0..4 {
                        sweep(&store, START + 9 * MINUTE);
                    }
                }),
            ],
        );
        for minutes in [9, 11, 20, 59] {
            let at = START + minutes * MINUTE;
            sweep(&store, at);
            for token in ["at", "rt"] {
                assert!(!is_live(&store, token, at), "{target:?}, swept after {minutes}");
            }
        }
        // What was on its way when the revocation was written comes late, and dead.
        assert!(matches!(
            issue(&store, own_grant(round), "late-at", "late-rt"),
            Issued::BornDead { .. }
        ));
        assert!(!is_live(&store, "late-rt", START + 59 * MINUTE));
    }
}

#[test]
fn a_late_issue_is_dead_in_every_order_with_revocation_and_sweep() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let store = MemoryStore::new();
        for step in order {
            match step {
                0 => {
                    issue(&store, own_grant(0), "at", "rt");
                }
                1 => {
                    revoke(&store, Target::Session("s0".into()));
                }
                _ => {
                    sweep(&store, START + 9 * MINUTE);
                }
            }
        }
        for token in ["at", "rt"] {
            assert!(!is_live(&store, token, START + 9 * MINUTE), "{order:?}");
        }
    }
}

#[test]
fn a_token_reported_as_born_dead_is_dead_even_if_a_sweep_took_the_entry() {
    for round in 0..ROUNDS {
        let store = MemoryStore::new();
        revoke(&store, Target::Grant("g".into()));
        let issued = at_once(
            round,
            vec![
                boxed(|| Some(issue(&store, grant("g"), "at", "rt"))),
                boxed(|| {
                    // Late enough for the entry to go, if nothing holds it.
                    sweep(&store, START + 11 * MINUTE);
                    None
                }),
            ],
        );
        let live = ["at", "rt"].map(|token| is_live(&store, token, START + 11 * MINUTE));
        match issued[0] {
            Some(Issued::BornDead { .. }) => assert_eq!(live, [false; 2]),
            Some(Issued::Live) => assert_eq!(live, [true; 2]),
            None => unreachable!("the first job issues"),
        }
    }
}

#[test]
fn of_racers_that_revoke_the_same_thing_one_is_told_that_it_was_news() {
    let store = MemoryStore::new();
    for round in 0..ROUNDS {
        let target = &targets(round)[round % 3];
        let jobs = (0..RACERS).map(|_| boxed(|| revoke(&store, target.clone())));
        let outcomes = at_once(round, jobs.collect());
        let news = outcomes.iter().filter(|outcome| **outcome == Revoked::Newly);
        assert_eq!(news.count(), 1, "{outcomes:?}");
    }
    assert_eq!(store.usage().revocations, ROUNDS);
}

#[test]
fn of_racers_that_issue_the_same_token_to_two_grants_one_is_refused() {
    let store = MemoryStore::new();
    for round in 0..ROUNDS {
        let token = format!("t{round}");
        let jobs = ["a", "b"].map(|owner| {
            let (store, token) = (&store, &token);
            boxed(move || {
                let tokens = [NewToken::refresh(PresentedToken::new(token), START + HOUR)];
                now(store.issue(grant(&format!("{owner}{round}")), &tokens, START))
            })
        });
        let outcomes = at_once(round, jobs.into());
        let refused: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!(refused[0].kind(), StoreErrorKind::Conflict);
        // The one that was told so owns it.
        let owner = if outcomes[0].is_ok() { "a" } else { "b" };
        let found = now(store.find(PresentedToken::new(&token), None)).unwrap().unwrap();
        assert_eq!(found.grant().id().as_str(), format!("{owner}{round}"));
    }
}

#[test]
fn sweepers_beside_each_other_take_what_is_due_once_and_nothing_else() {
    let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
    let store = MemoryStore::new().with_lifetimes(lifetimes);
    let count = 3_000;
    for n in 0..count {
        let lasts = if n % 3 == 0 { 30 * 24 * HOUR } else { MINUTE };
        let name = format!("t{n}");
        let token = [NewToken::access(PresentedToken::new(&name), START + lasts)];
        now(store.issue(grant("g"), &token, START)).unwrap();
    }
    let later = START + 24 * HOUR;
    let done = AtomicBool::new(false);
    let mut jobs: Vec<_> = (0..3)
        .map(|_| {
            boxed(|| {
                let mut removed = 0;
                loop {
                    let swept = now(store.sweep(later, SweepBudget::rows(17))).unwrap();
                    removed += swept.removed;
                    if !swept.more {
                        done.store(true, Ordering::SeqCst);
                        return removed;
                    }
                }
            })
        })
        .collect();
    jobs.push(boxed(|| {
        while !done.load(Ordering::SeqCst) {
            for n in (0..count).step_by(3) {
                assert!(is_live(&store, &format!("t{n}"), later), "t{n} was swept");
            }
        }
        0
    }));
    let removed: usize = at_once(0, jobs).into_iter().sum();
    assert_eq!(removed, count - count / 3);
    assert_eq!(store.usage().tokens, count / 3);
}

#[test]
fn clients_that_join_a_session_at_once_are_all_in_it() {
    let store = MemoryStore::new();
    for round in 0..ROUNDS {
        let id = format!("s{round}");
        let jobs = (0..RACERS).map(|lane| {
            let (store, id) = (&store, &id);
            boxed(move || {
                let session = Session::new(id.as_str(), "alice", START, START + HOUR);
                let session = session.client(format!("client-{lane}"));
                now(store.open_session(session)).unwrap();
            })
        });
        at_once(round, jobs.collect());
        let known = now(store.session(&id.as_str().into())).unwrap().unwrap();
        assert_eq!(known.clients().len(), RACERS);
    }
}

/// A store that takes its time: every call waits once before it is made, and once after.
struct Slow(Arc<MemoryStore>);

/// Ready the second time it is asked.
async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[async_trait]
impl TokenStore for Slow {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        pause().await;
        let found = self.0.find(token, hint).await;
        pause().await;
        found
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        pause().await;
        let revoked = self.0.revoke(revocation).await;
        pause().await;
        revoked
    }
}

/// Polls a future this often and drops it; its answer, if it got that far.
fn give_up_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
    }
    None
}

async fn answer(authority: &Authority, logout: bool) -> Response {
    let body: &[u8] = match logout {
        true => b"refresh_token=rt&client_id=web",
        false => b"token=rt&client_id=web",
    };
    let form = Request::post(body).header("content-type", b"application/x-www-form-urlencoded");
    match logout {
        true => annul::handle_logout(authority, &form).await,
        false => annul::handle_revoke(authority, &form).await,
    }
}

#[test]
fn a_request_given_up_at_any_point_has_done_all_or_nothing() {
    for logout in [false, true] {
        let mut seen = [false; 2];
        for polls in 0.. {
            let store = Arc::new(MemoryStore::new());
            for id in ["", "2"] {
                issue(&store, grant("g"), &format!("at{id}"), &format!("rt{id}"));
            }
            let web = Client::new(ClientMetadata::new("web", AuthMethod::None));
            let clients = RegisteredClients::new(ClientTable::from_iter([web]));
            let authority =
                Authority::new(Slow(Arc::clone(&store)), clients).clock(FakeClock::at(START));
            let answered = give_up_after(polls, answer(&authority, logout));
            let live = ["at", "rt", "at2", "rt2"].map(|token| is_live(&store, token, START));
            assert!(live == [true; 4] || live == [false; 4], "after {polls}: {live:?}");
            seen[usize::from(live[0])] = true;
            if let Some(response) = answered {
                assert_eq!((response.status(), live), (200, [false; 4]));
                break;
            }
            // The client tries again, and nothing of the first attempt is in the way.
            let again = give_up_after(usize::MAX, answer(&authority, logout)).unwrap();
            assert_eq!(again.status(), 200);
            for token in ["at", "rt", "at2", "rt2"] {
                assert!(!is_live(&store, token, START));
            }
        }
        // Given up before the entry was written, and after: both have happened.
        assert_eq!(seen, [true; 2]);
    }
}
