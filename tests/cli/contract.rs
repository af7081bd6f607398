//! Runs the contract files of `tests/cli/contracts`: each is a sequence of steps against one
//! simulated Salesforce and one new home, and reads as documentation of the commands.
//!
//! A step is one of
//! - `args`: the program is run, with `stdin` and `env`; `status`, `stdout`, `stderr` (or `json`,
//!   `stderr_json`) are all that may come, what is left out is empty or 0;
//! - `sign_in = { url, username }`: someone signs in; the redirect URL is its output;
//! - `control = "expire_sessions"` with `body`: something happens at Salesforce;
//! - `file = { path, text, mode }`: a file beside the home, or in it where the path begins with
//!   `$ORGKEY_HOME`;
//! - `simulator = "stop"` or `"start"`.
//!
//! `capture = "NAME"` keeps the output for `$NAME` in later steps; `$PORT` and `$ORGKEY_HOME` are
//! there from the start. In an expected text `[..]` stands for anything within a line, and a line
//! `[...]` for any lines; in expected JSON the string `[..]` stands for any value.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::common::{Home, Run, Simulator, run, set_mode};

/// A contract file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// What it is about.
    #[expect(dead_code, reason = "for the reader of the file")]
    about: String,
    /// In their order.
    pub step: Vec<Step>,
}

/// A step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What it shows.
    #[serde(default)]
    why: String,
    /// Words of the command line; quotes keep blanks.
    pub args: Option<String>,
    sign_in: Option<SignIn>,
    control: Option<String>,
    file: Option<File>,
    simulator: Option<String>,
    #[serde(default)]
    body: String,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    status: i32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
    json: Option<String>,
    stderr_json: Option<String>,
    capture: Option<String>,
}

/// Who signs in where.
#[derive(Deserialize)]
struct SignIn {
    url: String,
    username: String,
}

/// A file to be written.
#[derive(Deserialize)]
struct File {
    path: String,
    text: String,
    mode: Option<String>,
}

impl Contract {
    /// Reads a contract file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the file is there");
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs it; the error says which step came out otherwise, and how.
    pub fn check(&self) -> Result<(), String> {
        let mut stage = Stage::new();
        for (step, number) in self.step.iter().zip(1..) {
            let shown = step.args.as_deref().unwrap_or(&step.why);
            stage.play(step).map_err(|error| format!("step {number} ({shown}): {error}"))?;
        }
        Ok(())
    }
}

/// What the steps of a file work with.
struct Stage {
    simulator: Option<Simulator>,
    port: u16,
    home: Home,
    names: BTreeMap<String, String>,
}

impl Stage {
    fn new() -> Self {
        let simulator = Simulator::start();
        let (port, home) = (simulator.port, Home::empty());
        let names = BTreeMap::from([
            ("PORT".to_owned(), port.to_string()),
            ("ORGKEY_HOME".to_owned(), home.path().display().to_string()),
        ]);
        Self { simulator: Some(simulator), port, home, names }
    }

    fn play(&mut self, step: &Step) -> Result<(), String> {
        let output = if let Some(args) = &step.args {
            self.run(step, args)?
        } else if let Some(SignIn { url, username }) = &step.sign_in {
            self.simulator.as_ref().unwrap().sign_in(&self.fill(url), username)
        } else if let Some(call) = &step.control {
            let body = if step.body.is_empty() { "{}" } else { &step.body };
            let body = serde_json::from_str(&self.fill(body)).unwrap();
            self.simulator.as_ref().unwrap().control(call, &body).to_string()
        } else if let Some(File { path, text, mode }) = &step.file {
            let path = self.home.outside().join(self.fill(path));
            std::fs::write(&path, self.fill(text)).unwrap();
            let mode = mode.as_deref().unwrap_or("600");
            set_mode(&path, u32::from_str_radix(mode, 8).unwrap());
            String::new()
        } else {
            self.simulator = None;
            if step.simulator.as_deref() == Some("start") {
                self.simulator = Some(Simulator::start_on(self.port));
            }
            String::new()
        };
        if let Some(name) = &step.capture {
            self.names.insert(name.clone(), output.trim().to_owned());
        }
        Ok(())
    }

    fn run(&self, step: &Step, args: &str) -> Result<String, String> {
        let words = words(args);
        let words: Vec<String> = words.iter().map(|word| self.fill(word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = self.home.command(&words);
        command.envs(step.env.iter().map(|(name, value)| (name, self.fill(value))));
        let ended = run(command, &self.fill(&step.stdin));
        self.compare(step, &ended).map_err(|what| format!("{what}\n{ended}"))?;
        Ok(ended.stdout)
    }

    fn compare(&self, step: &Step, ended: &Run) -> Result<(), String> {
        if step.status != ended.status {
            return Err(format!("status {} was expected", step.status));
        }
        let sides = [
            ("standard output", &step.stdout, &step.json, &ended.stdout),
            ("standard error", &step.stderr, &step.stderr_json, &ended.stderr),
        ];
        for (side, text, json, came) in sides {
            match json {
                Some(json) => {
                    let wanted: Value = serde_json::from_str(&self.fill(json)).unwrap();
                    let came = serde_json::from_str(came).map_err(|e| format!("{side}: {e}"))?;
                    same_json(&wanted, &came, "").map_err(|what| format!("{side}: {what}"))?;
                }
                None => same_text(&self.fill(text), came).map_err(|w| format!("{side}: {w}"))?,
            }
        }
        Ok(())
    }

    /// Puts in what the names stand for.
    fn fill(&self, text: &str) -> String {
        self.names
            .iter()
            .rev()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }
}

/// Splits a command line at blanks; double quotes keep them, and `$'..'` is not known.
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '"' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// Compares line by line.
fn same_text(wanted: &str, came: &str) -> Result<(), String> {
    let wanted: Vec<&str> = wanted.lines().collect();
    let came: Vec<&str> = came.lines().collect();
    if lines_match(&wanted, &came) { Ok(()) } else { Err("something else was expected".into()) }
}

fn lines_match(wanted: &[&str], came: &[&str]) -> bool {
    match wanted.split_first() {
        None => came.is_empty(),
        Some((&"[...]", rest)) => (0..=came.len()).any(|from| lines_match(rest, &came[from..])),
        Some((first, rest)) => came
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(wanted: &str, line: &str) -> bool {
    match wanted.split_once("[..]") {
        None => wanted == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_matches(after, &rest[at..]))
        }),
    }
}

/// Compares JSON: the same fields in the same order, and nothing more.
fn same_json(wanted: &Value, came: &Value, place: &str) -> Result<(), String> {
    match (wanted, came) {
        (Value::String(wanted), _) if wanted == "[..]" && !came.is_null() => Ok(()),
        (Value::String(wanted), Value::String(came)) if line_matches(wanted, came) => Ok(()),
        (Value::Object(wanted), Value::Object(came)) => {
            let (names, others): (Vec<_>, Vec<_>) =
                (wanted.keys().collect(), came.keys().collect());
            if names != others {
                return Err(format!("{place} has {others:?}, not {names:?}"));
            }
            wanted.iter().try_for_each(|(name, value)| {
                same_json(value, &came[name], &format!("{place}.{name}"))
            })
        }
        (Value::Array(wanted), Value::Array(came)) if wanted.len() == came.len() => {
            wanted.iter().zip(came).zip(0..).try_for_each(
                |((wanted, came), index): ((_, _), i32)| {
                    same_json(wanted, came, &format!("{place}[{index}]"))
                },
            )
        }
        _ if wanted == came => Ok(()),
        _ => Err(format!("{place} is {came}, not {wanted}")),
    }
}

#[test]
fn wildcards_stand_for_what_they_say_and_no_more() {
    let table = [
        ("a [..] c", "a b c", true),
        ("a [..] c", "a  c", true),
        ("a [..] c", "a b d", false),
        ("[...]\nz", "x\ny\nz", true),
        ("[...]\nz", "x\nz\ny", false),
        ("a", "a\nb", false),
        ("a\nb", "a", false),
        ("", "a", false),
    ];
    for (wanted, came, same) in table {
        assert_eq!(same_text(wanted, came).is_ok(), same, "{wanted:?} {came:?}");
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let table = [
        (r#"{"a":"[..]"}"#, r#"{"a":7}"#, true),
        (r#"{"a":"[..]"}"#, r#"{"a":null}"#, false),
        (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
        (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, false),
        (r#"{"a":"at [..]"}"#, r#"{"a":"at noon"}"#, true),
    ];
    for (wanted, came, same) in table {
        assert_eq!(same_json(&json(wanted), &json(came), "").is_ok(), same, "{wanted} {came}");
    }
    assert_eq!(words(r#"a "b c" """#), ["a", "b c", ""]);
}
