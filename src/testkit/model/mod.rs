//! Random steps against a model that enumerates: it keeps every token, every session and every revocation ever made,
//! forgets none, and looks at all of them for each answer.
//!
//! The store may forget, where sweeps are among the steps. So the model says from when on a sweep *may* have taken
//! something, and then allows either answer; until then there is exactly one, but for the name of the revocation where
//! several cover.
//!
//! In exact mode (`Fixture::exact`) the store is one that behaves as those of this crate do: it names the narrowest
//! revocation, remembers expired tokens for a known time, and forgets no revocation before its last token.

mod history;
mod issuing;
mod revoking;
mod rotating;
mod steps;
mod world;

use crate::testkit::fixture::Subject;
use crate::testkit::model::steps::{Effect, compare, drain, feel, step};
use crate::testkit::model::world::{Steps, World};
use crate::testkit::proof::Proof;
use crate::testkit::random::Random;
use crate::testkit::scene::Scene;

pub(super) use history::IN_FLIGHT;

const STEPS: usize = 200;

pub(super) async fn a_naive_model_of_tokens_and_revocations_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: false, sweeps: false }).await
}

pub(super) async fn a_naive_model_of_rotations_and_sessions_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: true, sweeps: false }).await
}

pub(super) async fn a_naive_model_that_forgets_nothing_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: true, sweeps: true }).await
}

async fn run(subject: &dyn Subject, steps: Steps) -> Proof {
    let mut episode = 0;
    loop {
        let mut scene = Scene::new(subject).await?;
        if steps.rotates {
            scene.fixture.rotates()?;
        }
        if steps.sweeps {
            scene.fixture.sweeps()?;
        }
        let episodes = scene.fixture.round_count().div_ceil(10);
        let seed = scene.fixture.first_seed().wrapping_add(episode);
        if scene.fixture.exact_retention().is_some() {
            let neighbour = Scene::of(scene.fixture.take_neighbour()?);
            run_exactly(scene, neighbour, seed, steps).await?;
        } else {
            run_one(scene, seed, steps).await?;
        }
        episode += 1;
        if usize::try_from(episode).unwrap_or(usize::MAX) >= episodes {
            return Ok(());
        }
    }
}

async fn run_one(scene: Scene, seed: u64, steps: Steps) -> Proof {
    let mut world = World::new(scene, seed, steps);
    for n in 0..STEPS {
        let place = |world: &World| format!("seed {seed}, step {n} ({})", world.told());
        step(&mut world).await.map_err(|unproven| unproven.within(place(&world)))?;
        let all = n % 20 == 19;
        compare(&mut world, all).await.map_err(|unproven| unproven.within(place(&world)))?;
    }
    Ok(())
}

/// Exact mode: two namespaces of one engine, in which the same names are others. After every step every token of both
/// is looked at.
async fn run_exactly(scene: Scene, neighbour: Scene, seed: u64, steps: Steps) -> Proof {
    let empty = scene.fixture.show_contents().await.ok();
    let sweep = scene.fixture.sweeps().ok().cloned();
    let mut world = World::new(scene, seed, steps).swept_by(sweep.clone());
    let mut other = World::new(neighbour, !seed, steps).swept_by(sweep);
    let mut random = Random::new(seed);
    for n in 0..STEPS {
        let place = |world: &World| format!("exactly, seed {seed}, step {n} ({})", world.told());
        let (acts, rests) = match random.one_in(2) {
            true => (&mut world, &mut other),
            false => (&mut other, &mut world),
        };
        let effect = step(acts).await.map_err(|unproven| unproven.within(place(acts)))?;
        feel(rests, effect, acts.now);
        for world in [acts, rests] {
            compare(world, true).await.map_err(|unproven| unproven.within(place(world)))?;
        }
    }
    if steps.sweeps {
        let place = |world: &World| format!("exactly, seed {seed}, at the end ({})", world.told());
        let effect =
            drain(&mut world, empty).await.map_err(|unproven| unproven.within(place(&world)))?;
        feel(&mut other, Effect::Waited, world.now);
        feel(&mut other, effect, world.now);
        compare(&mut other, true).await.map_err(|unproven| unproven.within(place(&other)))?;
    }
    Ok(())
}
