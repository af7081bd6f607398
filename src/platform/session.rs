//! Sessions and terminals: what the agent needs to outlive the terminal that it was started from,
//! and what a program does whose terminal is gone.

use std::fs::OpenOptions;
use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::tcgetattr;

/// Leaves the session and the terminal. Where that can't be (the process leads a group already),
/// nothing happens: a hang-up is still noted and not acted on.
pub(crate) fn begin() {
    let _ = rustix::process::setsid();
}

/// Lets go of a terminal after a hang-up: the standard streams that were it lead nowhere from here
/// on, and what is under way goes on without one. Streams that are files stay.
pub(crate) fn let_go_of_terminal() {
    let Ok(nowhere) = OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    // What can't be replaced stays; the process ends soon in any case.
    if is_or_was_terminal(stdin()) {
        let _ = dup2_stdin(&nowhere);
    }
    if is_or_was_terminal(stdout()) {
        let _ = dup2_stdout(&nowhere);
    }
    if is_or_was_terminal(stderr()) {
        let _ = dup2_stderr(&nowhere);
    }
}

/// A terminal that hung up answers every question with EIO.
fn is_or_was_terminal(stream: impl AsFd) -> bool {
    matches!(tcgetattr(stream), Ok(_) | Err(Errno::IO))
}
