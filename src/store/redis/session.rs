//! Sessions.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::Session;
use crate::store::redis::announce::{Announcement, announce};
use crate::store::redis::answer::{bytes, parts, unexpected};
use crate::store::redis::keys::{NamedTarget, Part};
use crate::store::redis::read::read_value;
use crate::store::redis::records;
use crate::store::redis::script::{Call, SESSION, millis};
use crate::store::redis::store::RedisStore;
use crate::store::rules::covering::targets_of_login;

/// How often others may be quicker.
const ATTEMPTS: usize = 64;

/// Announces the session as it will be, and writes it if it still is what it was taken for. So no session is joined or
/// prolonged that was not announced, however many are at it.
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
        let kept = store.shared.lifetimes.session_until(joined.expires_at());
        // When a session began says little about what time it is.
        let now = Timestamp::default();
        let announcement = Announcement { kept, login: joined.started_at(), now };
        let targets: Vec<NamedTarget> =
            targets_of_login(&joined).map(|target| store.keys.named(&target)).collect();
        announce(store, &targets, None, announcement).await?;
        let due = Timestamp::from_unix_millis(millis(kept));
        let call = Call::new(&SESSION, store.keys.shard_key(store.keys.shard(&id)))
            .key(store.keys.key(Part::Session, &id))
            .key(store.keys.key(Part::Entry, &id))
            .argument(*id.as_bytes())
            .argument(known.as_slice())
            .argument(records::session_to_bytes(&joined, due))
            .number(joined.started_at().as_unix_millis());
        let Some([outcome, found]) = parts(store.shared.link.call(&call).await?) else {
            return Err(unexpected());
        };
        match bytes(outcome)?.as_slice() {
            b"done" => return Ok(()),
            b"ended" => return Err(StoreError::conflict("the session was logged out")),
            b"changed" => known = bytes(found)?,
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
