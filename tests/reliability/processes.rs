//! Many processes and one store; processes that are killed; answers that are lost. What happened
//! at Salesforce is read from the simulated one's journal, never from the program's own words.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, Run, STATIC_APP, Simulator, config, run, set_mode, until};
use crate::{ANA, assert_sound};

const TOKEN_PATH: &str = "/services/oauth2/token";

/// A simulated Salesforce and a home with the tested credential `acme`.
fn ready() -> (Simulator, Home) {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    simulator.clear_journal();
    (simulator, home)
}

/// The access token that the store has.
fn token(home: &Home) -> String {
    home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned()
}

/// Ends the session of `token` at Salesforce, as a script learns it by a 401.
fn expire(simulator: &Simulator) {
    simulator.control("expire_sessions", &json!({}));
}

/// Asks for another token than the one that was refused.
fn other_than(home: &Home, refused: &str) -> Run {
    home.orgkey_with(&["token", "acme", "--not", "-"], refused)
}

/// One fault for the next refresh.
fn spoil_refresh(simulator: &Simulator, fault: &Value) {
    let mut fault = fault.clone();
    fault["match"] = json!({ "path": TOKEN_PATH, "grant_type": "refresh_token" });
    simulator.script(&json!([fault]));
}

/// Requests to the token endpoint, the oldest first.
fn exchanges(simulator: &Simulator) -> Vec<Value> {
    simulator.journal().into_iter().filter(|entry| entry["path"] == TOKEN_PATH).collect()
}

/// Starts `orgkey token acme --not -`, which asks for another token than `refused`.
fn start_token(home: &Home, refused: &str) -> Child {
    home.start(&["token", "acme", "--not", "-"], refused)
}

/// The same, and waits until Salesforce has carried the refresh out, but not answered yet.
fn start_refresh(simulator: &Simulator, home: &Home, refused: &str) -> Child {
    let child = start_token(home, refused);
    until("the refresh to be carried out", || {
        exchanges(simulator).iter().any(|entry| entry["outcome"] == "ok" && entry["sent"].is_null())
    });
    child
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Runs all of these at once; each is arguments and standard input.
pub(crate) fn at_once(home: &Home, all: &[(Vec<&str>, &str)]) -> Vec<Run> {
    std::thread::scope(|scope| {
        let running: Vec<_> = all
            .iter()
            .map(|(arguments, stdin)| {
                let command = home.command(arguments);
                scope.spawn(move || run(command, stdin))
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn fifty_processes_with_one_refused_token_make_one_exchange() {
    let (simulator, home) = ready();
    let refused = token(&home);
    // Long enough in flight that all of them meet it.
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "hold_ms": 500 }));
    expire(&simulator);
    let runs = at_once(&home, &vec![(vec!["token", "acme", "--not", "-"], refused.as_str()); 50]);
    let first = runs[0].clone().ok().stdout;
    assert_ne!(first.trim(), refused);
    assert!(first.starts_with("00D"), "{first}");
    for run in runs {
        assert_eq!(run.ok().stdout, first);
    }
    assert_eq!(simulator.count("refreshes"), 1);
    assert_eq!(simulator.count("replays"), 0);
    assert_eq!(simulator.count("refreshes_refused"), 0);
    // The new one is alive.
    home.orgkey(&["test", "acme"]).ok();
    assert_sound(&home);
}

#[test]
fn fifty_processes_that_find_the_token_expired_make_one_exchange() {
    let (simulator, home) = ready();
    let old = token(&home);
    // Issued for a session of 2 h; what is asked for now is longer than that.
    let longer = config(PUBLIC_APP) + "session_timeout = \"4h\"\n";
    home.write("config.toml", &longer);
    let runs = at_once(&home, &vec![(vec!["token", "acme", "--min-ttl", "3h"], ""); 50]);
    let first = runs[0].clone().ok().stdout;
    assert_ne!(first.trim(), old);
    for run in runs {
        assert_eq!(run.ok().stdout, first);
    }
    assert_eq!(simulator.count("refreshes"), 1);
    assert_eq!(simulator.count("replays"), 0);
}

#[test]
fn mixed_operations_of_many_processes_leave_a_sound_store() {
    let (simulator, home) = ready();
    home.save(&simulator, "globex", "eva@globex.example", &[]).ok();
    let refused = token(&home);
    expire(&simulator);
    let operations: [(Vec<&str>, &str); 10] = [
        (vec!["test", "acme"], ""),
        (vec!["token", "acme"], ""),
        (vec!["token", "acme", "--not", "-"], &refused),
        (vec!["list", "--json"], ""),
        (vec!["show", "acme"], ""),
        (vec!["reset", "acme", "--tag", "eu"], ""),
        (vec!["reset", "globex", "--tag", "us", "--username", "eva@globex.example"], ""),
        (vec!["setup", "globex", "--start"], ""),
        (vec!["setup", "acme", "--start"], ""),
        (vec!["app", "list"], ""),
    ];
    let thirty: Vec<_> = operations.iter().cycle().take(30).cloned().collect();
    for (run, (arguments, _)) in at_once(&home, &thirty).into_iter().zip(&thirty) {
        assert_eq!(run.status, 0, "{arguments:?}: {run}");
    }
    assert_eq!(simulator.count("replays"), 0);
    assert_eq!(simulator.count("refreshes_refused"), 0);
    // `test` and `token --not -` asked for the same one.
    assert_eq!(simulator.count("refreshes"), 1);
    assert_sound(&home);
    let shown = home.shown("acme");
    assert_eq!(shown["tags"], json!(["eu"]));
    assert!(matches!(shown["state"].as_str(), Some("ready" | "untested")), "{shown}");
    assert_eq!(home.shown("globex")["state"], "authorizing");
}

#[test]
fn a_refresh_that_is_killed_is_uncertain_and_tried_once_more() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "delay_after_ms": 60_000 }));
    let mut child = start_refresh(&simulator, &home, &old);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));

    assert_eq!(home.shown("acme")["state"], "uncertain");
    assert_sound(&home);
    // The access token lives on at Salesforce, and is served.
    assert_eq!(token(&home), old);
    assert_eq!(simulator.count("refreshes"), 1);

    // When it is refused, one late try is made; it can't pass, for the refresh token was spent.
    expire(&simulator);
    let late = other_than(&home, &old).expect(3);
    assert!(late.stderr.contains("lost"), "{late}");
    assert_eq!(simulator.count("replays"), 1);
    other_than(&home, &old).expect(3);
    home.orgkey(&["token", "acme"]).expect(3);
    assert_eq!(simulator.count("replays"), 1, "Salesforce is not asked again");
    assert_eq!(home.shown("acme")["state"], "needs_setup");

    home.set_up(&simulator, "acme", ANA).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_refresh_whose_answer_is_lost_is_uncertain_while_the_token_is_served() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "then": "reset" }));
    let lost = home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &old).expect(10);
    assert_eq!(lost.error()["code"], "uncertain");
    assert_eq!(lost.stdout, "");
    let shown = home.shown("acme");
    assert_eq!(shown["state"], "uncertain", "{shown}");
    assert_eq!(token(&home), old);

    expire(&simulator);
    other_than(&home, &old).expect(3);
    assert_eq!(simulator.count("refreshes"), 1);
    assert_eq!(simulator.count("replays"), 1);
}

#[test]
fn a_lost_request_that_never_was_carried_out_is_mended_by_the_late_try() {
    let (simulator, home) = ready();
    let old = token(&home);
    for then in ["reset", "truncate@20"] {
        simulator.clear_journal();
        let old = token(&home);
        spoil_refresh(&simulator, &json!({ "then": then, "commit": false }));
        other_than(&home, &old).expect(10);
        assert_eq!(home.shown("acme")["state"], "uncertain");
        let new = other_than(&home, &old).ok().stdout;
        assert_ne!(new.trim(), old);
        assert_eq!(simulator.count("refreshes"), 1);
        assert_eq!(simulator.count("replays"), 0);
        home.orgkey(&["test", "acme"]).ok();
        assert_eq!(home.shown("acme")["state"], "ready");
    }
    assert_ne!(token(&home), old);
}

#[test]
fn a_passing_fault_does_not_make_a_lost_answer_forgotten() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "then": "reset" }));
    other_than(&home, &old).expect(10);
    spoil_refresh(&simulator, &json!({ "status": 503, "body": "busy" }));
    other_than(&home, &old).expect(4);
    assert_eq!(home.shown("acme")["state"], "uncertain", "the lost answer is still lost");
    let late = other_than(&home, &old).expect(3);
    assert!(late.stderr.contains("lost"), "{late}");
    assert_eq!(home.shown("acme")["state"], "needs_setup");
}

#[test]
fn where_refresh_tokens_are_not_single_use_a_lost_answer_is_a_passing_fault() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.write("config.toml", &(config(STATIC_APP) + "rotation = \"no\"\n"));
    home.ready_credential(&simulator, "acme", ANA);
    simulator.clear_journal();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "then": "reset" }));
    other_than(&home, &old).expect(4);
    assert_eq!(home.shown("acme")["state"], "unreachable");
    other_than(&home, &old).ok();
    assert_eq!(simulator.count("refreshes"), 2);
    assert_eq!(simulator.count("replays"), 0);
}

#[test]
fn without_rotation_the_refresh_token_is_kept_and_with_it_replaced() {
    for (client_id, kept) in [(STATIC_APP, true), (PUBLIC_APP, false)] {
        let simulator = Simulator::start();
        let home = Home::new();
        home.write("config.toml", &config(client_id));
        home.ready_credential(&simulator, "acme", ANA);
        simulator.clear_journal();
        for _ in 0..3 {
            let old = token(&home);
            assert_ne!(other_than(&home, &old).ok().stdout.trim(), old);
        }
        let tags: Vec<_> =
            exchanges(&simulator).iter().map(|entry| entry["tag"].to_string()).collect();
        assert_eq!(tags.len(), 3);
        assert_eq!(tags[0] == tags[1] && tags[1] == tags[2], kept, "{client_id}: {tags:?}");
        assert_eq!(simulator.count("replays"), 0);
    }
}

#[test]
fn already_being_processed_is_waited_for() {
    let (simulator, home) = ready();
    let old = token(&home);
    let busy = json!({
        "status": 400,
        "body": {
            "error": "invalid_grant",
            "error_description": "token request is already being processed",
        },
    });
    spoil_refresh(&simulator, &busy);
    assert_ne!(other_than(&home, &old).ok().stdout.trim(), old);
    assert_eq!(exchanges(&simulator).len(), 2);
    assert_eq!(simulator.count("refreshes"), 1);

    // However long it lasts, the token is not taken away.
    let old = token(&home);
    let mut forever = busy;
    forever["times"] = json!(0);
    spoil_refresh(&simulator, &forever);
    other_than(&home, &old).expect(4);
    assert_eq!(home.shown("acme")["state"], "unreachable");
    assert_eq!(token(&home), old);
    simulator.clear_script();
    other_than(&home, &old).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_copy_of_the_store_elsewhere_is_noticed_and_not_fought() {
    let (simulator, home) = ready();
    let old = token(&home);
    let copy = Home::empty();
    for entry in std::fs::read_dir(home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let copied = copy.path().join(path.file_name().unwrap());
            std::fs::copy(&path, &copied).unwrap();
            set_mode(&copied, 0o600);
        }
    }
    other_than(&home, &old).ok();
    expire(&simulator);
    other_than(&copy, &old).expect(3);
    let shown = copy.shown("acme");
    assert_eq!(shown["state"], "needs_setup");
    assert!(shown["cause"].is_string(), "{shown}");
    assert_eq!(simulator.count("replays"), 1);
    other_than(&copy, &old).expect(3);
    assert_eq!(simulator.count("replays"), 1);
}

#[test]
fn a_signal_in_mid_exchange_is_acted_on_after_the_commit() {
    let signalled = |signal, code| {
        let (simulator, home) = ready();
        let old = token(&home);
        spoil_refresh(&simulator, &json!({ "delay_after_ms": 4000 }));
        let child = start_refresh(&simulator, &home, &old);
        send(&child, signal);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
        assert_eq!(simulator.count("refreshes"), 1);
        assert_ne!(token(&home), old, "the answer was committed");
        assert_eq!(home.shown("acme")["state"], "ready");
        assert_eq!(exchanges(&simulator).len(), 1, "nobody had to ask again");
    };
    std::thread::scope(|scope| {
        for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::INT, 130)] {
            scope.spawn(move || signalled(signal, code));
        }
    });
}

#[test]
fn a_holder_that_is_stopped_is_waited_for_and_goes_on_where_it_was() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "delay_after_ms": 300 }));
    let first = start_refresh(&simulator, &home, &old);
    send(&first, Signal::STOP);
    until("the answer to be sent", || exchanges(&simulator).iter().all(|e| !e["sent"].is_null()));
    // It is neither over nor given up: what lives is served, and nobody spends it a second time.
    assert_eq!(token(&home), old);
    let mut second = start_token(&home, &old);
    let mut words = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut words, &mut line).unwrap();
    assert!(line.contains("another process"), "{line}");
    send(&first, Signal::CONT);
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    assert!(first.status.success() && second.status.success(), "{first:?} {second:?}");
    assert_eq!(first.stdout, second.stdout);
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (1, 0));
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_stopped_holder_that_was_overtaken_throws_nothing_away_and_replaces_nothing() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "delay_after_ms": 300 }));
    let first = start_refresh(&simulator, &home, &old);
    send(&first, Signal::STOP);
    until("the answer to be sent", || exchanges(&simulator).iter().all(|e| !e["sent"].is_null()));
    // Somebody removes the lock, against all advice, and signs in anew.
    std::fs::remove_dir_all(home.path().join("locks")).unwrap();
    home.set_up(&simulator, "acme", ANA).ok();
    let new = token(&home);
    send(&first, Signal::CONT);
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{first:?}");
    assert_eq!(String::from_utf8(first.stdout).unwrap().trim(), new, "what is active is served");
    let orphans = "SELECT count(*) FROM token_set WHERE role = 'orphan'";
    assert_eq!(crate::number(&home, orphans), 1);
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_ne!(other_than(&home, &new).ok().stdout.trim(), new);
    assert_eq!(simulator.count("replays"), 0);
    assert_sound(&home);
}

#[test]
fn a_rotation_waits_for_the_disk_three_times() {
    if !crate::installed(&["strace"], "the syncs of a rotation") {
        return;
    }
    let (simulator, home) = ready();
    let old = token(&home);
    // As long as somebody has the store open, its log stays: no sync is for that.
    let open = crate::store(&home);
    let _: i64 = open.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap();
    other_than(&home, &old).ok();
    let old = token(&home);
    // A hand-out that found the log long moved it into the file; whoever writes next begins the log
    // anew, which takes a sync of its own.
    for sign in ["'x'", "NULL"] {
        open.execute(&format!("UPDATE meta SET copied_sign = {sign}"), []).unwrap();
    }
    let trace = home.outside().join("trace");
    let command = home.command(&["token", "acme", "--not", "-"]);
    let mut traced = std::process::Command::new("strace");
    traced.args(["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o"]);
    traced.arg(&trace).arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(traced, &old).ok();
    let lines = std::fs::read_to_string(trace).unwrap();
    let of = |file: &str| lines.lines().filter(|line| line.contains(file)).count();
    // The folder once in each process's life; the hand-out after it waits for no disk.
    assert_eq!((of("/inbox>"), of("/orgkey.db-wal>"), of("/orgkey>")), (1, 2, 1), "{lines}");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    assert_eq!(simulator.count("refreshes"), 2);
}

#[test]
fn a_signal_while_waiting_for_another_process_ends_at_once() {
    let (simulator, home) = ready();
    let old = token(&home);
    spoil_refresh(&simulator, &json!({ "delay_after_ms": 60_000 }));
    let mut first = start_refresh(&simulator, &home, &old);
    let mut second = start_token(&home, &old);
    let mut words = std::io::BufReader::new(second.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut words, &mut line).unwrap();
    assert!(line.contains("another process"), "{line}");
    send(&second, Signal::TERM);
    assert_eq!(second.wait().unwrap().code(), Some(143));
    let unanswered = exchanges(&simulator).iter().any(|entry| entry["sent"].is_null());
    assert!(unanswered, "it ended before the exchange that it waited for");
    assert_eq!(simulator.count("refreshes"), 1);
    first.kill().unwrap();
    first.wait().unwrap();
}
