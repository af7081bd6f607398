//! The machine loses its power: a file system on a loop device, of which a copy is taken after each
//! commit that was acknowledged. What is only in the machine's memory is not in the copy.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Home, Simulator};
use crate::{ANA, installed, say};

/// Cuts of a long run.
const CUTS: usize = 40;

/// A mounted file system; unmounted when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts an image, or `None` where this is not allowed.
    fn new(image: &Path, at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(image).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn make_image(path: &Path) {
    std::fs::File::create(path).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path).status().unwrap();
    assert!(made.success());
}

/// Cuts the power: what the disk has by now, seen by a machine that starts again.
fn cut(image: &Path, folder: &Path, look: impl FnOnce(&Path)) {
    let copy = folder.join("copy.img");
    std::fs::copy(image, &copy).unwrap();
    let mounted = Mounted::new(&copy, &folder.join("copy")).expect("the copy is mounted");
    look(&mounted.0);
}

#[test]
#[ignore = "needs root and loop devices"]
fn every_acknowledged_token_is_there_after_a_power_cut() {
    let left_out = "power cuts";
    if !installed(&["mkfs.ext4", "mount", "umount"], left_out) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    make_image(&image);
    let Some(disk) = Mounted::new(&image, &folder.path().join("disk")) else {
        say(&format!("left out, as nothing may be mounted here: {left_out}"));
        return;
    };
    let simulator = Simulator::start();
    let mut home = Home::new();
    let on_disk = disk.0.join("orgkey");
    std::fs::create_dir(&on_disk).unwrap();
    crate::common::set_mode(&on_disk, 0o700);
    std::fs::copy(home.path().join("config.toml"), on_disk.join("config.toml")).unwrap();
    crate::common::set_mode(&on_disk.join("config.toml"), 0o600);
    home.set("ORGKEY_HOME", on_disk.to_str().unwrap());
    home.orgkey(&["key", "init", "--no-passphrase"]).ok();
    home.ready_credential(&simulator, "acme", ANA);
    let mut token = home.orgkey(&["token", "acme"]).ok().stdout;
    for round in 0..CUTS {
        token = home.orgkey_with(&["token", "acme", "--not", "-"], token.trim()).ok().stdout;
        cut(&image, folder.path(), |copy| {
            let mut after = Home::empty();
            after.set("ORGKEY_HOME", copy.join("orgkey").to_str().unwrap());
            assert_eq!(after.orgkey(&["token", "acme"]).ok().stdout, token, "cut {round}");
        });
    }
    // The same with a store that does not wait for the disk loses: the cut is a real one.
    let careless = disk.0.join("careless.db");
    let connection = rusqlite::Connection::open(&careless).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
             CREATE TABLE t (x); INSERT INTO t VALUES (1);",
        )
        .unwrap();
    cut(&image, folder.path(), |copy| {
        let found = rusqlite::Connection::open(copy.join("careless.db"))
            .and_then(|store| store.query_row("SELECT count(*) FROM t", [], |row| row.get(0)))
            .unwrap_or(0);
        assert_eq!(found, 0, "the control lost nothing, so the cuts prove nothing");
    });
    say(&format!(
        "{CUTS} power cuts: every acknowledged token was there; the control lost its row"
    ));
}
