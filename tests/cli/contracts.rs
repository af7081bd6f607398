//! The contract files hold, and between them they show every command and every flag.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::common::Home;
use crate::contract::{Contract, words};

fn files() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/contracts");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_contract_holds() {
    let files = files();
    assert!(files.len() > 10, "the contract files are found");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            files.iter().map(|file| (file, scope.spawn(|| Contract::read(file).check()))).collect();
        let ended = running.into_iter().map(|(file, thread)| (file, thread.join()));
        let wrong = ended.filter_map(|(file, result)| match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{}: {error}", file.display())),
            Err(_) => Some(format!("{}: panicked", file.display())),
        });
        wrong.collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Commands and their flags as the help has them: `app add`, `--client-id`.
fn commands_and_flags(home: &Home, command: &[&str]) -> Vec<(String, String)> {
    let help = home.orgkey(&[command, &["--help"]].concat()).ok().stdout;
    let mut found = Vec::new();
    let mut in_commands = false;
    for line in help.lines() {
        in_commands = line.starts_with("Commands:") || (in_commands && line.starts_with("  "));
        let Some(word) = line.split_whitespace().next() else { continue };
        if in_commands && line.starts_with("  ") && !line.starts_with("   ") && word != "help" {
            found.extend(commands_and_flags(home, &[command, &[word]].concat()));
        }
        let flag = line.split([' ', ',']).find(|word| word.starts_with("--"));
        if let Some(flag) = flag.filter(|_| line.starts_with("  -") || line.starts_with("      --"))
        {
            found.push((command.join(" "), flag.to_owned()));
        }
    }
    found.push((command.join(" "), String::new()));
    found
}

#[test]
fn every_command_and_flag_is_in_a_contract() {
    let shown: Vec<Vec<String>> = files()
        .iter()
        .flat_map(|file| Contract::read(file).step)
        .filter_map(|step| step.args.as_deref().map(words))
        .collect();
    // They serve until a signal, or are a walk of their own, or print no JSON; --help is what was
    // read here.
    let elsewhere = |command: &str, flag: &str| {
        ["simulate", "demo"].contains(&command)
            || (["completions", "man"].contains(&command) && flag == "--json")
            || flag == "--help"
    };
    let all: BTreeSet<_> = commands_and_flags(&Home::empty(), &[]).into_iter().collect();
    let missing: Vec<_> = all
        .into_iter()
        .filter(|(command, flag)| !elsewhere(command, flag))
        .filter(|(command, flag)| {
            !shown.iter().any(|words| {
                words.join(" ").starts_with(command.as_str())
                    && (flag.is_empty() || words.contains(flag))
            })
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
