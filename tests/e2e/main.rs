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
mod agent_peers;
mod agent_secrets;
mod audit;
mod browser;
mod canary;
mod device;
mod discover;
mod drain;
mod hold;
mod loopback;
mod rotate;
mod round;
#[path = "../common/sshd.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod sshd;
mod terminal;
mod wrong_accounts;

use std::path::Path;
use std::process::Command;

use common::installed;

/// A command under strace, its environment and folder with it.
fn traced(command: &Command, options: &[&str], trace: &Path) -> Command {
    let mut traced = Command::new("strace");
    traced.args(options).arg("-o").arg(trace);
    traced.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        traced.current_dir(folder);
    }
    traced
}

/// Says what is left out and why, past the capture of output.
fn left_out(why: &str, what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "left out, as {why}: {what}");
}
