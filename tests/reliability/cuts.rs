//! SSH lines cut at random moments of a refresh or a set-up: the client is killed, or its window is
//! closed, or the server's process of the session is killed. What was sent is finished or can be
//! taken up again, and the terminal is let go at once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::{DEADLINE, Home, PUBLIC_APP, Simulator, config, until};
use crate::console::Console;
use crate::random::{Agent, Dice, USERS, verify, wait};
use crate::sshd::{Server, can_be_made, remote_line};
use crate::{say, settle};

/// Cuts of a long run; half of them beside an agent.
const CUTS: u64 = 500;
/// How long a refresh is in flight, in ms.
const HOLD_MS: u64 = 30;
/// How long the program may keep a terminal that is gone (design: hang-up); this is the bound that
/// holds on a busy machine too.
const LET_GO: Duration = Duration::from_secs(2);
/// Longest wait for an exchange that may not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the design says.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Between two looks at a process.
const LOOK: Duration = Duration::from_micros(500);

/// What is done over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Token,
    Test,
    Setup,
    Dashboard,
    DashboardSetup,
}

/// What is to be done over one line, and when it is cut.
struct Plan {
    name: &'static str,
    work: Work,
    /// Where the token or the redirect URL is read from.
    input: String,
    /// Which of the three ways.
    way: u64,
    /// Whether it is cut after an exchange was seen to begin, else after its start.
    in_exchange: bool,
    after_ms: u64,
}

/// What became of a cut line.
struct Cut {
    /// Whether the program was still there.
    was_running: bool,
    /// From the end of its terminal until it held it no more.
    let_go: Duration,
}

/// Whether a process lives. One that only waits to be reaped does not.
fn lives(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Whether a process has a terminal open.
fn holds(pid: i32, terminal: &Path) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let wanted = terminal.to_str().unwrap();
    open.flatten().any(|entry| {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        target.to_str().is_some_and(|target| target.trim_end_matches(" (deleted)") == wanted)
    })
}

fn parent(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Pid::from_raw(stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?)
}

/// One line: begins its work, is cut, and tells how fast the terminal was let go. Ends when the
/// program has.
fn run_and_cut(server: &Server, home: &Home, simulator: &Simulator, plan: &Plan) -> Cut {
    let folder = tempfile::tempdir_in(server.folder()).unwrap();
    let (pid_file, input) = (folder.path().join("pid"), folder.path().join("input"));
    fs::write(&input, &plan.input).unwrap();
    let arguments = match plan.work {
        Work::Token => format!("token {} --reveal --not - <{}", plan.name, input.display()),
        Work::Test => format!("test {}", plan.name),
        Work::Setup => format!("setup {} --finish - <{}", plan.name, input.display()),
        Work::Dashboard | Work::DashboardSetup => String::new(),
    };
    // The shell's process becomes the program's; its terminal is known before that.
    let line = format!(
        "echo $$ $(tty) >{0}.new; mv {0}.new {0}; {1}",
        pid_file.display(),
        remote_line(home, &arguments)
    );
    let mut console = Console::start(&server.client(home, &line));
    let mut session = String::new();
    until("the session", || {
        session = fs::read_to_string(&pid_file).unwrap_or_default();
        !session.is_empty()
    });
    let (pid, terminal) = session.trim().split_once(' ').unwrap();
    let (pid, terminal): (i32, PathBuf) = (pid.parse().unwrap(), terminal.into());
    match plan.work {
        Work::Dashboard => {
            console.shows(USERS[3].0);
            console.press("T");
        }
        Work::DashboardSetup => {
            console.shows(USERS[3].0);
            console.press("s");
            console.shows("1. Open this address");
            console.paste(&plan.input);
        }
        Work::Token | Work::Test | Work::Setup => {}
    }
    if plan.in_exchange {
        // What the other line has done by then needs none any more.
        let end = Instant::now() + PATIENCE;
        while lives(pid) && !in_flight(simulator) && Instant::now() < end {
            wait(2);
        }
    }
    wait(plan.after_ms);
    let was_running = lives(pid) && holds(pid, &terminal);
    let session = parent(pid).filter(|_| was_running);
    match (plan.way, session) {
        (0, Some(session)) => {
            let _ = kill_process(session, Signal::KILL);
        }
        (1, _) => console.signal(Signal::HUP),
        _ => console.signal(Signal::KILL),
    }
    let let_go = let_go(pid, &terminal);
    if let_go > AT_ONCE {
        say(&format!("{:?} of {} held its terminal for {let_go:?}", plan.work, plan.name));
    }
    until("the program's end", || !lives(pid));
    Cut { was_running, let_go }
}

/// Whether Salesforce is at work on an exchange.
fn in_flight(simulator: &Simulator) -> bool {
    simulator
        .journal()
        .iter()
        .any(|entry| entry["path"] == "/services/oauth2/token" && entry["sent"].is_null())
}

/// How long a process holds a terminal after the other side of it is gone.
fn let_go(pid: i32, terminal: &Path) -> Duration {
    let end = Instant::now() + DEADLINE;
    let mut gone = None;
    while holds(pid, terminal) {
        assert!(Instant::now() < end, "the terminal was not let go: {}", terminal.display());
        // Its name goes with the server's side of it.
        if gone.is_none() && !terminal.exists() {
            gone = Some(Instant::now());
        }
        std::thread::park_timeout(LOOK);
    }
    gone.map_or(Duration::ZERO, |gone| gone.elapsed())
}

/// Two lines at once, on two credentials.
fn plans(home: &Home, simulator: &Simulator, dice: &mut Dice) -> [Plan; 2] {
    let first = dice.roll(4);
    let second = (first + 1 + dice.roll(3)) % 4;
    [first, second].map(|which| {
        let (name, username) = USERS[usize::try_from(which).unwrap()];
        let work = match dice.roll(6) {
            0 | 1 => Work::Token,
            2 => Work::Test,
            3 => Work::Setup,
            // The selected row is the first.
            4 if which == 0 => Work::DashboardSetup,
            _ => Work::Dashboard,
        };
        let input = match work {
            Work::Token => home.orgkey(&["token", name]).stdout,
            Work::Setup | Work::DashboardSetup => {
                let url = home.orgkey(&["setup", name, "--start"]).ok().stdout;
                simulator.sign_in(&url, username)
            }
            Work::Test | Work::Dashboard => String::new(),
        };
        let way = dice.roll(3);
        let in_exchange = dice.roll(3) > 0;
        let after_ms = dice.roll(if in_exchange { HOLD_MS + 20 } else { 150 });
        Plan { name, work, input, way, in_exchange, after_ms }
    })
}

/// What a long run comes to.
#[derive(Default)]
struct Sums {
    cuts: u64,
    running: u64,
    refreshes: u64,
    codes: u64,
    resumed: u64,
    lost: u64,
    slowest: Duration,
    /// Those that took longer than the design allows.
    slow: u64,
}

/// A cut set-up is finished, or is finished now with the same address.
fn take_up_again(home: &Home, plan: &Plan) -> bool {
    if home.shown(plan.name)["authorization"].is_null() {
        return false;
    }
    home.orgkey_with(&["setup", plan.name, "--finish", "-"], &plan.input).ok();
    assert!(home.shown(plan.name)["authorization"].is_null());
    true
}

fn cut_at_random(beside_agent: bool, cuts: u64) {
    if !can_be_made("lines cut over SSH") {
        return;
    }
    let server = Server::start();
    let simulator = Simulator::start();
    let home = Home::new();
    if !beside_agent {
        home.write("config.toml", &format!("agent = \"never\"\n{}", config(PUBLIC_APP)));
    }
    let agent = beside_agent.then(|| Agent::start(&home));
    for (name, username) in USERS {
        home.ready_credential(&simulator, name, username);
    }
    simulator.control("apps", &json!({ "client_id": PUBLIC_APP, "hold_ms": HOLD_MS }));
    let mut dice = Dice::new();
    let mut sums = Sums::default();
    let mut works = BTreeMap::<String, u32>::new();
    while sums.cuts < cuts {
        simulator.control("expire_sessions", &json!({}));
        let plans = plans(&home, &simulator, &mut dice);
        simulator.clear_journal();
        let done = std::thread::scope(|scope| {
            let (server, home, simulator) = (&server, &home, &simulator);
            plans
                .each_ref()
                .map(|plan| scope.spawn(move || run_and_cut(server, home, simulator, plan)))
                .map(|line| line.join().unwrap())
        });
        settle(&simulator);
        let (refreshes, codes) = (simulator.count("refreshes"), simulator.count("codes_exchanged"));
        for (plan, cut) in plans.iter().zip(&done) {
            sums.cuts += 1;
            sums.running += u64::from(cut.was_running);
            sums.slowest = sums.slowest.max(cut.let_go);
            sums.slow += u64::from(cut.let_go > AT_ONCE);
            *works.entry(format!("{:?}", plan.work)).or_default() += 1;
            if matches!(plan.work, Work::Setup | Work::DashboardSetup) {
                sums.resumed += u64::from(take_up_again(&home, plan));
            }
        }
        assert!(sums.slowest < LET_GO, "{:?}", sums.slowest);
        sums.refreshes += refreshes;
        sums.codes += codes;
        sums.lost += verify(&home, &simulator) as u64;
    }
    drop(agent);
    let Sums { running, refreshes, codes, resumed, lost, slowest, slow, .. } = sums;
    say(&format!(
        "{} lines cut ({works:?}), {running} of them with the program at work: {refreshes} \
         refreshes and {codes} sign-ins carried out, {resumed} set-ups taken up again, {lost} \
         lost; the terminal was let go within {} ms, {slow} times later than {} ms",
        sums.cuts,
        slowest.as_millis(),
        AT_ONCE.as_millis()
    ));
    // A hang-up kills nobody who is at work: with or without an agent, nothing may be lost.
    assert_eq!(lost, 0);
    assert!(running > 0, "a line was cut while the program was at work");
}

#[test]
fn a_few_lines_cut_over_ssh_lose_nothing() {
    cut_at_random(false, 6);
    cut_at_random(true, 4);
}

#[test]
#[ignore = "five hundred lines"]
fn five_hundred_lines_cut_over_ssh_lose_nothing() {
    cut_at_random(false, CUTS / 2);
    cut_at_random(true, CUTS / 2);
}
