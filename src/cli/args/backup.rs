//! Flags of `backup`, `restore`, `move` and `adopt`.

use std::path::PathBuf;

use clap::Args;

/// `orgkey backup`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// A new FILE; one that is there is never overwritten
    pub(crate) file: PathBuf,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey restore`
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A FILE that orgkey backup wrote
    pub(crate) file: PathBuf,
    /// The store's file name, where something is saved already; without a terminal there is no other way to confirm
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey move`
#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("where").required(true)))]
pub(crate) struct Move {
    /// Write a backup to a new FILE, to be adopted on another host once
    #[arg(long, value_name = "FILE", group = "where")]
    pub(crate) to: Option<PathBuf>,
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
    /// A FILE that orgkey move wrote on another host; without it, the store that is here
    pub(crate) file: Option<PathBuf>,
    /// The store's file name, where something is saved already or the store was moved away; without a terminal there is no other way to confirm
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
