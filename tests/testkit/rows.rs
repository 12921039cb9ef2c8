//! A second ledger, as a host would write it over a database: tables, statements, transactions, and an await around each
//! of them. It keeps the contract, unless it is given one of the [`Bug`]s that such stores have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use annul::store::{
    Issued, Refused, Rotated, Rotation, Session, StoreError, Sweep, SweepBudget, Swept,
    TokenLedger, TokenStore,
};
use annul::testkit::{Fixture, Put, PutToken};
use annul::{
    Actor, Clock, FakeClock, Grant, GrantId, NewToken, PresentedToken, Revocation, Revoked,
    SessionId, Target, TargetKind, Timestamp, TokenId, TokenKind, TokenRecord, TokenState,
    TokenTypeHint,
};
use async_trait::async_trait;

use crate::bugs::Bug;

const HOUR: Duration = Duration::from_secs(3_600);
const IN_FLIGHT: Duration = Duration::from_secs(600);

/// The database: it outlives its handles.
#[derive(Default)]
pub(crate) struct Engine {
    tables: Mutex<BTreeMap<String, Tables>>,
    statements: AtomicU64,
    reads: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    tokens: BTreeMap<String, Row>,
    entries: BTreeMap<String, Entry>,
    families: BTreeMap<GrantId, Family>,
    sessions: BTreeMap<SessionId, Session>,
    /// The latest expiry or instant that it has heard of.
    horizon: Timestamp,
}

#[derive(Clone, Debug)]
struct Row {
    kind: TokenKind,
    grant: Grant,
    issued_at: Timestamp,
    expires_at: Timestamp,
    generation: u32,
    consumed: bool,
    /// Only where a bug keeps revocation with the token.
    marked: Option<TargetKind>,
}

#[derive(Clone, Debug)]
struct Entry {
    at: Timestamp,
    until: Timestamp,
}

#[derive(Clone, Debug)]
struct Family {
    generation: u32,
    rotated_at: Timestamp,
    latest_expiry: Timestamp,
}

/// One connection.
pub(crate) struct Rows {
    engine: Arc<Engine>,
    tenant: &'static str,
    bug: Option<Bug>,
    clock: Arc<FakeClock>,
    /// What only this process knows, where a bug keeps something there.
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    cached: BTreeMap<String, TokenRecord>,
    unwritten: Vec<Revocation>,
    consumed: BTreeSet<String>,
}

/// What a transaction comes to.
enum Spent {
    First(u32),
    InGrace(u32),
    No(Rotated),
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

impl Rows {
    /// An empty database with this bug, and all that can be shown of it.
    pub(crate) fn fixture(bug: Option<Bug>) -> Fixture {
        let engine = Arc::new(Engine::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let open = {
            let (engine, clock) = (Arc::clone(&engine), Arc::clone(&clock));
            move |tenant| {
                let (engine, clock) = (Arc::clone(&engine), Arc::clone(&clock));
                Arc::new(Self { engine, tenant, bug, clock, own: Mutex::default() })
            }
        };
        let again = {
            let open = open.clone();
            move || {
                let rows = open("a");
                std::future::ready(Ok(Fixture::ledger(Arc::clone(&rows)).sweep(rows)))
            }
        };
        let (counted, shown) = (Arc::clone(&engine), engine);
        let rows = open("a");
        Fixture::ledger(Arc::clone(&rows))
            .sweep(rows)
            .neighbour(Fixture::ledger(open("b")))
            .second_handle(again.clone())
            .restarting(again)
            .operations(move || std::future::ready(Ok(counted.statements.load(Ordering::SeqCst))))
            .contents(move || std::future::ready(Ok(shown.dump())))
            .clock(clock)
    }

    /// A host that only finds and revokes, and whose tables have every token a user.
    pub(crate) fn host() -> Fixture {
        let engine = Arc::new(Engine::default());
        let clock = Arc::new(FakeClock::at(Timestamp::default()));
        let rows = Arc::new(Self { engine, tenant: "a", bug: None, clock, own: Mutex::default() });
        Fixture::store(Arc::clone(&rows), rows)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn begin(&self) -> MutexGuard<'_, BTreeMap<String, Tables>> {
        self.engine.statements.fetch_add(1, Ordering::SeqCst);
        self.engine.tables.lock().unwrap()
    }

    /// One transaction over this tenant's tables.
    fn transaction<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> T {
        let tenant = if self.has(Bug::ForgetsTheTenant) { "all" } else { self.tenant };
        work(self.begin().entry(tenant.to_owned()).or_default())
    }

    fn token_key(&self, token: &str) -> String {
        match self.bug {
            Some(Bug::TokensIgnoreCase) => token.to_lowercase(),
            _ => token.to_owned(),
        }
    }

    /// The primary key of an entry.
    fn entry_key(&self, target: &Target) -> String {
        let key = match target {
            Target::Token(id) => format!("token:{}", id.name().unwrap_or_default()),
            Target::Grant(id) => format!("grant:{id}"),
            Target::Session(id) => format!("session:{id}"),
            Target::SubjectAtClient(user, client) if self.has(Bug::GluesNames) => {
                format!("at:{user}:{client}")
            }
            Target::SubjectAtClient(user, client) => {
                format!("at:{}:{user}:{client}", user.as_str().len())
            }
            Target::Subject(user) => format!("user:{user}"),
            Target::Client(client) => format!("client:{client}"),
            _ => "everything".to_owned(),
        };
        match self.bug {
            Some(Bug::NamesIgnoreCase) => key.to_lowercase(),
            Some(Bug::OneKeySpaceForAllKinds) => {
                key.split_once(':').map_or_else(|| key.clone(), |(_, name)| name.to_owned())
            }
            _ => key,
        }
    }

    /// The seven keys that may cover a token, and what their entries compare the cutoff with.
    fn covering(
        &self,
        tables: &Tables,
        token: Option<&str>,
        grant: &Grant,
    ) -> Option<(String, TargetKind)> {
        let mut targets = Vec::new();
        targets.extend(token.map(|token| Target::Token(TokenId::named(token))));
        targets.push(Target::Grant(grant.id().clone()));
        let session = match self.bug {
            Some(Bug::OfflineEndsWithItsSession) if grant.is_offline() => Some("s".into()),
            _ => grant.session_id().cloned(),
        };
        targets.extend(session.map(Target::Session));
        let nobody = self.has(Bug::NobodyIsAnEmptyName).then(|| "".into());
        if let Some(user) = grant.subject_id().cloned().or(nobody) {
            targets.push(Target::SubjectAtClient(user.clone(), grant.client_id().clone()));
            targets.push(Target::Subject(user));
        }
        targets.extend([Target::Client(grant.client_id().clone()), Target::Everything]);
        targets.into_iter().find_map(|target| {
            let key = self.entry_key(&target);
            let entry = tables.entries.get(&key)?;
            let old = match self.bug {
                Some(Bug::CutoffIsExclusive) => grant.authenticated_at() < entry.at,
                Some(Bug::CutoffIgnoresTime) => true,
                _ => grant.authenticated_at() <= entry.at,
            };
            let named = matches!(
                target.kind(),
                TargetKind::Token | TargetKind::Grant | TargetKind::Session
            );
            (named || old).then(|| (key, target.kind()))
        })
    }

    fn state_of(&self, tables: &Tables, name: &str, row: &Row) -> TokenState {
        let covering = match self.bug {
            Some(bug) if bug.keeps_revocation_with_the_token() => row.marked,
            _ => self.covering(tables, Some(name), &row.grant).map(|(_, kind)| kind),
        };
        match covering {
            Some(by) => TokenState::Revoked { by },
            None if row.consumed => TokenState::Consumed,
            None => TokenState::Active,
        }
    }

    fn record_of(&self, tables: &Tables, name: &str, row: &Row) -> TokenRecord {
        let state = self.state_of(tables, name, row);
        let mut grant = row.grant.clone();
        if self.has(Bug::LoginIsTheTimeOfIssue) {
            let changed = Grant::new(grant.id().clone(), grant.client_id().clone(), row.issued_at);
            let changed = grant.subject_id().cloned().into_iter().fold(changed, Grant::subject);
            grant = grant.session_id().cloned().into_iter().fold(changed, Grant::session);
        }
        if self.has(Bug::CutsClientsShort) {
            let short = &grant.client_id().as_str()[..2];
            let changed = Grant::new(grant.id().clone(), short, grant.authenticated_at());
            let changed = grant.subject_id().cloned().into_iter().fold(changed, Grant::subject);
            grant = grant.session_id().cloned().into_iter().fold(changed, Grant::session);
        }
        TokenRecord::new(TokenId::named(name), row.kind, grant, row.expires_at)
            .with_issued_at(row.issued_at)
            .with_state(state)
    }

    fn until(&self, tables: &Tables, at: Timestamp) -> Timestamp {
        match self.bug {
            Some(Bug::EntriesLastAnHour) => at + HOUR,
            Some(Bug::NothingIsInFlight) => tables.horizon.max(at),
            _ => tables.horizon.max(at) + IN_FLIGHT,
        }
    }

    fn write_entry(&self, tables: &mut Tables, revocation: &Revocation) -> Revoked {
        let key = self.entry_key(revocation.target());
        let (at, until) = (revocation.at(), self.until(tables, revocation.at()));
        let kind = revocation.target().kind();
        match tables.entries.get_mut(&key) {
            Some(entry) => {
                if !self.has(Bug::RepeatsDoNotCount) {
                    entry.until = entry.until.max(until);
                }
                let moved = entry.at < at;
                if moved || self.has(Bug::CutoffMovesBack) {
                    entry.at = at;
                }
                let cutoff =
                    !matches!(kind, TargetKind::Token | TargetKind::Grant | TargetKind::Session);
                let news = (moved && cutoff) || self.has(Bug::ReplayIsNews);
                if news { Revoked::Newly } else { Revoked::Already }
            }
            None => {
                tables.entries.insert(key, Entry { at, until });
                Revoked::Newly
            }
        }
    }

    /// Marks the rows that a revocation covers, one statement for each.
    fn mark(&self, tables: &mut Tables, revocation: &Revocation, most: usize) {
        for (name, row) in tables.tokens.iter_mut().take(most) {
            self.engine.statements.fetch_add(1, Ordering::SeqCst);
            let id = TokenId::named(name);
            let record = TokenRecord::new(id, row.kind, row.grant.clone(), row.expires_at);
            if revocation.covers(&record) {
                row.marked = row.marked.or_else(|| Some(revocation.target().kind()));
            }
        }
    }

    /// Inserts tokens, and says what covers them. `checked` is what was found before, where a bug looks before it writes.
    fn insert(
        &self,
        tables: &mut Tables,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
        checked: Option<Option<TargetKind>>,
    ) -> Result<Option<TargetKind>, StoreError> {
        for token in tokens {
            let name = self.token_key(token.token().expose_secret());
            tables.horizon = tables.horizon.max(token.expires_at()).max(now);
            let covering = self.covering(tables, None, grant);
            let marked = checked.unwrap_or_else(|| covering.as_ref().map(|(_, kind)| *kind));
            let row = Row {
                kind: token.kind(),
                grant: grant.clone(),
                issued_at: now,
                expires_at: token.expires_at(),
                generation: if token.is_consumed() { u32::MAX - 1 } else { generation },
                consumed: token.is_consumed(),
                marked,
            };
            match tables.tokens.get(&name) {
                Some(_) if self.has(Bug::IssuingOverwrites) => {
                    tables.tokens.insert(name.clone(), row);
                }
                Some(known) if known.grant.id() == grant.id() => {}
                Some(_) if self.has(Bug::TakesTokensOver) => {
                    tables.tokens.insert(name.clone(), row);
                }
                Some(_) => return Err(StoreError::conflict("another grant's")),
                None => {
                    tables.tokens.insert(name.clone(), row);
                }
            }
            if let Some((key, _)) = covering
                && !self.has(Bug::EntriesAreNotProlonged)
                && let Some(entry) = tables.entries.get_mut(&key)
            {
                entry.until = entry.until.max(token.expires_at());
            }
        }
        if self.has(Bug::AlwaysSaysLive) {
            return Ok(None);
        }
        Ok(self.covering(tables, None, grant).map(|(_, kind)| kind))
    }

    fn spend(&self, tables: &mut Tables, rotation: &Rotation<'_>) -> Spent {
        let name = self.token_key(rotation.spent().expose_secret());
        let now = rotation.now();
        let refused = |why| Spent::No(Rotated::Refused(why));
        let Some(row) = tables.tokens.get(&name).cloned() else {
            return refused(Refused::Unknown);
        };
        let own_consumed = self.has(Bug::ForgetsExchangesAtTheEnd)
            && self.own.lock().unwrap().consumed.contains(&name);
        let consumed = row.consumed || own_consumed;
        let record = self.record_of(tables, &name, &row);
        if row.kind != TokenKind::RefreshToken {
            return refused(Refused::NotARefreshToken);
        }
        if self.has(Bug::StrangersSpend)
            && let Some(row) = tables.tokens.get_mut(&name)
        {
            row.consumed = true;
        }
        if row.grant.client_id() != rotation.client() && !self.has(Bug::AnybodyExchanges) {
            return refused(Refused::ForeignClient);
        }
        let family = tables.families.get(row.grant.id()).cloned();
        let next = row.generation + 1;
        let in_grace = consumed
            && family.as_ref().is_some_and(|family| {
                (family.generation == next || self.has(Bug::GraceForEveryGeneration))
                    && (!rotation.grace().is_zero() || self.has(Bug::GoesByTheClockAlone))
                    && now < family.rotated_at + rotation.grace()
            });
        let imported = self.has(Bug::ImportedTokensHaveGrace)
            && row.generation == u32::MAX - 1
            && rotation.grace() > Duration::ZERO;
        if in_grace && self.has(Bug::GraceBeforeRevocation) {
            return Spent::InGrace(next);
        }
        if let TokenState::Revoked { by } = record.state()
            && !self.has(Bug::ExchangesTheDead)
        {
            return refused(Refused::Revoked { by });
        }
        let expired = row.expires_at <= now;
        if consumed {
            return match (in_grace || imported, expired) {
                (true, true) => refused(Refused::Expired),
                (true, false) => {
                    if let Some(family) = tables.families.get_mut(row.grant.id())
                        && self.has(Bug::GraceIsProlongedByUse)
                    {
                        family.rotated_at = now;
                    }
                    Spent::InGrace(next)
                }
                (false, _) if self.has(Bug::ReuseGoesUnnoticed) => refused(Refused::Expired),
                (false, _) if self.has(Bug::ReuseEndsTheTokenAlone) => {
                    Spent::No(Rotated::Reused(record))
                }
                (false, _) => {
                    let family = Revocation::by_reuse(row.grant.id().clone(), now);
                    self.write_entry(tables, &family);
                    if self.bug.is_some_and(Bug::keeps_revocation_with_the_token) {
                        self.mark(tables, &family, usize::MAX);
                    }
                    Spent::No(Rotated::Reused(record))
                }
            };
        }
        if expired {
            return refused(Refused::Expired);
        }
        self.consume(tables, &name, rotation, next);
        Spent::First(next)
    }

    fn consume(&self, tables: &mut Tables, name: &str, rotation: &Rotation<'_>, next: u32) {
        let now = rotation.now();
        let Some(row) = tables.tokens.get_mut(name) else {
            return;
        };
        match self.bug {
            Some(Bug::ForgetsExchangesAtTheEnd) => {
                self.own.lock().unwrap().consumed.insert(name.to_owned());
            }
            _ => row.consumed = true,
        }
        let latest = rotation.successors().iter().map(NewToken::expires_at);
        let latest = latest.fold(row.expires_at, Timestamp::max);
        let grant = row.grant.id().clone();
        let family = tables.families.entry(grant.clone()).or_insert(Family {
            generation: 0,
            rotated_at: now,
            latest_expiry: latest,
        });
        family.latest_expiry = family.latest_expiry.max(latest);
        if family.generation < next {
            family.generation = next;
            family.rotated_at = now;
        }
        if self.has(Bug::RemembersAHundredGenerations) {
            let old = |row: &Row| *row.grant.id() == grant && row.generation + 100 < next;
            tables.tokens.retain(|_, row| !old(row));
        }
    }

    /// When a sweep may take a token.
    fn due(&self, tables: &Tables, row: &Row) -> Timestamp {
        let family = tables.families.get(row.grant.id()).map(|family| family.latest_expiry);
        let family = family.filter(|_| row.consumed && !self.has(Bug::ConsumedGoAtTheirExpiry));
        match self.bug {
            Some(Bug::SweepsWhatIsADayOld) => row.issued_at + 24 * HOUR,
            _ => row.expires_at.max(family.unwrap_or_default()),
        }
    }
}

impl Engine {
    fn dump(&self) -> String {
        let reads = self.reads.load(Ordering::SeqCst);
        format!("{reads} {:?}", self.tables.lock().unwrap())
    }
}

#[async_trait]
impl TokenStore for Rows {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        pause().await;
        let presented = token.expose_secret();
        let name = self.token_key(presented);
        if self.has(Bug::KeepsWhatItHasFound)
            && let Some(cached) = self.own.lock().unwrap().cached.get(&name)
        {
            return Ok(Some(cached.clone()));
        }
        let found = self.transaction(|tables| {
            let found = match self.bug {
                Some(Bug::FindsByPattern) => {
                    let pattern = name.trim_end_matches('%');
                    tables.tokens.iter().find(|(known, _)| known.starts_with(pattern))
                }
                _ => tables.tokens.get_key_value(&name),
            };
            let (name, row) = found?;
            Some((self.record_of(tables, name, row), row.clone()))
        });
        if self.has(Bug::CountsReads) {
            self.engine.reads.fetch_add(1, Ordering::SeqCst);
        }
        pause().await;
        let Some((mut record, row)) = found else {
            return Ok(None);
        };
        let own = self.own.lock().unwrap();
        if own.consumed.contains(&name) && record.state() == TokenState::Active {
            record = record.with_state(TokenState::Consumed);
        }
        if let Some(by) = own.unwritten.iter().find(|revocation| revocation.covers(&record))
            && self.has(Bug::WritesBehind)
        {
            record = record.with_state(TokenState::Revoked { by: by.target().kind() });
        }
        drop(own);
        let hidden = match (self.bug, hint) {
            (Some(Bug::HintFilters), Some(TokenTypeHint::AccessToken)) => {
                row.kind != TokenKind::AccessToken
            }
            (Some(Bug::HintFilters), Some(TokenTypeHint::RefreshToken)) => {
                row.kind != TokenKind::RefreshToken
            }
            (Some(Bug::HidesExpired), _) => row.expires_at <= self.clock.now(),
            (Some(Bug::HidesConsumed), _) => row.consumed,
            _ => false,
        };
        if self.has(Bug::KeepsWhatItHasFound) {
            self.own.lock().unwrap().cached.insert(name, record.clone());
        }
        Ok((!hidden).then_some(record))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        pause().await;
        match self.bug {
            Some(Bug::IgnoresClientRevocations)
                if revocation.target().kind() == TargetKind::Client =>
            {
                return Ok(Revoked::Newly);
            }
            Some(Bug::AcknowledgesFirst | Bug::WritesBehind) => {
                let before = {
                    let mut own = self.own.lock().unwrap();
                    own.unwritten.push(revocation.clone());
                    own.unwritten.len() - 1
                };
                let known = self.own.lock().unwrap().unwritten[..before]
                    .iter()
                    .any(|known| known.target() == revocation.target());
                if self.has(Bug::AcknowledgesFirst) && before > 0 {
                    let due: Vec<_> = self.own.lock().unwrap().unwritten.drain(..before).collect();
                    self.transaction(|tables| {
                        for due in &due {
                            self.write_entry(tables, due);
                        }
                    });
                }
                return Ok(if known { Revoked::Already } else { Revoked::Newly });
            }
            Some(Bug::MarksOneByOne) => {
                let names =
                    self.transaction(|tables| tables.tokens.keys().cloned().collect::<Vec<_>>());
                for name in names {
                    pause().await;
                    self.transaction(|tables| {
                        let mut one = tables.clone();
                        one.tokens.retain(|known, _| *known == name);
                        self.mark(&mut one, revocation, 1);
                        tables.tokens.append(&mut one.tokens);
                    });
                }
            }
            Some(Bug::LooksThenRevokes) => {
                let key = self.entry_key(revocation.target());
                let known = self.transaction(|tables| tables.entries.contains_key(&key));
                pause().await;
                self.transaction(|tables| self.write_entry(tables, revocation));
                return Ok(if known { Revoked::Already } else { Revoked::Newly });
            }
            Some(Bug::DeletesThenInserts) => {
                let key = self.entry_key(revocation.target());
                let known = self.transaction(|tables| tables.entries.remove(&key));
                pause().await;
                let until = known.as_ref().map(|known| known.at);
                return Ok(self.transaction(|tables| {
                    let outcome = self.write_entry(tables, revocation);
                    if let (Some(entry), Some(at)) = (tables.entries.get_mut(&key), until) {
                        let moved = at < entry.at;
                        entry.at = entry.at.max(at);
                        return if moved { outcome } else { Revoked::Already };
                    }
                    outcome
                }));
            }
            _ => {}
        }
        let outcome = self.transaction(|tables| {
            match self.bug {
                Some(Bug::MarksTheTokensItFinds) => {
                    let before = format!("{:?}", tables.tokens);
                    self.mark(tables, revocation, usize::MAX);
                    return match before == format!("{:?}", tables.tokens) {
                        true => Revoked::Already,
                        false => Revoked::Newly,
                    };
                }
                Some(Bug::StopsAtAThousand) => self.mark(tables, revocation, 1_000),
                Some(Bug::DecidesAtIssue | Bug::Enumerates) => {
                    self.mark(tables, revocation, usize::MAX);
                }
                Some(Bug::LogoutDeletesTheSession) => {
                    if let Target::Session(id) = revocation.target() {
                        tables.sessions.remove(id);
                    }
                }
                Some(Bug::SessionsEndTheirUsers) => {
                    if let Target::Session(id) = revocation.target() {
                        let of = |row: &&Row| row.grant.session_id() == Some(id);
                        let user = tables.tokens.values().find(of);
                        if let Some(user) = user.and_then(|row| row.grant.subject_id()).cloned() {
                            let user = Revocation::by_operator(
                                Target::Subject(user),
                                revocation.reason(),
                                revocation.at(),
                            );
                            self.write_entry(tables, &user);
                        }
                    }
                }
                _ => {}
            }
            let outcome = self.write_entry(tables, revocation);
            let (Target::Token(id), Actor::Client(_)) = (revocation.target(), revocation.actor())
            else {
                return outcome;
            };
            let row = id.name().and_then(|name| tables.tokens.get(name));
            if let Some(row) = row.filter(|row| row.consumed)
                && !self.has(Bug::RevokesASpentTokenAlone)
            {
                let grant = Target::Grant(row.grant.id().clone());
                let family = Revocation::by_operator(grant, revocation.reason(), revocation.at());
                self.write_entry(tables, &family);
            }
            outcome
        });
        pause().await;
        Ok(outcome)
    }
}

#[async_trait]
impl TokenLedger for Rows {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        pause().await;
        let mut checked = None;
        match self.bug {
            Some(Bug::DecidesAtIssue) => {
                checked = Some(self.transaction(|tables| {
                    self.covering(tables, None, &grant).map(|(_, kind)| kind)
                }));
                pause().await;
            }
            Some(Bug::LooksThenIssues) => {
                let names = tokens.iter().map(|token| token.token().expose_secret());
                let taken = self.transaction(|tables| {
                    names
                        .filter_map(|name| tables.tokens.get(name))
                        .any(|known| known.grant.id() != grant.id())
                });
                if taken {
                    return Err(StoreError::conflict("another grant's"));
                }
                pause().await;
                self.transaction(|tables| {
                    for token in tokens {
                        tables.tokens.remove(token.token().expose_secret());
                    }
                });
            }
            Some(Bug::IssuesBeforeItsGrant) => {
                let orphan = Grant::new("", grant.client_id().clone(), grant.authenticated_at());
                self.transaction(|tables| {
                    for token in tokens {
                        let name = token.token().expose_secret().to_owned();
                        if tables.tokens.contains_key(&name) {
                            continue;
                        }
                        let row = Row {
                            kind: token.kind(),
                            grant: orphan.clone(),
                            issued_at: now,
                            expires_at: token.expires_at(),
                            generation: 0,
                            consumed: false,
                            marked: None,
                        };
                        tables.tokens.insert(name, row);
                    }
                });
                pause().await;
                self.transaction(|tables| {
                    tables.tokens.retain(|_, row| row.grant.id() != orphan.id());
                });
            }
            _ => {}
        }
        let dead =
            self.transaction(|tables| self.insert(tables, &grant, tokens, 0, now, checked))?;
        pause().await;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        pause().await;
        let name = self.token_key(rotation.spent().expose_secret());
        let before = self.transaction(|tables| {
            let row = tables.tokens.get(&name)?;
            let checked = self.covering(tables, Some(&name), &row.grant).map(|(_, kind)| kind);
            Some((self.record_of(tables, &name, row), row.grant.clone(), checked))
        });
        let (successors, now) = (rotation.successors(), rotation.now());
        if let (Some(Bug::RecordsBeforeItSpends), Some((_, grant, _))) = (self.bug, &before) {
            let early =
                self.transaction(|tables| self.insert(tables, grant, successors, 1, now, None));
            early?;
            pause().await;
        }
        let spent = if self.has(Bug::DoesNotCompareAndSwap) {
            // Looks in one statement, and writes in another.
            let mut scratch = self.transaction(|tables| tables.clone());
            let spent = self.spend(&mut scratch, rotation);
            pause().await;
            if let Spent::First(next) = spent {
                self.transaction(|tables| self.consume(tables, &name, rotation, next));
            }
            if let Spent::No(Rotated::Reused(record)) = &spent {
                let family = Revocation::by_reuse(record.grant().id().clone(), now);
                self.transaction(|tables| self.write_entry(tables, &family));
            }
            spent
        } else {
            self.transaction(|tables| self.spend(tables, rotation))
        };
        pause().await;
        let (generation, in_grace) = match spent {
            Spent::First(generation) => (generation, false),
            Spent::InGrace(generation) => (generation, true),
            Spent::No(outcome) => return Ok(outcome),
        };
        let Some((record, grant, checked)) = before else {
            return Ok(Rotated::Refused(Refused::Unknown));
        };
        let grant = match self.bug {
            Some(Bug::SuccessorsAreAGrantOfTheirOwn) => {
                Grant::new(format!("{name}-next"), grant.client_id().clone(), now)
            }
            _ => grant,
        };
        let checked = self.has(Bug::DecidesAtIssue).then_some(checked);
        let recorded = self.transaction(|tables| {
            // Revoked by itself since it was spent: then its successors would not be covered.
            if let Some((_, by)) = self.covering(tables, Some(&name), &grant)
                && !self.has(Bug::ExchangesTheDead)
                && !self.has(Bug::RevokesASpentTokenAlone)
                && !self.has(Bug::GraceBeforeRevocation)
                && !self.has(Bug::DecidesAtIssue)
            {
                return Ok(Some(by));
            }
            self.insert(tables, &grant, successors, generation, now, checked)
        });
        let dead = recorded?;
        pause().await;
        Ok(match (dead, in_grace) {
            (Some(by), _)
                if !self.has(Bug::ExchangesTheDead) && !self.has(Bug::GraceBeforeRevocation) =>
            {
                Rotated::Refused(Refused::Revoked { by })
            }
            (_, true) => Rotated::AppliedInGrace(record),
            (_, false) => Rotated::Applied(record),
        })
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        pause().await;
        if self.has(Bug::LooksThenJoins) {
            let known = self.transaction(|tables| tables.sessions.get(session.id()).cloned());
            pause().await;
            let mut joined = known.unwrap_or_else(|| session.clone());
            joined.join(&session)?;
            self.transaction(|tables| tables.sessions.insert(session.id().clone(), joined));
            return Ok(());
        }
        let opened = self.transaction(|tables| {
            let logged_out = self.entry_key(&Target::Session(session.id().clone()));
            if tables.entries.contains_key(&logged_out) && !self.has(Bug::SessionsAreReopened) {
                return Err(StoreError::conflict("logged out"));
            }
            let known = tables.sessions.get(session.id()).cloned();
            let is_new = known.is_none();
            let mut joined = known.unwrap_or_else(|| session.clone());
            match self.bug {
                Some(Bug::OnlyTheLastTakesPart | Bug::AnybodyJoins) => joined = session.clone(),
                _ => joined.join(&session)?,
            }
            if self.has(Bug::OnlyTheLastTakesPart)
                && let Some(known) = tables.sessions.get(session.id())
                && known.subject() != session.subject()
            {
                return Err(StoreError::conflict("another user's"));
            }
            tables.sessions.insert(session.id().clone(), joined.clone());
            if self.has(Bug::SessionsDoNotCount) {
                return Ok(());
            }
            tables.horizon = tables.horizon.max(joined.expires_at());
            if is_new || !self.has(Bug::ProlongingDoesNotCount) {
                let held: Vec<String> = joined
                    .clients()
                    .iter()
                    .flat_map(|client| {
                        let user = joined.subject().clone();
                        [
                            Target::SubjectAtClient(user.clone(), client.clone()),
                            Target::Subject(user),
                            Target::Client(client.clone()),
                            Target::Everything,
                        ]
                    })
                    .map(|target| self.entry_key(&target))
                    .collect();
                for key in held {
                    if let Some(entry) = tables.entries.get_mut(&key)
                        && joined.started_at() <= entry.at
                    {
                        entry.until = entry.until.max(joined.expires_at() + IN_FLIGHT);
                    }
                }
            }
            Ok(())
        });
        pause().await;
        opened
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        pause().await;
        Ok(self.transaction(|tables| tables.sessions.get(id).cloned()))
    }
}

/// What a sweep takes: a table and a key.
#[derive(Clone, Debug)]
enum Due {
    Entry(String),
    Session(SessionId),
    Token(String),
}

#[async_trait]
impl Sweep for Rows {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        pause().await;
        if self.has(Bug::SweepsNothing) {
            return Ok(Swept::new(0, false));
        }
        if self.has(Bug::SweepsByEmptying) {
            let rest = self.transaction(std::mem::take);
            pause().await;
            self.transaction(|tables| *tables = rest);
        }
        if self.has(Bug::SweepsTheNeighbours) {
            for tables in self.begin().values_mut() {
                tables.entries.retain(|_, entry| now < entry.at + 24 * HOUR);
            }
        }
        let due_of = |tables: &Tables| -> Vec<Due> {
            let tokens = tables.tokens.iter().filter(|(_, row)| self.due(tables, row) <= now);
            let entries = tables.entries.iter().filter(|(_, entry)| entry.until <= now);
            let sessions = tables.sessions.iter().filter(|(_, it)| it.expires_at() <= now);
            let tokens = tokens.map(|(name, _)| Due::Token(name.clone()));
            let entries = entries.map(|(key, _)| Due::Entry(key.clone()));
            let sessions = sessions.map(|(id, _)| Due::Session(id.clone()));
            tokens.chain(entries).chain(sessions).collect()
        };
        let rows = match self.bug {
            Some(Bug::IgnoresTheBudget) => usize::MAX,
            _ => budget.max_rows(),
        };
        let positions = if self.has(Bug::SweepsByPosition) {
            let positions = self.transaction(|tables| {
                let due = tables.tokens.values().enumerate();
                let due = due.filter(|(_, row)| self.due(tables, row) <= now);
                due.map(|(n, _)| n).take(rows).collect::<Vec<_>>()
            });
            pause().await;
            Some(positions)
        } else {
            None
        };
        self.transaction(|tables| tables.horizon = tables.horizon.max(now));
        let tenants: Vec<String> = self.begin().keys().cloned().collect();
        let mut removed = 0;
        let mut more = false;
        for tenant in tenants {
            let mut engine = self.begin();
            let Some(tables) = engine.get_mut(&tenant) else {
                continue;
            };
            tables.horizon = tables.horizon.max(now);
            if let Some(positions) = &positions {
                let mut position = 0;
                tables.tokens.retain(|_, _| {
                    position += 1;
                    !positions.contains(&(position - 1))
                });
                removed += positions.len();
                more |= !due_of(tables).is_empty();
                continue;
            }
            for due in due_of(tables).into_iter().take(rows.saturating_sub(removed)) {
                removed += 1;
                match due {
                    Due::Entry(key) => drop(tables.entries.remove(&key)),
                    Due::Session(id) => drop(tables.sessions.remove(&id)),
                    Due::Token(name) => drop(tables.tokens.remove(&name)),
                }
            }
            more |= !due_of(tables).is_empty();
            tables.families.retain(|_, family| now < family.latest_expiry);
        }
        pause().await;
        if self.has(Bug::SaysThereIsNoMore) {
            more = false;
        }
        Ok(Swept::new(removed, more))
    }
}

#[async_trait]
impl PutToken for Rows {
    async fn put(
        &self,
        grant: &Grant,
        token: &NewToken<'_>,
        now: Timestamp,
    ) -> Result<Put, StoreError> {
        if grant.subject_id().is_none() || grant.is_offline() || token.is_consumed() {
            return Ok(Put::NoPlace);
        }
        self.issue(grant.clone(), std::slice::from_ref(token), now).await?;
        Ok(Put::Done)
    }
}
