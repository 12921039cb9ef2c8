//! What a [`PostgresStore`](crate::store::PostgresStore) is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::clock::{Stopwatch, SystemStopwatch};
use crate::secret::Secret;
use crate::store::Lifetimes;
use crate::store::postgres::start_error::PostgresError;
use crate::store::postgres::tls::Tls;
use crate::token::DigestKey;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Where the database is, and how a [`PostgresStore`](crate::store::PostgresStore) uses it.
///
/// ```
/// use std::time::Duration;
/// use annul::DigestKey;
/// use annul::store::PostgresConfig;
///
/// let key = DigestKey::new(&[7; 32]); // 32 random bytes from where your secrets are
/// let config = PostgresConfig::new("postgres://annul:secret@db.internal:5432/auth", key)
///     .connections(16)
///     .timeout(Duration::from_secs(2));
/// assert!(!format!("{config:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct PostgresConfig {
    url: Secret,
    key: DigestKey,
    connections: usize,
    timeout: Duration,
    lifetimes: Lifetimes,
    stopwatch: Arc<dyn Stopwatch>,
    root_certificates: Option<Arc<str>>,
}

impl PostgresConfig {
    /// A URL, `postgres://user:password@host:5432/database`, or the words of libpq, `host=/run/postgresql user=annul`; and
    /// the digest key, the same in every process that uses the database.
    ///
    /// Another schema than the first of the user's search path: `?options=-csearch_path%3Dauth`. Several hosts, of which
    /// the one that takes writes is used: `postgres://user@a:5432,b:5432/database`. A standby is never asked: each new
    /// connection is used only if it takes writes.
    ///
    /// TLS where it says `?sslmode=require`: then the server's certificate is verified, always, against the host that the
    /// URL names. Without it nothing is encrypted, which is right for a unix socket.
    pub fn new(url: &str, key: DigestKey) -> Self {
        Self {
            url: Secret::new(url),
            key,
            connections: 16,
            timeout: Duration::from_secs(5),
            lifetimes: Lifetimes::default(),
            stopwatch: Arc::new(SystemStopwatch::start()),
            root_certificates: None,
        }
    }

    /// At most this many connections, opened as they are needed. Default: 16; at least one.
    #[must_use]
    pub const fn connections(mut self, connections: usize) -> Self {
        self.connections = if connections == 0 { 1 } else { connections };
        self
    }

    /// How long any operation may take, waiting for a connection included. Default: five seconds; at most a day.
    ///
    /// The server gives a statement up a little earlier. What was given up may have been done all the same; to repeat it
    /// does no harm.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        // PostgreSQL counts milliseconds in 31 bits, and refuses to wait for longer than they hold.
        self.timeout = if timeout.as_secs() < DAY.as_secs() { timeout } else { DAY };
        self
    }

    /// For how long what is kept; it counts for what is recorded from then on.
    #[must_use]
    pub const fn lifetimes(mut self, lifetimes: Lifetimes) -> Self {
        self.lifetimes = lifetimes;
        self
    }

    /// Measures by this for how long a clock has been ahead that a sweep does not believe. Default: the system's stopwatch.
    #[must_use]
    pub fn stopwatch(mut self, stopwatch: impl Stopwatch + 'static) -> Self {
        self.stopwatch = Arc::new(stopwatch);
        self
    }

    /// Trusts these authorities for TLS, and no others: PEM, one or several. Default: those of the operating system.
    #[must_use]
    pub fn root_certificates(mut self, pem: &str) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    pub(super) fn tls(&self, read: &tokio_postgres::Config) -> Result<Tls, PostgresError> {
        Tls::new(read, self.root_certificates.as_deref())
    }

    pub(super) const fn key(&self) -> &DigestKey {
        &self.key
    }

    pub(super) const fn connection_count(&self) -> usize {
        self.connections
    }

    pub(super) const fn within(&self) -> Duration {
        self.timeout
    }

    pub(super) const fn kept(&self) -> &Lifetimes {
        &self.lifetimes
    }

    pub(super) fn stopwatch_of_leaps(&self) -> Arc<dyn Stopwatch> {
        Arc::clone(&self.stopwatch)
    }

    /// The URL, read.
    pub(super) fn read(&self) -> Result<tokio_postgres::Config, PostgresError> {
        // What is wrong with it is not told: the reader of URLs quotes the part that it does not understand, and that may
        // be half of a password with an `@` in it.
        let mut config: tokio_postgres::Config =
            self.url.expose_secret().parse().map_err(|_| PostgresError::Url)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(PostgresError::Url);
        }
        // Plain or verified: what is in between protects from nobody who can stand in between.
        if config.get_ssl_mode() != SslMode::Require {
            config.ssl_mode(SslMode::Disable);
        }
        config.connect_timeout(self.timeout).tcp_user_timeout(self.timeout);
        config.keepalives(true).keepalives_idle(Duration::from_secs(30));
        config.keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
        if config.get_application_name().is_none() {
            config.application_name("annul");
        }
        // Whatever the URL says, and for one host too: its name may lead to a standby from one connection to the next, and
        // what a standby does not have yet is a revocation.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(config)
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.read().map(|config| address(&config)).unwrap_or_default();
        f.debug_struct("PostgresConfig")
            .field("at", &at)
            .field("connections", &self.connections)
            .field("timeout", &self.timeout)
            .field("lifetimes", &self.lifetimes)
            .finish_non_exhaustive()
    }
}

/// `host:port/database`, without who and by what password.
pub(super) fn address(config: &tokio_postgres::Config) -> String {
    let ports = config.get_ports();
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let port = ports.get(n).or_else(|| ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(host) => format!("{host}:{port}"),
                #[cfg(unix)]
                Host::Unix(folder) => format!("{}:{port}", folder.display()),
            }
        })
        .collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default())
}
