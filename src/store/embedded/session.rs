//! Opens, joins and reads sessions.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::store::embedded::batch::Batch;
use crate::store::embedded::covering;
use crate::store::embedded::engine::{Reads, Space};
use crate::store::embedded::namespace::{NamespaceId, NamespaceState};
use crate::store::embedded::records::{
    Due, DueKind, LoginsRow, SessionRow, StoredSession, decode, logins_key, read_row,
};
use crate::store::rules::OpenLogins;
use crate::store::{Lifetimes, Session};

/// How coarsely the logins whose sessions last are written down: seldom, and never too short.
const HOUR: u64 = 3_600_000;

pub(super) fn open_session(
    batch: &mut Batch<'_>,
    namespace: &NamespaceState,
    lifetimes: &Lifetimes,
    session: &Session,
) -> Result<(), StoreError> {
    if covering::is_logged_out(batch, namespace, session.id())? {
        return Err(StoreError::conflict("the session was logged out"));
    }
    let key = namespace.session_key(session.id());
    let known = find_session(batch, &key)?;
    let (is_new, known_until) = (known.is_none(), known.as_ref().map(|(_, until)| *until));
    let session = match known {
        Some((mut known, _)) => {
            known.join(session)?;
            known
        }
        None => session.clone(),
    };
    let until = lifetimes.session_until(session.expires_at()).max(known_until.unwrap_or_default());
    covering::expect_until(batch, namespace, until)?;
    covering::hold_for_session(batch, namespace, &session, (until, lifetimes))?;
    let mut logins = open_logins(batch, namespace.id)?;
    let rounded = until.as_unix_millis().checked_next_multiple_of(HOUR);
    let rounded = rounded.map_or(Timestamp::MAX, Timestamp::from_unix_millis);
    if logins.add(session.started_at(), rounded) {
        batch.put(Space::Meta, &logins_key(namespace.id), &LoginsRow::from(&logins))?;
    }
    if is_new {
        batch.schedule(Due { at: until, kind: DueKind::Session, key });
    }
    let row = SessionRow {
        namespace: namespace.id,
        until: until.as_unix_millis(),
        session: StoredSession::from(&session),
    };
    batch.put(Space::Sessions, &key, &row)
}

/// A session, and until when its record is kept.
pub(super) fn find_session(
    reads: &impl Reads,
    key: &[u8; 32],
) -> Result<Option<(Session, Timestamp)>, StoreError> {
    let Some(bytes) = reads.read(Space::Sessions, key)? else {
        return Ok(None);
    };
    let row: SessionRow<'_> = decode(&bytes)?;
    Ok(Some((row.session.into(), Timestamp::from_unix_millis(row.until))))
}

/// The logins of a namespace whose sessions last.
pub(super) fn open_logins(
    reads: &impl Reads,
    namespace: NamespaceId,
) -> Result<OpenLogins, StoreError> {
    let row: Option<LoginsRow> = read_row(reads, Space::Meta, &logins_key(namespace))?;
    Ok(row.unwrap_or_default().into())
}
