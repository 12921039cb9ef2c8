//! Looks a token up, and what the ledger says about it.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::secret::Secret;
use crate::store::embedded::covering;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{TokenRow, decode};
use crate::token::{Grant, TokenDigest, TokenRecord, TokenState};

/// A token, and the ledger's word about it.
pub(super) fn find(
    reads: &impl Reads,
    namespace: &NamespaceState,
    digest: &TokenDigest,
) -> Result<Option<TokenRecord>, StoreError> {
    let Some(bytes) = reads.read(Space::Tokens, digest.as_bytes())? else {
        return Ok(None);
    };
    let row: TokenRow<'_> = decode(&bytes)?;
    let expires_at = Timestamp::from_unix_millis(row.expires_at);
    let kind = row.kind()?;
    let grant = Grant::from(row.grant);
    let mut record = TokenRecord::new((*digest).into(), kind, grant, expires_at)
        .with_issued_at(Timestamp::from_unix_millis(row.issued_at));
    if let Some(counterpart) = row.counterpart {
        record = record.with_counterpart(Arc::new(Secret::new(counterpart)));
    }
    Ok(Some(match covering::covering(reads, namespace, record.id(), record.grant())? {
        Some(by) => record.with_state(TokenState::Revoked { by }),
        None if row.consumed.is_some() => record.with_state(TokenState::Consumed),
        None => record,
    }))
}
