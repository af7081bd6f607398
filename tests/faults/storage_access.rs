//! Rows D12, D13 and D16: who else could get at the files, what they lie on, and keys that do not
//! open.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;

use crate::common::{Home, Run, SECRET_APP, config, run, set_mode};
use crate::machine::{UNSHARE, behind, can_run};
use crate::scene::{Scene, check_error};

/// Runs the command that a remedy names.
#[track_caller]
fn obey(run: &Run) {
    let error = run.error();
    let remedy = error["remedy"].as_str().unwrap();
    let command = remedy.strip_prefix("run: ").unwrap_or_else(|| panic!("no command: {run}"));
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

#[test]
fn d12_a_mode_that_lets_others_in_is_refused_with_the_command_that_mends_it() {
    let scene = Scene::new();
    let home = &scene.home;
    let rows: [(&str, &[u32]); 4] = [
        ("orgkey.db", &[0o640, 0o604, 0o660, 0o622]),
        ("store.age", &[0o640, 0o604]),
        ("identity.key", &[0o640, 0o604]),
        ("", &[0o750, 0o705, 0o770, 0o711]),
    ];
    for (name, modes) in rows {
        let path = home.path().join(name);
        for mode in modes {
            set_mode(&path, *mode);
            let run = home.orgkey(&["token", "acme", "--json"]);
            let shown = format!("has mode {mode:04o}");
            check_error(&run, 9, "file_refused", &[name, &shown, "others can"], &["chmod"]);
            obey(&run);
            scene.token();
        }
    }
    assert_eq!(scene.sent("refresh_token"), 0);
}

#[test]
fn d12_a_link_and_a_second_name_are_refused() {
    let scene = Scene::new();
    let home = &scene.home;
    for name in ["orgkey.db", "store.age", "identity.key"] {
        let (path, away) = (home.path().join(name), home.outside().join("away"));
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        let run = home.orgkey(&["token", "acme", "--json"]);
        check_error(&run, 9, "file_refused", &[name, "symbolic link"], &["real"]);
        fs::remove_file(&path).unwrap();
        // A second name under which it can be read, or swapped.
        fs::hard_link(&away, &path).unwrap();
        let run = home.orgkey(&["token", "acme", "--json"]);
        check_error(&run, 9, "file_refused", &[name, "2 hard links"], &["find", "-samefile"]);
        fs::remove_file(&away).unwrap();
        scene.token();
    }
    // The folder itself.
    let away = home.outside().join("elsewhere");
    fs::rename(home.path(), &away).unwrap();
    symlink(&away, home.path()).unwrap();
    let run = home.orgkey(&["token", "acme", "--json"]);
    check_error(&run, 9, "file_refused", &["symbolic link"], &["real"]);
    fs::remove_file(home.path()).unwrap();
    fs::rename(&away, home.path()).unwrap();
    scene.token();
}

#[test]
fn d12_what_belongs_to_another_user_is_refused() {
    let scene = Scene::new();
    let home = &scene.home;
    let is_root = rustix::process::geteuid().is_root();
    if !is_root && !can_run(&["false"], "files of another user: only root can make them") {
        return;
    }
    for name in ["orgkey.db", "store.age", "identity.key", ""] {
        let path = home.path().join(name);
        chown(&path, Some(65_534), None).unwrap();
        let run = home.orgkey(&["token", "acme", "--json"]);
        check_error(&run, 9, "file_refused", &[name, "belongs to user 65534"], &["chown"]);
        chown(&path, Some(0), None).unwrap();
        scene.token();
    }
}

#[test]
fn d12_a_configuration_that_others_could_write_and_a_secret_they_could_read_are_refused() {
    let scene = Scene::with(SECRET_APP, "");
    let home = &scene.home;
    let stored = scene.token();
    let file = home.path().join("config.toml");
    for mode in [0o620, 0o602, 0o666] {
        set_mode(&file, mode);
        let run = home.orgkey(&["token", "acme", "--json"]);
        check_error(&run, 9, "file_refused", &["config.toml", "others can change it"], &["chmod"]);
        obey(&run);
        scene.token();
    }
    let secret = home.path().join("default.secret");
    for mode in [0o640, 0o604] {
        set_mode(&secret, mode);
        let run = scene.refresh_after(&stored);
        check_error(&run, 8, "secret_file_refused", &["default.secret", "others can"], &["chmod"]);
        assert_eq!(scene.sent("refresh_token"), 0, "no token was spent without its secret");
        obey(&run);
    }
    scene.refresh_after(&stored).ok();
}

#[test]
fn d13_a_file_system_that_is_no_disk_is_named_once() {
    let home = Home::empty();
    let folders = ["lower", "upper", "work"].map(|name| home.outside().join(name));
    for folder in &folders {
        fs::create_dir(folder).unwrap();
    }
    let shown = |path: &Path| path.display().to_string();
    let [lower, upper, work] = &folders;
    let options =
        format!("lowerdir={},upperdir={},workdir={}", shown(lower), shown(upper), shown(work));
    let mount = format!("mount -t overlay overlay -o {options} \"$ORGKEY_HOME\"");
    let as_probe = mount.replace("$ORGKEY_HOME", &shown(&home.path()));
    if !can_run(&[UNSHARE.as_slice(), &[&as_probe]].concat(), "an overlay file system") {
        return;
    }
    let script =
        format!("{mount} && chmod 0700 \"$ORGKEY_HOME\" && \"$0\" list && exec \"$0\" list");
    let run = run(behind(&home, &[UNSHARE.as_slice(), &[&script]].concat(), &[]), "").ok();
    assert_eq!(run.stderr.matches("is on an overlay").count(), 1, "{run}");
    assert!(run.stderr.contains("ORGKEY_HOME"), "{run}");
    // A disk is nothing to talk of.
    let run = Home::empty().orgkey(&["list"]).ok();
    assert!(!run.stderr.contains("is on"), "{run}");
}

#[test]
fn d16_a_wrong_passphrase_is_told_in_the_same_words_and_locks_nobody_out() {
    let scene = Scene::new();
    let mut home = Home::empty();
    home.write("config.toml", &config(crate::common::PUBLIC_APP));
    let passphrase = home.write("passphrase", "correct horse battery\n");
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    home.orgkey(&["key", "init"]).ok();
    home.ready_credential(&scene.simulator, "acme", crate::scene::ANA);
    let mut told = Vec::new();
    for wrong in ["correct horse batter", "Correct horse battery", "x"] {
        home.write("passphrase", wrong);
        let run = home.orgkey(&["token", "acme", "--json"]);
        check_error(&run, 5, "wrong_passphrase", &["passphrase is wrong"], &["key init"]);
        assert!(!run.stderr.contains(wrong) || wrong == "x", "{run}");
        told.push(run.stderr);
        // What needs no key works on, and nothing counts the failures.
        home.orgkey(&["list"]).ok();
        home.orgkey(&["show", "acme"]).ok();
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    home.write("passphrase", "correct horse battery\n");
    home.orgkey(&["token", "acme"]).ok();
}

#[test]
fn d16_a_wrong_or_lost_key_file_is_named_and_nothing_is_made_in_its_place() {
    let scene = Scene::new();
    let other = Home::new();
    let home = &scene.home;
    let rows = [
        // Which file, what it becomes, code, words of the message, words of the remedy.
        (
            "identity.key",
            Some("identity.key"),
            "identity_does_not_fit",
            "does not fit",
            "recipient",
        ),
        ("store.age", Some("store.age"), "identity_does_not_fit", "does not fit", "recipient"),
        ("identity.key", None, "key_file_missing", "identity.key is missing", "backup"),
        ("store.age", None, "key_file_missing", "store.age is missing", "backup"),
        ("identity.key", Some("config.toml"), "key_file_damaged", "identity.key", "backup"),
        ("store.age", Some("config.toml"), "key_file_damaged", "store.age", "backup"),
    ];
    let stored = scene.token();
    for (file, becomes, code, message, remedy) in rows {
        let path = home.path().join(file);
        let sound = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if let Some(from) = becomes {
            fs::copy(other.path().join(from), &path).unwrap();
        }
        for arguments in [&["token", "acme", "--json"][..], &["setup", "acme", "--start", "--json"]]
        {
            let run = home.orgkey(arguments);
            check_error(&run, 9, code, &[message], &[remedy]);
        }
        assert_eq!(path.exists(), becomes.is_some(), "{file}: nothing was made in its place");
        // The data is not locked out: what is in clear is read, and the file put back opens all.
        home.orgkey(&["list"]).ok();
        fs::write(&path, &sound).unwrap();
        set_mode(&path, 0o600);
        assert_eq!(scene.token(), stored);
    }
    // Both other files together are a sound key, but not this store's.
    let key =
        ["identity.key", "store.age"].map(|name| (name, fs::read(home.path().join(name)).unwrap()));
    for (name, _) in &key {
        fs::copy(other.path().join(name), home.path().join(name)).unwrap();
    }
    let run = home.orgkey(&["token", "acme", "--json"]);
    check_error(&run, 9, "other_key", &["sealed by key"], &["same backup"]);
    for (name, bytes) in &key {
        fs::write(home.path().join(name), bytes).unwrap();
    }
    assert_eq!(scene.token(), stored);
    assert_eq!(scene.sent("refresh_token"), 0);
}
