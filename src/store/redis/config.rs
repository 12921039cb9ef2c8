//! How to reach Redis, and what is asked of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::clock::{Stopwatch, SystemStopwatch};
use crate::store::Lifetimes;
use crate::store::redis::start_error::RedisStartError;
use crate::token::DigestKey;

/// More shards than any cluster has nodes to spread them over.
pub(super) const MOST_SHARDS: u16 = 1024;

/// As long as refresh tokens usually live.
const LONGEST_LIFETIME: Duration = Duration::from_secs(30 * 86_400);

/// Where Redis is, and what a [`RedisStore`](crate::store::redis::RedisStore) asks of it.
///
/// ```
/// use std::time::Duration;
/// use annul::DigestKey;
/// use annul::store::redis::RedisConfig;
///
/// let key = DigestKey::new(&[7; 32]); // from wherever the deployment keeps its secrets
/// let single = RedisConfig::new("redis://:password@127.0.0.1:6379", key.clone());
/// let cluster = RedisConfig::new("redis-cluster://10.0.0.1:6379,10.0.0.2:6379", key)
///     .timeout(Duration::from_millis(500))
///     .require_replicas(1, Duration::from_millis(200));
/// assert!(!format!("{single:?}").contains("password"));
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    url: String,
    pub(super) key: DigestKey,
    pub(super) prefix: String,
    pub(super) shards: Option<u16>,
    pub(super) timeout: Duration,
    pub(super) lifetimes: Lifetimes,
    pub(super) stopwatch: Arc<dyn Stopwatch>,
    pub(super) longest_lifetime: Duration,
    pub(super) replicas: Option<Replicas>,
    pub(super) memory_policy_is_known: bool,
}

/// How many replicas must have a write before it is acknowledged, and for how long they may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replicas {
    pub(super) count: u16,
    pub(super) within: Duration,
}

/// The URL, read.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) is_cluster: bool,
}

impl RedisConfig {
    /// The server or cluster at this URL, and the key for token digests, which every process that uses the same data needs.
    ///
    /// - `redis://[[user]:password@]host[:port][/database]` is one server: Redis or Valkey, with replicas perhaps.
    /// - `redis-cluster://[[user]:password@]host[:port],host[:port],…` is a Redis Cluster; any of its nodes will do, and some
    ///   more in case one is down.
    ///
    /// With the feature `redistls` there are `rediss://` and `rediss-cluster://` too: the same over TLS, where the operating
    /// system trusts the server's certificate. A process that has several of rustls' cryptographic providers has to say
    /// which it is, by `install_default`, before it connects.
    ///
    /// A password with characters that a URL has other uses for is percent-encoded.
    pub fn new(url: impl Into<String>, key: DigestKey) -> Self {
        Self {
            url: url.into(),
            key,
            prefix: "annul".to_owned(),
            shards: None,
            timeout: Duration::from_secs(1),
            lifetimes: Lifetimes::default(),
            stopwatch: Arc::new(SystemStopwatch::start()),
            longest_lifetime: LONGEST_LIFETIME,
            replicas: None,
            memory_policy_is_known: false,
        }
    }

    /// What every key begins with, so that several deployments can share a server. By default `annul`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Over how many hash slots the data of each namespace are spread. Only the first start under a prefix decides it, and
    /// those that come later are told. Say the same number in every process, or none in any: if the data are lost while some
    /// run, the next start decides anew, and processes with another number know no token of those with the old one, and do not
    /// reach them by what they revoke. So after such a loss start all of them again.
    ///
    /// By default 1 on a single server, where every operation is then one round trip, and 64 in a cluster. While a cluster
    /// moves a slot, what that slot cannot do yet is answered 503, so many small shards are better than few large ones; a
    /// sweep and a page of the feed look at every one of them.
    #[must_use]
    pub const fn shards(mut self, shards: u16) -> Self {
        self.shards = Some(shards);
        self
    }

    /// How long one call may take, with everything that is tried again in it. By default one second.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For how long the store keeps what. Say the same in every process that uses the same data.
    #[must_use]
    pub const fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// By what a sweep measures how long a clock has been ahead. By default the operating system's stopwatch.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.stopwatch = Arc::new(stopwatch);
        self
    }

    /// For how long tokens and sessions live at most: every revocation is kept for so long at least, and for as long as expired
    /// tokens are remembered after that. By default thirty days.
    ///
    /// Each shard knows until when its revocations have to last, because tokens are announced there. A node that comes back
    /// empty, or as it was a while ago, has forgotten that, and would keep what is revoked from then on too short a time for
    /// tokens on other nodes. So say more if yours live longer; less spares memory, where none lives for so long.
    #[must_use]
    pub const fn longest_lifetime(mut self, lifetime: Duration) -> Self {
        self.longest_lifetime = lifetime;
        self
    }

    /// Acknowledges nothing before `count` replicas have it (`WAIT`): a call for which they take longer than `within` is
    /// `Unavailable`, though perhaps done.
    ///
    /// Replication is asynchronous. Without this, a primary that dies may take revocations with it that were acknowledged a
    /// moment before; with it, they are lost only if the replicas that had them are passed over in the election or die too.
    #[must_use]
    pub const fn require_replicas(mut self, count: u16, within: Duration) -> Self {
        self.replicas = Some(Replicas { count, within });
        self
    }

    /// Starts where nobody can ask whether the server evicts, because a managed service leaves that out of `INFO`.
    ///
    /// # Security
    ///
    /// A server that evicts forgets revocations, and then revoked tokens are good again. Say this only once you have seen
    /// that `maxmemory-policy` is `noeviction`.
    #[must_use]
    pub const fn i_have_checked_that_nothing_is_evicted(mut self) -> Self {
        self.memory_policy_is_known = true;
        self
    }

    /// Reads the URL. What it complains about never has the password in it.
    pub(super) fn address(&self) -> Result<Address, RedisStartError> {
        let wrong = |problem| Err(RedisStartError::Url { problem });
        let (is_cluster, is_tls, rest) = match self.url.split_once("://") {
            Some(("redis", rest)) => (false, false, rest),
            Some(("redis-cluster", rest)) => (true, false, rest),
            Some(("rediss", rest)) => (false, true, rest),
            Some(("rediss-cluster", rest)) => (true, true, rest),
            Some(_) | None => return wrong("the URL is neither `redis://` nor `redis-cluster://`"),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (login, rest),
            None => ("", rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let database = match path.trim_end_matches('/') {
            "" => 0,
            _ if is_cluster => return wrong("a cluster has no databases"),
            path => match path.parse::<u16>() {
                Ok(database) => i64::from(database),
                Err(_) => return wrong("the database is not a number"),
            },
        };
        let mut settings = RedisConnectionInfo::default().set_db(database);
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        for (text, is_password) in [(user, false), (password, true)] {
            let Some(text) = percent_decoded(text) else {
                return wrong("the user or password is not percent-encoded text");
            };
            settings = match (text.as_str(), is_password) {
                ("", _) => settings,
                (text, true) => settings.set_password(text),
                (text, false) => settings.set_username(text),
            };
        }
        let mut nodes = Vec::new();
        for host in hosts.split(',') {
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => match port.parse() {
                    Ok(port) => (host, port),
                    Err(_) => return wrong("a port is not a number"),
                },
                Some(_) | None => (host, 6379),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            if host.is_empty() {
                return wrong("a host is missing");
            }
            let host = host.to_owned();
            let node = match is_tls {
                true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
                false => ConnectionAddr::Tcp(host, port),
            };
            if !node.is_supported() {
                return wrong("TLS is not built in: that is the feature `redistls`");
            }
            let node = node.into_connection_info().map_err(RedisStartError::unreachable)?;
            let tcp = TcpSettings::default().set_nodelay(true);
            nodes.push(node.set_redis_settings(settings.clone()).set_tcp_settings(tcp));
        }
        if !is_cluster && nodes.len() > 1 {
            return wrong("several hosts are a cluster: `redis-cluster://`");
        }
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err(RedisStartError::Prefix);
        }
        Ok(Address { nodes, is_cluster })
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Address, RedisStartError> {
        RedisConfig::new(url, DigestKey::new(&[7; 32])).address()
    }

    #[test]
    fn a_url_says_where_and_as_whom() {
        let address = read("redis://u%40x:p%3Aw@[::1]:7000/3").unwrap();
        let node = &address.nodes[0];
        assert_eq!(node.addr(), &ConnectionAddr::Tcp("::1".to_owned(), 7000));
        assert_eq!(node.redis_settings().username(), Some("u@x"));
        assert_eq!(node.redis_settings().password(), Some("p:w"));
        assert_eq!(node.redis_settings().db(), 3);
        let address = read("redis-cluster://a,b:7001").unwrap();
        assert!(address.is_cluster);
        assert_eq!(address.nodes[0].addr(), &ConnectionAddr::Tcp("a".to_owned(), 6379));
        assert_eq!(address.nodes[1].addr(), &ConnectionAddr::Tcp("b".to_owned(), 7001));
    }

    #[test]
    fn a_wrong_url_is_told_without_its_password() {
        for url in [
            "",
            "localhost",
            "http://:hunter2@localhost",
            "redis://:hunter2@",
            "redis://:hunter2@a,b",
            "redis://:hunter2@a:port",
            "redis://:hunter2@a/db",
            "redis://:hunter2%zz@a",
            "redis-cluster://:hunter2@a/1",
        ] {
            let error = read(url).unwrap_err().to_string();
            assert!(error.contains("redis://") && !error.contains("hunter2"), "{error}");
        }
    }
}
