//! Sessions: clients join them, until they are logged out.

use annul::Target;
use annul::store::rules::covering::targets_of_login;
use annul::store::{Session, StoreError};

use crate::bugs::Bug;
use crate::rows::{Rows, pause};

impl Rows {
    pub(super) async fn join_session(&self, session: Session) -> Result<(), StoreError> {
        pause().await;
        if self.has(Bug::LooksThenJoins) {
            let known = self.transaction(|tables| tables.sessions.get(session.id()).cloned());
            pause().await;
            let mut joined = known.unwrap_or_else(|| session.clone());
            joined.join(&session)?;
            self.transaction(|tables| tables.sessions.insert(session.id().clone(), joined));
            return Ok(());
        }
        let opened = self.transaction(|tables| {
            let logged_out = self.entry_key(&Target::Session(session.id().clone()));
            if tables.entries.contains_key(&logged_out) && !self.has(Bug::SessionsAreReopened) {
                return Err(StoreError::conflict("logged out"));
            }
            let known = tables.sessions.get(session.id()).cloned();
            let is_new = known.is_none();
            let mut joined = known.unwrap_or_else(|| session.clone());
            match self.bug {
                Some(Bug::OnlyTheLastTakesPart | Bug::AnybodyJoins) => joined = session.clone(),
                _ => joined.join(&session)?,
            }
            if self.has(Bug::OnlyTheLastTakesPart)
                && let Some(known) = tables.sessions.get(session.id())
                && known.subject() != session.subject()
            {
                return Err(StoreError::conflict("another user's"));
            }
            tables.sessions.insert(session.id().clone(), joined.clone());
            let lifetimes = self.lifetimes();
            let record_until = lifetimes.session_until(joined.expires_at());
            let counts = match self.bug {
                Some(Bug::SessionsDoNotCount) => false,
                Some(Bug::ProlongingDoesNotCount) => is_new,
                _ => true,
            };
            if counts {
                tables.horizon = tables.horizon.max(record_until);
            }
            if self.has(Bug::OnlyParticipantsCount) {
                for target in targets_of_login(&joined) {
                    if let Some(entry) = tables.entries.get_mut(&self.entry_key(&target)) {
                        entry.until = entry.until.max(lifetimes.entry_outlives(record_until));
                    }
                }
            }
            Ok(())
        });
        pause().await;
        opened
    }
}
