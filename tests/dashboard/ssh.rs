//! The dashboard over a real SSH: a server of its own on loopback, with its own configuration and
//! keys, and a client in a pseudo-terminal. Inside tmux and outside.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::common::{Home, Simulator, installed, program, until};
use crate::console::Console;
use crate::job::{Entry, copied, home_without_key, save, sign_in};
use crate::sshd::{Server, can_be_made, remote_line};

/// The dashboard as the only program of a session.
fn dashboard(server: &Server, home: &Home) -> Command {
    server.client(home, &remote_line(home, ""))
}

/// The socket of the tmux of a server's sessions.
fn tmux_socket(server: &Server) -> PathBuf {
    server.folder().join("tmux")
}

/// The dashboard in a tmux of its own, whose server ends with it.
fn dashboard_in_tmux(server: &Server, home: &Home) -> Command {
    let line = format!(
        "LC_ALL=C.UTF-8 tmux -S {} -f /dev/null new-session -x 80 -y 24 '{}' \\; \
         set-option -g status off \\; set-option -g set-clipboard on",
        tmux_socket(server).display(),
        remote_line(home, "")
    );
    server.client(home, &line)
}

/// Ends the tmux that a test which failed left behind.
struct TmuxEnds(PathBuf);

impl Drop for TmuxEnds {
    fn drop(&mut self) {
        if self.0.exists() {
            let mut end = Command::new("tmux");
            let _ = end.arg("-S").arg(&self.0).arg("kill-server").stderr(Stdio::null()).status();
        }
    }
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
    if can_be_made("the dashboard over SSH") {
        let server = Server::start();
        job(&server, dashboard);
    }
}

#[test]
fn the_whole_job_over_ssh_inside_tmux() {
    let what = "the dashboard over SSH inside tmux";
    if can_be_made(what) && installed(&["tmux"], what) {
        let server = Server::start();
        let _ends = TmuxEnds(tmux_socket(&server));
        job(&server, dashboard_in_tmux);
    }
}

/// How often the terminal was sent something for its clipboard.
fn copies(console: &Console) -> usize {
    console.stream().matches("\x1b]52;").count()
}

#[test]
fn a_hang_up_in_the_middle_of_a_sign_in_costs_no_second_copy_and_no_second_paste() {
    let what = "a sign-in over SSH inside tmux with a hang-up";
    if !can_be_made(what) || !installed(&["tmux"], what) {
        return;
    }
    let server = Server::start();
    let _ends = TmuxEnds(tmux_socket(&server));
    let simulator = Simulator::start();
    let home = Home::new();
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    let mut console = Console::start(&dashboard_in_tmux(&server, &home));
    console.shows(". no token");
    console.press("s");
    console.shows("1. Open this address");
    let url = copied(&mut console);
    assert_eq!(copies(&console), 1);
    console.signal(rustix::process::Signal::KILL);
    drop(console);
    // Meanwhile the person signs in, on another machine.
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    let attach = format!("LC_ALL=C.UTF-8 tmux -S {} attach", tmux_socket(&server).display());
    let mut console = Console::start(&server.client(&home, &attach));
    console.shows("1. Open this address");
    console.paste(&redirect);
    console.shows("signed in as ana@acme.example");
    assert_eq!(copies(&console), 0, "the one of before the hang-up was enough");
    assert_eq!(home.shown("acme")["state"], "ready");
    console.press("q");
    assert_eq!(console.ended(), 0);
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
    let socket = tmux_socket(server);
    if socket.exists() {
        let line = format!("LC_ALL=C.UTF-8 tmux -S {} attach", socket.display());
        let mut again = Console::start(&server.client(home, &line));
        again.shows("1. Open this address");
        let ended = Command::new("tmux").arg("-S").arg(&socket).arg("kill-server").status();
        assert!(ended.expect("tmux starts").success());
    }
    until("the end of the cut session's dashboard", || dashboards(home).is_empty());
}
