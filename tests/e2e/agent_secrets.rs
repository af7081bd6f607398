//! The agent keeps to itself what it knows: where it and its clients write secrets to, what they
//! were started with, who may look into its memory, and what an abort leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::agent::{Agent, hello, locked_home, read_frame, socket, with_passphrase};
use crate::agent_peers::{ask, is_root, own, program_for_all};
use crate::canary::{Place, files, leaks};
use crate::common::{Home, MARKER, Run, SECRET_APP, Simulator, program, run, until};
use crate::{installed, left_out, traced};

const ANA: &str = "ana@acme.example";
/// Every call that can carry bytes out of a process.
const WRITES: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg";

/// The text of a string or a path as `strace -xx` prints it.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.split("\\x").enumerate() {
        if index == 0 {
            bytes.extend_from_slice(part.as_bytes());
        } else {
            bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
    }
    bytes
}

/// What was written, by `DESCRIPTOR<TARGET`. What went to one target stands in one piece, so that
/// a secret in two writes is found too.
fn written(trace: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::<String, Vec<u8>>::new();
    let lines = std::fs::read_to_string(trace).unwrap();
    assert!(!lines.contains("\"..."), "what was written is in the trace as a whole");
    for line in lines.lines().filter(|line| line.contains('"')) {
        let (head, rest) = line.split_once(">, ").unwrap_or_else(|| panic!("{line}"));
        let (_, target) = head.split_once('(').unwrap_or_else(|| panic!("{line}"));
        let target = String::from_utf8_lossy(&unescaped(target)).into_owned();
        let bytes = all.entry(target).or_default();
        for data in rest.split('"').skip(1).step_by(2) {
            bytes.extend(unescaped(data));
        }
    }
    all
}

/// The bytes without these texts, which may stand there.
fn without(bytes: &[u8], texts: &[&str]) -> Vec<u8> {
    let mut left = bytes.to_vec();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        while let Some(at) = left.windows(text.len()).position(|one| one == text.as_bytes()) {
            left.splice(at..at + text.len(), *b"(allowed)");
        }
    }
    left
}

/// The two ends of a UNIX socket, ours first: `3<UNIX-STREAM:[OURS->THEIRS,"PATH"]`.
fn ends(target: &str) -> Option<(String, String)> {
    let (_, rest) = target.split_once("<UNIX-STREAM:[")?;
    let (ours, rest) = rest.split_once("->")?;
    let theirs = rest.split([',', ']']).next()?;
    Some((ours.to_owned(), theirs.to_owned()))
}

/// Clients beside one agent; all that they and it write is kept.
struct Recorded {
    simulator: Simulator,
    home: Home,
    passphrase_file: PathBuf,
    traces: tempfile::TempDir,
    places: Vec<Place>,
    /// The agent's ends of the connections over which a token was asked for.
    for_token: BTreeSet<String>,
    /// Of those over which anything was.
    connections: BTreeSet<String>,
    access_tokens: Vec<String>,
}

impl Recorded {
    /// Runs a client. `told` are the secrets that its user hands it for the agent.
    fn client(&mut self, arguments: &[&str], stdin: &str, told: &[&str]) -> Run {
        let trace = self.traces.path().join("client");
        let options = ["-f", "-qq", "-yy", "-xx", "-s", "1000000", "-e", "signal=none", "-e"];
        let options = [&options[..], &[WRITES]].concat();
        let mut command = self.home.command(arguments);
        if arguments[0] == "unlock" {
            command.env("ORGKEY_PASSPHRASE_FILE", &self.passphrase_file);
        }
        let ended = run(traced(&command, &options, &trace), stdin);
        let is_token = arguments[0] == "token";
        if is_token {
            self.access_tokens.push(ended.clone().ok().stdout.trim().to_owned());
        }
        for (target, bytes) in written(&trace) {
            let place = format!("{} writes to {target}", arguments.join(" "));
            assert!(!target.contains("TCP"), "a client asks Salesforce itself: {place}");
            let left = if let Some((ours, theirs)) = ends(&target) {
                self.connections.insert(theirs.clone());
                if is_token {
                    self.for_token.insert(theirs.clone());
                }
                assert_ne!(ours, theirs);
                without(&bytes, told)
            } else if is_token && target.starts_with("1<pipe:") {
                without(&bytes, &[ended.stdout.trim()])
            } else {
                bytes
            };
            self.places.push((place, left));
        }
        ended
    }

    /// The seven steps beside the agent, as far as they are its work.
    fn whole_run(&mut self, passphrase: &str) {
        self.client(&["unlock", "--for", "2h"], "", &[passphrase]).ok();
        let url = self.client(&["setup", "acme", "--start"], "", &[]).ok().stdout;
        let redirect = self.simulator.sign_in(&url, ANA);
        self.client(&["setup", "acme", "--finish", "-"], &redirect, &[&redirect]).ok();
        self.client(&["test", "acme"], "", &[]).ok();
        self.client(&["token", "acme"], "", &[]);
        let first = self.access_tokens[0].clone();
        self.client(&["token", "acme", "--not", "-"], &first, &[&first]);
        assert_ne!(self.access_tokens[1], first, "it was refreshed");
        self.simulator.control("expire_sessions", &serde_json::json!({}));
        self.client(&["test", "acme", "--json"], "", &[]).ok();
        self.client(&["show", "acme", "--json"], "", &[]).ok();
        self.client(&["key", "status", "--json"], "", &[]).ok();
        self.client(&["lock"], "", &[]).ok();
        let refused = self.client(&["test", "acme"], "", &[]);
        assert_eq!(refused.status, 5, "{refused}");
    }

    /// Adds what the agent wrote, and answers what of it went to Salesforce.
    fn add_agent(&mut self, trace: &Path) -> Vec<u8> {
        let salesforce = format!("->127.0.0.1:{}]", self.simulator.port);
        let (mut sent, mut heard) = (Vec::new(), BTreeSet::new());
        for (target, bytes) in written(trace) {
            let place = format!("the agent writes to {target}");
            if target.contains("<TCP:[") {
                assert!(target.ends_with(&salesforce), "{place}");
                sent.extend(bytes);
                continue;
            }
            let mut left = bytes;
            if let Some((ours, _)) = ends(&target) {
                assert!(target.ends_with("/agent.sock\"]"), "{place}");
                if self.for_token.contains(&ours) {
                    let allowed: Vec<&str> =
                        self.access_tokens.iter().map(String::as_str).collect();
                    let before = left.len();
                    left = without(&left, &allowed);
                    assert!(left.len() < before, "the search sees the agent's answers: {place}");
                }
                heard.insert(ours);
            }
            self.places.push((place, left));
        }
        let unknown: Vec<_> = self.connections.difference(&heard).collect();
        assert!(unknown.is_empty(), "a client wrote to a socket that is not the agent's");
        sent
    }
}

/// What the requests to the token endpoint carried under a name.
fn parameters(sent: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(sent);
    let mut found = Vec::new();
    for part in text.split(&format!("{name}=")).skip(1) {
        let value = part.split(['&', ' ', '\r', '\n']).next().unwrap_or_default();
        // A request of the next call may follow at once.
        found.push(value.split("POST").next().unwrap().split("GET").next().unwrap().to_owned());
    }
    found
}

/// The end of a secret, which stands for it without the marker.
fn tail(secret: &str) -> String {
    secret[secret.len() - 20..].to_owned()
}

fn agent_pid(home: &Home) -> u32 {
    use std::io::Write as _;
    let mut stream = UnixStream::connect(socket(home)).unwrap();
    stream.write_all(&hello(1, env!("CARGO_PKG_VERSION"))).unwrap();
    read_frame(&mut stream)["pid"].as_u64().unwrap().try_into().unwrap()
}

/// What a process was started with.
fn started_with(pid: u32) -> Vec<Place> {
    let read = |file: &str| {
        let mut bytes = Vec::new();
        until("what a new process was started with", || {
            bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            !bytes.is_empty()
        });
        (format!("{file} of {pid}"), bytes)
    };
    vec![read("cmdline"), read("environ")]
}

/// A home with every log turned up and all kinds of secrets; the files that they came from.
fn home_with_secrets(simulator: &Simulator, passphrase: &str) -> (Home, PathBuf, PathBuf) {
    let mut home = Home::empty();
    let passphrase_file = home.write("passphrase", passphrase);
    let apps = simulator.facts["apps"].as_array().unwrap();
    let app = apps.iter().find(|app| app["client_id"] == SECRET_APP).unwrap();
    let secret_file = home.write("secret", app["client_secret"].as_str().unwrap());
    for log in ["ORGKEY_LOG", "RUST_LOG"] {
        home.set(log, "trace");
    }
    with_passphrase(&home, &passphrase_file, &["key", "init"]);
    let secret = ["--client-id", SECRET_APP, "--secret-from", secret_file.to_str().unwrap()];
    let add = [&["app", "add", "default"][..], &secret].concat();
    with_passphrase(&home, &passphrase_file, &add);
    home.save(simulator, "acme", ANA, &[]).ok();
    (home, passphrase_file, secret_file)
}

#[test]
fn secrets_leave_the_agent_and_its_clients_only_where_they_have_to() {
    if !installed(&["strace"], "the search of all that the agent and its clients write") {
        return;
    }
    let simulator = Simulator::start();
    let passphrase = format!("{MARKER} staple battery");
    let (home, passphrase_file, secret_file) = home_with_secrets(&simulator, &passphrase);
    let traces = tempfile::tempdir().unwrap();
    let agent_trace = traces.path().join("agent");
    let options = ["-f", "-qq", "-yy", "-xx", "-s", "1000000", "-e", "signal=none", "-e", WRITES];
    let mut agent = Agent::begin(&home, traced(&home.command(&["agent"]), &options, &agent_trace));
    let mut run = Recorded {
        simulator,
        home,
        passphrase_file: passphrase_file.clone(),
        traces,
        places: Vec::new(),
        for_token: BTreeSet::new(),
        connections: BTreeSet::new(),
        access_tokens: Vec::new(),
    };
    run.whole_run(&passphrase);
    run.places.extend(started_with(agent_pid(&run.home)));
    run.home.orgkey(&["agent", "--stop"]).ok();
    assert!(agent.0.wait().unwrap().success());
    let sent = run.add_agent(&agent_trace);

    let mut secrets = vec![MARKER.to_owned(), "staple battery".into(), "AGE-SECRET-KEY-".into()];
    secrets.extend(run.access_tokens.iter().map(|token| tail(token)));
    for name in ["refresh_token", "code_verifier", "client_secret"] {
        let values = parameters(&sent, name);
        assert!(!values.is_empty(), "{name} was sent to Salesforce, and is seen there");
        secrets.extend(values.iter().map(|value| tail(value)));
    }
    let but = [passphrase_file.as_path(), secret_file.as_path()];
    run.places.extend(files(run.home.outside(), &but));
    for part in ["orgkey.db", "orgkey.log", "inbox", "UNIX-STREAM", "1<pipe:"] {
        assert!(run.places.iter().any(|(place, _)| place.contains(part)), "{part} was searched");
    }
    let found = leaks(&secrets, &run.places);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));

    // The control: the same search of a process that writes one.
    let trace = run.traces.path().join("planted");
    let mut planted = Command::new("/bin/sh");
    planted.args(["-c", "printf %s \"$0\"", &secrets[3]]).env("LC_ALL", "C");
    crate::common::run(traced(&planted, &options, &trace), "").ok();
    let places: Vec<Place> = written(&trace).into_iter().collect();
    assert!(leaks(&secrets, &places).iter().any(|place| place.starts_with("1<pipe:")));
}

#[test]
fn an_agent_that_unlock_started_has_no_secret_in_argv_and_environment() {
    let simulator = Simulator::start();
    let (home, file) = locked_home(&simulator);
    with_passphrase(&home, &file, &["unlock"]);
    let secrets = ["correct horse".to_owned(), MARKER.into(), "ORGKEY_PASSPHRASE_FILE".into()];
    let places = started_with(agent_pid(&home));
    assert!(String::from_utf8_lossy(&places[0].1).contains("agent"), "it is the agent");
    assert_eq!(leaks(&secrets, &places), [""; 0]);
    for (arguments, value) in [(["60"], MARKER), (["61"], "correct horse battery staple")] {
        let mut child = Command::new("sleep").args(arguments).env("X", value).spawn().unwrap();
        let found = leaks(&secrets, &started_with(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.iter().any(|place| place.starts_with("environ")), "{found:?}");
    }
}

#[test]
fn the_same_user_can_read_neither_environment_nor_memory_of_the_agent() {
    const USER: u32 = 61_234;
    let left = "the agent's memory before another process of its user";
    if !is_root(left) {
        return;
    }
    let simulator = Simulator::start();
    let home = Home::empty();
    home.write("config.toml", &crate::common::config(crate::common::PUBLIC_APP));
    let program = program_for_all(program(), home.outside());
    own(home.outside(), USER);
    let orgkey = |arguments: &[&str]| {
        let template = home.command(arguments);
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().current_dir(home.outside()).uid(USER).gid(USER);
        for (name, value) in template.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command
    };
    run(orgkey(&["key", "init", "--no-passphrase"]), "").ok();
    let org = simulator.org_of(ANA);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (org_id, my_domain) = (text(&org["org_id"]), text(&org["my_domain"]));
    let user_id = text(&simulator.user(ANA)["user_id"]);
    let ids = ["--org-id", &org_id, "--user-id", &user_id, "--login-url", &my_domain];
    run(orgkey(&[&["save", "acme"][..], &ids].concat()), "").ok();
    let mut agent = Agent::begin(&home, orgkey(&["agent"]));
    let url = run(orgkey(&["setup", "acme", "--start"]), "").ok().stdout;
    let redirect = simulator.sign_in(&url, ANA);
    run(orgkey(&["setup", "acme", "--finish", "-"]), &redirect).ok();

    let mut other = Command::new("sleep").arg("60").uid(USER).gid(USER).spawn().unwrap();
    for file in ["environ", "mem", "maps"] {
        let refused = opens(USER, agent.0.id(), file);
        assert_ne!(refused.status, 0, "{file}: {refused}");
        assert!(refused.stderr.contains("ermission denied"), "{file}: {refused}");
        // The control: it is the agent's doing. (Some kernels keep memory from all but parents.)
        if file != "mem" || std::fs::read("/proc/sys/kernel/yama/ptrace_scope").is_err() {
            opens(USER, other.id(), file).ok();
        }
    }
    other.kill().unwrap();
    other.wait().unwrap();
    // Not even root is answered: the table has one user.
    assert_eq!(ask(&socket(&home)), "[answered 0 bytes]");
    assert!(agent.0.try_wait().unwrap().is_none());
    run(orgkey(&["agent", "--stop"]), "").ok();
    assert!(agent.0.wait().unwrap().success());
}

/// A shell of a user that opens a file for reading, and no more.
fn opens(user: u32, pid: u32, file: &str) -> Run {
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<\"$0\""]).arg(format!("/proc/{pid}/{file}"));
    command.uid(user).gid(user).env("LC_ALL", "C");
    run(command, "")
}

/// A shell that may leave cores as large as they get, in a folder of its own.
fn with_cores(home: &Home, name: &str, line: &str) -> (Command, PathBuf) {
    let folder = home.outside().join(name);
    std::fs::create_dir(&folder).unwrap();
    let template = home.command(&[]);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -c unlimited; {line}")).arg(program()).env_clear();
    for (name, value) in template.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.current_dir(&folder).stdin(Stdio::null());
    (command, folder)
}

#[test]
fn an_abort_of_the_agent_leaves_no_core() {
    let simulator = Simulator::start();
    let (home, file) = locked_home(&simulator);
    // The control comes first: whether a core can be left, and whether the search finds it.
    let plant = format!("secret={MARKER}; kill -ABRT $$");
    let (mut control, folder) = with_cores(&home, "control", &plant);
    let status = control.status().unwrap();
    assert_eq!(status.signal(), Some(6));
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let cores = files(&folder, &[]);
    if !status.core_dumped() || cores.is_empty() {
        let words = format!("no core can be made here (core_pattern {})", pattern.trim());
        return left_out(&words, "the search of an aborted agent's core");
    }
    assert!(!leaks(&[MARKER.to_owned()], &cores).is_empty(), "the search finds what is in a core");

    let (command, folder) = with_cores(&home, "cores", "exec \"$0\" agent");
    let mut agent = Agent::begin(&home, command);
    with_passphrase(&home, &file, &["unlock"]);
    home.set_up(&simulator, "acme", ANA).ok();
    agent.send(Signal::ABORT);
    let status = agent.0.wait().unwrap();
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
    assert_eq!(files(&folder, &[]), [] as [Place; 0]);
}
