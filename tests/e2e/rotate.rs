//! `orgkey rotate`, seen from Salesforce: what lives, what drains, and for how long.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::common::{Home, Simulator, until};

const ANA: &str = "ana@acme.example";
const STATIC: &str = "3MVG9simulated.orgkey_static";

/// What a job does that holds an access token: one call to the API. Answers the status.
fn call_api(simulator: &Simulator, token: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", simulator.port)).unwrap();
    let request = format!(
        "GET /services/data/v65.0/limits HTTP/1.1\r\nHost: acme.my.localhost:{}\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n",
        simulator.port
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

fn approvals_of(simulator: &Simulator, client_id: &str) -> usize {
    let approvals = simulator.read("approvals");
    let all = approvals["approvals"].as_array().unwrap().iter();
    all.filter(|approval| approval["client_id"] == client_id).count()
}

/// A home whose app does not rotate refresh tokens, and says so or not.
fn without_rotation(simulator: &Simulator, rotation: &str) -> Home {
    let home = Home::new();
    let config = crate::common::config(STATIC);
    home.write("config.toml", &format!("{config}rotation = \"{rotation}\"\n"));
    home.ready_credential(simulator, "acme", ANA);
    home
}

fn sql(home: &Home, statement: &str) {
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    store.execute(statement, []).unwrap();
}

/// The one result of `rotate NAME --json`.
fn rotated(home: &Home, more: &[&str], status: i32) -> Value {
    let mut arguments = vec!["rotate", "acme", "--json"];
    arguments.extend(more);
    let answer = home.orgkey(&arguments).expect(status).json();
    assert_eq!(answer["schema"], 1);
    answer["rotated"][0].clone()
}

#[test]
fn where_the_app_rotates_a_refresh_does_it_and_the_receipt_says_so() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let before = home.shown("acme")["token"]["generation"].as_u64().unwrap();
    let receipt = rotated(&home, &["--reason", "quarterly"], 0);
    assert_eq!((&receipt["how"], &receipt["old"]["state"]), (&json!("refresh"), &json!("spent")));
    assert_eq!(receipt["generation"].as_u64().unwrap(), before + 1);
    assert_eq!(receipt["message"], "Access test successful");
    assert_eq!(simulator.count("refreshes"), 1);
    assert_eq!(approvals_of(&simulator, "3MVG9simulated.orgkey_public"), 1);
    let text = home.orgkey(&["rotate", "acme"]).ok();
    assert!(text.stdout.contains("+ rotated"), "{text}");
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    let reason: String = store
        .query_row("SELECT reason FROM audit WHERE event = 'rotated' LIMIT 1", [], |row| row.get(0))
        .unwrap();
    assert_eq!(reason, "quarterly");
}

#[test]
fn a_job_that_holds_the_old_token_works_until_the_drain_ends() {
    let simulator = Simulator::start();
    let home = without_rotation(&simulator, "no");
    let held = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    assert_eq!(call_api(&simulator, &held), 200);

    let begun = home.orgkey(&["rotate", "acme"]).expect(3);
    let redirect = simulator.sign_in(&begun.stdout, ANA);
    assert_eq!(call_api(&simulator, &held), 200, "nothing changed before the new one has passed");
    let receipt = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert!(receipt.stdout.contains("rotated: generation 2 is in use"), "{receipt}");
    assert!(receipt.stderr.contains("the old token works until"), "{receipt}");
    assert!(receipt.stderr.contains("took it"), "{receipt}");

    // The job goes on; whoever asks anew gets the new one.
    assert_eq!(call_api(&simulator, &held), 200);
    let next = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    assert_ne!(next, held);
    assert_eq!(approvals_of(&simulator, STATIC), 2);

    sql(&home, "UPDATE token_set SET drain_until = 1 WHERE role = 'draining'");
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(call_api(&simulator, &held), 401, "its time is over");
    assert_eq!(call_api(&simulator, &next), 200);
    assert_eq!(approvals_of(&simulator, STATIC), 1);
}

#[test]
fn a_drain_of_nothing_revokes_the_old_token_at_once() {
    let simulator = Simulator::start();
    let home = without_rotation(&simulator, "no");
    let held = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let begun = home.orgkey(&["rotate", "acme", "--drain", "0s"]).expect(3);
    let redirect = simulator.sign_in(&begun.stdout, ANA);
    let receipt = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert!(receipt.stderr.contains("revoked at Salesforce (confirmed)"), "{receipt}");
    assert_eq!(call_api(&simulator, &held), 401);
    assert_eq!(approvals_of(&simulator, STATIC), 1);
}

#[test]
fn where_nobody_knows_the_refresh_tells_and_a_sign_in_is_begun() {
    let simulator = Simulator::start();
    let home = without_rotation(&simulator, "unknown");
    let receipt = rotated(&home, &[], 3);
    assert_eq!((&receipt["how"], &receipt["old"]["state"]), (&json!("sign_in"), &json!("kept")));
    assert!(receipt["message"].as_str().unwrap().contains("does not rotate"), "{receipt}");
    assert_eq!(simulator.count("refreshes"), 1);
    let url = receipt["authorization"]["url"].as_str().unwrap();
    let redirect = simulator.sign_in(url, ANA);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(approvals_of(&simulator, STATIC), 1);
}

#[test]
fn a_token_whose_answer_was_lost_is_not_spent_to_rotate_it() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    simulator.script(&json!([{
        "match": { "grant_type": "refresh_token" }, "times": 1, "commit": true, "then": "reset",
    }]));
    rotated(&home, &[], 10);
    simulator.clear_script();
    let sent = simulator.count("refreshes");
    let again = rotated(&home, &[], 10);
    assert!(again["message"].as_str().unwrap().contains("a sign-in is needed"), "{again}");
    assert_eq!(simulator.count("refreshes"), sent);
}

#[test]
fn twenty_sign_ins_leave_one_approval_and_that_of_another_client() {
    let simulator = Simulator::start();
    let other = Home::new();
    other.ready_credential(&simulator, "acme", ANA);
    let home = without_rotation(&simulator, "no");
    for _ in 0..20 {
        let begun = home.orgkey(&["rotate", "acme"]).expect(3);
        let redirect = simulator.sign_in(&begun.stdout, ANA);
        home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
        assert!(approvals_of(&simulator, STATIC) <= 2);
    }
    assert_eq!(approvals_of(&simulator, STATIC), 1);
    assert_eq!(approvals_of(&simulator, "3MVG9simulated.orgkey_public"), 1);
    other.orgkey(&["test", "acme"]).ok();
    other.orgkey(&["rotate", "acme"]).ok();
}

#[test]
fn the_agent_revokes_a_drained_token_by_itself() {
    let simulator = Simulator::start();
    let home = without_rotation(&simulator, "no");
    home.orgkey(&["unlock"]).ok();
    let held = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let begun = home.orgkey(&["rotate", "acme", "--drain", "1s"]).expect(3);
    let redirect = simulator.sign_in(&begun.stdout, ANA);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    until("the drained token is revoked", || approvals_of(&simulator, STATIC) == 1);
    assert_eq!(call_api(&simulator, &held), 401);
}
