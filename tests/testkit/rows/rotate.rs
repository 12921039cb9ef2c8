//! Rotation: the presented token is consumed, and its successors are inserted.

use std::time::Duration;

use annul::store::{Refused, Rotated, Rotation, StoreError};
use annul::{Grant, NewToken, Revocation, Timestamp, TokenKind, TokenState};

use crate::bugs::Bug;
use crate::rows::{Family, Row, Rows, Tables, pause};

/// What a transaction comes to.
enum Spent {
    First(u32),
    InGrace(u32),
    No(Rotated),
}

impl Rows {
    pub(super) async fn rotate_token(
        &self,
        rotation: &Rotation<'_>,
    ) -> Result<Rotated, StoreError> {
        pause().await;
        let name = self.token_key(rotation.presented().expose_secret());
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

    fn spend(&self, tables: &mut Tables, rotation: &Rotation<'_>) -> Spent {
        let name = self.token_key(rotation.presented().expose_secret());
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
}
