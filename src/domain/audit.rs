//! The audit chain: what is recorded of a change, and how each row vouches for the one before.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::credential::Check;
use crate::domain::time::UnixMillis;

/// What changed. Closed, so that a report can count on the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditEvent {
    /// A credential was saved.
    CredentialSaved,
    /// A credential was edited.
    CredentialEdited,
    /// An edit was staged until the new account has signed in.
    EditStaged,
    /// A staged edit was dropped.
    EditDiscarded,
    /// Another credential of the connection is in use now.
    PutInUse,
    /// A credential was deleted.
    CredentialDeleted,
    /// A set-up was begun.
    SetupStarted,
    /// A set-up was given up.
    SetupAbandoned,
    /// An account signed in for a credential that is not saved; its token waits for a yes.
    AccountDiscovered,
    /// A token was received for the saved account.
    SignedIn,
    /// Another account signed in; nothing was stored.
    WrongAccount,
    /// A signed-in token passed its test and is in use.
    TokenPromoted,
    /// A signed-in token was dropped.
    CandidateDiscarded,
    /// The access token was refreshed.
    Refreshed,
    /// A refresh answered for another account; the token is kept, not served.
    RefreshedForeign,
    /// A refresh was overtaken by another process; the token is kept, not served.
    RefreshedLate,
    /// Salesforce refused the token for good.
    TokenRefused,
    /// A refresh was sent and its answer was lost.
    AnswerLost,
    /// A token was revoked at Salesforce.
    Revoked,
    /// A revocation could not be delivered yet.
    RevocationOwed,
    /// The sealing key was made.
    KeyCreated,
    /// One more age identity can open the sealing key.
    RecipientAdded,
    /// An app was added.
    AppAdded,
    /// An app was edited.
    AppEdited,
    /// An app was deleted.
    AppDeleted,
    /// The store may be a copy: the question is open.
    StoreCopied,
    /// This store goes on; the question, or the move, is ended.
    StoreAdopted,
    /// Another copy goes on, on this host or another.
    StoreMoved,
    /// A move was taken back, because its file was not made.
    MoveTakenBack,
    /// A backup was made.
    BackupMade,
    /// A backup took the place of what was here; joins both chains.
    StoreRestored,
    /// Nothing of a credential is handed out, refreshed or signed in.
    Held,
    /// A hold was ended.
    Released,
    /// The token sets of a credential are to be revoked, and are out of use here.
    RevocationBegun,
    /// Access tokens were handed out; one row for each counted record.
    HandedOut,
    /// The same, of a record that did not fit its hash any more: somebody edited it.
    HandOutAltered,
    /// A segment of the chain is closed.
    SegmentSealed,
    /// The remembered head is not in the chain: the end was cut off, or written anew.
    HeadMissing,
    /// Rows of hand-outs after the last durable row went with a crash of the machine.
    HandOutsLost,
    /// The sealing key is protected otherwise from now on.
    KeyProtected,
    /// A refresh that was asked for brought another refresh token.
    Rotated,
    /// A new data key seals from now on; its ID and those who can open it are told.
    KeyRotated,
    /// An age identity can't open the sealing key any more.
    RecipientRemoved,
    /// A round was begun.
    RoundStarted,
    /// A credential of a round was passed over, or that was taken back.
    RoundItemSkipped,
    /// A round was ended.
    RoundEnded,
}

impl AuditEvent {
    /// The word in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::CredentialSaved => "credential_saved",
            Self::CredentialEdited => "credential_edited",
            Self::EditStaged => "edit_staged",
            Self::EditDiscarded => "edit_discarded",
            Self::PutInUse => "put_in_use",
            Self::CredentialDeleted => "credential_deleted",
            Self::SetupStarted => "setup_started",
            Self::SetupAbandoned => "setup_abandoned",
            Self::AccountDiscovered => "account_discovered",
            Self::SignedIn => "signed_in",
            Self::WrongAccount => "wrong_account",
            Self::TokenPromoted => "token_promoted",
            Self::CandidateDiscarded => "candidate_discarded",
            Self::Refreshed => "refreshed",
            Self::RefreshedForeign => "refreshed_foreign",
            Self::RefreshedLate => "refreshed_late",
            Self::TokenRefused => "token_refused",
            Self::AnswerLost => "answer_lost",
            Self::Revoked => "revoked",
            Self::RevocationOwed => "revocation_owed",
            Self::KeyCreated => "key_created",
            Self::RecipientAdded => "recipient_added",
            Self::AppAdded => "app_added",
            Self::AppEdited => "app_edited",
            Self::AppDeleted => "app_deleted",
            Self::StoreCopied => "store_copied",
            Self::StoreAdopted => "store_adopted",
            Self::StoreMoved => "store_moved",
            Self::MoveTakenBack => "move_taken_back",
            Self::BackupMade => "backup_made",
            Self::StoreRestored => "store_restored",
            Self::Held => "held",
            Self::Released => "released",
            Self::RevocationBegun => "revocation_begun",
            Self::HandedOut => "handed_out",
            Self::HandOutAltered => "hand_out_altered",
            Self::SegmentSealed => "segment_sealed",
            Self::HeadMissing => "head_missing",
            Self::HandOutsLost => "hand_outs_lost",
            Self::KeyProtected => "key_protected",
            Self::Rotated => "rotated",
            Self::KeyRotated => "key_rotated",
            Self::RecipientRemoved => "recipient_removed",
            Self::RoundStarted => "round_started",
            Self::RoundItemSkipped => "round_item_skipped",
            Self::RoundEnded => "round_ended",
        }
    }
}

/// One row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    /// When.
    pub(crate) at: UnixMillis,
    /// What.
    pub(crate) event: AuditEvent,
    /// Of what: an address, or the name of an app.
    pub(crate) subject: String,
    /// Particulars in clear; never a secret.
    pub(crate) detail: String,
    /// The admin's own words, cleaned.
    pub(crate) reason: String,
    /// Who, as one JSON object.
    pub(crate) who: String,
}

impl AuditEntry {
    /// The hash of this row after the row with hash `previous`.
    pub(crate) fn hash(&self, previous: [u8; 32]) -> [u8; 32] {
        let texts = [self.event.as_str(), &self.subject, &self.detail, &self.reason, &self.who];
        row_hash(previous, self.at, texts.map(str::as_bytes))
    }
}

/// The hash of a row: SHA-256 over the hash of the row before it and its own fields (event, subject,
/// detail, reason, who), each with its length before it, so that no two rows read alike.
pub(crate) fn row_hash(previous: [u8; 32], at: UnixMillis, texts: [&[u8]; 5]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(at.0.to_be_bytes());
    for field in texts {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

/// One row as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRow {
    /// Its number; the first is 1.
    pub(crate) sequence: i64,
    /// When.
    pub(crate) at: UnixMillis,
    /// What, by its word; a newer version may have more of them.
    pub(crate) event: String,
    /// Of what.
    pub(crate) subject: String,
    /// Particulars.
    pub(crate) detail: String,
    /// The admin's own words.
    pub(crate) reason: String,
    /// Who, as one JSON object.
    pub(crate) who: String,
    /// Its hash, in hexadecimal.
    pub(crate) hash: String,
}

impl AuditRow {
    /// What happened, in words.
    pub(crate) fn words(&self) -> String {
        self.event.replace('_', " ")
    }

    /// How many access tokens it records as handed out.
    pub(crate) fn hand_outs(&self) -> Option<u64> {
        let is_hand_out = [AuditEvent::HandedOut, AuditEvent::HandOutAltered]
            .iter()
            .any(|event| event.as_str() == self.event);
        is_hand_out.then(|| self.detail.split(' ').next()?.parse().ok()).flatten()
    }
}

/// Something that happened to a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HistoryEntry {
    /// An access test, a refresh or a sign-in, and how it went.
    Check(Check),
    /// A row of the audit.
    Audit {
        /// The row.
        row: AuditRow,
        /// Who it was, in words.
        who: String,
    },
}

impl HistoryEntry {
    /// When.
    pub(crate) fn at(&self) -> UnixMillis {
        match self {
            Self::Check(check) => check.at,
            Self::Audit { row, .. } => row.at,
        }
    }
}

/// Which rows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditFilter {
    /// From then on.
    pub(crate) since: Option<UnixMillis>,
    /// Until then.
    pub(crate) until: Option<UnixMillis>,
    /// Of this address, of both environments of this name, or of this app.
    pub(crate) name: Option<String>,
    /// Of this kind, by its word.
    pub(crate) event: Option<String>,
    /// No more than so many, the newest.
    pub(crate) newest: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_and_the_row_before_count() {
        let entry = AuditEntry {
            at: UnixMillis(1),
            event: AuditEvent::Refreshed,
            subject: "ab".into(),
            detail: "c".into(),
            reason: String::new(),
            who: "{}".into(),
        };
        let hash = entry.hash([0; 32]);
        let variants = [
            AuditEntry { at: UnixMillis(2), ..entry.clone() },
            AuditEntry { event: AuditEvent::Revoked, ..entry.clone() },
            AuditEntry { subject: "a".into(), detail: "bc".into(), ..entry.clone() },
            AuditEntry { reason: "x".into(), ..entry.clone() },
            AuditEntry { who: "[]".into(), ..entry.clone() },
        ];
        for variant in variants {
            assert_ne!(variant.hash([0; 32]), hash, "{variant:?}");
        }
        assert_ne!(entry.hash([1; 32]), hash);
        assert_eq!(entry.hash([0; 32]), hash);
    }
}
