//! Flags of `report`.

use clap::{Args, ValueEnum};

use crate::domain::time::When;

/// `orgkey report`
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// From then on: a day in UTC (2026-10-01), a full time, or a span before now (90d)
    #[arg(long, value_name = "DATE", value_parser = when)]
    pub(crate) from: When,
    /// Until then, without it; now when left out
    #[arg(long, value_name = "DATE", value_parser = when)]
    pub(crate) to: Option<When>,
    /// Only credentials that have this tag now
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "md")]
    pub(crate) format: Format,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Markdown
    Md,
    /// Comma-separated values, the part of the report in the first column
    Csv,
    /// One JSON object, as with --json
    Json,
}

fn when(text: &str) -> Result<When, String> {
    When::parse(text).map_err(|error| error.to_string())
}
