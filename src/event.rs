//! What the endpoints tell the host's audit log: facts, never tokens or secrets.

use std::sync::Arc;
use std::time::Duration;

use crate::id::ClientId;
use crate::revocation::{Revocation, Revoked, TargetKind};
use crate::token::TokenKind;

/// Which endpoint a request came to.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// RFC 7662 token introspection.
    Introspection,
    /// Logout with a refresh token.
    Logout,
    /// RFC 7009 token revocation.
    Revocation,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A caller did not prove to be the client it claimed to be.
    ClientAuthenticationFailed {
        /// Where.
        endpoint: Endpoint,
    },
    /// A sweep found the clock further ahead than it believes, and removed nothing. Look at the clock; if it is right, the
    /// sweeps believe it after a while.
    ClockLeaped {
        /// By how much it is ahead of the latest time that the store has seen.
        ahead: Duration,
    },
    /// A client presented a token that is another client's. It was not shown, and not revoked unless the policy takes
    /// possession as proof.
    ForeignToken {
        /// Where.
        endpoint: Endpoint,
        /// Who presented it.
        client: &'a ClientId,
        /// Whose it is; the same client's, where the token is
        /// [another instance's](crate::client::AuthenticatedClient::with_grant_check).
        owner: &'a ClientId,
        /// What kind of token it is.
        kind: TokenKind,
    },
    /// A ledger entry was written, or was there already.
    Revoked {
        /// The entry.
        revocation: &'a Revocation,
        /// Whether it changed anything: count only [`Revoked::Newly`] as a success.
        outcome: Revoked,
    },
    /// The store or the client registry did not answer: the caller was told 503 or 500, never 200.
    StoreFailed {
        /// Where; none when it was the host's own call.
        endpoint: Option<Endpoint>,
    },
    /// The caller was told to slow down.
    Throttled {
        /// Where.
        endpoint: Endpoint,
    },
    /// A client presented a token that no store knows. Many of these from one client are guessing.
    UnknownToken {
        /// Where.
        endpoint: Endpoint,
        /// Who presented it.
        client: &'a ClientId,
    },
    /// A token of a kind that cannot be revoked was presented.
    UnsupportedToken {
        /// Who presented it.
        client: &'a ClientId,
    },
}

impl Event<'_> {
    /// What was revoked, if anything changed.
    pub const fn newly_revoked(&self) -> Option<TargetKind> {
        match self {
            Self::Revoked { revocation, outcome: Revoked::Newly } => {
                Some(revocation.target().kind())
            }
            Self::ClientAuthenticationFailed { .. }
            | Self::ClockLeaped { .. }
            | Self::ForeignToken { .. }
            | Self::Revoked { outcome: Revoked::Already, .. }
            | Self::StoreFailed { .. }
            | Self::Throttled { .. }
            | Self::UnknownToken { .. }
            | Self::UnsupportedToken { .. } => None,
        }
    }
}

/// Receives every [`Event`], in the request's own task: be quick, hand slow work on.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use annul::{Event, EventSink};
///
/// #[derive(Default)]
/// struct CountRevocations(AtomicU64);
///
/// impl EventSink for CountRevocations {
///     fn emit(&self, event: &Event<'_>) {
///         if event.newly_revoked().is_some() {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
/// ```
pub trait EventSink: Send + Sync {
    /// Called once for each thing that happened, after it is durable.
    fn emit(&self, event: &Event<'_>);
}

impl<E: EventSink + ?Sized> EventSink for Arc<E> {
    fn emit(&self, event: &Event<'_>) {
        (**self).emit(event);
    }
}

/// Drops every event.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit value: there is nothing to add")]
pub struct NoEvents;

impl EventSink for NoEvents {
    fn emit(&self, _event: &Event<'_>) {}
}
