//! Who is not let in.

use crate::client::ClientKind;
use crate::testkit::client::clients::{Answer, Clients, Offer};
use crate::testkit::fixture::Subject;
use crate::testkit::proof::{Proof, ensure};
use crate::testkit::random::Random;

/// Not let in, and not for a failure of the registry.
fn ensure_refused(who: &str, answer: &Answer) -> Proof {
    let refused = matches!(answer, Answer::Refused(_) | Answer::Unreadable);
    ensure!(refused, "{who} was {answer}");
    Ok(())
}

/// As the secret, but not quite.
fn nearly(secret: &str) -> Vec<String> {
    let swapped: String = secret
        .chars()
        .map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let mut cut = secret.to_owned();
    cut.pop();
    let reversed: String = secret.chars().rev().collect();
    let mut nearly = vec![
        String::new(),
        format!("{secret}x"),
        format!("{secret} "),
        format!(" {secret}"),
        format!("{secret}{secret}"),
        "a".to_owned(),
        cut,
        reversed,
        swapped,
        "x".repeat(secret.len()),
        "x".repeat(4_000),
    ];
    nearly.retain(|nearly| nearly != secret);
    nearly
}

pub(super) async fn a_wrong_secret_is_rejected(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    for login in clients.secrets()? {
        for wrong in nearly(login.secret()) {
            let answer = clients.ask(&login.with(login.client().as_str(), &wrong)).await;
            // By its length alone: it is close to a real one.
            let who = format!("{:?} with a wrong secret of {} bytes", login.client(), wrong.len());
            ensure_refused(&who, &answer)?;
        }
    }
    Ok(())
}

pub(super) async fn another_clients_secret_is_rejected(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    let secrets = clients.secrets()?;
    for login in &secrets {
        for other in secrets.iter().filter(|other| other.secret() != login.secret()) {
            let answer = clients.ask(&login.with(login.client().as_str(), other.secret())).await;
            let who = format!("{:?} with the secret of {:?}", login.client(), other.client());
            ensure_refused(&who, &answer)?;
        }
    }
    Ok(())
}

pub(super) async fn an_unknown_client_looks_like_a_wrong_secret(
    subject: &dyn Subject<Clients>,
) -> Proof {
    let clients = subject.fresh().await?;
    for login in clients.secrets()? {
        let wrong = clients.ask(&login.with(login.client().as_str(), "wrong")).await;
        let unknown = clients.ask(&login.with("nobody-knows-me", "wrong")).await;
        ensure_refused("an unknown client", &unknown)?;
        let same = wrong.to_string() == unknown.to_string();
        ensure!(same, "a wrong secret was answered {wrong}, an unknown client {unknown}");
        // Somebody's secret does not make a name known.
        let unknown = clients.ask(&login.with("nobody-knows-me", login.secret())).await;
        ensure_refused("an unknown client with a client's secret", &unknown)?;
        let same = wrong.to_string() == unknown.to_string();
        ensure!(same, "a wrong secret was answered {wrong}, an unknown client {unknown}");
    }
    Ok(())
}

pub(super) async fn a_confidential_client_cannot_just_name_itself(
    subject: &dyn Subject<Clients>,
) -> Proof {
    let clients = subject.fresh().await?;
    for login in clients.logins()? {
        if login.kind() == ClientKind::Confidential {
            let answer = clients.ask(&Offer::naming(login.client().as_str())).await;
            ensure_refused(&format!("{:?}, naming itself,", login.client()), &answer)?;
        }
    }
    let answer = clients.ask(&Offer::naming("nobody-knows-me")).await;
    ensure_refused("an unknown name", &answer)
}

pub(super) async fn no_credentials_are_rejected(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    let client = clients.logins()?.first().map_or("web", |login| login.client().as_str());
    let assertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let offers = [
        ("who sends nothing", Offer::new()),
        ("who has no name", Offer::naming("")),
        ("who has a secret and no name", Offer::new().parameter("client_secret", "x")),
        ("an unknown scheme", Offer::new().header("authorization", "Unheard-Of x")),
        ("a bearer token", Offer::naming(client).header("authorization", "Bearer x")),
        ("an empty header", Offer::new().header("authorization", "")),
        ("Basic with nothing", Offer::new().header("authorization", "Basic ")),
        ("Basic with an empty name", Offer::new().header("authorization", "Basic Og==")),
        (
            "an assertion that says nothing",
            Offer::new()
                .parameter("client_assertion_type", assertion)
                .parameter("client_assertion", "x"),
        ),
        (
            "an unsigned assertion",
            Offer::naming(client)
                .parameter("client_assertion_type", assertion)
                .parameter("client_assertion", "eyJhbGciOiJub25lIn0.e30."),
        ),
    ];
    for (who, offer) in offers {
        ensure_refused(who, &clients.ask(&offer).await)?;
    }
    Ok(())
}

pub(super) async fn names_are_compared_byte_for_byte(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    let names: Vec<&str> = clients.logins()?.iter().map(|login| login.client().as_str()).collect();
    for login in clients.logins()? {
        for other in nearly(login.client().as_str()) {
            if names.contains(&other.as_str()) {
                continue;
            }
            let offer = match login.kind() {
                ClientKind::Confidential => login.with(&other, login.secret()),
                ClientKind::Public => Offer::naming(&other),
            };
            let answer = clients.ask(&offer).await;
            ensure_refused(&format!("{other:.40?}, who is not {:?},", login.client()), &answer)?;
        }
    }
    Ok(())
}

pub(super) async fn what_is_to_be_refused_is_refused(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    for (n, offer) in clients.refused()?.enumerate() {
        ensure_refused(&format!("offer {n} of those to be refused"), &clients.ask(&offer).await)?;
    }
    Ok(())
}

pub(super) async fn a_registry_out_of_order_is_not_a_rejection(
    subject: &dyn Subject<Clients>,
) -> Proof {
    let clients = subject.fresh().await?;
    let broken = clients.broken()?;
    for login in clients.logins()? {
        let name = login.client().as_str();
        let offers = [
            ("the right credentials", login.offer()),
            ("wrong ones", login.with(name, "wrong")),
            ("an unknown name", login.with("nobody-knows-me", "wrong")),
        ];
        for (what, offer) in offers {
            let answer = offer.ask(broken, clients.current_policy()).await;
            let told = matches!(answer, Answer::Store);
            ensure!(told, "with its registry out of order, {what} of {name:?} came to {answer}");
        }
    }
    Ok(())
}

pub(super) async fn nobody_gets_in_by_chance(subject: &dyn Subject<Clients>) -> Proof {
    let clients = subject.fresh().await?;
    let logins = clients.logins()?;
    let seed = clients.first_seed();
    let mut random = Random::new(seed);
    for time in 0..clients.round_count() * 50 {
        let Some(login) = random.pick(logins) else {
            break;
        };
        let mut word = |right: &str| match random.below(3) {
            0 => random.pick(&nearly(right)).cloned().unwrap_or_default(),
            1 => format!("{:x}", random.next()),
            _ => right.to_owned(),
        };
        let (name, secret) = (word(login.client().as_str()), word(login.secret()));
        // Right by chance, or right by naming itself.
        let right = logins.iter().any(|login| {
            login.client().as_str() == name
                && (login.kind() == ClientKind::Public || login.secret() == secret)
        });
        if !right {
            let answer = clients.ask(&login.with(&name, &secret)).await;
            let let_in = matches!(answer, Answer::Accepted(_) | Answer::Store);
            ensure!(!let_in, "seed {seed}, attempt {time}: {name:.40?} was {answer}");
        }
    }
    Ok(())
}
