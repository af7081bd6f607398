//! What can be asked of a round.

use serde::{Deserialize, Serialize};

use crate::domain::name::Address;
use crate::domain::round::RoundPurpose;

/// A round to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartRound {
    /// What it is for.
    pub(crate) purpose: RoundPurpose,
    /// Which credentials, in any order.
    pub(crate) addresses: Vec<Address>,
    /// How they were chosen, as the admin wrote it.
    pub(crate) chosen_by: String,
    /// Show the worklist, and begin nothing.
    pub(crate) dry_run: bool,
    /// For the audit, and for whoever goes on with it.
    pub(crate) reason: Option<String>,
}

/// A credential to be passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SkipInRound {
    /// Which.
    pub(crate) address: Address,
    /// Why; `None` takes it back.
    pub(crate) note: Option<String>,
}
