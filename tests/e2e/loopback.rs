//! The answer that comes back by itself: `setup --flow loopback` with a browser that is played.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::browser::{Browser, password};
use crate::common::{DEADLINE, Home, PUBLIC_APP, Simulator, config, program, until};
use crate::installed;
use crate::sshd::Server;
use crate::terminal::Terminal;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";
const ENTER: &str = "\r";

/// Ports of this machine that nobody has, all at once.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let open = std::array::from_fn::<_, N, _>(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    open.map(|listener| listener.local_addr().unwrap().port())
}

fn redirect_uri(port: u16) -> String {
    format!("http://localhost:{port}/OauthRedirect")
}

/// Acme is saved; its app has these ports registered, here and in Salesforce.
pub fn home_with_ports(simulator: &Simulator, ports: &[u16]) -> Home {
    let uris: Vec<String> = ports.iter().map(|port| redirect_uri(*port)).collect();
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "add_redirect_uris": uris }));
    let home = Home::new();
    home.write("config.toml", &format!("{}redirect_uris = {uris:?}\n", config(PUBLIC_APP)));
    home.save(simulator, "acme", ANA, &[]).ok();
    home
}

fn scene() -> (Simulator, Home, u16) {
    let simulator = Simulator::start();
    let [port] = free_ports();
    let home = home_with_ports(&simulator, &[port]);
    (simulator, home, port)
}

/// What a browser gets, as it came; empty where nobody listens.
fn fetch(port: u16, target: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Follows a redirect URL to whoever listens.
pub fn follow(redirect: &str) -> String {
    let (port, target) =
        redirect.strip_prefix("http://localhost:").unwrap().split_once('/').unwrap();
    fetch(port.parse().unwrap(), &format!("/{target}"))
}

fn code_of(redirect: &str) -> String {
    let after = redirect.split("code=").nth(1).unwrap();
    after.split('&').next().unwrap().to_owned()
}

/// Everything that lies in the home, as text.
fn everything(home: &Home) -> String {
    let files = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().path());
    let read = files.filter(|path| path.is_file()).map(|path| std::fs::read(path).unwrap());
    read.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

#[test]
fn the_redirect_completes_the_set_up_on_the_terminal() {
    let (simulator, home, port) = scene();
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let url = terminal.url();
    terminal.wait_for(&format!("Listening for {}", redirect_uri(port)), 1);
    let shown = terminal.raw();
    for words in [
        format!("ssh -L {port}:localhost:{port} "),
        format!("  -L {port}:localhost:{port}"),
        format!("http://localhost:{port}/go"),
    ] {
        assert!(shown.contains(&words), "{words} in {shown}");
    }
    assert!(!shown.contains("the tunnel works"), "nobody came yet");
    let short = fetch(port, "/go");
    assert!(short.starts_with("HTTP/1.1 302 ") && short.contains(&format!("Location: {url}\r\n")));
    assert!(short.contains("no-store") && short.contains("no-referrer"), "{short}");
    terminal.wait_for("+ the tunnel works", 1);
    assert!(fetch(port, "/ping").starts_with("HTTP/1.1 204 "));

    let redirect = simulator.sign_in(&url, ANA);
    let code = code_of(&redirect);
    let stray = follow(&redirect.replace("state=", "state=x"));
    assert!(stray.contains("another sign-in"), "{stray}");
    assert_eq!(simulator.count("codes_exchanged") + simulator.count("codes_refused"), 0);
    let page = follow(&redirect);
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("you may close this window"));
    assert!(!page.contains(&code) && !page.contains("script"), "{page}");
    terminal.wait_for("the answer came back by itself", 1);
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(&code), "{shown}");
    assert!(!everything(&home).contains(&code), "no code stays behind");
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(home.shown("acme")["token"]["flow"], json!("loopback"));
    assert_eq!(fetch(port, "/ping"), "", "nobody listens any more");
}

#[test]
fn a_paste_wins_as_well_and_closes_the_port() {
    let (simulator, home, port) = scene();
    let mut terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let redirect = simulator.sign_in(&terminal.url(), ANA);
    terminal.answer("aste it here", 1, "nonsense");
    terminal.answer("Waiting. Or paste it here", 2, &redirect);
    terminal.wait_for("Access test successful", 1);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(simulator.count("codes_exchanged"), 1);
    assert_eq!(fetch(port, "/ping"), "", "nobody listens any more");
}

#[test]
fn a_paste_and_the_redirect_at_once_are_one_exchange() {
    let (simulator, home, _) = scene();
    simulator.script(&json!([
        { "match": { "path": "/services/oauth2/token" }, "delay_after_ms": 500 }
    ]));
    let mut terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let redirect = simulator.sign_in(&terminal.url(), ANA);
    terminal.wait_for("Listening for", 1);
    terminal.press(&redirect);
    let page = follow(&redirect);
    terminal.press(ENTER);
    assert!(page.contains("you may close this window"), "{page}");
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!((status, shown.matches("signed in as").count()), (0, 1), "{shown}");
    assert_eq!(simulator.count("codes_exchanged"), 1);
    assert_eq!(simulator.count("codes_refused"), 0);
}

#[test]
fn a_refusal_is_told_on_the_page_and_on_the_terminal() {
    let (simulator, home, _) = scene();
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let url = terminal.url();
    let person = json!({ "url": url, "username": ANA, "deny": true });
    let redirect = simulator.play(&person).unwrap();
    let page = follow(&redirect);
    assert!(page.to_lowercase().contains("denied") && !page.contains("has the answer"), "{page}");
    let (status, shown) = terminal.end();
    assert_ne!(status, 0, "{shown}");
    assert!(shown.to_lowercase().contains("denied"), "{shown}");
    assert_eq!(home.shown("acme")["token"], json!(null));
}

#[test]
fn the_wrong_account_stores_nothing_here_either() {
    let (simulator, home, _) = scene();
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let redirect = simulator.sign_in(&terminal.url(), BEN);
    follow(&redirect);
    let (status, shown) = terminal.end();
    assert_eq!(status, 6, "{shown}");
    assert_eq!(home.shown("acme")["token"], json!(null));
    assert_eq!(simulator.read("approvals")["approvals"], json!([]), "Ben's token is revoked");
}

#[test]
fn a_taken_port_is_told_by_whom_and_the_next_one_is_used() {
    let simulator = Simulator::start();
    let [taken, free] = free_ports();
    let home = home_with_ports(&simulator, &[taken, free]);
    let holder = TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let by = format!("(process {})", std::process::id());
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let url = terminal.url();
    let shown = terminal.raw();
    assert!(
        shown.contains(&format!("port {taken} is taken by ")) && shown.contains(&by),
        "{shown}"
    );
    assert!(shown.contains(&format!("{free} is used instead")), "{shown}");
    follow(&simulator.sign_in(&url, ANA));
    assert_eq!(terminal.end().0, 0);

    // With both taken, paste is what is left, and nothing is pending.
    let home = home_with_ports(&simulator, &[taken]);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback", "--json"]);
    let (status, shown) = terminal.end();
    assert_eq!(status, 8, "{shown}");
    assert!(shown.contains("\"port_taken\"") && shown.contains(&by), "{shown}");
    assert!(shown.contains("--flow paste"), "{shown}");
    assert_eq!(home.shown("acme")["state"], "no_token");
    drop(holder);
}

/// An agent in the foreground; ended when it is dropped.
struct Agent(Child);

impl Agent {
    fn start(home: &Home) -> Self {
        let child = home.command(&["agent"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let socket = home.path().join("agent.sock");
        until("the agent to listen", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Self(child.unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn after_a_hang_up_the_agent_still_takes_the_redirect() {
    let (simulator, home, port) = scene();
    let _agent = Agent::start(&home);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    let url = terminal.url();
    terminal.wait_for("Listening for", 1);
    drop(terminal);
    let page = follow(&simulator.sign_in(&url, ANA));
    assert!(page.contains("you may close this window"), "{page}");
    until("the set-up to be completed", || home.shown("acme")["state"] == "ready");
    assert_eq!(fetch(port, "/ping"), "", "nobody listens any more");
}

#[test]
fn start_leaves_the_listening_to_the_agent_and_asks_for_one() {
    let (simulator, home, port) = scene();
    let start = ["setup", "acme", "--start", "--flow", "loopback"];
    let alone = home.orgkey(&start).expect(2);
    assert!(alone.stderr.contains("no agent is here"), "{alone}");
    assert_eq!(home.shown("acme")["state"], "no_token");

    let _agent = Agent::start(&home);
    // A later attempt takes the place of an earlier one, on the same port.
    let older = home.orgkey(&start).ok().stdout;
    let started = home.orgkey(&start).ok();
    assert!(started.stderr.contains("/go"), "{started}");
    let stray = follow(&simulator.sign_in(&older, ANA));
    assert!(stray.contains("another sign-in"), "{stray}");
    // Given up, nobody listens any more.
    home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert_eq!(fetch(port, "/ping"), "");

    let url = home.orgkey(&start).ok().stdout;
    follow(&simulator.sign_in(&url, ANA));
    until("the set-up to be completed", || home.shown("acme")["state"] == "ready");
    // An agent that waits for nobody but a person ends when it is told to.
    home.orgkey(&start).ok();
    home.orgkey(&["agent", "--stop"]).ok();
    assert_eq!(fetch(port, "/ping"), "");
}

#[test]
fn a_later_sign_in_takes_the_port_over_and_the_older_answer_can_be_pasted() {
    let (simulator, home, port) = scene();
    home.save(&simulator, "beta", BEN, &[]).ok();
    let _agent = Agent::start(&home);
    let start = |name| home.orgkey(&["setup", name, "--start", "--flow", "loopback"]).ok();
    let older = start("acme").stdout;
    let later = start("beta");
    assert!(later.stderr.contains("older sign-in of acme/production"), "{later}");
    let redirect = simulator.sign_in(&older, ANA);
    assert!(follow(&redirect).contains("another sign-in"));
    follow(&simulator.sign_in(&later.stdout, BEN));
    until("the set-up to be completed", || home.shown("beta")["state"] == "ready");
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(fetch(port, "/ping"), "");
}

#[test]
fn another_way_in_closes_the_port() {
    let (simulator, home, port) = scene();
    let uri = redirect_uri(port);
    let flows = "flows = [\"paste\", \"loopback\", \"device\"]";
    home.write(
        "config.toml",
        &format!("{}redirect_uris = [\"{uri}\"]\n{flows}\n", config(PUBLIC_APP)),
    );
    let _agent = Agent::start(&home);
    for flow in ["paste", "device"] {
        home.orgkey(&["setup", "acme", "--start", "--flow", "loopback"]).ok();
        assert!(fetch(port, "/ping").starts_with("HTTP/1.1 204 "), "{flow}");
        home.orgkey(&["setup", "acme", "--start", "--flow", flow]).ok();
        assert_eq!(fetch(port, "/ping"), "", "{flow}");
    }
    assert_eq!(simulator.count("codes_exchanged"), 0);
}

#[test]
fn what_another_process_gives_up_is_not_listened_for() {
    let (simulator, home, port) = scene();
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "loopback"]);
    terminal.wait_for("Listening for", 1);
    home.orgkey(&["setup", "acme", "--cancel"]).ok();
    until("the port to be closed", || fetch(port, "/ping").is_empty());
    terminal.wait_for("nothing listens any more", 1);
    assert_eq!(simulator.count("codes_exchanged"), 0);
}

/// The person signs in through `ssh -L`: a client on an address of its own, as on another machine,
/// and a browser for which that address is its localhost.
fn through_ssh(wrapped: impl FnOnce(&Server, &str) -> String) {
    let Some(browser) = Browser::start_with(&["--host-resolver-rules=MAP localhost 127.0.0.2"])
    else {
        return;
    };
    let (simulator, home, port) = scene();
    let server = Server::start();
    let line = format!(
        "env ORGKEY_HOME={} TZ=UTC {} setup acme --flow loopback",
        home.path().display(),
        program().display()
    );
    let client = server.client(&home, &wrapped(&server, &line));
    let forward = format!("127.0.0.2:{port}:localhost:{port}");
    let given: Vec<_> = client.get_args().map(ToOwned::to_owned).collect();
    let mut command = std::process::Command::new(client.get_program());
    command.args(["-L", &forward]).args(given).env("HOME", home.outside());
    let terminal = Terminal::start(&command, 50, 200);
    terminal.wait_for("Listening for", 1);
    let shown = terminal.raw();
    let told = format!("ssh -L {port}:localhost:{port} -p {} ", server.port);
    assert!(shown.contains(&told) && shown.contains("@127.0.0.1"), "{told} in {shown}");

    browser.open(&format!("http://localhost:{port}/go"));
    terminal.wait_for("+ the tunnel works", 1);
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.press("oaapprove");
    browser.says("orgkey has the answer");
    until("the set-up to be completed", || home.shown("acme")["state"] == "ready");
    assert_eq!(home.shown("acme")["token"]["flow"], json!("loopback"));
}

#[test]
fn chromium_signs_in_through_a_real_forward() {
    if installed(&["sshd", "ssh", "ssh-keygen"], "a sign-in through ssh -L") {
        through_ssh(|_, line| format!("exec {line}"));
    }
}

#[test]
fn chromium_signs_in_through_a_real_forward_into_tmux() {
    if installed(&["sshd", "ssh", "ssh-keygen", "tmux"], "a sign-in through ssh -L into tmux") {
        through_ssh(|server, line| {
            let socket = server.folder().join("tmux");
            format!(
                "LC_ALL=C.UTF-8 tmux -S {} -f /dev/null new-session -x 200 -y 50 '{line}'",
                socket.display()
            )
        });
    }
}
