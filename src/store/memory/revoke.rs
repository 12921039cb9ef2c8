//! Writes an entry of the ledger.

use std::sync::Arc;

use crate::error::StoreError;
use crate::revocation::{Revocation, Revoked, Target};
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::RowKey;
use crate::store::memory::shards::read;
use crate::store::rules::issuing::no_such_name;
use crate::token::{Grant, TokenDigest, TokenId};

impl NamespaceState {
    /// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
    /// since it was looked up: by then revoking it means that, and its successors would live.
    pub(super) fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        if matches!(revocation.target(), Target::Token(id) if id.digest().is_none()) {
            return Err(no_such_name());
        }
        self.shared.note(revocation.recorded_at(), &self.shared.lifetimes());
        let outcome = self.ledger.revoke(revocation);
        // After the entry was written, as `rotate` looks for one after the token was consumed: one of the two sees the other.
        let digest = revocation.token_alone().and_then(TokenId::digest);
        let Some(grant) = digest.and_then(|digest| self.consumed_of(digest)) else {
            return Ok(outcome);
        };
        let widened = revocation.widened_to(grant.id().clone());
        Ok(match widened.map(|widened| self.ledger.revoke(&widened)) {
            Some(Revoked::Newly) => Revoked::Newly,
            Some(Revoked::Already) | None => outcome,
        })
    }

    /// The grant of a token, if that was consumed.
    fn consumed_of(&self, digest: &TokenDigest) -> Option<Arc<Grant>> {
        let key = RowKey::of(digest);
        let rows = read(self.tokens.of(key.hash));
        let row = rows.get(key.hash, |row| row.key == key)?;
        row.stage.is_consumed().then(|| Arc::clone(&row.grant))
    }
}
