//! A credential with a tested token before a simulated Salesforce, and the looks that every row
//! of the catalogue takes at it: the state, the store, and Salesforce's own journal.

use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, SECRET_APP, Simulator, config};

/// Who signs in.
pub const ANA: &str = "ana@acme.example";

/// A simulated Salesforce, and a home with the tested credential `acme`.
pub struct Scene {
    /// The simulated Salesforce.
    pub simulator: Simulator,
    /// The home.
    pub home: Home,
}

impl Scene {
    /// With the app without a secret, of which nothing is said.
    pub fn new() -> Self {
        Self::with(PUBLIC_APP, "")
    }

    /// With this app, and what else stands in `[apps.default]`.
    pub fn with(client_id: &str, more: &str) -> Self {
        let scene = Self::unsaved(client_id, more);
        scene.home.ready_credential(&scene.simulator, "acme", ANA);
        scene.simulator.clear_journal();
        scene
    }

    /// The same before anything is saved.
    pub fn unsaved(client_id: &str, more: &str) -> Self {
        let (simulator, home) = (Simulator::start(), Home::new());
        let mut text = format!("{}{more}\n", config(client_id));
        if client_id == SECRET_APP {
            let apps = simulator.facts["apps"].as_array().unwrap();
            let app = apps.iter().find(|app| app["client_id"] == client_id).unwrap();
            home.write("default.secret", app["client_secret"].as_str().unwrap());
            text.push_str("client_secret_file = \"default.secret\"\n");
        }
        home.write("config.toml", &text);
        Self { simulator, home }
    }

    /// Spoils the next `times` token requests with this grant; 0 spoils all.
    pub fn spoil(&self, grant_type: &str, times: u64, fault: &Value) {
        let mut fault = fault.clone();
        fault["match"] = json!({ "grant_type": grant_type });
        fault["times"] = json!(times);
        self.simulator.script(&json!([fault]));
    }

    /// The access token that is handed out.
    pub fn token(&self) -> String {
        self.home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned()
    }

    /// Asks for another token than the stored one, as a script does that got a 401.
    pub fn refresh(&self) -> Run {
        let stored = self.token();
        self.refresh_after(&stored)
    }

    /// Asks for another token than `refused`.
    pub fn refresh_after(&self, refused: &str) -> Run {
        self.home.orgkey_with(&["token", "acme", "--not", "-", "--json"], refused)
    }

    /// Begins a set-up and signs in; gives the address that the browser ends at.
    pub fn approve(&self) -> String {
        let url = self.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        self.simulator.sign_in(&url, ANA)
    }

    /// Completes the set-up with what was pasted.
    pub fn finish(&self, pasted: &str) -> Run {
        self.home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], pasted)
    }

    /// Sets up and tests anew.
    pub fn restore(&self) {
        self.simulator.clear_script();
        self.home.set_up(&self.simulator, "acme", ANA).ok();
        self.home.orgkey(&["test", "acme"]).ok();
        self.simulator.clear_journal();
    }

    /// State and cause of the credential.
    pub fn state(&self) -> (String, Option<String>) {
        let shown = self.home.shown("acme");
        (shown["state"].as_str().unwrap().to_owned(), shown["cause"].as_str().map(str::to_owned))
    }

    /// How many requests with this grant reached the token endpoint.
    pub fn sent(&self, grant_type: &str) -> usize {
        let is_meant = |entry: &Value| entry["grant_type"] == grant_type;
        self.simulator.journal().into_iter().filter(is_meant).count()
    }

    /// The approvals that live at Salesforce.
    pub fn approvals(&self) -> usize {
        self.simulator.read("approvals")["approvals"].as_array().unwrap().len()
    }

    /// The roles of the token sets that the store keeps, the oldest first.
    pub fn roles(&self) -> Vec<String> {
        let store = rusqlite::Connection::open(self.home.path().join("orgkey.db")).unwrap();
        let mut rows = store.prepare("SELECT role FROM token_set ORDER BY generation").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Nothing went to any other host than the credential's.
    #[track_caller]
    pub fn assert_only_at_acme(&self) {
        for entry in self.simulator.journal() {
            assert_eq!(entry["host"], "acme.my.localhost", "{entry}");
        }
    }
}

/// Exit code and code of an error; message and remedy hold these words, and no secret is told.
#[track_caller]
pub fn check_error(run: &Run, status: i32, code: &str, message: &[&str], remedy: &[&str]) {
    assert_eq!(run.status, status, "{run}");
    assert!(run.stdout.is_empty() && !run.stderr.contains(MARKER), "{run}");
    let error = run.error();
    assert_eq!(error["code"], code, "{run}");
    for (field, words) in [("message", message), ("remedy", remedy)] {
        let text = error[field].as_str().unwrap();
        assert!(text.len() > 10 && !text.chars().any(char::is_control), "{run}");
        for word in words {
            assert!(text.contains(word), "no '{word}' in the {field}: {run}");
        }
    }
}

/// The body of an OAuth refusal (RFC 6749 section 5.2).
pub fn oauth_error(error: &str, description: &str) -> Value {
    if description.is_empty() {
        json!({ "error": error })
    } else {
        json!({ "error": error, "error_description": description })
    }
}
