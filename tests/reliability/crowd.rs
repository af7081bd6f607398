//! Very many processes at once.

use serde_json::json;

use crate::common::{Home, PUBLIC_APP, Simulator};
use crate::processes::at_once;
use crate::{ANA, assert_sound, number};

/// Users of the simulated Salesforce, and the names that their credentials have.
const USERS: [(&str, &str); 5] = [
    ("acme", ANA),
    ("ben", "ben@acme.example"),
    ("fin", "fin@globex.example"),
    ("eva", "eva@globex.example"),
    ("svc", "svc@acme.example"),
];

#[test]
#[ignore = "two hundred processes"]
fn two_hundred_processes_that_find_the_token_expired_make_one_exchange() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    simulator.clear_journal();
    let old = home.orgkey(&["token", "acme"]).ok().stdout;
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "hold_ms": 500 }));
    simulator.control("expire_sessions", &json!({}));
    let all = vec![(vec!["token", "acme", "--not", "-"], old.trim()); 200];
    let runs = at_once(&home, &all);
    let first = runs[0].clone().ok().stdout;
    assert_ne!(first, old);
    for run in runs {
        assert_eq!(run.ok().stdout, first);
    }
    assert_eq!(simulator.count("refreshes"), 1);
    assert_eq!(simulator.count("replays"), 0);
    assert_sound(&home);
}

#[test]
#[ignore = "ten thousand commands"]
fn fifty_times_two_hundred_mixed_operations_cause_no_replay() {
    let simulator = Simulator::start();
    let home = Home::new();
    for (name, username) in USERS {
        home.ready_credential(&simulator, name, username);
    }
    simulator.clear_journal();
    let mut generations = 0;
    for round in 0..200 {
        if round % 3 == 0 {
            simulator.control("expire_sessions", &json!({}));
        }
        let tokens: Vec<String> = USERS
            .iter()
            .map(|(name, _)| home.orgkey(&["token", name]).ok().stdout.trim().to_owned())
            .collect();
        let mut all: Vec<(Vec<&str>, &str)> = Vec::new();
        for index in 0..50 {
            let which = index % USERS.len();
            let (name, token) = (USERS[which].0, tokens[which].as_str());
            all.push(match index / USERS.len() {
                0..=2 => (vec!["test", name], ""),
                3..=5 => (vec!["token", name, "--not", "-"], token),
                6 => (vec!["token", name], ""),
                7 => (vec!["list", "--json"], ""),
                8 => (vec!["show", name], ""),
                _ => (vec!["reset", name, "--tag", "eu"], ""),
            });
        }
        for (run, (arguments, _)) in at_once(&home, &all).into_iter().zip(&all) {
            assert_eq!(run.status, 0, "round {round}: {arguments:?}: {run}");
        }
        assert_eq!(simulator.count("replays"), 0, "round {round}");
        assert_eq!(simulator.count("refreshes_refused"), 0, "round {round}");
        assert_sound(&home);
        let now = number(&home, "SELECT sum(generation) FROM credential");
        assert!(now >= generations, "a generation went back");
        generations = now;
    }
    for (name, _) in USERS {
        home.orgkey(&["test", name]).ok();
    }
}
