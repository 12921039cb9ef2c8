//! Token revocation and logout for authorization servers, embedded.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// ── 0 ground
mod clock;
mod id;
mod secret;
// ── 1 words
mod event;
pub mod policy;
pub mod profile;
mod revocation;
mod token;
// ── 2 wire
pub mod wire;
// ── 3 ports, and the implementations behind them
pub mod client;
pub mod store;
pub mod throttle;
// ── 4 flows
mod authority;
mod introspect;
mod logout;
pub mod metadata;
mod revoke;
// ── 5 edges
#[cfg(feature = "http")]
pub mod integration;

pub use authority::Authority;
pub use clock::Clock;
pub use clock::FakeClock;
pub use clock::SystemClock;
pub use clock::Timestamp;
pub use event::Endpoint;
pub use event::Event;
pub use event::EventSink;
pub use event::NoEvents;
pub use id::ClientId;
pub use id::GrantId;
pub use id::Namespace;
pub use id::SessionId;
pub use id::Subject;
pub use introspect::handle_introspect;
pub use logout::handle_logout;
pub use policy::Cascade;
pub use policy::LogoutSuccess;
pub use policy::Policy;
pub use revocation::Actor;
pub use revocation::Reason;
pub use revocation::Revocation;
pub use revocation::Revoked;
pub use revocation::Target;
pub use revoke::handle_revoke;
pub use secret::PresentedSecret;
pub use secret::Secret;
#[cfg(feature = "memory")]
pub use store::MemoryStore;
pub use token::DigestKey;
pub use token::Grant;
pub use token::NewToken;
pub use token::PresentedToken;
pub use token::TargetKind;
pub use token::TokenDigest;
pub use token::TokenId;
pub use token::TokenKind;
pub use token::TokenRecord;
pub use token::TokenState;
pub use token::TokenTypeHint;
pub use token::Verdict;
pub use wire::request::Request;
pub use wire::response::Response;
