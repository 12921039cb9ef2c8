//! The ledger in memory: what was revoked, and when.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::revocation::{Actor, Reason, Revocation, Revoked, Target, TargetKind};
use crate::store::memory::log::{Line, Log, Places};
use crate::store::memory::shards::{FEW, MANY, Shards, read, write};
use crate::store::memory::shared::Shared;
use crate::store::memory::table::{Record, SweepStep, Table};
use crate::store::rules::covering;
use crate::store::rules::covering::{covers, targets_of_login};
use crate::store::{FeedEntry, Session};
use crate::token::{Grant, TokenId};

/// The entries, a table for each kind of target.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) tokens: Entries<TokenId>,
    pub(super) grants: Entries<GrantId>,
    pub(super) sessions: Entries<SessionId>,
    pub(super) subjects_at_clients: Entries<(Subject, ClientId)>,
    pub(super) subjects: Entries<Subject>,
    pub(super) clients: Entries<ClientId>,
    pub(super) everything: Entries<()>,
    pub(super) places: Places,
    /// The latest instant until which any record has been kept so far.
    horizon: AtomicU64,
    shared: Arc<Shared>,
}

impl Ledger {
    pub(super) fn new(keys: &RandomState, shared: Arc<Shared>) -> Self {
        Self {
            tokens: Entries::new(TargetKind::Token, MANY, keys),
            grants: Entries::new(TargetKind::Grant, MANY, keys),
            sessions: Entries::new(TargetKind::Session, MANY, keys),
            subjects_at_clients: Entries::new(TargetKind::SubjectAtClient, FEW, keys),
            subjects: Entries::new(TargetKind::Subject, FEW, keys),
            clients: Entries::new(TargetKind::Client, FEW, keys),
            everything: Entries::new(TargetKind::Everything, 1, keys),
            places: Places::new(keys.hash_one("feed")),
            horizon: AtomicU64::new(0),
            shared,
        }
    }

    pub(super) fn len(&self) -> usize {
        let of = |kind| match kind {
            TargetKind::Token => self.tokens.len(),
            TargetKind::Grant => self.grants.len(),
            TargetKind::Session => self.sessions.len(),
            TargetKind::SubjectAtClient => self.subjects_at_clients.len(),
            TargetKind::Subject => self.subjects.len(),
            TargetKind::Client => self.clients.len(),
            TargetKind::Everything => self.everything.len(),
        };
        TargetKind::ALL.into_iter().map(of).sum()
    }

    /// Says that a record which is kept until then is about to be written.
    ///
    /// Call it *before* it is written and look for covering entries *after*. An entry written meanwhile either has
    /// seen the new horizon, or is seen by that look: so none is forgotten before the record. A session
    /// counts, because tokens can be asked for in it until it ends, under the login it began with.
    pub(super) fn expect_until(&self, record_until: Timestamp) {
        self.horizon.fetch_max(record_until.as_unix_millis(), SeqCst);
    }

    /// Writes one entry, or moves its cutoff forward.
    pub(super) fn revoke(&self, revocation: &Revocation) -> Revoked {
        let lifetimes = self.shared.lifetimes();
        let recorded_at = revocation.counts_from().max(self.shared.latest());
        let until = || {
            let horizon = Timestamp::from_unix_millis(self.horizon.load(SeqCst));
            lifetimes.entry_until(horizon, recorded_at)
        };
        let new = NewEntry { revocation, until: &until, places: &self.places };
        match revocation.target() {
            Target::Token(id) => self.tokens.write(id, &new),
            Target::Grant(id) => self.grants.write(id, &new),
            Target::Session(id) => self.sessions.write(id, &new),
            Target::SubjectAtClient(subject, client) => {
                self.subjects_at_clients.write(&(subject.clone(), client.clone()), &new)
            }
            Target::Subject(subject) => self.subjects.write(subject, &new),
            Target::Client(client) => self.clients.write(client, &new),
            Target::Everything => self.everything.write(&(), &new),
        }
    }

    /// Which kind of entry covers a token, if any does: one look for each kind, narrowest first.
    ///
    /// For a record that was just written, `hold` is until when it is kept: an entry that covers it stays for longer. One that
    /// a sweep was quicker to take does not count.
    pub(super) fn covering(
        &self,
        id: &TokenId,
        grant: &Grant,
        hold: Option<Timestamp>,
    ) -> Option<TargetKind> {
        let hold = hold.map(|record_until| self.outlives(record_until));
        let authenticated_at = grant.authenticated_at();
        let client = grant.client_id();
        let subject = grant.subject_id();
        if self.tokens.covers(id, authenticated_at, hold) {
            return Some(TargetKind::Token);
        }
        if self.grants.covers(grant.id(), authenticated_at, hold) {
            return Some(TargetKind::Grant);
        }
        let session = grant.session_id();
        if session.is_some_and(|id| self.sessions.covers(id, authenticated_at, hold)) {
            return Some(TargetKind::Session);
        }
        if let Some(subject) = subject {
            if self.subjects_at_clients.len() > 0 {
                let pair = (subject.clone(), client.clone());
                if self.subjects_at_clients.covers(&pair, authenticated_at, hold) {
                    return Some(TargetKind::SubjectAtClient);
                }
            }
            if self.subjects.covers(subject, authenticated_at, hold) {
                return Some(TargetKind::Subject);
            }
        }
        if self.clients.covers(client, authenticated_at, hold) {
            return Some(TargetKind::Client);
        }
        self.everything.covers(&(), authenticated_at, hold).then_some(TargetKind::Everything)
    }

    /// Keeps the entries that cover a session or its login for longer than its record, which is kept until then.
    ///
    /// Call it *after* [`expect_until`](Self::expect_until). An entry from before the session was prolonged would
    /// otherwise go first, and what is asked for in the session then would live.
    pub(super) fn hold(&self, session: &Session, record_until: Timestamp) {
        let login = session.started_at();
        let hold = Some(self.outlives(record_until));
        self.sessions.covers(session.id(), login, hold);
        for target in targets_of_login(session) {
            match target {
                Target::SubjectAtClient(subject, client) => {
                    self.subjects_at_clients.covers(&(subject, client), login, hold)
                }
                Target::Subject(subject) => self.subjects.covers(&subject, login, hold),
                Target::Client(client) => self.clients.covers(&client, login, hold),
                Target::Everything => self.everything.covers(&(), login, hold),
                Target::Token(_) | Target::Grant(_) | Target::Session(_) => false,
            };
        }
    }

    pub(super) fn is_logged_out(&self, session: &Session) -> bool {
        self.sessions.covers(session.id(), session.started_at(), None)
    }

    /// Until when an entry is kept that covers a record which was just written.
    ///
    /// A sweep that is under way may have found this record's shard without anything due. So the entry also outlives the time
    /// of that sweep, which was noted before.
    fn outlives(&self, record_until: Timestamp) -> Timestamp {
        self.shared.lifetimes().entry_outlives(record_until.max(self.shared.latest()))
    }

    /// Forgets entries that nothing can need any more, where `needed` says for how long a cutoff or the entry of one token is.
    ///
    /// Call it when no record is due at that time.
    pub(super) fn sweep(&self, now: Timestamp, budget: usize, needed: &impl Needed) -> SweepStep {
        let places = &self.places;
        let mut total = SweepStep::default();
        for kind in TargetKind::ALL {
            let left = budget.saturating_sub(total.looked_at);
            let cutoff = |at, until| needed.cutoff_until(kind, at, until);
            total += match kind {
                TargetKind::Token => self.tokens.sweep(now, left, places, |entry| {
                    needed.token_entry_until(&entry.target, entry.until)
                }),
                TargetKind::Grant => self.grants.sweep(now, left, places, |entry| entry.until),
                TargetKind::Session => self.sessions.sweep(now, left, places, |entry| entry.until),
                TargetKind::SubjectAtClient => {
                    let table = &self.subjects_at_clients;
                    table.sweep(now, left, places, |entry| cutoff(entry.at, entry.until))
                }
                TargetKind::Subject => {
                    self.subjects.sweep(now, left, places, |entry| cutoff(entry.at, entry.until))
                }
                TargetKind::Client => {
                    self.clients.sweep(now, left, places, |entry| cutoff(entry.at, entry.until))
                }
                TargetKind::Everything => {
                    self.everything.sweep(now, left, places, |entry| cutoff(entry.at, entry.until))
                }
            };
        }
        total
    }

    pub(super) fn has_due(&self, now: Timestamp) -> bool {
        TargetKind::ALL.into_iter().any(|kind| match kind {
            TargetKind::Token => self.tokens.has_due(now),
            TargetKind::Grant => self.grants.has_due(now),
            TargetKind::Session => self.sessions.has_due(now),
            TargetKind::SubjectAtClient => self.subjects_at_clients.has_due(now),
            TargetKind::Subject => self.subjects.has_due(now),
            TargetKind::Client => self.clients.has_due(now),
            TargetKind::Everything => self.everything.has_due(now),
        })
    }
}

/// Says for how long an entry is needed, beyond what was written with it.
pub(super) trait Needed {
    /// The entry of one token, which was written to be kept until then.
    fn token_entry_until(&self, id: &TokenId, until: Timestamp) -> Timestamp;

    /// An entry with a cutoff.
    fn cutoff_until(&self, kind: TargetKind, cutoff: Timestamp, until: Timestamp) -> Timestamp;
}

/// The entries for one kind of target.
#[derive(Debug)]
pub(super) struct Entries<K> {
    kind: TargetKind,
    shards: Shards<Book<K>>,
    /// How many there are: where there are none, none is looked up.
    count: Count,
    /// Targets can be chosen by outsiders (a client names itself), so their hash is keyed.
    keys: RandomState,
}

#[derive(Debug)]
struct Book<K> {
    entries: Table<Entry<K>>,
    log: Log,
}

/// What is to be written, and what has to be asked at that moment and not before.
struct NewEntry<'a> {
    revocation: &'a Revocation,
    until: &'a dyn Fn() -> Timestamp,
    places: &'a Places,
}

/// On a cache line of its own: every new entry writes it, and every look reads what stands beside it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicUsize);

#[derive(Debug)]
struct Entry<K> {
    /// Kept, so that a growing table need not hash every target again.
    hash: u64,
    target: K,
    at: Timestamp,
    /// Later than every record that it covers; see [`Lifetimes`](crate::store::Lifetimes).
    until: Timestamp,
    /// In the feed.
    place: u64,
    reason: Reason,
    actor: Actor,
}

impl<K> Record for Entry<K> {
    fn hash(&self, _keys: &RandomState) -> u64 {
        self.hash
    }
}

impl<K: Clone + Eq + Hash> Entries<K> {
    fn new(kind: TargetKind, shards: usize, keys: &RandomState) -> Self {
        Self {
            kind,
            shards: Shards::new(shards, || Book {
                entries: Table::new(keys.clone()),
                log: Log::default(),
            }),
            count: Count::default(),
            keys: keys.clone(),
        }
    }

    fn len(&self) -> usize {
        self.count.0.load(SeqCst)
    }

    fn write(&self, target: &K, new: &NewEntry<'_>) -> Revoked {
        let hash = self.keys.hash_one(target);
        let &NewEntry { revocation, until, places } = new;
        let (at, reason) = (revocation.at(), revocation.reason());
        let mut book = write(self.shards.of(hash));
        let Book { entries, log } = &mut *book;
        if let Some(known) = entries.get_mut(hash, |entry| entry.target == *target) {
            known.until = known.until.max(until());
            let change = covering::entry(self.kind, Some(known.at), at);
            if change == covering::Entry::Moves {
                let (place, actor) = (places.next(), revocation.actor().clone());
                let (target, until) = (target.clone(), known.until);
                *known = Entry { hash, target, at, until, place, reason, actor };
                log.push(place, hash);
            }
            return change.outcome();
        }
        // Counted before the horizon is read; see `Ledger::expect_until`.
        self.count.0.fetch_add(1, SeqCst);
        let (until, place) = (until(), places.next());
        let (target, actor) = (target.clone(), revocation.actor().clone());
        entries.insert(Entry { hash, target, at, until, place, reason, actor }, at, until);
        log.push(place, hash);
        covering::Entry::New.outcome()
    }

    /// The first `limit` lines of each shard, and one more. Some are of entries that are gone.
    pub(super) fn list(
        &self,
        (from, to): (u64, u64),
        limit: usize,
        kind: TargetKind,
        found: &mut Vec<(Line, TargetKind)>,
    ) {
        if self.len() == 0 {
            return;
        }
        for shard in self.shards.iter() {
            let book = read(shard);
            let lines = book.log.between(from, to).take(limit.saturating_add(1));
            found.extend(lines.map(|line| (line, kind)));
        }
    }

    pub(super) fn entry_at(&self, line: Line, target: impl Fn(&K) -> Target) -> Option<FeedEntry> {
        let book = read(self.shards.of(line.hash));
        let entry = book.entries.get(line.hash, |entry| entry.place == line.place)?;
        let actor = entry.actor.clone();
        Some(FeedEntry::new(target(&entry.target), entry.at, entry.reason, actor, entry.until))
    }

    /// Whether the entry of a target covers what was authenticated then; if so, it is kept until `hold`.
    fn covers(&self, target: &K, authenticated_at: Timestamp, hold: Option<Timestamp>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let hash = self.keys.hash_one(target);
        let shard = self.shards.of(hash);
        let is_it = |entry: &Entry<K>| {
            entry.target == *target && covers(self.kind, entry.at, authenticated_at)
        };
        let is_covered = read(shard).entries.get(hash, is_it).is_some();
        match hold {
            Some(hold) if is_covered => {
                let mut book = write(shard);
                let covering = book.entries.get_mut(hash, is_it);
                covering.map(|entry| entry.until = entry.until.max(hold)).is_some()
            }
            Some(_) | None => is_covered,
        }
    }

    fn sweep(
        &self,
        now: Timestamp,
        budget: usize,
        places: &Places,
        needed_until: impl Fn(&Entry<K>) -> Timestamp,
    ) -> SweepStep {
        let mut total = SweepStep::default();
        if self.len() == 0 {
            return total;
        }
        for shard in self.shards.iter() {
            let left = budget.saturating_sub(total.looked_at);
            if left == 0 {
                break;
            }
            let mut book = write(shard);
            let gone = |entry: Entry<K>| places.sweep(entry.place);
            let step = book.entries.sweep(now, left, &needed_until, gone);
            if step.removed > 0 {
                let Book { entries, log } = &mut *book;
                log.tidy(entries.len(), |line| stands(entries, line));
            }
            drop(book);
            self.count.0.fetch_sub(step.removed, SeqCst);
            total += step;
        }
        total
    }

    fn has_due(&self, now: Timestamp) -> bool {
        self.len() > 0 && self.shards.iter().any(|shard| read(shard).entries.has_due(now))
    }
}

/// Whether the entry of a line is still there, and has not moved.
fn stands<K>(entries: &Table<Entry<K>>, line: Line) -> bool {
    entries.get(line.hash, |entry| entry.place == line.place).is_some()
}
