//! The threads that hash, and the queue before them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{fmt, io, thread};

use tokio::sync::oneshot;

use crate::client::hashed::hash::{NotHashed, SecretHash};
use crate::client::hashed::limits::HashingLimits;
use crate::client::hashed::proven::{Fingerprint, Proven};
use crate::clock::Timestamp;
use crate::secret::{PresentedSecret, Secret};

/// What the hashing threads did since they started, in numbers that only grow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HashingStats {
    /// Hashes that were computed.
    pub computed: u64,
    /// Secrets that were known to match, so that nothing was computed.
    pub remembered: u64,
    /// Secrets that were being checked already, so that one computation answered several requests.
    pub joined: u64,
    /// Secrets that were turned away because the queue was full. Each was a 503; if there are many, somebody is
    /// guessing, or there are too few workers.
    pub refused: u64,
    /// Secrets that nobody waited for any more when their turn came, so that nothing was computed.
    pub abandoned: u64,
}

/// One secret, and what to compare it with.
pub(super) struct Task {
    pub(super) id: Fingerprint,
    pub(super) secret: Secret,
    /// Compared in this order, until one matches.
    pub(super) candidates: Vec<(Fingerprint, SecretHash)>,
    /// Computed after them, so that a failure costs the same whoever it is.
    pub(super) decoys: Vec<SecretHash>,
    /// When it was asked.
    pub(super) at: Timestamp,
}

/// What became of a task.
type Outcome = Result<bool, NotHashed>;

/// How a question was taken.
pub(super) enum Asked {
    /// It is known: the secret matches.
    Proven,
    /// The answer comes here.
    Queued(oneshot::Receiver<Outcome>),
    /// There is no room for it.
    Refused,
}

/// The threads. They end when this goes out of scope, each after the hash that it is computing.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    limits: HashingLimits,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    proven: Proven,
    queue: VecDeque<Task>,
    /// Who waits for a task, queued or being computed.
    waiting: HashMap<Fingerprint, Vec<oneshot::Sender<Outcome>>>,
    stats: HashingStats,
    closed: bool,
}

impl Pool {
    pub(super) fn start(limits: HashingLimits) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { limits, state: Mutex::default(), changed: Condvar::default() });
        // Made before the threads, so that those that run end if another cannot be started.
        let pool = Self(Arc::clone(&shared));
        for number in 0..limits.workers.max(1) {
            let shared = Arc::clone(&shared);
            let name = format!("annul-argon2-{number}");
            thread::Builder::new().name(name).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Whether one of these secrets was proven lately.
    pub(super) fn remembers(&self, candidates: &[Fingerprint], now: Timestamp) -> bool {
        let mut state = self.0.state();
        let found = candidates.iter().any(|candidate| state.proven.contains(candidate, now));
        state.stats.remembered += u64::from(found);
        found
    }

    /// Queues a task, or joins the same one where it is queued already; never waits.
    pub(super) fn ask(&self, task: Task) -> Asked {
        let mut guard = self.0.state();
        let state = &mut *guard;
        // It may have been proven since somebody looked.
        if task.candidates.iter().any(|(candidate, _)| state.proven.contains(candidate, task.at)) {
            state.stats.remembered += 1;
            return Asked::Proven;
        }
        let (asker, answer) = oneshot::channel();
        match state.waiting.entry(task.id) {
            Entry::Occupied(mut others) => {
                others.get_mut().push(asker);
                state.stats.joined += 1;
            }
            Entry::Vacant(_) if state.queue.len() >= self.0.limits.queue.max(1) => {
                state.stats.refused += 1;
                return Asked::Refused;
            }
            Entry::Vacant(first) => {
                first.insert(vec![asker]);
                state.queue.push_back(task);
                self.0.changed.notify_one();
            }
        }
        Asked::Queued(answer)
    }

    pub(super) fn stats(&self) -> HashingStats {
        self.0.state().stats
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    /// Nothing that is done under the lock can leave it half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let mut computed = 0;
            // A thread that died here would leave its askers waiting for ever.
            let found = catch_unwind(AssertUnwindSafe(|| task.run(&mut computed)));
            self.answer(&task, found.unwrap_or(Err(NotHashed)), computed);
        }
    }

    /// The next task that somebody waits for; none when the pool is gone.
    fn next(&self) -> Option<Task> {
        let mut guard = self.state();
        loop {
            let state = &mut *guard;
            if state.closed {
                return None;
            }
            let Some(task) = state.queue.pop_front() else {
                guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let askers = state.waiting.get(&task.id).map(Vec::as_slice).unwrap_or_default();
            if askers.iter().any(|asker| !asker.is_closed()) {
                return Some(task);
            }
            state.waiting.remove(&task.id);
            state.stats.abandoned += 1;
        }
    }

    fn answer(&self, task: &Task, found: Result<Option<Fingerprint>, NotHashed>, computed: u64) {
        let HashingLimits { remembered, remembered_for, .. } = self.limits;
        let mut state = self.state();
        state.stats.computed += computed;
        if let Ok(Some(proven)) = found {
            state.proven.insert(proven, task.at, remembered_for, remembered);
        }
        let askers = state.waiting.remove(&task.id).unwrap_or_default();
        // The tasks that they wake need not queue up for the lock.
        drop(state);
        for asker in askers {
            // An asker that has gone wants no answer.
            let _ = asker.send(found.map(|found| found.is_some()));
        }
    }
}

impl Task {
    /// Which candidate matches.
    fn run(&self, computed: &mut u64) -> Result<Option<Fingerprint>, NotHashed> {
        let secret = PresentedSecret::new(self.secret.expose_secret());
        for (candidate, hash) in &self.candidates {
            *computed += 1;
            if hash.check(secret)? {
                return Ok(Some(*candidate));
            }
        }
        for decoy in &self.decoys {
            *computed += 1;
            decoy.check(secret)?;
        }
        Ok(None)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { limits, .. } = &*self.0;
        f.debug_struct("Pool").field("limits", limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use super::*;
    use crate::client::hashed::proven::FingerprintKey;

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    /// A pool whose only worker is the test: nothing happens before it says so.
    struct ByHand {
        pool: Pool,
        key: FingerprintKey,
    }

    impl ByHand {
        fn new(queue: usize) -> Self {
            let limits = HashingLimits { queue, ..HashingLimits::default() };
            let (state, changed) = (Mutex::default(), Condvar::default());
            let pool = Pool(Arc::new(Shared { limits, state, changed }));
            Self { pool, key: FingerprintKey::random() }
        }

        fn ask(&self, secret: &str) -> Asked {
            self.ask_at(secret, START)
        }

        /// Asks whether `secret` is `password`.
        fn ask_at(&self, secret: &str, at: Timestamp) -> Asked {
            let hash = SecretHash::parse(
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            )
            .unwrap();
            let id = self.key.fingerprint("web", secret, [&hash]);
            let (candidates, decoys) = (vec![(id, hash.clone())], vec![hash]);
            self.pool.ask(Task { id, secret: Secret::new(secret), candidates, decoys, at })
        }

        fn queue(&self, secret: &str) -> oneshot::Receiver<Outcome> {
            match self.ask(secret) {
                Asked::Queued(answer) => answer,
                Asked::Proven | Asked::Refused => panic!("{secret} was not queued"),
            }
        }

        /// Does what a worker does, once.
        fn work_once(&self) {
            let task = self.pool.0.next().unwrap();
            let mut computed = 0;
            let found = task.run(&mut computed);
            self.pool.0.answer(&task, found, computed);
        }
    }

    fn answer(receiver: &mut oneshot::Receiver<Outcome>) -> Option<Outcome> {
        match receiver.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => panic!("there will be no answer"),
        }
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_has_room_again_later() {
        let by_hand = ByHand::new(2);
        let mut first = by_hand.queue("first");
        let _second = by_hand.queue("second");
        assert!(matches!(by_hand.ask("third"), Asked::Refused));
        assert_eq!(answer(&mut first), None);
        by_hand.work_once();
        assert_eq!(answer(&mut first), Some(Ok(false)));
        let mut third = by_hand.queue("third");
        assert!(matches!(by_hand.ask("fourth"), Asked::Refused));
        by_hand.work_once();
        by_hand.work_once();
        assert_eq!(answer(&mut third), Some(Ok(false)));
        let expected = HashingStats { computed: 6, refused: 2, ..HashingStats::default() };
        assert_eq!(by_hand.pool.stats(), expected);
    }

    #[test]
    fn one_computation_answers_all_who_ask_the_same() {
        let by_hand = ByHand::new(1);
        let mut askers: Vec<_> = (0..3).map(|_| by_hand.queue("password")).collect();
        by_hand.work_once();
        for asker in &mut askers {
            assert_eq!(answer(asker), Some(Ok(true)));
        }
        let expected = HashingStats { computed: 1, joined: 2, ..HashingStats::default() };
        assert_eq!(by_hand.pool.stats(), expected);
        // Also those who come while it is computed.
        let by_hand = ByHand::new(1);
        let mut early = by_hand.queue("wrong");
        let task = by_hand.pool.0.next().unwrap();
        let mut late = by_hand.queue("wrong");
        by_hand.pool.0.answer(&task, Ok(None), 2);
        assert_eq!(answer(&mut early), Some(Ok(false)));
        assert_eq!(answer(&mut late), Some(Ok(false)));
    }

    #[test]
    fn what_nobody_waits_for_is_not_computed() {
        let by_hand = ByHand::new(3);
        drop(by_hand.queue("gone"));
        drop(by_hand.queue("joined"));
        let mut joined = by_hand.queue("joined");
        let mut last = by_hand.queue("password");
        by_hand.work_once();
        // The first to ask for this one has gone, the second has not.
        assert_eq!(answer(&mut joined), Some(Ok(false)));
        by_hand.work_once();
        assert_eq!(answer(&mut last), Some(Ok(true)));
        let stats = by_hand.pool.stats();
        assert_eq!((stats.computed, stats.abandoned), (3, 1));
        // Nothing of it is left behind: it can be asked again.
        let mut again = by_hand.queue("gone");
        by_hand.work_once();
        assert_eq!(answer(&mut again), Some(Ok(false)));
        assert!(by_hand.pool.0.state().waiting.is_empty());
    }

    #[test]
    fn a_right_secret_is_remembered_from_when_it_was_asked_and_a_wrong_one_is_not() {
        let by_hand = ByHand::new(2);
        let _right = by_hand.queue("password");
        let _wrong = by_hand.queue("wrong");
        by_hand.work_once();
        by_hand.work_once();
        assert!(matches!(by_hand.ask("wrong"), Asked::Queued(_)));
        let late = START + Duration::from_millis(59_999);
        assert!(matches!(by_hand.ask_at("password", late), Asked::Proven));
        let too_late = START + Duration::from_millis(60_000);
        assert!(matches!(by_hand.ask_at("password", too_late), Asked::Queued(_)));
    }

    #[test]
    fn what_could_not_be_computed_is_neither_right_nor_remembered() {
        let by_hand = ByHand::new(1);
        let mut asker = by_hand.queue("password");
        let task = by_hand.pool.0.next().unwrap();
        by_hand.pool.0.answer(&task, Err(NotHashed), 0);
        assert_eq!(answer(&mut asker), Some(Err(NotHashed)));
        assert!(matches!(by_hand.ask("password"), Asked::Queued(_)));
    }

    /// Threads hold the shared state for as long as they run.
    fn wait_until_gone(shared: &Weak<Shared>) {
        for _ in 0..30_000 {
            if shared.strong_count() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the threads still run");
    }

    #[test]
    fn the_threads_end_with_the_pool() {
        let limits = HashingLimits { workers: 3, ..HashingLimits::default() };
        let pool = Pool::start(limits).unwrap();
        let shared = Arc::downgrade(&pool.0);
        assert_eq!(shared.strong_count(), 4);
        drop(pool);
        wait_until_gone(&shared);
    }
}
