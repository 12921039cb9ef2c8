//! Until when a token, a grant, a session and an entry of the ledger are kept, and what a sweep takes for the time.
//!
//! One sentence decides it all: **an entry outlives every record that it covers, and everything that it covers and that may be
//! in flight.** A sweep may run by a clock that is wrong; then it removes records too early, which are dead from then on, but
//! never an entry before its records, which would bring them back to life.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::revocation::TargetKind;
use crate::token::TokenKind;

/// How long expired tokens are remembered.
///
/// Their owner may still want the rest of the grant, or the session, dead: an expired but genuine refresh token
/// logs out. What it costs is memory.
///
/// ```
/// use std::time::Duration;
/// use annul::store::{Lifetimes, Retention};
///
/// let mut retention = Retention::default();
/// retention.refresh_tokens = Duration::from_secs(86_400);
/// let lifetimes = Lifetimes::default().with_retention(retention);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// Default: one hour.
    pub access_tokens: Duration,
    /// Default: seven days.
    pub refresh_tokens: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            access_tokens: Duration::from_secs(3_600),
            refresh_tokens: Duration::from_secs(7 * 86_400),
        }
    }
}

impl Retention {
    /// How long a token of this kind is remembered after its expiry.
    #[must_use]
    pub const fn of(&self, kind: TokenKind) -> Duration {
        match kind {
            TokenKind::AccessToken => self.access_tokens,
            TokenKind::RefreshToken => self.refresh_tokens,
        }
    }
}

/// For how long a store keeps what: every store takes these settings, and computes with the methods here.
///
/// ```
/// use std::time::Duration;
/// use annul::store::Lifetimes;
///
/// // Device codes live half an hour here, and JWT access tokens that are not recorded two hours.
/// let lifetimes = Lifetimes::default()
///     .with_in_flight(Duration::from_secs(1_800))
///     .with_longest_unrecorded(Duration::from_secs(7_200));
/// assert_eq!(lifetimes.in_flight(), Duration::from_secs(1_800));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    retention: Retention,
    in_flight: Duration,
    longest_unrecorded: Duration,
    clock_leap: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            in_flight: Duration::from_secs(3_600),
            longest_unrecorded: Duration::ZERO,
            clock_leap: Duration::from_secs(3_600),
        }
    }
}

impl Lifetimes {
    /// How long expired tokens are remembered.
    #[must_use]
    pub const fn with_retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How long an authorization may be on its way before its first token is recorded. Default: one hour.
    ///
    /// An entry is kept for at least so long after it was *recorded*. The longest way is the longest lifetime of what a
    /// token can be asked for with: a device code (RFC 8628), an authorization code, a `request_uri`.
    ///
    /// # Security
    ///
    /// If a device code lives longer than this, a device can get live tokens after the user's password was changed.
    #[must_use]
    pub const fn with_in_flight(mut self, in_flight: Duration) -> Self {
        self.in_flight = in_flight;
        self
    }

    /// The longest lifetime of tokens that are issued without being recorded, such as JWT access tokens. Default: none are.
    ///
    /// # Security
    ///
    /// The store cannot see such tokens. If one lives longer than this, its revocation may be forgotten while it lives.
    #[must_use]
    pub const fn with_longest_unrecorded(mut self, longest: Duration) -> Self {
        self.longest_unrecorded = longest;
        self
    }

    /// How far a clock may be ahead of the latest time that the store has seen before a sweep stops believing it. Default:
    /// one hour, which is how long access tokens are remembered by default. [`Duration::MAX`] believes every clock.
    ///
    /// See [`SweepClock`].
    #[must_use]
    pub const fn with_clock_leap(mut self, leap: Duration) -> Self {
        self.clock_leap = leap;
        self
    }

    /// How long expired tokens are remembered.
    #[must_use]
    pub const fn retention(&self) -> Retention {
        self.retention
    }

    /// How long an authorization may be on its way.
    #[must_use]
    pub const fn in_flight(&self) -> Duration {
        self.in_flight
    }

    /// The longest lifetime of tokens that are not recorded.
    #[must_use]
    pub const fn longest_unrecorded(&self) -> Duration {
        self.longest_unrecorded
    }

    /// How far ahead a clock is still believed.
    #[must_use]
    pub const fn clock_leap(&self) -> Duration {
        self.clock_leap
    }

    /// For how long an entry is kept for what is in flight: longer by as much as a clock may be ahead unnoticed.
    ///
    /// Where every clock is believed, nothing can be said about that, and nothing is added.
    #[must_use]
    pub const fn kept_in_flight(&self) -> Duration {
        match self.clock_leap {
            Duration::MAX => self.in_flight,
            leap => self.in_flight.saturating_add(leap),
        }
    }

    /// Until when the record of a token is kept.
    ///
    /// The record of a consumed refresh token is kept for as long as its family: see [`family_until`](Self::family_until).
    #[must_use]
    pub fn token_until(&self, kind: TokenKind, expires_at: Timestamp) -> Timestamp {
        expires_at + self.retention.of(kind)
    }

    /// Until when a family of refresh tokens is kept, and with it the consumed ones, which may come back: reuse must be
    /// recognised for as long as one of the family lives.
    #[must_use]
    pub fn family_until(&self, latest_expiry: Timestamp) -> Timestamp {
        latest_expiry + self.retention.refresh_tokens
    }

    /// Until when the record of a session is kept.
    #[must_use]
    pub fn session_until(&self, expires_at: Timestamp) -> Timestamp {
        expires_at + self.retention.refresh_tokens
    }

    /// Until when an entry is kept that is recorded now.
    ///
    /// `horizon` is the latest instant until which any record is kept that the entry may cover: a store may take that of
    /// the whole namespace. `recorded_at` is when the entry is written, however old its cutoff; or the cutoff where that is
    /// later ([`Revocation::counts_from`](crate::Revocation::counts_from)).
    #[must_use]
    pub fn entry_until(&self, horizon: Timestamp, recorded_at: Timestamp) -> Timestamp {
        horizon.max(recorded_at + self.longest_unrecorded) + self.kept_in_flight()
    }

    /// Until when an entry is kept that covers a record which is kept until `record_until`: a token born dead under it, or
    /// a session that was prolonged.
    #[must_use]
    pub fn entry_outlives(&self, record_until: Timestamp) -> Timestamp {
        // Later, even where nothing is ever in flight: of two that are due at once, either may go first.
        record_until + self.kept_in_flight().max(Duration::from_millis(1))
    }

    /// Until when an entry is still needed at a sweep, where `until` is what was written with it.
    ///
    /// A cutoff ends every session that began before it, whoever takes part in it and however often it is prolonged; so it
    /// is needed for as long as one of them lasts. `open_logins` are the sessions of its namespace.
    #[must_use]
    pub fn entry_needed_until(
        &self,
        kind: TargetKind,
        cutoff: Timestamp,
        until: Timestamp,
        open_logins: &OpenLogins,
    ) -> Timestamp {
        if kind.is_named_once() {
            return until;
        }
        match open_logins.until(cutoff) {
            Some(session_until) => until.max(self.entry_outlives(session_until)),
            None => until,
        }
    }
}

/// Whether a record that is needed until then is due: a sweep may remove it.
#[must_use]
pub fn is_due(needed_until: Timestamp, now: Timestamp) -> bool {
    // "Never" is never over, even where a clock says so.
    needed_until <= now && needed_until < Timestamp::MAX
}

/// The logins whose sessions last, by the day of the login: until when the records of those sessions are kept.
///
/// One small map for each namespace, of one line for each day on which a session that still lasts began.
///
/// ```
/// use std::time::Duration;
/// use annul::Timestamp;
/// use annul::store::rules::OpenLogins;
///
/// let monday = Timestamp::from_unix_seconds(1_700_000_000);
/// let day = Duration::from_secs(86_400);
/// let mut logins = OpenLogins::default();
/// logins.add(monday, monday + day * 30);
/// assert_eq!(logins.until(monday), Some(monday + day * 30));
/// assert_eq!(logins.until(monday - day * 2), None);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OpenLogins(BTreeMap<u64, Timestamp>);

impl OpenLogins {
    /// The length of a line of the map.
    const DAY: u64 = 86_400_000;

    /// Takes note of a session that began then, and whose record is kept until then. Says whether that changed anything.
    pub fn add(&mut self, login: Timestamp, record_until: Timestamp) -> bool {
        let day = login.as_unix_millis() / Self::DAY;
        let until = self.0.entry(day).or_default();
        let changes = *until < record_until;
        *until = record_until.max(*until);
        changes
    }

    /// Until when the records of sessions are kept that began at this instant or before it. To the day: never too early.
    #[must_use]
    pub fn until(&self, cutoff: Timestamp) -> Option<Timestamp> {
        let day = cutoff.as_unix_millis() / Self::DAY;
        self.0.range(..=day).map(|(_, until)| *until).max()
    }

    /// Forgets the days whose sessions are over, and with them what may have been in flight at their end. Says whether that
    /// changed anything.
    pub fn remove_due(&mut self, now: Timestamp, lifetimes: &Lifetimes) -> bool {
        let before = self.0.len();
        self.0.retain(|_, until| !is_due(lifetimes.entry_outlives(*until), now));
        self.0.len() < before
    }

    /// The days, as numbers since 1970, each with until when; for storing.
    pub fn days(&self) -> impl Iterator<Item = (u64, Timestamp)> + '_ {
        self.0.iter().map(|(day, until)| (*day, *until))
    }

    /// The map as it was stored.
    pub fn from_days(days: impl IntoIterator<Item = (u64, Timestamp)>) -> Self {
        Self(days.into_iter().collect())
    }
}

/// The latest time that a store has seen: what a sweep compares a clock with before it believes it. Kept with the data, and
/// shared by all nodes.
///
/// A clock that is more than [`Lifetimes::clock_leap`] ahead of that is not believed, and the sweep removes nothing. If the
/// machine was off for so long, the clock is right. So a leap is believed once it has lasted: for as long as a leap is, and for
/// as long as anything may be in flight or live without a record, by the clock's own account and by the stopwatch of the
/// process. Another node whose clock shows the time as it was contradicts it, and the waiting begins anew.
///
/// What is recorded and removed by a clock that was believed is dead, never alive: entries outlive their records.
///
/// ```
/// use std::time::Duration;
/// use annul::Timestamp;
/// use annul::store::Lifetimes;
/// use annul::store::rules::SweepClock;
///
/// let (lifetimes, hour) = (Lifetimes::default(), Duration::from_secs(3_600));
/// let noon = Timestamp::from_unix_seconds(1_700_000_000);
/// let mut clock = SweepClock::default();
/// assert!(clock.believe(noon, &lifetimes, None).is_ok()); // the first time that it sees
/// assert!(clock.believe(noon + hour, &lifetimes, None).is_ok());
/// assert_eq!(clock.believe(noon + hour * 4, &lifetimes, None), Err(hour * 3)); // a leap
/// assert!(clock.believe(noon + hour * 2, &lifetimes, None).is_ok()); // put right
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a store writes down all of it")]
pub struct SweepClock {
    /// The latest time that was seen and believed; zero where none was.
    pub latest: Timestamp,
    /// What the clock showed when it was first found ahead, where it is.
    pub leaped_to: Option<Timestamp>,
}

impl SweepClock {
    /// Takes note of the time of a write: an issue, a rotation, a revocation. A session does not say what time it is. Says whether that changed anything.
    ///
    /// To the minute, so that a store writes it down seldom. A clock that leaps is not noted; one that does not contradicts a
    /// leap.
    pub fn note(&mut self, now: Timestamp, lifetimes: &Lifetimes) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);
        if !self.is_within(now, lifetimes) {
            return false;
        }
        let moves = now >= self.latest + MINUTE;
        if moves {
            self.latest = now;
        }
        self.leaped_to.take().is_some() || moves
    }

    /// Decides whether a sweep believes the clock. If not, by how much it is ahead.
    ///
    /// `since_leap` is the time by the stopwatch of this process since it first saw the leap that is kept here; none where it
    /// has not, and then a leap is not believed yet. [`LeapWatch`] keeps it. So a process that sweeps must last for as long as
    /// a leap does: one that is started for each sweep is held back for good once a store was idle for longer.
    ///
    /// # Errors
    ///
    /// - By how much the clock is ahead of the latest time: remove nothing.
    pub fn believe(
        &mut self,
        now: Timestamp,
        lifetimes: &Lifetimes,
        since_leap: Option<Duration>,
    ) -> Result<(), Duration> {
        if !self.is_within(now, lifetimes) {
            let needed = lifetimes.in_flight.saturating_add(lifetimes.longest_unrecorded);
            let lasting = lifetimes.clock_leap.max(needed);
            // Of two clocks that are ahead the one that is less so may be right. The other waits until its time has come.
            let first = self.leaped_to.unwrap_or(now).min(now);
            self.leaped_to = Some(first);
            let has_lasted = since_leap.is_some_and(|since| {
                let most = first + since.saturating_add(lifetimes.clock_leap);
                since >= lasting && now >= first + lasting && now <= most
            });
            if !has_lasted {
                return Err(self.latest.distance(now));
            }
        }
        self.leaped_to = None;
        self.latest = self.latest.max(now);
        Ok(())
    }

    fn is_within(&self, now: Timestamp, lifetimes: &Lifetimes) -> bool {
        self.latest == Timestamp::default() || now <= self.latest + lifetimes.clock_leap
    }
}

/// What the stopwatch of a process says of the time: beside a store, and gone with the process.
///
/// Since the last sweep so much time has passed at least: a clock that shows it does not leap, though nothing was written
/// since. And a clock that is ahead has been so for as long as the stopwatch says.
///
/// ```
/// use std::time::Duration;
/// use annul::Timestamp;
/// use annul::store::Lifetimes;
/// use annul::store::rules::{LeapWatch, SweepClock};
///
/// let (lifetimes, hour) = (Lifetimes::default(), Duration::from_secs(3_600));
/// let noon = Timestamp::from_unix_seconds(1_700_000_000);
/// let mut kept = SweepClock { latest: noon, leaped_to: None };
/// let mut watch = LeapWatch::default();
/// let mut sweep = |now, elapsed| watch.believe(&mut kept, now, &lifetimes, elapsed);
/// assert!(sweep(noon + hour * 9, Duration::ZERO).is_err());
/// assert!(sweep(noon + hour * 10, Duration::from_secs(1)).is_err()); // it has leaped once more
/// assert!(sweep(noon + hour * 10, hour).is_ok()); // it has stayed there: the machine was off
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeapWatch {
    /// The leap that was seen, and what the stopwatch showed then.
    leap: Option<(Timestamp, Duration)>,
    /// What the last sweep believed, and what the stopwatch showed then.
    believed: Option<(Timestamp, Duration)>,
}

impl LeapWatch {
    /// [`SweepClock::believe`], where `elapsed` is what the stopwatch of this process shows.
    ///
    /// # Errors
    ///
    /// - By how much the clock is ahead of the latest time: remove nothing.
    pub fn believe(
        &mut self,
        clock: &mut SweepClock,
        now: Timestamp,
        lifetimes: &Lifetimes,
        elapsed: Duration,
    ) -> Result<(), Duration> {
        // A leap that began anew, at another node's word, is another leap.
        let seen = self.leap.filter(|(leap, _)| clock.leaped_to == Some(*leap));
        let since = seen.map(|(_, started)| elapsed.saturating_sub(started));
        if let Some((at, started)) = self.believed {
            clock.latest = clock.latest.max(at + elapsed.saturating_sub(started));
        }
        let believed = clock.believe(now, lifetimes, since);
        self.leap = clock.leaped_to.map(|leap| seen.unwrap_or((leap, elapsed)));
        if believed.is_ok() {
            self.believed = Some((now, elapsed));
        }
        believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    #[test]
    fn an_entry_outlives_what_it_covers_and_counts_from_when_it_was_recorded() {
        let lifetimes = Lifetimes::default();
        let record = lifetimes.token_until(TokenKind::RefreshToken, START + HOUR);
        assert_eq!(record, START + HOUR * (1 + 7 * 24));
        // An hour in flight, and an hour that a clock may be ahead unnoticed.
        assert_eq!(lifetimes.entry_until(record, START), record + HOUR * 2);
        assert_eq!(lifetimes.entry_until(Timestamp::default(), START), START + HOUR * 2);
        let jwt = lifetimes.with_longest_unrecorded(HOUR * 2);
        assert_eq!(jwt.entry_until(START + HOUR, START), START + HOUR * 4);
        let any_clock = lifetimes.with_clock_leap(Duration::MAX);
        assert_eq!(any_clock.entry_until(Timestamp::default(), START), START + HOUR);
        let nothing_in_flight = any_clock.with_in_flight(Duration::ZERO);
        assert!(nothing_in_flight.entry_outlives(record) > record);
        assert_eq!(lifetimes.entry_until(Timestamp::MAX, START), Timestamp::MAX);
        assert!(!is_due(Timestamp::MAX, Timestamp::MAX));
    }

    #[test]
    fn a_cutoff_is_needed_while_a_session_from_before_it_lasts() {
        let lifetimes = Lifetimes::default();
        let mut logins = OpenLogins::default();
        assert!(logins.add(START, START + HOUR * 100));
        assert!(!logins.add(START, START + HOUR * 99));
        for kind in TargetKind::ALL {
            let needed = lifetimes.entry_needed_until(kind, START + HOUR, START, &logins);
            let expected = if kind.is_named_once() { START } else { START + HOUR * 102 };
            assert_eq!(needed, expected, "{kind}");
        }
        let before = START - HOUR * 48;
        let needed = lifetimes.entry_needed_until(TargetKind::Subject, before, START, &logins);
        assert_eq!(needed, START);
        let stored = OpenLogins::from_days(logins.days());
        assert_eq!(stored, logins);
        assert!(!logins.remove_due(START + HOUR * 101, &lifetimes));
        assert!(logins.remove_due(START + HOUR * 102, &lifetimes));
        assert_eq!(logins, OpenLogins::default());
    }

    #[test]
    fn a_clock_that_leaps_is_not_believed_until_it_has_stayed_there() {
        let lifetimes = Lifetimes::default().with_in_flight(HOUR * 2);
        let mut clock = SweepClock { latest: START, leaped_to: None };
        let ahead = START + HOUR * 5;
        assert_eq!(clock.believe(ahead, &lifetimes, None), Err(HOUR * 5));
        assert_eq!(clock.latest, START);
        // It lasts, but not for as long as something may be in flight; or by its own account alone.
        assert!(clock.believe(ahead + HOUR, &lifetimes, Some(HOUR * 2)).is_err());
        let later = ahead + HOUR * 2;
        assert!(clock.believe(later, &lifetimes, Some(HOUR)).is_err());
        let (mut right, mut contradicted) = (clock, clock);
        assert_eq!(clock.believe(later, &lifetimes, Some(HOUR * 2)), Ok(()));
        assert_eq!(clock, SweepClock { latest: later, leaped_to: None });
        // Put right before that: forgotten.
        assert_eq!(right.believe(START + HOUR / 2, &lifetimes, Some(HOUR * 2)), Ok(()));
        assert!(right.believe(later, &lifetimes, None).is_err());
        // Behind: it removes what is due by then, and takes nothing back.
        assert_eq!(right.believe(START, &lifetimes, None), Ok(()));
        assert_eq!(right.latest, START + HOUR / 2);
        // Another node's clock shows the time as it was: the leap begins anew.
        assert!(contradicted.note(START, &lifetimes));
        assert!(contradicted.believe(later, &lifetimes, Some(HOUR * 9)).is_err());
        assert_eq!(contradicted.leaped_to, Some(later));
    }

    /// A clock that is right is ahead of a store that was idle, and so is one that is wrong.
    #[test]
    fn of_two_clocks_that_are_ahead_the_one_that_is_less_so_is_believed() {
        let lifetimes = Lifetimes::default();
        let mut clock = SweepClock { latest: START, leaped_to: None };
        let (mut right, mut wrong) = (LeapWatch::default(), LeapWatch::default());
        for minute in 0..=60 {
            let elapsed = Duration::from_secs(60 * minute);
            let now = START + HOUR * 8 + elapsed;
            assert!(wrong.believe(&mut clock, now + HOUR * 5, &lifetimes, elapsed).is_err());
            let believed = right.believe(&mut clock, now, &lifetimes, elapsed);
            assert_eq!(believed.is_ok(), minute == 60, "{minute}");
        }
        assert!(wrong.believe(&mut clock, START + HOUR * 14, &lifetimes, HOUR).is_err());
    }

    #[test]
    fn time_that_the_stopwatch_saw_pass_is_no_leap() {
        let lifetimes = Lifetimes::default();
        let (mut clock, mut watch) = (SweepClock::default(), LeapWatch::default());
        assert_eq!(watch.believe(&mut clock, START, &lifetimes, Duration::ZERO), Ok(()));
        // An idle store that is swept every three hours.
        assert_eq!(watch.believe(&mut clock, START + HOUR * 3, &lifetimes, HOUR * 3), Ok(()));
        assert_eq!(watch.believe(&mut clock, START + HOUR * 6, &lifetimes, HOUR * 6), Ok(()));
        assert_eq!(clock.latest, START + HOUR * 6);
        // Nine hours by the clock, three by the stopwatch.
        let ahead = watch.believe(&mut clock, START + HOUR * 15, &lifetimes, HOUR * 9);
        assert_eq!(ahead, Err(HOUR * 6));
    }

    #[test]
    fn what_is_written_moves_the_latest_time_by_minutes_and_never_by_a_leap() {
        let lifetimes = Lifetimes::default();
        let mut clock = SweepClock::default();
        assert!(clock.note(START, &lifetimes));
        assert!(!clock.note(START + Duration::from_secs(59), &lifetimes));
        assert!(clock.note(START + Duration::from_secs(60), &lifetimes));
        assert!(!clock.note(START + HOUR * 2, &lifetimes));
        assert!(clock.note(START + HOUR * 2, &lifetimes.with_clock_leap(Duration::MAX)));
        assert!(!clock.note(START, &lifetimes));
    }
}
