//! Key sets that clients publish (`jwks_uri`): fetched by the host, cached here.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::task::AbortHandle;

use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::jose::JwkSet;

/// Fetches a client's key set.
///
/// This crate opens no connection; the host has an HTTP client already.
///
/// ```
/// use annul::client::JwksSource;
/// use annul::jose::JwkSet;
/// use annul::store::StoreError;
/// use async_trait::async_trait;
///
/// # struct Http;
/// # impl Http { async fn get(&self, _: &str) -> Result<Vec<u8>, std::io::Error> { Ok(Vec::new()) } }
/// struct Fetch(Http);
///
/// #[async_trait]
/// impl JwksSource for Fetch {
///     async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
///         let body = self.0.get(uri).await.map_err(StoreError::unavailable)?;
///         JwkSet::from_json(&body).map_err(StoreError::corrupt)
///     }
/// }
/// ```
///
/// # Security
///
/// `uri` is what a client registered, and never anything out of a request. Where clients register themselves, it may
/// still point into the server's own network: accept https alone, follow no redirects, refuse private addresses, and
/// limit time and size.
#[async_trait]
pub trait JwksSource: Send + Sync {
    /// Fetches the set at this URL. Called by [`JwksCache`], never more than once at a time for one URL.
    ///
    /// # Errors
    ///
    /// - [`StoreError`]: it cannot be had now, or is no key set. What was fetched before goes on being used.
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError>;
}

#[async_trait]
impl<S: JwksSource + ?Sized> JwksSource for Arc<S> {
    async fn fetch(&self, uri: &str) -> Result<JwkSet, StoreError> {
        (**self).fetch(uri).await
    }
}

/// Remembers fetched key sets, and fetches them again when they are old or a key is not among them.
///
/// One in an [`Arc`] can serve both `Assertions` and `Certificates`.
///
/// However often a `kid` is presented that nobody has, a set is fetched at most once in an
/// [interval](Self::refetch_interval), and by one request at a time; the others wait for it. A set that cannot be fetched
/// leaves the one before in use. Without any, the client cannot authenticate, and is refused as an unknown one is.
///
/// A request may go away while it fetches, because its sender hung up. Strangers can do that on purpose, so within a tokio
/// runtime the fetch goes on without it, as a task of its own. Elsewhere it ends with the request: then nobody fetches
/// until the interval is over, and meanwhile a set that is old is not used.
///
/// ```
/// # use annul::client::{JwksCache, JwksSource};
/// # fn demo(source: impl JwksSource + 'static) {
/// use std::time::Duration;
///
/// let cache = JwksCache::new(source).lifetime(Duration::from_secs(3_600));
/// # }
/// ```
pub struct JwksCache {
    source: Arc<dyn JwksSource>,
    lifetime: Duration,
    interval: Duration,
    capacity: usize,
    entries: Mutex<HashMap<Box<str>, Arc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    /// Held by the one fetch that is under way.
    fetching: Arc<AsyncMutex<()>>,
}

#[derive(Clone, Default)]
struct State {
    keys: Option<Arc<JwkSet>>,
    fetched_at: Timestamp,
    /// The last attempt, whatever came of it.
    tried_at: Option<Timestamp>,
    /// It has not ended; or was dropped half way, and never will.
    unfinished: bool,
    task: Option<AbortHandle>,
}

/// A fetch that takes longer is given up by the next one that needs it.
const PATIENCE: Duration = Duration::from_secs(60);

impl JwksCache {
    /// A cache in front of `source`: sets live ten minutes, are fetched at most once a minute, and 10 000 are remembered.
    pub fn new(source: impl JwksSource + 'static) -> Self {
        Self {
            source: Arc::new(source),
            lifetime: Duration::from_secs(600),
            interval: Duration::from_secs(60),
            capacity: 10_000,
            entries: Mutex::default(),
        }
    }

    /// How long a set is used before it is fetched again. A key that a client withdrew goes on being accepted for so long;
    /// and for as long as the set cannot be fetched after that.
    #[must_use]
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How much time lies between two attempts to fetch the same set, at least.
    #[must_use]
    pub const fn refetch_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How many sets are remembered.
    #[must_use]
    pub const fn capacity(mut self, sets: usize) -> Self {
        self.capacity = sets;
        self
    }

    /// The set at `uri`, with the key `kid` in it if that can be had; none if it was never fetched. For authenticators of a
    /// host's own too.
    pub async fn keys(&self, uri: &str, kid: Option<&str>, now: Timestamp) -> Option<Arc<JwkSet>> {
        self.keys_with(uri, |keys| kid.is_none_or(|kid| keys.names(kid)), now).await
    }

    /// The set at `uri`, with what is wanted in it if that can be had.
    pub(super) async fn keys_with(
        &self,
        uri: &str,
        has_wanted: impl Fn(&JwkSet) -> bool + Send + Sync,
        now: Timestamp,
    ) -> Option<Arc<JwkSet>> {
        let entry = self.entry(uri);
        let state = entry.state();
        if self.has(&state, &has_wanted, now) {
            return state.keys;
        }
        if let Some(hanging) = self.overdue(&state, now) {
            hanging.abort();
        }
        // Whoever fetches has it: those that need what it fetches wait here, and are not refused meanwhile.
        let one_at_a_time = Arc::clone(&entry.fetching).lock_owned().await;
        let state = entry.state();
        if self.has(&state, &has_wanted, now) {
            return state.keys;
        }
        if !self.was_tried(&state, now) {
            // Before the fetch, which may be dropped half way: then too, the next one waits its turn.
            entry.change(|state| {
                state.tried_at = Some(now);
                state.unfinished = true;
            });
            let source = Arc::clone(&self.source);
            let fetch = Arc::clone(&entry).fetch(source, uri.into(), now, one_at_a_time);
            match Handle::try_current() {
                Ok(runtime) => {
                    let task = runtime.spawn(fetch);
                    entry.change(|state| state.task = Some(task.abort_handle()));
                    // One that panicked or was given up has fetched nothing.
                    drop(task.await);
                }
                Err(_) => fetch.await,
            }
        }
        let state = entry.state();
        // Who drops every fetch half way must not keep a set in use that the client has replaced.
        let usable = !state.unfinished || self.is_fresh(&state, now);
        state.keys.filter(|_| usable)
    }

    /// Whether the set is fresh and has what is wanted.
    fn has(&self, state: &State, has_wanted: &impl Fn(&JwkSet) -> bool, now: Timestamp) -> bool {
        self.is_fresh(state, now) && state.keys.as_ref().is_some_and(|keys| has_wanted(keys))
    }

    fn is_fresh(&self, state: &State, now: Timestamp) -> bool {
        now < state.fetched_at + self.lifetime
    }

    /// Whether it was fetched, or could not be, just now.
    fn was_tried(&self, state: &State, now: Timestamp) -> bool {
        state.tried_at.is_some_and(|tried| now < tried + self.interval)
    }

    /// The fetch under way, if it has hung for so long that another one is due.
    fn overdue<'s>(&self, state: &'s State, now: Timestamp) -> Option<&'s AbortHandle> {
        let due = state.tried_at.is_some_and(|tried| now >= tried + self.interval.max(PATIENCE));
        state.task.as_ref().filter(|_| state.unfinished && due)
    }

    fn entry(&self, uri: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(uri) {
            return Arc::clone(entry);
        }
        if entries.len() >= self.capacity {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.state().tried_at);
            let oldest = oldest.map(|(uri, _)| uri.clone());
            oldest.and_then(|uri| entries.remove(&uri));
        }
        let entry = Arc::new(Entry::default());
        entries.insert(uri.into(), Arc::clone(&entry));
        entry
    }
}

impl Entry {
    /// Borrows nothing of the request that began it, which may be gone before it ends.
    async fn fetch(
        self: Arc<Self>,
        source: Arc<dyn JwksSource>,
        uri: Box<str>,
        now: Timestamp,
        one_at_a_time: OwnedMutexGuard<()>,
    ) {
        let fetched = source.fetch(&uri).await;
        self.change(|state| {
            state.unfinished = false;
            state.task = None;
            if let Ok(keys) = fetched {
                state.keys = Some(Arc::new(keys));
                state.fetched_at = now;
            }
        });
        drop(one_at_a_time);
    }

    fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksCache")
            .field("lifetime", &self.lifetime)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
