//! The walls of the house: which module may name which, and what no file may hold.
//!
//! One crate has no walls of its own, so this test reads the sources as text. Comments, string
//! literals and test code are blanked first; what is left is code of the program. Every finding
//! names file and line.

#![expect(clippy::expect_used, reason = "a test that can't go on says why")]

#[path = "architecture/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::process::Command;

use source::code_of_program;

/// Every top module with the top modules that it may name besides itself.
const LAYERS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("platform", &["domain"]),
    ("config", &["domain"]),
    ("vault", &["domain"]),
    ("store", &["domain"]),
    ("oauth", &["domain"]),
    ("net", &["domain"]),
    ("engine", &["domain", "platform", "config", "vault", "store", "oauth", "net"]),
    ("agent", &["domain", "platform", "config", "engine"]),
    ("simulator", &["domain"]),
    // Front ends ask the engine; neither reaches around it to the stores or the network.
    ("tui", &["domain", "platform", "config", "engine"]),
    ("cli", &["domain", "platform", "config", "engine", "agent", "simulator", "tui"]),
];

/// Files in which a secret may be exposed, and what for.
const EXPOSES_SECRETS: [(&str, &str); 16] = [
    ("src/cli/bulk.rs", "standard input holds a table of IDs there"),
    ("src/cli/demo.rs", "the length of a token is shown"),
    ("src/cli/key.rs", "the recovery identity is shown once, for the safe"),
    ("src/cli/token.rs", "printing the access token is what the command is for"),
    ("src/engine/seal.rs", "what is sealed has to be read first"),
    ("src/engine/sensitive.rs", "two secrets are compared without telling where they differ"),
    ("src/engine/sign_in.rs", "the pasted address is read for its code"),
    ("src/net/client.rs", "tokens go into the header and the form body (RFC 6750 2.1)"),
    ("src/net/connection.rs", "a proxy's credentials go into its header (RFC 9110 11.7.1)"),
    ("src/oauth/authorization_code.rs", "the state is part of the address (RFC 6749 4.1.1)"),
    ("src/oauth/redirect.rs", "the state is compared (RFC 6749 10.12)"),
    ("src/oauth/token_response.rs", "the client secret is the key of the answer's signature"),
    ("src/tui/model/field.rs", "what was pasted into a field is read as its text"),
    ("src/vault/data_key.rs", "a token is hashed under a key, to recognise it"),
    ("src/vault/key_files.rs", "an empty passphrase is refused"),
    ("src/vault/key_text.rs", "the identity is what its file keeps"),
];

/// Words that the RFCs have another name for, or that the product calls otherwise.
const NOT_OUR_WORDS: [&str; 18] = [
    "auth server",
    "auth token",
    "authentication token",
    "certificate login",
    "idp",
    "local server",
    "log out",
    "login token",
    "logout",
    "nonce",
    "ping",
    "poll url",
    "profile",
    "renew",
    "security token",
    "session id",
    "validate",
    "wizard",
];

/// The one module that may hold `unsafe`.
const UNSAFE: &str = "src/platform/memory.rs";

/// Longest file, in lines.
const LONGEST_FILE: usize = 600;

/// Sources by their path from the top of the repository.
type Sources = BTreeMap<String, String>;

/// Something that may not be, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[test]
fn no_module_names_one_that_it_may_not_know() {
    assert_none(&upward_paths(&sources()));
}

#[test]
fn a_planted_upward_path_is_found_with_file_and_line() {
    let table = [
        ("src/domain/id.rs", "use crate::store::Store;", "domain names store"),
        ("src/oauth/refresh.rs", "use crate::{domain::http, net::HttpClient};", "oauth names net"),
        ("src/store/owner.rs", "fn x(_: super::super::vault::Key) {}", "super leaves store"),
        ("src/config/mod.rs", "use super::platform;", "super leaves config"),
        ("src/tui/mod.rs", "const _: fn() = || { let _ = crate::cli::run; };", "tui names cli"),
        ("src/simulator/page.rs", "use crate :: engine :: now;", "simulator names engine"),
        ("src/engine/mod.rs", "use crate::tui;", "engine names tui"),
        ("src/net/client.rs", "use crate::*;", "net names everything"),
    ];
    let clean = sources();
    for (file, planted, expected) in table {
        let mut copy = clean.clone();
        let text = copy.get_mut(file).unwrap_or_else(|| panic!("{file} is there"));
        text.insert_str(0, &format!("{planted}\n"));
        let found = upward_paths(&copy);
        assert!(
            found
                .iter()
                .any(|one| (one.file.as_str(), one.line) == (file, 1)
                    && one.what.starts_with(expected)),
            "{planted} in {file}: {found:?}"
        );
    }
}

#[test]
fn comments_literals_and_tests_may_name_anything() {
    let mut copy = sources();
    copy.insert(
        "src/domain/planted.rs".into(),
        r##"//! crate::engine
/* crate::cli /* crate::net */ crate::tui */
const A: &str = "crate::store \" crate::store";
const B: &str = r#"crate::vault " crate::vault"#;
const C: [char; 3] = ['"', '\'', '\\'];
fn life<'a>(x: &'a str) -> &'a str { x }
#[cfg(test)]
#[path = "x.rs"]
mod tests { use crate::engine::now; fn x() { let _ = "}"; } }
#[cfg(test)]
use crate::{engine::{now, Engine}, store};
"##
        .into(),
    );
    assert_eq!(upward_paths(&copy), []);
    copy.get_mut("src/domain/planted.rs").unwrap().push_str("use crate::engine::now;");
    let found = upward_paths(&copy);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].line, 12);
}

#[test]
fn every_top_module_is_listed_and_says_what_it_is() {
    let sources = sources();
    let listed: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = sources
        .keys()
        .filter_map(|path| path.strip_prefix("src/"))
        .map(|path| path.split('/').next().unwrap_or(path).trim_end_matches(".rs"))
        .filter(|name| !matches!(*name, "lib" | "main"))
        .collect();
    assert_eq!(found, listed, "the modules of src and those listed in this test");
    for (path, text) in &sources {
        assert!(text.starts_with("//! "), "{path}:1: begins with no header (//!)");
    }
}

#[test]
fn secrets_are_exposed_only_where_this_test_says_why() {
    let sources = sources();
    let mut found = BTreeSet::new();
    let mut elsewhere = Vec::new();
    for (file, code) in code_of_program(&sources) {
        let allowed = EXPOSES_SECRETS.iter().any(|(known, _)| *known == file);
        for (line, _) in lines_with(&code, |line| line.contains("expose_secret")) {
            found.insert(file.clone());
            if !allowed {
                let what = "exposes a secret; add the file to the list, with why".into();
                elsewhere.push(Finding { file: file.clone(), line, what });
            }
        }
    }
    assert_none(&elsewhere);
    let listed: BTreeSet<String> =
        EXPOSES_SECRETS.iter().map(|(file, _)| (*file).to_owned()).collect();
    let stale: Vec<_> =
        listed.difference(&found).filter(|file| sources.contains_key(*file)).collect();
    assert!(stale.is_empty(), "no longer expose a secret, take them off the list: {stale:?}");
}

#[test]
fn the_program_neither_panics_nor_prints_past_its_output() {
    let banned = [
        (".unwrap()", "unwrap"),
        (".expect(", "expect"),
        ("panic!(", "panic"),
        ("unreachable!(", "unreachable"),
        ("unimplemented!(", "unimplemented"),
        ("todo!(", "todo"),
        ("println!(", "prints past cli::output"),
        ("print!(", "prints past cli::output"),
        ("dbg!(", "dbg"),
        ("unsafe ", "unsafe"),
        ("#[allow(", "allow without a reason"),
        ("process::exit", "ends without destructors"),
    ];
    let mut found = Vec::new();
    for (file, code) in code_of_program(&sources()) {
        for (token, what) in banned {
            if what == "unsafe" && file == UNSAFE {
                continue;
            }
            for (line, _) in lines_with(&code, |line| line.contains(token)) {
                found.push(Finding { file: file.clone(), line, what: what.to_owned() });
            }
        }
    }
    assert_none(&found);
}

#[test]
fn the_pure_layer_waits_for_nothing_and_reads_no_clock() {
    let banned = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::env",
        "std::thread",
        "tokio",
        "reqwest",
        "rusqlite",
        "getrandom",
        ".await",
        "SystemTime",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
    ];
    let mut found = Vec::new();
    for (file, code) in code_of_program(&sources()) {
        if file.starts_with("src/domain/") || file.starts_with("src/oauth/") {
            for token in banned {
                for (line, _) in lines_with(&code, |line| line.contains(token)) {
                    let what = format!("{token} in a layer without input and output");
                    found.push(Finding { file: file.clone(), line, what });
                }
            }
        }
    }
    assert_none(&found);
}

#[test]
fn no_file_is_longer_than_its_idea() {
    let long = sources().into_iter().filter_map(|(file, text)| {
        let line = text.lines().count();
        let what = format!("longer than {LONGEST_FILE} lines; split it by idea");
        (line > LONGEST_FILE).then_some(Finding { file, line, what })
    });
    assert_none(&long.collect::<Vec<_>>());
}

#[test]
fn readme_and_help_use_the_words_of_the_rfcs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap_or_default();
    let mut texts = vec![("README.md".to_owned(), readme)];
    help(&mut Vec::new(), &mut texts);
    assert!(texts.len() > 15, "the help of {} commands was read", texts.len());
    let mut found = Vec::new();
    for (file, text) in &texts {
        for word in NOT_OUR_WORDS {
            for (line, _) in lines_with(text, |line| has_word(&line.to_lowercase(), word)) {
                let what = format!("says '{word}'");
                found.push(Finding { file: file.clone(), line, what });
            }
        }
    }
    assert_none(&found);
}

/// The help of a command and of all commands below it.
fn help(command: &mut Vec<String>, texts: &mut Vec<(String, String)>) {
    let output = Command::new(env!("CARGO_BIN_EXE_orgkey"))
        .args(&*command)
        .arg("--help")
        .output()
        .expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("the help is text");
    let below: Vec<String> = text
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect();
    texts.push((format!("orgkey {} --help", command.join(" ")), text));
    for name in below {
        command.push(name);
        help(command, texts);
        command.pop();
    }
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_letter = |character: char| character.is_alphanumeric();
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_letter) && !after.is_some_and(is_letter)
    })
}

fn assert_none(found: &[Finding]) {
    let list: Vec<String> = found.iter().map(Finding::to_string).collect();
    assert!(found.is_empty(), "\n{}\n", list.join("\n"));
}

fn lines_with(text: &str, is_meant: impl Fn(&str) -> bool) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| is_meant(line))
        .map(|(index, line)| (index + 1, line))
        .collect()
}

/// All sources of the program, tests included.
fn sources() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Sources::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder of the sources is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                let name = path.strip_prefix(root).expect("it lies below the top");
                sources.insert(name.to_str().expect("a plain name").to_owned(), text);
            }
        }
    }
    sources
}

/// Paths that name a module which the file's own may not know.
fn upward_paths(sources: &Sources) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, code) in code_of_program(sources) {
        let place = module_path(&file);
        let Some((top, allowed)) = LAYERS.iter().find(|(name, _)| place.first() == Some(name))
        else {
            continue;
        };
        let compact = Compact::new(&code);
        for (at, named) in compact.crate_paths() {
            if named != *top && !allowed.contains(&named.as_str()) {
                let what = match named.as_str() {
                    "*" => format!("{top} names everything"),
                    other => format!("{top} names {other}"),
                };
                found.push(Finding { file: file.clone(), line: compact.line_of(at), what });
            }
        }
        for (at, steps) in compact.super_chains() {
            if steps >= place.len() {
                let what = format!("super leaves {top}");
                found.push(Finding { file: file.clone(), line: compact.line_of(at), what });
            }
        }
    }
    found.sort();
    found
}

/// `src/engine/refresh.rs` is `engine`, `refresh`; `src/engine/mod.rs` is `engine`.
fn module_path(file: &str) -> Vec<&str> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    inner.split('/').filter(|part| *part != "mod").collect()
}

/// Code without blanks, with the line that each byte stood on.
struct Compact {
    text: String,
    lines: Vec<usize>,
}

impl Compact {
    fn new(code: &str) -> Self {
        let mut compact = Self { text: String::new(), lines: Vec::new() };
        for (index, line) in code.lines().enumerate() {
            for word in line.split_whitespace() {
                // A separator stays between two words, so that none is made of them.
                compact.text.push(' ');
                compact.text.push_str(word);
                compact.lines.resize(compact.text.len(), index + 1);
            }
        }
        for tight in ["::", "{", ",", "}", "*"] {
            compact.tighten(tight);
        }
        compact
    }

    /// Drops the separators around a token.
    fn tighten(&mut self, token: &str) {
        for spaced in [format!(" {token}"), format!("{token} ")] {
            while let Some(at) = self.text.find(&spaced) {
                let blank = if spaced.starts_with(' ') { at } else { at + token.len() };
                self.text.remove(blank);
                self.lines.remove(blank);
            }
        }
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines[at]
    }

    /// Names of the top modules that follow `crate::`, those of a group too.
    fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (at, start) in self.text.match_indices("crate::") {
            let rest = &self.text[at + start.len()..];
            let group = rest.strip_prefix('{').map(top_names);
            for (offset, name) in group.unwrap_or_else(|| vec![(0, first_name(rest))]) {
                found.push((at + offset, name));
            }
        }
        found
    }

    /// How many times `super::` stands in a row, wherever it begins.
    fn super_chains(&self) -> Vec<(usize, usize)> {
        let is_first = |at: usize| !self.text[..at].ends_with("super::");
        self.text
            .match_indices("super::")
            .filter(|(at, _)| is_first(*at))
            .map(|(at, step)| {
                let rest = &self.text[at..];
                let steps = (1..).take_while(|count| rest.starts_with(&step.repeat(*count)));
                (at, steps.count())
            })
            .collect()
    }
}

fn first_name(text: &str) -> String {
    if text.starts_with('*') {
        return "*".to_owned();
    }
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// The first name of every path in a group, whose opening brace was read.
fn top_names(group: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut at_start = true;
    for (at, character) in group.char_indices() {
        match character {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            '{' => depth += 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start => {
                names.push((at, first_name(&group[at..])));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}
