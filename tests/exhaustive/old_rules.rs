//! Rules that the stores once had, one at a time.

/// Which rules the store of the search has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Rules {
    /// The horizon is the latest expiry, and not until when a record is kept.
    pub(crate) horizon_is_expiry: bool,
    /// An entry counts from its cutoff, and not from when it is recorded.
    pub(crate) counts_from_cutoff: bool,
    /// A session keeps the cutoffs of its participants alone.
    pub(crate) holds_participants_only: bool,
    /// Nothing is in flight for longer than a constant.
    pub(crate) short_flight: bool,
    /// The grace window has one side.
    pub(crate) one_sided_window: bool,
    /// A sweep removes entries that are due while records are.
    pub(crate) entries_any_time: bool,
    /// A sweep believes every clock.
    pub(crate) any_clock: bool,
    /// A revocation of a consumed token is not widened to its grant.
    pub(crate) not_widened: bool,
}

/// A rule that was, and the fault that it was seen as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldRule {
    pub(crate) fault: &'static str,
    pub(crate) what: &'static str,
    pub(crate) rules: Rules,
    /// For how long records are remembered there, where that matters.
    pub(crate) retention: Option<u32>,
    /// In which world that shows.
    pub(crate) world: usize,
    /// What it breaks.
    pub(crate) breaks: Breaks,
}

/// Which promise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Breaks {
    Alive,
    Dead,
    WindowOpen,
}

const NOW: Rules = Rules {
    horizon_is_expiry: false,
    counts_from_cutoff: false,
    holds_participants_only: false,
    short_flight: false,
    one_sided_window: false,
    entries_any_time: false,
    any_clock: false,
    not_widened: false,
};

pub(crate) const ALL: [OldRule; 8] = [
    OldRule {
        fault: "a consumed token",
        what: "its revocation is not widened to its grant",
        rules: Rules { not_widened: true, ..NOW },
        retention: None,
        world: 0,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1.1",
        what: "an entry goes at the latest expiry, and every clock is believed",
        rules: Rules { horizon_is_expiry: true, any_clock: true, ..NOW },
        retention: None,
        world: 0,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1.2",
        what: "an entry counts from its cutoff",
        rules: Rules { counts_from_cutoff: true, ..NOW },
        retention: None,
        world: 1,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1.3",
        what: "a session keeps the cutoffs of its participants alone",
        rules: Rules { holds_participants_only: true, ..NOW },
        retention: None,
        world: 2,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1.4",
        what: "what is in flight has no setting",
        rules: Rules { short_flight: true, ..NOW },
        retention: None,
        world: 1,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1, the order of a sweep",
        what: "an entry is removed before the records that are due with it",
        rules: Rules { entries_any_time: true, any_clock: true, ..NOW },
        retention: Some(1),
        world: 0,
        breaks: Breaks::Alive,
    },
    OldRule {
        fault: "K1, a clock that leaps",
        what: "a sweep believes every clock",
        rules: Rules { any_clock: true, ..NOW },
        retention: Some(1),
        world: 0,
        breaks: Breaks::Dead,
    },
    OldRule {
        fault: "K7",
        what: "the grace window has one side",
        rules: Rules { one_sided_window: true, ..NOW },
        retention: None,
        world: 0,
        breaks: Breaks::WindowOpen,
    },
];
