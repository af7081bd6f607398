//! Flags of `audit`.

use clap::{Args, Subcommand};

use crate::domain::chain::Head;
use crate::domain::time::When;

/// `orgkey audit`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    /// What to do with the chain; without it its rows are printed
    #[command(subcommand)]
    pub(crate) check: Option<AuditCheck>,
    /// From then on: a span (12h, 30d), a day in UTC (2026-11-25), or a full time
    #[arg(long, value_name = "SPAN|DATE", value_parser = when)]
    pub(crate) since: Option<When>,
    /// Of this NAME, NAME/production, NAME/sandbox, or app alone
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Of this event alone, e.g. refreshed, revoked, "handed out"
    #[arg(long, value_name = "WORD", value_parser = event)]
    pub(crate) event: Option<String>,
    /// Only the newest N rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// A second line with the particulars of each row
    #[arg(long)]
    pub(crate) long: bool,
}

/// What can be done with the chain.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCheck {
    /// Recompute the chain of hashes, and say what was edited, removed, inserted or cut off (exit 9)
    ///
    /// The end is compared with audit.head, which orgkey keeps beside the store. Whoever can write
    /// both can forge both: a head that was noted elsewhere before can't be forged.
    Verify {
        /// A head that orgkey audit head printed before: it has to be in the chain
        #[arg(long, value_name = "SEQUENCE:HASH", value_parser = head)]
        head: Option<Head>,
    },
    /// Print the number and the hash of the last row, for noting elsewhere
    Head,
}

fn when(text: &str) -> Result<When, String> {
    When::parse(text).map_err(|error| error.to_string())
}

/// An event is one word in the store; people read it as several.
fn event(text: &str) -> Result<String, String> {
    let word = text.trim().to_ascii_lowercase().replace([' ', '-'], "_");
    let is_word =
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word).ok_or_else(|| "an event is a word, e.g. token_promoted".to_owned())
}

fn head(text: &str) -> Result<Head, String> {
    Head::parse(text).ok_or_else(|| {
        "a head is SEQUENCE:HASH, as orgkey audit head prints it: a number and 64 hexadecimal digits"
            .to_owned()
    })
}
