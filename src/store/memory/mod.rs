//! Everything in memory: for tests, for one process, and as the model of what a store must do.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::GrantId;
use crate::id::Namespace;
use crate::id::SessionId;
use crate::revocation::Revocation;
use crate::revocation::Revoked;
use crate::revocation::Target;
use crate::secret::Secret;
use crate::store::Issued;
use crate::store::Refused;
use crate::store::Rotated;
use crate::store::Rotation;
use crate::store::Session;
use crate::store::StoreError;
use crate::store::Sweep;
use crate::store::SweepBudget;
use crate::store::Swept;
use crate::store::TokenLedger;
use crate::store::TokenStore;
use crate::token::DigestKey;
use crate::token::Grant;
use crate::token::NewToken;
use crate::token::PresentedToken;
use crate::token::TargetKind;
use crate::token::TokenDigest;
use crate::token::TokenKind;
use crate::token::TokenRecord;
use crate::token::TokenState;
use crate::token::TokenTypeHint;

mod ledger;
mod shards;
mod table;

use ledger::Ledger;
use ledger::read;
use ledger::write;
use shards::SHARDS;
use shards::Shards;
use table::Due;
use table::Looked;
use table::Record;
use table::Table;

/// A store in memory, gone with the process.
///
/// Tokens are kept under keyed digests, in shards that two threads seldom share. Revoking anything is one entry
/// in the ledger, however many tokens it covers. Nothing is ever evicted: memory grows with live tokens and live
/// revocations, and [`Sweep::sweep`] takes what has expired, in steps as small as you like.
///
/// ```
/// # async fn demo() -> Result<(), annul::store::StoreError> {
/// use std::sync::Arc;
/// use std::time::Duration;
/// use annul::client::RegisteredClients;
/// use annul::store::TokenLedger;
/// use annul::{Authority, Clock, Grant, MemoryStore, NewToken, PresentedToken, SystemClock};
///
/// let store = Arc::new(MemoryStore::new());
/// let authority = Authority::new(Arc::clone(&store), RegisteredClients::default());
///
/// let now = SystemClock.now();
/// let token = NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600));
/// store.issue(Grant::new("g1", "web", now), &[token], now).await?;
/// assert!(authority.check(PresentedToken::new("at-1")).await?.is_active());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    tenants: Arc<Tenants>,
    namespace: u32,
    key: DigestKey,
}

/// What every namespace shares.
struct Tenants {
    root_key: DigestKey,
    retention: Retention,
    namespaces: RwLock<HashMap<Namespace, u32>>,
    tokens: Shards<Table<TokenRow>>,
    families: Shards<Table<Family>>,
    sessions: Shards<Table<SessionRow>>,
    counterparts: Shards<Table<Counterpart>>,
    ledger: Ledger,
    hasher: RandomState,
    /// Where the next sweep begins.
    sweep_from: AtomicUsize,
}

/// How long expired tokens are remembered.
///
/// Their owner may still want the rest of the grant, or the session, dead: an expired but genuine refresh token
/// logs out. What it costs is memory.
///
/// ```
/// use std::time::Duration;
/// use annul::store::memory::{MemoryStore, Retention};
///
/// let mut retention = Retention::default();
/// retention.refresh_tokens = Duration::from_secs(86_400);
/// let store = MemoryStore::new().with_retention(retention);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retention {
    /// Default: one hour.
    pub access_tokens: Duration,
    /// Default: seven days.
    pub refresh_tokens: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            access_tokens: Duration::from_secs(3_600),
            refresh_tokens: Duration::from_secs(7 * 86_400),
        }
    }
}

/// How much a [`MemoryStore`] holds, in all of its namespaces.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens: live, and dead but remembered.
    pub tokens: usize,
    /// Entries of the ledger.
    pub revocations: usize,
    /// Sessions.
    pub sessions: usize,
}

#[derive(Debug)]
struct TokenRow {
    digest: TokenDigest,
    grant: Arc<Grant>,
    expires_at: Timestamp,
    /// In seconds, which is all that introspection shows: the row keeps to 64 bytes.
    issued_at: u32,
    namespace: u32,
    /// How many exchanges led to it.
    generation: u32,
    kind: TokenKind,
    consumed: bool,
}

/// The refresh tokens of one grant that was rotated at least once.
#[derive(Debug)]
struct Family {
    hash: u64,
    namespace: u32,
    grant: GrantId,
    /// The generation of the successors of the last exchange.
    generation: u32,
    rotated_at: Timestamp,
    latest_expiry: Timestamp,
}

#[derive(Debug)]
struct SessionRow {
    hash: u64,
    namespace: u32,
    session: Session,
}

#[derive(Debug)]
struct Counterpart {
    digest: TokenDigest,
    counterpart: Arc<Secret>,
    expires_at: Timestamp,
}

impl Record for TokenRow {
    fn hash(&self) -> u64 {
        hash_of(&self.digest)
    }
}

impl Record for Family {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Family {
    fn is(&self, namespace: u32, grant: &GrantId) -> bool {
        self.namespace == namespace && self.grant == *grant
    }
}

impl Record for SessionRow {
    fn hash(&self) -> u64 {
        self.hash
    }
}

impl Record for Counterpart {
    fn hash(&self) -> u64 {
        hash_of(&self.digest)
    }
}

/// A keyed digest's own bytes are as good a hash as any.
fn hash_of(digest: &TokenDigest) -> u64 {
    digest.as_bytes().first_chunk().copied().map(u64::from_le_bytes).unwrap_or_default()
}

impl MemoryStore {
    /// An empty store with a key of its own.
    pub fn new() -> Self {
        Self::with_key(DigestKey::random())
    }

    /// An empty store with this key.
    pub fn with_key(key: DigestKey) -> Self {
        let namespace = Namespace::default();
        let tenants = Tenants {
            root_key: key,
            retention: Retention::default(),
            namespaces: RwLock::default(),
            tokens: Shards::default(),
            families: Shards::default(),
            sessions: Shards::default(),
            counterparts: Shards::default(),
            ledger: Ledger::default(),
            hasher: RandomState::new(),
            sweep_from: AtomicUsize::new(0),
        };
        Arc::new(tenants).open(&namespace)
    }

    /// Remembers expired tokens for this long. To be said before the store is shared.
    #[must_use]
    pub fn with_retention(mut self, retention: Retention) -> Self {
        if let Some(tenants) = Arc::get_mut(&mut self.tenants) {
            tenants.retention = retention;
        }
        self
    }

    /// The same memory, as another tenant sees it: it finds and revokes nothing of this one's.
    ///
    /// ```
    /// use annul::{MemoryStore, Namespace};
    ///
    /// let a = MemoryStore::new();
    /// let b = a.namespace(&Namespace::new("tenant-b"));
    /// ```
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        self.tenants.open(namespace)
    }

    /// How much it holds.
    pub fn usage(&self) -> Usage {
        Usage {
            tokens: self.tenants.tokens.iter().map(|shard| read(shard).len()).sum(),
            revocations: self.tenants.ledger.len(),
            sessions: self.tenants.sessions.iter().map(|shard| read(shard).len()).sum(),
        }
    }

    fn find_now(&self, token: PresentedToken<'_>) -> Option<TokenRecord> {
        let digest = self.key.digest(token);
        let hash = hash_of(&digest);
        let rows = read(self.tenants.tokens.of(hash));
        let row = rows.get(hash, |row| row.digest == digest)?;
        let record =
            TokenRecord::new(digest.into(), row.kind, Arc::clone(&row.grant), row.expires_at)
                .with_issued_at(Timestamp::from_unix_seconds(row.issued_at.into()));
        let consumed = row.consumed;
        drop(rows);
        let record = match self.counterpart(&digest) {
            Some(counterpart) => record.with_counterpart(counterpart),
            None => record,
        };
        let ledger = &self.tenants.ledger;
        Some(match ledger.covering(self.namespace, &digest, record.grant()) {
            Some(by) => record.with_state(TokenState::Revoked { by }),
            None if consumed => record.with_state(TokenState::Consumed),
            None => record,
        })
    }

    fn counterpart(&self, digest: &TokenDigest) -> Option<Arc<Secret>> {
        let hash = hash_of(digest);
        let kept = read(self.tenants.counterparts.of(hash));
        if kept.len() == 0 {
            return None;
        }
        kept.get(hash, |kept| kept.digest == *digest).map(|kept| Arc::clone(&kept.counterpart))
    }

    /// Records tokens, and says whether a revocation covers them already.
    fn record(
        &self,
        grant: &Arc<Grant>,
        tokens: &[NewToken<'_>],
        now: Timestamp,
        generation: u32,
    ) -> Result<Option<TargetKind>, StoreError> {
        let ledger = &self.tenants.ledger;
        let mut dead = None;
        for token in tokens {
            let digest = self.key.digest(token.token());
            ledger.expect_token_until(token.expires_at());
            self.insert(TokenRow {
                digest,
                grant: Arc::clone(grant),
                expires_at: token.expires_at(),
                issued_at: u32::try_from(now.as_unix_seconds()).unwrap_or(u32::MAX),
                namespace: self.namespace,
                generation,
                kind: token.kind(),
                consumed: token.is_consumed(),
            })?;
            if let Some(counterpart) = token.counterpart() {
                self.keep(digest, Arc::clone(counterpart), token.expires_at());
            }
            let expiry = token.expires_at();
            let covering = ledger.covering_until(self.namespace, &digest, grant, expiry);
            dead = dead.or(covering);
        }
        Ok(dead)
    }

    /// Adds a row; a row that is there already stays as it is, so nothing is ever revived.
    fn insert(&self, row: TokenRow) -> Result<(), StoreError> {
        let hash = row.hash();
        let mut rows = write(self.tenants.tokens.of(hash));
        if let Some(known) = rows.get(hash, |known| known.digest == row.digest) {
            return if known.grant.id() == row.grant.id() && known.kind == row.kind {
                Ok(())
            } else {
                Err(StoreError::conflict("a token of this value exists under another grant"))
            };
        }
        let due = row.expires_at + self.tenants.retention.of(row.kind);
        rows.insert(row, due);
        Ok(())
    }

    fn keep(&self, digest: TokenDigest, counterpart: Arc<Secret>, expires_at: Timestamp) {
        let hash = hash_of(&digest);
        let mut kept = write(self.tenants.counterparts.of(hash));
        if kept.get(hash, |kept| kept.digest == digest).is_none() {
            kept.insert(Counterpart { digest, counterpart, expires_at }, expires_at);
        }
    }

    fn rotate_now(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        let Some(record) = self.find_now(rotation.spent()) else {
            return Ok(Rotated::Refused(Refused::Unknown));
        };
        if record.kind() != TokenKind::RefreshToken {
            return Ok(Rotated::Refused(Refused::NotARefreshToken));
        }
        if record.grant().client_id() != rotation.client() {
            return Ok(Rotated::Refused(Refused::ForeignClient));
        }
        if let TokenState::Revoked { by } = record.state() {
            return Ok(Rotated::Refused(Refused::Revoked { by }));
        }
        let spent = self.spend(rotation, &record);
        let generation = match spent {
            Spent::First(generation) | Spent::InGrace(generation) => generation,
            Spent::Expired => return Ok(Rotated::Refused(Refused::Expired)),
            Spent::Reused => {
                let grant = record.grant().id().clone();
                self.tenants
                    .ledger
                    .apply(self.namespace, &Revocation::by_reuse(grant, rotation.now()));
                return Ok(Rotated::Reused(record));
            }
        };
        let grant = record.grant();
        let dead = self.record(grant, rotation.successors(), rotation.now(), generation)?;
        Ok(match (dead, spent) {
            // Revoked while the exchange was under way: the successors are born dead.
            (Some(by), _) => Rotated::Refused(Refused::Revoked { by }),
            (None, Spent::InGrace(_)) => Rotated::AppliedInGrace(record),
            (None, Spent::First(_) | Spent::Expired | Spent::Reused) => Rotated::Applied(record),
        })
    }

    /// The compare-and-swap: of all callers with the same token, one finds it unspent.
    fn spend(&self, rotation: &Rotation<'_>, record: &TokenRecord) -> Spent {
        let now = rotation.now();
        let grant = record.grant().id();
        let expiries = rotation.successors().iter().map(NewToken::expires_at);
        let latest_expiry = expiries.fold(record.expires_at(), Timestamp::max);
        let Some(digest) = record.id().digest() else {
            return Spent::Expired;
        };
        // Token before family, here and in `sweep`.
        let hash = hash_of(digest);
        let mut rows = write(self.tenants.tokens.of(hash));
        let Some(row) = rows.get_mut(hash, |row| row.digest == *digest) else {
            return Spent::Expired;
        };
        if !row.consumed && row.expires_at <= now {
            return Spent::Expired;
        }
        let successor = row.generation.wrapping_add(1);
        let hash = self.tenants.hasher.hash_one((self.namespace, grant));
        let mut families = write(self.tenants.families.of(hash));
        let family = families.get_mut(hash, |family| family.is(self.namespace, grant));
        if row.consumed {
            // Only the generation before the present one, and only for so long. Deliberate revocation was
            // looked for before: the window never revives what was revoked.
            return match family {
                Some(family)
                    if family.generation == successor
                        && now < family.rotated_at + rotation.grace() =>
                {
                    family.latest_expiry = family.latest_expiry.max(latest_expiry);
                    Spent::InGrace(successor)
                }
                Some(_) | None => Spent::Reused,
            };
        }
        row.consumed = true;
        match family {
            Some(family) => {
                family.latest_expiry = family.latest_expiry.max(latest_expiry);
                if family.generation < successor {
                    family.generation = successor;
                    family.rotated_at = now;
                }
            }
            None => families.insert(
                Family {
                    hash,
                    namespace: self.namespace,
                    grant: grant.clone(),
                    generation: successor,
                    rotated_at: now,
                    latest_expiry,
                },
                latest_expiry,
            ),
        }
        Spent::First(successor)
    }

    fn session_hash(&self, id: &SessionId) -> u64 {
        self.tenants.hasher.hash_one((self.namespace, id))
    }
}

/// What became of a refresh token that was presented for exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Spent {
    Expired,
    /// By this caller, first; its successors are of this generation.
    First(u32),
    /// Before, by the same client, a moment ago.
    InGrace(u32),
    /// Before.
    Reused,
}

impl Tenants {
    fn open(self: &Arc<Self>, namespace: &Namespace) -> MemoryStore {
        let mut namespaces = write(&self.namespaces);
        let next = u32::try_from(namespaces.len()).unwrap_or(u32::MAX);
        let id = *namespaces.entry(namespace.clone()).or_insert(next);
        MemoryStore {
            tenants: Arc::clone(self),
            namespace: id,
            key: self.root_key.for_namespace(namespace),
        }
    }

    /// One shard of every table. Locks are held for one table's share of the budget at a time.
    fn sweep_shard(&self, now: Timestamp, shard: usize, budget: usize) -> Looked {
        let mut looked = Looked::default();
        let mut left = |part: Looked| {
            looked.at += part.at;
            looked.removed += part.removed;
            budget.saturating_sub(looked.at)
        };
        let rest = left(write(self.tokens.at(shard)).sweep(now, budget, |row| self.due(row, now)));
        let rest = left(self.ledger.sweep(now, shard, rest));
        let rest = left(write(self.families.at(shard)).sweep(now, rest, |family| {
            at_or_now(family.latest_expiry + self.retention.refresh_tokens, now)
        }));
        let rest = left(write(self.sessions.at(shard)).sweep(now, rest, |row| {
            at_or_now(row.session.expires_at() + self.retention.refresh_tokens, now)
        }));
        left(write(self.counterparts.at(shard)).sweep(now, rest, |kept| {
            at_or_now(kept.expires_at + self.retention.refresh_tokens, now)
        }));
        looked
    }

    /// A consumed refresh token is remembered for as long as its family can live: it may come back.
    fn due(&self, row: &TokenRow, now: Timestamp) -> Due {
        let family = if row.consumed { self.family_expiry(row) } else { Timestamp::default() };
        at_or_now(row.expires_at.max(family) + self.retention.of(row.kind), now)
    }

    fn family_expiry(&self, row: &TokenRow) -> Timestamp {
        let hash = self.hasher.hash_one((row.namespace, row.grant.id()));
        let families = read(self.families.of(hash));
        let family = families.get(hash, |family| family.is(row.namespace, row.grant.id()));
        family.map(|family| family.latest_expiry).unwrap_or_default()
    }

    fn has_due(&self, now: Timestamp) -> bool {
        (0..SHARDS).any(|shard| {
            read(self.tokens.at(shard)).has_due(now)
                || self.ledger.has_due(now, shard)
                || read(self.families.at(shard)).has_due(now)
                || read(self.sessions.at(shard)).has_due(now)
                || read(self.counterparts.at(shard)).has_due(now)
        })
    }
}

impl Retention {
    const fn of(&self, kind: TokenKind) -> Duration {
        match kind {
            TokenKind::AccessToken => self.access_tokens,
            TokenKind::RefreshToken => self.refresh_tokens,
        }
    }
}

fn at_or_now(needed: Timestamp, now: Timestamp) -> Due {
    if needed > now { Due::At(needed) } else { Due::Now }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        Ok(self.find_now(token))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        Ok(self.tenants.ledger.apply(self.namespace, revocation))
    }
}

#[async_trait]
impl TokenLedger for MemoryStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        let dead = self.record(&Arc::new(grant), tokens, now, 0)?;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.rotate_now(rotation)
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        let ended = Target::Session(session.id().clone());
        if self.tenants.ledger.is_revoked(self.namespace, &ended) {
            return Err(StoreError::conflict("the session was logged out"));
        }
        let hash = self.session_hash(session.id());
        let namespace = self.namespace;
        let mut sessions = write(self.tenants.sessions.of(hash));
        let known = sessions
            .get_mut(hash, |row| row.namespace == namespace && row.session.id() == session.id());
        match known {
            Some(row) => row.session.join(&session),
            None => {
                let due = session.expires_at() + self.tenants.retention.refresh_tokens;
                sessions.insert(SessionRow { hash, namespace, session }, due);
                Ok(())
            }
        }
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        let hash = self.session_hash(id);
        let sessions = read(self.tenants.sessions.of(hash));
        let row =
            sessions.get(hash, |row| row.namespace == self.namespace && row.session.id() == id);
        Ok(row.map(|row| row.session.clone()))
    }
}

#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        let tenants = &self.tenants;
        let mut looked = Looked::default();
        for _ in 0..SHARDS {
            let left = budget.max_rows().saturating_sub(looked.at);
            if left == 0 {
                return Ok(Swept::new(looked.removed, tenants.has_due(now)));
            }
            // Each sweep goes on where the last one stopped, so that no shard is always last.
            let shard = tenants.sweep_from.load(Relaxed);
            let part = tenants.sweep_shard(now, shard, left);
            looked.at += part.at;
            looked.removed += part.removed;
            if part.at < left {
                tenants.sweep_from.store(shard.wrapping_add(1), Relaxed);
            }
        }
        Ok(Swept::new(looked.removed, tenants.has_due(now)))
    }
}
