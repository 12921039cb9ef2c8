//! Revocations beside each other, beside readers, given up half way, and what is left of them.

use crate::revocation::{Revoked, Target};
use crate::testkit::drive::{awaits, give_up_after, never_completes, race, racer, yield_now};
use crate::testkit::fixture::Subject;
use crate::testkit::handles::Handles;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{
    DAY, MINUTE, Scene, Seen, by_operator, ensure_dead, ensure_live, seen, targets_beyond_a_token,
    targets_of,
};
use crate::token::{Grant, NewToken, PresentedToken};

const RACERS: usize = 4;

pub(super) async fn of_racers_that_revoke_the_same_one_brings_the_news(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::new(subject).await?;
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let id = format!("g{round}");
        let grant = Grant::new(id.as_str(), format!("c{round}"), scene.start());
        let grant = grant.subject(id.as_str()).session(id.as_str());
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(round % 5) else {
            continue;
        };
        let revocation = by_operator(target, scene.start());
        let lanes = handles.of_race(&mut random);
        let racers = (0..RACERS).map(|lane| {
            let (store, revocation) = (lanes.store(lane), revocation.clone());
            racer(async move { store.revoke(&revocation).await })
        });
        let spawn = scene.fixture.spawner();
        let mut news = 0;
        for outcome in race(spawn, random.next(), racers.collect()).await? {
            news += usize::from(outcome? == Revoked::Newly);
        }
        ensure!(
            news == 1,
            "{news} of {RACERS} racers were told that revoking {:?} was news",
            revocation.target()
        );
    }
    handles.proven()
}

pub(super) async fn a_token_put_in_beside_its_revocation_is_dead(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let id = format!("g{round}");
        let grant = Grant::new(id.as_str(), format!("c{round}"), scene.start());
        let grant = grant.subject(id.as_str()).session(id.as_str());
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(round % 5) else {
            continue;
        };
        let lanes = handles.of_race(&mut random);
        let store = lanes.store(0);
        let revocation = by_operator(target.clone(), scene.start());
        let revoking = racer(async move { store.revoke(&revocation).await.map(|_| ()) });
        let puts = lanes.puts(1);
        let (start, token) = (scene.start(), format!("rt-{round}"));
        let putting = {
            let token = token.clone();
            racer(async move {
                let new = NewToken::refresh(PresentedToken::new(&token), start + DAY);
                puts.put(&grant, &new, start).await.map(|_| ())
            })
        };
        for done in race(scene.fixture.spawner(), random.next(), vec![revoking, putting]).await? {
            done?;
        }
        let found = scene.seen(&token, start).await?;
        ensure!(
            found == Seen::Revoked(target.kind()),
            "a token that was put in beside a revocation of {target:?} is {found}"
        );
    }
    handles.proven()
}

pub(super) async fn readers_beside_writers_never_see_the_dead_alive(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::new(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let id = format!("g{round}");
        let grant = Grant::new(id.as_str(), "web", start).subject(id.as_str()).session("s");
        let [token, _] = scene.put_pair(&grant, &id).await?;
        let alice = move |minutes: u32| {
            by_operator(Target::Subject(id.as_str().into()), start + minutes * MINUTE)
        };
        scene.store().revoke(&alice(0)).await?;
        // The same entry again and again, and others beside it.
        let lanes = handles.of_race(&mut random);
        let writers = (0..2).map(|lane| {
            let (store, alice) = (lanes.store(lane), alice.clone());
            racer(async move {
                for minutes in 0..8 {
                    let session = format!("{round}-{lane}-{minutes}");
                    store.revoke(&alice(minutes)).await?;
                    store
                        .revoke(&by_operator(Target::Session(session.as_str().into()), start))
                        .await?;
                }
                Ok(None)
            })
        });
        let readers = (0..2).map(|lane| {
            let (store, token) = (lanes.store(lane), token.clone());
            racer(async move {
                for _ in 0..16 {
                    let found = seen(&*store, &token, start).await?;
                    if !found.is_revoked() {
                        return Ok(Some(found));
                    }
                    yield_now().await;
                }
                Ok::<_, NotProven>(None)
            })
        });
        let racers = writers.chain(readers).collect();
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            if let Some(found) = outcome? {
                ensure!(false, "a dead token was {found} while others were writing");
            }
        }
    }
    handles.proven()
}

pub(super) async fn dropping_a_revocation_at_any_await_does_all_or_nothing(
    subject: &dyn Subject,
) -> Proof {
    for n in 0..7 {
        let mut completed = false;
        for polls in awaits() {
            let scene = Scene::new(subject).await?;
            let now = scene.start();
            let grant = scene.grant("g");
            let mut tokens = Vec::from(scene.put_pair(&grant, "g").await?);
            tokens.extend(scene.put_pair(&grant, "again").await?);
            let record = scene.record("at-g").await?;
            let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
                completed = true;
                break;
            };
            if matches!(target, Target::Token(_)) {
                tokens.truncate(1);
            }
            let revocation = by_operator(target.clone(), now);
            let revoked = give_up_after(polls, scene.store().revoke(&revocation)).await;
            let place = format!("{target:?}, given up after {polls} polls");
            let first = all_or_nothing(&scene, &tokens)
                .await
                .map_err(|unproven| unproven.within(&place))?;
            if let Some(revoked) = revoked {
                revoked?;
                ensure!(first, "a revocation of {target:?} was acknowledged and not applied");
                completed = true;
                break;
            }
            // The caller tries again, and nothing of the first attempt is in the way.
            scene.store().revoke(&revocation).await?;
            let again = scene.dead(&tokens, now).await;
            again.map_err(|unproven| unproven.within(format!("{place}, then repeated")))?;
        }
        if !completed {
            return Err(never_completes());
        }
    }
    Ok(())
}

/// Whether the tokens are dead. What was sent to an engine may arrive while we look, so it is the order that tells:
/// after the first dead one there is none alive, nor later.
async fn all_or_nothing(scene: &Scene, tokens: &[String]) -> Result<bool, NotProven> {
    let mut dead = false;
    for time in 0..2 {
        for token in tokens {
            let found = scene.seen(token, scene.start()).await?;
            ensure!(!dead || found.is_revoked(), "`{token}` is {found}, and another one is dead");
            dead |= found.is_revoked();
            ensure!(time == 0 || dead == found.is_revoked(), "`{token}` is {found}");
        }
    }
    Ok(dead)
}

pub(super) async fn a_revocation_is_seen_by_every_handle_at_once(subject: &dyn Subject) -> Proof {
    let scene = Scene::new(subject).await?;
    let other = scene.fixture.open_second_handle().await?;
    let start = scene.start();
    for n in 0..7 {
        let id = format!("g{n}");
        // Later than what ends everything before.
        let at = start + u32::try_from(n).unwrap_or(0) * MINUTE;
        let grant = Grant::new(id.as_str(), "web", at).subject("alice").session(id.as_str());
        let tokens = scene.put_pair(&grant, &id).await?;
        // The other handle has looked before: what it may have kept is old now.
        ensure_live(&**other.tokens(), &tokens, start)
            .await
            .map_err(|unproven| unproven.within("through another handle"))?;
        let record = scene.record(&tokens[0]).await?;
        let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
            continue;
        };
        scene.store().revoke(&by_operator(target.clone(), at)).await?;
        let found = seen(&**other.tokens(), &tokens[0], start).await?;
        ensure!(
            found == Seen::Revoked(target.kind()),
            "after {target:?} was revoked by one handle, another one finds the token {found}"
        );
        let again = other.tokens().revoke(&by_operator(target.clone(), at)).await?;
        ensure!(again == Revoked::Already, "the other handle revoked {target:?} anew");
    }
    Ok(())
}

pub(super) async fn an_acknowledged_revocation_survives_a_restart(subject: &dyn Subject) -> Proof {
    for n in 0..7 {
        let scene = Scene::new(subject).await?;
        let (grant, start) = (scene.grant("g"), scene.start());
        let tokens = scene.put_pair(&grant, "g").await?;
        let bystander = Grant::new("g2", "spa", start + MINUTE).subject("bob").session("s2");
        let bystanders = scene.put_pair(&bystander, "g2").await?;
        let record = scene.record(&tokens[0]).await?;
        let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
            continue;
        };
        scene.revoke(target.clone(), start).await?;
        // Nothing is said to the store: that is how a process ends.
        let again = Scene::of(scene.fixture.restart().await?);
        let found = again.seen(&tokens[0], start).await?;
        ensure!(
            found == Seen::Revoked(target.kind()),
            "a token that was revoked by {target:?} is {found} after a restart"
        );
        again.live(&bystanders, start).await?;
        // What comes late is born dead in the next life, too.
        if !matches!(target, Target::Token(_)) {
            let late = again.put_pair(&grant, "late").await?;
            again.dead(&late, start).await?;
        }
    }
    Ok(())
}

pub(super) async fn a_neighbour_sees_and_feels_nothing(subject: &dyn Subject) -> Proof {
    for n in 0..7 {
        let mut scene = Scene::new(subject).await?;
        let neighbour = Scene::of(scene.fixture.take_neighbour()?);
        let (grant, start) = (scene.grant("g"), scene.start());
        let own = scene.put_pair(&grant, "own").await?;
        for token in &own {
            let found = neighbour.seen(token, start).await?;
            ensure!(found == Seen::Unknown, "a neighbour's token is {found}");
        }
        // The same names, the same tokens even: it is the tenant that makes them different.
        let theirs = neighbour.put_pair(&grant, "own").await?;
        let record = scene.record(&own[0]).await?;
        let Some(target) = targets_of(&grant, &record).into_iter().nth(n) else {
            continue;
        };
        let revocation = by_operator(target.clone(), start);
        scene.store().revoke(&revocation).await?;
        ensure_live(neighbour.store(), &theirs, start)
            .await
            .map_err(|unproven| unproven.within(format!("a neighbour revoked {target:?}")))?;
        let late = neighbour.put_pair(&grant, "late").await?;
        ensure_live(neighbour.store(), &late, start)
            .await
            .map_err(|unproven| unproven.within(format!("after a neighbour revoked {target:?}")))?;
        // Its own entry for the same target is its own news. A token's name may be the tenant's, so look it up.
        let record = neighbour.record(&theirs[0]).await?;
        let same = targets_of(&grant, &record).into_iter().nth(n).unwrap_or(Target::Everything);
        let revoked = neighbour.revoke(same, start).await?;
        ensure!(revoked == Revoked::Newly, "{target:?} was revoked by a neighbour before");
        ensure_dead(neighbour.store(), &theirs[..1], start).await?;
    }
    Ok(())
}
