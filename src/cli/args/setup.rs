//! The flags of `setup`.

use clap::Args;

use crate::domain::app::Flow;
use crate::domain::id::{OrgId, UserId};
use crate::domain::policy::Account;
use crate::domain::time::parse_span;

use super::Named;

/// What completes a pending sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The address on standard input.
    Address,
    /// The approval of a device flow.
    Approval,
}

/// `orgkey setup`
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Which credential
    #[command(flatten)]
    pub(crate) named: Named,
    /// How to sign in: 'paste'; 'loopback', where the answer comes back by itself; or 'device', where the app allows it
    #[arg(long, value_parser = flow)]
    pub(crate) flow: Option<Flow>,
    /// Print the address to open, alone on standard output, and keep the sign-in pending
    #[arg(long, conflicts_with = "finish")]
    pub(crate) start: bool,
    /// Complete a pending sign-in: '-' reads the address that the browser ended at from standard input; without it, wait for the approval of a device flow
    #[arg(long, value_name = "-", value_parser = finish, num_args = 0..=1, default_missing_value = "")]
    pub(crate) finish: Option<Finish>,
    /// How long the token that is replaced works on at most, e.g. 30m; 0s revokes it at once
    #[arg(long, value_name = "SPAN", value_parser = parse_span, conflicts_with_all = ["finish", "cancel"])]
    pub(crate) drain: Option<std::time::Duration>,
    /// Give up the pending sign-in
    #[arg(long, conflicts_with_all = ["start", "finish"])]
    pub(crate) cancel: bool,
    /// Where the IDs are not at hand: sign in first, then save what Salesforce answers
    #[arg(long, conflicts_with = "drain")]
    pub(crate) discover: bool,
    /// What of the credential is known before
    #[command(flatten)]
    pub(crate) draft: Draft,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// What goes with `setup --discover`.
#[derive(Debug, Args)]
pub(crate) struct Draft {
    /// My Domain URL of the org, e.g. <https://acme.my.salesforce.com>
    #[arg(long, alias = "login-url", value_name = "URL", requires = "discover")]
    pub(crate) my_domain: Option<String>,
    /// Use salesforce.com Sandbox; left out, the host says it, or it is production
    #[arg(long, requires = "discover")]
    pub(crate) sandbox: bool,
    /// Name of the app; 'default' when left out
    #[arg(long, requires = "discover")]
    pub(crate) app: Option<String>,
    /// A tag; may be given more than once
    #[arg(long = "tag", value_name = "TAG", requires = "discover")]
    pub(crate) tags: Vec<String>,
    /// Save the IDs that were shown, as a y on the terminal does
    #[arg(long, value_name = "ORG_ID/USER_ID", value_parser = account, requires = "discover", conflicts_with_all = ["start", "finish", "cancel", "my_domain", "sandbox", "app", "tags"])]
    pub(crate) confirm: Option<Account>,
}

pub(super) fn flow(text: &str) -> Result<Flow, String> {
    Flow::parse(text)
        .filter(|flow| matches!(flow, Flow::Paste | Flow::Loopback | Flow::Device))
        .ok_or_else(|| "this version sets up tokens by paste, loopback or device".to_owned())
}

/// A secret is never an argument: other users of the host can read those.
fn finish(text: &str) -> Result<Finish, String> {
    let pipe = "printf %s 'ADDRESS' | orgkey setup NAME --finish -";
    let found = match text {
        "" => Some(Finish::Approval),
        "-" => Some(Finish::Address),
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "the address comes from standard input, since arguments can be read by others: {pipe}"
        )
    })
}

fn account(text: &str) -> Result<Account, String> {
    let (org, user) = text.split_once('/').ok_or_else(|| {
        "write the Org ID and the User ID that were shown, with a slash between".to_owned()
    })?;
    Ok(Account {
        org_id: OrgId::parse(org).map_err(|error| error.to_string())?,
        user_id: UserId::parse(user).map_err(|error| error.to_string())?,
    })
}
