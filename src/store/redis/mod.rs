//! Redis and Valkey: one server, or a Cluster.
//!
//! # What is where
//!
//! Every key begins with a hash tag, `{prefix:namespace:shard/shards}`, and everything that one script touches carries the same:
//! so each script is one step in one slot, on a single server and in a Cluster alike. What a revocation points at decides
//! its shard: the entry, its line in the feed and, for a token, the token's record are there together. *Revoke* is one call
//! of one script.
//!
//! # What covers what, across shards
//!
//! A token's record and the entries that may cover it are in several shards, and no step spans two. Three rules make up
//! for that.
//!
//! 1. *Find* reads the record first and the entries then. An entry that was written before the look-up began is seen.
//! 2. *Issue* first announces the token's expiry in the shard of every target, and only then records it. In each shard that
//!    raises the horizon, which is how long a new entry has to last, and looks for an entry that is there, in one step. So
//!    an entry for one of its targets is either there to be held for as long as the token lives, or comes later and finds
//!    the horizon raised. Whatever fails or hangs up on the way, no token is recorded that was not announced.
//! 3. Redis forgets by its own clock, and by that clock an entry is never forgotten before a record that it covers: the
//!    horizon has a second hand, the latest instant at which Redis itself forgets one of those records. On one server
//!    a clock that is wrong, by any amount, makes tokens unknown and not good. Over several nodes that is so while their
//!    clocks are less than ten minutes apart: a node that is further ahead forgets its entries while a node behind it still
//!    has the records.
//!
//! A node that comes back without some of its data takes entries with it that cover tokens on other nodes, and nothing here
//! notices. So no entry is kept for less than the longest lifetime, whatever its shard has forgotten: what is revoked from
//! then on lasts. What was revoked before is gone, and only flushing all nodes makes up for that.
//!
//! *Rotate* spends the token in its own shard, in the same step that looks for an entry for it alone; its successors are
//! recorded after that, announced before. What fails on the way costs the grace window's second attempt, never two live
//! generations. A failover that loses the spending, and not the successors on another node, does make two: see *What an
//! acknowledged revocation survives* at [`RedisStore`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::id::{Namespace, SessionId};
use crate::revocation::{Revocation, Revoked};
use crate::store::{
    Changes, FeedCursor, Issued, Retention, RevocationFeed, Rotated, Rotation, Session, StoreError,
    Sweep, SweepBudget, Swept, TokenLedger, TokenStore,
};
use crate::token::{DigestKey, Grant, NewToken, PresentedToken, TokenRecord, TokenTypeHint};

mod config;
mod feed;
mod keys;
mod link;
mod open;
mod records;
mod revoke;
mod rotate;
mod script;
mod session;
mod start_error;
mod sweep;
mod tokens;

pub use config::RedisConfig;
use keys::Space;
use link::Link;
pub use start_error::RedisStartError;

/// How much later than due Redis itself forgets, where no sweep comes: `MARGIN` in `lua/common.lua`.
const MARGIN: u64 = 86_400_000;

/// The latest instant that scripts compute with: `FAR` in `lua/common.lua`.
const FAR: u64 = 9_000_000_000_000_000;

/// A store in Redis or Valkey, 7 or later: for many processes that share one.
///
/// Revoking anything is one call of one script, however many tokens it covers. On a single server finding, issuing and
/// exchanging are one round trip each; in a Cluster two, two and six. No call takes longer than the
/// [time-out](RedisConfig::timeout): then it is `Unavailable`, perhaps done, and service resumes by itself.
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
/// | | process killed | server lost, replica promoted |
/// |---|---|---|
/// | no `appendonly` | what the last snapshot had | what was replicated by then: usually all but milliseconds |
/// | `appendfsync everysec` | all but the last second | the same |
/// | `appendfsync always` | everything | the same |
/// | with [`require_replicas`](RedisConfig::require_replicas) | as above | everything, if a replica that had it is promoted |
///
/// Redis elects without asking who has what, so of several replicas require all. `min-replicas-to-write` beside it keeps a
/// primary that is cut off from going on alone: it then answers neither revocations nor checks. A replica never answers for
/// this store, because a script that may write is refused there.
///
/// An exchange is as durable. In a Cluster the token is spent on one node and its successors may be recorded on another: if
/// the first is lost with the last thing it wrote, the token is unspent again and can be exchanged a second time, and both
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
/// sweeps keeps memory small but is not needed to keep it bounded. Only one thing depends on it: that a consumed refresh
/// token of a family which outlives it by a day is still recognised as reuse.
///
/// # What it does not do
///
/// It looks at the server's `maxmemory-policy` once, when it connects, and accepts any where `maxmemory` is 0. Who sets a
/// limit later, by `CONFIG SET`, has to set `noeviction` first.
///
/// It speaks TLS with the feature `redistls` only. Every check in a Cluster looks at the entry for
/// [`Everything`](crate::Target::Everything), which one node has: what that node can serve bounds them.
#[derive(Clone)]
pub struct RedisStore {
    root: Arc<Root>,
    space: Space,
}

/// What every namespace shares.
struct Root {
    link: Link,
    key: DigestKey,
    prefix: String,
    shards: u16,
    retention: Retention,
    longest_lifetime: Duration,
    /// Where the next sweep begins.
    step: AtomicUsize,
}

impl RedisStore {
    /// Connects, sees to it that the server keeps what it is told, and founds the store under its prefix if there is none.
    ///
    /// # Errors
    ///
    /// - [`RedisStartError`]: what is wrong, and what to do about it. Nothing was started.
    pub async fn connect(config: RedisConfig) -> Result<Self, RedisStartError> {
        let address = config.address()?;
        let link = Link::new(&address, config.timeout, config.replicas)
            .map_err(RedisStartError::unreachable)?;
        let shards = open::start(&config, &address, &link).await?;
        let RedisConfig { key, prefix, retention, longest_lifetime, .. } = config;
        let space = Space::new(&prefix, shards, &key, &Namespace::default());
        let step = AtomicUsize::new(0);
        let root = Arc::new(Root { link, key, prefix, shards, retention, longest_lifetime, step });
        Ok(Self { root, space })
    }

    /// The same server, as another tenant sees it: it finds, revokes and sweeps nothing of this one's.
    ///
    /// ```no_run
    /// # use annul::{Namespace, RedisStore};
    /// # fn demo(store: RedisStore) {
    /// let other = store.namespace(&Namespace::new("tenant-b"));
    /// # }
    /// ```
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        let root = &self.root;
        let space = Space::new(&root.prefix, root.shards, &root.key, namespace);
        Self { root: Arc::clone(root), space }
    }

    /// Whether one script sees everything. In a Cluster none does, even of a single shard: while its slot moves, a key that
    /// a script does not declare may be on the other node, and that it is missing is no fact.
    fn is_at_once(&self) -> bool {
        self.root.shards <= 1 && !self.root.link.is_cluster()
    }
}

/// As a number for the scripts, which compute with doubles.
fn millis(instant: Timestamp) -> u64 {
    instant.as_unix_millis().min(FAR)
}

/// When Redis itself may forget what is due at `due`.
fn forgotten(due: Timestamp) -> u64 {
    millis(due).saturating_add(MARGIN).min(FAR)
}

/// Bytes that nobody has chosen before.
fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| StoreError::unavailable(format!("no randomness: {error}")))?;
    Ok(bytes)
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.root.prefix)
            .field("shards", &self.root.shards)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for RedisStore {
    async fn find(
        &self,
        token: PresentedToken<'_>,
        _hint: Option<TokenTypeHint<'_>>,
    ) -> Result<Option<TokenRecord>, StoreError> {
        // One key space for all kinds: the hint cannot matter.
        self.root.link.within(self.find_token(token)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        self.root.link.within(self.apply(revocation)).await
    }
}

#[async_trait]
impl TokenLedger for RedisStore {
    async fn issue(
        &self,
        grant: Grant,
        tokens: &[NewToken<'_>],
        now: Timestamp,
    ) -> Result<Issued, StoreError> {
        let dead = self.root.link.within(self.record(&grant, tokens, 0, now)).await?;
        Ok(dead.map_or(Issued::Live, |by| Issued::BornDead { by }))
    }

    async fn rotate(&self, rotation: &Rotation<'_>) -> Result<Rotated, StoreError> {
        self.root.link.within(self.exchange(rotation)).await
    }

    async fn open_session(&self, session: Session) -> Result<(), StoreError> {
        self.root.link.within(self.open(session)).await
    }

    async fn session(&self, id: &SessionId) -> Result<Option<Session>, StoreError> {
        self.root.link.within(self.find_session(id)).await
    }
}

#[async_trait]
impl Sweep for RedisStore {
    async fn sweep(&self, now: Timestamp, budget: SweepBudget) -> Result<Swept, StoreError> {
        self.sweep_shards(now, budget).await
    }
}

#[async_trait]
impl RevocationFeed for RedisStore {
    async fn changes(
        &self,
        after: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.root.link.within(self.read_feed(after, limit)).await
    }
}
