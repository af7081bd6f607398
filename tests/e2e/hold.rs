//! What a hold stops, and what goes on.

use crate::common::{Home, Run, Simulator};

const ANA: &str = "ana@acme.example";
const EVA: &str = "eva@globex.example";

/// A home with a tested credential `acme` that is on hold.
fn held(simulator: &Simulator) -> Home {
    let home = Home::new();
    home.ready_credential(simulator, "acme", ANA);
    home.orgkey(&["hold", "acme", "--reason", "a laptop was stolen"]).ok();
    home
}

/// Exit 6, and the words say since when, by whom and why.
fn is_refused(run: Run) {
    let run = run.expect(6);
    for part in ["acme/production is on hold: a laptop was stolen", "(since 20", ", by "] {
        assert!(run.stderr.contains(part), "{part}: {run}");
    }
    assert!(run.stdout.is_empty(), "{run}");
}

#[test]
fn each_operation_knows_the_hold() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, ANA);
    home.orgkey(&["hold", "acme", "--reason", "a laptop was stolen"]).ok();
    simulator.clear_journal();

    is_refused(home.orgkey(&["token", "acme"]));
    is_refused(home.orgkey_with(&["token", "acme", "--not", "-"], &token));
    is_refused(home.orgkey(&["setup", "acme", "--start"]));
    is_refused(home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect));
    assert_eq!(simulator.journal().len(), 0, "Salesforce heard of none of it");

    home.orgkey(&["test", "acme"]).ok();
    home.orgkey(&["list"]).ok();
    home.orgkey(&["use", "acme/production"]).ok();
    home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();

    home.orgkey(&["release", "acme", "--reason", "it was found"]).ok();
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    assert_eq!(home.shown("acme")["held"], false);

    home.orgkey(&["hold", "acme", "--reason", "a laptop was stolen"]).ok();
    home.orgkey(&["delete", "acme", "--confirm", "acme/sandbox"]).expect(6);
    // Where one environment is saved, the address is taken as well as the plain name.
    home.orgkey(&["delete", "acme", "--confirm", "acme/production"]).ok();
    assert_eq!(simulator.read("approvals")["approvals"].as_array().unwrap().len(), 0);
}

#[test]
fn a_test_of_what_is_on_hold_refreshes_nothing() {
    let simulator = Simulator::start();
    let home = held(&simulator);
    let generation = home.shown("acme")["token"]["generation"].clone();
    let path = home.path().join("orgkey.db");
    let store = rusqlite::Connection::open(path).unwrap();
    store.execute("UPDATE token_set SET expires_at = 1", []).unwrap();
    drop(store);
    simulator.clear_journal();
    is_refused(home.orgkey(&["token", "acme"]));
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["token"]["generation"], generation);
    let refreshed =
        simulator.journal().iter().any(|call| call.to_string().contains("services/oauth2/token"));
    assert!(!refreshed, "{:?}", simulator.journal());
}

#[test]
fn a_signed_in_token_is_not_promoted_while_the_hold_stands() {
    let simulator = Simulator::start();
    let home = held(&simulator);
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap();
    store.execute("UPDATE token_set SET role = 'candidate'", []).unwrap();
    drop(store);
    is_refused(home.orgkey(&["token", "acme"]));
    is_refused(home.orgkey(&["test", "acme"]));
    home.orgkey(&["release", "acme", "--reason", "it was found"]).ok();
    home.orgkey(&["token", "acme"]).ok();
}

#[test]
fn a_hold_needs_no_key_and_a_name_that_is_wrong_holds_nothing() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    home.save(&simulator, "globex", EVA, &[]).ok();
    std::fs::rename(home.path().join("identity.key"), home.path().join("elsewhere")).unwrap();
    home.orgkey(&["hold", "acme", "nobody", "--reason", "x"]).expect(7);
    home.orgkey(&["hold", "--all"]).expect(2);
    home.orgkey(&["hold", "acme", "--reason", " "]).expect(8);
    assert_eq!(home.shown("acme")["held"], false);

    let all = home.orgkey(&["hold", "--all", "--reason", "audit", "--json"]).ok().json();
    assert_eq!(all["credentials"].as_array().unwrap().len(), 2);
    let shown = home.shown("globex")["hold"].clone();
    assert_eq!(shown["reason"], "audit");
    assert!(shown["by"].is_string() && shown["since"].is_string(), "{shown}");
    let released =
        home.orgkey(&["release", "--filter", "is:held acme", "--reason", "x", "--json"]).ok();
    assert_eq!(released.json()["credentials"].as_array().unwrap().len(), 1);
    assert_eq!(home.shown("acme")["held"], false);
    assert_eq!(home.shown("globex")["held"], true);
}

#[test]
fn a_backup_from_before_does_not_lift_a_hold() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let file = home.outside().join("before.orgkey");
    let file = file.to_str().unwrap();
    home.orgkey(&["backup", file]).ok();
    home.orgkey(&["hold", "acme", "--reason", "a laptop was stolen"]).ok();
    home.orgkey(&["restore", file, "--confirm", "orgkey.db"]).ok();
    is_refused(home.orgkey(&["token", "acme"]));
}
