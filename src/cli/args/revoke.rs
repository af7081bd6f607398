//! Flags of `revoke`, `hold` and `release`.

use clap::Args;

use super::Many;

/// `orgkey revoke`
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Which credentials
    #[command(flatten)]
    pub(crate) many: Many,
    /// Try the revocations again that could not be delivered yet
    #[arg(long, group = "which", conflicts_with_all = ["targets", "all", "filter", "expect", "dry_run", "confirm", "reason"])]
    pub(crate) owed: bool,
    /// Say what would be revoked, and revoke nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The NAME once more, or of several how many there are (--dry-run tells); without a terminal there is no other way to confirm
    #[arg(long, value_name = "NAME|COUNT")]
    pub(crate) confirm: Option<String>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `orgkey hold`
#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// Which credentials
    #[command(flatten)]
    pub(crate) many: Many,
    /// Why: shown to whoever is stopped by it, and for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

/// `orgkey release`
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// Which credentials
    #[command(flatten)]
    pub(crate) many: Many,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}
