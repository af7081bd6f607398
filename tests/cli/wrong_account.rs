//! Somebody else signed in, or the same person in the other environment: nothing is stored, the
//! new token is revoked at Salesforce, both accounts are shown, and an old token goes on working.

use serde_json::{Value, json};

use crate::common::{Home, Run, Simulator, config};

/// Of which org and user a credential is saved, where it signs in, and who does.
struct Row {
    org: &'static str,
    user: &'static str,
    sandbox: bool,
    host: &'static str,
    signs_in: &'static str,
}

const ANA: &str = "ana@acme.example";
const ANA_SANDBOX: &str = "ana@acme.example.uat";

const ROWS: &[Row] = &[
    // Another user of the same org.
    Row { org: ANA, user: ANA, sandbox: false, host: "acme.my", signs_in: "ben@acme.example" },
    // Production IDs saved as sandbox, and the reverse: the copy of a user keeps the User ID.
    Row { org: ANA, user: ANA, sandbox: true, host: "acme--uat.sandbox.my", signs_in: ANA_SANDBOX },
    Row { org: ANA_SANDBOX, user: ANA, sandbox: false, host: "acme.my", signs_in: ANA },
    // By the generic hosts any org may answer.
    Row { org: ANA, user: ANA, sandbox: false, host: "login", signs_in: "eva@globex.example" },
    Row { org: ANA, user: ANA, sandbox: true, host: "test", signs_in: ANA_SANDBOX },
    Row {
        org: ANA_SANDBOX,
        user: ANA,
        sandbox: true,
        host: "test",
        signs_in: "ben@acme.example.uat",
    },
];

/// Org ID and User ID of a user.
fn ids(simulator: &Simulator, username: &str) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&simulator.org_of(username)["org_id"]), text(&simulator.user(username)["user_id"]))
}

fn save(simulator: &Simulator, home: &Home, row: &Row) {
    let (org_id, user_id) = (ids(simulator, row.org).0, ids(simulator, row.user).1);
    let login = simulator.url(row.host);
    let ids = ["--org-id", &org_id, "--user-id", &user_id, "--login-url", &login];
    let sandbox: &[&str] = if row.sandbox { &["--sandbox"] } else { &[] };
    home.orgkey(&[&["save", "acme"], ids.as_slice(), sandbox].concat()).ok();
}

fn sign_in_as(simulator: &Simulator, home: &Home, username: &str) -> Run {
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, username);
    home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect)
}

#[track_caller]
fn check_refusal(simulator: &Simulator, run: &Run, row: &Row) {
    assert_eq!(run.status, 6, "{run}");
    let error = run.error();
    let message = error["message"].as_str().unwrap();
    assert_eq!(error["code"], "wrong_account");
    let ((saved_org, saved_user), (org, user)) =
        ((ids(simulator, row.org).0, ids(simulator, row.user).1), ids(simulator, row.signs_in));
    for part in [&saved_org, &saved_user, &org, &user] {
        assert!(message.contains(part.as_str()), "{part}: {message}");
    }
    assert!(message.contains("nothing was stored"), "{message}");
    assert!(message.contains("revoked at Salesforce"), "{message}");
}

fn revocations(simulator: &Simulator) -> Vec<Value> {
    let is_revocation = |entry: &Value| entry["path"] == "/services/oauth2/revoke";
    simulator.journal().into_iter().filter(is_revocation).collect()
}

#[test]
fn another_account_stores_nothing_and_its_token_is_revoked() {
    for row in ROWS {
        let simulator = Simulator::start();
        let home = Home::new();
        save(&simulator, &home, row);
        let before = home.shown("acme");
        let run = sign_in_as(&simulator, &home, row.signs_in);
        check_refusal(&simulator, &run, row);
        let revocations = revocations(&simulator);
        assert_eq!(revocations.len(), 1, "{revocations:?}");
        assert_eq!(revocations[0]["outcome"], "ok");
        assert_eq!(simulator.read("approvals")["approvals"], json!([]), "no approval lives on");
        assert_eq!(home.shown("acme"), before, "nothing is stored");
        home.orgkey(&["token", "acme"]).expect(3);
        // With the right IDs the same sign-in passes.
        let (org_id, user_id) = ids(&simulator, row.signs_in);
        home.orgkey(&["reset", "acme", "--org-id", &org_id, "--user-id", &user_id]).ok();
        assert_eq!(sign_in_as(&simulator, &home, row.signs_in).status, 0);
        home.orgkey(&["test", "acme"]).ok();
    }
}

#[test]
fn a_code_of_the_sandbox_twin_is_worth_nothing_in_production() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let before = home.shown("acme");
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let there = url.replace("//acme.my.", "//acme--uat.sandbox.my.");
    let redirect = simulator.sign_in(&there, ANA_SANDBOX);
    let run = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect).expect(3);
    assert_eq!(run.error()["code"], "code_expired");
    home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert_eq!(home.shown("acme"), before);
}

#[test]
fn the_old_token_goes_on_working_when_another_account_signs_in() {
    let simulator = Simulator::start();
    let home = Home::new();
    let row = &ROWS[0];
    home.ready_credential(&simulator, "acme", ANA);
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    let before = home.shown("acme");
    simulator.clear_journal();
    let run = sign_in_as(&simulator, &home, row.signs_in);
    check_refusal(&simulator, &run, row);
    assert_eq!(revocations(&simulator).len(), 1);
    assert_eq!(home.shown("acme"), before);
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(simulator.count("refreshes"), 0);
}

/// The limits as they are, then an Organization record that says sandbox.
fn says_it_is_a_sandbox(org_id: &str) -> Value {
    let record = json!({ "Id": org_id, "Name": "Acme", "IsSandbox": true });
    let body = json!({ "totalSize": 1, "done": true, "records": [record] });
    let matching = json!({ "path": "/services/data/v*", "host": "acme.my" });
    json!([{ "match": matching, "commit": true }, { "match": matching, "status": 200, "body": body }])
}

#[test]
fn the_org_itself_proves_the_environment_where_ids_and_host_agree() {
    let simulator = Simulator::start();
    let home = Home::new();
    let (org_id, _) = ids(&simulator, "ana@acme.example");
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    simulator.script(&says_it_is_a_sandbox(&org_id));
    let run = home.set_up(&simulator, "acme", "ana@acme.example").expect(6);
    assert!(run.stderr.contains("sandbox") && run.stderr.contains("nothing was stored"), "{run}");
    assert_eq!(simulator.read("approvals")["approvals"], json!([]));
    assert!(home.shown("acme")["token"].is_null());
    // A token that is there already is found by a test.
    simulator.clear_script();
    home.set_up(&simulator, "acme", "ana@acme.example").ok();
    let generation = home.shown("acme")["token"]["generation"].clone();
    simulator.script(&says_it_is_a_sandbox(&org_id));
    let run = home.orgkey(&["test", "acme", "--json"]).expect(6);
    assert_eq!(run.json()["results"][0]["outcome"], "wrong_account");
    assert_eq!(home.shown("acme")["token"]["generation"], generation);
}

#[test]
fn a_revocation_that_salesforce_does_not_hear_is_owed_and_paid_later() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", "ana@acme.example");
    simulator.script(
        &json!([{ "match": { "path": "/services/oauth2/revoke" }, "status": 503, "body": "" }]),
    );
    let run = sign_in_as(&simulator, &home, ROWS[0].signs_in).expect(6);
    assert!(run.error()["message"].to_string().contains("could not be revoked yet"), "{run}");
    assert_eq!(home.shown("acme")["revocation_owed"], true);
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["revocation_owed"], false);
    let left = simulator.read("approvals");
    assert_eq!(left["approvals"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["approvals"][0]["username"], "ana@acme.example");
}

#[test]
fn a_refresh_that_answers_for_another_account_is_kept_and_not_served() {
    // Another user, another org, both, and IDs written in other forms than they are saved in.
    let answers = [
        (ANA, "ben@acme.example", 18),
        (ANA_SANDBOX, ANA, 18),
        ("eva@globex.example", "eva@globex.example", 18),
        (ANA, "svc@acme.example", 15),
        ("eva@globex.example", ANA, 15),
    ];
    for (org, user, length) in answers {
        let simulator = Simulator::start();
        let home = Home::new();
        home.ready_credential(&simulator, "acme", ANA);
        let (org_id, user_id) = (ids(&simulator, org).0, ids(&simulator, user).1);
        let path = format!("{}/{}", &org_id[..length], &user_id[..length]);
        let identity = format!("{}/id/{path}", simulator.url("login"));
        simulator.control("expire_sessions", &json!({}));
        simulator.script(
            &json!([{ "match": { "grant_type": "refresh_token" }, "set_fields": { "id": identity } }]),
        );
        let token = "00D5g000004XyZT!AQ8AQFAKEFAKE";
        home.orgkey_with(&["token", "acme", "--not", "-"], token).ok();
        let stored = home.orgkey(&["token", "acme"]).ok().stdout;
        let run = home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &stored).expect(6);
        assert_eq!(run.error()["code"], "wrong_account");
        let message = run.error()["message"].to_string();
        for part in [org_id.as_str(), &user_id, "not served"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        home.orgkey(&["token", "acme"]).expect(3);
        let shown = home.shown("acme");
        assert_eq!(shown["state"], "needs_setup");
        let saved = ids(&simulator, ANA);
        assert_eq!((&shown["org_id"], &shown["user_id"]), (&json!(saved.0), &json!(saved.1)));
        let audit = home.orgkey(&["audit", "--json"]).ok().stdout;
        assert!(audit.contains("refreshed_foreign"), "{audit}");
    }
}

#[test]
fn a_credential_whose_app_has_a_secret_is_pinned_too() {
    let simulator = Simulator::start();
    let home = Home::new();
    let apps = simulator.facts["apps"].as_array().unwrap();
    let app = apps.iter().find(|app| app["name"] == "orgkey-secret").unwrap();
    home.write("default.secret", app["client_secret"].as_str().unwrap());
    let text = config(app["client_id"].as_str().unwrap());
    home.write("config.toml", &format!("{text}client_secret_file = \"default.secret\"\n"));
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    let run = sign_in_as(&simulator, &home, ROWS[0].signs_in);
    check_refusal(&simulator, &run, &ROWS[0]);
    home.set_up(&simulator, "acme", "ana@acme.example").ok();
    // Introspection told when the token ends.
    assert_eq!(home.shown("acme")["token"]["expiry_known"], true);
}
