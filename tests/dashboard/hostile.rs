//! Hostile text from Salesforce and from whoever types or pastes, in every field that takes one:
//! nothing of it steers a terminal, a log or a reader of what orgkey prints.

#[path = "hostile/strings.rs"]
mod strings;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use self::strings::{chunks, judge_plain, judge_terminal, marks, text_chunks};
use crate::common::{Home, Run, STATIC_APP, Simulator, config, run};
use crate::console::Console;

const ANA: &str = "ana@acme.example";
const TOKEN_PATH: &str = "/services/oauth2/token";
/// So many bytes of text are shown whole, behind what stands in front of them.
const SHOWN: usize = 200;

/// A home with a log, a syslog that is listened to, and the credential `acme`; and what was seen of
/// the texts in what came out.
struct Stage {
    simulator: Simulator,
    home: Home,
    syslog: Arc<Mutex<Vec<u8>>>,
    seen: BTreeSet<String>,
}

impl Stage {
    fn new() -> Self {
        let (simulator, mut home) = (Simulator::start(), Home::new());
        let socket = home.outside().join("syslog");
        let daemon = UnixDatagram::bind(&socket).expect("a socket");
        let syslog: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&syslog);
        std::thread::spawn(move || {
            let mut line = vec![0; 64 * 1024];
            while let Ok(length) = daemon.recv(&mut line) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&line[..length]);
                kept.push(b'\n');
            }
        });
        let audit = format!("\n[audit]\nsyslog = \"{}\"\n", socket.display());
        let flows = "rotation = \"no\"\nflows = [\"paste\", \"device\"]\n";
        home.write("config.toml", &format!("{}{flows}{audit}", config(STATIC_APP)));
        home.set("ORGKEY_LOG", "trace");
        home.ready_credential(&simulator, "acme", ANA);
        Self { simulator, home, syslog, seen: BTreeSet::new() }
    }

    /// Runs a command and looks at what it printed.
    #[track_caller]
    fn look(&mut self, command: Command, stdin: &str) -> Run {
        let shown = format!("{command:?}");
        let run = run(command, stdin);
        // Lines of CSV end as RFC 4180 has it.
        let is_csv = shown.contains("\"csv\"");
        for (name, printed) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            let printed = if is_csv { &printed.replace("\r\n", "\n") } else { printed };
            if let Err(why) = judge_plain(printed.as_bytes()) {
                panic!("{name} of {shown}: {why}");
            }
            self.seen.extend(marks(printed.as_bytes()));
        }
        run
    }

    #[track_caller]
    fn orgkey(&mut self, arguments: &[&str]) -> Run {
        self.look(self.home.command(arguments), "")
    }

    /// The same with arguments that need not be text.
    #[track_caller]
    fn typed(&mut self, before: &[&str], hostile: &[u8], after: &[&str]) -> Run {
        // No argument has a NUL.
        let hostile: Vec<u8> = hostile.iter().copied().filter(|byte| *byte != 0).collect();
        let mut command = self.home.command(before);
        // What begins with '-' is a flag, and refused as one.
        command.arg(OsStr::from_bytes(&hostile)).args(after);
        self.look(command, "")
    }

    fn script(&self, faults: &[Value]) {
        let forever = faults.iter().cloned().map(|mut fault| {
            fault["times"] = json!(0);
            fault
        });
        self.simulator.script(&Value::Array(forever.collect()));
    }

    /// Everything that shows what was kept, the log and the syslog with it.
    #[track_caller]
    fn look_at_all(&mut self) {
        for arguments in [
            "list",
            "list --json",
            "show acme",
            "show acme --json",
            "status",
            "status --json",
            "status --format prometheus",
            "audit",
            "audit --long",
            "audit --json",
            "audit verify",
            "report --from 1d",
            "report --from 1d --format csv",
            "report --from 1d --format json",
            "app list",
            "app show default",
            "doctor --offline",
            "doctor --json",
            "key status",
        ] {
            let words: Vec<&str> = arguments.split(' ').collect();
            self.orgkey(&words);
        }
        let log = std::fs::read(self.home.path().join("orgkey.log")).expect("a log");
        assert!(!log.is_empty(), "the log is asked for");
        judge_plain(&log).unwrap_or_else(|why| panic!("the log: {why}"));
        let syslog = self.syslog.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!syslog.is_empty(), "the syslog is sent to");
        judge_plain(&syslog).unwrap_or_else(|why| panic!("syslog: {why}"));
    }

    /// Fails where too few of the texts were seen in what came out: then nothing was tried.
    #[track_caller]
    fn came_through(&self, least: usize) {
        assert!(self.seen.len() >= least, "only {} came through: {:?}", self.seen.len(), self.seen);
    }
}

/// A JSON object of these fields, whose values need not be text.
fn object(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut json = vec![b'{'];
    for (index, (name, value)) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        json.extend(format!("{comma}\"{name}\":\"").into_bytes());
        for byte in *value {
            match byte {
                0..0x20 => json.extend(format!("\\u{byte:04x}").into_bytes()),
                b'"' | b'\\' => json.extend([b'\\', *byte]),
                other => json.push(*other),
            }
        }
        json.push(b'"');
    }
    json.push(b'}');
    json
}

fn answer(matching: &Value, status: u16, body: &[u8]) -> Value {
    json!({ "match": matching, "status": status, "body_base64": STANDARD.encode(body) })
}

fn grant(name: &str) -> Value {
    json!({ "grant_type": name })
}

/// Every byte as a URL has it.
fn percent(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).map(char::from).collect()
}

#[test]
fn refusals_of_a_refresh_and_of_the_api_are_shown_as_harmless_text() {
    let mut stage = Stage::new();
    let data = json!({ "path": "/services/data*" });
    for chunk in chunks(SHOWN) {
        let (known, unknown): (&[u8], &[u8]) = (b"brand_new", &chunk);
        for fields in [
            [("error", known), ("error_description", unknown)],
            [("error", unknown), ("error_description", known)],
        ] {
            stage.simulator.control("expire_sessions", &json!({}));
            stage.script(&[answer(&grant("refresh_token"), 400, &object(&fields))]);
            stage.orgkey(&["test", "acme"]);
        }
        stage.orgkey(&["show", "acme"]);
        stage.simulator.clear_script();
        stage.orgkey(&["test", "acme"]);
        for fields in [
            [("errorCode", known), ("message", unknown)],
            [("errorCode", unknown), ("message", known)],
        ] {
            let body = [b"[".as_slice(), &object(&fields), b"]"].concat();
            stage.script(&[answer(&data, 400, &body)]);
            stage.orgkey(&["test", "acme"]);
        }
        stage.orgkey(&["show", "acme", "--json"]);
        // No JSON at all, under labels that are no better.
        let text = String::from_utf8_lossy(&chunk).replace(char::is_control, " ");
        let mut plain = answer(&data, 400, &chunk);
        plain["content_type"] = json!(text);
        let names = ["Sforce-Limit-Info", "Retry-After", "Date", "Server", "WWW-Authenticate"];
        for name in names {
            plain["headers"][name] = json!(text);
        }
        stage.script(std::slice::from_ref(&plain));
        stage.orgkey(&["test", "acme"]);
        // In pieces that cut a character or a sequence in two.
        plain["then"] = json!("drip_body@4000");
        stage.script(std::slice::from_ref(&plain));
        stage.orgkey(&["test", "acme"]);
        plain["then"] = json!("answer");
        plain["status"] = json!(302);
        plain["headers"]["Location"] = json!(format!("https://{text}/{text}"));
        stage.script(&[plain]);
        stage.orgkey(&["test", "acme"]);
    }
    stage.look_at_all();
    stage.came_through(390);
}

#[test]
fn answers_to_a_sign_in_are_shown_as_harmless_text() {
    let mut stage = Stage::new();
    let finish = ["setup", "acme", "--finish", "-"];
    for chunk in chunks(SHOWN) {
        stage.orgkey(&["setup", "acme", "--start"]);
        let address = format!(
            "http://localhost:1717/OauthRedirect?error=brand_new&error_description={}",
            percent(&chunk)
        );
        let bare = format!("error={}&error_description=x", percent(&chunk));
        let lossy = String::from_utf8_lossy(&chunk).into_owned();
        for pasted in [address, bare, lossy.clone(), format!("code={lossy}&state={lossy}")] {
            stage.look(stage.home.command(&finish), &pasted);
        }
        stage.script(&[answer(
            &json!({ "path": TOKEN_PATH }),
            400,
            &object(&[("error", b"x"), ("error_description", &chunk)]),
        )]);
        stage.orgkey(&["setup", "acme", "--start", "--flow", "device"]);
        stage.orgkey(&["setup", "acme", "--cancel"]);
        stage.simulator.clear_script();
    }
    // Answers that are taken: scopes, the name of the user, what the org says of itself.
    for text in text_chunks(SHOWN) {
        let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = stage.simulator.sign_in(&url, ANA);
        let scope = json!({ "scope": text, "token_format": text, "sfdc_community_url": text });
        let user = json!({ "username": text, "preferred_username": text, "display_name": text });
        let organization = json!({ "Id": "00D5g000004XyZTEA0", "Name": text, "IsSandbox": false,
            "InstanceName": text, "OrganizationType": text });
        stage.script(&[
            json!({ "match": { "path": TOKEN_PATH }, "set_fields": scope }),
            json!({ "match": { "path": "/id/*" }, "set_fields": user }),
            json!({ "match": { "path": "/services/data/v68.0/query" },
                "set_fields": { "records": [organization], "nextRecordsUrl": text } }),
            json!({ "match": { "path": "/services/data/" },
                "body": [{ "label": text, "url": text, "version": "68.0" }] }),
            json!({ "match": { "path": "/services/data/v68.0/limits" },
                "set_fields": { "DailyApiRequests": { "Max": text, "Remaining": text } } }),
        ]);
        stage.look(stage.home.command(&finish), &redirect);
        stage.orgkey(&["show", "acme"]);
        stage.orgkey(&["list"]);
        stage.simulator.clear_script();
    }
    stage.look_at_all();
    stage.came_through(390);
}

#[test]
fn answers_that_can_not_be_used_are_told_without_their_text() {
    let mut stage = Stage::new();
    let finish = ["setup", "acme", "--finish", "-"];
    let fields = ["access_token", "refresh_token", "instance_url", "id", "token_type"];
    let more = ["issued_at", "signature", "error", "error_description"];
    for text in text_chunks(1_500) {
        for field in fields.iter().chain(&more) {
            let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
            let redirect = stage.simulator.sign_in(&url, ANA);
            stage.script(&[json!({ "match": { "path": TOKEN_PATH }, "commit": true,
                "set_fields": { *field: text } })]);
            stage.look(stage.home.command(&finish), &redirect);
            stage.simulator.clear_script();
            stage.orgkey(&["setup", "acme", "--cancel"]);
        }
        for field in ["user_code", "verification_uri", "device_code", "interval"] {
            stage.script(&[json!({ "match": { "path": TOKEN_PATH }, "commit": true,
                "set_fields": { field: text } })]);
            stage.orgkey(&["setup", "acme", "--start", "--flow", "device"]);
            stage.orgkey(&["setup", "acme", "--cancel"]);
        }
        stage.script(&[answer(
            &json!({ "path": "/services/oauth2/revoke" }),
            400,
            &object(&[("error", b"x"), ("error_description", text.as_bytes())]),
        )]);
        stage.orgkey(&["revoke", "acme", "--confirm", "acme"]);
        stage.simulator.clear_script();
        stage.home.set_up(&stage.simulator, "acme", ANA);
    }
    stage.look_at_all();
}

#[test]
fn what_is_typed_on_the_command_line_or_stands_in_a_file_is_shown_as_harmless_text() {
    let mut stage = Stage::new();
    let ids = ["--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
    for chunk in chunks(SHOWN) {
        stage.typed(&["hold", "acme", "--reason"], &chunk, &[]);
        stage.orgkey(&["show", "acme"]);
        stage.typed(&["release", "acme", "--reason"], &chunk, &[]);
        stage.typed(&["show"], &chunk, &[]);
        stage.typed(&["save", "new", "--tag"], &chunk, &ids);
        stage.typed(&["save", "new", "--login-url"], &chunk, &ids);
        stage.typed(&["save", "new", "--app"], &chunk, &ids);
        stage.typed(&["audit", "--event"], &chunk, &[]);
    }
    for chunk in chunks(900) {
        for before in [
            &["save"][..],
            &["save", "new", "--username"],
            &["reset", "acme", "--name"],
            &["reset", "acme", "--org-id"],
            &["reset", "acme", "--user-id"],
            &["token", "acme", "--min-ttl"],
            &["use"],
            &["test"],
            &["test", "--filter"],
            &["report", "--from"],
            &["report", "--from", "1d", "--tag"],
            &["audit", "--name"],
            &["app", "add"],
            &["app", "show"],
            &["app", "edit", "default", "--client-id"],
            &["app", "edit", "default", "--redirect-uri"],
            &["app", "edit", "default", "--scopes"],
            &["app", "edit", "default", "--rotation"],
            &["delete", "acme", "--confirm"],
            &["save", "--from"],
            &["backup"],
            &["restore"],
            &["setup", "acme", "--flow"],
            &["completions"],
            &["simulate", "--listen"],
        ] {
            let after = if before == ["save"] { &ids[..] } else { &[] };
            stage.typed(before, &chunk, after);
        }
        // Who works here, as the environment and the config have it.
        let mut command = stage.home.command(&["hold", "acme", "--reason", "x"]);
        let value: Vec<u8> = chunk.iter().copied().filter(|byte| *byte != 0).collect();
        for name in ["SUDO_USER", "SSH_CLIENT", "SSH_CONNECTION", "ORGKEY_LOG", "HTTPS_PROXY"] {
            command.env(name, OsStr::from_bytes(&value));
        }
        stage.look(command, "");
        stage.orgkey(&["release", "acme"]);
        let home = Home::empty();
        let text = String::from_utf8_lossy(&chunk).replace(['"', '\\'], "'");
        for (line, text) in [("[apps.x]\nclient_id", &text), ("unknown", &text)] {
            home.write("config.toml", &format!("{line} = \"{text}\"\n"));
            stage.look(home.command(&["list"]), "");
        }
    }
    files(&mut stage);
    stage.look_at_all();
    stage.came_through(370);
}

/// Import files, each with all the texts in every field.
fn files(stage: &mut Stage) {
    let names =
        ["name", "environment", "org_id", "user_id", "username", "login_url", "app", "tags"];
    let good = ["new", "production", "00D5g000004XyZT", "0055g00000AnaTo", "", "", "", ""];
    let (mut lines, mut rows) = (Vec::new(), format!("{}\n", names.join(",")));
    for (number, text) in text_chunks(SHOWN).iter().enumerate() {
        for at in 0..names.len() {
            let of = |index: usize| if index == at { text.as_str() } else { good[index] };
            let pairs = names
                .iter()
                .enumerate()
                .map(|(index, name)| ((*name).to_owned(), json!(of(index))));
            let mut line: serde_json::Map<String, Value> = pairs.collect();
            if at != 0 {
                line.insert("name".to_owned(), json!(format!("new{number}-{at}")));
            }
            lines.push(Value::Object(line).to_string());
            let cell = |index: usize| format!("\"{}\"", of(index).replace('"', "\"\""));
            let cells: Vec<String> = (0..names.len()).map(cell).collect();
            rows.push_str(&cells.join(","));
            rows.push('\n');
        }
    }
    for kind in ["save", "app add"] {
        let words: Vec<&str> = kind.split(' ').chain(["--from", "-"]).collect();
        stage.look(stage.home.command(&words), &lines.join("\n"));
        stage.look(stage.home.command(&words), &rows);
        for chunk in chunks(SHOWN) {
            let path = stage.home.outside().join("import");
            std::fs::write(&path, &chunk).expect("the file is written");
            crate::common::set_mode(&path, 0o600);
            let path = path.to_str().expect("a path").to_owned();
            let words: Vec<&str> = kind.split(' ').chain(["--from", &path]).collect();
            stage.orgkey(&words);
        }
    }
}

/// A dashboard on the home of a stage; at its end the bytes that its terminal got are judged.
struct Watched(Console);

impl Watched {
    fn open(stage: &Stage, keys: &[(&str, &str)]) -> Self {
        let mut console = Console::start(&stage.home.command(&[]));
        console.shows("1 credential");
        for (key, text) in keys {
            console.key_for(key, text);
        }
        Self(console)
    }

    /// Pastes bytes and waits until the screen is drawn anew after them.
    #[track_caller]
    fn paste(&mut self, bytes: &[u8]) {
        // In two pieces, as a slow line delivers it, cut in the middle of what it is.
        let whole = [b"\x1b[200~", bytes, b"\x1b[201~"].concat();
        let (one, other) = whole.split_at(whole.len() / 2);
        self.0.press(one);
        self.0.press(other);
        self.redraw();
    }

    #[track_caller]
    fn redraw(&mut self) {
        let before = self.0.received();
        self.0.press("\x0c");
        self.0.await_bytes("a screen drawn anew", |bytes| {
            crate::console::contains(&bytes[before..], b"\x1b[2J")
        });
    }

    /// Ends it; answers the texts that were on the screen.
    #[track_caller]
    fn judge(mut self, what: &str) -> BTreeSet<String> {
        self.0.signal(Signal::TERM);
        assert_eq!(self.0.ended(), 143, "{what}");
        let bytes = self.0.bytes();
        judge_terminal(&bytes).unwrap_or_else(|why| panic!("{what}: {why}"));
        marks(&bytes)
    }
}

#[test]
fn what_is_pasted_into_the_dashboard_reaches_the_terminal_as_harmless_text() {
    let mut stage = Stage::new();
    let all = chunks(900);
    let mut form = Watched::open(&stage, &[("n", "New OAuth credentials")]);
    for _ in 0..8 {
        for chunk in &all {
            form.paste(chunk);
        }
        form.0.press("\t");
        form.redraw();
    }
    stage.seen.extend(form.judge("the form"));
    let panes: [(&str, &[(&str, &str)]); 5] = [
        ("the form of an app", &[("a", "Apps: the OAuth clients"), ("n", "New app")]),
        ("the filter", &[("/", "env:prod")]),
        ("the palette", &[(":", "save")]),
        ("the set-up pane", &[("s", "1. Open this address")]),
        ("the dialog of a delete", &[("D", "for good?")]),
    ];
    for (what, keys) in panes {
        let mut pane = Watched::open(&stage, keys);
        for chunk in &all {
            pane.paste(chunk);
        }
        stage.seen.extend(pane.judge(what));
    }
    // A terminal without brackets sends a paste as keys; what has no control character of ASCII in
    // it can't be meant as any.
    let mut filter = Watched::open(&stage, &[("/", "env:prod")]);
    for text in
        text_chunks(SHOWN).iter().filter(|text| !text.bytes().any(|c| c < 0x20 || c == 0x7f))
    {
        filter.0.press(text);
        filter.redraw();
    }
    stage.seen.extend(filter.judge("the filter, by keys"));
    stage.look_at_all();
    // A field shows the end of what is in it.
    stage.came_through(40);
}

#[test]
fn what_salesforce_says_reaches_the_dashboard_as_harmless_text() {
    let mut stage = Stage::new();
    let mut list = Watched::open(&stage, &[]);
    for chunk in chunks(SHOWN) {
        let body = object(&[("errorCode", b"x"), ("message", &chunk)]);
        let body = [b"[".as_slice(), &body, b"]"].concat();
        stage.script(&[answer(&json!({ "path": "/services/data*" }), 400, &body)]);
        list.0.key("t");
        list.0.key_for("m", "Messages");
        let host = format!("acme.my.localhost:{}", stage.simulator.port);
        list.0.shows(&host);
        list.redraw();
        list.0.key_for("\x1b", "1 credential");
        for key in ["\r", "h"] {
            list.0.key(key);
            list.redraw();
            list.0.key_for("\x1b", "1 credential");
        }
    }
    stage.simulator.clear_script();
    stage.seen.extend(list.judge("the list"));
    // The name of the user, and the scopes, are on most screens.
    let text = text_chunks(120).into_iter().find(|text| text.contains('\u{202e}')).expect("one");
    let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let redirect = stage.simulator.sign_in(&url, ANA);
    stage.script(&[
        json!({ "match": { "path": TOKEN_PATH }, "set_fields": { "scope": text } }),
        json!({ "match": { "path": "/id/*" }, "set_fields": { "username": text } }),
    ]);
    stage.look(stage.home.command(&["setup", "acme", "--finish", "-"]), &redirect);
    let mut tour = Watched::open(&stage, &[]);
    for (key, screen) in [
        ("\r", "Org ID"),
        ("h", "History"),
        ("y", "Copy from"),
        ("a", "Apps: the OAuth clients"),
        ("r", "Reset acme"),
        ("D", "for good?"),
        ("s", "1. Open this address"),
        ("m", "Messages"),
    ] {
        tour.0.key(key);
        tour.redraw();
        tour.0.shows(screen);
        tour.0.key_for("\x1b", "1 credential");
    }
    stage.seen.extend(tour.judge("the screens"));
    for arguments in [&["list"][..], &["show", "acme"], &["audit"], &["status"]] {
        let mut printed = Console::start(&stage.home.command(arguments));
        printed.ended();
        let bytes = printed.bytes();
        judge_terminal(&bytes).unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
    }
    stage.came_through(390);
}
