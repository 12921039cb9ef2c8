//! Sessions and who takes part in them.

use std::collections::BTreeSet;

use crate::error::StoreErrorKind;
use crate::id::SessionId;
use crate::revocation::{Target, TargetKind};
use crate::store::{Issued, Session};
use crate::testkit::drive::{race, racer};
use crate::testkit::fixture::Subject;
use crate::testkit::handles::Handles;
use crate::testkit::proof::{NotProven, Proof, ensure};
use crate::testkit::random::Random;
use crate::testkit::scene::{DAY, HOUR, Scene};

async fn known(scene: &Scene, id: &str) -> Result<Session, NotProven> {
    let known = scene.ledger()?.session(&SessionId::new(id)).await?;
    known.ok_or_else(|| NotProven::seen(format!("session `{id}` was opened and is not known")))
}

fn clients(session: &Session) -> BTreeSet<&str> {
    session.clients().iter().map(|id| id.as_str()).collect()
}

pub(super) async fn a_session_collects_its_participants(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let (start, ledger) = (scene.start(), scene.ledger()?);
    let nobody = ledger.session(&"s".into()).await?;
    ensure!(nobody.is_none(), "a session that was never opened is known");
    let session =
        |client: &str, lasts| Session::new("s", "alice", start, start + lasts).client(client);
    for (client, lasts) in [("web", HOUR), ("spa", DAY), ("web", HOUR), ("app", HOUR)] {
        ledger.open_session(session(client, lasts)).await?;
    }
    let known = known(&scene, "s").await?;
    let joined = clients(&known);
    ensure!(
        joined == BTreeSet::from(["app", "spa", "web"]) && known.clients().len() == 3,
        "`web`, `spa` and `app` joined, and {:?} are known",
        known.clients()
    );
    ensure!(known.subject().as_str() == "alice", "it is {:?}'s", known.subject());
    ensure!(known.started_at() == start, "it began at {:?}", known.started_at());
    ensure!(known.expires_at() == start + DAY, "a shorter stay ended a longer one");
    let other = ledger.session(&"S".into()).await?;
    ensure!(other.is_none(), "session `S` is taken for `s`");
    Ok(())
}

pub(super) async fn a_session_is_joined_by_its_own_user_only(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let opened = scene.open_session(HOUR).await?;
    let theirs = Session::new("s", "mallory", scene.start(), scene.start() + DAY).client("evil");
    let joined = scene.ledger()?.open_session(theirs).await;
    let told = joined.as_ref().err().map(|error| error.kind());
    ensure!(told == Some(StoreErrorKind::Conflict), "another user joined the session: {joined:?}");
    let known = known(&scene, "s").await?;
    ensure!(known == opened, "another user's attempt made the session {known:?}");
    Ok(())
}

pub(super) async fn a_session_that_was_logged_out_is_spent(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let session = scene.open_session(DAY).await?;
    scene.issue_pair(&scene.grant("g"), "g", start).await?;
    scene.revoke(Target::Session("s".into()), start).await?;
    let opened = scene.ledger()?.open_session(session).await;
    let told = opened.as_ref().err().map(|error| error.kind());
    ensure!(
        told == Some(StoreErrorKind::Conflict),
        "a session that was logged out was opened: {opened:?}"
    );
    let issued = scene.issue_pair(&scene.grant("late"), "late", start).await?;
    let by = TargetKind::Session;
    ensure!(issued == Issued::BornDead { by }, "issuing in it came to {issued:?}");
    scene.dead(&["at-g", "rt-g", "at-late", "rt-late"], start).await?;
    // Also where it was logged out before it was opened: a slow login must not win.
    scene.revoke(Target::Session("early".into()), start).await?;
    let early = Session::new("early", "alice", start, start + DAY);
    let opened = scene.ledger()?.open_session(early).await;
    ensure!(opened.is_err(), "a session was opened that had been logged out before");
    Ok(())
}

pub(super) async fn participants_are_known_after_logout(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let session = scene.open_session(DAY).await?;
    scene.revoke(Target::Session("s".into()), scene.start()).await?;
    let known = known(&scene, "s").await?;
    ensure!(clients(&known) == clients(&session), "after logout {:?} are known", known.clients());
    Ok(())
}

pub(super) async fn clients_that_join_at_once_are_all_in_it(subject: &dyn Subject) -> Proof {
    let scene = Scene::with_ledger(subject).await?;
    let start = scene.start();
    let handles = Handles::of(&scene).await?;
    let mut random = Random::new(scene.fixture.first_seed());
    for round in 0..scene.fixture.round_count() {
        let id = format!("s{round}");
        let lanes = handles.of_race(&mut random);
        let mut racers = Vec::new();
        for lane in 0..4 {
            let (ledger, id) = (lanes.ledger(lane)?, id.clone());
            racers.push(racer(async move {
                let session = Session::new(id, "alice", start, start + HOUR);
                ledger.open_session(session.client(format!("client-{lane}"))).await
            }));
        }
        for joined in race(scene.fixture.spawner(), random.next(), racers).await? {
            joined?;
        }
        let known = known(&scene, &id).await?;
        ensure!(
            known.clients().len() == 4,
            "round {round}: four clients joined, and {:?} are known",
            known.clients()
        );
    }
    handles.proven()
}

pub(super) async fn a_neighbours_sessions_are_its_own(subject: &dyn Subject) -> Proof {
    let mut scene = Scene::with_ledger(subject).await?;
    let neighbour = Scene::of(scene.fixture.take_neighbour()?);
    let start = scene.start();
    let session = scene.open_session(DAY).await?;
    let seen = neighbour.ledger()?.session(&"s".into()).await?;
    ensure!(seen.is_none(), "a neighbour's session is known");
    // Another user: there it is another session.
    let theirs = Session::new("s", "bob", start, start + HOUR).client("spa");
    neighbour.ledger()?.open_session(theirs.clone()).await?;
    scene.revoke(Target::Session("s".into()), start).await?;
    let opened = scene.ledger()?.open_session(session).await;
    ensure!(opened.is_err(), "a session that was logged out was opened");
    neighbour.ledger()?.open_session(theirs.clone()).await?;
    let known = known(&neighbour, "s").await?;
    ensure!(known == theirs, "a neighbour's logout made the session {known:?}");
    Ok(())
}
