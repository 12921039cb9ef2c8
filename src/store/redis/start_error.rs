//! Why a store did not start.

use std::error::Error;

/// Redis, or what was asked of it, is not as a [`RedisStore`](crate::store::redis::RedisStore) needs it: what is wrong, and
/// what to do. Nothing was started.
///
/// ```
/// # async fn demo() {
/// use annul::DigestKey;
/// use annul::store::redis::{RedisConfig, RedisStartError, RedisStore};
///
/// let key = DigestKey::new(&[7; 32]);
/// let error = RedisStore::connect(RedisConfig::new("http://localhost", key)).await.unwrap_err();
/// assert!(matches!(error, RedisStartError::Url { .. }));
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisStartError {
    /// The server evicts: it forgets what it was told to keep, revocations among it.
    #[error(
        "Redis evicts (maxmemory-policy {policy}), and a revocation that is evicted makes its token good again: set \
         `maxmemory-policy noeviction`"
    )]
    Evicting {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// A single server was asked for, and this is a node of a cluster.
    #[error("this server is a node of a cluster: write `redis-cluster://host:port,host:port`")]
    IsACluster,
    /// The server is still reading its data.
    #[error("Redis is loading its data: start again in a moment")]
    Loading,
    /// The server does not tell whether it evicts.
    #[error(
        "Redis does not tell its maxmemory-policy: allow this user `INFO`, or see for yourself that it is noeviction and \
         say so by `i_have_checked_that_nothing_is_evicted`"
    )]
    MemoryPolicyUnknown,
    /// A cluster was asked for, and this is a single server.
    #[error("this server is not a node of a cluster: write `redis://host:port`")]
    NotACluster,
    /// The data are those of a later version of this crate, or no data of it.
    #[error(
        "the data under this prefix have schema {found}, and this version of annul knows {known}: use the version \
         that wrote them, or another prefix"
    )]
    OtherSchema {
        /// What is there.
        found: String,
        /// What this version writes.
        known: u16,
    },
    /// The number of shards is another than at the first start.
    #[error(
        "the data under this prefix have {found} shards, and {asked} were asked for: leave the number out"
    )]
    OtherShards {
        /// What is there.
        found: u16,
        /// What was asked for.
        asked: u16,
    },
    /// The prefix cannot be part of a hash tag.
    #[error("the prefix is empty, or has a brace in it: `annul` is a good one")]
    Prefix,
    /// The user or password is wrong, or may not do what the store does.
    #[error(
        "Redis refuses this user or password ({source}): the user needs the keys `~{{PREFIX:*` and the commands `+@read +@write \
         +@scripting +@connection +info +time +wait`, and `+cluster` in a cluster"
    )]
    Refused {
        /// What the server said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// This server is a replica.
    #[error("this server is a replica: give the address of its primary")]
    Replica,
    /// The server knows no scripts with flags.
    #[error("this server is Redis {version}, and annul needs Redis 7.0 or Valkey 7.2, or later")]
    TooOld {
        /// The server's version.
        version: String,
    },
    /// Nobody answers there in time.
    #[error("Redis does not answer: is it started, and is this its address? ({source})")]
    Unreachable {
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The URL makes no sense.
    #[error(
        "{problem}; write `redis://[[user]:password@]host[:port][/database]` or \
         `redis-cluster://[[user]:password@]host[:port],host[:port]`"
    )]
    Url {
        /// What is wrong with it. It never has the password in it.
        problem: &'static str,
    },
    /// The data were written under another digest key.
    #[error(
        "the data under this prefix were written with another digest key, and with this one no token would be found: use \
         the key they were written with"
    )]
    WrongKey,
}

impl RedisStartError {
    pub(super) fn unreachable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable { source: source.into() }
    }
}
