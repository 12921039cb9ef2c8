//! Token revocation and logout for OAuth 2.0 and OpenID Connect authorization servers, embedded.
//!
//! `annul` turns the bytes of a revocation, logout or introspection request into a status, headers and a body.
//! It opens no socket, picks no framework and issues no tokens: those are the authorization server's. What it
//! brings is everything such an endpoint needs to be *true*: client authentication, ownership, cascade, a
//! store that cannot forget a live revocation, and the answer to "is this token still good?".
//!
//! # Thirty lines
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use annul::client::{AuthMethod, Client, ClientMetadata, ClientTable, RegisteredClients};
//! use annul::store::TokenLedger;
//! use annul::{Authority, Clock, Grant, MemoryStore, NewToken, PresentedToken, Request, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), annul::store::StoreError> {
//! // Once, at start: a store, the registered clients, and the authority over both.
//! let store = Arc::new(MemoryStore::new());
//! let web = ClientMetadata::new("web", AuthMethod::ClientSecretBasic);
//! let clients = ClientTable::from_iter([Client::new(web).secret("web-secret")]);
//! let authority = Authority::new(Arc::clone(&store), RegisteredClients::new(clients));
//!
//! // In the token endpoint: record what is issued.
//! let now = SystemClock.now();
//! let grant = Grant::new("g1", "web", now).subject("alice").session("s1");
//! let access = NewToken::access(PresentedToken::new("at-1"), now + Duration::from_secs(600));
//! let refresh = NewToken::refresh(PresentedToken::new("rt-1"), now + Duration::from_secs(86_400));
//! store.issue(grant, &[access, refresh], now).await?;
//!
//! // In the revocation endpoint, of any framework: bytes in, bytes out.
//! let request = Request::post(b"token=rt-1&token_type_hint=refresh_token")
//!     .header("content-type", b"application/x-www-form-urlencoded")
//!     .header("authorization", b"Basic d2ViOndlYi1zZWNyZXQ=");
//! let response = annul::handle_revoke(&authority, &request).await;
//! assert_eq!(response.status(), 200);
//!
//! // In a resource server of the same process: the access token died with its grant.
//! assert!(!authority.check(PresentedToken::new("at-1")).await?.is_active());
//! # Ok(())
//! # }
//! ```
//!
//! # The one idea
//!
//! Nothing is ever searched for and deleted. Revoking means writing one small, idempotent entry: *everything
//! under this [`Target`], granted at or before this instant, is dead*. Whether a token lives is a question asked
//! of the token: does any entry cover it? So revoking costs the same for one token and for a session with ten
//! thousand; a token minted while its grant was being revoked is born dead; and no lock, sweep or crash can bring
//! one back.
//!
//! # The way of one request
//!
//! ```text
//! bytes ─▶ Request ─▶ Form ─┬▶ Credentials ═▶ AuthenticatedClient ─┐
//!                           └▶ token, hint ────────────────────────┴═▶ OwnedToken ─┐
//!                                                                                 │
//!               status, headers, body ◀─ Response ◀═ revoke ◀─ Revocation ◀────────┘
//!
//! ═▶ awaits: the authenticator, find and revoke. Everything else is a plain function.
//! ```
//!
//! Two values on the way are proofs: an [`AuthenticatedClient`](client::AuthenticatedClient) comes out of
//! credentials that an authenticator accepted, and a client's [`Revocation`] out of an
//! [`OwnedToken`]. An endpoint that skips a check does not compile.
//!
//! # Bring your own store
//!
//! A server with token tables of its own implements [`TokenStore`](store::TokenStore): two methods, whose docs
//! open with a whole implementation. The shipped ones (memory, a folder, PostgreSQL, Redis) also implement
//! [`TokenLedger`](store::TokenLedger) (issue, rotate, sessions), [`Sweep`](store::Sweep) and
//! [`RevocationFeed`](store::RevocationFeed). [The guide](guide::choosing_a_store) says which one to choose, and what each
//! survives. What all of them
//! decide alike is in [`store::rules`], as pure functions. The feature `testkit` tries whether a store of yours keeps what
//! they promise.
//!
//! [`Lifetimes`](store::Lifetimes) says how long records and revocations are kept. Set it if device codes live longer than an
//! hour, or if you issue tokens that are not recorded. Sweep from a timer: [`Authority::sweep`].
//!
//! # Authenticate clients
//!
//! [`RegisteredClients`](client::RegisteredClients) authenticates by RFC 7591 metadata; anything else implements
//! [`ClientAuthenticator`](client::ClientAuthenticator), one method. Either way a request has exactly one
//! credential mechanism, and an unknown client cannot be told from a wrong secret.
//! [The guide](guide::authenticating_clients) switches on every method: secrets and public clients as they are; Argon2id
//! hashes, signed assertions and certificates with a feature each.
//!
//! # Logout
//!
//! ```
//! # use annul::{Authority, MemoryStore, Request, Target, Reason, Revocation};
//! # use annul::client::RegisteredClients;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), annul::store::StoreError> {
//! # let authority = Authority::new(MemoryStore::new(), RegisteredClients::default());
//! // A client logs its user out, with a refresh token: the session ends for every client in it.
//! let body = b"refresh_token=rt-1&client_id=web&client_secret=web-secret";
//! let request = Request::post(body).header("content-type", b"application/x-www-form-urlencoded");
//! let response = annul::handle_logout(&authority, &request).await;
//! # assert_eq!(response.status(), 401);
//!
//! // The host's own code does the same without HTTP.
//! let session = Target::Session("s1".into());
//! authority.revoke(Revocation::by_operator(session, Reason::Logout, authority.now())).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Slow down who guesses
//!
//! A [`Throttle`](throttle::Throttle) is asked before a caller is heard. The shipped `RateLimiter` counts failures by
//! client and by peer over all endpoints, in memory that never grows; pass it the peer's address with each request.
//!
//! # Features
//!
//! | name | gives | default | crates added |
//! |---|---|---|---|
//! | `memory` | `MemoryStore` | yes | getrandom, hashbrown |
//! | `embedded` | `EmbeddedStore`: durable in one folder, without a server; needs Rust 1.90 | no | fjall and the forty crates it is made of, getrandom, postcard, xxhash-rust |
//! | `postgres` | `store::PostgresStore` | no | tokio-postgres, deadpool-postgres, rustls over aws-lc-rs, tokio's `net`, `rt`, `sync` and `time` |
//! | `redis` | `RedisStore`: Redis or Valkey, one server or a Cluster | no | redis, getrandom, tokio's `net`, `rt`, `sync` and `time` |
//! | `redistls` | `rediss://` and `rediss-cluster://`: Redis over TLS | no | tokio-rustls, rustls-native-certs |
//! | `argon2` | `SecretHash`, `SecretHashing`: client secrets that people chose | no | argon2, tokio's `sync`, getrandom |
//! | `jwt` | `client::Assertions`: `private_key_jwt`, `client_secret_jwt` | no | jsonwebtoken over aws-lc-rs, tokio's `rt` and `sync`, getrandom |
//! | `jwks` | `client::JwksSource`: keys at a client's `jwks_uri`; comes with `jwt` and `mtls` | no | tokio's `rt` and `sync` |
//! | `mtls` | `client::Certificates`: `tls_client_auth`, `self_signed_tls_client_auth` | no | x509-parser, tokio's `rt` and `sync` |
//! | `throttle` | `throttle::RateLimiter` | no | governor |
//! | `http` | conversions from and to `http::Request` and `http::Response` | no | http |
//! | `axum` | `integration::axum::router` | no | axum, http-body-util |
//! | `tracing` | `store::instrumented::TracingObserver`: every call of a store as an event | no | tracing |
//! | `metrics` | `store::instrumented::MetricsObserver`: every call of a store counted and timed | no | metrics |
//! | `testkit` | `testkit`: contract suites for stores and authenticators of your own | no | none |
//!
//! Its traits are async ones: to implement one, add `async-trait = "0.1"` beside this crate.
//!
//! Features add API and never change behaviour. The whole crate needs Rust 1.88, but for
//! `embedded`, which needs 1.90.
//!
//! # Security
//!
//! - A store that does not answer is 503, never 200: a client that reads 200 may forget the token.
//! - Tokens and secrets are never printed, and are kept as digests. Nothing from a request is echoed. The one
//!   exception, response headers that name tokens, is the `wso2` profile's and off everywhere else.
//! - An expired, consumed or revoked token is still its owner's to revoke, for as long as the store remembers it.
//! - `SECURITY.md` has the threat model, boundary by boundary.
//!
//! # The map
//!
//! The [`guide`] is the long form. Policies are in [`policy`], the systems this crate can stand in for in
//! [`profile`], server metadata in [`metadata`].

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// ── 0 ground
mod clock;
mod error;
mod id;
mod issuer;
mod secret;
// ── 1 words
mod auth_method;
mod event;
pub mod jose;
pub mod policy;
pub mod profile;
mod revocation;
mod token;
// ── 2 wire
#[cfg(feature = "jwt")]
mod jwt;
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
mod ownership;
mod revoke;
// ── 5 edges
pub mod guide;
#[cfg(feature = "http")]
pub mod integration;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use authority::Authority;
pub use clock::{Clock, FakeClock, Stopwatch, SystemClock, SystemStopwatch, Timestamp};
pub use event::{Endpoint, Event, EventSink, NoEvents};
pub use id::{ClientId, GrantId, Namespace, SessionId, Subject};
pub use introspect::handle_introspect;
pub use issuer::{InvalidUrl, Issuer};
pub use logout::handle_logout;
pub use ownership::OwnedToken;
pub use policy::{Cascade, LogoutSuccess, Policy};
pub use revocation::{Actor, Reason, Revocation, Revoked, Target, TargetKind};
pub use revoke::handle_revoke;
pub use secret::{PresentedSecret, Secret};
#[cfg(feature = "embedded")]
pub use store::EmbeddedStore;
#[cfg(feature = "memory")]
pub use store::MemoryStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
pub use token::{
    DigestKey, Grant, NewToken, PresentedToken, TokenDigest, TokenId, TokenKind, TokenRecord,
    TokenState, TokenTypeHint, Unpresentable, Verdict,
};
pub use wire::request::Request;
pub use wire::response::Response;

/// The README's code is compiled and run as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
