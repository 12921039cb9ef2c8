//! Opens, joins and reads sessions.

use std::hash::BuildHasher as _;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::Session;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::shards::{lock, read, write};

impl NamespaceState {
    pub(super) fn open_session(&self, session: Session) -> Result<(), StoreError> {
        if self.ledger.is_logged_out(&session) {
            return Err(StoreError::conflict("the session was logged out"));
        }
        let hash = self.keys.hash_one(session.id());
        let mut sessions = write(self.sessions.of(hash));
        match sessions.get_mut(hash, |known| known.id() == session.id()) {
            Some(known) => {
                let mut joined = known.clone();
                joined.join(&session)?;
                let until = self.expect_session(&joined);
                *known = joined;
                self.ledger.hold(known, until);
            }
            None => {
                let until = self.expect_session(&session);
                sessions.insert(session.clone(), session.started_at(), until);
                self.ledger.hold(&session, until);
            }
        }
        Ok(())
    }

    /// Says that the record of a session is about to be written, and until when it is kept.
    fn expect_session(&self, session: &Session) -> Timestamp {
        let until = self.shared.lifetimes().session_until(session.expires_at());
        self.ledger.expect_until(until);
        // A sweep that is under way may forget logins that are over by its time; this one is not among them.
        let kept = until.max(self.shared.latest());
        lock(&self.open_logins).add(session.started_at(), kept);
        until
    }

    pub(super) fn session(&self, id: &SessionId) -> Option<Session> {
        let hash = self.keys.hash_one(id);
        read(self.sessions.of(hash)).get(hash, |session| session.id() == id).cloned()
    }
}
