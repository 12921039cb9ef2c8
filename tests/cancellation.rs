//! A caller that hangs up: the endpoint's future is dropped half way. The revocation has happened or has not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::store::{StoreError, TokenLedger, TokenStore};
use annul::{
    Authority, FakeClock, Grant, MemoryStore, NewToken, PresentedToken, Request, Response,
    Revocation, Revoked, Timestamp, TokenRecord, TokenTypeHint,
};
use async_trait::async_trait;

const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

/// Runs a future that never waits: the memory store's all are such.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store waited for something"),
    }
}

fn grant(id: &str) -> Grant {
    Grant::new(id, "web", START).subject("alice").session("s1")
}

fn issue(store: &MemoryStore, grant: Grant, access: &str, refresh: &str) {
    let tokens = [
        NewToken::access(PresentedToken::new(access), START + HOUR),
        NewToken::refresh(PresentedToken::new(refresh), START + HOUR),
    ];
    now(store.issue(grant, &tokens, START)).unwrap();
}

fn is_live(store: &MemoryStore, token: &str, at: Timestamp) -> bool {
    let found = now(store.find(PresentedToken::new(token), None)).unwrap();
    found.is_some_and(|record| record.verdict(at).is_active())
}

/// A store that takes its time: every call waits once before it is made, and once after.
struct Slow(Arc<MemoryStore>);

/// Ready the second time it is asked.
async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut asked, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[async_trait]
impl TokenStore for Slow {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        pause().await;
        let found = self.0.find(token, hint).await;
        pause().await;
        found
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        pause().await;
        let revoked = self.0.revoke(revocation).await;
        pause().await;
        revoked
    }
}

/// Polls a future this often and drops it; its answer, if it got that far.
fn give_up_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(value) = polled {
            return Some(value);
        }
    }
    None
}

async fn answer(authority: &Authority, logout: bool) -> Response {
    let body: &[u8] = match logout {
        true => b"refresh_token=rt&client_id=web",
        false => b"token=rt&client_id=web",
    };
    let form = Request::post(body).header("content-type", b"application/x-www-form-urlencoded");
    match logout {
        true => annul::handle_logout(authority, &form).await,
        false => annul::handle_revoke(authority, &form).await,
    }
}

#[test]
fn a_request_given_up_at_any_point_has_done_all_or_nothing() {
    for logout in [false, true] {
        let mut seen = [false; 2];
        for polls in 0.. {
            let store = Arc::new(MemoryStore::new());
            for id in ["", "2"] {
                issue(&store, grant("g"), &format!("at{id}"), &format!("rt{id}"));
            }
            let web = Client::new(ClientMetadata::new("web", AuthMethod::None));
            let clients = RegisteredClients::new(ClientTable::from_iter([web]));
            let authority =
                Authority::new(Slow(Arc::clone(&store)), clients).clock(FakeClock::at(START));
            let answered = give_up_after(polls, answer(&authority, logout));
            let live = ["at", "rt", "at2", "rt2"].map(|token| is_live(&store, token, START));
            assert!(live == [true; 4] || live == [false; 4], "after {polls}: {live:?}");
            seen[usize::from(live[0])] = true;
            if let Some(response) = answered {
                assert_eq!((response.status(), live), (200, [false; 4]));
                break;
            }
            // The client tries again, and nothing of the first attempt is in the way.
            let again = give_up_after(usize::MAX, answer(&authority, logout)).unwrap();
            assert_eq!(again.status(), 200);
            for token in ["at", "rt", "at2", "rt2"] {
                assert!(!is_live(&store, token, START));
            }
        }
        // Given up before the entry was written, and after: both have happened.
        assert_eq!(seen, [true; 2]);
    }
}
