//! What other processes changed since the store was last looked at.

use serde::{Deserialize, Serialize};

use crate::domain::audit::AuditEvent;
use crate::domain::name::Address;

/// How far the store had come: the last row of the audit chain, and the last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeMark {
    /// Number of the audit row.
    pub(crate) audit: i64,
    /// Number of the check.
    pub(crate) check: i64,
}

/// What has to be read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Changes {
    /// These credentials, and nothing else of the list.
    Of(Vec<Address>),
    /// Anything.
    Any,
}

/// Whether an audit event changes no more than what is shown of the credential that it names. What
/// adds, removes or renames one changes the list, and what is about no credential may change
/// anything.
pub(crate) fn is_of_one_credential(event: &str) -> bool {
    use AuditEvent as Event;
    [
        Event::SetupStarted,
        Event::SetupAbandoned,
        Event::SignedIn,
        Event::WrongAccount,
        Event::TokenPromoted,
        Event::CandidateDiscarded,
        Event::Refreshed,
        Event::RefreshedForeign,
        Event::RefreshedLate,
        Event::TokenRefused,
        Event::AnswerLost,
        Event::Revoked,
        Event::RevocationOwed,
        Event::RevocationBegun,
        Event::Rotated,
        Event::Held,
        Event::Released,
        Event::EditStaged,
        Event::EditDiscarded,
    ]
    .iter()
    .any(|known| known.as_str() == event)
}

/// Whether an audit event changes nothing that a list shows.
pub(crate) fn is_of_no_list(event: &str) -> bool {
    [AuditEvent::HandedOut, AuditEvent::SegmentSealed].iter().any(|known| known.as_str() == event)
}
