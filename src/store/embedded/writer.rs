//! The one thread that writes: many operations, one fsync.
//!
//! Whatever has come while the last batch was on its way to disk is decided together, in the order in which it came, each
//! operation upon what those before it have done. Nobody is answered before the batch is on disk, and nobody else sees
//! anything of it before.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{io, thread};

use crate::clock::{Stopwatch as _, SystemStopwatch};
use crate::error::StoreError;
use crate::store::embedded::batch::{Batch, Finished};
use crate::store::embedded::deciding::Deciding;
use crate::store::embedded::engine::{Engine, WriteError};
use crate::store::embedded::folder::DATA;
use crate::store::embedded::jobs::{Sweeping, Write};
use crate::store::embedded::queue::{Job as _, Settle as _, Slot, Wait};
use crate::store::embedded::records::DueKey;
use crate::store::embedded::shared::Shared;
use crate::store::embedded::sweep::{Leap, Progress, SweepStep};
use crate::store::embedded::{issue, journal, revoke, rotate, session, sweep};
use crate::store::{Lifetimes, Swept};

/// The most operations of one batch: what is beyond waits for the next fsync.
const MOST: usize = 512;

/// The most records that a sweep looks at in one batch: a revocation beside it waits so much longer.
const STEP: usize = 192;

/// How long to wait for an engine that is behind, before it is asked again.
const BEHIND: Duration = Duration::from_millis(2);

/// Pause before reopening a failed engine when no request is waiting.
const REST: Duration = Duration::from_millis(200);

/// The longest to wait for callers who are expected back.
const LONGEST_LINGER: Duration = Duration::from_millis(1);

/// For how many of them to wait at once: they are decided while the others are on their way.
const FEW: usize = 16;

/// What has to fit on the disk beside the journals before an engine that ran out of room is opened again.
const ROOM: u64 = 1 << 20;

/// An answer that waits for the disk.
type Reply = Box<dyn FnOnce()>;

fn reply<T: 'static>(slot: &Arc<Slot<T>>, answer: Result<T, StoreError>) -> Reply {
    let slot = Arc::clone(slot);
    Box::new(move || slot.answer(answer))
}

impl Write {
    fn decide(&self, batch: &mut Batch<'_>, lifetimes: Lifetimes) -> Reply {
        match self {
            Self::Issue { namespace, grant, name, tokens, now, slot } => {
                let answer = batch.decide(|batch| {
                    let (namespace, now) = (&**namespace, *now);
                    let mut deciding = Deciding { batch, namespace, lifetimes, now };
                    issue::issue(&mut deciding, grant, *name, tokens)
                });
                reply(slot, answer)
            }
            Self::OpenSession { namespace, session, slot } => {
                let answer = batch
                    .decide(|batch| session::open_session(batch, namespace, &lifetimes, session));
                reply(slot, answer)
            }
            Self::Revoke { namespace, key, revocation, slot } => {
                let answer = batch
                    .decide(|batch| revoke::revoke(batch, namespace, &lifetimes, *key, revocation));
                reply(slot, answer)
            }
            Self::Rotate { namespace, rotation, now, slot } => {
                let answer = batch.decide(|batch| {
                    let (namespace, now) = (&**namespace, *now);
                    let mut deciding = Deciding { batch, namespace, lifetimes, now };
                    rotate::rotate(&mut deciding, rotation)
                });
                reply(slot, answer)
            }
            // Swept apart.
            Self::Sweep(_) => Box::new(|| ()),
        }
    }
}

/// Many callers who were answered together come back together, but not in the same instant: to go ahead with the first of
/// them would make all others wait for two fsyncs.
struct Expected {
    callers: usize,
    linger: Duration,
    since: SystemStopwatch,
}

impl Expected {
    /// For whom to wait, and for how long, when so many are back.
    fn wait(&self, back: usize) -> Option<Wait> {
        let missing = self.callers.saturating_sub(back);
        let left = self.linger.saturating_sub(self.since.elapsed());
        (missing > 0 && !left.is_zero()).then(|| Wait::For(missing.min(FEW), left))
    }
}

/// What a batch that is on disk has come to.
struct Written {
    replies: Vec<Reply>,
    /// A step of this sweep.
    stepped: Option<Stepped>,
    scheduled: Vec<DueKey>,
}

/// A step, and the sweep that it is part of.
type Stepped = (Arc<Slot<Swept>>, Result<SweepStep, StoreError>);

fn closed() -> WriteError {
    WriteError::Failed("the store was closed".to_owned())
}

/// What the thread remembers from one batch to the next.
pub(super) struct Writer<'s> {
    shared: &'s Shared,
    sweeps: VecDeque<Sweeping>,
    /// Those of the batch that is under way.
    writes: Vec<Write>,
    /// What was just taken.
    taken: Vec<Write>,
    progress: Progress,
    leap: Leap,
    /// Who else is expected for this batch.
    expected: Option<Expected>,
    /// How many callers the last batch had, and how long it took.
    last: (usize, Duration),
    /// Whether the engine has to be opened again before it is asked to write.
    broken: bool,
    /// For how long a sweep goes on.
    patience: Duration,
}

impl<'s> Writer<'s> {
    pub(super) fn new(shared: &'s Shared, patience: Duration) -> Self {
        Self {
            shared,
            sweeps: VecDeque::new(),
            writes: Vec::new(),
            taken: Vec::new(),
            progress: Progress::default(),
            leap: Leap::default(),
            expected: None,
            last: (0, Duration::ZERO),
            broken: false,
            patience,
        }
    }

    /// Until the store is closed and everything is answered.
    pub(super) fn run(mut self) {
        while self.next() {
            self.round();
            self.writes.clear();
        }
        for sweeping in self.sweeps {
            sweeping.slot.refuse("the store was closed");
        }
    }

    /// Takes what has come for the next batch, and sees who else is expected for it. False once the queue is closed and empty.
    fn next(&mut self) -> bool {
        self.expected = None;
        if !self.sweeps.is_empty() {
            return self.take(Wait::No);
        }
        if self.shared.engine().is_none() {
            return self.take(Wait::For(1, REST));
        }
        let (callers, took) = self.last;
        if callers > 1 {
            let linger = (took / 2).min(LONGEST_LINGER);
            let expected = Expected { callers, linger, since: SystemStopwatch::start() };
            if let Some(wait) = expected.wait(0) {
                if !self.take(wait) {
                    return false;
                }
                if !self.writes.is_empty() || !self.sweeps.is_empty() {
                    self.expected = Some(expected);
                    return true;
                }
            }
        }
        self.take(Wait::Long)
    }

    /// Takes what waits, and puts sweeps aside, which are done in steps. False once the queue is closed and empty.
    fn take(&mut self, wait: Wait) -> bool {
        let most = MOST.saturating_sub(self.writes.len());
        let is_open = self.shared.writes.take(0, most, wait, &mut self.taken);
        for job in self.taken.drain(..) {
            match job {
                Write::Sweep(sweeping) => self.sweeps.push_back(sweeping),
                Write::Issue { .. }
                | Write::OpenSession { .. }
                | Write::Revoke { .. }
                | Write::Rotate { .. } => self.writes.push(job),
            }
        }
        // Nobody waits for these any more.
        self.sweeps.retain(|sweeping| !sweeping.slot.is_settled());
        is_open
    }

    fn round(&mut self) {
        let stopwatch = SystemStopwatch::start();
        self.try_round();
        self.last = (self.writes.len(), stopwatch.elapsed());
    }

    fn try_round(&mut self) {
        let why = match self.attempts() {
            Ok(written) => return self.settle(written),
            Err(WriteError::Failed(why)) => why,
            Err(WriteError::Refused) => "the disk takes no more".to_owned(),
        };
        for write in &self.writes {
            write.slot().refuse(&why);
        }
        for sweeping in self.sweeps.drain(..) {
            sweeping.slot.refuse(&why);
        }
    }

    /// Once, or twice: where nothing was written, it can be tried again. Where perhaps something was, it cannot: a rotation
    /// that came to disk would look like the reuse of its own token.
    fn attempts(&mut self) -> Result<Written, WriteError> {
        if self.broken {
            if self.shared.writes.is_closed() {
                return Err(closed());
            }
            self.reopen()?;
        }
        let mut outcome = self.attempt();
        if matches!(outcome, Err(WriteError::Refused)) {
            self.broken = true;
            self.reopen()?;
            outcome = self.attempt();
        }
        self.broken = outcome.is_err();
        outcome
    }

    /// Decides and writes.
    fn attempt(&mut self) -> Result<Written, WriteError> {
        let shared = self.shared;
        let engine = shared.engine();
        let Some(engine) = engine.as_ref() else {
            return Err(WriteError::Refused);
        };
        let attempt = AssertUnwindSafe(|| self.write(engine));
        catch_unwind(attempt)
            .unwrap_or_else(|_| Err(WriteError::Failed("the engine panicked".to_owned())))
    }

    fn write(&mut self, engine: &Engine) -> Result<Written, WriteError> {
        while engine.is_behind() {
            if engine.has_failed() {
                return Err(WriteError::Refused);
            }
            // Nobody waits for an answer any more, but somebody does for the folder.
            if self.shared.writes.is_closed() {
                return Err(closed());
            }
            thread::sleep(BEHIND);
        }
        let mut batch = Batch::new(engine);
        // First: what a sweep takes is decided by what is on disk, where no record of this batch is missing from its order.
        let stepped = self.step(&mut batch);
        let replies = self.decide(&mut batch);
        let finished = batch.finish().map_err(|error| WriteError::Failed(error.to_string()))?;
        let Finished { writes, lines: scheduled, place } = finished;
        if !writes.is_empty() {
            engine.commit(writes)?;
            self.shared.commits.fetch_add(1, Relaxed);
        }
        if let Some(place) = place {
            self.shared.notifier.notify(place);
        }
        Ok(Written { replies, stepped, scheduled })
    }

    /// A step of the sweep that is under way, unless its clock is not believed.
    fn step(&mut self, batch: &mut Batch<'_>) -> Option<Stepped> {
        let sweeping = self.sweeps.front()?;
        let (now, most) = (sweeping.now, sweeping.left.min(STEP));
        let (leap, progress) = (&mut self.leap, &self.progress);
        let Shared { lifetimes, stopwatch, .. } = self.shared;
        let step =
            batch.decide(|batch| match leap.believe(batch, now, lifetimes, &**stopwatch)? {
                Ok(()) => sweep::sweep(batch, now, progress, most, lifetimes),
                Err(ahead) => Ok(SweepStep::held_back(progress, ahead)),
            });
        Some((Arc::clone(&sweeping.slot), step))
    }

    /// Decides queued operations, and those that arrive while it decides. A retry does not wait for more.
    fn decide(&mut self, batch: &mut Batch<'_>) -> Vec<Reply> {
        let expected = self.expected.take();
        let mut replies = Vec::with_capacity(self.last.0);
        loop {
            let new = self.writes.iter().skip(replies.len());
            replies.extend(new.map(|write| write.decide(batch, self.shared.lifetimes)));
            let wait = expected.as_ref().and_then(|expected| expected.wait(replies.len()));
            if !wait.is_some_and(|wait| self.take(wait)) || self.writes.len() == replies.len() {
                return replies;
            }
        }
    }

    fn settle(&mut self, written: Written) {
        for reply in written.replies {
            reply();
        }
        match written.stepped {
            Some((slot, Ok(stepped))) => self.stepped(&slot, &stepped),
            Some((slot, Err(error))) => {
                self.sweeps.retain(|sweeping| !Arc::ptr_eq(&sweeping.slot, &slot));
                slot.answer(Err(error));
            }
            None => {}
        }
        // After the step: what it has put down again may stand behind the place that it has come to.
        self.progress.scheduled(&written.scheduled);
    }

    fn stepped(&mut self, slot: &Arc<Slot<Swept>>, stepped: &SweepStep) {
        self.progress.stepped(stepped);
        // None where nobody waited for it any more meanwhile.
        let front = self.sweeps.front_mut();
        let Some(sweeping) = front.filter(|sweeping| Arc::ptr_eq(&sweeping.slot, slot)) else {
            return;
        };
        sweeping.left = sweeping.left.saturating_sub(stepped.looked_at);
        sweeping.removed += stepped.removed;
        // On a slow disk a large budget would take longer than anybody waits: what is done is told in time.
        if stepped.more && sweeping.left > 0 && sweeping.began.elapsed() < self.patience {
            return;
        }
        if let Some(done) = self.sweeps.pop_front() {
            let swept = stepped
                .held_back
                .map_or_else(|| Swept::new(done.removed, stepped.more), Swept::held_back);
            done.slot.answer(Ok(swept));
        }
    }

    /// Opens an engine that has failed again, once there is room for it. Until then the old one goes on answering readers:
    /// what it shows is on disk.
    fn reopen(&mut self) -> Result<(), WriteError> {
        self.has_room().map_err(|error| WriteError::Failed(error.to_string()))?;
        self.progress = Progress::default();
        self.shared.reopen().map_err(|error| WriteError::Failed(error.to_string()))?;
        self.broken = false;
        Ok(())
    }

    fn has_room(&self) -> io::Result<()> {
        let path = self.shared.folder.join("probe");
        let mut file = File::create(&path)?;
        // Where the journals cannot be read, opening will say why.
        let journals = journal::room(&self.shared.folder.join(DATA)).unwrap_or_default();
        let mut ones = io::repeat(1).take(ROOM.saturating_add(journals));
        let written = io::copy(&mut ones, &mut file).and_then(|_| file.sync_all());
        std::fs::remove_file(&path)?;
        written
    }
}
