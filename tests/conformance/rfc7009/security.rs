//! Section 5: security.

use std::sync::Arc;
use std::time::Duration;

use annul::client::{
    Assertions, AuthMethod, Client, ClientMetadata, ClientTable, Credentials, RegisteredClients,
};
use annul::policy::CascadePolicy;
use annul::store::{Rotation, StoreErrorKind, TokenLedger, TokenStore};
use annul::wire::basic;
use annul::wire::basic::{Basic, Scratch};
use annul::wire::form::Form;
use annul::wire::send::{LogoutForm, TokenForm};
use annul::{
    Authority, Cascade, ClientId, Grant, Issuer, MemoryStore, NewToken, PresentedToken, Reason,
    Revocation, Target, profile,
};

use crate::doubles::{Watched, server_with};
use crate::rfc7009::{HINTS, body, credentials, is_empty_200};
use crate::signer::{Assertion, ISSUER, SigningKey, presenting};
use crate::support::{Server, error_of, form, seen};

#[tokio::test]
async fn s5_the_throttle_is_asked_before_any_store() {
    let watched = Watched::with_limit(0);
    let server = &watched.server;
    server.grant("g1", "web").await;
    let answer = server.revoke_as("web", "token=rt-g1").await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.header("retry-after"), Some("30"));
    assert_eq!(error_of(&answer), "temporarily_unavailable");
    assert_eq!(watched.journal.take(), ["admit"]);
    assert!(server.is_active("rt-g1").await);
    let events = watched.events.take();
    assert!(events.iter().any(|event| event.starts_with("Throttled")), "{events:?}");

    // Guessing counts, by address and by client.
    let watched = Watched::with_limit(3);
    let server = &watched.server;
    let header = credentials("web");
    for (guess, status) in [("a", 200), ("b", 200), ("c", 200), ("d", 429)] {
        let body = body(guess, None);
        let request =
            form(&body).header("authorization", header.as_bytes()).peer([192, 0, 2, 1].into());
        let answer = annul::handle_revoke(&server.authority, &request).await;
        assert_eq!(answer.status(), status, "{guess}");
    }
    let answer = server.revoke_as("web", "token=e").await;
    assert_eq!(answer.status(), 200, "another address");
}

/// A server with the shipped throttle, as it comes.
fn limited() -> Server {
    let server = Server::new();
    let authority = server.authority.throttle(annul::throttle::RateLimiter::default());
    Server { authority, ..server }
}

#[tokio::test]
async fn s5_a_client_that_guesses_tokens_is_refused_until_it_has_waited() {
    let server = limited();
    server.grant("g1", "web").await;
    // Each from an address of its own: it is the client that guesses.
    let header = credentials("web");
    let address = |n: u16| {
        let [high, low] = n.to_be_bytes();
        std::net::IpAddr::from([198, 18, high, low])
    };
    for n in 0..300 {
        let body = body(&format!("guess-{n}"), None);
        let request = form(&body).header("authorization", header.as_bytes()).peer(address(n));
        // At any endpoint: they count together.
        let status = match n % 2 {
            0 => annul::handle_revoke(&server.authority, &request).await.status(),
            _ => annul::handle_introspect(&server.authority, &request).await.status(),
        };
        assert_eq!(status, 200, "{n}");
    }
    let right = form("token=rt-g1").header("authorization", header.as_bytes()).peer(address(0));
    let answer = annul::handle_revoke(&server.authority, &right).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(error_of(&answer), "temporarily_unavailable");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(server.is_active("rt-g1").await);
    assert_eq!(server.revoke_as("other", "token=t").await.status(), 200);

    server.clock.advance(Duration::from_secs(1));
    assert_eq!(annul::handle_revoke(&server.authority, &right).await.status(), 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_a_client_that_its_credentials_do_not_name_is_refused_too() {
    use annul::client::{AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind};

    /// Accepts credentials that do not say whose they are.
    struct Tickets;

    #[async_trait::async_trait]
    impl ClientAuthenticator for Tickets {
        async fn authenticate(
            &self,
            credentials: Credentials<'_>,
        ) -> Result<AuthenticatedClient, ClientAuthError> {
            assert_eq!(credentials.claimed_client(), None);
            Ok(credentials.accepted_as("web".into(), ClientKind::Confidential))
        }
    }

    let server = Server::new();
    server.grant("g1", "web").await;
    let authority = Authority::new(server.store.clone(), Tickets)
        .clock(server.clock.clone())
        .throttle(annul::throttle::RateLimiter::default());
    let ask = async |token: &str| {
        let body = body(token, None);
        let request = form(&body).header("authorization", b"Ticket 1");
        annul::handle_revoke(&authority, &request).await.status()
    };
    for n in 0..300 {
        assert_eq!(ask("a-guess").await, 200, "{n}");
    }
    assert_eq!(ask("rt-g1").await, 429);
    assert!(server.is_active("rt-g1").await);
    server.clock.advance(Duration::from_millis(100));
    assert_eq!(ask("rt-g1").await, 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_nobody_guesses_tokens_at_a_public_clients_expense() {
    let server = limited();
    server.grant("g1", "spa").await;
    let ask = async |token: &str, last: u8| {
        let body = format!("token={token}&client_id=spa");
        let request = form(&body).peer([192, 0, 2, last].into());
        annul::handle_revoke(&server.authority, &request).await.status()
    };
    for n in 0..300 {
        assert_eq!(ask("a-guess", 1).await, 200, "{n}");
    }
    assert_eq!(ask("rt-g1", 1).await, 429);
    assert!(server.is_active("rt-g1").await);
    // Anybody could have said to be `spa`; the user of it who is somewhere else is still heard.
    assert_eq!(ask("rt-g1", 2).await, 200);
    assert!(!server.is_active("rt-g1").await);
}

#[tokio::test]
async fn s5_one_look_up_whatever_the_hint() {
    let watched = Watched::new();
    let server = &watched.server;
    server.grant("g1", "web").await;
    for hint in HINTS {
        for token in ["unknown", "at-g1", "rt-g1"] {
            server.revoke_as("web", &body(token, hint)).await;
            let calls = watched.journal.take();
            let look_ups = calls.iter().filter(|call| call.starts_with("find"));
            assert_eq!(look_ups.count(), 1, "{token} by {hint:?}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn s5_a_token_beyond_the_limit_costs_no_look_up() {
    let watched = Watched::new();
    let limit = PresentedToken::MAX_BYTES;
    for (length, look_ups) in [(limit, 1), (limit + 1, 0), (100_000, 0)] {
        let token = "t".repeat(length);
        let answer = watched.server.revoke_as("web", &body(&token, None)).await;
        assert!(is_empty_200(&answer), "{length}");
        let calls = watched.journal.take();
        let found = calls.iter().filter(|call| call.starts_with("find"));
        assert_eq!(found.count(), look_ups, "{length}");
        assert!(calls.contains(&"report UnknownToken".to_owned()), "{length}");
    }
}

#[tokio::test]
async fn s5_nobody_unauthenticated_learns_whether_a_token_lives() {
    for name in crate::doubles::PROFILES {
        let watched = Watched::with_policy(profile::by_name(name).unwrap());
        let server = &watched.server;
        server.grant("g1", "web").await;
        watched.journal.take();
        for client in ["", "&client_id=web", "&client_id=nobody", "&client_id=web&client_secret=x"]
        {
            let mut answers = Vec::new();
            for token in ["at-g1", "rt-g1", "no-such-token"] {
                let answer = server.revoke(&format!("token={token}{client}")).await;
                assert_ne!(answer.status(), 200, "{name} {client}");
                answers.push(seen(&answer));
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{name} {client}");
        }
        let calls = watched.journal.take();
        assert!(calls.iter().all(|call| !call.starts_with("find")), "{name}: {calls:?}");
        assert!(server.is_active("rt-g1").await);
    }
    // A public client's name is no proof of anything, so its holder learns nothing either.
    let server = Server::new();
    server.grant("g1", "web").await;
    let live = server.revoke("token=rt-g1&client_id=spa").await;
    let unknown = server.revoke("token=no-such-token&client_id=spa").await;
    assert_eq!(seen(&live), seen(&unknown));
}

#[tokio::test]
async fn r7009_63_nothing_printable_holds_a_token_or_a_secret() {
    // Each marker is found nowhere else, whichever way it is spelled.
    const TOKEN: &str = "tok-7c1e";
    const SECRET: &str = "sec-9d2f";
    let mut printed: Vec<String> = Vec::new();

    let metadata = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
    let client = Client::new(metadata).secret(SECRET);
    printed.push(format!("{client:?}"));
    let clients = ClientTable::from_iter([client]);
    printed.push(format!("{clients:?}"));
    printed.push(format!("{:?}", RegisteredClients::new(clients.clone())));

    let mut policy = profile::wso2().policy;
    policy.cascade = CascadePolicy::both(Cascade::Token);
    let mut server = server_with(clients, policy);
    let events = crate::doubles::Journal::default();
    server.authority = server.authority.events(events.clone());

    let now = server.authority.now();
    let expiry = now + Duration::from_secs(600);
    let token = PresentedToken::new(TOKEN);
    let new_token = NewToken::access(token, expiry).keep_counterpart(format!("{TOKEN}-r"));
    printed.push(format!("{token:?} {new_token:?}"));
    let client_id = ClientId::new("web");
    let successors = [new_token.clone()];
    printed.push(format!("{:?}", Rotation::new(token, &client_id, &successors, now)));
    let grant = Grant::new("g1", "web", now).subject("alice");
    server.store.issue(grant, &successors, now).await.unwrap();
    let record = server.store.find(token, None).await.unwrap();
    printed.push(format!("{record:?}"));

    let header = basic::header_value("web", SECRET);
    let body = format!("token={TOKEN}&state={SECRET}");
    let query = format!("token={TOKEN}");
    let request = form(&body).header("authorization", header.as_bytes()).query(&query);
    printed.push(format!("{request:?}"));
    let read = Form::read(&request, server.authority.current_policy()).unwrap();
    printed.push(format!("{read:?}"));
    let mut scratch = Scratch::default();
    let policy = server.authority.current_policy();
    let credentials = Credentials::read(&request, &read, &mut scratch, policy).unwrap();
    printed.push(format!("{credentials:?} {:?}", credentials.presented()));
    let mut scratch = Scratch::default();
    printed.push(format!("{:?}", Basic::read(header.as_bytes(), &mut scratch)));
    printed.push(format!("{scratch:?}"));

    // In this profile a header of the answer does hold the token, and its Debug output must not.
    let answer = annul::handle_revoke(&server.authority, &request).await;
    assert_eq!(answer.header("revokedaccesstoken"), Some(TOKEN));
    printed.push(format!("{answer:?}"));
    let by_post = format!("token={TOKEN}&client_id=web&client_secret={SECRET}-wrong");
    printed.push(format!("{:?}", server.revoke(&by_post).await));
    let unknown = format!("token={TOKEN}-unknown&client_id=web&client_secret={SECRET}");
    printed.push(format!("{:?}", server.revoke(&unknown).await));
    let post_form = form(&by_post);
    let read = Form::read(&post_form, policy).unwrap();
    let mut scratch = Scratch::default();
    let credentials = Credentials::read(&post_form, &read, &mut scratch, policy).unwrap();
    printed.push(format!("{credentials:?}"));

    let events = events.take();
    for event in ["Revoked", "ClientAuthenticationFailed", "UnknownToken"] {
        assert!(events.iter().any(|line| line.starts_with(event)), "{events:?}");
    }
    printed.extend(events);
    printed.push(format!("{:?} {:?}", server.authority, server.store));
    printed.push(format!("{:?}", MemoryStore::new()));
    let sent = TokenForm::new(TOKEN).client("web", Some(SECRET));
    printed.push(format!("{sent:?} {:?}", LogoutForm::new(TOKEN, "web", Some(SECRET))));
    printed.push(format!("{:?}", annul::Secret::new(SECRET)));
    printed.push(format!("{:?}", annul::PresentedSecret::new(SECRET)));

    // An assertion, by whatever it is held: it is as good as a secret until it is used or has expired.
    let metadata = ClientMetadata::new("mac", AuthMethod::ClientSecretJwt);
    let mac = Client::new(metadata).secret(SECRET);
    let key = SigningKey::mac(SECRET);
    printed.push(format!("{mac:?} {:?}", mac.mac_secrets(now).collect::<Vec<_>>()));
    let assertions = Assertions::new(Issuer::new(ISSUER).unwrap());
    printed.push(format!("{assertions:?}"));
    let clock = Arc::clone(&server.clock);
    let clients = RegisteredClients::new(ClientTable::from_iter([mac])).clock(Arc::clone(&clock));
    let clients = clients.assertions(assertions);
    printed.push(format!("{clients:?}"));
    let authority = Authority::new(Arc::clone(&server.store), clients).clock(clock);
    let heard = crate::doubles::Journal::default();
    let authority = authority.events(heard.clone());
    let good = Assertion::of("mac", "HS256", &key);
    let forged = good.clone().claim("jti", SECRET).signed_by(&SigningKey::mac("x")).jwt();
    let good = good.claim("jti", TOKEN).jwt();
    for jwt in [&good, &good, &forged] {
        let body = format!("token={TOKEN}-unknown&{}", presenting(jwt));
        let request = form(&body);
        printed.push(format!("{request:?}"));
        let read = Form::read(&request, policy).unwrap();
        let mut scratch = Scratch::default();
        let credentials = Credentials::read(&request, &read, &mut scratch, policy).unwrap();
        printed.push(format!("{read:?} {credentials:?} {:?}", credentials.presented()));
        let answer = annul::handle_revoke(&authority, &request).await;
        printed.push(format!("{answer:?} {}", String::from_utf8_lossy(answer.body())));
    }
    let heard = heard.take();
    for event in ["UnknownToken", "ClientAuthenticationFailed"] {
        assert!(heard.iter().any(|line| line.starts_with(event)), "{heard:?}");
    }
    printed.extend(heard);
    let mut parts: Vec<&str> = good.split('.').skip(1).collect();
    parts.extend(forged.split('.').skip(1));

    let base64_of_both = header.trim_start_matches("Basic ");
    for line in printed {
        for part in &parts {
            assert!(!line.contains(part), "{line}");
        }
        for marker in [TOKEN, SECRET, base64_of_both] {
            assert!(!line.contains(marker), "{line}");
        }
    }
}

#[tokio::test]
async fn r7009_63_a_refused_issue_leaves_its_counterpart_to_nobody() {
    let server = Server::new();
    server.grant("g1", "web").await;
    let now = server.authority.now();
    let token = PresentedToken::new("at-g1");
    let new_token = NewToken::access(token, now + Duration::from_secs(600));
    let theirs = [new_token.keep_counterpart("rt-of-another-client")];
    let issued = server.store.issue(Grant::new("g2", "other", now), &theirs, now).await;
    assert_eq!(issued.unwrap_err().kind(), StoreErrorKind::Conflict);
    let record = server.store.find(token, None).await.unwrap().unwrap();
    assert_eq!(record.grant().id().as_str(), "g1");
    assert!(record.counterpart().is_none());
}

#[tokio::test]
async fn s5_only_the_owner_and_the_operator_revoke() {
    let server = Server::new();
    server.grant("g1", "web").await;
    // Neither a resource server that may introspect the token, nor one that received it.
    for client in ["rs", "other"] {
        assert_eq!(server.revoke_as(client, "token=at-g1").await.status(), 400);
    }
    server.revoke("token=at-g1&client_id=spa").await;
    assert!(server.is_active("at-g1").await && server.is_active("rt-g1").await);

    let locked = Target::Subject("alice".into());
    let now = server.authority.now();
    let revocation = Revocation::by_operator(locked, Reason::AccountLocked, now);
    server.authority.revoke(revocation).await.unwrap();
    assert!(!server.is_active("at-g1").await && !server.is_active("rt-g1").await);
}
