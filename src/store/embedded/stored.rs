//! The words of this crate as the records hold them: borrowed from the bytes they are read from, and apart from the
//! public types, so that those can change without a migration.
//!
//! Append to an enum here, never reorder it: formats without names count.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::revocation::{Actor, Reason, Target};
use crate::store::Session;
use crate::token::{Grant, TokenDigest, TokenId};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoredGrant<'a> {
    #[serde(borrow)]
    id: &'a str,
    client: &'a str,
    subject: Option<&'a str>,
    /// None for an offline grant: nothing asks for it again.
    session: Option<&'a str>,
    authenticated_at: u64,
    scope: Option<&'a str>,
    offline: bool,
}

impl<'a> From<&'a Grant> for StoredGrant<'a> {
    fn from(grant: &'a Grant) -> Self {
        Self {
            id: grant.id().as_str(),
            client: grant.client_id().as_str(),
            subject: grant.subject_id().map(AsRef::as_ref),
            session: grant.session_id().map(AsRef::as_ref),
            authenticated_at: grant.authenticated_at().as_unix_millis(),
            scope: grant.scopes(),
            offline: grant.is_offline(),
        }
    }
}

impl From<StoredGrant<'_>> for Grant {
    fn from(stored: StoredGrant<'_>) -> Self {
        let at = Timestamp::from_unix_millis(stored.authenticated_at);
        let mut grant = Self::new(stored.id, stored.client, at);
        if let Some(subject) = stored.subject {
            grant = grant.subject(subject);
        }
        if let Some(session) = stored.session {
            grant = grant.session(session);
        }
        if let Some(scope) = stored.scope {
            grant = grant.scope(scope);
        }
        if stored.offline { grant.offline() } else { grant }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StoredTarget<'a> {
    Token([u8; 32]),
    NamedToken(&'a str),
    Grant(&'a str),
    Session(&'a str),
    SubjectAtClient(&'a str, &'a str),
    Subject(&'a str),
    Client(&'a str),
    Everything,
}

impl<'a> From<&'a Target> for StoredTarget<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Token(id) => match id.digest() {
                Some(digest) => Self::Token(*digest.as_bytes()),
                None => Self::NamedToken(id.name().unwrap_or_default()),
            },
            Target::Grant(id) => Self::Grant(id.as_str()),
            Target::Session(id) => Self::Session(id.as_str()),
            Target::SubjectAtClient(subject, client) => {
                Self::SubjectAtClient(subject.as_str(), client.as_str())
            }
            Target::Subject(subject) => Self::Subject(subject.as_str()),
            Target::Client(client) => Self::Client(client.as_str()),
            Target::Everything => Self::Everything,
        }
    }
}

impl From<StoredTarget<'_>> for Target {
    fn from(stored: StoredTarget<'_>) -> Self {
        match stored {
            StoredTarget::Token(digest) => Self::Token(TokenDigest::from_bytes(digest).into()),
            StoredTarget::NamedToken(name) => Self::Token(TokenId::named(name)),
            StoredTarget::Grant(id) => Self::Grant(id.into()),
            StoredTarget::Session(id) => Self::Session(id.into()),
            StoredTarget::SubjectAtClient(subject, client) => {
                Self::SubjectAtClient(subject.into(), client.into())
            }
            StoredTarget::Subject(subject) => Self::Subject(subject.into()),
            StoredTarget::Client(client) => Self::Client(client.into()),
            StoredTarget::Everything => Self::Everything,
        }
    }
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StoredActor<'a> {
    Client(&'a str),
    Operator,
    Store,
}

impl<'a> From<&'a Actor> for StoredActor<'a> {
    fn from(actor: &'a Actor) -> Self {
        match actor {
            Actor::Client(client) => Self::Client(client.as_str()),
            Actor::Operator => Self::Operator,
            Actor::Store => Self::Store,
        }
    }
}

impl From<StoredActor<'_>> for Actor {
    fn from(stored: StoredActor<'_>) -> Self {
        match stored {
            StoredActor::Client(client) => Self::Client(client.into()),
            StoredActor::Operator => Self::Operator,
            StoredActor::Store => Self::Store,
        }
    }
}

/// The reason of a stored name. Why a token is dead matters less than that it is: the name of a later version is taken
/// for an administrator's decision.
pub(super) fn reason_named(name: &str) -> Reason {
    Reason::named(name).unwrap_or(Reason::Administrative)
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct StoredSession<'a> {
    #[serde(borrow)]
    id: &'a str,
    subject: &'a str,
    started_at: u64,
    expires_at: u64,
    clients: Vec<&'a str>,
}

impl<'a> From<&'a Session> for StoredSession<'a> {
    fn from(session: &'a Session) -> Self {
        Self {
            id: session.id().as_str(),
            subject: session.subject().as_str(),
            started_at: session.started_at().as_unix_millis(),
            expires_at: session.expires_at().as_unix_millis(),
            clients: session.clients().iter().map(AsRef::as_ref).collect(),
        }
    }
}

impl From<StoredSession<'_>> for Session {
    fn from(stored: StoredSession<'_>) -> Self {
        let session = Self::new(
            stored.id,
            stored.subject,
            Timestamp::from_unix_millis(stored.started_at),
            Timestamp::from_unix_millis(stored.expires_at),
        );
        stored.clients.into_iter().fold(session, Self::client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let at = Timestamp::from_unix_millis(1_800_000_000_123);
        let bare = Grant::new("g", "web", at);
        let full = bare.clone().subject("alice").session("s").scope("read");
        for grant in [bare, full.clone(), full.offline()] {
            let written = serde_json::to_string(&StoredGrant::from(&grant)).unwrap();
            let read: Grant = serde_json::from_str::<StoredGrant<'_>>(&written).unwrap().into();
            assert_eq!(StoredGrant::from(&read), StoredGrant::from(&grant));
            assert_eq!(read.session_id(), grant.session_id());
        }
        let targets = [
            Target::Token(TokenDigest::from_bytes([9; 32]).into()),
            Target::Token(TokenId::named("row-17")),
            Target::Grant("g".into()),
            Target::Session("s".into()),
            Target::SubjectAtClient("alice".into(), "web".into()),
            Target::Subject("alice".into()),
            Target::Client("web".into()),
            Target::Everything,
        ];
        for target in targets {
            let written = serde_json::to_string(&StoredTarget::from(&target)).unwrap();
            let read: Target = serde_json::from_str::<StoredTarget<'_>>(&written).unwrap().into();
            assert_eq!(read, target);
        }
        for actor in [Actor::Client("web".into()), Actor::Operator, Actor::Store] {
            let written = serde_json::to_string(&StoredActor::from(&actor)).unwrap();
            let read: Actor = serde_json::from_str::<StoredActor<'_>>(&written).unwrap().into();
            assert_eq!(read, actor);
        }
        let session = Session::new("s", "alice", at, at).client("web").client("spa");
        let written = serde_json::to_string(&StoredSession::from(&session)).unwrap();
        let read: Session = serde_json::from_str::<StoredSession<'_>>(&written).unwrap().into();
        assert_eq!(read, session);
    }
}
