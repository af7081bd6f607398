//! What every test crate works with: the simulated Salesforce as a process of its own, a
//! throw-away home, and the built program run in a clean environment.
//!
//! Nothing here waits for a time to pass: [`until`] waits for a condition and ends with a failure
//! at a deadline. A crate that uses only a part says so at its `mod` line with
//! `#[expect(dead_code, ...)]`.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for anything: the machine may be busy with other tests.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// Client ID of the simulated app without a secret, with rotation.
pub const PUBLIC_APP: &str = "3MVG9simulated.orgkey_public";
/// Client ID of the simulated app with a secret, with rotation.
pub const SECRET_APP: &str = "3MVG9simulated.orgkey_secret";
/// Client ID of the simulated app without rotation.
pub const STATIC_APP: &str = "3MVG9simulated.orgkey_static";
/// The redirect URI that every simulated app has, and orgkey's own default.
pub const REDIRECT_URI: &str = "http://localhost:1717/OauthRedirect";
/// Stands in every password, secret and token that the simulated Salesforce makes.
pub const MARKER: &str = "SIMCANARY";

/// The built program.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_orgkey"))
}

/// Waits until `condition` holds, looking often; fails with `what` when [`DEADLINE`] has passed.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Whether these programs are installed. Where one is missing, says what is left out, or fails when
/// nothing may be.
pub fn installed(programs: &[&str], left_out: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    // Where sshd and mkfs live, on machines whose people have no such folder in their path.
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    let is_missing = |program: &&&str| !folders.iter().any(|one| one.join(program).is_file());
    let missing: Vec<_> = programs.iter().filter(is_missing).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(
        std::env::var_os("ORGKEY_REQUIRE_E2E").is_none_or(|value| value != "1"),
        "{missing:?} must be installed for: {left_out}"
    );
    // Past the capture of output, so that it is read by whoever runs the tests.
    let _ = writeln!(std::io::stderr(), "left out, as {missing:?} is not installed: {left_out}");
    false
}

/// The simulated Salesforce, a process of its own on a free port; ended when it is dropped.
pub struct Simulator {
    /// Its process.
    pub child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What it said of itself: `orgs`, `apps`, `control_url`, ...
    pub facts: Value,
}

impl Simulator {
    /// Starts one and waits until it is ready.
    pub fn start() -> Self {
        Self::start_on(0)
    }

    /// Starts one on a given port, e.g. that of one which was ended.
    pub fn start_on(port: u16) -> Self {
        let mut child = Command::new(program())
            .args(["simulate", "--json", "--listen", &format!("127.0.0.1:{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the simulator starts");
        let stdout = child.stdout.take().expect("its output is piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(read.map(|_| line));
        });
        let line = receiver.recv_timeout(DEADLINE).expect("it says when it is ready");
        let line = line.expect("its output is text");
        let facts: Value = serde_json::from_str(&line).expect("its facts are JSON");
        let url = facts["base_url"].as_str().expect("it has an address");
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("with a port");
        Self { child, port, facts }
    }

    /// Address of a virtual host: `acme.my` is `http://acme.my.localhost:PORT`.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}.localhost:{}", self.port)
    }

    /// The facts of the org of a user: `org_id`, `my_domain`, `environment`, ...
    pub fn org_of(&self, username: &str) -> Value {
        let orgs = self.facts["orgs"].as_array().expect("it has orgs");
        let has = |org: &&Value| {
            let mut users = org["users"].as_array().expect("with users").iter();
            users.any(|user| user["username"] == username)
        };
        orgs.iter().find(has).expect("an org with that user").clone()
    }

    /// The facts of a user by its whole username: `ana@acme.example`, `ana@acme.example.uat`.
    pub fn user(&self, username: &str) -> Value {
        let orgs = self.facts["orgs"].as_array().expect("it has orgs");
        let mut users = orgs.iter().flat_map(|org| org["users"].as_array().expect("with users"));
        users.find(|user| user["username"] == username).expect("a user of that name").clone()
    }

    /// POSTs to the control plane: `expire_sessions`, `clock`, `revoke`, `users`, `orgs`, `apps`.
    pub fn control(&self, call: &str, body: &Value) -> Value {
        let (status, answer) = self.http("POST", call, &body.to_string());
        assert_eq!(status, 200, "{call}: {answer}");
        serde_json::from_str(&answer).expect("the control plane answers JSON")
    }

    /// GETs from the control plane: `facts`, `counts`, `faults`, `clock`, `approvals`.
    pub fn read(&self, call: &str) -> Value {
        let (status, answer) = self.http("GET", call, "");
        assert_eq!(status, 200, "{call}: {answer}");
        serde_json::from_str(&answer).expect("the control plane answers JSON")
    }

    /// How often something happened: `refreshes`, `revocations`, `replays`, ...
    pub fn count(&self, what: &str) -> u64 {
        self.read("counts")[what].as_u64().expect("a count of that name")
    }

    /// Every request since the start, or since the journal was cleared.
    pub fn journal(&self) -> Vec<Value> {
        let (status, lines) = self.http("GET", "journal", "");
        assert_eq!(status, 200, "{lines}");
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Forgets the journal and its counts.
    pub fn clear_journal(&self) {
        let (status, answer) = self.http("DELETE", "journal", "");
        assert_eq!(status, 200, "{answer}");
    }

    /// Replaces the fault script.
    pub fn script(&self, faults: &Value) {
        self.control("faults", &json!({ "clear": true, "faults": faults }));
    }

    /// Ends the fault script.
    pub fn clear_script(&self) {
        let (status, answer) = self.http("DELETE", "faults", "");
        assert_eq!(status, 200, "{answer}");
    }

    /// Plays the person at the browser who signs in as `username` and allows; gives the address
    /// that the browser ends at.
    pub fn sign_in(&self, url: &str, username: &str) -> String {
        self.play(&json!({ "url": url.trim(), "username": username })).expect("the sign-in passes")
    }

    /// Plays the person at the browser with all that can be asked for: `url`, `username`,
    /// `password`, `deny`. An error is what kept the browser from getting further.
    pub fn play(&self, person: &Value) -> Result<String, String> {
        let (status, answer) = self.http("POST", "sign_in", &person.to_string());
        let answer: Value = serde_json::from_str(&answer).expect("the control plane answers JSON");
        if status == 200 {
            Ok(answer["redirect_url"].as_str().expect("a redirect URL").to_owned())
        } else {
            Err(answer["error"].as_str().expect("an error").to_owned())
        }
    }

    /// One request to the control plane, with its status and body.
    pub fn http(&self, method: &str, call: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        let request = format!(
            "{method} /_control/{call} HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("the request leaves");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer comes");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        assert!(!chunked, "the control plane announces the length of its answers");
        (status.expect("with a status"), body.to_owned())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Exit code; 128 and the number of the signal that ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Fails unless it ended with this exit code.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Fails unless it ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect(0)
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// The `error` object of standard error.
    #[track_caller]
    pub fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let object: Value =
            serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self}"));
        object["error"].clone()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(formatter, "status {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// A throw-away home with a config.toml that allows loopback hosts; removed when it is dropped.
pub struct Home {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// A home with the app `default` in config.toml and a bare sealing key.
    pub fn new() -> Self {
        let home = Self::empty();
        home.write("config.toml", &config(PUBLIC_APP));
        home.orgkey(&["key", "init", "--no-passphrase"]).ok();
        home
    }

    /// A home without app and key.
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new().prefix("orgkey-test-").tempdir().expect("a folder");
        let home = Self { folder, environment: Vec::new() };
        fs::create_dir(home.path()).expect("a home");
        set_mode(&home.path(), 0o700);
        home.write("config.toml", "[network]\nallow_loopback = true\n");
        home
    }

    /// The folder that `ORGKEY_HOME` names.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("orgkey")
    }

    /// The folder around it, which is `HOME` too; for files that are not orgkey's.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of mode 0600 into the home, and gives its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("the file is written");
        set_mode(&path, 0o600);
        path
    }

    /// Sets an environment variable for every command from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The program with these arguments, the clean environment, and nothing to read. For those
    /// who want to do more with the process than [`Self::orgkey`] does.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.outside())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").as_deref().unwrap_or(OsStr::new("/usr/bin:/bin")))
            .env("HOME", self.outside())
            .env("ORGKEY_HOME", self.path())
            .env("TZ", "UTC")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn orgkey(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments), "")
    }

    /// Runs the program to its end with this on standard input.
    pub fn orgkey_with(&self, arguments: &[&str], stdin: &str) -> Run {
        run(self.command(arguments), stdin)
    }

    /// Starts the program with this on standard input; its output is for the caller.
    pub fn start(&self, arguments: &[&str], stdin: &str) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut input = child.stdin.take().expect("its input is piped");
        input.write_all(stdin.as_bytes()).expect("it is read");
        child
    }

    /// Saves a user of the simulated Salesforce under a name: `save(&simulator, "acme",
    /// "ana@acme.example", &[])`; more flags of `save` may follow.
    pub fn save(&self, simulator: &Simulator, name: &str, username: &str, more: &[&str]) -> Run {
        let org = simulator.org_of(username);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (org_id, my_domain) = (text(&org["org_id"]), text(&org["my_domain"]));
        let user_id = text(&simulator.user(username)["user_id"]);
        let mut arguments = vec!["save", name, "--org-id", &org_id, "--user-id", &user_id];
        arguments.extend(["--login-url", &my_domain]);
        if org["environment"] == "sandbox" {
            arguments.push("--sandbox");
        }
        arguments.extend(more);
        self.orgkey(&arguments)
    }

    /// Sets up the token of a saved credential by signing in as `username`.
    pub fn set_up(&self, simulator: &Simulator, name: &str, username: &str) -> Run {
        let url = self.orgkey(&["setup", name, "--start"]).ok().stdout;
        let redirect = simulator.sign_in(&url, username);
        self.orgkey_with(&["setup", name, "--finish", "-"], &redirect)
    }

    /// Saves, sets up and tests a credential; each has to pass. `name` may be an address.
    pub fn ready_credential(&self, simulator: &Simulator, name: &str, username: &str) {
        let plain = name.split('/').next().expect("a name");
        self.save(simulator, plain, username, &[]).ok();
        let environment = simulator.org_of(username)["environment"].clone();
        let address = format!("{plain}/{}", environment.as_str().expect("text"));
        self.set_up(simulator, &address, username).ok();
        self.orgkey(&["test", &address]).ok();
    }

    /// One credential of `show --json`.
    #[track_caller]
    pub fn shown(&self, name: &str) -> Value {
        self.orgkey(&["show", name, "--json"]).ok().json()["credential"].clone()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // An agent that a dashboard started would wait for more work a while.
        if self.path().join("agent.sock").exists() {
            let stopped = self.command(&["agent", "--stop"]).stderr(Stdio::null()).status();
            let _ = stopped;
        }
    }
}

/// A config.toml that allows loopback hosts and has the app `default`.
pub fn config(client_id: &str) -> String {
    format!("[network]\nallow_loopback = true\n\n[apps.default]\nclient_id = \"{client_id}\"\n")
}

/// Sets the mode of a file or a folder.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode is set");
}

/// Runs a command to its end with this on standard input; fails when it takes too long.
pub fn run(mut command: Command, stdin: &str) -> Run {
    use std::os::unix::process::ExitStatusExt;
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().expect("its input is piped");
    let text = stdin.to_owned();
    // A program that does not read must not hold us up; one that ended is no failure.
    std::thread::spawn(move || {
        let _ = input.write_all(text.as_bytes());
    });
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(child.wait_with_output());
    });
    let Ok(output) = receiver.recv_timeout(DEADLINE) else { panic!("it does not end: {shown}") };
    let output = output.expect("its output is read");
    let signalled = || output.status.signal().map_or(-1, |signal| 128 + signal);
    Run {
        status: output.status.code().unwrap_or_else(signalled),
        stdout: String::from_utf8(output.stdout).expect("standard output is text"),
        stderr: String::from_utf8(output.stderr).expect("standard error is text"),
    }
}
