//! What may die, and when: processes killed at every system call, disks that refuse, many at once,
//! a machine that loses its power. After each of them the store is sound, and either works with
//! Salesforce or says that it may not.
//!
//! The quick ones run with the others. The long ones, every system call among them:
//! `cargo test --test reliability -- --ignored --test-threads 1`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "the other test crates use the rest")]
mod common;
#[path = "../dashboard/console.rs"]
#[expect(dead_code, reason = "the tests of the dashboard use the rest")]
mod console;
mod crowd;
mod cuts;
mod discover;
mod power;
mod processes;
mod random;
mod rekey;
mod rekey_sweeps;
mod revoke;
mod revoke_all;
mod rotate;
#[path = "../common/sshd.rs"]
mod sshd;
mod sweep;
mod sweeps;

use serde_json::Value;

use common::{Home, Simulator, installed};

/// The user whose credential is tried.
const ANA: &str = "ana@acme.example";

/// Says something past the capture of output, so that it is read by whoever runs the tests.
fn say(words: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{words}\n").as_bytes());
}

/// A connection to the store, as anyone can open it.
fn store(home: &Home) -> rusqlite::Connection {
    rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap()
}

/// A number that the store answers.
fn number(home: &Home, query: &str) -> i64 {
    store(home).query_row(query, [], |row| row.get(0)).unwrap()
}

/// Approvals of a user that live at Salesforce.
fn approvals(simulator: &Simulator, username: &str) -> usize {
    let all = simulator.read("approvals")["approvals"].clone();
    let is_theirs = |approval: &&Value| approval["username"] == username;
    all.as_array().unwrap().iter().filter(is_theirs).count()
}

/// Waits until Salesforce has carried out all that arrived, also from processes that are dead.
fn settle(simulator: &Simulator) {
    common::until("what was sent to be carried out", || {
        simulator.journal().iter().all(|entry| !entry["outcome"].is_null())
    });
}

/// What holds whatever happened: a sound store, an audit whose rows follow each other, private
/// files, and none that nobody knows.
fn assert_sound(home: &Home) {
    use std::os::unix::fs::MetadataExt;
    let connection = store(home);
    let word: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
    let mut broken = connection.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(broken.query([]).unwrap().next().unwrap().is_none(), "a row refers to nothing");
    let mut rows =
        connection.prepare("SELECT previous, hash FROM audit ORDER BY sequence").unwrap();
    let mut last = vec![0; 32];
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for (index, row) in rows.enumerate() {
        let (previous, hash): (Vec<u8>, Vec<u8>) = row.unwrap();
        assert!(index == 0 || previous == last, "a row of the audit does not follow");
        last = hash;
    }
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let known = [
            "config.toml",
            "identity.key",
            "store.age",
            "orgkey.db",
            "orgkey.db-shm",
            "orgkey.db-wal",
            "orgkey.log",
            "inbox",
            "locks",
            "spent",
            "ballast",
            "audit.head",
            "agent.sock",
        ];
        assert!(known.contains(&name.as_str()), "left behind: {name}");
        let metadata = entry.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o077, 0, "others can get at {name}");
    }
}
