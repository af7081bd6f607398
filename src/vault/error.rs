//! What can go wrong with keys and sealed values, and what the admin does then.

use super::folder::FolderError;

/// Why a key or a sealed value can't be used. Nothing was changed when one is answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The passphrase does not open `identity.age`.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// The identity is sealed and no passphrase was given.
    #[error("the key is locked with a passphrase")]
    PassphraseNeeded,
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// A key file is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key file is there already, and is never overwritten.
    #[error("{0} is there already")]
    AlreadyThere(&'static str),
    /// The identity is none of the recipients of `store.age`.
    #[error("the identity does not fit store.age")]
    IdentityDoesNotFit,
    /// A text that should be an age identity is none.
    #[error("this is not an age identity: one starts with AGE-SECRET-KEY-1")]
    NotAnIdentity,
    /// A text that should be an age X25519 recipient is none; or the recipient can't be removed.
    #[error("{0}")]
    Recipient(&'static str),
    /// A key file does not read as what it should be.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// Its name.
        file: &'static str,
        /// What does not fit.
        what: &'static str,
    },
    /// A passphrase file that asks for more work than we do for one.
    #[error("identity.age asks for 2^{required} rounds of scrypt; 2^20 are the most")]
    TooMuchWork {
        /// Its work factor, log2 N.
        required: u8,
    },
    /// A form that this version does not know; a newer one may.
    #[error("{what} has form {found}, which this version does not know")]
    UnknownForm {
        /// What was read.
        what: &'static str,
        /// The form's number.
        found: u32,
    },
    /// A value sealed by a key that `store.age` does not hold.
    #[error("a value of {table} was sealed by key {found}, but store.age holds key {ours}")]
    OtherKey {
        /// Where the value lies.
        table: &'static str,
        /// The key's ID in the value.
        found: String,
        /// The ID of the key in use.
        ours: String,
    },
    /// A sealed value that was changed, or that belongs to another row, column or generation.
    #[error("a value of {table}.{column} was damaged, or moved from another row")]
    BrokenSeal {
        /// The table it was read from.
        table: &'static str,
        /// Its column.
        column: &'static str,
    },
    /// The system gave no randomness, or the age file could not be made.
    #[error("can't seal: {0}")]
    Sealing(String),
    /// The folder of the key files refused.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

impl Error {
    /// What the admin does next.
    pub(crate) fn remedy(&self) -> &str {
        match self {
            Self::WrongPassphrase => "type it again; it is the one given to orgkey key init",
            Self::PassphraseNeeded => {
                "run orgkey unlock, or name a file with the passphrase in ORGKEY_PASSPHRASE_FILE"
            }
            Self::EmptyPassphrase => {
                "choose a passphrase, or make a bare key with orgkey key init --no-passphrase"
            }
            Self::Missing(_) => {
                "copy it from the home that this store came from, or from where it is kept (a backup of \
                 orgkey has no identity in it); only if it is lost for good, move orgkey.db and the key \
                 files away and begin anew with orgkey key init"
            }
            Self::AlreadyThere(_) => "use the key that is there, or move it away first",
            Self::IdentityDoesNotFit => {
                "use the identity that store.age was made for, or have its holder run \
                 orgkey key recipient add"
            }
            Self::NotAnIdentity => "give the line that starts with AGE-SECRET-KEY-1",
            Self::Recipient(_) => "see the recipients with orgkey key recipient list",
            Self::Damaged { .. } => "put the file back from a backup",
            Self::TooMuchWork { .. } => {
                "seal the identity again with a work factor of at most 20, e.g. by age -p"
            }
            Self::UnknownForm { .. } => "use the version of orgkey that wrote it, or a newer one",
            Self::OtherKey { .. } => {
                "put store.age and the database back from the same backup, or set up the tokens \
                 again"
            }
            Self::BrokenSeal { .. } => {
                "put the database back from a backup, or set up the OAuth tokens again; \
                 if nobody restored or edited it, look into who could write it"
            }
            Self::Sealing(_) => "see the system's log, then do it again",
            Self::Folder(error) => &error.remedy,
        }
    }
}
