//! Who signed in for a credential that is not saved yet.

use serde::{Deserialize, Serialize};

use crate::domain::app::Flow;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::name::Address;
use crate::domain::policy::Account;
use crate::domain::time::UnixMillis;

/// A sign-in that waits for the person, whoever that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiscoveryStarted {
    /// What the credential is to be called.
    pub(crate) address: Address,
    /// How.
    pub(crate) flow: Flow,
    /// What to open in a browser, whole.
    pub(crate) url: String,
    /// Where the browser ends.
    pub(crate) redirect_uri: String,
    /// When it was begun.
    pub(crate) started_at: UnixMillis,
    /// When it is worth nothing any more.
    pub(crate) expires_at: UnixMillis,
}

/// What Salesforce answered to a sign-in whose IDs nobody had entered. Nothing is saved yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Discovered {
    /// What it would be saved as.
    pub(crate) address: Address,
    /// Who signed in.
    pub(crate) account: Account,
    /// Its username, where Salesforce said it.
    pub(crate) username: Option<String>,
    /// Where it signs in.
    pub(crate) login_url: LoginUrl,
    /// Where its token works.
    pub(crate) instance_url: InstanceUrl,
    /// Name of the app.
    pub(crate) app: String,
    /// Whether the host or the org itself said that it is of that environment.
    pub(crate) environment_proven: bool,
    /// Without a yes until then the token is revoked.
    pub(crate) waits_until: UnixMillis,
}
