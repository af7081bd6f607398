//! The fault catalogue: every row of what can go wrong on the network, in Salesforce's answers and
//! on the disk, as a test by its ID, through the built program and the simulated Salesforce.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod backups;
#[path = "../common/mod.rs"]
mod common;
#[path = "../dashboard/console.rs"]
#[expect(dead_code, reason = "the tests of the dashboard use the rest")]
mod console;
mod copies;
mod device;
mod disk;
mod entry;
mod machine;
mod network;
mod scene;
mod storage;
mod storage_access;
mod storage_moved;
mod token_answers;
