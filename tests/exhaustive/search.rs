//! Breadth first, so that the story of a broken promise is the shortest one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

use crate::old_rules::Breaks;
use crate::promises::{Broken, look};
use crate::steps::{Step, each};
use crate::world::{Universe, World};

/// What a search came to.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Whether every state was visited.
    pub(crate) is_complete: bool,
    /// The shortest way to a broken promise.
    pub(crate) broken: Option<String>,
}

/// Visits every state, or as many as may be; stops where a promise is broken, of one kind where that is what is looked for.
pub(crate) fn search(universe: &Universe, most: usize, looked_for: Option<Breaks>) -> Search {
    let first = World::new(universe);
    let mut known: HashMap<World, u32> = HashMap::from([(first.clone(), 0)]);
    // Where each state was reached from, and by which step.
    let mut ways: Vec<(u32, Step)> = vec![(0, Step::Pass)];
    let mut front = vec![(first, 0_u32)];
    let mut steps = 0;
    while !front.is_empty() {
        let mut next = Vec::new();
        for (world, number) in &front {
            let mut broken: Option<(Step, Broken)> = None;
            each(universe, world, &mut |step, mut after, promise| {
                steps += 1;
                after.was_misled |= world.store.latest == 0 && after.store.latest > after.now;
                if broken.is_some() {
                    return;
                }
                let why = promise.and_then(|()| look(universe, &after)).err();
                if let Some(why) =
                    why.filter(|why| looked_for.is_none_or(|kind| why.breaks() == kind))
                {
                    broken = Some((step, why));
                    return;
                }
                if let Entry::Vacant(place) = known.entry(after) {
                    let id = u32::try_from(ways.len()).unwrap();
                    next.push((place.key().clone(), id));
                    place.insert(id);
                    ways.push((*number, step));
                }
            });
            if let Some((step, why)) = broken {
                let broken = Some(story(&ways, *number, step, why));
                return Search { states: ways.len(), steps, is_complete: false, broken };
            }
            if ways.len() > most {
                return Search { states: ways.len(), steps, is_complete: false, broken: None };
            }
        }
        front = next;
    }
    Search { states: ways.len(), steps, is_complete: true, broken: None }
}

fn story(ways: &[(u32, Step)], mut number: u32, last: Step, why: Broken) -> String {
    let mut steps = vec![last];
    while number != 0 {
        let (before, step) = ways[usize::try_from(number).unwrap()];
        steps.push(step);
        number = before;
    }
    let mut text = String::new();
    for step in steps.iter().rev() {
        writeln!(text, "  {step}").unwrap();
    }
    write!(text, "  so {why}").unwrap();
    text
}
