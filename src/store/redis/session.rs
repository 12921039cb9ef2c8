//! Sessions.

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::Target;
use crate::store::redis::announce::{Announcement, announce};
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{NamedTarget, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::records;
use crate::store::redis::script::{Call, SESSION, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::store::{Retention, Session, StoreError};

/// How often others may be quicker.
const ATTEMPTS: usize = 64;

/// Announces the session as it will be, and writes it if it still is what it was taken for. So nobody joins or prolongs
/// a session that was not announcement, however many are at it.
pub(super) async fn open_session(store: &RedisStore, session: Session) -> Result<(), StoreError> {
    let id = store.keys.session(session.id());
    let mut known = Vec::new();
    for _ in 0..ATTEMPTS {
        let joined = match known.as_slice() {
            [] => session.clone(),
            known => {
                let mut joined = records::session_from_bytes(known)?;
                joined.join(&session)?;
                joined
            }
        };
        let due = joined.expires_at() + store.shared.retention.refresh_tokens;
        // What is asked for in its last moment is on its way for a little longer.
        let announcement = Announcement {
            expiry: millis(joined.expires_at() + Retention::IN_FLIGHT),
            forgotten: forgotten(due),
            login: joined.started_at(),
        };
        announce(store, &login_targets(store, &joined), announcement).await?;
        let due = Timestamp::from_unix_millis(millis(due));
        let call = Call::new(&SESSION, store.keys.shard_key(store.keys.shard(&id)))
            .key(store.keys.key(Part::Session, &id))
            .key(store.keys.key(Part::Entry, &id))
            .argument(*id.as_bytes())
            .argument(known.as_slice())
            .argument(records::session_to_bytes(&joined, due))
            .number(millis(joined.expires_at()))
            .number(announcement.forgotten);
        let Some([outcome, told]) = parts(store.shared.link.call(&call).await?) else {
            return Err(unexpected());
        };
        match bytes(outcome)?.as_slice() {
            b"done" => return Ok(()),
            b"ended" => return Err(StoreError::conflict("the session was logged out")),
            b"changed" => known = bytes(told)?,
            _ => return Err(unexpected()),
        }
    }
    Err(StoreError::conflict("too many joined the session at once"))
}

pub(super) async fn session(
    store: &RedisStore,
    id: &SessionId,
) -> Result<Option<Session>, StoreError> {
    match read_value(store, Part::Session, &store.keys.session(id), 0).await?.as_slice() {
        [] => Ok(None),
        known => records::session_from_bytes(known).map(Some),
    }
}

/// What ends the login of a session without naming it.
fn login_targets(store: &RedisStore, session: &Session) -> Vec<NamedTarget> {
    let subject = session.subject();
    let mut targets = vec![Target::Everything, Target::Subject(subject.clone())];
    for client in session.clients() {
        targets.push(Target::Client(client.clone()));
        targets.push(Target::SubjectAtClient(subject.clone(), client.clone()));
    }
    let named =
        |target: &Target| NamedTarget { kind: target.kind(), id: store.keys.target(target) };
    targets.iter().map(named).collect()
}
