//! The commands as scripts and people meet them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
mod common;

use common::{Home, Simulator};

#[test]
fn smoke() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", "ana@acme.example");
    assert_eq!(home.shown("acme")["state"], "ready");
}
