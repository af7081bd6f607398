//! The dashboard over a real SSH: a server of its own on loopback, with its own configuration and
//! keys, and a client in a pseudo-terminal. Inside tmux and outside.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{Home, Simulator, program, set_mode, until};
use crate::console::Console;
use crate::job::{Entry, copied, home_without_key, save, sign_in};

/// When set to `1`, what is missing is a failure and no reason to leave a test out.
const REQUIRED: &str = "ORGKEY_REQUIRE_E2E";

/// Where a program is, if it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/bin", "/bin"]);
    folders.map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// Whether the test can be made: all of these programs are installed.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn can_be_made(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|name| installed(name).is_none()).collect();
    let required = std::env::var(REQUIRED).is_ok_and(|value| value == "1");
    assert!(missing.is_empty() || !required, "not installed: {missing:?}");
    if !missing.is_empty() {
        println!("left out, because not installed: {missing:?}");
    }
    missing.is_empty()
}

/// An SSH server on loopback that lets one key in; ended when dropped.
struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("orgkey-ssh-").tempdir().expect("a folder");
        set_mode(folder.path(), 0o700);
        for key in ["host_key", "user_key"] {
            let made = Command::new(installed("ssh-keygen").expect("it comes with ssh"))
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
            let mut child = Command::new(installed("sshd").expect("it is installed"))
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

    /// The client, which runs a command line on a terminal of the server.
    fn client(&self, home: &Home, line: &str) -> Command {
        let mut command = Command::new(installed("ssh").expect("it is installed"));
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

    /// The dashboard as the only program of a session.
    fn dashboard(&self, home: &Home) -> Command {
        self.client(home, &remote_line(home))
    }

    /// The dashboard in a tmux of its own, whose server ends with it.
    fn dashboard_in_tmux(&self, home: &Home) -> Command {
        let socket = self.folder.path().join("tmux");
        let line = format!(
            "LC_ALL=C.UTF-8 tmux -S {} -f /dev/null new-session -x 80 -y 24 '{}' \\; \
             set-option -g status off \\; set-option -g set-clipboard on",
            socket.display(),
            remote_line(home)
        );
        self.client(home, &line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let socket = self.folder.path().join("tmux");
        if socket.exists() {
            // After a test that passed there is none any more.
            let mut end = Command::new("tmux");
            let _ = end.arg("-S").arg(socket).arg("kill-server").stderr(Stdio::null()).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server's shell runs. Its process is the dashboard itself.
fn remote_line(home: &Home) -> String {
    let (home, program) = (home.path(), program());
    format!("exec env ORGKEY_HOME={} TZ=UTC {}", home.display(), program.display())
}

/// Processes of the dashboard on this home.
fn dashboards(home: &Home) -> Vec<u32> {
    let wanted = format!("ORGKEY_HOME={}", home.path().display());
    let ours = |pid: &u32| {
        let file = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let line = file("cmdline");
        let environment = file("environ");
        let is_agent = line.split(|byte| *byte == 0).any(|argument| argument == b"agent");
        line.starts_with(program().as_os_str().as_encoded_bytes())
            && !is_agent
            && environment.split(|byte| *byte == 0).any(|pair| pair == wanted.as_bytes())
    };
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(ours).collect()
}

#[test]
fn the_whole_job_over_ssh() {
    if can_be_made(&["sshd", "ssh", "ssh-keygen"]) {
        let server = Server::start();
        job(&server, Server::dashboard);
    }
}

#[test]
fn the_whole_job_over_ssh_inside_tmux() {
    if can_be_made(&["sshd", "ssh", "ssh-keygen", "tmux"]) {
        let server = Server::start();
        job(&server, Server::dashboard_in_tmux);
    }
}

/// From an empty store to a deleted credential, the line cut in the middle of the set-up.
fn job(server: &Server, start: fn(&Server, &Home) -> Command) {
    let simulator = Simulator::start();
    let home = home_without_key();
    let ana = Entry::of(&simulator, "ana@acme.example");
    let mut console = Console::start(&start(server, &home));
    console.shows("no credentials yet");
    save(&mut console, "acme", &ana, false);
    console.press("s");
    console.shows("Make the sealing key");
    console.tab(2);
    console.key("\r");
    console.shows("1. Open this address");
    let url = copied(&mut console);
    assert_eq!(dashboards(&home).len(), 1);
    cut(console, &home, server);
    assert_eq!(home.shown("acme")["state"], "authorizing");

    let mut console = Console::start(&start(server, &home));
    console.shows("* authorizing");
    console.press("s");
    console.shows("1. Open this address");
    assert_eq!(copied(&mut console), url);
    sign_in(&mut console, &simulator, "ana@acme.example");
    console.shows("signed in as ana@acme.example");
    console.press("t");
    console.shows("acme/production: Access test successful (");
    console.press("D");
    console.shows("Delete acme/production for good?");
    console.fill("acme/production");
    console.press("\r");
    console.shows("acme/production is deleted");
    console.press("q");
    assert_eq!(console.ended(), 0);
    assert_eq!(dashboards(&home), [0_u32; 0]);
}

/// The client is gone from one moment to the next. Without tmux the dashboard ends with the line;
/// with it the dashboard lives on and is there for the next client, until tmux ends too.
fn cut(console: Console, home: &Home, server: &Server) {
    console.signal(rustix::process::Signal::KILL);
    drop(console);
    let socket = server.folder.path().join("tmux");
    if socket.exists() {
        let line = format!("LC_ALL=C.UTF-8 tmux -S {} attach", socket.display());
        let mut again = Console::start(&server.client(home, &line));
        again.shows("1. Open this address");
        let ended = Command::new("tmux").arg("-S").arg(&socket).arg("kill-server").status();
        assert!(ended.expect("tmux starts").success());
    }
    until("the end of the cut session's dashboard", || dashboards(home).is_empty());
}
