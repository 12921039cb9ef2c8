//! No entry goes before a record that it covers, and none while something that it covers may be in flight.

use std::time::Duration;

use annul::store::{
    Issued, Lifetimes, PostgresStore, Rotated, Rotation, Session, Sweep, SweepBudget, TokenLedger,
    TokenStore,
};
use annul::{Grant, Namespace, PresentedToken, Target, TargetKind, Timestamp, Verdict};

use crate::server;
use crate::tenancy::Place;
use crate::words::{access, at, follow, grant, is_known, operator, refresh, verdict};

const DAY: u64 = 24 * 60;

async fn connect(place: &Place, lifetimes: Lifetimes) -> PostgresStore {
    PostgresStore::connect(place.config().lifetimes(lifetimes)).await.unwrap()
}

async fn sweep_all(store: &PostgresStore, now: Timestamp) {
    while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
}

/// Seconds after the beginning of all tests.
fn second(seconds: u64) -> Timestamp {
    at(0) + Duration::from_secs(seconds)
}

fn targets() -> [Target; 6] {
    [
        Target::Grant("g".into()),
        Target::Session("s".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::Everything,
    ]
}

/// The clock is ahead for a while, and believed; then it is put right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_revoked_stays_dead_whatever_clock_sweeps_it_and_however_little_at_once() {
    let place = Place::new(server::shared()).await;
    let root = connect(&place, Place::lifetimes()).await;
    let ahead = [2 * 60, 25 * 60, 7 * DAY + 90, 31 * DAY];
    // Once without a session, and once with one, which is kept as long as the tokens.
    let cases: Vec<Target> = targets().into_iter().chain(targets()).collect();
    for (n, target) in cases.iter().cloned().enumerate() {
        let store = root.namespace(&Namespace::new(n.to_string()));
        let tokens = [access("at", 1), refresh("rt", 1)];
        store.issue(grant("g"), &tokens, at(0)).await.unwrap();
        if n >= targets().len() {
            let session = Session::new("s", "alice", at(0), at(60)).client("web");
            store.open_session(session).await.unwrap();
        }
        store.revoke(&operator(target, at(1))).await.unwrap();
    }
    for minutes in ahead {
        // One record at a time: between any two of them, nothing is alive.
        for _ in 0..200 {
            let swept = root.sweep(at(minutes), SweepBudget::rows(1)).await.unwrap();
            for n in 0..cases.len() {
                let store = root.namespace(&Namespace::new(n.to_string()));
                for token in ["at", "rt"] {
                    let found = verdict(&store, token, at(2)).await.unwrap();
                    let is_dead = matches!(found, Verdict::Revoked { .. } | Verdict::Unknown);
                    assert!(is_dead, "{n}: `{token}` is {found:?} after {minutes} minutes");
                }
            }
            if !swept.more {
                break;
            }
        }
    }
    // Nor does anything stay for ever.
    sweep_all(&root, at(60 * DAY)).await;
    let dump = place.dump().await.unwrap();
    for table in ["annul_token ", "annul_grant ", "annul_session ", "annul_entry "] {
        assert!(!dump.contains(table), "{dump}");
    }
}

/// Another sweep has locked the token, and has not decided yet. Its entry waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_waits_for_the_record_that_another_sweep_holds() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    for id in ["g1", "g2"] {
        store.issue(grant(id), &[refresh(id, 1)], at(0)).await.unwrap();
        store.revoke(&operator(Target::Grant(id.into()), at(1))).await.unwrap();
    }
    let mut other = place.client().await;
    let held = other.transaction().await.unwrap();
    let sql = "SELECT FROM annul_token WHERE grant_id = 'g1' FOR UPDATE";
    assert_eq!(held.query(sql, &[]).await.unwrap().len(), 1);
    for days in [8, 9, 100] {
        sweep_all(&store, at(days * DAY)).await;
    }
    let dump = place.dump().await.unwrap();
    assert!(dump.contains("annul_grant "), "the grant went before its token: {dump}");
    // Nor where the sweep had looked for records before this one came in.
    let ahead = i64::try_from(at(100 * DAY).as_unix_millis()).unwrap();
    for late in ["annul_sweep_grants($1, 0, 100)", "annul_sweep_entries($1, 0, 100, 0)"] {
        let sql = format!("SELECT removed FROM {late}");
        let removed: i32 = place.client().await.query_one(&sql, &[&ahead]).await.unwrap().get(0);
        assert_eq!(removed, 0, "{late}");
    }
    held.rollback().await.unwrap();
    let found = verdict(&store, "g1", at(2)).await.unwrap();
    assert!(matches!(found, Verdict::Revoked { .. }), "{found:?}");
    assert!(!is_known(&store, "g2").await);
    sweep_all(&store, at(100 * DAY)).await;
    let dump = place.dump().await.unwrap();
    assert!(!dump.contains("annul_entry "), "{dump}");
}

/// A stolen signing key is answered with a cutoff of long ago. What was in flight by then is as old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_counts_from_when_it_was_recorded_however_old_its_cutoff() {
    let place = Place::new(server::shared()).await;
    let root = connect(&place, Place::lifetimes()).await;
    let now = at(10 * DAY);
    for (n, target) in targets().into_iter().enumerate() {
        let store = root.namespace(&Namespace::new(n.to_string()));
        let revocation = operator(target.clone(), now).with_cutoff(at(5 * DAY));
        store.revoke(&revocation).await.unwrap();
        sweep_all(&root, now + Duration::from_secs(1)).await;
        let old = Grant::new("g", "web", at(4 * DAY)).subject("alice").session("s");
        let later = now + Duration::from_secs(59 * 60);
        let issued = store.issue(old, &[refresh("t", 11 * 24)], later).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: target.kind() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_is_kept_from_when_it_is_recorded_and_is_no_news() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    let first = operator(Target::Grant("g".into()), at(0));
    assert_eq!(store.revoke(&first).await.unwrap(), annul::Revoked::Newly);
    let again = first.clone().recorded_by(at(50));
    assert_eq!(store.revoke(&again).await.unwrap(), annul::Revoked::Already);
    let told = follow(&store, &mut None).await.unwrap();
    assert_eq!((told.len(), told[0].at(), told[0].until()), (1, at(0), at(110)));
    sweep_all(&store, at(109)).await;
    let issued = store.issue(grant("g"), &[refresh("t", 5)], at(109)).await.unwrap();
    assert_eq!(issued, Issued::BornDead { by: TargetKind::Grant });
}

/// A session that is always prolonged, and a client that joins it hours after it was revoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cutoff_counts_while_a_session_from_before_it_lasts_whoever_joins_it() {
    let place = Place::new(server::shared()).await;
    let nothing_in_flight = Place::lifetimes().with_in_flight(Duration::from_secs(600));
    let mut retention = annul::store::Retention::default();
    retention.refresh_tokens = Duration::ZERO;
    let root = connect(&place, nothing_in_flight.with_retention(retention)).await;
    let targets = [
        Target::Client("c".into()),
        Target::SubjectAtClient("alice".into(), "c".into()),
        Target::Subject("alice".into()),
        Target::Everything,
    ];
    let session =
        |seconds: u64| Session::new("s", "alice", at(0), second(seconds + 600)).client("a");
    for (n, target) in targets.iter().enumerate() {
        let store = root.namespace(&Namespace::new(n.to_string()));
        store.open_session(session(0)).await.unwrap();
        store.revoke(&operator(target.clone(), second(100))).await.unwrap();
    }
    for seconds in (0..=19_500).step_by(500) {
        for n in 0..targets.len() {
            let store = root.namespace(&Namespace::new(n.to_string()));
            store.open_session(session(seconds)).await.unwrap();
        }
        sweep_all(&root, second(seconds)).await;
    }
    for (n, target) in targets.iter().enumerate() {
        let store = root.namespace(&Namespace::new(n.to_string()));
        store.open_session(session(19_510).client("c")).await.unwrap();
        let grant = Grant::new("late", "c", at(0)).subject("alice").session("s");
        let issued = store.issue(grant, &[refresh("late", 9)], second(19_510)).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: target.kind() });
        // Who follows the feed is told for how long.
        let told = follow(&store, &mut None).await.unwrap();
        assert!(told[0].until() > second(19_510), "{:?}", told[0]);
    }
    sweep_all(&root, at(60 * DAY)).await;
    let dump = place.dump().await.unwrap();
    assert!(!dump.contains("annul_entry "), "{dump}");
}

/// A device polls for half an hour; the user's password was changed after a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_waited_for_as_long_as_is_set() {
    let place = Place::new(server::shared()).await;
    for (in_flight, polls) in [(60, 29), (60, 60), (120, 120)] {
        let lifetimes = Place::lifetimes().with_in_flight(Duration::from_secs(in_flight * 60));
        let root = connect(&place, lifetimes).await;
        for (n, target) in targets().into_iter().enumerate() {
            let store = root.namespace(&Namespace::new(format!("{in_flight}-{polls}-{n}")));
            store.revoke(&operator(target.clone(), at(1))).await.unwrap();
            for minutes in 1..=polls {
                store.sweep(at(minutes), SweepBudget::default()).await.unwrap();
            }
            let late = Grant::new("g", "web", at(0)).subject("alice").session("s");
            let issued = store.issue(late, &[refresh("t", 24)], at(polls)).await.unwrap();
            assert_eq!(issued, Issued::BornDead { by: target.kind() });
        }
    }
}

/// A grant that goes on in another session, and a consumed token of the session that was logged out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumed_token_is_not_kept_for_longer_than_what_covers_it() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    let of = |session: &str| Grant::new("g", "web", at(0)).subject("alice").session(session);
    store.issue(of("s1"), &[refresh("r1", 1)], at(0)).await.unwrap();
    let (web, next) = ("web".into(), [refresh("r2", 1)]);
    let rotation = Rotation::new(PresentedToken::new("r1"), &web, &next, at(1));
    assert!(matches!(store.rotate(&rotation).await.unwrap(), Rotated::Applied(_)));
    store.revoke(&operator(Target::Session("s1".into()), at(2))).await.unwrap();
    sweep_all(&store, at(3)).await;
    let issued = store.issue(of("s2"), &[refresh("long", 30 * 24)], at(4)).await.unwrap();
    assert_eq!(issued, Issued::Live);
    for days in 1..=40 {
        sweep_all(&store, at(days * DAY)).await;
        for token in ["r1", "r2"] {
            let found = verdict(&store, token, at(5)).await.unwrap();
            let is_dead = matches!(found, Verdict::Revoked { .. } | Verdict::Unknown);
            assert!(is_dead, "`{token}` is {found:?} after {days} days");
        }
    }
}

/// One token alone, consumed since: its record is kept with its grant, and its entry as long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_entry_of_one_token_stays_while_the_token_is_recorded() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    store.issue(grant("g"), &[refresh("r1", 1)], at(0)).await.unwrap();
    let (web, next) = ("web".into(), [refresh("r2", 1)]);
    let rotation = Rotation::new(PresentedToken::new("r1"), &web, &next, at(1));
    assert!(matches!(store.rotate(&rotation).await.unwrap(), Rotated::Applied(_)));
    let found = store.find(PresentedToken::new("r1"), None).await.unwrap().unwrap();
    store.revoke(&operator(Target::Token(found.id().clone()), at(2))).await.unwrap();
    sweep_all(&store, at(3)).await;
    store.issue(grant("g"), &[refresh("long", 30 * 24)], at(4)).await.unwrap();
    for days in [8, 9, 20, 36] {
        sweep_all(&store, at(days * DAY)).await;
        let found = verdict(&store, "r1", at(5)).await.unwrap();
        assert!(matches!(found, Verdict::Revoked { .. }), "{found:?} after {days} days");
    }
    for days in [38, 39] {
        sweep_all(&store, at(days * DAY)).await;
    }
    let dump = place.dump().await.unwrap();
    assert!(!dump.contains("annul_token ") && !dump.contains("annul_entry "), "{dump}");
}

/// What never ends is never due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_for_ever_survives_the_end_of_time() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    let new = annul::NewToken::refresh(PresentedToken::new("t"), Timestamp::MAX);
    store.issue(grant("g"), &[new], at(0)).await.unwrap();
    store.revoke(&operator(Target::Grant("g".into()), at(0))).await.unwrap();
    for now in [at(0), at(9_000 * DAY), Timestamp::MAX, Timestamp::MAX] {
        sweep_all(&store, now).await;
        let found = verdict(&store, "t", at(0)).await.unwrap();
        assert!(matches!(found, Verdict::Revoked { .. }), "{found:?}");
    }
}

/// A sweep by a clock that is far ahead, in the middle of an issue that has seen the entry and is not committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_waits_for_the_token_that_was_born_dead_under_it_and_is_not_committed() {
    let place = Place::new(server::shared()).await;
    let store = connect(&place, Place::lifetimes()).await;
    store.issue(grant("g"), &[access("first", 30)], at(0)).await.unwrap();
    store.revoke(&operator(Target::Subject("alice".into()), at(0))).await.unwrap();
    // So that the entry is kept long enough already, and the next issue need not write it.
    sweep_all(&store, at(1)).await;
    let mut other = place.client().await;
    let slow = other.transaction().await.unwrap();
    // The issue has recorded the token, and now waits for this lock.
    slow.batch_execute("LOCK TABLE annul_session IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let trigger = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
                   $$ BEGIN PERFORM FROM annul_session LIMIT 1; RETURN NULL; END $$;
                   CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON annul_token DEFERRABLE INITIALLY DEFERRED
                   FOR EACH ROW EXECUTE FUNCTION wait()";
    place.client().await.batch_execute(trigger).await.unwrap();
    let issuing = {
        let store = store.clone();
        tokio::spawn(async move { store.issue(grant("g2"), &[access("late", 1)], at(1)).await })
    };
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE usename = $1::text AND wait_event_type = 'Lock' AND query LIKE '%annul_grant%'";
    let admin = place.server.admin().await;
    while admin.query_one(waits, &[&place.name]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What a sweep does that has found no other record.
    let ahead = i64::try_from(at(400 * DAY).as_unix_millis()).unwrap();
    for (sweep, goes) in [
        ("SELECT (annul_sweep_tokens($1, 0, 100)).removed", 1),
        ("SELECT (annul_sweep_grants($1, 0, 100)).removed", 1),
        ("SELECT (annul_sweep_entries($1, 0, 100, 0)).removed", 0),
    ] {
        let removed: i32 = slow.query_one(sweep, &[&ahead]).await.unwrap().get(0);
        assert_eq!(removed, goes, "{sweep}");
    }
    slow.commit().await.unwrap();
    let issued = issuing.await.unwrap().unwrap();
    assert_eq!(issued, Issued::BornDead { by: TargetKind::Subject });
    let found = verdict(&store, "late", at(2)).await.unwrap();
    assert!(matches!(found, Verdict::Revoked { .. }), "{found:?}");
}
