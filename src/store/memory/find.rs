//! Looks a token up, and what the ledger says about it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::clock::Timestamp;
use crate::secret::Secret;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::RowKey;
use crate::store::memory::shards::read;
use crate::token::{PresentedToken, TokenRecord, TokenState};

impl NamespaceState {
    pub(super) fn find(&self, token: PresentedToken<'_>) -> Option<TokenRecord> {
        let digest = self.key.digest(token);
        let key = RowKey::of(&digest);
        let (record, consumed) = {
            let rows = read(self.tokens.of(key.hash));
            let row = rows.get(key.hash, |row| row.key == key)?;
            let grant = Arc::clone(&row.grant);
            let record = TokenRecord::new(digest.into(), row.stage.kind(), grant, row.expires_at);
            let issued_at = Timestamp::from_unix_seconds(row.issued_at.into());
            (record.with_issued_at(issued_at), row.stage.is_consumed())
        };
        let record = match self.counterpart(key) {
            Some(counterpart) => record.with_counterpart(counterpart),
            None => record,
        };
        Some(match self.ledger.covering(record.id(), record.grant(), None) {
            Some(by) => record.with_state(TokenState::Revoked { by }),
            None if consumed => record.with_state(TokenState::Consumed),
            None => record,
        })
    }

    fn counterpart(&self, key: RowKey) -> Option<Arc<Secret>> {
        if self.counterparts_kept.load(Relaxed) == 0 {
            return None;
        }
        let kept = read(self.counterparts.of(key.hash));
        kept.get(key.hash, |kept| kept.key == key).map(|kept| Arc::clone(&kept.counterpart))
    }
}
