//! Chooses the next step, and compares.

use std::time::Duration;

use crate::store::SweepBudget;
use crate::testkit::model::issuing::{issue, issue_again, issue_late, open_session};
use crate::testkit::model::revoking::{revoke_by_client, revoke_by_operator};
use crate::testkit::model::rotating::rotate;
use crate::testkit::model::world::World;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::scene::MILLI;

/// None of them ends together with a grace window: the last instant of one is another case's.
const PAUSES: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_secs(41),
    Duration::from_secs(41),
    Duration::from_secs(301),
    Duration::from_secs(1_201),
    Duration::from_secs(7_201),
    Duration::from_secs(100_001),
];

pub(super) async fn step(world: &mut World) -> Proof {
    match world.random.below(20) {
        0..=2 => wait(world),
        3..=6 => issue(world).await?,
        7 => issue_again(world).await?,
        8 => issue_late(world).await?,
        9 | 10 => revoke_by_client(world).await?,
        11 | 12 => revoke_by_operator(world).await?,
        13 if world.steps.rotates => open_session(world).await?,
        14 | 15 if world.steps.sweeps => sweep(world).await?,
        _ if world.steps.rotates => rotate(world).await?,
        13..=15 => revoke_by_operator(world).await?,
        _ => issue(world).await?,
    }
    Ok(())
}

/// Finds some tokens, or all, and compares.
pub(super) async fn compare(world: &mut World, all: bool) -> Proof {
    let count = world.history.tokens.len();
    let few: Vec<usize> = (0..8).map(|_| world.random.below(count)).collect();
    let chosen = if all { (0..count).collect() } else { few };
    for n in chosen {
        world.look(n).await?;
    }
    Ok(())
}

fn wait(world: &mut World) {
    let pause = world.random.pick(&PAUSES).copied().unwrap_or(MILLI);
    world.now = world.scene.at(world.now + pause);
    world.say(format!("wait {pause:?}"));
}

async fn sweep(world: &mut World) -> Proof {
    let rows = world.random.pick(&[1, 7, 1_000_000]).copied().unwrap_or(1);
    world.say(format!("sweep {rows} rows"));
    let swept = world.scene.fixture.sweeps()?.sweep(world.now, SweepBudget::rows(rows)).await?;
    ensure!(swept.removed <= rows, "{} of at most {rows} rows were swept", swept.removed);
    world.history.swept(world.now);
    Ok(())
}
