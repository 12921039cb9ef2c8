//! Where tokens and revocations are kept: the traits a store implements.
//!
//! A host with its own token tables implements [`TokenStore`], two methods, and is done. The other traits
//! are optional abilities, implemented by the shipped stores. What all of them decide alike is in [`rules`].

#[cfg(feature = "embedded")]
pub mod embedded;
mod feed;
mod forward;
pub mod instrumented;
mod issuing;
mod layered;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
pub mod rules;
mod sessions;
mod sweeping;
mod tokens;

pub use crate::error::{StoreError, StoreErrorKind};
pub use crate::store::rules::lifetime::{Lifetimes, Retention};
#[cfg(feature = "embedded")]
pub use embedded::EmbeddedStore;
pub use feed::{Changes, FeedCursor, FeedEntry, FeedPage, RevocationFeed};
pub use issuing::{Issued, Refused, Rotated, Rotation, TokenLedger};
pub use layered::Layered;
#[cfg(feature = "memory")]
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresConfig;
#[cfg(feature = "postgres")]
pub use postgres::PostgresError;
#[cfg(feature = "postgres")]
pub use postgres::PostgresMigration;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use redis::RedisStore;
pub use sessions::Session;
pub use sweeping::{Sweep, SweepBudget, Swept};
pub use tokens::TokenStore;
