//! What the model knows, and what it therefore expects.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::{Revoked, Target, TargetKind};
use crate::store::Retention;
use crate::testkit::scene::{MINUTE, Seen};
use crate::token::{Grant, NewToken, PresentedToken, TokenKind};

/// Something may be in flight for an hour, by the default of [`Lifetimes`](crate::store::Lifetimes): what is issued may come
/// so much later than the recording of the revocation that covers it. Stores count in minutes.
pub(in crate::testkit) const IN_FLIGHT: Duration = MINUTE.saturating_mul(59);

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) kind: TokenKind,
    pub(super) grant: Grant,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// How many rotations led to it.
    pub(super) generation: u32,
    pub(super) consumed: bool,
    /// A sweep may have taken it.
    pub(super) may_be_gone: bool,
    /// A sweep has taken it: known in exact mode only.
    pub(super) is_gone: bool,
    /// It was not active once, so it never is again.
    pub(super) was_dead: bool,
}

/// One session.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) id: SessionId,
    /// What a grant made in it is like.
    pub(super) grant: Grant,
    pub(super) expires_at: Timestamp,
}

/// What an entry points at: a [`Target`], with a token by its place in the model.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    Token(usize),
    Other(Target),
}

/// One revocation.
#[derive(Clone, Debug)]
struct Entry {
    goal: Goal,
    at: Timestamp,
    /// Until when the store must remember it.
    until: Timestamp,
    /// A sweep may have taken it.
    may_be_gone: bool,
}

/// Everything that ever happened.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) tokens: Vec<Token>,
    pub(super) sessions: Vec<Opened>,
    entries: Vec<Entry>,
    /// The latest instant that the store was told of.
    heard: Timestamp,
    /// Exact mode: how long the store remembers what has expired.
    pub(super) exact: Option<Retention>,
    /// Exact mode: the latest instant until which a record is kept. Every entry is kept for longer.
    horizon: Timestamp,
}

impl Token {
    pub(super) fn as_new(&self) -> NewToken<'_> {
        let token = PresentedToken::new(&self.name);
        match self.kind {
            TokenKind::AccessToken => NewToken::access(token, self.expires_at),
            TokenKind::RefreshToken => NewToken::refresh(token, self.expires_at),
        }
    }
}

impl Goal {
    fn kind(&self) -> TargetKind {
        match self {
            Self::Token(_) => TargetKind::Token,
            Self::Other(target) => target.kind(),
        }
    }

    /// The covering rule, written out once more: whether it covers what was granted so.
    fn covers(&self, at: Timestamp, token: Option<usize>, grant: &Grant) -> bool {
        let old = grant.authenticated_at() <= at;
        let target = match self {
            Self::Token(n) => return Some(*n) == token,
            Self::Other(target) => target,
        };
        match target {
            Target::Token(_) => false,
            Target::Grant(id) => grant.id() == id,
            Target::Session(id) => !grant.is_offline() && grant.session_id() == Some(id),
            Target::SubjectAtClient(subject, client) => {
                old && grant.subject_id() == Some(subject) && grant.client_id() == client
            }
            Target::Subject(subject) => old && grant.subject_id() == Some(subject),
            Target::Client(client) => old && grant.client_id() == client,
            Target::Everything => old,
        }
    }
}

impl Goal {
    /// Whether it ends the logins of a session, whoever takes part in it.
    fn ends(&self, at: Timestamp, session: &Opened) -> bool {
        let login = &session.grant;
        let old = login.authenticated_at() <= at;
        match self {
            Self::Other(Target::Session(id)) => session.id == *id,
            Self::Other(Target::SubjectAtClient(subject, _) | Target::Subject(subject)) => {
                old && login.subject_id() == Some(subject)
            }
            Self::Other(Target::Client(_) | Target::Everything) => old,
            Self::Other(Target::Token(_) | Target::Grant(_)) | Self::Token(_) => false,
        }
    }
}

impl History {
    pub(super) fn new(exact: Option<Retention>) -> Self {
        Self { exact, ..Self::default() }
    }

    /// The kinds of entry that a token may be reported as revoked by, and whether one of them is surely there. In exact
    /// mode, that is the narrowest; one that a sweep may have taken leaves room for the next.
    fn covering(&self, token: Option<usize>, grant: &Grant) -> (Vec<TargetKind>, bool) {
        let covers = |entry: &&Entry| entry.goal.covers(entry.at, token, grant);
        let mut covering: Vec<&Entry> = self.entries.iter().filter(covers).collect();
        covering.sort_by_key(|entry| narrowness(entry.goal.kind()));
        let surely = covering.iter().position(|entry| !entry.may_be_gone);
        if let Some(first) = surely.filter(|_| self.exact.is_some()) {
            covering.truncate(first + 1);
        }
        (covering.iter().map(|entry| entry.goal.kind()).collect(), surely.is_some())
    }

    /// Every answer that may be given about a token.
    pub(super) fn allowed(&self, n: usize, now: Timestamp) -> Vec<Seen> {
        let Some(token) = self.tokens.get(n) else {
            return Vec::new();
        };
        if token.is_gone {
            return vec![Seen::Unknown];
        }
        let (covering, surely_dead) = self.covering(Some(n), &token.grant);
        let mut allowed: Vec<Seen> = covering.into_iter().map(Seen::Revoked).collect();
        if !surely_dead {
            allowed.push(match token {
                token if token.expires_at <= now => Seen::Expired,
                token if token.consumed => Seen::Consumed,
                _ => Seen::Active,
            });
        }
        if token.may_be_gone {
            allowed.push(Seen::Unknown);
        }
        allowed
    }

    /// Whether an entry surely covers a grant, beyond its single tokens.
    pub(super) fn surely_covers(&self, grant: &Grant) -> bool {
        self.covering(None, grant).1
    }

    /// Whether an entry of this kind covers a grant.
    pub(super) fn may_cover(&self, grant: &Grant, by: TargetKind) -> bool {
        self.covering(None, grant).0.contains(&by)
    }

    /// Takes the store's word on whether what was just recorded lives, where a sweep may have decided it.
    pub(super) fn settle(&mut self, grant: &Grant, expires_at: Timestamp, by: Option<TargetKind>) {
        let Some(by) = by else {
            self.entries.retain(|entry| !entry.goal.covers(entry.at, None, grant));
            return;
        };
        if self.exact.is_some() {
            // The store looks for the narrowest first, so those are gone.
            self.entries.retain(|entry| {
                narrowness(entry.goal.kind()) >= narrowness(by)
                    || !entry.goal.covers(entry.at, None, grant)
            });
        }
        for entry in &mut self.entries {
            if entry.goal.kind() == by && entry.goal.covers(entry.at, None, grant) {
                entry.until = entry.until.max(expires_at);
                entry.may_be_gone = false;
            }
        }
    }

    /// Holds what ends a session for as long as it lasts.
    pub(super) fn hold(&mut self, session: &Opened) {
        for entry in &mut self.entries {
            if !entry.may_be_gone && entry.goal.ends(entry.at, session) {
                entry.until = entry.until.max(session.expires_at);
            }
        }
    }

    /// Takes out an entry that turned out to be gone.
    pub(super) fn forget(&mut self, session: &SessionId) {
        let goal = Goal::Other(Target::Session(session.clone()));
        self.entries.retain(|entry| entry.goal != goal);
    }

    /// Whether a session was logged out; for sure, or as far as a sweep has left it.
    pub(super) fn logged_out(&self, session: &SessionId) -> Option<bool> {
        let goal = Goal::Other(Target::Session(session.clone()));
        let entry = self.entries.iter().find(|entry| entry.goal == goal)?;
        Some(!entry.may_be_gone)
    }

    /// What writing this entry may be answered; nothing, where either answer is right.
    pub(super) fn news(&self, goal: &Goal, at: Timestamp) -> Option<Revoked> {
        let moves = |known: &Entry| narrowness(goal.kind()) > 2 && at > known.at;
        match self.entries.iter().find(|entry| entry.goal == *goal) {
            None => Some(Revoked::Newly),
            Some(known) if self.exact.is_some() => match (moves(known), known.may_be_gone) {
                (true, _) => Some(Revoked::Newly),
                (false, false) => Some(Revoked::Already),
                (false, true) => None,
            },
            Some(known) if !known.may_be_gone && at <= known.at => Some(Revoked::Already),
            Some(_) => None,
        }
    }

    /// The store was told the time: in an issue, a rotation or a sweep.
    pub(super) fn hear(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
    }

    /// A token of this kind that lasts until then was recorded; a session is kept as refresh tokens are.
    pub(super) fn expect(&mut self, kind: TokenKind, expires_at: Timestamp) {
        if let Some(retention) = self.exact {
            self.horizon = self.horizon.max(expires_at + retention.of(kind));
        }
    }

    /// Writes an entry. `told` is what the store said of it, where it was asked.
    pub(super) fn revoke(
        &mut self,
        goal: Goal,
        at: Timestamp,
        recorded_at: Timestamp,
        told: Option<Revoked>,
    ) {
        self.hear(recorded_at);
        let tokens = self.tokens.iter().enumerate();
        let tokens = tokens.filter(|(n, token)| goal.covers(at, Some(*n), &token.grant));
        let sessions = self.sessions.iter().filter(|session| goal.ends(at, session));
        let expiries = tokens.map(|(_, token)| token.expires_at);
        let expiries = expiries.chain(sessions.map(|session| session.expires_at));
        let in_flight = self.heard.max(self.horizon) + IN_FLIGHT;
        let until = expiries.fold(in_flight, Timestamp::max);
        match self.entries.iter_mut().find(|entry| entry.goal == goal) {
            None => self.entries.push(Entry { goal, at, until, may_be_gone: false }),
            Some(known) => {
                // News of an earlier cutoff: the later one was swept.
                let replaced = known.may_be_gone && told == Some(Revoked::Newly);
                known.at = if replaced { at } else { known.at.max(at) };
                known.until = known.until.max(until);
                known.may_be_gone = false;
            }
        }
    }

    /// A sweep; `all` where it had no limit.
    pub(super) fn swept(&mut self, now: Timestamp, all: bool) {
        self.hear(now);
        for entry in &mut self.entries {
            entry.may_be_gone |= entry.until <= now;
        }
        for n in 0..self.tokens.len() {
            let needed = self.needed_until(n);
            let exact = self.exact.is_some();
            if let Some(token) = self.tokens.get_mut(n) {
                token.may_be_gone |= needed <= now;
                // Stores count in whole minutes: up to one late.
                token.is_gone |= exact && all && needed + MINUTE <= now;
            }
        }
    }

    /// Its expiry; its family's, once it was rotated. In exact mode, for as long after that as the store says.
    fn needed_until(&self, n: usize) -> Timestamp {
        let Some(token) = self.tokens.get(n) else {
            return Timestamp::MAX;
        };
        let family = self.tokens.iter().filter(|other| {
            token.consumed
                && other.grant.id() == token.grant.id()
                && (other.generation > 0 || other.consumed)
        });
        let expiry = family.map(|other| other.expires_at).fold(token.expires_at, Timestamp::max);
        expiry + self.exact.map(|retention| retention.of(token.kind)).unwrap_or_default()
    }

    /// Every target that was revoked, but for single tokens.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.entries.iter().filter_map(|entry| match &entry.goal {
            Goal::Other(target) => Some(target),
            Goal::Token(_) => None,
        })
    }

    /// The refresh tokens of a grant that came out of rotations.
    pub(super) fn successors<'h>(&'h self, grant: &'h Grant) -> impl Iterator<Item = &'h Token> {
        self.family(grant).filter(|token| token.kind == TokenKind::RefreshToken)
    }

    /// All tokens of a grant that came out of rotations.
    pub(super) fn family<'h>(&'h self, grant: &'h Grant) -> impl Iterator<Item = &'h Token> {
        let of_grant = |token: &&Token| token.grant.id() == grant.id() && token.generation > 0;
        self.tokens.iter().filter(of_grant)
    }
}

/// The order in which the stores of this crate look for what covers a token.
const fn narrowness(kind: TargetKind) -> usize {
    match kind {
        TargetKind::Token => 0,
        TargetKind::Grant => 1,
        TargetKind::Session => 2,
        TargetKind::SubjectAtClient => 3,
        TargetKind::Subject => 4,
        TargetKind::Client => 5,
        TargetKind::Everything => 6,
    }
}
