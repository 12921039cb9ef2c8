//! The specifications, requirement by requirement: one file or folder for each, one test for each requirement, named
//! after its clause or its number in our checklist. `index` says where each requirement is tested.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod doubles;
mod index;
mod signer;
mod support;

mod attestation;
mod fapi;
mod introspection;
mod keycloak;
mod metadata;
mod rfc6749;
mod rfc7009;
mod rfc7523;
mod rfc8705;
mod rotation;
mod sessions;
