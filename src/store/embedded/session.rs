//! Opens, joins and reads sessions.

use crate::store::embedded::batch::Batch;
use crate::store::embedded::covering;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::NamespaceState;
use crate::store::embedded::records::{Due, DueKind, StoredSession, decode};
use crate::store::{Retention, Session, StoreError};

pub(super) fn open_session(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    session: &Session,
    retention: Retention,
) -> Result<(), StoreError> {
    if covering::is_logged_out(batch, namespace, session.id())? {
        return Err(StoreError::conflict("the session was logged out"));
    }
    let key = namespace.session_key(session.id());
    let known = find_session(batch, &key)?;
    let is_new = known.is_none();
    let session = match known {
        Some(mut known) => {
            known.join(session)?;
            known
        }
        None => session.clone(),
    };
    covering::expect_until(batch, namespace, session.expires_at())?;
    covering::hold_for_session(batch, namespace, &session)?;
    if is_new {
        let at = session.expires_at() + retention.refresh_tokens;
        batch.schedule(Due { at, kind: DueKind::Session, key });
    }
    batch.put(Space::Sessions, &key, &StoredSession::from(&session))
}

pub(super) fn find_session(
    reads: &impl Reads,
    key: &[u8; 32],
) -> Result<Option<Session>, StoreError> {
    let Some(bytes) = reads.read(Space::Sessions, key)? else {
        return Ok(None);
    };
    let stored: StoredSession<'_> = decode(&bytes)?;
    Ok(Some(stored.into()))
}
