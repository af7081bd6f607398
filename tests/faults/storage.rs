//! Rows D4 to D9 and D17: a store that can't be written, is locked, damaged, beside a log that is
//! not its own, of a newer program, or at the limit of its process.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, Run, config, run, set_mode};
use crate::machine::{
    UNSHARE, assert_sound, behind, beside, can_run, on_read_only, snapshot, store_file,
};
use crate::scene::{ANA, Scene, check_error};

/// Whether a read-only view of a folder can be had.
fn can_mount() -> bool {
    let script = "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp";
    can_run(&[UNSHARE.as_slice(), &[script]].concat(), "a read-only file system")
}

#[test]
fn d04_what_reads_works_on_a_read_only_file_system_and_what_writes_says_so() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let home = &scene.home;
    let stored = scene.token();
    for reading in [&["list", "--json"][..], &["show", "acme"], &["app", "list"], &["key", "show"]]
    {
        let before = home.orgkey(reading);
        let run = on_read_only(home, reading, "");
        assert_eq!(
            (run.status, &run.stdout),
            (before.status, &before.stdout),
            "{reading:?}: {run}"
        );
    }
    scene.simulator.clear_journal();
    let before = snapshot(&home.path());
    let writing: [(&[&str], &str); 8] = [
        (&["token", "acme", "--json"], ""),
        (&["token", "acme", "--not", "-", "--json"], &stored),
        (&["test", "acme", "--json"], ""),
        (&["reset", "acme", "--tag", "eu", "--json"], ""),
        (&["setup", "acme", "--start", "--json"], ""),
        (&["delete", "acme", "--confirm", "acme", "--json"], ""),
        (&["app", "add", "second", "--client-id", "3MVG9x", "--json"], ""),
        (&["use", "acme/production", "--json"], ""),
    ];
    for (arguments, stdin) in writing {
        let run = on_read_only(home, arguments, stdin);
        let code = run.error()["code"].clone();
        assert!(code == "store_read_only" || code == "file_refused", "{arguments:?}: {run}");
        check_error(&run, 9, code.as_str().unwrap(), &["ead-only"], &["writable"]);
    }
    assert_eq!(snapshot(&home.path()), before, "no byte was changed");
    let asked = |entry: &Value| entry["grant_type"] == "refresh_token";
    assert!(!scene.simulator.journal().iter().any(asked), "no token was spent");
    assert_eq!(scene.approvals(), 1);
    // Whoever wants it so gets the token without the record.
    let served = config(PUBLIC_APP) + "[audit]\non_write_failure = \"serve\"\n";
    home.write("config.toml", &served);
    let run = on_read_only(home, &["token", "acme"], "").ok();
    assert_eq!(run.stdout.trim(), stored);
    assert!(run.stderr.contains("in no record"), "{run}");
    home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();
    // Also while an exchange is open, which can't be looked into here.
    scene.spoil("refresh_token", 1, &json!({ "then": "reset" }));
    scene.refresh().expect(10);
    let run = on_read_only(home, &["list"], "").ok();
    assert!(run.stdout.contains("uncertain"), "{run}");
}

#[test]
fn d04_a_folder_that_its_owner_may_not_write_reads_on() {
    let other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    if !can_run(&[other.as_slice(), &["true"]].concat(), "a folder that may not be written") {
        return;
    }
    let scene = Scene::new();
    let home = &scene.home;
    let before = home.orgkey(&["show", "acme"]).ok().stdout;
    set_mode(home.outside(), 0o711);
    for (path, _) in snapshot(&home.path()) {
        set_mode(&path, 0o400);
    }
    set_mode(&home.path(), 0o500);
    let handed_over =
        std::process::Command::new("chown").args(["-R", "65534:65534"]).arg(home.path()).status();
    assert!(handed_over.unwrap().success());
    let as_owner = |arguments: &[&str]| run(behind(home, &other, arguments), "");
    assert_eq!(as_owner(&["show", "acme"]).ok().stdout, before);
    let run = as_owner(&["reset", "acme", "--tag", "eu", "--json"]);
    check_error(&run, 9, "store_read_only", &["read-only"], &["make the folder writable"]);
}

#[test]
fn d04_commits_that_are_still_in_the_log_are_read_too() {
    if !can_mount() {
        return;
    }
    let scene = Scene::new();
    let _log_stays = open_and_look(&scene.home);
    scene.home.orgkey(&["reset", "acme", "--tag", "only-in-the-log"]).ok();
    assert!(fs::metadata(beside(&scene.home, "-wal")).unwrap().len() > 0);
    let run = on_read_only(&scene.home, &["show", "acme"], "").ok();
    assert!(run.stdout.contains("only-in-the-log"), "{run}");
}

/// Keeps the store open, so that the log is not moved into it when a command ends.
fn open_and_look(home: &Home) -> Connection {
    let store = Connection::open(store_file(home)).unwrap();
    store.query_row("SELECT count(*) FROM credential", [], |_| Ok(())).unwrap();
    store
}

#[test]
fn d05_who_holds_the_write_lock_is_named_after_five_seconds() {
    let scene = Scene::new();
    let mut store = open_and_look(&scene.home);
    let lock = store.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let began = Instant::now();
    let commands = [&["reset", "acme", "--tag", "eu", "--json"][..], &["token", "acme", "--json"]];
    let runs: Vec<Run> = std::thread::scope(|scope| {
        let home = &scene.home;
        let waiting: Vec<_> =
            commands.iter().map(|arguments| scope.spawn(|| home.orgkey(arguments))).collect();
        // Whoever only reads does not wait.
        home.orgkey(&["list"]).ok();
        assert!(began.elapsed() < Duration::from_secs(4), "the list waited for the lock");
        waiting.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let us = format!("process {}", std::process::id());
    for run in runs {
        check_error(&run, 9, "store_busy", &[&us, "locked for 5 s"], &["try again"]);
    }
    assert_eq!(scene.home.shown("acme")["tags"], json!([]));
    drop(lock);
    scene.home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();
    scene.token();
}

/// What damages a store: a name, and what it does to the bytes.
type Damage = (&'static str, fn(Vec<u8>) -> Vec<u8>);

#[test]
fn d06_a_damaged_store_is_told_and_never_overwritten() {
    let damages: [Damage; 5] = [
        ("no header", |mut bytes| {
            bytes[..100].fill(0);
            bytes
        }),
        ("no SQLite at all", |_| b"<html>not here</html>".repeat(400)),
        ("pages", |mut bytes| {
            bytes[4096..].fill(0xff);
            bytes
        }),
        ("cut in the middle", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }),
        ("emptied", |_| Vec::new()),
    ];
    let scene = Scene::new();
    let home = &scene.home;
    let (path, keys) = (store_file(home), home.path().join("store.age"));
    assert!(!beside(home, "-wal").exists(), "all is in the file");
    let sound = (fs::read(&path).unwrap(), fs::read(&keys).unwrap());
    for (name, damage) in damages {
        let spoilt = damage(sound.0.clone());
        fs::write(&path, &spoilt).unwrap();
        for arguments in [
            &["list", "--json"][..],
            &["token", "acme", "--json"],
            &["reset", "acme", "--tag", "x", "--json"],
            &["setup", "acme", "--start", "--json"],
            &["key", "init", "--no-passphrase", "--json"],
        ] {
            let run = home.orgkey(arguments);
            assert_eq!(run.status, 9, "{name}: {arguments:?}: {run}");
            check_error(
                &run,
                9,
                "store_damaged",
                &["damaged"],
                &["orgkey restore", "backup", "away"],
            );
        }
        assert!(fs::read(&path).unwrap() == spoilt, "{name}: it was written to");
        assert!(fs::read(&keys).unwrap() == sound.1, "{name}: the key was touched");
        fs::write(&path, &sound.0).unwrap();
        home.orgkey(&["test", "acme"]).ok();
        // The test was written down; what is damaged next is what is there now.
        fs::write(&path, &sound.0).unwrap();
    }
    assert_eq!(scene.sent("refresh_token"), 0);
}

#[test]
fn d06_a_store_that_is_gone_is_not_begun_anew_over_its_log() {
    let scene = Scene::new();
    let home = &scene.home;
    let kept = open_and_look(home);
    home.orgkey(&["reset", "acme", "--tag", "in-the-log"]).ok();
    let log = fs::read(beside(home, "-wal")).unwrap();
    assert!(!log.is_empty());
    let away = home.outside().join("away.db");
    fs::rename(store_file(home), &away).unwrap();
    check_error(
        &home.orgkey(&["list", "--json"]),
        9,
        "store_damaged",
        &["orgkey.db is missing", "orgkey.db-wal"],
        &["backup"],
    );
    assert!(fs::read(beside(home, "-wal")).unwrap() == log && !store_file(home).exists());
    fs::rename(&away, store_file(home)).unwrap();
    drop(kept);
    assert_eq!(home.shown("acme")["tags"], json!(["in-the-log"]));
    // Without a log an empty one is made, and that is said once.
    fs::rename(store_file(home), &away).unwrap();
    let run = home.orgkey(&["list"]).ok();
    assert!(run.stderr.contains("no orgkey.db, so an empty one was made"), "{run}");
    let run = home.orgkey(&["list"]).ok();
    assert!(!run.stderr.contains("orgkey.db"), "{run}");
}

/// The store with its log, as they lie there while commits are in the log alone.
fn with_log(home: &Home) -> Vec<(PathBuf, Vec<u8>)> {
    let kept = open_and_look(home);
    home.orgkey(&["reset", "acme", "--tag", "in-the-log"]).ok();
    let files = ["", "-wal", "-shm"].map(|suffix| beside(home, suffix));
    let files = files.map(|path| (path.clone(), fs::read(path).unwrap()));
    drop(kept);
    files.to_vec()
}

/// Puts files as they were and takes all else of the store away.
fn put_back(home: &Home, files: &[(PathBuf, Vec<u8>)]) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(home, suffix));
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
        set_mode(path, 0o600);
    }
}

/// What becomes of log and index, and whether the commit in the log must be seen.
type LogRow<'a> = (&'a str, Option<&'a [u8]>, Option<&'a [u8]>, Option<bool>);

#[test]
fn d07_a_log_or_index_that_is_missing_cut_or_nonsense_leaves_a_sound_store() {
    let scene = Scene::new();
    let home = &scene.home;
    let stored = scene.token();
    let files = with_log(home);
    let nonsense = vec![0x5a; 40_000];
    let cut = files[1].1[..files[1].1.len() - 100].to_vec();
    let rows: [LogRow<'_>; 6] = [
        ("as it was", Some(&files[1].1), Some(&files[2].1), Some(true)),
        ("no index", Some(&files[1].1), None, Some(true)),
        ("a foreign index", Some(&files[1].1), Some(&nonsense), Some(true)),
        ("no log", None, Some(&files[2].1), Some(false)),
        ("a log of nonsense", Some(&nonsense), None, Some(false)),
        ("a log that was cut", Some(&cut), None, None),
    ];
    for (name, log, index, seen) in rows {
        put_back(home, &files[..1]);
        for (path, bytes) in [(&files[1].0, log), (&files[2].0, index)] {
            if let Some(bytes) = bytes {
                fs::write(path, bytes).unwrap();
                set_mode(path, 0o600);
            }
        }
        let tags = home.shown("acme")["tags"].clone();
        let has_it = tags == json!(["in-the-log"]);
        assert!(has_it || tags == json!([]), "{name}: {tags}");
        assert!(seen.is_none_or(|seen| seen == has_it), "{name}: {tags}");
        assert_sound(home);
        assert_eq!(scene.token(), stored, "{name}");
        home.orgkey(&["reset", "acme", "--tag", "after"]).ok();
        home.orgkey(&["test", "acme"]).ok();
        assert_sound(home);
    }
}

#[test]
fn d07_the_log_of_another_store_hands_out_no_token_of_it() {
    let scene = Scene::new();
    let other = Home::new();
    other.ready_credential(&scene.simulator, "acme", "ben@acme.example");
    let foreign = other.orgkey(&["token", "acme"]).ok().stdout;
    let log = with_log(&other)[1].1.clone();
    let stored = scene.token();
    fs::write(beside(&scene.home, "-wal"), &log).unwrap();
    set_mode(&beside(&scene.home, "-wal"), 0o600);
    // SQLite can't tell whose log it is, and its pages count. The seal can: nothing of it opens.
    let run = scene.home.orgkey(&["token", "acme", "--json"]);
    assert!(!run.stdout.contains(foreign.trim()), "{run}");
    assert!(run.status != 0 || run.json()["access_token"] == stored.as_str(), "{run}");
    assert!([0, 3, 9].contains(&run.status), "{run}");
    assert_eq!(scene.sent("refresh_token"), 0, "no refresh token was spent on it");
}

#[test]
fn d07_an_old_log_of_the_same_store_is_no_crash_and_no_foreign_token() {
    let scene = Scene::new();
    let home = &scene.home;
    let old = with_log(home)[1].1.clone();
    for tag in ["one", "two", "three"] {
        home.orgkey(&["reset", "acme", "--tag", tag]).ok();
    }
    let stored = scene.token();
    home.orgkey(&["list"]).ok();
    fs::write(beside(home, "-wal"), &old).unwrap();
    set_mode(&beside(home, "-wal"), 0o600);
    let run = home.orgkey(&["token", "acme"]);
    assert!((run.status == 0 && run.stdout.trim() == stored) || run.status == 9, "{run}");
    assert_eq!(scene.sent("refresh_token"), 0);
}

#[test]
fn d09_a_newer_store_is_refused_with_both_versions_and_left_alone() {
    let scene = Scene::new();
    let home = &scene.home;
    let store = Connection::open(store_file(home)).unwrap();
    let known: i64 = store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    store.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let before = fs::read(store_file(home)).unwrap();
    for arguments in [
        &["list", "--json"][..],
        &["token", "acme", "--json"],
        &["reset", "acme", "--tag", "x", "--json"],
    ] {
        check_error(
            &home.orgkey(arguments),
            9,
            "store_too_new",
            &["version 99", &format!("up to {known}")],
            &["newer orgkey"],
        );
    }
    assert!(fs::read(store_file(home)).unwrap() == before, "it was written to");
    let store = Connection::open(store_file(home)).unwrap();
    store.pragma_update(None, "user_version", known).unwrap();
    drop(store);
    scene.token();
}

#[test]
fn d17_a_file_size_limit_is_an_error_of_the_write_and_not_the_end_of_the_process() {
    if !can_run(&["prlimit", "--fsize=0", "true"], "a file size limit") {
        return;
    }
    let scene = Scene::new();
    let home = &scene.home;
    let stored = scene.token();
    let limited = |arguments: &[&str], stdin: &str| {
        run(behind(home, &["prlimit", "--fsize=2048"], arguments), stdin)
    };
    for (arguments, stdin) in [
        (&["reset", "acme", "--tag", "eu", "--json"][..], ""),
        (&["token", "acme", "--json"], ""),
        (&["token", "acme", "--not", "-", "--json"], stored.as_str()),
        (&["setup", "acme", "--start", "--json"], ""),
        (&["delete", "acme", "--confirm", "acme", "--json"], ""),
    ] {
        let run = limited(arguments, stdin);
        assert_eq!(run.status, 9, "{arguments:?}: {run}");
        check_error(&run, 9, run.error()["code"].as_str().unwrap(), &["store"], &["ulimit"]);
    }
    assert_eq!(scene.sent("refresh_token"), 0, "what can't be written down is not sent");
    assert_eq!(scene.approvals(), 1);
    assert_sound(home);
    assert_eq!(home.shown("acme")["tags"], json!([]));
    assert_eq!(scene.token(), stored);
    // A new home fails in the same way, and leaves nothing that is in the way afterwards.
    let fresh = Home::empty();
    let run = run(behind(&fresh, &["prlimit", "--fsize=64"], &["list", "--json"]), "");
    assert_eq!(run.status, 9, "{run}");
    fresh.orgkey(&["list"]).ok();
    fresh.save(&scene.simulator, "acme", ANA, &[]).ok();
}
