//! Assertions can be used once: who remembers that they were.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::error::{StoreError, StoreErrorKind};
use crate::id::ClientId;
use crate::store::TokenLedger;
use crate::token::{Grant, NewToken, PresentedToken};

/// One use of one assertion.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AssertionUse<'a> {
    /// The client that signed it.
    pub client: &'a ClientId,
    /// Its `jti`. Two clients may well choose the same.
    pub jti: &'a str,
    /// When it can no longer be used anyway, at whichever endpoint and by whichever clock: its `exp`, and two minutes.
    pub expires_at: Timestamp,
    /// What the clock shows.
    pub now: Timestamp,
}

impl<'a> AssertionUse<'a> {
    /// A use, now, of `client`'s assertion of this identifier, which can be used until `expires_at`.
    ///
    /// `Assertions` makes these; so does a token endpoint that verifies assertions itself and shares the guard, and so do
    /// tests of a guard.
    pub const fn new(
        client: &'a ClientId,
        jti: &'a str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self { client, jti, expires_at, now }
    }
}

/// Whether an assertion was used before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it was used before, or it was not")]
pub enum Use {
    /// It was not, until now.
    First,
    /// It was.
    Replay,
}

/// Remembers which assertions were used (RFC 7523 section 3, item 7).
///
/// [`MemoryReplayGuard`] serves one process; [`LedgerReplayGuard`] every process that shares a token store. A server
/// accepts assertions at several endpoints: give the token endpoint the same guard, or what was used there can be
/// replayed here.
///
/// ```
/// use std::sync::Arc;
///
/// use annul::client::{Assertions, AssertionUse, MemoryReplayGuard, ReplayGuard, Use};
/// use annul::{ClientId, Issuer, Timestamp};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), annul::store::StoreError> {
/// let guard = Arc::new(MemoryReplayGuard::default());
/// let issuer = Issuer::new("https://as.example").unwrap();
/// let assertions = Assertions::new(issuer).replay_guard(Arc::clone(&guard));
///
/// // In a token endpoint that verifies assertions itself.
/// let (job, now) = (ClientId::new("job"), Timestamp::from_unix_seconds(1_800_000_000));
/// let expires_at = Timestamp::from_unix_seconds(1_800_000_060);
/// let used = AssertionUse::new(&job, "a-jti", expires_at, now);
/// assert_eq!(guard.enter(used).await?, Use::First);
/// assert_eq!(guard.enter(used).await?, Use::Replay);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait ReplayGuard: Send + Sync {
    /// Enters one use, and says whether it is the first.
    ///
    /// Called when everything else about the assertion is right: its signature, its audience and its times. A forgery
    /// enters nothing.
    ///
    /// # Security
    ///
    /// - Of several callers at once, one is the first: looking and entering are one step.
    /// - A guard that forgets an entry before `expires_at` lets the assertion be used again; one that is full refuses
    ///   new ones instead.
    ///
    /// # Errors
    ///
    /// - [`StoreErrorKind::Unavailable`]: not known; the endpoint answers 503.
    async fn enter(&self, assertion: AssertionUse<'_>) -> Result<Use, StoreError>;
}

#[async_trait]
impl<G: ReplayGuard + ?Sized> ReplayGuard for Arc<G> {
    async fn enter(&self, assertion: AssertionUse<'_>) -> Result<Use, StoreError> {
        (**self).enter(assertion).await
    }
}

impl AssertionUse<'_> {
    /// A digest of client and identifier, in which neither can run into the other.
    fn digest(&self) -> [u8; 32] {
        let client = self.client.as_str().as_bytes();
        let mut digest = Sha256::new();
        digest.update((client.len() as u64).to_be_bytes());
        digest.update(client);
        digest.update(self.jti.as_bytes());
        digest.finalize().into()
    }
}

/// Remembers used assertions in memory, for a server of one process.
///
/// It forgets what has expired, and nothing else. Only clients that hold a registered key can fill it; when it is full,
/// assertions are answered 503.
///
/// ```
/// use annul::client::MemoryReplayGuard;
///
/// let guard = MemoryReplayGuard::with_capacity(100_000);
/// ```
pub struct MemoryReplayGuard {
    shards: [Mutex<Shard>; SHARDS],
    capacity: usize,
}

const SHARDS: usize = 16;

#[derive(Default)]
struct Shard {
    /// Until when each is remembered.
    used: HashMap<[u8; 32], Timestamp>,
    /// How many there may be before the expired ones are looked for.
    tidy_at: usize,
    /// Not before this: hardly any will have expired, and a full shard is long to look through.
    tidy_after: Timestamp,
}

/// A shard with fewer entries is not worth tidying.
const FEW: usize = 64;

/// A full shard is looked through once a second, and not for each assertion that finds it full.
const TIDY_EVERY: Duration = Duration::from_secs(1);

impl MemoryReplayGuard {
    /// Remembers up to so many assertions that have not expired. An entry takes some 60 bytes.
    pub fn with_capacity(assertions: usize) -> Self {
        let capacity = assertions.div_ceil(SHARDS).max(1);
        Self { shards: std::array::from_fn(|_| Mutex::default()), capacity }
    }
}

impl Default for MemoryReplayGuard {
    /// Room for a million.
    fn default() -> Self {
        Self::with_capacity(1_000_000)
    }
}

impl fmt::Debug for MemoryReplayGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayGuard").field("capacity", &(self.capacity * SHARDS)).finish()
    }
}

#[async_trait]
impl ReplayGuard for MemoryReplayGuard {
    async fn enter(&self, assertion: AssertionUse<'_>) -> Result<Use, StoreError> {
        let digest = assertion.digest();
        let [first, ..] = digest;
        let Some(shard) = self.shards.get(usize::from(first) % SHARDS) else {
            return Err(StoreError::corrupt("a shard is missing"));
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.enter(digest, assertion, self.capacity)
    }
}

impl Shard {
    fn enter(
        &mut self,
        digest: [u8; 32],
        assertion: AssertionUse<'_>,
        capacity: usize,
    ) -> Result<Use, StoreError> {
        // One that has expired is not accepted, however often it comes: its entry need not be kept.
        if self.used.get(&digest).is_some_and(|until| assertion.now < *until) {
            return Ok(Use::Replay);
        }
        let full = self.used.len() >= self.tidy_at.min(capacity);
        if full && assertion.now >= self.tidy_after {
            self.used.retain(|_, until| assertion.now < *until);
            self.tidy_at = (self.used.len() * 2).max(FEW);
            self.used.shrink_to(self.tidy_at);
            self.tidy_after = assertion.now + TIDY_EVERY;
        }
        if self.used.len() >= capacity {
            return Err(StoreError::unavailable("too many assertions are remembered"));
        }
        self.used.insert(digest, assertion.expires_at);
        Ok(Use::First)
    }
}

/// Remembers used assertions in a token store, for servers of several processes, and over restarts.
///
/// Each use is recorded as a token that was consumed before it was issued, under a grant of its own: of two processes
/// that record the same one, the store lets one win ([`TokenLedger::issue`] is a conflict for the other), and when it
/// expires the store's own sweep forgets it. It never opens anything.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use annul::{MemoryStore, Namespace};
/// use annul::client::LedgerReplayGuard;
///
/// let store = MemoryStore::new();
/// let guard = LedgerReplayGuard::new(store.namespace(&Namespace::new("client assertions")));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct LedgerReplayGuard<L>(L);

impl<L: TokenLedger> LedgerReplayGuard<L> {
    /// Records uses in `ledger`. Give it a namespace of its own, if it has namespaces.
    pub const fn new(ledger: L) -> Self {
        Self(ledger)
    }
}

#[async_trait]
impl<L: TokenLedger> ReplayGuard for LedgerReplayGuard<L> {
    async fn enter(&self, assertion: AssertionUse<'_>) -> Result<Use, StoreError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(StoreError::unavailable)?;
        let attempt = format!("assertion-{}", URL_SAFE_NO_PAD.encode(random));
        let name = format!("assertion.{}", URL_SAFE_NO_PAD.encode(assertion.digest()));
        let grant = Grant::new(attempt, assertion.client.clone(), assertion.now);
        let used = NewToken::access(PresentedToken::new(&name), assertion.expires_at);
        match self.0.issue(grant, &[used.already_consumed()], assertion.now).await {
            // Whether its client's tokens were all revoked meanwhile is not the question here.
            Ok(_) => Ok(Use::First),
            Err(error) if error.kind() == StoreErrorKind::Conflict => Ok(Use::Replay),
            Err(error) => Err(error),
        }
    }
}
