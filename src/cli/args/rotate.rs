//! Flags of `rotate`.

use clap::Args;

use super::Many;
use crate::domain::time::parse_span;

/// `orgkey rotate`
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Which credentials
    #[command(flatten)]
    pub(crate) many: Many,
    /// How long a token that is replaced by a sign-in works on at most, e.g. 30m; 0s revokes it at once
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    pub(crate) drain: Option<std::time::Duration>,
    /// Say how each would be rotated, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
