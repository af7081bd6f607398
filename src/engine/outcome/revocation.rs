//! What became of tokens that are not to live on.

use serde::{Deserialize, Serialize};

use crate::domain::name::Address;
use crate::domain::policy::Account;
use crate::domain::time::UnixMillis;

/// What happened to a token at Salesforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Revocation {
    /// There was none to revoke.
    NothingToRevoke,
    /// Salesforce confirmed it.
    Confirmed,
    /// It could not be delivered; it is kept and tried again.
    Owed,
    /// It still serves someone and is revoked later.
    Draining,
}

impl Revocation {
    /// What became of a token that came and was not wanted.
    pub(crate) fn of_new_token(self) -> &'static str {
        match self {
            Self::Confirmed => "the new token was revoked at Salesforce",
            Self::NothingToRevoke => "there was no token to revoke",
            Self::Owed | Self::Draining => {
                "the new token could not be revoked yet, that is tried again"
            }
        }
    }
}

/// How certain it is that a revoked token is dead; the least certain comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proof {
    /// A call with its access token was refused afterwards.
    Refused,
    /// Salesforce said so; it could not be tried.
    Answered,
    /// Its access token still passed afterwards: that lives until its session ends.
    StillServed,
}

/// What became of a credential's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevokeReceipt {
    /// Of which credential.
    pub(crate) address: Address,
    /// What happened to its tokens.
    pub(crate) revocation: Revocation,
    /// How certain that is; `None` where nothing was revoked.
    pub(crate) proof: Option<Proof>,
    /// How many token sets there were.
    pub(crate) token_sets: u64,
    /// Name of the app: where all of its tokens can be blocked.
    pub(crate) app: String,
    /// What else has to be known; empty where nothing has.
    pub(crate) message: String,
}

/// A revocation that could not be delivered yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwedReport {
    /// The credential that it was for; it may be gone.
    pub(crate) address: Address,
    /// Whose token it is; `None` where a broken answer did not say.
    pub(crate) account: Option<Account>,
    /// Where it is to be revoked.
    pub(crate) host: String,
    /// Since when.
    pub(crate) since: UnixMillis,
    /// Until when it waits for a yes that would take it back; `None` where it is tried.
    pub(crate) waits_until: Option<UnixMillis>,
    /// How often it was tried in vain.
    pub(crate) attempts: u64,
    /// What came of the last try; empty before the first.
    pub(crate) last_error: String,
}

/// What was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeleteReceipt {
    /// Its address.
    pub(crate) address: Address,
    /// What happened to its token.
    pub(crate) revocation: Revocation,
    /// How certain that is; `None` where nothing was revoked.
    pub(crate) proof: Option<Proof>,
    /// What else has to be known; empty where nothing has.
    pub(crate) message: String,
}
