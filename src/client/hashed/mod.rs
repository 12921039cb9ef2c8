//! Client secrets that a person may have chosen: kept as Argon2id hashes, and checked by threads of their own.

mod hash;
mod hashing;
mod limits;
mod pool;
mod proven;

pub use hash::{InvalidSecretHash, SecretHash};
pub use hashing::SecretHashing;
pub use limits::HashingLimits;
pub use pool::HashingStats;
