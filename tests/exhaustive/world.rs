//! What there is: tokens, grants, a session, clients, instants, and the two nodes with their clocks.

use std::time::Duration;

use annul::store::{Lifetimes, Retention};
use annul::{TargetKind, Timestamp};

use crate::old_rules::Rules;
use crate::store::Store;

/// The unit of time. A day, so that the map of open logins is exact.
pub(crate) const UNIT: Duration = Duration::from_secs(86_400);

/// The first instant of the world; there are logins from before it.
pub(crate) const FIRST: Instant = 4;

/// How far a wrong clock is ahead: further than a sweep believes, and than records are remembered.
pub(crate) const AHEAD: i8 = 6;

/// How far a wrong clock is behind.
pub(crate) const BEHIND: i8 = -1;

/// An instant, in units.
pub(crate) type Instant = u8;

pub(crate) fn time(instant: Instant) -> Timestamp {
    Timestamp::default() + UNIT * (1_000 + u32::from(instant))
}

pub(crate) fn instant(time: Timestamp) -> Instant {
    let units = time.as_unix_millis().div_ceil(86_400_000);
    u8::try_from(units - 1_000).unwrap()
}

/// The grace window of every rotation.
pub(crate) const GRACE: Duration = Duration::from_secs(86_400);

/// The clients.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Client {
    App,
    Web,
}

/// What a revocation can point at. There is one user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    Token(usize),
    Grant(usize),
    Session,
    UserAtClient(Client),
    User,
    Client(Client),
    Everything,
}

impl Named {
    /// A place for each of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Token(0),
        Self::Grant(0),
        Self::Grant(1),
        Self::Session,
        Self::UserAtClient(Client::Web),
        Self::UserAtClient(Client::App),
        Self::User,
        Self::Client(Client::Web),
        Self::Client(Client::App),
        Self::Everything,
        // The end of the list is never pointed at: tokens but the first are not revoked alone.
        Self::Token(usize::MAX),
    ];

    pub(crate) fn place(self) -> usize {
        Self::ALL.iter().position(|known| *known == self).unwrap_or(Self::ALL.len() - 1)
    }

    pub(crate) const fn kind(self) -> TargetKind {
        match self {
            Self::Token(_) => TargetKind::Token,
            Self::Grant(_) => TargetKind::Grant,
            Self::Session => TargetKind::Session,
            Self::UserAtClient(_) => TargetKind::SubjectAtClient,
            Self::User => TargetKind::Subject,
            Self::Client(_) => TargetKind::Client,
            Self::Everything => TargetKind::Everything,
        }
    }
}

/// How the user came to authorize a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// By a device code that a user approved who had been authenticated before.
    Device { login: Instant, approved: Instant },
    /// In the session, whose login it has.
    Session,
}

/// A grant as the world plans it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) client: Client,
    pub(crate) origin: Origin,
    /// Its tokens: the first, its successor, and the successor of a repetition.
    pub(crate) tokens: &'static [usize],
}

/// What one search is about.
#[derive(Clone, Debug)]
pub(crate) struct Universe {
    pub(crate) name: &'static str,
    pub(crate) grants: Vec<Plan>,
    /// Whether there is a session, begun at the first instant, that may be prolonged and joined.
    pub(crate) has_session: bool,
    pub(crate) targets: &'static [Named],
    /// For how long an approval may be in flight; where nothing is, tokens are issued before anything is revoked.
    pub(crate) flight: Option<u8>,
    /// How many revocations there may be, repetitions not counted.
    pub(crate) revocations: u8,
    /// How often a clock may be set wrong.
    pub(crate) wrong_clocks: u8,
    /// How long this world lasts.
    pub(crate) instants: u8,
    /// For how many units records are remembered after their expiry.
    pub(crate) retention: u32,
    /// For how many units something may be in flight, by the settings of the store.
    pub(crate) in_flight: u32,
    pub(crate) rules: Rules,
}

impl Universe {
    pub(crate) fn all() -> Vec<Self> {
        let rules = Rules::default();
        let approved = |login| Origin::Device { login, approved: FIRST };
        let at_once = approved(FIRST);
        vec![
            Self {
                name: "tokens that are issued, rotated and revoked",
                grants: vec![
                    Plan { client: Client::Web, origin: at_once, tokens: &[0, 1, 2] },
                    Plan { client: Client::App, origin: at_once, tokens: &[3] },
                ],
                has_session: false,
                targets: &[
                    Named::Token(0),
                    Named::Grant(0),
                    Named::UserAtClient(Client::Web),
                    Named::Client(Client::App),
                ],
                flight: None,
                revocations: 1,
                wrong_clocks: 1,
                instants: 3,
                retention: 6,
                in_flight: 3,
                rules,
            },
            Self {
                name: "device codes that are in flight",
                grants: vec![
                    Plan { client: Client::Web, origin: at_once, tokens: &[0] },
                    Plan { client: Client::App, origin: approved(0), tokens: &[3] },
                ],
                has_session: false,
                targets: &[
                    Named::Token(0),
                    Named::Grant(0),
                    Named::Grant(1),
                    Named::UserAtClient(Client::Web),
                    Named::User,
                    Named::Client(Client::App),
                    Named::Everything,
                ],
                flight: Some(1),
                revocations: 1,
                wrong_clocks: 1,
                instants: 5,
                retention: 1,
                in_flight: 3,
                rules,
            },
            Self {
                name: "a session that is prolonged and joined",
                grants: vec![
                    Plan { client: Client::Web, origin: Origin::Session, tokens: &[0] },
                    Plan { client: Client::App, origin: Origin::Session, tokens: &[3] },
                ],
                has_session: true,
                targets: &[
                    Named::Session,
                    Named::UserAtClient(Client::App),
                    Named::User,
                    Named::Client(Client::App),
                    Named::Everything,
                ],
                flight: None,
                revocations: 1,
                wrong_clocks: 1,
                instants: 3,
                retention: 1,
                in_flight: 2,
                rules,
            },
        ]
    }

    /// The settings of the store.
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        let mut retention = Retention::default();
        retention.access_tokens = UNIT * self.retention;
        retention.refresh_tokens = UNIT * self.retention;
        let flight = if self.rules.short_flight { Duration::ZERO } else { UNIT * self.in_flight };
        let leap = if self.rules.any_clock { Duration::MAX } else { UNIT * 2 };
        Lifetimes::default().with_retention(retention).with_in_flight(flight).with_clock_leap(leap)
    }

    /// The grant of a token.
    pub(crate) fn grant_of(&self, token: usize) -> usize {
        self.grants.iter().position(|plan| plan.tokens.contains(&token)).unwrap()
    }

    /// What can end a token, narrowest first.
    pub(crate) fn targets_of(&self, token: usize) -> impl Iterator<Item = Named> + '_ {
        let grant = self.grant_of(token);
        let plan = self.grants[grant];
        let session = (plan.origin == Origin::Session).then_some(Named::Session);
        [
            Some(Named::Token(token)),
            Some(Named::Grant(grant)),
            session,
            Some(Named::UserAtClient(plan.client)),
            Some(Named::User),
            Some(Named::Client(plan.client)),
            Some(Named::Everything),
        ]
        .into_iter()
        .flatten()
    }

    /// When the user was authenticated for a grant.
    pub(crate) fn login_of(&self, grant: usize) -> Instant {
        match self.grants[grant].origin {
            Origin::Device { login, .. } => login,
            Origin::Session => FIRST,
        }
    }
}

/// A state of the world.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct World {
    pub(crate) now: Instant,
    /// By how much the clock of each node is wrong.
    pub(crate) clocks: [i8; 2],
    pub(crate) wrong_clocks: u8,
    pub(crate) store: Store,
    /// When a sweep of the process first found the clock ahead.
    pub(crate) leap_seen: Option<Instant>,
    /// Whether a clock that was too far ahead was believed, because the store knew no better or because it stayed there.
    pub(crate) was_misled: bool,
    /// The latest cutoff that was acknowledged, for each place of [`Named::ALL`].
    pub(crate) acknowledged: [Option<Instant>; Named::ALL.len()],
    /// The same for what was written, whether or not anybody learned of it.
    pub(crate) written: [Option<Instant>; Named::ALL.len()],
    /// A revocation whose answer was lost: its caller repeats it at the other node.
    pub(crate) unanswered: Option<(u8, Instant)>,
    pub(crate) revocations: u8,
}

impl World {
    pub(crate) fn new(universe: &Universe) -> Self {
        Self {
            now: FIRST,
            clocks: [0, 0],
            wrong_clocks: universe.wrong_clocks,
            store: Store::default(),
            leap_seen: None,
            was_misled: false,
            acknowledged: [None; Named::ALL.len()],
            written: [None; Named::ALL.len()],
            unanswered: None,
            revocations: universe.revocations,
        }
    }

    /// What the clock of a node shows.
    pub(crate) fn clock(&self, node: usize) -> Instant {
        self.now.saturating_add_signed(self.clocks[node])
    }
}
