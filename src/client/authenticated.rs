//! The proof that a client is who it says.

use std::fmt;
use std::sync::Arc;

use crate::id::ClientId;
use crate::policy::CascadePolicy;
use crate::token::Grant;

/// Whether a client can keep a secret (RFC 6749 section 2.1).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 6749 section 2.1 defines these two")]
pub enum ClientKind {
    /// It authenticated.
    Confidential,
    /// It named itself; anybody could.
    Public,
}

/// A client whose credentials an authenticator accepted.
///
/// It can only come out of [`Credentials::accepted_as`](crate::client::Credentials::accepted_as), so an
/// endpoint that forgets to authenticate does not compile:
///
/// ```compile_fail
/// use annul::client::{AuthenticatedClient, ClientKind};
///
/// let forged = AuthenticatedClient { id: "web".into(), kind: ClientKind::Confidential };
/// ```
#[derive(Clone)]
pub struct AuthenticatedClient {
    id: ClientId,
    kind: ClientKind,
    may_introspect: bool,
    cascade: Option<CascadePolicy>,
    grant_check: Option<GrantCheck>,
}

type GrantCheck = Arc<dyn Fn(&Grant) -> bool + Send + Sync>;

impl AuthenticatedClient {
    /// Only `Credentials::accepted_as` calls this.
    pub(super) const fn new(id: ClientId, kind: ClientKind) -> Self {
        Self { id, kind, may_introspect: false, cascade: None, grant_check: None }
    }

    /// Lets it introspect every client's tokens: for resource servers.
    #[must_use]
    pub const fn with_introspection(mut self) -> Self {
        self.may_introspect = true;
        self
    }

    /// Replaces the policy's cascade for this client.
    #[must_use]
    pub const fn with_cascade(mut self, cascade: CascadePolicy) -> Self {
        self.cascade = Some(cascade);
        self
    }

    /// Lets it reach fewer of its own tokens: those whose grants pass this check, and every one added before.
    ///
    /// For clients of which there are many instances, each with a key of its own, such as an app on a phone
    /// (attestation-based client authentication): a token of another instance is then treated as another client's, at
    /// every endpoint and by the same policy. A resource server that may introspect every client's tokens sees them all
    /// the same.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Arc;
    ///
    /// use annul::GrantId;
    /// use annul::client::{AuthenticatedClient, ClientAuthError, ClientAuthenticator, Credentials};
    /// use async_trait::async_trait;
    ///
    /// /// Clients whose instances name themselves.
    /// struct Instances<C> {
    ///     clients: C,
    ///     /// Which instance each grant was made to, as the token endpoint wrote it down.
    ///     grants: Arc<HashMap<GrantId, String>>,
    /// }
    ///
    /// #[async_trait]
    /// impl<C: ClientAuthenticator> ClientAuthenticator for Instances<C> {
    ///     async fn authenticate(
    ///         &self,
    ///         credentials: Credentials<'_>,
    ///     ) -> Result<AuthenticatedClient, ClientAuthError> {
    ///         // A real one proves that the instance holds its key.
    ///         let instance = credentials.header("x-instance").text().map(str::to_owned);
    ///         let client = self.clients.authenticate(credentials).await?;
    ///         let grants = Arc::clone(&self.grants);
    ///         Ok(client.with_grant_check(move |grant| grants.get(grant.id()) == instance.as_ref()))
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn with_grant_check(
        mut self,
        check: impl Fn(&Grant) -> bool + Send + Sync + 'static,
    ) -> Self {
        let before = self.grant_check.take();
        self.grant_check = Some(Arc::new(move |grant| {
            before.as_ref().is_none_or(|before| before(grant)) && check(grant)
        }));
        self
    }

    /// Its identifier.
    pub const fn id(&self) -> &ClientId {
        &self.id
    }

    /// Whether it proved who it is.
    pub const fn kind(&self) -> ClientKind {
        self.kind
    }

    /// Whether it may introspect every client's tokens.
    pub const fn may_introspect(&self) -> bool {
        self.may_introspect
    }

    /// Its own cascade, where it has one.
    pub const fn cascade(&self) -> Option<CascadePolicy> {
        self.cascade
    }

    /// Whether a grant is its own: made to this client, and passing every [check](Self::with_grant_check).
    pub fn owns(&self, grant: &Grant) -> bool {
        grant.client_id() == &self.id && self.grant_check.as_ref().is_none_or(|check| check(grant))
    }
}

impl fmt::Debug for AuthenticatedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatedClient")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("may_introspect", &self.may_introspect)
            .field("cascade", &self.cascade)
            .field("grant_check", &self.grant_check.is_some())
            .finish()
    }
}
