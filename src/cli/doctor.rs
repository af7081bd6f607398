//! `doctor`: looks at everything that orgkey stands on, and says what mends it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::client::Client;
use crate::config::settings::{AgentUse, Config};
use crate::domain::clipboard::{Between, ClipboardReach, ClipboardWay};
use crate::domain::lifetime::Lifetime;
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{Finding, KeyReport, Subject, Verdict};
use crate::engine::{
    Engine, Event, Failure, Operation, Outcome, Settings, exit, finding, inspect_absent_store,
    inspect_home, ok, read_config,
};
use crate::platform::{self, tmux};
use crate::tui::model::geometry::LEAST;
use crate::tui::terminal::Multiplexer;

use super::args::Doctor;
use super::output::{Done, Ended, Output};
use super::{locations, settings, settings_of, signals, unexpected};

/// How long an agent may take to say how the key stands.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

/// Looks at everything, and ends with 8 where something is wrong.
pub(crate) fn run(doctor: &Doctor, output: Output) -> Done {
    if doctor.hosts {
        return print_hosts(output);
    }
    let locations = locations()?;
    let mut findings = inspect_home(&locations);
    let file = locations.config_file();
    let config = read_config(&file).map_err(Failure::from);
    findings.push(config_finding(config.as_ref(), file.exists()));
    let is_configured = config.is_ok();
    let settings = settings_of(locations, config.unwrap_or_default());
    let copies = settings.config.terminal.clipboard;
    let runtime = signals::runtime()?;
    let (inside, agent) = runtime.block_on(async {
        let agent = agent_finding(&settings).await;
        (ask_engine(settings, &findings, doctor.offline).await, agent)
    });
    runtime.shutdown_background();
    // Which apps there are is not known then.
    let of_apps = [Subject::Apps, Subject::Port];
    findings
        .extend(inside.into_iter().filter(|one| is_configured || !of_apps.contains(&one.subject)));
    findings.push(agent);
    let terminal = Terminal::of_now();
    findings.push(terminal_finding(&terminal));
    if terminal.size.is_some() {
        findings.push(clipboard_finding(&clipboard_way(&terminal), copies));
    }
    print(&findings, output)?;
    if findings.iter().any(|one| one.verdict == Verdict::Wrong) {
        return Err(Ended::Code(exit::INVALID));
    }
    Ok(())
}

fn print(findings: &[Finding], output: Output) -> Done {
    if output.json {
        return output.list("checks", findings.iter().map(finding_json));
    }
    findings.iter().try_for_each(|one| output.text(&line(one)))?;
    output.say("there is no telemetry: nothing of this is sent to anyone");
    Ok(())
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "name": finding.subject, "result": finding.verdict,
        "message": finding.message, "remedy": finding.remedy,
    })
}

fn line(finding: &Finding) -> String {
    let (mark, word) = match finding.verdict {
        Verdict::Ok => ('+', "ok"),
        Verdict::Look => ('?', "look"),
        Verdict::Wrong => ('!', "wrong"),
    };
    let Finding { subject, message, remedy, .. } = finding;
    let name = subject.words();
    let line = format!("{mark} {word:5}  {name:11}  {message}");
    if remedy.is_empty() { line } else { format!("{line}\n{:22}{remedy}", "") }
}

fn config_finding(config: Result<&Config, &Failure>, is_there: bool) -> Finding {
    let subject = Subject::Config;
    match config {
        Err(failure) => {
            finding(subject, Verdict::Wrong, failure.message.clone(), failure.remedy.clone())
        }
        Ok(_) if is_there => ok(subject, "config.toml is understood"),
        Ok(_) => ok(subject, "there is no config.toml; the defaults hold"),
    }
}

/// What is in the store, where there is one that opens.
async fn ask_engine(settings: Settings, home: &[Finding], offline: bool) -> Vec<Finding> {
    if let Some(absent) = inspect_absent_store(&settings.locations) {
        return vec![absent];
    }
    let engine = match Engine::open(settings).map_err(Failure::from) {
        Ok(engine) => engine,
        Err(failure) => return vec![unopened(failure, home)],
    };
    let mut findings = Vec::new();
    let hosts = (!offline).then_some(Operation::ExamineHosts);
    for operation in std::iter::once(Operation::Examine).chain(hosts) {
        match engine.run_quietly(operation).await {
            Ok(Outcome::Examined(found)) => findings.extend(found),
            Ok(_) => {}
            Err(failure) => {
                findings.push(unopened(failure, home));
                break;
            }
        }
    }
    signals::close(&engine).await;
    findings
}

/// The list for whoever keeps the firewall.
fn print_hosts(output: Output) -> Done {
    signals::block_on(settings()?, |engine| async move {
        let outcome = engine.run_quietly(Operation::Hosts).await?;
        let Outcome::Hosts(hosts) = outcome else { return Err(unexpected()) };
        if output.json {
            return output.object(&json!({ "schema": 1, "hosts": hosts }));
        }
        hosts.iter().try_for_each(|host| output.text(host))?;
        if hosts.is_empty() {
            output.say("no host is known before the first save");
        }
        Ok(())
    })
}

/// The store was not opened: often for a reason that was told already.
fn unopened(failure: Failure, home: &[Finding]) -> Finding {
    let subject = Subject::Store;
    if home.iter().any(|one| one.message == failure.message) {
        let message = "was not looked at, nor what is in it: see above";
        return finding(subject, Verdict::Look, message, "mend that, then run orgkey doctor again");
    }
    finding(subject, Verdict::Wrong, failure.message, failure.remedy)
}

async fn agent_finding(settings: &Settings) -> Finding {
    if settings.config.agent == AgentUse::Never {
        return ok(Subject::Agent, "none is used: config.toml says agent = \"never\"");
    }
    let Some(client) = Client::connect(&settings.locations.agent_socket(), None).await else {
        let lock = settings.locations.locks_folder().join("agent");
        return match platform::lock::holder(&lock, 0) {
            Some(holder) => silent_agent(&holder),
            None => no_agent(platform::lifetime::of_process(std::process::id())),
        };
    };
    let pid = client.pid();
    match tokio::time::timeout(AGENT_LIMIT, key_report(&client)).await {
        Ok(report) => {
            let told = report.as_ref().and_then(|report| report.agent);
            let lifetime = told.unwrap_or_else(|| platform::lifetime::of_process(pid));
            running_agent(pid, report.as_ref(), lifetime)
        }
        Err(_) => silent_agent(&format!("process {pid}")),
    }
}

/// How the key stands there; `None` where that is a failure, which is found by itself.
async fn key_report(client: &Client) -> Option<KeyReport> {
    let mut events = client.submit(Operation::KeyStatus);
    while let Some(event) = events.recv().await {
        match event {
            Event::Done(Ok(Outcome::Key(report))) => return Some(report),
            Event::Done(_) => return None,
            _ => {}
        }
    }
    None
}

fn silent_agent(holder: &str) -> Finding {
    let message = format!("there is one ({}) that does not answer", holder.trim_end_matches(','));
    let remedy =
        "look at that process: it may be stopped or hang; without it, each command works by itself";
    finding(Subject::Agent, Verdict::Wrong, message, remedy)
}

fn no_agent(lifetime: Lifetime) -> Finding {
    if lifetime.outlives_sessions() == Some(true) {
        return ok(Subject::Agent, "none runs; the dashboard and orgkey unlock start one");
    }
    let message = format!("none runs; one that is started here {}", lifetime.words());
    finding(Subject::Agent, Verdict::Look, message, lifetime.remedy())
}

fn running_agent(pid: u32, report: Option<&KeyReport>, lifetime: Lifetime) -> Finding {
    let key = match report {
        Some(KeyReport { open_until: Some(until), .. }) => {
            let zone = jiff::tz::TimeZone::system();
            format!(", the key is open to {}", UnixMillis::clock(*until, &zone))
        }
        Some(KeyReport { open: true, .. }) => ", the key is open".to_owned(),
        Some(_) => ", it holds no key".to_owned(),
        None => String::new(),
    };
    let message = format!("process {pid}{key}; it {}", lifetime.words());
    let verdict = match lifetime.outlives_sessions() {
        Some(true) => Verdict::Ok,
        Some(false) | None => Verdict::Look,
    };
    finding(Subject::Agent, verdict, message, lifetime.remedy())
}

/// What is known of the terminal without asking it.
#[derive(Clone, Debug, Default)]
struct Terminal {
    /// Columns and rows; `None` where standard output is no terminal.
    size: Option<(u16, u16)>,
    term: String,
    locale: String,
    no_color: bool,
    ascii: bool,
    tmux: bool,
}

impl Terminal {
    fn of_now() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let set = |name: &str| !variable(name).is_empty();
        // The first that is set counts (setlocale(3)).
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
        Self {
            size: platform::terminal::stdout_size(),
            term: variable("TERM"),
            locale: locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default(),
            no_color: set("NO_COLOR"),
            ascii: set("ORGKEY_ASCII"),
            tmux: set("TMUX"),
        }
    }

    fn is_utf_8(&self) -> bool {
        let locale = self.locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    }
}

fn terminal_finding(terminal: &Terminal) -> Finding {
    let subject = Subject::Terminal;
    let Some((columns, rows)) = terminal.size else {
        return ok(subject, "standard output is none; the dashboard needs one");
    };
    let mut remedies = Vec::new();
    if columns < LEAST.width || rows < LEAST.height {
        remedies.push(format!("make it {}x{} or larger", LEAST.width, LEAST.height));
    }
    if matches!(terminal.term.as_str(), "" | "dumb") {
        remedies.push("set TERM to what the terminal is, e.g. xterm-256color".to_owned());
    }
    if !terminal.is_utf_8() && !terminal.ascii {
        remedies.push("set LANG to a UTF-8 locale, or ORGKEY_ASCII=1".to_owned());
    }
    let characters = match (terminal.ascii, terminal.is_utf_8()) {
        (true, _) => "ASCII alone",
        (false, true) => "UTF-8",
        (false, false) => "not known to be UTF-8",
    };
    let color = if terminal.no_color { "no colours" } else { "colours" };
    let tmux = if terminal.tmux { ", in tmux" } else { "" };
    let term = if terminal.term.is_empty() { "TERM not set" } else { &terminal.term };
    let message = format!("{columns}x{rows}, {term}, {characters}, {color}{tmux}");
    let verdict = if remedies.is_empty() { Verdict::Ok } else { Verdict::Look };
    finding(subject, verdict, message, remedies.join("; "))
}

/// Asks tmux where it stands between, and else the environment.
fn clipboard_way(terminal: &Terminal) -> ClipboardWay {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let between = match Multiplexer::of_this_process() {
        Multiplexer::None => Between::Nothing,
        Multiplexer::Screen => Between::Screen,
        Multiplexer::Tmux => Between::Tmux {
            set_clipboard: tmux::ask(&["show-options", "-sv", "set-clipboard"]),
            allow_passthrough: tmux::ask(&["show-options", "-Apv", "allow-passthrough"]),
        },
    };
    if let Between::Tmux { .. } = between {
        // The environment is that of whoever started tmux; its client may be another terminal.
        let client = tmux::ask(&["display-message", "-p", "#{client_termname}"]);
        let term = client.filter(|term| !term.is_empty());
        let term = term.unwrap_or_else(|| "the terminal behind tmux".to_owned());
        return ClipboardWay { term, program: String::new(), between };
    }
    let names = ["LC_TERMINAL", "TERM_PROGRAM"].map(variable);
    let program = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    ClipboardWay { term: terminal.term.clone(), program, between }
}

fn clipboard_finding(way: &ClipboardWay, copies: bool) -> Finding {
    let subject = Subject::Clipboard;
    if !copies {
        return ok(subject, "nothing is copied: config.toml says clipboard = false");
    }
    let through = match way.between {
        Between::Nothing => "",
        Between::Tmux { .. } => " through tmux",
        Between::Screen => " through screen",
    };
    let name = if way.program.is_empty() { &way.term } else { &way.program };
    let other = "where y copies nothing, v shows the address plain and i as QR code";
    match way.reach() {
        ClipboardReach::Likely => {
            ok(subject, format!("{name} is likely to take what y copies{through} (OSC 52)"))
        }
        ClipboardReach::Unknown => ok(
            subject,
            format!("whether {name} takes what y copies{through} (OSC 52) is not known; {other}"),
        ),
        ClipboardReach::AfterPermission { place } => finding(
            subject,
            Verdict::Look,
            format!("{name} takes what y copies{through} (OSC 52) once it is allowed to"),
            place,
        ),
        ClipboardReach::KeptByTmux => finding(
            subject,
            Verdict::Look,
            "tmux keeps what y copies (OSC 52) from the terminal",
            "run: tmux set-option -s set-clipboard on",
        ),
        ClipboardReach::Nowhere => {
            ok(subject, format!("this terminal is likely to have none (OSC 52); {other}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outcome::KeyProtection;

    #[test]
    fn a_terminal_that_can_not_show_the_dashboard_is_looked_at() {
        let good = Terminal {
            size: Some((80, 24)),
            term: "xterm-256color".into(),
            locale: "en_GB.UTF-8".into(),
            ..Terminal::default()
        };
        let table = [
            (good.clone(), ""),
            (Terminal { size: None, ..Terminal::default() }, ""),
            (Terminal { size: Some((39, 24)), ..good.clone() }, "make it 40x10"),
            (Terminal { size: Some((80, 9)), ..good.clone() }, "make it 40x10"),
            (Terminal { term: "dumb".into(), ..good.clone() }, "set TERM"),
            (Terminal { locale: "C".into(), ..good.clone() }, "ORGKEY_ASCII=1"),
            (Terminal { locale: "C".into(), ascii: true, ..good.clone() }, ""),
            (Terminal { locale: "C.utf8".into(), tmux: true, no_color: true, ..good }, ""),
        ];
        for (terminal, remedy) in table {
            let found = terminal_finding(&terminal);
            assert!(found.remedy.contains(remedy), "{terminal:?} {found:?}");
            assert_eq!(found.verdict == Verdict::Ok, found.remedy.is_empty(), "{terminal:?}");
            assert_eq!(remedy.is_empty(), found.remedy.is_empty(), "{terminal:?} {found:?}");
        }
    }

    #[test]
    fn what_keeps_a_copy_from_the_clipboard_is_told_with_what_mends_it() {
        let way = |term: &str, program: &str| ClipboardWay {
            term: term.into(),
            program: program.into(),
            between: Between::Nothing,
        };
        let kept = Between::Tmux {
            set_clipboard: Some("external".into()),
            allow_passthrough: Some("off".into()),
        };
        let table = [
            (way("foot", ""), "foot is likely to take", ""),
            (way("xterm", ""), "whether xterm takes", ""),
            (way("linux", ""), "likely to have none", ""),
            (way("xterm", "iTerm2"), "once it is allowed to", "Settings > General"),
            (ClipboardWay { between: kept, ..way("foot", "") }, "tmux keeps", "set-clipboard on"),
            (ClipboardWay { between: Between::Screen, ..way("foot", "") }, "through screen", ""),
        ];
        for (way, message, remedy) in table {
            let found = clipboard_finding(&way, true);
            assert!(found.message.contains(message), "{way:?} {found:?}");
            assert!(found.remedy.contains(remedy), "{way:?} {found:?}");
            assert_eq!(found.verdict == Verdict::Ok, found.remedy.is_empty(), "{way:?}");
            assert!(clipboard_finding(&way, false).message.contains("clipboard = false"));
        }
    }

    #[test]
    fn an_agent_that_ends_with_the_last_session_is_looked_at_with_what_mends_it() {
        let report = KeyReport {
            protection: KeyProtection::Passphrase,
            open: true,
            open_until: Some(UnixMillis(0)),
            agent: None,
            recovery_identity: None,
        };
        let good = running_agent(7, Some(&report), Lifetime::Lingers);
        assert_eq!((good.verdict, good.remedy.as_str()), (Verdict::Ok, ""));
        assert!(good.message.starts_with("process 7, the key is open to "), "{good:?}");
        let ends = running_agent(7, None, Lifetime::EndsWithManager);
        assert_eq!(ends.verdict, Verdict::Look);
        assert_eq!(ends.message, "process 7; it ends with your last session: you do not linger");
        assert_eq!(ends.remedy, "run: loginctl enable-linger");
        assert_eq!(no_agent(Lifetime::NoLogind).verdict, Verdict::Ok);
        let would = no_agent(Lifetime::EndsWithSession);
        assert_eq!(would.verdict, Verdict::Look);
        assert!(would.remedy.contains("enable-linger"), "{would:?}");
    }

    #[test]
    fn what_keeps_the_store_closed_is_told_once() {
        let failure = || Failure {
            code: "file_refused".into(),
            message: "orgkey.db has mode 0644: others can get at it".into(),
            remedy: "run: chmod 0600 orgkey.db".into(),
            exit_code: exit::STORAGE,
            detail: crate::engine::outcome::FailureDetail::None,
        };
        let told = finding(Subject::Home, Verdict::Wrong, failure().message, failure().remedy);
        assert_eq!(unopened(failure(), &[told]).verdict, Verdict::Look);
        assert_eq!(unopened(failure(), &[]).verdict, Verdict::Wrong);
    }
}
