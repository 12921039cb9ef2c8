//! K1: an entry is forgotten while a token that it covers can still be good.

use annul::store::{Issued, Lifetimes, Session, SweepBudget};
use annul::{Reason, Revocation, Target, TargetKind, Timestamp};

use crate::stories::{
    DAY, HOUR, MINUTE, SECOND, START, Store, access, grant, on_every_store, record, refresh,
    revoke, sweep, verdict,
};

fn every_target() -> [Target; 6] {
    [
        Target::Grant("g".into()),
        Target::Session("s1".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ]
}

/// K1.1, with the default settings: the leap is noticed, and nothing is removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_1_a_clock_that_leaps_revives_nothing_and_forgets_nothing() {
    on_every_store(Lifetimes::default(), async |name, store| {
        store.issue(grant("g", START), &[refresh("rt", START + HOUR)], START).await.unwrap();
        store.issue(grant("live", START), &[refresh("live", START + HOUR)], START).await.unwrap();
        revoke(store, Target::Grant("g".into()), START + MINUTE).await;
        for minute in 0..30 {
            let ahead = START + HOUR * 2 + MINUTE * minute;
            let swept = sweep(store, ahead).await;
            assert!(swept.clock_leap.is_some() && swept.removed == 0, "{name}: {swept:?}");
        }
        let now = START + MINUTE * 32;
        assert!(!verdict(store, "rt", now).await.is_active(), "{name}: alive again");
        assert!(verdict(store, "live", now).await.is_active(), "{name}: what lived was forgotten");
        let swept = sweep(store, now).await;
        assert_eq!(swept.clock_leap, None, "{name}: put right");
    })
    .await;
}

/// K1.1, where every clock is believed: no sweep brings a token back, however far ahead, and however little it removes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_1_no_sweep_by_any_clock_brings_a_token_back() {
    let any_clock = Lifetimes::default().with_clock_leap(std::time::Duration::MAX);
    on_every_store(any_clock, async |name, store| {
        for (n, target) in every_target().into_iter().enumerate() {
            let token = format!("rt-{n}");
            let login = START + SECOND * u32::try_from(n).unwrap();
            let grant = annul::Grant::new("g", "web", login).subject("alice").session("s1");
            if n == 0 {
                store
                    .issue(grant.clone(), &[refresh("consumed", START + HOUR)], login)
                    .await
                    .unwrap();
            }
            store.issue(grant, &[refresh(&token, START + HOUR)], login).await.unwrap();
            revoke(store, target, START + MINUTE).await;
        }
        for ahead in [HOUR * 2, HOUR * 25, DAY * 7, DAY * 7 + HOUR * 2, DAY * 31] {
            for budget in [1, 2, 3] {
                store.sweep(START + ahead, SweepBudget::rows(budget)).await.unwrap();
                for n in 0..6 {
                    let verdict = verdict(store, &format!("rt-{n}"), START + MINUTE * 2).await;
                    assert!(!verdict.is_active(), "{name}: rt-{n} is alive, {ahead:?} ahead");
                }
            }
        }
    })
    .await;
}

/// K1.2: the cutoff is five days old, and the entry is a second old when it is swept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_2_an_entry_counts_from_when_it_was_recorded() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let stolen_key = Revocation::by_operator(Target::Everything, Reason::KeyCompromise, START)
            .with_cutoff(START - DAY * 5);
        store.revoke(&stolen_key).await.unwrap();
        sweep(store, START + SECOND).await;
        let now = START + SECOND * 5;
        let issued = store
            .issue(grant("g", START - DAY * 6), &[access("at", now + HOUR)], now)
            .await
            .unwrap();
        assert_eq!(issued, Issued::BornDead { by: TargetKind::Everything }, "{name}");
        let later =
            store.issue(grant("new", START - DAY * 4), &[access("new", now + HOUR)], now).await;
        assert_eq!(later.unwrap(), Issued::Live, "{name}: a login after the cutoff lives");
    })
    .await;
}

/// K1.2, said wrongly: the cutoff is passed for the time of recording. The store knows better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_2_a_time_of_recording_that_is_long_ago_is_corrected_by_what_the_store_has_seen() {
    on_every_store(Lifetimes::default(), async |name, store| {
        store
            .issue(grant("other", START), &[access("other", START + SECOND)], START)
            .await
            .unwrap();
        revoke(store, Target::Everything, START - DAY * 5).await;
        sweep(store, START + SECOND).await;
        let now = START + SECOND * 5;
        let issued =
            store.issue(grant("g", START - DAY * 6), &[access("at", now + HOUR)], now).await;
        assert_eq!(issued.unwrap(), Issued::BornDead { by: TargetKind::Everything }, "{name}");
    })
    .await;
}

/// K1.3: whoever takes part in a session when the cutoff is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_3_a_cutoff_lasts_as_long_as_a_session_from_before_it() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let session = |at: u32, client: &str| {
            Session::new("s1", "alice", START, START + SECOND * at + HOUR).client(client)
        };
        store.open_session(session(0, "a")).await.unwrap();
        let cutoff = START + SECOND * 100;
        revoke(store, Target::Client("c".into()), cutoff).await;
        revoke(store, Target::SubjectAtClient("alice".into(), "d".into()), cutoff).await;
        // Long enough that nothing else keeps the entries: nine days, in steps.
        for step in 1..=432_u32 {
            let at = step * 1_800;
            store.open_session(session(at, "a")).await.unwrap();
            if step % 4 == 0 {
                sweep(store, START + SECOND * at).await;
            }
        }
        let at = 432 * 1_800;
        let now = START + SECOND * at;
        for (client, by) in [("c", TargetKind::Client), ("d", TargetKind::SubjectAtClient)] {
            store.open_session(session(at, client)).await.unwrap();
            let grant = annul::Grant::new(client, client, START).subject("alice").session("s1");
            let token = format!("at-{client}");
            let issued = store.issue(grant, &[access(&token, now + HOUR)], now).await.unwrap();
            assert_eq!(issued, Issued::BornDead { by }, "{name}: {client} joined late");
        }
    })
    .await;
}

/// K1.3 as it was seen: prolonged every 500 s, joined at 19 510 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_3_a_session_that_is_prolonged_every_five_hundred_seconds() {
    on_every_store(Lifetimes::default(), async |name, store| {
        let session = |at: u32, client: &str| {
            Session::new("s1", "alice", START, START + SECOND * at + SECOND * 600).client(client)
        };
        store.open_session(session(0, "a")).await.unwrap();
        revoke(store, Target::Client("c".into()), START + SECOND * 100).await;
        for step in 1..=39 {
            store.open_session(session(step * 500, "a")).await.unwrap();
            sweep(store, START + SECOND * (step * 500)).await;
        }
        let now = START + SECOND * 19_510;
        store.open_session(session(19_510, "c")).await.unwrap();
        let grant = annul::Grant::new("g", "c", START).subject("alice").session("s1");
        let issued = store.issue(grant, &[access("at", now + HOUR)], now).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: TargetKind::Client }, "{name}");
    })
    .await;
}

/// K1.4: a device code is in flight for half an hour, and the entry is all that there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_4_what_was_approved_before_a_revocation_is_born_dead_half_an_hour_later() {
    on_every_store(Lifetimes::default(), async |name, store| {
        revoke(store, Target::Subject("alice".into()), START + MINUTE).await;
        revoke(store, Target::Grant("revoked".into()), START + MINUTE).await;
        for minute in 2..29 {
            sweep(store, START + MINUTE * minute).await;
        }
        let now = START + MINUTE * 29;
        for (id, by) in [("device", TargetKind::Subject), ("revoked", TargetKind::Grant)] {
            let token = format!("rt-{id}");
            let issued = store.issue(grant(id, START), &[refresh(&token, now + HOUR)], now).await;
            assert_eq!(issued.unwrap(), Issued::BornDead { by }, "{name}: {id}");
        }
    })
    .await;
}

/// And no longer: what nothing can need any more goes, and so does its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k1_what_nothing_can_need_any_more_is_removed() {
    let any_clock = Lifetimes::default().with_clock_leap(std::time::Duration::MAX);
    on_every_store(any_clock, async |name, store: &dyn Store| {
        store
            .open_session(Session::new("s1", "alice", START, START + HOUR).client("web"))
            .await
            .unwrap();
        store.issue(grant("g", START), &[refresh("rt", START + HOUR)], START).await.unwrap();
        for target in every_target() {
            revoke(store, target, START + MINUTE).await;
        }
        let much_later = START + DAY * 40;
        let mut removed = 0;
        // An entry is looked at, and then again when its sessions are over.
        for _ in 0..3 {
            loop {
                let swept = store.sweep(much_later, SweepBudget::default()).await.unwrap();
                removed += swept.removed;
                if !swept.more {
                    break;
                }
            }
        }
        assert!(record(store, "rt").await.is_none(), "{name}");
        assert!(removed >= 8, "{name}: {removed} records were removed");
        let fresh = annul::Grant::new("fresh", "web", START).subject("alice");
        let issued = store.issue(fresh, &[access("at", Timestamp::MAX)], much_later).await.unwrap();
        assert_eq!(issued, Issued::Live, "{name}: the entries are gone");
    })
    .await;
}
