//! What the dashboard costs, counted in the built program in a pseudo-terminal: bytes, writes,
//! wake-ups and memory, with one, a thousand and a hundred thousand saved credentials.
//!
//! `cargo bench --bench figures` prints a table. Counts are the same on a busy machine; the times
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

use common::Home;
use console::Console;

/// Saved credentials.
const SIZES: [usize; 3] = [1, 1_000, 100_000];
/// After this time without a byte the screen is at rest: the panel follows within 150 ms.
const REST: Duration = Duration::from_millis(400);
/// How long it is left alone for the idle figures.
const IDLE: Duration = Duration::from_secs(15);
/// Repetitions of a key of which the median time is taken.
const KEYS: usize = 16;

/// The figures of one store.
struct Figures {
    /// Bytes of the first screen at 80x24 and at 200x50.
    first: [usize; 2],
    /// Writes until the first screen stands at 80x24.
    first_writes: u64,
    /// From the start to the last byte of it.
    first_time: Duration,
    /// Bytes of a cursor key at 80x24 and at 200x50.
    cursor: [usize; 2],
    /// Writes of a cursor key.
    cursor_writes: u64,
    /// Bytes of the panel that follows.
    panel: [usize; 2],
    /// From a cursor key to its first byte.
    cursor_time: Duration,
    /// From a key in the filter to its first byte.
    filter_time: Duration,
    /// Bytes while it is left alone.
    idle_bytes: usize,
    /// Wake-ups of all threads while it is left alone.
    idle_wake_ups: u64,
    /// Proportional set size, in KiB.
    pss: u64,
    /// Of that, what is its own alone.
    private: u64,
    /// Threads.
    threads: usize,
}

fn main() {
    let figures: Vec<_> = SIZES.into_iter().map(|size| taken(&home(size), size)).collect();
    let row = |what: &str, goal: &str, value: &dyn Fn(&Figures) -> String| {
        let values: Vec<_> =
            figures.iter().map(|figures| format!("{:>10}", value(figures))).collect();
        println!("{what:<44} {}   {goal}", values.join(" "));
    };
    let sizes: Vec<_> = SIZES.iter().map(|size| format!("{size:>10}")).collect();
    println!("{:<44} {}   goal", "saved credentials", sizes.join(" "));
    row("first screen, 80x24, bytes", "2,600", &|f| f.first[0].to_string());
    row("first screen, 200x50, bytes", "5,600", &|f| f.first[1].to_string());
    row("writes until it stands", "1 or 2", &|f| f.first_writes.to_string());
    row("until it stands, ms", "", &|f| millis(f.first_time));
    row("cursor key, 80x24, bytes", "48", &|f| f.cursor[0].to_string());
    row("cursor key, 200x50, bytes", "48", &|f| f.cursor[1].to_string());
    row("cursor key, writes", "1", &|f| f.cursor_writes.to_string());
    row("panel that follows, 80x24, bytes", "400", &|f| f.panel[0].to_string());
    row("panel that follows, 200x50, bytes", "400", &|f| f.panel[1].to_string());
    row("cursor key to output, ms", "no growth", &|f| millis(f.cursor_time));
    row("filter key to output, ms", "16", &|f| millis(f.filter_time));
    row(&format!("idle {} s, bytes", IDLE.as_secs()), "0", &|f| f.idle_bytes.to_string());
    row(&format!("idle {} s, wake-ups", IDLE.as_secs()), "0", &|f| f.idle_wake_ups.to_string());
    row("memory (PSS), KiB", "8,192; +10,240", &|f| f.pss.to_string());
    row("of that its own, KiB", "", &|f| f.private.to_string());
    row("threads", "4", &|f| f.threads.to_string());
}

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
         INSERT INTO credential
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

fn taken(home: &Home, size: usize) -> Figures {
    let small = Seen::of(home, size, 80, 24);
    let large = Seen::of(home, size, 200, 50);
    Figures {
        first: [small.first, large.first],
        first_writes: small.first_writes,
        first_time: small.first_time,
        cursor: [small.cursor, large.cursor],
        cursor_writes: small.cursor_writes,
        panel: [small.panel, large.panel],
        cursor_time: small.cursor_time,
        filter_time: small.filter_time,
        idle_bytes: small.idle_bytes,
        idle_wake_ups: small.idle_wake_ups,
        pss: small.pss,
        private: small.private,
        threads: small.threads,
    }
}

/// The figures at one size of the terminal.
struct Seen {
    first: usize,
    first_writes: u64,
    first_time: Duration,
    cursor: usize,
    cursor_writes: u64,
    panel: usize,
    cursor_time: Duration,
    filter_time: Duration,
    idle_bytes: usize,
    idle_wake_ups: u64,
    pss: u64,
    private: u64,
    threads: usize,
}

impl Seen {
    fn of(home: &Home, size: usize, columns: u16, rows: u16) -> Self {
        let started = Instant::now();
        let mut console = Console::sized(&home.command(&[]), columns, rows);
        console.shows("org-000000");
        let first_time = started.elapsed();
        rest(&console);
        let (first, first_writes) = (console.bytes().len(), writes(&console));
        let (pss, private) = memory(&console);
        let threads = tasks(&console).len();

        let (cursor, panel, cursor_writes) =
            if size > 1 { cursor_key(&mut console) } else { (0, 0, 0) };
        let key = if size > 1 { ["j", "k"] } else { ["?", "\x1b"] };
        let cursor_time = median(&mut console, |step| key[step % 2]);

        let (bytes, switches) = (console.bytes().len(), wake_ups(&console));
        if columns == 80 {
            std::thread::park_timeout(IDLE);
        }
        let (idle_bytes, idle_wake_ups) =
            (console.bytes().len() - bytes, wake_ups(&console) - switches);

        console.press("/");
        rest(&console);
        let filter_time = median(&mut console, |step| ["9", "\x7f"][step % 2]);
        console.press("\x03");
        console.ended();
        Self {
            first,
            first_writes,
            first_time,
            cursor,
            cursor_writes,
            panel,
            cursor_time,
            filter_time,
            idle_bytes,
            idle_wake_ups,
            pss,
            private,
            threads,
        }
    }
}

/// Bytes of the key, bytes of the panel that follows, writes of the key.
fn cursor_key(console: &mut Console) -> (usize, usize, u64) {
    let (bytes, before) = (console.bytes().len(), writes(console));
    console.key("j");
    let (cursor, count) = (console.bytes().len() - bytes, writes(console) - before);
    rest(console);
    (cursor, console.bytes().len() - bytes - cursor, count)
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
    let mut known = console.bytes().len();
    let mut since = Instant::now();
    while since.elapsed() < REST {
        std::thread::park_timeout(Duration::from_millis(20));
        let now = console.bytes().len();
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

/// Proportional set size and private memory, in KiB.
fn memory(console: &Console) -> (u64, u64) {
    let path = format!("/proc/{}/smaps_rollup", console.pid());
    let rollup = fs::read_to_string(path).unwrap_or_else(|error| panic!("{error}"));
    (field(&rollup, "Pss"), field(&rollup, "Private_Dirty"))
}
