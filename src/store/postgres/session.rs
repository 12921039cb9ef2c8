//! Opening, joining and reading sessions.

use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::Session;
use crate::store::postgres::link::{Param, Retry};
use crate::store::postgres::records::{get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{horizon, records, statements};

/// Opens the session, or adds to it what is new.
pub(super) async fn open_session(
    store: &PostgresStore,
    session: &Session,
) -> Result<(), StoreError> {
    let keys = store.keys();
    let key = keys.session(session.id());
    let clients: Vec<&[u8]> =
        session.clients().iter().map(|client| client.as_str().as_bytes()).collect();
    let lifetimes = store.lifetimes();
    let due = millis(lifetimes.session_until(session.expires_at()));
    let until = horizon::to_the_hour(due);
    let params: [Param<'_>; 9] = [
        &keys.namespace(),
        &until,
        &due,
        &key.as_bytes(),
        &session.id().as_str().as_bytes(),
        &session.subject().as_str().as_bytes(),
        &millis(session.started_at()),
        &millis(session.expires_at()),
        &clients,
    ];
    for _ in 0..horizon::RAISES {
        let row = store.link().row(statements::OPEN_SESSION, &params, Retry::Allowed).await?;
        let (is_ready, is_ended, is_opened): (bool, bool, bool) =
            (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        if is_ended {
            return Err(StoreError::conflict("the session was logged out"));
        }
        if !is_ready {
            horizon::raise(store, until).await?;
            continue;
        }
        if !is_opened {
            return Err(StoreError::conflict("the session belongs to another subject"));
        }
        return Ok(());
    }
    Err(horizon::not_raised())
}

/// The session, if it is known.
pub(super) async fn session(
    store: &PostgresStore,
    id: &SessionId,
) -> Result<Option<Session>, StoreError> {
    let key = store.keys().session(id);
    let rows = store.link().rows(statements::SESSION, &[&key.as_bytes()], Retry::Allowed).await?;
    rows.first().map(|row| records::session(row, id)).transpose()
}
