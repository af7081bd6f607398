//! What can be asked of the engine. Plain data without handles, so that it can cross a socket.

mod discovery;
mod round;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::app::{Flow, Rotation};
use crate::domain::audit::AuditFilter;
use crate::domain::chain::Head;
use crate::domain::change::ChangeMark;
use crate::domain::name::{Address, ConnectionName, Environment, Target};
use crate::engine::sensitive::Sensitive;
pub(crate) use discovery::{BeginDiscovery, CompleteDiscovery, ConfirmDiscovery};
pub(crate) use round::{SkipInRound, StartRound};

/// Everything that dashboard and commands can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Operation {
    /// All credentials, by name. Answers [`super::Outcome::Credentials`].
    List,
    /// All credentials, by address, packed. Answers [`super::Outcome::Index`]; of very many the
    /// first rows are told before.
    Index,
    /// One credential. Answers [`super::Outcome::Credential`].
    Show(Selection),
    /// The checks of one credential, newest first. Answers [`super::Outcome::History`].
    History(Selection),
    /// Save new credentials: all of them or none. Answers [`super::Outcome::Credentials`].
    Save(Vec<SaveRequest>),
    /// Edit without clearing; an edit of the account is staged while a token lives.
    /// Answers [`super::Outcome::Credential`].
    Reset(ResetRequest),
    /// Drop a staged edit. Answers [`super::Outcome::Credential`].
    DiscardPending(Selection),
    /// Make this the credential that the plain name means. Answers [`super::Outcome::Credential`].
    Use(Address),
    /// Revoke at Salesforce, then remove here. Answers [`super::Outcome::Deleted`].
    Delete(DeleteRequest),
    /// Begin to set up tokens. Answers [`super::Outcome::AuthorizationStarted`].
    BeginSetup(BeginSetup),
    /// What the browser ended at. Answers [`super::Outcome::SetupCompleted`].
    CompleteSetup(CompleteSetup),
    /// Show a pending set-up again. Answers [`super::Outcome::AuthorizationStarted`].
    ShowSetup(Selection),
    /// Give up a pending set-up. Answers [`super::Outcome::Credential`].
    AbandonSetup(Selection),
    /// One real call with the token. Answers [`super::Outcome::Tested`].
    Test(Selection),
    /// A valid access token, refreshed first if need be. Answers [`super::Outcome::Token`].
    Token(TokenRequest),
    /// All apps. Answers [`super::Outcome::Apps`].
    Apps,
    /// Add apps: all of them or none. Answers [`super::Outcome::Apps`] with those.
    AddApps(Vec<AppRequest>),
    /// Change an app; what is `None` stays. Answers [`super::Outcome::Apps`] with that one.
    EditApp(AppRequest),
    /// Remove an app that no credential uses. Answers [`super::Outcome::Done`].
    DeleteApp(String),
    /// What can be said of an app without a sign-in. Answers [`super::Outcome::AppTested`].
    TestApp(String),
    /// How the sealing key is protected and whether it is open. Answers [`super::Outcome::Key`].
    KeyStatus,
    /// Make the sealing key. Answers [`super::Outcome::Key`].
    CreateKey(CreateKey),
    /// Open the sealing key with its passphrase. Answers [`super::Outcome::Key`].
    OpenKey(Sensitive),
    /// Keep the key under another passphrase, or bare. Answers [`super::Outcome::Key`].
    ProtectKey(Option<Sensitive>),
    /// Whom the key is encrypted to. Answers [`super::Outcome::Recipients`].
    Recipients,
    /// Let one more age identity open the key. Answers [`super::Outcome::Recipients`].
    AddRecipient(AddRecipient),
    /// Forget the opened key. Answers [`super::Outcome::Key`].
    LockKey,
    /// Write a backup. Answers [`super::Outcome::BackedUp`].
    Backup(BackupRequest),
    /// Restore a backup. Answers [`super::Outcome::Restored`].
    Restore(RestoreRequest),
    /// Write a backup for another host, where the store goes on. Answers
    /// [`super::Outcome::Moved`].
    MoveTo(BackupRequest),
    /// Whether the store may be a copy. Answers [`super::Outcome::CopyStanding`].
    CopyStanding,
    /// This copy goes on, on this host; with the reason for the audit. Answers
    /// [`super::Outcome::Adopted`].
    Adopt(Option<String>),
    /// Another copy goes on, and this one refreshes no more; with the reason for the audit. Answers
    /// [`super::Outcome::CopyStanding`].
    LeaveToCopy(Option<String>),
    /// Whether store, copies, apps and sealing key are as they should be. Answers
    /// [`super::Outcome::Examined`].
    Examine,
    /// Whether the hosts of Salesforce are reached, without any token. Answers
    /// [`super::Outcome::Examined`].
    ExamineHosts,
    /// The hosts that a firewall has to let through. Answers [`super::Outcome::Hosts`].
    Hosts,
    /// Hand out, refresh and sign in nothing of these. Answers [`super::Outcome::Credentials`].
    Hold(HoldRequest),
    /// End the hold of these. Answers [`super::Outcome::Credentials`].
    Release(HoldRequest),
    /// Revoke every token of a credential at Salesforce, and keep what is saved. Answers
    /// [`super::Outcome::Revoked`].
    Revoke(RevokeRequest),
    /// The revocations that could not be delivered yet. Answers [`super::Outcome::Owed`].
    Owed,
    /// Try each of them again. Answers [`super::Outcome::Owed`] with what is left.
    PayOwed,
    /// A page of audit rows, oldest first. Answers [`super::Outcome::AuditRows`].
    Audit(AuditRequest),
    /// The end of the audit chain. Answers [`super::Outcome::AuditHead`].
    AuditHead,
    /// Recompute the audit chain; it has to hold this head, where one was noted. Answers
    /// [`super::Outcome::AuditVerified`].
    VerifyAudit(Option<Head>),
    /// The operation, with the admin's own words for each audit row that it writes. Answers what it
    /// answers.
    WithReason(String, Box<Operation>),
    /// Rotate with no downtime, or say who has to sign in. Answers [`super::Outcome::Rotated`].
    Rotate(RotateRequest),
    /// Wait for the approval of a pending device flow, polling where nobody does yet. Answers
    /// [`super::Outcome::SetupCompleted`].
    AwaitApproval(Selection),
    /// Wait for the redirect of a pending set-up by loopback; whoever stops waiting changes
    /// nothing. Answers [`super::Outcome::SetupCompleted`], also where a paste was faster.
    AwaitRedirect(Selection),
    /// A new data key, and every value sealed anew; with the reason for the audit. Answers
    /// [`super::Outcome::KeyRotated`].
    RotateKey(Option<String>),
    /// Keep an age identity from opening the key; rotates the key. Answers
    /// [`super::Outcome::RecipientRemoved`].
    RemoveRecipient(RemoveRecipient),
    /// What can be said of the key without opening it. Answers [`super::Outcome::KeyFacts`].
    KeyFacts,
    /// Begin a round of sign-ins. Answers [`super::Outcome::Round`].
    StartRound(StartRound),
    /// Where the open round stands, or how the last one ended. Answers [`super::Outcome::Round`].
    Round,
    /// Pass a credential of the open round over. Answers [`super::Outcome::Round`].
    SkipInRound(SkipInRound),
    /// End the open round. Answers [`super::Outcome::Round`] with its receipt.
    EndRound,
    /// How far the store has come, or with that wait for the next change by whomever. Answers
    /// [`super::Outcome::Changed`].
    AwaitChange(Option<ChangeMark>),
    /// Begin a sign-in that tells the IDs of a credential that is not saved yet. Answers
    /// [`super::Outcome::DiscoveryStarted`], or [`super::Outcome::Discovered`] where somebody signed
    /// in already.
    BeginDiscovery(BeginDiscovery),
    /// What the browser ended at. Answers [`super::Outcome::Discovered`].
    CompleteDiscovery(CompleteDiscovery),
    /// Show such a sign-in again. Answers [`super::Outcome::DiscoveryStarted`], or
    /// [`super::Outcome::Discovered`] where somebody signed in.
    ShowDiscovery(Selection),
    /// Wait for the redirect of one by loopback; whoever stops waiting changes nothing. Answers
    /// [`super::Outcome::Discovered`].
    AwaitDiscovery(Selection),
    /// Save the credential with the IDs that were shown, and set up its token. Answers
    /// [`super::Outcome::SetupCompleted`].
    ConfirmDiscovery(ConfirmDiscovery),
    /// Save nothing, and revoke what came. Answers [`super::Outcome::DiscoveryEnded`].
    DeclineDiscovery(Selection),
}

impl Operation {
    /// The same with a reason for the audit, where there is one.
    pub(crate) fn because(self, reason: Option<String>) -> Self {
        match reason {
            Some(reason) => Self::WithReason(reason, Box::new(self)),
            None => self,
        }
    }

    /// What is asked for, without the reason.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::WithReason(_, operation) => operation.bare(),
            other => other,
        }
    }

    /// Its name, for the log: what it carries stays out.
    #[expect(clippy::too_many_lines, reason = "one line for each operation")]
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Index => "index",
            Self::Show(_) => "show",
            Self::History(_) => "history",
            Self::Save(_) => "save",
            Self::Reset(_) => "reset",
            Self::DiscardPending(_) => "discard_pending",
            Self::Use(_) => "use",
            Self::Delete(_) => "delete",
            Self::BeginSetup(_) => "begin_setup",
            Self::CompleteSetup(_) => "complete_setup",
            Self::ShowSetup(_) => "show_setup",
            Self::AbandonSetup(_) => "abandon_setup",
            Self::Test(_) => "test",
            Self::Token(_) => "token",
            Self::Apps => "apps",
            Self::AddApps(_) => "add_apps",
            Self::EditApp(_) => "edit_app",
            Self::DeleteApp(_) => "delete_app",
            Self::TestApp(_) => "test_app",
            Self::KeyStatus => "key_status",
            Self::CreateKey(_) => "create_key",
            Self::OpenKey(_) => "open_key",
            Self::ProtectKey(_) => "protect_key",
            Self::Recipients => "recipients",
            Self::AddRecipient(_) => "add_recipient",
            Self::LockKey => "lock_key",
            Self::Backup(_) => "backup",
            Self::Restore(_) => "restore",
            Self::MoveTo(_) => "move_to",
            Self::CopyStanding => "copy_standing",
            Self::Adopt(_) => "adopt",
            Self::LeaveToCopy(_) => "leave_to_copy",
            Self::Examine => "examine",
            Self::ExamineHosts => "examine_hosts",
            Self::Hosts => "hosts",
            Self::Hold(_) => "hold",
            Self::Release(_) => "release",
            Self::Revoke(_) => "revoke",
            Self::Owed => "owed",
            Self::PayOwed => "pay_owed",
            Self::Audit(_) => "audit",
            Self::AuditHead => "audit_head",
            Self::VerifyAudit(_) => "verify_audit",
            Self::WithReason(_, operation) => operation.name(),
            Self::Rotate(_) => "rotate",
            Self::AwaitApproval(_) => "await_approval",
            Self::AwaitRedirect(_) => "await_redirect",
            Self::RotateKey(_) => "rotate_key",
            Self::RemoveRecipient(_) => "remove_recipient",
            Self::KeyFacts => "key_facts",
            Self::StartRound(_) => "start_round",
            Self::Round => "round",
            Self::SkipInRound(_) => "skip_in_round",
            Self::EndRound => "end_round",
            Self::AwaitChange(_) => "await_change",
            Self::BeginDiscovery(_) => "begin_discovery",
            Self::CompleteDiscovery(_) => "complete_discovery",
            Self::ShowDiscovery(_) => "show_discovery",
            Self::AwaitDiscovery(_) => "await_discovery",
            Self::ConfirmDiscovery(_) => "confirm_discovery",
            Self::DeclineDiscovery(_) => "decline_discovery",
        }
    }
}

/// Which credential, and the caller's guard against the wrong environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection {
    /// As the caller named it.
    pub(crate) target: Target,
    /// Refuse (exit 6) when it is of the other environment; with it a plain name is never
    /// ambiguous.
    pub(crate) expect: Option<Environment>,
}

impl Selection {
    /// A credential by its full address, with nothing left to guard.
    pub(crate) fn exactly(address: &Address) -> Self {
        Self { target: address.target(), expect: None }
    }
}

/// New credentials, as typed: the engine parses each field and says which one is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SaveRequest {
    /// Name of the connection.
    pub(crate) name: String,
    /// The box 'Use salesforce.com Sandbox'.
    pub(crate) sandbox: bool,
    /// 15 or 18 characters.
    pub(crate) org_id: String,
    /// 15 or 18 characters.
    pub(crate) user_id: String,
    /// Optional; learned at the first login.
    pub(crate) username: Option<String>,
    /// My Domain URL; the generic login host when empty.
    pub(crate) login_url: Option<String>,
    /// Name of the app; `default` when empty.
    pub(crate) app: Option<String>,
    /// An app that is added along with it, in place of `app`.
    pub(crate) inline_app: Option<InlineApp>,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
    /// For the audit.
    pub(crate) reason: Option<String>,
    /// Line in the file that it came from, for error messages.
    pub(crate) line: Option<u64>,
}

/// An app given by its client ID alone: the one that has it, or a new one named like the
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InlineApp {
    /// Consumer Key.
    pub(crate) client_id: String,
    /// Consumer Secret.
    pub(crate) client_secret: Option<Sensitive>,
}

/// Edits of saved credentials; what is `None` stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResetRequest {
    /// Which credential.
    pub(crate) selection: Selection,
    /// A new name for the connection (both environments).
    pub(crate) rename: Option<ConnectionName>,
    /// Staged while a token lives.
    pub(crate) org_id: Option<String>,
    /// Staged while a token lives.
    pub(crate) user_id: Option<String>,
    /// An empty one removes it.
    pub(crate) username: Option<String>,
    /// Staged while a token lives.
    pub(crate) login_url: Option<String>,
    /// Staged while a token lives.
    pub(crate) app: Option<String>,
    /// All of the new tags.
    pub(crate) tags: Option<Vec<String>>,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// What to delete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeleteRequest {
    /// Which credential; any one of the connection with `both`.
    pub(crate) selection: Selection,
    /// The whole connection.
    pub(crate) both: bool,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// What to put on hold, or to release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldRequest {
    /// All of them or none.
    pub(crate) addresses: Vec<Address>,
    /// Why: shown to whoever is stopped by it, and for the audit. A release may have none.
    pub(crate) reason: String,
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RevokeRequest {
    /// Which credential.
    pub(crate) selection: Selection,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// How to begin a set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BeginSetup {
    /// Which credential.
    pub(crate) selection: Selection,
    /// `None` takes the way that the app was last set up by; else loopback beside a browser, and paste
    /// away from it.
    pub(crate) flow: Option<Flow>,
    /// Whether a browser can be opened beside the terminal.
    #[serde(default)]
    pub(crate) beside_browser: bool,
    /// Whether it is begun to rotate the token that lives.
    pub(crate) is_rotation: bool,
    /// The longest time that the replaced token works on.
    pub(crate) drain: Option<Duration>,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

impl BeginSetup {
    /// As the app and the defaults have it.
    pub(crate) fn plain(selection: Selection) -> Self {
        Self {
            selection,
            flow: None,
            beside_browser: false,
            is_rotation: false,
            drain: None,
            reason: None,
        }
    }
}

/// What to rotate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RotateRequest {
    /// Which credential.
    pub(crate) selection: Selection,
    /// Say how it would be done, and do nothing.
    pub(crate) dry_run: bool,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// How to complete a set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompleteSetup {
    /// Which credential.
    pub(crate) selection: Selection,
    /// The pasted redirect URL or code.
    pub(crate) pasted: Sensitive,
}

/// Where to write a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupRequest {
    /// A new file, by its full path.
    pub(crate) file: PathBuf,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoreRequest {
    /// The backup, by its full path.
    pub(crate) file: PathBuf,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// How an access token is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRequest {
    /// Which credential.
    pub(crate) selection: Selection,
    /// Life that must be left.
    pub(crate) min_ttl: Duration,
    /// A token that Salesforce refused to the caller: refreshed if it is still the stored one.
    pub(crate) rejected: Option<Sensitive>,
}

/// An app to add, or the changes of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppRequest {
    /// Which app.
    pub(crate) name: String,
    /// Consumer Key.
    pub(crate) client_id: Option<String>,
    /// Consumer Secret; an empty one removes it.
    pub(crate) client_secret: Option<Sensitive>,
    /// As registered.
    pub(crate) redirect_uris: Option<Vec<String>>,
    /// Asked for at the login.
    pub(crate) scopes: Option<Vec<String>>,
    /// Allowed ways to set up tokens.
    pub(crate) flows: Option<Vec<Flow>>,
    /// Whether refresh tokens are single-use.
    pub(crate) rotation: Option<Rotation>,
    /// Seconds.
    pub(crate) session_timeout: Option<u64>,
    /// Seconds.
    pub(crate) idle_limit: Option<u64>,
    /// Seconds.
    pub(crate) rotate_every: Option<u64>,
    /// For the audit.
    pub(crate) reason: Option<String>,
    /// Line in the file that it came from, for error messages.
    pub(crate) line: Option<u64>,
}

/// An age recipient to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AddRecipient {
    /// `age1...`
    pub(crate) public_key: String,
    /// Who or what it is, for people.
    pub(crate) label: String,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// An age recipient to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RemoveRecipient {
    /// `age1...`, or its label.
    pub(crate) named: String,
    /// Whether it may be the identity that opens the key here.
    pub(crate) own: bool,
    /// For the audit.
    pub(crate) reason: Option<String>,
}

/// How the sealing key is to be protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CreateKey {
    /// `None` makes a bare key file.
    pub(crate) passphrase: Option<Sensitive>,
    /// Whether to make a second identity, shown once, for the safe.
    pub(crate) recovery: bool,
}

/// Which audit rows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRequest {
    /// Which of all.
    pub(crate) filter: AuditFilter,
    /// Those after the row of this number; `None` asks for the first page.
    pub(crate) after: Option<i64>,
}
