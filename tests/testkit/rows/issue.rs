//! Issuing tokens, and the successors of one.

use annul::store::{Issued, StoreError};
use annul::{Grant, NewToken, TargetKind, Timestamp};

use crate::bugs::Bug;
use crate::rows::{Row, Rows, Tables, pause};

impl Rows {
    pub(super) async fn issue_tokens(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        pause().await;
        let checked = self.bug_before_issuing(&grant, tokens, now).await?;
        let dead =
            self.transaction(|tables| self.insert(tables, &grant, tokens, 0, now, checked))?;
        pause().await;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    /// Inserts tokens, and says what covers them. `checked` is what was found before, where a bug looks before it writes.
    pub(super) fn insert(
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
        Ok(None)
    }
}
