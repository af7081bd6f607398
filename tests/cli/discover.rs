//! `setup --discover`: what is asked of Salesforce, what is kept, and what is taken back.

use serde_json::{Value, json};

use crate::common::{Home, Run, Simulator};

const ANA: &str = "ana@acme.example";
const ANA_SANDBOX: &str = "ana@acme.example.uat";
const CARA: &str = "cara@acme.example";

/// Begins one for `acme` at a host, with more flags.
fn start(simulator: &Simulator, home: &Home, host: &str, more: &[&str]) -> String {
    let url = simulator.url(host);
    let begin = ["setup", "acme", "--discover", "--my-domain", &url, "--start"];
    home.orgkey(&[&begin, more].concat()).ok().stdout
}

/// Signs in and gives what came to the second step.
fn finish(simulator: &Simulator, home: &Home, url: &str, username: &str) -> Run {
    let redirect = simulator.sign_in(url, username);
    home.orgkey_with(&["setup", "acme", "--discover", "--finish", "-", "--json"], &redirect)
}

/// Begins one and signs in; the account waits for a yes.
fn found(simulator: &Simulator, home: &Home, username: &str) -> Value {
    let url = start(simulator, home, "acme.my", &[]);
    finish(simulator, home, &url, username).expect(6).json()["discovered"].clone()
}

/// `ORG_ID/USER_ID` of what was found.
fn ids(found: &Value) -> String {
    format!("{}/{}", found["org_id"].as_str().unwrap(), found["user_id"].as_str().unwrap())
}

fn confirm(home: &Home, found: &Value) -> Run {
    home.orgkey(&["setup", "acme", "--discover", "--confirm", &ids(found), "--json"])
}

fn approvals(simulator: &Simulator) -> usize {
    simulator.read("approvals")["approvals"].as_array().unwrap().len()
}

fn saved(home: &Home) -> usize {
    home.orgkey(&["list", "--json"]).ok().json()["credentials"].as_array().unwrap().len()
}

/// The events of the audit since the start, in order.
fn events(home: &Home) -> Vec<String> {
    let rows = home.orgkey(&["audit", "--json"]).ok().json();
    let rows = rows["audit"].as_array().unwrap();
    rows.iter().map(|row| row["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_confirmed_account_is_as_one_that_was_saved_and_set_up() {
    let (simulator, told, typed) = (Simulator::start(), Home::new(), Home::new());
    let found = found(&simulator, &told, ANA);
    let receipt = confirm(&told, &found).ok().json();
    assert_eq!(receipt["test"]["message"], "Access test successful");
    typed.ready_credential(&simulator, "acme", ANA);
    let plain = |home: &Home| {
        let mut shown = home.shown("acme");
        for (object, field) in [
            ("token", "issued_at"),
            ("token", "expires_at"),
            ("last_test", "at"),
            ("last_test", "latency_ms"),
        ] {
            shown[object][field] = json!(null);
        }
        shown
    };
    assert_eq!(plain(&told), plain(&typed));
    // The token works and refreshes like any other, and the chain says how it came.
    let token = told.orgkey(&["token", "acme"]).ok().stdout;
    told.orgkey_with(&["token", "acme", "--not", "-"], &token).ok();
    let events = events(&told);
    let expected =
        ["setup_started", "account_discovered", "credential_saved", "signed_in", "token_promoted"];
    let positions: Vec<_> =
        expected.iter().map(|event| events.iter().position(|one| one == event)).collect();
    assert!(positions.iter().all(Option::is_some) && positions.is_sorted(), "{events:?}");
    told.orgkey(&["audit", "verify"]).ok();
}

#[test]
fn a_no_revokes_the_token_and_saves_nothing() {
    let (simulator, home) = (Simulator::start(), Home::new());
    found(&simulator, &home, ANA);
    assert_eq!(approvals(&simulator), 1);
    let run = home.orgkey(&["setup", "acme", "--discover", "--cancel"]).ok();
    assert!(run.stdout.contains("nothing was saved; the new token was revoked"), "{run}");
    assert_eq!((approvals(&simulator), saved(&home)), (0, 0));
    // Too late for a yes.
    let run = home.orgkey(&[
        "setup",
        "acme",
        "--discover",
        "--confirm",
        "00D5g000004XyZT/0055g00000AnaTo",
    ]);
    run.expect(3);
    assert_eq!(events(&home).last().unwrap(), "revoked");
}

#[test]
fn a_no_that_salesforce_does_not_hear_is_owed_and_paid_later() {
    let (simulator, home) = (Simulator::start(), Home::new());
    found(&simulator, &home, ANA);
    simulator.script(
        &json!([{ "match": { "path": "/services/oauth2/revoke" }, "status": 503, "body": "" }]),
    );
    let run = home.orgkey(&["setup", "acme", "--discover", "--cancel"]).ok();
    assert!(run.stdout.contains("could not be revoked yet"), "{run}");
    assert_eq!(approvals(&simulator), 1);
    home.orgkey(&["revoke", "--owed"]).ok();
    assert_eq!(approvals(&simulator), 0);
}

#[test]
fn what_waits_is_not_revoked_by_others_before_its_time() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let found = found(&simulator, &home, ANA);
    // Both pay what is owed along the way.
    home.ready_credential(&simulator, "other", "ben@acme.example");
    home.orgkey(&["revoke", "--owed"]).expect(4);
    assert_eq!(approvals(&simulator), 2);
    assert_eq!(home.orgkey(&["status", "--json"]).json()["status"]["revocation_owed"], 1);
    confirm(&home, &found).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(home.orgkey(&["status", "--json"]).json()["status"]["revocation_owed"], 0);
}

/// As if a quarter of an hour had passed since the sign-in.
fn time_passes(home: &Home) {
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    for (table, column) in [("discovery", "expires_at"), ("revocation_owed", "due_at")] {
        let change = format!("UPDATE {table} SET {column} = {column} - 15 * 60 * 1000");
        assert_eq!(store.execute(&change, []).unwrap(), 1, "{table}");
    }
}

#[test]
fn without_a_yes_in_time_the_token_is_revoked() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let first = found(&simulator, &home, ANA);
    time_passes(&home);
    let run = confirm(&home, &first).expect(6);
    assert_eq!(run.error()["code"], "too_late", "{run}");
    assert!(run.error()["message"].to_string().contains("was revoked at Salesforce"), "{run}");
    assert_eq!((approvals(&simulator), saved(&home)), (0, 0));
    // Nobody asks for it any more: whoever works with Salesforce next revokes it.
    found(&simulator, &home, ANA);
    time_passes(&home);
    home.orgkey(&["revoke", "--owed"]).ok();
    assert_eq!((approvals(&simulator), saved(&home)), (0, 0));
    home.orgkey(&["setup", "acme", "--discover", "--confirm", &ids(&first)]).expect(3);
    // Another one begins over it.
    found(&simulator, &home, ANA);
    time_passes(&home);
    let again = found(&simulator, &home, ANA);
    assert_eq!(approvals(&simulator), 1);
    confirm(&home, &again).ok();
}

/// The limits as they are, then an Organization record that says what it is.
fn says(simulator: &Simulator, host: &str, is_sandbox: bool) {
    let record = json!({ "Id": "00D5g000004XyZTEA0", "Name": "Acme", "IsSandbox": is_sandbox });
    let body = json!({ "totalSize": 1, "done": true, "records": [record] });
    let matching = json!({ "path": "/services/data/v*", "host": host });
    simulator.script(&json!([
        { "match": matching, "commit": true },
        { "match": matching, "status": 200, "body": body },
    ]));
}

#[track_caller]
fn refused_for_its_environment(simulator: &Simulator, home: &Home, run: &Run) {
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(run.error()["code"], "wrong_account", "{run}");
    let message = run.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("nothing was saved, the new token was revoked"), "{message}");
    assert_eq!((approvals(simulator), saved(home)), (0, 0));
    assert!(events(home).contains(&"wrong_account".to_owned()));
}

#[test]
fn host_and_org_that_contradict_each_other_are_refused() {
    for (host, is_sandbox, username) in
        [("acme.my", true, ANA), ("acme--uat.sandbox.my", false, ANA_SANDBOX), ("login", true, ANA)]
    {
        let (simulator, home) = (Simulator::start(), Home::new());
        let url = start(&simulator, &home, host, &[]);
        let answers = if host == "login" { "acme.my" } else { host };
        says(&simulator, answers, is_sandbox);
        let run = finish(&simulator, &home, &url, username);
        refused_for_its_environment(&simulator, &home, &run);
    }
}

#[test]
fn an_instance_of_the_other_environment_is_refused_before_it_is_asked() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let url = start(&simulator, &home, "acme.my", &[]);
    let instance = simulator.url("acme--uat.sandbox.my");
    simulator.script(&json!([{
        "match": { "grant_type": "authorization_code" }, "set_fields": { "instance_url": instance },
    }]));
    let run = finish(&simulator, &home, &url, ANA);
    refused_for_its_environment(&simulator, &home, &run);
    let asked = simulator.journal();
    assert!(
        !asked.iter().any(|entry| entry["path"].as_str().unwrap().starts_with("/services/data"))
    );
}

#[test]
fn an_org_that_is_saved_as_the_other_environment_is_refused() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let org = simulator.org_of(ANA_SANDBOX)["org_id"].as_str().unwrap().to_owned();
    let login = simulator.url("acme.my");
    let ids = ["--org-id", &org, "--user-id", "0055g00000AnaTo", "--login-url", &login];
    home.orgkey(&[&["save", "odd"], ids.as_slice()].concat()).ok();
    let url = start(&simulator, &home, "acme--uat.sandbox.my", &[]);
    let run = finish(&simulator, &home, &url, ANA_SANDBOX).expect(8);
    let message = run.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("is saved as production in odd/production"), "{message}");
    assert!(message.contains("nothing was saved, the new token was revoked"), "{message}");
    assert_eq!((approvals(&simulator), saved(&home)), (0, 1));
}

#[test]
fn a_host_that_nobody_trusts_gets_no_token_and_the_sign_in_stays_open() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let url = start(&simulator, &home, "acme.my", &[]);
    simulator.script(&json!([{
        "match": { "grant_type": "authorization_code" },
        "set_fields": { "instance_url": "https://acme.my.salesforce.com.example" },
    }]));
    let run = finish(&simulator, &home, &url, ANA).expect(8);
    assert!(run.error()["message"].to_string().contains("salesforce.com.example"), "{run}");
    assert_eq!((approvals(&simulator), saved(&home)), (0, 0));
    let run = finish(&simulator, &home, &url, ANA).expect(6);
    confirm(&home, &run.json()["discovered"]).ok();
}

#[test]
fn tokens_of_an_answer_that_names_no_account_are_revoked() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let url = start(&simulator, &home, "acme.my", &[]);
    let broken = json!({ "match": { "grant_type": "authorization_code" }, "drop_fields": ["id"] });
    let deaf = json!({ "match": { "path": "/services/oauth2/revoke" }, "status": 503, "body": "" });
    simulator.script(&json!([broken, deaf]));
    finish(&simulator, &home, &url, ANA).expect(8);
    assert_eq!(approvals(&simulator), 1);
    let run = home.orgkey(&["revoke", "--owed", "--json"]).ok();
    assert_eq!(run.json()["owed"], json!([]));
    assert_eq!((approvals(&simulator), saved(&home)), (0, 0));
}

#[test]
fn an_answer_that_is_lost_is_told_until_another_sign_in_begins() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let url = start(&simulator, &home, "acme.my", &[]);
    simulator
        .script(&json!([{ "match": { "grant_type": "authorization_code" }, "then": "reset" }]));
    let run = finish(&simulator, &home, &url, ANA).expect(10);
    assert!(run.error()["remedy"].to_string().contains("--discover"), "{run}");
    let listed = home.orgkey(&["list"]).ok();
    assert!(listed.stderr.contains("may keep an approval that nobody holds"), "{listed}");
    let found = found(&simulator, &home, ANA);
    confirm(&home, &found).ok();
    assert!(!home.orgkey(&["list"]).ok().stderr.contains("note:"));
}

#[test]
fn a_user_whom_the_api_refuses_is_saved_with_that_said() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let found = found(&simulator, &home, CARA);
    assert_eq!(found["environment_proven"], false, "she can't read the org");
    confirm(&home, &found).expect(8);
    assert_eq!(home.shown("acme")["state"], "limited");
}

#[test]
fn the_key_can_be_rotated_while_an_account_waits() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let found = found(&simulator, &home, ANA);
    home.orgkey(&["key", "rotate"]).ok();
    confirm(&home, &found).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_backup_from_before_the_yes_does_not_bring_the_debt_back() {
    let (simulator, home) = (Simulator::start(), Home::new());
    let found = found(&simulator, &home, ANA);
    let file = home.outside().join("backup").to_str().unwrap().to_owned();
    home.orgkey(&["backup", &file]).ok();
    confirm(&home, &found).ok();
    home.orgkey(&["restore", &file, "--confirm", "orgkey.db"]).ok();
    home.orgkey(&["revoke", "--owed"]).ok();
    assert_eq!(approvals(&simulator), 1, "the token in use is not revoked");
    home.orgkey(&["test", "acme"]).ok();
    assert!(!home.orgkey(&["list"]).ok().stderr.contains("note:"));
}

#[test]
fn no_secret_of_what_waits_is_in_the_store() {
    let (simulator, home) = (Simulator::start(), Home::new());
    found(&simulator, &home, ANA);
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read(&path).unwrap();
            let text = String::from_utf8_lossy(&text);
            assert!(!text.contains(crate::common::MARKER), "{}", path.display());
        }
    }
}
