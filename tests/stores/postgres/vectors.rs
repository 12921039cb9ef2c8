//! The rules that are written in SQL, held to the vectors that all stores share.

use annul::store::rules::rotation::{Decision, Family};
use annul::store::{PostgresStore, Refused, Rotated, Rotation, TokenLedger, TokenStore};
use annul::testkit::vectors::{self, RotationCase, START};
use annul::{
    ClientId, Grant, Namespace, NewToken, PresentedToken, Reason, Revocation, Target, Timestamp,
    TokenDigest, TokenKind,
};
use tokio_postgres::Client;

use crate::server;
use crate::tenancy::{Place, key};

const WORKERS: usize = 4;

/// A namespace for each case.
fn namespaces(store: PostgresStore) -> impl FnMut() -> PostgresStore {
    let mut count = 0;
    move || {
        count += 1;
        store.namespace(&Namespace::new(format!("case{count}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_of_covering_is_answered_right() {
    let place = Place::new(server::shared()).await;
    let store = PostgresStore::connect(place.config()).await.unwrap();
    let checked = vectors::check_covering(namespaces(store)).await.unwrap();
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
    assert!(checked.unreachable.is_empty());
    // Each once before the revocations and once after them.
    assert_eq!(checked.cases, 2 * vectors::covering().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_of_rotation_that_a_caller_can_bring_about_is_answered_right() {
    let place = Place::new(server::shared()).await;
    let store = PostgresStore::connect(place.config()).await.unwrap();
    let checked = vectors::check_rotation(namespaces(store)).await.unwrap();
    assert!(checked.wrong.is_empty(), "{:#?}", checked.wrong);
    assert_eq!(checked.cases + checked.unreachable.len(), vectors::rotation().len());
    // The others are tried below.
    assert!(checked.unreachable.len() * 4 < checked.cases, "{:?}", checked.unreachable);
}

/// The others as well: each is set up in the tables, and the tables are looked at afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vector_of_rotation_is_answered_right_where_it_is_set_up_in_the_tables() {
    let place = Place::new(server::shared()).await;
    let store = PostgresStore::connect(place.config()).await.unwrap();
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let (store, client) = (store.clone(), place.client().await);
        workers.push(tokio::spawn(async move {
            let mut tried = 0;
            for (n, case) in vectors::rotation().iter().enumerate() {
                if n % WORKERS != worker {
                    continue;
                }
                // A family that is not rotated yet, and one whose row is gone.
                let gone: &[bool] = if case.family.is_none() { &[false, true] } else { &[false] };
                for is_gone in gone {
                    let namespace = Namespace::new(format!("case{n}-{is_gone}"));
                    let table =
                        Table { store: store.namespace(&namespace), namespace, client: &client };
                    table.try_case(case, *is_gone).await;
                    tried += 1;
                }
            }
            tried
        }));
    }
    let mut tried = 0;
    for worker in workers {
        tried += worker.await.unwrap();
    }
    let without_family = vectors::rotation().iter().filter(|case| case.family.is_none()).count();
    assert_eq!(tried, vectors::rotation().len() + without_family);
}

/// One case in a namespace of its own.
struct Table<'a> {
    store: PostgresStore,
    namespace: Namespace,
    client: &'a Client,
}

impl Table<'_> {
    fn digest(&self) -> TokenDigest {
        key().for_namespace(&self.namespace).digest(PresentedToken::new("tested"))
    }

    async fn set_up(&self, case: &RotationCase, is_gone: bool) {
        let (token, digest) = (&case.token, self.digest());
        let digest = digest.as_bytes().as_slice();
        let grant = Grant::new("g", "web", START).subject("alice").session("s");
        let tested = PresentedToken::new("tested");
        let new = match token.kind {
            TokenKind::AccessToken => NewToken::access(tested, token.expires_at),
            TokenKind::RefreshToken | _ => NewToken::refresh(tested, token.expires_at),
        };
        self.store.issue(grant.clone(), &[new], START).await.unwrap();
        let generation = i32::try_from(token.generation.get()).unwrap();
        let sql = "UPDATE annul_token SET consumed = $2, generation = $3 WHERE digest = $1
                   RETURNING grant_key";
        let row = self.client.query_one(sql, &[&digest, &token.is_consumed, &generation]).await;
        let row = row.unwrap();
        let grant_key: &[u8] = row.get(0);
        if let Some(Family { generation, rotated_at }) = case.family {
            let generation = i32::try_from(generation.get()).unwrap();
            let rotated_at = i64::try_from(rotated_at.as_unix_millis()).unwrap();
            let sql = "UPDATE annul_grant SET generation = $2, rotated_at = $3 WHERE key = $1";
            let written = self.client.execute(sql, &[&grant_key, &generation, &rotated_at]).await;
            assert_eq!(written.unwrap(), 1);
        } else if is_gone {
            let sql = "DELETE FROM annul_grant WHERE key = $1";
            assert_eq!(self.client.execute(sql, &[&grant_key]).await.unwrap(), 1);
        }
        if let Some(by) = token.covered_by {
            let target = grant.targets().find(|target| target.kind() == by);
            let target = target.unwrap_or_else(|| Target::Token(self.digest().into()));
            let revocation = Revocation::by_operator(target, Reason::Administrative, case.now);
            self.store.revoke(&revocation).await.unwrap();
        }
    }

    /// Whether the token is consumed, and its family where it was rotated.
    async fn state(&self) -> (bool, Option<Family>) {
        let sql = "SELECT t.consumed, g.generation, g.rotated_at
                   FROM annul_token t LEFT JOIN annul_grant g ON g.key = t.grant_key WHERE t.digest = $1";
        let digest = self.digest();
        let row = self.client.query_one(sql, &[&digest.as_bytes().as_slice()]).await.unwrap();
        let generation = row.get::<_, Option<i32>>(1).filter(|generation| *generation > 0);
        let family = generation.map(|generation| Family {
            generation: annul::store::rules::rotation::Generation::new(generation.cast_unsigned()),
            rotated_at: Timestamp::from_unix_millis(row.get::<_, i64>(2).cast_unsigned()),
        });
        (row.get(0), family)
    }

    async fn try_case(&self, case: &RotationCase, is_gone: bool) {
        self.set_up(case, is_gone).await;
        let before = self.state().await;
        assert_eq!(before, (case.token.is_consumed, case.family), "{}", case.line);
        let presenter = ClientId::new(if case.token.is_own { "web" } else { "other" });
        let successor = [NewToken::refresh(PresentedToken::new("successor"), Timestamp::MAX)];
        let tested = PresentedToken::new("tested");
        let rotation =
            Rotation::new(tested, &presenter, &successor, case.now).with_grace(case.grace);
        let rotated = self.store.rotate(&rotation).await.unwrap();
        let seen = match &rotated {
            Rotated::Applied(_) => "first",
            Rotated::AppliedInGrace(_) => "in-grace",
            Rotated::Reused(_) => "reuse",
            Rotated::Refused(Refused::Expired) => "expired",
            Rotated::Refused(Refused::ForeignClient) => "foreign",
            Rotated::Refused(Refused::NotARefreshToken) => "not-refresh",
            Rotated::Refused(refused) => &format!("{refused:?}"),
            other => panic!("{other:?}"),
        };
        let (expected, after) = match case.expected {
            Decision::First(family) => ("first", (true, Some(family))),
            Decision::InGrace => ("in-grace", before),
            Decision::Reuse => ("reuse", before),
            Decision::Refuse(Refused::Expired) => ("expired", before),
            Decision::Refuse(Refused::ForeignClient) => ("foreign", before),
            Decision::Refuse(Refused::NotARefreshToken) => ("not-refresh", before),
            Decision::Refuse(refused) => (&*format!("{refused:?}"), before),
        };
        assert_eq!(seen, expected, "{}", case.line);
        assert_eq!(self.state().await, after, "{}", case.line);
        let found = self.store.find(PresentedToken::new("successor"), None).await.unwrap();
        let is_recorded = matches!(case.expected, Decision::First(_) | Decision::InGrace);
        assert_eq!(found.is_some(), is_recorded, "{}", case.line);
    }
}
