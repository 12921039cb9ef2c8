//! Where the tokens are: `--store`, opened.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annul::store::instrumented::{Instrumented, Observation, Observer, Outcome};
use annul::store::redis::{Durability, RedisConfig};
use annul::store::{EmbeddedStore, PostgresConfig, PostgresStore, Sweep, TokenLedger};
use annul::{DigestKey, MemoryStore, RedisStore, Secret};

use crate::Failure;
use crate::key::KeyFile;

/// What this server asks of a store: every one of annul's has it.
pub(crate) trait ServerStore: TokenLedger + Sweep {}

impl<S: TokenLedger + Sweep> ServerStore for S {}

/// What `--store` names.
#[derive(Debug)]
pub(crate) enum Place {
    /// Gone with the process.
    Memory,
    /// A folder of its own.
    File(PathBuf),
    /// At this URL, which may hold a password.
    Postgres(Secret),
    /// One server or a cluster, at this URL.
    Redis(Secret),
}

impl Place {
    /// Where tokens are kept if nobody says: in the working folder.
    pub(crate) const DEFAULT: &str = "annul.store";

    /// Reads the value of the flag. Of a URL only the scheme is repeated in the error.
    pub(crate) fn parse(value: &str) -> Result<Self, String> {
        if value == "memory" {
            return Ok(Self::Memory);
        }
        let Some((scheme, rest)) = value.split_once(':') else {
            return Err(Self::unknown(value));
        };
        match scheme {
            "file" if rest.is_empty() => Err("--store file: wants a path after it".to_owned()),
            "file" => Ok(Self::File(rest.into())),
            "postgres" | "postgresql" => Ok(Self::Postgres(Secret::new(value))),
            "redis" | "redis-cluster" => Ok(Self::Redis(Secret::new(value))),
            _ => Err(Self::unknown(scheme)),
        }
    }

    fn unknown(scheme: &str) -> String {
        let known = "memory, file:PATH, postgres://…, redis://…, redis-cluster://…";
        format!("--store {scheme} is none of: {known}")
    }

    /// Where the digest key is, if nobody says.
    pub(crate) fn key_file(&self) -> PathBuf {
        match self {
            // Beside the folder, not in it: whoever copies the one has not copied the other.
            Self::File(folder) => {
                let mut file = folder.clone().into_os_string();
                file.push(".key");
                file.into()
            }
            Self::Memory | Self::Postgres(_) | Self::Redis(_) => "annul.key".into(),
        }
    }

    /// What the banner calls it.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Memory => "in memory, gone with the process".to_owned(),
            Self::File(folder) => format!("in {}, where they last", folder.display()),
            Self::Postgres(_) => "in PostgreSQL".to_owned(),
            Self::Redis(_) => "in Redis".to_owned(),
        }
    }

    /// Opens it, watched. The error is one sentence that says what to do.
    pub(crate) async fn open(&self, key_file: PathBuf) -> Result<Arc<dyn ServerStore>, Failure> {
        if let Self::Memory = self {
            return Ok(watched(MemoryStore::new()));
        }
        let key = KeyFile::read_or_make(key_file)?;
        let opened = self.open_with(key.digest_key()).await;
        if opened.is_err() {
            // Nothing was written by it: the next start is to be the first again.
            key.discard_if_new();
        }
        opened
    }

    async fn open_with(&self, key: DigestKey) -> Result<Arc<dyn ServerStore>, Failure> {
        match self {
            Self::Memory => Ok(watched(MemoryStore::with_key(key))),
            Self::File(folder) => {
                let folder = folder.clone();
                // It reads a journal, and blocks until it has.
                let opening = move || EmbeddedStore::open(folder, &key);
                Ok(watched(tokio::task::spawn_blocking(opening).await??))
            }
            Self::Postgres(url) => {
                let config = PostgresConfig::new(url.expose_secret(), key);
                // Its user may create tables here. In production somebody else's does.
                PostgresStore::migrate(&config).await?;
                Ok(watched(PostgresStore::connect(config).await?))
            }
            Self::Redis(url) => {
                let config = RedisConfig::new(url.expose_secret(), key);
                let store = RedisStore::connect(config).await?;
                if store.durability() != Durability::EveryWrite {
                    eprintln!("warning: {}", store.durability());
                }
                Ok(watched(store))
            }
        }
    }
}

fn watched<S: ServerStore + 'static>(store: S) -> Arc<dyn ServerStore> {
    Arc::new(Instrumented::new(store, Trouble::default()))
}

/// Says so when the store begins to fail, and when it answers again: one line each, and not one for each request.
#[derive(Default)]
struct Trouble {
    is_failing: AtomicBool,
}

impl Observer for Trouble {
    fn observe(&self, observation: &Observation<'_>) {
        let outcome = observation.outcome;
        let fails = matches!(outcome, Outcome::Corrupt | Outcome::Unavailable);
        // The others are between callers, and say nothing of the store.
        if outcome.is_failure() && !fails {
            return;
        }
        if self.is_failing.load(Ordering::Relaxed) == fails
            || self.is_failing.swap(fails, Ordering::Relaxed) == fails
        {
            return;
        }
        match observation.error {
            Some(error) => {
                let mut why = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    why = format!("{why}: {error}");
                    cause = error.source();
                }
                eprintln!(
                    "warning: {}: {why}; such requests are answered 503",
                    observation.operation
                );
            }
            None => eprintln!("warning: the store answers again"),
        }
    }
}
