//! A round as plain prompts: the next sign-in by itself, words in place of an address, and answers
//! that come back by themselves.

use serde_json::{Value, json};

use crate::common::{Home, Simulator, until};
use crate::loopback::home_with_ports;
use crate::terminal::Terminal;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";
const SVC: &str = "svc@acme.example";
const PASTE: &str = "Paste it here";
const AGAIN: &str = "Enter tries again";

fn three(simulator: &Simulator, home: &Home) {
    for (name, username) in [("a", ANA), ("b", BEN), ("c", SVC)] {
        home.save(simulator, name, username, &["--username", username]).ok();
    }
}

/// The address that came last, when so many have.
fn url(terminal: &Terminal, count: usize) -> String {
    let addresses = || -> Vec<String> {
        let raw = terminal.raw();
        let lines = raw.lines().filter(|line| line.contains("/services/oauth2/authorize?"));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    until("an address", || addresses().len() >= count);
    addresses().pop().unwrap()
}

fn round_of(home: &Home) -> Value {
    home.orgkey(&["round", "show", "--json"]).ok().json()["round"].clone()
}

#[test]
fn one_sign_in_after_another_and_words_in_place_of_an_address() {
    let simulator = Simulator::start();
    let home = Home::new();
    three(&simulator, &home);
    let start = ["round", "start", "--all", "--why", "setup", "--reason", "new"];
    let mut terminal = Terminal::orgkey(&home, &start);
    // The wrong account, and then an address where none is asked for: neither is shown.
    let foreign = simulator.sign_in(&url(&terminal, 1), BEN);
    terminal.answer(PASTE, 1, &foreign);
    terminal.answer(AGAIN, 1, &foreign);
    terminal.wait_for("that was not taken", 1);
    let right = simulator.sign_in(&url(&terminal, 2), ANA);
    terminal.answer(PASTE, 2, &right);
    terminal.wait_for("round to set up: 2 of 3   b/production   as ben@acme.example", 1);
    terminal.answer(PASTE, 3, "s");
    terminal.answer("Why is b/production passed over? ", 1, "left the company");
    terminal.answer(PASTE, 4, "q");
    let (status, shown) = terminal.end();
    assert_eq!(status, 3, "{shown}");
    assert!(shown.contains("the round stays open, 1 left"), "{shown}");
    for redirect in [&foreign, &right] {
        let (_, code) = redirect.split_once("code=").unwrap();
        assert!(!shown.contains(code.split('&').next().unwrap()), "{shown}");
    }
    // Another session goes on.
    let mut terminal = Terminal::orgkey(&home, &["round", "next"]);
    let last = simulator.sign_in(&url(&terminal, 1), SVC);
    terminal.answer(PASTE, 1, &last);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("2 signed in, 1 passed over"), "{shown}");
    let round = round_of(&home);
    assert!(round["ended_at"].is_string(), "{round}");
    assert_eq!(round["items"][1]["note"], "left the company");
}

#[test]
fn answers_come_back_by_themselves_and_each_key_counts_once() {
    let simulator = Simulator::start();
    let [port] = crate::loopback::free_ports();
    let home = home_with_ports(&simulator, &[port]);
    home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
    three(&simulator, &home);
    home.orgkey(&["round", "start", "--all", "--why", "setup"]).expect(3);
    let mut terminal = Terminal::orgkey(&home, &["round", "next", "--flow", "loopback"]);
    for (count, username) in [(1, ANA), (2, BEN), (3, SVC)] {
        let redirect = simulator.sign_in(&url(&terminal, count), username);
        terminal.wait_for("Listening for", count);
        crate::loopback::follow(&redirect);
        terminal.answer("Enter goes on with the round", count, "");
    }
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    let round = round_of(&home);
    assert_eq!((&round["signed_in"], &round["left"]), (&json!(3), &json!(0)), "{shown}");
}
