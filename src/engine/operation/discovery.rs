//! What can be asked of a sign-in that tells the IDs of a credential.

use serde::{Deserialize, Serialize};

use crate::domain::app::Flow;
use crate::domain::policy::Account;
use crate::engine::operation::Selection;
use crate::engine::sensitive::Sensitive;

/// How to begin one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginDiscovery {
    /// What the credential is to be called; where its environment is left open, the box or the host
    /// says it.
    pub(crate) selection: Selection,
    /// The box 'Use salesforce.com Sandbox'.
    pub(crate) sandbox: bool,
    /// My Domain URL of the org.
    pub(crate) login_url: String,
    /// Name of the app; `default` when empty.
    pub(crate) app: Option<String>,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
    /// `None` is paste.
    pub(crate) flow: Option<Flow>,
}

/// What the browser ended at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompleteDiscovery {
    /// Which sign-in.
    pub(crate) selection: Selection,
    /// The pasted redirect URL or code.
    pub(crate) pasted: Sensitive,
}

/// A yes to what was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfirmDiscovery {
    /// Which sign-in.
    pub(crate) selection: Selection,
    /// The IDs that were shown: no others are saved.
    pub(crate) account: Account,
}
