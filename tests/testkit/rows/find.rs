//! Finding a token by its key.

use std::sync::atomic::Ordering;

use annul::store::StoreError;
use annul::{Clock, PresentedToken, TokenKind, TokenRecord, TokenState, TokenTypeHint};

use crate::bugs::Bug;
use crate::rows::{Rows, pause};

impl Rows {
    pub(super) async fn find_token(
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
        let found = self.committed(|tables| {
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
}
