//! Which key verifies an assertion, and keys that are fetched.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::Policy;
use annul::client::{AuthMethod, Client, ClientMetadata, JwksCache, JwksSource};
use annul::jose::JwkSet;
use annul::store::StoreError;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::rfc7523::{SECRET, accepts, assertions, clients, job, server_for, server_of, with_keys};
use crate::signer::{Assertion, ED25519, P256, RSA, SigningKey, base64url, jwks, presenting};
use crate::support::{START, Server, seen};

#[tokio::test]
async fn jwa_20_a_key_is_chosen_by_its_identifier() {
    let two = SigningKey::ed25519();
    let first = ED25519.jwk_with(json!({ "kid": "1" }));
    let second = two.jwk_with(json!({ "kid": "2" }));
    let another = P256.jwk_with(json!({ "kid": "3" }));
    let server = server_for([
        with_keys("one", [first.clone()]),
        with_keys("both", [first.clone(), second.clone(), another]),
        with_keys("nameless", [ED25519.jwk()]),
        with_keys("mixed", [ED25519.jwk(), second.clone()]),
        with_keys("twice", [first.clone(), two.jwk_with(json!({ "kid": "1" }))]),
        with_keys("other", [second]),
    ]);
    for (client, kid, key, accepted) in [
        ("one", None, &*ED25519, true),
        ("one", Some("1"), &*ED25519, true),
        ("one", Some("2"), &*ED25519, false),
        ("one", Some(""), &*ED25519, false),
        ("one", Some("1 "), &*ED25519, false),
        ("both", Some("1"), &*ED25519, true),
        ("both", Some("2"), &two, true),
        ("both", Some("1"), &two, false),
        ("both", Some("2"), &*ED25519, false),
        // OpenID Connect Core s10.1: among several, a `kid` must say which.
        ("both", None, &*ED25519, false),
        ("both", None, &two, false),
        ("both", Some("9"), &*ED25519, false),
        // Of another type than the algorithm's.
        ("both", Some("3"), &*ED25519, false),
        ("nameless", None, &*ED25519, true),
        ("nameless", Some("any"), &*ED25519, true),
        ("mixed", Some("2"), &two, true),
        ("mixed", Some("2"), &*ED25519, false),
        ("mixed", Some("9"), &*ED25519, true),
        ("mixed", None, &*ED25519, false),
        ("twice", Some("1"), &*ED25519, false),
        ("twice", Some("1"), &two, false),
        // The key of another client is not this one's, whatever its name.
        ("other", Some("1"), &*ED25519, false),
        ("other", None, &*ED25519, false),
    ] {
        let assertion = Assertion::of(client, "EdDSA", key);
        let assertion = match kid {
            Some(kid) => assertion.header("kid", kid),
            None => assertion,
        };
        let found = accepts(&server, client, &assertion.jwt()).await;
        assert_eq!(found, accepted, "{client} {kid:?}");
    }
    // Of one type there is but one: then the algorithm says which.
    let jwt = Assertion::of("both", "ES256", &P256).jwt();
    assert!(accepts(&server, "both", &jwt).await);
}

#[tokio::test]
async fn jwa_20_keys_for_something_else_verify_nothing() {
    for (members, accepted) in [
        (json!({}), true),
        (json!({ "use": "sig" }), true),
        (json!({ "use": "enc" }), false),
        (json!({ "use": "SIG" }), false),
        (json!({ "key_ops": ["verify"] }), true),
        (json!({ "key_ops": ["sign", "verify"] }), true),
        (json!({ "key_ops": ["sign"] }), false),
        (json!({ "key_ops": ["encrypt"] }), false),
        (json!({ "key_ops": [] }), false),
        (json!({ "alg": "RS256" }), true),
        (json!({ "alg": "PS256" }), false),
        (json!({ "alg": "RSA-OAEP-256" }), false),
        (json!({ "alg": "none" }), false),
        (json!({ "alg": "HS256" }), false),
        (json!({ "kty": "oct" }), false),
        (json!({ "kty": "EC" }), false),
        (json!({ "kty": "rsa" }), false),
        (json!({ "n": "AQAB" }), false),
        (json!({ "n": null }), false),
    ] {
        let server = server_for([with_keys("rsa", [RSA.jwk_with(members.clone())])]);
        let jwt = Assertion::of("rsa", "RS256", &RSA).jwt();
        assert_eq!(accepts(&server, "rsa", &jwt).await, accepted, "{members}");
    }
    // A point that is not on the curve, and one on another.
    for members in [
        json!({ "x": base64url([1; 32]) }),
        json!({ "crv": "P-384" }),
        json!({ "crv": "secp256k1" }),
    ] {
        let server = server_for([with_keys("p256", [P256.jwk_with(members.clone())])]);
        let jwt = Assertion::of("p256", "ES256", &P256).jwt();
        assert!(!accepts(&server, "p256", &jwt).await, "{members}");
    }
    // A symmetric key among the public ones is no secret of the client's.
    let secret = SigningKey::mac(SECRET);
    let server = server_for([with_keys("oct", [secret.jwk(), ED25519.jwk()])]);
    assert!(!accepts(&server, "oct", &Assertion::of("oct", "HS256", &secret).jwt()).await);
    assert!(accepts(&server, "oct", &Assertion::of("oct", "EdDSA", &ED25519).jwt()).await);
}

#[tokio::test]
async fn jwa_20_a_key_in_the_header_is_not_looked_at() {
    let own = SigningKey::ed25519();
    let source = Arc::new(Source::default());
    source.publish("https://evil.example/jwks", [own.jwk()]);
    let cache = Arc::new(JwksCache::new(Arc::clone(&source)));
    let server = server_of(clients(), Policy::default(), assertions().key_sets(cache));
    for (name, value) in [
        ("jwk", own.jwk()),
        ("jku", json!("https://evil.example/jwks")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
        ("x5t#S256", json!("AAAA")),
    ] {
        let forged = job().header(name, value.clone()).signed_by(&own);
        assert!(!accepts(&server, "job", &forged.jwt()).await, "{name}");
        // Whose own key signed is not harmed by it.
        assert!(accepts(&server, "job", &job().header(name, value).jwt()).await, "{name}");
    }
    assert_eq!(source.fetches(), 0);
}

/// Key sets by their URL; counts how often it is asked.
#[derive(Default)]
struct Source {
    sets: Mutex<HashMap<String, String>>,
    fetches: AtomicUsize,
    /// Every fetch takes one, where there is a gate.
    gate: Option<Semaphore>,
}

impl Source {
    fn gated() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::default() }
    }

    fn publish(&self, uri: &str, keys: impl IntoIterator<Item = Value>) {
        self.sets.lock().unwrap().insert(uri.to_owned(), jwks(keys));
    }

    /// From now on, fails.
    fn withdraw(&self, uri: &str) {
        self.sets.lock().unwrap().remove(uri);
    }

    fn fetches(&self) -> usize {
        self.fetches.load(SeqCst)
    }

    fn open(&self) {
        self.gate.as_ref().unwrap().add_permits(1);
    }
}

#[async_trait]
impl JwksSource for Source {
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
        self.fetches.fetch_add(1, SeqCst);
        match &self.gate {
            Some(gate) => gate.acquire().await.unwrap().forget(),
            // Others run meanwhile, as they would while a connection is made.
            None => tokio::task::yield_now().await,
        }
        let sets = self.sets.lock().unwrap();
        let set = sets.get(uri).ok_or_else(|| StoreError::unavailable("connection refused"))?;
        JwkSet::from_json(set.as_bytes()).map_err(StoreError::corrupt)
    }
}

const KEYS_AT: &str = "https://client.example/jwks";

/// `fetched`, whose keys are at [`KEYS_AT`], fetched at most once a minute and kept for ten.
fn server_fetching(source: &Arc<Source>) -> Server {
    let mut metadata = ClientMetadata::new("fetched", AuthMethod::PrivateKeyJwt);
    metadata.jwks_uri = Some(KEYS_AT.to_owned());
    let mut all = clients();
    all.push(Client::new(metadata));
    let cache = JwksCache::new(Arc::clone(source))
        .refetch_interval(Duration::from_secs(60))
        .lifetime(Duration::from_secs(600));
    server_of(all, Policy::default(), assertions().key_sets(cache))
}

/// An assertion of `fetched`, good from now on.
fn fetched(server: &Server, kid: &str, key: &SigningKey) -> String {
    let now = server.authority.now().as_unix_seconds();
    let assertion = Assertion::of("fetched", "EdDSA", key).header("kid", kid);
    assertion.claim("exp", now + 60).jwt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jwa_20_a_storm_of_unknown_identifiers_fetches_once() {
    const STORM: usize = 300;

    let source = Arc::new(Source::default());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = Arc::new(server_fetching(&source));
    let forger = Arc::new(SigningKey::ed25519());
    for minute in 0..3 {
        let tasks: Vec<_> = (0..STORM)
            .map(|n| {
                let (server, forger) = (Arc::clone(&server), Arc::clone(&forger));
                tokio::spawn(async move {
                    let (kid, key) = match n % 3 {
                        // Some of them are the client itself.
                        0 => ("1".to_owned(), &*ED25519),
                        _ => (format!("{minute}-{n}"), &*forger),
                    };
                    let jwt = fetched(&server, &kid, key);
                    assert_eq!(accepts(&server, "fetched", &jwt).await, n % 3 == 0);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(source.fetches(), minute + 1);
        server.clock.advance(Duration::from_secs(60));
    }
}

/// Polls once: as far as it gets by itself.
async fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    let mut future = Some(future);
    poll_fn(|context| {
        let polled = future.take().map(|future| future.poll(context));
        Poll::Ready(match polled {
            Some(Poll::Ready(output)) => Some(output),
            Some(Poll::Pending) | None => None,
        })
    })
    .await
}

#[tokio::test]
async fn jwa_20_requests_wait_for_the_fetch_that_is_under_way() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let (one, two) = (fetched(&server, "1", &ED25519), fetched(&server, "1", &ED25519));
    // Both come before there are any keys: the second must not be refused for it.
    let mut first = pin!(accepts(&server, "fetched", &one));
    let mut second = pin!(accepts(&server, "fetched", &two));
    assert_eq!(poll_once(first.as_mut()).await, None);
    assert_eq!(poll_once(second.as_mut()).await, None);
    source.open();
    assert!(first.await);
    assert_eq!(poll_once(second.as_mut()).await, Some(true));
    assert_eq!(source.fetches(), 1);

    // The same when the key was rotated: both know the new one.
    let rotated = SigningKey::ed25519();
    source.publish(KEYS_AT, [rotated.jwk_with(json!({ "kid": "2" }))]);
    server.clock.advance(Duration::from_secs(60));
    let (one, two) = (fetched(&server, "2", &rotated), fetched(&server, "2", &rotated));
    let old = fetched(&server, "1", &ED25519);
    let mut first = pin!(accepts(&server, "fetched", &one));
    let mut second = pin!(accepts(&server, "fetched", &two));
    assert_eq!(poll_once(first.as_mut()).await, None);
    assert_eq!(poll_once(second.as_mut()).await, None);
    // Whoever needs nothing new does not wait for it.
    assert!(accepts(&server, "fetched", &old).await);
    source.open();
    assert!(first.await);
    assert_eq!(poll_once(second.as_mut()).await, Some(true));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn jwa_20_a_rotated_key_is_fetched_after_the_interval() {
    let source = Arc::new(Source::default());
    let (old, new) = (&*ED25519, SigningKey::ed25519());
    source.publish(KEYS_AT, [old.jwk_with(json!({ "kid": "old" }))]);
    let server = server_fetching(&source);
    assert!(accepts(&server, "fetched", &fetched(&server, "old", old)).await);
    source.publish(KEYS_AT, [new.jwk_with(json!({ "kid": "new" }))]);
    for (seconds, accepted, fetches) in
        [(0, false, 1), (59, false, 1), (60, true, 2), (61, true, 2)]
    {
        server.clock.set(START + Duration::from_secs(seconds));
        let found = accepts(&server, "fetched", &fetched(&server, "new", &new)).await;
        assert_eq!((found, source.fetches()), (accepted, fetches), "{seconds}");
    }
    // The old one went with the set it was in.
    server.clock.set(START + Duration::from_secs(62));
    assert!(!accepts(&server, "fetched", &fetched(&server, "old", old)).await);

    // One that was withdrawn, and that nobody misses, is accepted for as long as a set lives.
    source.publish(KEYS_AT, [old.jwk_with(json!({ "kid": "old" }))]);
    for (seconds, accepted) in [(659, true), (660, false)] {
        server.clock.set(START + Duration::from_secs(seconds));
        let found = accepts(&server, "fetched", &fetched(&server, "new", &new)).await;
        assert_eq!(found, accepted, "{seconds}");
    }
}

#[tokio::test]
async fn jwa_20_a_source_that_fails_leaves_the_keys_before_in_use() {
    let source = Arc::new(Source::default());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
    source.withdraw(KEYS_AT);
    for (seconds, fetches) in [(599, 1), (600, 2), (601, 2), (659, 2), (660, 3), (7_200, 4)] {
        server.clock.set(START + Duration::from_secs(seconds));
        assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await, "{seconds}");
        assert_eq!(source.fetches(), fetches, "{seconds}");
    }
    // So does one that answers with something else.
    source.sets.lock().unwrap().insert(KEYS_AT.to_owned(), "<html>".to_owned());
    server.clock.set(START + Duration::from_secs(9_000));
    assert!(accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
    assert_eq!(source.fetches(), 5);
    // An empty set is an answer: the client withdrew its keys.
    source.publish(KEYS_AT, []);
    server.clock.set(START + Duration::from_secs(9_999));
    assert!(!accepts(&server, "fetched", &fetched(&server, "1", &ED25519)).await);
}

#[tokio::test]
async fn jwa_20_a_fetch_goes_on_when_the_request_that_began_it_is_dropped() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let forged = fetched(&server, "x", &SigningKey::ed25519());
    let honest = fetched(&server, "1", &ED25519);
    let mut waiting = Box::pin(accepts(&server, "fetched", &honest));
    {
        // A stranger asks first, and hangs up.
        let mut dropped = pin!(accepts(&server, "fetched", &forged));
        assert_eq!(poll_once(dropped.as_mut()).await, None);
        assert_eq!(poll_once(waiting.as_mut()).await, None);
    }
    assert_eq!(poll_once(waiting.as_mut()).await, None);
    source.open();
    assert!(waiting.await, "kept out by a stranger");
    assert_eq!(source.fetches(), 1);
}

#[tokio::test]
async fn jwa_20_dropping_every_fetch_keeps_no_withdrawn_key_in_use() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "stolen" }))]);
    let server = server_fetching(&source);
    source.open();
    assert!(accepts(&server, "fetched", &fetched(&server, "stolen", &ED25519)).await);
    let new = SigningKey::ed25519();
    source.publish(KEYS_AT, [new.jwk_with(json!({ "kid": "new" }))]);
    server.clock.advance(Duration::from_secs(600));
    {
        let stolen = fetched(&server, "stolen", &ED25519);
        let mut dropped = pin!(accepts(&server, "fetched", &stolen));
        assert_eq!(poll_once(dropped.as_mut()).await, None);
    }
    source.open();
    assert!(!accepts(&server, "fetched", &fetched(&server, "stolen", &ED25519)).await);
    assert!(accepts(&server, "fetched", &fetched(&server, "new", &new)).await);
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn jwa_20_a_fetch_that_hangs_is_given_up_after_a_minute() {
    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let early = fetched(&server, "1", &ED25519);
    let mut hanging = Box::pin(accepts(&server, "fetched", &early));
    assert_eq!(poll_once(hanging.as_mut()).await, None);
    tokio::task::yield_now().await;
    server.clock.advance(Duration::from_secs(60));
    let late = fetched(&server, "1", &ED25519);
    let mut late = Box::pin(accepts(&server, "fetched", &late));
    assert_eq!(poll_once(late.as_mut()).await, None);
    assert!(!hanging.await);
    source.open();
    assert!(late.await);
    assert_eq!(source.fetches(), 2);
}

#[test]
fn jwa_20_without_a_runtime_a_dropped_fetch_wedges_nothing_and_leaves_no_old_key_in_use() {
    /// As far as it gets by itself; everything here gets to its end, but for the gate.
    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    let source = Arc::new(Source::gated());
    source.publish(KEYS_AT, [ED25519.jwk_with(json!({ "kid": "1" }))]);
    let server = server_fetching(&source);
    let at = |seconds| {
        server.clock.set(START + Duration::from_secs(seconds));
        fetched(&server, "1", &ED25519)
    };
    let asked = |jwt: &str| poll(pin!(accepts(&server, "fetched", jwt)));
    source.open();
    assert_eq!(asked(&at(0)), Poll::Ready(true));
    // Old by now; and this request is dropped while it fetches.
    assert_eq!(asked(&at(600)), Poll::Pending);
    assert_eq!(asked(&at(601)), Poll::Ready(false));
    source.open();
    assert_eq!(asked(&at(660)), Poll::Ready(true));
    assert_eq!(source.fetches(), 3);
}

#[tokio::test]
async fn jwa_20_a_client_whose_keys_cannot_be_had_looks_unknown() {
    let source = Arc::new(Source::default());
    let server = server_fetching(&source);
    server.grant("g1", "fetched").await;
    let ask = async |jwt: String| {
        seen(&server.revoke(&format!("token=rt-g1&{}", presenting(&jwt))).await)
    };
    let keyless = ask(fetched(&server, "1", &ED25519)).await;
    let unknown = ask(Assertion::of("nobody", "EdDSA", &ED25519).header("kid", "1").jwt()).await;
    assert_eq!(keyless, unknown);
    assert_eq!(keyless.0, 401);
    assert!(server.is_active("rt-g1").await);
    assert_eq!(source.fetches(), 1);
    // A client that only says so fetches nothing: neither one that is disabled, nor one registered otherwise.
    let mut web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    web.jwks_uri = Some(KEYS_AT.to_owned());
    let mut disabled = ClientMetadata::new("disabled", AuthMethod::PrivateKeyJwt);
    disabled.jwks_uri = Some(KEYS_AT.to_owned());
    source.publish(KEYS_AT, [ED25519.jwk()]);
    let cache = JwksCache::new(Arc::clone(&source));
    let all = [Client::new(web).secret("web-secret"), Client::new(disabled).disabled()];
    let server = server_of(all, Policy::default(), assertions().key_sets(cache));
    for client in ["web", "disabled"] {
        let jwt = Assertion::of(client, "EdDSA", &ED25519).jwt();
        assert!(!accepts(&server, client, &jwt).await, "{client}");
    }
    assert_eq!(source.fetches(), 1);
}
