//! Every row of the table of faults, from Salesforce's answer to the screen: what the simulated
//! Salesforce says reaches a command's text, its JSON, what `show` tells afterwards, and the
//! dashboard, whole, with what to choose in Salesforce named.

mod cases;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use self::cases::{By, Case, DEVICE, ELSEWHERE, REFRESH, SIGN_IN, USE};
use crate::common::{Home, Run, STATIC_APP, Simulator, config};
use crate::console::Console;

const ANA: &str = "ana@acme.example";
/// The table, as it is written.
const TABLE: &str = include_str!("../../src/domain/fault/table.rs");

/// A row as it stands in the table: its code, what it says happened, and the remedy.
struct Written {
    code: String,
    what: String,
    remedy: String,
}

/// The rows of the table's source: `Kind = "code", Outcome: "what", "remedy";`.
fn written() -> Vec<Written> {
    let rows = TABLE.split("faults!(\n").nth(1).and_then(|rest| rest.split("\n);").next());
    let rows = rows.expect("the table of faults").split(";\n");
    let texts = |row: &str| -> Vec<String> {
        let code = row.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        code.split('"').skip(1).step_by(2).map(str::to_owned).collect()
    };
    rows.map(texts)
        .filter(|texts| !texts.is_empty())
        .map(|texts| match texts.as_slice() {
            [code, what, remedy] => {
                Written { code: code.clone(), what: what.clone(), remedy: remedy.clone() }
            }
            other => panic!("no row of three texts: {other:?}"),
        })
        .collect()
}

fn row_of(code: &str) -> Written {
    written().into_iter().find(|row| row.code == code).expect("a row of that code")
}

#[test]
fn every_row_of_the_table_is_driven_by_a_case() {
    let rows = written();
    assert!(rows.len() > 60, "{} rows are read", rows.len());
    let known: BTreeSet<_> = rows.iter().map(|row| row.code.as_str()).collect();
    let all = [SIGN_IN, DEVICE, REFRESH, USE].concat();
    let driven = all.iter().map(|case| case.code).chain(ELSEWHERE.iter().map(|(code, _)| *code));
    let driven: BTreeSet<_> = driven.collect();
    assert_eq!(driven, known);
    let sources = sources(Path::new(env!("CARGO_MANIFEST_DIR")));
    for (code, test) in ELSEWHERE {
        assert!(sources.contains(&format!("fn {test}(")), "{code}: there is no test {test}");
        assert!(all.iter().all(|case| case.code != *code), "{code} is driven here too");
    }
}

/// All the sources of tests and program, in which a test of that name can stand.
fn sources(root: &Path) -> String {
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    text
}

#[test]
fn what_is_to_be_chosen_in_salesforce_names_the_external_client_app_manager_first() {
    for Written { code, remedy, .. } in written() {
        let other = ["(or App Manager", "Setup > App Manager", "Connected Apps OAuth Usage"];
        let other = other.iter().chain(["API Access Control"].iter());
        let first = other.filter_map(|words| remedy.find(words)).min();
        let manager = remedy.find("Setup > External Client App Manager");
        if let Some(first) = first {
            assert!(manager.is_some_and(|manager| manager < first), "{code}: {remedy}");
        }
    }
}

/// Exit code of an outcome (product.md).
fn exit_of(outcome: &str) -> i32 {
    match outcome {
        "needs_setup" => 3,
        "unreachable" => 4,
        "misconfigured" | "limited" => 8,
        "wrong_account" => 6,
        other => panic!("no outcome: {other}"),
    }
}

/// State that a tested credential is in afterwards (product.md).
fn state_of(outcome: &str) -> &str {
    if outcome == "wrong_account" { "misconfigured" } else { outcome }
}

fn oauth_error(error: &str, description: &str) -> Value {
    if description.is_empty() {
        json!({ "error": error })
    } else {
        json!({ "error": error, "error_description": description })
    }
}

/// Text without the breaks that a screen or a page puts into it.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Home, simulated Salesforce and dashboard, which stay for all rows of a group.
struct Stage {
    simulator: Simulator,
    home: Home,
    console: Console,
}

impl Stage {
    fn new(is_ready: bool) -> Self {
        let (simulator, home) = (Simulator::start(), Home::new());
        let more = "rotation = \"no\"\nflows = [\"paste\", \"device\"]\n";
        home.write("config.toml", &format!("{}{more}", config(STATIC_APP)));
        if is_ready {
            home.ready_credential(&simulator, "acme", ANA);
        } else {
            home.save(&simulator, "acme", ANA, &[]).ok();
        }
        let mut console = Console::start(&home.command(&[]));
        console.shows("1 credential");
        Self { simulator, home, console }
    }

    /// Spoils every request that is meant.
    fn script(&self, by: By) {
        let authorize = json!({ "path": "/services/oauth2/authorize" });
        let data = json!({ "path": "/services/data*" });
        let token = |grant: &str| json!({ "grant_type": grant });
        let page = |error: &str, text: &str| json!({ "error": error, "error_description": text });
        let answer = |status: u16, kind: &str, body: &str| json!({ "status": status, "content_type": kind, "body": body });
        let (matching, mut fault) = match by {
            By::Callback(error, text) => {
                (authorize, json!({ "callback_error": page(error, text) }))
            }
            By::Page(error, text) => (authorize, json!({ "page_error": page(error, text) })),
            By::Code(error, text) => (
                token("authorization_code"),
                json!({ "status": 400, "body": oauth_error(error, text) }),
            ),
            By::Poll(error, text) => {
                (token("device"), json!({ "status": 400, "body": oauth_error(error, text) }))
            }
            By::Refresh(error, text) => {
                (token("refresh_token"), json!({ "status": 400, "body": oauth_error(error, text) }))
            }
            By::Answer(status, kind, body) => (token("refresh_token"), answer(status, kind, body)),
            By::Use(status, code, message) => (
                data,
                json!({ "status": status, "body": [{ "message": message, "errorCode": code }] }),
            ),
            By::UseAnswer(status, kind, body) => (data, answer(status, kind, body)),
            By::UseRedirect(url) => (data, json!({ "then": format!("redirect:{url}") })),
        };
        fault["match"] = matching;
        fault["times"] = json!(0);
        self.simulator.script(&json!([fault]));
    }

    /// Waits until the dashboard shows a text, over as many rows as it takes.
    #[track_caller]
    fn screen_says(&mut self, case: &Case, text: &str) {
        let text = flat(text);
        self.console.wait_for(&format!("{case:?}: {text}"), |shown| flat(shown).contains(&text));
    }

    fn end(mut self) {
        self.console.press("\x03");
        self.console.ended();
    }
}

/// Message and remedy are the row's own, whole, and name what is to be done.
#[track_caller]
fn check_words(case: &Case, message: &str, remedy: &str) {
    let row = row_of(case.code);
    assert!(message.contains(&row.what), "{case:?}: '{}' is not in '{message}'", row.what);
    assert!(remedy.contains(case.click), "{case:?}: '{}' is not in '{remedy}'", case.click);
    let said = match case.by {
        By::Callback(error, text)
        | By::Page(error, text)
        | By::Code(error, text)
        | By::Poll(error, text)
        | By::Refresh(error, text)
        | By::Use(_, error, text) => [error, text],
        By::Answer(..) | By::UseAnswer(..) | By::UseRedirect(_) => [""; 2],
    };
    let is_page = message.contains("HTTP 5");
    for words in said.iter().filter(|_| !is_page) {
        assert!(message.contains(words), "{case:?}: Salesforce's own words: '{message}'");
    }
}

#[track_caller]
fn check_text(case: &Case, run: &Run, message: &str, remedy: &str) {
    let text = flat(&format!("{}\n{}", run.stdout, run.stderr));
    assert!(text.contains(&flat(message)) && text.contains(&flat(remedy)), "{case:?}: {run}");
}

#[test]
fn what_the_browser_or_the_code_meets_is_told_on_every_surface() {
    let mut stage = Stage::new(false);
    stage.console.press("s");
    stage.console.shows("1. Open this address");
    for case in SIGN_IN {
        let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        stage.script(case.by);
        let pasted = stage.simulator.sign_in(&url, ANA);
        let finish = ["setup", "acme", "--finish", "-", "--json"];
        let run = stage.home.orgkey_with(&finish, &pasted).expect(exit_of(case.outcome));
        let error = run.error();
        let words = |field: &str| error[field].as_str().expect("text").to_owned();
        let (message, remedy) = (words("message"), words("remedy"));
        assert_eq!(words("code"), case.code, "{case:?}: {run}");
        check_words(case, &message, &remedy);
        let run = stage.home.orgkey_with(&finish[..4], &pasted).expect(exit_of(case.outcome));
        check_text(case, &run, &message, &remedy);
        // Nothing was lost: the sign-in stays pending, and the credential is what it was.
        let shown = stage.home.shown("acme");
        assert_eq!((&shown["state"], &shown["cause"]), (&json!("authorizing"), &Value::Null));
        assert!(shown["authorization"].is_object(), "{case:?}: {shown}");
        stage.console.paste(&pasted);
        stage.screen_says(case, &message);
        stage.screen_says(case, &remedy);
    }
    // The last address works once nothing is in the way.
    stage.simulator.clear_script();
    stage.home.set_up(&stage.simulator, "acme", ANA).ok();
    stage.end();
}

#[test]
fn what_a_device_flow_meets_is_told_on_every_surface() {
    let mut stage = Stage::new(false);
    let often = json!({ "client_id": STATIC_APP, "device_interval_seconds": 1 });
    stage.simulator.control("apps", &often);
    // A set-up that somebody else began and gave up, while this list was open.
    stage.home.orgkey(&["setup", "acme", "--start"]).ok();
    stage.console = Console::start(&stage.home.command(&[]));
    stage.console.shows("* authorizing");
    stage.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    stage.console.key_for("s", "completed or given up elsewhere");
    stage.console.key_for("s", "1. Open this address");
    for case in DEVICE {
        let start = ["setup", "acme", "--start", "--flow", "device"];
        let finish = ["setup", "acme", "--finish", "--json"];
        stage.script(case.by);
        stage.home.orgkey(&start).ok();
        let run = stage.home.orgkey(&finish).expect(exit_of(case.outcome));
        let error = run.error();
        let words = |field: &str| error[field].as_str().expect("text").to_owned();
        let (message, remedy) = (words("message"), words("remedy"));
        assert_eq!(words("code"), case.code, "{case:?}: {run}");
        check_words(case, &message, &remedy);
        stage.home.orgkey(&start).ok();
        let run = stage.home.orgkey(&finish[..3]).expect(exit_of(case.outcome));
        check_text(case, &run, &message, &remedy);
        assert_eq!(stage.home.shown("acme")["token"], Value::Null, "{case:?}");
        // A fresh code, on the screen this time.
        stage.simulator.clear_script();
        stage.home.orgkey(&["setup", "acme", "--cancel"]);
        stage.script(case.by);
        // One that knows what the commands did meanwhile.
        stage.console = Console::start(&stage.home.command(&[]));
        stage.console.shows("1 credential");
        stage.console.key_for("s", "1. Open this address");
        stage.console.key_for("w", "How do you want to sign in?");
        let rows = stage.console.rows();
        let device = rows.iter().find(|row| row.contains(" device")).expect("that way");
        let number = device.trim_start_matches([' ', '>']).chars().next().expect("its number");
        stage.console.press(number.to_string());
        stage.screen_says(case, &message);
        stage.screen_says(case, &remedy);
        stage.simulator.clear_script();
        stage.home.orgkey(&["setup", "acme", "--cancel"]);
    }
    stage.end();
}

#[test]
fn a_token_that_salesforce_does_not_know_is_revoked_on_the_screen_too() {
    let stage = Stage::new(true);
    let Stage { simulator, home, mut console } = stage;
    for error in ["invalid_token", "unsupported_token_type"] {
        simulator.script(&json!([{ "match": { "path": "/services/oauth2/revoke" }, "times": 0,
            "status": 400, "body": oauth_error(error, "") }]));
        console.key_for("V", "Revoke the token of acme/production at Salesforce?");
        console.fill("acme/production");
        console.press("\r");
        console.wait_for(error, |shown| flat(shown).contains("acme/production: revoked"));
        simulator.clear_script();
        home.set_up(&simulator, "acme", ANA).ok();
        console.key("t");
        console.shows("Access test successful");
    }
    console.press("q");
    console.ended();
}

#[test]
fn what_a_refresh_meets_is_told_on_every_surface() {
    tested(REFRESH);
}

#[test]
fn what_the_api_says_of_a_token_is_told_on_every_surface() {
    tested(USE);
}

/// Tests access by command and by key, and sets things right again after each row.
fn tested(cases: &[Case]) {
    let mut stage = Stage::new(true);
    for case in cases {
        let is_refresh = matches!(case.by, By::Refresh(..) | By::Answer(..));
        let token = stage.home.orgkey(&["token", "acme"]).ok().stdout;
        stage.script(case.by);
        if is_refresh {
            stage.simulator.control("expire_sessions", &json!({}));
        }
        let exit = exit_of(case.outcome);
        let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(exit);
        let result = run.json()["results"][0].clone();
        assert_eq!(result["outcome"], case.outcome, "{case:?}: {run}");
        let words = |field: &str| result[field].as_str().expect("text").to_owned();
        let (message, remedy) = (words("message"), words("remedy"));
        check_words(case, &message, &remedy);
        let shown = stage.home.shown("acme");
        let expected = (json!(state_of(case.outcome)), json!(case.cause));
        assert_eq!((shown["state"].clone(), shown["cause"].clone()), expected, "{case:?}: {run}");
        let run = stage.home.orgkey(&["test", "acme"]).expect(exit);
        check_text(case, &run, &message, &remedy);
        if is_refresh && case.outcome != "needs_setup" {
            let run = stage.home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &token);
            assert_eq!(run.expect(exit).error()["code"], case.code, "{case:?}");
        }
        stage.console.key("t");
        stage.console.key_for("m", "Messages");
        stage.screen_says(case, &message);
        stage.screen_says(case, &remedy);
        stage.console.key_for("\x1b", "1 credential");
        let notice = flat(&stage.console.text());
        let beginning: String = flat(&remedy).chars().take(30).collect();
        assert!(notice.contains(&beginning), "{case:?}: {notice}");
        assert!(notice.contains("(all of it: m)") || notice.contains(&flat(&remedy)), "{notice}");
        // All is well as soon as it is mended; where the token is gone, by a sign-in.
        stage.simulator.clear_script();
        if case.outcome == "needs_setup" {
            stage.home.set_up(&stage.simulator, "acme", ANA).ok();
        }
        stage.home.orgkey(&["test", "acme"]).ok();
    }
    stage.end();
}

#[test]
fn a_token_without_a_scope_for_the_api_is_limited() {
    let (simulator, home) = (Simulator::start(), Home::new());
    home.write(
        "config.toml",
        &format!("{}scopes = [\"id\", \"refresh_token\"]\n", config(STATIC_APP)),
    );
    home.save(&simulator, "acme", ANA, &[]).ok();
    home.set_up(&simulator, "acme", ANA);
    let run = home.orgkey(&["test", "acme", "--json"]).expect(8);
    let result = run.json()["results"][0].clone();
    assert_eq!(result["outcome"], "limited", "{run}");
    let remedy = result["remedy"].as_str().expect("text").to_owned();
    assert!(remedy.contains("Manage user data via APIs (api)"), "{run}");
    assert_eq!(home.shown("acme")["state"], "limited");
    let mut console = Console::start(&home.command(&[]));
    console.shows("1 credential");
    console.key("t");
    console.key_for("m", "Messages");
    console.wait_for("the remedy", |shown| flat(shown).contains(&flat(&remedy)));
    console.key_for("\x1b", "1 credential");
    console.press("q");
    console.ended();
}
