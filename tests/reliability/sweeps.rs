//! The end of the process, or an error of the system, at every point of what spends or ends a
//! grant.

use serde_json::json;

use crate::common::{Home, Run, Simulator};
use crate::sweep::{Blow, Subject, assert_only_answers_lost, each_point};
use crate::{ANA, approvals, assert_sound, installed, number, say, settle};

/// System calls by which a refresh changes the disk, or is heard outside.
const TELLING_CALLS: [&str; 13] = [
    "connect",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "munmap",
    "pwrite64",
    "pwrite64@inbox",
    "recvfrom",
    "sendto",
    "setsockopt",
    "unlink",
    "exit_group",
];
/// Those through which a disk refuses.
const DISK_CALLS: [&str; 8] =
    ["fdatasync", "flock", "fsync", "ftruncate", "openat", "pread64", "pwrite64", "unlink"];
/// Those through which a network does.
const NETWORK_CALLS: [&str; 6] =
    ["connect", "recvfrom", "sendto", "setsockopt", "socket", "getsockopt"];

/// What a sweep met.
#[derive(Debug, Default)]
struct Met {
    points: usize,
    /// Nothing was spent.
    kept: usize,
    /// It was spent, and what came of it is in the store.
    committed: usize,
    /// It was spent and what came of it is lost, and the store says that it may be.
    lost: Vec<String>,
}

fn refresh(refused: &str) -> Subject<'_> {
    Subject { arguments: &["token", "acme", "--not", "-"], stdin: refused }
}

/// Looks at what a refresh that was hit left behind, and mends it.
fn after_refresh(home: &Home, simulator: &Simulator, old: &str, point: &str, met: &mut Met) {
    assert_sound(home);
    settle(simulator);
    met.points += 1;
    let spent = simulator.count("refreshes") > 0;
    let state = home.shown("acme")["state"].clone();
    // The access token is alive in any case, and served at once.
    let served = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let lost = spent && served == old;
    match (spent, served == old) {
        (true, false) => met.committed += 1,
        (true, true) => {
            assert_eq!(state, "uncertain", "{point}: a lost token has to be told");
            met.lost.push(point.to_owned());
        }
        (false, true) => met.kept += 1,
        (false, false) => panic!("{point}: a token from nowhere"),
    }
    home.orgkey(&["test", "acme"]).ok();
    let next = home.orgkey_with(&["token", "acme", "--not", "-"], &served);
    assert_eq!(next.status, if lost { 3 } else { 0 }, "{point}: {next}");
    assert_eq!(simulator.count("replays"), u64::from(lost), "{point}");
    if lost {
        home.set_up(simulator, "acme", ANA).ok();
    }
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], json!("ready"), "{point}");
}

/// Goes through a refresh at these calls, or at all that it makes.
fn sweep_refresh(blow: Blow, calls: Option<&[&str]>) -> Met {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let token = || home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let calls = calls.map_or_else(|| refresh(&token()).calls(&home), all);
    let mut met = Met::default();
    each_point(&calls, |call, n| {
        simulator.clear_journal();
        let old = token();
        let hit = refresh(&old).hit(&home, blow, call, n);
        let point = format!("{call} {n}");
        if !hit.met {
            return false;
        }
        assert_no_panic(&hit.run, &point);
        after_refresh(&home, &simulator, &old, &point, &mut met);
        true
    });
    // What a killed process left in the inbox does not stay there for ever.
    let inbox = std::fs::metadata(home.path().join("inbox")).unwrap().len();
    assert!(inbox <= 3 * 64 * 1024, "{inbox}");
    met
}

pub fn assert_no_panic(run: &Run, point: &str) {
    assert!(![101, 134, 139].contains(&run.status), "{point}: {run}");
    assert!(!run.stderr.contains("panicked"), "{point}: {run}");
}

pub fn all(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_kill_where_a_refresh_is_heard_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at the system calls of a refresh") {
        return;
    }
    let met = sweep_refresh(Blow::Kill, Some(&TELLING_CALLS));
    assert!(met.kept > 0 && met.committed > 0, "the sweep met every part of a refresh: {met:?}");
    assert!(met.lost.len() <= 2, "{met:?}");
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_refresh_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at every system call of a refresh") {
        return;
    }
    let met = sweep_refresh(Blow::Kill, None);
    say(&format!("refresh, killed: {met:?}"));
    assert!(met.lost.len() <= 2, "{met:?}");
}

#[test]
fn a_disk_that_refuses_one_write_of_a_refresh_loses_no_token() {
    if !installed(&["strace"], "errors of the disk in a refresh") {
        return;
    }
    let met = sweep_refresh(
        Blow::Error("ENOSPC"),
        Some(&["pwrite64", "pwrite64@inbox", "fdatasync", "fsync"]),
    );
    assert!(met.committed > 0 && met.lost.is_empty(), "{met:?}");
}

#[test]
#[ignore = "takes minutes"]
fn an_error_at_every_call_to_disk_or_network_is_no_panic_and_no_lie() {
    if !installed(&["strace"], "errors at the system calls of a refresh") {
        return;
    }
    for error in ["ENOSPC", "EIO"] {
        let met = sweep_refresh(Blow::Error(error), Some(&DISK_CALLS));
        say(&format!("refresh, {error}: {met:?}"));
        assert!(met.lost.is_empty(), "{met:?}");
    }
    let met = sweep_refresh(Blow::Error("ECONNRESET"), Some(&NETWORK_CALLS));
    say(&format!("refresh, ECONNRESET: {met:?}"));
    assert!(met.lost.len() <= 1, "only the answer itself can be lost on the wire: {met:?}");
}

/// A command that shows a credential while an answer to its refresh waits in the inbox, killed, and
/// then the next one too; the third takes it over.
fn recover_twice(home: &Home, simulator: &Simulator, call: &str, n: usize) -> bool {
    let old = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    simulator.clear_journal();
    // The answer is in its slot when the process would wait for the disk.
    assert!(refresh(&old).hit(home, Blow::Kill, "fdatasync", 1).met);
    let show = Subject { arguments: &["show", "acme"], stdin: "" };
    let met = show.hit(home, Blow::Kill, call, n).met;
    if met {
        let _ = show.hit(home, Blow::Kill, call, n);
    }
    assert_sound(home);
    assert_eq!(home.shown("acme")["state"], "ready", "{call} {n}");
    let new = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    assert_ne!(new, old, "{call} {n}");
    home.orgkey_with(&["token", "acme", "--not", "-"], &new).ok();
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (2, 0), "{call} {n}");
    met
}

#[test]
fn a_recovery_that_is_killed_and_killed_again_loses_nothing() {
    if !installed(&["strace"], "kills of a recovery") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let calls = all(&["flock", "fsync", "ftruncate", "pwrite64"]);
    let mut points = 0;
    each_point(&calls, |call, n| {
        let met = recover_twice(&home, &simulator, call, n);
        points += usize::from(met);
        met
    });
    assert!(points > 10, "only {points}");
}

#[test]
#[ignore = "takes minutes"]
fn a_recovery_that_is_killed_at_every_system_call_loses_nothing() {
    if !installed(&["strace"], "kills of a recovery at every system call") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let old = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    assert!(refresh(&old).hit(&home, Blow::Kill, "fdatasync", 1).met);
    let calls = Subject { arguments: &["show", "acme"], stdin: "" }.calls(&home);
    let mut points = 0;
    each_point(&calls, |call, n| {
        let met = recover_twice(&home, &simulator, call, n);
        points += usize::from(met);
        met
    });
    say(&format!("recovery, killed twice: {points} points"));
}

/// One attempt at a first set-up that is hit; `false` when the call is not met.
fn set_up_once(simulator: &Simulator, blow: Blow, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    simulator.control("revoke", &json!({ "username": ANA }));
    home.save(simulator, "acme", ANA, &[]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, ANA);
    simulator.clear_journal();
    let finish = Subject { arguments: &["setup", "acme", "--finish", "-"], stdin: &redirect };
    let hit = finish.hit(&home, blow, call, n);
    if !hit.met {
        return false;
    }
    let point = format!("{call} {n}");
    assert_no_panic(&hit.run, &point);
    assert_sound(&home);
    settle(simulator);
    met.points += 1;
    let exchanged = simulator.count("codes_exchanged") > 0;
    let shown = home.shown("acme");
    let state = shown["state"].as_str().unwrap().to_owned();
    // One that signed in and is not tested yet counts, and one whose test found no way.
    let has_token = shown["token"].is_object() || state == "untested";
    match (exchanged, has_token) {
        (true, true) => met.committed += 1,
        (true, false) => {
            assert_eq!(state, "uncertain", "{point}: an approval that nobody holds has to be told");
            met.lost.push(point.clone());
        }
        (false, false) => {
            assert!(matches!(state.as_str(), "authorizing" | "uncertain"), "{point}: {shown}");
            met.kept += 1;
        }
        (false, true) => panic!("{point}: a token from nowhere: {shown}"),
    }
    if !has_token {
        home.set_up(simulator, "acme", ANA).ok();
    }
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready", "{point}");
    assert_eq!(number(&home, "SELECT count(*) FROM intent"), 0, "{point}");
    true
}

#[test]
fn a_kill_where_a_first_set_up_is_heard_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at the system calls of a first set-up") {
        return;
    }
    let simulator = Simulator::start();
    let mut met = Met::default();
    let calls = all(&["fdatasync", "pwrite64", "pwrite64@inbox", "recvfrom", "sendto"]);
    each_point(&calls, |call, n| set_up_once(&simulator, Blow::Kill, call, n, &mut met));
    assert!(met.kept > 0 && met.committed > 0, "{met:?}");
    assert!(met.lost.len() <= 2, "{met:?}");
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_first_set_up_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at every system call of a first set-up") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.save(&simulator, "acme", ANA, &[]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = simulator.sign_in(&url, ANA);
    let finish = Subject { arguments: &["setup", "acme", "--finish", "-"], stdin: &redirect };
    let calls = finish.calls(&home);
    let mut met = Met::default();
    each_point(&calls, |call, n| set_up_once(&simulator, Blow::Kill, call, n, &mut met));
    say(&format!("first set-up, killed: {met:?}"));
    assert_only_answers_lost(&met.lost);
}

/// One delete that is hit; `false` when the call is not met.
fn delete_once(simulator: &Simulator, blow: Blow, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    // Nothing of another sweep may be alive.
    simulator.control("revoke", &json!({ "username": ANA }));
    home.ready_credential(simulator, "acme", ANA);
    let delete = Subject { arguments: &["delete", "acme", "--confirm", "acme"], stdin: "" };
    let hit = delete.hit(&home, blow, call, n);
    let met_call = hit.met;
    if met_call {
        let point = format!("{call} {n}");
        assert_no_panic(&hit.run, &point);
        assert_sound(&home);
        settle(simulator);
        met.points += 1;
        let is_gone = home.orgkey(&["show", "acme"]).status == 7;
        let alive = approvals(simulator, ANA);
        let owed = number(&home, "SELECT count(*) FROM revocation_owed");
        if is_gone {
            met.committed += 1;
            assert!(alive == 0 || owed > 0, "{point}: a live token that nobody remembers");
        } else {
            met.kept += 1;
            assert_eq!((alive, owed), (1, 0), "{point}: not deleted, but its token is dead");
            home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
        }
        // What is owed is paid along with the next that works with Salesforce.
        home.ready_credential(simulator, "other", "ben@acme.example");
        assert_eq!(approvals(simulator, ANA), 0, "{point}");
        assert_eq!(number(&home, "SELECT count(*) FROM revocation_owed"), 0, "{point}");
    }
    for user in [ANA, "ben@acme.example"] {
        simulator.control("revoke", &json!({ "username": user }));
    }
    met_call
}

#[test]
fn a_kill_where_a_delete_is_heard_leaves_no_live_token_unremembered() {
    if !installed(&["strace"], "kills at the system calls of a delete") {
        return;
    }
    let simulator = Simulator::start();
    let mut met = Met::default();
    let calls = all(&["fdatasync", "ftruncate", "recvfrom", "writev", "sendto"]);
    each_point(&calls, |call, n| delete_once(&simulator, Blow::Kill, call, n, &mut met));
    assert!(met.kept > 0 && met.committed > 0, "{met:?}");
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_delete_leaves_no_live_token_unremembered() {
    if !installed(&["strace"], "kills at every system call of a delete") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let delete = Subject { arguments: &["delete", "acme", "--confirm", "acme"], stdin: "" };
    let calls = delete.calls(&home);
    let mut met = Met::default();
    each_point(&calls, |call, n| delete_once(&simulator, Blow::Kill, call, n, &mut met));
    say(&format!("delete, killed: {met:?}"));
}

#[test]
#[ignore = "takes minutes"]
fn an_error_at_every_call_of_a_first_set_up_or_a_delete_is_no_panic_and_no_lie() {
    if !installed(&["strace"], "errors at the system calls of a first set-up and a delete") {
        return;
    }
    let simulator = Simulator::start();
    for (error, calls, most_lost) in
        [("ENOSPC", &DISK_CALLS[..], 0), ("EIO", &DISK_CALLS, 0), ("ECONNRESET", &NETWORK_CALLS, 1)]
    {
        let (mut set_up, mut delete) = (Met::default(), Met::default());
        let blow = Blow::Error(error);
        each_point(&all(calls), |call, n| set_up_once(&simulator, blow, call, n, &mut set_up));
        say(&format!("first set-up, {error}: {set_up:?}"));
        assert!(set_up.lost.len() <= most_lost, "{set_up:?}");
        each_point(&all(calls), |call, n| delete_once(&simulator, blow, call, n, &mut delete));
        say(&format!("delete, {error}: {delete:?}"));
    }
}
