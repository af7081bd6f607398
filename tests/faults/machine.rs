//! What the rows of storage need of the machine: a view of the home that can't be written, limits
//! on a process, and the bytes of the store as they lie on the disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Home, Run, program, run};

/// Whether a command can be used here. Where it can't, says what is left out, or fails when
/// nothing may be (`ORGKEY_REQUIRE_E2E=1`).
pub fn can_run(command: &[&str], left_out: &str) -> bool {
    let (name, arguments) = command.split_first().unwrap();
    let tried = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(
        std::env::var_os("ORGKEY_REQUIRE_E2E").is_none_or(|value| value != "1"),
        "{command:?} must be possible for: {left_out}"
    );
    let _ = writeln!(std::io::stderr(), "left out, as {command:?} fails: {left_out}");
    false
}

/// The program behind another command, which gets it and its arguments as its own last ones; in
/// the clean environment of the home.
pub fn behind(home: &Home, front: &[&str], arguments: &[&str]) -> Command {
    let inner = home.command(arguments);
    let mut command = Command::new(front[0]);
    command.args(&front[1..]).arg(program()).args(arguments).current_dir(home.outside());
    command.env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// What mounts in a mount namespace of its own, which is gone with the process.
pub const UNSHARE: [&str; 4] = ["unshare", "-m", "sh", "-c"];

/// Runs the program where its home is on a read-only file system.
pub fn on_read_only(home: &Home, arguments: &[&str], stdin: &str) -> Run {
    let script = "mount --bind \"$ORGKEY_HOME\" \"$ORGKEY_HOME\" && \
                  mount -o remount,bind,ro \"$ORGKEY_HOME\" && exec \"$0\" \"$@\"";
    run(behind(home, &[UNSHARE.as_slice(), &[script]].concat(), arguments), stdin)
}

/// The database.
pub fn store_file(home: &Home) -> PathBuf {
    home.path().join("orgkey.db")
}

/// A file that SQLite keeps beside it: `-wal` or `-shm`.
pub fn beside(home: &Home, suffix: &str) -> PathBuf {
    home.path().join(format!("orgkey.db{suffix}"))
}

/// Every plain file of a folder by its name.
pub fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// What SQLite says of the store.
#[track_caller]
pub fn assert_sound(home: &Home) {
    let store = rusqlite::Connection::open(store_file(home)).unwrap();
    let word: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}
