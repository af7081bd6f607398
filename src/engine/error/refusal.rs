//! What orgkey refuses to do, and who has to sign in first, in words.

use crate::domain::copy::{CopyQuestion, Moved};
use crate::domain::hold::Hold;
use crate::domain::name::{Address, Environment};
use crate::domain::policy::Account;
use crate::domain::time::UnixMillis;
use crate::engine::outcome::{Revocation, WrongAccount};

/// What orgkey refuses to do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A plain name where both environments are saved.
    Ambiguous(Vec<Address>),
    /// The credential is of the other environment than the caller expects.
    Environment {
        /// What the name means.
        address: Address,
        /// What the caller expects.
        expected: Environment,
    },
    /// The credential is on hold.
    Held {
        /// Which one.
        address: Address,
        /// By whom, since when and why.
        hold: Hold,
    },
    /// An app that credentials use can't be deleted.
    AppInUse {
        /// Which app.
        app: String,
        /// Addresses of those that use it.
        by: Vec<String>,
    },
    /// A refresh answered for another account.
    ForeignRefresh {
        /// Of which credential.
        address: Address,
        /// Whose token came.
        answered: Account,
    },
    /// The store may be a copy, and nobody has said yet which one goes on.
    StoreCopied {
        /// Whose token would be spent.
        address: Address,
        /// Since when, and why.
        question: CopyQuestion,
    },
    /// Another copy of the store goes on.
    StoreMoved {
        /// Whose token would be spent.
        address: Address,
        /// Since when, and where.
        moved: Moved,
    },
    /// Without its last recipient nothing would open the store.
    LastRecipient,
    /// The recipient is the identity that opens the key here.
    OwnRecipient(String),
    /// A round is open, and one is all there is.
    RoundOpen {
        /// Since when.
        since: UnixMillis,
        /// How many of its credentials are settled.
        settled: usize,
        /// How many there are.
        of: usize,
    },
    /// No round is open.
    NoRound,
    /// The open round has nothing to do with the credential.
    NotInRound(Address),
    /// IDs are told for a credential that is not saved yet, and this one is.
    AlreadySaved(Address),
    /// Nobody said yes in time.
    YesTooLate {
        /// What it would have been saved as.
        address: Address,
        /// What became of its token.
        revocation: Revocation,
    },
    /// Another account was confirmed than the one that signed in.
    OtherConfirmed {
        /// What it would be saved as.
        address: Address,
        /// Who signed in.
        found: Account,
    },
    /// An org of the other environment signed in.
    OtherEnvironment {
        /// What it would have been saved as.
        address: Address,
        /// Who signed in.
        account: Account,
        /// Of which environment.
        found: Environment,
        /// What became of the token.
        revocation: Revocation,
    },
}

/// What keeps a credential from being used until someone signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetupNeed {
    /// It never had a token.
    NoToken(Address),
    /// Salesforce refused the token for good.
    Refused {
        /// Of which credential.
        address: Address,
        /// What Salesforce said.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// There is no set-up pending that could be completed or shown.
    NothingPending(Address),
    /// There is no sign-in pending that tells the IDs of what was named.
    NothingToDiscover(String),
    /// A device flow goes on waiting, but not here.
    StillPending(Address),
}

impl Refusal {
    /// A stable word for scripts.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Ambiguous(_) => "ambiguous",
            Self::Environment { .. } => "environment_guard",
            Self::Held { .. } => "held",
            Self::AppInUse { .. } => "app_in_use",
            Self::ForeignRefresh { .. } | Self::OtherEnvironment { .. } => "wrong_account",
            Self::StoreCopied { .. } => "store_copied",
            Self::StoreMoved { .. } => "moved_elsewhere",
            Self::LastRecipient => "last_recipient",
            Self::OwnRecipient(_) => "own_recipient",
            Self::AlreadySaved(_) => "already_saved",
            Self::YesTooLate { .. } => "too_late",
            Self::OtherConfirmed { .. } => "other_confirmed",
            Self::RoundOpen { .. } => "round_open",
            Self::NoRound => "no_round",
            Self::NotInRound(_) => "not_in_round",
        }
    }

    /// What is refused, and why.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Ambiguous(addresses) => {
                let names: Vec<String> = addresses.iter().map(Address::to_string).collect();
                format!("the plain name could mean {}", names.join(" or "))
            }
            Self::Environment { address, expected } => {
                format!("{address} is {}, not {expected}", address.environment)
            }
            Self::Held { address, hold } => format!("{address} is on hold: {hold}"),
            Self::AppInUse { app, by } => format!("the app {app} is used by {}", by.join(", ")),
            Self::ForeignRefresh { address, answered } => format!(
                "the refresh of {address} answered for another account: org {}, user {}; that token is kept but not served",
                answered.org_id, answered.user_id
            ),
            Self::StoreCopied { address, question } => format!(
                "{address} was not refreshed: since {} this store may be a copy ({}), and two copies that refresh end each other's tokens",
                question.since.rfc3339(),
                question.sign.words()
            ),
            Self::StoreMoved { address, moved } if moved.to.is_empty() => format!(
                "{address} was not refreshed or signed in: another copy of this store goes on since {}",
                moved.at.rfc3339()
            ),
            Self::StoreMoved { address, moved } => format!(
                "{address} was not refreshed or signed in: this store was moved to {} on {}",
                moved.to,
                moved.at.rfc3339()
            ),
            Self::LastRecipient => {
                "it is the last recipient of store.age: nothing would open the store without it"
                    .into()
            }
            Self::OwnRecipient(label) => {
                format!("{label} is the identity that opens the key here")
            }
            Self::RoundOpen { since, settled, of } => {
                format!("a round is open since {}: {settled} of {of} are settled", since.rfc3339())
            }
            Self::NoRound => "no round is open".into(),
            Self::NotInRound(address) => format!("{address} is not in the open round"),
            Self::AlreadySaved(address) => {
                format!("{address} is saved already, with its Org ID and User ID")
            }
            Self::YesTooLate { address, revocation } => format!(
                "nobody said yes to {address} within 15 minutes: nothing was saved, {}",
                revocation.of_new_token()
            ),
            Self::OtherConfirmed { address, found } => format!(
                "{address}: org {} user {} signed in, and another one was confirmed; nothing was saved",
                found.org_id, found.user_id
            ),
            Self::OtherEnvironment { address, account, found, revocation } => format!(
                "{address}: org {} user {} of a {found} org signed in, but {} was wanted; nothing was saved, {}",
                account.org_id,
                account.user_id,
                address.environment,
                revocation.of_new_token()
            ),
        }
    }

    /// What to do next.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Ambiguous(_) => "name one of them in full, or add --expect".into(),
            Self::Environment { .. } => "name the other environment, or drop --expect".into(),
            Self::Held { address, .. } => {
                format!("ask whoever put it on hold; orgkey release {address} ends it")
            }
            Self::AppInUse { .. } => {
                "give those credentials another app first: orgkey reset NAME --app APP".into()
            }
            Self::ForeignRefresh { address, .. } => format!(
                "tell your Salesforce admin, then set up the OAuth token: orgkey setup {address}"
            ),
            Self::StoreCopied { .. } => {
                "say once which one goes on: orgkey adopt if this one does, orgkey move --elsewhere if the other does".into()
            }
            Self::StoreMoved { .. } => "use it there; orgkey adopt takes it back, if it is used there no more".into(),
            Self::LastRecipient => {
                "add another one first: orgkey key recipient add".into()
            }
            Self::OwnRecipient(_) => {
                "add --own if another identity is to go on; see them with orgkey key recipient list".into()
            }
            Self::RoundOpen { .. } => {
                "go on with it: orgkey round next; or end it as it is: orgkey round end".into()
            }
            Self::NoRound => "begin one: orgkey round start --filter FILTER --why rotate".into(),
            Self::NotInRound(_) => "orgkey round show lists those that are".into(),
            Self::AlreadySaved(address) => format!(
                "sign in with orgkey setup {address}, or change its IDs with orgkey reset {address}"
            ),
            Self::YesTooLate { address, .. } => {
                format!("sign in again: orgkey setup {address} --discover --my-domain URL")
            }
            Self::OtherConfirmed { address, .. } => format!(
                "it still waits: confirm the IDs that are shown, or orgkey setup {address} --discover --cancel"
            ),
            Self::OtherEnvironment { address, found, .. } => format!(
                "if it is the right org, begin again as orgkey setup {}/{found} --discover with its own My Domain",
                address.name
            ),
        }
    }
}

/// Both sides on one line. It is kept as the last check, so it stays true when another account is
/// saved later.
pub(super) fn wrong_account_message(wrong: &WrongAccount) -> String {
    let WrongAccount { address, saved, signed_in, .. } = wrong;
    let username = wrong.signed_in_username.as_deref();
    let username = username.map(|username| format!(" ({username})")).unwrap_or_default();
    let environment = wrong.signed_in_environment;
    let environment = environment.map(|found| format!(" of a {found} org")).unwrap_or_default();
    let done = wrong.revocation.of_new_token();
    format!(
        "{address}: org {} user {}{username}{environment} signed in, but org {} user {} was wanted; nothing was stored, {done}",
        signed_in.org_id, signed_in.user_id, saved.org_id, saved.user_id
    )
}
