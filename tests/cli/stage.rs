//! A stage for refusals: a credential with a token, tested, and what a refusal has to look like.

use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, Simulator, config};

/// What a refusal means: the outcome of a test, the exit code, the state of a living token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Try again: nothing is lost.
    Passing,
    /// Someone has to sign in.
    SignIn,
    /// The admin must change something; the token is not to blame.
    Configure,
    /// Signed in, and the API is refused.
    Limited,
    /// The token is of another org.
    Account,
}

impl Class {
    /// Exit code of a command that ends with it.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Passing => 4,
            Self::SignIn => 3,
            Self::Configure | Self::Limited => 8,
            Self::Account => 6,
        }
    }

    /// The outcome of a test.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Passing => "unreachable",
            Self::SignIn => "needs_setup",
            Self::Configure => "misconfigured",
            Self::Limited => "limited",
            Self::Account => "wrong_account",
        }
    }

    /// The state of a credential with a token.
    pub fn state(self) -> &'static str {
        match self {
            Self::Account => "misconfigured",
            other => other.outcome(),
        }
    }
}

/// A simulated Salesforce and a credential with a token, tested.
pub struct Stage {
    /// The simulated Salesforce.
    pub simulator: Simulator,
    /// The home.
    pub home: Home,
}

impl Stage {
    /// Makes both.
    pub fn new() -> Self {
        let stage = Self { simulator: Simulator::start(), home: Home::new() };
        stage.home.ready_credential(&stage.simulator, "acme", "ana@acme.example");
        stage
    }

    /// Replaces the fault script.
    pub fn script(&self, faults: &Value) {
        self.simulator.script(faults);
    }

    /// From now on an answer that does not come is missed after a second.
    pub fn answer_within_a_second(&self) {
        let text = config(PUBLIC_APP).replace("[network]", "[network]\ndeadline = \"1s\"");
        self.home.write("config.toml", &text);
    }

    /// Asks for a token.
    pub fn token(&self) -> Run {
        self.home.orgkey(&["token", "acme", "--json"])
    }

    /// Asks for a token as a script does that got a 401 for the stored one.
    pub fn refreshed_token(&self) -> Run {
        let stored = self.home.orgkey(&["token", "acme"]).ok().stdout;
        self.home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &stored)
    }

    /// State and cause of the credential.
    pub fn state(&self) -> (String, Option<String>) {
        let shown = self.home.shown("acme");
        (shown["state"].as_str().unwrap().to_owned(), shown["cause"].as_str().map(str::to_owned))
    }

    /// Sets up again where the token is gone, so that the next row begins like the first.
    pub fn restore(&self) {
        self.simulator.clear_script();
        self.home.set_up(&self.simulator, "acme", "ana@acme.example").ok();
        self.home.orgkey(&["test", "acme"]).ok();
    }
}

/// Message and remedy are there, the server's words are told, and text and JSON agree.
#[track_caller]
pub fn check_error(run: &Run, class: Class, code: &str, said: &str) {
    assert_eq!(run.status, class.exit_code(), "{run}");
    let error = run.error();
    assert_eq!(error["code"], code, "{run}");
    assert!(error["message"].as_str().unwrap().contains(said), "{run}");
    assert!(error["remedy"].as_str().unwrap().len() > 10, "{run}");
    assert!(run.stdout.is_empty() && !run.stderr.contains(MARKER), "{run}");
}

/// Runs the rows side by side, each part with a stage of its own.
pub fn side_by_side<T: Sync>(rows: &[T], check: impl Fn(&Stage, &T) + Sync) {
    let check = &check;
    std::thread::scope(|scope| {
        for part in rows.chunks(rows.len().div_ceil(4)) {
            scope.spawn(move || {
                let stage = Stage::new();
                for row in part {
                    check(&stage, row);
                }
            });
        }
    });
}

/// The body of an OAuth refusal (RFC 6749 section 5.2).
pub fn oauth_error(error: &str, description: &str) -> Value {
    if description.is_empty() {
        json!({ "error": error })
    } else {
        json!({ "error": error, "error_description": description })
    }
}
