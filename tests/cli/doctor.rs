//! `doctor` against homes that are good, loose, torn or empty, and beside an agent.

use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::{Home, Run, Simulator, config, installed, program, set_mode, until};

const ANA: &str = "ana@acme.example";

/// An agent in the foreground; ended when it is dropped.
struct Agent(Child);

impl Agent {
    fn start(home: &Home) -> Self {
        let child =
            home.command(&["agent"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let socket = home.path().join("agent.sock");
        until("the agent to listen", || UnixStream::connect(&socket).is_ok());
        Self(child)
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The checks of that name: result, message, remedy.
#[track_caller]
fn checks(run: &Run, name: &str) -> Vec<(String, String, String)> {
    let object = run.json();
    assert_eq!(object["schema"], 1, "{run}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = object["checks"].as_array().unwrap().iter();
    all.filter(|check| check["name"] == name)
        .map(|check| (text(&check["result"]), text(&check["message"]), text(&check["remedy"])))
        .collect()
}

/// The one check of that name.
#[track_caller]
fn check(run: &Run, name: &str) -> (String, String, String) {
    let mut found = checks(run, name);
    assert_eq!(found.len(), 1, "{name} of {run}");
    found.remove(0)
}

fn doctor(home: &Home) -> Run {
    home.orgkey(&["doctor", "--json"])
}

fn ready_home(simulator: &Simulator) -> Home {
    let home = Home::new();
    home.ready_credential(simulator, "acme", ANA);
    home
}

#[test]
fn nothing_is_wrong_in_a_good_home_and_nothing_in_it_changes() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let shown = home.shown("acme");
    let run = doctor(&home).ok();
    for name in ["home", "config", "store", "copies", "apps", "key", "terminal"] {
        let (result, message, remedy) = check(&run, name);
        assert_eq!((result.as_str(), remedy.as_str()), ("ok", ""), "{name}: {message}");
    }
    assert!(run.stderr.is_empty(), "{run}");
    assert_eq!(home.shown("acme"), shown);
    assert_eq!(simulator.count("refreshes"), 0);
}

#[test]
fn a_home_that_is_not_there_is_not_made() {
    let home = Home::empty();
    std::fs::remove_dir_all(home.path()).unwrap();
    let run = doctor(&home).ok();
    assert!(check(&run, "home").1.ends_with("is not there yet; the first save makes it"), "{run}");
    assert_eq!(check(&run, "store").1, "nothing is saved yet");
    assert!(!home.path().exists());
}

#[test]
fn what_is_loose_is_named_with_the_command_that_mends_it_and_mended_by_it() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    for (name, loose, tight) in [
        ("identity.key", 0o644, 0o600),
        ("store.age", 0o640, 0o600),
        ("inbox", 0o604, 0o600),
        ("spent", 0o660, 0o600),
        ("ballast", 0o644, 0o600),
        ("locks", 0o755, 0o700),
        ("locks/inbox-0", 0o644, 0o600),
        ("orgkey.db", 0o644, 0o600),
        ("", 0o755, 0o700),
    ] {
        let path = home.path().join(name);
        let shown = path.display().to_string();
        let shown = shown.trim_end_matches('/');
        if name == "spent" {
            home.write(name, "");
        }
        set_mode(&path, loose);
        let run = doctor(&home).expect(8);
        let (result, message, remedy) = check(&run, "home");
        assert_eq!(result, "wrong", "{name}");
        assert!(message.starts_with(&format!("{shown} has mode")), "{message}");
        assert_eq!(remedy, format!("run: chmod {tight:04o} {shown}"), "{name}");
        set_mode(&path, tight);
        doctor(&home).ok();
    }
}

#[test]
fn a_store_that_can_not_be_opened_is_told_once() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let store = home.path().join("orgkey.db");
    set_mode(&store, 0o644);
    let run = doctor(&home).expect(8);
    let (result, message, _) = check(&run, "store");
    assert_eq!(result, "look");
    assert!(message.contains("see above"), "{message}");
    assert!(checks(&run, "key").is_empty(), "{run}");
    set_mode(&store, 0o600);

    let kept = home.outside().join("kept");
    std::fs::rename(&store, &kept).unwrap();
    symlink(&kept, &store).unwrap();
    let run = doctor(&home).expect(8);
    assert!(check(&run, "home").1.ends_with("is a symbolic link"), "{run}");
    std::fs::remove_file(&store).unwrap();

    let run = doctor(&home).ok();
    let (result, message, _) = check(&run, "store");
    assert_eq!(
        (result.as_str(), message.as_str()),
        ("look", "there is a sealing key but no orgkey.db")
    );
    assert!(!store.exists(), "an empty one was made");

    home.write("orgkey.db", "this is no database, however long the text is that stands in it");
    let run = doctor(&home).expect(8);
    let (result, message, remedy) = check(&run, "store");
    assert_eq!(result, "wrong");
    assert!(message.contains("damaged") && remedy.contains("orgkey restore"), "{run}");
}

#[test]
fn a_page_that_was_overwritten_is_found_though_the_store_opens() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let path = home.path().join("orgkey.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // The last page is a table's or an index's.
    let from = bytes.len() - 4096;
    bytes[from..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let run = doctor(&home).expect(8);
    let (result, message, remedy) = check(&run, "store");
    assert_eq!(result, "wrong");
    assert!(message.contains("damaged") && remedy.contains("orgkey restore"), "{run}");
}

#[test]
fn a_key_that_is_missing_is_looked_at_before_and_wrong_after_the_first_secret() {
    let fresh = Home::empty();
    fresh.write("config.toml", &config(crate::common::PUBLIC_APP));
    let simulator = Simulator::start();
    fresh.save(&simulator, "acme", ANA, &[]).ok();
    let run = doctor(&fresh).ok();
    let (result, message, remedy) = check(&run, "key");
    assert_eq!((result.as_str(), message.as_str()), ("look", "there is no sealing key yet"));
    assert!(remedy.contains("orgkey key init"), "{remedy}");

    let home = ready_home(&simulator);
    for (gone, left) in [("identity.key", "identity"), ("store.age", "store.age")] {
        let (path, kept) = (home.path().join(gone), home.outside().join(gone));
        std::fs::rename(&path, &kept).unwrap();
        let run = doctor(&home).expect(8);
        let (result, message, remedy) = check(&run, "key");
        assert_eq!(result, "wrong", "{run}");
        assert!(message.contains(left) && message.ends_with("is missing"), "{message}");
        assert!(remedy.contains("backup"), "{remedy}");
        std::fs::rename(&kept, &path).unwrap();
    }
    doctor(&home).ok();
}

#[test]
fn a_key_with_a_passphrase_opens_where_a_file_is_named_and_is_asked_for_elsewhere() {
    let mut home = Home::empty();
    let right = home.write("right", "correct horse battery staple");
    let wrong = home.write("wrong", "incorrect horse battery staple");
    home.set("ORGKEY_PASSPHRASE_FILE", &right.display().to_string());
    home.orgkey(&["key", "init"]).ok();
    let (result, message, _) = check(&doctor(&home).ok(), "key");
    assert!(result == "ok" && message.contains("opens without a question"), "{message}");
    home.set("ORGKEY_PASSPHRASE_FILE", &wrong.display().to_string());
    let (result, message, _) = check(&doctor(&home).expect(8), "key");
    assert_eq!((result.as_str(), message.as_str()), ("wrong", "the passphrase is wrong"));
    home.set("ORGKEY_PASSPHRASE_FILE", "");
    let (result, message, _) = check(&doctor(&home).ok(), "key");
    assert!(result == "ok" && message.contains("which is asked for"), "{message}");
}

#[test]
fn a_secret_file_of_an_app_that_others_can_read_is_wrong() {
    let home = Home::new();
    let secret = home.write("secret", "SECRET");
    let text = format!("{}client_secret_file = \"secret\"\n", config(crate::common::SECRET_APP));
    home.write("config.toml", &text);
    assert_eq!(check(&doctor(&home).ok(), "apps").0, "ok");
    set_mode(&secret, 0o644);
    let (result, message, remedy) = check(&doctor(&home).expect(8), "apps");
    assert_eq!(result, "wrong");
    assert!(message.contains("secret has mode 0644") && remedy.contains("chmod"), "{message}");
}

#[test]
fn a_store_that_may_be_a_copy_or_was_left_to_one_is_looked_at() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let file = home.outside().join("acme.backup").display().to_string();
    home.orgkey(&["backup", &file]).ok();
    home.orgkey(&["move", "--elsewhere"]).ok();
    let (result, message, _) = check(&doctor(&home).ok(), "copies");
    assert!(result == "look" && message.contains("left to another copy"), "{message}");

    let other = Home::empty();
    other.write("config.toml", &config(crate::common::PUBLIC_APP));
    let key = std::fs::read_to_string(home.path().join("identity.key")).unwrap();
    other.write("identity.key", &key);
    other.orgkey(&["restore", &file]).ok();
    let (result, message, remedy) = check(&doctor(&other).ok(), "copies");
    assert!(result == "look" && message.contains("restored from a backup"), "{message}");
    assert!(remedy.contains("orgkey adopt"), "{remedy}");
}

#[test]
fn an_agent_that_runs_is_told_with_its_process_and_how_its_key_stands() {
    let home = Home::empty();
    let file = home.write("passphrase", "correct horse battery staple");
    let with_passphrase = |arguments: &[&str]| {
        let mut command = home.command(arguments);
        command.env("ORGKEY_PASSPHRASE_FILE", &file);
        crate::common::run(command, "").ok();
    };
    with_passphrase(&["key", "init"]);
    assert!(check(&doctor(&home).ok(), "agent").1.starts_with("none runs"));
    let agent = Agent::start(&home);
    let process = format!("process {}", agent.0.id());
    let (_, message, _) = check(&doctor(&home).ok(), "agent");
    assert!(message.starts_with(&format!("{process}, it holds no key; it ")), "{message}");
    with_passphrase(&["unlock", "--for", "2h"]);
    let (result, message, remedy) = check(&doctor(&home).ok(), "agent");
    assert!(message.starts_with(&format!("{process}, the key is open to ")), "{message}");
    assert!(message.contains("your last session"), "{message}");
    // Whether it goes on depends on the host; what mends it is told exactly where it may not.
    assert_eq!(result == "ok", remedy.is_empty(), "{message}");

    agent.send(Signal::STOP);
    let (result, message, remedy) = check(&doctor(&home).expect(8), "agent");
    assert_eq!(result, "wrong");
    assert!(message.contains(&process) && message.contains("does not answer"), "{message}");
    assert!(remedy.contains("stopped"), "{remedy}");
    agent.send(Signal::CONT);

    home.write("config.toml", "agent = \"never\"\n");
    assert!(check(&doctor(&home).ok(), "agent").1.starts_with("none is used"));
}

/// tmux of its own, ended when it is dropped.
struct Tmux(String);

impl Tmux {
    fn run(&self, arguments: &[&str]) -> String {
        let mut tmux = Command::new("tmux");
        tmux.args(["-L", &self.0, "-f", "/dev/null"]).args(arguments).stdin(Stdio::null());
        let output = tmux.env("TERM", "xterm-256color").env_remove("TMUX").output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn tmux_is_asked_whether_it_lets_a_copy_through() {
    if !installed(&["tmux"], "a copy to the clipboard through tmux") {
        return;
    }
    let home = Home::new();
    let (program, folder) = (program().display().to_string(), home.path().display().to_string());
    let script = format!("ORGKEY_HOME='{folder}' '{program}' doctor --offline; exec cat");
    for (set_clipboard, expected) in [
        ("external", "tmux keeps what y copies"),
        ("on", "takes what y copies through tmux (OSC 52) is not known"),
    ] {
        let tmux = Tmux(format!("orgkey-doctor-{}-{set_clipboard}", std::process::id()));
        tmux.run(&["new-session", "-d", "-x", "200", "-y", "50", "exec cat"]);
        tmux.run(&["set-option", "-s", "set-clipboard", set_clipboard]);
        tmux.run(&["set-option", "-g", "allow-passthrough", "off"]);
        tmux.run(&["respawn-pane", "-k", &script]);
        let shown = || tmux.run(&["capture-pane", "-p"]);
        until("what doctor says of the clipboard", || shown().contains("there is no telemetry"));
        assert!(shown().contains(expected), "{}", shown());
    }
}

#[test]
fn the_port_of_a_redirect_is_free_or_told_with_who_has_it() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let uri = format!("redirect_uris = [\"http://localhost:{port}/OauthRedirect\"]\n");
    home.write("config.toml", &format!("{}{uri}", config(crate::common::PUBLIC_APP)));
    let (result, message, remedy) = check(&doctor(&home).ok(), "port");
    assert_eq!(result, "look");
    assert!(message.starts_with(&format!("port {port} is taken by ")), "{message}");
    assert!(message.ends_with(&format!("(process {})", std::process::id())), "{message}");
    assert!(remedy.contains("--flow paste"), "{remedy}");
    drop(listener);
    let (result, message, remedy) = check(&doctor(&home).ok(), "port");
    assert_eq!((result.as_str(), remedy.as_str()), ("ok", ""));
    assert_eq!(message, format!("port {port} is free for a redirect to localhost"));
}

#[test]
fn a_host_that_is_not_reached_is_wrong_and_a_clock_that_differs_is_looked_at() {
    let simulator = Simulator::start();
    let home = ready_home(&simulator);
    let run = doctor(&home).ok();
    assert_eq!(check(&run, "host").0, "ok");
    assert_eq!(check(&run, "clock").0, "ok");
    let requests = simulator.count("api_calls");

    simulator.control(
        "faults",
        &serde_json::json!({
            "match": { "path": "/services/data/" }, "status": 200, "body": "[]",
            "headers": { "date": "Sat, 25 Nov 2045 08:49:37 GMT" },
        }),
    );
    let run = doctor(&home).ok();
    let (result, message, remedy) = check(&run, "clock");
    assert_eq!(result, "look");
    assert!(message.contains("behind the server's"), "{message}");
    assert!(remedy.contains("timedatectl"), "{remedy}");
    assert_eq!(simulator.count("api_calls"), requests, "no token was used");

    drop(simulator);
    let run = doctor(&home).expect(8);
    let (result, message, remedy) = check(&run, "host");
    assert_eq!(result, "wrong");
    assert!(message.contains("could not be connected"), "{message}");
    assert!(!remedy.is_empty());
    assert!(checks(&run, "clock").is_empty(), "nobody told the time");
    // Without anybody being asked, nothing is wrong.
    let offline = home.orgkey(&["doctor", "--offline", "--json"]).ok();
    assert!(checks(&offline, "host").is_empty());
}
