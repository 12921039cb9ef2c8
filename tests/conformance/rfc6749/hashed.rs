//! Client secrets as Argon2id hashes.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{
    AuthMethod, Client, ClientMetadata, ClientTable, HashingLimits, RegisteredClients,
    SecretDigest, SecretHash, SecretHashing,
};
use annul::wire::basic;
use annul::{Authority, FakeClock, MemoryStore, Policy, Response, profile};

use crate::doubles::{PROFILES, server_with};
use crate::rfc6749::{assert_refused, basic_client, revoke_with};
use crate::support::{START, Server, seen};

// With as little memory as tests want.
const OF_NEW: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgbmV3$ghML757C/KtPfCvreGU6wRcT7DlGyPHnEUPBhx184Yk";
const OF_OLD: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c2FsdCBvZiB0aGUgb2xk$Nb5bMm8N6rvjxT+SwP17hM6ECQKowCO3bAhBXVV52QE";

fn hash(phc: &str) -> SecretHash {
    SecretHash::parse(phc).unwrap()
}

fn client(id: &str) -> Client {
    Client::new(ClientMetadata::new(id, AuthMethod::ClientSecretBasic))
}

/// A server that hashes, as cheaply as the clients' hashes are.
fn server(clients: ClientTable, policy: impl Into<Policy>) -> (Server, Arc<SecretHashing>) {
    let hashing = SecretHashing::start(HashingLimits::default()).unwrap();
    server_hashing_with(hashing.decoy(hash(OF_NEW)), clients, policy)
}

fn server_hashing_with(
    hashing: SecretHashing,
    clients: ClientTable,
    policy: impl Into<Policy>,
) -> (Server, Arc<SecretHashing>) {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(FakeClock::at(START));
    let hashing = Arc::new(hashing.clock(Arc::clone(&clock)));
    let clients = RegisteredClients::new(clients)
        .clock(Arc::clone(&clock))
        .secret_hashing(Arc::clone(&hashing));
    let authority =
        Authority::new(Arc::clone(&store), clients).policy(policy).clock(Arc::clone(&clock));
    (Server { authority, store, clock }, hashing)
}

async fn revoke_by(server: &Server, id: &str, secret: &str, token: &str) -> Response {
    let header = basic::header_value(id, secret);
    revoke_with(server, header.as_bytes(), &format!("token={token}")).await
}

#[tokio::test]
async fn cli_15_hashed_secrets_rotate_and_expire_beside_digests() {
    let expiry = START + Duration::from_secs(10);
    let web = client("web")
        .secret_hash(hash(OF_OLD), Some(expiry))
        .secret_hash(hash(OF_NEW), None)
        .secret("generated");
    let (server, hashing) = server(ClientTable::from_iter([web]), Policy::default());
    for grant in ["old", "new", "generated"] {
        server.grant(grant, "web").await;
        let token = format!("rt-{grant}");
        let wrong = revoke_by(&server, "web", "wrong", &token).await;
        assert_refused(&wrong, 401, "invalid_client", grant);
        assert!(server.is_active(&token).await, "{grant}");
        assert_eq!(revoke_by(&server, "web", grant, &token).await.status(), 200, "{grant}");
        assert!(!server.is_active(&token).await, "{grant}");
    }
    // A hash is not a secret.
    let answer = revoke_by(&server, "web", OF_NEW, "rt-new").await;
    assert_refused(&answer, 401, "invalid_client", "the hash");
    server.clock.advance(Duration::from_millis(9_999));
    assert_eq!(revoke_by(&server, "web", "old", "t").await.status(), 200);
    server.clock.advance(Duration::from_millis(1));
    // It was remembered to match, and has expired all the same.
    assert!(hashing.stats().remembered > 0);
    let expired = revoke_by(&server, "web", "old", "t").await;
    assert_refused(&expired, 401, "invalid_client", "old");
    for live in ["new", "generated"] {
        assert_eq!(revoke_by(&server, "web", live, "t").await.status(), 200, "{live}");
    }
}

#[tokio::test]
async fn cli_15_a_hashed_secret_is_no_use_where_nobody_hashes() {
    let both = client("both").secret_hash(hash(OF_NEW), None).secret("generated");
    let clients = [client("web").secret_hash(hash(OF_NEW), None), both];
    let server = server_with(ClientTable::from_iter(clients), Policy::default());
    for id in ["web", "both"] {
        let answer = revoke_by(&server, id, "new", "t").await;
        assert_refused(&answer, 401, "invalid_client", id);
    }
    assert_eq!(revoke_by(&server, "both", "generated", "t").await.status(), 200);
}

#[tokio::test]
async fn cli_16_with_hashes_all_failures_look_alike_and_cost_alike_in_every_profile() {
    let jwt = Client::new(ClientMetadata::new("jwt", AuthMethod::PrivateKeyJwt));
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
    let clients = ClientTable::from_iter([
        client("one").secret_hash(hash(OF_OLD), None),
        client("two").secret_hash(hash(OF_OLD), None).secret_hash(hash(OF_OLD), None),
        client("digest").secret("right"),
        client("both").secret("right").secret_hash(hash(OF_OLD), None),
        client("secretless"),
        // The secret is right, and no use.
        client("disabled").secret_hash(hash(OF_NEW), None).disabled(),
        client("disabled-digest").secret("new").disabled(),
        client("expired").secret_hash(hash(OF_NEW), Some(START)),
        client("expired-digest").secret_digest(SecretDigest::of("new"), Some(START)),
        jwt.secret_hash(hash(OF_NEW), None),
        spa.secret_hash(hash(OF_NEW), None),
    ]);
    let ids = [
        "unknown",
        "one",
        "two",
        "digest",
        "both",
        "secretless",
        "disabled",
        "disabled-digest",
        "expired",
        "expired-digest",
        "jwt",
        "spa",
    ];
    for name in PROFILES {
        let (server, hashing) = server(clients.clone(), profile::by_name(name).unwrap());
        server.grant("g1", "one").await;
        let mut failures = Vec::new();
        for id in ids {
            for by_header in [true, false] {
                let before = hashing.stats().computed;
                let answer = if by_header {
                    revoke_by(&server, id, "new", "rt-g1").await
                } else {
                    let body = format!("token=rt-g1&client_id={id}&client_secret=new");
                    server.revoke(&body).await
                };
                assert_refused(&answer, 401, "invalid_client", &format!("{name} {id}"));
                let cost = hashing.stats().computed - before;
                assert_eq!(cost, 2, "{name} {id}, by header: {by_header}");
                failures.push(seen(&answer));
            }
        }
        failures.dedup();
        assert_eq!(failures.len(), 1, "{name}: {failures:?}");
        assert!(server.is_active("rt-g1").await, "{name}");
        // A right digest is not slowed down.
        let before = hashing.stats();
        assert_eq!(revoke_by(&server, "digest", "right", "t").await.status(), 200, "{name}");
        assert_eq!(hashing.stats(), before, "{name}");
    }
}

#[tokio::test]
async fn cli_16_a_flood_of_wrong_secrets_is_503_and_a_client_at_work_is_still_answered() {
    let mut limits = HashingLimits::default();
    limits.workers = 1;
    limits.queue = 2;
    let web = client("web").secret_hash(hash(OF_NEW), None);
    // Each wrong secret costs two hashes of the default cost: the queue fills before one is done.
    let hashing = SecretHashing::start(limits).unwrap();
    let clients = ClientTable::from_iter([web, basic_client("fast", "generated")]);
    let (server, hashing) = server_hashing_with(hashing, clients, Policy::default());
    let server = Arc::new(server);
    for grant in ["before", "during", "wrong"] {
        server.grant(grant, "web").await;
    }
    assert_eq!(revoke_by(&server, "web", "new", "rt-before").await.status(), 200);
    assert_eq!(hashing.stats().computed, 1);

    let mut flood = Vec::new();
    for number in 0..1_000 {
        let server = Arc::clone(&server);
        let guess = format!("guess-{number}");
        flood.push(tokio::spawn(async move {
            revoke_by(&server, ["web", "unknown"][number % 2], &guess, "rt-wrong").await
        }));
        tokio::task::yield_now().await;
        if hashing.stats().refused == 5 {
            break;
        }
    }
    assert_eq!(hashing.stats().refused, 5);
    // The queue is full, or was a moment ago.
    assert_eq!(revoke_by(&server, "web", "new", "rt-during").await.status(), 200);
    assert_eq!(hashing.stats().remembered, 1);
    assert!(!server.is_active("rt-during").await);
    assert_eq!(revoke_by(&server, "fast", "generated", "t").await.status(), 200);

    let mut refused = Vec::new();
    let mut wrong = 0;
    for asked in flood {
        let answer = asked.await.unwrap();
        match answer.status() {
            401 => wrong += 1,
            503 => refused.push(answer),
            status => panic!("{status}"),
        }
    }
    assert_eq!(refused.len(), 5);
    for answer in &refused {
        assert_refused(answer, 503, "temporarily_unavailable", "a full queue");
        assert!(answer.header("retry-after").is_some());
    }
    // Nothing was computed but the one right secret, and each wrong one that was queued.
    assert!(wrong >= 2);
    assert_eq!(hashing.stats().computed, 1 + 2 * wrong);
    assert!(server.is_active("rt-wrong").await);
}

#[tokio::test(flavor = "current_thread")]
async fn other_tasks_go_on_while_a_secret_is_hashed() {
    let web = client("web").secret_hash(SecretHash::of("new"), None);
    let (server, hashing) = server(ClientTable::from_iter([web]), Policy::default());
    server.grant("g1", "web").await;
    let asking = tokio::spawn(async move {
        let answer = revoke_by(&server, "web", "new", "rt-g1").await;
        (answer.status(), server.is_active("rt-g1").await)
    });
    // There is one thread for both tasks: this one goes on although the other has not been answered.
    tokio::task::yield_now().await;
    assert!(!asking.is_finished());
    assert_eq!(asking.await.unwrap(), (200, false));
    assert_eq!(hashing.stats().computed, 1);
}

#[tokio::test]
async fn a_request_that_was_given_up_leaves_nothing_behind() {
    let web = client("web").secret_hash(SecretHash::of("new"), None);
    let (server, _) = server(ClientTable::from_iter([web]), Policy::default());
    server.grant("g1", "web").await;
    for _ in 0..3 {
        let given_up = revoke_by(&server, "web", "new", "rt-g1");
        // Polled once, and dropped before its answer.
        tokio::select! {
            biased;
            _ = given_up => panic!("it was answered at once"),
            () = std::future::ready(()) => {}
        }
    }
    assert!(server.is_active("rt-g1").await);
    assert_eq!(revoke_by(&server, "web", "new", "rt-g1").await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}
