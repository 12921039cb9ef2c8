//! What is refused when it is issued, rotated or revoked, and what is left behind then.

use std::time::Duration;

use annul::store::redis::RedisConfig;
use annul::store::{
    Issued, Lifetimes, Rotation, StoreError, StoreErrorKind, Sweep, SweepBudget, TokenLedger,
    TokenStore,
};
use annul::{
    Clock, DigestKey, Grant, NewToken, PresentedToken, Reason, RedisStore, Revocation, SystemClock,
    Target, Timestamp, TokenId, TokenState,
};

use crate::load::is_good;
use crate::servers::{Server, contents};

const HOUR: Duration = Duration::from_secs(3_600);

async fn connect(server: &Server, shards: u16) -> RedisStore {
    let config = RedisConfig::new(server.url(), DigestKey::new(&[7; 32]))
        .longest_lifetime(Duration::ZERO)
        .lifetimes(Lifetimes::default().with_clock_leap(Duration::MAX));
    RedisStore::connect(config.shards(shards)).await.unwrap()
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> StoreErrorKind {
    answer.unwrap_err().kind()
}

fn refresh(name: &str, now: Timestamp) -> NewToken<'_> {
    NewToken::refresh(PresentedToken::new(name), now + HOUR)
}

/// K2.3 and K2.4.
#[tokio::test]
async fn what_could_not_be_revoked_is_refused_and_leaves_nothing() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = connect(&server, shards).await;
        let now = SystemClock.now();
        store.issue(Grant::new("g", "web", now), &[refresh("rt", now)], now).await.unwrap();
        let before = contents(&[server.port()], "annul");
        let long = "x".repeat(PresentedToken::MAX_BYTES + 1);
        for name in [long.as_str(), "", "a\nb"] {
            let tokens = [refresh("good", now), refresh(name, now)];
            let issued = store.issue(Grant::new("g", "web", now), &tokens, now).await;
            assert_eq!(kind(issued), StoreErrorKind::Unsupported);
            let web = "web".into();
            let rotation = Rotation::new(PresentedToken::new("rt"), &web, &tokens, now);
            assert_eq!(kind(store.rotate(&rotation).await), StoreErrorKind::Unsupported);
        }
        let named = Target::Token(TokenId::named("jti-1"));
        let revocation = Revocation::by_operator(named, Reason::Administrative, now);
        assert_eq!(kind(store.revoke(&revocation).await), StoreErrorKind::Unsupported);
        assert_eq!(contents(&[server.port()], "annul"), before);
        assert!(is_good(&store, "rt").await.unwrap());
    }
}

#[tokio::test]
async fn a_grant_is_its_first_owners_for_as_long_as_a_token_of_it_is_recorded() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = connect(&server, shards).await;
        let now = SystemClock.now();
        let grant = || Grant::new("g", "web", now).subject("alice");
        store.issue(grant(), &[refresh("rt", now)], now).await.unwrap();
        let strangers = [
            Grant::new("g", "spa", now).subject("alice"),
            Grant::new("g", "web", now).subject("mallory"),
            Grant::new("g", "web", now),
        ];
        for rotated in [false, true] {
            if rotated {
                let (web, next) = ("web".into(), [refresh("next", now)]);
                let rotation = Rotation::new(PresentedToken::new("rt"), &web, &next, now);
                store.rotate(&rotation).await.unwrap();
            }
            for stranger in &strangers {
                let before = contents(&[server.port()], "annul");
                let issued = store.issue(stranger.clone(), &[refresh("other", now)], now).await;
                assert_eq!(kind(issued), StoreErrorKind::Conflict, "{stranger:?}");
                assert!(store.find(PresentedToken::new("other"), None).await.unwrap().is_none());
                if shards == 1 {
                    assert_eq!(contents(&[server.port()], "annul"), before);
                }
            }
            // Another session or scope of the same owner is no other owner.
            let again = grant().session("s").scope("openid");
            let name = format!("again-{rotated}");
            let issued = store.issue(again, &[refresh(&name, now)], now).await.unwrap();
            assert_eq!(issued, Issued::Live);
        }
        // The last token is remembered for seven days after its expiry.
        let day = HOUR * 24;
        for (later, is_free) in [(day * 7 - HOUR, false), (day * 8, true)] {
            let now = now + later;
            while store.sweep(now, SweepBudget::default()).await.unwrap().more {}
            let issued = store.issue(strangers[0].clone(), &[refresh("other", now)], now).await;
            assert_eq!(issued.is_ok(), is_free, "{later:?}: {issued:?}");
        }
    }
}

#[tokio::test]
async fn all_tokens_of_an_issue_are_recorded_or_none() {
    let server = Server::start(&[]);
    let store = connect(&server, 1).await;
    let now = SystemClock.now();
    store.issue(Grant::new("g", "web", now), &[refresh("taken", now)], now).await.unwrap();
    let access = |name| NewToken::access(PresentedToken::new(name), now + HOUR);
    let before = contents(&[server.port()], "annul");
    for (grant, tokens) in [
        ("g2", [access("fresh"), refresh("taken", now)]),
        ("g", [refresh("fresh", now), access("taken")]),
        ("g", [refresh("fresh", now), access("fresh")]),
    ] {
        let issued = store.issue(Grant::new(grant, "web", now), &tokens, now).await;
        assert_eq!(kind(issued), StoreErrorKind::Conflict);
        assert_eq!(contents(&[server.port()], "annul"), before);
    }
}

/// K2.5.
#[tokio::test]
async fn a_rotation_onto_a_taken_value_consumes_the_token_and_records_nothing() {
    for shards in [1, 4] {
        let server = Server::start(&[]);
        let store = connect(&server, shards).await;
        let now = SystemClock.now();
        for (grant, name) in [("g", "rt"), ("g2", "taken")] {
            store.issue(Grant::new(grant, "web", now), &[refresh(name, now)], now).await.unwrap();
        }
        let (web, tokens) = ("web".into(), [refresh("fresh", now), refresh("taken", now)]);
        let rotation = Rotation::new(PresentedToken::new("rt"), &web, &tokens, now);
        assert_eq!(kind(store.rotate(&rotation).await), StoreErrorKind::Conflict);
        let found = store.find(PresentedToken::new("rt"), None).await.unwrap().unwrap();
        assert_eq!(found.state(), TokenState::Consumed);
        if shards == 1 {
            assert!(store.find(PresentedToken::new("fresh"), None).await.unwrap().is_none());
        }
        let tokens = [refresh("second", now)];
        let rotation = Rotation::new(PresentedToken::new("rt"), &web, &tokens, now);
        let rotated = store.rotate(&rotation.with_grace(HOUR)).await;
        assert!(matches!(rotated, Ok(annul::store::Rotated::AppliedInGrace(_))), "{rotated:?}");
    }
}
