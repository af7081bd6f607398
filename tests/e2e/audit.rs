//! The audit as an auditor sees it: through crashes, restores and edits behind its back.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::common::{Home, MARKER, PUBLIC_APP, Run, Simulator, config, run};
use crate::installed;

const ANA: &str = "ana@acme.example";

fn ready() -> (Simulator, Home) {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    (simulator, home)
}

fn store(home: &Home) -> rusqlite::Connection {
    rusqlite::Connection::open(home.path().join("orgkey.db")).unwrap()
}

fn rows(home: &Home, more: &[&str]) -> Vec<Value> {
    let printed = home.orgkey(&[&["audit", "--json"], more].concat()).ok().json();
    printed["audit"].as_array().unwrap().clone()
}

/// Access tokens that the chain has as handed out.
fn handed_out(home: &Home) -> u64 {
    let count = |row: &Value| -> u64 {
        row["detail"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    rows(home, &["--event", "handed_out"]).iter().map(count).sum()
}

fn verified(home: &Home) -> Value {
    home.orgkey(&["audit", "verify", "--json"]).ok().json()["verified"].clone()
}

/// Lets a minute pass for the records that are open: an older version, too, has counted them so.
fn a_minute_later(home: &Home) {
    let later = "UPDATE hand_out SET minute = minute - 1, hash = NULL";
    store(home).execute(later, []).unwrap();
}

fn traced(home: &Home, arguments: &[&str], calls: &str) -> String {
    let trace = home.outside().join("trace");
    let command = home.command(arguments);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-y", "-e", calls, "-o"]).arg(&trace);
    traced.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        traced.env(name, value.unwrap_or_default());
    }
    run(traced, "").ok();
    std::fs::read_to_string(trace).unwrap()
}

#[test]
fn a_token_syncs_nothing_whether_or_not_a_minute_is_over() {
    if !installed(&["strace"], "the syncs of a token") {
        return;
    }
    let (_simulator, home) = ready();
    // As long as somebody has the store open, its log stays: no sync is for that.
    let open = store(&home);
    let _: i64 = open.query_row("SELECT count(*) FROM meta", [], |row| row.get(0)).unwrap();
    home.orgkey(&["token", "acme"]).ok();
    let syncs = "trace=fsync,fdatasync,sync_file_range,msync";
    assert_eq!(traced(&home, &["token", "acme"], syncs), "");
    a_minute_later(&home);
    assert_eq!(traced(&home, &["token", "acme"], syncs), "");
    let calls = |text: String| text.lines().filter(|line| line.contains('(')).count();
    let within = calls(traced(&home, &["token", "acme"], "trace=all"));
    a_minute_later(&home);
    let first = calls(traced(&home, &["token", "acme"], "trace=all"));
    println!("system calls of a token: {within}, the first of a minute {first}");
    assert!(within <= 240 && first <= within + 40, "{within} {first}");
    assert_eq!(handed_out(&home), 5);
}

#[test]
fn hand_outs_survive_kills_and_the_chain_with_them() {
    if !installed(&["strace"], "kills at the system calls of a token") {
        return;
    }
    let (_simulator, home) = ready();
    let (mut shown, mut killed) = (0, 0);
    let calls = ["pwrite64", "fcntl", "openat", "close", "write", "read"];
    for number in 0..200_u32 {
        if number % 4 == 0 {
            a_minute_later(&home);
        }
        let call = calls[number as usize % calls.len()];
        let blow = format!("inject={call}:signal=KILL:when={}", 1 + number / 6);
        let command = home.command(&["token", "acme"]);
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &blow]);
        traced.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            traced.env(name, value.unwrap_or_default());
        }
        let ended = run(traced, "");
        shown += u64::from(!ended.stdout.is_empty());
        killed += u64::from(ended.stdout.is_empty());
    }
    assert!(shown > 20 && killed > 20, "{shown} were shown, {killed} killed before");
    let counted = handed_out(&home);
    assert!(counted >= shown, "{shown} were shown and {counted} are recorded");
    assert!(counted <= 200, "{counted}");
    let verified = verified(&home);
    assert_eq!((&verified["whole"], &verified["head_remembered"]), (&true.into(), &true.into()));
}

#[test]
fn a_restore_is_no_cut_and_a_cut_is_one() {
    let (_simulator, home) = ready();
    home.orgkey(&["token", "acme"]).ok();
    let noted = home.orgkey(&["audit", "head"]).ok().stdout.trim().to_owned();
    let file = home.outside().join("backup");
    home.orgkey(&["backup", file.to_str().unwrap()]).ok();
    for _ in 0..3 {
        home.orgkey(&["reset", "acme", "--tag", "eu", "--reason", "OPS-1"]).ok();
        home.orgkey(&["token", "acme"]).ok();
    }
    let later = home.orgkey(&["audit", "head"]).ok().stdout.trim().to_owned();
    home.orgkey(&["restore", file.to_str().unwrap(), "--confirm", "orgkey.db"]).ok();
    let after = verified(&home);
    assert_eq!((&after["whole"], &after["restores"]), (&true.into(), &1.into()));
    home.orgkey(&["audit", "verify", "--head", &noted]).ok();
    // The end of the chain that the restore replaced is in the row that joins both.
    home.orgkey(&["audit", "verify", "--head", &later]).ok();
    let joined = rows(&home, &["--event", "store restored"]);
    let kept = joined[0]["detail"].as_str().unwrap();
    assert!(kept.contains("kept as orgkey.db.before-"), "{kept}");

    let last = verified(&home)["rows"].as_i64().unwrap();
    store(&home).execute("DELETE FROM audit WHERE sequence = ?1", [last]).unwrap();
    let cut = home.orgkey(&["audit", "verify", "--json"]).expect(9);
    assert_eq!(cut.error()["code"], "audit_cut");
    assert_eq!(cut.json()["verified"]["wrong"]["sequence"], last);
    // What is written later does not hide it.
    home.orgkey(&["reset", "acme", "--tag", "us"]).ok();
    let cut = home.orgkey(&["audit", "verify"]).expect(9);
    assert!(cut.stderr.contains("were cut off"), "{cut}");
}

#[test]
fn a_store_that_is_gone_and_restored_says_how_far_its_chain_had_come() {
    let (_simulator, home) = ready();
    let file = home.outside().join("backup");
    home.orgkey(&["backup", file.to_str().unwrap()]).ok();
    home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();
    let last = home.orgkey(&["audit", "head"]).ok().stdout.trim().to_owned();
    for name in ["orgkey.db", "orgkey.db-wal", "orgkey.db-shm"] {
        let _ = std::fs::remove_file(home.path().join(name));
    }
    home.orgkey(&["restore", file.to_str().unwrap()]).ok();
    assert_eq!(verified(&home)["whole"], true);
    let joined = rows(&home, &["--event", "store_restored"]);
    let words = joined[0]["detail"].as_str().unwrap();
    assert!(words.contains("what was here before is gone, audit row"), "{words}");
    home.orgkey(&["audit", "verify", "--head", &last]).ok();
}

fn receive(daemon: &UnixDatagram) -> Vec<String> {
    daemon.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 16 * 1024];
    let mut lines = Vec::new();
    while let Ok(length) = daemon.recv(&mut buffer) {
        lines.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    lines
}

#[test]
fn syslog_gets_each_row_after_its_commit_and_no_secret() {
    let simulator = Simulator::start();
    let home = Home::new();
    let socket = home.outside().join("log");
    let daemon = UnixDatagram::bind(&socket).unwrap();
    let audit = format!("[audit]\nsyslog = \"{}\"\n", socket.display());
    home.write("config.toml", &format!("{}\n{audit}", config(PUBLIC_APP)));
    let before = rows(&home, &[]).len();
    home.ready_credential(&simulator, "acme", ANA);
    let token = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let reset = ["reset", "acme", "--tag", "eu", "--reason", "OPS-5\u{1b}[31m"];
    home.orgkey(&reset).ok();
    let lines = receive(&daemon);
    let rows = rows(&home, &[]).split_off(before);
    assert_eq!(lines.len(), rows.len(), "{lines:#?}");
    for (line, row) in lines.iter().zip(&rows) {
        let words = format!(
            "audit {} {} {} ",
            row["sequence"],
            row["event"].as_str().unwrap(),
            row["subject"].as_str().unwrap()
        );
        assert!(line.starts_with('<') && line.contains(" orgkey["), "{line}");
        assert!(line.contains(&words), "{line}: {words}");
        assert!(line.contains(row["hash"].as_str().unwrap()), "{line}");
        assert!(!line.contains(&token) && !line.contains(MARKER), "{line}");
        assert!(!line.contains('\u{1b}') && !line.contains('\n'), "{line}");
    }
    assert!(lines.iter().any(|line| line.starts_with("<38>") && line.contains("handed_out")));
    assert!(lines.iter().any(|line| line.starts_with("<37>") && line.contains("OPS-5")));

    // A log that is gone holds nothing up.
    drop(daemon);
    std::fs::remove_file(&socket).unwrap();
    home.orgkey(&["reset", "acme", "--tag", "us"]).ok();
    home.orgkey(&["token", "acme"]).ok();
}

#[test]
fn many_rows_are_printed_in_little_memory() {
    let (_simulator, home) = ready();
    // A tenth of a million rows, chained or not: what is printed is not held.
    store(&home)
        .execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 100999)
             INSERT INTO audit SELECT i, i, 'refreshed', 'acme/production', 'generation ' || i, '',
                    '{\"uid\":0}', zeroblob(32), zeroblob(32) FROM n;",
        )
        .unwrap();
    let limit = |kibibytes: u64, arguments: &[&str]| -> Run {
        let command = home.command(arguments);
        let mut limited = Command::new("sh");
        limited.arg("-c").arg(format!("ulimit -d {kibibytes}; exec \"$0\" \"$@\""));
        limited.arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            limited.env(name, value.unwrap_or_default());
        }
        run(limited, "")
    };
    let printed = limit(40_000, &["audit", "--event", "refreshed"]).ok().stdout;
    assert_eq!(printed.lines().count(), 100_000);
    let newest = home.orgkey(&["audit", "--limit", "2"]).ok().stdout;
    assert_eq!(newest.lines().count(), 2);
}

#[test]
fn a_report_proves_that_a_replaced_token_is_dead() {
    let (simulator, home) = ready();
    home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();
    home.set_up(&simulator, "acme", ANA).ok();
    home.orgkey(&["token", "acme"]).ok();
    home.orgkey(&["token", "acme"]).ok();
    home.set_up(&simulator, "acme", "ben@acme.example").expect(6);
    let report = |more: &[&str]| -> Value {
        let printed = home.orgkey(&[&["report", "--from", "1d", "--json"], more].concat()).ok();
        printed.json()["report"].clone()
    };
    let all = report(&[]);
    let set_ups = all["set_ups"].as_array().unwrap();
    assert_eq!(set_ups.len(), 2, "{all:#}");
    assert_eq!(set_ups[0]["old_token"], "there was none");
    let end = set_ups[1]["old_token"].as_str().unwrap();
    assert!(end.starts_with("revoked at Salesforce (confirmed)"), "{end}");
    let number: i64 = end.rsplit(' ').next().unwrap().parse().unwrap();
    let revoked = rows(&home, &["--event", "revoked"]);
    assert!(revoked.iter().any(|row| row["sequence"] == number), "{end}");
    let counts: Vec<&Value> =
        all["hand_outs"].as_array().unwrap().iter().map(|row| &row["count"]).collect();
    assert_eq!(counts, ["2"]);
    let exceptions = all["exceptions"].as_array().unwrap();
    let events: Vec<&Value> = exceptions.iter().map(|row| &row["event"]).collect();
    assert_eq!(events, ["wrong_account"], "a debt that was paid is none: {all:#}");
    assert_eq!(report(&["--tag", "eu"])["set_ups"], all["set_ups"]);
    let mistyped = home.orgkey(&["report", "--from", "1d", "--tag", "us"]).expect(7);
    assert!(mistyped.stderr.contains("no credential has the tag us"), "{mistyped}");
    let head = home.orgkey(&["audit", "head"]).ok().stdout;
    assert_eq!(all["heads"]["to"], head.trim());
}

#[test]
fn a_report_ties_a_revoke_to_the_set_up_after_it_and_tells_of_what_is_owed_and_deleted() {
    let (simulator, home) = ready();
    home.orgkey(&["reset", "acme", "--tag", "eu"]).ok();
    home.orgkey(&["revoke", "acme", "--confirm", "acme"]).ok();
    home.set_up(&simulator, "acme", ANA).ok();
    let report = || -> Value {
        let printed = home.orgkey(&["report", "--from", "1d", "--tag", "eu", "--json"]).ok();
        printed.json()["report"].clone()
    };
    let told = report();
    let end = told["set_ups"][1]["old_token"].as_str().unwrap();
    assert!(end.starts_with("revoked at Salesforce (confirmed)"), "{told:#}");
    // One that could not be delivered is an exception, also when its credential is gone.
    simulator.script(
        &json!([{ "match": { "path": "/services/oauth2/revoke" }, "status": 503, "body": "", "times": 9 }]),
    );
    home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
    let told = report();
    assert_eq!(told["inventory"], json!([]));
    assert_eq!(told["set_ups"].as_array().unwrap().len(), 2, "{told:#}");
    let exceptions = told["exceptions"].as_array().unwrap();
    let events: Vec<&Value> = exceptions.iter().map(|row| &row["event"]).collect();
    assert_eq!(events, ["revocation_owed"], "{told:#}");
    simulator.clear_script();
    home.orgkey(&["revoke", "--owed"]).ok();
    assert_eq!(report()["exceptions"], json!([]));
}

#[test]
fn an_agent_waits_for_no_disk_at_a_hand_out_within_a_minute() {
    if !installed(&["strace"], "the syncs of an agent") {
        return;
    }
    let (_simulator, home) = ready();
    let trace = home.outside().join("agent.trace");
    let options = ["-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,sync_file_range,msync"];
    let command = crate::traced(&home.command(&["agent"]), &options, &trace);
    let _agent = Agent::begin(&home, command);
    let syncs = || std::fs::read_to_string(&trace).unwrap().lines().count();
    home.orgkey(&["token", "acme"]).ok();
    let before = syncs();
    let handed = handed_out(&home);
    for _ in 0..20 {
        home.orgkey(&["token", "acme"]).ok();
    }
    // A minute that ends meanwhile is one commit of the chain.
    assert!(syncs() - before <= 2, "{}", std::fs::read_to_string(&trace).unwrap());
    assert_eq!(handed_out(&home), handed + 20);
    home.orgkey(&["agent", "--stop"]).ok();
    home.orgkey(&["audit", "verify"]).ok();
}
