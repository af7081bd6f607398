//! A credential as it is shown, and the one function that derives its state.
//!
//! The state is never stored: it follows from the token set, the open intent, the pending
//! authorization and the last check, so nothing can disagree with them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::app::Flow;
use crate::domain::hold::Hold;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{OrgId, UserId};
use crate::domain::name::Address;
use crate::domain::rotation::Draining;
use crate::domain::time::UnixMillis;
use crate::domain::token::{Expiry, Generation};

/// Gives an enum of plain words its text form; with `readable` also the way back from the store.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of product.md.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in JSON and in the store.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.as_str())
            }
        }
    };
    (readable $(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        words!($(#[$doc])* $name { $($(#[$variant_doc])* $variant = $word,)+ });

        impl $name {
            /// Reads the word.
            pub(crate) fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// A number for it, of this version of the program alone: never stored.
            pub(crate) fn code(self) -> u8 {
                self as u8
            }

            /// The other way of [`Self::code`].
            pub(crate) fn from_code(code: u8) -> Option<Self> {
                [$(Self::$variant,)+].get(usize::from(code)).copied()
            }
        }
    };
}

words!(
    /// What an admin can expect of a credential (product.md, 'States of a credential').
    State {
        /// Saved, never set up.
        NoToken = "no_token",
        /// A set-up is pending and there is no token yet.
        Authorizing = "authorizing",
        /// A token is there, no access test since.
        Untested = "untested",
        /// The last access test passed.
        Ready = "ready",
        /// Signed in, but the API is refused.
        Limited = "limited",
        /// A passing fault.
        Unreachable = "unreachable",
        /// A refresh was sent and its answer never became durable.
        Uncertain = "uncertain",
        /// The app or its policy refuses.
        Misconfigured = "misconfigured",
        /// Salesforce refused the token for good.
        NeedsSetup = "needs_setup",
    }
);

impl State {
    /// Every state, in the order of product.md.
    pub(crate) const IN_ORDER: [Self; 9] = [
        Self::NoToken,
        Self::Authorizing,
        Self::Untested,
        Self::Ready,
        Self::Limited,
        Self::Unreachable,
        Self::Uncertain,
        Self::Misconfigured,
        Self::NeedsSetup,
    ];

    /// The words on screen.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NoToken => "no token",
            Self::Authorizing => "authorizing",
            Self::Untested => "untested",
            Self::Ready => "ready",
            Self::Limited => "limited",
            Self::Unreachable => "unreachable",
            Self::Uncertain => "uncertain",
            Self::Misconfigured => "misconfigured",
            Self::NeedsSetup => "needs setup",
        }
    }

    /// The ASCII mark beside the words, so that colour is never alone.
    pub(crate) fn mark(self) -> char {
        match self {
            Self::NoToken => '.',
            Self::Authorizing => '*',
            Self::Untested => '-',
            Self::Ready => '+',
            Self::Limited => '%',
            Self::Unreachable => '~',
            Self::Uncertain => '?',
            Self::Misconfigured => '#',
            Self::NeedsSetup => '!',
        }
    }
}

words!(readable
    /// Why a credential needs to be set up again.
    Cause {
        /// It never had a token.
        Never = "never",
        /// The token was revoked.
        Revoked = "revoked",
        /// The user is deactivated or frozen.
        UserInactive = "user_inactive",
        /// The refresh token was not used for too long.
        IdleExpired = "idle_expired",
        /// The sandbox was refreshed: its org is a new one.
        SandboxRefreshed = "sandbox_refreshed",
        /// The newest token is refused though nobody here spent it: a copy elsewhere, or a thief.
        SupersededElsewhere = "superseded_elsewhere",
        /// Salesforce did not say.
        Unknown = "unknown",
    }
);

words!(readable
    /// How a check of a credential ended: an access test, a refresh or a sign-in.
    CheckOutcome {
        /// The call passed.
        Ok = "ok",
        /// Signed in, but the API is refused.
        Limited = "limited",
        /// The token is dead: set up the OAuth token.
        NeedsSetup = "needs_setup",
        /// A passing fault; the token is kept.
        Unreachable = "unreachable",
        /// A refresh was sent and its answer was lost.
        Uncertain = "uncertain",
        /// The app or its policy refuses: the admin must change something.
        Misconfigured = "misconfigured",
        /// The token is another account's.
        WrongAccount = "wrong_account",
    }
);

words!(readable
    /// What kind of contact with Salesforce a check was.
    CheckKind {
        /// An access test.
        Test = "test",
        /// A refresh of the access token.
        Refresh = "refresh",
        /// A sign-in.
        SignIn = "sign_in",
    }
);

/// One contact with Salesforce, kept as history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Check {
    /// What it was.
    pub(crate) kind: CheckKind,
    /// When it ended.
    pub(crate) at: UnixMillis,
    /// How it ended.
    pub(crate) outcome: CheckOutcome,
    /// How long it took, in milliseconds.
    pub(crate) latency_ms: u64,
    /// One line for people, cleaned.
    pub(crate) message: String,
    /// What to do next; empty when nothing is to be done.
    pub(crate) remedy: String,
}

/// What is kept of the active token set in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenSummary {
    /// Where it is used.
    pub(crate) instance_url: InstanceUrl,
    /// When the access token was issued.
    pub(crate) issued_at: UnixMillis,
    /// When it ends.
    pub(crate) expiry: Expiry,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// How it was set up.
    pub(crate) flow: Flow,
    /// Which token set of the credential it is.
    pub(crate) generation: Generation,
    /// When a person (or an assertion) last signed in; refreshes do not move it.
    pub(crate) signed_in_at: UnixMillis,
    /// Why Salesforce refused it for good, once it did.
    pub(crate) refused: Option<Cause>,
    /// Whether there is a refresh token.
    pub(crate) refreshable: bool,
    /// When a refresh last brought another refresh token.
    pub(crate) rotated_at: Option<UnixMillis>,
}

/// A pending set-up in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationSummary {
    /// How the token is being set up.
    pub(crate) flow: Flow,
    /// When it was begun.
    pub(crate) started_at: UnixMillis,
    /// When its URL is worth nothing any more.
    pub(crate) expires_at: UnixMillis,
}

/// A refresh, or where there is no token a sign-in, that was begun: 'may have been sent'.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IntentSummary {
    /// When the intent was committed.
    pub(crate) started_at: UnixMillis,
    /// After this nobody can be waiting for the answer any more.
    pub(crate) deadline: UnixMillis,
}

/// IDs and host that a Reset staged while a token lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingEdit {
    /// The Org ID to come.
    pub(crate) org_id: OrgId,
    /// The User ID to come.
    pub(crate) user_id: UserId,
    /// The username to come.
    pub(crate) username: Option<String>,
    /// The login URL to come.
    pub(crate) login_url: LoginUrl,
    /// The app to come.
    pub(crate) app: String,
}

/// A credential with all that is shown of it. No field is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// Connection and environment.
    pub(crate) address: Address,
    /// Whether plain `NAME` means this one.
    pub(crate) in_use: bool,
    /// As saved.
    pub(crate) org_id: OrgId,
    /// As saved.
    pub(crate) user_id: UserId,
    /// As saved, or learned at a login.
    pub(crate) username: Option<String>,
    /// Where it signs in.
    pub(crate) login_url: LoginUrl,
    /// Name of the app.
    pub(crate) app: String,
    /// In the admin's order.
    pub(crate) tags: Vec<String>,
    /// Who put it on hold and why, if it is.
    pub(crate) held: Option<Hold>,
    /// Whether a revocation for it could not be delivered yet.
    pub(crate) revocation_owed: bool,
    /// Whether host or `IsSandbox` proved the environment at the last login or test.
    pub(crate) environment_proven: bool,
    /// A staged Reset.
    pub(crate) pending: Option<PendingEdit>,
    /// The active token set.
    pub(crate) token: Option<TokenSummary>,
    /// A signed-in token set that is not promoted yet.
    pub(crate) has_candidate: bool,
    /// The last check of any kind.
    pub(crate) last_check: Option<Check>,
    /// The last access test.
    pub(crate) last_test: Option<Check>,
    /// The pending set-up.
    pub(crate) authorization: Option<AuthorizationSummary>,
    /// A refresh, or the first sign-in, whose end is not durable.
    pub(crate) intent: Option<IntentSummary>,
    /// What is left of the token set that was replaced last.
    pub(crate) draining: Option<Draining>,
    /// When the token is to be rotated, where app or tags say how often.
    pub(crate) rotate_due: Option<UnixMillis>,
}

/// What the state of a credential follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Until when the answer of a refresh may come.
    pub(crate) intent_deadline: Option<UnixMillis>,
    /// The active token set: when somebody signed in, and why it was refused, if it was.
    pub(crate) token: Option<(UnixMillis, Option<Cause>)>,
    /// A signed-in token set that is not promoted yet.
    pub(crate) has_candidate: bool,
    /// When the pending set-up ends.
    pub(crate) authorization_ends: Option<UnixMillis>,
    /// The last check of any kind: when, and how it ended.
    pub(crate) last_check: Option<(UnixMillis, CheckOutcome)>,
    /// When the last access test was.
    pub(crate) tested_at: Option<UnixMillis>,
}

impl Standing {
    /// What an admin can expect at the time `now`.
    pub(crate) fn state(&self, now: UnixMillis) -> State {
        if self.intent_deadline.is_some_and(|deadline| deadline < now) {
            return State::Uncertain;
        }
        let Some((signed_in_at, refused)) = self.token else {
            return self.state_without_token(now);
        };
        if refused.is_some() {
            return State::NeedsSetup;
        }
        let check = self.last_check.filter(|(at, _)| *at >= signed_in_at);
        match check.map(|(_, outcome)| outcome) {
            None => State::Untested,
            Some(CheckOutcome::Ok) if self.tested_at.is_some_and(|at| at >= signed_in_at) => {
                State::Ready
            }
            Some(CheckOutcome::Ok) => State::Untested,
            Some(CheckOutcome::Limited) => State::Limited,
            Some(CheckOutcome::NeedsSetup) => State::NeedsSetup,
            Some(CheckOutcome::Unreachable) => State::Unreachable,
            Some(CheckOutcome::Uncertain) => State::Uncertain,
            Some(CheckOutcome::Misconfigured | CheckOutcome::WrongAccount) => State::Misconfigured,
        }
    }

    fn state_without_token(&self, now: UnixMillis) -> State {
        if self.has_candidate {
            return State::Untested;
        }
        if self.authorization_ends.is_some_and(|end| end > now) {
            return State::Authorizing;
        }
        match self.last_check {
            Some((_, CheckOutcome::Misconfigured)) => State::Misconfigured,
            _ => State::NoToken,
        }
    }
}

impl Credential {
    /// What its state follows from.
    pub(crate) fn standing(&self) -> Standing {
        Standing {
            intent_deadline: self.intent.as_ref().map(|intent| intent.deadline),
            token: self.token.as_ref().map(|token| (token.signed_in_at, token.refused)),
            has_candidate: self.has_candidate,
            authorization_ends: self.authorization.as_ref().map(|pending| pending.expires_at),
            last_check: self.last_check.as_ref().map(|check| (check.at, check.outcome)),
            tested_at: self.last_test.as_ref().map(|test| test.at),
        }
    }

    /// What an admin can expect of it at the time `now`.
    pub(crate) fn state(&self, now: UnixMillis) -> State {
        self.standing().state(now)
    }

    /// The pending set-up, unless it is past its end.
    pub(crate) fn pending_authorization(&self, now: UnixMillis) -> Option<&AuthorizationSummary> {
        self.authorization.as_ref().filter(|authorization| authorization.expires_at > now)
    }

    /// Why it needs to be set up; `None` in every other state.
    pub(crate) fn cause(&self, now: UnixMillis) -> Option<Cause> {
        match self.state(now) {
            State::NeedsSetup => {
                Some(self.token.as_ref().and_then(|token| token.refused).unwrap_or(Cause::Unknown))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_they_are_written() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(*cause));
            let json = serde_json::to_string(cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
        }
        for outcome in CheckOutcome::ALL {
            assert_eq!(CheckOutcome::parse(outcome.as_str()), Some(*outcome));
            assert_eq!(serde_json::to_string(outcome).unwrap(), format!("\"{outcome}\""));
        }
        for kind in CheckKind::ALL {
            assert_eq!(CheckKind::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(Cause::parse("nonsense"), None);
    }

    #[test]
    fn each_state_has_a_mark_of_its_own() {
        let mut marks: Vec<char> = State::ALL.iter().map(|state| state.mark()).collect();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), State::ALL.len());
        assert_eq!(State::IN_ORDER, State::ALL);
    }
}
