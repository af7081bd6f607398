//! The device flow as a person meets it: the code on a terminal, a hang-up in the middle, and the
//! agent that waits on.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::common::{Home, PUBLIC_APP, Simulator, config, until};
use crate::terminal::Terminal;

const ANA: &str = "ana@acme.example";

/// A saved credential whose app allows the device flow, polled every second.
fn saved(simulator: &Simulator) -> Home {
    let home = Home::new();
    let flows = format!("{}flows = [\"paste\", \"device\"]\n", config(PUBLIC_APP));
    home.write("config.toml", &flows);
    home.save(simulator, "acme", ANA, &[]).ok();
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "device_interval_seconds": 1 }));
    home
}

/// The address with the code in it, when it is on the screen.
fn url(terminal: &Terminal) -> String {
    terminal.wait_for("waiting for the approval", 1);
    let screen = terminal.screen();
    let url = screen.lines().find(|line| line.contains("?user_code="));
    url.unwrap_or_else(|| panic!("no address: {screen}")).trim().to_owned()
}

fn polls(simulator: &Simulator) -> Vec<Value> {
    let is_poll = |entry: &Value| entry["grant_type"] == "device";
    simulator.journal().into_iter().filter(is_poll).collect()
}

fn assert_not_too_fast(simulator: &Simulator) {
    let polls = polls(simulator);
    let times: Vec<i64> = polls.iter().map(|poll| poll["at_ms"].as_i64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1000), "{times:?}");
}

#[test]
fn the_code_is_shown_large_and_the_approval_ends_the_waiting() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let url = url(&terminal);
    let code = url.split("user_code=").nth(1).unwrap();
    let screen = terminal.screen();
    assert!(screen.lines().any(|line| line.trim() == code), "the code alone: {screen}");
    assert!(screen.contains("####"), "and in large letters: {screen}");
    assert!(screen.contains("Only approve it if you started this yourself"), "{screen}");
    simulator.sign_in(&url, ANA);
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(home.shown("acme")["token"]["flow"], "device");
    assert_not_too_fast(&simulator);
}

#[test]
fn ctrl_c_leaves_it_pending_and_setup_shows_the_same_code_again() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let mut terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let first = url(&terminal);
    terminal.press("\x03");
    let (status, shown) = terminal.end();
    assert_eq!(status, 130, "{shown}");
    assert!(shown.contains("orgkey setup acme/production --finish"), "{shown}");
    let terminal = Terminal::orgkey(&home, &["setup", "acme"]);
    assert_eq!(url(&terminal), first);
    simulator.sign_in(&first, ANA);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_not_too_fast(&simulator);
}

#[test]
fn with_an_agent_a_hang_up_ends_nothing() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let _agent = Agent::start(&home);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let url = url(&terminal);
    until("a poll", || !polls(&simulator).is_empty());
    let pid = i32::try_from(terminal.process()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::HUP).unwrap();
    assert_eq!(terminal.end().0, 129);
    assert_eq!(home.shown("acme")["state"], "authorizing");
    // Nobody but the agent is there to hear of it.
    simulator.sign_in(&url, ANA);
    until("the agent to complete it", || home.shown("acme")["state"] == "ready");
    assert_not_too_fast(&simulator);
}

#[test]
fn an_agent_that_is_told_to_end_leaves_it_pending_at_once() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let agent = Agent::start(&home);
    home.orgkey(&["setup", "acme", "--start", "--flow", "device"]).ok();
    let child = home.start(&["setup", "acme", "--finish", "--json"], "");
    until("a poll", || !polls(&simulator).is_empty());
    drop(home.orgkey(&["agent", "--stop"]).ok());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("still_pending"), "{output:?}");
    drop(agent);
    let before = polls(&simulator).len();
    let url = home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert!(url.stdout.contains("no set-up is pending"), "{url}");
    assert_eq!(polls(&simulator).len(), before);
}

#[test]
fn the_key_is_rotated_while_a_person_types_the_code() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let _agent = Agent::start(&home);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let url = url(&terminal);
    until("a poll", || !polls(&simulator).is_empty());
    // It would give up where who waits for a person kept it from the key.
    home.orgkey(&["key", "rotate"]).ok();
    simulator.sign_in(&url, ANA);
    assert_eq!(terminal.end().0, 0);
    assert_eq!(home.shown("acme")["state"], "ready");
    home.orgkey(&["token", "acme"]).ok();
}
