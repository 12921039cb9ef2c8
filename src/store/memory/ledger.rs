//! The ledger in memory: what was revoked, and when.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::revocation::{Actor, Reason, Revocation, Revoked, Target};
use crate::store::memory::log::{Line, Log, Places};
use crate::store::memory::shards::{FEW, MANY, Shards, read, write};
use crate::store::memory::table::{Due, Record, SweepStep, Table};
use crate::store::{FeedEntry, Retention, Session};
use crate::token::{Grant, TargetKind, TokenId};

/// The cutoff of every token, for targets that are named once and never again.
const ANY_TIME: Timestamp = Timestamp::from_unix_millis(0);

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
    /// The latest expiry of any token or session so far, or the time of the last sweep if that is later.
    horizon: AtomicU64,
}

impl Ledger {
    pub(super) fn new(keys: &RandomState) -> Self {
        Self {
            tokens: Entries::new(MANY, keys),
            grants: Entries::new(MANY, keys),
            sessions: Entries::new(MANY, keys),
            subjects_at_clients: Entries::new(FEW, keys),
            subjects: Entries::new(FEW, keys),
            clients: Entries::new(FEW, keys),
            everything: Entries::new(1, keys),
            places: Places::new(keys.hash_one("feed")),
            horizon: AtomicU64::new(0),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
            + self.grants.len()
            + self.sessions.len()
            + self.subjects_at_clients.len()
            + self.subjects.len()
            + self.clients.len()
            + self.everything.len()
    }

    /// Says that a token or session expiring then is about to be recorded.
    ///
    /// Call it *before* it is recorded and look for covering entries *after*. An entry written meanwhile either has
    /// seen the new horizon, or is seen by that look: so none is forgotten before the token expires. A session
    /// counts, because tokens can be asked for in it until it ends, under the login it began with.
    pub(super) fn expect_until(&self, expiry: Timestamp) {
        self.horizon.fetch_max(expiry.as_unix_millis(), SeqCst);
    }

    /// Writes one entry, or moves its cutoff forward.
    pub(super) fn revoke(&self, revocation: &Revocation) -> Revoked {
        let until = || {
            let horizon = Timestamp::from_unix_millis(self.horizon.load(SeqCst));
            horizon.max(revocation.at()) + Retention::IN_FLIGHT
        };
        let new = NewEntry { revocation, until: &until, places: &self.places };
        match revocation.target() {
            Target::Token(id) => self.tokens.write_once(id, &new),
            Target::Grant(id) => self.grants.write_once(id, &new),
            Target::Session(id) => self.sessions.write_once(id, &new),
            Target::SubjectAtClient(subject, client) => {
                self.subjects_at_clients.write_latest(&(subject.clone(), client.clone()), &new)
            }
            Target::Subject(subject) => self.subjects.write_latest(subject, &new),
            Target::Client(client) => self.clients.write_latest(client, &new),
            Target::Everything => self.everything.write_latest(&(), &new),
        }
    }

    /// Which kind of entry covers a token, if any does: the rule of `Target::covers`, one look for each kind.
    ///
    /// For a token that was just recorded, `hold` is its expiry: an entry that covers it stays until then. One that
    /// a sweep was quicker to take does not count.
    pub(super) fn covering(
        &self,
        id: &TokenId,
        grant: &Grant,
        hold: Option<Timestamp>,
    ) -> Option<TargetKind> {
        let authenticated_at = grant.authenticated_at();
        let client = grant.client_id();
        let subject = grant.subject_id();
        if self.tokens.covers(id, ANY_TIME, hold) {
            return Some(TargetKind::Token);
        }
        if self.grants.covers(grant.id(), ANY_TIME, hold) {
            return Some(TargetKind::Grant);
        }
        if grant.session_id().is_some_and(|id| self.sessions.covers(id, ANY_TIME, hold)) {
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

    /// Keeps the entries that cover the login of a session for as long as the session lasts.
    ///
    /// Call it *after* [`expect_until`](Self::expect_until). An entry from before the session was prolonged would
    /// otherwise go first, and what is asked for in the session then would live.
    pub(super) fn hold(&self, session: &Session) {
        let login = session.started_at();
        let hold = Some(session.expires_at() + Retention::IN_FLIGHT);
        self.subjects.covers(session.subject(), login, hold);
        self.everything.covers(&(), login, hold);
        for client in session.clients() {
            self.clients.covers(client, login, hold);
            if self.subjects_at_clients.len() > 0 {
                let pair = (session.subject().clone(), client.clone());
                self.subjects_at_clients.covers(&pair, login, hold);
            }
        }
    }

    pub(super) fn is_logged_out(&self, session: &SessionId) -> bool {
        self.sessions.covers(session, ANY_TIME, None)
    }

    /// Forgets entries that no token can need any more.
    pub(super) fn sweep(&self, now: Timestamp, shard: usize, budget: usize) -> SweepStep {
        // An entry may be stamped last week in a store where nothing lives: what is in flight is in flight from now on.
        self.expect_until(now);
        let left = |done: SweepStep| budget.saturating_sub(done.looked_at);
        let mut total = self.tokens.sweep(now, shard, budget, &self.places);
        total += self.grants.sweep(now, shard, left(total), &self.places);
        total += self.sessions.sweep(now, shard, left(total), &self.places);
        total += self.subjects_at_clients.sweep(now, shard, left(total), &self.places);
        total += self.subjects.sweep(now, shard, left(total), &self.places);
        total += self.clients.sweep(now, shard, left(total), &self.places);
        total += self.everything.sweep(now, shard, left(total), &self.places);
        total
    }

    pub(super) fn has_due(&self, now: Timestamp, shard: usize) -> bool {
        self.tokens.has_due(now, shard)
            || self.grants.has_due(now, shard)
            || self.sessions.has_due(now, shard)
            || self.subjects_at_clients.has_due(now, shard)
            || self.subjects.has_due(now, shard)
            || self.clients.has_due(now, shard)
            || self.everything.has_due(now, shard)
    }
}

/// The entries for one kind of target.
#[derive(Debug)]
pub(super) struct Entries<K> {
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
    /// The expiry of the longest-lived token it can cover, and [`Retention::IN_FLIGHT`].
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
    fn new(shards: usize, keys: &RandomState) -> Self {
        Self {
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

    /// An entry for a target that is named once and never again: when it was first named is all there is to say.
    fn write_once(&self, target: &K, new: &NewEntry<'_>) -> Revoked {
        self.write(target, new, |_| false)
    }

    /// An entry for a target that comes back: the later cutoff counts.
    fn write_latest(&self, target: &K, new: &NewEntry<'_>) -> Revoked {
        self.write(target, new, |known| known < new.revocation.at())
    }

    fn write(&self, target: &K, new: &NewEntry<'_>, moves: impl Fn(Timestamp) -> bool) -> Revoked {
        let hash = self.keys.hash_one(target);
        let &NewEntry { revocation, until, places } = new;
        let (at, reason) = (revocation.at(), revocation.reason());
        let mut book = write(self.shards.of(hash));
        let Book { entries, log } = &mut *book;
        if let Some(known) = entries.get_mut(hash, |entry| entry.target == *target) {
            known.until = known.until.max(until());
            if moves(known.at) {
                let (place, actor) = (places.next(), revocation.actor().clone());
                let (target, until) = (target.clone(), known.until);
                *known = Entry { hash, target, at, until, place, reason, actor };
                log.push(place, hash);
                return Revoked::Newly;
            }
            return Revoked::Already;
        }
        // Counted before the horizon is read; see `Ledger::expect_until`.
        self.count.0.fetch_add(1, SeqCst);
        let (until, place) = (until(), places.next());
        let (target, actor) = (target.clone(), revocation.actor().clone());
        entries.insert(Entry { hash, target, at, until, place, reason, actor }, at, until);
        log.push(place, hash);
        Revoked::Newly
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

    fn covers(&self, target: &K, granted_at: Timestamp, hold: Option<Timestamp>) -> bool {
        if self.len() == 0 {
            return false;
        }
        let hash = self.keys.hash_one(target);
        let shard = self.shards.of(hash);
        let is_it = |entry: &Entry<K>| entry.target == *target && granted_at <= entry.at;
        match hold {
            None => read(shard).entries.get(hash, is_it).is_some(),
            Some(expiry) => write(shard)
                .entries
                .get_mut(hash, is_it)
                .map(|entry| entry.until = entry.until.max(expiry))
                .is_some(),
        }
    }

    fn sweep(&self, now: Timestamp, shard: usize, budget: usize, places: &Places) -> SweepStep {
        let decide = |entry: &Entry<K>| Due::after(entry.until, now);
        let mut book = write(self.shards.at(shard));
        let gone = |entry: Entry<K>| places.sweep(entry.place);
        let step = book.entries.sweep(now, budget, decide, gone);
        if step.removed > 0 {
            let Book { entries, log } = &mut *book;
            log.tidy(entries.len(), |line| stands(entries, line));
        }
        drop(book);
        self.count.0.fetch_sub(step.removed, SeqCst);
        step
    }

    fn has_due(&self, now: Timestamp, shard: usize) -> bool {
        read(self.shards.at(shard)).entries.has_due(now)
    }
}

/// Whether the entry of a line is still there, and has not moved.
fn stands<K>(entries: &Table<Entry<K>>, line: Line) -> bool {
    entries.get(line.hash, |entry| entry.place == line.place).is_some()
}
