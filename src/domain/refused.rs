//! Why a refresh token is refused for good, where Salesforce does not say: what can be concluded
//! from what is known here, and the words for it.

use std::time::Duration;

use crate::domain::app::Rotation;
use crate::domain::credential::Cause;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::name::Environment;
use crate::domain::time::{limit_in_words, span_in_words};

/// What is known of a refresh token that was just refused for good. It is the newest of its
/// credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedToken {
    /// The answer to an earlier refresh with it was lost: then we may have spent it ourselves.
    pub(crate) answer_was_lost: bool,
    /// What is said of the app.
    pub(crate) rotation: Rotation,
    /// The token came by a rotation itself.
    pub(crate) rotated: bool,
    /// Since when it was not used.
    pub(crate) unused: Duration,
    /// The app's idle limit, where it is said.
    pub(crate) idle_limit: Option<Duration>,
    /// A refresh of a sandbox kills every token in it.
    pub(crate) environment: Environment,
}

impl RefusedToken {
    /// The cause. What Salesforce says counts first, then what happened here; a single-use token
    /// that nobody here spent is an alarm, for a revocation can't be told from a thief.
    pub(crate) fn cause(&self, fault: &Fault) -> Cause {
        let said = fault.cause().unwrap_or(Cause::Unknown);
        if said != Cause::Unknown || fault.kind != FaultKind::TokenRefused || self.answer_was_lost {
            return said;
        }
        let is_single_use = match self.rotation {
            Rotation::Yes => true,
            Rotation::No => false,
            Rotation::Unknown => self.rotated,
        };
        if self.idle_limit.is_some_and(|limit| self.unused > limit) {
            Cause::IdleExpired
        } else if is_single_use {
            Cause::SupersededElsewhere
        } else {
            Cause::Unknown
        }
    }

    /// Message and remedy: those of the fault, but for the causes that it knows nothing of.
    pub(crate) fn words(&self, fault: &Fault) -> (String, String) {
        let Fault { host, detail, .. } = fault;
        match (self.cause(fault), self.idle_limit) {
            (Cause::SupersededElsewhere, _) => {
                let (also, then) = match self.environment {
                    Environment::Sandbox => (
                        ", or the sandbox was refreshed",
                        "; a refreshed sandbox has a new Org ID, so reset it first",
                    ),
                    Environment::Production => ("", ""),
                };
                (
                    format!(
                        "{host} refused the newest refresh token, which orgkey did not spend: a copy of it was used elsewhere, or it was revoked or pushed out by a newer approval{also} ({detail})"
                    ),
                    format!(
                        "take it for a leak until you know better: look for copies of this store, and in Login History of the user and Setup > Connected Apps OAuth Usage for who used the app; revoke there what is not yours, then set up the OAuth token again{then}"
                    ),
                )
            }
            (Cause::IdleExpired, Some(limit)) => (
                format!(
                    "{host} refused the refresh token: it was not used for {}, and the app's idle limit is {} ({detail})",
                    span_in_words(self.unused),
                    limit_in_words(limit)
                ),
                "set up the OAuth token again; a use within the idle limit keeps it alive".into(),
            ),
            _ => (fault.message(), fault.remedy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn token(rotation: Rotation, rotated: bool) -> RefusedToken {
        RefusedToken {
            answer_was_lost: false,
            rotation,
            rotated,
            unused: DAY,
            idle_limit: None,
            environment: Environment::Production,
        }
    }

    fn fault(kind: FaultKind) -> Fault {
        Fault::new(kind, "acme.my.salesforce.com", "invalid_grant: some text", Some(400))
    }

    #[test]
    fn only_the_newest_single_use_token_that_we_did_not_spend_is_an_alarm() {
        use Cause::{IdleExpired, SupersededElsewhere, Unknown, UserInactive};
        use FaultKind::TokenRefused;
        use Rotation::{No, Yes};
        let alarm = token(Yes, false);
        let lost = RefusedToken { answer_was_lost: true, ..alarm };
        let idle = |unused, limit| RefusedToken { unused, idle_limit: Some(limit), ..alarm };
        let table = [
            (TokenRefused, alarm, SupersededElsewhere),
            (TokenRefused, token(Yes, true), SupersededElsewhere),
            (TokenRefused, token(Rotation::Unknown, true), SupersededElsewhere),
            // Nothing shows that it was single-use: a copy may be used beside it.
            (TokenRefused, token(Rotation::Unknown, false), Unknown),
            (TokenRefused, token(No, false), Unknown),
            // The app was switched to keep its tokens; what it did before counts no more.
            (TokenRefused, token(No, true), Unknown),
            // We may have spent it ourselves.
            (TokenRefused, lost, Unknown),
            (
                TokenRefused,
                RefusedToken { unused: 40 * DAY, idle_limit: Some(DAY), ..lost },
                Unknown,
            ),
            // Within the idle limit and at its end; beyond it no thief is needed.
            (TokenRefused, idle(29 * DAY, 30 * DAY), SupersededElsewhere),
            (TokenRefused, idle(30 * DAY, 30 * DAY), SupersededElsewhere),
            (TokenRefused, idle(31 * DAY, 30 * DAY), IdleExpired),
            (TokenRefused, RefusedToken { rotation: No, ..idle(31 * DAY, 30 * DAY) }, IdleExpired),
            // What Salesforce says counts first, and what it does not say is no alarm.
            (FaultKind::UserInactive, alarm, UserInactive),
            (FaultKind::GrantRefused, alarm, Unknown),
            (FaultKind::CodeExpired, alarm, Unknown),
        ];
        for (kind, token, cause) in table {
            assert_eq!(token.cause(&fault(kind)), cause, "{kind:?} {token:?}");
        }
    }

    #[test]
    fn the_alarm_names_every_cause_and_salesforces_own_words() {
        let refused = fault(FaultKind::TokenRefused);
        let (message, remedy) = token(Rotation::Yes, false).words(&refused);
        for part in
            ["acme.my.salesforce.com", "used elsewhere", "revoked", "pushed out", "some text"]
        {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(remedy.contains("Login History") && !message.contains("sandbox"), "{remedy}");
        let sandbox =
            RefusedToken { environment: Environment::Sandbox, ..token(Rotation::Yes, true) };
        let (message, remedy) = sandbox.words(&refused);
        assert!(
            message.contains("sandbox was refreshed") && remedy.contains("new Org ID"),
            "{remedy}"
        );

        let idle = RefusedToken { unused: 31 * DAY, idle_limit: Some(30 * DAY), ..sandbox };
        let (message, remedy) = idle.words(&refused);
        assert!(
            message.contains("not used for 31 d") && message.contains("limit is 30 d"),
            "{message}"
        );
        assert!(remedy.contains("within the idle limit"), "{remedy}");
        let plain = token(Rotation::No, false).words(&refused);
        assert_eq!(plain, (refused.message(), refused.remedy()));
    }
}
