//! K1 and its relatives, as a hostile reader tried them: each of these stories brought a dead token back, or was near to it.

use std::time::Duration;

use annul::store::embedded::EmbeddedOptions;
use annul::store::{Issued, Lifetimes, Retention, Session, Sweep, SweepBudget, TokenLedger};
use annul::{DigestKey, Grant, MemoryStore, Reason, Revocation, Target, TargetKind, Timestamp};

use crate::folder::Folder;
use crate::stories::{
    DAY, HOUR, MINUTE, START, access, grant, on_every_store, revoke, sweep, verdict,
};

fn alice() -> Target {
    Target::Subject("alice".into())
}

fn no_retention() -> Retention {
    let mut retention = Retention::default();
    retention.access_tokens = Duration::ZERO;
    retention.refresh_tokens = Duration::ZERO;
    retention
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a1_a_cutoff_in_the_future() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        // Alice is shut out for a day.
        let ban = Revocation::by_operator(alice(), Reason::Administrative, START)
            .with_cutoff(START + DAY);
        store.revoke(&ban).await.unwrap();
        for step in 0..=8 {
            sweep(store, START + MINUTE * 30 * step).await;
        }
        let now = START + HOUR * 4;
        let issued = store.issue(grant("g", now), &[access("at", now + HOUR)], now).await.unwrap();
        if issued == Issued::Live {
            let is_active = verdict(store, "at", now).await.is_active();
            failed.lock().unwrap().push((name, is_active));
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a2_a_clock_ahead_by_less_than_a_leap_and_a_device_code() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        sweep(store, START).await;
        revoke(store, alice(), START + MINUTE).await;
        for minute in 2..28 {
            sweep(store, START + MINUTE * (minute + 55)).await;
        }
        let now = START + MINUTE * 29;
        let issued =
            store.issue(grant("g", START), &[access("at", now + HOUR)], now).await.unwrap();
        if issued == Issued::Live {
            let is_active = verdict(store, "at", now).await.is_active();
            failed.lock().unwrap().push((name, is_active));
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a3_a_second_process_believes_a_second_leap_at_once() {
    let folder = Folder::in_memory();
    let open = || EmbeddedOptions::new(folder.path()).open(&DigestKey::new(&[7; 32])).unwrap();
    let now = START + MINUTE * 2;
    {
        let store = open();
        sweep(&store, START).await;
        revoke(&store, alice(), START + MINUTE).await;
        let live = [access("live", START + HOUR)];
        store.issue(Grant::new("l", "web", START).subject("bob"), &live, now).await.unwrap();
        assert!(sweep(&store, START + HOUR * 5).await.clock_leap.is_some());
    }
    let store = open();
    let swept = sweep(&store, START + HOUR * 7).await;
    let issued = store.issue(grant("g", START), &[access("at", now + HOUR)], now).await.unwrap();
    let live = verdict(&store, "live", now).await.is_active();
    assert!(
        swept.clock_leap.is_some() && issued != Issued::Live && live,
        "{swept:?} {issued:?} live: {live}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a5_a_code_of_a_session_that_has_just_ended() {
    let lifetimes = Lifetimes::default().with_retention(no_retention());
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(lifetimes, async |name, store| {
        let session =
            |until: u32| Session::new("s1", "alice", START, START + MINUTE * until).client("a");
        store.open_session(session(30)).await.unwrap();
        revoke(store, Target::Client("c".into()), START + MINUTE).await;
        store.open_session(session(60)).await.unwrap();
        for minute in [30, 61, 72, 91, 92, 102, 104] {
            sweep(store, START + MINUTE * minute).await;
        }
        // Asked for at 59 minutes.
        let now = START + MINUTE * 105;
        let of_c = Grant::new("g", "c", START).subject("alice").session("s1");
        let issued = store.issue(of_c, &[access("at", now + HOUR)], now).await.unwrap();
        if issued == Issued::Live {
            failed.lock().unwrap().push(name);
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a6_a_sweeper_five_minutes_ahead_where_nothing_is_in_flight() {
    let lifetimes =
        Lifetimes::default().with_retention(no_retention()).with_in_flight(Duration::ZERO);
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(lifetimes, async |name, store| {
        // Full ten minutes.
        let base = Timestamp::from_unix_seconds(4_000_000_200);
        revoke(store, alice(), base - MINUTE).await;
        store.issue(grant("g", base), &[access("at", base + MINUTE * 5)], base).await.unwrap();
        revoke(store, alice(), base + MINUTE).await;
        assert!(!verdict(store, "at", base + MINUTE).await.is_active(), "{name}");
        sweep(store, base + MINUTE * 7).await;
        if verdict(store, "at", base + MINUTE * 2).await.is_active() {
            failed.lock().unwrap().push(name);
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

#[tokio::test]
async fn a9_a_sweep_at_the_end_of_time_ends() {
    let any = Lifetimes::default().with_clock_leap(Duration::MAX);
    let store = MemoryStore::new().with_lifetimes(any);
    store.issue(grant("g", START), &[access("at", Timestamp::MAX)], START).await.unwrap();
    let mut more = true;
    for _ in 0..5 {
        more = store.sweep(Timestamp::MAX, SweepBudget::default()).await.unwrap().more;
    }
    assert!(!more);
    let _ = TargetKind::Token;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b2_two_nodes_with_two_wrong_clocks() {
    let place = crate::tenancy::Place::new(crate::server::shared()).await;
    let node = async || {
        annul::store::PostgresStore::connect(place.config().lifetimes(Lifetimes::default()))
            .await
            .unwrap()
    };
    let (right, one, other) = (node().await, node().await, node().await);
    sweep(&right, START).await;
    revoke(&right, alice(), START + MINUTE).await;
    let now = START + MINUTE * 2;
    assert!(sweep(&one, START + HOUR * 5).await.clock_leap.is_some());
    let swept = sweep(&other, START + HOUR * 7).await;
    let issued = right.issue(grant("g", START), &[access("at", now + HOUR)], now).await.unwrap();
    assert!(swept.clock_leap.is_some() && issued != Issued::Live, "{swept:?} {issued:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b3_a_far_cutoff_in_redis() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        let ban = Revocation::by_operator(alice(), Reason::Administrative, START)
            .with_cutoff(Timestamp::MAX);
        store.revoke(&ban).await.unwrap();
        for hour in 0..=24 * 8 {
            sweep(store, START + HOUR * hour).await;
        }
        let now = START + DAY * 8;
        let issued = store.issue(grant("g", now), &[access("at", now + HOUR)], now).await.unwrap();
        if issued == Issued::Live {
            failed.lock().unwrap().push(name);
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

/// A session that is prolonged, a cutoff for a client that joins late, and the session's own time of zero.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b4_a_login_at_zero_or_at_the_end_of_time() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        for (n, login) in [Timestamp::default(), Timestamp::MAX].into_iter().enumerate() {
            let of = |id: &str| Grant::new(id, "c", login).subject("alice");
            let (at, id) = (format!("at{n}"), format!("g{n}"));
            let session = Session::new(format!("s{n}").as_str(), "alice", login, START + HOUR);
            store.open_session(session.client("a")).await.unwrap();
            store.issue(of(&id), &[access(&at, START + HOUR)], START).await.unwrap();
            let revocation =
                Revocation::by_operator(Target::Client("c".into()), Reason::Administrative, START)
                    .with_cutoff(login);
            store.revoke(&revocation).await.unwrap();
            if verdict(store, &at, START).await.is_active() {
                failed.lock().unwrap().push((name, n));
            }
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

/// In flight for as long as it may be, by a setting that was made longer between two starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b6_a_session_opened_and_a_cutoff_that_moves() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        // Participants join late, logins are of several days, budgets are one.
        for n in 0..5_u32 {
            let login = START - DAY * n;
            let (id, until) = (format!("s{n}"), START + HOUR * (n + 1));
            let session = Session::new(id.as_str(), "alice", login, until).client("a");
            store.open_session(session).await.unwrap();
        }
        revoke(store, Target::Client("c".into()), START + MINUTE).await;
        revoke(store, alice(), START - DAY * 2).await;
        for hour in (0..24 * 20_u32).step_by(2) {
            let now = START + HOUR * hour;
            let session = Session::new("s4", "alice", START - DAY * 4, now + HOUR * 5).client("a");
            store.open_session(session).await.unwrap();
            // In steps that are believed.
            for step in [0, 30, 60, 90] {
                for _ in 0..3 {
                    store.sweep(now + MINUTE * step, SweepBudget::rows(1)).await.unwrap();
                }
                sweep(store, now + MINUTE * step).await;
            }
            let (id, at) = (format!("g{hour}"), format!("at{hour}"));
            let of_c = Grant::new(id.as_str(), "c", START - DAY * 4).session("s4").subject("alice");
            let issued = store.issue(of_c, &[access(&at, now + HOUR)], now).await.unwrap();
            if hour % 48 == 0 && issued == Issued::Live {
                failed.lock().unwrap().push((name, hour));
            }
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}

/// The store was idle, so that the right clock is a leap as well; a wrong one needs no patience then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b7_an_idle_store_a_right_sweeper_and_a_wrong_one() {
    let place = crate::tenancy::Place::new(crate::server::shared()).await;
    let config = || place.config().lifetimes(Lifetimes::default());
    let node = async || annul::store::PostgresStore::connect(config()).await.unwrap();
    let (right, wrong) = (node().await, node().await);
    sweep(&right, START).await;
    // Nothing happens for a night.
    let morning = START + HOUR * 8;
    revoke(&right, alice(), morning).await;
    let bob = Grant::new("b", "web", morning).subject("bob");
    right.issue(bob, &[access("live", morning + HOUR)], morning).await.unwrap();
    assert!(sweep(&right, morning + MINUTE).await.clock_leap.is_some());
    let swept = sweep(&wrong, morning + HOUR * 5).await;
    let now = morning + MINUTE * 2;
    let live = verdict(&right, "live", now).await.is_active();
    let device = grant("g", morning - MINUTE);
    let issued = right.issue(device, &[access("at", now + HOUR)], now).await.unwrap();
    assert!(
        swept.clock_leap.is_some() && live && issued != Issued::Live,
        "{swept:?}, bob's token lives: {live}, alice's: {issued:?}"
    );
}

/// A session whose second opening tells of an earlier login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b9_a_session_that_is_opened_again_with_an_earlier_login() {
    let failed = std::sync::Mutex::new(Vec::new());
    on_every_store(Lifetimes::default(), async |name, store| {
        let session = |login: Timestamp, until: Timestamp| {
            Session::new("s1", "alice", login, until).client("a")
        };
        let early = START - DAY * 3;
        store.open_session(session(START, START + HOUR)).await.unwrap();
        let cutoff = Revocation::by_operator(
            Target::Client("c".into()),
            Reason::Administrative,
            START + MINUTE,
        );
        store.revoke(&cutoff.with_cutoff(START - DAY)).await.unwrap();
        store.open_session(session(early, START + DAY * 60)).await.unwrap();
        for half in 0..48 * 20 {
            sweep(store, START + MINUTE * 30 * half).await;
        }
        let now = START + DAY * 20;
        let of_c = Grant::new("g", "c", early).subject("alice").session("s1");
        let issued = store.issue(of_c, &[access("at", now + HOUR)], now).await.unwrap();
        if issued == Issued::Live {
            failed.lock().unwrap().push(name);
        }
    })
    .await;
    assert!(failed.lock().unwrap().is_empty(), "{failed:?}");
}
