//! Whether a store is the only one of its kind: a restored backup and a copy hold refresh tokens
//! that another store may have spent, or goes on to spend.

use serde::{Deserialize, Serialize};

use crate::domain::app::Rotation;
use crate::domain::time::UnixMillis;

/// What shows that a store may be a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CopySign {
    /// Another host used it last.
    OtherHost,
    /// It was restored from a backup.
    Restored,
    /// This host has spent tokens that the store knows nothing of.
    Older,
}

impl CopySign {
    /// The word in the store and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::OtherHost => "other_host",
            Self::Restored => "restored",
            Self::Older => "older",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::OtherHost, Self::Restored, Self::Older]
            .into_iter()
            .find(|sign| sign.as_str() == text)
    }

    /// What it says of the store.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::OtherHost => "it was last used on another host",
            Self::Restored => "it was restored from a backup",
            Self::Older => "it is older than what this host has refreshed",
        }
    }
}

/// The question that is open for the whole store: which copy goes on?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyQuestion {
    /// Since when.
    pub(crate) since: UnixMillis,
    /// Why.
    pub(crate) sign: CopySign,
}

/// Where the store went on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// Since when.
    pub(crate) at: UnixMillis,
    /// The file that it was moved to; empty when another copy goes on.
    pub(crate) to: String,
}

/// How a store stands to its copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyStanding {
    /// The open question.
    pub(crate) question: Option<CopyQuestion>,
    /// Set when this store refreshes no more.
    pub(crate) moved: Option<Moved>,
}

/// Whether two marks are of different hosts; an empty one says nothing.
pub(crate) fn is_other_host(mark: &str, here: &str) -> bool {
    !mark.is_empty() && !here.is_empty() && mark != here
}

/// Whether a refresh can make the token of a copy worthless. Where nobody knows, it can.
pub(crate) fn may_rotate(rotation: Rotation) -> bool {
    rotation != Rotation::No
}

/// What a backup was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackupPurpose {
    /// To be restored one day; the store goes on.
    Backup,
    /// To go on on another host; the store stays behind.
    Move,
}

impl BackupPurpose {
    /// The word in the file.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Move => "move",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Backup, Self::Move].into_iter().find(|purpose| purpose.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_known_marks_tell_hosts_apart() {
        assert!(is_other_host("a", "b"));
        for (mark, here) in [("a", "a"), ("", "b"), ("a", ""), ("", "")] {
            assert!(!is_other_host(mark, here), "{mark:?} {here:?}");
        }
    }
}
