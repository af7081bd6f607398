//! The program as it is used: many processes at once, real browsers, terminals, and a search of
//! everything it leaves behind. What needs a Debian package says so where that is missing; with
//! `ORGKEY_REQUIRE_E2E=1` it fails instead.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod common;

mod agent;
mod audit;
mod browser;
mod canary;
mod drain;
mod hold;
mod loopback;
mod rotate;
#[path = "../common/ssh_server.rs"]
mod ssh_server;
mod terminal;

use common::installed;
