//! Lines to the system's log, over its Unix datagram socket (syslog(3), RFC 3164 without a host name,
//! as every daemon at /dev/log takes it).

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::time::UnixMillis;

/// The facility for security messages, `auth`.
const AUTH: u8 = 4;

/// Longest message, in bytes: daemons cut what is longer.
const LONGEST: usize = 8 * 1024;

/// How much a line matters (RFC 5424 table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Somebody should look at it.
    Warning = 4,
    /// Normal, but of note.
    Notice = 5,
    /// Normal.
    Info = 6,
}

/// Sends lines. It never waits; what can't be sent is said in our own log, once.
pub(crate) struct Syslog {
    path: PathBuf,
    zone: jiff::tz::TimeZone,
    failed: AtomicBool,
}

impl Syslog {
    /// To the socket at a path.
    pub(crate) fn at(path: &Path) -> Self {
        let zone = jiff::tz::TimeZone::system();
        Self { path: path.to_owned(), zone, failed: AtomicBool::new(false) }
    }

    /// Sends one line; it has to be cleaned.
    pub(crate) fn send(&self, severity: Severity, at: UnixMillis, line: &str) {
        let message = self.message(severity, at, line);
        let sent = UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(message.as_bytes(), &self.path)
        });
        if let Err(error) = sent
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            let path = self.path.display();
            tracing::warn!(%path, %error, "an audit row could not be sent to syslog");
        }
    }

    fn message(&self, severity: Severity, at: UnixMillis, line: &str) -> String {
        let priority = AUTH * 8 + severity as u8;
        let time = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let time = self.zone.to_datetime(time).strftime("%b %e %H:%M:%S").to_string();
        let mut text = format!("<{priority}>{time} orgkey[{}]: {line}", std::process::id());
        while text.len() > LONGEST {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_arrives_in_the_form_that_daemons_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog { zone: jiff::tz::TimeZone::UTC, ..Syslog::at(&path) };
        let at = UnixMillis(1_795_473_512_345);
        syslog.send(Severity::Notice, at, "audit 7 refreshed acme/production");
        let mut buffer = [0; 2 * LONGEST];
        let length = daemon.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let pid = std::process::id();
        assert_eq!(
            text,
            format!("<37>Nov 23 22:38:32 orgkey[{pid}]: audit 7 refreshed acme/production")
        );
        syslog.send(Severity::Info, at, &"é".repeat(LONGEST));
        assert!(daemon.recv(&mut buffer).unwrap() <= LONGEST);
    }

    #[test]
    fn a_daemon_that_is_gone_or_reads_nothing_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let syslog = Syslog::at(&path);
        syslog.send(Severity::Info, UnixMillis(0), "nobody listens");
        assert!(syslog.failed.load(Ordering::Relaxed));
        let _deaf = UnixDatagram::bind(&path).unwrap();
        for _ in 0..5_000 {
            syslog.send(Severity::Info, UnixMillis(0), &"x".repeat(1_000));
        }
    }
}
