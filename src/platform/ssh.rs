//! How the person came to this machine, for the port forward that their browser needs.

use super::who;
use crate::domain::loopback::SshSession;

/// Whether a browser can be opened beside this terminal, as far as the environment says: a display,
/// and neither SSH nor a multiplexer in between.
pub(crate) fn is_beside_browser() -> bool {
    beside_browser(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn beside_browser(is_set: impl Fn(&str) -> bool) -> bool {
    let between = ["SSH_CONNECTION", "SSH_TTY", "TMUX", "STY"].into_iter().any(&is_set);
    !between && ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_beside_a_display_that_nothing_stands_before() {
        let table: [(&[&str], bool); 5] = [
            (&[], false),
            (&["DISPLAY"], true),
            (&["WAYLAND_DISPLAY"], true),
            (&["DISPLAY", "SSH_CONNECTION"], false),
            (&["DISPLAY", "TMUX"], false),
        ];
        for (set, expected) in table {
            assert_eq!(beside_browser(|name| set.contains(&name)), expected, "{set:?}");
        }
    }
}
