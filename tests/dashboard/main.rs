//! The dashboard as a person has it: the built program in a pseudo-terminal, with a terminal's
//! model at the other end, against the simulated Salesforce.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod common;
mod console;
mod copies;
mod hostile;
mod job;
mod loopback;
mod picture;
mod round;
mod rows;
mod ssh;
#[path = "../common/sshd.rs"]
mod sshd;
mod terminal;
