//! The whole job, by keyboard alone.

use serde_json::Value;

use crate::common::{Home, PUBLIC_APP, Simulator, config};
use crate::console::Console;

/// The passphrase of the sealing key in these tests.
const PASSPHRASE: &str = "correct horse battery";

/// A home with the app `default` and no key yet.
pub fn home_without_key() -> Home {
    let home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    home
}

/// What a person types into the form for a user of the simulated Salesforce.
pub struct Entry {
    /// Salesforce Org ID.
    pub org_id: String,
    /// Salesforce User ID.
    pub user_id: String,
    /// My Domain.
    pub my_domain: String,
}

impl Entry {
    /// Of a user, by the whole username.
    pub fn of(simulator: &Simulator, username: &str) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let org = simulator.org_of(username);
        Self {
            org_id: text(&org["org_id"]),
            user_id: text(&simulator.user(username)["user_id"]),
            my_domain: text(&org["my_domain"]),
        }
    }
}

/// Saves a credential with the form, from the list on.
pub fn save(console: &mut Console, name: &str, entry: &Entry, sandbox: bool) {
    console.press("n");
    console.shows("New OAuth credentials");
    console.fill(name);
    console.tab(1);
    console.fill(&entry.org_id);
    console.tab(1);
    console.fill(&entry.user_id);
    console.tab(2);
    if sandbox {
        console.press(" ");
        console.shows("[x] Use salesforce.com Sandbox");
    }
    console.tab(1);
    // The demo's form begins with a My Domain.
    if !console.rows().iter().any(|row| row.contains(&format!("My Domain   {}_", entry.my_domain)))
    {
        console.press("\u{15}");
        console.shows("My Domain   ____");
        console.fill(&entry.my_domain);
    }
    console.tab(3);
    console.press("\r");
    let environment = if sandbox { "sandbox" } else { "production" };
    console.shows(&format!("{name}/{environment} is saved"));
}

/// Takes the address out of the set-up pane by `y`: what the terminal was sent for its clipboard.
pub fn copied(console: &mut Console) -> String {
    use base64::Engine as _;
    let before = console.bytes().len();
    console.press("y");
    console.await_bytes("a clipboard sequence", |bytes| bytes[before..].contains(&0x07));
    let stream = console.stream();
    let (_, rest) = stream.rsplit_once("\x1b]52;").expect("it begins");
    // tmux passes it on without naming which of the clipboards.
    let (_, rest) = rest.split_once(';').expect("a clipboard");
    let (encoded, _) = rest.split_once('\x07').expect("it ends");
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    String::from_utf8(decoded).expect("text")
}

/// Signs in as somebody and pastes the address that the browser ends at, with brackets.
pub fn sign_in(console: &mut Console, simulator: &Simulator, username: &str) {
    let url = copied(console);
    let redirect = simulator.sign_in(&url, username);
    console.paste(&redirect);
}

#[test]
fn the_whole_job_is_done_by_keyboard() {
    let simulator = Simulator::start();
    let mut home = home_without_key();
    let mut console = Console::start(&home.command(&[]));
    saved_only_when_it_is_right(&mut console, &simulator);
    let url = set_up(&mut console, &simulator);
    assert!(url.starts_with(&simulator.url("acme.my")) && url.contains("code_challenge="));
    let file = home.write("passphrase", PASSPHRASE);
    home.set("ORGKEY_PASSPHRASE_FILE", file.to_str().expect("a path of text"));
    assert_eq!(home.shown("acme")["state"], "ready");
    reset_is_staged(&mut console, &simulator, &home);
    switched(&mut console, &simulator, &home);
    wrong_account(&mut console, &simulator, &home);
    deleted(&mut console, &simulator, &home);
    console.press("q");
    assert_eq!(console.ended(), 0);
}

fn saved_only_when_it_is_right(console: &mut Console, simulator: &Simulator) {
    let acme = Entry::of(simulator, "ana@acme.example");
    console.shows("no credentials yet");
    let needs_a_credential = ["set up", "test", "reset", "delete"];
    let bar = console.rows().pop().expect("a last row");
    assert!(needs_a_credential.iter().all(|word| !bar.contains(word)), "{bar}");
    console.press("n");
    console.shows("New OAuth credentials");
    console.fill("acme");
    console.tab(1);
    console.fill(&acme.org_id);
    console.tab(1);
    let mistyped = format!("{}X", &acme.user_id[..17]);
    console.fill(&mistyped);
    console.shows("the suffix of the User ID should be AAJ, not AAX");
    console.tab(3);
    console.fill(&acme.my_domain);
    console.tab(3);
    console.press("\r");
    console.wait_for("the cursor on the wrong field", |text| text.contains("Setup > Users"));
    let row = console.cursor_row();
    assert!(row.contains("User ID") && row.contains(&mistyped), "{row}");
    console.press("\x7fJ");
    console.shows(&acme.user_id);
    console.tab(6);
    console.press("\r");
    console.shows("acme/production is saved");
    let bar = console.rows().pop().expect("a last row");
    assert!(["s set up", "r reset", "D delete"].iter().all(|key| bar.contains(key)), "{bar}");
}

/// The key is made first, then the address is taken out both ways; gives the address.
fn set_up(console: &mut Console, simulator: &Simulator) -> String {
    console.press("s");
    console.shows("Make the sealing key");
    console.press(PASSPHRASE);
    console.shows("********");
    assert!(!console.text().contains("horse"));
    console.tab(1);
    console.key("correct horse");
    console.key("\r");
    console.shows("the two do not agree: type both again");
    assert!(!console.text().contains("Open this address"));
    for _ in 0..2 {
        console.key(PASSPHRASE);
        console.key("\r");
    }
    console.shows("1. Open this address");
    let url = copied(console);
    assert_eq!(plain(console), url);
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    console.paste(&redirect);
    console.shows("signed in as ana@acme.example");
    console.shows("+ ready");
    console.press("t");
    console.shows("acme/production: Access test successful (");
    assert!(!console.stream().contains("code=SIMCANARY"), "what was pasted is not echoed");
    url
}

/// The address as the plain view shows it: rows that the terminal wraps by itself.
fn plain(console: &mut Console) -> String {
    console.press("v");
    console.shows("select the address above");
    let rows = console.rows();
    let end = rows.iter().position(String::is_empty).expect("an empty row below it");
    assert!((0..end - 1).all(|row| console.look().row_wrapped(row.try_into().expect("a row"))));
    console.press("v");
    console.shows("1. Open this address");
    rows[..end].concat()
}

/// A Reset to another User ID is staged: the old token stays until the new one has passed.
fn reset_is_staged(console: &mut Console, simulator: &Simulator, home: &Home) {
    let (ana, ben) =
        (Entry::of(simulator, "ana@acme.example"), Entry::of(simulator, "ben@acme.example"));
    console.press("r");
    console.shows("Reset acme/production");
    console.shows(&ana.org_id);
    console.tab(2);
    for _ in 0..18 {
        console.key("\x7f");
    }
    console.hides(&ana.user_id);
    console.fill(&ben.user_id);
    console.tab(1);
    for _ in 0.."ana@acme.example".len() {
        console.key("\x7f");
    }
    console.hides("ana@acme.example");
    console.tab(5);
    console.press("\r");
    console.shows("edit staged");
    let shown = home.shown("acme");
    assert_eq!(shown["user_id"].as_str(), Some(ana.user_id.as_str()));
    assert_eq!(shown["pending"]["user_id"].as_str(), Some(ben.user_id.as_str()));
    home.orgkey(&["token", "acme"]).ok();
    console.press("s");
    console.shows("1. Open this address");
    sign_in(console, simulator, "ben@acme.example");
    console.shows("signed in as ben@acme.example");
    let shown = home.shown("acme");
    assert_eq!(shown["user_id"].as_str(), Some(ben.user_id.as_str()));
    assert_eq!(shown["pending"], Value::Null);
}

/// The sandbox has IDs and a token of its own, and `U` puts it in use.
fn switched(console: &mut Console, simulator: &Simulator, home: &Home) {
    let uat = Entry::of(simulator, "ana@acme.example.uat");
    save(console, "acme", &uat, true);
    console.press("U");
    console.shows("in use?");
    assert_eq!(home.shown("acme")["environment"], "production");
    console.tab(1);
    console.press("\r");
    console.hides("in use?");
    console.shows("acme  sandbox  in use");
    assert_eq!(home.shown("acme")["environment"], "sandbox");
}

/// Somebody else signs in: both sides are shown, nothing is stored, their token is revoked.
fn wrong_account(console: &mut Console, simulator: &Simulator, home: &Home) {
    console.press("s");
    console.shows("1. Open this address");
    let url = copied(console);
    let revoked = simulator.count("revocations");
    let redirect = simulator.sign_in(&url, "ben@acme.example.uat");
    // A terminal without bracketed paste sends it as keys, in one go.
    console.press(&redirect);
    console.shows("Signed in with another account: nothing was stored");
    let entry = |name: &str| Entry::of(simulator, name).user_id;
    let (ana, ben) = (entry("ana@acme.example.uat"), entry("ben@acme.example.uat"));
    let both = format!("{ana}           {ben}");
    let row = console.rows().into_iter().find(|row| row.contains("User ID")).expect("a row");
    assert!(row.contains(&ana) && row.contains(&ben) && row.contains("different"), "{both}: {row}");
    console.shows("revoked");
    assert_eq!(simulator.count("revocations"), revoked + 1);
    assert_eq!(home.shown("acme/sandbox")["token"], Value::Null);
    console.press("\x1b");
    console.hides("another account");
}

/// Delete is never on Enter: the address has to be typed.
fn deleted(console: &mut Console, simulator: &Simulator, home: &Home) {
    console.press("g");
    console.shows("acme  PRODUCTION");
    let approvals = simulator.read("approvals")["approvals"].as_array().expect("a list").len();
    assert!(approvals > 0);
    console.press("D");
    console.shows("Delete acme/production for good?");
    console.press("\r");
    console.hides("for good?");
    home.orgkey(&["show", "acme/production"]).ok();
    console.press("D");
    console.shows("Delete acme/production for good?");
    for key in ["a", "c", "m", "e", "\r"] {
        console.key(key);
    }
    console.shows("that is not acme/production; nothing was deleted");
    console.fill("/production");
    console.press("\r");
    console.shows("acme/production is deleted");
    home.orgkey(&["show", "acme/production"]).expect(7);
    home.orgkey(&["show", "acme/sandbox"]).ok();
    let left = simulator.read("approvals")["approvals"].as_array().expect("a list").len();
    assert!(left < approvals, "its token was revoked at Salesforce");
}

#[test]
fn the_demo_tells_what_to_type_and_plays_the_person_at_the_browser() {
    let home = Home::empty();
    let mut command = home.command(&["demo"]);
    command.env("TMPDIR", home.outside());
    let mut console = Console::start(&command);
    console.shows("This is the demo");
    let ana = told(&mut console, "My Domain http://acme.my.localhost");
    let uat = told(&mut console, "My Domain http://acme--uat.sandbox.my.localhost");
    save(&mut console, "acme", &ana, false);
    console.press("s");
    console.shows("Make the sealing key");
    console.tab(2);
    console.key("\r");
    console.shows("1. Open this address");
    console.press("p");
    console.shows("signed in as ana@acme.example");
    console.shows("+ ready");
    console.press("t");
    console.shows("acme/production: Access test successful (");
    save(&mut console, "acme", &uat, true);
    console.press("s");
    console.shows("1. Open this address");
    console.press("p");
    console.shows("signed in as ana@acme.example.uat");
    let folders = || std::fs::read_dir(home.outside()).expect("a folder").count();
    let before = folders();
    console.press("q");
    assert_eq!(console.ended(), 0);
    assert_eq!(folders(), before - 1, "the demo's home is gone");
}

/// An account as the first screen of the demo tells it: its IDs stand above its My Domain.
fn told(console: &mut Console, my_domain: &str) -> Entry {
    let rows = console.rows();
    let at = rows.iter().position(|row| row.contains(my_domain)).expect("its My Domain");
    let words: Vec<_> = rows[at - 1].split_whitespace().collect();
    let after = |word: &str| {
        let at = words.windows(2).position(|pair| pair == [word, "ID"]).expect("a label");
        words[at + 2].to_owned()
    };
    let url = rows[at].split_whitespace().find(|word| word.contains("://")).expect("a URL");
    Entry { org_id: after("Org"), user_id: after("User"), my_domain: url.to_owned() }
}
