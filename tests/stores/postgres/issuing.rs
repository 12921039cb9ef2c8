//! What may be issued and revoked, and that nothing is stored of what may not.

use std::time::Duration;

use annul::store::{
    PostgresStore, Rotated, Rotation, StoreError, StoreErrorKind, Sweep, SweepBudget, TokenLedger,
    TokenStore,
};
use annul::{ClientId, Grant, NewToken, PresentedToken, Target, TokenId};

use crate::server;
use crate::tenancy::Place;
use crate::words::{access, at, grant, is_known, operator, refresh};

async fn store(place: &Place) -> PostgresStore {
    PostgresStore::connect(place.config()).await.unwrap()
}

fn kind<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.unwrap_err().kind()
}

/// All rows but those of the horizons: to say that something may last longer records nothing.
async fn records(place: &Place) -> String {
    let dump = place.dump().await.unwrap();
    dump.lines().filter(|line| !line.starts_with("annul_namespace ")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_revoked_is_not_recorded() {
    let place = Place::new(server::shared()).await;
    let store = store(&place).await;
    store.issue(grant("g"), &[refresh("rt", 9)], at(0)).await.unwrap();
    let before = place.dump().await.unwrap();
    let long = "x".repeat(PresentedToken::MAX_BYTES + 1);
    let heavy = "x".repeat(annul::store::rules::issuing::LONGEST_COUNTERPART + 1);
    let unfit = [refresh(&long, 9), access("heavy", 9).keep_counterpart(heavy.as_str())];
    for unfit in unfit {
        let new = [access("at", 9), unfit];
        let issued = store.issue(grant("g"), &new, at(0)).await;
        assert_eq!(kind(issued), StoreErrorKind::Unsupported);
        let web = "web".into();
        let rotation = Rotation::new(PresentedToken::new("rt"), &web, &new, at(0));
        assert_eq!(kind(store.rotate(&rotation).await), StoreErrorKind::Unsupported);
    }
    let revocation = operator(Target::Token(TokenId::named("jti-1")), at(0));
    assert_eq!(kind(store.revoke(&revocation).await), StoreErrorKind::Unsupported);
    assert_eq!(place.dump().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_of_another_client_or_subject_is_a_conflict_while_a_token_of_it_is_recorded() {
    let place = Place::new(server::shared()).await;
    let store = store(&place).await;
    store.issue(grant("g"), &[access("at", 9), refresh("rt", 9)], at(0)).await.unwrap();
    let others = || {
        [
            Grant::new("g", "other", at(0)).subject("alice"),
            Grant::new("g", "web", at(0)).subject("bob"),
            Grant::new("g", "web", at(0)),
        ]
    };
    let before = place.dump().await.unwrap();
    for other in others() {
        let issued = store.issue(other, &[access("theirs", 9), refresh("rt", 9)], at(0)).await;
        assert_eq!(kind(issued), StoreErrorKind::Conflict);
    }
    assert_eq!(place.dump().await.unwrap(), before);
    // Its own may go on, in another session as well.
    let again = Grant::new("g", "web", at(5)).subject("alice").session("elsewhere");
    store.issue(again, &[access("more", 9)], at(5)).await.unwrap();
    // Rotated, and its first tokens long gone: it is still the same grant.
    let (web, next) = ("web".into(), [refresh("next", 24 * 60)]);
    let rotation = Rotation::new(PresentedToken::new("rt"), &web, &next, at(5));
    store.rotate(&rotation).await.unwrap();
    for days in [9, 50] {
        store.sweep(at(60 * 24 * days), SweepBudget::default()).await.unwrap();
        for other in others() {
            let issued = store.issue(other, &[access("theirs", 9)], at(5)).await;
            assert_eq!(kind(issued), StoreErrorKind::Conflict);
        }
    }
    store.sweep(at(60 * 24 * 70), SweepBudget::default()).await.unwrap();
    let [other, _, _] = others();
    store.issue(other, &[access("theirs", 9)], at(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_owners_of_one_grant_one_is_first_and_of_the_other_nothing_is_stored() {
    let place = Place::new(server::shared()).await;
    let (one, two) = (store(&place).await, store(&place).await);
    for round in 0..30 {
        let id = format!("g{round}");
        let racers = [("alice", one.clone()), ("bob", two.clone())].map(|(subject, store)| {
            let grant = Grant::new(id.as_str(), "web", at(0)).subject(subject);
            let token = format!("{subject}{round}");
            tokio::spawn(async move {
                let issued = store.issue(grant, &[refresh(&token, 9)], at(0)).await;
                (issued.map_err(|error| error.kind()), is_known(&store, &token).await)
            })
        });
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                (Ok(_), true) => winners += 1,
                (Err(StoreErrorKind::Conflict), false) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!(winners, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_one_token_is_taken_none_is_recorded() {
    let place = Place::new(server::shared()).await;
    let (one, two) = (store(&place).await, store(&place).await);
    one.issue(grant("g"), &[access("at", 9)], at(0)).await.unwrap();
    let before = records(&place).await;
    for (id, taken) in [("other", access("at", 9)), ("g", refresh("at", 9))] {
        let issued = one.issue(grant(id), &[access("a", 9), taken, access("z", 9)], at(0)).await;
        assert_eq!(kind(issued), StoreErrorKind::Conflict);
    }
    // Twice in one call, as two kinds.
    let issued = one.issue(grant("h"), &[access("x", 9), refresh("x", 9)], at(0)).await;
    assert_eq!(kind(issued), StoreErrorKind::Conflict);
    assert_eq!(records(&place).await, before);
    // The same token twice in one call is one token.
    one.issue(grant("h"), &[access("x", 9), access("x", 9)], at(0)).await.unwrap();
    // The same tokens of the same grant, twice at once: recorded once, and good for both.
    for round in 0..30 {
        let id = format!("same{round}");
        let racers = [one.clone(), two.clone()].map(|store| {
            let id = id.clone();
            tokio::spawn(async move { store.issue(grant(&id), &[access(&id, 9)], at(0)).await })
        });
        for racer in racers {
            racer.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_whose_successor_is_taken_consumes_the_token_and_records_nothing() {
    let place = Place::new(server::shared()).await;
    let store = store(&place).await;
    store.issue(grant("other"), &[access("taken", 9)], at(0)).await.unwrap();
    store.issue(grant("g"), &[refresh("rt", 9)], at(0)).await.unwrap();
    let web = ClientId::new("web");
    let rotate = async |new: &[NewToken<'_>]| {
        let rotation = Rotation::new(PresentedToken::new("rt"), &web, new, at(1));
        store.rotate(&rotation.with_grace(Duration::from_secs(10))).await
    };
    for _ in 0..2 {
        let new = [refresh("a", 9), access("taken", 9), refresh("z", 9)];
        assert_eq!(kind(rotate(&new).await), StoreErrorKind::Conflict);
        assert!(!is_known(&store, "a").await && !is_known(&store, "z").await);
    }
    let record = store.find(PresentedToken::new("rt"), None).await.unwrap().unwrap();
    assert_eq!(record.state(), annul::TokenState::Consumed);
    let rotated = rotate(&[refresh("a", 9)]).await.unwrap();
    assert!(matches!(rotated, Rotated::AppliedInGrace(_)), "{rotated:?}");
}

/// Another process has recorded one of the tokens under its own grant, and has not committed yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_another_process_is_recording_is_waited_for_and_is_a_conflict() {
    for ends in ["COMMIT", "ROLLBACK"] {
        let place = Place::new(server::shared()).await;
        let store = store(&place).await;
        store.issue(grant("theirs"), &[access("shared", 9)], at(0)).await.unwrap();
        let other = place.client().await;
        let undone =
            "CREATE TEMPORARY TABLE theirs AS SELECT * FROM annul_token; DELETE FROM annul_token";
        other.batch_execute(undone).await.unwrap();
        let again = "BEGIN; INSERT INTO annul_token SELECT * FROM theirs";
        other.batch_execute(again).await.unwrap();
        let issuing = {
            let store = store.clone();
            tokio::spawn(async move {
                let new = [access("a", 9), access("shared", 9), access("z", 9)];
                store.issue(grant("ours"), &new, at(0)).await
            })
        };
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE usename = $1::text AND wait_event_type = 'Lock'";
        let admin = place.server.admin().await;
        while admin.query_one(waits, &[&place.name]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.batch_execute(ends).await.unwrap();
        let issued = issuing.await.unwrap();
        let is_ours = ends == "ROLLBACK";
        for token in ["a", "z"] {
            assert_eq!(is_known(&store, token).await, is_ours, "`{token}` after {ends}");
        }
        match issued {
            Ok(_) => assert!(is_ours),
            Err(error) => {
                assert!(!is_ours && error.kind() == StoreErrorKind::Conflict, "{error:?}")
            }
        }
    }
}
