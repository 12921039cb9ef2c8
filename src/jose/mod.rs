//! Signature algorithms and public keys, by their JOSE names (RFC 7517, RFC 7518, RFC 8037).
//!
//! Words only: nothing here verifies a signature. Authenticators of a host's own find a client's keys here, whatever
//! library they verify with.

mod algorithm;
mod jwk;

pub use algorithm::{Algorithm, Algorithms};
pub use jwk::{Curve, InvalidJwkSet, Jwk, JwkSet, PublicKey};
