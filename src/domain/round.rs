//! A round: the sign-ins that many credentials need, as a worklist that is worked through one after
//! another and survives whoever works on it.
//!
//! What is done is never stored while a round is open: it follows from the token that a credential
//! has now, so that a sign-in by any way counts, and none that nobody made.

use serde::{Deserialize, Serialize};

use crate::domain::credential::{Credential, State, TokenSummary};
use crate::domain::name::{Address, Environment};
use crate::domain::packed::Row;
use crate::domain::rotation::RotationWay;
use crate::domain::time::UnixMillis;

/// What a round is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoundPurpose {
    /// Tokens where there is none that works.
    Setup,
    /// New tokens in place of those that work.
    Rotate,
}

impl RoundPurpose {
    /// The word in the store, in flags and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Rotate => "rotate",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Setup, Self::Rotate].into_iter().find(|purpose| purpose.as_str() == word)
    }

    /// What is done to each, for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Setup => "set up",
            Self::Rotate => "rotate",
        }
    }
}

/// How a credential of a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoundItemState {
    /// Nobody has signed in yet.
    Waiting,
    /// A refresh brought another refresh token since the round began.
    Refreshed,
    /// Somebody has signed in since the round began, and the token is in use.
    SignedIn,
    /// Passed over, with a note.
    Skipped,
    /// On hold: nobody can sign in for it before it is released.
    OnHold,
    /// The credential was deleted.
    Deleted,
}

impl RoundItemState {
    const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Refreshed,
        Self::SignedIn,
        Self::Skipped,
        Self::OnHold,
        Self::Deleted,
    ];

    /// The word in the store and in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Refreshed => "refreshed",
            Self::SignedIn => "signed_in",
            Self::Skipped => "skipped",
            Self::OnHold => "on_hold",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// How the token of a credential stands in a round that began when it was as `before` says, and
    /// since when. A refused token is none, and a refresh that brought no other refresh token
    /// replaced nothing.
    pub(crate) fn of(
        purpose: RoundPurpose,
        token: Option<&TokenSummary>,
        before: TokenTimes,
    ) -> (Self, Option<UnixMillis>) {
        let Some(token) = token.filter(|token| token.refused.is_none()) else {
            return (Self::Waiting, None);
        };
        let now = TokenTimes::of(Some(token));
        match purpose {
            _ if now.signed_in_at > before.signed_in_at => (Self::SignedIn, now.signed_in_at),
            RoundPurpose::Rotate if now.rotated_at > before.rotated_at => {
                (Self::Refreshed, now.rotated_at)
            }
            _ => (Self::Waiting, None),
        }
    }
}

/// When the refresh token of a credential last became another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenTimes {
    /// By a sign-in; `None` without a token.
    pub(crate) signed_in_at: Option<UnixMillis>,
    /// By a refresh, where one ever brought another.
    pub(crate) rotated_at: Option<UnixMillis>,
}

impl TokenTimes {
    /// Of the token that a credential has now.
    pub(crate) fn of(token: Option<&TokenSummary>) -> Self {
        Self {
            signed_in_at: token.map(|token| token.signed_in_at),
            rotated_at: token.and_then(|token| token.rotated_at),
        }
    }
}

/// One credential of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoundItem {
    /// Which; of a deleted one as it was.
    pub(crate) address: Address,
    /// Who signs in: the username where it is known, else the User ID.
    pub(crate) user: String,
    /// How it stands.
    pub(crate) state: RoundItemState,
    /// Since when there is a new token.
    pub(crate) at: Option<UnixMillis>,
    /// Why it was passed over.
    pub(crate) note: String,
    /// Whether it needs nobody: a refresh rotates it, or only its test is left to do.
    pub(crate) is_unattended: bool,
    /// Until when the token works that was replaced.
    pub(crate) drains_until: Option<UnixMillis>,
    /// Whether Salesforce could not be told yet that a token of it is to be revoked.
    pub(crate) owes_revocation: bool,
}

/// What is told of a round beside its credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoundFacts {
    /// What it is for.
    pub(crate) purpose: RoundPurpose,
    /// How its credentials were chosen, as the admin wrote it.
    pub(crate) chosen_by: String,
    /// The admin's own words.
    pub(crate) reason: String,
    /// Who began it, in words.
    pub(crate) started_by: String,
    /// When.
    pub(crate) started_at: UnixMillis,
    /// When it ended; `None` while it is open.
    pub(crate) ended_at: Option<UnixMillis>,
}

/// A round as it stands now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    /// What it is for, who began it, and when.
    pub(crate) facts: RoundFacts,
    /// In the order in which they are worked through.
    pub(crate) items: Vec<RoundItem>,
}

/// How many of a round stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RoundCounts {
    /// A refresh replaced the token.
    pub(crate) refreshed: usize,
    /// Somebody signed in.
    pub(crate) signed_in: usize,
    /// Passed over.
    pub(crate) skipped: usize,
    /// On hold.
    pub(crate) on_hold: usize,
    /// Deleted meanwhile.
    pub(crate) deleted: usize,
    /// Left to do.
    pub(crate) waiting: usize,
    /// Replaced tokens that drain.
    pub(crate) draining: usize,
    /// Revocations that are owed.
    pub(crate) owed: usize,
}

impl RoundCounts {
    /// Those that nobody has to look at any more.
    pub(crate) fn settled(self) -> usize {
        self.refreshed + self.signed_in + self.skipped + self.on_hold + self.deleted
    }
}

impl Round {
    /// Whether it can be worked on.
    pub(crate) fn is_open(&self) -> bool {
        self.facts.ended_at.is_none()
    }

    /// How many stand how.
    pub(crate) fn counts(&self) -> RoundCounts {
        let mut counts = RoundCounts::default();
        for item in &self.items {
            let of_state = match item.state {
                RoundItemState::Waiting => &mut counts.waiting,
                RoundItemState::Refreshed => &mut counts.refreshed,
                RoundItemState::SignedIn => &mut counts.signed_in,
                RoundItemState::Skipped => &mut counts.skipped,
                RoundItemState::OnHold => &mut counts.on_hold,
                RoundItemState::Deleted => &mut counts.deleted,
            };
            *of_state += 1;
            counts.draining += usize::from(item.drains_until.is_some());
            counts.owed += usize::from(item.owes_revocation);
        }
        counts
    }

    /// Those that wait, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &RoundItem> {
        self.items.iter().filter(|item| item.state == RoundItemState::Waiting)
    }

    /// The one of this address.
    pub(crate) fn item(&self, address: &Address) -> Option<&RoundItem> {
        self.items.iter().find(|item| item.address == *address)
    }

    /// The one to work on after this one: the next that waits behind it, else the first that waits.
    pub(crate) fn next_after(&self, address: &Address) -> Option<&RoundItem> {
        let place = self.items.iter().position(|item| item.address == *address);
        let mut behind = self.items.iter().skip(place.map_or(0, |place| place + 1));
        let waits = |item: &&RoundItem| item.state == RoundItemState::Waiting;
        let other = || self.waiting().find(|item| item.address != *address);
        behind.find(waits).or_else(other)
    }

    /// The place of an item that is worked on, counted from 1: after all that is settled.
    pub(crate) fn place(&self) -> usize {
        (self.counts().settled() + 1).min(self.items.len())
    }
}

/// Whether a round for `purpose` finds something to do with a credential: a set-up where no token
/// works or nobody knows, a rotation where one does, or in both the test that a sign-in is left to
/// pass. What is on hold has to be released first.
pub(crate) fn takes(purpose: RoundPurpose, row: &Row<'_>, now: UnixMillis) -> bool {
    let works = matches!(row.standing.token, Some((_, None))) && row.state(now) != State::Uncertain;
    let fits = row.standing.has_candidate || (purpose == RoundPurpose::Rotate) == works;
    fits && !row.is_held()
}

/// Whether a credential needs nobody in such a round.
pub(crate) fn is_unattended(
    purpose: RoundPurpose,
    credential: &Credential,
    way: RotationWay,
) -> bool {
    let works = credential.token.as_ref().is_some_and(|token| token.refused.is_none());
    credential.has_candidate
        || (purpose == RoundPurpose::Rotate && works && way == RotationWay::Refresh)
}

/// Where a credential stands among those of a round: first what needs nobody, then by who signs in,
/// so that one browser stays with one person, then by host and address.
pub(crate) fn order_key(
    is_unattended: bool,
    credential: &Credential,
) -> (bool, String, String, String, Environment) {
    let user = who_signs_in(credential).to_lowercase();
    let host = credential.login_url.host().to_owned();
    let name = credential.address.name.as_str().to_ascii_lowercase();
    (!is_unattended, user, host, name, credential.address.environment)
}

/// The username of the account that signs in next, where it is known, else its User ID.
pub(crate) fn who_signs_in(credential: &Credential) -> &str {
    match &credential.pending {
        Some(staged) => staged.username.as_deref().unwrap_or(staged.user_id.as_str()),
        None => credential.username.as_deref().unwrap_or(credential.user_id.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::app::Flow;
    use crate::domain::credential::Cause;
    use crate::domain::host::InstanceUrl;
    use crate::domain::name::ConnectionName;
    use crate::domain::token::{Expiry, Generation};

    fn token(signed_in: i64, rotated: Option<i64>, refused: Option<Cause>) -> TokenSummary {
        TokenSummary {
            instance_url: InstanceUrl::from_stored("https://acme.my.salesforce.com".into()),
            issued_at: UnixMillis(9_000),
            expiry: Expiry { at: UnixMillis(9_100), known: false },
            scopes: Vec::new(),
            flow: Flow::Paste,
            generation: Generation(7),
            signed_in_at: UnixMillis(signed_in),
            refused,
            refreshable: true,
            rotated_at: rotated.map(UnixMillis),
        }
    }

    #[test]
    fn only_a_new_sign_in_or_a_new_refresh_token_settles_one() {
        use RoundItemState::{Refreshed, SignedIn, Waiting};
        use RoundPurpose::{Rotate, Setup};
        let before = TokenTimes::of(Some(&token(100, Some(150), None)));
        let none = TokenTimes::default();
        let revoked = Some(Cause::Revoked);
        let table = [
            ("no token", Setup, None, none, Waiting),
            ("first sign-in", Setup, Some(token(200, None, None)), none, SignedIn),
            (
                "a sign-in that was refused since",
                Setup,
                Some(token(200, None, revoked)),
                none,
                Waiting,
            ),
            ("as it was", Rotate, Some(token(100, Some(150), None)), before, Waiting),
            (
                "a refresh that rotated",
                Rotate,
                Some(token(100, Some(160), None)),
                before,
                Refreshed,
            ),
            ("a refresh is no set-up", Setup, Some(token(100, Some(160), None)), before, Waiting),
            ("signed in anew", Rotate, Some(token(200, None, None)), before, SignedIn),
            (
                "signed in, then rotated",
                Rotate,
                Some(token(200, Some(210), None)),
                before,
                SignedIn,
            ),
        ];
        for (what, purpose, token, before, wanted) in table {
            assert_eq!(RoundItemState::of(purpose, token.as_ref(), before).0, wanted, "{what}");
        }
    }

    fn round(states: &[RoundItemState]) -> Round {
        let item = |(number, state): (usize, &RoundItemState)| RoundItem {
            address: address(number),
            user: "ana".into(),
            state: *state,
            at: None,
            note: String::new(),
            is_unattended: false,
            drains_until: None,
            owes_revocation: false,
        };
        let facts = RoundFacts {
            purpose: RoundPurpose::Setup,
            chosen_by: "all".into(),
            reason: String::new(),
            started_by: String::new(),
            started_at: UnixMillis(0),
            ended_at: None,
        };
        Round { facts, items: states.iter().enumerate().map(item).collect() }
    }

    fn address(number: usize) -> Address {
        let name = ConnectionName::parse(&format!("org-{number}")).unwrap();
        Address { name, environment: Environment::Production }
    }

    #[test]
    fn the_next_one_waits_behind_and_then_from_the_beginning() {
        use RoundItemState::{Deleted, SignedIn, Skipped, Waiting};
        let round = round(&[Waiting, SignedIn, Waiting, Skipped, Deleted]);
        let next = |number| round.next_after(&address(number)).map(|item| &item.address);
        assert_eq!(next(0), Some(&address(2)));
        assert_eq!(next(2), Some(&address(0)), "the beginning again");
        assert_eq!(next(99), Some(&address(0)), "one that is not in it");
        assert_eq!((round.place(), round.counts().waiting, round.counts().settled()), (4, 2, 3));
        let last = super::tests::round(&[Skipped, Waiting]);
        assert_eq!(last.next_after(&address(1)), None, "not the same one again");
    }
}
