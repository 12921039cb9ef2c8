//! Looking a token up.

use crate::error::StoreError;
use crate::store::postgres::link::Retry;
use crate::store::postgres::records::get;
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{records, statements};
use crate::token::{PresentedToken, TokenRecord, TokenState};

/// The token's record, and whether an entry covers it.
pub(super) async fn find(
    store: &PostgresStore,
    token: PresentedToken<'_>,
) -> Result<Option<TokenRecord>, StoreError> {
    let keys = store.keys();
    let digest = keys.digests().digest(token);
    let own = keys.token(&digest.into());
    let found = store
        .link()
        .rows(
            statements::FIND,
            &[&digest.as_bytes().as_slice(), &own.as_bytes(), &keys.everything().as_bytes()],
            Retry::Allowed,
        )
        .await?;
    let Some(row) = found.first() else {
        return Ok(None);
    };
    let record = records::record(row, 0, digest)?;
    Ok(Some(match get::<Option<i16>>(row, 12)? {
        Some(by) => record.with_state(TokenState::Revoked { by: records::target_kind(by)? }),
        None => record,
    }))
}
