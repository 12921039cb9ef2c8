//! A store that takes its time: every call waits once before it is done, and once after. It counts, and it can fail.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::{Context, Poll, Waker};

use annul::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, StoreError, Sweep,
    SweepBudget, Swept, TokenLedger, TokenStore,
};
use annul::{
    Grant, NewToken, PresentedToken, Revocation, Revoked, SessionId, Timestamp, TokenRecord,
    TokenTypeHint,
};
use async_trait::async_trait;

#[derive(Clone, Debug)]
pub(crate) struct Slow<S> {
    store: S,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    finds: AtomicUsize,
    is_broken: AtomicBool,
    loses_answers: AtomicBool,
}

impl<S> Slow<S> {
    pub(crate) fn new(store: S) -> Self {
        Self { store, seen: Arc::default() }
    }

    /// Another store, counted together with this one.
    pub(crate) fn over<T>(&self, store: T) -> Slow<T> {
        Slow { store, seen: Arc::clone(&self.seen) }
    }

    /// How often it was asked for a token.
    pub(crate) fn finds(&self) -> usize {
        self.seen.finds.load(SeqCst)
    }

    /// Nothing is done any more, and everything is an error.
    pub(crate) fn is_broken(&self, is_broken: bool) {
        self.seen.is_broken.store(is_broken, SeqCst);
    }

    /// Everything is done, and is an error.
    pub(crate) fn loses_answers(&self, loses: bool) {
        self.seen.loses_answers.store(loses, SeqCst);
    }

    async fn call<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError>
    where
        S: Sync,
    {
        pause().await;
        if self.seen.is_broken.load(SeqCst) {
            return Err(StoreError::unavailable("broken"));
        }
        let answer = call.await;
        pause().await;
        if self.seen.loses_answers.load(SeqCst) {
            return Err(StoreError::unavailable("the answer got lost"));
        }
        answer
    }
}

async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Takes a call so far that the store has done it, and its answer is on the way.
pub(crate) fn until_done<F: Future + ?Sized>(call: &mut Pin<Box<F>>) {
    for _ in 0..2 {
        assert!(step(call).is_pending());
    }
}

pub(crate) fn step<F: Future + ?Sized>(call: &mut Pin<Box<F>>) -> Poll<F::Output> {
    call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[async_trait]
impl<S: TokenStore> TokenStore for Slow<S> {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.seen.finds.fetch_add(1, SeqCst);
        self.call(self.store.find(token, hint)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.call(self.store.revoke(revocation)).await
    }
}

#[async_trait]
impl<S: TokenLedger> TokenLedger for Slow<S> {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        self.call(self.store.issue(grant, tokens, now)).await
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.call(self.store.rotate(rotation)).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.call(self.store.open_session(session)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.call(self.store.session(id)).await
    }
}

#[async_trait]
impl<S: Sweep> Sweep for Slow<S> {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        self.call(self.store.sweep(now, budget)).await
    }
}

#[async_trait]
impl<S: RevocationFeed> RevocationFeed for Slow<S> {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.call(self.store.changes(after, limit)).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        self.call(self.store.changed(after)).await
    }
}
