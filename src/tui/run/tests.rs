//! The real loop in a real pseudo-terminal: this test program starts itself as the child.

use crate::config::settings::TerminalUse;
use crate::tui::terminal::Multiplexer;
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::*;
use crate::domain::host::HostPolicy;
use crate::domain::time::UnixMillis;
use crate::engine::Outcome;
use crate::engine::outcome::{KeyProtection, KeyReport};
use crate::tui::model::sample;
use crate::tui::terminal::LEAVE;

/// Longest wait for anything here.
const LIMIT: Duration = Duration::from_secs(20);
/// Says to the test program that it is the child.
const CHILD: &str = "ORGKEY_TEST_DASHBOARD";

/// Answers what the dashboard asks at its start, and nothing else.
struct Samples;

impl Port for Samples {
    fn submit(&self, operation: Operation) -> mpsc::Receiver<Event> {
        let (tell, events) = mpsc::channel(1);
        let outcome = match operation {
            Operation::Index => Outcome::Index(sample::many().into_iter().collect()),
            Operation::Apps => Outcome::Apps(vec![sample::app()]),
            Operation::KeyStatus => Outcome::Key(KeyReport {
                protection: KeyProtection::Passphrase,
                open: true,
                open_until: None,
                agent: None,
                recovery_identity: None,
            }),
            // The key that opens the history stands for a fault of our own in the loop.
            Operation::History(_) => panic!("a fault of our own"),
            _ => return events,
        };
        tell.try_send(Event::Done(Ok(outcome))).unwrap();
        events
    }
}

/// The child's side; in the test program itself it does nothing.
#[test]
#[expect(clippy::disallowed_methods, reason = "the exit code is what the parent looks at")]
fn dashboard_in_a_child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let settings = Settings {
        no_color: false,
        ascii: false,
        multiplexer: Multiplexer::None,
        terminal: TerminalUse::default(),
        demo: None,
        clock: || UnixMillis(sample::NOW.0),
        zone: TimeZone::UTC,
        host_policy: HostPolicy::default(),
    };
    crate::tui::terminal::restore_on_panic();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(crate::tui::run(Samples, settings)).unwrap();
    std::process::exit(code.into());
}

/// A child in a pseudo-terminal of 80x24.
struct Terminal80 {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn std::io::Write + Send>>,
    output: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Terminal80 {
    fn start() -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tui::run::tests::dashboard_in_a_child", "--nocapture"]);
        command.env(CHILD, "1");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (tell, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if tell.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (master, keys) = (Some(pair.master), Some(keys));
        Self { child, master, keys, output, bytes: Vec::new() }
    }

    fn process(&self) -> rustix::process::Pid {
        let id = i32::try_from(self.child.process_id().unwrap()).unwrap();
        rustix::process::Pid::from_raw(id).unwrap()
    }

    fn press(&mut self, keys: &[u8]) {
        let line = self.keys.as_mut().unwrap();
        line.write_all(keys).unwrap();
        line.flush().unwrap();
    }

    /// Reads until the condition holds for the screen.
    fn wait_for(&mut self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let mut parser = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
            parser.process(&self.bytes);
            if holds(parser.screen()) {
                return;
            }
            assert!(Instant::now() < deadline, "no {what}:\n{}", parser.screen().contents());
            self.read();
        }
    }

    fn read(&mut self) {
        match self.output.recv_timeout(Duration::from_millis(20)) {
            Ok(bytes) => self.bytes.extend(bytes),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    fn shows(&mut self, text: &str) {
        self.wait_for(text, |screen| screen.contents().contains(text));
    }

    /// Waits for the child's end; answers its exit code. It reads on, as a terminal does.
    fn ended(&mut self) -> u32 {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // What it wrote last may still be on its way: the line is read to its end.
                while let Ok(bytes) = self.output.recv_timeout(LIMIT) {
                    self.bytes.extend(bytes);
                }
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            self.read();
        }
    }

    fn is_given_back(&self) -> bool {
        self.bytes.windows(LEAVE.len()).any(|window| window == LEAVE)
    }

    /// How often its threads were woken so far.
    fn wake_ups(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.process().as_raw_nonzero());
        let switches = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt")).unwrap_or("");
            line.split_whitespace().last().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0)
        };
        std::fs::read_dir(tasks).unwrap().flatten().map(switches).sum()
    }

    fn state(&self) -> char {
        let path = format!("/proc/{}/stat", self.process().as_raw_nonzero());
        let stat = std::fs::read_to_string(path).unwrap();
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }
}

impl Drop for Terminal80 {
    fn drop(&mut self) {
        // It has ended by now in every test that passes.
        let _ = self.child.kill();
    }
}

#[test]
fn the_first_screen_needs_no_answer_of_the_terminal_and_q_gives_it_back() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    let start = terminal.bytes.windows(8).position(|window| window == b"\x1b[?1049h").unwrap();
    let drawn = terminal.bytes.len() - start;
    println!("from the start to the list: {drawn} bytes");
    assert!(drawn <= 2_600, "{drawn} bytes");
    for question in ["\x1b[6n", "\x1b[c", "\x1b[?u", "\x1b[>c", "\x1b]11;?", "\x1b[18t"] {
        assert!(!String::from_utf8_lossy(&terminal.bytes).contains(question));
    }
    terminal.press(b"q");
    assert_eq!(terminal.ended(), 0);
    assert!(terminal.is_given_back());
}

#[test]
fn while_nothing_happens_no_thread_wakes_up_and_no_byte_is_written() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    let deadline = Instant::now() + LIMIT;
    loop {
        let (bytes, before) = (terminal.bytes.len(), terminal.wake_ups());
        for _ in 0..25 {
            terminal.read();
        }
        if (bytes, before) == (terminal.bytes.len(), terminal.wake_ups()) {
            break;
        }
        assert!(Instant::now() < deadline, "it never rests");
    }
    terminal.press(b"q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn an_unbracketed_paste_opens_and_deletes_nothing() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    terminal.press(b"DqnXacme/production\rqqqq");
    terminal.shows("pasted text was not taken (23 characters)");
    terminal.press(b"q");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn a_signal_gives_the_terminal_back_and_ends_with_its_code() {
    for (signal, code) in [(Posix::TERM, 143), (Posix::INT, 130)] {
        let mut terminal = Terminal80::start();
        terminal.shows("8 credentials");
        rustix::process::kill_process(terminal.process(), signal).unwrap();
        assert_eq!(terminal.ended(), code);
        assert!(terminal.is_given_back());
    }
}

#[test]
fn a_hang_up_ends_it() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    rustix::process::kill_process(terminal.process(), Posix::HUP).unwrap();
    assert_eq!(terminal.ended(), 129);
}

#[test]
fn a_terminal_that_does_not_read_keeps_nobody_from_leaving() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    // Whoever read is gone, and the line stays open: what is drawn from here fills the line.
    let (tell, nobody) = channel();
    drop(tell);
    terminal.output = nobody;
    for _ in 0..200 {
        terminal.press(b"\x0cj");
    }
    rustix::process::kill_process(terminal.process(), Posix::TERM).unwrap();
    assert_eq!(terminal.ended(), 143);
}

#[test]
fn another_size_is_drawn_at_once_and_too_small_is_survived() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    for (cols, rows) in [(1, 1), (300, 100), (30, 5)] {
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        terminal.master.as_ref().unwrap().resize(size).unwrap();
    }
    terminal.shows("too small");
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    terminal.master.as_ref().unwrap().resize(size).unwrap();
    terminal.wait_for("list", |screen| screen.contents().contains("8 credentials"));
    terminal.press(b"\x03");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_reported() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    terminal.press(b"h");
    assert_ne!(terminal.ended(), 0);
    let stream = String::from_utf8_lossy(&terminal.bytes).into_owned();
    let left = stream.find(std::str::from_utf8(LEAVE).unwrap()).unwrap();
    let report = stream.find("a fault of our own").unwrap();
    assert!(left < report, "the report stays on the former screen");
    assert!(!stream[report..].contains("\x1b[2J"));
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_stops_and_it_goes_on_where_it_was() {
    let mut terminal = Terminal80::start();
    terminal.shows("8 credentials");
    terminal.press(b"\x1a");
    let deadline = Instant::now() + LIMIT;
    while terminal.state() != 'T' {
        assert!(Instant::now() < deadline, "it does not stop");
        terminal.read();
    }
    while !terminal.is_given_back() {
        assert!(Instant::now() < deadline, "the terminal is not given back");
        terminal.read();
    }
    terminal.bytes.clear();
    rustix::process::kill_process(terminal.process(), Posix::CONT).unwrap();
    terminal.shows("8 credentials");
    terminal.press(b"q");
    assert_eq!(terminal.ended(), 0);
}
