//! `orgkey token`, and how its line is read sooner than others.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use super::{Arguments, Command, Line, Named};
use crate::domain::time::parse_span;

/// `orgkey token`
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Which credential
    #[command(flatten)]
    pub(crate) named: Named,
    /// Life that the token must have left, e.g. 10m
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = parse_span)]
    pub(crate) min_ttl: std::time::Duration,
    /// Read a token that Salesforce rejected from standard input; if it is still the stored one, it is refreshed, once however many ask
    #[arg(long = "not", value_name = "-", value_parser = stdin_token)]
    pub(crate) rejected: Option<String>,
    /// Print the token even to a terminal
    #[arg(long)]
    pub(crate) reveal: bool,
}

/// The command that scripts run thousands of times a day, without the others: to build those would
/// take longer than to answer.
#[derive(Debug, Subcommand)]
enum TokenAlone {
    /// Print a valid access token
    Token(Token),
}

impl Arguments {
    /// Reads a command line, the program's name first.
    pub(crate) fn read(line: &[OsString]) -> Result<Self, clap::Error> {
        match Self::read_token(line) {
            Some(arguments) => Ok(arguments),
            None => Self::try_parse_from(line),
        }
    }

    /// Reads `orgkey token ...`, as it would be read beside the other commands; `None` where that
    /// has more to say than a token.
    fn read_token(line: &[OsString]) -> Option<Self> {
        if line.get(1)? != "token" {
            return None;
        }
        match Line::<TokenAlone>::try_parse_from(line) {
            Ok(Line { command: Some(TokenAlone::Token(token)), json }) => {
                Some(Self { command: Some(Command::Token(token)), json })
            }
            _ => None,
        }
    }
}

/// A secret is never an argument: other users of the host can read those.
fn stdin_token(text: &str) -> Result<String, String> {
    let pipe = "printf %s \"$TOKEN\" | orgkey token NAME --not -";
    (text == "-").then(|| text.to_owned()).ok_or_else(|| {
        format!(
            "the token comes from standard input, since arguments can be read by others: {pipe}"
        )
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words that a line with `token` can have, good and bad.
    const WORDS: [&str; 22] = [
        "token",
        "acme",
        "acme/sandbox",
        "acme/x",
        "list",
        "help",
        "--json",
        "--reveal",
        "--not",
        "-",
        "--not=-",
        "--min-ttl",
        "10m",
        "--min-ttl=1h",
        "soon",
        "--expect",
        "sandbox",
        "--expect=production",
        "--help",
        "--version",
        "--",
        "--reason",
    ];

    fn line(words: &[&str]) -> Vec<OsString> {
        ["orgkey"].iter().chain(words).map(OsString::from).collect()
    }

    /// Both ways to read a line say the same, or the short one says nothing.
    fn agrees(words: &[&str]) -> bool {
        let line = line(words);
        let Some(short) = Arguments::read_token(&line) else { return false };
        let whole = Arguments::try_parse_from(&line).unwrap();
        assert_eq!(format!("{short:?}"), format!("{whole:?}"), "{words:?}");
        true
    }

    #[test]
    fn token_is_read_without_the_other_commands_as_it_is_with_them() {
        let table: [(&[&str], bool); 9] = [
            (&["token", "acme"], true),
            (&["token", "acme/sandbox", "--json", "--min-ttl", "10m", "--not", "-"], true),
            (&["token", "--reveal", "acme", "--expect=sandbox"], true),
            (&["token", "--", "acme"], true),
            (&["--json", "token", "acme"], false),
            (&["token"], false),
            (&["token", "acme", "--help"], false),
            (&["token", "acme", "--min-ttl", "soon"], false),
            (&["list"], false),
        ];
        for (words, is_short) in table {
            assert_eq!(agrees(words), is_short, "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn any_words_behind_token_are_read_the_same_or_left_to_the_whole(
            rest in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..6),
        ) {
            agrees(&[&["token"][..], &rest].concat());
        }
    }
}
