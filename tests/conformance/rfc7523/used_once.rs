//! An assertion is used once.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{
    AssertionUse, AuthMethod, AuthMethods, Client, ClientMetadata, ClientTable, LedgerReplayGuard,
    MemoryReplayGuard, RegisteredClients, ReplayGuard, Use,
};
use annul::store::{Lifetimes, StoreError, Sweep, SweepBudget, TokenLedger, TokenStore};
use annul::{
    Authority, FakeClock, Grant, MemoryStore, Namespace, NewToken, Policy, PresentedToken, Reason,
    Response, Revocation, Target, TargetKind, Verdict,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::doubles::{FAILURES, Failure, Journal, policy};
use crate::rfc7523::{
    accepts, accepts_form, assert_unauthenticated, assertions, clients, job, server, server_for,
    server_of, server_remembering, server_with, with_keys,
};
use crate::signer::{Assertion, ED25519, ISSUER, SigningKey, base64url, presenting};
use crate::support::{START, Server, error_of, form};

#[tokio::test]
async fn jwa_14_an_assertion_is_used_once_at_whichever_endpoint() {
    // The token endpoint's guard is the same one.
    for first in ["revoke", "logout", "introspect"] {
        for second in ["revoke", "logout", "introspect"] {
            let server = server();
            server.grant("g1", "job").await;
            server.grant("g2", "job").await;
            let credentials = presenting(&job().jwt());
            let used = at(&server, first, "g1", &credentials).await;
            assert_eq!(used.status(), 200, "{first}");
            // Introspection changes nothing; the others end what they were shown.
            assert_eq!(server.is_active("rt-g1").await, first == "introspect");
            // Logout ends the session, and so the other grant in it.
            let lived = server.is_active("rt-g2").await;
            let replayed = at(&server, second, "g2", &credentials).await;
            assert_unauthenticated(&replayed);
            assert_eq!(server.is_active("rt-g2").await, lived, "{first}, then {second}");
        }
    }
    // T39: two servers that remember apart, each with its own endpoint, are the mistake that a shared guard prevents.
    let guard = Arc::new(MemoryReplayGuard::default());
    let token_endpoint = server_remembering(Arc::clone(&guard));
    let revocation_endpoint = server_remembering(guard);
    let jwt = job().jwt();
    assert!(accepts(&token_endpoint, "job", &jwt).await);
    assert!(!accepts(&revocation_endpoint, "job", &jwt).await);
}

/// A request about the refresh token of this grant.
async fn at(server: &Server, endpoint: &str, id: &str, credentials: &str) -> Response {
    match endpoint {
        "logout" => server.logout(&format!("refresh_token=rt-{id}&{credentials}")).await,
        "introspect" => {
            let body = format!("token=rt-{id}&{credentials}");
            annul::handle_introspect(&server.authority, &form(&body)).await
        }
        _ => server.revoke(&format!("token=rt-{id}&{credentials}")).await,
    }
}

#[tokio::test]
async fn jwa_14_the_identifier_is_required_unless_the_policy_says_otherwise() {
    let strict = server();
    assert!(!accepts(&strict, "job", &job().without("jti").jwt()).await);
    for wrong in [json!(""), json!(17), json!(["x"]), Value::Null] {
        let jwt = job().claim("jti", wrong.clone()).jwt();
        assert!(!accepts(&strict, "job", &jwt).await, "{wrong}");
    }
    let lax = server_with(|policy| policy.assertions.require_jti = false);
    let nameless = job().without("jti").jwt();
    // RFC 7523 leaves it open: then it can be used again, until it expires.
    assert!(accepts(&lax, "job", &nameless).await && accepts(&lax, "job", &nameless).await);
    let named = job().jwt();
    assert!(accepts(&lax, "job", &named).await && !accepts(&lax, "job", &named).await);
    assert!(!accepts(&lax, "job", &job().claim("jti", 17).jwt()).await);
}

#[tokio::test]
async fn jwa_14_a_used_assertion_is_refused_until_it_expires_and_after() {
    let memory = || server_remembering(MemoryReplayGuard::with_capacity(16));
    let ledger = || server_remembering(LedgerReplayGuard::new(MemoryStore::new()));
    for server in [memory(), ledger()] {
        let jwt = job().jwt();
        assert!(accepts(&server, "job", &jwt).await);
        // Good until 60 s, and 30 s of skew beyond: no instant between forgetting and expiry.
        for seconds in [0, 59, 60, 89, 90, 91, 1_000_000] {
            server.clock.set(START + Duration::from_secs(seconds));
            assert!(!accepts(&server, "job", &jwt).await, "{seconds}");
        }
        server.clock.set(START + Duration::from_millis(89_999));
        assert!(!accepts(&server, "job", &jwt).await);
    }
}

#[tokio::test]
async fn jwa_14_endpoints_that_differ_in_skew_do_not_open_each_other() {
    // The token endpoint allows none, the revocation endpoint a minute; and a sweep comes between.
    let uses = Arc::new(MemoryStore::new());
    let memory: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let ledger: Arc<dyn ReplayGuard> = Arc::new(LedgerReplayGuard::new(Arc::clone(&uses)));
    for guard in [memory, ledger] {
        let with_skew = |seconds| {
            let skew = Duration::from_secs(seconds);
            let policy = policy(|policy| policy.assertions.clock_skew = skew);
            server_of(clients(), policy, assertions().replay_guard(Arc::clone(&guard)))
        };
        let (token_endpoint, revocation_endpoint) = (with_skew(0), with_skew(60));
        let jwt = job().jwt();
        assert!(accepts(&token_endpoint, "job", &jwt).await);
        let late = START + Duration::from_secs(100);
        uses.sweep(late, SweepBudget::rows(100_000)).await.unwrap();
        revocation_endpoint.clock.set(late);
        assert!(!accepts(&revocation_endpoint, "job", &jwt).await);
        assert!(accepts(&revocation_endpoint, "job", &job().jwt()).await, "too late for any");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jwa_15_of_many_uses_at_once_one_is_the_first() {
    const TASKS: usize = 64;

    let memory = server_remembering(MemoryReplayGuard::default());
    let ledger = server_remembering(LedgerReplayGuard::new(MemoryStore::new()));
    for server in [memory, ledger] {
        let server = Arc::new(server);
        for round in 0..8 {
            let body = presenting(&job().jwt());
            for task in 0..TASKS {
                server.grant(&format!("r{round}t{task}"), "job").await;
            }
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let (server, body) = (Arc::clone(&server), body.clone());
                    let id = format!("r{round}t{task}");
                    tokio::spawn(async move {
                        let answer = server.revoke(&format!("token=rt-{id}&{body}")).await;
                        (answer.status(), server.is_active(&format!("rt-{id}")).await)
                    })
                })
                .collect();
            let mut first = 0;
            for task in tasks {
                match task.await.unwrap() {
                    (200, false) => first += 1,
                    other => assert_eq!(other, (401, true)),
                }
            }
            assert_eq!(first, 1);
        }
    }
}

#[tokio::test]
async fn jwa_15_clients_may_choose_the_same_identifier() {
    // T38: neither another client's, nor one whose name and identifier run into each other.
    let memory: Arc<dyn ReplayGuard> = Arc::new(MemoryReplayGuard::default());
    let ledger: Arc<dyn ReplayGuard> = Arc::new(LedgerReplayGuard::new(MemoryStore::new()));
    for guard in [memory, ledger] {
        let mut all = clients();
        all.push(with_keys("jobx", [ED25519.jwk()]));
        let server = server_of(all, Policy::default(), assertions().replay_guard(guard));
        for (client, jti) in
            [("job", "1"), ("job2", "1"), ("job", "x1"), ("jobx", "1"), ("job", "21")]
        {
            let jwt = Assertion::of(client, "EdDSA", &ED25519).claim("jti", jti).jwt();
            assert!(accepts(&server, client, &jwt).await, "{client} {jti}");
            let again = Assertion::of(client, "EdDSA", &ED25519).claim("jti", jti);
            assert!(!accepts(&server, client, &again.seconds("exp", 70).jwt()).await);
        }
        // Identifiers are compared as they stand.
        for jti in ["a", "A", "a ", "\u{e4}", "a\u{308}"] {
            assert!(accepts(&server, "job", &job().claim("jti", jti).jwt()).await, "{jti}");
        }
    }
}

#[tokio::test]
async fn jwa_15_what_is_refused_uses_nothing_up() {
    let mut all = clients();
    all.push(with_keys("disabled", [ED25519.jwk()]).disabled());
    let server = server_for(all);
    let other = SigningKey::ed25519();
    let jti = "next";
    let next = || job().claim("jti", jti);
    for (case, assertion) in [
        ("forged with a foreseen identifier", next().signed_by(&other)),
        ("for another server", next().claim("aud", "https://evil.example")),
        ("for us and another", next().claim("aud", json!([ISSUER, "https://evil.example"]))),
        ("not yet valid", next().seconds("nbf", 120)),
        ("already expired", next().seconds("exp", -120)),
        ("too far", next().seconds("exp", 1_000_000)),
        ("of another kind", next().header("typ", "dpop+jwt")),
        ("unequal", next().claim("iss", "job2")),
        ("with an extension", next().header("crit", json!(["x"]))),
    ] {
        assert!(!accepts(&server, "job", &assertion.jwt()).await, "{case}");
    }
    let named = format!("{}&client_id=job2", presenting(&next().jwt()));
    assert!(!accepts_form(&server, "job", &named).await, "another's name beside it");
    assert!(accepts(&server, "job", &next().jwt()).await);

    // A client that is enabled again can use what it tried while it was disabled.
    let guard = Arc::new(MemoryReplayGuard::default());
    let shared = || assertions().replay_guard(Arc::clone(&guard));
    let disabled = with_keys("job", [ED25519.jwk()]).disabled();
    let enabled = with_keys("job", [ED25519.jwk()]);
    let jwt = job().jwt();
    let before = server_of([disabled], Policy::default(), shared());
    assert!(!accepts(&before, "job", &jwt).await);
    let of_methods = policy(|policy| policy.auth_methods = AuthMethods::of(&[AuthMethod::None]));
    let without = server_of([enabled.clone()], of_methods, shared());
    assert!(!accepts(&without, "job", &jwt).await, "the policy has no such method");
    assert!(accepts(&server_of([enabled], Policy::default(), shared()), "job", &jwt).await);
}

#[tokio::test]
async fn jwa_15_a_full_guard_refuses_what_it_cannot_remember() {
    let server = server_remembering(MemoryReplayGuard::with_capacity(1));
    let mut accepted = Vec::new();
    let mut refused = Vec::new();
    server.grant("g1", "job").await;
    for _ in 0..200 {
        let jwt = job().jwt();
        let body = format!("token=no-such-token&{}", presenting(&jwt));
        let answer = server.revoke(&body).await;
        match answer.status() {
            200 => accepted.push(jwt),
            status => {
                assert_eq!((status, error_of(&answer).as_str()), (503, "temporarily_unavailable"));
                assert!(answer.header("retry-after").is_some());
                refused.push(jwt);
            }
        }
    }
    assert!(!accepted.is_empty() && !refused.is_empty());
    // It forgot none of them to make room, and what it refused has no effect.
    for jwt in &accepted {
        assert!(!accepts(&server, "job", jwt).await);
    }
    let body = format!("token=rt-g1&{}", presenting(&refused[0]));
    assert_eq!(server.revoke(&body).await.status(), 503);
    assert!(server.is_active("rt-g1").await);
    // There is room again once the others have expired.
    server.clock.advance(Duration::from_secs(180));
    assert!(accepts(&server, "job", &job().seconds("exp", 240).jwt()).await);
}

/// A guard that does not know.
struct FailingGuard(Failure);

#[async_trait]
impl ReplayGuard for FailingGuard {
    async fn enter(&self, _: AssertionUse<'_>) -> Result<Use, StoreError> {
        Err((self.0)())
    }
}

#[tokio::test]
async fn jwa_15_a_guard_that_fails_lets_nobody_in() {
    for (failure, status) in FAILURES {
        let server = server_remembering(FailingGuard(failure));
        let events = Journal::default();
        let server = Server { authority: server.authority.events(events.clone()), ..server };
        server.grant("g1", "job").await;
        for endpoint in ["revoke", "logout", "introspect"] {
            let answer = at(&server, endpoint, "g1", &presenting(&job().jwt())).await;
            assert_eq!(answer.status(), status, "{endpoint}");
            assert!(events.take().iter().any(|event| event.contains("StoreFailed")));
        }
        assert!(server.is_active("rt-g1").await);
        // Whoever cannot get so far is not told of it.
        let forged = job().signed_by(&SigningKey::ed25519()).jwt();
        assert!(!accepts(&server, "job", &forged).await);
    }
}

#[tokio::test]
async fn jwa_15_two_processes_share_a_ledger() {
    // It is swept two hours later.
    let lifetimes = Lifetimes::default().with_clock_leap(Duration::MAX);
    let uses = MemoryStore::new().with_lifetimes(lifetimes);
    let ledger = || LedgerReplayGuard::new(uses.namespace(&Namespace::new("client assertions")));
    let (one, two) = (server_remembering(ledger()), server_remembering(ledger()));
    let jwt = job().jwt();
    assert!(accepts(&one, "job", &jwt).await);
    assert!(!accepts(&two, "job", &jwt).await);
    assert!(accepts(&two, "job", &job().jwt()).await);
    // A restart forgets nothing either.
    assert!(!accepts(&server_remembering(ledger()), "job", &jwt).await);
    // When they have expired, the store's own sweep takes them.
    assert_eq!(uses.usage().tokens, 2);
    let later = START + Duration::from_secs(7_200);
    uses.sweep(later, SweepBudget::rows(100_000)).await.unwrap();
    assert_eq!(uses.usage().tokens, 0);
}

/// The text under which a ledger remembers a use: the digest of client and identifier.
fn remembered(client: &str, jti: &str) -> String {
    let mut digest = Sha256::new();
    digest.update((client.len() as u64).to_be_bytes());
    digest.update(client);
    digest.update(jti);
    format!("assertion.{}", base64url(digest.finalize()))
}

#[tokio::test]
async fn jwa_15_what_a_ledger_remembers_opens_nothing() {
    // The worst place for it: the very store that the tokens are in, without a namespace.
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let guard = LedgerReplayGuard::new(Arc::clone(&store));
    let rs = Client::new(ClientMetadata::new("rs", AuthMethod::ClientSecretBasic));
    let mut all = clients();
    all.push(rs.secret("rs-secret").may_introspect());
    let clients = RegisteredClients::new(ClientTable::from_iter(all)).clock(Arc::clone(&clock));
    let clients = clients.assertions(assertions().replay_guard(guard));
    let authority = Authority::new(Arc::clone(&store), clients).clock(Arc::clone(&clock));
    let server = Server { authority, store, clock };
    assert!(accepts(&server, "job", &job().claim("jti", "once").jwt()).await);

    let name = remembered("job", "once");
    let found = server.store.find(PresentedToken::new(&name), None).await.unwrap();
    assert!(found.is_some(), "the test looks in the wrong place");
    for seconds in [0, 60, 89, 90, 1_000] {
        server.clock.set(START + Duration::from_secs(seconds));
        assert!(!server.is_active(&name).await, "{seconds}");
        let answer = server.introspect_as("rs", &format!("token={name}")).await;
        assert_eq!(answer.body(), br#"{"active":false}"#);
    }
    server.clock.set(START);
    // Nor can it be exchanged for something that does.
    let successor =
        [NewToken::refresh(PresentedToken::new("rt-stolen"), START + Duration::from_secs(60))];
    let client = "job".into();
    let rotation =
        annul::store::Rotation::new(PresentedToken::new(&name), &client, &successor, START);
    server.store.rotate(&rotation).await.unwrap();
    assert!(!server.is_active("rt-stolen").await);
    // And the host cannot issue it by accident.
    let new = [NewToken::access(PresentedToken::new(&name), START + Duration::from_secs(60))];
    let issued = server.store.issue(Grant::new("g", "job", START), &new, START).await;
    assert!(issued.is_err());
    assert!(!server.is_active(&name).await);
}

#[tokio::test]
async fn jwa_15_revoking_what_a_ledger_remembers_does_not_forget_it() {
    let store = Arc::new(MemoryStore::new());
    let guard = || LedgerReplayGuard::new(Arc::clone(&store));
    let server = server_remembering(guard());
    let jwt = job().claim("jti", "once").jwt();
    assert!(accepts(&server, "job", &jwt).await);
    // The client presents the name of the use as a token to revoke, in a server over that very store.
    let clients = RegisteredClients::new(ClientTable::from_iter(clients()));
    let clients =
        clients.clock(Arc::clone(&server.clock)).assertions(assertions().replay_guard(guard()));
    let over = Authority::new(Arc::clone(&store), clients).clock(Arc::clone(&server.clock));
    let body = format!("token={}&{}", remembered("job", "once"), presenting(&job().jwt()));
    assert_eq!(annul::handle_revoke(&over, &form(&body)).await.status(), 200);
    let verdict = over.check(PresentedToken::new(&remembered("job", "once"))).await.unwrap();
    assert!(matches!(verdict, Verdict::Revoked { by: TargetKind::Grant }), "{verdict:?}");
    store.sweep(START, SweepBudget::rows(100_000)).await.unwrap();
    assert!(!accepts(&server, "job", &jwt).await);

    // The operator revokes everything of the client's: what is used afterwards is remembered all the same.
    let everything = Target::Client("job".into());
    let at = START + Duration::from_secs(5);
    let revocation = Revocation::by_operator(everything, Reason::CredentialLeaked, at);
    store.revoke(&revocation).await.unwrap();
    let jwt = job().jwt();
    assert!(accepts(&server, "job", &jwt).await);
    assert!(!accepts(&server, "job", &jwt).await);
}
