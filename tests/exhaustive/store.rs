//! A store that is nothing but the rules.

use annul::TargetKind;
use annul::store::rules::covering::{self, Entry};
use annul::store::rules::rotation::{self, Decision, Generation, Presented};
use annul::store::rules::{OpenLogins, SweepClock, is_due};
use annul::{Timestamp, TokenKind};

use crate::world::{Client, FIRST, GRACE, Instant, Named, Universe, instant, time};

/// What is recorded of a token.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Token {
    /// It was never issued.
    #[default]
    Unissued,
    Recorded {
        expires_at: Instant,
        generation: u8,
        is_consumed: bool,
    },
    /// A sweep has removed it. Its value is never used again.
    Gone,
}

/// What is recorded of the refresh tokens of a grant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Family {
    pub(crate) generation: u8,
    pub(crate) rotated_at: Instant,
    pub(crate) latest_expiry: Instant,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Session {
    pub(crate) expires_at: Instant,
    pub(crate) has_app: bool,
}

/// An entry of the ledger.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Kept {
    pub(crate) cutoff: Instant,
    pub(crate) until: Instant,
}

/// All that the two nodes share.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Store {
    pub(crate) tokens: [Token; 4],
    pub(crate) families: [Option<Family>; 2],
    pub(crate) session: Option<Session>,
    /// The day of the session's login, with until when.
    pub(crate) open_login: Option<Instant>,
    pub(crate) entries: [Option<Kept>; Named::ALL.len()],
    /// Until when any record is kept.
    pub(crate) horizon: Instant,
    /// The latest time that was believed, zero where none was, and what the clock showed when it leaped.
    pub(crate) latest: Instant,
    pub(crate) leaped_to: Option<Instant>,
}

/// What a rotation came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rotated {
    Applied,
    InGrace { rotated_at: Instant },
    Refused,
    Reused,
}

/// Something that a sweep may remove.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Removable {
    Token(usize),
    Family(usize),
    Session,
    Entry(usize),
}

impl Store {
    /// Which entry covers a token, by the rule.
    pub(crate) fn covering(&self, universe: &Universe, token: usize) -> Option<TargetKind> {
        let login = time(universe.login_of(universe.grant_of(token)));
        universe.targets_of(token).map(Named::kind).zip(universe.targets_of(token)).find_map(
            |(kind, target)| {
                let entry = self.entries[target.place()]?;
                covering::covers(kind, time(entry.cutoff), login).then_some(kind)
            },
        )
    }

    /// Whether a node whose clock shows this takes a token for good.
    pub(crate) fn is_good(&self, universe: &Universe, token: usize, clock: Instant) -> bool {
        match self.tokens[token] {
            Token::Recorded { expires_at, is_consumed: false, .. } => {
                clock < expires_at && self.covering(universe, token).is_none()
            }
            Token::Recorded { .. } | Token::Unissued | Token::Gone => false,
        }
    }

    pub(crate) fn issue(
        &mut self,
        universe: &Universe,
        token: usize,
        (generation, expires_at): (u8, Instant),
        clock: Instant,
    ) {
        if self.tokens[token] != Token::Unissued {
            return;
        }
        self.note(universe, clock);
        let record_until =
            universe.lifetimes().token_until(TokenKind::RefreshToken, time(expires_at));
        let announced =
            if universe.rules.horizon_is_expiry { time(expires_at) } else { record_until };
        self.horizon = self.horizon.max(instant(announced));
        self.tokens[token] = Token::Recorded { expires_at, generation, is_consumed: false };
        let login = time(universe.login_of(universe.grant_of(token)));
        for target in universe.targets_of(token) {
            self.hold(universe, target, login, announced);
        }
    }

    /// Keeps the entry of a target, where it covers this login, for longer than a record.
    fn hold(
        &mut self,
        universe: &Universe,
        target: Named,
        login: Timestamp,
        record_until: Timestamp,
    ) {
        if let Some(entry) = &mut self.entries[target.place()]
            && covering::covers(target.kind(), time(entry.cutoff), login)
        {
            entry.until =
                entry.until.max(instant(universe.lifetimes().entry_outlives(record_until)));
        }
    }

    /// Rotates a token into the next one of its grant that was not issued.
    pub(crate) fn rotate(&mut self, universe: &Universe, token: usize, clock: Instant) -> Rotated {
        let Token::Recorded { expires_at, generation, is_consumed } = self.tokens[token] else {
            return Rotated::Refused;
        };
        let grant = universe.grant_of(token);
        let tokens = universe.grants[grant].tokens;
        let Some(successor) =
            tokens.iter().copied().find(|token| self.tokens[*token] == Token::Unissued)
        else {
            return Rotated::Refused;
        };
        let family = self.families[grant].map(|family| rotation::Family {
            generation: Generation::new(family.generation.into()),
            rotated_at: time(family.rotated_at),
        });
        let presented = Presented {
            kind: TokenKind::RefreshToken,
            is_own: true,
            covered_by: self.covering(universe, token),
            is_consumed,
            generation: Generation::new(generation.into()),
            expires_at: time(expires_at),
        };
        let mut decision = rotation::decide(&presented, family, time(clock), GRACE);
        if universe.rules.one_sided_window
            && decision == Decision::Reuse
            && family.is_some_and(|family| {
                family.generation == presented.generation.next()
                    && time(clock) < family.rotated_at + GRACE
            })
            && clock < expires_at
        {
            decision = Decision::InGrace;
        }
        let next = (generation + 1, clock + 1);
        let latest_expiry = (clock + 1).max(expires_at);
        match decision {
            Decision::Refuse(_) => return Rotated::Refused,
            Decision::Reuse => {
                self.revoke(universe, Named::Grant(grant), clock, clock);
                return Rotated::Reused;
            }
            Decision::First(family) => {
                self.tokens[token] = Token::Recorded { expires_at, generation, is_consumed: true };
                let known = self.families[grant].map_or(0, |known| known.latest_expiry);
                self.families[grant] = Some(Family {
                    generation: u8::try_from(family.generation.get()).unwrap(),
                    rotated_at: instant(family.rotated_at),
                    latest_expiry: known.max(latest_expiry),
                });
            }
            Decision::InGrace => {
                let family = self.families[grant].as_mut().unwrap();
                family.latest_expiry = family.latest_expiry.max(latest_expiry);
            }
        }
        let until = universe.lifetimes().family_until(time(latest_expiry));
        if !universe.rules.horizon_is_expiry {
            self.horizon = self.horizon.max(instant(until));
        }
        self.issue(universe, successor, next, clock);
        match decision {
            Decision::InGrace => {
                Rotated::InGrace { rotated_at: self.families[grant].unwrap().rotated_at }
            }
            _ => Rotated::Applied,
        }
    }

    /// Writes an entry, or moves its cutoff; one for a token alone is for its grant too where the token was consumed.
    pub(crate) fn revoke(
        &mut self,
        universe: &Universe,
        target: Named,
        cutoff: Instant,
        clock: Instant,
    ) {
        self.note(universe, clock);
        let recorded_at = match universe.rules.counts_from_cutoff {
            true => time(cutoff),
            false => time(clock.max(self.latest)),
        };
        let lifetimes = universe.lifetimes();
        let until = instant(lifetimes.entry_until(time(self.horizon), recorded_at));
        let place = target.place();
        let known = self.entries[place];
        let kept = Kept { cutoff, until: until.max(known.map_or(0, |known| known.until)) };
        self.entries[place] = match covering::entry(
            target.kind(),
            known.map(|known| time(known.cutoff)),
            time(cutoff),
        ) {
            Entry::New | Entry::Moves => Some(kept),
            Entry::Stays => known.map(|known| Kept { cutoff: known.cutoff, ..kept }),
        };
        if let Named::Token(token) = target
            && let Token::Recorded { is_consumed: true, .. } = self.tokens[token]
            && !universe.rules.not_widened
        {
            self.revoke(universe, Named::Grant(universe.grant_of(token)), cutoff, clock);
        }
    }

    /// Opens the session, prolongs it, or lets the second client join it. False where it was logged out.
    pub(crate) fn open_session(
        &mut self,
        universe: &Universe,
        has_app: bool,
        clock: Instant,
    ) -> bool {
        if self.entries[Named::Session.place()].is_some() {
            return false;
        }
        let known = self.session.unwrap_or(Session { expires_at: 0, has_app: false });
        let session = Session {
            expires_at: known.expires_at.max(clock + 2),
            has_app: known.has_app || has_app,
        };
        self.session = Some(session);
        let until = match universe.rules.horizon_is_expiry {
            true => time(session.expires_at),
            false => universe.lifetimes().session_until(time(session.expires_at)),
        };
        self.horizon = self.horizon.max(instant(until));
        self.open_login = Some(instant(until).max(self.open_login.unwrap_or_default()));
        let mut targets = vec![
            Named::UserAtClient(Client::Web),
            Named::Client(Client::Web),
            Named::User,
            Named::Everything,
        ];
        if session.has_app {
            targets.extend([Named::UserAtClient(Client::App), Named::Client(Client::App)]);
        }
        for target in targets {
            self.hold(universe, target, time(FIRST), until);
        }
        true
    }

    fn note(&mut self, universe: &Universe, clock: Instant) {
        let mut known = self.sweep_clock();
        known.note(time(clock), &universe.lifetimes());
        self.set_sweep_clock(known);
    }

    pub(crate) fn sweep_clock(&self) -> SweepClock {
        SweepClock {
            latest: if self.latest == 0 { Timestamp::default() } else { time(self.latest) },
            leaped_to: self.leaped_to.map(time),
        }
    }

    pub(crate) fn set_sweep_clock(&mut self, clock: SweepClock) {
        self.latest = if clock.latest == Timestamp::default() { 0 } else { instant(clock.latest) };
        self.leaped_to = clock.leaped_to.map(instant);
    }

    /// What a sweep may remove next, in any order: records, and entries only once no record is due.
    pub(crate) fn removable(&self, universe: &Universe, now: Instant) -> Vec<Removable> {
        let lifetimes = universe.lifetimes();
        let mut due = Vec::new();
        for (token, record) in self.tokens.iter().enumerate() {
            if let Token::Recorded { expires_at, is_consumed, .. } = *record {
                let own = lifetimes.token_until(TokenKind::RefreshToken, time(expires_at));
                let family = self.families[universe.grant_of(token)].filter(|_| is_consumed);
                let family =
                    family.map(|family| lifetimes.family_until(time(family.latest_expiry)));
                if is_due(own.max(family.unwrap_or_default()), time(now)) {
                    due.push(Removable::Token(token));
                }
            }
        }
        for (grant, family) in self.families.iter().enumerate() {
            if let Some(family) = family
                && is_due(lifetimes.family_until(time(family.latest_expiry)), time(now))
            {
                due.push(Removable::Family(grant));
            }
        }
        if let Some(session) = self.session
            && is_due(lifetimes.session_until(time(session.expires_at)), time(now))
        {
            due.push(Removable::Session);
        }
        if !due.is_empty() && !universe.rules.entries_any_time {
            return due;
        }
        let logins = match universe.rules.holds_participants_only {
            true => OpenLogins::default(),
            false => {
                let day = |instant| time(instant).as_unix_millis() / 86_400_000;
                OpenLogins::from_days(self.open_login.map(|until| (day(FIRST), time(until))))
            }
        };
        for (place, entry) in self.entries.iter().enumerate() {
            if let Some(entry) = entry {
                let kind = Named::ALL[place].kind();
                let needed = lifetimes.entry_needed_until(
                    kind,
                    time(entry.cutoff),
                    time(entry.until),
                    &logins,
                );
                if is_due(needed, time(now)) {
                    due.push(Removable::Entry(place));
                }
            }
        }
        due
    }

    pub(crate) fn remove(&mut self, what: Removable) {
        match what {
            Removable::Token(token) => self.tokens[token] = Token::Gone,
            Removable::Family(grant) => self.families[grant] = None,
            Removable::Session => (self.session, self.open_login) = (None, None),
            Removable::Entry(place) => self.entries[place] = None,
        }
    }
}
