//! Records tokens.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::{CounterpartRow, RowKey, Stage, TokenRow};
use crate::store::memory::shards::write;
use crate::store::{Issued, Retention, StoreError};
use crate::token::{Grant, NewToken, TargetKind};

impl NamespaceState {
    /// Records the tokens of a new grant, or more of one that is known.
    pub(super) fn issue(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        now: Timestamp,
        retention: Retention,
    ) -> Result<Issued, StoreError> {
        let dead = self.issue_generation(grant, tokens, 0, now, retention)?;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    /// Records tokens of one generation, and says whether a revocation covers them already.
    pub(super) fn issue_generation(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        generation: u32,
        now: Timestamp,
        retention: Retention,
    ) -> Result<Option<TargetKind>, StoreError> {
        let mut dead = None;
        for token in tokens {
            let digest = self.key.digest(token.token());
            let expires_at = token.expires_at();
            self.ledger.expect_until(expires_at);
            let generation = if token.is_consumed() { Stage::IMPORTED } else { generation };
            let row = TokenRow {
                key: RowKey::of(&digest),
                grant: Arc::clone(grant),
                expires_at,
                issued_at: u32::try_from(now.as_unix_seconds()).unwrap_or(u32::MAX),
                stage: Stage::new(token.kind(), generation, token.is_consumed()),
            };
            let key = row.key;
            self.insert(row, now, retention)?;
            // Not before: the token may turn out to be another grant's, which must not learn this one.
            if let Some(counterpart) = token.counterpart() {
                self.keep_counterpart(key, Arc::clone(counterpart), expires_at, now);
            }
            let covering = self.ledger.covering(&digest.into(), grant, Some(expires_at));
            dead = dead.or(covering);
        }
        Ok(dead)
    }

    /// Adds a row; a row that is there already stays as it is, so nothing is ever revived.
    fn insert(
        &self,
        row: TokenRow,
        now: Timestamp,
        retention: Retention,
    ) -> Result<(), StoreError> {
        let mut rows = write(self.tokens.of(row.key.hash));
        let Some(known) = rows.get(row.key.hash, |known| known.key == row.key) else {
            let due = row.expires_at + retention.of(row.stage.kind());
            rows.insert(row, now, due);
            return Ok(());
        };
        if known.grant.id() == row.grant.id() && known.stage.kind() == row.stage.kind() {
            Ok(())
        } else {
            Err(StoreError::conflict("a token of this value exists under another grant"))
        }
    }

    fn keep_counterpart(
        &self,
        key: RowKey,
        counterpart: Arc<Secret>,
        expires_at: Timestamp,
        now: Timestamp,
    ) {
        let mut kept = write(self.counterparts.of(key.hash));
        if kept.get(key.hash, |kept| kept.key == key).is_none() {
            self.counterparts_kept.fetch_add(1, Relaxed);
            kept.insert(CounterpartRow { key, counterpart, expires_at }, now, expires_at);
        }
    }
}
