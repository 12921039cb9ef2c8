//! What a sweep takes, how much at once, and beside whom.

use std::time::Duration;

use crate::revocation::Target;
use crate::store::{Issued, SweepBudget};
use crate::testkit::drive::{awaits, give_up_after, never_completes, race, racer, yield_now};
use crate::testkit::fixture::Subject;
use crate::testkit::handles::Handles;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{
    DAY, HOUR, MINUTE, Scene, Seen, by_operator, ensure_live, targets_beyond_a_token,
};
use crate::token::{Grant, NewToken, PresentedToken};

/// Long enough for every store to have forgotten what expired.
pub(super) const AGES: Duration = DAY.saturating_mul(20 * 365);

/// Every third of these lasts for ages, the others a minute.
const TOKENS: usize = 90;

fn lasting() -> Vec<String> {
    (0..TOKENS).step_by(3).map(|n| format!("t{n}")).collect()
}

/// Some tokens for a sweep to take and some to leave, and revocations of both sorts.
async fn mixed(subject: &dyn Subject) -> Result<Scene, NotProven> {
    let scene = Scene::with_ledger(subject).await?;
    scene.fixture.sweeps()?;
    let start = scene.start();
    for n in 0..TOKENS {
        let lasts = if n % 3 == 0 { 2 * AGES } else { MINUTE };
        let name = format!("t{n}");
        let new = NewToken::refresh(PresentedToken::new(&name), start + lasts);
        scene.ledger()?.issue(scene.grant(&name), &[new], start).await?;
    }
    let new = NewToken::refresh(PresentedToken::new("dead"), start + 2 * AGES);
    scene.ledger()?.issue(scene.grant("dead"), &[new], start).await?;
    for n in (0..TOKENS).filter(|n| n % 3 == 1) {
        scene.revoke(Target::Grant(format!("t{n}").into()), start).await?;
    }
    scene.revoke(Target::Grant("dead".into()), start).await?;
    Ok(scene)
}

/// What a sweep must not have touched.
async fn intact(scene: &Scene) -> Proof {
    let now = scene.start() + AGES;
    scene.live(&lasting(), now).await?;
    let found = scene.seen("dead", now).await?;
    ensure!(found.is_revoked(), "a token whose revocation is still needed is {found}");
    Ok(())
}

/// What a sweep without limit must have taken.
async fn taken(scene: &Scene) -> Proof {
    for n in (0..TOKENS).filter(|n| n % 3 != 0) {
        let found = scene.seen(&format!("t{n}"), scene.start() + AGES).await?;
        ensure!(found == Seen::Unknown, "a token that expired twenty years ago is {found}");
    }
    Ok(())
}

pub(super) async fn a_budget_is_kept_and_the_rest_is_done_later(subject: &dyn Subject) -> Proof {
    for rows in [1, 7, 1_000] {
        let scene = mixed(subject).await?;
        let now = scene.at(scene.start() + AGES);
        let mut removed = 0;
        let mut more = true;
        for _ in 0..10_000 {
            let swept = scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(rows)).await?;
            ensure!(swept.removed <= rows, "{} of at most {rows} rows were swept", swept.removed);
            removed += swept.removed;
            more = swept.more;
            if !more {
                break;
            }
        }
        ensure!(!more, "ten thousand sweeps of {rows} rows left more to do");
        let due = TOKENS - lasting().len();
        ensure!(removed >= due, "{removed} rows were removed, and {due} tokens had expired");
        taken(&scene).await?;
        intact(&scene).await?;
        let again = scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(rows)).await?;
        ensure!(again.removed == 0, "with nothing left, {} rows were removed", again.removed);
    }
    Ok(())
}

pub(super) async fn what_has_expired_is_gone_at_last(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let grant = scene.grant("g");
    scene.issue_pair(&grant, "g", start).await?;
    scene.rotate("rt-g", "next", start, MINUTE).await?;
    scene.open_session(DAY).await?;
    scene.revoke(Target::Session("s".into()), start).await?;
    scene.sweep_all(start + AGES).await?;
    for token in ["at-g", "rt-g", "next", "at-next"] {
        let found = scene.seen(token, start + AGES).await?;
        ensure!(found == Seen::Unknown, "twenty years after it expired, `{token}` is {found}");
    }
    let session = scene.ledger()?.session(&"s".into()).await?;
    ensure!(session.is_none(), "twenty years after it ended, a session is known");
    Ok(())
}

pub(super) async fn sweepers_beside_each_other_take_nothing_that_is_good(
    subject: &dyn Subject,
) -> Proof {
    let first = Scene::new(subject).await?.fixture;
    let (rounds, mut random) = (first.round_count().div_ceil(10), Random::new(first.first_seed()));
    let mut proven = Ok(());
    for _ in 0..rounds {
        let scene = mixed(subject).await?;
        let handles = Handles::of(&scene).await?;
        let now = scene.at(scene.start() + AGES);
        let lanes = handles.of_race(&mut random);
        let mut racers = Vec::new();
        for lane in 0..3 {
            let sweeps = lanes.sweeps(lane)?;
            racers.push(racer(async move {
                let mut removed = 0;
                for _ in 0..10_000 {
                    let swept = sweeps.sweep(now, SweepBudget::rows(17)).await?;
                    removed += swept.removed;
                    if !swept.more {
                        return Ok(removed);
                    }
                    yield_now().await;
                }
                Err(NotProven::seen("ten thousand sweeps left more to do"))
            }));
        }
        let store = scene.shared();
        racers.push(racer(async move {
            for _ in 0..4 {
                ensure_live(&*store, &lasting(), now).await?;
                yield_now().await;
            }
            Ok(0)
        }));
        let mut removed = 0;
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            removed += outcome?;
        }
        // The entries stay, as long as the longest token.
        let due = TOKENS - lasting().len();
        let exact = scene.fixture.exact_retention().is_none() || removed == due;
        ensure!(exact, "{removed} rows were removed where {due} were due");
        intact(&scene).await?;
        scene.sweep_all(now).await?;
        taken(&scene).await?;
        proven = handles.proven();
    }
    proven
}

pub(super) async fn a_sweep_beside_a_revocation_and_an_issue_leaves_nothing_live(
    subject: &dyn Subject,
) -> Proof {
    let first = Scene::new(subject).await?.fixture;
    let (rounds, mut random) = (first.round_count(), Random::new(first.first_seed()));
    let mut proven = Ok(());
    for round in 0..rounds {
        // A new one each time: before its first token no expiry keeps an entry.
        let scene = Scene::with_ledger(subject).await?;
        let start = scene.start();
        let grant = scene.grant("g");
        let Some(target) = targets_beyond_a_token(&grant).into_iter().nth(round % 6) else {
            continue;
        };
        let handles = Handles::of(&scene).await?;
        let lanes = handles.of_race(&mut random);
        let revocation = by_operator(target.clone(), start);
        let store = lanes.store(0);
        let revoking = racer(async move {
            store.revoke(&revocation).await?;
            Ok::<_, NotProven>(())
        });
        let (ledger, issued) = (lanes.ledger(1)?, grant.clone());
        let issuing = racer(async move {
            let new = [NewToken::refresh(PresentedToken::new("rt"), start + HOUR)];
            ledger.issue(issued, &new, start).await?;
            Ok(())
        });
        let sweeps = lanes.sweeps(0)?;
        let sweeping = racer(async move {
            for _ in 0..4 {
                sweeps.sweep(start + 8 * MINUTE, SweepBudget::rows(1_000)).await?;
            }
            Ok(())
        });
        let racers = vec![revoking, issuing, sweeping];
        for outcome in race(scene.fixture.spawner(), random.next(), racers).await? {
            outcome?;
        }
        for minutes in [8, 11, 20, 59] {
            let now = start + minutes * MINUTE;
            scene.sweep_all(now).await?;
            let found = scene.seen("rt", now).await?;
            ensure!(
                found.is_revoked(),
                "round {round}: {minutes} minutes after {target:?} was revoked, its token is {found}"
            );
        }
        proven = handles.proven();
    }
    proven
}

pub(super) async fn an_issue_beside_a_sweep_says_what_becomes_of_its_tokens(
    subject: &dyn Subject,
) -> Proof {
    let first = Scene::new(subject).await?.fixture;
    let (rounds, mut random) = (first.round_count(), Random::new(first.first_seed()));
    let mut proven = Ok(());
    for round in 0..rounds {
        // A new one each time: before its first token no expiry keeps an entry.
        let scene = Scene::with_ledger(subject).await?;
        let handles = Handles::of(&scene).await?;
        let lanes = handles.of_race(&mut random);
        let (start, later) = (scene.start(), scene.start() + HOUR + MINUTE);
        scene.revoke(Target::Grant("g".into()), start).await?;
        let (ledger, grant) = (lanes.ledger(0)?, scene.grant("g"));
        let issuing = racer(async move {
            let tokens = [
                NewToken::access(PresentedToken::new("at"), later + HOUR),
                NewToken::refresh(PresentedToken::new("rt"), later + HOUR),
            ];
            Ok::<_, NotProven>(Some(ledger.issue(grant, &tokens, start).await?))
        });
        let sweeps = lanes.sweeps(1)?;
        let sweeping = racer(async move {
            sweeps.sweep(later, SweepBudget::rows(1_000)).await?;
            Ok(None)
        });
        for outcome in race(scene.fixture.spawner(), random.next(), vec![issuing, sweeping]).await?
        {
            let Some(issued) = outcome? else {
                continue;
            };
            for token in ["at", "rt"] {
                let found = scene.seen(token, later).await?;
                let right = match issued {
                    Issued::BornDead { .. } => found.is_revoked(),
                    Issued::Live => found == Seen::Active,
                };
                ensure!(right, "round {round}: a token that was issued as {issued:?} is {found}");
            }
        }
        proven = handles.proven();
    }
    proven
}

pub(super) async fn dropping_a_sweep_at_any_await_takes_nothing_that_is_good(
    subject: &dyn Subject,
) -> Proof {
    for polls in awaits() {
        let scene = mixed(subject).await?;
        let now = scene.at(scene.start() + AGES);
        let sweeping = scene.fixture.sweeps()?.sweep(now, SweepBudget::rows(1_000));
        let swept = give_up_after(polls, sweeping).await;
        let place = format!("a sweep given up after {polls} polls");
        intact(&scene).await.map_err(|unproven| unproven.within(&place))?;
        scene.sweep_all(now).await?;
        taken(&scene).await.map_err(|unproven| unproven.within(&place))?;
        intact(&scene).await.map_err(|unproven| unproven.within(&place))?;
        if let Some(swept) = swept {
            swept?;
            return Ok(());
        }
    }
    Err(never_completes())
}

pub(super) async fn a_sweep_keeps_what_the_neighbour_needs(subject: &dyn Subject) -> Proof {
    let mut scene = Scene::with_ledger(subject).await?;
    scene.fixture.sweeps()?;
    let neighbour = Scene::of(scene.fixture.take_neighbour()?);
    let start = scene.start();
    // Here it is over in an hour; there it takes ages.
    scene.issue_pair(&scene.grant("g"), "g", start).await?;
    scene.revoke(Target::Session("s".into()), start).await?;
    let long = NewToken::refresh(PresentedToken::new("rt-g"), start + 2 * AGES);
    neighbour.ledger()?.issue(neighbour.grant("g"), &[long], start).await?;
    let lives = NewToken::refresh(PresentedToken::new("lives"), start + 2 * AGES);
    let other = Grant::new("g2", "web", start).subject("bob").session("s2");
    neighbour.ledger()?.issue(other, &[lives], start).await?;
    neighbour.revoke(Target::Session("s".into()), start).await?;
    for later in [HOUR, 2 * DAY, AGES] {
        let now = start + later;
        scene.sweep_all(now).await?;
        neighbour.live(&["lives"], now).await?;
        let found = neighbour.seen("rt-g", now).await?;
        ensure!(
            found.is_revoked(),
            "{later:?} on, after a sweep for its neighbour, a revoked token is {found}"
        );
    }
    Ok(())
}
