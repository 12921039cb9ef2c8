//! Abuse control, as a hook: who calls, what went wrong, and whether to hear them at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;

#[cfg(feature = "throttle")]
mod limiter;

#[cfg(feature = "throttle")]
pub use limiter::Quota;
#[cfg(feature = "throttle")]
pub use limiter::Quotas;
#[cfg(feature = "throttle")]
pub use limiter::RateLimiter;

/// Who is calling, as far as is known at that point.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Caller<'a> {
    /// The peer's address, if the host passed one.
    pub peer: Option<IpAddr>,
    /// The client it claims to be; chosen by the caller, so bound the memory spent on it.
    pub client: Option<&'a str>,
    /// Whether it has proved to be that client. A public client never does.
    pub authenticated: bool,
}

impl<'a> Caller<'a> {
    /// A caller at this address that claims to be this client. The endpoints make these; so do tests of a throttle.
    pub const fn new(peer: Option<IpAddr>, client: Option<&'a str>) -> Self {
        Self { peer, client, authenticated: false }
    }

    /// Says whether it has proved to be that client.
    #[must_use]
    pub const fn with_authenticated(mut self, authenticated: bool) -> Self {
        self.authenticated = authenticated;
        self
    }
}

/// Something that an honest caller seldom does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Misuse {
    /// It failed to authenticate, or hung up before it was known whether it did.
    AuthenticationFailed,
    /// It presented a token that no store knows.
    UnknownToken,
}

/// The caller has to slow down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "429 says when to come back, and nothing else")]
pub struct SlowDown {
    /// When to try again.
    pub retry_after: Duration,
}

/// Decides whether a caller is heard (RFC 7009 section 5; RFC 6749 section 2.3.1).
///
/// One value serves all endpoints, so that failures at one count at the others. The shipped one is
/// `RateLimiter`, with the feature `throttle`.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use annul::throttle::{Caller, Misuse, SlowDown, Throttle};
/// use annul::Timestamp;
///
/// /// Hears nobody after a hundred failures.
/// #[derive(Default)]
/// struct Panic(AtomicU32);
///
/// impl Throttle for Panic {
///     fn admit(&self, _: Caller<'_>, _: Timestamp) -> Result<(), SlowDown> {
///         match self.0.load(Ordering::Relaxed) {
///             0..100 => Ok(()),
///             _ => Err(SlowDown { retry_after: Duration::from_secs(60) }),
///         }
///     }
///
///     fn report(&self, _: Caller<'_>, _: Misuse, _: Timestamp) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Throttle: Send + Sync {
    /// Whether to go on with this caller's request. Called before the client is authenticated, and again before any
    /// token is looked up where only then it is known who that is: not all credentials name their client.
    ///
    /// # Errors
    ///
    /// - [`SlowDown`]: the endpoint answers 429 with `Retry-After`.
    fn admit(&self, caller: Caller<'_>, now: Timestamp) -> Result<(), SlowDown>;

    /// Counts a misuse against the caller.
    fn report(&self, caller: Caller<'_>, misuse: Misuse, now: Timestamp);
}

impl<T: Throttle + ?Sized> Throttle for Arc<T> {
    fn admit(&self, caller: Caller<'_>, now: Timestamp) -> Result<(), SlowDown> {
        (**self).admit(caller, now)
    }

    fn report(&self, caller: Caller<'_>, misuse: Misuse, now: Timestamp) {
        (**self).report(caller, misuse, now);
    }
}
