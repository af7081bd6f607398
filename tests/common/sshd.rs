//! An SSH server of its own on loopback, with its own configuration and keys, and its client.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Home, installed, program, set_mode, until};

/// Whether there is what it needs; says so where not.
pub fn can_be_made(what: &str) -> bool {
    installed(&["sshd", "ssh", "ssh-keygen"], what)
}

/// Where a program is that is installed.
fn found(name: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/bin", "/bin"]);
    let mut files = folders.map(|folder| Path::new(folder).join(name));
    files.find(|file| file.is_file()).expect("it is installed")
}

/// An SSH server on loopback that lets one key in; ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a free port, with keys of its own.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("orgkey-ssh-").tempdir().expect("a folder");
        set_mode(folder.path(), 0o700);
        for key in ["host_key", "user_key"] {
            let made = Command::new(found("ssh-keygen"))
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(folder.path().join(key))
                .status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        fs::copy(folder.path().join("user_key.pub"), folder.path().join("authorized_keys"))
            .expect("the key is let in");
        set_mode(&folder.path().join("authorized_keys"), 0o600);
        let (child, port) = Self::listen(folder.path());
        Self { child, port, folder }
    }

    /// A free port may be taken by somebody else before the server has it: then another is tried.
    fn listen(folder: &Path) -> (Child, u16) {
        for _ in 0..5 {
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
            let port = free.local_addr().expect("it has a port").port();
            drop(free);
            let place = folder.display();
            let config = format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {place}/host_key\n\
                 AuthorizedKeysFile {place}/authorized_keys\nPidFile none\nUsePAM no\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 PermitRootLogin prohibit-password\nStrictModes no\nPrintMotd no\n\
                 PrintLastLog no\n"
            );
            fs::write(folder.join("sshd_config"), config).expect("its configuration");
            // Where it runs as root, it separates privileges in this folder.
            let _ = fs::create_dir_all("/run/sshd");
            let mut child = Command::new(found("sshd"))
                .arg("-D")
                .arg("-e")
                .arg("-f")
                .arg(folder.join("sshd_config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(folder.join("log")).expect("its log"))
                .spawn()
                .expect("sshd starts");
            let mut ended = false;
            until("the SSH server", || {
                ended = child.try_wait().expect("it can be waited for").is_some();
                ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if !ended {
                return (child, port);
            }
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("sshd does not start: {log}");
    }

    /// Its folder, for what belongs to its sessions.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The client, which runs a command line on a terminal of the server.
    pub fn client(&self, home: &Home, line: &str) -> Command {
        let mut command = Command::new(found("ssh"));
        let key = self.folder.path().join("user_key");
        command
            .args(["-F", "/dev/null", "-tt", "-q", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "BatchMode=yes", "-p", &self.port.to_string(), "-i"])
            .arg(key)
            .arg("127.0.0.1")
            .arg(line)
            .env("HOME", home.outside());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server's shell runs. Its process is orgkey itself.
pub fn remote_line(home: &Home, arguments: &str) -> String {
    let (home, program) = (home.path(), program());
    format!("exec env ORGKEY_HOME={} TZ=UTC {} {arguments}", home.display(), program.display())
}
