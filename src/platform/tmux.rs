//! Questions to the tmux that the program runs in. It runs `tmux`, a few milliseconds.

use std::process::{Command, Stdio};

/// The answer of a tmux command, without the line break at its end; `None` outside tmux, and where
/// it refuses.
pub(crate) fn ask(arguments: &[&str]) -> Option<String> {
    std::env::var_os("TMUX")?;
    let output = Command::new("tmux").args(arguments).stdin(Stdio::null()).output().ok()?;
    let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(answer)
}
