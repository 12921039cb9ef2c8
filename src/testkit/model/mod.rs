//! Random steps against a model that enumerates: it keeps every token, every session and every revocation ever made,
//! forgets none, and looks at all of them for each answer.
//!
//! The store may forget, where sweeps are among the steps. So the model says from when on a sweep *may* have taken
//! something, and then allows either answer; until then there is exactly one, but for the name of the revocation where
//! several cover.

mod history;
mod issuing;
mod revoking;
mod rotating;
mod steps;
mod world;

use crate::testkit::fixture::Subject;
use crate::testkit::model::steps::{compare, step};
use crate::testkit::model::world::{Steps, World};
use crate::testkit::proof::Proof;
use crate::testkit::scene::Scene;

pub(super) use history::IN_FLIGHT;

const STEPS: usize = 200;

pub(super) async fn a_naive_model_of_tokens_and_revocations_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: false, sweeps: false }).await
}

pub(super) async fn a_naive_model_of_exchanges_and_sessions_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: true, sweeps: false }).await
}

pub(super) async fn a_naive_model_that_forgets_nothing_agrees(subject: &dyn Subject) -> Proof {
    run(subject, Steps { rotates: true, sweeps: true }).await
}

async fn run(subject: &dyn Subject, steps: Steps) -> Proof {
    let mut episode = 0;
    loop {
        let scene = Scene::new(subject).await?;
        if steps.rotates {
            scene.fixture.rotates()?;
        }
        if steps.sweeps {
            scene.fixture.sweeps()?;
        }
        let episodes = scene.fixture.round_count().div_ceil(10);
        let seed = scene.fixture.first_seed().wrapping_add(episode);
        let mut world = World::new(scene, seed, steps);
        for n in 0..STEPS {
            let place = |world: &World| format!("seed {seed}, step {n} ({})", world.told());
            step(&mut world).await.map_err(|unproven| unproven.within(place(&world)))?;
            let all = n % 20 == 19;
            compare(&mut world, all).await.map_err(|unproven| unproven.within(place(&world)))?;
        }
        episode += 1;
        if usize::try_from(episode).unwrap_or(usize::MAX) >= episodes {
            return Ok(());
        }
    }
}
