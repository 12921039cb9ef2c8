//! Recording the tokens that the token endpoint issues.

use tokio_postgres::Row;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::Issued;
use crate::store::postgres::columns::Columns;
use crate::store::postgres::keys::Key;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{horizon, records, statements};
use crate::store::rules::issuing;
use crate::store::rules::rotation::Generation;
use crate::token::{Grant, NewToken};

/// How often an issue is repeated that met another one of the same token or grant: that one has committed by then.
const MEETINGS: usize = 5;

/// Records tokens, and says whether an entry covers them.
pub(super) async fn issue(
    store: &PostgresStore,
    grant: &Grant,
    tokens: &[NewToken<'_>],
    now: Timestamp,
) -> Result<Issued, StoreError> {
    let columns = Columns::new(store, tokens)?;
    if tokens.is_empty() {
        return Ok(Issued::Live);
    }
    let (digests, generations) = (columns.digests(), columns.generations(Some(Generation::FIRST)));
    let mut covering = columns.keys();
    let keys = store.keys().of_grant(grant);
    let [of_grant, client] = [keys.grant, keys.client].map(Key::from);
    let [session, pair, subject] =
        [keys.session, keys.subject_at_client, keys.subject].map(|key| key.map(Key::from));
    let of_targets: Vec<Key> = keys.iter().map(|(_, key)| key.into()).collect();
    covering.extend(of_targets.iter().map(Key::as_bytes));
    let lifetimes = store.lifetimes();
    let until = columns.grant_until();
    let params: [Param<'_>; 25] = [
        &store.keys().namespace(),
        &until,
        &millis(now),
        &duration(lifetimes.clock_leap()),
        &duration(lifetimes.kept_in_flight()),
        &millis(grant.authenticated_at()),
        &grant.is_offline(),
        &of_grant.as_bytes(),
        &session.as_ref().map(Key::as_bytes),
        &pair.as_ref().map(Key::as_bytes),
        &subject.as_ref().map(Key::as_bytes),
        &client.as_bytes(),
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
        &covering,
    ];
    let (mut raises, mut meetings) = (0, 0);
    while raises < horizon::RAISES && meetings < MEETINGS {
        match step(store, &params).await? {
            Step::Done(issued) => return Ok(issued),
            Step::Met => meetings += 1,
            Step::Raise => {
                horizon::raise(store, until).await?;
                raises += 1;
            }
        }
    }
    Err(if meetings < MEETINGS {
        horizon::not_raised()
    } else {
        StoreError::conflict("the same tokens are being issued elsewhere, again and again")
    })
}

/// What one attempt came to.
enum Step {
    Done(Issued),
    /// Another statement records a token of the same value, or the same grant, and was not committed when this one began.
    Met,
    Raise,
}

async fn step(store: &PostgresStore, params: &[Param<'_>]) -> Result<Step, StoreError> {
    let rows = match store.link().ask(statements::ISSUE, params, Retry::Allowed).await {
        Err(failure) if failure.is_taken() => return Ok(Step::Met),
        rows => rows?,
    };
    let row: &Row = rows
        .first()
        .ok_or_else(|| StoreError::corrupt("an issue was answered with nothing at all"))?;
    let (is_ready, is_foreign, is_taken, is_allowed): (bool, bool, bool, bool) =
        (get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?);
    if !is_ready {
        return Ok(Step::Raise);
    }
    if is_foreign {
        return Err(issuing::foreign_grant());
    }
    if is_taken {
        return Err(issuing::taken());
    }
    if !is_allowed {
        return Ok(Step::Met);
    }
    Ok(Step::Done(match get::<Option<i16>>(row, 5)? {
        Some(by) => Issued::BornDead { by: records::target_kind(by)? },
        None => Issued::Live,
    }))
}
