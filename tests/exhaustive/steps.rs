//! Every step that can be taken in a state of the world.

use std::fmt;

use crate::promises::{Broken, may_remove};
use crate::store::{Removable, Rotated, Token};
use crate::world::{
    AHEAD, BEHIND, Client, FIRST, Instant, Named, Origin, UNIT, Universe, World, time,
};

/// One step. Nodes are 0 and 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Time passes.
    Pass,
    /// The clock of a node is set.
    SetClock {
        node: usize,
        by: i8,
    },
    /// The token endpoint issues the first token of a grant.
    Issue {
        node: usize,
        token: usize,
    },
    Rotate {
        node: usize,
        token: usize,
    },
    /// The session is opened or prolonged, with or without the second client.
    OpenSession {
        node: usize,
        has_app: bool,
    },
    /// A revocation, answered or not: the node may crash before it is written, after it, or not at all.
    Revoke {
        node: usize,
        target: Named,
        cutoff: Instant,
        is_answered: bool,
    },
    /// The caller of a revocation whose answer was lost repeats it.
    Repeat {
        node: usize,
    },
    /// A sweep removes one record and stops there, as one with a small budget does, or one that crashes.
    Sweep {
        node: usize,
        removes: Option<Removable>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Calls `take` with each step and the world after it.
pub(crate) fn each(
    universe: &Universe,
    world: &World,
    take: &mut impl FnMut(Step, World, Result<(), Broken>),
) {
    let mut done = |step: Step, after: World| take(step, after, Ok(()));
    if world.now < FIRST + universe.instants {
        let mut after = world.clone();
        after.now += 1;
        done(Step::Pass, after);
    }
    for node in [0, 1] {
        clocks(world, node, &mut done);
    }
    for node in [0, 1] {
        for token in [0, 3] {
            if let Some(after) = issue(universe, world, node, token) {
                done(Step::Issue { node, token }, after);
            }
        }
        if universe.has_session {
            for has_app in [false, true] {
                if let Some(after) = open_session(universe, world, node, has_app) {
                    done(Step::OpenSession { node, has_app }, after);
                }
            }
        }
        revocations(universe, world, node, &mut done);
    }
    for node in [0, 1] {
        sweeps(universe, world, node, take);
        for token in 0..3 {
            rotations(universe, world, node, token, take);
        }
    }
}

/// Only the first node's clock is ever wrong, or else the second one's: the two are alike.
fn clocks(world: &World, node: usize, done: &mut impl FnMut(Step, World)) {
    for by in [AHEAD, BEHIND, 0] {
        let is_wrong = by != 0;
        if world.clocks[node] == by || (is_wrong && (node == 1 || world.wrong_clocks == 0)) {
            continue;
        }
        let mut after = world.clone();
        after.clocks[node] = by;
        after.wrong_clocks -= u8::from(is_wrong);
        done(Step::SetClock { node, by }, after);
    }
}

fn issue(universe: &Universe, world: &World, node: usize, token: usize) -> Option<World> {
    let plan = universe.grants.iter().find(|plan| plan.tokens.first() == Some(&token))?;
    if world.store.tokens[token] != Token::Unissued {
        return None;
    }
    let clock = world.clock(node);
    let may = match plan.origin {
        Origin::Device { approved, .. } => {
            let is_first = world.written.iter().all(Option::is_none);
            world.now >= approved
                && universe.flight.map_or(is_first, |flight| world.now <= approved + flight)
        }
        // The host issues in a session that it finds open, and that this client has joined.
        Origin::Session => world.store.session.is_some_and(|session| {
            let takes_part = plan.client == Client::Web || session.has_app;
            let is_open = world.store.entries[Named::Session.place()].is_none();
            takes_part && is_open && clock < session.expires_at
        }),
    };
    let mut after = world.clone();
    after.store.issue(universe, token, (0, clock + 1), clock);
    may.then_some(after)
}

fn open_session(universe: &Universe, world: &World, node: usize, has_app: bool) -> Option<World> {
    let clock = world.clock(node);
    match world.store.session {
        // A session is opened at its login, and prolonged while it lasts.
        None if world.now > FIRST => return None,
        Some(session) if clock >= session.expires_at => return None,
        None | Some(_) => {}
    }
    let mut after = world.clone();
    let changed = after.store.open_session(universe, has_app, clock) && after != *world;
    changed.then_some(after)
}

fn rotations(
    universe: &Universe,
    world: &World,
    node: usize,
    token: usize,
    take: &mut impl FnMut(Step, World, Result<(), Broken>),
) {
    if !matches!(world.store.tokens[token], Token::Recorded { .. }) {
        return;
    }
    let clock = world.clock(node);
    let mut after = world.clone();
    let step = Step::Rotate { node, token };
    match after.store.rotate(universe, token, clock) {
        Rotated::Refused => {}
        Rotated::Applied => take(step, after, Ok(())),
        Rotated::InGrace { rotated_at } => {
            // The window is as long as one unit: the same instant.
            let promise = if rotated_at == clock { Ok(()) } else { Err(Broken::WindowOpen) };
            take(step, after, promise);
        }
        Rotated::Reused => {
            let place = Named::Grant(universe.grant_of(token)).place();
            raise(&mut after.written[place], clock);
            raise(&mut after.acknowledged[place], clock);
            take(step, after, Ok(()));
        }
    }
}

fn revocations(
    universe: &Universe,
    world: &World,
    node: usize,
    done: &mut impl FnMut(Step, World),
) {
    let clock = world.clock(node);
    if world.revocations > 0 && world.unanswered.is_none() {
        for target in universe.targets.iter().copied() {
            for cutoff in [clock, 0] {
                // An old cutoff is for what was compromised then; a name has none.
                if cutoff != clock && target.kind().is_named_once() {
                    continue;
                }
                for is_answered in [true, false] {
                    let mut after = world.clone();
                    after.revocations -= 1;
                    revoke(universe, &mut after, target, cutoff, clock, is_answered);
                    if !is_answered {
                        after.unanswered = Some((u8::try_from(target.place()).unwrap(), cutoff));
                    }
                    done(Step::Revoke { node, target, cutoff, is_answered }, after);
                }
                // Not written at all, and repeated.
                let mut after = world.clone();
                after.revocations -= 1;
                after.unanswered = Some((u8::try_from(target.place()).unwrap(), cutoff));
                done(Step::Revoke { node, target, cutoff, is_answered: false }, after);
            }
        }
    }
    if let Some((place, cutoff)) = world.unanswered {
        let mut after = world.clone();
        after.unanswered = None;
        revoke(universe, &mut after, Named::ALL[usize::from(place)], cutoff, clock, true);
        done(Step::Repeat { node }, after);
    }
}

fn revoke(
    universe: &Universe,
    after: &mut World,
    target: Named,
    cutoff: Instant,
    clock: Instant,
    is_answered: bool,
) {
    let mut places = vec![target.place()];
    if let Named::Token(token) = target {
        let is_consumed =
            matches!(after.store.tokens[token], Token::Recorded { is_consumed: true, .. });
        places.extend(is_consumed.then(|| Named::Grant(universe.grant_of(token)).place()));
    }
    after.store.revoke(universe, target, cutoff, clock);
    for place in places {
        raise(&mut after.written[place], cutoff);
        if is_answered {
            raise(&mut after.acknowledged[place], cutoff);
        }
    }
}

fn raise(known: &mut Option<Instant>, cutoff: Instant) {
    *known = Some(known.unwrap_or_default().max(cutoff));
}

fn sweeps(
    universe: &Universe,
    world: &World,
    node: usize,
    take: &mut impl FnMut(Step, World, Result<(), Broken>),
) {
    let clock = world.clock(node);
    let mut after = world.clone();
    let mut known = world.store.sweep_clock();
    let is_known_leap = known.leaped_to.is_some();
    let seen = world.leap_seen.filter(|_| is_known_leap);
    let since = seen.map(|seen| UNIT * u32::from(world.now - seen));
    let is_first = known.latest == annul::Timestamp::default();
    let believed = known.believe(time(clock), &universe.lifetimes(), since);
    after.store.set_sweep_clock(known);
    if believed.is_err() {
        after.leap_seen = Some(seen.unwrap_or(world.now));
        if after != *world {
            take(Step::Sweep { node, removes: None }, after, Ok(()));
        }
        return;
    }
    let has_stayed = is_known_leap && clock > world.store.latest + 2;
    after.leap_seen = None;
    after.was_misled |= clock > world.now && (is_first || has_stayed);
    let removable = world.store.removable(universe, clock);
    if removable.is_empty() && after != *world {
        take(Step::Sweep { node, removes: None }, after, Ok(()));
        return;
    }
    for what in removable {
        let mut after = after.clone();
        let promise = match what {
            Removable::Token(token) => may_remove(universe, &after, token),
            Removable::Family(_) | Removable::Session | Removable::Entry(_) => Ok(()),
        };
        after.store.remove(what);
        take(Step::Sweep { node, removes: Some(what) }, after, promise);
    }
}
