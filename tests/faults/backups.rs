//! Backup, restore, move and adopt: nothing is overwritten, a kill leaves the one or the other, and no
//! spent token is sent.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, Simulator, config, set_mode};
use crate::copies::{ANA, audited, has_strace, killed_at, ready, refresh, store};

const BEN: &str = "ben@acme.example";

/// A path beside the home, as text.
fn beside(home: &Home, name: &str) -> String {
    home.outside().join(name).to_str().unwrap().to_owned()
}

fn backup(home: &Home, name: &str) -> String {
    let file = beside(home, name);
    home.orgkey(&["backup", &file]).ok();
    file
}

/// A home with nothing but the app and the identity of another, as an admin carries it over.
fn new_host(former: &Home) -> Home {
    let home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    fs::copy(former.path().join("identity.key"), home.path().join("identity.key")).unwrap();
    home
}

/// Names of the files in a home that begin so.
fn files(home: &Home, start: &str) -> Vec<String> {
    let names = fs::read_dir(home.path()).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(start));
    names.sort();
    names
}

/// A token was spent twice, or never: what the simulated Salesforce says.
fn assert_no_replay(simulator: &Simulator) {
    assert_eq!(simulator.count("replays"), 0);
}

#[track_caller]
fn code(run: &Run) -> Value {
    run.error()["code"].clone()
}

#[test]
fn k26_a_backup_is_whole_sealed_and_never_overwrites() {
    let (simulator, home) = ready();
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    // Others write meanwhile: each refresh is several commits.
    let files: Vec<PathBuf> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..5 {
                let token = home.orgkey(&["token", "acme"]).ok().stdout;
                home.orgkey_with(&["token", "acme", "--not", "-"], &token).ok();
            }
        });
        let mut files = Vec::new();
        while files.len() < 3 || !writer.is_finished() {
            files.push(PathBuf::from(backup(&home, &format!("backup-{}", files.len()))));
        }
        files
    });
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o7777, 0o600);
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.windows(MARKER.len()).any(|part| part == MARKER.as_bytes()), "sealed");
        let copy = Connection::open(file).unwrap();
        let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(sound, "ok");
        let sets: u64 =
            copy.query_row("SELECT count(*) FROM token_set", [], |row| row.get(0)).unwrap();
        assert_eq!(sets, 1);
        let left = ["-wal", "-shm", "-journal"].map(|end| format!("{}{end}", file.display()));
        assert!(left.iter().all(|path| !Path::new(path).exists()));
    }
    let (first, before) = (files[0].to_str().unwrap(), fs::read(&files[0]).unwrap());
    let refused = home.orgkey(&["backup", first, "--json"]).expect(8);
    assert!(refused.error()["message"].as_str().unwrap().contains("is there already"), "{refused}");
    assert_eq!(fs::read(&files[0]).unwrap(), before);
    assert!(token.len() > 20 && audited(&home, "backup_made") == files.len() as u64);
    assert_no_replay(&simulator);
}

#[test]
fn a_backup_needs_no_key_and_goes_on_in_an_empty_home_with_an_identity() {
    let (simulator, home) = ready();
    let identity = fs::read(home.path().join("identity.key")).unwrap();
    fs::remove_file(home.path().join("identity.key")).unwrap();
    let file = backup(&home, "backup");
    home.write("identity.key", std::str::from_utf8(&identity).unwrap());
    refresh(&simulator, &home, "acme");

    let other = Home::empty();
    other.write("config.toml", &config(PUBLIC_APP));
    let restored = other.orgkey(&["restore", &file]).ok();
    assert!(
        restored.stdout.contains("1 credential, 1 token set sealed, with store.age"),
        "{restored}"
    );
    assert!(restored.stderr.contains("no identity is here"), "{restored}");
    other.write("identity.key", std::str::from_utf8(&identity).unwrap());
    // Nobody knows what was spent since: asked first, and nothing is sent.
    simulator.clear_journal();
    simulator.control("expire_sessions", &json!({}));
    assert_eq!(code(&other.orgkey(&["test", "acme", "--json"]).expect(6)), "store_copied");
    assert_eq!(simulator.count("refreshes"), 0);
    assert_eq!(files(&other, "."), Vec::<String>::new());
    assert_eq!(files(&other, "orgkey.db."), Vec::<String>::new());
    other.orgkey(&["move", "--elsewhere"]).ok();
    refresh(&simulator, &home, "acme");
    assert_no_replay(&simulator);
}

#[test]
fn over_the_same_store_what_is_newer_stays_and_nothing_is_asked() {
    let (simulator, home) = ready();
    home.ready_credential(&simulator, "ben", BEN);
    let file = backup(&home, "backup");
    refresh(&simulator, &home, "acme");
    home.orgkey(&["reset", "ben", "--tag", "wrong"]).ok();
    home.save(&simulator, "later", ANA, &["--tag", "new"]).ok();
    let token = home.orgkey(&["token", "acme"]).ok().stdout;

    let refused = home.orgkey(&["restore", &file, "--json"]).expect(6);
    assert_eq!(code(&refused), "confirmation_missing");
    let wrong = home.orgkey(&["restore", &file, "--confirm", "acme", "--json"]).expect(6);
    assert_eq!(code(&wrong), "confirmation_differs");
    assert_eq!(home.shown("ben")["tags"], json!(["wrong"]), "nothing was restored");

    let restored = home.orgkey(&["restore", &file, "--confirm", "orgkey.db", "--json"]).ok().json();
    let restored = &restored["restored"];
    assert_eq!((&restored["newer_here"], &restored["only_here"]), (&json!(1), &json!(1)));
    assert_eq!(restored["question_open"], false, "the journal knows both");
    assert_eq!(home.shown("ben")["tags"], json!([]));
    assert_eq!(home.shown("later")["tags"], json!(["new"]));
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
    refresh(&simulator, &home, "acme");
    refresh(&simulator, &home, "ben");
    assert_no_replay(&simulator);
    // What was there is kept, whole.
    let kept = restored["kept_as"].as_str().unwrap();
    assert_eq!(files(&home, "orgkey.db.before-"), [kept]);
    let former = Connection::open(home.path().join(kept)).unwrap();
    let tags: String = former
        .query_row("SELECT group_concat(tags, ',') FROM credential WHERE tags <> ''", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(tags.split(',').count(), 2, "{tags}");
    // The audit row of the restore joins both chains.
    let detail: String = store(&home)
        .query_row("SELECT detail FROM audit WHERE event = 'store_restored'", [], |row| row.get(0))
        .unwrap();
    let head: String = former
        .query_row("SELECT lower(hex(hash)) FROM audit ORDER BY sequence DESC LIMIT 1", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert!(detail.contains(kept) && detail.contains(&head), "{detail}");
}

#[test]
fn what_was_saved_anew_under_a_deleted_name_stays_and_what_was_deleted_comes_back() {
    let (simulator, home) = ready();
    home.save(&simulator, "ben", BEN, &[]).ok();
    let uat = "ana@acme.example.uat";
    home.ready_credential(&simulator, "acme/sandbox", uat);
    let file = backup(&home, "backup");
    for (address, username) in [("acme/production", ANA), ("acme/sandbox", uat)] {
        home.orgkey(&["delete", address, "--confirm", address]).ok();
        home.ready_credential(&simulator, address, username);
    }
    home.orgkey(&["delete", "ben", "--confirm", "ben"]).ok();
    let now = ["acme/production", "acme/sandbox"]
        .map(|address| home.orgkey(&["token", address]).ok().stdout);
    let restored = home.orgkey(&["restore", &file, "--confirm", "orgkey.db", "--json"]).ok().json();
    assert_eq!(restored["restored"]["only_here"], 2);
    let kept = ["acme/production", "acme/sandbox"]
        .map(|address| home.orgkey(&["token", address]).ok().stdout);
    assert_eq!(kept, now);
    home.orgkey(&["show", "ben"]).ok();
    let listed = home.orgkey(&["list", "--json"]).ok().json();
    assert_eq!(listed["credentials"].as_array().unwrap().len(), 3);
    simulator.control("expire_sessions", &json!({}));
    home.orgkey(&["test", "--all"]).ok();
    assert_no_replay(&simulator);
}

#[test]
fn a_backup_over_a_store_whose_newer_token_is_lost_is_asked_about() {
    let (simulator, home) = ready();
    let file = backup(&home, "backup");
    refresh(&simulator, &home, "acme");
    // The store is lost; the journal of this host is not.
    for name in ["orgkey.db", "orgkey.db-wal", "orgkey.db-shm"] {
        let _ = fs::remove_file(home.path().join(name));
    }
    simulator.clear_journal();
    let restored = home.orgkey(&["restore", &file, "--json"]).ok().json();
    assert_eq!(restored["restored"]["question_open"], true);
    simulator.control("expire_sessions", &json!({}));
    assert_eq!(code(&home.orgkey(&["test", "acme", "--json"]).expect(6)), "store_copied");
    let adopted = home.orgkey(&["adopt", "--json"]).ok().json();
    assert_eq!(adopted["adopted"]["spent"][0]["name"], "acme");
    home.orgkey(&["test", "acme"]).expect(3);
    assert_eq!(simulator.count("refreshes"), 0);
    assert_no_replay(&simulator);
}

#[test]
fn a_damaged_store_is_set_aside_and_another_store_is_kept_with_its_key() {
    let (simulator, home) = ready();
    let file = backup(&home, "backup");
    drop(store(&home));
    fs::write(home.path().join("orgkey.db"), "no store at all, ".repeat(500)).unwrap();
    home.orgkey(&["list"]).expect(9);
    let not_one = beside(&home, "not-one");
    fs::write(&not_one, "nor this, ".repeat(500)).unwrap();
    set_mode(Path::new(&not_one), 0o600);
    home.orgkey(&["restore", &not_one, "--confirm", "orgkey.db"]).expect(8);
    assert_eq!(
        files(&home, "orgkey.db.damaged-").len(),
        0,
        "nothing is moved for a file that is no backup"
    );
    assert_eq!(code(&home.orgkey(&["restore", &file, "--json"]).expect(6)), "confirmation_missing");
    home.orgkey(&["restore", &file, "--confirm", "orgkey.db"]).ok();
    assert_eq!(files(&home, "orgkey.db.damaged-").len(), 1);
    home.orgkey(&["test", "acme"]).ok();

    // A store that is gone but for its log, and one that was emptied, are set aside as well.
    fs::rename(home.path().join("orgkey.db"), home.path().join("orgkey.db-wal")).unwrap();
    home.orgkey(&["restore", &file, "--confirm", "orgkey.db"]).ok();
    home.orgkey(&["test", "acme"]).ok();
    drop(store(&home));
    fs::write(home.path().join("orgkey.db"), "").unwrap();
    home.orgkey(&["restore", &file, "--confirm", "orgkey.db"]).ok();
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(files(&home, "orgkey.db.damaged-").len(), 3);

    let other = Home::new();
    other.save(&simulator, "mine", BEN, &[]).ok();
    let its_key = fs::read(other.path().join("store.age")).unwrap();
    let restored =
        other.orgkey(&["restore", &file, "--confirm", "orgkey.db", "--json"]).ok().json();
    let kept = restored["restored"]["key_kept_as"].as_str().unwrap();
    assert_eq!(fs::read(other.path().join(kept)).unwrap(), its_key);
    assert_eq!(
        fs::read(other.path().join("store.age")).unwrap(),
        fs::read(home.path().join("store.age")).unwrap()
    );
    assert_eq!(files(&other, "orgkey.db.before-").len(), 1);
    other.orgkey(&["show", "mine"]).expect(7);
    other.orgkey(&["show", "acme"]).ok();
    assert_no_replay(&simulator);
}

#[test]
fn a_moved_store_goes_on_where_it_is_adopted_and_refuses_here() {
    let (simulator, home) = ready();
    refresh(&simulator, &home, "acme");
    let file = beside(&home, "moved");
    let moved = home.orgkey(&["move", "--to", &file, "--json"]).ok().json();
    assert_eq!(moved["backup"]["purpose"], "move");
    // As if this machine were another.
    let raw = Connection::open(&file).unwrap();
    raw.execute("UPDATE meta SET host_mark = 'jump1'", []).unwrap();
    drop(raw);
    let other = new_host(&home);
    let adopted = other.orgkey(&["adopt", &file, "--json"]).ok().json();
    assert_eq!(adopted["adopted"]["spent"], json!([]));
    simulator.clear_journal();
    refresh(&simulator, &other, "acme");
    refresh(&simulator, &other, "acme");
    assert_eq!(simulator.count("refreshes"), 2);
    // The old one refuses, says where, and serves what lives.
    simulator.control("expire_sessions", &json!({}));
    let refused = home.orgkey(&["test", "acme", "--json"]).expect(6);
    assert_eq!(code(&refused), "moved_elsewhere");
    assert!(refused.error()["message"].as_str().unwrap().contains(&file), "{refused}");
    home.orgkey(&["token", "acme"]).ok();
    assert_eq!(
        code(&home.orgkey(&["setup", "acme", "--start", "--json"]).expect(6)),
        "moved_elsewhere"
    );
    assert_eq!(simulator.count("refreshes"), 2);
    // And back again.
    let back = beside(&home, "back");
    other.orgkey(&["move", "--to", &back]).ok();
    home.orgkey(&["adopt", &back, "--confirm", "orgkey.db"]).ok();
    refresh(&simulator, &home, "acme");
    assert_eq!(simulator.count("refreshes"), 3);
    assert_no_replay(&simulator);
}

/// A store that left its tokens to another copy does not forget that by what is restored over it.
#[test]
fn a_backup_over_a_store_that_was_moved_is_asked_about() {
    for way in ["elsewhere", "to"] {
        let (simulator, home) = ready();
        // So that the journal of this host knows the token as the newest.
        refresh(&simulator, &home, "acme");
        let file = backup(&home, "backup");
        let moved = beside(&home, "moved");
        match way {
            "to" => home.orgkey(&["move", "--to", &moved]).ok(),
            _ => home.orgkey(&["move", "--elsewhere"]).ok(),
        };
        let restored = home.orgkey(&["restore", &file, "--confirm", "orgkey.db", "--json"]);
        assert_eq!(restored.ok().json()["restored"]["question_open"], true, "{way}");
        assert_copied(&simulator, &home);
        // Nor does another restore answer the question.
        home.orgkey(&["restore", &file, "--confirm", "orgkey.db"]).ok();
        assert_copied(&simulator, &home);
        home.orgkey(&["adopt"]).ok();
        refresh(&simulator, &home, "acme");
        assert_no_replay(&simulator);
    }
}

/// What a backup knows of copies goes along into a home that knows nothing.
#[test]
fn a_backup_of_a_moved_store_and_the_file_of_a_move_are_asked_about_where_they_are_restored() {
    let (simulator, home) = ready();
    refresh(&simulator, &home, "acme");
    let moved = beside(&home, "moved");
    home.orgkey(&["move", "--to", &moved]).ok();
    let file = backup(&home, "backup");
    for one in [&moved, &file] {
        let other = new_host(&home);
        // Its journal knows the token as the newest, as after a store was lost.
        fs::copy(home.path().join("spent"), other.path().join("spent")).unwrap();
        let restored = other.orgkey(&["restore", one, "--json"]).ok().json();
        assert_eq!(restored["restored"]["question_open"], true, "{one}");
        assert_copied(&simulator, &other);
    }
    assert_no_replay(&simulator);
}

/// The question is open: nothing single-use is refreshed.
fn assert_copied(simulator: &Simulator, home: &Home) {
    simulator.clear_journal();
    simulator.control("expire_sessions", &json!({}));
    assert_eq!(code(&home.orgkey(&["test", "acme", "--json"]).expect(6)), "store_copied");
    assert_eq!(simulator.count("refreshes"), 0);
}

#[test]
fn a_store_that_was_moved_is_taken_back_only_on_a_word() {
    let (simulator, home) = ready();
    home.orgkey(&["move", "--to", &beside(&home, "moved")]).ok();
    let refused = home.orgkey(&["adopt", "--json"]).expect(6);
    assert_eq!(code(&refused), "confirmation_missing");
    assert_eq!(
        code(&home.orgkey(&["adopt", "--confirm", "acme", "--json"]).expect(6)),
        "confirmation_differs"
    );
    simulator.control("expire_sessions", &json!({}));
    assert_eq!(code(&home.orgkey(&["test", "acme", "--json"]).expect(6)), "moved_elsewhere");
    home.orgkey(&["adopt", "--confirm", "orgkey.db"]).ok();
    refresh(&simulator, &home, "acme");
    assert_no_replay(&simulator);
}

#[test]
fn a_move_whose_file_can_not_be_made_is_taken_back() {
    let (simulator, home) = ready();
    home.orgkey(&["move", "--to", &beside(&home, "no/such/folder")]).expect(9);
    let there = backup(&home, "there");
    home.orgkey(&["move", "--to", &there]).expect(8);
    refresh(&simulator, &home, "acme");
    assert_eq!(audited(&home, "move_taken_back"), 1);
}

#[test]
fn k26_a_kill_at_any_point_of_a_move_leaves_no_file_beside_a_store_that_refreshes() {
    if !has_strace("kills at every system call of a move") {
        return;
    }
    let (_simulator, home) = ready();
    let file = beside(&home, "moved");
    let (mut marked, mut whole) = (0, 0);
    for call in ["pwrite64", "fsync", "fdatasync", "renameat2", "close"] {
        for n in 1.. {
            assert!(n < 500, "the sweep ends by itself");
            let ended = killed_at(&home, &["move", "--to", &file], call, n);
            let is_marked: bool = store(&home)
                .query_row("SELECT moved_at IS NOT NULL FROM meta", [], |row| row.get(0))
                .unwrap();
            let is_there = Path::new(&file).exists();
            assert!(is_marked || !is_there, "{call} {n}: a file, and no mark");
            if is_there {
                let copy = Connection::open(&file).unwrap();
                copy.query_row("SELECT made_at FROM backup", [], |_| Ok(())).unwrap();
                whole += 1;
                fs::remove_file(&file).unwrap();
            }
            marked += u32::from(is_marked);
            home.orgkey(&["adopt", "--confirm", "orgkey.db"]).ok();
            if ended == 0 {
                break;
            }
            assert_eq!(ended, 137, "{call} {n}");
        }
    }
    assert!(marked > whole && whole > 0, "the sweep met every part of a move: {marked} {whole}");
}

#[test]
fn k26_a_kill_at_any_point_of_a_restore_leaves_the_old_or_the_new() {
    if !has_strace("kills at every system call of a restore") {
        return;
    }
    let (_simulator, home) = ready();
    home.orgkey(&["reset", "acme", "--tag", "old"]).ok();
    let file = backup(&home, "backup");
    let (mut old, mut new) = (0, 0);
    let restore = ["restore", &file, "--confirm", "orgkey.db"];
    for call in ["pwrite64", "fsync", "unlink", "ftruncate", "close"] {
        for n in 1.. {
            assert!(n < 800, "the sweep ends by itself");
            home.orgkey(&["reset", "acme", "--tag", "new"]).ok();
            let ended = killed_at(&home, &restore, call, n);
            if ended == 0 {
                break;
            }
            assert_eq!(ended, 137, "{call} {n}");
            let tags = home.shown("acme")["tags"][0].clone();
            match tags.as_str().unwrap() {
                "new" => old += 1,
                "old" => new += 1,
                other => panic!("{call} {n}: {other}"),
            }
            let sound: String =
                store(&home).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(sound, "ok", "{call} {n}");
            home.orgkey(&["token", "acme"]).ok();
        }
        for kept in files(&home, "orgkey.db.before-") {
            fs::remove_file(home.path().join(kept)).unwrap();
        }
    }
    assert!(old > 0 && new > 0, "the sweep met both sides: {old} {new}");
    home.orgkey(&restore).ok();
    assert_eq!(files(&home, "orgkey.db.restoring"), Vec::<String>::new());
}
