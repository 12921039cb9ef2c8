//! Section 2.3.1: guesses are counted.

use std::task::Poll;
use std::time::Duration;

use annul::client::{AuthenticatedClient, ClientAuthError, ClientAuthenticator, Credentials};
use annul::wire::basic;
use annul::{Authority, FakeClock, MemoryStore, Response};

use crate::doubles::Watched;
use crate::rfc6749::assert_refused;
use crate::support::{START, Server, form, seen};

#[tokio::test]
async fn s2_3_1_failures_are_counted_over_all_endpoints() {
    let watched = Watched::with_limit(3);
    let server = &watched.server;
    let wrong = basic::header_value("web", "wrong");
    let right = basic::header_value("web", "web-secret");
    let body = "token=t&refresh_token=t";
    let with = |header| form(body).header("authorization", header);
    let wrong = with(wrong.as_bytes());
    let right = with(right.as_bytes());
    let authority = &server.authority;
    assert_eq!(annul::handle_revoke(authority, &wrong).await.status(), 401);
    assert_eq!(annul::handle_logout(authority, &wrong).await.status(), 401);
    assert_eq!(annul::handle_introspect(authority, &wrong).await.status(), 401);
    watched.journal.take();
    // From here on the right secret is not heard either, so guessing it would not show.
    for answer in [
        annul::handle_revoke(authority, &right).await,
        annul::handle_logout(authority, &right).await,
        annul::handle_introspect(authority, &right).await,
    ] {
        assert_refused(&answer, 429, "temporarily_unavailable", "after three");
    }
    assert_eq!(watched.journal.take(), ["admit"; 3]);
    assert_eq!(server.revoke_as("other", "token=t").await.status(), 200);
}

/// Takes its time, as a slow hash does, or keys that are being fetched.
struct Pondering;

#[async_trait::async_trait]
impl ClientAuthenticator for Pondering {
    async fn authenticate(
        &self,
        _: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn s2_3_1_guesses_are_counted_whose_sender_hangs_up() {
    /// Waits for as long as an answer takes that nobody has to ponder, and then no longer.
    async fn hang_up(answer: impl Future<Output = Response>) -> Poll<Response> {
        let mut answer = std::pin::pin!(answer);
        std::future::poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await
    }

    let throttle = annul::throttle::RateLimiter::default();
    let authority = Authority::new(MemoryStore::new(), Pondering)
        .throttle(throttle)
        .clock(FakeClock::at(START));
    let peer = "192.0.2.1".parse().unwrap();
    let request = form("token=t&refresh_token=t&client_id=web&client_secret=guess").peer(peer);
    for _ in 0..10 {
        assert!(hang_up(annul::handle_revoke(&authority, &request)).await.is_pending());
        assert!(hang_up(annul::handle_logout(&authority, &request)).await.is_pending());
        assert!(hang_up(annul::handle_introspect(&authority, &request)).await.is_pending());
    }
    let Poll::Ready(answer) = hang_up(annul::handle_revoke(&authority, &request)).await else {
        panic!("it is still heard");
    };
    assert_refused(&answer, 429, "temporarily_unavailable", "after thirty");
}

/// A server with the shipped throttle, as it comes.
fn limited() -> Server {
    let server = Server::new();
    let authority = server.authority.throttle(annul::throttle::RateLimiter::default());
    Server { authority, ..server }
}

/// One request with these credentials from this address, at the first, second or third endpoint.
async fn ask(server: &Server, endpoint: usize, last: u8, client: &str, secret: &str) -> Response {
    let header = basic::header_value(client, secret);
    let request = form("token=rt-g1&refresh_token=rt-g1")
        .header("authorization", header.as_bytes())
        .peer([192, 0, 2, last].into());
    match endpoint % 3 {
        0 => annul::handle_revoke(&server.authority, &request).await,
        1 => annul::handle_logout(&server.authority, &request).await,
        _ => annul::handle_introspect(&server.authority, &request).await,
    }
}

#[tokio::test]
async fn cli_13_guesses_at_any_endpoint_use_up_one_quota() {
    // All at one endpoint, or some at each: it is the same thirty.
    for step in [0, 1] {
        let server = limited();
        server.grant("g1", "web").await;
        for guess in 0..30 {
            let answer = ask(&server, guess * step, 1, "web", "a guess").await;
            assert_refused(&answer, 401, "invalid_client", &format!("guess {guess}"));
        }
        for endpoint in 0..3 {
            // The right secret is not heard either, so guessing it would not show.
            for secret in ["a guess", "web-secret"] {
                let answer = ask(&server, endpoint, 1, "web", secret).await;
                assert_refused(&answer, 429, "temporarily_unavailable", secret);
                assert_eq!(answer.header("retry-after"), Some("2"));
            }
        }
        assert!(server.is_active("rt-g1").await);

        // After the wait, it is heard: once with a guess, or for as long as it has the secret.
        server.clock.advance(Duration::from_secs(2));
        assert_eq!(ask(&server, 1, 1, "web", "a guess").await.status(), 401);
        assert_eq!(ask(&server, 0, 1, "web", "web-secret").await.status(), 429);
        server.clock.advance(Duration::from_secs(2));
        for endpoint in [2, 0, 1] {
            assert_eq!(ask(&server, endpoint, 1, "web", "web-secret").await.status(), 200);
        }
        assert!(!server.is_active("rt-g1").await);
    }
}

#[tokio::test]
async fn cli_13_guesses_from_many_addresses_are_bounded_too() {
    let server = limited();
    server.grant("g1", "web").await;
    for guess in 0..300 {
        let last = u8::try_from(guess % 100).unwrap();
        let answer = ask(&server, guess, last, "web", "a guess").await;
        assert_eq!(answer.status(), 401, "guess {guess}");
    }
    let answer = ask(&server, 0, 200, "web", "web-secret").await;
    assert_refused(&answer, 429, "temporarily_unavailable", "from an address of its own");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(server.is_active("rt-g1").await);
    assert_eq!(ask(&server, 2, 200, "other", "other-secret").await.status(), 200);
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&server, 0, 200, "web", "web-secret").await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn cli_13_a_client_that_does_not_exist_runs_out_of_guesses_alike() {
    let server = limited();
    for guess in 0..40 {
        let known = ask(&server, guess, 1, "web", "a guess").await;
        let unknown = ask(&server, guess, 2, "nobody", "a guess").await;
        assert_eq!(seen(&known), seen(&unknown), "guess {guess}");
        assert_eq!(known.status(), if guess < 30 { 401 } else { 429 });
    }
}

#[tokio::test]
async fn cli_13_a_guesser_shuts_nobody_else_out() {
    let server = limited();
    server.grant("g1", "web").await;
    // From one address, as often as it likes: most of it is not even heard.
    for guess in 0..2_000 {
        ask(&server, guess, 1, "web", "a guess").await;
    }
    assert_eq!(ask(&server, 0, 1, "web", "web-secret").await.status(), 429);
    assert_eq!(ask(&server, 2, 1, "other", "other-secret").await.status(), 200, "its neighbour");
    assert!(server.is_active("rt-g1").await);
    assert_eq!(ask(&server, 0, 2, "web", "web-secret").await.status(), 200, "elsewhere");
    assert!(!server.is_active("rt-g1").await);
    // Who does nothing wrong is heard however often it asks.
    for request in 0..2_000 {
        assert_eq!(ask(&server, request, 2, "web", "web-secret").await.status(), 200);
    }
}
