//! Sessions: clients join them, until they are logged out.

use annul::Target;
use annul::store::{Session, StoreError};

use crate::bugs::Bug;
use crate::rows::{IN_FLIGHT, Rows, pause};

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
            if self.has(Bug::SessionsDoNotCount) {
                return Ok(());
            }
            tables.horizon = tables.horizon.max(joined.expires_at());
            if is_new || !self.has(Bug::ProlongingDoesNotCount) {
                let held: Vec<String> = joined
                    .clients()
                    .iter()
                    .flat_map(|client| {
                        let user = joined.subject().clone();
                        [
                            Target::SubjectAtClient(user.clone(), client.clone()),
                            Target::Subject(user),
                            Target::Client(client.clone()),
                            Target::Everything,
                        ]
                    })
                    .map(|target| self.entry_key(&target))
                    .collect();
                for key in held {
                    if let Some(entry) = tables.entries.get_mut(&key)
                        && joined.started_at() <= entry.at
                    {
                        entry.until = entry.until.max(joined.expires_at() + IN_FLIGHT);
                    }
                }
            }
            Ok(())
        });
        pause().await;
        opened
    }
}
