//! The commands as scripts and people meet them: exit codes, text, JSON, against the simulated
//! Salesforce in a process of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod answers;
mod bad_input;
#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod common;
mod contract;
mod contracts;
mod discover;
mod doctor;
mod ends;
mod refusals;
mod stage;
mod wrong_account;
