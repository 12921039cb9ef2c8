//! The embedded store: the contract, on a disk, across restarts, kills and full disks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contract;
mod folder;
