//! `setup --discover` on a terminal: sign in, see the IDs, say yes or no, or hang up.

use serde_json::json;

use crate::common::{Home, PUBLIC_APP, Simulator, config, until};
use crate::loopback::home_with_ports;
use crate::terminal::{PASSPHRASE, Terminal, send};
use rustix::process::Signal;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";

fn discover(simulator: &Simulator, home: &Home, more: &[&str]) -> Terminal {
    let url = simulator.url("acme.my");
    let begin = ["setup", "new", "--discover", "--my-domain", &url];
    Terminal::orgkey(home, &[&begin, more].concat())
}

fn approvals(simulator: &Simulator) -> usize {
    simulator.read("approvals")["approvals"].as_array().unwrap().len()
}

/// A home in which an account of this user waits for a yes on the terminal.
fn asked(simulator: &Simulator, home: &Home) -> Terminal {
    let mut terminal = discover(simulator, home, &[]);
    let redirect = simulator.sign_in(&terminal.url(), ANA);
    terminal.answer("Paste it here", 1, &redirect);
    terminal.wait_for("Save new/production with these IDs? [y/N] ", 1);
    terminal
}

#[test]
fn the_ids_are_shown_and_a_yes_saves_them() {
    let (simulator, home) = (Simulator::start(), Home::empty());
    home.write("config.toml", &config(PUBLIC_APP));
    let mut terminal = discover(&simulator, &home, &["--tag", "eu"]);
    // The key is made at the first set-up, as ever.
    terminal.answer("New passphrase: ", 1, PASSPHRASE);
    terminal.answer("The same again: ", 1, PASSPHRASE);
    let redirect = simulator.sign_in(&terminal.url(), ANA);
    terminal.answer("Paste it here", 1, "hello, is it me");
    terminal.answer("Paste it here", 2, &redirect);
    terminal.wait_for("[y/N] ", 1);
    let shown = terminal.raw();
    for words in [
        "Salesforce Org ID   00D5g000004XyZTEA0",
        "Salesforce User ID  0055g00000AnaToAAJ",
        "Username            ana@acme.example",
        "Environment         production (proven)",
        "Without a yes until ",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    terminal.answer("[y/N] ", 1, "y");
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(home.shown("new")["state"], "ready");
    assert_eq!(home.shown("new")["tags"], json!(["eu"]));
}

#[test]
fn anything_but_a_yes_saves_nothing_and_revokes_the_token() {
    let simulator = Simulator::start();
    let home = Home::new();
    for answer in ["", "n", "yep", "Y e s"] {
        let mut terminal = asked(&simulator, &home);
        terminal.answer("[y/N] ", 1, answer);
        let (status, shown) = terminal.end();
        assert_eq!(status, 6, "{answer}: {shown}");
        assert!(
            shown.contains("new/production was not saved; the new token was revoked"),
            "{shown}"
        );
        assert_eq!(approvals(&simulator), 0, "{answer}");
        home.orgkey(&["show", "new"]).expect(7);
    }
}

#[test]
fn a_hang_up_or_a_kill_at_the_question_leaves_it_open_and_said() {
    let simulator = Simulator::start();
    let home = Home::new();
    for (signal, status) in [(Signal::HUP, 129), (Signal::INT, 130), (Signal::KILL, 1)] {
        let terminal = asked(&simulator, &home);
        send(&terminal, signal);
        let (ended, shown) = terminal.end();
        assert_eq!(ended, status, "{shown}");
        assert_eq!(approvals(&simulator), 1);
        let listed = home.orgkey(&["list"]).ok();
        assert!(listed.stderr.contains("waits for a yes until"), "{listed}");
        // The same command asks again, and no other sign-in is needed.
        let mut terminal = Terminal::orgkey(&home, &["setup", "new", "--discover"]);
        if signal == Signal::KILL {
            terminal.answer("[y/N] ", 1, "yes");
            terminal.wait_for("Access test successful", 1);
        } else {
            terminal.answer("[y/N] ", 1, "n");
        }
        terminal.end();
    }
    assert_eq!(home.shown("new")["state"], "ready");
    assert_eq!(approvals(&simulator), 1);
}

#[test]
fn the_question_is_asked_again_after_the_key_was_opened() {
    let (simulator, home) = (Simulator::start(), Home::empty());
    home.write("config.toml", &config(PUBLIC_APP));
    let mut terminal = discover(&simulator, &home, &[]);
    terminal.answer("New passphrase: ", 1, PASSPHRASE);
    terminal.answer("The same again: ", 1, PASSPHRASE);
    let redirect = simulator.sign_in(&terminal.url(), ANA);
    terminal.answer("Paste it here", 1, &redirect);
    terminal.wait_for("[y/N] ", 1);
    send(&terminal, Signal::HUP);
    assert_eq!(terminal.end().0, 129);
    // The very same command as before: nobody has to sign in again.
    let mut terminal = discover(&simulator, &home, &[]);
    terminal.answer("Passphrase of the sealing key: ", 1, PASSPHRASE);
    terminal.answer("[y/N] ", 1, "y");
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(simulator.count("codes_exchanged"), 1);
}

#[test]
fn the_answer_can_come_back_by_itself() {
    let simulator = Simulator::start();
    let [port] = crate::loopback::free_ports();
    let home = home_with_ports(&simulator, &[port]);
    let mut terminal = discover(&simulator, &home, &["--flow", "loopback"]);
    let url = terminal.url();
    terminal.wait_for("Listening for ", 1);
    let redirect = simulator.sign_in(&url, BEN);
    let page = crate::loopback::follow(&redirect);
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    terminal.wait_for("the answer came back by itself", 1);
    terminal.answer("[y/N] ", 1, "y");
    terminal.wait_for("Access test successful", 1);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(home.shown("new")["username"], BEN);
    assert_eq!(home.shown("new")["token"]["flow"], "loopback");
}

#[test]
fn an_agent_listens_on_after_the_first_step() {
    let simulator = Simulator::start();
    let [port] = crate::loopback::free_ports();
    let home = home_with_ports(&simulator, &[port]);
    let _agent = crate::agent::Agent::start(&home);
    let my_domain = simulator.url("acme.my");
    let begin = ["setup", "new", "--discover", "--my-domain", &my_domain];
    let begin = [&begin, ["--flow", "loopback", "--start"].as_slice()].concat();
    let url = home.orgkey(&begin).ok().stdout;
    let redirect = simulator.sign_in(&url, BEN);
    crate::loopback::follow(&redirect);
    until("the account to be found", || {
        home.orgkey(&["list"]).stderr.contains("waits for a yes until")
    });
    let ids = "00D5g000004XyZTEA0/0055g00000BenKaAAJ";
    home.orgkey(&["setup", "new", "--discover", "--confirm", ids]).ok();
    assert_eq!(home.shown("new")["state"], "ready");
}
