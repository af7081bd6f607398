//! Flags of `backup`, `restore`, `move` and `adopt`.

use clap::Args;

/// `orgkey move`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("where").required(true)))]
pub(crate) struct Move {
    /// Say that another copy of this store goes on, on this host or another
    #[arg(long, group = "where")]
    pub(crate) elsewhere: bool,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey adopt`
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
