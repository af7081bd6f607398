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
mod browser;
mod canary;
mod drain;
mod terminal;

use std::io::Write;

/// Whether these programs are installed. Where one is missing, says what is left out, or fails
/// when nothing may be.
fn installed(programs: &[&str], left_out: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    // Where sshd lives, on machines whose people have no such folder in their path.
    folders.push("/usr/sbin".into());
    let is_missing = |program: &&&str| !folders.iter().any(|one| one.join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("ORGKEY_REQUIRE_E2E").is_none_or(|value| value != "1"),
        "{missing:?} must be installed for: {left_out}"
    );
    // Past the capture of output, so that it is read by whoever runs the tests.
    let _ = writeln!(std::io::stderr(), "left out, as {missing:?} is not installed: {left_out}");
    false
}
