//! Hostile text from Salesforce and from whoever types or pastes, in every field that takes one:
//! nothing of it steers a terminal, a log or a reader of what orgkey prints.

mod screens;
mod strings;
mod typed;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use self::strings::{chunks, judge_plain, marks, text_chunks};
use crate::common::{Home, Run, SECRET_APP, STATIC_APP, Simulator, config, run};

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
fn what_introspection_says_is_shown_as_harmless_text() {
    let mut stage = Stage::new();
    let secret = "SIMCANARY4872910365021987345";
    let config = std::fs::read_to_string(stage.home.path().join("config.toml")).expect("a config");
    let with_secret = format!("{SECRET_APP}\"\nclient_secret_file = \"default.secret");
    stage.home.write("default.secret", secret);
    stage.home.write("config.toml", &config.replace(STATIC_APP, &with_secret));
    let introspect = json!({ "path": "/services/oauth2/introspect" });
    for text in text_chunks(1_500) {
        let told = ["username", "client_id", "scope", "sub", "token_type", "exp"];
        let told: serde_json::Map<String, Value> =
            told.iter().map(|name| ((*name).to_owned(), json!(text))).collect();
        let refused = object(&[("error", b"x"), ("error_description", text.as_bytes())]);
        for fault in
            [json!({ "match": introspect, "set_fields": told }), answer(&introspect, 400, &refused)]
        {
            stage.simulator.clear_journal();
            stage.script(&[fault]);
            let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
            let redirect = stage.simulator.sign_in(&url, ANA);
            stage.look(stage.home.command(&["setup", "acme", "--finish", "-"]), &redirect).ok();
            stage.orgkey(&["show", "acme"]);
            let is_meant = |entry: &Value| entry["path"] == introspect["path"];
            assert!(stage.simulator.journal().iter().any(is_meant), "it was asked");
        }
    }
    stage.look_at_all();
}
