//! Opens, joins and reads sessions.

use std::hash::BuildHasher as _;

use crate::id::SessionId;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::shards::{read, write};
use crate::store::{Retention, Session, StoreError};

impl NamespaceState {
    pub(super) fn open_session(
        &self,
        session: Session,
        retention: Retention,
    ) -> Result<(), StoreError> {
        self.ledger.expect_until(session.expires_at());
        if self.ledger.is_logged_out(session.id()) {
            return Err(StoreError::conflict("the session was logged out"));
        }
        let hash = self.keys.hash_one(session.id());
        let mut sessions = write(self.sessions.of(hash));
        match sessions.get_mut(hash, |known| known.id() == session.id()) {
            Some(known) => {
                known.join(&session)?;
                self.ledger.hold(known);
            }
            None => {
                let due = session.expires_at() + retention.refresh_tokens;
                let opened = session.started_at();
                self.ledger.hold(&session);
                sessions.insert(session, opened, due);
            }
        }
        Ok(())
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<Session> {
        let hash = self.keys.hash_one(id);
        read(self.sessions.of(hash)).get(hash, |session| session.id() == id).cloned()
    }
}
