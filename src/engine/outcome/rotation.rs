//! How a rotation went.

use serde::{Deserialize, Serialize};

use crate::domain::credential::CheckOutcome;
use crate::domain::name::Address;
use crate::domain::rotation::Draining;
use crate::domain::token::Generation;

/// How a credential is rotated, or why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RotationHow {
    /// By a refresh that brings another refresh token.
    Refresh,
    /// By a new sign-in.
    SignIn,
    /// It is on hold.
    OnHold,
    /// There is nothing to rotate.
    NoToken,
}

/// What became of the token that was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OldToken {
    /// Nothing: it is still the one in use.
    Kept,
    /// The refresh spent it.
    Spent,
    /// It works until its end.
    Draining(Draining),
    /// It is revoked at Salesforce.
    Revoked,
    /// Its revocation could not be delivered yet.
    Owed,
}

/// How a rotation went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RotationReport {
    /// Of which credential.
    pub(crate) address: Address,
    /// How it is done.
    pub(crate) how: RotationHow,
    /// How it ended: of the new token the access test.
    pub(crate) outcome: CheckOutcome,
    /// The token set in use now.
    pub(crate) generation: Option<Generation>,
    /// What became of the one before.
    pub(crate) old: OldToken,
    /// One line for people.
    pub(crate) message: String,
    /// What to do next; empty when nothing is to be done.
    pub(crate) remedy: String,
}
