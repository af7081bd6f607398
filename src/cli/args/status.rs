//! Flags of `status`.

use clap::{Args, ValueEnum};

/// `orgkey status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Text for people, or the text format of Prometheus for a scraper
    #[arg(long, value_enum, default_value = "text", conflicts_with = "json")]
    pub(crate) format: StatusFormat,
}

/// How the counts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people.
    Text,
    /// Prometheus text exposition format.
    Prometheus,
}
