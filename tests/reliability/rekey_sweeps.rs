//! The end of the process, or an error of the disk, at every point of a change of the sealing key:
//! every value opens by what is in `store.age`, and whoever could open it may or may not, but nobody
//! else.

use serde_json::{Value, json};

use crate::common::{Home, SECRET_APP, Simulator};
use crate::rekey::{SEALING_KEYS, other_admin};
use crate::sweep::{Blow, Subject, each_point};
use crate::{ANA, assert_sound, installed, number, say};

/// System calls by which a change of the key changes the disk, or keeps others away.
const TELLING_CALLS: [&str; 7] =
    ["fdatasync", "flock", "fsync", "ftruncate", "rename", "unlink", "exit_group"];
/// Those through which a disk refuses.
const DISK_CALLS: [&str; 8] =
    ["fdatasync", "flock", "fsync", "ftruncate", "openat", "pread64", "pwrite64", "rename"];
/// Values that are sealed: a token set, a pending set-up, a client secret.
const VALUES: i64 = 3;

/// What a sweep met.
#[derive(Debug, Default)]
struct Met {
    points: usize,
    /// The key was the old one, or both were there.
    unfinished: usize,
    /// It was the new one alone.
    finished: usize,
}

/// A home with a value in every table that a set-up fills, and a second recipient.
fn prepare(simulator: &Simulator) -> (Home, String) {
    let home = Home::new();
    home.ready_credential(simulator, "acme", ANA);
    let secret = home.outside().join("secret");
    std::fs::write(&secret, "a client secret").unwrap();
    crate::common::set_mode(&secret, 0o600);
    let secret = secret.to_str().unwrap();
    home.orgkey(&["app", "add", "web", "--client-id", SECRET_APP, "--secret-from", secret]).ok();
    home.save(simulator, "ben", "ben@acme.example", &[]).ok();
    home.orgkey(&["setup", "ben", "--start"]).ok();
    let (_, public_key) = other_admin();
    (home, public_key)
}

fn recipients(home: &Home) -> Vec<String> {
    let all = home.orgkey(&["key", "recipient", "list", "--json"]).ok().json();
    let label = |one: &Value| one["label"].as_str().unwrap().to_owned();
    all["recipients"].as_array().unwrap().iter().map(label).collect()
}

/// Goes through a command at these calls, or at all that it makes.
fn sweep(arguments: &[&str], blow: Blow, calls: Option<&[&str]>) -> Met {
    let simulator = Simulator::start();
    let (home, public_key) = prepare(&simulator);
    let subject = Subject { arguments, stdin: "" };
    let with_second = || {
        if recipients(&home).len() == 1 {
            home.orgkey(&["key", "recipient", "add", &public_key, "--label", "ben"]).ok();
        }
    };
    let served = home.orgkey(&["token", "acme"]).ok().stdout;
    with_second();
    let calls = match calls {
        Some(calls) => calls.iter().map(|call| (*call).to_owned()).collect(),
        None => subject.calls(&home),
    };
    let mut met = Met::default();
    each_point(&calls, |call, n| {
        with_second();
        let rotations = number(&home, "SELECT count(*) FROM audit WHERE event = 'key_rotated'");
        let hit = subject.hit(&home, blow, call, n);
        if !hit.met {
            return false;
        }
        let point = format!("{call} {n}");
        assert!(![101, 134, 139].contains(&hit.run.status), "{point}: {}", hit.run);
        assert!(!hit.run.stderr.contains("panicked"), "{point}: {}", hit.run);
        met.points += 1;
        let now = number(&home, "SELECT count(*) FROM audit WHERE event = 'key_rotated'");
        if now == rotations {
            met.unfinished += 1;
        } else {
            met.finished += 1;
        }
        // Served as before, by the two ways that there are to the key.
        assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, served, "{point}");
        home.orgkey(&["test", "acme"]).ok();
        assert_eq!(number(&home, SEALING_KEYS), 1, "{point}: it was ended by what came next");
        let who = recipients(&home);
        assert!(who == ["first admin"] || who == ["first admin", "ben"], "{point}: {who:?}");
        // A rotation opens every value, and tells of those that it could not.
        let rotated = home.orgkey(&["key", "rotate", "--json"]).ok().json()["key"].clone();
        assert_eq!(
            (&rotated["resealed"], &rotated["unopened"], &rotated["former_kept"]),
            (&json!(VALUES), &json!(0), &json!(false)),
            "{point}"
        );
        assert_eq!(recipients(&home), who, "{point}");
        assert_sound(&home);
        true
    });
    assert!(met.unfinished > 0 && met.finished > 0, "every part of it was met: {met:?}");
    met
}

const ROTATE: [&str; 2] = ["key", "rotate"];
const REMOVE: [&str; 6] = ["key", "recipient", "remove", "ben", "--confirm", "ben"];

#[test]
fn a_kill_where_a_change_of_the_key_is_heard_leaves_no_value_that_no_key_opens() {
    if !installed(&["strace"], "kills at the system calls of a key rotation") {
        return;
    }
    let met = sweep(&REMOVE, Blow::Kill, Some(&TELLING_CALLS));
    assert!(met.points > 10, "{met:?}");
}

#[test]
fn a_disk_that_refuses_one_write_of_a_change_of_the_key_loses_nothing() {
    if !installed(&["strace"], "errors of the disk in a key rotation") {
        return;
    }
    sweep(&ROTATE, Blow::Error("ENOSPC"), Some(&["fdatasync", "fsync", "rename"]));
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_key_rotation_leaves_no_value_that_no_key_opens() {
    if !installed(&["strace"], "kills at every system call of a key rotation") {
        return;
    }
    let met = sweep(&ROTATE, Blow::Kill, None);
    say(&format!("key rotate, killed: {met:?}"));
}

#[test]
#[ignore = "takes minutes"]
fn a_kill_at_every_system_call_of_a_removal_leaves_the_old_recipients_or_the_new() {
    if !installed(&["strace"], "kills at every system call of a removal") {
        return;
    }
    let met = sweep(&REMOVE, Blow::Kill, None);
    say(&format!("recipient remove, killed: {met:?}"));
}

#[test]
#[ignore = "takes minutes"]
fn an_error_at_every_call_to_the_disk_in_a_change_of_the_key_loses_nothing() {
    if !installed(&["strace"], "errors at the system calls of a key rotation") {
        return;
    }
    for error in ["ENOSPC", "EIO"] {
        for (arguments, name) in [(&ROTATE[..], "key rotate"), (&REMOVE, "recipient remove")] {
            let met = sweep(arguments, Blow::Error(error), Some(&DISK_CALLS));
            say(&format!("{name}, {error}: {met:?}"));
        }
    }
}
