//! A store that may be a copy, in the dashboard: asked once, answered once, by keyboard.

use serde_json::json;

use crate::common::{Home, Simulator, until};
use crate::console::Console;

const ANA: &str = "ana@acme.example";

/// A home with the ready credential `acme`, whose store another host used last.
fn copied() -> (Simulator, Home) {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).expect("the store");
    store.execute("UPDATE meta SET host_mark = 'another'", []).expect("another host's mark");
    simulator.clear_journal();
    simulator.control("expire_sessions", &json!({}));
    (simulator, home)
}

#[test]
fn the_question_begins_on_cancel_stays_on_screen_and_is_answered_for_all() {
    let (simulator, home) = copied();
    let mut console = Console::start(&home.command(&[]));
    console.shows("This store may be a copy. Which one goes on?");
    console.shows("it was last used on another host");
    console.key_for("\r", "a copy?");
    // Enter decided nothing: a test that would have to refresh does not, and says why.
    console.key("t");
    until("the test to reach Salesforce", || !simulator.journal().is_empty());
    console.key_for("C", "[ This one goes on ]");
    console.key("\x1b");
    home.orgkey(&["test", "acme"]).expect(6);
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (0, 0));
    console.key_for("C", "[ This one goes on ]");
    console.key("\t");
    console.key_for("\r", "this store goes on, on this host");
    console.key("t");
    until("the refresh of the test", || simulator.count("refreshes") == 1);
    console.shows("Access test successful");
    assert_eq!(simulator.count("replays"), 0);
    assert!(!console.text().contains("a copy?"));
}

#[test]
fn another_copy_goes_on_and_it_is_taken_back() {
    let (simulator, home) = copied();
    let mut console = Console::start(&home.command(&[]));
    console.shows("[ Another one goes on ]");
    console.key("\t");
    console.key("\t");
    console.key_for("\r", "another copy of this store goes on: nothing is refreshed here");
    assert_eq!(
        home.orgkey(&["test", "acme", "--json"]).expect(6).error()["code"],
        "moved_elsewhere"
    );
    console.key_for("C", "Take this store back to here?");
    console.key("\t");
    console.key_for("\r", "this store goes on, on this host");
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (1, 0));
}
