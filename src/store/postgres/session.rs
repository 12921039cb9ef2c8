//! Opening, joining and reading sessions.

use crate::id::{ClientId, SessionId};
use crate::store::postgres::keys::Key;
use crate::store::postgres::link::Retry;
use crate::store::postgres::records::{duration, get, millis};
use crate::store::postgres::store::PostgresStore;
use crate::store::postgres::{horizon, records, statements};
use crate::store::{Retention, Session, StoreError};

/// Opens the session, or adds to it what is new.
pub(super) async fn open_session(
    store: &PostgresStore,
    session: &Session,
) -> Result<(), StoreError> {
    let keys = store.keys();
    let key = keys.session(session.id());
    let clients: Vec<&[u8]> =
        session.clients().iter().map(|client| client.as_str().as_bytes()).collect();
    let mut holds = vec![keys.subject(session.subject()), *keys.everything()];
    let of_client = |client: &ClientId| {
        let client = client.as_str();
        [keys.client(client), keys.pair(session.subject(), client)]
    };
    holds.extend(session.clients().iter().flat_map(of_client));
    let holds: Vec<&[u8]> = holds.iter().map(Key::as_bytes).collect();
    let ends = millis(session.expires_at());
    let due = millis(session.expires_at() + store.retention().refresh_tokens);
    for _ in 0..horizon::RAISES {
        let row = store
            .link()
            .row(
                statements::OPEN_SESSION,
                &[
                    &keys.namespace(),
                    &ends,
                    &key.as_bytes(),
                    &session.id().as_str().as_bytes(),
                    &session.subject().as_str().as_bytes(),
                    &millis(session.started_at()),
                    &due,
                    &clients,
                    &holds,
                    &duration(Retention::IN_FLIGHT),
                ],
                Retry::Allowed,
            )
            .await?;
        let (ready, ended, opened): (bool, bool, bool) =
            (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        if ended {
            return Err(StoreError::conflict("the session was logged out"));
        }
        if !ready {
            horizon::raise(store, ends).await?;
            continue;
        }
        if !opened {
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
