//! Answers of the token endpoint that look right and are not, and what a lost one leads to.

use serde_json::{Value, json};

use crate::common::{
    Home, MARKER, PUBLIC_APP, REDIRECT_URI, Run, SECRET_APP, STATIC_APP, Simulator, config,
};

/// A credential with a token, tested, with what else `[apps.default]` needs.
fn ready(client_id: &str, more: &str) -> (Simulator, Home) {
    let (simulator, home) = (Simulator::start(), Home::new());
    if client_id == SECRET_APP {
        let apps = simulator.facts["apps"].as_array().unwrap();
        let app = apps.iter().find(|app| app["client_id"] == client_id).unwrap();
        home.write("default.secret", app["client_secret"].as_str().unwrap());
    }
    home.write("config.toml", &format!("{}{more}\n", config(client_id)));
    home.ready_credential(&simulator, "acme", "ana@acme.example");
    (simulator, home)
}

fn refreshed_token(home: &Home) -> Run {
    let stored = home.orgkey(&["token", "acme"]).ok().stdout;
    home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &stored)
}

fn spoil(simulator: &Simulator, grant: &str, fault: &Value) {
    let mut fault = fault.clone();
    fault["match"] = json!({ "grant_type": grant });
    simulator.script(&json!([fault]));
}

const SECRET_FILE: &str = "client_secret_file = \"default.secret\"";

/// Answers with a token that must not be used: name of the row, app, fault, exit code, code.
fn unfit() -> Vec<(&'static str, Value, i32, &'static str)> {
    vec![
        ("signature", json!({ "set_fields": { "signature": "AAAA" } }), 8, "signature_mismatch"),
        ("no instance", json!({ "drop_fields": ["instance_url"] }), 8, "token_response_invalid"),
        ("no identity", json!({ "drop_fields": ["id"] }), 8, "token_response_invalid"),
        ("type", json!({ "set_fields": { "token_type": "mac" } }), 8, "token_response_invalid"),
        ("no token", json!({ "drop_fields": ["access_token"] }), 8, "token_response_invalid"),
        (
            "control",
            json!({ "set_fields": { "access_token": "00D\u{1b}[31m!x" } }),
            8,
            "token_response_invalid",
        ),
    ]
}

#[test]
fn a_sign_in_with_an_unfit_answer_stores_nothing_and_revokes_what_came() {
    for (row, fault, status, code) in unfit() {
        let (simulator, home) = ready(SECRET_APP, SECRET_FILE);
        let before = home.shown("acme");
        spoil(&simulator, "authorization_code", &fault);
        let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = simulator.sign_in(&url, "ana@acme.example");
        let run = home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
        assert_eq!(
            (run.status, run.error()["code"].as_str().unwrap()),
            (status, code),
            "{row}: {run}"
        );
        assert!(!run.stderr.contains(MARKER), "{row}: {run}");
        home.orgkey(&["setup", "acme", "--cancel"]).ok();
        assert_eq!(home.shown("acme"), before, "{row}");
        let approvals = simulator.read("approvals")["approvals"].as_array().unwrap().len();
        assert_eq!(approvals, 1, "{row}: the new approval is revoked, the old one lives");
        home.orgkey(&["test", "acme"]).ok();
    }
}

#[test]
fn a_refresh_with_an_unfit_answer_is_kept_apart_and_told() {
    for (row, fault, status, code) in unfit() {
        let (simulator, home) = ready(SECRET_APP, SECRET_FILE);
        spoil(&simulator, "refresh_token", &fault);
        let run = refreshed_token(&home);
        assert_eq!(
            (run.status, run.error()["code"].as_str().unwrap()),
            (status, code),
            "{row}: {run}"
        );
        assert!(!run.stderr.contains(MARKER), "{row}: {run}");
        // The old refresh token is spent: someone has to sign in.
        assert_eq!(home.shown("acme")["state"], "needs_setup", "{row}");
        home.orgkey(&["token", "acme"]).expect(3);
        home.set_up(&simulator, "acme", "ana@acme.example").ok();
        home.orgkey(&["test", "acme"]).ok();
    }
}

#[test]
fn a_token_is_never_sent_to_a_host_that_is_not_salesforce() {
    for instance in [
        "https://evil.example",
        "https://acme.my.salesforce.com.evil.example",
        "https://acme.my.salesforce.com@evil.example",
        "http://acme.my.salesforce.com",
        "https://acme.my.salesforce.com/x?y",
    ] {
        let (simulator, home) = ready(PUBLIC_APP, "");
        let before = home.shown("acme");
        spoil(
            &simulator,
            "authorization_code",
            &json!({ "set_fields": { "instance_url": instance } }),
        );
        let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = simulator.sign_in(&url, "ana@acme.example");
        let run =
            home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect).expect(8);
        assert_eq!(run.error()["code"], "host_refused", "{instance}: {run}");
        home.orgkey(&["setup", "acme", "--cancel"]).ok();
        assert_eq!(home.shown("acme"), before, "{instance}");
        assert_eq!(simulator.read("approvals")["approvals"].as_array().unwrap().len(), 1);
        // At a refresh the proven host stays.
        spoil(&simulator, "refresh_token", &json!({ "set_fields": { "instance_url": instance } }));
        refreshed_token(&home).ok();
        assert_eq!(home.shown("acme")["token"]["instance_url"], before["token"]["instance_url"]);
        home.orgkey(&["test", "acme"]).ok();
    }
}

#[test]
fn an_error_with_status_200_is_an_error() {
    let (simulator, home) = ready(PUBLIC_APP, "");
    let body =
        json!({ "error": "invalid_grant", "error_description": "expired access/refresh token" });
    spoil(&simulator, "refresh_token", &json!({ "status": 200, "body": body, "commit": false }));
    let run = refreshed_token(&home);
    assert_ne!(run.status, 0, "{run}");
    assert!(run.error()["message"].as_str().unwrap().contains("expired access/refresh token"));
}

#[test]
fn without_a_refresh_token_the_session_is_used_up_and_that_is_explained() {
    let (simulator, home) = (Simulator::start(), Home::new());
    spoil(&simulator, "authorization_code", &json!({ "drop_fields": ["refresh_token"] }));
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    home.set_up(&simulator, "acme", "ana@acme.example").ok();
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    simulator.control("expire_sessions", &json!({}));
    let run = home.orgkey_with(&["token", "acme", "--not", "-"], &token).expect(3);
    assert!(
        run.stderr.contains("no refresh token") && run.stderr.contains("scope refresh_token"),
        "{run}"
    );
    let run = home.orgkey(&["test", "acme", "--json"]).expect(3);
    assert_eq!(run.json()["results"][0]["outcome"], "needs_setup");
    assert_eq!(home.shown("acme")["state"], "needs_setup");
}

#[test]
fn a_lost_refresh_that_never_arrived_is_tried_once_more_and_heals() {
    let (simulator, home) = ready(PUBLIC_APP, "");
    spoil(&simulator, "refresh_token", &json!({ "then": "reset", "commit": false }));
    let run = refreshed_token(&home).expect(10);
    assert!(run.error()["remedy"].as_str().unwrap().contains("setup acme/production"), "{run}");
    assert_eq!(home.shown("acme")["state"], "uncertain");
    let list = home.orgkey(&["list"]).ok().stdout;
    assert!(list.contains("? uncertain"), "{list}");
    refreshed_token(&home).ok();
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(simulator.count("replays"), 0);
}

#[test]
fn a_lost_refresh_that_was_carried_out_ends_in_a_new_sign_in_that_says_why() {
    let (simulator, home) = ready(PUBLIC_APP, "");
    spoil(&simulator, "refresh_token", &json!({ "then": "reset" }));
    refreshed_token(&home).expect(10);
    let run = refreshed_token(&home).expect(3);
    let message = run.error()["message"].to_string();
    assert!(message.contains("the answer to an earlier refresh was lost"), "{message}");
    assert_eq!(home.shown("acme")["state"], "needs_setup");
    home.set_up(&simulator, "acme", "ana@acme.example").ok();
    home.orgkey(&["test", "acme"]).ok();
}

#[test]
fn a_third_try_at_a_lost_token_is_not_made() {
    let (simulator, home) = ready(PUBLIC_APP, "");
    let fault = json!({ "match": { "grant_type": "refresh_token" }, "times": 0, "then": "reset", "commit": false });
    simulator.script(&json!([fault]));
    for _ in 0..4 {
        refreshed_token(&home).expect(10);
    }
    let is_refresh = |entry: &Value| entry["grant_type"] == "refresh_token";
    let sent = simulator.journal().into_iter().filter(is_refresh).count();
    assert_eq!(sent, 2, "more would look like theft");
    // What exits first when many are tested: 10 before 8 and 4, after 3.
    let run = home.orgkey(&["test", "acme"]);
    assert_eq!(run.status, 0, "the access token still lives: {run}");
    simulator.control("expire_sessions", &json!({}));
    let run = home.orgkey(&["test", "acme", "--json"]).expect(10);
    assert_eq!(run.json()["results"][0]["outcome"], "uncertain");
}

#[test]
fn without_rotation_a_lost_answer_costs_nothing() {
    let (simulator, home) = ready(STATIC_APP, "rotation = \"no\"");
    for fault in [json!({ "then": "reset" }), json!({ "status": 502, "body": "", "commit": true })]
    {
        spoil(&simulator, "refresh_token", &fault);
        refreshed_token(&home).expect(4);
        assert_eq!(home.shown("acme")["state"], "unreachable");
        refreshed_token(&home).ok();
    }
    home.orgkey(&["test", "acme"]).ok();
}

#[test]
fn the_exit_code_of_many_tests_is_the_first_of_6_3_10_8_4() {
    let simulator = Simulator::start();
    let home = Home::new();
    // Which name ends how, in the order that counts.
    let names = ["account", "signin", "lost", "limited", "down"];
    let users = [
        "ana@acme.example",
        "ben@acme.example",
        "svc@acme.example",
        "cara@acme.example",
        "eva@globex.example",
    ];
    for (name, user) in names.iter().zip(users) {
        home.save(&simulator, name, user, &[]).ok();
        let set_up = home.set_up(&simulator, name, user);
        assert!([0, 8].contains(&set_up.status), "{set_up}");
    }
    home.orgkey(&["save", "fresh", "--org-id", "00D5g00000Abc1X", "--user-id", "0055g00000FgHiJ"])
        .ok();
    let wrong_org = json!({ "status": 403, "body": "Wrong_Org", "content_type": "text/plain" });
    let busy = json!({ "status": 503, "body": "" });
    let at = |host: &str, fault: &Value| {
        let mut fault = fault.clone();
        fault["match"] = json!({ "path": "/services/data/v*", "host": host });
        fault
    };
    let lose =
        json!({ "match": { "grant_type": "refresh_token" }, "then": "reset", "commit": false });
    let cases: [(&[&str], Vec<Value>, i32); 6] = [
        (&["down"], vec![at("globex.my", &busy)], 4),
        (&["down", "limited"], vec![at("globex.my", &busy)], 8),
        (&["limited", "fresh"], vec![], 3),
        (&["account"], vec![at("acme.my", &wrong_org)], 6),
        (&["fresh", "account"], vec![at("acme.my", &wrong_org)], 6),
        (&["limited", "down", "lost"], vec![at("globex.my", &busy), lose], 10),
    ];
    for (tested, faults, status) in cases {
        if status == 10 {
            simulator.control("expire_sessions", &json!({ "username": "svc@acme.example" }));
        }
        simulator.script(&json!(faults));
        let run = home.orgkey(&[&["test"], tested].concat());
        assert_eq!(run.status, status, "{tested:?}: {run}");
        assert_eq!(
            run.stdout.lines().filter(|line| !line.starts_with("    ")).count(),
            tested.len()
        );
        simulator.clear_script();
    }
}

#[test]
fn the_redirect_uri_and_the_scopes_of_the_app_are_those_asked_for() {
    let (simulator, home) = (Simulator::start(), Home::new());
    home.save(&simulator, "acme", "ana@acme.example", &["--username", "ana@acme.example"]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let encoded = REDIRECT_URI.replace(':', "%3A").replace('/', "%2F");
    for part in [
        format!("redirect_uri={encoded}&"),
        "scope=api+refresh_token+id".into(),
        "code_challenge_method=S256".into(),
        "prompt=login".into(),
        "login_hint=ana%40acme.example".into(),
    ] {
        assert!(url.contains(&part), "{part}: {url}");
    }
}
