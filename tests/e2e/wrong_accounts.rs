//! Another account or another environment, in every way that one can come, by each way to sign in:
//! nothing new is stored, the old token goes on, the new one is revoked, and both sides are shown.

use std::fmt;

use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, Run, Simulator, config, until};
use crate::loopback::{follow, free_ports};
use crate::terminal::Terminal;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";
const SVC: &str = "svc@acme.example";
const EVA: &str = "eva@globex.example";
const ANA_UAT: &str = "ana@acme.example.uat";
const BEN_UAT: &str = "ben@acme.example.uat";

/// What is wrong with a sign-in.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Another person signs in.
    Person(&'static str),
    /// The right one does, and the answer names the org of one and the user of another, written so.
    Identity(&'static str, &'static str, Form),
    /// The right one does, and the answer's instance is another host.
    Instance(&'static str),
    /// The right one does, and the org itself says so.
    IsSandbox(bool),
}

/// How an ID is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Eighteen,
    Fifteen,
    Lower,
    Upper,
}

impl Form {
    /// Every one in its turn.
    fn of(number: usize) -> Self {
        [Self::Eighteen, Self::Fifteen, Self::Lower, Self::Upper][number % 4]
    }

    fn write(self, id: &str) -> String {
        match self {
            Self::Eighteen => id.to_owned(),
            Self::Fifteen => id[..15].to_owned(),
            // What a spreadsheet makes of it; its check suffix repairs the case.
            Self::Lower => id.to_lowercase(),
            Self::Upper => id.to_uppercase(),
        }
    }
}

/// Who is saved, where the sign-in goes, and what is wrong with it.
struct Mismatch {
    saved: &'static str,
    host: &'static str,
    wrong: Wrong,
}

const MISMATCHES: [Mismatch; 16] = [
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Person(BEN) },
    Mismatch { saved: BEN, host: "acme.my", wrong: Wrong::Person(SVC) },
    Mismatch { saved: ANA, host: "login", wrong: Wrong::Person(EVA) },
    Mismatch { saved: EVA, host: "login", wrong: Wrong::Person(ANA) },
    Mismatch { saved: ANA_UAT, host: "acme--uat.sandbox.my", wrong: Wrong::Person(BEN_UAT) },
    Mismatch { saved: BEN_UAT, host: "test", wrong: Wrong::Person(ANA_UAT) },
    // The org of one, the user of another: the copy of a user in a sandbox keeps the User ID.
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Identity(ANA, BEN, Form::Eighteen) },
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Identity(ANA_UAT, ANA, Form::Eighteen) },
    Mismatch { saved: ANA, host: "login", wrong: Wrong::Identity(EVA, EVA, Form::Fifteen) },
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Identity(ANA, BEN, Form::Lower) },
    Mismatch { saved: ANA_UAT, host: "test", wrong: Wrong::Identity(ANA, ANA, Form::Upper) },
    Mismatch { saved: ANA_UAT, host: "test", wrong: Wrong::Identity(EVA, ANA, Form::Fifteen) },
    // The IDs are right, the environment is not.
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Instance("acme--uat.sandbox.my") },
    Mismatch { saved: ANA_UAT, host: "test", wrong: Wrong::Instance("login") },
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::IsSandbox(true) },
    Mismatch { saved: ANA_UAT, host: "acme--uat.sandbox.my", wrong: Wrong::IsSandbox(false) },
];

/// How the person signs in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Paste,
    Loopback,
    Device,
}

/// What is there when the wrong sign-in comes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    /// No token.
    Nothing,
    /// The saved account's token.
    Token,
    /// It, and a Reset that waits for this user of the same org.
    Staged(&'static str),
}

struct Combination {
    number: usize,
    mismatch: &'static Mismatch,
    way: Way,
    before: Before,
}

impl fmt::Display for Combination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, mismatch: Mismatch { saved, host, wrong }, way, before } = self;
        write!(formatter, "{number}: {saved} at {host}, {wrong:?}, by {way:?}, before: {before:?}")
    }
}

/// After a Reset the account that was right until now is a wrong one, too.
const AFTER_RESET: [Mismatch; 3] = [
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Person(ANA) },
    Mismatch { saved: ANA, host: "acme.my", wrong: Wrong::Person(SVC) },
    Mismatch { saved: ANA, host: "login", wrong: Wrong::Person(EVA) },
];

fn combinations() -> Vec<Combination> {
    let mut all = Vec::new();
    let mut add = |mismatch, way, before| {
        all.push(Combination { number: all.len(), mismatch, way, before });
    };
    for mismatch in &MISMATCHES {
        add(mismatch, Way::Paste, Before::Nothing);
        for way in [Way::Paste, Way::Loopback, Way::Device] {
            add(mismatch, way, Before::Token);
        }
    }
    for mismatch in &AFTER_RESET {
        for way in [Way::Paste, Way::Loopback, Way::Device] {
            add(mismatch, way, Before::Staged(BEN));
        }
    }
    all
}

/// Org ID and User ID of a user.
fn ids(simulator: &Simulator, username: &str) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&simulator.org_of(username)["org_id"]), text(&simulator.user(username)["user_id"]))
}

/// A simulated Salesforce with a port for the way back.
struct Stage {
    simulator: Simulator,
    port: u16,
}

impl Stage {
    fn new() -> Self {
        let (simulator, [port]) = (Simulator::start(), free_ports());
        let uri = format!("http://localhost:{port}/OauthRedirect");
        let app = json!({
            "client_id": PUBLIC_APP, "add_redirect_uris": [uri], "device_interval_seconds": 1,
        });
        simulator.control("apps", &app);
        Self { simulator, port }
    }

    fn home(&self) -> Home {
        let home = Home::new();
        let uri = format!("http://localhost:{}/OauthRedirect", self.port);
        let flows = "flows = [\"paste\", \"loopback\", \"device\"]";
        let app = config(PUBLIC_APP);
        home.write("config.toml", &format!("{app}redirect_uris = [\"{uri}\"]\n{flows}\n"));
        home
    }

    fn approvals(&self) -> Vec<Value> {
        self.simulator.read("approvals")["approvals"].as_array().unwrap().clone()
    }

    /// Saves the account, its IDs written in one of their forms, with what else is to be there.
    fn prepare(&self, home: &Home, combination: &Combination) {
        let Combination { number, mismatch: Mismatch { saved, host, .. }, before, .. } =
            combination;
        let (org, user) = ids(&self.simulator, saved);
        let (org, user) = (Form::of(*number).write(&org), Form::of(number / 4).write(&user));
        let login = self.simulator.url(host);
        let mut save = vec!["save", "acme", "--org-id", &org, "--user-id", &user];
        save.extend(["--login-url", &login]);
        if self.simulator.org_of(saved)["environment"] == "sandbox" {
            save.push("--sandbox");
        }
        home.orgkey(&save).ok();
        if *before == Before::Nothing {
            return;
        }
        home.set_up(&self.simulator, "acme", saved).ok();
        if let Before::Staged(wanted) = before {
            let user = ids(&self.simulator, wanted).1;
            home.orgkey(&["reset", "acme", "--user-id", &user]).ok();
        }
    }

    /// Makes Salesforce answer wrongly, and gives who signs in and whom the answer names.
    fn spoil(&self, combination: &Combination) -> (&'static str, (String, String)) {
        let Mismatch { saved, host, wrong } = combination.mismatch;
        let right = ids(&self.simulator, saved);
        let answer = |fields: Value| {
            let grant = match combination.way {
                Way::Device => "device",
                _ => "authorization_code",
            };
            json!([{ "match": { "grant_type": grant }, "set_fields": fields, "times": 0 }])
        };
        match wrong {
            Wrong::Person(username) => (username, ids(&self.simulator, username)),
            Wrong::Identity(org, user, form) => {
                let named = (ids(&self.simulator, org).0, ids(&self.simulator, user).1);
                let (org, user) = (form.write(&named.0), form.write(&named.1));
                let identity = format!("{}/id/{org}/{user}", self.simulator.url("login"));
                self.simulator.script(&answer(json!({ "id": identity })));
                (saved, named)
            }
            Wrong::Instance(other) => {
                let instance = self.simulator.url(other);
                self.simulator.script(&answer(json!({ "instance_url": instance })));
                (saved, right)
            }
            Wrong::IsSandbox(says) => {
                let record = json!({ "Id": right.0, "Name": "Acme", "IsSandbox": says });
                let body = json!({ "totalSize": 1, "done": true, "records": [record] });
                let matching = json!({ "path": "/services/data/v*", "host": host });
                // The limits as they are, then the org's own record.
                self.simulator.script(&json!([
                    { "match": matching, "commit": true },
                    { "match": matching, "status": 200, "body": body },
                ]));
                (saved, right)
            }
        }
    }

    /// Signs in, and gives the exit code with all that was said.
    fn sign_in(&self, home: &Home, way: Way, username: &str) -> (i32, String) {
        let simulator = &self.simulator;
        if way == Way::Paste {
            let url = home.orgkey(&["setup", "acme", "--flow", "paste", "--start"]).ok().stdout;
            let redirect = simulator.sign_in(&url, username);
            let Run { status, stdout, stderr } =
                home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect);
            return (status, stdout + &stderr);
        }
        let flow = if way == Way::Loopback { "loopback" } else { "device" };
        let terminal = Terminal::orgkey(home, &["setup", "acme", "--flow", flow]);
        if way == Way::Loopback {
            let url = terminal.url();
            terminal.wait_for("Listening for ", 1);
            follow(&simulator.sign_in(&url, username));
        } else {
            simulator.sign_in(&crate::device::url(&terminal), username);
        }
        let (status, shown) = terminal.end();
        (status.try_into().unwrap(), shown)
    }

    /// The home with what is to be there before, and nothing alive at Salesforce beside it.
    fn begin(&self, combination: &Combination) -> (Home, Kept) {
        let home = self.home();
        self.simulator.clear_script();
        for username in [ANA, BEN, SVC, EVA, ANA_UAT, BEN_UAT] {
            self.simulator.control("revoke", &json!({ "username": username }));
        }
        self.prepare(&home, combination);
        let has_token = combination.before != Before::Nothing;
        let kept = Kept {
            token: has_token.then(|| home.orgkey(&["token", "acme"]).ok().stdout),
            rows: token_sets(&home),
            shown: shown(&home),
            approvals: self.approvals(),
        };
        (home, kept)
    }

    /// Nothing new is stored, down to the last byte; at Salesforce lives what lived before.
    fn nothing_came_of_it(&self, home: &Home, before: &Kept, combination: &Combination) {
        assert_eq!(token_sets(home), before.rows, "{combination}");
        assert_eq!(shown(home), before.shown, "{combination}");
        assert_eq!(self.approvals(), before.approvals, "{combination}");
        assert_eq!(count(home, "revocation_owed"), 0, "{combination}");
        assert_eq!(count(home, "audit WHERE event = 'wrong_account'"), 1, "{combination}");
        assert_eq!(count(home, "audit WHERE event = 'revoked'"), 1, "{combination}");
        match &before.token {
            Some(token) => {
                assert_eq!(&home.orgkey(&["token", "acme"]).ok().stdout, token, "{combination}");
                home.orgkey(&["test", "acme"]).ok();
            }
            None => assert_eq!(home.orgkey(&["token", "acme"]).status, 3, "{combination}"),
        }
    }

    fn check(&self, combination: &Combination) {
        let (home, before) = self.begin(combination);
        let wanted = match combination.before {
            Before::Staged(wanted) => ids(&self.simulator, wanted),
            _ => ids(&self.simulator, combination.mismatch.saved),
        };
        let (person, named) = self.spoil(combination);
        let (status, said) = self.sign_in(&home, combination.way, person);
        self.simulator.clear_script();
        assert_eq!(status, 6, "{combination}: {said}");
        let words = format!("org {} user {}", named.0, named.1);
        assert!(said.contains(&words), "{combination}: {words} in {said}");
        let words =
            format!("but org {} user {} was wanted; nothing was stored", wanted.0, wanted.1);
        assert!(said.contains(&words), "{combination}: {words} in {said}");
        assert!(said.contains("the new token was revoked at Salesforce"), "{combination}: {said}");
        self.nothing_came_of_it(&home, &before, combination);
    }

    /// The same by the dashboard's set-up pane: what the browser ended at is pasted there.
    fn check_in_dashboard(&self, combination: &Combination) {
        let (home, before) = self.begin(combination);
        let (person, named) = self.spoil(combination);
        let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = self.simulator.sign_in(&url, person);
        let mut dashboard = Terminal::orgkey(&home, &[]);
        dashboard.wait_for("acme", 1);
        dashboard.press("s");
        dashboard.wait_for("Open this address", 1);
        dashboard.press(&format!("\x1b[200~{redirect}\x1b[201~"));
        let ends = "The new token was revoked at Salesforce (confirmed).";
        until("both sides on the screen", || dashboard.screen().contains(ends));
        let screen = dashboard.screen();
        let wanted = ids(&self.simulator, combination.mismatch.saved);
        for id in [&wanted.0, &wanted.1, &named.0, &named.1] {
            assert!(screen.contains(id.as_str()), "{combination}: {id} in {screen}");
        }
        assert!(screen.contains("nothing was stored"), "{combination}: {screen}");
        self.simulator.clear_script();
        dashboard.press("\x1b");
        until("the list again", || !dashboard.screen().contains(ends));
        dashboard.press("q");
        assert_eq!(dashboard.end().0, 0, "{combination}");
        self.nothing_came_of_it(&home, &before, combination);
    }
}

/// What was there before a sign-in.
struct Kept {
    token: Option<String>,
    rows: Vec<TokenSet>,
    shown: Value,
    approvals: Vec<Value>,
}

/// ID, generation, role and seal.
type TokenSet = (Vec<u8>, i64, String, Vec<u8>);

/// Every token set as it lies in the store.
fn token_sets(home: &Home) -> Vec<TokenSet> {
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    let mut sets =
        store.prepare("SELECT id, generation, role, sealed FROM token_set ORDER BY id").unwrap();
    let rows = sets.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn count(home: &Home, of: &str) -> i64 {
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    store.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap()
}

/// What is saved, staged and in use of the credential; not how the last attempt went.
fn shown(home: &Home) -> Value {
    let shown = home.shown("acme");
    let fields = ["org_id", "user_id", "username", "login_url", "environment", "token", "pending"];
    fields.into_iter().map(|field| (field.to_owned(), shown[field].clone())).collect()
}

#[test]
fn no_wrong_account_or_environment_is_ever_stored() {
    let all = combinations();
    assert!(all.len() >= 60, "only {}", all.len());
    let parts = 4;
    std::thread::scope(|scope| {
        for part in 0..parts {
            let all = &all;
            scope.spawn(move || {
                let stage = Stage::new();
                for combination in all.iter().skip(part).step_by(parts) {
                    stage.check(combination);
                }
            });
        }
    });
}

#[test]
fn the_dashboard_stores_none_either() {
    let stage = Stage::new();
    for (number, mismatch) in MISMATCHES.iter().enumerate().skip(1).step_by(3) {
        let before = Before::Token;
        stage.check_in_dashboard(&Combination { number, mismatch, way: Way::Paste, before });
    }
}

#[test]
fn a_wrong_account_whose_token_can_not_be_revoked_is_owed() {
    let stage = Stage::new();
    for (number, mismatch) in MISMATCHES.iter().enumerate().step_by(3) {
        let before = Before::Token;
        let combination = Combination { number, mismatch, way: Way::Paste, before };
        let (home, before) = stage.begin(&combination);
        let (person, _) = stage.spoil(&combination);
        let deaf =
            json!({ "match": { "path": "/services/oauth2/revoke" }, "status": 503, "body": "" });
        stage.simulator.control("faults", &json!([deaf]));
        let (status, said) = stage.sign_in(&home, Way::Paste, person);
        stage.simulator.clear_script();
        assert_eq!(status, 6, "{combination}: {said}");
        assert!(said.contains("could not be revoked yet"), "{combination}: {said}");
        assert_eq!(
            (token_sets(&home), count(&home, "revocation_owed")),
            (before.rows, 1),
            "{combination}"
        );
        home.orgkey(&["revoke", "--owed"]).ok();
        assert_eq!(stage.approvals().len(), 1, "{combination}: the old one alone lives");
    }
}
