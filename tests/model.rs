//! The memory store against a model that enumerates: it keeps every token and every revocation ever made, and looks
//! at all of them for each answer. Random steps; after every one, every token ever issued must be answered alike.
//!
//! The model forgets nothing, the store may. So the model says from when on a sweep *may* have taken a token or a
//! revocation, and from when on it *must* have. While a token has not expired there is no choice: its answer is
//! exact, whatever was swept.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what a later variant means to the model, whoever adds it decides"
)]

use std::sync::Arc;
use std::time::Duration;

use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
use annul::policy::CascadePolicy;
use annul::store::{
    Issued, Lifetimes, Refused, Retention, Rotated, Rotation, Session, Sweep, SweepBudget,
    TokenLedger, TokenStore,
};
use annul::{
    Authority, Cascade, Clock, DigestKey, FakeClock, Grant, MemoryStore, Namespace, NewToken,
    Policy, PresentedToken, Reason, Request, Revocation, Revoked, Target, TargetKind, Timestamp,
    TokenKind, Verdict,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::Config;

const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// How long expired access and refresh tokens are remembered.
const REMEMBERED: [Duration; 2] = [Duration::from_secs(1_200), Duration::from_secs(2 * 3_600)];

/// Client, subject, session, offline: what a grant of each number is like, in either namespace.
const GRANTS: [(&str, Option<&str>, Option<&str>, bool); 6] = [
    ("web", Some("alice"), Some("s1"), false),
    ("spa", Some("alice"), Some("s1"), false),
    ("web", Some("bob"), Some("s2"), false),
    ("spa", None, None, false),
    ("web", Some("alice"), Some("s1"), true),
    ("web", Some("alice"), None, false),
];
const CLIENTS: [&str; 2] = ["web", "spa"];
const SUBJECTS: [&str; 2] = ["alice", "bob"];
const SESSIONS: [(&str, &str); 2] = [("s1", "alice"), ("s2", "bob")];
const CASCADES: [Cascade; 2] = [Cascade::Grant, Cascade::Token];

/// One thing that happens, in one of the two namespaces.
#[derive(Clone, Debug)]
enum Step {
    Advance(Duration),
    /// An access and a refresh token, of the latest login of this number or of a new one.
    Issue {
        grant: usize,
        new_login: bool,
        access: Duration,
        refresh: Duration,
    },
    /// A token that the store has already, with a later expiry.
    IssueAgain(Index),
    OpenSession(usize, Duration),
    Rotate {
        token: Index,
        client: Option<usize>,
        grace: Duration,
    },
    /// At the revocation endpoint, by the owner or by this client.
    Revoke {
        token: Index,
        client: Option<usize>,
        access_token: usize,
        refresh_token: usize,
    },
    /// At the logout endpoint.
    Logout {
        token: Index,
        client: Option<usize>,
    },
    /// By the operator, stamped some time before or after now.
    Operator {
        kind: usize,
        pick: Index,
        before: Duration,
        after: Duration,
    },
    Sweep(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let any_client = || proptest::option::weighted(0.15, 0..CLIENTS.len());
    let index = || any::<Index>();
    prop_oneof![
        3 => prop::sample::select(vec![
            Duration::from_millis(1), 40 * SECOND, MINUTE, 10 * MINUTE, HOUR, DAY / 2, 8 * DAY,
        ])
        .prop_map(Step::Advance),
        6 => (
            0..GRANTS.len(),
            any::<bool>(),
            prop::sample::select(vec![Duration::ZERO, 10 * MINUTE]),
            prop::sample::select(vec![HOUR, DAY]),
        )
            .prop_map(|(grant, new_login, access, refresh)| Step::Issue {
                grant, new_login, access, refresh,
            }),
        1 => index().prop_map(Step::IssueAgain),
        1 => (0..SESSIONS.len(), prop::sample::select(vec![HOUR, 3 * DAY]))
            .prop_map(|(session, lasts)| Step::OpenSession(session, lasts)),
        8 => (index(), any_client(), prop::sample::select(vec![Duration::ZERO, MINUTE]))
            .prop_map(|(token, client, grace)| Step::Rotate { token, client, grace }),
        3 => (index(), any_client(), 0..2_usize, 0..2_usize)
            .prop_map(|(token, client, access_token, refresh_token)| Step::Revoke {
                token, client, access_token, refresh_token,
            }),
        2 => (index(), any_client()).prop_map(|(token, client)| Step::Logout { token, client }),
        2 => (
            0..7_usize,
            index(),
            prop::sample::select(vec![Duration::ZERO, Duration::from_millis(1), HOUR]),
            prop::sample::select(vec![Duration::ZERO, Duration::ZERO, HOUR]),
        )
            .prop_map(|(kind, pick, before, after)| Step::Operator { kind, pick, before, after }),
        3 => prop::sample::select(vec![1, 7, usize::MAX]).prop_map(Step::Sweep),
    ]
}

/// What the model knows of one token.
#[derive(Debug)]
struct Token {
    tenant: usize,
    name: String,
    kind: TokenKind,
    grant: Grant,
    /// The session whose end is its end.
    session: Option<&'static str>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    generation: u32,
    consumed: bool,
    may_be_swept: bool,
    must_be_swept: bool,
    /// The last answer, which was checked.
    seen: Answer,
}

/// A [`Verdict`], to compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Active,
    Consumed,
    Expired,
    Revoked(TargetKind),
    Unknown,
}

/// One revocation, kept for good.
#[derive(Debug)]
struct Entry {
    tenant: usize,
    target: Goal,
    at: Timestamp,
    /// Until when the store must remember it.
    until: Timestamp,
    may_be_swept: bool,
}

/// A [`Target`], with a token named by its place in the model.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Goal {
    Token(usize),
    Other(Target),
}

struct World {
    clock: Arc<FakeClock>,
    stores: [MemoryStore; 2],
    tokens: Vec<Token>,
    entries: Vec<Entry>,
    /// The latest expiry that the store was told of, in either namespace.
    horizon: [Timestamp; 2],
    logins: usize,
}

impl World {
    fn new() -> Self {
        let mut retention = Retention::default();
        retention.access_tokens = REMEMBERED[0];
        retention.refresh_tokens = REMEMBERED[1];
        let lifetimes =
            Lifetimes::default().with_retention(retention).with_clock_leap(Duration::MAX);
        let a = MemoryStore::with_key(DigestKey::new(&[7; 32])).with_lifetimes(lifetimes);
        let b = a.namespace(&Namespace::new("tenant-b"));
        Self {
            clock: Arc::new(FakeClock::at(START)),
            stores: [a, b],
            tokens: Vec::new(),
            entries: Vec::new(),
            horizon: [Timestamp::default(); 2],
            logins: 0,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn authority(&self, tenant: usize, cascade: CascadePolicy) -> Authority {
        let client = |id: &str, method| Client::new(ClientMetadata::new(id, method));
        let clients = ClientTable::from_iter([
            client("web", AuthMethod::ClientSecretPost).secret("web-secret"),
            client("spa", AuthMethod::None),
        ]);
        let mut policy = Policy::default();
        policy.cascade = cascade;
        Authority::new(self.stores[tenant].clone(), RegisteredClients::new(clients))
            .policy(policy)
            .clock(Arc::clone(&self.clock))
    }

    /// A token of this namespace, and none if it has none.
    fn pick(&self, tenant: usize, pick: &Index, kind: Option<TokenKind>) -> Option<usize> {
        let all: Vec<usize> = (0..self.tokens.len())
            .filter(|n| self.tokens[*n].tenant == tenant)
            .filter(|n| kind.is_none_or(|kind| self.tokens[*n].kind == kind))
            .collect();
        // The last few more often: those are the ones that something is going on with.
        let recent = &all[all.len().saturating_sub(4)..];
        let few = pick.index(1_000).is_multiple_of(2);
        (!all.is_empty()).then(|| *pick.get(if few { recent } else { &all }))
    }

    /// The entries that cover a token, in the order in which the store looks.
    fn covering(&self, token: &Token) -> Vec<usize> {
        let mut covering: Vec<usize> = (0..self.entries.len())
            .filter(|n| self.entries[*n].tenant == token.tenant)
            .filter(|n| self.covers(&self.entries[*n], token))
            .collect();
        covering.sort_by_key(|n| self.entries[*n].kind() as usize);
        covering
    }

    /// DESIGN's table, written out once more.
    fn covers(&self, entry: &Entry, token: &Token) -> bool {
        let grant = &token.grant;
        let old = grant.authenticated_at() <= entry.at;
        let target = match &entry.target {
            Goal::Token(n) => {
                let named = &self.tokens[*n];
                return named.tenant == token.tenant && named.name == token.name;
            }
            Goal::Other(target) => target,
        };
        match target {
            Target::Grant(id) => grant.id() == id,
            Target::Session(id) => token.session == Some(id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                old && grant.subject_id() == Some(subject) && grant.client_id() == client
            }
            Target::Subject(subject) => old && grant.subject_id() == Some(subject),
            Target::Client(client) => old && grant.client_id() == client,
            Target::Everything => old,
            other => unreachable!("{other:?}"),
        }
    }

    /// Every answer that may be given about a token; exactly one, until it expires.
    fn allowed(&self, token: &Token) -> Vec<Answer> {
        if token.must_be_swept {
            return vec![Answer::Unknown];
        }
        let mut allowed = Vec::new();
        let mut dead_for_sure = false;
        for n in self.covering(token) {
            let entry = &self.entries[n];
            allowed.push(Answer::Revoked(entry.kind()));
            if !entry.may_be_swept {
                dead_for_sure = true;
                break;
            }
        }
        if !dead_for_sure {
            allowed.push(match token {
                token if token.expires_at <= self.now() => Answer::Expired,
                token if token.consumed => Answer::Consumed,
                _ => Answer::Active,
            });
        }
        if token.may_be_swept {
            allowed.push(Answer::Unknown);
        }
        allowed
    }

    /// Writes an entry. `outcome` tells of an entry that may have been swept whether it was.
    fn revoke(&mut self, tenant: usize, target: Goal, at: Timestamp, outcome: Option<Revoked>) {
        let until = self.horizon[tenant].max(at);
        let known =
            self.entries.iter_mut().find(|entry| entry.tenant == tenant && entry.target == target);
        let Some(entry) = known else {
            assert_ne!(outcome, Some(Revoked::Already), "there was no entry");
            self.entries.push(Entry { tenant, target, at, until, may_be_swept: false });
            return;
        };
        let moves = entry.has_cutoff() && at > entry.at;
        if !entry.may_be_swept {
            let expected = if moves { Revoked::Newly } else { Revoked::Already };
            assert_eq!(outcome.unwrap_or(expected), expected);
        }
        let was_swept = outcome == Some(Revoked::Newly) && !moves;
        entry.at = if was_swept { at } else { entry.at.max(at) };
        entry.until = entry.until.max(until);
        entry.may_be_swept = false;
    }

    /// Records a token, and makes sure that the store has taken the same side on whether it lives.
    fn record(&mut self, token: Token, by: Option<TargetKind>) {
        self.horizon[token.tenant] = self.horizon[token.tenant].max(token.expires_at);
        // Entries that would have been found first are gone for good.
        let mut kept = None;
        for n in self.covering(&token) {
            if by == Some(self.entries[n].kind()) {
                kept = Some(n);
                break;
            }
            assert!(self.entries[n].may_be_swept, "a live entry was not found");
            self.entries[n].until = Timestamp::default();
        }
        assert_eq!(by.is_some(), kept.is_some(), "dead, and nobody knows why");
        if let Some(n) = kept {
            let entry = &mut self.entries[n];
            entry.until = entry.until.max(token.expires_at);
            entry.may_be_swept = false;
        }
        self.entries.retain(|entry| entry.until > Timestamp::default());
        self.tokens.push(token);
    }

    fn new_token(
        &self,
        tenant: usize,
        offset: usize,
        kind: TokenKind,
        grant: &Grant,
        lasts: Duration,
        generation: u32,
    ) -> Token {
        let count = self.tokens.iter().filter(|token| token.tenant == tenant).count();
        Token {
            tenant,
            // The same names in both namespaces.
            name: format!("t{}", count + offset),
            kind,
            grant: grant.clone(),
            session: session_of(grant),
            issued_at: self.now(),
            expires_at: self.now() + lasts,
            generation,
            consumed: false,
            may_be_swept: false,
            must_be_swept: false,
            seen: Answer::Active,
        }
    }

    async fn take(&mut self, tenant: usize, step: &Step) {
        match step {
            Step::Advance(by) => self.clock.advance(*by),
            Step::Issue { grant, new_login, access, refresh } => {
                self.issue(tenant, *grant, *new_login, *access, *refresh).await
            }
            Step::IssueAgain(pick) => {
                if let Some(n) = self.pick(tenant, pick, None) {
                    self.issue_again(n).await;
                }
            }
            Step::OpenSession(session, lasts) => self.open_session(tenant, *session, *lasts).await,
            Step::Rotate { token, client, grace } => {
                if let Some(n) = self.pick(tenant, token, Some(TokenKind::RefreshToken)) {
                    self.rotate(n, *client, *grace).await;
                }
            }
            Step::Revoke { token, client, access_token, refresh_token } => {
                let mut cascade = CascadePolicy::both(CASCADES[*access_token]);
                cascade.refresh_token = CASCADES[*refresh_token];
                if let Some(n) = self.pick(tenant, token, None) {
                    self.revoke_by_client(n, *client, cascade).await;
                }
            }
            Step::Logout { token, client } => {
                if let Some(n) = self.pick(tenant, token, None) {
                    self.logout(n, *client).await;
                }
            }
            Step::Operator { kind, pick, before, after } => {
                self.operator(tenant, *kind, pick, *before, *after).await
            }
            Step::Sweep(rows) => self.sweep(*rows).await,
        }
    }

    async fn issue(
        &mut self,
        tenant: usize,
        number: usize,
        new_login: bool,
        access: Duration,
        refresh: Duration,
    ) {
        let (client, subject, session, offline) = GRANTS[number];
        let prefix = format!("g{number}.");
        let logged_in =
            self.tokens.iter().rev().find(|token| {
                token.tenant == tenant && token.grant.id().as_str().starts_with(&prefix)
            });
        let grant = match logged_in {
            Some(token) if !new_login => token.grant.clone(),
            Some(_) | None => {
                self.logins += 1;
                let mut grant = Grant::new(format!("{prefix}{}", self.logins), client, self.now());
                if let Some(subject) = subject {
                    grant = grant.subject(subject);
                }
                if let Some(session) = session {
                    grant = grant.session(session);
                }
                if offline { grant.offline() } else { grant }
            }
        };
        let tokens = [
            self.new_token(tenant, 0, TokenKind::AccessToken, &grant, access, 0),
            self.new_token(tenant, 1, TokenKind::RefreshToken, &grant, refresh, 0),
        ];
        let new = tokens.each_ref().map(as_new);
        let issued = self.stores[tenant].issue(grant, &new, self.now()).await.unwrap();
        let by = match issued {
            Issued::Live => None,
            Issued::BornDead { by } => Some(by),
        };
        for token in tokens {
            self.record(token, by);
        }
    }

    async fn issue_again(&mut self, n: usize) {
        let token = &self.tokens[n];
        // Forgotten, it would be a new one.
        if token.may_be_swept || token.must_be_swept {
            return;
        }
        let expires_at = self.now() + DAY;
        let presented = PresentedToken::new(&token.name);
        let new = match token.kind {
            TokenKind::AccessToken => NewToken::access(presented, expires_at),
            _ => NewToken::refresh(presented, expires_at),
        };
        let grant = token.grant.clone();
        let tenant = token.tenant;
        let store = &self.stores[tenant];
        store.issue(grant, &[new], self.now()).await.unwrap();
        self.horizon[tenant] = self.horizon[tenant].max(expires_at);
    }

    async fn open_session(&mut self, tenant: usize, session: usize, lasts: Duration) {
        let (id, subject) = SESSIONS[session];
        let session = Session::new(id, subject, self.now(), self.now() + lasts);
        let opened = self.stores[tenant].open_session(session).await;
        self.horizon[tenant] = self.horizon[tenant].max(self.now() + lasts);
        let target = Goal::Other(Target::Session(id.into()));
        let ended =
            self.entries.iter().find(|entry| entry.tenant == tenant && entry.target == target);
        match ended {
            Some(entry) if entry.may_be_swept => {}
            Some(_) => assert!(opened.is_err(), "a spent session was opened"),
            None => opened.unwrap(),
        }
    }

    async fn rotate(&mut self, n: usize, client: Option<usize>, grace: Duration) {
        let now = self.now();
        let spent = &self.tokens[n];
        let (tenant, grant) = (spent.tenant, spent.grant.clone());
        let client = client.map_or_else(|| grant.client_id().clone(), |n| CLIENTS[n].into());
        let generation = spent.generation + 1;
        let tokens = [
            self.new_token(tenant, 0, TokenKind::AccessToken, &grant, 10 * MINUTE, generation),
            self.new_token(tenant, 1, TokenKind::RefreshToken, &grant, DAY, generation),
        ];
        let new = tokens.each_ref().map(as_new);
        let rotation = Rotation::new(PresentedToken::new(&spent.name), &client, &new, now);
        let rotated = self.stores[tenant].rotate(&rotation.with_grace(grace)).await.unwrap();

        // What the family is like, from all of its tokens.
        let family = self.tokens.iter().filter(|token| {
            token.tenant == tenant && token.grant.id() == grant.id() && token.generation > 0
        });
        let latest = family.clone().map(|token| token.generation).max().unwrap_or(0);
        let latest_since = family
            .clone()
            .filter(|token| token.generation == latest)
            .map(|token| token.issued_at)
            .min();
        let family_may_be_swept = family.clone().any(|token| token.may_be_swept);
        let in_grace = generation == latest && latest_since.is_some_and(|at| now < at + grace);

        let foreign = client != *grant.client_id();
        match (spent.seen, &rotated) {
            (Answer::Unknown, _) => {
                assert!(matches!(rotated, Rotated::Refused(Refused::Unknown)), "{rotated:?}");
            }
            (_, _) if foreign => {
                let refused = matches!(rotated, Rotated::Refused(Refused::ForeignClient));
                assert!(refused, "{rotated:?}");
            }
            (Answer::Revoked(expected), _) => {
                let refused = matches!(
                    rotated,
                    Rotated::Refused(Refused::Revoked { by }) if by == expected
                );
                assert!(refused, "{rotated:?}");
            }
            (Answer::Active, _) => {
                assert!(matches!(rotated, Rotated::Applied(_)), "{rotated:?}");
                self.tokens[n].consumed = true;
                tokens.into_iter().for_each(|token| self.record(token, None));
            }
            (Answer::Consumed | Answer::Expired, _) if spent.consumed => match rotated {
                Rotated::Refused(Refused::Expired) => {
                    let in_grace = in_grace || family_may_be_swept;
                    assert!(spent.seen == Answer::Expired && in_grace, "reuse was not seen");
                }
                Rotated::AppliedInGrace(_) => {
                    assert!(spent.seen == Answer::Consumed, "an expired token was exchanged");
                    assert!(in_grace || family_may_be_swept, "exchanged out of grace");
                    tokens.into_iter().for_each(|token| self.record(token, None));
                }
                Rotated::Reused(_) => {
                    assert!(!in_grace || family_may_be_swept, "reuse within grace");
                    let family = Goal::Other(Target::Grant(grant.id().clone()));
                    self.revoke(tenant, family, now, None);
                }
                other => panic!("{other:?}"),
            },
            (Answer::Consumed | Answer::Expired, _) => {
                assert!(matches!(rotated, Rotated::Refused(Refused::Expired)), "{rotated:?}");
            }
        }
    }

    fn form(&self, n: usize, parameter: &str, client: Option<usize>) -> (String, bool) {
        let token = &self.tokens[n];
        let owner = token.grant.client_id().as_str();
        let client = client.map_or(owner, |n| CLIENTS[n]);
        let secret = if client == "web" { "&client_secret=web-secret" } else { "" };
        let form = format!("{parameter}={}&client_id={client}{secret}", token.name);
        (form, client == owner)
    }

    async fn revoke_by_client(&mut self, n: usize, client: Option<usize>, cascade: CascadePolicy) {
        let (form, own) = self.form(n, "token", client);
        let request = post(&form);
        let authority = self.authority(self.tokens[n].tenant, cascade);
        let response = annul::handle_revoke(&authority, &request).await;
        let token = &self.tokens[n];
        if token.seen == Answer::Unknown || !own {
            let refused = token.seen != Answer::Unknown && form.contains("client_id=web");
            assert_eq!(response.status(), if refused { 400 } else { 200 });
            return;
        }
        assert_eq!(response.status(), 200);
        let reach = match (token.seen, token.kind) {
            (seen, _) if token.consumed && !matches!(seen, Answer::Revoked(_)) => Cascade::Grant,
            (_, TokenKind::AccessToken) => cascade.access_token,
            (_, _) => cascade.refresh_token,
        };
        let (tenant, consumed) = (token.tenant, token.consumed);
        let of_grant = Goal::Other(Target::Grant(token.grant.id().clone()));
        if reach == Cascade::Token {
            self.revoke(tenant, Goal::Token(n), self.now(), None);
        }
        // Whatever else had covered it: once it is exchanged, to revoke it is to end the grant.
        if reach != Cascade::Token || consumed {
            self.revoke(tenant, of_grant, self.now(), None);
        }
    }

    async fn logout(&mut self, n: usize, client: Option<usize>) {
        let (form, own) = self.form(n, "refresh_token", client);
        let request = post(&form);
        let authority = self.authority(self.tokens[n].tenant, CascadePolicy::default());
        annul::handle_logout(&authority, &request).await;
        let token = &self.tokens[n];
        let found = token.seen != Answer::Unknown && token.kind == TokenKind::RefreshToken;
        if !found || !own {
            return;
        }
        let target = match token.session {
            Some(session) => Target::Session(session.into()),
            None => Target::Grant(token.grant.id().clone()),
        };
        self.revoke(token.tenant, Goal::Other(target), self.now(), None);
    }

    async fn operator(
        &mut self,
        tenant: usize,
        kind: usize,
        pick: &Index,
        before: Duration,
        after: Duration,
    ) {
        let client = *pick.get(&CLIENTS);
        let subject = *pick.get(&SUBJECTS);
        let token = self.pick(tenant, pick, None);
        let target = match (kind, token) {
            (0 | 1, None) => return,
            (0, Some(n)) => Goal::Token(n),
            (1, Some(n)) => Goal::Other(Target::Grant(self.tokens[n].grant.id().clone())),
            (2, _) => Goal::Other(Target::Session(pick.get(&SESSIONS).0.into())),
            (3, _) => Goal::Other(Target::SubjectAtClient(subject.into(), client.into())),
            (4, _) => Goal::Other(Target::Subject(subject.into())),
            (5, _) => Goal::Other(Target::Client(client.into())),
            (_, _) => Goal::Other(Target::Everything),
        };
        let resolved = match &target {
            Goal::Token(n) => {
                let token = PresentedToken::new(&self.tokens[*n].name);
                match self.stores[tenant].find(token, None).await.unwrap() {
                    Some(record) => Target::Token(record.id().clone()),
                    None => return,
                }
            }
            Goal::Other(target) => target.clone(),
        };
        let at = self.now() - before + after;
        let revocation = Revocation::by_operator(resolved, Reason::Administrative, at);
        let outcome = self.stores[tenant].revoke(&revocation).await.unwrap();
        self.revoke(tenant, target, at, Some(outcome));
    }

    /// In the one namespace, and felt in both.
    async fn sweep(&mut self, rows: usize) {
        let now = self.now();
        let all = rows == usize::MAX;
        let swept = self.stores[0].sweep(now, SweepBudget::rows(rows)).await.unwrap();
        assert!(swept.removed <= rows);
        assert!(!(all && swept.more), "a sweep without a limit left something");
        for entry in &mut self.entries {
            entry.may_be_swept |= entry.until <= now;
        }
        for n in 0..self.tokens.len() {
            let due = self.remembered_until(&self.tokens[n]);
            let token = &mut self.tokens[n];
            token.may_be_swept |= due <= now;
            // Whole minutes: up to one late.
            token.must_be_swept |= all && due + MINUTE <= now;
        }
    }

    /// Some time beyond its expiry; beyond its family's, once it was exchanged.
    fn remembered_until(&self, token: &Token) -> Timestamp {
        let is_family = |other: &&Token| {
            token.consumed
                && other.tenant == token.tenant
                && other.grant.id() == token.grant.id()
                && (other.generation > 0 || other.consumed)
        };
        let expiries = self.tokens.iter().filter(is_family).map(|other| other.expires_at);
        let expiry = expiries.fold(token.expires_at, Timestamp::max);
        expiry
            + match token.kind {
                TokenKind::AccessToken => REMEMBERED[0],
                _ => REMEMBERED[1],
            }
    }

    async fn compare(&mut self) -> Result<(), TestCaseError> {
        let authorities = [0, 1].map(|tenant| self.authority(tenant, CascadePolicy::default()));
        for n in 0..self.tokens.len() {
            let token = &self.tokens[n];
            let presented = PresentedToken::new(&token.name);
            let verdict = authorities[token.tenant].check(presented).await.unwrap();
            let answer = match verdict {
                Verdict::Active(record) => {
                    prop_assert_eq!(&**record.grant(), &token.grant);
                    prop_assert_eq!(record.expires_at(), token.expires_at);
                    prop_assert_eq!(record.kind(), token.kind);
                    Answer::Active
                }
                Verdict::Consumed => Answer::Consumed,
                Verdict::Expired => Answer::Expired,
                Verdict::Revoked { by } => Answer::Revoked(by),
                Verdict::Unknown => Answer::Unknown,
                other => panic!("{other:?}"),
            };
            let allowed = self.allowed(token);
            prop_assert!(
                allowed.contains(&answer),
                "{answer:?} is not among {allowed:?}: {token:?}"
            );
            if token.expires_at > self.now() {
                prop_assert_eq!(allowed.len(), 1, "the model is vague: {:?}", token);
            }
            // Whatever the model thinks: nothing dead comes back.
            let revived = answer == Answer::Active && token.seen != Answer::Active;
            prop_assert!(!revived, "revived: {token:?}");
            self.tokens[n].seen = answer;
        }
        Ok(())
    }

    /// Long after, one sweep leaves nothing at all behind.
    async fn drain(&self) -> Result<(), TestCaseError> {
        self.clock.advance(365 * DAY);
        let swept = self.stores[1].sweep(self.now(), SweepBudget::rows(usize::MAX)).await;
        prop_assert!(!swept.unwrap().more);
        let usage = self.stores[0].usage();
        prop_assert_eq!((usage.tokens, usage.revocations, usage.sessions), (0, 0, 0));
        Ok(())
    }
}

impl Entry {
    fn kind(&self) -> TargetKind {
        match &self.target {
            Goal::Token(_) => TargetKind::Token,
            Goal::Other(target) => target.kind(),
        }
    }

    fn has_cutoff(&self) -> bool {
        !matches!(self.kind(), TargetKind::Token | TargetKind::Grant | TargetKind::Session)
    }
}

/// By its number: an offline grant is bound to none.
fn session_of(grant: &Grant) -> Option<&'static str> {
    let number: usize = grant.id().as_str()[1..2].parse().unwrap();
    let (_, _, session, offline) = GRANTS[number];
    session.filter(|_| !offline)
}

fn as_new(token: &Token) -> NewToken<'_> {
    let presented = PresentedToken::new(&token.name);
    match token.kind {
        TokenKind::AccessToken => NewToken::access(presented, token.expires_at),
        _ => NewToken::refresh(presented, token.expires_at),
    }
}

fn post(form: &str) -> Request<'_> {
    Request::post(form.as_bytes()).header("content-type", b"application/x-www-form-urlencoded")
}

fn config() -> Config {
    Config { cases: 400, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_token_ever_issued_is_answered_as_a_model_that_forgets_nothing_says(
        steps in prop::collection::vec((0..2_usize, step()), 1..90),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for (tenant, step) in &steps {
                world.take(*tenant, step).await;
                world.compare().await?;
            }
            world.drain().await
        })?;
    }
}
