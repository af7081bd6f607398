//! Flags that choose one credential, several, or all that a filter lets pass.

use clap::Args;

use super::{environment, target};
use crate::domain::filter::Filter;
use crate::domain::name::{Environment, Target};

/// Which credentials.
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub(crate) struct Many {
    /// NAMEs of connections, or NAME/production, NAME/sandbox
    #[arg(value_name = "NAME", value_parser = target, group = "which")]
    pub(crate) targets: Vec<Target>,
    /// All of them
    #[arg(long, conflicts_with = "targets", group = "which")]
    pub(crate) all: bool,
    /// Those that pass, e.g. 'env:prod tag:eu !acme'; the words of the dashboard's filter
    #[arg(long, value_name = "FILTER", value_parser = Filter::parse_strictly, conflicts_with = "targets", group = "which")]
    pub(crate) filter: Option<Filter>,
    /// Refuse (exit 6) a credential of the other environment; with --all and --filter leave it out
    #[arg(long, value_name = "ENVIRONMENT", value_parser = environment)]
    pub(crate) expect: Option<Environment>,
}
