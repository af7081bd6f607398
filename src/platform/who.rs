//! Who runs the program, for the audit, and on which host and in which boot it runs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::text;

/// What the kernel writes as login user ID where no login happened.
const NO_LOGIN: u32 = u32::MAX;
/// Longest line that is read from /proc, in bytes; a boot ID has 37.
const LINE_LIMIT: usize = 128;

/// Who acted, as far as the system can tell. All but `uid` can be missing, and what comes from
/// the environment can be forged by the user; texts are cleaned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Effective user ID.
    pub(crate) uid: u32,
    /// User ID of the login that led here, kept by the kernel through sudo and su.
    pub(crate) login_uid: Option<u32>,
    /// `SUDO_USER`.
    pub(crate) sudo_user: Option<String>,
    /// Name of the terminal, e.g. `/dev/pts/3`.
    pub(crate) tty: Option<String>,
    /// Name of the process that started us, e.g. `bash`, `cron`.
    pub(crate) parent: Option<String>,
    /// Address of the SSH client, from `SSH_CONNECTION` or `SSH_CLIENT`.
    pub(crate) ssh_client: Option<String>,
}

impl Who {
    /// Looks at this process. Inside tmux the environment is that of the first login; see
    /// [`Self::ask_tmux`].
    pub(crate) fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok().and_then(|value| cleaned(&value));
        Self {
            uid: super::files::our_uid(),
            login_uid: read_line("/proc/self/loginuid")
                .and_then(|text| text.parse().ok())
                .filter(|uid| *uid != NO_LOGIN),
            sudo_user: variable("SUDO_USER"),
            tty: tty_name(),
            parent: rustix::process::getppid()
                .and_then(|parent| read_line(&format!("/proc/{}/comm", parent.as_raw_nonzero()))),
            ssh_client: variable("SSH_CONNECTION")
                .or_else(|| variable("SSH_CLIENT"))
                .and_then(|connection| client_address(&connection)),
        }
    }

    /// Inside tmux, takes the SSH client of the session that is attached now. It runs `tmux`, a
    /// few milliseconds; where that fails, the record stays as it is.
    pub(crate) fn ask_tmux(&mut self) {
        if let Some(connection) = tmux_connection() {
            self.ssh_client = client_address(&connection);
        }
    }
}

/// Names of users, each looked up once.
#[derive(Default)]
pub(crate) struct UserNames(HashMap<u32, String>);

impl UserNames {
    /// The person behind a record, the program where it is asked for, and from where they came. A
    /// record without anyone is the program's own.
    pub(crate) fn who(&mut self, record: &str, with_program: bool) -> String {
        let Ok(who) = serde_json::from_str::<Who>(record) else { return "orgkey".to_owned() };
        let uid = who.login_uid.unwrap_or(who.uid);
        let named = || super::lifetime::name_of_user(uid).unwrap_or_else(|| format!("uid {uid}"));
        let user = who.sudo_user.as_deref();
        let user = user.unwrap_or_else(|| self.0.entry(uid).or_insert_with(named));
        let program = who.parent.as_deref().filter(|_| with_program);
        let words = [Some(user), program, who.ssh_client.as_deref()];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Inside tmux, `SSH_CONNECTION` of the session that is attached now.
pub(super) fn tmux_connection() -> Option<String> {
    let line = super::tmux::ask(&["show-environment", "SSH_CONNECTION"])?;
    line.strip_prefix("SSH_CONNECTION=").map(str::to_owned)
}

/// The client's address out of `CLIENT PORT SERVER PORT`.
fn client_address(connection: &str) -> Option<String> {
    connection.split_whitespace().next().and_then(cleaned)
}

fn cleaned(value: &str) -> Option<String> {
    let value = text::clean(value);
    (!value.is_empty()).then_some(value)
}

/// The first of the three standard streams that is a terminal names it.
fn tty_name() -> Option<String> {
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let name = rustix::termios::ttyname(&input, Vec::new())
        .or_else(|_| rustix::termios::ttyname(&error, Vec::new()))
        .or_else(|_| rustix::termios::ttyname(&output, Vec::new()))
        .ok()?;
    cleaned(&name.to_string_lossy())
}

/// A line of /proc, which comes whole with one read.
fn read_line(path: &str) -> Option<String> {
    let mut line = [0; LINE_LIMIT];
    let length = File::open(path).and_then(|mut file| file.read(&mut line)).ok()?;
    cleaned(&String::from_utf8_lossy(line.get(..length)?))
}

/// A mark of this host: 32 hexadecimal digits, the same until the machine ID or the host name
/// changes. It is a hash, for machine-id(5) asks that the ID itself is not given away. Empty where
/// the ID is there and can't be read just now: that says nothing of the host.
pub(crate) fn host_mark() -> String {
    let machine = match fs::read("/etc/machine-id") {
        Ok(machine) => machine,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(_) => return String::new(),
    };
    let name = rustix::system::uname();
    host_mark_of(machine.trim_ascii(), name.nodename().to_bytes())
}

fn host_mark_of(machine_id: &[u8], host_name: &[u8]) -> String {
    let digest = Sha256::new()
        .chain_update(b"orgkey host mark 1\0")
        .chain_update((machine_id.len() as u64).to_be_bytes())
        .chain_update(machine_id)
        .chain_update(host_name)
        .finalize();
    digest.iter().take(16).fold(String::with_capacity(32), |mut mark, byte| {
        use std::fmt::Write;
        // Writing to a String does not fail.
        let _ = write!(mark, "{byte:02x}");
        mark
    })
}

/// The kernel's random ID of this boot; `None` where /proc does not tell.
pub(crate) fn boot_id() -> Option<String> {
    read_line("/proc/sys/kernel/random/boot_id")
}

#[cfg(test)]
mod tests {
    use super::super::in_child;
    use super::*;

    #[test]
    fn the_record_comes_from_process_and_environment() {
        if !in_child::is_child() {
            let name = "platform::who::tests::the_record_comes_from_process_and_environment";
            let output = in_child::run(
                name,
                &[
                    ("SUDO_USER", "bo\u{1b}b"),
                    ("SSH_CONNECTION", "192.0.2.7 50000 198.51.100.1 22"),
                    ("SSH_CLIENT", "203.0.113.9 50000 22"),
                ],
            );
            assert!(output.status.success(), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
            return;
        }
        let who = Who::of_this_process();
        assert_eq!(who.uid, rustix::process::geteuid().as_raw());
        assert_eq!(who.sudo_user.as_deref(), Some("bo\u{fffd}b"));
        assert_eq!(who.ssh_client.as_deref(), Some("192.0.2.7"));
        assert_ne!(who.login_uid, Some(NO_LOGIN));
        assert!(who.parent.as_ref().is_some_and(|name| !name.contains('\n')), "{who:?}");
        let json = serde_json::to_string(&who).unwrap();
        assert_eq!(serde_json::from_str::<Who>(&json).unwrap(), who);
    }

    #[test]
    fn a_record_is_told_by_the_person_behind_it() {
        let mut names = UserNames::default();
        let root = r#"{"uid":0,"login_uid":null,"parent":"etl.sh","ssh_client":"192.0.2.7"}"#;
        assert_eq!(names.who(root, false), "root 192.0.2.7");
        assert_eq!(names.who(root, true), "root etl.sh 192.0.2.7");
        let sudo = r#"{"uid":0,"login_uid":4000001,"sudo_user":"bob","tty":"/dev/pts/1"}"#;
        assert_eq!(names.who(sudo, false), "bob");
        assert_eq!(names.who(r#"{"uid":4000001}"#, false), "uid 4000001");
        assert_eq!(names.who("{}", false), "orgkey");
    }

    #[test]
    fn the_host_mark_changes_with_machine_and_name_and_shows_neither() {
        let mark = host_mark_of(b"0123456789abcdef0123456789abcdef", b"jump1");
        assert_eq!(mark.len(), 32);
        assert_ne!(mark, host_mark_of(b"0123456789abcdef0123456789abcdef", b"jump2"));
        assert_ne!(mark, host_mark_of(b"1123456789abcdef0123456789abcdef", b"jump1"));
        assert_ne!(host_mark_of(b"ab", b"c"), host_mark_of(b"a", b"bc"));
        assert_eq!(host_mark(), host_mark());
        assert!(
            !host_mark()
                .contains(fs::read_to_string("/etc/machine-id").unwrap_or("-".into()).trim())
        );
    }
}
