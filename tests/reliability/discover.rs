//! A sign-in that tells the IDs, killed at its system calls: while its code is spent, and while the
//! yes is carried out. No live token is left that nobody is told of.

use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, Simulator, config};
use crate::sweep::{Blow, Subject, assert_only_answers_lost, each_point};
use crate::sweeps::{all, assert_no_panic};
use crate::{ANA, approvals, assert_sound, installed, number, say, settle};

/// Calls by which it changes the disk, or is heard outside.
const TELLING_CALLS: [&str; 6] =
    ["fdatasync", "ftruncate", "pwrite64", "pwrite64@inbox", "recvfrom", "sendto"];
const FINISH: [&str; 5] = ["setup", "acme", "--discover", "--finish", "-"];
const CONFIRM: [&str; 5] =
    ["setup", "acme", "--discover", "--confirm", "00D5g000004XyZTEA0/0055g00000AnaToAAJ"];

/// What a sweep met.
#[derive(Debug, Default)]
struct Met {
    points: usize,
    /// No token was issued, whatever is told.
    unspent: usize,
    /// An account waits for a yes.
    found: usize,
    /// The credential is saved.
    saved: usize,
    /// A token was issued, its answer is lost, and that is told.
    lost: Vec<String>,
}

/// Begins one, and gives the address that the browser ends at.
fn begun(simulator: &Simulator, home: &Home) -> String {
    simulator.control("revoke", &json!({ "username": ANA }));
    let url = simulator.url("acme.my");
    let begin = ["setup", "acme", "--discover", "--my-domain", &url, "--start"];
    let url = home.orgkey(&begin).ok().stdout;
    simulator.sign_in(&url, ANA)
}

/// Whether it is saved, and what is told of it.
fn told(home: &Home) -> (bool, String) {
    let listed = home.orgkey(&["list", "--json"]).ok().json();
    let is_saved = listed["credentials"].as_array().is_some_and(|all| !all.is_empty());
    (is_saved, home.orgkey(&["list"]).ok().stderr)
}

/// Looks at what was left, and goes on from there to the end.
fn after(simulator: &Simulator, home: &Home, point: &str, met: &mut Met) {
    assert_sound(home);
    settle(simulator);
    met.points += 1;
    let alive = approvals(simulator, ANA);
    let spent = simulator.count("codes_exchanged") > 0;
    let (is_saved, notes) = told(home);
    let owed = number(home, "SELECT count(*) FROM revocation_owed");
    if is_saved {
        met.saved += 1;
        assert_eq!((alive, owed), (1, 0), "{point}: saved, and still owed to be revoked");
    } else if notes.contains("waits for a yes") {
        met.found += 1;
        assert_eq!((alive, owed), (1, 1), "{point}");
        home.orgkey(&CONFIRM).ok();
    } else if notes.contains("may keep an approval that nobody holds") {
        // What may have been sent, and was not, is called lost too.
        if spent {
            met.lost.push(point.to_owned());
        } else {
            met.unspent += 1;
        }
    } else {
        assert_eq!(alive, 0, "{point}: a live token that nobody is told of: {notes}");
        met.unspent += 1;
    }
    if !told(home).0 {
        let redirect = begun(simulator, home);
        home.orgkey_with(&FINISH, &redirect).expect(6);
        home.orgkey(&CONFIRM).ok();
    }
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready", "{point}");
    for table in ["discovery", "intent", "revocation_owed"] {
        assert_eq!(number(home, &format!("SELECT count(*) FROM {table}")), 0, "{point}: {table}");
    }
    let live: Vec<Value> =
        serde_json::from_value(simulator.read("approvals")["approvals"].clone()).expect("a list");
    assert_eq!(live.len(), 1, "{point}: the token in use, and no other");
}

/// One sign-in whose second step is hit; `false` when the call is not met.
fn finish_once(simulator: &Simulator, blow: Blow, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    let redirect = begun(simulator, &home);
    simulator.clear_journal();
    let hit = Subject { arguments: &FINISH, stdin: &redirect }.hit(&home, blow, call, n);
    if hit.met {
        let point = format!("{call} {n}");
        assert_no_panic(&hit.run, &point);
        after(simulator, &home, &point, met);
    }
    hit.met
}

/// One yes that is hit.
fn confirm_once(simulator: &Simulator, blow: Blow, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    let redirect = begun(simulator, &home);
    home.orgkey_with(&FINISH, &redirect).expect(6);
    simulator.clear_journal();
    let hit = Subject { arguments: &CONFIRM, stdin: "" }.hit(&home, blow, call, n);
    if hit.met {
        let point = format!("{call} {n}");
        assert_no_panic(&hit.run, &point);
        after(simulator, &home, &point, met);
    }
    hit.met
}

#[test]
fn a_kill_where_a_discovery_is_heard_leaves_no_live_token_unsaid() {
    if !installed(&["strace"], "kills at the system calls of a discovery") {
        return;
    }
    let simulator = Simulator::start();
    let (mut finish, mut confirm) = (Met::default(), Met::default());
    let calls = all(&["fdatasync", "pwrite64@inbox", "recvfrom", "sendto"]);
    each_point(&calls, |call, n| finish_once(&simulator, Blow::Kill, call, n, &mut finish));
    assert!(finish.unspent > 0 && finish.found > 0 && finish.saved == 0, "{finish:?}");
    assert!(finish.lost.len() <= 2, "{finish:?}");
    let calls = all(&["fdatasync", "flock", "pwrite64", "sendto"]);
    each_point(&calls, |call, n| confirm_once(&simulator, Blow::Kill, call, n, &mut confirm));
    assert!(confirm.found > 0 && confirm.saved > 0 && confirm.lost.is_empty(), "{confirm:?}");
}

#[test]
fn an_answer_that_waits_for_the_key_is_told_and_then_taken_over() {
    if !installed(&["strace"], "an answer that waits for the key") {
        return;
    }
    let simulator = Simulator::start();
    let mut home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    let passphrase = home.write("passphrase", "correct horse battery staple");
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    let redirect = begun(&simulator, &home);
    // The answer is in its slot when the process would wait for the disk.
    let call = "fdatasync@inbox";
    assert!(Subject { arguments: &FINISH, stdin: &redirect }.hit(&home, Blow::Kill, call, 1).met);
    settle(&simulator);
    home.set("ORGKEY_PASSPHRASE_FILE", "");
    for _ in 0..2 {
        let told = home.orgkey(&["list"]).ok().stderr;
        assert!(told.contains("waits until the key is open"), "{told}");
    }
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    let told = home.orgkey(&["list"]).ok().stderr;
    assert!(told.contains("waits for a yes until"), "{told}");
    home.orgkey(&CONFIRM).ok();
    assert_eq!(simulator.count("codes_exchanged"), 1);
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_discovery_leaves_no_live_token_unsaid() {
    if !installed(&["strace"], "kills at every system call of a discovery") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    let redirect = begun(&simulator, &home);
    // It ends with 6, for a confirmation is missing: its calls are those of the sweep over set-ups.
    home.orgkey_with(&FINISH, &redirect).expect(6);
    let calls = Subject { arguments: &CONFIRM, stdin: "" }.calls(&home);
    let (mut finish, mut confirm) = (Met::default(), Met::default());
    each_point(&calls, |call, n| finish_once(&simulator, Blow::Kill, call, n, &mut finish));
    say(&format!("discovery, killed while its code is spent: {finish:?}"));
    // How often it waits for the answer depends on how busy the machine is.
    assert_only_answers_lost(&finish.lost);
    each_point(&calls, |call, n| confirm_once(&simulator, Blow::Kill, call, n, &mut confirm));
    say(&format!("discovery, killed at its yes: {confirm:?}"));
    assert!(confirm.lost.is_empty(), "{confirm:?}");
}

#[test]
#[ignore = "takes minutes"]
fn an_error_at_every_write_of_a_discovery_is_no_panic_and_no_lie() {
    if !installed(&["strace"], "errors at the system calls of a discovery") {
        return;
    }
    let simulator = Simulator::start();
    for error in ["ENOSPC", "EIO"] {
        let (mut finish, mut confirm) = (Met::default(), Met::default());
        let (blow, calls) = (Blow::Error(error), all(&TELLING_CALLS[..4]));
        each_point(&calls, |call, n| finish_once(&simulator, blow, call, n, &mut finish));
        each_point(&calls, |call, n| confirm_once(&simulator, blow, call, n, &mut confirm));
        say(&format!("discovery, {error}: {finish:?}, {confirm:?}"));
        assert!(finish.lost.is_empty() && confirm.lost.is_empty(), "{finish:?} {confirm:?}");
    }
}
