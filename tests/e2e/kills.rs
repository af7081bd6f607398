//! The end of the process at every point of a refresh that touches disk or network: after each,
//! the store is sound, and either works with Salesforce or says that it may not.

use std::process::Command;

use serde_json::json;

use crate::common::{Home, Run, Simulator, run};
use crate::installed;

const ANA: &str = "ana@acme.example";
/// System calls by which a refresh changes the disk, or is heard outside.
const CALLS: [&str; 10] = [
    "pwrite64",
    "fsync",
    "ftruncate",
    "flock",
    "connect",
    "writev",
    "recvfrom",
    "write",
    "close",
    "exit_group",
];
/// More occurrences than a refresh has of any of them: the sweep ends by itself before.
const LIMIT: usize = 200;

/// Refreshes under strace, which kills the process at the n-th such call of any of its threads.
fn refresh_killed_at(home: &Home, refused: &str, call: &str, n: usize) -> Run {
    let command = home.command(&["token", "acme", "--not", "-"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    traced.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(traced, refused)
}

#[test]
fn a_kill_at_any_point_of_a_refresh_loses_no_token_unsaid() {
    if !installed(&["strace"], "kills at every system call of a refresh") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let (mut kept, mut committed, mut uncertain) = (0, 0, 0);
    for call in CALLS {
        for n in 1..=LIMIT {
            simulator.clear_journal();
            let old = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
            let ended = refresh_killed_at(&home, &old, call, n);
            if ended.status == 0 {
                break;
            }
            let point = format!("{call} {n}");
            assert_eq!(ended.status, 137, "{point}: {ended}");
            crate::processes::assert_sound(&home);
            // Salesforce may be about to carry out what the dead process sent.
            crate::common::until("what was sent to be carried out", || {
                simulator.journal().iter().all(|entry| !entry["outcome"].is_null())
            });
            let spent = simulator.count("refreshes") > 0;
            let state = home.shown("acme")["state"].clone();
            // The access token is alive in any case, and served at once.
            let served = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
            match (spent, served == old) {
                (true, false) => committed += 1,
                (true, true) => {
                    uncertain += 1;
                    assert_eq!(state, "uncertain", "{point}: a lost token has to be told");
                }
                (false, true) => kept += 1,
                (false, false) => panic!("{point}: a token from nowhere"),
            }
            home.orgkey(&["test", "acme"]).ok();
            let next = home.orgkey_with(&["token", "acme", "--not", "-"], &served);
            let lost = spent && served == old;
            assert_eq!(next.status, if lost { 3 } else { 0 }, "{point}: {next}");
            assert_eq!(simulator.count("replays"), u64::from(lost), "{point}");
            if lost {
                home.set_up(&simulator, "acme", ANA).ok();
            }
            assert_eq!(home.shown("acme")["state"], json!("ready"), "{point}");
        }
    }
    assert!(kept > 0 && uncertain > 0 && committed > 0, "the sweep met every part of a refresh");
}
