//! Who is let in.

use std::sync::Arc;

use crate::testkit::client::clients::{Answer, Clients, Login, Offer};
use crate::testkit::drive::{awaits, give_up_after, never_completes, race, racer};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Ability, NotProven, Proof, ensure};
use crate::testkit::random::Random;

/// Let in as itself.
fn ensure_is(login: &Login, answer: &Answer) -> Proof {
    let right = matches!(
        answer,
        Answer::Accepted(client) if client.id() == login.client() && client.kind() == login.kind()
    );
    let kind = match answer {
        Answer::Accepted(client) => format!(", {:?}", client.kind()),
        Answer::Refused(_) | Answer::Store | Answer::Unreadable => String::new(),
    };
    ensure!(
        right,
        "{:?}, {:?}, with the right credentials, was {answer}{kind}",
        login.client(),
        login.kind()
    );
    Ok(())
}

pub(super) async fn every_client_is_accepted_as_itself(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    for login in clients.logins()? {
        ensure_is(login, &clients.ask(&login.offer()).await)?;
    }
    Ok(())
}

pub(super) async fn being_right_again_is_no_failure(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    for _ in 0..3 {
        for login in clients.logins()? {
            ensure_is(login, &clients.ask(&login.offer()).await)?;
            // Slowing the guesser down is the throttle's, which knows who it is.
            for _ in 0..20 {
                let wrong = login.with(login.client().as_str(), "a wrong guess");
                clients.ask(&wrong).await;
            }
        }
    }
    Ok(())
}

pub(super) async fn clients_beside_each_other_are_not_mixed_up(
    subject: &dyn Subject<Clients>,
) -> Proof {
    let clients = subject.fresh().await?;
    let mut random = Random::new(clients.first_seed());
    for _ in 0..clients.round_count() {
        let mut racers = Vec::new();
        for login in clients.logins()? {
            for right in [true, false] {
                let authenticator = Arc::clone(clients.authenticator());
                let policy = Arc::clone(clients.current_policy());
                let login = login.clone();
                racers.push(racer(async move {
                    // A few in a row: they meet in more places.
                    for _ in 0..4 {
                        if right {
                            ensure_is(&login, &login.offer().ask(&*authenticator, &policy).await)?;
                            continue;
                        }
                        let nobody =
                            Offer::naming("nobody").parameter("client_secret", login.secret());
                        let answer = nobody.ask(&*authenticator, &policy).await;
                        let let_in = matches!(answer, Answer::Accepted(_));
                        ensure!(!let_in, "beside others, nobody was {answer}");
                    }
                    Ok::<_, NotProven>(())
                }));
            }
        }
        for outcome in race(clients.spawner(), random.next(), racers).await? {
            outcome?;
        }
    }
    match clients.spawner() {
        Some(_) => Ok(()),
        None => Err(NotProven::Lacks(Ability::Parallel)),
    }
}

pub(super) async fn dropping_an_authentication_at_any_await_locks_nobody_out(
    subject: &dyn Subject<Clients>,
) -> Proof {
    // On one and the same, many times over: whatever each of them keeps, at some time there is none left.
    let clients = subject.fresh().await?;
    for login in clients.logins()? {
        let mut completed = false;
        for polls in awaits() {
            for _ in 0..50 {
                let answer = give_up_after(polls, clients.ask(&login.offer())).await;
                if let Some(answer) = answer {
                    completed = true;
                    ensure_is(login, &answer)?;
                }
            }
            ensure_is(login, &clients.ask(&login.offer()).await)?;
            if completed {
                break;
            }
        }
        if !completed {
            return Err(never_completes());
        }
    }
    Ok(())
}
