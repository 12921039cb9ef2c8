//! Signed JWTs: reading them without being fooled, and the signature layer.
//!
//! The signatures are `jsonwebtoken`'s; nothing else of it is used. Its process-wide default provider would make two
//! crates that choose differently panic each other, so the provider is named here for every key; and its claim checks ask
//! the system's clock, so ours are elsewhere. Its types stay in here.

mod compact;
mod signature;

pub(crate) use compact::Compact;
pub(crate) use signature::{Key, verify};
