//! The device flow as a person meets it: the code on a terminal, a hang-up in the middle, and the
//! agent that waits on.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::common::{Home, PUBLIC_APP, Simulator, config, until};
use crate::installed;
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
pub fn url(terminal: &Terminal) -> String {
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

/// Stops a process until it has missed so many polls, and lets it go on.
fn stop_for_intervals(pid: u32, intervals: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = Instant::now();
    until("the polls that are missed", || stopped.elapsed() > Duration::from_secs(intervals));
    kill_process(pid, Signal::CONT).unwrap();
}

#[test]
fn who_was_stopped_makes_up_for_no_poll_that_was_missed() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let url = url(&terminal);
    until("a poll", || !polls(&simulator).is_empty());
    stop_for_intervals(terminal.process(), 4);
    let missed = polls(&simulator).len();
    until("two polls after it", || polls(&simulator).len() >= missed + 2);
    assert_not_too_fast(&simulator);
    simulator.sign_in(&url, ANA);
    assert_eq!(terminal.end().0, 0);
    assert_not_too_fast(&simulator);
}

#[test]
fn a_clock_that_jumps_makes_no_poll_come_sooner() {
    let what = "the device flow while the clock jumps";
    if !installed(&["faketime"], what) {
        return;
    }
    let library = std::fs::read_dir("/usr/lib").unwrap().flatten().find_map(|folder| {
        let library = folder.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then_some(library)
    });
    let library = library.expect("the library of faketime");
    let simulator = Simulator::start();
    let mut home = saved(&simulator);
    let clock = home.outside().join("clock");
    std::fs::write(&clock, "+0").unwrap();
    home.set("LD_PRELOAD", library.to_str().unwrap());
    home.set("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap());
    home.set("FAKETIME_NO_CACHE", "1");
    home.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let terminal = Terminal::orgkey(&home, &["setup", "acme", "--flow", "device"]);
    let url = url(&terminal);
    let minutes_left = || terminal.screen().matches("waiting for the approval").count();
    for jump in ["+4m", "-2h", "+1m"] {
        let (before, told) = (polls(&simulator).len(), minutes_left());
        std::fs::write(&clock, jump).unwrap();
        until("two polls after a jump", || polls(&simulator).len() >= before + 2);
        until("the time left to be told anew", || minutes_left() > told);
        assert_not_too_fast(&simulator);
    }
    simulator.sign_in(&url, ANA);
    terminal.wait_for("Access test successful", 1);
    assert_eq!(terminal.end().0, 0);
    assert_not_too_fast(&simulator);
}
