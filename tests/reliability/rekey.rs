//! The sealing key is changed while others use it, by one of several admins, and between a backup and
//! its restore.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, Simulator, config, run, until};
use crate::processes::at_once;
use crate::sweep::{Blow, Subject};
use crate::{ANA, assert_sound, installed, number, say, store};

/// Keys that values are sealed by, as the values say.
pub const SEALING_KEYS: &str = "SELECT count(DISTINCT substr(sealed, 2, 4)) FROM (
    SELECT sealed FROM token_set UNION ALL SELECT sealed FROM authorization
    UNION ALL SELECT sealed FROM app_secret UNION ALL SELECT sealed FROM revocation_owed)";

/// Another admin: a home of their own, for its identity, and their public key.
pub fn other_admin() -> (Home, String) {
    let home = Home::new();
    let all = home.orgkey(&["key", "recipient", "list", "--json"]).ok().json();
    let public_key = all["recipients"][0]["public_key"].as_str().unwrap().to_owned();
    (home, public_key)
}

/// A home as another admin sees it who copied files of it: their own identity beside them.
fn seen_by(other: &Home, files: &[(PathBuf, &str)]) -> Home {
    let home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    fs::copy(other.path().join("identity.key"), home.path().join("identity.key")).unwrap();
    for (from, to) in files {
        fs::copy(from, home.path().join(to)).unwrap();
    }
    home
}

/// The database as one file.
fn database_of(home: &Home, name: &str) -> PathBuf {
    let copy = home.outside().join(name);
    store(home).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    crate::common::set_mode(&copy, 0o600);
    copy
}

fn token(home: &Home) -> String {
    home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned()
}

#[test]
fn who_was_removed_opens_neither_store_age_nor_what_is_written_since() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let (other, public_key) = other_admin();
    home.orgkey(&["key", "recipient", "add", &public_key, "--label", "ben"]).ok();
    let former_key = home.outside().join("former.age");
    fs::copy(home.path().join("store.age"), &former_key).unwrap();
    let former_database = database_of(&home, "former.db");

    let removed = ["key", "recipient", "remove", "ben", "--confirm", "ben", "--json"];
    let removed = home.orgkey(&removed).ok().json();
    assert_eq!(removed["removed"]["public_key"], json!(public_key));
    assert_eq!(
        removed["could_read"],
        json!([{ "name": "acme", "environment": "production", "generation": 1, "flow": "paste" }])
    );
    let served = token(&home);
    home.orgkey_with(&["token", "acme", "--not", "-"], &served).ok();
    let (key, database) = (home.path().join("store.age"), database_of(&home, "new.db"));

    let error = |home: &Home| home.orgkey(&["token", "acme", "--json"]).expect(9).error();
    let with_new = seen_by(&other, &[(key, "store.age"), (database.clone(), "orgkey.db")]);
    assert_eq!(error(&with_new)["code"], "identity_does_not_fit");
    let mixed = seen_by(&other, &[(former_key.clone(), "store.age"), (database, "orgkey.db")]);
    assert_eq!(error(&mixed)["code"], "other_key");
    // What the program says plainly: a copy that they made before still opens.
    let copied = seen_by(&other, &[(former_key, "store.age"), (former_database, "orgkey.db")]);
    assert_eq!(token(&copied), served);
    let words = "SELECT group_concat(event || ' ' || reason, ';') FROM audit
                 WHERE event IN ('recipient_removed', 'key_rotated')";
    let told: String = store(&home).query_row(words, [], |row| row.get(0)).unwrap();
    assert_eq!(told, "recipient_removed ;key_rotated ");
    assert_sound(&home);
}

#[test]
fn ones_own_identity_is_removed_when_it_is_said_twice_and_another_goes_on() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let (other, public_key) = other_admin();
    home.orgkey(&["key", "recipient", "add", &public_key, "--label", "ben"]).ok();
    let remove = ["key", "recipient", "remove", "first admin", "--confirm", "first admin"];
    assert_eq!(home.orgkey(&remove).status, 6);
    let served = token(&home);
    home.orgkey(&[&remove[..], &["--own"]].concat()).ok();
    let refused = home.orgkey(&["token", "acme", "--json"]).expect(9).error();
    assert_eq!(refused["code"], "identity_does_not_fit");
    fs::copy(other.path().join("identity.key"), home.path().join("identity.key")).unwrap();
    assert_eq!(token(&home), served);
    home.orgkey(&["test", "acme"]).ok();
}

#[test]
fn a_backup_from_before_opens_here_and_elsewhere_and_its_values_are_sealed_anew() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let file = home.outside().join("before.backup");
    let file = file.to_str().unwrap();
    home.orgkey(&["backup", file]).ok();
    let served = token(&home);
    home.orgkey(&["key", "rotate"]).ok();
    home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();

    let elsewhere = Home::empty();
    elsewhere.write("config.toml", &config(PUBLIC_APP));
    fs::copy(home.path().join("identity.key"), elsewhere.path().join("identity.key")).unwrap();
    elsewhere.orgkey(&["restore", file]).ok();
    assert_eq!(token(&elsewhere), served);

    home.orgkey(&["restore", file, "--confirm", "orgkey.db"]).ok();
    assert_eq!(token(&home), served);
    let rotated = home.orgkey(&["key", "rotate", "--json"]).ok().json();
    assert_eq!((&rotated["key"]["unopened"], &rotated["key"]["resealed"]), (&json!(0), &json!(1)));
    assert_eq!(token(&home), served);
}

#[test]
fn an_answer_that_waits_in_the_inbox_keeps_its_key_until_it_is_taken_over() {
    if !installed(&["strace"], "a refresh killed before its commit, then a key rotation") {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let old = token(&home);
    let refresh = Subject { arguments: &["token", "acme", "--not", "-"], stdin: &old };
    assert!(refresh.hit(&home, Blow::Kill, "fdatasync", 1).met);
    for _ in 0..2 {
        let rotated = home.orgkey(&["key", "rotate", "--json"]).ok().json();
        assert_eq!(rotated["key"]["former_kept"], true, "{rotated}");
    }
    assert_eq!(home.shown("acme")["state"], "ready");
    let new = token(&home);
    assert_ne!(new, old);
    home.orgkey(&["test", "acme"]).ok();
    // Nothing waits for the former keys any more, and the next look dropped them.
    let plain = age_text(&home);
    assert_eq!(plain.matches("orgkey-data-key-1").count(), 1, "{plain}");
    home.orgkey_with(&["token", "acme", "--not", "-"], &new).ok();
    assert_eq!((simulator.count("refreshes"), simulator.count("replays")), (2, 0));
}

/// What stands in `store.age`: opened by the crate, as stock age would.
fn age_text(home: &Home) -> String {
    let identity = fs::read_to_string(home.path().join("identity.key")).unwrap();
    let identity = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let identity: age::x25519::Identity = identity.parse().unwrap();
    let sealed = fs::read(home.path().join("store.age")).unwrap();
    String::from_utf8(age::decrypt(&identity, &sealed).unwrap()).unwrap()
}

#[test]
fn an_exchange_that_is_under_way_is_waited_for() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let old = token(&home);
    simulator.clear_journal();
    let path = json!({ "path": "/services/oauth2/token" });
    simulator.script(&json!([{ "match": path, "delay_after_ms": 1500 }]));
    let refresh = home.start(&["token", "acme", "--not", "-"], &old);
    until("the refresh to be carried out", || simulator.count("refreshes") == 1);
    let rotated = home.orgkey(&["key", "rotate"]).ok();
    assert!(rotated.stderr.contains("waiting for another process"), "{rotated}");
    let refreshed = refresh.wait_with_output().unwrap();
    assert!(refreshed.status.success(), "{refreshed:?}");
    assert_eq!(token(&home), String::from_utf8(refreshed.stdout).unwrap().trim());
    assert_eq!(number(&home, SEALING_KEYS), 1);
}

#[test]
fn a_spent_token_is_still_known_after_the_key_was_rotated() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    home.orgkey(&["key", "rotate"]).ok();
    let file = home.outside().join("before.backup");
    let file = file.to_str().unwrap();
    home.orgkey(&["backup", file]).ok();
    home.orgkey(&["key", "rotate"]).ok();
    let old = token(&home);
    home.orgkey_with(&["token", "acme", "--not", "-"], &old).ok();
    // The store is lost, the journal of what was spent is not.
    for name in ["orgkey.db", "orgkey.db-wal", "orgkey.db-shm"] {
        let _ = fs::remove_file(home.path().join(name));
    }
    home.orgkey(&["restore", file]).ok();
    home.orgkey(&["adopt"]).ok();
    let refused = home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &old).expect(3);
    assert_eq!(refused.error()["code"], "needs_setup");
    assert_eq!(simulator.count("replays"), 0);
}

#[test]
fn the_recovery_identity_opens_a_backup_on_a_bare_machine() {
    let simulator = Simulator::start();
    let mut home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    let passphrase = home.write("passphrase", "correct horse battery staple");
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    let made = home.orgkey(&["key", "init", "--recovery", "--json"]).ok().json();
    let recovery = made["key"]["recovery_identity"].as_str().unwrap().to_owned();
    home.ready_credential(&simulator, "acme", ANA);
    home.orgkey(&["key", "rotate"]).ok();
    let file = home.outside().join("acme.backup");
    home.orgkey(&["backup", file.to_str().unwrap()]).ok();

    let mut bare = Home::empty();
    bare.write("config.toml", &config(PUBLIC_APP));
    bare.orgkey(&["restore", file.to_str().unwrap()]).ok();
    assert_ne!(bare.orgkey(&["token", "acme"]).status, 0, "no identity is there");
    let credentials = bare.outside().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("orgkey-identity"), recovery).unwrap();
    crate::common::set_mode(&credentials.join("orgkey-identity"), 0o600);
    bare.set("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    assert_eq!(token(&bare), token(&home));
    // It seals as well: this machine goes on in the place of the lost one.
    bare.orgkey(&["adopt"]).ok();
    let old = token(&bare);
    let new = bare.orgkey_with(&["token", "acme", "--not", "-"], &old).ok().stdout;
    assert_ne!(new.trim(), old);
    assert_eq!(token(&bare), new.trim());
}

/// A home whose key has a passphrase that only the agent was told.
struct WithAgent {
    home: Home,
    passphrase: PathBuf,
    agent: Child,
}

impl WithAgent {
    fn start(simulator: &Simulator) -> Self {
        let home = Home::empty();
        home.write("config.toml", &config(PUBLIC_APP));
        let passphrase = home.outside().join("passphrase");
        fs::write(&passphrase, "correct horse battery staple").unwrap();
        crate::common::set_mode(&passphrase, 0o600);
        let agent =
            home.command(&["agent"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Self { home, passphrase, agent };
        let socket = started.home.path().join("agent.sock");
        until("the agent to listen", || UnixStream::connect(&socket).is_ok());
        for arguments in [&["key", "init"][..], &["unlock"]] {
            run(started.with_passphrase(arguments), "").ok();
        }
        started.home.ready_credential(simulator, "acme", ANA);
        started
    }

    fn with_passphrase(&self, arguments: &[&str]) -> Command {
        let mut command = self.home.command(arguments);
        command.env("ORGKEY_PASSPHRASE_FILE", &self.passphrase);
        command
    }
}

impl Drop for WithAgent {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

#[test]
fn an_agent_notices_that_another_process_changed_the_key_and_asks_nobody() {
    let simulator = Simulator::start();
    let all = WithAgent::start(&simulator);
    let home = &all.home;
    let served = token(home);
    // Out of the agent's reach, as from a second session that has the passphrase.
    let (socket, hidden) = (home.path().join("agent.sock"), home.outside().join("hidden.sock"));
    for _ in 0..2 {
        fs::rename(&socket, &hidden).unwrap();
        run(all.with_passphrase(&["key", "rotate"]), "").ok();
        assert_eq!(home.orgkey(&["token", "acme"]).status, 5, "nobody else has the key open");
        fs::rename(&hidden, &socket).unwrap();
        assert_eq!(token(home), served);
    }
    let new = home.orgkey_with(&["token", "acme", "--not", "-"], &served).ok().stdout;
    assert_ne!(new.trim(), served);
    assert_eq!(number(home, SEALING_KEYS), 1, "the agent seals by the new key");
    let status = home.orgkey(&["key", "status", "--json"]).ok().json();
    assert_eq!(status["key"]["open"], true);
    assert!(status["key"]["open_until"].is_string(), "{status}");
}

#[test]
fn an_agent_and_twenty_tokens_while_the_key_is_changed_three_times_all_succeed() {
    let simulator = Simulator::start();
    let all = WithAgent::start(&simulator);
    let home = &all.home;
    let served = token(home);
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "hold_ms": 200 }));
    std::thread::scope(|scope| {
        let rotations = scope.spawn(|| {
            for _ in 0..3 {
                home.orgkey(&["key", "rotate"]).ok();
            }
        });
        let mut rounds = 0;
        while rounds == 0 || !rotations.is_finished() {
            rounds += 1;
            let old = token(home);
            let mut asked = vec![(vec!["token", "acme"], ""); 15];
            asked.extend(vec![(vec!["token", "acme", "--not", "-"], old.as_str()); 5]);
            for asked in at_once(home, &asked) {
                asked.ok();
            }
        }
    });
    assert_ne!(token(home), served);
    assert_eq!(number(home, "SELECT count(*) FROM audit WHERE event = 'key_rotated'"), 3);
    assert_eq!((number(home, SEALING_KEYS), simulator.count("replays")), (1, 0));
}

#[test]
fn twenty_processes_with_a_bare_key_while_it_is_changed_three_times_all_succeed() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    std::thread::scope(|scope| {
        let rotations = scope.spawn(|| {
            for _ in 0..3 {
                home.orgkey(&["key", "rotate"]).ok();
            }
        });
        let mut rounds = 0;
        while rounds == 0 || !rotations.is_finished() {
            rounds += 1;
            let old = token(&home);
            let mut asked = vec![(vec!["token", "acme"], ""); 15];
            asked.extend(vec![(vec!["token", "acme", "--not", "-"], old.as_str()); 5]);
            for asked in at_once(&home, &asked) {
                asked.ok();
            }
        }
    });
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!((number(&home, SEALING_KEYS), simulator.count("replays")), (1, 0));
    assert_sound(&home);
}

#[test]
#[ignore = "ten thousand values"]
fn ten_thousand_values_are_sealed_anew_in_one_transaction() {
    let home = Home::new();
    let secret = home.write("secret", &"s".repeat(200));
    let app = |number: u32| {
        let client_id = format!("3MVG9simulated.app_{number}");
        json!({ "name": format!("app-{number}"), "client_id": client_id, "secret_file": secret })
    };
    let lines: Vec<String> = (0..10_000).map(|number| app(number).to_string()).collect();
    let file = home.write("apps.jsonl", &lines.join("\n"));
    home.orgkey(&["app", "add", "--from", file.to_str().unwrap()]).ok();
    fs::remove_file(file).unwrap();
    fs::remove_file(&secret).unwrap();
    let size = || fs::metadata(home.path().join("orgkey.db")).unwrap().len() / 1024;
    let before = size();
    let started = std::time::Instant::now();
    let rotated: Value = home.orgkey(&["key", "rotate", "--json"]).ok().json();
    let took = started.elapsed();
    assert_eq!(rotated["key"]["resealed"], 10_000);
    assert_eq!(number(&home, SEALING_KEYS), 1);
    let log = fs::metadata(home.path().join("orgkey.db-wal")).map_or(0, |file| file.len());
    say(&format!(
        "10,000 values sealed anew: {took:?}; the store {before} KiB before, {} KiB after, its log {log} bytes",
        size()
    ));
}
