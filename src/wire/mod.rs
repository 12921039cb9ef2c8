//! The bytes: requests in, responses out, and the one table that turns an error into an answer.

pub mod basic;
pub mod cors;
pub mod error;
pub mod form;
pub mod request;
pub mod response;
pub mod send;
