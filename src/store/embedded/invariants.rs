//! What is true of the records after every batch, whatever was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::clock::Timestamp;
use crate::error::{StoreError, StoreErrorKind};
use crate::revocation::{Reason, Revocation, Target};
use crate::store::embedded::config::EmbeddedOptions;
use crate::store::embedded::engine::Space;
use crate::store::embedded::records::{Due, EntryRow, decode, feed_key};
use crate::store::embedded::store::EmbeddedStore;
use crate::store::{
    Lifetimes, Retention, Rotation, Session, Sweep, SweepBudget, TokenLedger, TokenStore,
};
use crate::token::{DigestKey, Grant, NewToken, PresentedToken, TokenState};

/// Of a record: its space and its key.
type Place = (Space, Vec<u8>);

/// What somebody asks for, with clocks that stand wherever they like.
#[derive(Clone, Debug)]
enum Asked {
    Issue { grant: u8, tokens: Vec<(u8, bool)>, now: Timestamp, expiry: Timestamp },
    Rotate { grant: u8, spent: u8, successor: u8, now: Timestamp, expiry: Timestamp },
    OpenSession { session: u8, now: Timestamp, expiry: Timestamp },
    Revoke { target: Target, at: Timestamp },
    Sweep { now: Timestamp, rows: usize },
}

fn times() -> impl Strategy<Value = Timestamp> {
    let start = 1_800_000_000_000_u64;
    let near = prop_oneof![Just(0), Just(50), Just(100), Just(700_000), Just(2_000_000)];
    let near = (near, 0..20_u64).prop_map(move |(after, more)| start + after + more);
    prop_oneof![8 => near, 1 => Just(0), 1 => Just(u64::MAX)].prop_map(Timestamp::from_unix_millis)
}

fn targets() -> impl Strategy<Value = Target> {
    prop_oneof![
        (0..8_u8).prop_map(|grant| Target::Grant(format!("g{grant}").into())),
        (0..4_u8).prop_map(|session| Target::Session(format!("s{session}").into())),
        Just(Target::Subject("alice".into())),
        Just(Target::Everything),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let tokens = prop::collection::vec((0..30_u8, any::<bool>()), 1..12);
    prop_oneof![
        (0..8_u8, tokens, times(), times()).prop_map(|(grant, tokens, now, expiry)| Asked::Issue {
            grant,
            tokens,
            now,
            expiry
        }),
        (0..8_u8, 0..30_u8, 0..30_u8, times(), times()).prop_map(
            |(grant, spent, successor, now, expiry)| Asked::Rotate {
                grant,
                spent,
                successor,
                now,
                expiry
            }
        ),
        (0..4_u8, times(), times()).prop_map(|(session, now, expiry)| Asked::OpenSession {
            session,
            now,
            expiry
        }),
        (targets(), times()).prop_map(|(target, at)| Asked::Revoke { target, at }),
        (times(), prop_oneof![Just(1), Just(7), Just(200)])
            .prop_map(|(now, rows)| Asked::Sweep { now, rows }),
    ]
}

fn name(grant: u8, token: u8, is_access: bool) -> String {
    format!("{grant}-{token}-{is_access}")
}

fn new(name: &str, is_access: bool, expiry: Timestamp) -> NewToken<'_> {
    let token = PresentedToken::new(name);
    if is_access { NewToken::access(token, expiry) } else { NewToken::refresh(token, expiry) }
}

/// A conflict is an answer like others here, and nothing else that fails is.
fn answered<T>(outcome: Result<T, StoreError>) {
    if let Err(error) = outcome {
        assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error}");
    }
}

async fn ask(store: EmbeddedStore, asked: Asked) {
    match asked {
        Asked::Issue { grant, tokens, now, expiry } => {
            let named = tokens.iter().map(|(token, kind)| (name(grant, *token, *kind), *kind));
            let named: Vec<_> = named.collect();
            let tokens: Vec<_> =
                named.iter().map(|(name, kind)| new(name, *kind, expiry)).collect();
            // One login for each grant, as in life.
            let login = Timestamp::from_unix_millis(1_800_000_000_000 + 50 * u64::from(grant % 4));
            let grant = Grant::new(format!("g{grant}"), "web", login).subject("alice");
            answered(store.issue(grant, &tokens, now).await);
        }
        Asked::Rotate { grant, spent, successor, now, expiry } => {
            let (spent, successor) = (name(grant, spent, false), name(grant, successor, false));
            let successors = [new(&successor, false, expiry)];
            let client = "web".into();
            let rotation = Rotation::new(PresentedToken::new(&spent), &client, &successors, now);
            answered(store.rotate(&rotation.with_grace(Duration::from_millis(50))).await);
        }
        Asked::OpenSession { session, now, expiry } => {
            let session = Session::new(format!("s{session}"), "alice", now, expiry).client("web");
            answered(store.open_session(session).await);
        }
        Asked::Revoke { target, at } => {
            let revocation = Revocation::by_operator(target, Reason::Administrative, at);
            store.revoke(&revocation).await.unwrap();
        }
        Asked::Sweep { now, rows } => {
            store.sweep(now, SweepBudget::rows(rows)).await.unwrap();
        }
    }
}

fn records(store: &EmbeddedStore, space: Space) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = store.root.shared.engine();
    let snapshot = engine.as_ref().unwrap().snapshot();
    let all = snapshot.range(space, Bound::Unbounded, Bound::Unbounded);
    all.map(|record| record.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

fn due(store: &EmbeddedStore) -> Vec<Due> {
    let lines = records(store, Space::Due);
    lines.iter().flat_map(|(key, value)| Due::of_line(key, value).unwrap()).collect()
}

/// Each record is due once, and nothing else is; each entry has its line in the feed, and nothing else has.
fn is_whole(store: &EmbeddedStore) {
    let mut places: Vec<Place> =
        due(store).into_iter().map(|due| (due.kind.space(), due.key.to_vec())).collect();
    places.sort();
    let spaces = [Space::Entries, Space::Grants, Space::Sessions, Space::Tokens];
    let of = |space| records(store, space).into_keys().map(move |key| (space, key));
    let all: Vec<Place> = spaces.into_iter().flat_map(of).collect();
    assert_eq!(places, all);
    let entries = records(store, Space::Entries);
    let lines = entries.iter().map(|(key, entry)| {
        let entry: EntryRow<'_> = decode(entry).unwrap();
        (feed_key(entry.namespace, entry.place).to_vec(), key.clone())
    });
    assert_eq!(lines.collect::<BTreeMap<_, _>>(), records(store, Space::Feed));
}

/// The tokens that may be recorded after this.
fn names(asked: &Asked) -> Vec<String> {
    match asked {
        Asked::Issue { grant, tokens, .. } => {
            tokens.iter().map(|(token, is_access)| name(*grant, *token, *is_access)).collect()
        }
        Asked::Rotate { grant, successor, .. } => vec![name(*grant, *successor, false)],
        Asked::OpenSession { .. } | Asked::Revoke { .. } | Asked::Sweep { .. } => Vec::new(),
    }
}

/// The state of each token that is recorded.
async fn states(issued: &[(EmbeddedStore, String)]) -> Vec<(usize, TokenState)> {
    let mut states = Vec::new();
    for (number, (store, name)) in issued.iter().enumerate() {
        if let Some(record) = store.find(PresentedToken::new(name), None).await.unwrap() {
            states.push((number, record.state()));
        }
    }
    states
}

async fn recorded(issued: &[(EmbeddedStore, String)]) -> BTreeSet<usize> {
    states(issued).await.into_iter().map(|(number, _)| number).collect()
}

async fn revoked(issued: &[(EmbeddedStore, String)]) -> BTreeSet<usize> {
    let is_dead = |state| matches!(state, TokenState::Revoked { .. });
    let states = states(issued).await.into_iter();
    states.filter(|(_, state)| is_dead(*state)).map(|(number, _)| number).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        // A counterexample becomes a test of its own, with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_record_is_due_once_and_goes_in_its_time(
        rounds in prop::collection::vec((any::<bool>(), prop::collection::vec(asked(), 1..24)), 1..8),
        last in times(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        runtime.unwrap().block_on(async {
            static CASE: AtomicU64 = AtomicU64::new(0);
            let case = CASE.fetch_add(1, Relaxed);
            let folder = format!("annul-invariants-{}-{case}", std::process::id());
            let folder = std::env::temp_dir().join(folder);
            let (access_tokens, refresh_tokens) =
                (Duration::from_millis(40), Duration::from_millis(20));
            let retention = Retention { access_tokens, refresh_tokens };
            // Short, so that the records of one case are due before and after those of another.
            let lifetimes = Lifetimes::default()
                .with_retention(retention)
                .with_in_flight(Duration::from_millis(10))
                .with_clock_leap(Duration::MAX);
            let options = EmbeddedOptions::new(&folder).lifetimes(lifetimes);
            let store = options.open(&DigestKey::new(&[7; 32])).unwrap();
            let mut issued = Vec::new();
            for (elsewhere, round) in rounds {
                let store = if elsewhere { store.namespace(&"b".into()) } else { store.clone() };
                issued.extend(round.iter().flat_map(names).map(|name| (store.clone(), name)));
                let mut tasks = JoinSet::new();
                for asked in round {
                    tasks.spawn(ask(store.clone(), asked));
                }
                while let Some(done) = tasks.join_next().await {
                    done.unwrap();
                }
                is_whole(&store);
            }
            let mut dead = revoked(&issued).await;
            while store.sweep(last, SweepBudget::rows(2)).await.unwrap().more {
                is_whole(&store);
                let known = recorded(&issued).await;
                dead.retain(|name| known.contains(name));
                let still = revoked(&issued).await;
                assert!(dead.is_subset(&still), "alive again: {:?}", dead.difference(&still));
            }
            // What is kept for ever is due at the end of time, and not even then.
            assert!(due(&store).iter().all(|due| due.at > last || due.at == Timestamp::MAX));
            drop(store);
            std::fs::remove_dir_all(folder).unwrap();
        });
    }
}
