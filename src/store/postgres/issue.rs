//! Recording the tokens that the token endpoint issues.

use crate::clock::Timestamp;
use crate::store::postgres::columns::{Columns, another_grants};
use crate::store::postgres::keys::Key;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{horizon, records, statements};
use crate::store::{Issued, StoreError};
use crate::token::{Grant, NewToken};

/// Records tokens, and says whether an entry covers them.
pub(super) async fn issue(
    store: &PostgresStore,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    now: Timestamp,
) -> Result<Issued, StoreError> {
    if tokens.is_empty() {
        return Ok(Issued::Live);
    }
    let columns = Columns::new(store, tokens);
    let keys = store.keys().of_grant(grant);
    let latest = columns.latest();
    let mut all = columns.keys();
    all.extend(keys.all().map(Key::as_bytes));
    all.push(store.keys().everything().as_bytes());
    let (digests, generations) = (columns.digests(), columns.generations(Some(0)));
    for _ in 0..horizon::RAISES {
        let row = store
            .link()
            .row(
                statements::ISSUE,
                &[
                    &store.keys().namespace(),
                    &latest,
                    &millis(now),
                    &millis(grant.authenticated_at()),
                    &grant.is_offline(),
                    &keys.grant.as_bytes(),
                    &keys.session.as_ref().map(Key::as_bytes),
                    &keys.pair.as_ref().map(Key::as_bytes),
                    &keys.subject.as_ref().map(Key::as_bytes),
                    &keys.client.as_bytes(),
                    &grant.id().as_str().as_bytes(),
                    &grant.client_id().as_str().as_bytes(),
                    &grant.subject_id().map(|id| id.as_str().as_bytes()),
                    &grant.session_id().map(|id| id.as_str().as_bytes()),
                    &grant.scopes().map(str::as_bytes),
                    &digests,
                    &columns.kinds,
                    &columns.consumed,
                    &generations,
                    &columns.expiries,
                    &columns.dues,
                    &columns.counterparts,
                    &all,
                ],
                Retry::Allowed,
            )
            .await?;
        if !get::<bool>(&row, 0)? {
            horizon::raise(store, latest).await?;
            continue;
        }
        let written: i64 = get(&row, 1)?;
        if usize::try_from(written) != Ok(tokens.len()) {
            ensure_own(store, &digests, &columns.kinds, &keys.grant).await?;
        }
        return Ok(match get::<Option<i16>>(&row, 2)? {
            Some(by) => Issued::BornDead { by: records::target_kind(by)? },
            None => Issued::Live,
        });
    }
    Err(horizon::not_raised())
}

/// A token that was there already is the same grant's, or is refused.
async fn ensure_own(
    store: &PostgresStore,
    digests: &[&[u8]],
    kinds: &[i16],
    grant: &Key,
) -> Result<(), StoreError> {
    let params: [Param<'_>; 3] = [&digests, &kinds, &grant.as_bytes()];
    let row = store.link().row(statements::FOREIGN, &params, Retry::Allowed).await?;
    if get(&row, 0)? { Err(another_grants()) } else { Ok(()) }
}
