//! The edges: requests and responses of other crates, and routers that mount the endpoints.

#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "http")]
pub mod http;
