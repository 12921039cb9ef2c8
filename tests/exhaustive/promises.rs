//! What must be true in every state.

use std::fmt;

use annul::store::rules::covering::covers;

use crate::old_rules::Breaks;
use crate::store::Token;
use crate::world::{Instant, Universe, World, time};

/// A promise that does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    /// A token is good that an acknowledged revocation covers.
    Alive { token: usize, node: usize },
    /// A token is not good that nothing covers, before its time.
    Dead { token: usize },
    /// A rotation was applied in a grace window that is over.
    WindowOpen,
}

impl Broken {
    pub(crate) const fn breaks(self) -> Breaks {
        match self {
            Self::Alive { .. } => Breaks::Alive,
            Self::Dead { .. } => Breaks::Dead,
            Self::WindowOpen => Breaks::WindowOpen,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alive { token, node } => {
                write!(
                    f,
                    "token {token} is good at node {node}, and an acknowledged revocation covers it"
                )
            }
            Self::Dead { token } => write!(f, "token {token} is dead, and nothing covers it"),
            Self::WindowOpen => f.write_str("a grace window is open that is over"),
        }
    }
}

pub(crate) fn look(universe: &Universe, world: &World) -> Result<(), Broken> {
    for token in 0..world.store.tokens.len() {
        let Token::Recorded { .. } = world.store.tokens[token] else {
            continue;
        };
        if is_covered(universe, &world.acknowledged, token) {
            for node in [0, 1] {
                if world.store.is_good(universe, token, world.clock(node)) {
                    return Err(Broken::Alive { token, node });
                }
            }
        }
    }
    for token in 0..world.store.tokens.len() {
        if dies_early(universe, world, token) {
            return Err(Broken::Dead { token });
        }
    }
    Ok(())
}

/// Whether a sweep may remove the record of a token: once the token is over by the true time, or covered; or a wrong clock
/// has misled the sweep.
pub(crate) fn may_remove(universe: &Universe, world: &World, token: usize) -> Result<(), Broken> {
    match world.store.tokens[token] {
        Token::Recorded { expires_at, is_consumed: false, .. }
            if world.now < expires_at
                && !world.was_misled
                && !is_covered(universe, &world.written, token) =>
        {
            Err(Broken::Dead { token })
        }
        Token::Recorded { .. } | Token::Unissued | Token::Gone => Ok(()),
    }
}

/// By what was revoked, whatever the ledger has kept of it.
fn is_covered(universe: &Universe, revoked: &[Option<Instant>], token: usize) -> bool {
    let login = time(universe.login_of(universe.grant_of(token)));
    universe.targets_of(token).any(|target| {
        revoked[target.place()].is_some_and(|cutoff| covers(target.kind(), time(cutoff), login))
    })
}

fn dies_early(universe: &Universe, world: &World, token: usize) -> bool {
    match world.store.tokens[token] {
        Token::Recorded { expires_at, is_consumed: false, .. } => {
            world.now < expires_at
                && !is_covered(universe, &world.written, token)
                && !world.store.is_good(universe, token, world.now)
        }
        Token::Recorded { .. } | Token::Unissued | Token::Gone => false,
    }
}
