//! What becomes of a token that was replaced, seen from Salesforce: how many approvals live.

use crate::common::{Home, Simulator};

const ANA: &str = "ana@acme.example";

fn approvals(simulator: &Simulator) -> usize {
    simulator.read("approvals")["approvals"].as_array().unwrap().len()
}

#[test]
fn a_replaced_token_that_nobody_took_is_revoked_at_once() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    for _ in 0..6 {
        let again = home.set_up(&simulator, "acme", ANA).ok();
        assert!(again.stderr.contains("revoked at Salesforce (confirmed)"), "{again}");
        assert_eq!(approvals(&simulator), 1);
    }
}

#[test]
fn a_replaced_token_that_a_script_took_works_until_its_drain_ends() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    home.orgkey(&["token", "acme"]).ok();
    let again = home.set_up(&simulator, "acme", ANA).ok();
    assert!(again.stderr.contains("the old token works until"), "{again}");
    assert_eq!(approvals(&simulator), 2);
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(approvals(&simulator), 2, "its time has not come");

    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    store.execute("UPDATE token_set SET drain_until = 1 WHERE role = 'draining'", []).unwrap();
    drop(store);
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(approvals(&simulator), 1);
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn an_org_keeps_five_approvals_and_orgkey_keeps_three() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    for _ in 0..8 {
        home.orgkey(&["token", "acme"]).ok();
        home.set_up(&simulator, "acme", ANA).ok();
        assert!(approvals(&simulator) <= 3, "{}", approvals(&simulator));
    }
}

/// Another client of the same user and app signs in first, so that its approval is the oldest: a
/// sixth one would end it.
fn beside_another_client(with_script: bool) {
    let simulator = Simulator::start();
    let (home, other) = (Home::new(), Home::new());
    other.ready_credential(&simulator, "acme", ANA);
    home.ready_credential(&simulator, "acme", ANA);
    for _ in 0..20 {
        if with_script {
            home.orgkey(&["token", "acme"]).ok();
        }
        home.set_up(&simulator, "acme", ANA).ok();
        other.orgkey(&["test", "acme"]).ok();
    }
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    store.execute("UPDATE token_set SET drain_until = 1 WHERE role = 'draining'", []).unwrap();
    drop(store);
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(approvals(&simulator), 2, "one of each client");
    // A refresh needs the approval itself, not a session that it once gave.
    simulator.control("expire_sessions", &serde_json::json!({}));
    other.orgkey(&["token", "acme", "--min-ttl", "119m"]).ok();
    other.orgkey(&["test", "acme"]).ok();
}

#[test]
fn twenty_sign_ins_of_a_user_leave_one_approval_and_another_clients_alive() {
    beside_another_client(false);
}

#[test]
fn twenty_sign_ins_with_scripts_at_work_leave_another_clients_approval_alive() {
    beside_another_client(true);
}

#[test]
fn a_delete_revokes_what_is_draining_too() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    home.orgkey(&["token", "acme"]).ok();
    home.set_up(&simulator, "acme", ANA).ok();
    assert_eq!(approvals(&simulator), 2);
    home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
    assert_eq!(approvals(&simulator), 0);
}

#[test]
fn what_a_script_took_before_a_rotation_by_refresh_still_drains_after_the_next_sign_in() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    home.orgkey(&["token", "acme"]).ok();
    home.orgkey(&["rotate", "acme"]).ok();
    let again = home.set_up(&simulator, "acme", ANA).ok();
    assert!(again.stderr.contains("the old token works until"), "{again}");
    assert_eq!(approvals(&simulator), 2, "the script's token lives by the old one");
    // What was revoked does not drain: nobody can be using it.
    home.orgkey(&["revoke", "acme", "--confirm", "acme"]).ok();
    let after = home.set_up(&simulator, "acme", ANA).ok();
    assert!(!after.stderr.contains("works until"), "{after}");
    assert_eq!(approvals(&simulator), 1);
}
