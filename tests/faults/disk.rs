//! A disk that is full, or that fails, before and after a grant is spent (rows D1, D2, D3 and D8),
//! on a small file system of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::common::{Home, Run, Simulator, set_mode, until};

const ANA: &str = "ana@acme.example";

/// A file system in memory of two MiB; unmounted when it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where nothing may be mounted; a failure where nothing may be left out.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]).arg(folder.path());
        if mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("ORGKEY_REQUIRE_E2E").is_none_or(|value| value != "1"),
            "no file system may be mounted here"
        );
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.path().join("filler")
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.filler()).unwrap();
        while file.write(&[1; 1024]).is_ok_and(|count| count > 0) {}
    }

    fn empty(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    /// A home on it with the tested credential `acme`.
    fn home(&self, simulator: &Simulator) -> Home {
        let mut home = Home::new();
        let folder = self.0.path().join("orgkey");
        std::fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o700);
        copy_private(&home.path().join("config.toml"), &folder.join("config.toml"));
        home.set("ORGKEY_HOME", folder.to_str().unwrap());
        home.orgkey(&["key", "init", "--no-passphrase"]).ok();
        home.ready_credential(simulator, "acme", ANA);
        simulator.clear_journal();
        home
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn copy_private(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
    set_mode(to, 0o600);
}

fn token(home: &Home) -> String {
    home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned()
}

fn other_than(home: &Home, refused: &str) -> Run {
    home.orgkey_with(&["token", "acme", "--not", "-", "--json"], refused)
}

/// Starts a refresh, and waits until Salesforce has carried it out but holds its answer back.
fn start_refresh(simulator: &Simulator, home: &Home, refused: &str) -> Child {
    simulator.script(&json!([{
        "match": { "path": "/services/oauth2/token" },
        "delay_after_ms": 1500,
    }]));
    let child = home.start(&["token", "acme", "--not", "-", "--json"], refused);
    until("the refresh to be carried out", || simulator.count("refreshes") == 1);
    child
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn d01_a_full_disk_before_a_refresh_refuses_it_and_nothing_is_sent() {
    let Some(disk) = SmallDisk::new() else { return };
    let simulator = Simulator::start();
    let home = disk.home(&simulator);
    let old = token(&home);
    disk.fill();
    let refused = other_than(&home, &old).expect(9);
    assert_eq!(refused.error()["code"], "store_full", "{refused}");
    assert!(simulator.journal().is_empty(), "{:?}", simulator.journal());
    disk.empty();
    assert_eq!(home.shown("acme")["state"], "ready");
    other_than(&home, &old).ok();
}

#[test]
fn d02_a_disk_that_is_full_after_the_request_left_loses_no_token() {
    let Some(disk) = SmallDisk::new() else { return };
    let simulator = Simulator::start();
    let home = disk.home(&simulator);
    let old = token(&home);
    let child = start_refresh(&simulator, &home, &old);
    disk.fill();
    let (code, words) = ended(child);
    assert_eq!(code, Some(9), "{words}");
    assert!(words.contains("answer_kept") && words.contains("safe in the inbox"), "{words}");
    disk.empty();
    assert_eq!(home.shown("acme")["state"], "ready");
    let new = token(&home);
    assert_ne!(new, old);
    home.orgkey(&["test", "acme"]).ok();
    other_than(&home, &new).ok();
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (2, 0));
}

#[test]
fn d03_a_full_disk_lets_a_credential_be_deleted_and_revoked() {
    let Some(disk) = SmallDisk::new() else { return };
    let simulator = Simulator::start();
    let home = disk.home(&simulator);
    disk.fill();
    home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
    home.orgkey(&["show", "acme"]).expect(7);
    assert_eq!(simulator.count("revocations"), 1);
    assert_eq!(simulator.read("approvals")["approvals"], json!([]));
}

#[test]
fn d08_an_answer_that_no_disk_takes_is_held_until_one_does() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    simulator.clear_journal();
    let old = token(&home);
    // It does not end by itself, so neither does it when this test fails.
    let mut child = Killed(start_refresh(&simulator, &home, &old));
    let child = &mut child.0;
    let pid = Pid::from_child(child);
    // From now on the process can write to no file at all.
    let soft = |bytes| Rlimit { current: bytes, maximum: None };
    prlimit(Some(pid), Resource::Fsize, soft(Some(0))).unwrap();
    let mut words = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"alarm\"") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut words, &mut line).unwrap() > 0, "it ended");
    }
    assert!(line.contains("memory of this process alone"), "{line}");
    // A signal does not end it now.
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    std::thread::park_timeout(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it ended with the only copy of a token");
    prlimit(Some(pid), Resource::Fsize, soft(None)).unwrap();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 9 | 143)), "{status}");
    assert_ne!(token(&home), old);
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (1, 0));
}
