//! Rotation that is killed at every system call, and of very many with faults among them.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::common::{Home, Simulator, config};
use crate::sweep::{Blow, Subject, assert_only_answers_lost, each_point};
use crate::sweeps::{all, assert_no_panic};
use crate::{ANA, approvals, assert_sound, installed, number, say, settle};

/// An app that does not rotate refresh tokens.
const STATIC: &str = "3MVG9simulated.orgkey_static";
/// Calls by which an exchange changes the disk, or is heard outside.
const TELLING_CALLS: [&str; 6] =
    ["fdatasync", "ftruncate", "pwrite64", "pwrite64@inbox", "recvfrom", "sendto"];
/// Token sets and debts that the store knows.
const KNOWN: &str =
    "SELECT (SELECT count(*) FROM token_set) + (SELECT count(*) FROM revocation_owed)";

/// What a sweep met.
#[derive(Debug, Default)]
struct Met {
    points: usize,
    /// The new token was not there.
    kept: usize,
    /// It was, and the store has it.
    committed: usize,
    /// It was, and nobody has it; which is told.
    lost: Vec<String>,
}

/// What holds right after a kill: what lives is one old and one new token at most, and one at
/// least; and a token is served.
fn assert_one_or_two_live(home: &Home, simulator: &Simulator, point: &str) -> usize {
    assert_sound(home);
    settle(simulator);
    let live = approvals(simulator, ANA);
    assert!((1..=2).contains(&live), "{point}: {live} live");
    home.orgkey(&["token", "acme"]).ok();
    live
}

fn afresh(home: &Home, simulator: &Simulator) {
    simulator.control("revoke", &json!({ "username": ANA }));
    let begun = home.orgkey(&["setup", "acme", "--start", "--drain", "0s"]).ok();
    let redirect = simulator.sign_in(&begun.stdout, ANA);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    home.orgkey(&["test", "acme"]).ok();
}

/// One rotation by a sign-in that is hit; `false` when the call is not met. The old token is
/// revoked in the same go, so that its revocation is hit too.
fn sign_in_once(home: &Home, simulator: &Simulator, call: &str, n: usize, met: &mut Met) -> bool {
    let begin = ["rotate", "acme", "--drain", "0s"];
    let redirect = simulator.sign_in(&home.orgkey(&begin).expect(3).stdout, ANA);
    simulator.clear_journal();
    let finish = Subject { arguments: &["setup", "acme", "--finish", "-"], stdin: &redirect };
    let hit = finish.hit(home, Blow::Kill, call, n);
    if !hit.met {
        return false;
    }
    let point = format!("{call} {n}");
    assert_no_panic(&hit.run, &point);
    met.points += 1;
    let live = assert_one_or_two_live(home, simulator, &point);
    let exchanged = simulator.count("codes_exchanged") > 0;
    // What waits in the inbox is taken over by whoever looks.
    home.shown("acme");
    let known = usize::try_from(number(home, KNOWN)).unwrap();
    if live > known {
        assert!(exchanged, "{point}: an approval from nowhere");
        let open = number(home, "SELECT count(*) FROM intent WHERE operation = 'sign_in'");
        assert_eq!(open, 1, "{point}: an approval that nobody holds has to be known of");
        met.lost.push(point);
        afresh(home, simulator);
        return true;
    }
    if exchanged {
        met.committed += 1;
    } else {
        met.kept += 1;
    }
    // The next rotation goes on where it was cut off, or begins anew.
    let again = home.orgkey(&begin);
    if again.status == 3 {
        let redirect = simulator.sign_in(&again.stdout, ANA);
        home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    } else {
        again.ok();
    }
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready", "{point}");
    assert_eq!(approvals(simulator, ANA), 1, "{point}: nothing else lives on");
    assert_eq!(number(home, KNOWN), 1, "{point}");
    true
}

/// One rotation by a refresh that is hit; `false` when the call is not met.
fn refresh_once(home: &Home, simulator: &Simulator, call: &str, n: usize, met: &mut Met) -> bool {
    simulator.clear_journal();
    let rotate = Subject { arguments: &["rotate", "acme"], stdin: "" };
    let hit = rotate.hit(home, Blow::Kill, call, n);
    if !hit.met {
        return false;
    }
    let point = format!("{call} {n}");
    assert_no_panic(&hit.run, &point);
    met.points += 1;
    let live = assert_one_or_two_live(home, simulator, &point);
    assert_eq!(live, 1, "{point}: a refresh makes no approval");
    let spent = simulator.count("refreshes") > 0;
    let again = home.orgkey(&["rotate", "acme"]);
    if again.status == 10 {
        // 'May have been sent' is told, and nothing is spent once more.
        assert_eq!(simulator.count("refreshes"), u64::from(spent), "{point}");
        if spent {
            met.lost.push(point);
        } else {
            met.kept += 1;
        }
        afresh(home, simulator);
        return true;
    }
    again.ok();
    assert_eq!(simulator.count("replays"), 0, "{point}");
    if spent {
        met.committed += 1;
    } else {
        met.kept += 1;
    }
    assert_eq!(home.shown("acme")["state"], "ready", "{point}");
    assert_eq!(approvals(simulator, ANA), 1, "{point}");
    true
}

fn without_rotation(simulator: &Simulator) -> Home {
    let home = Home::new();
    home.write("config.toml", &format!("{}rotation = \"no\"\n", config(STATIC)));
    home.ready_credential(simulator, "acme", ANA);
    home
}

#[test]
fn a_kill_where_a_rotation_by_sign_in_is_heard_leaves_one_token_that_works() {
    if !installed(&["strace"], "kills at the system calls of a rotation by sign-in") {
        return;
    }
    let simulator = Simulator::start();
    let home = without_rotation(&simulator);
    let mut met = Met::default();
    each_point(&all(&TELLING_CALLS), |call, n| sign_in_once(&home, &simulator, call, n, &mut met));
    assert!(met.kept > 0 && met.committed > 0, "{met:?}");
    assert_only_answers_lost(&met.lost);
}

#[test]
fn a_kill_where_a_rotation_by_refresh_is_heard_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at the system calls of a rotation by refresh") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let mut met = Met::default();
    each_point(&all(&TELLING_CALLS), |call, n| refresh_once(&home, &simulator, call, n, &mut met));
    assert!(met.kept > 0 && met.committed > 0, "{met:?}");
    assert_only_answers_lost(&met.lost);
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_rotation_by_refresh_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at every system call of a rotation by refresh") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let calls = Subject { arguments: &["rotate", "acme"], stdin: "" }.calls(&home);
    let mut met = Met::default();
    each_point(&calls, |call, n| refresh_once(&home, &simulator, call, n, &mut met));
    say(&format!("rotation by refresh, killed: {met:?}"));
    assert_only_answers_lost(&met.lost);
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_rotation_by_sign_in_leaves_one_token_that_works() {
    if !installed(&["strace"], "kills at every system call of a rotation by sign-in") {
        return;
    }
    let simulator = Simulator::start();
    let home = without_rotation(&simulator);
    let begun = home.orgkey(&["rotate", "acme", "--drain", "0s"]).expect(3);
    let redirect = simulator.sign_in(&begun.stdout, ANA);
    let finish = Subject { arguments: &["setup", "acme", "--finish", "-"], stdin: &redirect };
    let calls = finish.calls(&home);
    let mut met = Met::default();
    each_point(&calls, |call, n| sign_in_once(&home, &simulator, call, n, &mut met));
    say(&format!("rotation by sign-in, killed: {met:?}"));
    assert_only_answers_lost(&met.lost);
}

#[test]
fn two_hundred_are_rotated_and_a_fault_of_some_keeps_their_token() {
    const ALL: usize = 200;
    const FAULTS: usize = ALL / 20;
    let simulator = Simulator::start();
    let client_id = "3MVG9simulated.orgkey_public";
    simulator.control("apps", &json!({ "client_id": client_id, "approval_limit": 1_000 }));
    let home = Home::new();
    let org = simulator.org_of(ANA);
    let user = simulator.user(ANA);
    let line = |number: usize| {
        let line = json!({
            "name": format!("org-{number:03}"), "environment": "production",
            "org_id": org["org_id"], "user_id": user["user_id"], "login_url": org["my_domain"],
        });
        line.to_string()
    };
    let lines = (0..ALL).map(line).collect::<Vec<_>>().join("\n");
    home.orgkey_with(&["save", "--from", "-"], &lines).ok();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ALL {
                        return;
                    }
                    home.set_up(&simulator, &format!("org-{number:03}"), ANA).ok();
                }
            });
        }
    });
    simulator.script(&json!([{
        "match": { "grant_type": "refresh_token" }, "times": FAULTS, "status": 503, "body": "",
        "commit": false,
    }]));
    simulator.clear_journal();
    let answer = home.orgkey(&["rotate", "--all", "--json"]).expect(4).json();
    let rotated = answer["rotated"].as_array().unwrap();
    assert_eq!(rotated.len(), ALL);
    let with = |outcome: &str| rotated.iter().filter(|one| one["outcome"] == outcome).count();
    assert_eq!((with("ok"), with("unreachable")), (ALL - FAULTS, FAULTS));
    assert_eq!(simulator.count("refreshes"), u64::try_from(ALL - FAULTS).unwrap());
    assert_eq!(simulator.count("replays"), 0);
    // Those of the faults kept theirs, and are rotated by the next one.
    home.orgkey(&["rotate", "--filter", "state:unreachable"]).ok();
    assert_eq!(simulator.count("refreshes"), u64::try_from(ALL).unwrap());
    home.orgkey(&["status"]).ok();
    assert_eq!(approvals(&simulator, ANA), ALL);
    assert_sound(&home);
}
