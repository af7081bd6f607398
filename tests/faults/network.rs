//! Rows N1 to N26: what a network can do to a refresh, a sign-in and an access test. Each test
//! proves the exit code, the words, the state, and by the journal of the simulated Salesforce that
//! the refresh token is neither lost unsaid nor said to be lost while it lives.

mod answers;
mod connections;
mod front;
mod tls;
mod waiting;

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, Simulator, config};
use front::Front;

const ANA: &str = "ana@acme.example";

/// A simulated Salesforce and a credential with a token that was tested.
struct Stage {
    simulator: Simulator,
    login_url: String,
    home: Home,
}

impl Stage {
    fn new() -> Self {
        let simulator = Simulator::start();
        let login_url = simulator.url("acme.my");
        Self::at(simulator, login_url)
    }

    /// The same with a raw server before the token endpoint; calls of the API do not go through it.
    fn with_front() -> (Self, Front) {
        let simulator = Simulator::start();
        let front = Front::before(simulator.port);
        (Self::at(simulator, front.url()), front)
    }

    fn at(simulator: Simulator, login_url: String) -> Self {
        let stage = Self { simulator, login_url, home: Home::new() };
        stage.impatient();
        save_at(&stage.home, "acme", &stage.login_url);
        stage.sign_in().ok();
        stage.home.orgkey(&["test", "acme"]).ok();
        stage.simulator.clear_journal();
        stage
    }

    /// An answer that does not come is missed after a second.
    fn impatient(&self) {
        let text = config(PUBLIC_APP).replace("[network]", "[network]\ndeadline = \"1s\"");
        self.home.write("config.toml", &text);
    }

    /// Starts a set-up and plays the person; what the browser ended at.
    fn redirect(&self) -> String {
        let url = self.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        // The simulated browser knows the simulated host alone, and not the server before it.
        let url = url.replacen(&self.login_url, &self.simulator.url("acme.my"), 1);
        self.simulator.sign_in(&url, ANA)
    }

    fn sign_in(&self) -> Run {
        let redirect = self.redirect();
        self.finish(&redirect)
    }

    fn finish(&self, redirect: &str) -> Run {
        self.home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], redirect)
    }

    /// Spoils the next answer to a request of this grant.
    fn spoil(&self, grant: &str, fault: &Value) {
        let mut fault = fault.clone();
        fault["match"] = json!({ "grant_type": grant });
        self.simulator.script(&json!([fault]));
    }

    fn stored_token(&self) -> String {
        self.home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned()
    }

    /// Asks for a token as a script does that got a 401 for the stored one.
    fn refresh(&self) -> Run {
        let stored = self.stored_token();
        self.home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &stored)
    }

    fn test(&self) -> Run {
        self.home.orgkey(&["test", "acme", "--json"])
    }

    fn state(&self) -> String {
        self.home.shown("acme")["state"].as_str().unwrap().to_owned()
    }

    /// What the simulated Salesforce knows of Ana's refresh tokens.
    fn live(&self) -> Value {
        let whose = json!({ "username": ANA, "client_id": PUBLIC_APP });
        self.simulator.control("refresh_tokens", &whose)
    }

    /// The refresh failed without touching the token: it says so, and the next one passes.
    #[track_caller]
    fn is_kept(&self, run: &Run, status: i32, code: &str, words: &[&str]) {
        check(run, status, code, words);
        assert_eq!(self.simulator.count("refreshes"), 0, "{run}");
        assert_eq!(self.live()["alive"], true);
        self.goes_on(status == 8);
    }

    /// The state is a passing one, or asks for a change, and the old token is served; with the
    /// fault gone the next refresh passes, and nothing was replayed.
    #[track_caller]
    fn goes_on(&self, is_misconfigured: bool) {
        let state = if is_misconfigured { "misconfigured" } else { "unreachable" };
        assert_eq!(self.state(), state);
        let before = self.stored_token();
        self.simulator.clear_script();
        let refreshed = self.refresh().ok();
        assert_ne!(refreshed.json()["access_token"], json!(before));
        self.is_well();
        assert_eq!(self.simulator.count("replays"), 0);
    }

    /// The refresh was sent and its answer never came: it says so, and the old access token is
    /// served. The next refresh tells what became of it: `committed` is whether Salesforce had
    /// carried it out.
    #[track_caller]
    fn is_uncertain(&self, run: &Run, committed: bool, words: &[&str]) {
        let lost = "a refresh was sent and its answer was lost";
        check(run, 10, "uncertain", &[words, &[lost]].concat());
        let served = self.stored_token();
        assert_eq!(self.state(), "uncertain");
        crate::common::until("what was sent to be carried out", || {
            self.simulator.journal().iter().all(|entry| !entry["outcome"].is_null())
        });
        assert_eq!(self.simulator.count("refreshes"), u64::from(committed), "{run}");
        let live = self.live();
        assert_eq!(live["alive"], true);
        if committed {
            let issued = self.refreshes().last().unwrap()["issued"].clone();
            assert_eq!(live["tag"], issued, "the live token is the one that never arrived");
        }
        self.simulator.clear_script();
        let next = self.home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &served);
        assert_eq!(next.status, if committed { 3 } else { 0 }, "{next}");
        assert_eq!(self.simulator.count("replays"), u64::from(committed), "one try, no more");
        if committed {
            assert_eq!(self.state(), "needs_setup");
            self.sign_in().ok();
        }
        self.is_well();
    }

    /// Refreshes in the journal that were carried out.
    fn refreshes(&self) -> Vec<Value> {
        let mut entries = self.simulator.journal();
        entries.retain(|entry| entry["grant_type"] == "refresh_token" && entry["outcome"] == "ok");
        entries
    }

    /// The credential works, and the store's refresh token is the live one: it can be spent.
    #[track_caller]
    fn is_well(&self) {
        self.test().ok();
        assert_eq!(self.state(), "ready");
        self.refresh().ok();
    }

    /// The code may be spent: the message says why, the remedy says to sign in again, nothing is
    /// stored anew, and a new sign-in passes.
    #[track_caller]
    fn code_is_at_risk(&self, run: &Run, code: &str, words: &[&str]) {
        check(run, 4, code, &[words, &["the code may be spent", "sign in"]].concat());
        let shown = self.home.shown("acme");
        assert_eq!(shown["state"], "ready", "the old token is not touched: {run}");
        assert!(shown["authorization"].is_object(), "the attempt pends: {run}");
        self.simulator.clear_script();
        self.sign_in().ok();
        self.is_well();
    }
}

#[test]
fn every_row_has_a_test_that_begins_with_its_id() {
    let sources = [
        include_str!("network/answers.rs"),
        include_str!("network/connections.rs"),
        include_str!("network/tls.rs"),
        include_str!("network/waiting.rs"),
    ];
    for row in 1..=26 {
        let name = format!("\n#[test]\nfn n{row:02}_");
        assert!(sources.iter().any(|source| source.contains(&name)), "N{row}");
    }
}

/// Saves Ana of the simulated Acme with a login URL of the test's own.
#[track_caller]
fn save_at(home: &Home, name: &str, login_url: &str) {
    let (org_id, user_id) = ("00D5g000004XyZTEA0", "0055g00000AnaToAAJ");
    let ids = ["--org-id", org_id, "--user-id", user_id, "--login-url", login_url];
    home.orgkey(&[&["save", name], ids.as_slice()].concat()).ok();
}

/// An error as it has to be: exit code, code, words in message and remedy together, no secret.
#[track_caller]
fn check(run: &Run, status: i32, code: &str, words: &[&str]) {
    assert_eq!(run.status, status, "{run}");
    let error = run.error();
    assert_eq!(error["code"], code, "{run}");
    let text = |field: &str| error[field].as_str().unwrap().to_owned();
    let (message, remedy) = (text("message"), text("remedy"));
    assert!(remedy.len() > 10, "{run}");
    let said = format!("{message}\n{remedy}");
    for word in words {
        assert!(said.contains(word), "'{word}' is not said: {run}");
    }
    assert!(run.stdout.is_empty() && !run.stderr.contains(MARKER), "{run}");
}

/// A test that failed: exit code, outcome, words.
#[track_caller]
fn check_test(run: &Run, status: i32, outcome: &str, words: &[&str]) {
    assert_eq!(run.status, status, "{run}");
    let result = run.json()["results"][0].clone();
    assert_eq!(result["outcome"], outcome, "{run}");
    for word in words {
        assert!(result.to_string().contains(word), "'{word}' is not said: {run}");
    }
    assert!(!run.stdout.contains(MARKER), "{run}");
}

/// A credential that was never set up, at a login URL, and the redirect URL that a browser would
/// have ended at with an invented code.
fn pending(home: &Home, login_url: &str) -> String {
    save_at(home, "acme", login_url);
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let state = url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    format!("{}?code=aPrx{MARKER}invented%3D%3D&state={state}", crate::common::REDIRECT_URI)
}

/// Nothing was sent: there is no token, and the attempt pends as before.
#[track_caller]
fn still_pends(home: &Home) {
    let shown = home.shown("acme");
    assert!(shown["token"].is_null() && shown["authorization"].is_object(), "{shown}");
}

/// Whether this machine can do something; where not, says what is left out, or fails when nothing
/// may be.
fn can(command: &mut Command, left_out: &str) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if quiet.status().is_ok_and(|status| status.success()) {
        return true;
    }
    cannot(&command.get_program().to_string_lossy(), left_out);
    false
}

/// Says what is left out, or fails when nothing may be.
fn cannot(why: &str, left_out: &str) {
    assert!(
        std::env::var_os("ORGKEY_REQUIRE_E2E").is_none_or(|value| value != "1"),
        "{why} is needed for: {left_out}"
    );
    // Past the capture of output, so that it is read by whoever runs the tests.
    let _ = writeln!(std::io::stderr(), "left out, for want of {why}: {left_out}");
}
