//! Rotations beside revocations and each other, given up half way, and through other handles.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::authority::Authority;
use crate::error::{StoreError, StoreErrorKind};
use crate::policy::Cascade;
use crate::revocation::{Revocation, Revoked, Target};
use crate::store::{Refused, Rotated, TokenStore};
use crate::testkit::drive::{awaits, give_up_after, never_completes, race, racer};
use crate::testkit::fixture::Subject;
use crate::testkit::handles::Handles;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{
    DAY, HOUR, MINUTE, Scene, Seen, Told, by_operator, endpoint, revoke_at, rotate,
    targets_beyond_a_token,
};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

const RACERS: usize = 4;
const NO_GRACE: Duration = Duration::ZERO;

/// A grant that shares nothing with those of other rounds.
fn own_grant(scene: &Scene, round: usize) -> Grant {
    let id = format!("g{round}");
    Grant::new(id.as_str(), "web", scene.start()).subject(id.as_str()).session(id.as_str())
}

/// Those of its targets that end no other round's.
fn own_target(grant: &Grant, round: usize) -> Option<Target> {
    targets_beyond_a_token(grant).into_iter().nth(round % 4)
}

pub(super) async fn revoking_beside_a_rotation_leaves_nothing_live(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let grant = own_grant(&scene, round);
        scene.issue_pair(&grant, &round.to_string(), start).await?;
        let Some(target) = own_target(&grant, round) else {
            continue;
        };
        let (spent, next) = (format!("rt-{round}"), format!("next-{round}"));
        let revocation = by_operator(target.clone(), start);
        let lanes = handles.of_race(&mut random);
        let store = lanes.store(0);
        let revoking = racer(async move {
            let revoked = store.revoke(&revocation).await?;
            ensure!(revoked == Revoked::Newly, "the one revocation came to {revoked:?}");
            Ok::<_, NotProven>(None)
        });
        let ledger = lanes.ledger(1)?;
        let rotating = {
            let next = next.clone();
            racer(async move { rotate(&*ledger, &spent, &next, start, MINUTE).await.map(Some) })
        };
        let racers = vec![revoking, rotating];
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            if let Some(rotated) = outcome? {
                let applied = matches!(rotated, Rotated::Applied(_));
                let refused = matches!(rotated, Rotated::Refused(Refused::Revoked { .. }));
                ensure!(applied || refused, "the rotation came to {}", Told(&rotated));
            }
        }
        let tokens = [format!("at-{round}"), format!("rt-{round}"), format!("at-{next}"), next];
        scene
            .dead(&tokens, start)
            .await
            .map_err(|unproven| unproven.within(format!("round {round}, {target:?}")))?;
    }
    handles.proven()
}

/// Keeps what the endpoint wants written.
struct Held {
    store: Arc<dyn TokenStore>,
    revocation: Mutex<Option<Revocation>>,
}

impl Held {
    fn take(&self) -> Option<Revocation> {
        self.revocation.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait]
impl TokenStore for Held {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        self.store.find(token, hint).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let mut held = self.revocation.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(revocation.clone());
        Ok(Revoked::Newly)
    }
}

async fn revoked_at(endpoint: &Authority, token: &str) -> Proof {
    let status = revoke_at(endpoint, "web", token).await;
    ensure!(status == 200, "revoking a refresh token was answered {status}");
    Ok(())
}

/// What the endpoint wants written to revoke this token alone.
async fn wanted(scene: &Scene, token: &str) -> Result<Revocation, NotProven> {
    let held = Arc::new(Held { store: scene.shared(), revocation: Mutex::default() });
    revoked_at(&endpoint(Arc::clone(&held), Cascade::Token, scene.start()), token).await?;
    held.take().ok_or_else(|| NotProven::seen("the endpoint revoked nothing"))
}

pub(super) async fn revoking_one_token_beside_its_rotation_leaves_nothing_live(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        scene.issue_pair(&own_grant(&scene, round), &round.to_string(), start).await?;
        let (spent, next) = (format!("rt-{round}"), format!("next-{round}"));
        let lanes = handles.of_race(&mut random);
        // The whole endpoint against the rotation, and in every other round what it wants written: it has looked already.
        let revoking = match round % 2 {
            0 => {
                let revocation = wanted(&scene, &spent).await?;
                let store = lanes.store(0);
                racer(async move {
                    store.revoke(&revocation).await?;
                    Ok::<_, NotProven>(())
                })
            }
            _ => {
                let endpoint = endpoint(lanes.store(0), Cascade::Token, start);
                let spent = spent.clone();
                racer(async move { revoked_at(&endpoint, &spent).await })
            }
        };
        let ledger = lanes.ledger(1)?;
        let rotating = {
            let (spent, next) = (spent.clone(), next.clone());
            racer(async move {
                rotate(&*ledger, &spent, &next, start, MINUTE).await?;
                Ok(())
            })
        };
        let racers = vec![revoking, rotating];
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            outcome?;
        }
        scene
            .dead(&[&spent, &next, &format!("at-{next}")], start)
            .await
            .map_err(|unproven| unproven.within(format!("round {round}")))?;
    }
    handles.proven()
}

/// Four rotations of one refresh token at once: what each came to.
async fn rotations(
    scene: &Scene,
    handles: &Handles<'_>,
    random: &mut Random,
    round: usize,
    grace: Duration,
) -> Result<Vec<Rotated>, NotProven> {
    let start = scene.start();
    scene.issue_pair(&own_grant(scene, round), &round.to_string(), start).await?;
    let lanes = handles.of_race(random);
    let mut racers = Vec::new();
    for lane in 0..RACERS {
        let ledger = lanes.ledger(lane)?;
        let (spent, next) = (format!("rt-{round}"), format!("next-{round}-{lane}"));
        racers.push(racer(async move { rotate(&*ledger, &spent, &next, start, grace).await }));
    }
    race(scene.fixture.spawner(), random.next(), racers).await?.into_iter().collect()
}

fn told(outcomes: &[Rotated]) -> String {
    let told: Vec<String> = outcomes.iter().map(|outcome| Told(outcome).to_string()).collect();
    told.join(", ")
}

pub(super) async fn of_racers_with_one_refresh_token_one_wins(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    let mut winners = 0;
    for round in 0..scene.fixture.round_count() {
        let outcomes = rotations(&scene, &handles, &mut random, round, NO_GRACE).await?;
        let count = |wanted: fn(&Rotated) -> bool| outcomes.iter().filter(|o| wanted(o)).count();
        let applied = count(|outcome| matches!(outcome, Rotated::Applied(_)));
        let reused = count(|outcome| matches!(outcome, Rotated::Reused(_)));
        let refused = count(|outcome| matches!(outcome, Rotated::Refused(Refused::Revoked { .. })));
        // The winner itself may be refused, where the reuse was found before its successors were recorded.
        ensure!(
            applied <= 1 && reused >= 1 && applied + reused + refused == RACERS,
            "round {round}: {}",
            told(&outcomes)
        );
        winners += applied;
        for lane in 0..RACERS {
            let next = format!("next-{round}-{lane}");
            scene.dead(&[&next, &format!("at-{next}")], scene.start()).await?;
        }
        scene.dead(&[format!("rt-{round}"), format!("at-{round}")], scene.start()).await?;
    }
    ensure!(winners > 0 || scene.fixture.exact_retention().is_none(), "no racer ever won");
    handles.proven()
}

pub(super) async fn within_the_grace_window_all_racers_are_served(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let outcomes = rotations(&scene, &handles, &mut random, round, MINUTE).await?;
        let first = outcomes.iter().filter(|outcome| matches!(outcome, Rotated::Applied(_)));
        let later = outcomes.iter().filter(|outcome| matches!(outcome, Rotated::AppliedInGrace(_)));
        ensure!(
            first.count() == 1 && later.count() == RACERS - 1,
            "round {round}: {}",
            told(&outcomes)
        );
        for lane in 0..RACERS {
            let next = format!("next-{round}-{lane}");
            scene.live(&[&next, &format!("at-{next}")], scene.start()).await?;
        }
    }
    handles.proven()
}

pub(super) async fn of_racers_that_issue_one_token_to_two_grants_one_is_told(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let token = format!("t{round}");
        let lanes = handles.of_race(&mut random);
        let mut racers = Vec::new();
        for (lane, owner) in ["a", "b"].into_iter().enumerate() {
            let (ledger, token) = (lanes.ledger(lane)?, token.clone());
            let grant = scene.grant(&format!("{owner}{round}"));
            racers.push(racer(async move {
                let new = [NewToken::refresh(PresentedToken::new(&token), start + HOUR)];
                (owner, ledger.issue(grant, &new, start).await)
            }));
        }
        let mut owners = Vec::new();
        for (owner, issued) in race(scene.fixture.spawner(), random.next(), racers).await? {
            match issued {
                Ok(_) => owners.push(owner),
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(owners.len() == 1, "round {round}: the token was issued to {owners:?}");
        let record = scene.record(&token).await?;
        let owner = format!("{}{round}", owners.concat());
        ensure!(
            record.grant().id().as_str() == owner,
            "round {round}: issued to {owner}, found as {}'s",
            record.grant().id()
        );
    }
    handles.proven()
}

pub(super) async fn of_racers_that_issue_one_grant_id_to_two_owners_one_is_told(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let id = format!("g{round}");
        let own = |client: &str| Grant::new(id.as_str(), client, start);
        // Two clients, two users of one client, and a client with a user and without.
        let owners = match round % 3 {
            0 => [own("web").subject("alice"), own("spa").subject("alice")],
            1 => [own("web").subject("alice"), own("web").subject("bob")],
            _ => [own("web").subject("alice"), own("web")],
        };
        let lanes = handles.of_race(&mut random);
        let mut racers = Vec::new();
        for (lane, owner) in owners.clone().into_iter().enumerate() {
            let (ledger, token) = (lanes.ledger(lane)?, format!("t{round}-{lane}"));
            racers.push(racer(async move {
                let new = [NewToken::refresh(PresentedToken::new(&token), start + HOUR)];
                (lane, ledger.issue(owner, &new, start).await)
            }));
        }
        let mut issued = Vec::new();
        for (lane, outcome) in race(scene.fixture.spawner(), random.next(), racers).await? {
            match outcome {
                Ok(_) => issued.push(lane),
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(issued.len() == 1, "round {round}: of two owners, {} got the id", issued.len());
        for (lane, owner) in owners.iter().enumerate() {
            let token = format!("t{round}-{lane}");
            if issued.contains(&lane) {
                let record = scene.record(&token).await?;
                let grant = record.grant();
                ensure!(grant.is_of_same_owner(owner), "round {round}: it is found as {grant:?}");
            } else {
                let found = scene.seen(&token, start).await?;
                ensure!(found == Seen::Unknown, "round {round}: what was refused is {found}");
            }
        }
    }
    handles.proven()
}

pub(super) async fn dropping_a_rotation_at_any_await_fails_closed(subject: &dyn Subject) -> Proof {
    for polls in awaits() {
        let scene = Scene::with_ledger(subject).await?;
        let (start, ledger) = (scene.start(), scene.ledger()?);
        scene.family(1).await?;
        let rotated = give_up_after(polls, rotate(ledger, "r1", "next", start, NO_GRACE)).await;
        let place = format!("given up after {polls} polls");
        // The successors first: an engine may still be at it, and then the token is spent before we look at it.
        let next = scene.seen("next", start).await?;
        let access = scene.seen("at-next", start).await?;
        let spent = scene.seen("r1", start).await?;
        let lives = next == Seen::Active || access == Seen::Active;
        ensure!(
            spent != Seen::Active || !lives,
            "{place}: the consumed token lives, and so does a successor"
        );
        let closed = matches!(spent, Seen::Active | Seen::Consumed | Seen::Revoked(_));
        ensure!(closed, "{place}: the consumed token is {spent}");
        if let Some(rotated) = &rotated {
            let applied = matches!(rotated, Ok(Rotated::Applied(_)));
            ensure!(applied, "a live refresh token was not rotated");
            ensure!(spent == Seen::Consumed, "a consumed token is {spent}");
            scene.live(&["next", "at-next"], start).await?;
        }
        // Whatever it left: one revocation ends it.
        scene.revoke(Target::Grant("g".into()), start).await?;
        scene
            .dead(&["r1", "at-r1", "next", "at-next"], start)
            .await
            .map_err(|unproven| unproven.within(&place))?;
        if rotated.is_some() {
            return Ok(());
        }
    }
    Err(never_completes())
}

pub(super) async fn a_rotation_is_seen_by_every_handle_at_once(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let other = Scene::of(scene.fixture.open_second_handle().await?);
    let now = scene.start();
    let family = scene.family(1).await?;
    other.live(&family, now).await?;
    let rotated = scene.rotate("r1", "r2", now, NO_GRACE).await?;
    ensure!(matches!(rotated, Rotated::Applied(_)), "a rotation came to {}", Told(&rotated));
    let found = other.seen("r1", now).await?;
    ensure!(found == Seen::Consumed, "another handle finds the consumed token {found}");
    other.live(&["r2", "at-r2"], now).await?;
    let rotated = other.rotate("r1", "stolen", now, NO_GRACE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "a second rotation through another handle came to {}", Told(&rotated));
    for handle in [&scene, &other] {
        handle.dead(&["r1", "at-r1", "r2", "at-r2", "stolen", "at-stolen"], now).await?;
    }
    Ok(())
}

pub(super) async fn a_consumed_token_stays_consumed_after_a_restart(
    subject: &dyn Subject,
) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let now = scene.start();
    let family = scene.family(3).await?;
    let again = Scene::of(scene.fixture.restart().await?);
    again.live(&["r3", "at-r3"], now).await?;
    for spent in ["r1", "r2"] {
        let found = again.seen(spent, now).await?;
        ensure!(found == Seen::Consumed, "a consumed token is {found} after a restart");
    }
    let rotated = again.rotate("r1", "stolen", now, MINUTE).await?;
    let reused = matches!(rotated, Rotated::Reused(_));
    ensure!(reused, "reuse after a restart came to {}", Told(&rotated));
    again.dead(&family, now).await?;
    let third = Scene::of(again.fixture.restart().await?);
    third.dead(&family, now).await?;
    third.dead(&["stolen", "at-stolen"], now).await
}

pub(super) async fn a_neighbours_rotations_are_its_own(subject: &dyn Subject) -> Proof {
    let mut scene = Scene::with_ledger(subject).await?;
    let neighbour = Scene::of(scene.fixture.take_neighbour()?);
    let now = scene.start();
    let family = scene.family(2).await?;
    let rotated = neighbour.rotate("r2", "stolen", now, NO_GRACE).await?;
    let refused = matches!(rotated, Rotated::Refused(Refused::Unknown));
    ensure!(refused, "the rotation of a neighbour's token came to {}", Told(&rotated));
    let theirs = neighbour.family(1).await?;
    // Here it is spent, there it is not.
    neighbour.live(&theirs, now).await?;
    let rotated = scene.rotate("r1", "reused", now, NO_GRACE).await?;
    ensure!(matches!(rotated, Rotated::Reused(_)), "reuse came to {}", Told(&rotated));
    scene.dead(&family, now).await?;
    neighbour.live(&theirs, now).await?;
    let rotated = neighbour.rotate("r1", "r2", now, NO_GRACE).await?;
    let applied = matches!(rotated, Rotated::Applied(_));
    ensure!(applied, "after a neighbour's reuse, a rotation came to {}", Told(&rotated));
    let late = NewToken::refresh(PresentedToken::new("late"), now + DAY);
    neighbour.ledger()?.issue(neighbour.grant("g"), &[late], now).await?;
    neighbour.live(&["late", "r2", "at-r2"], now).await
}
