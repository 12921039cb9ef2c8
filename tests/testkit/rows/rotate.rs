//! Rotation: the presented token is consumed, and its successors are inserted.

use std::time::Duration;

use annul::store::rules::issuing::check;
use annul::store::rules::rotation::{Decision, Family, Generation, Presented, decide};
use annul::store::{Refused, Rotated, Rotation, StoreError};
use annul::{Grant, NewToken, Revocation, Timestamp, TokenKind, TokenState};

use crate::bugs::Bug;
use crate::rows::{Row, Rows, Tables, pause};

/// What a transaction comes to.
enum Spent {
    First(Generation),
    InGrace(Generation),
    No(Rotated),
}

impl Rows {
    pub(super) async fn rotate_token(
        &self,
        rotation: &Rotation<'_>,
    ) -> Result<Rotated, StoreError> {
        if !self.has(Bug::IssuesWhatCannotBePresented) {
            check(rotation.successors())?;
        }
        pause().await;
        let name = self.token_key(rotation.presented().expose_secret());
        let before = self.transaction(|tables| {
            let row = tables.tokens.get(&name)?;
            let checked = self.covering(tables, Some(&name), &row.grant).map(|(_, kind)| kind);
            Some((self.record_of(tables, &name, row), row.grant.clone(), checked))
        });
        let (successors, now) = (rotation.successors(), rotation.now());
        if let (Some(Bug::RecordsBeforeItSpends), Some((_, grant, _))) = (self.bug, &before) {
            let early = self.transaction(|tables| {
                self.insert(tables, grant, successors, Generation::FIRST.next(), now, None)
            });
            early?;
            pause().await;
        }
        let spent = if self.has(Bug::DoesNotCompareAndSwap) {
            // Looks in one statement, and writes in another.
            let mut scratch = self.transaction(|tables| tables.clone());
            let spent = self.spend(&mut scratch, rotation);
            pause().await;
            if let (Spent::First(_), Some((_, grant, _))) = (&spent, &before) {
                let family = scratch.grants.get(grant.id()).and_then(|grant| grant.family);
                self.transaction(|tables| {
                    family.map(|family| self.consume(tables, &name, rotation, family))
                });
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
        // The token stays consumed: to undo that would let two callers rotate it.
        if recorded.is_err() && self.has(Bug::RollsTheConsumptionBack) {
            self.transaction(|tables| tables.tokens.get_mut(&name).map(|row| row.consumed = false));
        }
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

    fn spend(&self, tables: &mut Tables, rotation: &Rotation<'_>) -> Spent {
        let name = self.token_key(rotation.presented().expose_secret());
        let now = rotation.now();
        let Some(row) = tables.tokens.get(&name).cloned() else {
            return Spent::No(Rotated::Refused(Refused::Unknown));
        };
        if self.has(Bug::RefusesWhatIsYetToCome) && now < row.issued_at {
            return Spent::No(Rotated::Refused(Refused::Expired));
        }
        let family = tables.grants.get(row.grant.id()).and_then(|grant| grant.family);
        let record = self.record_of(tables, &name, &row);
        let own_consumed = self.has(Bug::ForgetsExchangesAtTheEnd)
            && self.own.lock().unwrap().consumed.contains(&name);
        let mut presented = Presented {
            kind: row.kind,
            is_own: row.grant.client_id() == rotation.client(),
            covered_by: match record.state() {
                TokenState::Revoked { by } => Some(by),
                _ => None,
            },
            is_consumed: row.consumed || own_consumed,
            generation: row.generation,
            expires_at: row.expires_at,
        };
        let mut grace = rotation.grace();
        self.bug_before_deciding(&mut presented, family, now, &mut grace);
        if self.has(Bug::StrangersSpend)
            && presented.kind == TokenKind::RefreshToken
            && let Some(row) = tables.tokens.get_mut(&name)
        {
            row.consumed = true;
        }
        let decision = decide(&presented, family, now, grace);
        let next = presented.generation.next();
        match self.bug_instead_of(decision, &presented, grace) {
            Decision::First(family) => {
                self.consume(tables, &name, rotation, family);
                Spent::First(next)
            }
            Decision::InGrace => {
                if let Some(family) = tables.grants.get_mut(row.grant.id())
                    && let Some(family) = &mut family.family
                    && self.has(Bug::GraceIsProlongedByUse)
                {
                    family.rotated_at = now;
                }
                Spent::InGrace(next)
            }
            Decision::Refuse(why) => Spent::No(Rotated::Refused(why)),
            Decision::Reuse => {
                let family = Revocation::by_reuse(row.grant.id().clone(), now);
                if !self.has(Bug::ReuseEndsTheTokenAlone) {
                    self.write_entry(tables, &family);
                }
                if self.bug.is_some_and(Bug::keeps_revocation_with_the_token) {
                    self.mark(tables, &family, usize::MAX);
                }
                Spent::No(Rotated::Reused(record))
            }
        }
    }

    fn consume(&self, tables: &mut Tables, name: &str, rotation: &Rotation<'_>, family: Family) {
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
        if let Some(row) = tables.grants.get_mut(&grant) {
            row.family = Some(family);
            row.latest_expiry = row.latest_expiry.max(latest);
            let until = self.lifetimes().family_until(row.latest_expiry);
            tables.horizon = tables.horizon.max(until);
        }
        if self.has(Bug::RemembersAHundredGenerations) {
            let old = |row: &Row| row.generation.get() + 100 < family.generation.get();
            tables.tokens.retain(|_, row| *row.grant.id() != grant || !old(row));
        }
    }
}

/// What the bugs decide.
impl Rows {
    fn bug_before_deciding(
        &self,
        presented: &mut Presented,
        family: Option<Family>,
        now: Timestamp,
        grace: &mut Duration,
    ) {
        let is_back = family.is_some_and(|family| now < family.rotated_at);
        match self.bug {
            Some(Bug::AnybodyExchanges) => presented.is_own = true,
            Some(Bug::ExchangesTheDead) => presented.covered_by = None,
            Some(Bug::GoesByTheClockAlone) if is_back => *grace = Duration::MAX,
            Some(Bug::GraceHasOneSide) if is_back && !grace.is_zero() => *grace = Duration::MAX,
            Some(Bug::GraceForEveryGeneration) if presented.is_consumed => {
                let previous = family.and_then(|family| family.generation.get().checked_sub(1));
                presented.generation = previous.map_or(presented.generation, Generation::new);
            }
            Some(Bug::GraceBeforeRevocation) => {
                let uncovered = Presented { covered_by: None, ..*presented };
                if decide(&uncovered, family, now, *grace) == Decision::InGrace {
                    presented.covered_by = None;
                }
            }
            _ => {}
        }
    }

    fn bug_instead_of(
        &self,
        decision: Decision,
        presented: &Presented,
        grace: Duration,
    ) -> Decision {
        match (self.bug, decision) {
            (Some(Bug::ReuseGoesUnnoticed), Decision::Reuse) => Decision::Refuse(Refused::Expired),
            (Some(Bug::ImportedTokensHaveGrace), Decision::Reuse)
                if presented.generation == Generation::IMPORTED && !grace.is_zero() =>
            {
                Decision::InGrace
            }
            _ => decision,
        }
    }
}
