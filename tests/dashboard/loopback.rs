//! The set-up pane whose answer comes back by itself, with a browser that is played.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::process::Signal;
use serde_json::json;

use crate::common::{DEADLINE, Home, PUBLIC_APP, Simulator, config, until};
use crate::console::Console;
use crate::job::copied;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";

/// Two credentials whose app has one port registered that nobody has.
fn scene() -> (Simulator, Home, u16) {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = free.local_addr().expect("it has one").port();
    drop(free);
    let simulator = Simulator::start();
    let uri = format!("http://localhost:{port}/OauthRedirect");
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "add_redirect_uris": [uri] }));
    let home = Home::new();
    home.write("config.toml", &format!("{}redirect_uris = [\"{uri}\"]\n", config(PUBLIC_APP)));
    home.save(&simulator, "acme", ANA, &[]).ok();
    home.save(&simulator, "beta", BEN, &[]).ok();
    (simulator, home, port)
}

/// What a browser gets.
fn fetch(port: u16, target: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request leaves");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer comes");
    answer
}

fn follow(port: u16, redirect: &str) -> String {
    let target = redirect.strip_prefix(&format!("http://localhost:{port}")).expect("it is ours");
    fetch(port, target)
}

/// The pane of acme that listens.
fn listening(home: &Home, port: u16) -> Console {
    let mut console = Console::start(&home.command(&[]));
    console.shows("2 credentials");
    console.press("s");
    console.shows("1. Open this address");
    console.press("f");
    console.shows(&format!("ssh -L {port}:localhost:{port} "));
    console.shows(&format!("listening on localhost:{port}; tunnel not seen yet"));
    console
}

#[test]
fn f_listens_the_tunnel_is_seen_and_the_redirect_completes_it() {
    let (simulator, home, port) = scene();
    let mut console = listening(&home, port);
    let url = copied(&mut console);
    assert!(fetch(port, "/go").contains(&format!("Location: {url}\r\n")));
    console.shows("+ tunnel works");
    let page = follow(port, &simulator.sign_in(&url, ANA));
    assert!(page.contains("orgkey has the answer"), "{page}");
    console.shows("signed in as ana@acme.example");
    assert_eq!(home.shown("acme")["token"]["flow"], "loopback");
    assert_eq!(fetch(port, "/ping"), "", "nobody listens any more");

    // The way that was used last is remembered for the app; another one is two keys away.
    console.key_for("j", "> beta");
    console.press("s");
    console.shows("listening on localhost:");
    console.press("w");
    console.shows("> 2 loopback  (now)");
    console.press("1");
    console.shows("1. Open this address");
    until("the port to be closed", || fetch(port, "/ping").is_empty());
    let url = copied(&mut console);
    console.paste(&simulator.sign_in(&url, BEN));
    console.shows("signed in as ben@acme.example");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn a_paste_into_the_pane_that_listens_wins_as_well() {
    let (simulator, home, port) = scene();
    let mut console = listening(&home, port);
    let url = copied(&mut console);
    console.paste(&simulator.sign_in(&url, ANA));
    console.shows("signed in as ana@acme.example");
    assert_eq!(simulator.count("codes_exchanged"), 1);
    until("the port to be closed", || fetch(port, "/ping").is_empty());
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn a_redirect_after_the_line_was_cut_completes_the_set_up() {
    let (simulator, home, port) = scene();
    let mut console = listening(&home, port);
    let url = copied(&mut console);
    console.signal(Signal::KILL);
    drop(console);
    let page = follow(port, &simulator.sign_in(&url, ANA));
    assert!(page.contains("orgkey has the answer"), "{page}");
    until("the set-up to be completed", || home.shown("acme")["state"] == "ready");
}

#[test]
fn a_taken_port_names_its_holder_and_leaves_the_paste() {
    let (simulator, home, port) = scene();
    let holder = TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let mut console = Console::start(&home.command(&[]));
    console.shows("2 credentials");
    console.press("s");
    console.shows("1. Open this address");
    console.press("f");
    console.shows(&format!("port {port} is taken by "));
    console.shows(&format!("(process {})", std::process::id()));
    drop(holder);
    console.press("w1");
    console.shows("1. Open this address");
    let url = copied(&mut console);
    console.paste(&simulator.sign_in(&url, ANA));
    console.shows("signed in as ana@acme.example");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn beside_a_display_the_answer_is_proposed_to_come_back_by_itself() {
    let (simulator, mut home, port) = scene();
    home.set("DISPLAY", ":0");
    let mut console = Console::start(&home.command(&[]));
    console.shows("? help");
    console.press("s");
    console.shows(&format!("http://localhost:{port}/go"));
    // What was used last for the app comes first from then on.
    console.press("w");
    console.shows("How do you want to sign in?");
    console.press("1");
    console.shows("1. Open this address");
    let redirect = simulator.sign_in(&crate::job::copied(&mut console), "ana@acme.example");
    console.paste(&redirect);
    console.shows("signed in as ana@acme.example");
    console.press("s");
    console.shows("2. The browser ends at an address");
    console.press("\x1b");
    console.shows("? help");
    console.press("q");
    assert_eq!(console.ended(), 0);
}
