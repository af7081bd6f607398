//! Kills at random moments of commands and of the dashboard, two processes at once. What is lost
//! must be lost between Salesforce's commit and ours, and said.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::Duration;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use serde_json::json;

use crate::common::{Home, PUBLIC_APP, Simulator};
use crate::{ANA, assert_sound, say, settle};

/// Kills of a long run.
const KILLS: usize = 500;
/// Credentials that are worked on.
pub(crate) const USERS: [(&str, &str); 4] = [
    ("acme", ANA),
    ("ben", "ben@acme.example"),
    ("fin", "fin@globex.example"),
    ("eva", "eva@globex.example"),
];

/// Random numbers that are printed, so that a failure can be told.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let seed = RandomState::new().build_hasher().finish();
        say(&format!("seed {seed}"));
        Self(seed | 1)
    }

    /// Below `end`.
    pub(crate) fn roll(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }
}

/// The dashboard in a pseudo-terminal.
struct Dashboard {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
}

impl Dashboard {
    fn start(home: &Home) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let command = home.command(&[]);
        let mut builder = CommandBuilder::new(command.get_program());
        builder.env_clear();
        for (name, value) in command.get_envs() {
            builder.env(name, value.unwrap_or_default());
        }
        builder.env("TERM", "xterm-256color");
        let child = pty.slave.spawn_command(builder).unwrap();
        let mut output = pty.master.try_clone_reader().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while output.read(&mut bytes).is_ok_and(|count| count > 0) {}
        });
        let keys = pty.master.take_writer().unwrap();
        Self { child, keys, _master: pty.master }
    }

    fn press(&mut self, keys: &[u8]) {
        let _ = self.keys.write_all(keys);
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn wait(millis: u64) {
    std::thread::park_timeout(Duration::from_millis(millis));
}

/// Two processes at work on credentials, killed at a moment that nobody chose.
fn round(home: &Home, dice: &mut Dice, tokens: &[String]) {
    let mut children = Vec::new();
    for _ in 0..2 {
        let which = usize::try_from(dice.roll(USERS.len() as u64)).unwrap();
        let name = USERS[which].0;
        let arguments = match dice.roll(4) {
            0 => vec!["test", name],
            _ => vec!["token", name, "--not", "-"],
        };
        let mut command = home.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(tokens[which].as_bytes());
        children.push(child);
    }
    for child in &mut children {
        wait(dice.roll(60));
        let _ = child.kill();
    }
    for mut child in children {
        let _ = child.wait();
    }
}

/// The dashboard tests all it shows, and is killed.
fn dashboard_round(home: &Home, dice: &mut Dice) {
    let mut dashboard = Dashboard::start(home);
    wait(100 + dice.roll(60));
    dashboard.press(b"T");
    wait(dice.roll(120));
}

/// Every credential works, or says that it may not; what is lost was lost in the gap. Mends it.
pub(crate) fn verify(home: &Home, simulator: &Simulator) -> usize {
    settle(simulator);
    assert_sound(home);
    let mut lost = 0;
    for (name, username) in USERS {
        let state = home.shown(name)["state"].as_str().unwrap().to_owned();
        let old = home.orgkey(&["token", name]);
        let replays = simulator.count("replays");
        let next = home.orgkey_with(&["token", name, "--not", "-"], old.stdout.trim());
        if next.status == 0 {
            assert_eq!(simulator.count("replays"), replays);
            continue;
        }
        assert!(
            matches!(state.as_str(), "uncertain" | "needs_setup"),
            "{name} was {state}: {next}"
        );
        lost += 1;
        home.set_up(simulator, name, username).ok();
    }
    lost
}

/// An agent that does the exchanges of those who are killed.
pub(crate) struct Agent(std::process::Child);

impl Agent {
    pub(crate) fn start(home: &Home) -> Self {
        let mut command = home.command(&["agent"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let socket = home.path().join("agent.sock");
        crate::common::until("the agent to listen", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        Self(child)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is killed at random.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// Commands and dashboards that do their own exchanges.
    Alone,
    /// Commands and dashboards beside an agent.
    Clients,
    /// The agent, together with two of its clients.
    Agent,
}

fn kill_at_random(victim: Victim, kills: usize) {
    let simulator = Simulator::start();
    let home = Home::new();
    if victim == Victim::Alone {
        let alone = format!("agent = \"never\"\n{}", crate::common::config(PUBLIC_APP));
        home.write("config.toml", &alone);
    }
    let mut agent = (victim != Victim::Alone).then(|| Agent::start(&home));
    for (name, username) in USERS {
        home.ready_credential(&simulator, name, username);
    }
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "hold_ms": 3 }));
    let mut dice = Dice::new();
    let (mut lost, mut killed, mut refreshes) = (0, 0, 0);
    while killed < kills {
        simulator.clear_journal();
        simulator.control("expire_sessions", &json!({}));
        let tokens: Vec<String> = USERS
            .iter()
            .map(|(name, _)| home.orgkey(&["token", name]).stdout.trim().to_owned())
            .collect();
        if victim == Victim::Agent {
            let mut tester = home.command(&["test", USERS[0].0]);
            let tester = tester.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            round(&home, &mut dice, &tokens);
            drop(agent.take());
            let _ = tester.unwrap().wait();
            agent = Some(Agent::start(&home));
            killed += 3;
        } else if dice.roll(5) == 0 {
            dashboard_round(&home, &mut dice);
            killed += 1;
        } else {
            round(&home, &mut dice, &tokens);
            killed += 2;
        }
        settle(&simulator);
        // Refreshes that Salesforce carried out while nobody was left to hear of it.
        let unheard = simulator.count("refreshes");
        refreshes += unheard;
        let gone = verify(&home, &simulator);
        assert!(gone as u64 <= unheard, "{gone} lost, but only {unheard} were carried out");
        lost += gone;
    }
    drop(agent);
    if victim == Victim::Clients {
        assert_eq!(lost, 0, "the agent did not finish what it was asked");
    }
    say(&format!("{killed} kills: {refreshes} refreshes carried out, {lost} lost and said so"));
}

#[test]
fn a_few_kills_at_random_leave_nothing_unsaid() {
    kill_at_random(Victim::Alone, 20);
}

#[test]
fn a_few_kills_beside_an_agent_lose_nothing() {
    kill_at_random(Victim::Clients, 20);
}

#[test]
fn a_few_kills_of_the_agent_leave_nothing_unsaid() {
    kill_at_random(Victim::Agent, 12);
}

#[test]
#[ignore = "five hundred kills"]
fn five_hundred_kills_beside_an_agent_lose_nothing() {
    kill_at_random(Victim::Clients, KILLS);
}

#[test]
#[ignore = "five hundred kills"]
fn five_hundred_kills_of_the_agent_leave_nothing_unsaid() {
    kill_at_random(Victim::Agent, KILLS);
}

#[test]
#[ignore = "five hundred kills"]
fn five_hundred_kills_at_random_leave_nothing_unsaid() {
    kill_at_random(Victim::Alone, KILLS);
}
