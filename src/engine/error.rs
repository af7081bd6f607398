//! What an operation can fail with. Each variant has one remedy and one exit code, matched
//! without a wildcard: a new one does not compile until someone says what the admin should do.

mod loopback;
mod refusal;

use crate::config::settings::ConfigError;
use crate::domain::app::AppError;
use crate::domain::credential::CheckOutcome;
use crate::domain::fault::Fault;
use crate::domain::name::Address;
use crate::domain::text;
use crate::engine::outcome::{Failure, FailureDetail, Field, KeyProtection, WrongAccount};
use crate::oauth::redirect::RedirectError;
use crate::platform::files::FileError;
use crate::vault;
use crate::{net, store};
pub(crate) use loopback::{NotListening, taken_by};
use refusal::wrong_account_message;
pub(crate) use refusal::{Refusal, SetupNeed};

/// Exit codes of product.md, by what they mean.
pub(crate) mod exit {
    /// Unexpected: a fault of orgkey itself.
    pub(crate) const UNEXPECTED: u8 = 1;
    /// The command line is wrong.
    pub(crate) const USAGE: u8 = 2;
    /// Set up the OAuth token.
    pub(crate) const NEEDS_SETUP: u8 = 3;
    /// A passing fault: try again.
    pub(crate) const UNREACHABLE: u8 = 4;
    /// The sealing key is not opened.
    pub(crate) const LOCKED: u8 = 5;
    /// Wrong account, environment guard, confirmation missing.
    pub(crate) const REFUSED: u8 = 6;
    /// No such connection.
    pub(crate) const NOT_FOUND: u8 = 7;
    /// Invalid input or configuration; `misconfigured` and `limited` too.
    pub(crate) const INVALID: u8 = 8;
    /// The store.
    pub(crate) const STORAGE: u8 = 9;
    /// The answer to a refresh was lost.
    pub(crate) const UNCERTAIN: u8 = 10;
}

/// A field that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Which one; `None` for input that is no field.
    pub(crate) field: Option<Field>,
    /// What is wrong with it.
    pub(crate) message: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Invalid {
    /// A wrong field.
    pub(crate) fn new(field: Field, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: Some(field), message: message.into(), remedy: remedy.into() }
    }

    /// Input that is wrong as a whole.
    pub(crate) fn input(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: None, message: message.into(), remedy: remedy.into() }
    }

    /// The same, with the line of the file that it was read from.
    pub(crate) fn at_line(mut self, line: Option<u64>) -> Self {
        if let Some(line) = line {
            self.message = format!("line {line}: {}", self.message);
        }
        self
    }
}

impl From<AppError> for Invalid {
    fn from(error: AppError) -> Self {
        let (field, remedy) = match &error {
            AppError::ClientId(_) => (
                Field::ClientId,
                "copy it from External Client App Manager > the app > Settings > OAuth Settings > Consumer Key and Secret",
            ),
            AppError::RedirectUri(_) => {
                (Field::RedirectUri, "copy it from the app's Callback URL, byte for byte")
            }
            AppError::Scope(_) => {
                (Field::Scopes, "name the scopes of the app, e.g. api refresh_token id")
            }
        };
        Self::new(field, error.to_string(), remedy)
    }
}

/// Why an operation failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// No such connection or environment.
    NotFound(String),
    /// No such app.
    NoSuchApp(String),
    /// Refused as asked.
    Refused(Refusal),
    /// A field or another input is wrong.
    Invalid(Box<Invalid>),
    /// The sealing key is missing or locked.
    Key(KeyProtection),
    /// The sealing key can't be opened, or something sealed by it.
    Vault(vault::error::Error),
    /// The store.
    Store(store::Error),
    /// A file, a folder or a lock of the home.
    File(FileError),
    /// A file that someone named for a secret or a passphrase.
    SecretFile(FileError),
    /// The configuration.
    Config(ConfigError),
    /// The HTTP client could not be made: certificates, proxy.
    Client(net::ClientError),
    /// What was pasted, and what to paste instead.
    Redirect(RedirectError, String),
    /// Salesforce, or the way to it.
    Salesforce(Box<Fault>),
    /// Someone has to sign in.
    Setup(SetupNeed),
    /// The answer to a refresh was lost.
    Uncertain {
        /// Of which credential.
        address: Address,
        /// What happened.
        message: String,
    },
    /// The answer to a sign-in was lost.
    SignInLost {
        /// Of which credential.
        address: Address,
        /// What happened.
        message: String,
        /// Whether it was to tell the IDs of a credential.
        discovers: bool,
    },
    /// The answer to a grant is safe in the inbox, but the store could not take it over.
    AnswerKept(store::Error),
    /// There is a new data key, but the store could not take over what is sealed by it.
    RekeyUnfinished(store::Error),
    /// Somebody else signed in.
    WrongAccount(Box<WrongAccount>),
    /// Nothing listens for a loopback redirect.
    Loopback(NotListening),
    /// How an operation failed that somebody else had begun, in its words.
    Told(Box<Failure>),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<vault::error::Error> for Error {
    fn from(error: vault::error::Error) -> Self {
        Self::Vault(error)
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<net::ClientError> for Error {
    fn from(error: net::ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Salesforce(Box::new(fault))
    }
}

impl From<NotListening> for Error {
    fn from(why: NotListening) -> Self {
        Self::Loopback(why)
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(Box::new(invalid))
    }
}

/// The exit code of a check's outcome.
pub(crate) fn exit_code_of(outcome: CheckOutcome) -> u8 {
    match outcome {
        CheckOutcome::Ok => 0,
        CheckOutcome::Limited | CheckOutcome::Misconfigured => exit::INVALID,
        CheckOutcome::NeedsSetup => exit::NEEDS_SETUP,
        CheckOutcome::Unreachable => exit::UNREACHABLE,
        CheckOutcome::Uncertain => exit::UNCERTAIN,
        CheckOutcome::WrongAccount => exit::REFUSED,
    }
}

impl Error {
    /// The same, with the line of the file that it was read from, where it is about input.
    pub(crate) fn at_line(self, line: Option<u64>) -> Self {
        match self {
            Self::Invalid(invalid) => Self::Invalid(Box::new(invalid.at_line(line))),
            other => other,
        }
    }

    /// What is wrong with the disk or the store, where that is why.
    pub(crate) fn storage(&self) -> Option<&store::Error> {
        match self {
            Self::AnswerKept(error) | Self::RekeyUnfinished(error) => Some(error),
            Self::Store(error) => match error {
                store::Error::Full
                | store::Error::ReadOnly
                | store::Error::Damaged(_)
                | store::Error::TooNew { .. }
                | store::Error::Busy { .. }
                | store::Error::Gone
                | store::Error::Unusable(_) => Some(error),
                // The store works; what was asked of it does not fit any more.
                store::Error::Stale | store::Error::Exists(_) => None,
            },
            _ => None,
        }
    }

    /// The exit code of a command that ends with it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) | Self::NoSuchApp(_) => exit::NOT_FOUND,
            Self::Refused(_) | Self::WrongAccount(_) => exit::REFUSED,
            Self::Invalid(_)
            | Self::SecretFile(_)
            | Self::Config(_)
            | Self::Client(_)
            | Self::Redirect(..)
            | Self::Loopback(_) => exit::INVALID,
            Self::Key(_) => exit::LOCKED,
            Self::Vault(
                vault::error::Error::WrongPassphrase | vault::error::Error::PassphraseNeeded,
            ) => exit::LOCKED,
            Self::Vault(_) => exit::STORAGE,
            Self::Store(store::Error::Exists(_)) => exit::INVALID,
            Self::Store(_) | Self::File(_) | Self::AnswerKept(_) | Self::RekeyUnfinished(_) => {
                exit::STORAGE
            }
            Self::Salesforce(fault) => exit_code_of(fault.outcome()),
            Self::Setup(_) => exit::NEEDS_SETUP,
            Self::Uncertain { .. } | Self::SignInLost { .. } => exit::UNCERTAIN,
            Self::Told(failure) => failure.exit_code,
        }
    }

    /// A stable word for scripts.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::NotFound(_) | Self::NoSuchApp(_) => "not_found",
            Self::Refused(refusal) => refusal.code(),
            Self::WrongAccount(_) => "wrong_account",
            Self::Invalid(_) => "invalid_input",
            Self::Key(KeyProtection::Missing) => "key_missing",
            Self::Key(KeyProtection::Passphrase | KeyProtection::Bare) => "locked",
            Self::Vault(error) => vault_code(error),
            Self::Store(error) => error.code(),
            Self::File(_) => "file_refused",
            Self::SecretFile(_) => "secret_file_refused",
            Self::Config(_) => "invalid_configuration",
            Self::Client(_) => "client_unusable",
            Self::Redirect(error, _) => redirect_code(error),
            Self::Salesforce(fault) => fault.code(),
            Self::Setup(SetupNeed::NoToken(_)) => "no_token",
            Self::Setup(SetupNeed::Refused { .. }) => "needs_setup",
            Self::Setup(SetupNeed::NothingPending(_) | SetupNeed::NothingToDiscover(_)) => {
                "nothing_pending"
            }
            Self::Setup(SetupNeed::StillPending(_)) => "still_pending",
            Self::Uncertain { .. } | Self::SignInLost { .. } => "uncertain",
            Self::AnswerKept(_) => "answer_kept",
            Self::Loopback(why) => why.code(),
            Self::Told(failure) => &failure.code,
            Self::RekeyUnfinished(_) => "rekey_unfinished",
        }
    }

    /// What happened and why.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NotFound(what) => format!("there is no {what}"),
            Self::NoSuchApp(name) => format!("there is no app {name}"),
            Self::Refused(refusal) => refusal.message(),
            Self::Invalid(invalid) => invalid.message.clone(),
            Self::Key(KeyProtection::Missing) => "there is no sealing key yet".into(),
            Self::Key(KeyProtection::Passphrase | KeyProtection::Bare) => {
                "the sealing key is locked".into()
            }
            Self::Vault(error) => error.to_string(),
            Self::Store(error) => error.to_string(),
            Self::File(error) | Self::SecretFile(error) => error.to_string(),
            Self::Config(error) => error.to_string(),
            Self::Client(error) => error.to_string(),
            Self::Redirect(error, _) => error.to_string(),
            Self::Salesforce(fault) => fault.message(),
            Self::Setup(SetupNeed::NoToken(address)) => format!("{address} has no token"),
            Self::Setup(SetupNeed::Refused { address, message, .. }) => {
                format!("{address}: {message}")
            }
            Self::Setup(SetupNeed::NothingPending(address)) => {
                format!("{address} has no pending set-up")
            }
            Self::Setup(SetupNeed::NothingToDiscover(name)) => {
                format!("{name} has no pending sign-in that tells its IDs")
            }
            Self::Setup(SetupNeed::StillPending(address)) => {
                format!(
                    "{address}: the sign-in still waits for the approval, but nobody polls here any more"
                )
            }
            Self::Uncertain { address, message } | Self::SignInLost { address, message, .. } => {
                format!("{address}: {message}")
            }
            Self::AnswerKept(error) => {
                format!("the new token is safe in the inbox, but not taken over yet: {error}")
            }
            Self::RekeyUnfinished(error) => {
                format!("there is a new data key, but not every value is sealed by it yet: {error}")
            }
            Self::WrongAccount(wrong) => wrong_account_message(wrong),
            Self::Loopback(why) => why.message(),
            Self::Told(failure) => failure.message.clone(),
        }
    }

    /// What to do next.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::NotFound(_) => "orgkey list shows what is saved".into(),
            Self::NoSuchApp(_) => "orgkey app list shows the apps".into(),
            Self::Refused(refusal) => refusal.remedy(),
            Self::Invalid(invalid) => invalid.remedy.clone(),
            Self::Key(KeyProtection::Missing) => {
                "make it with orgkey key init, or name a file in ORGKEY_PASSPHRASE_FILE".into()
            }
            Self::Key(KeyProtection::Passphrase | KeyProtection::Bare) => {
                "run orgkey unlock on a terminal, or name the passphrase's file in ORGKEY_PASSPHRASE_FILE".into()
            }
            Self::Vault(error) => error.remedy().into(),
            Self::Store(error) => error.remedy(),
            Self::File(error) | Self::SecretFile(error) => error.remedy(),
            Self::Config(error) => error.remedy().into(),
            Self::Client(_) => {
                "check SSL_CERT_FILE, SSL_CERT_DIR and HTTPS_PROXY, and the deadline in config.toml".into()
            }
            Self::Redirect(_, remedy) => remedy.clone(),
            Self::Salesforce(fault) => fault.remedy(),
            Self::Setup(SetupNeed::NoToken(address) | SetupNeed::NothingPending(address)) => {
                format!("set up the OAuth token: orgkey setup {address}")
            }
            Self::Setup(SetupNeed::NothingToDiscover(name)) => {
                format!("begin one: orgkey setup {name} --discover --my-domain URL")
            }
            Self::Setup(SetupNeed::StillPending(address)) => {
                format!("wait on with: orgkey setup {address} --finish")
            }
            Self::Setup(SetupNeed::Refused { remedy, .. }) => remedy.clone(),
            Self::Uncertain { address, .. } => format!(
                "the access token is served while it lives; if it is refused, set up the OAuth token: orgkey setup {address}"
            ),
            Self::SignInLost { address, discovers, .. } => format!(
                "its code may be spent: sign in again with orgkey setup {address}{}; Salesforce may keep an approval that nobody holds, one of five for this user and app",
                if *discovers { " --discover --my-domain URL" } else { "" }
            ),
            Self::AnswerKept(why) => format!(
                "{}; then do the same again: it is taken over, and Salesforce is not asked",
                mending(why)
            ),
            Self::RekeyUnfinished(why) => format!(
                "{}; nothing is lost, both keys are kept: the next command that opens the key ends it",
                mending(why)
            ),
            Self::WrongAccount(wrong) => format!(
                "sign out of Salesforce in that browser or use a private window, then orgkey setup {}; or correct the saved IDs with orgkey reset",
                wrong.address
            ),
            Self::Loopback(why) => why.remedy(),
            Self::Told(failure) => failure.remedy.clone(),
        }
    }

    fn detail(self) -> FailureDetail {
        match self {
            Self::Invalid(invalid) => {
                invalid.field.map_or(FailureDetail::None, FailureDetail::Field)
            }
            Self::WrongAccount(wrong) => FailureDetail::WrongAccount(wrong),
            Self::Key(protection) => FailureDetail::Key(protection),
            Self::Told(failure) => failure.detail,
            Self::Store(store::Error::Exists(_)) => FailureDetail::Field(Field::Name),
            Self::NotFound(_)
            | Self::NoSuchApp(_)
            | Self::Refused(_)
            | Self::Vault(_)
            | Self::Store(_)
            | Self::File(_)
            | Self::SecretFile(_)
            | Self::Config(_)
            | Self::Client(_)
            | Self::Redirect(..)
            | Self::Salesforce(_)
            | Self::Setup(_)
            | Self::Loopback(_)
            | Self::AnswerKept(_)
            | Self::RekeyUnfinished(_)
            | Self::SignInLost { .. }
            | Self::Uncertain { .. } => FailureDetail::None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().into(),
            // Names and paths are told as they were given; a token may have been given for one.
            message: text::mask(&error.message()),
            remedy: text::mask(&error.remedy()),
            exit_code: error.exit_code(),
            detail: error.detail(),
        }
    }
}

/// What mends the disk or the store, where something is to be done once more after it.
fn mending(error: &store::Error) -> String {
    match error {
        store::Error::Full => "free some space".into(),
        other => other.remedy(),
    }
}

fn vault_code(error: &vault::error::Error) -> &'static str {
    use vault::error::Error as Vault;
    match error {
        Vault::WrongPassphrase => "wrong_passphrase",
        Vault::PassphraseNeeded => "locked",
        Vault::EmptyPassphrase => "empty_passphrase",
        Vault::Missing(_) => "key_file_missing",
        Vault::AlreadyThere(_) => "key_exists",
        Vault::IdentityDoesNotFit => "identity_does_not_fit",
        Vault::NotAnIdentity => "not_an_identity",
        Vault::Recipient(_) => "recipient",
        Vault::Damaged { .. } => "key_file_damaged",
        Vault::TooMuchWork { .. } => "too_much_work",
        Vault::UnknownForm { .. } => "unknown_form",
        Vault::OtherKey { .. } => "other_key",
        Vault::BrokenSeal { .. } => "broken_seal",
        Vault::Sealing(_) => "sealing_failed",
        Vault::Folder(_) => "file_refused",
    }
}

fn redirect_code(error: &RedirectError) -> &'static str {
    match error {
        RedirectError::Empty => "paste_empty",
        RedirectError::TooLong(_) => "paste_too_long",
        RedirectError::Refused(fault) => fault.code(),
        RedirectError::Cut(_) => "paste_cut",
        RedirectError::StateMissing => "state_missing",
        RedirectError::WrongState => "other_attempt",
        RedirectError::TwoAddresses => "two_addresses",
        RedirectError::AuthorizationUrl => "authorization_url",
        RedirectError::NoCode => "no_code",
        RedirectError::Misplaced(_) => "misplaced_secret",
        RedirectError::NotACode => "not_a_code",
    }
}
