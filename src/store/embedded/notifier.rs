//! Notifies readers of the feed that there may be new entries.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

use crate::error::StoreError;
use crate::store::embedded::queue::{lock, wake};

#[derive(Debug, Default)]
pub(super) struct Notifier {
    /// The last place that anybody can see.
    place: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Notifier {
    /// Says that the feed goes up to there, and can be read so far.
    pub(super) fn notify(&self, place: u64) {
        if self.place.fetch_max(place, SeqCst) >= place {
            return;
        }
        let wakers = std::mem::take(&mut lock(&self.waiting).wakers);
        wakers.into_values().for_each(wake);
    }

    /// Ready when the feed goes further than that.
    pub(super) const fn wait_past(&self, place: u64) -> WaitPast<'_> {
        WaitPast { notifier: self, place, ticket: None }
    }
}

pub(super) struct WaitPast<'n> {
    notifier: &'n Notifier,
    place: u64,
    ticket: Option<u64>,
}

impl Future for WaitPast<'_> {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let notifier = self.notifier;
        {
            let mut waiting = lock(&notifier.waiting);
            let ticket = self.ticket.unwrap_or_else(|| {
                waiting.next += 1;
                waiting.next
            });
            waiting.wakers.insert(ticket, context.waker().clone());
            self.ticket = Some(ticket);
        }
        // After the waker is in place: `notify` takes the wakers after the place has moved.
        if notifier.place.load(SeqCst) > self.place { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for WaitPast<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.notifier.waiting).wakers.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn whoever_waits_is_told_and_whoever_has_left_is_forgotten() {
        let notifier = Notifier::default();
        notifier.notify(3);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(notifier.wait_past(2)).poll(&mut context).is_ready());
        {
            let mut waiting = pin!(notifier.wait_past(3));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert_eq!(lock(&notifier.waiting).wakers.len(), 1);
            notifier.notify(3);
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            notifier.notify(4);
            assert!(waiting.as_mut().poll(&mut context).is_ready());
        }
        assert!(lock(&notifier.waiting).wakers.is_empty());
    }
}
