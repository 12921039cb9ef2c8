//! A cache in front of a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, Stopwatch, SystemClock, SystemStopwatch, Timestamp};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::revocation::{Actor, Revocation, Revoked, Target};
use crate::store::{
    Changes, FeedCursor, Issued, RevocationFeed, Rotated, Rotation, Session, Sweep, SweepBudget,
    Swept, TokenLedger, TokenStore,
};
use crate::token::{
    DigestKey, Grant, NewToken, PresentedToken, TokenDigest, TokenId, TokenKind, TokenRecord,
    TokenState, TokenTypeHint,
};

mod aging;
mod news;

use aging::Aging;
use news::News;

/// A store behind a cache: access tokens that were found of late are found again without asking.
///
/// For stores at the other end of a network, where every check of a token is a round trip. Two promises:
///
/// - A revocation made *through this value* is seen by every [`find`](TokenStore::find) that begins after it was
///   answered, as without the cache; also where `find` and `revoke` ran beside each other, where the token is one of
///   ten thousand under the target, and where the store ended a whole grant because a token came back.
/// - A revocation made anywhere else (another process, another `Layered`, the store itself) is seen after
///   `max_staleness` at most, measured by a [`Clock`] and a [`Stopwatch`], whichever says more.
///
/// So share one value in a process, with the token endpoint too: put it into an `Arc`. What it does *not* keep:
///
/// - that a token is unknown: one that is issued a moment later must not be hidden;
/// - refresh tokens: rotating one, anywhere, must be seen by the next who presents it;
/// - expired and consumed tokens, sessions, and errors: an unavailable store is unavailable, not remembered.
///
/// Only the store answers a revocation. Where it answers with an error, or the caller hangs up, the revocation is
/// perhaps applied: then the store is asked again for every token that it covers. A rotation that ends so says nothing:
/// if the store found a reuse on the way, what else was issued in that grant shows it after `max_staleness`.
///
/// ```
/// # async fn demo() -> Result<(), annul::store::StoreError> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use annul::client::RegisteredClients;
/// use annul::store::Layered;
/// use annul::{Authority, DigestKey, MemoryStore};
///
/// # let (remote, key) = (MemoryStore::new(), [7; 32]);
/// let store = Layered::new(remote, DigestKey::new(&key), Duration::from_secs(2)).capacity(50_000);
/// let store = Arc::new(store); // the token endpoint issues into the same one
/// let authority = Authority::new(Arc::clone(&store), RegisteredClients::default());
/// # Ok(())
/// # }
/// ```
///
/// # Security
///
/// For up to `max_staleness` a token that was revoked at another node opens doors at this one. Choose it as you would
/// choose the lifetime of a self-contained token that nobody can revoke: seconds.
pub struct Layered<S> {
    store: S,
    key: DigestKey,
    cache: Cache,
}

/// How many records are kept where nobody says.
const CAPACITY: usize = 100_000;

impl<S> Layered<S> {
    /// In front of `store`, believing what it said for `max_staleness`.
    ///
    /// `key` makes the digests under which records are kept in this process, never a token. The one that the store
    /// itself has will do.
    ///
    /// `max_staleness` of zero is no cache. It counts from before the store is asked.
    pub fn new(store: S, key: DigestKey, max_staleness: Duration) -> Self {
        Self { store, key, cache: Cache::new(CAPACITY, max_staleness) }
    }

    /// How many records are kept at most, and of how many revocations it takes notice one by one; by default 100 000.
    ///
    /// A hard bound: what is beyond it is asked of the store again. Half a kilobyte for each record, with names of usual
    /// length, and a quarter for each revocation of late.
    /// Set it before the first use: it begins an empty cache.
    #[must_use]
    pub fn capacity(mut self, records: usize) -> Self {
        let Cache { max_staleness, clock, stopwatch, .. } = self.cache;
        self.cache = Cache { clock, stopwatch, ..Cache::new(records, max_staleness) };
        self
    }

    /// Takes the time from this clock. A record from its future is not believed: a clock that was set back prolongs
    /// nothing.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.cache.clock = Arc::new(clock);
        self
    }

    /// Measures ages with this stopwatch. For tests.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.cache.stopwatch = Arc::new(stopwatch);
        self
    }
}

impl<S: fmt::Debug> fmt::Debug for Layered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layered")
            .field("store", &self.store)
            .field("max_staleness", &self.cache.max_staleness)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: TokenStore> TokenStore for Layered<S> {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        let digest = self.key.digest(token);
        if let Some(record) = self.cache.recall(&digest) {
            return Ok(Some(record));
        }
        let asked = self.cache.present();
        let found = self.store.find(token, hint).await?;
        if let Some(record) = &found {
            self.cache.keep(digest, record, asked);
        }
        Ok(found)
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let telling = Telling { cache: &self.cache, revocation };
        let outcome = self.store.revoke(revocation).await;
        drop(telling);
        outcome
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: TokenLedger> TokenLedger for Layered<S> {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        let issued = self.store.issue(grant, tokens, now).await;
        // Nothing that is kept can be about a new token, unless the store is mistaken or a token is used again.
        for token in tokens {
            self.cache.records.remove(&self.key.digest(token.token()));
        }
        issued
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let rotated = self.store.rotate(rotation).await?;
        if let Rotated::Reused(record) = &rotated {
            self.cache.ended(record.grant());
        }
        Ok(rotated)
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.store.open_session(session).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.store.session(id).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Sweep> Sweep for Layered<S> {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        self.store.sweep(now, budget).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: RevocationFeed> RevocationFeed for Layered<S> {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.store.changes(after, limit).await
    }

    async fn changed(&self, after: &FeedCursor) -> Result<(), StoreError> {
        self.store.changed(after).await
    }
}

struct Cache {
    max_staleness: Duration,
    clock: Arc<dyn Clock>,
    stopwatch: Arc<dyn Stopwatch>,
    records: Aging<TokenDigest, Known>,
    /// Whose each token is, refresh tokens included: revoking one can end its grant.
    grants: Aging<TokenId, Arc<Grant>>,
    news: News,
}

/// A record, and when the store was asked for it.
#[derive(Clone, Debug)]
struct Known {
    record: TokenRecord,
    asked: Present,
}

/// An instant, by both measures.
#[derive(Clone, Copy, Debug)]
struct Present {
    clock: Timestamp,
    stopwatch: Duration,
}

impl Cache {
    fn new(capacity: usize, max_staleness: Duration) -> Self {
        Self {
            max_staleness,
            clock: Arc::new(SystemClock),
            stopwatch: Arc::new(SystemStopwatch::start()),
            records: Aging::new(capacity, max_staleness),
            grants: Aging::new(capacity, max_staleness),
            news: News::new(capacity, max_staleness),
        }
    }

    fn present(&self) -> Present {
        Present { clock: self.clock.now(), stopwatch: self.stopwatch.elapsed() }
    }

    fn recall(&self, digest: &TokenDigest) -> Option<TokenRecord> {
        let known = self.records.get(digest)?;
        // The news come first, and then the time: what they have forgotten by now concerns records that are stale by
        // now. The other way round both could be missed.
        let is_believed = !self.news.concern(&known.record, known.asked.stopwatch)
            && known.is_fresh(self.present(), self.max_staleness);
        is_believed.then_some(known.record)
    }

    fn keep(&self, digest: TokenDigest, record: &TokenRecord, asked: Present) {
        if self.max_staleness.is_zero() {
            return;
        }
        let now = asked.stopwatch;
        self.grants.insert(record.id().clone(), Arc::clone(record.grant()), now);
        let is_kept = match (record.kind(), record.state()) {
            (TokenKind::AccessToken, TokenState::Active | TokenState::Revoked { .. }) => true,
            (TokenKind::AccessToken, TokenState::Consumed) | (TokenKind::RefreshToken, _) => false,
        };
        if is_kept {
            self.records.insert(digest, Known { record: record.clone(), asked }, now);
        }
    }

    /// Takes notice of a revocation, whatever the store said to it.
    fn revoked(&self, revocation: &Revocation) {
        let target = revocation.target().clone();
        if let (Target::Token(id), Actor::Client(_)) = (&target, revocation.actor()) {
            // Where the token was rotated in between, the store ended its grant.
            match self.grants.get(id) {
                Some(grant) => self.ended(&grant),
                None => self.news.tell_all(self.stopwatch.as_ref()),
            }
        }
        self.news.tell(target, revocation.at(), self.stopwatch.as_ref());
    }

    fn ended(&self, grant: &Grant) {
        let target = Target::Grant(grant.id().clone());
        self.news.tell(target, Timestamp::MAX, self.stopwatch.as_ref());
    }
}

impl Known {
    fn is_fresh(&self, now: Present, max_staleness: Duration) -> bool {
        let measured = now.stopwatch.checked_sub(self.asked.stopwatch);
        // Of the two, the clock alone goes on while a virtual machine is suspended, and alone can be set back.
        let is_past = self.asked.clock <= now.clock;
        is_past
            && now.clock < self.asked.clock + max_staleness
            && measured.is_some_and(|age| age < max_staleness)
            && !self.record.is_expired(now.clock)
    }
}

/// Takes notice when the store has answered, or when nobody waits for its answer any more.
struct Telling<'a> {
    cache: &'a Cache,
    revocation: &'a Revocation,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.cache.revoked(self.revocation);
    }
}
