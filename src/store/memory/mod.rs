//! Everything in memory: for tests, for one process, and as the model of what a store must do.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{Namespace, SessionId};
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, Retention, RevocationFeed, Rotated, Rotation, Session, StoreError,
    Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use crate::token::{DigestKey, Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod feed;
mod ledger;
mod shards;
mod table;
mod tenant;

use shards::{read, write};
use table::Looked;
use tenant::{STEPS, Tenant};

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
    root: Arc<Root>,
    tenant: Arc<Tenant>,
}

/// What every namespace shares.
struct Root {
    key: DigestKey,
    retention: RwLock<Retention>,
    tenants: RwLock<BTreeMap<Namespace, Arc<Tenant>>>,
    /// Where the next sweep begins.
    step: AtomicUsize,
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

impl MemoryStore {
    /// An empty store with a key of its own.
    pub fn new() -> Self {
        Self::with_key(DigestKey::random())
    }

    /// An empty store with this key.
    pub fn with_key(key: DigestKey) -> Self {
        let root = Root {
            key,
            retention: RwLock::default(),
            tenants: RwLock::default(),
            step: AtomicUsize::new(0),
        };
        Root::open(&Arc::new(root), &Namespace::default())
    }

    /// Remembers expired tokens for this long, in all namespaces.
    #[must_use]
    pub fn with_retention(self, retention: Retention) -> Self {
        *write(&self.root.retention) = retention;
        self
    }

    /// The same memory, as another tenant sees it: it finds and revokes nothing of this one's, and one sweep serves
    /// both.
    ///
    /// A tenant takes some fifty kilobytes from the first call on, is looked at by every sweep, and is never forgotten.
    /// So take the name from your configuration, never from a request as it stands.
    ///
    /// ```
    /// use annul::{MemoryStore, Namespace};
    ///
    /// let a = MemoryStore::new();
    /// let b = a.namespace(&Namespace::new("tenant-b"));
    /// ```
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        Root::open(&self.root, namespace)
    }

    /// How much it holds.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for tenant in read(&self.root.tenants).values() {
            usage.tokens += tenant.token_count();
            usage.revocations += tenant.ledger.len();
            usage.sessions += tenant.session_count();
        }
        usage
    }

    fn retention(&self) -> Retention {
        *read(&self.root.retention)
    }
}

impl Root {
    fn open(root: &Arc<Self>, namespace: &Namespace) -> MemoryStore {
        let mut tenants = write(&root.tenants);
        let tenant = tenants
            .entry(namespace.clone())
            .or_insert_with(|| Arc::new(Tenant::new(root.key.for_namespace(namespace))));
        MemoryStore { root: Arc::clone(root), tenant: Arc::clone(tenant) }
    }
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
        Ok(self.tenant.find(token))
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        Ok(self.tenant.revoke(revocation))
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
        let dead = self.tenant.record(&Arc::new(grant), tokens, 0, now, self.retention())?;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.tenant.rotate(rotation, self.retention())
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.tenant.open_session(session, self.retention())
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.tenant.session(id))
    }
}

#[async_trait]
impl RevocationFeed for MemoryStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        Ok(self.tenant.ledger.changes(after, limit))
    }
}

#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        let retention = self.retention();
        let tenants: Vec<Arc<Tenant>> = read(&self.root.tenants).values().cloned().collect();
        let mut looked = Looked::default();
        for _ in 0..tenants.len() * STEPS {
            let left = budget.max_rows().saturating_sub(looked.at);
            if left == 0 {
                break;
            }
            // Each sweep goes on where the last one stopped, so that no shard is always last.
            let step = self.root.step.load(Relaxed);
            let Some(tenant) = tenants.get(step / STEPS % tenants.len()) else {
                break;
            };
            let part = tenant.sweep(now, step % STEPS, left, retention);
            looked += part;
            if part.at < left {
                self.root.step.store(step.wrapping_add(1), Relaxed);
            }
        }
        let more = tenants.iter().any(|tenant| tenant.has_due(now));
        Ok(Swept::new(looked.removed, more))
    }
}
