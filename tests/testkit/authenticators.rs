//! The suite for authenticators: the shipped one keeps it, and each case notices one that does not.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use annul::ClientId;
use annul::client::{
    AuthMethod, AuthenticatedClient, Client, ClientAuthError, ClientAuthenticator, ClientKind,
    ClientMetadata, ClientRef, ClientRegistry, ClientTable, Credentials, Presented,
    RegisteredClients,
};
use annul::store::StoreError;
use annul::testkit::client::{Clients, Login, Offer};
use annul::testkit::{Ability, NotProven, client};
use async_trait::async_trait;

struct OutOfOrder;

#[async_trait]
impl ClientRegistry for OutOfOrder {
    async fn client<'a>(&'a self, _id: &'a str) -> Result<Option<ClientRef<'a>>, StoreError> {
        Err(StoreError::unavailable("connection refused"))
    }
}

fn logins(clients: Clients) -> Clients {
    clients
        .login(Login::basic("web", "web-secret"))
        .login(Login::basic("api", "Ap1:s3cret/+%"))
        .login(Login::post("app", "app-secret"))
        .login(Login::public("spa"))
        .refuses(|| {
            Offer::new().parameter("client_id", "off").parameter("client_secret", "off-secret")
        })
}

fn shipped() -> Clients {
    let client = |id: &str, method| Client::new(ClientMetadata::new(id, method));
    let table = ClientTable::from_iter([
        client("web", AuthMethod::ClientSecretBasic).secret("web-secret"),
        client("api", AuthMethod::ClientSecretBasic).secret("Ap1:s3cret/+%"),
        client("app", AuthMethod::ClientSecretPost).secret("app-secret"),
        client("off", AuthMethod::ClientSecretPost).secret("off-secret").disabled(),
        client("spa", AuthMethod::None),
    ]);
    logins(Clients::new(RegisteredClients::new(table)))
        .out_of_order(RegisteredClients::new(OutOfOrder))
        .on_threads()
}

#[tokio::test]
async fn registered_clients_keep_the_contract() {
    let fresh = || ready(Ok(shipped()));
    client::suite().run(&fresh).await.assert_held();
}

/// What authenticators do wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bug {
    AcceptsHalfASecret,
    AcceptsTheDisabled,
    AnySecretWillDo,
    CallsAnOutageAGuess,
    IgnoresCase,
    KeepsPermits,
    LetsNamesIn,
    LocksOutAfterFailures,
    MixesUpAnswers,
    NamesTheFirstWhereNobodyIsNamed,
    NobodyIsSpecial,
    SaysConfidential,
}

/// Honest but for its bug.
struct Table {
    bug: Option<Bug>,
    works: bool,
    clients: BTreeMap<&'static str, Option<&'static str>>,
    permits: AtomicUsize,
    failures: AtomicUsize,
    last: Mutex<String>,
}

impl Table {
    fn new(bug: Option<Bug>, works: bool) -> Self {
        Self {
            bug,
            works,
            clients: BTreeMap::from([
                ("web", Some("web-secret")),
                ("api", Some("Ap1:s3cret/+%")),
                ("app", Some("app-secret")),
                ("spa", None),
            ]),
            permits: AtomicUsize::new(40),
            failures: AtomicUsize::new(0),
            last: Mutex::default(),
        }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Who it is, and of what kind.
    fn judge(&self, presented: &Presented<'_>) -> Option<(String, ClientKind)> {
        let fold = |text: &str| match self.bug {
            Some(Bug::IgnoresCase) => text.to_lowercase(),
            _ => text.to_owned(),
        };
        let (name, secret) = match *presented {
            Presented::Basic { client_id, secret, .. } | Presented::Post { client_id, secret } => {
                (client_id, Some(secret.expose_secret()))
            }
            Presented::ClientId { client_id } => (client_id, None),
            _ if self.has(Bug::NamesTheFirstWhereNobodyIsNamed) => ("spa", None),
            _ => return None,
        };
        if self.has(Bug::AcceptsTheDisabled) && name == "off" {
            return Some((name.to_owned(), ClientKind::Confidential));
        }
        let known = self.clients.iter().find(|(known, _)| fold(known) == fold(name));
        let (known, right) = known?;
        let confidential = Some(((*known).to_owned(), ClientKind::Confidential));
        let public = match self.bug {
            Some(Bug::SaysConfidential) => confidential.clone(),
            _ => Some(((*known).to_owned(), ClientKind::Public)),
        };
        match (right, secret) {
            (None, None) => public,
            (Some(_), None) if self.has(Bug::LetsNamesIn) => confidential,
            (Some(right), Some(secret)) => {
                let any = self.has(Bug::AnySecretWillDo)
                    && self.clients.values().any(|known| *known == Some(secret));
                let half = self.has(Bug::AcceptsHalfASecret) && right.starts_with(secret);
                (fold(right) == fold(secret) || any || half).then_some(confidential)?
            }
            (None, Some(_)) | (Some(_), None) => None,
        }
    }
}

async fn pause() {
    let mut asked = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
impl ClientAuthenticator for Table {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        if self.has(Bug::MixesUpAnswers) {
            *self.last.lock().unwrap() = credentials.claimed_client().unwrap_or("").to_owned();
        }
        if self.has(Bug::KeepsPermits) {
            let taken = self
                .permits
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |permits| permits.checked_sub(1));
            taken.map_err(|_| ClientAuthError::Rejected)?;
        }
        pause().await;
        if self.has(Bug::KeepsPermits) {
            self.permits.fetch_add(1, Ordering::SeqCst);
        }
        if !self.works && !self.has(Bug::CallsAnOutageAGuess) {
            return Err(StoreError::unavailable("connection refused").into());
        }
        if self.has(Bug::LocksOutAfterFailures) && self.failures.load(Ordering::SeqCst) > 10 {
            return Err(ClientAuthError::Rejected);
        }
        let name = credentials.claimed_client().unwrap_or("");
        if self.has(Bug::NobodyIsSpecial) && !self.clients.contains_key(name) {
            return Err(StoreError::corrupt("no such client").into());
        }
        let Some((mut client, kind)) = self.judge(credentials.presented()) else {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(ClientAuthError::Rejected);
        };
        if self.has(Bug::MixesUpAnswers) {
            client = self.last.lock().unwrap().clone();
        }
        Ok(credentials.accepted_as(ClientId::new(client), kind))
    }
}

/// Each with the cases that must notice it.
const BUGS: &[(Bug, &[&str])] = &[
    (Bug::SaysConfidential, &["every_client_is_accepted_as_itself"]),
    (Bug::LocksOutAfterFailures, &["being_right_again_is_no_failure"]),
    (Bug::MixesUpAnswers, &["clients_beside_each_other_are_not_mixed_up"]),
    (Bug::KeepsPermits, &["dropping_an_authentication_at_any_await_locks_nobody_out"]),
    (Bug::AcceptsHalfASecret, &["a_wrong_secret_is_rejected", "nobody_gets_in_by_chance"]),
    (Bug::IgnoresCase, &["a_wrong_secret_is_rejected", "names_are_compared_byte_for_byte"]),
    (Bug::AnySecretWillDo, &["another_clients_secret_is_rejected"]),
    (Bug::NobodyIsSpecial, &["an_unknown_client_looks_like_a_wrong_secret"]),
    (Bug::LetsNamesIn, &["a_confidential_client_cannot_just_name_itself"]),
    (Bug::NamesTheFirstWhereNobodyIsNamed, &["no_credentials_are_rejected"]),
    (Bug::AcceptsTheDisabled, &["what_is_to_be_refused_is_refused"]),
    (Bug::CallsAnOutageAGuess, &["a_registry_out_of_order_is_not_a_rejection"]),
];

fn table(bug: Option<Bug>) -> Clients {
    logins(Clients::new(Table::new(bug, true))).out_of_order(Table::new(bug, false))
}

#[tokio::test]
async fn an_authenticator_of_ones_own_keeps_the_contract() {
    let fresh = || ready(Ok(table(None).on_threads()));
    client::suite().run(&fresh).await.assert_held();
}

#[tokio::test]
async fn each_case_of_the_client_suite_can_fail() {
    let mut unnoticed = Vec::new();
    let suite = client::suite();
    let mut untried: Vec<&str> = suite.cases().iter().map(|case| case.name()).collect();
    for (bug, cases) in BUGS {
        let broken = || ready(Ok(table(Some(*bug))));
        for name in *cases {
            match suite.case(name).unwrap().run(&broken).await {
                Err(NotProven::Violated(_)) => untried.retain(|untried| untried != name),
                other => unnoticed.push(format!("{name} with {bug:?}: {other:?}")),
            }
        }
    }
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
    assert!(untried.is_empty(), "no bug for:\n{}", untried.join("\n"));
}

#[tokio::test]
async fn an_authenticator_of_public_clients_has_no_secrets_to_check() {
    let spa = Client::new(ClientMetadata::new("spa", AuthMethod::None));
    let table = ClientTable::from_iter([spa]);
    let fresh = move || {
        let clients = Clients::new(RegisteredClients::new(table.clone()));
        ready(Ok(clients.login(Login::public("spa")).on_threads()))
    };
    let lacking = [Ability::OutOfOrder, Ability::Refusals, Ability::Secrets];
    let report = client::suite().run(&fresh).await;
    report.assert_held_except_for(&lacking);
    assert_eq!(report.not_checked().len(), 5, "{report}");
    // And one of nobody proves nothing.
    let nobody = || ready(Ok(Clients::new(RegisteredClients::default())));
    let accepted = client::every_client_is_accepted_as_itself(&nobody).await;
    assert!(matches!(accepted, Err(NotProven::Violated(_))));
}
