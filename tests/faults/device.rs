//! Row O10, and S8 with it: what a poll of the device flow may be answered, how often is polled,
//! and what is said when nobody can know whether a token was issued.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, SECRET_APP, Simulator, until};
use crate::scene::{ANA, Scene, check_error, oauth_error};

const TOKEN_PATH: &str = "/services/oauth2/token";
const FLOWS: &str = "flows = [\"paste\", \"device\"]";

/// A saved credential whose app allows the device flow, polled every second.
fn saved(client_id: &str) -> Scene {
    let scene = Scene::unsaved(client_id, FLOWS);
    every_second(&scene.simulator, client_id);
    scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
    scene
}

fn every_second(simulator: &Simulator, client_id: &str) {
    simulator.control("apps", &json!({ "client_id": client_id, "device_interval_seconds": 1 }));
}

/// Begins a device flow; gives what the person is shown.
fn begin(scene: &Scene) -> Value {
    let arguments = ["setup", "acme", "--start", "--flow", "device", "--json"];
    scene.home.orgkey(&arguments).ok().json()["authorization"].clone()
}

/// Waits for the approval in a process of its own.
fn wait(home: &Home) -> Child {
    home.start(&["setup", "acme", "--finish", "--json"], "")
}

/// The end of such a process.
fn end(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Plays the person at the page of the user code.
fn approve(scene: &Scene, started: &Value, username: &str) {
    let url = started["url"].as_str().unwrap();
    let ended = scene.simulator.sign_in(url, username);
    assert!(ended.ends_with("done=allowed"), "{ended}");
}

fn polls(scene: &Scene) -> Vec<Value> {
    let is_poll = |entry: &Value| entry["grant_type"] == "device";
    scene.simulator.journal().into_iter().filter(is_poll).collect()
}

fn wait_for_polls(scene: &Scene, count: usize) {
    until("polls", || polls(scene).len() >= count);
}

/// Between the arrivals of the polls, in ms.
fn gaps(scene: &Scene) -> Vec<i64> {
    let times: Vec<i64> = polls(scene).iter().map(|poll| poll["at_ms"].as_i64().unwrap()).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn o10_pending_polls_go_on_at_the_interval_until_the_token_comes() {
    for client_id in [PUBLIC_APP, SECRET_APP] {
        let scene = saved(client_id);
        let started = begin(&scene);
        assert_eq!(scene.state().0, "authorizing");
        assert!(!started.to_string().contains(MARKER), "the device code is shown to nobody");
        let child = wait(&scene.home);
        wait_for_polls(&scene, 3);
        assert_eq!(scene.state().0, "authorizing", "between two polls nothing is lost");
        approve(&scene, &started, ANA);
        let run = end(child).ok();
        assert_eq!(run.json()["credential"]["token"]["flow"], "device");
        assert_eq!(scene.state(), ("ready".to_owned(), None));
        assert!(gaps(&scene).iter().all(|gap| *gap >= 1000), "{:?}", gaps(&scene));
        assert_eq!((scene.approvals(), scene.roles()), (1, vec!["active".to_owned()]));
        scene.refresh().ok();
        scene.assert_only_at_acme();
    }
}

#[test]
fn o10_slow_down_adds_five_seconds_and_the_next_process_keeps_to_it() {
    let scene = saved(PUBLIC_APP);
    begin(&scene);
    let slow = oauth_error("slow_down", "polling too quickly for the token endpoint");
    scene.spoil("device", 1, &json!({ "status": 400, "body": slow }));
    let child = wait(&scene.home);
    wait_for_polls(&scene, 2);
    signal(&child, Signal::KILL);
    drop(end(child));
    let child = wait(&scene.home);
    wait_for_polls(&scene, 3);
    scene.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    assert!(gaps(&scene).iter().all(|gap| *gap >= 6000), "{:?}", gaps(&scene));
    signal(&child, Signal::TERM);
    drop(end(child));
}

#[test]
fn o10_denied_or_dead_it_is_over_and_nobody_polls_on() {
    let cases = [
        ("denied", "access_denied", "access was denied"),
        ("dead", "device_code_refused", "does not know the device code"),
        ("two at once", "device_code_refused", "another device sign-in"),
    ];
    for (case, code, message) in cases {
        let scene = saved(PUBLIC_APP);
        let started = begin(&scene);
        let child = wait(&scene.home);
        wait_for_polls(&scene, 1);
        match case {
            "denied" => {
                let person = json!({ "url": started["url"], "username": ANA, "deny": true });
                assert!(scene.simulator.play(&person).unwrap().ends_with("done=denied"));
            }
            "dead" => {
                scene.simulator.control("clock", &json!({ "advance_seconds": 600 }));
            }
            _ => {
                let body = oauth_error("invalid_grant", "token exchange failed");
                scene.spoil("device", 1, &json!({ "status": 400, "body": body }));
            }
        }
        check_error(&end(child), 3, code, &[message], &["start the set-up again"]);
        assert_eq!(scene.state().0, "no_token", "{case}");
        let run = scene.home.orgkey(&["setup", "acme", "--finish", "--json"]);
        check_error(&run, 3, "nothing_pending", &[], &[]);
        assert!(scene.roles().is_empty(), "{case}");
    }
}

#[test]
fn o10_without_an_approval_in_time_it_ends_by_itself() {
    let scene = saved(PUBLIC_APP);
    scene.simulator.script(&json!([{
        "match": { "path": TOKEN_PATH }, "commit": true, "set_fields": { "expires_in": 3 },
    }]));
    begin(&scene);
    let run = end(wait(&scene.home));
    check_error(&run, 3, "user_code_expired", &["no approval"], &["enter the new code"]);
    assert_eq!(scene.state().0, "no_token");
    assert!((1..=3).contains(&polls(&scene).len()), "{:?}", gaps(&scene));
}

#[test]
fn o10_a_lost_answer_that_held_the_token_is_called_lost() {
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    let child = wait(&scene.home);
    wait_for_polls(&scene, 1);
    scene.spoil("device", 0, &json!({ "commit": true, "then": "reset" }));
    approve(&scene, &started, ANA);
    until("the token to be issued", || scene.simulator.count("device_grants") == 1);
    scene.simulator.clear_script();
    check_error(&end(child), 10, "uncertain", &["its answer was lost"], &["sign in again"]);
    assert_eq!(scene.state().0, "uncertain");
    // Another sign-in ends the uncertainty.
    scene.home.set_up(&scene.simulator, "acme", ANA).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
}

#[test]
fn o10_a_lost_answer_that_held_none_costs_nothing() {
    for fault in [
        json!({ "commit": true, "then": "reset" }),
        json!({ "status": 503, "body": "down" }),
        json!({ "status": 200, "body": "<html>portal</html>" }),
    ] {
        let scene = saved(PUBLIC_APP);
        let started = begin(&scene);
        scene.spoil("device", 1, &fault);
        let child = wait(&scene.home);
        wait_for_polls(&scene, 2);
        approve(&scene, &started, ANA);
        end(child).ok();
        assert_eq!(scene.state(), ("ready".to_owned(), None), "{fault}");
        assert!(gaps(&scene)[0] >= 2000, "twice the wait: {fault} {:?}", gaps(&scene));
    }
}

#[test]
fn o10_a_process_that_is_killed_leaves_nothing_silently_wrong() {
    // While it waits: the next one goes on.
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    for count in 1..=3 {
        let child = wait(&scene.home);
        wait_for_polls(&scene, count);
        signal(&child, Signal::KILL);
        drop(end(child));
        assert_eq!(scene.state().0, "authorizing");
    }
    assert!(gaps(&scene).iter().all(|gap| *gap >= 1000), "{:?}", gaps(&scene));
    approve(&scene, &started, ANA);
    end(wait(&scene.home)).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));

    // While the token is on its way: it is lost, and that is said.
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    approve(&scene, &started, ANA);
    scene.spoil("device", 0, &json!({ "commit": true, "delay_after_ms": 60_000 }));
    let child = wait(&scene.home);
    until("the token to be issued", || scene.simulator.count("device_grants") == 1);
    signal(&child, Signal::KILL);
    drop(end(child));
    scene.simulator.clear_script();
    let run = end(wait(&scene.home));
    check_error(&run, 10, "uncertain", &["its answer was lost"], &["sign in again"]);
    assert_eq!((scene.state().0.as_str(), scene.approvals()), ("uncertain", 1));
}

#[test]
fn o10_a_process_that_stood_still_polls_no_faster_afterwards() {
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    let child = wait(&scene.home);
    wait_for_polls(&scene, 2);
    signal(&child, Signal::STOP);
    let before = polls(&scene).len();
    let now = || -> String { scene.simulator.read("clock")["now"].as_str().unwrap().to_owned() };
    // Its clock has whole seconds.
    let mut seen = std::collections::BTreeSet::new();
    until("twelve seconds by Salesforce's clock", || {
        seen.insert(now());
        seen.len() > 12
    });
    assert!(polls(&scene).len() <= before + 1, "it stands");
    signal(&child, Signal::CONT);
    wait_for_polls(&scene, before + 4);
    approve(&scene, &started, ANA);
    end(child).ok();
    let gaps = gaps(&scene);
    assert!(gaps.iter().all(|gap| *gap >= 1000), "{gaps:?}");
    assert!(gaps.iter().any(|gap| *gap >= 11_000), "{gaps:?}");
}

#[test]
fn o10_given_up_it_is_not_polled_any_more() {
    let scene = saved(PUBLIC_APP);
    begin(&scene);
    let child = wait(&scene.home);
    wait_for_polls(&scene, 2);
    scene.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    let before = polls(&scene).len();
    check_error(&end(child), 3, "nothing_pending", &["no pending set-up"], &[]);
    assert_eq!(polls(&scene).len(), before, "after the cancel 0 polls");
    assert_eq!(scene.state().0, "no_token");
}

#[test]
fn o10_another_account_is_not_stored_and_its_token_revoked() {
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    let child = wait(&scene.home);
    approve(&scene, &started, "ben@acme.example");
    check_error(&end(child), 6, "wrong_account", &["ben@acme.example"], &[]);
    assert!(scene.roles().is_empty());
    assert_eq!((scene.approvals(), scene.simulator.count("revocations")), (0, 1));
    let run = scene.home.orgkey(&["setup", "acme", "--finish", "--json"]);
    check_error(&run, 3, "nothing_pending", &[], &[]);
}

#[test]
fn o10_a_living_token_is_refreshed_while_another_one_is_awaited() {
    let scene = Scene::with(PUBLIC_APP, FLOWS);
    every_second(&scene.simulator, PUBLIC_APP);
    let started = begin(&scene);
    let child = wait(&scene.home);
    wait_for_polls(&scene, 1);
    let before = scene.token();
    scene.refresh().ok();
    assert_ne!(scene.token(), before);
    assert_eq!(scene.state().0, "ready");
    let count = polls(&scene).len();
    wait_for_polls(&scene, count + 1);
    approve(&scene, &started, ANA);
    end(child).ok();
    let shown = scene.home.shown("acme");
    assert_eq!((&shown["state"], &shown["token"]["flow"]), (&json!("ready"), &json!("device")));
    assert_eq!(scene.simulator.count("replays"), 0);
}

#[test]
fn o10_of_two_that_wait_one_polls_and_both_hear_the_end() {
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    let children = [wait(&scene.home), wait(&scene.home)];
    wait_for_polls(&scene, 3);
    approve(&scene, &started, ANA);
    for child in children {
        assert_eq!(end(child).ok().json()["credential"]["state"], "ready");
    }
    assert_eq!(scene.simulator.count("device_grants"), 1);
    assert!(gaps(&scene).iter().all(|gap| *gap >= 1000), "{:?}", gaps(&scene));
}

#[test]
fn o10_a_blocked_app_shows_in_the_browser_alone() {
    for (change, shown) in [
        (json!({ "installed": false }), "must+be+installed"),
        (json!({ "blocked": true }), "OAUTH_APP_BLOCKED"),
    ] {
        let scene = saved(PUBLIC_APP);
        let mut change = change;
        change["client_id"] = json!(PUBLIC_APP);
        scene.simulator.control("apps", &change);
        let started = begin(&scene);
        let child = wait(&scene.home);
        let ended = scene.simulator.sign_in(started["url"].as_str().unwrap(), ANA);
        assert!(ended.contains(shown), "{ended}");
        wait_for_polls(&scene, 2);
        assert!(polls(&scene)[0]["outcome"].as_str().unwrap().starts_with("authorization_pending"));
        scene.home.orgkey(&["setup", "acme", "--cancel"]).ok();
        end(child).expect(3);
    }
}

#[test]
fn o10_what_can_not_be_begun_leaves_nothing_pending() {
    let refuse = |scene: &Scene, status: i32, code: &str, message: &str| {
        let run = scene.home.orgkey(&["setup", "acme", "--start", "--flow", "device", "--json"]);
        check_error(&run, status, code, &[message], &[]);
        assert_eq!(scene.state().0, "no_token");
    };
    let scene = saved(PUBLIC_APP);
    let off = json!({ "client_id": PUBLIC_APP, "device_enabled": false });
    scene.simulator.control("apps", &off);
    refuse(&scene, 8, "flow_not_supported", "does not support this flow");
    scene.simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "device_enabled": true }));

    // Nobody is sent to a page that is not Salesforce's.
    scene.simulator.script(&json!([{
        "match": { "path": TOKEN_PATH }, "commit": true,
        "set_fields": { "verification_uri": "https://salesforce.com.evil.example/setup/connect" },
    }]));
    refuse(&scene, 8, "host_refused", "evil.example");

    // Off unless the app's configuration names it.
    let scene = Scene::unsaved(PUBLIC_APP, "");
    scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
    refuse(&scene, 8, "invalid_input", "off by itself");
    assert!(scene.simulator.journal().is_empty(), "Salesforce is not even asked");
}

#[test]
fn o10_a_signal_leaves_it_pending_and_owes_nothing() {
    let scene = saved(PUBLIC_APP);
    let started = begin(&scene);
    for (sent, status) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
        let before = polls(&scene).len();
        let child = wait(&scene.home);
        wait_for_polls(&scene, before + 1);
        signal(&child, sent);
        end(child).expect(status);
        let store = rusqlite::Connection::open(scene.home.path().join("orgkey.db")).unwrap();
        let intents: i64 =
            store.query_row("SELECT count(*) FROM intent", [], |row| row.get(0)).unwrap();
        assert_eq!((intents, scene.state().0.as_str()), (0, "authorizing"), "{status}");
    }
    approve(&scene, &started, ANA);
    end(wait(&scene.home)).ok();
    assert!(gaps(&scene).iter().all(|gap| *gap >= 1000), "{:?}", gaps(&scene));
}
