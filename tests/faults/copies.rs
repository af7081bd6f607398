//! Copies of a store: D10 an older version, D14 a store on two hosts, D15 a restored backup. What was
//! sent to Salesforce is read from the simulated one's journal, never from the program's own words.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::json;

use crate::common::{Home, PUBLIC_APP, STATIC_APP, Simulator, config, installed, run, set_mode};

pub const ANA: &str = "ana@acme.example";

/// A simulated Salesforce and a home with the tested credential `acme`, whose app rotates.
pub fn ready() -> (Simulator, Home) {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    (simulator, home)
}

/// Ends every session at Salesforce and has the token refreshed.
pub fn refresh(simulator: &Simulator, home: &Home, name: &str) {
    simulator.control("expire_sessions", &json!({}));
    home.orgkey(&["test", name]).ok();
}

/// The store as it lies there, the log moved into it.
pub fn store(home: &Home) -> Connection {
    let store = Connection::open(home.path().join("orgkey.db")).unwrap();
    store.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    store
}

/// Copies the file of a store, as `cp` does.
pub fn copy_store(home: &Home, to: &Path) {
    drop(store(home));
    fs::copy(home.path().join("orgkey.db"), to).unwrap();
    set_mode(to, 0o600);
}

/// Puts the file of a store in the place of the one that is there, as `cp` does.
pub fn put_back(home: &Home, from: &Path) {
    for log in ["orgkey.db-wal", "orgkey.db-shm"] {
        let _ = fs::remove_file(home.path().join(log));
    }
    fs::copy(from, home.path().join("orgkey.db")).unwrap();
}

/// How many audit rows there are of an event.
pub fn audited(home: &Home, event: &str) -> u64 {
    let rows = "SELECT count(*) FROM audit WHERE event = ?1";
    store(home).query_row(rows, [event], |row| row.get(0)).unwrap()
}

/// Refused by the question, which names both answers.
fn assert_asked(home: &Home, name: &str, why: &str) {
    let refused = home.orgkey(&["test", name, "--json"]).expect(6);
    let error = refused.error();
    assert_eq!(error["code"], "store_copied", "{refused}");
    assert!(error["message"].as_str().unwrap().contains(why), "{refused}");
    let remedy = error["remedy"].as_str().unwrap();
    assert!(remedy.contains("orgkey adopt") && remedy.contains("--elsewhere"), "{refused}");
}

#[test]
fn d15_a_store_put_back_from_an_older_copy_replays_nothing() {
    let (simulator, home) = ready();
    let old = home.outside().join("old.db");
    copy_store(&home, &old);
    refresh(&simulator, &home, "acme");
    put_back(&home, &old);
    simulator.clear_journal();
    // The access token that the old store has is dead, and its refresh token is spent.
    assert_asked(&home, "acme", "older than what this host has refreshed");
    assert_asked(&home, "acme", "older than what this host has refreshed");
    assert_eq!(simulator.count("refreshes") + simulator.count("replays"), 0);
    assert_eq!(audited(&home, "store_copied"), 1, "the question is asked once");
    // A sign-in would end in the revocation of a token that may be another copy's.
    assert_eq!(
        home.orgkey(&["setup", "acme", "--start", "--json"]).expect(6).error()["code"],
        "store_copied"
    );

    let adopted = home.orgkey(&["adopt", "--json"]).ok().json();
    assert_eq!(adopted["adopted"]["before"]["copied"]["sign"], "older");
    assert_eq!(
        adopted["adopted"]["spent"],
        json!([{ "name": "acme", "environment": "production" }])
    );
    let shown = home.shown("acme");
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("needs_setup"), &json!("unknown")));
    let refused = home.orgkey(&["token", "acme"]).expect(3);
    assert!(refused.stderr.contains("spent after this backup was made"), "{refused}");
    assert_eq!(simulator.count("refreshes") + simulator.count("replays"), 0);

    home.set_up(&simulator, "acme", ANA).ok();
    refresh(&simulator, &home, "acme");
    assert_eq!(simulator.count("replays"), 0);
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn d15_an_access_token_is_served_while_it_lives_and_a_kept_one_goes_on() {
    let (simulator, home) = ready();
    // A refresh that Salesforce did not take spends nothing.
    simulator.script(&json!([{
        "match": { "grant_type": "refresh_token" },
        "status": 503, "body": "later",
    }]));
    let old = home.outside().join("old.db");
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    copy_store(&home, &old);
    home.orgkey_with(&["token", "acme", "--not", "-"], &token).expect(4);
    simulator.clear_script();
    put_back(&home, &old);
    assert_eq!(
        home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &token).expect(6).error()["code"],
        "store_copied"
    );
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    assert_eq!(home.orgkey(&["adopt", "--json"]).ok().json()["adopted"]["spent"], json!([]));
    home.orgkey_with(&["token", "acme", "--not", "-"], &token).ok();
    assert_eq!(simulator.count("replays"), 0);
}

#[test]
fn d14_a_store_that_another_host_used_last_asks_before_it_refreshes() {
    let (simulator, home) = ready();
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    store(&home).execute("UPDATE meta SET host_mark = 'another'", []).unwrap();
    simulator.clear_journal();
    simulator.control("expire_sessions", &json!({}));
    assert_asked(&home, "acme", "last used on another host");
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    // The other one goes on.
    let moved = home.orgkey(&["move", "--elsewhere", "--json"]).ok().json();
    assert!(moved["standing"]["moved"]["at"].is_string(), "{moved}");
    assert_eq!(
        home.orgkey(&["test", "acme", "--json"]).expect(6).error()["code"],
        "moved_elsewhere"
    );
    assert_eq!(
        home.orgkey(&["setup", "acme", "--start", "--json"]).expect(6).error()["code"],
        "moved_elsewhere"
    );
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    assert_eq!(simulator.count("refreshes"), 0);
    // It is taken back, and nothing was spent.
    home.orgkey(&["adopt", "--confirm", "orgkey.db", "--reason", "the other host is gone"]).ok();
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (1, 0));
    for event in ["store_copied", "store_moved", "store_adopted"] {
        assert_eq!(audited(&home, event), 1, "{event}");
    }
}

/// Many credentials: each a connection of its own, signed in by the same user.
fn save_many(home: &Home, simulator: &Simulator, app: &str, from: usize, count: usize) {
    let org = simulator.org_of(ANA);
    let user = simulator.user(ANA);
    let lines: Vec<String> = (from..from + count)
        .map(|number| {
            json!({
                "name": format!("c{number}"), "environment": "production", "org_id": org["org_id"],
                "user_id": user["user_id"], "login_url": org["my_domain"], "app": app,
            })
            .to_string()
        })
        .collect();
    home.orgkey_with(&["save", "--from", "-"], &lines.join("\n")).ok();
}

#[test]
fn d15_of_400_restored_credentials_300_rotate_and_the_question_is_asked_once() {
    const ROTATING: usize = 300;
    const ALL: usize = 400;
    let simulator = Simulator::start();
    let home = Home::new();
    let apps = format!(
        "{}rotation = \"yes\"\n[apps.static]\nclient_id = \"{STATIC_APP}\"\nrotation = \"no\"\n",
        config(PUBLIC_APP)
    );
    home.write("config.toml", &apps);
    for app in [PUBLIC_APP, STATIC_APP] {
        let limit = json!({ "client_id": app, "approval_limit": ALL, "replay": "revoke_family" });
        simulator.control("apps", &limit);
    }
    save_many(&home, &simulator, "default", 0, ROTATING);
    save_many(&home, &simulator, "static", ROTATING, ALL - ROTATING);
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (home, simulator) = (&home, &simulator);
            scope.spawn(move || {
                for number in (part..ALL).step_by(4) {
                    home.set_up(simulator, &format!("c{number}"), ANA).ok();
                }
            });
        }
    });
    let old = home.outside().join("old.db");
    copy_store(&home, &old);
    let test_all = || {
        simulator.control("expire_sessions", &json!({}));
        home.orgkey(&["test", "--all", "--json"])
    };
    test_all().ok();
    put_back(&home, &old);
    simulator.clear_journal();

    let refused = test_all().expect(6);
    assert_eq!(refused.error()["code"], "store_copied");
    let results = refused.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), ALL - ROTATING, "what does not rotate goes on");
    assert!(results.iter().all(|result| result["outcome"] == "ok"), "{results:?}");
    assert_eq!(simulator.count("refreshes"), (ALL - ROTATING) as u64);
    assert_eq!(simulator.count("replays"), 0);
    test_all().expect(6);
    assert_eq!(audited(&home, "store_copied"), 1, "asked once for all");

    let adopted = home.orgkey(&["adopt", "--json"]).ok().json();
    assert_eq!(adopted["adopted"]["spent"].as_array().unwrap().len(), ROTATING);
    let tested = test_all().expect(3).json();
    let outcome = |word: &str| {
        let results = tested["results"].as_array().unwrap().iter();
        results.filter(|result| result["outcome"] == word).count()
    };
    assert_eq!((outcome("needs_setup"), outcome("ok")), (ROTATING, ALL - ROTATING));
    assert_eq!(simulator.count("replays"), 0, "no spent token was ever sent");
}

/// A home whose store is of version 1: what later versions added is taken out again.
fn of_version_1(home: &Home) {
    let store = store(home);
    let newer = "DROP INDEX draining_token_set; DROP TABLE round_item; DROP TABLE round;
                 DROP TABLE discovery";
    store.execute_batch(newer).unwrap();
    let columns = [
        ("token_set", "rotated_at"),
        ("token_set", "drain_limit"),
        ("meta", "copied_since"),
        ("meta", "copied_sign"),
        ("meta", "moved_at"),
        ("meta", "moved_to"),
        ("credential", "refreshes"),
        ("token_set", "handed_out"),
        ("revocation_owed", "due_at"),
    ];
    let first = include_str!("../../assets/migrations/0001_initial.sql");
    let hand_out = first.split("CREATE TABLE hand_out").nth(1).unwrap().split(';').next().unwrap();
    let former = format!(
        "DROP INDEX audit_by_subject; DROP INDEX audit_segments;
         ALTER TABLE hand_out RENAME TO newer;
         CREATE TABLE hand_out{hand_out};
         INSERT INTO hand_out SELECT credential_id, minute, 0, '', 'etl.sh', generation, count
           FROM newer;
         DROP TABLE newer;"
    );
    store.execute_batch(&former).unwrap();
    for (table, column) in columns {
        store.execute_batch(&format!("ALTER TABLE {table} DROP COLUMN {column}")).unwrap();
    }
    store.pragma_update(None, "user_version", 1).unwrap();
    // The same tables as the first version made.
    let made = Connection::open_in_memory().unwrap();
    made.execute_batch(first).unwrap();
    let columns = |store: &Connection| -> Vec<String> {
        let text = "SELECT m.name || '.' || c.name || ' ' || c.type FROM sqlite_schema m
                    JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY 1";
        let mut statement = store.prepare(text).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(columns(&store), columns(&made));
}

fn version_of(path: &Path) -> i64 {
    let store = Connection::open(path).unwrap();
    let sound: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    store.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn d10_a_store_of_an_older_version_is_copied_then_migrated() {
    let (simulator, home) = ready();
    of_version_1(&home);
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    assert_eq!(version_of(&home.path().join("orgkey.db")), 6);
    let kept = home.path().join("orgkey.db.version-1");
    assert_eq!(version_of(&kept), 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);
    assert!(
        !fs::read(&kept)
            .unwrap()
            .windows(token.trim().len())
            .any(|part| part == token.trim().as_bytes())
    );
    refresh(&simulator, &home, "acme");
    assert_eq!(simulator.count("replays"), 0);
    // What is kept is a whole store of its version: put back, it is migrated as well.
    put_back(&home, &kept);
    assert_asked(&home, "acme", "older than what this host has refreshed");
}

#[test]
fn d10_a_kill_at_any_point_of_a_migration_leaves_the_old_or_the_new() {
    if !has_strace("kills at every system call of a migration") {
        return;
    }
    let (_simulator, home) = ready();
    let path = home.path().join("orgkey.db");
    of_version_1(&home);
    let old = home.outside().join("version-1.db");
    copy_store(&home, &old);
    let (mut before, mut after) = (0, 0);
    for call in ["openat", "pwrite64", "fsync", "rename", "close"] {
        for n in 1.. {
            assert!(n < 500, "the sweep ends by itself");
            put_back(&home, &old);
            let ended = killed_at(&home, &["list"], call, n);
            if ended == 0 {
                break;
            }
            assert_eq!(ended, 137, "{call} {n}");
            match version_of(&path) {
                1 => before += 1,
                6 => {
                    after += 1;
                    assert_eq!(version_of(&home.path().join("orgkey.db.version-1")), 1);
                }
                other => panic!("{call} {n}: version {other}"),
            }
            home.orgkey(&["list"]).ok();
            assert_eq!(version_of(&path), 6, "{call} {n}");
            let left = |entry: fs::DirEntry| entry.path().extension().is_some_and(|it| it == "tmp");
            assert!(!fs::read_dir(home.path()).unwrap().any(|entry| left(entry.unwrap())));
        }
    }
    assert!(before > 0 && after > 0, "the sweep met both sides: {before} {after}");
}

/// Runs the program under strace, which kills it at the n-th such call of any of its threads; the
/// exit code.
pub fn killed_at(home: &Home, arguments: &[&str], call: &str, n: usize) -> i32 {
    let command = home.command(arguments);
    let mut traced = std::process::Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    traced.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(traced, "").status
}

/// Whether strace is here; where it is not, what is left out is said.
pub fn has_strace(left_out: &str) -> bool {
    installed(&["strace"], left_out)
}
