//! The loopback redirect (RFC 8252 section 7.3) as Salesforce allows it, and how a browser on
//! another machine gets to it: the port forward of an SSH session.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::text;

/// A registered redirect URI that a listener on this machine can answer. Salesforce compares it
/// byte for byte, so port and path are fixed (Salesforce OAuth facts 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoopbackRedirect {
    /// As registered.
    pub(crate) uri: String,
    /// Where to listen.
    pub(crate) port: u16,
    /// The one path that is answered.
    pub(crate) path: String,
}

impl LoopbackRedirect {
    /// Reads a redirect URI; `None` where no listener of ours can answer it.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("http://localhost:")?;
        let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let path = if path.is_empty() { "/" } else { path };
        if path.contains(['?', '#']) {
            return None;
        }
        Some(Self { uri: uri.to_owned(), port, path: path.to_owned() })
    }

    /// The address to open first, short enough to be typed: it forwards to the long one.
    pub(crate) fn short_link(&self) -> String {
        format!("http://localhost:{}/go", self.port)
    }
}

/// How the person came to this machine, as far as the session tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SshSession {
    /// Who logged in.
    pub(crate) user: Option<String>,
    /// The address that the client connected to.
    pub(crate) server: Option<String>,
    /// Its port, where it is not 22.
    pub(crate) port: Option<u16>,
    /// The name that this machine has for itself.
    pub(crate) host_name: String,
}

impl SshSession {
    /// Reads `SSH_CONNECTION`: client, its port, server, its port.
    pub(crate) fn new(user: Option<&str>, connection: Option<&str>, host_name: &str) -> Self {
        let fields: Vec<&str> = connection.unwrap_or_default().split_whitespace().collect();
        let server = match fields[..] {
            [_, _, server, port] => Some((server, port)),
            _ => None,
        };
        Self {
            user: user.filter(|user| is_plain(user)).map(str::to_owned),
            server: server.map(|(server, _)| server).filter(|s| is_plain(s)).map(str::to_owned),
            port: server.and_then(|(_, port)| port.parse().ok()).filter(|port| *port != 22),
            host_name: text::clean(host_name),
        }
    }

    /// Whether it came through SSH, as far as it can be told.
    pub(crate) fn is_remote(&self) -> bool {
        self.server.is_some()
    }

    /// The line for the machine that the person sits at.
    pub(crate) fn forward_line(&self, port: u16) -> String {
        let server_port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        format!("ssh -L {port}:localhost:{port} {server_port}{self}")
    }

    /// The same for the session that is open already, typed behind `Enter ~C`.
    pub(crate) fn escape_line(port: u16) -> String {
        format!("-L {port}:localhost:{port}")
    }
}

/// Whom to connect to: `USER@HOST` where nothing is known.
impl fmt::Display for SshSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref().unwrap_or("USER");
        let named = Some(self.host_name.as_str()).filter(|name| is_plain(name));
        let host = self.server.as_deref().or(named).unwrap_or("HOST");
        write!(formatter, "{user}@{host}")
    }
}

/// Whether a shell takes it as it stands: the line is pasted into one.
fn is_plain(word: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '%');
    !word.is_empty() && !word.starts_with('-') && word.len() <= 255 && word.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_localhost_with_a_port_can_be_listened_on() {
        let read = |uri| LoopbackRedirect::parse(uri).map(|one| (one.port, one.path));
        assert_eq!(
            read("http://localhost:1717/OauthRedirect"),
            Some((1717, "/OauthRedirect".into()))
        );
        assert_eq!(read("http://localhost:8080"), Some((8080, "/".into())));
        for uri in [
            "http://localhost/OauthRedirect",
            "https://localhost:1717/x",
            "http://127.0.0.1:1717/x",
            "http://localhost:0/x",
            "http://localhost:99999/x",
            "http://localhost:1717/x?y=z",
            "http://localhost:1717@evil.example/x",
            "https://login.salesforce.com/services/oauth2/success",
        ] {
            assert_eq!(read(uri), None, "{uri}");
        }
    }

    #[test]
    fn the_forward_line_names_what_the_client_connected_to() {
        let line = |user, connection| SshSession::new(user, connection, "jump1").forward_line(1717);
        let table = [
            (Some("ana"), Some("192.0.2.7 5000 198.51.100.1 22"), "ana@198.51.100.1"),
            (Some("ana"), Some("192.0.2.7 5000 198.51.100.1 2222"), "-p 2222 ana@198.51.100.1"),
            (Some("ana"), Some("2001:db8::7 5000 2001:db8::1 22"), "ana@2001:db8::1"),
            (Some("ana"), None, "ana@jump1"),
            (None, Some("nonsense"), "USER@jump1"),
            // What a shell would not take as one word is not shown to be pasted into one.
            (Some("a;reboot"), Some("192.0.2.7 5000 $(reboot) 22"), "USER@jump1"),
            (Some("-oProxyCommand=x"), None, "USER@jump1"),
        ];
        for (user, connection, end) in table {
            assert_eq!(line(user, connection), format!("ssh -L 1717:localhost:1717 {end}"));
        }
    }
}
