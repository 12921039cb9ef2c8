//! The way from the callers, who wait in their futures, to the threads that block.
//!
//! A caller leaves a job and awaits its [`Answer`]. The queue is bounded. A watchdog times out
//! callers: it drops jobs that are still queued, and answers for jobs that a thread is stuck on.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::StoreError;

/// How finely time is measured here: the watch looks so many times in one time-out.
const LOOKS: u32 = 8;

/// When to ask again, where the store cannot know.
const SOON: Duration = Duration::from_secs(1);

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store does not answer now; try again soon.
pub(super) fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::unavailable(why.into()).retry_after(SOON)
}

/// Where one answer is put. The first one counts.
#[derive(Debug)]
pub(super) struct Slot<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    Empty(Option<Waker>),
    Full(Result<T, StoreError>),
    Settled,
}

impl<T> Slot<T> {
    pub(super) fn answer(&self, answer: Result<T, StoreError>) {
        let waker = {
            let mut state = lock(&self.0);
            let State::Empty(waker) = &mut *state else {
                return;
            };
            let waker = waker.take();
            *state = State::Full(answer);
            waker
        };
        if let Some(waker) = waker {
            wake(waker);
        }
    }
}

/// Wakes a caller, whose own code this is: a panic of it must not end the thread that answers all others.
pub(super) fn wake(waker: Waker) {
    catch_unwind(AssertUnwindSafe(|| waker.wake())).unwrap_or_default();
}

/// A slot, whatever its answer is.
pub(super) trait Settle: Send + Sync {
    /// Whether it has its answer, or nobody waits for one.
    fn is_settled(&self) -> bool;

    /// Answers that the store is unavailable.
    fn refuse(&self, why: &str);
}

impl<T: Send> Settle for Slot<T> {
    fn is_settled(&self) -> bool {
        !matches!(&*lock(&self.0), State::Empty(_))
    }

    fn refuse(&self, why: &str) {
        self.answer(Err(unavailable(why)));
    }
}

/// The future of an answer. Dropped, it leaves the job to be done or not; never half of it.
pub(super) struct Answer<T>(Arc<Slot<T>>);

/// A slot, and the future of its answer.
pub(super) fn slot<T>() -> (Arc<Slot<T>>, Answer<T>) {
    let slot = Arc::new(Slot(Mutex::new(State::Empty(None))));
    (Arc::clone(&slot), Answer(slot))
}

impl<T> Future for Answer<T> {
    type Output = Result<T, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0.0);
        if let State::Empty(waker) = &mut *state {
            match waker {
                Some(known) if known.will_wake(context.waker()) => {}
                Some(_) | None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Settled) {
            State::Full(answer) => Poll::Ready(answer),
            State::Empty(_) | State::Settled => Poll::Ready(Err(unavailable("answered before"))),
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        *lock(&self.0.0) = State::Settled;
    }
}

/// How long to wait, and for how many jobs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wait {
    /// Not at all: whoever asks has other things to do.
    No,
    /// For so many, but no longer than that.
    For(usize, Duration),
    /// For one.
    Long,
}

/// What a thread does for a caller.
pub(super) trait Job: Send {
    fn slot(&self) -> Arc<dyn Settle>;
}

/// Jobs, in the order in which they came, and those at work.
#[derive(Debug)]
pub(super) struct Queue<J> {
    state: Mutex<Jobs<J>>,
    arrived: Condvar,
    capacity: usize,
}

struct Jobs<J> {
    waiting: VecDeque<(u64, J)>,
    /// The slots of the jobs that each thread has taken.
    at_work: Vec<Vec<(u64, Arc<dyn Settle>)>>,
    /// How many have to wait before a thread is woken.
    wanted: usize,
    /// The time, in looks of the watch.
    now: u64,
    open: bool,
}

impl<J> std::fmt::Debug for Jobs<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<J: Job> Queue<J> {
    pub(super) fn new(capacity: usize, threads: usize) -> Self {
        let at_work = (0..threads).map(|_| Vec::new()).collect();
        let waiting = VecDeque::new();
        Self {
            state: Mutex::new(Jobs { waiting, at_work, wanted: 1, now: 0, open: true }),
            arrived: Condvar::new(),
            capacity,
        }
    }

    /// Leaves a job, or says why not.
    pub(super) fn put(&self, job: J) -> Result<(), StoreError> {
        let mut jobs = lock(&self.state);
        if !jobs.open {
            return Err(unavailable("the store is closed"));
        }
        if jobs.waiting.len() >= self.capacity {
            return Err(unavailable("too many requests wait for the disk"));
        }
        let now = jobs.now;
        jobs.waiting.push_back((now, job));
        let enough = jobs.waiting.len() >= jobs.wanted;
        drop(jobs);
        if enough {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes up to `most` jobs for this thread, which goes on with those of the last ones that have no answer yet. False once
    /// the queue is closed and empty.
    pub(super) fn take(&self, thread: usize, most: usize, wait: Wait, to: &mut Vec<J>) -> bool {
        let mut jobs = lock(&self.state);
        if let Some(at_work) = jobs.at_work.get_mut(thread) {
            at_work.retain(|(_, slot)| !slot.is_settled());
        }
        let idle = |jobs: &mut Jobs<J>| jobs.waiting.len() < jobs.wanted && jobs.open;
        if let Wait::For(count, time) = wait {
            jobs.wanted = count;
            let waited = self.arrived.wait_timeout_while(jobs, time, idle);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
            jobs.wanted = 1;
        }
        if wait == Wait::Long {
            let waited = self.arrived.wait_while(jobs, idle);
            jobs = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if jobs.waiting.is_empty() && !jobs.open {
            return false;
        }
        let Jobs { waiting, at_work, .. } = &mut *jobs;
        let count = most.min(waiting.len());
        if let Some(at_work) = at_work.get_mut(thread) {
            at_work.extend(waiting.iter().take(count).map(|(since, job)| (*since, job.slot())));
        }
        to.extend(waiting.drain(..count).map(|(_, job)| job));
        true
    }

    /// Lets what waits be done, and nothing more come.
    pub(super) fn close(&self) {
        lock(&self.state).open = false;
        self.arrived.notify_all();
    }

    /// Whether nothing more comes.
    pub(super) fn is_closed(&self) -> bool {
        !lock(&self.state).open
    }

    /// One look: refuses what has waited for a whole time-out.
    fn look(&self) {
        let mut jobs = lock(&self.state);
        jobs.now += 1;
        // A job that came just before a look has waited for one look less than it seems.
        let Some(since) = jobs.now.checked_sub(LOOKS.into()) else {
            return;
        };
        let mut late = Vec::new();
        while jobs.waiting.front().is_some_and(|(came, _)| *came <= since) {
            late.extend(jobs.waiting.pop_front());
        }
        let stuck: Vec<Arc<dyn Settle>> = jobs
            .at_work
            .iter()
            .flatten()
            .filter(|(came, _)| *came <= since)
            .map(|(_, slot)| Arc::clone(slot))
            .collect();
        drop(jobs);
        for (_, job) in late {
            job.slot().refuse("the disk did not come to it in time");
        }
        for slot in stuck {
            slot.refuse("the disk did not answer in time");
        }
    }
}

/// Tells a thread to end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    ended: Mutex<bool>,
    said: Condvar,
}

impl Ending {
    pub(super) fn end(&self) {
        *lock(&self.ended) = true;
        self.said.notify_all();
    }

    /// Waits for that long, or until told to end. Whether it was.
    pub(super) fn wait(&self, time: Duration) -> bool {
        let ended = lock(&self.ended);
        let waited = self.said.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Runs on a thread of its own, until told to end.
pub(super) fn watch<A: Job, B: Job>(
    writes: &Queue<A>,
    reads: &Queue<B>,
    time_out: Duration,
    ending: &Ending,
) {
    while !ending.wait(time_out / LOOKS) {
        writes.look();
        reads.look();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::error::StoreErrorKind;

    struct Count(u32, Arc<Slot<u32>>);

    impl Job for Count {
        fn slot(&self) -> Arc<dyn Settle> {
            Arc::<Slot<_>>::clone(&self.1)
        }
    }

    fn put(queue: &Queue<Count>, number: u32) -> Result<Answer<u32>, StoreError> {
        let (slot, answer) = slot();
        queue.put(Count(number, slot))?;
        Ok(answer)
    }

    fn take(queue: &Queue<Count>, most: usize, wait: Wait) -> Option<Vec<Count>> {
        let mut jobs = Vec::new();
        queue.take(0, most, wait, &mut jobs).then_some(jobs)
    }

    /// What there is of an answer; nothing while it is waited for.
    fn poll(answer: &mut Answer<u32>) -> Option<Result<u32, StoreErrorKind>> {
        match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer.map_err(|error| error.kind())),
            Poll::Pending => None,
        }
    }

    const UNAVAILABLE: Option<Result<u32, StoreErrorKind>> = Some(Err(StoreErrorKind::Unavailable));

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_too() {
        let queue = Queue::new(2, 1);
        let mut kept: Vec<_> = (0..2).map(|number| put(&queue, number).unwrap()).collect();
        assert!(put(&queue, 2).is_err());
        let jobs = take(&queue, 1, Wait::Long).unwrap();
        jobs.iter().for_each(|Count(number, slot)| slot.answer(Ok(*number)));
        assert_eq!(poll(&mut kept[0]), Some(Ok(0)));
        assert_eq!(poll(&mut kept[1]), None);
        kept.push(put(&queue, 2).unwrap());
        assert!(!queue.is_closed());
        queue.close();
        assert!(queue.is_closed());
        assert!(put(&queue, 3).is_err());
        // What was left before is still done.
        assert_eq!(take(&queue, 9, Wait::Long).unwrap().len(), 2);
        assert!(take(&queue, 9, Wait::Long).is_none());
    }

    #[test]
    fn whoever_has_waited_for_a_time_out_is_refused_in_the_queue_and_at_work() {
        let queue = Queue::new(9, 1);
        let mut at_work = put(&queue, 0).unwrap();
        let jobs = take(&queue, 1, Wait::Long).unwrap();
        let mut waiting = put(&queue, 1).unwrap();
        queue.look();
        let mut later = put(&queue, 2).unwrap();
        for _ in 1..LOOKS {
            assert_eq!(poll(&mut at_work), None);
            assert_eq!(poll(&mut waiting), None);
            queue.look();
        }
        assert_eq!(poll(&mut at_work), UNAVAILABLE);
        assert_eq!(poll(&mut waiting), UNAVAILABLE);
        assert_eq!(poll(&mut later), None);
        // Too late: the first answer counts.
        jobs.iter().for_each(|Count(number, slot)| slot.answer(Ok(*number)));
        // And what was refused in the queue is not done behind its caller's back.
        let jobs = take(&queue, 9, Wait::Long).unwrap();
        assert_eq!(jobs.iter().map(|job| job.0).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn nobody_waits_longer_for_many_than_was_said() {
        let queue = Queue::new(9, 1);
        let _one = put(&queue, 0).unwrap();
        let jobs = take(&queue, 9, Wait::For(5, Duration::from_millis(1))).unwrap();
        assert_eq!(jobs.len(), 1);
        assert!(take(&queue, 9, Wait::For(5, Duration::from_millis(1))).unwrap().is_empty());
        let _two = [put(&queue, 1).unwrap(), put(&queue, 2).unwrap()];
        assert_eq!(take(&queue, 9, Wait::For(2, Duration::MAX)).unwrap().len(), 2);
    }

    #[test]
    fn a_dropped_answer_is_waited_for_by_nobody() {
        let queue = Queue::new(9, 1);
        drop(put(&queue, 0).unwrap());
        let jobs = take(&queue, 9, Wait::Long).unwrap();
        assert!(jobs[0].slot().is_settled());
        jobs[0].1.answer(Ok(0));
    }
}
