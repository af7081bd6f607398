//! A pseudo-terminal with the program in it, and the terminal's model that its bytes go to.

use std::fs;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

use crate::common::DEADLINE;

/// What the reading side knows.
#[derive(Default)]
struct Line {
    /// All that came so far.
    bytes: Vec<u8>,
    /// Whether nobody reads for now.
    paused: bool,
    /// Whether the reader is to end.
    hung_up: bool,
    /// Whether it has ended.
    ended: bool,
}

/// A terminal of a given size with a program in it, which is ended with this value.
pub struct Console {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    keys: Option<Box<dyn Write + Send>>,
    line: Arc<(Mutex<Line>, Condvar)>,
    model: vt100::Parser,
    /// How many bytes the model has.
    modelled: usize,
}

impl Console {
    /// Starts a command in a terminal of 80x24.
    pub fn start(command: &Command) -> Self {
        Self::sized(command, 80, 24)
    }

    /// Starts a command in a terminal of this size, which may be 0x0: then the model has 80x24.
    pub fn sized(command: &Command, columns: u16, rows: u16) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).expect("a pseudo-terminal");
        let child = pair.slave.spawn_command(in_terminal(command)).expect("the program starts");
        let mut reader = pair.master.try_clone_reader().expect("its output");
        let keys = pair.master.take_writer().expect("its input");
        let line: Arc<(Mutex<Line>, Condvar)> = Arc::default();
        let its_line = Arc::clone(&line);
        std::thread::spawn(move || read_all(&mut *reader, &its_line));
        Self {
            child,
            master: Some(pair.master),
            keys: Some(keys),
            line,
            model: model(columns, rows),
            modelled: 0,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The terminal's modes as the kernel has them.
    pub fn modes(&self) -> String {
        let master = self.master.as_ref().expect("it is not hung up");
        let modes = master.get_termios().expect("it has modes");
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            modes.input_flags,
            modes.output_flags,
            modes.control_flags,
            modes.local_flags,
            modes.control_chars
        )
    }

    /// Process ID of the program.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it has an ID")
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().expect("a process ID")).expect("not zero");
        kill_process(pid, signal).expect("the signal is sent");
    }

    /// Sends bytes as the keyboard does.
    pub fn press(&mut self, bytes: impl AsRef<[u8]>) {
        let keys = self.keys.as_mut().expect("it is not hung up");
        keys.write_all(bytes.as_ref()).expect("the keys are sent");
        keys.flush().expect("the keys are sent");
    }

    /// Sends a text into the focused field and waits until the field shows it, in front of the
    /// underscores that are left of it.
    pub fn fill(&mut self, text: &str) {
        self.press(text);
        self.shows(&format!("{text}_"));
    }

    /// Sends one key and waits until the screen shows a text.
    #[track_caller]
    pub fn key_for(&mut self, key: &str, text: &str) {
        self.press(key);
        self.shows(text);
    }

    /// Sends one key and waits until the screen answered it. What follows at once would be taken
    /// as one paste with it.
    #[track_caller]
    pub fn key(&mut self, key: &str) {
        let before = self.received();
        self.press(key);
        self.await_bytes("the answer to a key", |bytes| bytes.len() > before);
    }

    /// Goes on by so many fields.
    #[track_caller]
    pub fn tab(&mut self, count: usize) {
        for _ in 0..count {
            self.key("\t");
        }
    }

    /// Sends a text as one paste with brackets.
    pub fn paste(&mut self, text: &str) {
        self.press(format!("\x1b[200~{text}\x1b[201~"));
    }

    /// Another size, of the terminal and of the model.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.look();
        let (height, width) = cells(columns, rows);
        self.model.screen_mut().set_size(height, width);
        let master = self.master.as_ref().expect("it is not hung up");
        master.resize(size(columns, rows)).expect("another size");
    }

    /// Nobody reads what the program writes from now on.
    pub fn stop_reading(&mut self) {
        self.line().paused = true;
    }

    /// Somebody reads again.
    pub fn read_on(&mut self) {
        self.line().paused = false;
        self.line.1.notify_all();
    }

    /// The line is cut: nothing is left that holds this side of the terminal.
    pub fn hang_up(&mut self) {
        self.line().hung_up = true;
        // The reader sees it at the next bytes.
        self.press(b"\x0c");
        self.await_line("the reader's end", |line| line.ended);
        self.master = None;
        self.keys = None;
    }

    /// All bytes that came so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.line().bytes.clone()
    }

    /// How many bytes came so far.
    pub fn received(&self) -> usize {
        self.line().bytes.len()
    }

    /// All bytes that came so far, as text.
    pub fn stream(&self) -> String {
        String::from_utf8_lossy(&self.line().bytes).into_owned()
    }

    /// What the terminal shows now.
    pub fn look(&mut self) -> &vt100::Screen {
        let fresh = self.line().bytes[self.modelled..].to_vec();
        self.model.process(&fresh);
        self.modelled += fresh.len();
        self.model.screen()
    }

    /// The rows that the terminal shows now.
    pub fn rows(&mut self) -> Vec<String> {
        let width = self.look().size().1.get();
        self.model.screen().rows(0, width).map(|row| row.trim_end().to_owned()).collect()
    }

    /// What the terminal shows now, as text.
    pub fn text(&mut self) -> String {
        self.rows().join("\n")
    }

    /// Row in which the cursor stands.
    pub fn cursor_row(&mut self) -> String {
        let row = usize::from(self.look().cursor_position().0);
        self.rows()[row].clone()
    }

    /// Waits until a condition holds for what the terminal shows.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let end = Instant::now() + DEADLINE;
        loop {
            let text = self.text();
            if holds(&text) {
                return;
            }
            assert!(Instant::now() < end, "in vain waited for: {what}\n{text}");
            let known = self.modelled;
            let line = self.line.0.lock().expect("no reader panics");
            if line.bytes.len() == known {
                let (_line, _) = self
                    .line
                    .1
                    .wait_timeout(line, Duration::from_millis(100))
                    .expect("no reader panics");
            }
        }
    }

    /// Waits until the terminal shows a text, in one row.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        self.wait_for(text, |shown| shown.contains(text));
    }

    /// Waits until the terminal does not show a text any more.
    #[track_caller]
    pub fn hides(&mut self, text: &str) {
        self.wait_for(text, |shown| !shown.contains(text));
    }

    /// Waits until the bytes that came hold for a condition.
    #[track_caller]
    pub fn await_bytes(&self, what: &str, holds: impl Fn(&[u8]) -> bool) {
        self.await_line(what, |line| holds(&line.bytes));
    }

    #[track_caller]
    fn await_line(&self, what: &str, holds: impl Fn(&Line) -> bool) {
        let end = Instant::now() + DEADLINE;
        let mut line = self.line();
        while !holds(&line) {
            assert!(Instant::now() < end, "in vain waited for: {what}");
            let wait = self.line.1.wait_timeout(line, Duration::from_millis(100));
            line = wait.expect("no reader panics").0;
        }
    }

    /// Waits for the program's end; gives its exit code, or 128 and the number of the signal.
    #[track_caller]
    pub fn ended(&mut self) -> u32 {
        let end = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            if Instant::now() > end {
                let text = self.text();
                panic!("it does not end\n{text}");
            }
            std::thread::park_timeout(Duration::from_millis(5));
        };
        if self.master.is_some() && !self.line().paused {
            self.await_line("the end of the line", |line| line.ended);
        }
        assert!(status.signal().is_none(), "ended by {:?}", status.signal());
        status.exit_code()
    }

    /// A field of `/proc/PID/status`, e.g. `VmRSS` in KiB, or `State`.
    pub fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.expect("it has that field").trim().to_owned()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // In a test that passed it has ended by now.
        let _ = self.child.kill();
        self.read_on();
    }
}

/// The sequence with which the dashboard leaves: plain style, cleared, no bracketed paste, the
/// cursor shown, the former screen.
pub const LEAVE: &[u8] = b"\x1b[m\x1b[H\x1b[2J\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// Whether bytes contain others.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn read_all(reader: &mut dyn Read, line: &(Mutex<Line>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        let count = reader.read(&mut buffer).unwrap_or(0);
        let mut state = line.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes.extend_from_slice(&buffer[..count]);
        line.1.notify_all();
        while state.paused && !state.hung_up {
            state = line.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if count == 0 || state.hung_up {
            break;
        }
    }
    let mut state = line.0.lock().unwrap_or_else(PoisonError::into_inner);
    state.ended = true;
    line.1.notify_all();
}

/// The command as the pseudo-terminal starts it. Its environment is the given one alone.
fn in_terminal(command: &Command) -> CommandBuilder {
    let mut builder = CommandBuilder::new(command.get_program());
    builder.args(command.get_args());
    builder.env_clear();
    builder.env("TERM", "xterm-256color");
    builder.env("PATH", "/usr/bin:/bin");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => builder.env(name, value),
            None => builder.env_remove(name),
        }
    }
    if let Some(folder) = command.get_current_dir() {
        builder.cwd(folder);
    }
    builder
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn model(columns: u16, rows: u16) -> vt100::Parser {
    let (rows, columns) = cells(columns, rows);
    vt100::Parser::new(rows, columns, 0)
}

fn cells(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    let cells =
        |count: u16, unknown: u16| NonZeroU16::new(if count == 0 { unknown } else { count });
    (cells(rows, 24).expect("not zero"), cells(columns, 80).expect("not zero"))
}
