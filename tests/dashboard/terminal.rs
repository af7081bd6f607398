//! Every terminal: those that answer nothing, are tiny, read slowly, stop, or go away.

use std::time::Instant;

use rustix::process::Signal;

use crate::common::{Home, PUBLIC_APP, Simulator, config, until};
use crate::console::{Console, LEAVE, contains};

/// Longest time between a hang-up and the end of a process with nothing under way. The terminal
/// itself is let go sooner; this is the end of a busy machine's patience.
const LET_GO: std::time::Duration = std::time::Duration::from_secs(5);

/// A home with one credential that is saved and has no token.
fn home_with_one() -> Home {
    let home = Home::new();
    home.orgkey(&["save", "acme", "--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"])
        .ok();
    home
}

fn opened(home: &Home) -> Console {
    let mut console = Console::start(&home.command(&[]));
    console.shows("1 credential");
    console
}

/// A dashboard in the set-up pane of acme/production, and the address to sign in at.
fn in_setup(config: &str) -> (Simulator, Home, Console, String) {
    let simulator = Simulator::start();
    let home = Home::new();
    home.write("config.toml", config);
    home.save(&simulator, "acme", "ana@acme.example", &[]).ok();
    let mut console = opened(&home);
    console.press("s");
    console.shows("1. Open this address");
    let url = crate::job::copied(&mut console);
    (simulator, home, console, url)
}

#[test]
fn nothing_is_asked_of_a_terminal_and_nothing_is_waited_for() {
    let home = home_with_one();
    let mut console = Console::start(&home.command(&[]));
    // Nobody here answers anything, and yet the list comes.
    console.shows("1 credential");
    tour(&mut console, "1 credential");
    let stream = console.stream();
    // Cursor position, device attributes, keyboard protocol, colours, size, settings, versions.
    let questions = ["\x1b[6n", "\x1b[5n", "\x1b[c", "\x1b[0c", "\x1b[>", "\x1b[?u", "\x1b[=c"];
    let more = ["\x1b]10;?", "\x1b]11;?", "\x1b]4;", "\x1b[18t", "\x1b[14t", "\x1bP", "$p", "\x05"];
    for question in questions.into_iter().chain(more) {
        assert!(!stream.contains(question), "{question:?} is asked");
    }
    assert!(!stream.contains("\x1b[?1000h") && !stream.contains("\x1b[?1003h"), "no mouse");
}

#[test]
fn a_long_list_comes_whole_in_the_order_of_its_names_and_four_threads_are_enough() {
    let home = Home::new();
    let line = |number: usize| {
        let name = if number.is_multiple_of(2) { "org" } else { "ORG" };
        format!(
            r#"{{"name":"{name}-{number:03}","environment":"production","org_id":"00D5g00000Abc1X","user_id":"0055g00000FgHiJ"}}"#
        )
    };
    let lines: Vec<_> = (0..300).map(line).collect();
    home.orgkey_with(&["save", "--from", "-"], &lines.join("\n")).ok();
    let mut console = Console::start(&home.command(&[]));
    console.shows("300 credentials");
    assert!(console.cursor_row().contains("org-000"), "{}", console.cursor_row());
    assert_eq!(console.status("Threads"), "4");
    console.key_for("j", "> ORG-001");
    console.key_for("G", "> ORG-299");
    console.press("q");
    console.ended();
}

#[test]
fn every_end_gives_the_terminal_back() {
    let home = home_with_one();
    let ends =
        [(None, 0), (Some(Signal::TERM), 143), (Some(Signal::INT), 130), (Some(Signal::HUP), 129)];
    for (signal, code) in ends {
        let mut console = opened(&home);
        let raw = console.modes();
        match signal {
            Some(signal) => console.signal(signal),
            None => console.press("q"),
        }
        assert_eq!(console.ended(), code, "{signal:?}");
        assert_ne!(console.modes(), raw);
        assert_eq!(console.modes(), fresh_modes(), "{signal:?}");
        if signal != Some(Signal::HUP) {
            assert!(contains(&console.bytes(), LEAVE), "{signal:?}");
            let screen = console.look();
            assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{signal:?}");
            assert!(!screen.bracketed_paste(), "{signal:?}");
            assert_eq!(console.text().trim(), "", "{signal:?}: nothing stays on the screen");
        }
    }
}

/// The modes of a terminal in which no program changed them.
fn fresh_modes() -> String {
    let mut console = Console::start(&std::process::Command::new("true"));
    console.ended();
    console.modes()
}

#[test]
fn a_line_that_is_cut_ends_it_with_the_code_of_a_hang_up() {
    let home = home_with_one();
    let mut console = opened(&home);
    console.hang_up();
    let cut = Instant::now();
    assert_eq!(console.ended(), 129);
    println!("from the cut to the end: {:?}", cut.elapsed());
    assert!(cut.elapsed() < LET_GO, "{:?}", cut.elapsed());
}

#[test]
fn what_was_sent_when_the_line_was_cut_is_finished_by_the_agent() {
    let (simulator, home, mut console, url) = in_setup(&config(PUBLIC_APP));
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    simulator.script(&serde_json::json!([{
        "match": { "grant_type": "authorization_code" }, "delay_after_ms": 1_000
    }]));
    console.paste(&redirect);
    console.shows("exchanging the code for tokens");
    console.hang_up();
    let cut = Instant::now();
    assert_eq!(console.ended(), 129);
    assert!(cut.elapsed() < LET_GO, "{:?}", cut.elapsed());
    // Whoever comes next sees the result.
    until("the agent to finish", || home.shown("acme")["state"] == "ready");
    assert_eq!(simulator.count("codes_exchanged"), 1);
}

/// How many descriptors of a process are a terminal.
fn terminals(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let targets = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| target.starts_with("/dev/pts")).count()
}

#[test]
fn what_was_sent_when_the_line_was_cut_becomes_durable_before_it_ends_without_an_agent() {
    let alone = format!("agent = \"never\"\n{}", config(PUBLIC_APP));
    let (simulator, home, mut console, url) = in_setup(&alone);
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    simulator.script(&serde_json::json!([{
        "match": { "grant_type": "authorization_code" }, "delay_after_ms": 2_000
    }]));
    console.paste(&redirect);
    console.shows("exchanging the code for tokens");
    assert_eq!(terminals(console.pid()), 3);
    console.hang_up();
    until("the terminal to be let go", || terminals(console.pid()) == 0);
    assert!(simulator.journal().iter().any(|entry| entry["sent"].is_null()), "it is at work yet");
    assert_eq!(console.ended(), 129);
    let state = home.shown("acme")["state"].clone();
    assert!(state == "ready" || state == "untested", "{state}");
    assert_eq!(simulator.count("codes_exchanged"), 1);
}

#[test]
fn it_stops_and_goes_on_with_the_terminal_in_order_both_times() {
    let home = home_with_one();
    let mut console = opened(&home);
    let raw = console.modes();
    for _ in 0..3 {
        console.press("\x1a");
        until("the stop", || console.status("State").starts_with('T'));
        assert_eq!(console.modes(), fresh_modes());
        console.await_bytes("the former screen", |bytes| contains(bytes, LEAVE));
        until("the former screen", || !console.look().alternate_screen());
        assert!(!console.look().hide_cursor());
        console.signal(Signal::CONT);
        until("the list", || console.look().alternate_screen());
        console.shows("1 credential");
        assert_eq!(console.modes(), raw);
        console.key("?");
        console.shows("new OAuth credentials");
        console.key("\x1b");
    }
    console.press("q");
    assert_eq!(console.ended(), 0);
    assert_eq!(console.modes(), fresh_modes());
}

#[test]
fn sizes_of_one_cell_and_of_none_are_survived() {
    let home = home_with_one();
    let mut console = Console::sized(&home.command(&[]), 1, 1);
    console.await_bytes("something", |bytes| contains(bytes, b"\x1b[?1049h"));
    console.press("j?");
    console.resize(80, 24);
    console.shows("new OAuth credentials");
    console.key_for("\x1b", "1 credential");
    console.resize(30, 6);
    console.shows("too small");
    console.resize(80, 24);
    console.shows("1 credential");
    console.press("q");
    assert_eq!(console.ended(), 0);

    // Without a size, as on a serial line, it is taken for one of 80x24.
    let mut console = Console::sized(&home.command(&[]), 0, 0);
    console.shows("1 credential");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn a_storm_of_sizes_ends_in_a_whole_screen_of_the_last_one() {
    let home = home_with_one();
    let mut console = opened(&home);
    for step in 0..300_u16 {
        console.resize(20 + step * 7 % 200, 5 + step * 3 % 60);
    }
    console.resize(100, 30);
    console.shows("1 credential");
    console.wait_for("a bar in the last row", |text| {
        text.lines().nth(29).is_some_and(|row| row.contains("n new"))
    });
    console.key("\x0c");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn a_reader_that_stops_reading_keeps_nobody_from_ending_it_and_costs_no_memory() {
    let home = home_with_one();
    let mut console = opened(&home);
    let memory = |console: &Console| -> u64 {
        let field = console.status("VmRSS");
        field.split(' ').next().and_then(|kib| kib.parse().ok()).expect("a number")
    };
    let before = memory(&console);
    console.stop_reading();
    for step in 0..400_u16 {
        console.resize(150 + step % 50, 40 + step % 10);
        console.press("\x0c");
    }
    // It reads on: the keyboard's line does not fill up.
    let grown = memory(&console).saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB more");
    console.signal(Signal::TERM);
    let asked = Instant::now();
    assert_eq!(console.ended(), 143);
    assert!(asked.elapsed() < LET_GO, "{:?}", asked.elapsed());
    assert_eq!(console.modes(), fresh_modes());
}

#[test]
fn a_reader_that_reads_on_sees_the_newest_screen() {
    let home = home_with_one();
    let mut console = opened(&home);
    console.stop_reading();
    for _ in 0..200 {
        console.press("\x0c");
    }
    console.press("?");
    console.read_on();
    console.shows("new OAuth credentials");
    console.press("\x1b");
    console.shows("1 credential");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn held_keys_are_one_frame_when_they_come_at_once() {
    let home = Home::new();
    for name in ["one", "two", "three", "four", "five", "six"] {
        let ids = ["--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
        home.orgkey(&[&["save", name][..], &ids[..]].concat()).ok();
    }
    let mut console = Console::start(&home.command(&[]));
    console.shows("6 credentials");
    let before = console.bytes().len();
    // Sixty arrows, three bytes each: a cursor key costs at most 48 bytes, and these are fewer
    // frames than keys.
    console.press("\x1b[B\x1b[A".repeat(30) + "\x1b[B");
    console.wait_for("the cursor", |text| text.lines().any(|row| row.starts_with(" > four")));
    let spent = console.bytes().len() - before;
    assert!(spent < 61 * 48 / 2, "{spent} bytes");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn no_colour_where_none_is_wanted_and_ascii_alone_where_that_is_wanted() {
    let simulator = Simulator::start();
    let mut home = Home::new();
    home.ready_credential(&simulator, "acme", "ana@acme.example");
    home.save(&simulator, "globex", "eva@globex.example", &[]).ok();
    let bytes = |home: &Home| {
        let mut console = Console::start(&home.command(&[]));
        tour(&mut console, "2 credentials");
        console.bytes()
    };
    assert!(colours(&bytes(&home)) > 0, "by default there is colour");
    home.set("NO_COLOR", "1");
    assert_eq!(colours(&bytes(&home)), 0);
    home.set("ORGKEY_ASCII", "1");
    assert!(bytes(&home).is_ascii());
}

/// Through most screens, from the list and to the end.
fn tour(console: &mut Console, list: &str) {
    console.shows(list);
    let screens = [
        ("n", "New OAuth credentials"),
        ("?", "new OAuth credentials"),
        ("a", "Apps: the OAuth clients"),
        ("h", "History"),
        ("y", "Copy from"),
        ("m", "Messages"),
        ("D", "for good?"),
        ("s", "1. Open this address"),
    ];
    for (key, screen) in screens {
        console.key_for(key, screen);
        console.key_for("\x1b", list);
    }
    console.press("q");
    assert_eq!(console.ended(), 0);
}

/// How many colours are set: parameters 30 to 49 and 90 to 107 of SGR, and those of 38 and 48.
fn colours(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let sequences = text.split("\x1b[").skip(1).filter_map(|rest| {
        let (parameters, _) = rest.split_once('m')?;
        parameters.bytes().all(|byte| byte.is_ascii_digit() || byte == b';').then_some(parameters)
    });
    let colour = |parameter: &&str| matches!(parameter.parse::<u16>(), Ok(30..=49 | 90..=107));
    sequences.map(|parameters| parameters.split(';').filter(colour).count()).sum()
}

#[test]
fn without_a_terminal_it_says_so() {
    let home = home_with_one();
    let run = home.orgkey(&[]).expect(2);
    assert!(run.stderr.contains("terminal") && run.stdout.is_empty(), "{run}");
}

#[test]
fn a_set_up_that_was_cut_off_is_pending_in_the_next_session_and_one_paste_completes_it() {
    let (simulator, home, mut console, url) = in_setup(&config(PUBLIC_APP));
    console.hang_up();
    assert_eq!(console.ended(), 129);
    assert_eq!(home.shown("acme")["state"], "authorizing");

    let mut console = opened(&home);
    console.shows("* authorizing");
    console.press("s");
    console.shows("1. Open this address");
    assert_eq!(crate::job::copied(&mut console), url, "the same address, so that both browsers do");
    let redirect = simulator.sign_in(&url, "ana@acme.example");
    console.paste(&redirect);
    console.shows("+ ready");
    assert_eq!(home.shown("acme")["state"], "ready");
    console.press("q");
    assert_eq!(console.ended(), 0);
}

#[test]
fn the_list_follows_what_commands_change_beside_it() {
    let simulator = Simulator::start();
    let home = home_with_one();
    let mut console = opened(&home);
    home.save(&simulator, "globex", "eva@globex.example", &[]).ok();
    console.shows("globex");
    home.set_up(&simulator, "globex", "eva@globex.example").ok();
    console.wait_for("its token", |text| {
        text.lines().any(|row| row.contains("globex") && row.contains("+ ready"))
    });
    home.orgkey(&["hold", "globex", "--reason", "inventory"]).ok();
    home.orgkey(&["round", "start", "--filter", "!globex", "--why", "setup"]).expect(3);
    console.shows("round 0 of 1");
    home.orgkey(&["delete", "globex", "--confirm", "globex"]).ok();
    console.hides("globex");
    console.press("q");
    assert_eq!(console.ended(), 0);
}
