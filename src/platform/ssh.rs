//! How the person came to this machine, for the port forward that their browser needs.

use super::who;
use crate::domain::loopback::SshSession;

/// Looks at this process; inside tmux at the session that is attached now, which takes a few
/// milliseconds.
pub(crate) fn session() -> SshSession {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // Behind sudo the login is the one that SSH knows.
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(variable);
    let connection = who::tmux_connection().or_else(|| variable("SSH_CONNECTION"));
    let name = rustix::system::uname();
    SshSession::new(user.as_deref(), connection.as_deref(), &name.nodename().to_string_lossy())
}
