//! The fault catalogue: every row of what can go wrong on the network, in Salesforce's answers and
//! on the disk, as a test by its ID, through the built program and the simulated Salesforce.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod backups;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod common;
mod copies;
mod disk;
