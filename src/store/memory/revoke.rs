//! Writes an entry of the ledger.

use std::sync::Arc;

use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::records::RowKey;
use crate::store::memory::shards::read;
use crate::token::{Grant, TokenDigest};

impl NamespaceState {
    /// Writes one entry. A client's entry for a refresh token alone is for its grant too if the token has been consumed
    /// since it was looked up: by then revoking it means that, and its successors would live.
    pub(super) fn revoke(&self, revocation: &Revocation) -> Revoked {
        let outcome = self.ledger.revoke(revocation);
        let (Target::Token(id), Actor::Client(client)) = (revocation.target(), revocation.actor())
        else {
            return outcome;
        };
        // After the entry was written, as `rotate` looks for one after the token was consumed: one of the two sees the other.
        let Some(grant) = id.digest().and_then(|digest| self.consumed_of(digest)) else {
            return outcome;
        };
        let target = Target::Grant(grant.id().clone());
        let (at, reason) = (revocation.at(), revocation.reason());
        let of_grant = Revocation::by_client(target, reason, at, client.clone());
        match self.ledger.revoke(&of_grant) {
            Revoked::Newly => Revoked::Newly,
            Revoked::Already => outcome,
        }
    }

    /// The grant of a token, if that was consumed.
    fn consumed_of(&self, digest: &TokenDigest) -> Option<Arc<Grant>> {
        let key = RowKey::of(digest);
        let rows = read(self.tokens.of(key.hash));
        let row = rows.get(key.hash, |row| row.key == key)?;
        row.stage.is_consumed().then(|| Arc::clone(&row.grant))
    }
}
