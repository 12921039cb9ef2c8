//! May this client revoke this token? The one place that decides.

use crate::client::{AuthenticatedClient, ClientKind};
use crate::clock::Timestamp;
use crate::id::ClientId;
use crate::policy::{Cascade, CascadePolicy, ForeignToken, ForeignTokenPolicy};
use crate::revocation::{Reason, Revocation, Target};
use crate::token::{TokenKind, TokenRecord, TokenState};

/// The proof that a token was found and is the authenticated client's to revoke.
///
/// There is no other way to a client's [`Revocation`], so an endpoint that forgets to ask whose token it is
/// does not compile:
///
/// ```compile_fail
/// use annul::OwnedToken;
/// # fn forge(record: annul::TokenRecord, client: annul::ClientId) -> OwnedToken {
/// OwnedToken { record, client }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OwnedToken {
    record: TokenRecord,
    client: ClientId,
}

/// What is to be done with a token, by whose it is.
#[derive(Debug)]
pub(crate) enum Claim {
    /// It is the client's, or the policy takes possession as proof.
    Owned(OwnedToken),
    /// It is another client's, and the caller learns nothing.
    ForeignIgnored,
    /// It is another client's, and the caller is told so.
    ForeignRefused,
}

impl OwnedToken {
    /// RFC 7009 section 2.1: "verifies whether the token was issued to the client making the revocation
    /// request".
    pub(crate) fn claim(
        record: TokenRecord,
        client: &AuthenticatedClient,
        policy: ForeignTokenPolicy,
    ) -> Claim {
        let foreign = !client.owns(record.grant());
        let answer = match client.kind() {
            ClientKind::Confidential => policy.confidential,
            ClientKind::Public => policy.public,
        };
        match answer {
            ForeignToken::Ignore if foreign => Claim::ForeignIgnored,
            ForeignToken::Refuse if foreign => Claim::ForeignRefused,
            ForeignToken::Ignore | ForeignToken::ProofByPossession | ForeignToken::Refuse => {
                Claim::Owned(Self { record, client: client.id().clone() })
            }
        }
    }

    /// What is known about the token.
    pub const fn record(&self) -> &TokenRecord {
        &self.record
    }

    /// The entry that revokes it, and its grant where the policy cascades.
    ///
    /// A refresh token that was already consumed takes its grant along in any case: it is no longer good,
    /// so a client that presents it wants the rest dead.
    pub fn revocation(self, cascade: CascadePolicy, at: Timestamp) -> Revocation {
        let reach = match (self.record.state(), self.record.kind()) {
            (TokenState::Consumed, _) => Cascade::Grant,
            (TokenState::Active | TokenState::Revoked { .. }, TokenKind::AccessToken) => {
                cascade.access_token
            }
            (TokenState::Active | TokenState::Revoked { .. }, TokenKind::RefreshToken) => {
                cascade.refresh_token
            }
        };
        let target = match reach {
            Cascade::Grant => Target::Grant(self.record.grant().id().clone()),
            Cascade::Token => Target::Token(self.record.id().clone()),
        };
        Revocation::by_client(target, Reason::ClientRequest, at, self.client)
    }

    /// The entry that logs its session out; an offline grant, bound to none, ends by itself.
    pub fn logout(self, at: Timestamp) -> Revocation {
        let grant = self.record.grant();
        let target = match grant.session_id() {
            Some(session) => Target::Session(session.clone()),
            None => Target::Grant(grant.id().clone()),
        };
        Revocation::by_client(target, Reason::Logout, at, self.client)
    }
}
