//! Running futures beside each other, and giving them up half way, without a runtime of our own.
//!
//! A published suite cannot know what a store's futures need around them: a connection pool needs its runtime's
//! reactor, a store in memory needs nothing. So nothing here polls a future anywhere but on the caller's task, in a task
//! handed to the caller's spawner, or, where the caller said that it may, on a plain thread. And nothing polls it in a
//! loop: a future that waits for a socket makes no progress by being asked.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::thread::Thread;

use crate::testkit::proof::NotProven;
use crate::testkit::random::Random;

/// A task to be run to its end, by whatever the store needs around it.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) type Spawn = Arc<dyn Fn(Task) + Send + Sync>;

/// More awaits than any call has; a future that is still pending then never ends.
const MOST_POLLS: usize = 2_000;

/// One of several that start together.
pub(super) type Racer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(super) fn racer<T>(future: impl Future<Output = T> + Send + 'static) -> Racer<T> {
    Box::pin(future)
}

/// Polls a future at most this often, and drops it where it waits then. Its value, if it came so far.
pub(super) async fn give_up_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Numbers of polls after which to give up: all of them, until the case has seen its call complete.
pub(super) fn awaits() -> impl Iterator<Item = usize> {
    0..MOST_POLLS
}

/// What a case says whose call has outlasted [`awaits`].
pub(super) fn never_completes() -> NotProven {
    NotProven::seen(format!("still pending after {MOST_POLLS} polls"))
}

/// Lets everything else on this task have a turn.
pub(super) async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs all of them at once and waits for all: by the spawner, or taking turns on this task where there is none.
pub(super) async fn race<T: Send + 'static>(
    spawn: Option<&Spawn>,
    seed: u64,
    racers: Vec<Racer<T>>,
) -> Result<Vec<T>, NotProven> {
    let count = racers.len();
    let finish = Arc::new(Finish {
        state: Mutex::new(State {
            values: racers.iter().map(|_| None).collect(),
            left: count,
            waiting: None,
        }),
        gate: AtomicUsize::new(count),
    });
    let mut random = Random::new(seed);
    let tasks = racers.into_iter().enumerate().map(|(lane, racer)| {
        let ticket = Ticket { finish: Arc::clone(&finish), lane, started: false };
        run(ticket, racer, random.below(200)).boxed()
    });
    match spawn {
        Some(spawn) => {
            tasks.for_each(|task| spawn(task));
            std::future::poll_fn(|context| finish.poll(context)).await;
        }
        None => in_turns(tasks.collect()).await,
    }
    let values = std::mem::take(&mut finish.lock().values);
    let values: Option<Vec<T>> = values.into_iter().collect();
    values.ok_or_else(|| NotProven::seen("a racer panicked or was never run"))
}

/// Polls every task until all are done.
async fn in_turns(mut tasks: Vec<Task>) {
    std::future::poll_fn(|context| {
        tasks.retain_mut(|task| task.as_mut().poll(context).is_pending());
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn run<T: Send>(mut ticket: Ticket<T>, racer: Racer<T>, late: usize) {
    // Nobody runs before all can: threads take longer to start than a race lasts.
    ticket.start();
    while ticket.finish.gate.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
        yield_now().await;
    }
    // And each time a little further apart, be it in time or in turns.
    for _ in 0..late % 8 {
        yield_now().await;
    }
    for _ in 0..late {
        std::hint::spin_loop();
    }
    let value = racer.await;
    ticket.done(value);
}

trait Boxed {
    fn boxed(self) -> Task;
}

impl<F: Future<Output = ()> + Send + 'static> Boxed for F {
    fn boxed(self) -> Task {
        Box::pin(self)
    }
}

/// Where the racers come in.
struct Finish<T> {
    state: Mutex<State<T>>,
    gate: AtomicUsize,
}

struct State<T> {
    values: Vec<Option<T>>,
    left: usize,
    waiting: Option<Waker>,
}

impl<T> Finish<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        state.waiting = Some(context.waker().clone());
        if state.left == 0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A racer's place. One that panics, or is dropped by its spawner, gives it back without a value: nobody waits for ever.
struct Ticket<T> {
    finish: Arc<Finish<T>>,
    lane: usize,
    started: bool,
}

impl<T> Ticket<T> {
    fn start(&mut self) {
        if !std::mem::replace(&mut self.started, true) {
            self.finish.gate.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn done(self, value: T) {
        if let Some(place) = self.finish.lock().values.get_mut(self.lane) {
            *place = Some(value);
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.start();
        let waiting = {
            let mut state = self.finish.lock();
            state.left -= 1;
            state.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// Starts a thread that drives this task, and parks while it waits.
pub(super) fn on_a_thread(mut task: Task) {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    thread::spawn(move || {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        while task.as_mut().poll(&mut context).is_pending() {
            thread::park();
        }
    });
}
