//! What a person sees and types: the program at the end of a pseudo-terminal, whose output goes
//! through a terminal's model.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::json;

use crate::common::{Home, PUBLIC_APP, Simulator, config, until};
use crate::installed;

const ANA: &str = "ana@acme.example";
pub const PASSPHRASE: &str = "correct horse battery staple";
/// Key presses.
const CTRL_C: &str = "\x03";
const ENTER: &str = "\r";

/// A program in a terminal of its own; killed when it is dropped.
pub struct Terminal {
    /// Its output ends when this is dropped.
    _master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    pub child: Box<dyn Child + Send + Sync>,
    /// The terminal itself, to look at its modes; while it is open, the output has no end.
    tty: Option<File>,
    reader: Option<JoinHandle<()>>,
    modes: LocalModes,
    /// Everything that came, and the screen that it made.
    output: Arc<Mutex<(Vec<u8>, vt100::Parser)>>,
}

impl Terminal {
    /// Starts a program with the size of the terminal in rows and columns.
    pub fn start(command: &Command, rows: u16, cols: u16) -> Self {
        let size = PtySize { rows, cols, ..PtySize::default() };
        let pair = native_pty_system().openpty(size).unwrap();
        let tty = pair.master.tty_name().unwrap();
        let tty = File::options().read(true).write(true).open(tty).unwrap();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.env_clear();
        builder.env("TERM", "xterm-256color");
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            builder.cwd(folder);
        }
        let modes = tcgetattr(&tty).unwrap().local_modes;
        let child = pair.slave.spawn_command(builder).unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let screen = vt100::Parser::new(rows.try_into().unwrap(), cols.try_into().unwrap(), 0);
        let output = Arc::new(Mutex::new((Vec::new(), screen)));
        let shared = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let (raw, parser) = &mut *shared.lock().unwrap();
                raw.extend_from_slice(&bytes[..count]);
                parser.process(&bytes[..count]);
            }
        });
        Self {
            _master: pair.master,
            keyboard,
            child,
            tty: Some(tty),
            reader: Some(reader),
            modes,
            output,
        }
    }

    /// Starts orgkey.
    pub fn orgkey(home: &Home, arguments: &[&str]) -> Self {
        Self::start(&home.command(arguments), 50, 100)
    }

    /// The program's process.
    pub fn process(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// All output, as it came.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap().0).into_owned()
    }

    /// What the screen shows; a line that the terminal had to wrap is one line.
    pub fn screen(&self) -> String {
        self.output.lock().unwrap().1.screen().contents()
    }

    /// Waits until these words have come so many times.
    pub fn wait_for(&self, words: &str, times: usize) {
        until(&format!("'{words}' in the terminal"), || self.raw().matches(words).count() >= times);
    }

    /// Answers a prompt that has come so many times.
    pub fn answer(&mut self, prompt: &str, times: usize, answer: &str) {
        self.wait_for(prompt, times);
        self.press(answer);
        self.press(ENTER);
    }

    /// The authorization URL, when it is on the screen.
    pub fn url(&self) -> String {
        self.wait_for("aste it here", 1);
        let screen = self.screen();
        let url = screen.lines().find(|line| line.contains("/services/oauth2/authorize?"));
        url.unwrap_or_else(|| panic!("no address: {screen}")).trim().to_owned()
    }

    /// Waits for the end and gives the exit code. The terminal has to be as it was.
    pub fn end(mut self) -> (u32, String) {
        let mut status = None;
        until("the program to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let tty = self.tty.take().unwrap();
        let modes = tcgetattr(&tty).unwrap().local_modes;
        drop(tty);
        self.reader.take().unwrap().join().unwrap();
        let shown = self.raw();
        assert_eq!(modes, self.modes, "the terminal is given back as it was: {shown}");
        (status.unwrap().exit_code(), shown)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended must not be signalled: its number may be another's by now.
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
        }
    }
}

/// Sends a signal to the program in a terminal.
pub fn send(terminal: &Terminal, signal: Signal) {
    let pid = i32::try_from(terminal.process()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// A home with an app and a saved credential, but no sealing key.
fn saved(simulator: &Simulator) -> Home {
    let home = Home::empty();
    home.write("config.toml", &config(PUBLIC_APP));
    home.save(simulator, "acme", ANA, &[]).ok();
    home
}

#[test]
fn setup_makes_the_key_shows_the_address_and_takes_the_paste() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    let mut terminal = Terminal::orgkey(&home, &["setup", "acme"]);
    // The key is made by asking twice; a mistyped passphrase begins again.
    terminal.answer("New passphrase: ", 1, PASSPHRASE);
    terminal.answer("The same again: ", 1, "correct horse battery stable");
    terminal.answer("They differ.", 1, "");
    terminal.answer("New passphrase: ", 2, PASSPHRASE);
    terminal.answer("The same again: ", 2, PASSPHRASE);

    // The screen is narrower than the address: it can be copied whole all the same.
    let url = terminal.url();
    assert!(terminal.raw().contains(&format!("{url}\r\n")), "no blank or break within: {url}");
    assert!(url.len() > 200 && url.contains("code_challenge="), "{url}");
    let redirect = simulator.sign_in(&url, ANA);

    // What can be mended by another paste is asked for again.
    let other = redirect.replace("state=", "state=x");
    for (times, paste) in ["hello, is it me", "", &url, &other].iter().enumerate() {
        terminal.answer("Paste it here", times + 1, paste);
    }
    terminal.wait_for("Paste it here", 5);
    assert_eq!(simulator.count("codes_exchanged") + simulator.count("codes_refused"), 0);

    terminal.answer("Paste it here", 5, &redirect);
    terminal.wait_for("Access test successful", 1);
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    // Neither was echoed.
    let code = redirect.split("code=").nth(1).unwrap().split('&').next().unwrap();
    for secret in [PASSPHRASE, "battery stable", code, "hello, is it me"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn ctrl_c_leaves_the_sign_in_pending_for_another_session() {
    let simulator = Simulator::start();
    let mut home = saved(&simulator);
    let mut terminal = Terminal::orgkey(&home, &["setup", "acme"]);
    terminal.answer("New passphrase: ", 1, PASSPHRASE);
    terminal.answer("The same again: ", 1, PASSPHRASE);
    let url = terminal.url();
    terminal.press(CTRL_C);
    let (code, shown) = terminal.end();
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("stays pending"), "{shown}");
    assert_eq!(home.shown("acme")["state"], "authorizing");

    let passphrase = home.write("passphrase", PASSPHRASE);
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    let redirect = simulator.sign_in(&url, ANA);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_signal_at_a_hidden_prompt_gives_the_terminal_back() {
    let simulator = Simulator::start();
    let home = saved(&simulator);
    for (signal, expected) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let terminal = Terminal::orgkey(&home, &["setup", "acme"]);
        terminal.wait_for("New passphrase: ", 1);
        send(&terminal, signal);
        let (code, shown) = terminal.end();
        assert_eq!(code, expected, "{shown}");
    }
}

#[test]
fn delete_asks_for_the_name() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    for (typed, expected) in [("acm", 6), ("", 6), ("acme", 0)] {
        assert_eq!(simulator.count("revocations"), 0);
        home.shown("acme");
        let mut terminal = Terminal::orgkey(&home, &["delete", "acme"]);
        terminal.answer("Type acme to delete: ", 1, typed);
        let (code, shown) = terminal.end();
        assert_eq!(code, expected, "{typed}: {shown}");
    }
    assert_eq!(simulator.count("revocations"), 1);
    home.orgkey(&["show", "acme"]).expect(7);
}

#[test]
fn restore_asks_for_the_name_of_the_stores_file() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.save(&simulator, "acme", ANA, &["--tag", "old"]).ok();
    let file = home.outside().join("backup").to_str().unwrap().to_owned();
    home.orgkey(&["backup", &file]).ok();
    home.orgkey(&["reset", "acme", "--tag", "new"]).ok();
    for (typed, expected, tag) in [("acme", 6, "new"), ("", 6, "new"), ("orgkey.db", 0, "old")] {
        let mut terminal = Terminal::orgkey(&home, &["restore", &file]);
        terminal.answer("Type orgkey.db to restore: ", 1, typed);
        let (code, shown) = terminal.end();
        assert_eq!(code, expected, "{typed}: {shown}");
        assert!(shown.contains("is kept beside it"), "{typed}: {shown}");
        assert_eq!(home.shown("acme")["tags"][0], tag, "{typed}");
    }
}

#[test]
fn a_token_is_shown_on_a_terminal_only_when_asked_to() {
    let simulator = Simulator::start();
    let home = Home::new();
    home.ready_credential(&simulator, "acme", ANA);
    let token = home.orgkey(&["token", "acme"]).ok().stdout.trim().to_owned();
    let (code, shown) = Terminal::orgkey(&home, &["token", "acme"]).end();
    assert_eq!(code, 2, "{shown}");
    assert!(shown.contains("--reveal") && !shown.contains(&token[..15]), "{shown}");
    let terminal = Terminal::orgkey(&home, &["token", "acme", "--reveal"]);
    terminal.wait_for(&token, 1);
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn the_key_is_opened_by_asking_once_more_after_a_wrong_passphrase() {
    let simulator = Simulator::start();
    let mut home = saved(&simulator);
    let passphrase = home.write("passphrase", PASSPHRASE);
    home.set("ORGKEY_PASSPHRASE_FILE", passphrase.to_str().unwrap());
    home.orgkey(&["key", "init"]).ok();
    home.set_up(&simulator, "acme", ANA).ok();
    home.set("ORGKEY_PASSPHRASE_FILE", "");
    home.orgkey(&["test", "acme"]).expect(5);
    let mut terminal = Terminal::orgkey(&home, &["test", "acme"]);
    terminal.answer("Passphrase of the sealing key: ", 1, "wrong");
    terminal.answer("Passphrase of the sealing key: ", 2, PASSPHRASE);
    terminal.wait_for("Access test successful", 1);
    let (code, shown) = terminal.end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains(PASSPHRASE), "{shown}");
}

#[test]
fn a_sign_in_in_lynx_on_the_same_machine_gives_a_token() {
    if !installed(&["lynx"], "a sign-in in lynx") {
        return;
    }
    let simulator = Simulator::start();
    let alias = format!("http://localhost:{}/@acme.my", simulator.port);
    let success = format!("{alias}/services/oauth2/success");
    let home = Home::new();
    let app = format!("{}redirect_uris = [\"{success}\"]\n", config(PUBLIC_APP));
    home.write("config.toml", &app);
    home.save(&simulator, "acme", ANA, &[]).ok();
    let url = home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let url = url.trim().replace(&simulator.url("acme.my"), &alias);
    let password = simulator.user(ANA)["password"].as_str().unwrap().to_owned();

    let mut command = Command::new("lynx");
    command.args(["-accept_all_cookies", "-nocolor", &url]).env("HOME", home.outside());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    // Wide enough that lynx breaks no address.
    let mut lynx = Terminal::start(&command, 40, 600);
    lynx.wait_for("Password", 1);
    // The first field is under the cursor; the next ones are below it.
    for keys in [ANA, "\t", &password, "\t", ENTER] {
        lynx.press(keys);
    }
    lynx.wait_for("Do you want to allow access for", 1);
    lynx.press(ENTER);
    lynx.wait_for("You may close this browser window", 1);
    // The page of information on the page.
    lynx.press("=");
    lynx.wait_for("code=", 1);
    until("the address", || lynx.screen().lines().any(|line| line.contains("state=")));
    let screen = lynx.screen();
    let start = screen.find(&success).expect("the address is shown");
    let redirect = screen[start..].split_whitespace().next().unwrap().to_owned();
    drop(lynx);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(home.shown("acme")["token"]["flow"], json!("paste"));
}
