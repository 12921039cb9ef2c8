//! Tells readers of the feed that there may be something new.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

use crate::store::StoreError;
use crate::store::embedded::queue::lock;

#[derive(Debug, Default)]
pub(super) struct Bell {
    /// The last place that anybody can see.
    place: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Bell {
    /// Says that the feed goes up to there, and can be read so far.
    pub(super) fn ring(&self, place: u64) {
        if self.place.fetch_max(place, SeqCst) >= place {
            return;
        }
        let wakers = std::mem::take(&mut lock(&self.waiting).wakers);
        wakers.into_values().for_each(Waker::wake);
    }

    /// Ready when the feed goes further than that.
    pub(super) const fn beyond(&self, place: u64) -> Beyond<'_> {
        Beyond { bell: self, place, ticket: None }
    }
}

pub(super) struct Beyond<'b> {
    bell: &'b Bell,
    place: u64,
    ticket: Option<u64>,
}

impl Future for Beyond<'_> {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let bell = self.bell;
        {
            let mut waiting = lock(&bell.waiting);
            let ticket = self.ticket.unwrap_or_else(|| {
                waiting.next += 1;
                waiting.next
            });
            waiting.wakers.insert(ticket, context.waker().clone());
            self.ticket = Some(ticket);
        }
        // After the waker stands there: the bell is rung after the place has moved.
        if bell.place.load(SeqCst) > self.place { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for Beyond<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            lock(&self.bell.waiting).wakers.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn whoever_waits_is_told_and_whoever_has_left_is_forgotten() {
        let bell = Bell::default();
        bell.ring(3);
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(bell.beyond(2)).poll(&mut context).is_ready());
        {
            let mut waiting = pin!(bell.beyond(3));
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            assert_eq!(lock(&bell.waiting).wakers.len(), 1);
            bell.ring(3);
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            bell.ring(4);
            assert!(waiting.as_mut().poll(&mut context).is_ready());
        }
        assert!(lock(&bell.waiting).wakers.is_empty());
    }
}
