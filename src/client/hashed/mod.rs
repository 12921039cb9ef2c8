//! Client secrets that a person may have chosen: kept as Argon2id hashes, and checked by threads of their own.

mod hash;
mod hashing;
mod pool;
mod proven;

pub use hash::InvalidSecretHash;
pub use hash::SecretHash;
pub use hashing::HashingLimits;
pub use hashing::SecretHashing;
pub use pool::HashingStats;
