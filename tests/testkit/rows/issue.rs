//! Issuing tokens, and the successors of one.

use annul::store::rules::issuing::{check, foreign_grant, taken};
use annul::store::rules::rotation::Generation;
use annul::store::{Issued, StoreError};
use annul::{Grant, NewToken, TargetKind, Timestamp};

use crate::bugs::Bug;
use crate::rows::{GrantRow, Row, Rows, Tables, pause};

impl Rows {
    pub(super) async fn issue_tokens(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        if !self.has(Bug::IssuesWhatCannotBePresented) {
            check(tokens)?;
        }
        pause().await;
        let checked = self.bug_before_issuing(&grant, tokens, now).await?;
        let dead = self.transaction(|tables| {
            self.insert(tables, &grant, tokens, Generation::FIRST, now, checked)
        })?;
        pause().await;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    /// Inserts tokens, all of them or none, and says what covers them. `checked` is what was found before, where a bug looks
    /// before it writes.
    pub(super) fn insert(
        &self,
        tables: &mut Tables,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        generation: Generation,
        now: Timestamp,
        checked: Option<Option<TargetKind>>,
    ) -> Result<Option<TargetKind>, StoreError> {
        self.is_owner(tables, grant)?;
        if !self.has(Bug::IssuesOneByOne) {
            let value = |token: &NewToken<'_>| token.token().expose_secret().to_owned();
            for token in tokens {
                self.is_free(tables, grant, token)?;
                let same = tokens.iter().find(|other| value(other) == value(token));
                if same.is_some_and(|same| same.kind() != token.kind()) {
                    return Err(taken());
                }
            }
        }
        let lifetimes = self.lifetimes();
        self.note(now);
        let row =
            || GrantRow { owner: grant.clone(), family: None, latest_expiry: Timestamp::default() };
        tables.grants.entry(grant.id().clone()).or_insert_with(row);
        let mut dead = None;
        for token in tokens {
            self.is_free(tables, grant, token)?;
            let name = self.token_key(token.token().expose_secret());
            let covering = self.covering(tables, Some(&name), grant);
            let marked = checked.unwrap_or_else(|| covering.as_ref().map(|(_, kind)| *kind));
            let generation = if token.is_consumed() { Generation::IMPORTED } else { generation };
            let row = Row {
                kind: token.kind(),
                grant: grant.clone(),
                issued_at: now,
                expires_at: self.expiry(token.expires_at()),
                generation,
                consumed: token.is_consumed(),
                marked,
            };
            let record_until = self.due(tables, &row);
            match self.bug {
                Some(Bug::HorizonIsTheExpiry) => {
                    tables.horizon = tables.horizon.max(row.expires_at);
                }
                _ => tables.horizon = tables.horizon.max(record_until),
            }
            if !tables.tokens.contains_key(&name)
                || self.has(Bug::IssuingOverwrites)
                || self.has(Bug::TakesTokensOver)
            {
                tables.tokens.insert(name, row);
            }
            if let Some((key, kind)) = covering {
                dead = dead.or(Some(kind));
                if let Some(entry) = tables.entries.get_mut(&key)
                    && !self.has(Bug::EntriesAreNotProlonged)
                {
                    entry.until = entry.until.max(lifetimes.entry_outlives(record_until));
                }
            }
        }
        Ok(dead.filter(|_| !self.has(Bug::AlwaysSaysLive)))
    }

    /// Whether a grant of this id is nobody else's.
    fn is_owner(&self, tables: &Tables, grant: &Grant) -> Result<(), StoreError> {
        let Some(known) = tables.grants.get(grant.id()) else {
            return Ok(());
        };
        let is_owner = match self.bug {
            Some(Bug::AnybodyAddsToAGrant) => true,
            Some(Bug::GrantsAreTheirClients) => known.owner.client_id() == grant.client_id(),
            _ => known.owner.is_of_same_owner(grant),
        };
        if is_owner { Ok(()) } else { Err(foreign_grant()) }
    }

    /// Whether the value of a token is not that of another one.
    fn is_free(
        &self,
        tables: &Tables,
        grant: &Grant,
        token: &NewToken<'_>,
    ) -> Result<(), StoreError> {
        let known = tables.tokens.get(&self.token_key(token.token().expose_secret()));
        let is_other = |known: &Row| known.grant.id() != grant.id() || known.kind != token.kind();
        match known {
            Some(known) if is_other(known) && !self.has(Bug::TakesTokensOver) => Err(taken()),
            _ => Ok(()),
        }
    }

    fn expiry(&self, expires_at: Timestamp) -> Timestamp {
        match self.bug {
            Some(Bug::NeverOverflows) if expires_at == Timestamp::MAX => Timestamp::default(),
            _ => expires_at,
        }
    }
}

/// What the bugs do as well.
impl Rows {
    /// Before the tokens are inserted. Where a bug looks before it writes, this is what covered the grant.
    async fn bug_before_issuing(
        &self,
        grant: &Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Option<Option<TargetKind>>, StoreError> {
        match self.bug {
            Some(Bug::DecidesAtIssue) => {
                let checked = self
                    .transaction(|tables| self.covering(tables, None, grant).map(|(_, kind)| kind));
                pause().await;
                return Ok(Some(checked));
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
                            generation: Generation::FIRST,
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
        Ok(None)
    }
}
