//! Chooses the next step, and compares.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::revocation::Revoked;
use crate::store::SweepBudget;
use crate::testkit::model::issuing::{issue, issue_again, issue_late, open_session};
use crate::testkit::model::revoking::{client_revokes, log_out, operator_revokes};
use crate::testkit::model::rotating::rotate;
use crate::testkit::model::world::World;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::scene::{DAY, HOUR, MILLI, MINUTE};

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

/// Exact mode: round numbers, as the lifetimes are, to meet last instants.
const ROUND_PAUSES: [Duration; 8] = [
    Duration::from_millis(1),
    Duration::from_secs(40),
    MINUTE,
    MINUTE,
    Duration::from_secs(600),
    HOUR,
    Duration::from_secs(43_200),
    Duration::from_secs(8 * 86_400),
];

/// What a step did beyond the world in which it happened: to time, and to all namespaces of the engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    None,
    Swept { all: bool },
    Waited,
}

pub(super) async fn step(world: &mut World) -> Result<Effect, NotProven> {
    match world.random.below(if world.is_exact() { 22 } else { 20 }) {
        0..=2 => return Ok(wait(world)),
        3..=6 => issue(world).await?,
        7 => issue_again(world).await?,
        8 => issue_late(world).await?,
        9 | 10 => client_revokes(world).await?,
        11 | 12 => operator_revokes(world).await?,
        13 if world.steps.rotates => open_session(world).await?,
        14 | 15 if world.steps.sweeps => return sweep(world).await,
        20 if world.steps.rotates => log_out(world).await?,
        _ if world.steps.rotates => rotate(world).await?,
        13..=15 => operator_revokes(world).await?,
        _ => issue(world).await?,
    }
    Ok(Effect::None)
}

/// The same in another namespace of the engine.
pub(super) fn feel(world: &mut World, effect: Effect, now: Timestamp) {
    match effect {
        Effect::None => {}
        Effect::Swept { all } => world.history.swept(now, all),
        Effect::Waited => world.now = world.scene.at(now),
    }
}

/// Long after, one sweep has left nothing.
pub(super) async fn drain(world: &mut World, empty: Option<String>) -> Result<Effect, NotProven> {
    world.now = world.scene.at(world.now + 365 * DAY);
    let budget = SweepBudget::rows(usize::MAX);
    let swept = world.sweeps()?.sweep(world.now, budget).await?;
    ensure!(!swept.more, "a sweep without a limit left something");
    world.history.swept(world.now, true);
    compare(world, true).await?;
    if let Some(empty) = empty {
        let left = world.scene.fixture.show_contents().await?;
        ensure!(left == empty, "a year later the last sweep left {left}");
    }
    for opened in &world.history.sessions {
        let known = world.scene.ledger()?.session(&opened.id).await?;
        ensure!(known.is_none(), "a year later {known:?} is known");
    }
    for target in world.history.targets() {
        let told = world.scene.revoke(target.clone(), world.now).await?;
        ensure!(told == Revoked::Newly, "a year later the revocation of {target:?} is there");
    }
    Ok(Effect::Swept { all: true })
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

fn wait(world: &mut World) -> Effect {
    let pauses: &[Duration] = if world.is_exact() { &ROUND_PAUSES } else { &PAUSES };
    let pause = world.random.pick(pauses).copied().unwrap_or(MILLI);
    world.now = world.scene.at(world.now + pause);
    world.say(format!("wait {pause:?}"));
    Effect::Waited
}

async fn sweep(world: &mut World) -> Result<Effect, NotProven> {
    let most = if world.is_exact() { usize::MAX } else { 1_000_000 };
    let rows = world.random.pick(&[1, 7, most]).copied().unwrap_or(1);
    let all = rows == usize::MAX;
    world.say(format!("sweep {rows} rows"));
    let swept = world.sweeps()?.sweep(world.now, SweepBudget::rows(rows)).await?;
    ensure!(swept.removed <= rows, "{} of at most {rows} rows were swept", swept.removed);
    ensure!(!(all && swept.more), "a sweep without a limit left something");
    world.history.swept(world.now, all);
    Ok(Effect::Swept { all })
}
