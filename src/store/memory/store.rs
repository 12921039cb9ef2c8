//! The store, and the namespaces that share its memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, RwLock};

use crate::clock::Stopwatch;
use crate::id::Namespace;
use crate::store::Lifetimes;
use crate::store::memory::namespace::NamespaceState;
use crate::store::memory::shards::{read, write};
use crate::store::memory::shared::Shared;
use crate::token::DigestKey;

/// A store in memory, gone with the process.
///
/// Tokens are kept under keyed digests, in shards that two threads seldom share. Revoking anything is one entry
/// in the ledger, however many tokens it covers. Nothing is ever evicted: memory grows with live tokens and live
/// revocations, and [`Sweep::sweep`](crate::store::Sweep::sweep) takes what has expired, in steps as small as you like.
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
    pub(super) root: Arc<Root>,
    pub(super) namespace: Arc<NamespaceState>,
}

/// What every namespace shares.
pub(super) struct Root {
    key: DigestKey,
    pub(super) shared: Arc<Shared>,
    pub(super) namespaces: RwLock<BTreeMap<Namespace, Arc<NamespaceState>>>,
    /// Where the next sweep begins.
    pub(super) step: AtomicUsize,
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
            shared: Arc::new(Shared::new()),
            namespaces: RwLock::default(),
            step: AtomicUsize::new(0),
        };
        Root::open(&Arc::new(root), &Namespace::default())
    }

    /// Keeps tokens, sessions and revocations for this long, in all namespaces. Set it before anything is stored.
    ///
    /// ```
    /// use std::time::Duration;
    /// use annul::MemoryStore;
    /// use annul::store::Lifetimes;
    ///
    /// let lifetimes = Lifetimes::default().with_in_flight(Duration::from_secs(1_800));
    /// let store = MemoryStore::new().with_lifetimes(lifetimes);
    /// ```
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        self.root.shared.set_lifetimes(lifetimes);
        self
    }

    /// Tells a clock that leaps from one that is right, in sweeps, with this stopwatch. For tests.
    #[must_use]
    pub fn with_stopwatch(self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.root.shared.set_stopwatch(Arc::new(stopwatch));
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
        for namespace in read(&self.root.namespaces).values() {
            usage.tokens += namespace.token_count();
            usage.revocations += namespace.ledger.len();
            usage.sessions += namespace.session_count();
        }
        usage
    }
}

impl Root {
    fn open(root: &Arc<Self>, namespace: &Namespace) -> MemoryStore {
        let mut namespaces = write(&root.namespaces);
        let state = namespaces.entry(namespace.clone()).or_insert_with(|| {
            let key = root.key.for_namespace(namespace);
            Arc::new(NamespaceState::new(key, Arc::clone(&root.shared)))
        });
        MemoryStore { root: Arc::clone(root), namespace: Arc::clone(state) }
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
