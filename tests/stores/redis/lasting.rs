//! How long Redis itself keeps what, by its own clock.

use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{Issued, Retention, Rotation, Session, TokenLedger, TokenStore};
use annul::{
    Clock, DigestKey, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock,
    Target,
};

use crate::servers::Server;

const DAY: Duration = Duration::from_secs(86_400);

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

/// Every key with the instant at which Redis forgets it, -1 for never.
fn keys(server: &Server) -> Vec<(Vec<u8>, i64)> {
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let mut instant =
        |key: &[u8]| redis::cmd("PEXPIRETIME").arg(key).query(&mut connection).unwrap();
    keys.into_iter().map(|key| (key.clone(), instant(&key))).collect()
}

/// The letter behind the hash tag.
fn part(key: &[u8]) -> Option<u8> {
    let end = key.iter().position(|byte| *byte == b'}')?;
    key.get(end + 1).copied()
}

#[tokio::test]
async fn no_entry_is_forgotten_before_a_record_that_it_covers() {
    for shards in [1, 4] {
        for (late, target) in
            [false, true].into_iter().flat_map(|late| targets().map(|t| (late, t)))
        {
            let server = Server::start(&[]);
            let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32])).shards(shards);
            let store = RedisStore::connect(config).await.unwrap();
            let now = SystemClock.now();
            let grant = || Grant::new("g", "web", now).subject("alice").session("s");
            let revocation = Revocation::by_operator(target.clone(), Reason::Administrative, now);
            if late {
                store.revoke(&revocation).await.unwrap();
            }
            let tokens = [
                NewToken::access(PresentedToken::new("at"), now + DAY),
                NewToken::refresh(PresentedToken::new("rt"), now + 30 * DAY),
            ];
            store.issue(grant(), &tokens, now).await.unwrap();
            if !late {
                let web = "web".into();
                let next = [NewToken::refresh(PresentedToken::new("next"), now + 60 * DAY)];
                let rotation = Rotation::new(PresentedToken::new("rt"), &web, &next, now);
                store.rotate(&rotation).await.unwrap();
                let session = Session::new("s", "alice", now, now + DAY).client("web");
                store.open_session(session).await.unwrap();
                store.revoke(&revocation).await.unwrap();
            }
            let keys = keys(&server);
            let of = |letter: u8| keys.iter().filter(move |(key, _)| part(key) == Some(letter));
            let records = of(b't').map(|(_, instant)| *instant).max().unwrap();
            let entries = of(b'e').map(|(_, instant)| *instant).min().unwrap();
            assert!(entries > records, "{target:?}, {shards} shards: {entries} and {records}");
            let retention = Retention::default().refresh_tokens;
            let kept = now + 30 * DAY + retention;
            assert!(records >= i64::try_from(kept.as_unix_millis()).unwrap());
            // Nothing stays for ever but what is one for each shard, and one for all.
            for (key, instant) in &keys {
                let is_one = part(key).is_none_or(|part| part == b'm');
                assert_eq!(*instant == -1, is_one, "{}", String::from_utf8_lossy(key));
            }
        }
    }
}

#[tokio::test]
async fn what_redis_forgets_by_itself_was_dead_to_the_last() {
    let server = Server::start(&[]);
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    let store = RedisStore::connect(config).await.unwrap();
    // Issued so long ago that Redis forgets it in a moment; to those who call, it is just then.
    let then = SystemClock.now() + Duration::from_secs(1)
        - DAY
        - Retention::default().refresh_tokens
        - DAY;
    let tokens = [
        NewToken::refresh(PresentedToken::new("dead"), then + DAY),
        NewToken::refresh(PresentedToken::new("lives"), then + 30 * DAY),
    ];
    for (name, token) in ["g", "g2"].into_iter().zip(tokens) {
        store.issue(Grant::new(name, "web", then), &[token], then).await.unwrap();
    }
    let revocation = Revocation::by_operator(Target::Grant("g".into()), Reason::Logout, then);
    store.revoke(&revocation).await.unwrap();
    let mut looks = 0;
    while let Some(found) = store.find(PresentedToken::new("dead"), None).await.unwrap() {
        assert!(!found.verdict(then).is_active(), "it is good after {looks} looks");
        looks += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(looks > 3, "Redis never had it");
    let lives = store.find(PresentedToken::new("lives"), None).await.unwrap().unwrap();
    assert!(lives.verdict(then).is_active());
}

#[tokio::test]
async fn a_cutoff_of_last_week_is_kept_where_nothing_lives() {
    let server = Server::start(&[]);
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]));
    let store = RedisStore::connect(config).await.unwrap();
    let (now, stolen) = (SystemClock.now(), SystemClock.now() - 7 * DAY);
    let revocation = Revocation::by_operator(Target::Everything, Reason::KeyCompromise, stolen);
    store.revoke(&revocation).await.unwrap();
    // The code was issued then, and is exchanged now.
    let late = [NewToken::access(PresentedToken::new("late"), now + DAY)];
    let issued = store.issue(Grant::new("g", "web", stolen), &late, now).await.unwrap();
    assert_ne!(issued, Issued::Live);
}
