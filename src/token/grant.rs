//! The authorization that a family of tokens descends from.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::id::{ClientId, GrantId, SessionId, Subject};
use crate::revocation::Target;

/// One authorization: what all tokens descending from it have in common.
///
/// ```
/// use annul::{Grant, Timestamp};
///
/// let at_login = Timestamp::from_unix_seconds(1_700_000_000);
/// let grant = Grant::new("g1", "web", at_login)
///     .subject("alice")
///     .session("s1")
///     .scope("openid profile");
/// assert_eq!(grant.client_id().as_str(), "web");
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    id: GrantId,
    client_id: ClientId,
    subject: Option<Subject>,
    session: Option<SessionId>,
    authenticated_at: Timestamp,
    scope: Option<Arc<str>>,
    offline: bool,
}

impl Grant {
    /// A grant without an end user: what `client_credentials` yields.
    ///
    /// `authenticated_at` is OpenID's `auth_time`: when the user proved who they are for this grant, or
    /// when the token was issued where there is no user. Cutoffs compare with it rather than with each
    /// token's own time of issue, which is what makes a password change end a stolen session's
    /// *future* tokens too.
    pub fn new(
        id: impl Into<GrantId>,
        client_id: impl Into<ClientId>,
        authenticated_at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            client_id: client_id.into(),
            subject: None,
            session: None,
            authenticated_at,
            scope: None,
            offline: false,
        }
    }

    /// The end user who granted it.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The browser session it was granted in. Logging that session out ends the grant, unless it is
    /// [`offline`](Self::offline).
    #[must_use]
    pub fn session(mut self, session: impl Into<SessionId>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Marks an `offline_access` grant (OpenID Connect Core section 11): it outlives the session it was
    /// granted in, by design.
    #[must_use]
    pub const fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// The granted scope, space separated, as introspection shows it.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The grant's own identifier.
    pub const fn id(&self) -> &GrantId {
        &self.id
    }

    /// The client its tokens were issued to: the only one that may revoke them.
    pub const fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The end user, if there is one.
    pub const fn subject_id(&self) -> Option<&Subject> {
        self.subject.as_ref()
    }

    /// The session whose end is also the end of this grant; none for an offline grant.
    pub const fn session_id(&self) -> Option<&SessionId> {
        if self.offline { None } else { self.session.as_ref() }
    }

    /// When the user proved who they are for it.
    pub const fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// The scope, if it was given one.
    pub fn scopes(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// Everything that an entry can point at to end this grant, narrowest first.
    pub fn targets(&self) -> impl Iterator<Item = Target> + '_ {
        let (client, subject) = (&self.client_id, self.subject.as_ref());
        [
            Some(Target::Grant(self.id.clone())),
            self.session_id().cloned().map(Target::Session),
            subject.map(|subject| Target::SubjectAtClient(subject.clone(), client.clone())),
            subject.cloned().map(Target::Subject),
            Some(Target::Client(client.clone())),
            Some(Target::Everything),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether `other` may be recorded under this grant's id: it is the same client's and the same subject's.
    #[must_use]
    pub fn is_of_same_owner(&self, other: &Self) -> bool {
        self.client_id == other.client_id && self.subject == other.subject
    }

    /// Whether it outlives its session.
    pub const fn is_offline(&self) -> bool {
        self.offline
    }
}
