//! What the engine answers. Plain data without handles; a secret is in [`TokenAnswer`] and in a
//! recovery identity that is shown once, and nowhere else.

mod discovery;
mod key;
mod revocation;
mod rotation;

use serde::{Deserialize, Serialize};

use crate::domain::app::{App, Flow};
use crate::domain::audit::{AuditRow, HistoryEntry};
use crate::domain::chain::{Head, Verified};
use crate::domain::change::{ChangeMark, Changes};
use crate::domain::copy::{BackupPurpose, CopyQuestion, CopyStanding, Moved};
use crate::domain::credential::{Check, Credential};
use crate::domain::host::InstanceUrl;
use crate::domain::id::UserId;
use crate::domain::lifetime::Lifetime;
use crate::domain::name::{Address, Environment};
use crate::domain::packed::Packed;
use crate::domain::policy::Account;
use crate::domain::round::Round;
use crate::domain::time::UnixMillis;
use crate::domain::token::Expiry;
use crate::engine::sensitive::Sensitive;
pub(crate) use discovery::{Discovered, DiscoveryStarted};
pub(crate) use key::{KeyFacts, KeyRotation, ReadableToken, RecipientRemoval};
pub(crate) use revocation::{DeleteReceipt, OwedReport, Proof, Revocation, RevokeReceipt};
pub(crate) use rotation::{OldToken, RotationHow, RotationReport};

/// The answer to an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Credentials, by name, production first.
    Credentials(Vec<Credential>),
    /// Credentials, by address, packed: a list of very many.
    Index(Packed),
    /// One credential as it stands now.
    Credential(Box<Credential>),
    /// What happened to a credential, newest first.
    History(Vec<HistoryEntry>),
    /// What was deleted.
    Deleted(Vec<DeleteReceipt>),
    /// A set-up is pending.
    AuthorizationStarted(AuthorizationStarted),
    /// A token is set up and tested.
    SetupCompleted(Box<SetupReceipt>),
    /// How an access test went.
    Tested(TestReport),
    /// A valid access token.
    Token(TokenAnswer),
    /// Apps, by name.
    Apps(Vec<App>),
    /// What is known of an app.
    AppTested(AppReport),
    /// The sealing key.
    Key(KeyReport),
    /// Whom the sealing key is encrypted to.
    Recipients(Vec<RecipientReport>),
    /// A backup was written.
    BackedUp(BackupReceipt),
    /// A backup was restored.
    Restored(RestoreReceipt),
    /// The store was moved to a file.
    Moved(MoveReceipt),
    /// Whether the store may be a copy.
    CopyStanding(CopyStanding),
    /// This copy goes on.
    Adopted(AdoptReceipt),
    /// What was looked at, and how it was found.
    Examined(Vec<Finding>),
    /// What became of a credential's tokens.
    Revoked(RevokeReceipt),
    /// Revocations that are owed, oldest first.
    Owed(Vec<OwedReport>),
    /// Host names with their ports, each once.
    Hosts(Vec<String>),
    /// A sign-in that tells the IDs is pending.
    DiscoveryStarted(DiscoveryStarted),
    /// Who signed in, and waits for a yes to be saved.
    Discovered(Box<Discovered>),
    /// Nothing was saved; what became of the token that came.
    DiscoveryEnded(Revocation),
    /// Nothing to say but that it is done.
    Done,
    /// Audit rows, oldest first; after the last page comes an empty one.
    AuditRows(Vec<AuditRow>),
    /// The end of the audit chain.
    AuditHead(Head),
    /// How the check of the audit chain went.
    AuditVerified(Verified),
    /// How a rotation went.
    Rotated(Box<RotationReport>),
    /// Every value is sealed by a new data key.
    KeyRotated(KeyRotation),
    /// An age identity can't open the sealing key any more.
    RecipientRemoved(RecipientRemoval),
    /// What can be said of the key without opening it.
    KeyFacts(KeyFacts),
    /// The open round, or the one that ended last; `None` where there never was one.
    Round(Option<Box<Round>>),
    /// What changed in the store.
    Changed(Changed),
}

/// What changed in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// How far it has come.
    pub(crate) mark: ChangeMark,
    /// What has to be read again.
    pub(crate) changes: Changes,
}

/// What is going on, told before the final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// Waiting for another process that works on the same credential.
    Waiting,
    /// The code or the refresh token was sent.
    Exchanging,
    /// Comparing the account with the one saved.
    CheckingIdentity,
    /// One real call with the token.
    TestingAccess,
    /// Revoking at Salesforce.
    Revoking,
    /// The port of the loopback redirect is open.
    Listening,
    /// A browser reached that port.
    TunnelSeen,
    /// The redirect came.
    RedirectCame,
}

/// One step of an operation's answer; the last is always `Done`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// What is going on.
    Progress(Progress),
    /// Something worth knowing that stops nothing; one line, cleaned.
    Note(String),
    /// Something that must not be overlooked: it fills the screen until it is over.
    Alarm(String),
    /// How a long list begins, while the rest of it is read; connections are in it whole.
    FirstRows(Packed),
    /// The end.
    Done(Result<Outcome, Failure>),
}

/// A set-up that waits for the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationStarted {
    /// For which credential.
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
    /// Who has to sign in, where known.
    pub(crate) username: Option<String>,
    /// Who has to sign in.
    pub(crate) user_id: UserId,
    /// What is typed where, in the device flow.
    #[serde(default)]
    pub(crate) device: Option<DeviceCode>,
}

/// What the person of a device flow needs; the device code itself stays here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceCode {
    /// What is typed.
    pub(crate) user_code: String,
    /// Where; the whole `url` fills the code in.
    pub(crate) verification_uri: String,
    /// The app that asks.
    pub(crate) app: String,
    /// What it asks for.
    pub(crate) scopes: Vec<String>,
}

/// A completed set-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetupReceipt {
    /// As it stands now.
    pub(crate) credential: Credential,
    /// The access test of the new token.
    pub(crate) test: Check,
    /// What happened to the token it replaced.
    pub(crate) replaced: Revocation,
    /// Whether it was begun to rotate.
    pub(crate) is_rotation: bool,
}

/// How an access test went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TestReport {
    /// Of which credential.
    pub(crate) address: Address,
    /// The result.
    pub(crate) check: Check,
    /// API requests used and allowed in the last 24 hours, where Salesforce said so.
    pub(crate) api_requests: Option<(u64, u64)>,
}

/// A valid access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenAnswer {
    /// Of which credential.
    pub(crate) address: Address,
    /// The token.
    pub(crate) access_token: Sensitive,
    /// Where to use it.
    pub(crate) instance_url: InstanceUrl,
    /// When it ends.
    pub(crate) expiry: Expiry,
    /// Why its hand-out is in no record, where the configuration lets it be served all the same.
    pub(crate) unrecorded: Option<String>,
}

/// What is known of an app without a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppReport {
    /// The app.
    pub(crate) app: App,
    /// One line per thing that was looked at.
    pub(crate) findings: Vec<AppFinding>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppFinding {
    /// Whether it is as it should be.
    pub(crate) good: bool,
    /// What was found.
    pub(crate) message: String,
    /// What to do; empty when nothing is to be done.
    pub(crate) remedy: String,
    /// Whether it passes by itself where the app was made just now.
    pub(crate) may_be_new: bool,
}

/// The sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyReport {
    /// How it is protected.
    pub(crate) protection: KeyProtection,
    /// Whether this process has it open.
    pub(crate) open: bool,
    /// Until when it stays open, where an agent holds it.
    pub(crate) open_until: Option<UnixMillis>,
    /// Whether the agent that answers outlives the user's last session; `None` without an agent.
    pub(crate) agent: Option<Lifetime>,
    /// The printed recovery identity, at its making only.
    pub(crate) recovery_identity: Option<Sensitive>,
}

/// One of those who can open the sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecipientReport {
    /// `age1...`
    pub(crate) public_key: String,
    /// Who or what it is, for people.
    pub(crate) label: String,
    /// Whether it is the one that opens the key here.
    pub(crate) mine: bool,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackupReceipt {
    /// Its path.
    pub(crate) file: String,
    /// When it was made.
    pub(crate) made_at: UnixMillis,
    /// What for.
    pub(crate) purpose: BackupPurpose,
    /// How many there are in it.
    pub(crate) credentials: u64,
    /// How many there are in it, sealed.
    pub(crate) token_sets: u64,
    /// Whether `store.age` is in it.
    pub(crate) has_key: bool,
}

/// A store that was moved to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveReceipt {
    /// Since when, and where.
    pub(crate) moved: Moved,
    /// The file.
    pub(crate) backup: BackupReceipt,
}

/// A backup that is to be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupFacts {
    /// The backup.
    pub(crate) backup: BackupReceipt,
    /// The file name of the store.
    pub(crate) store_file: String,
    /// What it would take the place of.
    pub(crate) present: Present,
}

/// What a backup would take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Present {
    /// No store, or one with nothing in it.
    Nothing,
    /// A store.
    Store,
    /// A file that can't be read as a store.
    Damaged,
}

/// A restored backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoreReceipt {
    /// The backup.
    pub(crate) backup: BackupReceipt,
    /// The file beside the store that what was there is kept in.
    pub(crate) kept_as: Option<String>,
    /// The same for `store.age`.
    pub(crate) key_kept_as: Option<String>,
    /// Credentials whose token set was newer than the backup's, and stayed.
    pub(crate) newer_here: u64,
    /// Credentials that the backup does not have, and that stayed.
    pub(crate) only_here: u64,
    /// The question that is open now.
    pub(crate) question: Option<CopyQuestion>,
    /// Whether an identity is here to open `store.age`.
    pub(crate) has_identity: bool,
}

/// What was decided by adopting a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdoptReceipt {
    /// How it stood before.
    pub(crate) before: CopyStanding,
    /// Whose token was spent elsewhere, so that someone has to sign in.
    pub(crate) spent: Vec<Address>,
}

/// One thing that was looked at, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) subject: Subject,
    /// Whether it is as it should be.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) message: String,
    /// What mends it; empty when nothing is to be done.
    pub(crate) remedy: String,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Subject {
    /// Folders and files: owner, mode and links.
    Home,
    /// What holds them.
    FileSystem,
    /// Room on the disk.
    Room,
    /// config.toml.
    Config,
    /// orgkey.db.
    Store,
    /// Whether the store is one of several.
    Copies,
    /// The apps that credentials name.
    Apps,
    /// The sealing key.
    Key,
    /// The agent.
    Agent,
    /// The terminal.
    Terminal,
    /// The way to the clipboard of the person's own terminal.
    Clipboard,
    /// The port of a redirect to this machine.
    Port,
    /// A host of Salesforce, seen from here.
    Host,
    /// The certificates that those hosts show, and whom this machine trusts.
    Tls,
    /// This machine's clock.
    Clock,
}

impl Subject {
    /// Its name for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::FileSystem => "file system",
            Self::Room => "room",
            Self::Config => "config",
            Self::Store => "store",
            Self::Copies => "copies",
            Self::Apps => "apps",
            Self::Key => "key",
            Self::Agent => "agent",
            Self::Terminal => "terminal",
            Self::Clipboard => "clipboard",
            Self::Port => "port",
            Self::Host => "host",
            Self::Tls => "TLS",
            Self::Clock => "clock",
        }
    }
}

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and is worth a look.
    Look,
    /// It keeps something from working, or is not safe.
    Wrong,
}

/// How the sealing key is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyProtection {
    /// There is none yet.
    Missing,
    /// A passphrase.
    Passphrase,
    /// The file's mode alone.
    Bare,
}

/// An error as the front ends see it: what happened and why, what to do next, and how a script
/// tells it apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// A stable word in `snake_case`.
    pub(crate) code: String,
    /// What happened and why; one line, cleaned.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) remedy: String,
    /// Exit code of a command (product.md).
    pub(crate) exit_code: u8,
    /// What a screen needs beyond the words.
    pub(crate) detail: FailureDetail,
}

impl Failure {
    /// Whether the sealing key is missing or locked.
    pub(crate) fn is_about_the_key(&self) -> bool {
        matches!(self.detail, FailureDetail::Key(_))
    }
}

/// What a screen needs beyond the words of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureDetail {
    /// Nothing.
    None,
    /// Which field of a form or a file is wrong.
    Field(Field),
    /// Somebody else signed in.
    WrongAccount(Box<WrongAccount>),
    /// The sealing key has to be opened, or made, first.
    Key(KeyProtection),
}

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    /// Name of the connection or the app.
    Name,
    /// Org ID.
    OrgId,
    /// User ID.
    UserId,
    /// Username.
    Username,
    /// My Domain URL.
    LoginUrl,
    /// The box.
    Environment,
    /// The app.
    App,
    /// Tags.
    Tags,
    /// Client ID of an app.
    ClientId,
    /// Redirect URIs of an app.
    RedirectUri,
    /// Scopes of an app.
    Scopes,
}

/// Both sides of a sign-in with another account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrongAccount {
    /// Which credential was being set up.
    pub(crate) address: Address,
    /// As saved.
    pub(crate) saved: Account,
    /// As saved, where known.
    pub(crate) saved_username: Option<String>,
    /// Who signed in.
    pub(crate) signed_in: Account,
    /// Who signed in, where Salesforce said so.
    pub(crate) signed_in_username: Option<String>,
    /// The environment that was proved, where it is the other one.
    pub(crate) signed_in_environment: Option<Environment>,
    /// What happened to the new token.
    pub(crate) revocation: Revocation,
    /// Whether an older token of the credential still works.
    pub(crate) old_token_kept: bool,
}

impl WrongAccount {
    /// Whether org and environment are the saved ones: then it is another user of the same org.
    pub(crate) fn differs_in_user_alone(&self) -> bool {
        self.signed_in_environment.is_none() && self.signed_in.org_id == self.saved.org_id
    }
}
