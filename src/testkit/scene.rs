//! A fixture with the words that cases are written in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::authority::Authority;
use crate::client::{
    AuthenticatedClient, ClientAuthError, ClientAuthenticator, ClientKind, Credentials, Presented,
};
use crate::clock::{FakeClock, Timestamp};
use crate::id::ClientId;
use crate::logout::handle_logout;
use crate::policy::{Cascade, CascadePolicy, Policy};
use crate::revocation::{Reason, Revocation, Revoked, Target, TargetKind};
use crate::revoke::handle_revoke;
use crate::store::{Issued, Rotated, Rotation, Session, SweepBudget, TokenLedger, TokenStore};
use crate::testkit::fixture::{Fixture, Put, Subject};
use crate::testkit::proof::{Ability, NotProven, Proof, ensure};
use crate::token::{Grant, NewToken, PresentedToken, TokenRecord, Verdict};
use crate::wire::request::Request;

pub(super) const MILLI: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// A [`Verdict`], to compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    Active,
    Consumed,
    Expired,
    Revoked(TargetKind),
    Unknown,
}

impl Seen {
    /// A record, judged at `now`.
    pub(super) fn of(found: Option<&TokenRecord>, now: Timestamp) -> Self {
        let Some(record) = found else {
            return Self::Unknown;
        };
        match record.clone().verdict(now) {
            Verdict::Active(_) => Self::Active,
            Verdict::Consumed => Self::Consumed,
            Verdict::Expired => Self::Expired,
            Verdict::Revoked { by } => Self::Revoked(by),
            Verdict::Unknown => Self::Unknown,
        }
    }

    pub(super) const fn is_revoked(self) -> bool {
        matches!(self, Self::Revoked(_))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Consumed => f.write_str("consumed"),
            Self::Expired => f.write_str("expired"),
            Self::Revoked(by) => write!(f, "revoked by {by}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// One fixture.
pub(super) struct Scene {
    pub(super) fixture: Fixture,
}

/// Found, and judged at `now`.
pub(super) async fn seen(
    store: &dyn TokenStore,
    token: &str,
    now: Timestamp,
) -> Result<Seen, NotProven> {
    let found = store.find(PresentedToken::new(token), None).await?;
    Ok(Seen::of(found.as_ref(), now))
}

/// Every token is dead.
pub(super) async fn ensure_dead(
    store: &dyn TokenStore,
    tokens: &[impl AsRef<str> + Sync],
    now: Timestamp,
) -> Proof {
    for token in tokens {
        let token = token.as_ref();
        let seen = seen(store, token, now).await?;
        ensure!(seen != Seen::Active, "`{token}` lives");
    }
    Ok(())
}

/// Every token lives.
pub(super) async fn ensure_live(
    store: &dyn TokenStore,
    tokens: &[impl AsRef<str> + Sync],
    now: Timestamp,
) -> Proof {
    for token in tokens {
        let token = token.as_ref();
        let seen = seen(store, token, now).await?;
        ensure!(seen == Seen::Active, "`{token}` is {seen} and should live");
    }
    Ok(())
}

/// A revocation on the server's own authority.
pub(super) const fn by_operator(target: Target, at: Timestamp) -> Revocation {
    Revocation::by_operator(target, Reason::Administrative, at)
}

/// Rotates `spent`, as client `web`, for the access token `at-NEXT` (ten minutes) and the refresh token `NEXT` (a day).
pub(super) async fn rotate(
    ledger: &dyn TokenLedger,
    spent: &str,
    next: &str,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotated, NotProven> {
    rotate_as(ledger, "web", spent, next, now, grace).await
}

pub(super) async fn rotate_as(
    ledger: &dyn TokenLedger,
    client: &str,
    spent: &str,
    next: &str,
    now: Timestamp,
    grace: Duration,
) -> Result<Rotated, NotProven> {
    let client = ClientId::new(client);
    let access = format!("at-{next}");
    let successors = [
        NewToken::access(PresentedToken::new(&access), now + 10 * MINUTE),
        NewToken::refresh(PresentedToken::new(next), now + DAY),
    ];
    let rotation = Rotation::new(PresentedToken::new(spent), &client, &successors, now);
    Ok(ledger.rotate(&rotation.with_grace(grace)).await?)
}

/// Everyone who names a client is that client. `public` cannot keep a secret; all others can.
pub(super) struct Named;

#[async_trait]
impl ClientAuthenticator for Named {
    async fn authenticate(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<AuthenticatedClient, ClientAuthError> {
        let &Presented::ClientId { client_id } = credentials.presented() else {
            return Err(ClientAuthError::Rejected);
        };
        let kind = match client_id {
            "public" => ClientKind::Public,
            _ => ClientKind::Confidential,
        };
        Ok(credentials.accepted_as(client_id.into(), kind))
    }
}

/// The revocation endpoint over a store, at this instant.
pub(super) fn endpoint(
    store: impl TokenStore + 'static,
    cascade: Cascade,
    now: Timestamp,
) -> Authority {
    endpoint_with(store, CascadePolicy::both(cascade), now)
}

/// The endpoints over a store, with what a client's revocation reaches.
pub(super) fn endpoint_with(
    store: impl TokenStore + 'static,
    cascade: CascadePolicy,
    now: Timestamp,
) -> Authority {
    let policy = Policy { cascade, ..Policy::default() };
    Authority::new(store, Named).policy(policy).clock(FakeClock::at(now))
}

/// Revokes a token at the endpoint; the status.
pub(super) async fn revoke_at(endpoint: &Authority, client: &str, token: &str) -> u16 {
    let body = format!("token={token}&client_id={client}");
    let request =
        Request::post(body.as_bytes()).header("content-type", b"application/x-www-form-urlencoded");
    handle_revoke(endpoint, &request).await.status()
}

/// Logs out with a token at the logout endpoint.
pub(super) async fn log_out_at(endpoint: &Authority, client: &str, token: &str) {
    let body = format!("refresh_token={token}&client_id={client}");
    let request =
        Request::post(body.as_bytes()).header("content-type", b"application/x-www-form-urlencoded");
    handle_logout(endpoint, &request).await;
}

impl Scene {
    pub(super) async fn new(subject: &dyn Subject) -> Result<Self, NotProven> {
        let fixture = subject
            .fresh()
            .await
            .map_err(|error| NotProven::from(error).within("no fixture was made"))?;
        let scene = Self { fixture };
        scene.at(scene.start());
        Ok(scene)
    }

    pub(super) const fn of(fixture: Fixture) -> Self {
        Self { fixture }
    }

    /// A scene with a ledger.
    pub(super) async fn with_ledger(subject: &dyn Subject) -> Result<Self, NotProven> {
        let scene = Self::new(subject).await?;
        scene.fixture.rotates()?;
        Ok(scene)
    }

    pub(super) const fn start(&self) -> Timestamp {
        self.fixture.start()
    }

    /// Moves the store's clock, if it has one.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        self.fixture.it_is(now);
        now
    }

    pub(super) fn store(&self) -> &dyn TokenStore {
        &**self.fixture.tokens()
    }

    pub(super) fn shared(&self) -> Arc<dyn TokenStore> {
        Arc::clone(self.fixture.tokens())
    }

    pub(super) fn ledger(&self) -> Result<&dyn TokenLedger, NotProven> {
        Ok(&**self.fixture.rotates()?)
    }

    pub(super) fn shared_ledger(&self) -> Result<Arc<dyn TokenLedger>, NotProven> {
        self.fixture.rotates().map(Arc::clone)
    }

    /// Alice's grant to `web` in session `s`, made at the start.
    pub(super) fn grant(&self, id: &str) -> Grant {
        Grant::new(id, "web", self.start()).subject("alice").session("s")
    }

    /// Puts a token in at the start, or gives the case up where there is no place for it.
    pub(super) async fn put(&self, grant: &Grant, token: &NewToken<'_>) -> Proof {
        match self.fixture.puts().put(grant, token, self.start()).await? {
            Put::Done => Ok(()),
            Put::NoPlace => Err(NotProven::Lacks(Ability::Place)),
        }
    }

    /// Puts `at-ID` (an hour) and `rt-ID` (a day) in.
    pub(super) async fn put_pair(&self, grant: &Grant, id: &str) -> Result<[String; 2], NotProven> {
        let names = [format!("at-{id}"), format!("rt-{id}")];
        let [access, refresh] = &names;
        self.put(grant, &NewToken::access(PresentedToken::new(access), self.start() + HOUR))
            .await?;
        self.put(grant, &NewToken::refresh(PresentedToken::new(refresh), self.start() + DAY))
            .await?;
        Ok(names)
    }

    /// Issues `at-ID` (an hour) and `rt-ID` (a day).
    pub(super) async fn issue_pair(
        &self,
        grant: &Grant,
        id: &str,
        now: Timestamp,
    ) -> Result<Issued, NotProven> {
        let (access, refresh) = (format!("at-{id}"), format!("rt-{id}"));
        let tokens = [
            NewToken::access(PresentedToken::new(&access), now + HOUR),
            NewToken::refresh(PresentedToken::new(&refresh), now + DAY),
        ];
        Ok(self.ledger()?.issue(grant.clone(), &tokens, now).await?)
    }

    /// Grant `g` with refresh token `r1`, rotated for `r2`, `r3`, … up to `r{generations}`, all at the start. The access
    /// tokens are `at-r1`, ….
    pub(super) async fn family(&self, generations: usize) -> Result<Vec<String>, NotProven> {
        let (now, ledger) = (self.start(), self.ledger()?);
        let tokens = [
            NewToken::access(PresentedToken::new("at-r1"), now + 10 * MINUTE),
            NewToken::refresh(PresentedToken::new("r1"), now + DAY),
        ];
        ledger.issue(self.grant("g"), &tokens, now).await?;
        let mut names = vec!["at-r1".to_owned(), "r1".to_owned()];
        for n in 1..generations {
            let (spent, next) = (format!("r{n}"), format!("r{}", n + 1));
            let rotated = rotate(ledger, &spent, &next, now, Duration::ZERO).await?;
            let applied = matches!(rotated, Rotated::Applied(_));
            ensure!(applied, "the rotation of a live refresh token came to {}", Told(&rotated));
            names.extend([format!("at-{next}"), next]);
        }
        Ok(names)
    }

    pub(super) async fn rotate(
        &self,
        spent: &str,
        next: &str,
        now: Timestamp,
        grace: Duration,
    ) -> Result<Rotated, NotProven> {
        rotate(self.ledger()?, spent, next, now, grace).await
    }

    pub(super) async fn record(&self, token: &str) -> Result<TokenRecord, NotProven> {
        let found = self.store().find(PresentedToken::new(token), None).await?;
        found.ok_or_else(|| NotProven::seen(format!("`{token}` was put in and is not found")))
    }

    pub(super) async fn seen(&self, token: &str, now: Timestamp) -> Result<Seen, NotProven> {
        seen(self.store(), token, now).await
    }

    pub(super) async fn revoke(&self, target: Target, at: Timestamp) -> Result<Revoked, NotProven> {
        Ok(self.store().revoke(&by_operator(target, at)).await?)
    }

    /// Revokes by an operator at `now`, with an older cutoff.
    pub(super) async fn revoke_since(
        &self,
        target: Target,
        cutoff: Timestamp,
        now: Timestamp,
    ) -> Result<Revoked, NotProven> {
        let revocation = by_operator(target, now).with_cutoff(cutoff);
        Ok(self.store().revoke(&revocation).await?)
    }

    pub(super) async fn live(&self, tokens: &[impl AsRef<str> + Sync], now: Timestamp) -> Proof {
        ensure_live(self.store(), tokens, now).await
    }

    pub(super) async fn dead(&self, tokens: &[impl AsRef<str> + Sync], now: Timestamp) -> Proof {
        ensure_dead(self.store(), tokens, now).await
    }

    pub(super) async fn open_session(&self, lasts: Duration) -> Result<Session, NotProven> {
        let session = Session::new("s", "alice", self.start(), self.start() + lasts).client("web");
        self.ledger()?.open_session(session.clone()).await?;
        Ok(session)
    }

    /// Takes all that is due, in as many sweeps as it needs.
    pub(super) async fn sweep_all(&self, now: Timestamp) -> Proof {
        self.at(now);
        // A store that always says "more" would keep the case for ever.
        for _ in 0..100_000 {
            let swept = self.fixture.sweeps()?.sweep(now, SweepBudget::rows(10_000)).await?;
            if !swept.more {
                return Ok(());
            }
        }
        Err(NotProven::seen("a hundred thousand sweeps left more to do"))
    }
}

/// The seven targets that cover the tokens of [`Scene::grant`]; the token is named by its record.
pub(super) fn targets_of(grant: &Grant, token: &TokenRecord) -> Vec<Target> {
    let mut targets = vec![Target::Token(token.id().clone())];
    targets.extend(targets_beyond_a_token(grant));
    targets
}

/// The six that cover tokens nobody has seen yet.
pub(super) fn targets_beyond_a_token(grant: &Grant) -> Vec<Target> {
    let client = grant.client_id().clone();
    let mut targets = vec![Target::Grant(grant.id().clone())];
    targets.extend(grant.session_id().cloned().map(Target::Session));
    if let Some(subject) = grant.subject_id() {
        targets.push(Target::SubjectAtClient(subject.clone(), client.clone()));
        targets.push(Target::Subject(subject.clone()));
    }
    targets.extend([Target::Client(client), Target::Everything]);
    targets
}

/// A [`Rotated`] without its record.
pub(super) struct Told<'a>(pub(super) &'a Rotated);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rotated::Applied(_) => f.write_str("Applied"),
            Rotated::AppliedInGrace(_) => f.write_str("AppliedInGrace"),
            Rotated::Refused(refused) => write!(f, "Refused({refused:?})"),
            Rotated::Reused(_) => f.write_str("Reused"),
        }
    }
}
