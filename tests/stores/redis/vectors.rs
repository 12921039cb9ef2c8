//! The vectors of `tests/vectors`: through the store, and with every case of rotation set up in the keys themselves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::rules::rotation::{Decision, Family, Generation};
use annul::store::{Rotated, Rotation, TokenLedger, TokenStore};
use annul::testkit::vectors::{self, RotationCase, START};
use annul::{
    ClientId, DigestKey, Grant, Namespace, NewToken, PresentedToken, Reason, RedisStore,
    Revocation, Target, TargetKind, Timestamp, TokenKind,
};

use crate::servers::Server;

async fn connect(server: &Server, shards: u16) -> RedisStore {
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    RedisStore::connect(config.shards(shards).timeout(Duration::from_secs(10))).await.unwrap()
}

/// Makes an empty store for each case.
fn fresh(store: &RedisStore) -> impl FnMut() -> RedisStore {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    move || {
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        store.namespace(&Namespace::new(format!("case-{number}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_follows_the_vectors() {
    let server = Server::start(&[]);
    for shards in [1, 4] {
        let store = connect(&server, shards).await;
        let checked = vectors::check_rotation(fresh(&store)).await.unwrap();
        assert!(checked.wrong.is_empty(), "{shards} shards: {:#?}", checked.wrong);
        let all = vectors::rotation().len();
        assert_eq!(checked.cases + checked.unreachable.len(), all);
        assert!(checked.cases * 10 > all * 8, "{} of {all}", checked.cases);
        server.ask(&["FLUSHALL"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn covering_follows_the_vectors() {
    let server = Server::start(&[]);
    for shards in [1, 4] {
        let store = connect(&server, shards).await;
        let checked = vectors::check_covering(fresh(&store)).await.unwrap();
        assert!(checked.wrong.is_empty(), "{shards} shards: {:#?}", checked.wrong);
        assert_eq!(checked.cases, 2 * vectors::covering().len());
        server.ask(&["FLUSHALL"]);
    }
}

/// The keys of one store, which the test writes itself.
struct Keys(redis::Connection);

impl Keys {
    fn of(server: &Server) -> Self {
        Self(redis::Client::open(server.url()).unwrap().get_connection().unwrap())
    }

    /// The one key whose letter behind the hash tag is this.
    fn key(&mut self, letter: u8) -> Option<Vec<u8>> {
        let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut self.0).unwrap();
        let is_it = |key: &Vec<u8>| {
            let end = key.iter().position(|byte| *byte == b'}').unwrap();
            key.get(end + 1) == Some(&letter)
        };
        keys.into_iter().find(is_it)
    }

    fn write(&mut self, key: &[u8], at: usize, bytes: &[u8]) {
        redis::cmd("SETRANGE").arg(key).arg(at).arg(bytes).exec(&mut self.0).unwrap();
    }

    /// Puts the token and its family into the state of a case; see `lua/token.lua` and `lua/grant.lua`.
    fn set_up(&mut self, case: &RotationCase) {
        let token = self.key(b't').unwrap();
        self.write(&token, 26, &case.token.generation.get().to_be_bytes());
        let mark = match (case.token.is_consumed, case.is_imported) {
            (false, _) => [0; 16],
            (true, false) => [1; 16],
            (true, true) => [0xff; 16],
        };
        self.write(&token, 30, &mark);
        let grant = self.key(b'g').unwrap();
        match case.family {
            Some(family) => {
                self.write(&grant, 24, &u64::from(family.generation.get()).to_be_bytes());
                self.write(&grant, 32, &family.rotated_at.as_unix_millis().to_be_bytes());
            }
            // It was consumed, and its family is gone.
            None if case.token.is_consumed => {
                redis::cmd("DEL").arg(&grant).exec(&mut self.0).unwrap();
            }
            None => {}
        }
    }

    fn family(&mut self) -> Option<Family> {
        let grant = self.key(b'g')?;
        let value: Vec<u8> = redis::cmd("GET").arg(&grant).query(&mut self.0).unwrap();
        let number = |from: usize| {
            let bytes = value.get(from..from + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().unwrap()))
        };
        Some(Family {
            generation: Generation::new(u32::try_from(number(24)?).unwrap()),
            rotated_at: Timestamp::from_unix_millis(number(32)?),
        })
    }
}

async fn rotated(store: &RedisStore, keys: &mut Keys, case: &RotationCase) -> Rotated {
    let token = &case.token;
    let grant = Grant::new("g", "web", START).subject("alice").session("s");
    let tested = PresentedToken::new("tested");
    let new = if token.kind == TokenKind::AccessToken {
        NewToken::access(tested, token.expires_at)
    } else {
        NewToken::refresh(tested, token.expires_at)
    };
    store.issue(grant.clone(), &[new], START).await.unwrap();
    keys.set_up(case);
    if let Some(by) = token.covered_by {
        let target = if by == TargetKind::Token {
            let found = store.find(tested, None).await.unwrap().unwrap();
            Target::Token(found.id().clone())
        } else {
            grant.targets().find(|target| target.kind() == by).unwrap()
        };
        let revocation = Revocation::by_operator(target, Reason::Administrative, case.now);
        store.revoke(&revocation).await.unwrap();
    }
    let presenter = ClientId::new(if token.is_own { "web" } else { "other" });
    let successor = [NewToken::refresh(PresentedToken::new("successor"), Timestamp::MAX)];
    let rotation = Rotation::new(tested, &presenter, &successor, case.now).with_grace(case.grace);
    store.rotate(&rotation).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_of_rotation_is_answered_from_the_keys_and_leaves_the_family_as_it_must_be() {
    let server = Server::start(&[]);
    for shards in [1, 4] {
        let mut wrong = Vec::new();
        let mut cases = 0;
        let store = connect(&server, shards).await;
        for case in vectors::rotation() {
            server.ask(&["FLUSHALL"]);
            let mut keys = Keys::of(&server);
            let seen = rotated(&store, &mut keys, &case).await;
            let is_right = match (&seen, case.expected) {
                (Rotated::Applied(_), Decision::First(_))
                | (Rotated::AppliedInGrace(_), Decision::InGrace)
                | (Rotated::Reused(_), Decision::Reuse) => true,
                (Rotated::Refused(seen), Decision::Refuse(expected)) => *seen == expected,
                (_, _) => false,
            };
            let expected = match case.expected {
                Decision::First(family) => Some(family),
                Decision::InGrace | Decision::Refuse(_) | Decision::Reuse => case.family,
            };
            let family = keys.family();
            if !is_right || family != expected {
                wrong.push(format!("{}: {seen:?}, {family:?}", case.line));
            }
            cases += 1;
        }
        assert!(wrong.is_empty(), "{shards} shards: {wrong:#?}");
        assert_eq!(cases, vectors::rotation().len());
        assert!(cases > 200, "{cases}");
        server.ask(&["FLUSHALL"]);
    }
}
