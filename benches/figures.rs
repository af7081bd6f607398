//! What the dashboard costs, counted in the built program in a pseudo-terminal: bytes, writes,
//! wake-ups and memory, with one, a thousand and a hundred thousand saved credentials; then keys
//! while a thousand access tests run, and a countdown.
//!
//! `cargo bench --bench figures` prints a table; `-- table`, `-- countdown` and `-- tests` print a
//! part of it. Counts are the same on a busy machine; the times
//! in it are not, and are there to compare columns with each other alone.
#![expect(clippy::expect_used, clippy::panic, reason = "a figure that can't be taken is the end")]

use std::fs;
use std::time::{Duration, Instant};

#[path = "../tests/common/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod common;
#[path = "../tests/dashboard/console.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod console;

use common::{Home, Simulator};
use console::Console;
use serde_json::json;

/// Saved credentials.
const SIZES: [usize; 3] = [1, 1_000, 100_000];
/// After this time without a byte the screen is at rest: the panel follows within 150 ms.
const REST: Duration = Duration::from_millis(400);
/// How long it is left alone for the idle figures.
const IDLE: Duration = Duration::from_secs(15);
/// Repetitions of a key of which the median time is taken.
const KEYS: usize = 16;

/// Credentials with a token: as many as are tested at once.
const WITH_TOKENS: usize = 128;
/// Access tests that run while keys are pressed.
const TESTS: usize = 1_000;
/// Keys at rest, to compare with those.
const KEYS_AT_REST: usize = 200;
/// Users of the simulated orgs that may use the API.
const USERS: [&str; 5] = [
    "ana@acme.example",
    "ben@acme.example",
    "svc@acme.example",
    "eva@globex.example",
    "fin@globex.example",
];

/// A figure: what it is, its goal, and its value.
type Figure = (String, &'static str, String);

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() {
    let part = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| part.as_ref().is_none_or(|part| part == name);
    let line = |what: &str, values: &[&str], goal: &str| {
        let values: Vec<_> = values.iter().map(|value| format!("{value:>10}")).collect();
        println!("{what:<36} {}   {goal}", values.join(" "));
    };
    if wanted("table") {
        let columns: Vec<_> = SIZES.into_iter().map(|size| taken(&home(size), size)).collect();
        let sizes = SIZES.map(|size| size.to_string());
        line("saved credentials", &sizes.each_ref().map(String::as_str), "goal");
        for (row, (what, goal, _)) in columns[0].iter().enumerate() {
            let values: Vec<_> = columns.iter().map(|column| column[row].2.as_str()).collect();
            line(what, &values, goal);
        }
    }
    let countdown = if wanted("countdown") { countdown() } else { Vec::new() };
    let tests = if wanted("tests") { under_tests() } else { Vec::new() };
    for (what, goal, value) in countdown.into_iter().chain(tests) {
        line(&what, &[&value], goal);
    }
}

/// A row with a set-up whose authorization ends in 40 minutes, looked at for two of them.
fn countdown() -> Vec<Figure> {
    let home = home(1);
    home.orgkey(&["setup", "org-000000", "--start"]).ok();
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).expect("the store");
    let ends = "UPDATE authorization SET expires_at = (unixepoch() + 40 * 60) * 1000";
    assert_eq!(store.execute(ends, []), Ok(1));
    let mut console = Console::start(&home.command(&[]));
    console.shows("min left");
    rest(&console);
    let minutes = 2;
    let (bytes, switches) = (console.received(), wake_ups(&console));
    std::thread::park_timeout(Duration::from_secs(60 * minutes));
    let bytes = u64::try_from(console.received() - bytes).expect("few bytes");
    let switches = wake_ups(&console) - switches;
    end(console);
    vec![
        ("countdown for a minute, bytes".to_owned(), "60", (bytes / minutes).to_string()),
        ("countdown for a minute, wake-ups".to_owned(), "1", (switches / minutes).to_string()),
    ]
}

/// Keys while access tests run, 128 at once, on answers that take 50 ms each.
fn under_tests() -> Vec<Figure> {
    let simulator = Simulator::start();
    let home = home_with_tokens(&simulator);
    // Salesforce keeps five approvals for each user; the older tokens pass because of this.
    simulator.script(&json!([
        {
            "match": { "path": "/services/data/v*" }, "times": 0, "delay_before_ms": 50,
            "status": 200,
            "body": { "DailyApiRequests": { "Max": 100_000, "Remaining": 99_873 } },
        },
        { "match": { "path": "/services/data/" }, "times": 0, "delay_before_ms": 50 },
    ]));
    let mut console = Console::start(&home.command(&[]));
    console.shows("org-000000");
    rest(&console);
    let row = console.look().cursor_position().0;
    let mut at_rest: Vec<_> = (0..KEYS_AT_REST).map(|key| cursor(&mut console, key, row)).collect();
    let mut testing = Vec::new();
    let mut tests = 0;
    while tests < TESTS {
        rest(&console);
        console.key_for("T", "Cancel");
        console.key("\t");
        console.key_for("\r", "testing access of");
        while console.rows()[0].contains("testing ") {
            testing.push(cursor(&mut console, 0, row));
            testing.push(cursor(&mut console, 1, row));
        }
        tests += WITH_TOKENS;
    }
    end(console);
    let of = |times: &mut Vec<Duration>, part: usize| {
        times.sort_unstable();
        millis(times[(times.len() - 1) * part / 100])
    };
    vec![
        ("key to output at rest, ms".to_owned(), "", of(&mut at_rest, 50)),
        ("the slowest of 100 of them, ms".to_owned(), "", of(&mut at_rest, 99)),
        (format!("key while {tests} tests run, ms"), "", of(&mut testing, 50)),
        ("the slowest of 100 of them, ms".to_owned(), "3 times rest", of(&mut testing, 99)),
        ("keys while the tests ran".to_owned(), "", testing.len().to_string()),
    ]
}

/// A home with tokens of the simulated orgs' users.
fn home_with_tokens(simulator: &Simulator) -> Home {
    let home = Home::new();
    for number in 0..WITH_TOKENS {
        let (name, username) = (format!("org-{number:06}"), USERS[number % USERS.len()]);
        home.save(simulator, &name, username, &[]).ok();
        home.set_up(simulator, &name, username).ok();
    }
    home
}

/// The time from a cursor key to the cursor in its row: down with an even number, else up.
fn cursor(console: &mut Console, key: usize, row: u16) -> Duration {
    let down = key.is_multiple_of(2);
    let sent = Instant::now();
    console.press(if down { "j" } else { "k" });
    loop {
        let known = console.received();
        if console.look().cursor_position().0 == row + u16::from(down) {
            return sent.elapsed();
        }
        console.await_bytes("the cursor in its row", |bytes| bytes.len() > known);
    }
}

/// A time in ms.
fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}

/// A home with so many saved credentials: the first by the program, the others copied from it in
/// the store. Their IDs differ in digits alone, which leaves the check suffix as it is.
fn home(size: usize) -> Home {
    let home = Home::new();
    let ids = ["--org-id", "00D5gAb00000000", "--user-id", "0055gAb00000000"];
    home.orgkey(&[&["save", "org-000000", "--username", "svc0@acme.example"][..], &ids].concat())
        .ok();
    let store = rusqlite::Connection::open(home.path().join("orgkey.db")).expect("the store");
    let copies = format!(
        "BEGIN;
         CREATE TEMP TABLE copy AS
         WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT {})
         SELECT n, randomblob(16) AS connection, printf('org-%06d', n) AS name FROM number;
         INSERT INTO connection SELECT connection, name, name, 'production' FROM copy
             WHERE n < {size};
         INSERT INTO credential (id, connection_id, environment, org_id, user_id, username,
                                 login_url, app, tags, held, generation)
         SELECT randomblob(16), copy.connection, environment,
                substr(org_id, 1, 7) || printf('%08d', n) || substr(org_id, 16),
                substr(user_id, 1, 7) || printf('%08d', n) || substr(user_id, 16),
                'svc' || n || '@acme.example', login_url, app, tags, held, generation
             FROM credential, copy WHERE n < {size};
         COMMIT;",
        size.max(2) - 1
    );
    store.execute_batch(&copies).expect("the copies");
    home
}

/// The figures of a store with so many credentials.
fn taken(home: &Home, size: usize) -> Vec<Figure> {
    let mut figures = screen(home, size, (80, 24), "2,600");
    figures.extend(screen(home, size, (200, 50), "5,600"));
    let mut console = Console::start(&home.command(&[]));
    console.shows("org-000000");
    console.hides("reading the");
    rest(&console);
    figures.extend(memory(&console));
    figures.extend(idle(&console));
    let keys = if size > 1 { ["j", "k"] } else { ["?", "\x1b"] };
    let time = median(&mut console, |step| keys[step % 2]);
    figures.push(("key to output, ms".to_owned(), "no growth", millis(time)));
    console.press("/");
    rest(&console);
    let time = median(&mut console, |step| ["9", "\x7f"][step % 2]);
    figures.push(("filter key to output, ms".to_owned(), "16", millis(time)));
    end(console);
    figures
}

/// Ctrl-C.
fn end(mut console: Console) {
    console.press("\x03");
    console.ended();
}

/// First screen, cursor key and panel in a terminal of this size.
fn screen(home: &Home, size: usize, cells: (u16, u16), goal: &'static str) -> Vec<Figure> {
    let started = Instant::now();
    let mut console = Console::sized(&home.command(&[]), cells.0, cells.1);
    console.shows("org-000000");
    let time = started.elapsed();
    console.hides("reading the");
    rest(&console);
    let named = |what: &str| format!("{}x{} {what}", cells.0, cells.1);
    let mut figures = vec![
        (named("first screen, bytes"), goal, console.received().to_string()),
        (named("first screen, writes"), "1 or 2", writes(&console).to_string()),
        (named("first screen, ms"), "", millis(time)),
    ];
    let (bytes, before) = (console.received(), writes(&console));
    if size > 1 {
        console.key("j");
    }
    let (cursor, count) = (console.received() - bytes, writes(&console) - before);
    rest(&console);
    let panel = console.received() - bytes - cursor;
    figures.push((named("cursor key, bytes"), "48", cursor.to_string()));
    figures.push((named("cursor key, writes"), "1", count.to_string()));
    figures.push((named("panel that follows, bytes"), "400", panel.to_string()));
    end(console);
    figures
}

/// What it does while it is left alone.
fn idle(console: &Console) -> Vec<Figure> {
    let (bytes, switches) = (console.received(), wake_ups(console));
    std::thread::park_timeout(IDLE);
    let (bytes, switches) = (console.received() - bytes, wake_ups(console) - switches);
    let named = |what: &str| format!("idle for {} s, {what}", IDLE.as_secs());
    vec![(named("bytes"), "0", bytes.to_string()), (named("wake-ups"), "0", switches.to_string())]
}

/// The median time from a key to its first byte, each key sent when the screen is at rest.
fn median(console: &mut Console, key: impl Fn(usize) -> &'static str) -> Duration {
    let mut times: Vec<_> = (0..KEYS)
        .map(|step| {
            rest(console);
            let sent = Instant::now();
            console.key(key(step));
            sent.elapsed()
        })
        .collect();
    rest(console);
    times.sort_unstable();
    times[KEYS / 2]
}

/// Waits until nothing has come for a while.
fn rest(console: &Console) {
    let mut known = console.received();
    let mut since = Instant::now();
    while since.elapsed() < REST {
        std::thread::park_timeout(Duration::from_millis(20));
        let now = console.received();
        if now != known {
            (known, since) = (now, Instant::now());
        }
    }
}

/// Folders of the program's threads.
fn tasks(console: &Console) -> Vec<std::path::PathBuf> {
    let folder = fs::read_dir(format!("/proc/{}/task", console.pid())).expect("it lives");
    folder.map(|task| task.expect("a thread").path()).collect()
}

/// A field of a file in which each line is a name and a number.
fn field(file: &str, name: &str) -> u64 {
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.expect("a number of that name")
}

/// Writes of the thread that writes to the terminal.
fn writes(console: &Console) -> u64 {
    let ours = |task: &std::path::PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "terminal")
    };
    let task = tasks(console).into_iter().find(ours).expect("the thread that writes");
    field(&fs::read_to_string(task.join("io")).expect("its counts"), "syscw")
}

/// How often its threads were woken.
fn wake_ups(console: &Console) -> u64 {
    let count = |task: std::path::PathBuf| {
        let status = fs::read_to_string(task.join("status")).unwrap_or_default();
        if status.is_empty() { 0 } else { field(&status, "voluntary_ctxt_switches") }
    };
    tasks(console).into_iter().map(count).sum()
}

/// Proportional set size, what of it is its own alone, and threads.
fn memory(console: &Console) -> Vec<Figure> {
    let path = format!("/proc/{}/smaps_rollup", console.pid());
    let rollup = fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}"));
    let kib = |name: &str| field(&rollup, name).to_string();
    vec![
        ("memory (PSS), KiB".to_owned(), "8,192; +10,240", kib("Pss")),
        ("of that written to, KiB".to_owned(), "", kib("Private_Dirty")),
        ("threads".to_owned(), "4", tasks(console).len().to_string()),
    ]
}
