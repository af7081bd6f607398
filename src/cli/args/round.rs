//! Flags of `round`.

use clap::{Args, Subcommand};

use super::setup::flow;
use super::{Many, Named};
use crate::domain::app::Flow;
use crate::domain::round::RoundPurpose;

/// `orgkey round`
#[derive(Debug, Subcommand)]
pub(crate) enum Round {
    /// Begin a round with a worklist of those that need a sign-in
    ///
    /// What needs nobody runs at once. Then the sign-ins come one after another, grouped by who signs
    /// in; without a terminal, round next --start gives their addresses. Exit code 3 means that some wait for
    /// a person.
    Start(RoundStart),
    /// Go on with it: one sign-in after another
    ///
    /// In place of the address, s passes one over and q leaves the round; whoever runs this next goes on
    /// there. With the last one the round ends and its receipt is printed.
    Next(RoundNext),
    /// Pass one over, with a note, or take that back
    Skip(RoundSkip),
    /// Show where the round stands, or how the last one ended
    Show,
    /// End it and print its receipt; what is left stays as it is
    End {
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// `orgkey round start`
#[derive(Debug, Args)]
pub(crate) struct RoundStart {
    /// Which credentials
    #[command(flatten)]
    pub(crate) many: Many,
    /// setup: those whose token does not work; rotate: those whose token works; a NAME is taken as it is
    #[arg(long, value_name = "setup|rotate", value_parser = purpose)]
    pub(crate) why: RoundPurpose,
    /// Print the worklist, and begin nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the audit and for whoever goes on
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey round next`
#[derive(Debug, Args)]
pub(crate) struct RoundNext {
    /// Print the address of the next sign-in alone; orgkey setup NAME --finish - completes it
    #[arg(long)]
    pub(crate) start: bool,
    /// How tokens are set up
    #[arg(long, value_name = "FLOW", value_parser = flow)]
    pub(crate) flow: Option<Flow>,
    /// How long a token that is replaced works on at most, e.g. 30m; 0s revokes it at once
    #[arg(long, value_name = "SPAN", value_parser = crate::domain::time::parse_span)]
    pub(crate) drain: Option<std::time::Duration>,
}

/// `orgkey round skip`
#[derive(Debug, Args)]
pub(crate) struct RoundSkip {
    /// Which credential
    #[command(flatten)]
    pub(crate) named: Named,
    /// Why; the receipt says it
    #[arg(long, value_name = "TEXT", required_unless_present = "undo")]
    pub(crate) note: Option<String>,
    /// Take it back
    #[arg(long, conflicts_with = "note")]
    pub(crate) undo: bool,
}

fn purpose(typed: &str) -> Result<RoundPurpose, String> {
    RoundPurpose::parse(typed).ok_or_else(|| "say setup or rotate".into())
}
