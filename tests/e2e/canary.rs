//! No secret is left lying about: a whole run is made with every log turned up, and everything
//! that it wrote, printed or passed on is searched for what must not be there.
//!
//! Every token, code, secret and password here carries one marker. Its forms are looked for as
//! they are, and as any encoding would carry them along. A search that could not find anything
//! proves nothing: the same search has to find each form where it is planted.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::common::{Home, MARKER, PUBLIC_APP, Run, SECRET_APP, Simulator, run, set_mode};
use crate::{installed, traced};

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";

/// A secret's bytes in every form that they may be carried along in, with the name of the form.
pub(crate) fn forms(secret: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let hex = |upper: bool, before: &str| -> String {
        let digits = bytes.iter().map(|byte| {
            if upper { format!("{before}{byte:02X}") } else { format!("{before}{byte:02x}") }
        });
        digits.collect()
    };
    let wide: Vec<u8> = secret.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide_big: Vec<u8> = secret.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let mut forms = vec![
        ("as it is".to_owned(), bytes.to_vec()),
        ("in lower case".to_owned(), secret.to_lowercase().into_bytes()),
        ("in upper case".to_owned(), secret.to_uppercase().into_bytes()),
        ("reversed".to_owned(), bytes.iter().rev().copied().collect()),
        ("percent-encoded".to_owned(), hex(true, "%").into_bytes()),
        ("percent-encoded, lower".to_owned(), hex(false, "%").into_bytes()),
        ("hexadecimal".to_owned(), hex(false, "").into_bytes()),
        ("hexadecimal, upper".to_owned(), hex(true, "").into_bytes()),
        ("UTF-16".to_owned(), wide),
        ("UTF-16, big-endian".to_owned(), wide_big),
    ];
    // In base64 the letters depend on where the secret begins; the ones at its edges also on what
    // stands beside it, and are left out.
    for before in 0..3_usize {
        let text = [vec![0; before], bytes.to_vec()].concat();
        let (first, last) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        for (name, engine) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
            let letters = engine.encode(&text).as_bytes()[first..last].to_vec();
            forms.push((format!("{name} after {before} bytes"), letters));
        }
    }
    // Of some secrets, two forms are one.
    let mut seen = BTreeSet::new();
    forms.retain(|(_, bytes)| seen.insert(bytes.clone()));
    forms
}

/// Where something was written, and what.
pub(crate) type Place = (String, Vec<u8>);

/// The places in which one of the secrets stands in any form. Each place is read once.
pub(crate) fn leaks(secrets: &[String], places: &[Place]) -> Vec<String> {
    let mut by_first_byte = vec![Vec::new(); 256];
    for (form, needle) in secrets.iter().flat_map(|secret| forms(secret)) {
        by_first_byte[usize::from(needle[0])].push((form, needle));
    }
    let mut found = BTreeSet::new();
    for (place, bytes) in places {
        for (at, first) in bytes.iter().enumerate() {
            for (form, needle) in &by_first_byte[usize::from(*first)] {
                if bytes[at..].starts_with(needle) {
                    found.insert(format!("{place}: {form}"));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Every file below a folder, but those that the test wrote its secrets into.
pub(crate) fn files(folder: &Path, but: &[&Path]) -> Vec<Place> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            places.extend(files(&path, but));
        } else if path.is_file() && !but.contains(&path.as_path()) {
            let bytes = std::fs::read(&path).unwrap();
            // A name can tell as much as a content.
            let named = [path.to_str().unwrap().as_bytes(), &bytes].concat();
            places.push((path.display().to_string(), named));
        }
    }
    places
}

/// A run of the program of which everything is kept.
struct Recorded {
    simulator: Simulator,
    home: Home,
    passphrase_file: std::path::PathBuf,
    secret_file: std::path::PathBuf,
    places: Vec<Place>,
    /// Whether argv and environment of every process are looked at too.
    traced: bool,
}

impl Recorded {
    fn begin() -> Self {
        let simulator = Simulator::start();
        let mut home = Home::empty();
        let keep = |name: &str, text: &str| {
            let path = home.outside().join(name);
            std::fs::write(&path, text).unwrap();
            set_mode(&path, 0o600);
            path
        };
        let passphrase_file = keep("passphrase", &format!("{MARKER} staple battery"));
        let apps = simulator.facts["apps"].as_array().unwrap();
        let app = apps.iter().find(|app| app["client_id"] == SECRET_APP).unwrap();
        let secret_file = keep("secret", app["client_secret"].as_str().unwrap());
        let temporary = home.outside().join("tmp");
        std::fs::create_dir(&temporary).unwrap();
        home.set("ORGKEY_PASSPHRASE_FILE", passphrase_file.to_str().unwrap());
        home.set("TMPDIR", temporary.to_str().unwrap());
        for log in ["ORGKEY_LOG", "RUST_LOG"] {
            home.set(log, "trace");
        }
        home.set("RUST_BACKTRACE", "full");
        let traced = installed(&["strace"], "the search of argv and environment");
        Self { simulator, home, passphrase_file, secret_file, places: Vec::new(), traced }
    }

    /// Runs a command, keeps what it said, and what its processes were started with.
    fn orgkey(&mut self, arguments: &[&str], stdin: &str) -> Run {
        let ended = self.quietly(arguments, stdin);
        self.keep(arguments, &ended);
        ended
    }

    /// Keeps what a command said.
    fn keep(&mut self, arguments: &[&str], ended: &Run) {
        let name = arguments.join(" ");
        self.places.push((format!("standard output of {name}"), ended.stdout.clone().into()));
        self.places.push((format!("standard error of {name}"), ended.stderr.clone().into()));
    }

    /// Runs a command whose standard output is a secret; what its processes were started with is
    /// kept all the same.
    fn quietly(&mut self, arguments: &[&str], stdin: &str) -> Run {
        let command = self.home.command(arguments);
        if !self.traced {
            return run(command, stdin);
        }
        let trace = self.home.outside().join("trace");
        let options = ["-f", "-v", "-s", "100000", "-e", "trace=execve"];
        let traced = traced(&command, &options, &trace);
        let ended = run(traced, stdin);
        let started = std::fs::read(&trace).unwrap();
        assert!(started.windows(7).any(|word| word == b"execve("), "it was traced");
        std::fs::remove_file(&trace).unwrap();
        self.places.push((format!("processes of {}", arguments.join(" ")), started));
        ended
    }

    /// Signs in as somebody.
    fn set_up(&mut self, name: &str, username: &str) -> Run {
        let url = self.orgkey(&["setup", name, "--start"], "").ok().stdout;
        let redirect = self.simulator.sign_in(&url, username);
        self.orgkey(&["setup", name, "--finish", "-"], &redirect)
    }

    /// The access token, which is printed on purpose.
    fn token(&mut self) -> String {
        let ended = self.quietly(&["token", "acme"], "").ok();
        self.places.push(("standard error of token".into(), ended.stderr.into()));
        ended.stdout.trim().to_owned()
    }

    /// One fault for the next request to a path.
    fn spoil(&self, path: &str, fault: &Value) {
        let mut fault = fault.clone();
        fault["match"] = json!({ "path": path });
        self.simulator.script(&json!([fault]));
    }

    /// Everything there is to search, files of the whole home too.
    fn all(&self) -> Vec<Place> {
        let but = [self.passphrase_file.as_path(), self.secret_file.as_path()];
        let mut places = files(self.home.outside(), &but);
        places.extend(self.places.clone());
        let journal = self.simulator.journal();
        places.push(("journal".into(), json!(journal).to_string().into_bytes()));
        places
    }
}

/// The seven steps, with what goes wrong on the way; the access tokens that there were.
fn whole_run(run: &mut Recorded) -> Vec<String> {
    run.orgkey(&["key", "init"], "").ok();
    let secret_file = run.secret_file.to_str().unwrap().to_owned();
    run.orgkey(
        &["app", "add", "default", "--client-id", SECRET_APP, "--secret-from", &secret_file],
        "",
    )
    .ok();
    let my_domain = run.simulator.url("acme.my");
    let save = ["save", "acme", "--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
    run.orgkey(&[&save[..], &["--login-url", &my_domain]].concat(), "").ok();

    run.set_up("acme", BEN).expect(6);
    run.set_up("acme", ANA).ok();
    run.orgkey(&["test", "acme"], "").ok();
    let mut tokens = vec![run.token()];
    run.simulator.control("expire_sessions", &json!({}));
    let ended = run.quietly(&["token", "acme", "--not", "-", "--json"], &tokens[0]).ok();
    tokens.push(ended.json()["access_token"].as_str().unwrap().to_owned());
    run.simulator.control("expire_sessions", &json!({}));
    run.orgkey(&["test", "acme", "--json"], "").ok();
    tokens.push(run.token());

    device(run);
    misplaced(run, &tokens);
    echoed(run, &tokens);

    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", "acme"],
        &["show", "acme", "--json"],
        &["app", "list", "--json"],
        &["app", "show", "default", "--json"],
        &["app", "test"],
        &["key", "status"],
        &["key", "status", "--json"],
        &["reset", "acme", "--tag", "eu", "--json"],
        &["reset", "acme", "--user-id", "0055g00000BenKa", "--json"],
    ] {
        run.orgkey(arguments, "");
    }
    run.orgkey(&["delete", "acme", "--confirm", "acme"], "").ok();
    tokens
}

/// A device flow, denied: the device code is in no answer to anybody.
fn device(run: &mut Recorded) {
    let app =
        "[network]\nallow_loopback = true\n\n[apps.device]\nflows = [\"device\"]\nclient_id = ";
    run.home.write("config.toml", &format!("{app}\"{PUBLIC_APP}\"\n"));
    let every_second = json!({ "client_id": PUBLIC_APP, "device_interval_seconds": 1 });
    run.simulator.control("apps", &every_second);
    let my_domain = run.simulator.url("acme.my");
    let save = ["save", "phone", "--org-id", "00D5g000004XyZT", "--user-id", "0055g00000AnaTo"];
    run.orgkey(&[&save[..], &["--login-url", &my_domain, "--app", "device"]].concat(), "").ok();
    let start = ["setup", "phone", "--start"];
    run.orgkey(&start, "").ok();
    let shown = run.orgkey(&[&start[..], &["--json"]].concat(), "").ok().json();
    let url = shown["authorization"]["url"].clone();
    let person = json!({ "url": url, "username": ANA, "deny": true });
    run.simulator.play(&person).unwrap();
    for arguments in [&["show", "phone", "--json"][..], &["setup", "phone", "--finish", "--json"]] {
        run.orgkey(arguments, "");
    }
    assert_eq!(run.simulator.count("device_polls"), 1);
}

/// Secrets in places that are not for them.
fn misplaced(run: &mut Recorded, tokens: &[String]) {
    run.orgkey(&["setup", "acme", "--start"], "").ok();
    for pasted in [
        tokens[2].clone(),
        format!("5Aep861{MARKER}abcdefghijklmnopqrstuvwxyz0123456789"),
        format!("http://localhost:1717/OauthRedirect?code=aPrx{MARKER}abcdefgh%3D%3D&state=wrong"),
        format!("http://localhost:1717/OauthRedirect#access_token={}&x=1", tokens[2]),
        format!("http://localhost:1717/OauthRedirect?error=a&error_description={}", tokens[2]),
        format!("grant_type=refresh_token&refresh_token={}", tokens[2]),
    ] {
        let refused = run.orgkey(&["setup", "acme", "--finish", "-"], &pasted);
        assert_ne!(refused.status, 0, "{refused}");
        run.orgkey(&["setup", "acme", "--finish", "-", "--json"], &pasted);
    }
    // Given as an argument, by a person who mixed up two clipboards; the shell's part can't be
    // mended, so what the process was started with is not searched here.
    let refresh_token = format!("5Aep861{MARKER}abcdefghijklmnopqrstuvwxyz0123456789");
    let short = format!("5Aep861{MARKER}0123");
    let reset = "reset acme".split(' ');
    let edit = "app edit default".split(' ');
    for secret in [&tokens[2], &refresh_token, &short] {
        let mut wrong: Vec<Vec<&str>> = Vec::new();
        for flag in ["--org-id", "--user-id", "--login-url", "--username", "--tag", "--name"] {
            wrong.push(reset.clone().chain([flag, secret]).collect());
        }
        for flag in ["--client-id", "--redirect-uri", "--scopes", "--secret-from"] {
            wrong.push(edit.clone().chain([flag, secret]).collect());
        }
        wrong.push(vec!["show", secret]);
        wrong.push(vec!["token", secret]);
        wrong.push(vec!["token", "acme", secret]);
        wrong.push(vec!["token", "acme", "--not", secret]);
        wrong.push(vec!["setup", "acme", "--finish", secret]);
        wrong.push(vec!["delete", "acme", "--confirm", secret]);
        wrong.push(vec!["test", "acme", "--expect", secret]);
        wrong.push(vec![secret]);
        for arguments in wrong {
            let shown: Vec<&str> = arguments
                .iter()
                .map(|one| if *one == secret { "(a secret)" } else { one })
                .collect();
            for json in [&[][..], &["--json"]] {
                let refused = run.home.orgkey(&[&arguments[..], json].concat());
                assert_ne!(refused.status, 0, "{shown:?}: {refused}");
                run.keep(&[&shown[..], json].concat(), &refused);
            }
        }
    }
}

/// A server that says what it was sent.
fn echoed(run: &mut Recorded, tokens: &[String]) {
    let refusal = json!({
        "error": "invalid_grant",
        "error_description": format!("no: 5Aep861{MARKER}abcdefghijklmnopqrstuvwxyz0123456789"),
    });
    run.simulator.control("expire_sessions", &json!({}));
    run.spoil("/services/oauth2/token", &json!({ "status": 500, "body": refusal }));
    run.orgkey(&["test", "acme"], "");
    let page = format!("<html><title>{}</title><body>{}</body></html>", tokens[2], tokens[2]);
    run.spoil(
        "/services/oauth2/token",
        &json!({ "status": 503, "body": page, "content_type": "text/html" }),
    );
    run.orgkey(&["test", "acme", "--json"], "");
    let body = json!([{ "errorCode": "NO", "message": format!("Session {}", tokens[2]) }]);
    run.spoil("/services/data/*", &json!({ "status": 403, "body": body, "times": 0 }));
    run.orgkey(&["test", "acme"], "");
    run.orgkey(&["test", "acme", "--json"], "");
    run.simulator.clear_script();
    run.orgkey(&["show", "acme", "--json"], "");
}

#[test]
fn no_secret_is_left_by_a_whole_run_and_a_planted_one_is_found() {
    let mut run = Recorded::begin();
    let tokens = whole_run(&mut run);
    // The marker stands in all secrets; the ends of the tokens show a piece without it.
    let mut secrets = vec![MARKER.to_owned()];
    secrets.extend(tokens.iter().map(|token| token[token.len() - 20..].to_owned()));
    let clean = run.all();
    assert!(clean.len() > 60, "{} places were searched", clean.len());
    for name in ["orgkey.db", "store.age", "identity.age"] {
        assert!(clean.iter().any(|(place, _)| place.ends_with(name)), "{name} was searched");
    }
    let found = leaks(&secrets, &clean);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));

    // The control: each form in a file of the home, in the store, and in what was said.
    let planted = run.home.path().join("planted");
    std::fs::create_dir(&planted).unwrap();
    let all: Vec<_> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    for (number, (_, bytes)) in all.iter().enumerate() {
        let text = [b"token=", bytes.as_slice(), b"&"].concat();
        std::fs::write(planted.join(format!("{number}.log")), text).unwrap();
    }
    let found = leaks(&secrets, &files(&planted, &[]));
    for (number, (form, _)) in all.iter().enumerate() {
        let expected = format!("/{number}.log: {form}");
        assert!(found.iter().any(|one| one.ends_with(&expected)), "{expected}: {found:?}");
    }
    let store = rusqlite::Connection::open(run.home.path().join("orgkey.db")).unwrap();
    store.execute("CREATE TABLE planted (x)", []).unwrap();
    store.execute("INSERT INTO planted VALUES (?1)", [format!("a {MARKER} b")]).unwrap();
    let found = leaks(&secrets, &run.all());
    assert!(found.iter().any(|place| place.contains("orgkey.db")), "{found:?}");
    if run.traced {
        run.quietly(&["show", MARKER], "").expect(7);
        let found = leaks(&secrets, &run.all());
        assert!(found.iter().any(|place| place.starts_with("processes of show")), "{found:?}");
    }
}
