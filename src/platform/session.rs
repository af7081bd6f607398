//! A session of its own: what the agent needs to outlive the terminal that it was started from.

/// Leaves the session and the terminal. Where that can't be (the process leads a group already),
/// nothing happens: a hang-up is still noted and not acted on.
pub(crate) fn begin() {
    let _ = rustix::process::setsid();
}
