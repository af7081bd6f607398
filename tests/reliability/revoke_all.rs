//! All credentials revoked at once, while Salesforce fails and the process is killed: each token is
//! dead or its revocation is owed, none is called revoked that lives, and in the end all are dead.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::common::{Home, Simulator, until};
use crate::{assert_sound, say, settle};

/// One request of so many fails.
const FAULT_EVERY: usize = 20;
/// Times that the process is killed.
const KILLS: usize = 3;
/// Set-ups at once.
const AT_ONCE: usize = 4;
/// What is said of a token when Salesforce confirmed that it is dead, or that it knows none.
const SAID_REVOKED: &str = "the token was revoked at Salesforce (confirmed)";

/// A home with one credential and one token for each of as many users.
struct Scene {
    simulator: Simulator,
    home: Home,
    /// Name and username of each credential.
    credentials: Vec<(String, String)>,
    outputs: usize,
}

impl Scene {
    fn new(count: usize) -> Self {
        let simulator = Simulator::start();
        let added = simulator.control("more_users", &json!({ "org": "acme", "count": count }));
        let org = simulator.org_of(crate::ANA);
        let home = Home::new();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (mut credentials, mut lines) = (Vec::new(), Vec::new());
        for (number, user) in added["users"].as_array().unwrap().iter().enumerate() {
            let name = format!("org-{number:04}");
            let line = json!({
                "name": name, "environment": "production", "org_id": org["org_id"],
                "user_id": user["user_id"], "login_url": org["my_domain"],
            });
            lines.push(line.to_string());
            credentials.push((name, text(&user["username"])));
        }
        home.orgkey_with(&["save", "--from", "-"], &lines.join("\n")).ok();
        std::thread::scope(|scope| {
            for part in credentials.chunks(count.div_ceil(AT_ONCE)) {
                let (home, simulator) = (&home, &simulator);
                scope.spawn(move || {
                    for (name, username) in part {
                        home.set_up(simulator, name, username).ok();
                    }
                });
            }
        });
        let scene = Self { simulator, home, credentials, outputs: 0 };
        assert_eq!(scene.living().len(), count);
        scene
    }

    /// Lets one request in twenty fail from now on: refused, held off, or cut before or after it was
    /// carried out.
    fn fail(&self) {
        let faults = [
            json!({ "status": 503 }),
            json!({ "then": "reset", "commit": false }),
            json!({ "then": "reset", "commit": true }),
            json!({ "status": 429, "headers": { "retry-after": "1" } }),
        ];
        // More than there will be requests: each token is revoked, and looked at once.
        let rounds = 4 * self.credentials.len() / FAULT_EVERY;
        let pass = json!({ "times": FAULT_EVERY - 1 });
        let script = (0..rounds).flat_map(|round| [&pass, &faults[round % faults.len()]]);
        let path = json!({ "path": "/services/*" });
        let script = script.map(|fault| {
            let mut fault = fault.clone();
            fault["match"] = path.clone();
            fault
        });
        self.simulator.script(&script.collect());
    }

    /// Users whose token lives at Salesforce.
    fn living(&self) -> BTreeSet<String> {
        settle(&self.simulator);
        let all = self.simulator.read("approvals")["approvals"].clone();
        let names = all.as_array().unwrap().iter().map(|one| &one["username"]);
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Begins to revoke all that are left; what it says goes into the file.
    fn revoke_all(&mut self) -> (Child, PathBuf) {
        let plan = self.home.orgkey(&["revoke", "--all", "--dry-run", "--json"]).ok().json();
        let count = plan["count"].to_string();
        self.outputs += 1;
        let file = self.home.outside().join(format!("said-{}", self.outputs));
        let mut command = self.home.command(&["revoke", "--all", "--confirm", &count]);
        command.stdout(File::create(&file).unwrap()).stderr(Stdio::null());
        (command.spawn().unwrap(), file)
    }

    /// What holds at any time; gives how many live and how many are owed.
    fn assert_no_lie(&self, said: &BTreeSet<String>) -> (usize, usize) {
        let living = self.living();
        let listed = self.home.orgkey(&["list", "--json"]).ok().json()["credentials"].clone();
        let mut owed = 0;
        for (shown, (name, username)) in listed.as_array().unwrap().iter().zip(&self.credentials) {
            assert_eq!(shown["name"], *name);
            let lives = living.contains(username);
            let (is_owed, is_revoked) =
                (shown["revocation_owed"] == true, shown["cause"] == "revoked");
            owed += usize::from(is_owed);
            assert!(!(lives && said.contains(name)), "{name} lives, and was called revoked");
            assert!(!lives || is_owed || !is_revoked, "{name} lives, and nobody remembers");
            assert!(lives || is_revoked, "{name} is dead, and nobody knows");
        }
        assert_sound(&self.home);
        (living.len(), owed)
    }
}

/// The names of which a run said that their token is revoked. The last line may be cut short.
fn said_revoked(file: &PathBuf) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().filter(|line| line.contains(SAID_REVOKED));
    lines.map(|line| line.split('/').next().unwrap().to_owned()).collect()
}

/// Revokes all of them, killed three times on the way.
fn revoke_all_of(count: usize) {
    let begun = Instant::now();
    let mut scene = Scene::new(count);
    let set_up = begun.elapsed().as_secs();
    scene.simulator.clear_journal();
    scene.fail();
    let mut said = BTreeSet::new();
    let begun = Instant::now();
    for kill in 1..=KILLS {
        let (mut run, file) = scene.revoke_all();
        let enough = u64::try_from(kill * count / (KILLS + 1)).unwrap();
        until("some to be revoked", || scene.simulator.count("revocations") >= enough);
        assert_eq!(run.try_wait().unwrap(), None, "it has to be killed while it works");
        run.kill().unwrap();
        run.wait().unwrap();
        said.extend(said_revoked(&file));
        let (living, owed) = scene.assert_no_lie(&said);
        let lines = said.len();
        say(&format!("killed: {lines} of {count} called revoked, {living} live, {owed} owed"));
    }
    let (mut run, file) = scene.revoke_all();
    let code = run.wait().unwrap().code();
    said.extend(said_revoked(&file));
    let (living, owed) = scene.assert_no_lie(&said);
    assert_eq!(code, Some(if owed == 0 { 0 } else { 4 }));
    assert!(living <= owed, "{living} live, {owed} are owed");
    let journal = scene.simulator.journal();
    let (requests, took) = (journal.len(), begun.elapsed().as_secs());
    let faults = journal.iter().filter(|entry| is_fault(entry)).count();
    say(&format!(
        "run to its end: {} called revoked, {living} live, {owed} owed; {faults} of {requests} requests failed; {took} s, set up in {set_up} s",
        said.len()
    ));
    assert!(faults > 0 && owed > 0, "nothing was tried");

    scene.simulator.clear_script();
    let paid = scene.home.command(&["revoke", "--owed"]).stdout(Stdio::null()).status().unwrap();
    assert_eq!(paid.code(), Some(0));
    assert_eq!(scene.assert_no_lie(&said), (0, 0));
    scene.home.orgkey(&["audit", "verify"]).ok();
}

/// Whether the script failed this request.
fn is_fault(entry: &Value) -> bool {
    let sent = entry["sent"].as_str().unwrap_or_default();
    ["503", "429"].iter().any(|status| sent.starts_with(status)) || sent.ends_with("reset")
}

#[test]
fn fifty_revoked_at_once_through_faults_and_kills_leave_none_live_unsaid() {
    revoke_all_of(50);
}

#[test]
#[ignore = "takes minutes"]
fn a_thousand_revoked_at_once_through_faults_and_kills_leave_none_live_unsaid() {
    revoke_all_of(1_000);
}
