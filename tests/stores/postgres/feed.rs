//! The order of the feed, and how long an entry stays, where commits are as slow as the test wants.

use std::sync::Arc;
use std::time::Duration;

use annul::store::{
    Changes, FeedEntry, Issued, PostgresStore, RevocationFeed, Session, StoreErrorKind, Sweep,
    SweepBudget, TokenLedger, TokenStore,
};
use annul::{Namespace, PresentedToken, Revoked, Target, TargetKind};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use crate::server;
use crate::tenancy::Place;
use crate::words::{
    at, follow, grant, is_revoked, of_grant, operator, refresh, revoke_own, session,
};

/// A store with patience for so many milliseconds.
async fn store(place: &Place, millis: u64) -> PostgresStore {
    let config = place.config().timeout(Duration::from_millis(millis));
    PostgresStore::connect(config).await.unwrap()
}

/// The revocation of a grant by somebody else's process, about to be committed: what it has written is what that
/// process's statement writes, taken from one that was written, and undone.
async fn about_to_commit(place: &Place, store: &PostgresStore, id: &str) -> Client {
    store.revoke(&of_grant(id)).await.unwrap();
    let client = place.client().await;
    let undone = format!(
        "CREATE TEMPORARY TABLE theirs AS SELECT * FROM annul_entry WHERE name = '{id}';
         DELETE FROM annul_entry WHERE name = '{id}'"
    );
    client.batch_execute(&undone).await.unwrap();
    let written = "\
        BEGIN;
        INSERT INTO annul_entry
            (key, namespace, kind, at, until, due, name, client, reason, actor, actor_client)
        SELECT key, namespace, kind, at, until, due, name, client, reason, actor, actor_client
        FROM theirs";
    client.batch_execute(written).await.unwrap();
    client
}

/// The grants that were revoked.
fn names(entries: &[FeedEntry]) -> Vec<String> {
    entries.iter().map(|entry| named(entry).to_owned()).collect()
}

fn named(entry: &FeedEntry) -> &str {
    let Target::Grant(id) = entry.target() else { panic!("not a grant: {entry:?}") };
    id.as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_past_a_place_whose_writer_has_not_committed() {
    for ends in ["COMMIT", "ROLLBACK"] {
        let place = Place::new(server::shared()).await;
        let (ours, patient) = (store(&place, 300).await, store(&place, 20_000).await);
        ours.revoke(&of_grant("before")).await.unwrap();
        let mut cursor = None;
        assert_eq!(names(&follow(&ours, &mut cursor).await.unwrap()), ["before"]);
        let writer = about_to_commit(&place, &ours, "slow").await;
        // A reader that waits for it, and revocations that do not wait for the reader.
        let waiting = {
            let (patient, mut cursor) = (patient.clone(), cursor.clone());
            tokio::spawn(async move { follow(&patient, &mut cursor).await })
        };
        for n in 0..5 {
            ours.revoke(&of_grant(format!("quick{n}"))).await.unwrap();
            let told = follow(&ours, &mut cursor).await;
            assert_eq!(told.unwrap_err().kind(), StoreErrorKind::Unavailable);
        }
        assert!(!waiting.is_finished());
        writer.batch_execute(ends).await.unwrap();
        // Told then, and in the order of their places: the slow one first.
        let told = names(&follow(&ours, &mut cursor).await.unwrap());
        let quick = (0..5).map(|n| format!("quick{n}"));
        let slow = (ends == "COMMIT").then(|| "slow".to_owned());
        assert_eq!(told, slow.clone().into_iter().chain(quick).collect::<Vec<_>>());
        let waited = names(&waiting.await.unwrap().unwrap());
        assert_eq!(waited, told[..waited.len()]);
        assert!(ends == "ROLLBACK" || waited.first() == slow.as_ref(), "{waited:?}");
        assert!(follow(&ours, &mut cursor).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_another_schema_waits_for_nobody_here() {
    let (place, other) = (Place::new(server::shared()).await, Place::new(server::shared()).await);
    let (ours, theirs) = (store(&place, 20_000).await, store(&other, 2_000).await);
    let writer = about_to_commit(&place, &ours, "slow").await;
    theirs.revoke(&of_grant("theirs")).await.unwrap();
    assert_eq!(names(&follow(&theirs, &mut None).await.unwrap()), ["theirs"]);
    writer.batch_execute("ROLLBACK").await.unwrap();
}

/// The revocation reads the horizon, then a token is issued that lasts longer and does not see the revocation, and then
/// that is committed. Nobody was wrong; and the entry must outlast the token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_beside_a_token_that_lasts_longer_than_any_before_outlasts_it() {
    let place = Place::new(server::shared()).await;
    let ours = store(&place, 20_000).await;
    ours.issue(grant("g"), &[refresh("short", 1)], at(0)).await.unwrap();
    let writer = about_to_commit(&place, &ours, "g").await;
    let mut cursor = None;
    ours.issue(grant("g"), &[refresh("long", 24 * 30)], at(0)).await.unwrap();
    writer.batch_execute("COMMIT").await.unwrap();
    assert!(is_revoked(&ours, "long").await);
    let first = follow(&ours, &mut cursor).await.unwrap();
    let lasts = at(60 * 24 * 30);
    assert!(first[0].until() < lasts, "it was to know of nothing longer than an hour");
    let asleep = cursor.clone();
    // The timer's sweeps, one before it is told to be over, and some after.
    for minutes in [5, 60 * 24, 60 * 24 * 29, 60 * 24 * 30 - 1] {
        ours.sweep(at(minutes), SweepBudget::default()).await.unwrap();
        assert!(is_revoked(&ours, "long").await, "a sweep after {minutes} minutes has revived it");
    }
    // And who keeps a copy is told.
    let again = follow(&ours, &mut cursor).await.unwrap();
    assert_eq!(names(&again), ["g"]);
    assert!(again[0].until() >= lasts);
    // It goes in the end, and to those who were told of it that is no gap.
    for days in [31, 32, 400] {
        ours.sweep(at(60 * 24 * days), SweepBudget::default()).await.unwrap();
    }
    let left = place.dump().await.unwrap();
    assert!(!left.contains("annul_entry "), "{left}");
    assert!(follow(&ours, &mut cursor).await.unwrap().is_empty());
    // Who was not told again has an entry that was said to last an hour.
    assert_eq!(ours.changes(asleep.as_ref(), 10).await.unwrap(), Changes::Gap);
}

/// Told again, it comes after those that came after it: who has read those alone has not read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_swept_between_two_pages_is_a_gap_where_it_would_have_come_again() {
    let place = Place::new(server::shared()).await;
    let ours = store(&place, 20_000).await;
    ours.revoke(&of_grant("known")).await.unwrap();
    ours.sweep(at(0), SweepBudget::default()).await.unwrap();
    let mut cursor = None;
    follow(&ours, &mut cursor).await.unwrap();
    ours.revoke(&of_grant("first")).await.unwrap();
    // It is to be told again, for there are tokens now that last longer; the next one knows of them.
    ours.issue(grant("other"), &[refresh("other", 1)], at(0)).await.unwrap();
    ours.revoke(&of_grant("second")).await.unwrap();
    ours.sweep(at(1), SweepBudget::default()).await.unwrap();
    let Changes::Page(page) = ours.changes(cursor.as_ref(), 1).await.unwrap() else {
        panic!("a gap");
    };
    assert_eq!((names(page.entries()), page.more()), (vec!["second".to_owned()], true));
    // The token's record is kept for seven days, and the entries for longer.
    for days in [8, 9, 10] {
        ours.sweep(at(60 * 24 * days), SweepBudget::default()).await.unwrap();
    }
    let rest = ours.changes(Some(page.next()), 10).await.unwrap();
    assert_eq!(rest, Changes::Gap, "nobody has told of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_revokes_a_token_again_is_told_so_and_its_entry_stays_longer() {
    for by_client in [false, true] {
        // Each in tables of its own: an entry counts from the latest time that was seen there.
        let place = Place::new(server::shared()).await;
        let ours = store(&place, 20_000).await;
        ours.issue(grant("g"), &[refresh("t", 1)], at(0)).await.unwrap();
        let found = ours.find(PresentedToken::new("t"), None).await.unwrap().unwrap();
        let revoke = async |minutes, outcome| {
            if by_client {
                return revoke_own(&ours, "t", at(minutes)).await;
            }
            let revocation = operator(Target::Token(found.id().clone()), at(minutes));
            assert_eq!(ours.revoke(&revocation).await.unwrap(), outcome);
        };
        revoke(0, Revoked::Newly).await;
        ours.sweep(at(0), SweepBudget::default()).await.unwrap();
        let mut cursor = None;
        let first = follow(&ours, &mut cursor).await.unwrap();
        // Again, when the first is about to go; and once more, which is no news to anybody.
        let again = 7 * 24 * 60 + 150;
        for _ in 0..2 {
            revoke(again, Revoked::Already).await;
        }
        ours.sweep(at(again + 9), SweepBudget::default()).await.unwrap();
        let told = follow(&ours, &mut cursor).await.unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].at(), first[0].at());
        assert!(told[0].until() > first[0].until() && told[0].until() >= at(again + 10));
        let issued = ours.issue(grant("g"), &[refresh("t", 9)], at(again + 9)).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: TargetKind::Token });
    }
}

/// Swept, and so told how long to stay, before the session it ended was prolonged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_knows_how_long_it_stays_learns_of_a_session_that_goes_on() {
    let place = Place::new(server::shared()).await;
    let ours = store(&place, 20_000).await;
    let cutoffs = [
        Target::Subject("alice".into()),
        Target::Client("web".into()),
        Target::SubjectAtClient("alice".into(), "web".into()),
        Target::Everything,
    ];
    for (n, target) in cutoffs.into_iter().enumerate() {
        // Each among its own: what one has held would hold for the next.
        let ours = ours.namespace(&Namespace::new(n.to_string()));
        ours.open_session(session("s", 1)).await.unwrap();
        ours.revoke(&operator(target.clone(), at(1))).await.unwrap();
        ours.sweep(at(2), SweepBudget::default()).await.unwrap();
        // Another client joins, and the session lasts longer.
        let joins = Session::new("s", "alice", at(0), at(60 * 5)).client("spa");
        ours.open_session(joins).await.unwrap();
        ours.sweep(at(60 * 4), SweepBudget::default()).await.unwrap();
        let issued = ours.issue(grant("g"), &[refresh("stolen", 9)], at(60 * 4)).await.unwrap();
        assert_eq!(issued, Issued::BornDead { by: target.kind() });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_hears_of_a_revocation_and_waits_no_longer() {
    let place = Place::new(server::shared()).await;
    let (writes, reads) = (store(&place, 20_000).await, store(&place, 20_000).await);
    let mut cursor = None;
    follow(&reads, &mut cursor).await.unwrap();
    let words = format!("{} application_name=listens", place.words());
    let (client, mut connection) = tokio_postgres::connect(&words, NoTls).await.unwrap();
    let heard = tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(news))) => break news.channel().to_owned(),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break String::new(),
            }
        }
    });
    let row = client.query_one("SELECT 'annul_' || 'annul_entry'::regclass::oid", &[]).await;
    let channel: String = row.unwrap().get(0);
    client.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
    let waiting = {
        let (reads, cursor) = (reads.clone(), cursor.clone().unwrap());
        tokio::spawn(async move { reads.changed(&cursor).await })
    };
    writes.revoke(&of_grant("g")).await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(heard.await.unwrap(), channel);
    // And at once where something is there already.
    reads.changed(&cursor.clone().unwrap()).await.unwrap();
    assert_eq!(names(&follow(&reads, &mut cursor).await.unwrap()), ["g"]);
}

/// A place that was drawn and given up is forgotten by a crash, and given away again. No cursor may hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_never_holds_a_place_that_a_crash_takes_back() {
    let place = Arc::new(Place::new(server::shared()).await);
    let ours = store(&place, 20_000).await;
    ours.revoke(&of_grant("before")).await.unwrap();
    let mut cursor = None;
    follow(&ours, &mut cursor).await.unwrap();
    let client = place.client().await;
    let drawn: i64 = client.query_one("SELECT annul_draw()", &[]).await.unwrap().get(0);
    assert!(follow(&ours, &mut cursor).await.unwrap().is_empty());
    // As a crash does: the sequence is where the last commit has left it.
    client.query_one("SELECT setval('annul_place', $1::bigint)", &[&(drawn - 1)]).await.unwrap();
    ours.revoke(&of_grant("after")).await.unwrap();
    assert_eq!(names(&follow(&ours, &mut cursor).await.unwrap()), ["after"]);
}
