//! Rows about getting a connection, keeping it, and losing it: N1 to N5, N7, N8, N19, N23 to N26.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::front::{Act, Front};
use super::{ANA, Stage, can, cannot, check, check_test, pending, still_pends};
use crate::common::{Home, Run, Simulator, run, until};

const SALESFORCE: &str = "https://acme.my.salesforce.com";
/// Longest that a command may take which waits one second for an answer.
const SHORT: Duration = Duration::from_secs(4);

/// What a name server does.
#[derive(Clone, Copy)]
enum Names {
    /// It answers with this response code (RFC 1035 section 4.1.1).
    Answer(u8),
    /// It says nothing.
    Silence,
}

/// Serves DNS on a loopback address of its own; nothing where the port may not be used.
fn name_server(address: &str, names: Names) -> Option<Arc<AtomicUsize>> {
    let mut socket = UdpSocket::bind(address);
    // Another run of these tests may be at it.
    let end = Instant::now() + crate::common::DEADLINE;
    while socket.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
        && Instant::now() < end
    {
        std::thread::park_timeout(Duration::from_millis(10));
        socket = UdpSocket::bind(address);
    }
    let socket = socket.ok()?;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            count.fetch_add(1, Ordering::SeqCst);
            if let Names::Answer(code) = names {
                // The question comes back, as a response of a server that recurses.
                packet[2] = 0x81;
                packet[3] = 0x80 | code;
                let _ = socket.send_to(&packet[..length], peer);
            }
        }
    });
    Some(asked)
}

/// Completes a set-up with another /etc/resolv.conf, in a mount namespace of its own.
fn finish_with_names(home: &Home, redirect: &str, server: &str) -> Run {
    let resolv = home.outside().join("resolv.conf");
    std::fs::write(&resolv, format!("nameserver {server}\noptions timeout:5 attempts:2\n"))
        .unwrap();
    let inner = home.command(&["setup", "acme", "--finish", "-", "--json"]);
    let mut outer = Command::new("unshare");
    outer.args(["-m", "sh", "-c", "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\""]);
    outer.arg("sh").arg(resolv).arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    run(outer, redirect)
}

fn impatient(home: &Home) {
    let text = crate::common::config(crate::common::PUBLIC_APP);
    home.write("config.toml", &text.replace("[network]", "[network]\ndeadline = \"1s\""));
}

#[test]
fn n01_a_name_that_dns_does_not_know_fails_or_is_silent_about() {
    let left_out = "N1, names that do not resolve";
    if !can(Command::new("unshare").args(["-m", "mount", "--bind", "/etc", "/etc"]), left_out) {
        return;
    }
    for (last, names, code) in [
        (1, Names::Answer(3), "host_unknown"),
        (2, Names::Answer(2), "host_unknown"),
        (3, Names::Silence, "connect_failed"),
    ] {
        let process = std::process::id();
        let address = &format!("127.{}.{}.{last}", 128 + process % 100, process / 100 % 256);
        let Some(asked) = name_server(&format!("{address}:53"), names) else {
            return cannot("port 53 of a loopback address", left_out);
        };
        let home = Home::new();
        impatient(&home);
        let redirect = pending(&home, SALESFORCE);
        let began = Instant::now();
        let ended = finish_with_names(&home, &redirect, address);
        let words = ["acme.my.salesforce.com", "DNS"];
        check(&ended, 4, code, &words);
        assert!(began.elapsed() < SHORT, "a silent name server holds nobody up: {ended}");
        assert!(asked.load(Ordering::SeqCst) > 0);
        if code == "host_unknown" {
            check(&ended, 4, code, &["spelling of the login URL", "Setup > My Domain"]);
        }
        still_pends(&home);
    }
}

#[test]
fn n01_no_network_at_all() {
    if !can(Command::new("unshare").args(["-n", "true"]), "N1, a machine without network") {
        return;
    }
    let home = Home::new();
    let redirect = pending(&home, SALESFORCE);
    let inner = home.command(&["setup", "acme", "--finish", "-", "--json"]);
    let mut outer = Command::new("unshare");
    outer.arg("-n").arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    check(&run(outer, &redirect), 4, "host_unknown", &["acme.my.salesforce.com", "DNS"]);
    still_pends(&home);
}

#[test]
fn n02_a_refused_connection_names_host_and_port_and_costs_nothing() {
    let (stage, mut front) = Stage::with_front();
    let port = front.port;
    front.stop();
    let refused = stage.refresh();
    let host = format!("acme.my.localhost:{port}");
    check(&refused, 4, "connect_failed", &[&host, "refused", "HTTPS_PROXY"]);
    assert_eq!(stage.state(), "unreachable");
    assert_eq!(stage.live()["alive"], true);
    // The access token lives, and its host is there: the test passes.
    stage.test().ok();
    let _again = Front::on_port(port, stage.simulator.port);
    stage.is_well();
    assert_eq!(stage.simulator.count("replays"), 0);
}

/// A port whose queue of connections is full: Linux then drops every SYN.
struct BlackHole {
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
    _runtime: tokio::runtime::Runtime,
}

impl BlackHole {
    fn on(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let entered = runtime.enter();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut listener = None;
        until("the port to be free", || {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            listener = socket.bind(address).and_then(|()| socket.listen(1)).ok();
            listener.is_some()
        });
        drop(entered);
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100));
        let waiting = std::iter::from_fn(|| connect().ok()).collect();
        Self { _listener: listener.unwrap(), _waiting: waiting, _runtime: runtime }
    }
}

#[test]
fn n03_a_black_hole_is_given_up_before_the_deadline() {
    let (stage, mut front) = Stage::with_front();
    let port = front.port;
    front.stop();
    let hole = BlackHole::on(port);
    let began = Instant::now();
    let lost = stage.refresh();
    assert!(began.elapsed() < SHORT, "{lost}");
    check(
        &lost,
        4,
        "connect_failed",
        &["acme.my.localhost", "no connection within 1 s", "firewall"],
    );
    assert_eq!(stage.state(), "unreachable");
    drop(hole);
    let _again = Front::on_port(port, stage.simulator.port);
    stage.is_well();
    assert_eq!((stage.simulator.count("replays"), &stage.live()["approvals"]), (0, &json!(1)));
}

#[test]
fn n04_a_reset_before_the_request_is_tried_again_once_by_itself() {
    // Over TLS the client speaks first, and nothing of the request has left by then.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.peek(&mut [0]);
        }
    });
    let home = Home::new();
    let redirect = pending(&home, &format!("https://127.0.0.1:{port}"));
    let reset = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
    check(&reset, 4, "connection_cut", &["before anything was sent", "firewall", "try again"]);
    assert_eq!(count.load(Ordering::SeqCst), 2, "once by itself, and no more");
    still_pends(&home);
}

#[test]
fn n04_a_reset_of_an_accepted_connection_may_have_cost_the_token() {
    // Without TLS it can't be told whether the request was read: that is said, not guessed.
    let (stage, front) = Stage::with_front();
    front.next(Act::Reset);
    let before = front.connections().len();
    let reset = stage.refresh();
    assert_eq!(front.connections().len(), before + 1, "an exchange is not sent twice");
    stage.is_uncertain(&reset, false, &["closed the connection"]);
}

#[test]
fn n05_a_reset_after_the_request_makes_a_refresh_uncertain() {
    let stage = Stage::new();
    stage.spoil("refresh_token", &json!({ "then": "reset" }));
    let reset = stage.refresh();
    stage.is_uncertain(&reset, true, &["closed the connection", "acme.my.localhost"]);
    stage.simulator.clear_journal();
    stage.spoil("refresh_token", &json!({ "then": "reset", "commit": false }));
    let reset = stage.refresh();
    stage.is_uncertain(&reset, false, &["closed the connection"]);
}

#[test]
fn n05_a_reset_after_the_code_says_that_it_may_be_spent() {
    let stage = Stage::new();
    let redirect = stage.redirect();
    stage.spoil("authorization_code", &json!({ "then": "reset" }));
    let reset = stage.finish(&redirect);
    assert_eq!(stage.simulator.count("codes_exchanged"), 1);
    stage.code_is_at_risk(&reset, "interrupted", &["closed the connection"]);
}

#[test]
fn n05_a_reset_after_the_first_code_of_all_is_told_as_uncertain() {
    let (simulator, home) = (Simulator::start(), Home::new());
    home.save(&simulator, "acme", ANA, &[]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, ANA);
    let code = json!({ "grant_type": "authorization_code" });
    simulator.script(&json!([{ "match": code, "then": "reset" }]));
    let reset = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
    let words = ["closed the connection", "code may be spent", "an approval that nobody holds"];
    check(&reset, 10, "uncertain", &words);
    assert_eq!(home.shown("acme")["state"], "uncertain");
    let entry = simulator.journal().pop().unwrap();
    assert_eq!((&entry["outcome"], &entry["whole"]), (&json!("ok"), &json!(false)));
    assert!(entry["issued"].is_string(), "Salesforce did approve: {entry}");
    home.set_up(&simulator, "acme", ANA).ok();
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn n05_a_reset_of_an_access_test_costs_nothing() {
    let stage = Stage::new();
    let limits = json!({ "path": "/services/data*" });
    stage.simulator.script(&json!([{ "match": limits, "then": "reset", "times": 0 }]));
    check_test(&stage.test(), 4, "unreachable", &["closed the connection", "try again"]);
    stage.goes_on(false);
    // A single one is not even noticed: what only reads is asked for again.
    let data = json!({ "path": "/services/data*" });
    stage.simulator.script(&json!([{ "match": data, "then": "reset" }]));
    stage.test().ok();
}

#[test]
fn n07_a_truncated_answer_is_never_read_as_a_token() {
    let stage = Stage::new();
    // Once inside the access token, once behind the refresh token.
    for bytes in [40, 330] {
        stage.simulator.clear_journal();
        let generation = stage.home.shown("acme")["token"]["generation"].clone();
        stage.spoil("refresh_token", &json!({ "then": format!("truncate@{bytes}") }));
        let cut = stage.refresh();
        assert_eq!(stage.home.shown("acme")["token"]["generation"], generation, "{cut}");
        let entry = stage.refreshes().pop().unwrap();
        assert_eq!((&entry["sent"], &entry["whole"]), (&json!("200 truncated"), &json!(false)));
        stage.is_uncertain(&cut, true, &["closed the connection before its answer was complete"]);
    }
    let redirect = stage.redirect();
    stage.spoil("authorization_code", &json!({ "then": "truncate@330" }));
    let cut = stage.finish(&redirect);
    stage.code_is_at_risk(&cut, "interrupted", &["before its answer was complete"]);
}

#[test]
fn n08_a_chunked_answer_without_its_end_is_no_answer() {
    let stage = Stage::new();
    // Even where every byte of the JSON came, and only the end is missing.
    for bytes in [40, 100_000] {
        stage.simulator.clear_journal();
        stage.spoil("refresh_token", &json!({ "then": format!("cut_chunks@{bytes}") }));
        let cut = stage.refresh();
        stage.is_uncertain(&cut, true, &["closed the connection before its answer was complete"]);
    }
}

/// A proxy that answers each CONNECT with this, or, without, is dead.
fn proxy(answer: Option<&'static str>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    if let Some(answer) = answer {
        std::thread::spawn(move || {
            use std::io::Write;
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                super::front::read_message(&mut stream);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
    }
    (port, count)
}

#[test]
fn n19_a_proxy_that_refuses_is_named_without_its_password() {
    let required = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let bad_gateway = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    for (answer, why) in [
        (Some(required), "it wants user and password"),
        (Some(bad_gateway), "status 502"),
        (None, "could not be reached through the proxy"),
    ] {
        let (port, count) = proxy(answer);
        let mut home = Home::new();
        home.set("HTTPS_PROXY", &format!("http://user:hunter2@127.0.0.1:{port}"));
        let redirect = pending(&home, SALESFORCE);
        let refused = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
        let name = format!("127.0.0.1:{port}");
        let words = ["acme.my.salesforce.com", &name, why, "HTTPS_PROXY", "NO_PROXY"];
        check(&refused, 4, "proxy_failed", &words);
        assert!(!refused.stderr.contains("hunter2"), "{refused}");
        assert_eq!(count.load(Ordering::SeqCst), usize::from(answer.is_some()));
        still_pends(&home);
    }
}

#[test]
fn n19_this_machine_is_never_reached_through_a_proxy() {
    let mut stage = Stage::new();
    let (port, count) = proxy(Some("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        stage.home.set(name, &format!("http://127.0.0.1:{port}"));
    }
    stage.refresh().ok();
    stage.is_well();
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn n23_interim_answers_are_passed_over_and_a_flood_of_them_is_not_waited_for() {
    let (stage, front) = Stage::with_front();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    front.next(Act::AnswerAfter(interim.repeat(4)));
    stage.refresh().ok();
    stage.simulator.clear_journal();
    front.next(Act::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10)));
    let began = Instant::now();
    let flooded = stage.refresh();
    assert!(began.elapsed() < SHORT, "{flooded}");
    stage.is_uncertain(&flooded, false, &["not of OAuth", "no HTTP"]);
}

#[test]
fn n23_a_server_that_speaks_http_2_is_no_answer() {
    let (stage, front) = Stage::with_front();
    // SETTINGS, then GOAWAY with the last stream 0: 'nothing was looked at', for who speaks HTTP/2.
    let mut frames = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
    frames.extend([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    front.next(Act::CarryOutAndAnswer(frames));
    let spoken = stage.refresh();
    stage.is_uncertain(&spoken, true, &["not of OAuth", "no HTTP"]);
}

#[test]
fn n24_the_other_address_family_is_tried_where_one_is_dead() {
    let (stage, mut front) = Stage::with_front();
    let port = front.port;
    front.stop();
    let Ok(only_v6) = Front::on_ipv6(port, stage.simulator.port) else {
        return cannot("IPv6 on loopback", "N24, IPv6 only, and a dead IPv4");
    };
    // IPv4 refuses at once; then it swallows every packet.
    stage.refresh().ok();
    let hole = BlackHole::on(port);
    stage.refresh().ok();
    stage.is_well();
    assert!(only_v6.connections().len() >= 2);
    drop((hole, only_v6));
    // IPv6 refuses, and IPv4 is there.
    let only_v4 = Front::on_port(port, stage.simulator.port);
    stage.refresh().ok();
    assert!(!only_v4.connections().is_empty());
    assert_eq!(stage.simulator.count("replays"), 0);
}

#[test]
fn n25_a_hang_up_in_the_middle_of_a_refresh_does_not_cost_its_answer() {
    let stage = Stage::new();
    let stored = stage.stored_token();
    stage.spoil("refresh_token", &json!({ "hold_ms": 300 }));
    let mut command = stage.home.command(&["token", "acme", "--not", "-"]);
    command.stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    {
        use std::io::Write;
        child.stdin.take().unwrap().write_all(stored.as_bytes()).unwrap();
    }
    until("the refresh to arrive", || {
        stage.simulator.journal().iter().any(|entry| entry["grant_type"] == "refresh_token")
    });
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(129));
    let entry = stage.refreshes().pop().expect("it was carried out");
    let live = stage.live();
    assert_eq!((&live["alive"], &live["tag"]), (&json!(true), &entry["issued"]));
    assert_ne!(stage.stored_token(), stored, "what came is in the store");
    stage.is_well();
    assert_eq!(stage.simulator.count("replays"), 0);
}

#[test]
fn n26_an_exchange_never_goes_down_a_connection_that_idled() {
    let (stage, front) = Stage::with_front();
    // From now on the API is behind the same server: calls and exchanges could share connections.
    let set = json!({ "set_fields": { "instance_url": front.url() } });
    stage.spoil("authorization_code", &set);
    stage.sign_in().ok();
    for is_silent in [false, true] {
        if is_silent {
            front.close_silently();
        }
        stage.spoil("refresh_token", &set);
        stage.simulator.control("expire_sessions", &json!({ "username": ANA }));
        let before = front.connections().len();
        // Calls, a refresh among them, calls.
        stage.test().ok();
        let connections = front.connections().split_off(before);
        let is_exchange = |line: &String| line.starts_with("POST /services/oauth2/token");
        let exchanges: Vec<_> =
            connections.iter().filter(|lines| lines.iter().any(is_exchange)).collect();
        assert_eq!(exchanges.len(), 1, "{connections:?}");
        assert_eq!(exchanges[0].len(), 1, "a connection of its own: {connections:?}");
    }
    assert_eq!((stage.state(), stage.simulator.count("replays")), ("ready".to_owned(), 0));
}
