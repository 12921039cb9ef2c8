//! What must not get lost, and what is said of what is.

use std::collections::BTreeMap;

use crate::revocation::Target;
use crate::store::{FeedCursor, FeedEntry, RevocationFeed};
use crate::testkit::drive::{awaits, give_up_after, never_completes};
use crate::testkit::feed::reader::{Reader, feeding, grant_of};
use crate::testkit::fixture::Subject;
use crate::testkit::model::IN_FLIGHT;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{DAY, HOUR, MINUTE, Scene, by_operator};
use crate::token::{Grant, NewToken, PresentedToken, TokenState};

pub(super) async fn dropping_a_revocation_at_any_await_never_leaves_it_untold(
    subject: &dyn Subject,
) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let mut reader = Reader::new(100);
    for polls in awaits() {
        let id = format!("g{polls}");
        let [access, _] = scene.put_pair(&scene.grant(&id), &id).await?;
        let target = grant_of(&id);
        let revocation = by_operator(target.clone(), scene.start());
        let done = give_up_after(polls, scene.store().revoke(&revocation)).await;
        // Looked for first: what the reader then is not told was there before it asked.
        let dead = scene.record(&access).await?.state() != TokenState::Active;
        reader.read(&*feed).await?;
        let told = reader.knows(&target);
        ensure!(
            told || !dead,
            "given up after {polls} polls, the token is dead and its revocation is not told"
        );
        if let Some(outcome) = done {
            outcome?;
            ensure!(dead && told, "it was acknowledged, and is it dead? {dead}. Told? {told}");
            return Ok(());
        }
    }
    Err(never_completes())
}

pub(super) async fn dropping_a_reader_at_any_await_loses_nothing(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let mut reader = Reader::up_to_date(&*feed).await?;
    for polls in awaits() {
        let target = grant_of(format!("g{polls}"));
        scene.revoke(target.clone(), scene.start()).await?;
        let asked = give_up_after(polls, feed.changes(reader.cursor.as_ref(), 1)).await;
        reader.read(&*feed).await?;
        ensure!(
            reader.knows(&target),
            "a reader that gave up after {polls} polls and asked again is not told of {target:?}"
        );
        if let Some(outcome) = asked {
            outcome?;
            return Ok(());
        }
    }
    Err(never_completes())
}

pub(super) async fn what_was_swept_unread_is_a_gap(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    scene.fixture.sweeps()?;
    scene.revoke(grant_of("read"), scene.start()).await?;
    let behind = Reader::up_to_date(&*feed).await?;
    let token = NewToken::access(PresentedToken::new("t"), scene.start() + MINUTE);
    scene.put(&scene.grant("unread"), &token).await?;
    scene.revoke(grant_of("unread"), scene.start()).await?;
    let current = Reader::up_to_date(&*feed).await?;
    // Long after everything has expired that was ever heard of, and until the entries are gone.
    let mut gone = false;
    for days in [1, 30, 365, 10 * 365] {
        let now = scene.start() + DAY.saturating_mul(days);
        scene.sweep_all(now).await?;
        let mut begins = Reader::new(100);
        begins.read(&*feed).await?;
        gone = !begins.knows(&grant_of("unread"));
        if gone {
            break;
        }
    }
    ensure!(gone, "ten years after the last token expired, its revocation is still told");
    let mut late = behind.clone();
    ensure!(
        !late.reads_on(&*feed).await?,
        "an entry was swept unread, and its reader told of no gap"
    );
    let mut in_time = current.clone();
    in_time.read(&*feed).await?;
    ensure!(in_time.entries.is_empty(), "nothing new, and {:?} is told", in_time.entries);
    // The feed goes on for both.
    let later = scene.start() + DAY.saturating_mul(20 * 365);
    scene.revoke(grant_of("new"), later).await?;
    in_time.read(&*feed).await?;
    let mut begins = Reader::new(100);
    begins.read(&*feed).await?;
    for reader in [in_time, begins] {
        ensure!(reader.knows(&grant_of("new")), "after a sweep, what is new is not told");
    }
    let mut late = behind;
    ensure!(!late.reads_on(&*feed).await?, "a gap was forgotten when something came after it");
    Ok(())
}

pub(super) async fn a_sweep_is_no_gap_to_who_still_reads_itself_in(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    scene.fixture.sweeps()?;
    for n in 0..40 {
        // Every second one goes in the sweep.
        let lasts = if n % 2 == 0 { MINUTE } else { 30 * DAY };
        let name = format!("t{n}");
        let token = NewToken::access(PresentedToken::new(&name), scene.start() + lasts);
        scene.put(&scene.grant(&format!("g{n}")), &token).await?;
        scene.revoke(grant_of(format!("g{n}")), scene.start()).await?;
    }
    let mut reader = Reader::new(3);
    for _ in 0..4 {
        reader.turn(&*feed).await?;
    }
    // A store whose entries last as long as the longest token keeps them all; one that knows better takes a half.
    scene.sweep_all(scene.start() + IN_FLIGHT + 2 * HOUR).await?;
    scene.revoke(grant_of("new"), scene.start() + 4 * HOUR).await?;
    reader.read(&*feed).await?;
    for n in (0..40).filter(|n| n % 2 == 1) {
        let target = grant_of(format!("g{n}"));
        ensure!(reader.knows(&target), "{target:?} is in force, and is not told");
    }
    ensure!(reader.knows(&grant_of("new")), "what came meanwhile is not told");
    // And where everything goes before its eyes.
    let mut reader = Reader::new(3);
    reader.turn(&*feed).await?;
    let ages = scene.start() + DAY.saturating_mul(20 * 365);
    scene.sweep_all(ages).await?;
    reader.read(&*feed).await?;
    Ok(())
}

pub(super) async fn a_cursor_of_another_feed_is_a_gap(subject: &dyn Subject) -> Proof {
    let (scene, feed) = feeding(subject).await?;
    let (other, others) = feeding(subject).await?;
    for n in 0..3 {
        scene.revoke(grant_of(format!("g{n}")), scene.start()).await?;
        other.revoke(grant_of(format!("h{n}")), scene.start()).await?;
    }
    let mut reader = Reader::up_to_date(&*others).await?;
    ensure!(!reader.reads_on(&*feed).await?, "a cursor of another feed was taken for one of this");
    let own = Reader::up_to_date(&*feed).await?;
    let text = own.cursor.as_ref().map(|cursor| cursor.as_str().to_owned()).unwrap_or_default();
    let cut = text.get(..text.len() / 2).unwrap_or_default();
    for broken in ["", "0", "no cursor", "\u{0}", cut, &format!("{text}x"), &format!("x{text}")] {
        let mut reader = Reader::new(100);
        reader.cursor = Some(FeedCursor::new(broken));
        ensure!(!reader.reads_on(&*feed).await?, "`{broken}` was taken for a cursor");
    }
    Ok(())
}

const STEPS: usize = 60;

pub(super) async fn a_copy_agrees_with_the_store(subject: &dyn Subject) -> Proof {
    let mut episode = 0;
    loop {
        let (scene, feed) = feeding(subject).await?;
        let episodes = scene.fixture.round_count().div_ceil(10);
        let seed = scene.fixture.first_seed().wrapping_add(episode);
        let within = |unproven: NotProven| unproven.within(format!("seed {seed}"));
        agrees(&scene, &*feed, seed).await.map_err(within)?;
        episode += 1;
        if usize::try_from(episode).unwrap_or(usize::MAX) >= episodes {
            return Ok(());
        }
    }
}

async fn agrees(scene: &Scene, feed: &dyn RevocationFeed, seed: u64) -> Proof {
    let mut random = Random::new(seed);
    let mut reader = Reader::new(1);
    let mut copy: BTreeMap<String, FeedEntry> = BTreeMap::new();
    let mut names: Vec<String> = Vec::new();
    for step in 0..STEPS {
        let now = scene.at(scene.start() + MINUTE.saturating_mul(u32::try_from(step).unwrap_or(0)));
        let (user, client) = (format!("u{}", random.below(3)), format!("c{}", random.below(3)));
        let session = format!("s{}", random.below(4));
        let grant_id = format!("g{}", random.below(12));
        if random.one_in(2) {
            let name = format!("t{step}");
            // A grant is one user's at one client, in one session: all follow from its name.
            let grant = Grant::new(format!("{grant_id}-{user}-{client}-{session}"), client, now);
            let grant = grant.subject(user).session(session);
            let token = NewToken::access(PresentedToken::new(&name), scene.start() + DAY);
            scene.put(&grant, &token).await?;
            names.push(name);
        } else {
            let target = match random.below(20) {
                0..6 => {
                    let Some(name) = random.pick(&names) else { continue };
                    let record = scene.record(name).await?;
                    if random.one_in(2) {
                        Target::Token(record.id().clone())
                    } else {
                        Target::Grant(record.grant().id().clone())
                    }
                }
                6..10 => Target::Session(session.into()),
                10..14 => Target::SubjectAtClient(user.into(), client.into()),
                14..17 => Target::Subject(user.into()),
                17..19 => Target::Client(client.into()),
                _ => Target::Everything,
            };
            // Sometimes with an earlier cutoff than the last.
            let earlier = MINUTE.saturating_mul(u32::try_from(random.below(10)).unwrap_or(0));
            scene.revoke(target, now - earlier).await?;
        }
        if random.one_in(3) {
            reader.limit = random.below(9);
            reader.read(feed).await?;
            for entry in reader.entries.drain(..) {
                let key = format!("{:?}", entry.target());
                let later = copy.get(&key).is_none_or(|known| known.at() < entry.at());
                if later {
                    copy.insert(key, entry);
                }
            }
            for name in &names {
                let record = scene.record(name).await?;
                let dead = record.state() != TokenState::Active;
                let covered = copy.values().any(|entry| entry.covers(&record));
                ensure!(
                    dead == covered,
                    "step {step}: `{name}` is dead in the store: {dead}; in the copy: {covered}"
                );
            }
        }
    }
    Ok(())
}
