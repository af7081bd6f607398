//! A round: many sign-ins by keyboard, one copy and one paste each, through kills.

use base64::Engine as _;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Home, Simulator, until};
use crate::console::Console;

/// Beginning of a sequence for the terminal's clipboard (OSC 52).
const CLIPBOARD: &[u8] = b"\x1b]52;";

/// A home with so many credentials, each of a user of its own; their names are `org-001` and on.
fn home_with(simulator: &Simulator, count: usize) -> (Home, Vec<String>) {
    let home = Home::new();
    let more = simulator.control("more_users", &json!({ "org": "acme", "count": count }));
    let org = simulator.org_of("ana@acme.example");
    let users = more["users"].as_array().expect("users");
    let line = |(number, user): (usize, &Value)| {
        json!({
            "name": format!("org-{number:03}"), "environment": "production", "org_id": org["org_id"], "user_id": user["user_id"],
            "username": user["username"], "login_url": org["my_domain"],
        })
        .to_string()
    };
    let lines: Vec<_> = users.iter().enumerate().map(line).collect();
    home.orgkey_with(&["save", "--from", "-"], &lines.join("\n")).ok();
    let name = |user: &Value| user["username"].as_str().expect("text").to_owned();
    (home, users.iter().map(name).collect())
}

/// What the dashboard sent to the clipboard, one after another.
struct Clipboard {
    /// Bytes of the stream that were looked at.
    seen: usize,
    /// How many there were.
    count: usize,
}

impl Clipboard {
    /// Waits for the next one.
    fn next(&mut self, console: &Console) -> String {
        let from = self.seen;
        let end = |bytes: &[u8]| {
            let start =
                bytes[from..].windows(CLIPBOARD.len()).position(|part| part == CLIPBOARD)?;
            let length = bytes[from + start..].iter().position(|byte| *byte == 0x07)?;
            Some((from + start, from + start + length))
        };
        console.await_bytes("an address on the clipboard", |bytes| end(bytes).is_some());
        let bytes = console.bytes();
        let (start, end) = end(&bytes).expect("it came");
        (self.seen, self.count) = (end, self.count + 1);
        let sent = String::from_utf8_lossy(&bytes[start..end]).into_owned();
        let encoded = sent.rsplit(';').next().expect("its text");
        let text = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
        String::from_utf8(text).expect("an address")
    }

    /// Whether nothing else was sent.
    fn is_all(&self, console: &Console) -> bool {
        let bytes = console.bytes();
        !bytes[self.seen..].windows(CLIPBOARD.len()).any(|part| part == CLIPBOARD)
    }
}

/// Who has to sign in at an address.
fn login_hint(url: &str) -> String {
    let (_, rest) = url.split_once("login_hint=").expect("a login hint");
    rest.split('&').next().expect("its value").replace("%40", "@")
}

fn round_of(home: &Home) -> Value {
    home.orgkey(&["round", "show", "--json"]).ok().json()["round"].clone()
}

/// Opens the dashboard at the worklist of the open round.
fn at_worklist(home: &Home) -> Console {
    let mut console = Console::start(&home.command(&[]));
    console.shows("? help");
    console.press("Q");
    console.shows("Round to set up");
    console
}

/// Works through a round of so many; the dashboard is killed in mid exchange after some of them.
fn round(count: usize, kills: &[u64]) {
    let simulator = Simulator::start();
    let (home, users) = home_with(&simulator, count);
    let mut console = Console::start(&home.command(&[]));
    console.shows("? help");
    console.press("Q");
    console.shows(&format!("> set up  {count} whose token does not work"));
    console.key_for("\r", &format!("Round to set up  0 of {count}"));
    let mut clipboard = Clipboard { seen: 0, count: 0 };
    let (mut pastes, mut last) = (0_u64, String::new());
    console.press("\r");
    while pastes < count as u64 {
        let url = clipboard.next(&console);
        assert_ne!(url, last, "the next one, not the same again");
        let redirect = simulator.sign_in(&url, &login_hint(&url));
        console.paste(&redirect);
        (pastes, last) = (pastes + 1, url);
        if kills.contains(&pastes) {
            // The agent goes on with what it was sent.
            until("the exchange", || simulator.count("codes_exchanged") == pastes);
            console.signal(Signal::KILL);
            until("the answer", || round_of(&home)["signed_in"] == pastes);
            console = at_worklist(&home);
            clipboard.seen = 0;
            console.press("\r");
        }
    }
    console.shows(&format!("Round to set up  {count} of {count}  ended"));
    assert_eq!((clipboard.count, clipboard.is_all(&console)), (count, true), "one copy each");
    let receipt = round_of(&home);
    assert_eq!((&receipt["signed_in"], &receipt["left"]), (&json!(count), &json!(0)));
    assert!(receipt["ended_at"].is_string(), "{receipt}");
    let approvals = simulator.read("approvals")["approvals"].as_array().expect("them").len();
    assert_eq!((approvals, users.len()), (count, count), "a token of each, and no second one");
    console.press("\x1b");
    console.shows("? help");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn a_round_of_a_hundred_and_twenty_goes_by_one_copy_and_one_paste_each_through_kills() {
    round(120, &[17, 60, 119]);
}

#[test]
fn one_that_is_passed_over_and_a_wrong_account_leave_the_round_in_order() {
    let simulator = Simulator::start();
    let (home, users) = home_with(&simulator, 3);
    let mut console = Console::start(&home.command(&[]));
    console.shows("? help");
    console.press("Q");
    console.shows("> set up  3 whose token does not work");
    console.key_for("\r", "Round to set up  0 of 3");
    let mut clipboard = Clipboard { seen: 0, count: 0 };
    console.press("\r");
    let url = clipboard.next(&console);
    let foreign = simulator.sign_in(&url, &users[2]);
    console.paste(&foreign);
    console.shows("Signed in with another account: nothing was stored");
    console.press("s");
    let url = clipboard.next(&console);
    assert_eq!(login_hint(&url), users[0], "the same one again");
    console.key_for("n", "Pass org-000/production over in this round?");
    console.fill("left the company");
    console.press("\r");
    let url = clipboard.next(&console);
    assert_eq!(login_hint(&url), users[1]);
    console.shows("round 2 of 3");
    // Somebody signs in for the last one by another way.
    home.set_up(&simulator, "org-002", &users[2]).ok();
    let redirect = simulator.sign_in(&url, &users[1]);
    console.paste(&redirect);
    console.shows("Round to set up  3 of 3  ended");
    console.shows("- left the company");
    let receipt = round_of(&home);
    assert_eq!((&receipt["signed_in"], &receipt["skipped"]), (&json!(2), &json!(1)));
    assert_eq!(receipt["items"][0]["note"], "left the company");
    console.press("\x1b");
    console.shows("? help");
    console.press("q");
    assert_eq!(console.ended(), 0);
}
