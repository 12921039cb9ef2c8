//! Sessions.

use crate::clock::Timestamp;
use crate::id::SessionId;
use crate::revocation::Target;
use crate::store::redis::announce::{Announced, announce};
use crate::store::redis::answer::{bytes, parts};
use crate::store::redis::keys::{Named, Part};
use crate::store::redis::read::look;
use crate::store::redis::records;
use crate::store::redis::script::{Call, SESSION, forgotten, millis};
use crate::store::redis::store::RedisStore;
use crate::store::{Retention, Session, StoreError};

/// How often others may be quicker.
const ATTEMPTS: usize = 64;

/// Announces the session as it will be, and writes it if it still is what it was taken for. So nobody joins or prolongs
/// a session that was not announced, however many are at it.
pub(super) async fn open_session(store: &RedisStore, session: Session) -> Result<(), StoreError> {
    let id = store.space.session(session.id());
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
        let due = joined.expires_at() + store.root.retention.refresh_tokens;
        // What is asked for in its last moment is on its way for a little longer.
        let announced = Announced {
            expiry: millis(joined.expires_at() + Retention::IN_FLIGHT),
            forgotten: forgotten(due),
            login: joined.started_at(),
        };
        announce(store, &targets_of(store, &joined), announced).await?;
        let due = Timestamp::from_unix_millis(millis(due));
        let call = Call::new(&SESSION, store.space.shard_key(store.space.shard(&id)))
            .key(store.space.key(Part::Session, &id))
            .key(store.space.key(Part::Entry, &id))
            .argument(*id.as_bytes())
            .argument(known.as_slice())
            .argument(records::session_to_bytes(&joined, due))
            .number(millis(joined.expires_at()))
            .number(announced.forgotten);
        let Some([outcome, told]) = parts(store.root.link.call(&call).await?) else {
            return Err(StoreError::corrupt("an answer of another kind"));
        };
        match bytes(outcome)?.as_slice() {
            b"done" => return Ok(()),
            b"ended" => return Err(StoreError::conflict("the session was logged out")),
            b"changed" => known = bytes(told)?,
            _ => return Err(StoreError::corrupt("an answer of another kind")),
        }
    }
    Err(StoreError::conflict("too many joined the session at once"))
}

pub(super) async fn session(
    store: &RedisStore,
    id: &SessionId,
) -> Result<Option<Session>, StoreError> {
    match look(store, Part::Session, &store.space.session(id), 0).await?.as_slice() {
        [] => Ok(None),
        known => records::session_from_bytes(known).map(Some),
    }
}

/// What ends the login of a session without naming it.
fn targets_of(store: &RedisStore, session: &Session) -> Vec<Named> {
    let subject = session.subject();
    let mut targets = vec![Target::Everything, Target::Subject(subject.clone())];
    for client in session.clients() {
        targets.push(Target::Client(client.clone()));
        targets.push(Target::SubjectAtClient(subject.clone(), client.clone()));
    }
    let named = |target: &Target| Named { kind: target.kind(), id: store.space.target(target) };
    targets.iter().map(named).collect()
}
