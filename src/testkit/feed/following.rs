//! Readers that begin, go on, and ask beside writers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::revocation::Target;
use crate::testkit::drive::{race, racer, yield_now};
use crate::testkit::feed::reader::{Reader, feed_of, feeding, grant_of};
use crate::testkit::fixture::Subject;
use crate::testkit::handles::Handles;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{MINUTE, Scene, by_operator};

const ENTRIES: usize = 60;

pub(super) async fn a_reader_that_begins_is_told_what_is_in_force(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let targets: Vec<Target> = (0..ENTRIES).map(|n| grant_of(format!("g{n}"))).collect();
    for target in &targets {
        scene.revoke(target.clone(), scene.start()).await?;
    }
    for limit in [0, 1, 7, ENTRIES, 10 * ENTRIES] {
        let mut reader = Reader::new(limit);
        reader.read(&*feed).await?;
        let missing: Vec<_> = targets.iter().filter(|target| !reader.knows(target)).collect();
        ensure!(missing.is_empty(), "by {limit} at a time, these are never told: {missing:?}");
        let invented = reader.entries.iter().find(|entry| !targets.contains(entry.target()));
        ensure!(invented.is_none(), "nobody revoked this: {invented:?}");
    }
    Ok(())
}

pub(super) async fn a_reader_that_knows_everything_is_told_nothing(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    for n in 0..ENTRIES {
        scene.revoke(grant_of(format!("g{n}")), scene.start()).await?;
    }
    let mut reader = Reader::up_to_date(&*feed).await?;
    for _ in 0..3 {
        reader.read(&*feed).await?;
        // What was told at the edge may be told once more, and not for ever.
        let count = reader.entries.len();
        ensure!(count <= 3, "nothing new, and {count} entries are told again");
    }
    let target = grant_of("new");
    scene.revoke(target.clone(), scene.start()).await?;
    reader.entries.clear();
    reader.read(&*feed).await?;
    let count = reader.entries.len();
    ensure!(reader.knows(&target), "what is new is not told");
    ensure!(count <= 3, "one was revoked, and {count} entries are told");
    Ok(())
}

pub(super) async fn a_reader_goes_on_where_it_stopped(subject: &dyn Subject) -> Proof {
    for limit in [1, 7, 100] {
        let (scene, feed) = feeding(subject).await?;
        let mut stops = vec![(Reader::new(limit), Vec::new())];
        for round in 0..4 {
            let targets = (0..ENTRIES / 4).map(|n| grant_of(format!("g{round}-{n}")));
            for target in targets {
                scene.revoke(target.clone(), scene.start() + MINUTE).await?;
                stops.iter_mut().for_each(|(_, missed)| missed.push(target.clone()));
            }
            // Half way through the news, and at the end.
            let Some((last, missed)) = stops.last().cloned() else {
                continue;
            };
            let mut half = last.clone();
            half.turn(&*feed).await?;
            let missed = missed.into_iter().filter(|target| !half.knows(target)).collect();
            half.entries.clear();
            stops.push((half, missed));
            let mut whole = last;
            whole.read(&*feed).await?;
            whole.entries.clear();
            stops.push((whole, Vec::new()));
        }
        for (stop, (mut reader, missed)) in stops.into_iter().enumerate() {
            reader.read(&*feed).await?;
            let lost: Vec<_> = missed.iter().filter(|target| !reader.knows(target)).collect();
            ensure!(lost.is_empty(), "by {limit} at a time, from stop {stop} on: {lost:?} is lost");
        }
    }
    Ok(())
}

pub(super) async fn what_was_acknowledged_is_told_to_who_asks_next(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let mut reader = Reader::new(100);
    for round in 0..scene.fixture.round_count() {
        let target = match round % 3 {
            0 => grant_of(format!("g{round}")),
            1 => Target::Session(format!("s{round}").into()),
            _ => Target::Subject(format!("u{round}").into()),
        };
        scene.revoke(target.clone(), scene.start()).await?;
        reader.read(&*feed).await?;
        ensure!(reader.knows(&target), "{target:?} was acknowledged, and is not told");
    }
    Ok(())
}

pub(super) async fn nothing_appears_behind_a_reader(subject: &dyn Subject) -> Proof {
    const WRITERS: usize = 4;
    const EACH: usize = 5;
    let (scene, feed) = feeding(subject).await?;
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let lanes = handles.of_race(&mut random);
        let mut racers = Vec::new();
        for writer in 0..WRITERS {
            let (store, acknowledged) = (lanes.store(writer), Arc::clone(&acknowledged));
            let start = scene.start();
            racers.push(racer(async move {
                for n in 0..EACH {
                    let id = format!("g{round}-{writer}-{n}");
                    store.revoke(&by_operator(grant_of(&id), start)).await?;
                    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                }
                Ok(())
            }));
        }
        let feed = Arc::clone(&feed);
        let mut reader = Reader::up_to_date(&*feed).await?;
        racers.push(racer(async move {
            loop {
                let known = acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
                reader.read(&*feed).await?;
                let told = reader.entries.iter().map(|entry| entry.target());
                let told: Vec<_> = told.cloned().collect();
                let lost = known.iter().find(|id| !told.contains(&grant_of(id)));
                ensure!(
                    lost.is_none(),
                    "round {round}: {lost:?} was acknowledged before this reader asked, and is not told"
                );
                if known.len() == WRITERS * EACH {
                    return Ok(());
                }
                yield_now().await;
            }
        }));
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            outcome?;
        }
    }
    handles.proven()
}

pub(super) async fn every_handle_tells_the_same(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let second = Scene::of(scene.fixture.open_second_handle().await?);
    let other = feed_of(&second.fixture)?;
    let mut reader = Reader::new(3);
    for round in 0..10 {
        let here = grant_of(format!("here{round}"));
        let there = grant_of(format!("there{round}"));
        scene.revoke(here.clone(), scene.start()).await?;
        second.revoke(there.clone(), scene.start()).await?;
        let asked = if round % 2 == 0 { &feed } else { &other };
        reader.read(&**asked).await?;
        for target in [&here, &there] {
            ensure!(
                reader.knows(target),
                "{target:?} was revoked by one handle, and one tells nothing"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_cursor_survives_a_restart(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    for n in 0..5 {
        scene.revoke(grant_of(format!("read{n}")), scene.start()).await?;
    }
    let mut reader = Reader::up_to_date(&*feed).await?;
    scene.revoke(grant_of("unread"), scene.start()).await?;
    drop(feed);
    let scene = Scene::of(scene.fixture.restart().await?);
    let feed = feed_of(&scene.fixture)?;
    scene.revoke(grant_of("later"), scene.start()).await?;
    reader.read(&*feed).await?;
    for id in ["unread", "later"] {
        ensure!(reader.knows(&grant_of(id)), "after a restart `{id}` is not told");
    }
    let count = reader.entries.len();
    ensure!(count <= 4, "after a restart {count} entries are told, and two are news");
    let mut reader = Reader::new(2);
    reader.read(&*feed).await?;
    for id in ["read0", "read4", "unread", "later"] {
        ensure!(reader.knows(&grant_of(id)), "after a restart `{id}` is not told to who begins");
    }
    Ok(())
}

pub(super) async fn a_neighbour_is_told_nothing(subject: &dyn Subject) -> Proof {
    let (mut scene, feed) = feeding(subject).await?;
    let neighbour = Scene::of(scene.fixture.take_neighbour()?);
    let other = feed_of(&neighbour.fixture)?;
    let mut reader = Reader::up_to_date(&*other).await?;
    let targets = [grant_of("g"), Target::Subject("alice".into()), Target::Everything];
    for target in targets {
        scene.revoke(target, scene.start()).await?;
    }
    reader.read(&*other).await?;
    let mut begins = Reader::new(100);
    begins.read(&*other).await?;
    let told = reader.entries.iter().chain(&begins.entries).next();
    ensure!(told.is_none(), "a neighbour is told {told:?}");
    let mut own = Reader::new(100);
    own.read(&*feed).await?;
    ensure!(own.entries.len() >= 3, "of three revocations {} are told", own.entries.len());
    Ok(())
}
