//! Arguments of `key`.

use clap::Subcommand;

/// `orgkey key`
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make the sealing key; the passphrase is asked for twice
    Init {
        /// Protect the key by the file's mode alone, for unattended hosts
        #[arg(long)]
        no_passphrase: bool,
        /// Also make a recovery identity, printed once, for the safe
        #[arg(long)]
        recovery: bool,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Say how the sealing key is protected, whether it is open, and when it was last rotated
    Status,
    /// Protect the sealing key by another passphrase; nothing has to be sealed anew
    Passphrase {
        /// Protect the key by the file's mode alone from now on
        #[arg(long)]
        no_passphrase: bool,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Make a new data key and seal every token and secret anew with it
    Rotate {
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// List, add or remove those who can open the sealing key
    #[command(subcommand)]
    Recipient(Recipient),
}

/// `orgkey key recipient`
#[derive(Debug, Subcommand)]
pub(crate) enum Recipient {
    /// List them
    List,
    /// Let one more age identity open the key, e.g. a cron job's
    Add {
        /// Its public key, age1...
        public_key: String,
        /// Who or what it is
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Keep one from opening the key, and rotate the key; lists what they could read
    Remove {
        /// Its public key, age1..., or its label
        #[arg(value_name = "PUBLIC-KEY|LABEL")]
        named: String,
        /// It is the identity that opens the key here
        #[arg(long)]
        own: bool,
        /// The same once more; without a terminal there is no other way to confirm
        #[arg(long, value_name = "PUBLIC-KEY|LABEL")]
        confirm: Option<String>,
        /// Why, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}
