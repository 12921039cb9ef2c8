//! The proof that a client is who it says.

use crate::id::ClientId;
use crate::policy::CascadePolicy;

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
#[derive(Clone, Debug)]
pub struct AuthenticatedClient {
    id: ClientId,
    kind: ClientKind,
    may_introspect: bool,
    cascade: Option<CascadePolicy>,
}

impl AuthenticatedClient {
    /// Only `Credentials::accepted_as` calls this.
    pub(super) const fn new(id: ClientId, kind: ClientKind) -> Self {
        Self { id, kind, may_introspect: false, cascade: None }
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
}
