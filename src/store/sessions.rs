//! Browser sessions at the authorization server.

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{ClientId, SessionId, Subject};

/// A browser session at the authorization server, and the clients that take part in it.
///
/// ```
/// use std::time::Duration;
/// use annul::store::Session;
/// use annul::Timestamp;
///
/// let login = Timestamp::from_unix_seconds(1_700_000_000);
/// let session = Session::new("s1", "alice", login, login + Duration::from_secs(86_400))
///     .client("web")
///     .client("spa");
/// assert_eq!(session.clients().len(), 2);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    id: SessionId,
    subject: Subject,
    started_at: Timestamp,
    expires_at: Timestamp,
    clients: Vec<ClientId>,
}

impl Session {
    /// A session without participants.
    pub fn new(
        id: impl Into<SessionId>,
        subject: impl Into<Subject>,
        started_at: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { id: id.into(), subject: subject.into(), started_at, expires_at, clients: Vec::new() }
    }

    /// Adds a participant, once.
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientId>) -> Self {
        let client = client.into();
        if !self.clients.contains(&client) {
            self.clients.push(client);
        }
        self
    }

    /// Its identifier.
    pub const fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whose it is.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// When it began: the login that cutoffs are compared with.
    pub const fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The first instant at which it is over by itself.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// The clients that take part in it.
    pub fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// Takes the participants, the earlier login and the later expiry of `other`, which is the same session.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](crate::store::StoreErrorKind::Conflict): it is another subject's; this one is unchanged.
    pub fn join(&mut self, other: &Self) -> Result<(), StoreError> {
        if self.subject != other.subject {
            return Err(StoreError::conflict("the session belongs to another subject"));
        }
        self.started_at = self.started_at.min(other.started_at);
        self.expires_at = self.expires_at.max(other.expires_at);
        for client in &other.clients {
            if !self.clients.contains(client) {
                self.clients.push(client.clone());
            }
        }
        Ok(())
    }
}
