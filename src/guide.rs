//! The long form: how to think about revocation, run it, and find the clause behind each line.
//!
//! - [`tour`]: from the first token to the first logout.
//! - [`authenticating_clients`]: every method, and how to switch it on.
//! - [`choosing_a_store`]: what each store survives, what it costs, and what it asks of you.
//! - [`writing_a_store`]: your own tables behind the endpoints.
//! - [`operating`]: sweeping, sizing, throttling, events, and what each answer means.
//! - [`specifications`]: which clause lives where, and what is deliberately not done.

#[doc = include_str!("guide/tour.md")]
pub mod tour {}

#[doc = include_str!("guide/clients.md")]
pub mod authenticating_clients {}

#[doc = include_str!("guide/choosing_a_store.md")]
pub mod choosing_a_store {}

#[doc = include_str!("guide/writing_a_store.md")]
pub mod writing_a_store {}

#[doc = include_str!("guide/operating.md")]
pub mod operating {}

#[doc = include_str!("guide/specifications.md")]
pub mod specifications {}
