//! What a store consists of, and what its operations share.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use crate::id::Namespace;
use crate::store::Lifetimes;
use crate::store::postgres::config;
use crate::store::postgres::keys::Keys;
use crate::store::postgres::leaps::Leaps;
use crate::store::postgres::link::Link;
use crate::store::postgres::notifier::Notifier;
use crate::store::postgres::sweep_position::SweepPosition;
use crate::store::postgres::tls::Tls;
use crate::token::DigestKey;

/// A store in PostgreSQL: for several processes, on a database that you already run.
///
/// Every operation is one round trip. A revocation is acknowledged when it is on the primary's disk (`synchronous_commit`
/// is switched on where it is off); what a standby has of it after a failover is a matter of `synchronous_standby_names`.
/// With `fsync = off` nothing is, whatever is acknowledged. [`Already`](crate::Revoked::Already) says that the primary has
/// it: it does not wait for a standby that the first revocation still waits for.
///
/// Readers of the feed wait for whoever holds the advisory lock `(1634627189, oid of annul_entry)`: a role that may connect
/// to the database can hold it, and the feed is unavailable for as long. Nobody else's revocations or look-ups wait. After
/// `TRUNCATE` and a restore of the data alone, give the feed a new name, so that its readers begin again:
/// `UPDATE annul_schema SET epoch = gen_random_uuid()`.
///
/// Connections are opened as they are needed. A server that does not answer is
/// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) within the configured time, and used again as soon as it
/// does. It needs a session of its own for each connection: behind PgBouncer, `pool_mode = session`.
///
/// ```no_run
/// # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
/// use annul::store::{PostgresConfig, PostgresStore};
/// use annul::{Authority, DigestKey, client::RegisteredClients};
///
/// # let secret = [7; 32];
/// let config = PostgresConfig::new("postgres://annul:secret@localhost/auth", DigestKey::new(&secret));
/// PostgresStore::migrate(&config).await?; // or psql -f, by who may create tables
/// let store = PostgresStore::connect(config).await?;
/// let authority = Authority::new(store, RegisteredClients::default());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    root: Arc<Root>,
    keys: Arc<Keys>,
}

/// What every namespace shares.
pub(super) struct Root {
    /// Before the link: the notifier sends over it.
    pub(super) notifier: Notifier,
    pub(super) link: Arc<Link>,
    pub(super) key: DigestKey,
    pub(super) lifetimes: Lifetimes,
    pub(super) leaps: Leaps,
    pub(super) sweep: SweepPosition,
    pub(super) connection: tokio_postgres::Config,
    pub(super) tls: Tls,
    pub(super) channel: u32,
}

impl PostgresStore {
    pub(super) fn new(root: Root) -> Self {
        let keys = Arc::new(Keys::new(&root.key, &Namespace::default()));
        Self { root: Arc::new(root), keys }
    }

    /// The same database, as another namespace sees it: it finds and revokes nothing of this one's. One sweep serves all.
    #[must_use]
    pub fn namespace(&self, namespace: &Namespace) -> Self {
        let keys = Arc::new(Keys::new(&self.root.key, namespace));
        Self { root: Arc::clone(&self.root), keys }
    }

    pub(super) fn link(&self) -> &Link {
        &self.root.link
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn lifetimes(&self) -> &Lifetimes {
        &self.root.lifetimes
    }

    pub(super) fn leaps(&self) -> &Leaps {
        &self.root.leaps
    }

    pub(super) fn sweep_position(&self) -> &SweepPosition {
        &self.root.sweep
    }

    /// There is a new entry.
    pub(super) fn notify(&self) {
        self.root.notifier.notify();
    }

    /// Learns of new entries, those of other processes included.
    pub(super) fn listen(&self) -> watch::Receiver<()> {
        let Root { notifier, connection, tls, link, channel, .. } = &*self.root;
        notifier.listen(connection, tls, link.within(), *channel)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = config::address(&self.root.connection);
        f.debug_struct("PostgresStore").field("at", &at).finish_non_exhaustive()
    }
}
