//! The handles through which racers reach one store: one for all, or two by turns.

use std::sync::Arc;

use crate::store::{Sweep, TokenLedger, TokenStore};
use crate::testkit::fixture::{Fixture, PutToken};
use crate::testkit::proof::{Ability, NotProven, Proof};
use crate::testkit::random::Random;
use crate::testkit::scene::Scene;

/// A scene, and its second handle where it can be opened a second time.
///
/// A lock in the process hides from one handle that a store has no transactions; from two it cannot.
pub(super) struct Handles<'s> {
    scene: &'s Scene,
    second: Option<Fixture>,
}

impl<'s> Handles<'s> {
    pub(super) async fn of(scene: &'s Scene) -> Result<Self, NotProven> {
        let second = match scene.fixture.open_second_handle().await {
            Ok(second) => Some(second),
            Err(NotProven::Lacks(_)) => None,
            Err(violated) => return Err(violated),
        };
        Ok(Self { scene, second })
    }

    /// Those of the next race: as chance has it, one for all racers or two.
    pub(super) fn of_race(&self, random: &mut Random) -> Lanes<'_> {
        let first = &self.scene.fixture;
        let second = self.second.as_ref().filter(|_| random.one_in(2));
        Lanes { first, second: second.unwrap_or(first) }
    }

    /// What a race ends with that held: it was run in parallel and over two handles, or it was not checked.
    pub(super) fn proven(&self) -> Proof {
        match (self.scene.fixture.spawner(), &self.second) {
            (None, _) => Err(NotProven::Lacks(Ability::Parallel)),
            (Some(_), None) => Err(NotProven::Lacks(Ability::SecondHandle)),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

/// The handles of one race.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'h> {
    first: &'h Fixture,
    second: &'h Fixture,
}

impl Lanes<'_> {
    const fn of(&self, lane: usize) -> &Fixture {
        match lane % 2 {
            0 => self.first,
            _ => self.second,
        }
    }

    pub(super) fn store(&self, lane: usize) -> Arc<dyn TokenStore> {
        Arc::clone(self.of(lane).tokens())
    }

    pub(super) fn puts(&self, lane: usize) -> Arc<dyn PutToken> {
        Arc::clone(self.of(lane).puts())
    }

    pub(super) fn ledger(&self, lane: usize) -> Result<Arc<dyn TokenLedger>, NotProven> {
        self.of(lane).rotates().map(Arc::clone)
    }

    /// A second handle need not sweep: an engine has one timer.
    pub(super) fn sweeps(&self, lane: usize) -> Result<Arc<dyn Sweep>, NotProven> {
        self.of(lane).sweeps().or_else(|_| self.first.sweeps()).map(Arc::clone)
    }
}
