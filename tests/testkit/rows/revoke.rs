//! Revoking: one entry, whatever it covers.

use std::sync::atomic::Ordering;

use annul::store::StoreError;
use annul::store::rules::covering::{Entry as Change, entry};
use annul::{Revocation, Revoked, Target, TargetKind, Timestamp, TokenId, TokenRecord};

use crate::bugs::Bug;
use crate::rows::{Entry, HOUR, Row, Rows, TEN_YEARS, Tables, pause};

impl Rows {
    pub(super) async fn write_revocation(
        &self,
        revocation: &Revocation,
    ) -> Result<Revoked, StoreError> {
        pause().await;
        if let Some(outcome) = self.bug_before_revoking(revocation).await {
            return Ok(outcome);
        }
        if let Target::Token(id) = revocation.target()
            && id.name().is_none()
            && !self.has(Bug::RevokesNamesOfNoToken)
        {
            return Err(StoreError::unsupported("the tokens of this store have names"));
        }
        let outcome = self.transaction(|tables| {
            if let Some(outcome) = self.bug_within_revoking(tables, revocation) {
                return outcome;
            }
            let outcome = self.write_entry(tables, revocation);
            // A consumed token takes its grant along, in the same transaction.
            let mut rows = tables.tokens.iter();
            let alone = revocation.token_alone();
            let row = alone.and_then(|id| rows.find(|(name, _)| self.id_of(name) == *id));
            let consumed = row.filter(|(_, row)| row.consumed);
            let grant = consumed.map(|(_, row)| row.grant.id().clone());
            if let Some(widened) = grant.and_then(|grant| revocation.widened_to(grant))
                && !self.has(Bug::RevokesASpentTokenAlone)
            {
                self.write_entry(tables, &widened);
            }
            outcome
        });
        pause().await;
        Ok(outcome)
    }

    /// Until when an entry is kept that is written now.
    fn until(&self, tables: &Tables, revocation: &Revocation) -> Timestamp {
        let (lifetimes, recorded_at) = (self.lifetimes(), revocation.recorded_at());
        let seen = self.note(recorded_at);
        match self.bug {
            Some(Bug::EntriesLastAnHour) => recorded_at + HOUR,
            Some(Bug::EntriesCountFromTheirCutoff) => {
                lifetimes.entry_until(tables.horizon, revocation.at())
            }
            Some(Bug::BelievesWhoeverRecords) => lifetimes.entry_until(tables.horizon, recorded_at),
            Some(Bug::EntriesLastTenYears) => {
                lifetimes.entry_until(tables.horizon, recorded_at).min(recorded_at + TEN_YEARS)
            }
            _ => lifetimes.entry_until(tables.horizon, recorded_at.max(seen)),
        }
    }

    pub(super) fn write_entry(&self, tables: &mut Tables, revocation: &Revocation) -> Revoked {
        let key = self.entry_key(revocation.target());
        let (at, until) = (revocation.at(), self.until(tables, revocation));
        let known = tables.entries.get(&key).map(|entry| entry.at);
        let kind = revocation.target().kind();
        let change = entry(kind, known, at);
        let row = tables.entries.entry(key).or_insert(Entry { kind, at, first: at, until });
        let keeps_its_time = match change {
            Change::New => false,
            Change::Moves => self.has(Bug::MovedCutoffsKeepTheirTime),
            Change::Stays => self.has(Bug::RepeatsDoNotCount),
        };
        if !keeps_its_time {
            row.until = row.until.max(until);
        }
        if change == Change::Moves || self.has(Bug::CutoffMovesBack) {
            row.at = at;
        }
        if self.has(Bug::ReplayIsNews) { Revoked::Newly } else { change.outcome() }
    }

    /// Marks the rows that a revocation covers, one statement for each.
    pub(super) fn mark(&self, tables: &mut Tables, revocation: &Revocation, most: usize) {
        for (name, row) in tables.tokens.iter_mut().take(most) {
            self.engine.statements.fetch_add(1, Ordering::SeqCst);
            let id = TokenId::named(name);
            let record = TokenRecord::new(id, row.kind, row.grant.clone(), row.expires_at);
            if revocation.covers(&record) {
                row.marked = row.marked.or_else(|| Some(revocation.target().kind()));
            }
        }
    }
}

/// What the bugs do instead.
impl Rows {
    /// Before the entry is written. If there is an outcome, it never is.
    async fn bug_before_revoking(&self, revocation: &Revocation) -> Option<Revoked> {
        match self.bug {
            Some(Bug::IgnoresClientRevocations)
                if revocation.target().kind() == TargetKind::Client =>
            {
                return Some(Revoked::Newly);
            }
            Some(Bug::AcknowledgesFirst | Bug::WritesBehind) => {
                let before = {
                    let mut own = self.own.lock().unwrap();
                    own.unwritten.push(revocation.clone());
                    own.unwritten.len() - 1
                };
                let known = self
                    .own
                    .lock()
                    .unwrap()
                    .unwritten
                    .iter()
                    .take(before)
                    .any(|known| known.target() == revocation.target());
                if self.has(Bug::AcknowledgesFirst) && before > 0 {
                    let due: Vec<_> = self.own.lock().unwrap().unwritten.drain(..before).collect();
                    self.transaction(|tables| {
                        for due in &due {
                            self.write_entry(tables, due);
                        }
                    });
                }
                return Some(if known { Revoked::Already } else { Revoked::Newly });
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
                return Some(if known { Revoked::Already } else { Revoked::Newly });
            }
            Some(Bug::DeletesThenInserts) => {
                let key = self.entry_key(revocation.target());
                let known = self.transaction(|tables| tables.entries.remove(&key));
                pause().await;
                let until = known.as_ref().map(|known| known.at);
                return Some(self.transaction(|tables| {
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
        None
    }

    /// In the transaction that writes the entry. If there is an outcome, it does not.
    fn bug_within_revoking(&self, tables: &mut Tables, revocation: &Revocation) -> Option<Revoked> {
        match self.bug {
            Some(Bug::MarksTheTokensItFinds) => {
                let before = format!("{:?}", tables.tokens);
                self.mark(tables, revocation, usize::MAX);
                return Some(match before == format!("{:?}", tables.tokens) {
                    true => Revoked::Already,
                    false => Revoked::Newly,
                });
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
        None
    }
}
