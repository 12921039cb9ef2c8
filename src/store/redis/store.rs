//! The store's own type, which every operation takes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::id::Namespace;
use crate::store::Lifetimes;
use crate::store::redis::durability::Durability;
use crate::store::redis::keys::NamespaceKeys;
use crate::store::redis::link::Link;
use crate::store::rules::LeapWatch;
use crate::token::DigestKey;

/// A store in Redis or Valkey, 7 or later: for many processes that share one.
///
/// Revoking anything is one call of one script, however many tokens it covers. On a single server finding, issuing and
/// rotating are one round trip each; in a Cluster two, two and six. No call takes longer than the
/// [time-out]: then it is `Unavailable`, perhaps done, and service resumes by itself.
///
/// ```no_run
/// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
/// use annul::client::RegisteredClients;
/// use annul::store::redis::RedisConfig;
/// use annul::{Authority, DigestKey, RedisStore};
///
/// let key = DigestKey::new(&[7; 32]); // from wherever the deployment keeps its secrets
/// let store = RedisStore::connect(RedisConfig::new("redis://127.0.0.1:6379", key)).await?;
/// let authority = Authority::new(store, RegisteredClients::default());
/// # Ok(())
/// # }
/// ```
///
/// # What an acknowledged revocation survives
///
/// The store asks the server when it connects: see [`durability`](Self::durability).
///
/// | | process killed | server lost, replica promoted |
/// |---|---|---|
/// | no `appendonly` | what the last snapshot had | what was replicated by then: usually all but milliseconds |
/// | `appendfsync everysec` | all but the last second | the same |
/// | `appendfsync always` | everything | the same |
/// | with [`require_replicas`] | as above | everything, if a replica that had it is promoted |
///
/// Redis elects without asking who has what, so of several replicas require all. `min-replicas-to-write` beside it keeps a
/// primary that is cut off from going on alone: it then answers neither revocations nor checks. A replica never answers for
/// this store, because a script that may write is refused there.
///
/// A rotation is as durable. In a Cluster the token is consumed on one node and its successors may be recorded on another: if
/// the first is lost with the last thing it wrote, the token is unconsumed again and can be rotated a second time, and both
/// successors are good. Nothing recognises that as reuse. Only `require_replicas` keeps it from happening, so a Cluster
/// that issues refresh tokens should have it.
///
/// A node that came back empty, or with an old snapshot, has lost revocations of tokens that other nodes still have. Flush
/// **all** nodes then (everybody logs in once more), and start every process again; or revoke
/// [`Everything`](crate::Target::Everything) up to now, before anybody is served.
///
/// Readers of the feed are told of a gap where a node came back empty. Where it came back with an old snapshot, or a replica
/// was promoted that lacked the last entries, they are told only until it has written more than it lost: let those that keep
/// a cursor begin again with none.
///
/// # Time
///
/// What happens when is decided by the instants that are passed in. The clocks of several nodes have to be less than ten
/// minutes apart all the same: Redis itself forgets by its own, a day later than [`Sweep::sweep`] would. So a timer that
/// sweeps keeps memory small but is not needed to keep it bounded. Two things depend on it, and for them it has to run every
/// day:
///
/// - A consumed refresh token of a family which outlives it by a day is still recognised as reuse.
/// - A revocation of a user or a client is kept while a session from before it is prolonged again and again, also for clients
///   that take part only later. Without sweeps it is kept for [`longest_lifetime`], and for as long as expired tokens are
///   remembered.
///
/// A sweep does not believe a clock that leaps ([`Lifetimes::with_clock_leap`]). What time it is, the store learns from sweeps,
/// issues and rotations: when a session began says little about that.
///
/// # What it does not do
///
/// It looks at the server's `maxmemory-policy` once, when it connects, and accepts any where `maxmemory` is 0. Who sets a
/// limit later, by `CONFIG SET`, has to set `noeviction` first.
///
/// It speaks TLS with the feature `redistls` only. Every check in a Cluster looks at the entry for
/// [`Everything`](crate::Target::Everything), which one node has: what that node can serve bounds them.
///
/// [time-out]: crate::store::redis::RedisConfig::timeout
/// [`longest_lifetime`]: crate::store::redis::RedisConfig::longest_lifetime
/// [`require_replicas`]: crate::store::redis::RedisConfig::require_replicas
/// [`Sweep::sweep`]: crate::store::Sweep::sweep
#[derive(Clone)]
pub struct RedisStore {
    pub(super) shared: Arc<Shared>,
    pub(super) keys: NamespaceKeys,
}

/// What every namespace shares.
pub(super) struct Shared {
    pub(super) link: Link,
    pub(super) key: DigestKey,
    pub(super) prefix: String,
    pub(super) shards: u16,
    pub(super) lifetimes: Lifetimes,
    pub(super) stopwatch: Arc<dyn Stopwatch>,
    pub(super) longest_lifetime: Duration,
    pub(super) durability: Durability,
    /// Where the next sweep begins.
    pub(super) first_swept: AtomicUsize,
    /// How long the clock was seen ahead, for each namespace; by its first shard.
    pub(super) leaps: Mutex<BTreeMap<Vec<u8>, LeapWatch>>,
}

impl RedisStore {
    /// The same server, as another namespace sees it: it finds, revokes and sweeps nothing of this one's.
    ///
    /// ```no_run
    /// # use annul::{Namespace, RedisStore};
    /// # fn demo(store: RedisStore) {
    /// let other = store.namespace(&Namespace::new("tenant-b"));
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        let shared = &self.shared;
        let keys = NamespaceKeys::new(&shared.prefix, shared.shards, &shared.key, namespace);
        Self { shared: Arc::clone(shared), keys }
    }

    /// What an acknowledged revocation survives, as the server said when the store connected. In a Cluster, that of the node that
    /// keeps least.
    ///
    /// ```no_run
    /// # use annul::RedisStore;
    /// # use annul::store::redis::Durability;
    /// # fn demo(store: &RedisStore) {
    /// if store.durability() != Durability::EveryWrite {
    ///     eprintln!("warning: {}", store.durability());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.shared.durability
    }

    /// Whether one script sees everything. In a Cluster none does, even of a single shard: while its slot moves, a key that
    /// a script does not declare may be on the other node, and that it is missing is no fact.
    pub(super) fn is_one_script_enough(&self) -> bool {
        self.shared.shards <= 1 && !self.shared.link.is_cluster()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.shared.prefix)
            .field("shards", &self.shared.shards)
            .finish_non_exhaustive()
    }
}
