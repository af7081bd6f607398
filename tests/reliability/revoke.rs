//! Revoke and hold, cut short at their system calls: a token is dead or its revocation is owed, and
//! a hold is for all that were named or for none.

use serde_json::json;

use crate::common::{Home, Simulator};
use crate::sweep::{Blow, Subject, each_point};
use crate::{ANA, approvals, assert_sound, installed, number, say, settle};

const REVOKE: Subject<'static> =
    Subject { arguments: &["revoke", "acme", "--confirm", "acme"], stdin: "" };
const HOLD: Subject<'static> =
    Subject { arguments: &["hold", "--all", "--reason", "a test"], stdin: "" };

/// What a sweep met.
#[derive(Debug, Default)]
struct Met {
    before: usize,
    after: usize,
}

fn owed(home: &Home) -> i64 {
    number(home, "SELECT count(*) FROM revocation_owed")
}

/// One revoke that is hit; `false` when the call is not met.
fn revoke_once(simulator: &Simulator, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    simulator.control("revoke", &json!({ "username": ANA }));
    home.ready_credential(simulator, "acme", ANA);
    let hit = REVOKE.hit(&home, Blow::Kill, call, n);
    if hit.met {
        let point = format!("{call} {n}");
        assert_sound(&home);
        settle(simulator);
        let shown = home.shown("acme");
        let (alive, owed_then) = (approvals(simulator, ANA), owed(&home));
        if shown["cause"] == "revoked" {
            met.after += 1;
            assert!(alive == 0 || owed_then > 0, "{point}: alive, and nobody remembers");
            assert_eq!(home.orgkey(&["token", "acme"]).status, 3, "{point}: out of use at once");
        } else {
            met.before += 1;
            assert_eq!((alive, owed_then), (1, 0), "{point}: not revoked, but dead: {shown}");
        }
        // The same again goes on where it ended.
        home.orgkey(&["revoke", "acme", "--confirm", "acme"]);
        home.orgkey(&["revoke", "--owed"]).ok();
        assert_eq!((approvals(simulator, ANA), owed(&home)), (0, 0), "{point}");
        assert_eq!(home.shown("acme")["cause"], "revoked", "{point}");
    }
    hit.met
}

/// A set-up after a revoke that is hit, and then another revoke; `false` when the call is not met.
/// What has signed in since is live, though the credential was revoked before.
fn revoke_again_once(simulator: &Simulator, call: &str, n: usize, met: &mut Met) -> bool {
    let home = Home::new();
    simulator.control("revoke", &json!({ "username": ANA }));
    home.ready_credential(simulator, "acme", ANA);
    home.orgkey(&["revoke", "acme", "--confirm", "acme"]).ok();
    let redirect = simulator.sign_in(&home.orgkey(&["setup", "acme", "--start"]).ok().stdout, ANA);
    let finish = Subject { arguments: &["setup", "acme", "--finish", "-"], stdin: &redirect };
    let hit = finish.hit(&home, Blow::Kill, call, n);
    if hit.met {
        let point = format!("{call} {n}");
        assert_sound(&home);
        settle(simulator);
        let lived = approvals(simulator, ANA);
        *(if lived == 0 { &mut met.before } else { &mut met.after }) += 1;
        let again = home.orgkey(&["revoke", "acme", "--confirm", "acme"]);
        let is_told = again.stdout.contains("an answer of Salesforce was lost");
        home.orgkey(&["revoke", "--owed"]).ok();
        let alive = approvals(simulator, ANA);
        assert!(alive == 0 || is_told, "{point}: {alive} of {lived} live, unsaid: {again}");
    }
    hit.met
}

/// One hold of three that is hit.
fn hold_once(home: &Home, call: &str, n: usize, met: &mut Met) -> bool {
    home.orgkey(&["release", "--all"]).ok();
    let hit = HOLD.hit(home, Blow::Kill, call, n);
    if hit.met {
        let held = number(home, "SELECT count(*) FROM credential WHERE held IS NOT NULL");
        assert!(held == 0 || held == 3, "{call} {n}: {held} of 3 are on hold");
        assert_sound(home);
        *(if held == 0 { &mut met.before } else { &mut met.after }) += 1;
    }
    hit.met
}

fn three_saved() -> Home {
    let home = Home::new();
    for name in ["one", "two", "three"] {
        home.orgkey(&["save", name, "--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"])
            .ok();
    }
    home
}

#[test]
fn a_kill_where_a_revoke_is_heard_leaves_it_dead_or_owed() {
    if !installed(&["strace"], "kills at the system calls of a revoke") {
        return;
    }
    let simulator = Simulator::start();
    let mut met = Met::default();
    let calls = ["fdatasync", "pwrite64", "recvfrom", "writev", "sendto"].map(str::to_owned);
    each_point(&calls, |call, n| revoke_once(&simulator, call, n, &mut met));
    assert!(met.before > 0 && met.after > 0, "{met:?}");
}

#[test]
fn a_revoke_after_a_killed_set_up_leaves_nothing_live_unsaid() {
    if !installed(&["strace"], "kills at the system calls of a set-up after a revoke") {
        return;
    }
    let simulator = Simulator::start();
    let mut met = Met::default();
    let calls = ["fdatasync", "pwrite64@inbox", "recvfrom", "sendto"].map(str::to_owned);
    each_point(&calls, |call, n| revoke_again_once(&simulator, call, n, &mut met));
    assert!(met.before > 0 && met.after > 0, "{met:?}");
}

#[test]
fn a_kill_where_a_hold_is_heard_holds_all_or_none() {
    if !installed(&["strace"], "kills at the system calls of a hold") {
        return;
    }
    let home = three_saved();
    let mut met = Met::default();
    let calls = ["fdatasync", "fsync", "pwrite64", "exit_group"].map(str::to_owned);
    each_point(&calls, |call, n| hold_once(&home, call, n, &mut met));
    assert!(met.before > 0 && met.after > 0, "{met:?}");
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_revoke_or_a_hold_is_no_lie() {
    if !installed(&["strace"], "kills at every system call of a revoke and a hold") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let (mut revoked, mut held) = (Met::default(), Met::default());
    each_point(&REVOKE.calls(&home), |call, n| revoke_once(&simulator, call, n, &mut revoked));
    let three = three_saved();
    each_point(&HOLD.calls(&three), |call, n| hold_once(&three, call, n, &mut held));
    say(&format!("revoke, killed: {revoked:?}; hold, killed: {held:?}"));
}
