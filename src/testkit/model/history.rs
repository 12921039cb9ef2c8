//! What the model knows, and what it therefore expects.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::{Revoked, Target};
use crate::testkit::scene::{MINUTE, Seen};
use crate::token::{Grant, NewToken, PresentedToken, TargetKind, TokenKind};

/// An authorization code lives ten minutes at most (RFC 6749 section 4.1.2): what it is exchanged for may come so much
/// later than the revocation that covers it.
pub(in crate::testkit) const IN_FLIGHT: Duration = MINUTE.saturating_mul(9);

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) kind: TokenKind,
    pub(super) grant: Grant,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// How many exchanges led to it.
    pub(super) generation: u32,
    pub(super) consumed: bool,
    /// A sweep may have taken it.
    pub(super) may_be_gone: bool,
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
    /// The latest instant that the store was told of; a revocation has only its cutoff, which may be of last week.
    heard: Timestamp,
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
            Target::Session(id) => grant.session_id() == Some(id),
            Target::SubjectAtClient(subject, client) => {
                old && grant.subject_id() == Some(subject) && grant.client_id() == client
            }
            Target::Subject(subject) => old && grant.subject_id() == Some(subject),
            Target::Client(client) => old && grant.client_id() == client,
            Target::Everything => old,
        }
    }
}

impl History {
    fn covering<'h>(
        &'h self,
        token: Option<usize>,
        grant: &'h Grant,
    ) -> impl Iterator<Item = &'h Entry> {
        self.entries.iter().filter(move |entry| entry.goal.covers(entry.at, token, grant))
    }

    /// Every answer that may be given about a token.
    pub(super) fn allowed(&self, n: usize, now: Timestamp) -> Vec<Seen> {
        let Some(token) = self.tokens.get(n) else {
            return Vec::new();
        };
        let mut allowed = Vec::new();
        let mut surely_dead = false;
        for entry in self.covering(Some(n), &token.grant) {
            allowed.push(Seen::Revoked(entry.goal.kind()));
            surely_dead |= !entry.may_be_gone;
        }
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
        self.covering(None, grant).any(|entry| !entry.may_be_gone)
    }

    /// Whether an entry of this kind covers a grant.
    pub(super) fn may_cover(&self, grant: &Grant, by: TargetKind) -> bool {
        self.covering(None, grant).any(|entry| entry.goal.kind() == by)
    }

    /// Takes the store's word on whether what was just recorded lives, where a sweep may have decided it.
    pub(super) fn settle(&mut self, grant: &Grant, expires_at: Timestamp, by: Option<TargetKind>) {
        let Some(by) = by else {
            self.entries.retain(|entry| !entry.goal.covers(entry.at, None, grant));
            return;
        };
        for entry in &mut self.entries {
            if entry.goal.kind() == by && entry.goal.covers(entry.at, None, grant) {
                entry.until = entry.until.max(expires_at);
                entry.may_be_gone = false;
            }
        }
    }

    /// Holds what covers a session for as long as it lasts.
    pub(super) fn hold(&mut self, session: &Opened) {
        for entry in &mut self.entries {
            if !entry.may_be_gone && entry.goal.covers(entry.at, None, &session.grant) {
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
        match self.entries.iter().find(|entry| entry.goal == *goal) {
            None => Some(Revoked::Newly),
            Some(known) if !known.may_be_gone && at <= known.at => Some(Revoked::Already),
            Some(_) => None,
        }
    }

    /// The store was told the time: in an issue, an exchange or a sweep.
    pub(super) fn hear(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
    }

    /// Writes an entry. `told` is what the store said of it, where it was asked.
    pub(super) fn revoke(&mut self, goal: Goal, at: Timestamp, told: Option<Revoked>) {
        let tokens = self.tokens.iter().enumerate();
        let tokens = tokens.filter(|(n, token)| goal.covers(at, Some(*n), &token.grant));
        let sessions = self.sessions.iter().filter(|session| goal.covers(at, None, &session.grant));
        let expiries = tokens.map(|(_, token)| token.expires_at);
        let expiries = expiries.chain(sessions.map(|session| session.expires_at));
        let until = expiries.fold(at.max(self.heard) + IN_FLIGHT, Timestamp::max);
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

    pub(super) fn swept(&mut self, now: Timestamp) {
        self.hear(now);
        for entry in &mut self.entries {
            entry.may_be_gone |= entry.until <= now;
        }
        for n in 0..self.tokens.len() {
            let gone = self.needed_until(n) <= now;
            if let Some(token) = self.tokens.get_mut(n) {
                token.may_be_gone |= gone;
            }
        }
    }

    /// Its expiry; its family's, once it was exchanged.
    fn needed_until(&self, n: usize) -> Timestamp {
        let Some(token) = self.tokens.get(n) else {
            return Timestamp::MAX;
        };
        let family = self.tokens.iter().filter(|other| {
            token.consumed
                && other.grant.id() == token.grant.id()
                && (other.generation > 0 || other.consumed)
        });
        family.map(|other| other.expires_at).fold(token.expires_at, Timestamp::max)
    }

    /// The refresh tokens of a grant that came out of exchanges.
    pub(super) fn successors<'h>(&'h self, grant: &'h Grant) -> impl Iterator<Item = &'h Token> {
        self.tokens.iter().filter(move |token| {
            token.grant.id() == grant.id()
                && token.generation > 0
                && token.kind == TokenKind::RefreshToken
        })
    }
}
