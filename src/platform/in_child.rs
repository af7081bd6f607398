//! Runs one test again in a process of its own, for what a process can have only once (umask,
//! environment, dumpable flag).

use std::process::{Command, Output};

/// Set in the child; its value says nothing.
const MARK: &str = "ORGKEY_TEST_CHILD";

/// Whether this process is the child.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs the test named `name` (with its module path) in a child with the given environment.
pub(crate) fn run(name: &str, environment: &[(&str, &str)]) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}
