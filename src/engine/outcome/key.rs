//! What comes of changing the sealing key, and what can be said of it unopened.

use serde::{Deserialize, Serialize};

use super::RecipientReport;
use crate::domain::app::Flow;
use crate::domain::name::Address;
use crate::domain::time::UnixMillis;

/// A data key took the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRotation {
    /// ID of the data key from now on.
    pub(crate) key_id: String,
    /// Values that were sealed anew.
    pub(crate) resealed: u64,
    /// Values that no key opened, neither before nor now.
    pub(crate) unopened: u64,
    /// Whether a former key is still kept: an answer that waits in the inbox is sealed by it.
    pub(crate) former_kept: bool,
}

/// Who was removed, and what they could read until then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecipientRemoval {
    /// Who.
    pub(crate) removed: RecipientReport,
    /// Every credential that has a token.
    pub(crate) could_read: Vec<ReadableToken>,
    /// The apps whose client secret is kept here.
    pub(crate) apps: Vec<String>,
    /// The new key.
    pub(crate) rotation: KeyRotation,
}

/// A token that a removed recipient could read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReadableToken {
    /// Of which credential.
    pub(crate) address: Address,
    /// Its newest token set.
    pub(crate) generation: u64,
    /// How it was set up.
    pub(crate) flow: Flow,
}

/// What can be said of the sealing key without opening it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyFacts {
    /// ID of the data key; `None` while nothing is sealed.
    pub(crate) key_id: Option<String>,
    /// How many can open it.
    pub(crate) recipients: Option<u64>,
    /// When it was last rotated.
    pub(crate) rotated_at: Option<UnixMillis>,
}
