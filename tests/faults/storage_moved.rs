//! Row D18: the store is deleted, moved or replaced while a command or the dashboard works on it.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use serde_json::json;

use crate::common::{Home, Run, until};
use crate::console::Console;
use crate::machine::{assert_sound, beside, snapshot};
use crate::scene::{Scene, check_error};

/// Starts a refresh and waits until Salesforce has carried it out and not answered yet.
fn start_refresh(scene: &Scene, refused: &str) -> Child {
    scene.spoil("refresh_token", 1, &json!({ "delay_after_ms": 1500 }));
    let child = scene.home.start(&["token", "acme", "--not", "-", "--json"], refused);
    until("the refresh to be carried out", || is_under_way(scene));
    child
}

/// Whether it was carried out, and its answer has not left.
fn is_under_way(scene: &Scene) -> bool {
    scene.simulator.journal().iter().any(|entry| {
        entry["grant_type"] == "refresh_token"
            && entry["outcome"] == "ok"
            && entry["sent"].is_null()
    })
}

fn end(child: Child) -> Run {
    let output = child.wait_with_output().unwrap();
    Run {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The answer is in the inbox, and why it is not taken over.
const KEPT: [&str; 2] = ["safe in the inbox", "moved, deleted or replaced"];

#[test]
fn d18_a_folder_that_is_renamed_in_mid_exchange_is_noticed_and_the_answer_waits_in_it() {
    let scene = Scene::new();
    let stored = scene.token();
    let child = start_refresh(&scene, &stored);
    let away = scene.home.outside().join("away");
    fs::rename(scene.home.path(), &away).unwrap();
    assert!(is_under_way(&scene), "it was renamed in time");
    check_error(&end(child), 9, "answer_kept", &KEPT, &["put orgkey.db back", "taken over"]);
    assert!(!scene.home.path().exists(), "nothing was begun in the old place");
    fs::rename(&away, scene.home.path()).unwrap();
    assert_sound(&scene.home);
    let healed = scene.refresh_after(&stored).ok();
    assert_ne!(healed.json()["access_token"], stored.as_str());
    assert_eq!(scene.sent("refresh_token"), 1, "Salesforce is not asked again");
    scene.home.orgkey(&["test", "acme"]).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
}

#[test]
fn d18_a_store_that_is_deleted_in_mid_exchange_is_noticed_and_the_next_start_says_so() {
    let scene = Scene::new();
    let stored = scene.token();
    let child = start_refresh(&scene, &stored);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&scene.home, suffix));
    }
    // The answer's own place is gone too: it gets another one.
    fs::remove_file(scene.home.path().join("inbox")).unwrap();
    assert!(is_under_way(&scene), "it was deleted in time");
    check_error(&end(child), 9, "answer_kept", &KEPT, &["put orgkey.db back"]);
    let names: Vec<String> = snapshot(&scene.home.path())
        .iter()
        .map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().any(|name| name.starts_with("inbox-")), "{names:?}");
    assert!(!names.contains(&"orgkey.db".to_owned()), "{names:?}");
    let run = scene.home.orgkey(&["list"]).ok();
    assert!(run.stderr.contains("no orgkey.db, so an empty one was made"), "{run}");
}

#[test]
fn d18_another_store_in_its_place_gets_nothing_of_the_first() {
    let scene = Scene::new();
    let stored = scene.token();
    let second = Home::new();
    second.save(&scene.simulator, "second", "ben@acme.example", &[]).ok();
    let child = start_refresh(&scene, &stored);
    fs::rename(scene.home.path(), scene.home.outside().join("away")).unwrap();
    fs::rename(second.path(), scene.home.path()).unwrap();
    assert!(is_under_way(&scene), "it was replaced in time");
    check_error(&end(child), 9, "answer_kept", &KEPT, &["the one that is there"]);
    assert_sound(&scene.home);
    assert!(scene.roles().is_empty(), "no token of the first got in");
    let names: Vec<String> = scene.home.orgkey(&["list", "--json"]).ok().json()["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["second"]);
}

#[test]
fn d18_a_dashboard_whose_folder_is_renamed_says_so_at_the_next_change() {
    let scene = Scene::new();
    let mut command = scene.home.command(&[]);
    command.env("TERM", "xterm-256color");
    let mut console = Console::sized(&command, 120, 30);
    console.shows("acme");
    console.shows("ready");
    // With the key opened, and a session that needs a refresh.
    console.key_for("t", "API requests");
    scene.simulator.control("expire_sessions", &json!({}));
    let away: PathBuf = scene.home.outside().join("away");
    fs::rename(scene.home.path(), &away).unwrap();
    // The first test may have a step left when its result is written down.
    until("the dashboard to say so", || {
        console.press("t");
        console.text().contains("moved, deleted or replaced")
    });
    console.press("q");
    assert_eq!(console.ended(), 0);
    assert!(!scene.home.path().exists(), "nothing was begun in the old place");
    fs::rename(&away, scene.home.path()).unwrap();
    assert_sound(&scene.home);
    assert_eq!(scene.sent("refresh_token"), 0, "what can't be written down is not sent");
    assert_eq!(scene.state().0, "ready");
}
