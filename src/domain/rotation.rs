//! When a token is to be rotated next, and what is left of the one that was rotated out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::app::Rotation;
use crate::domain::credential::{Credential, TokenSummary};
use crate::domain::time::UnixMillis;

/// How a credential is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RotationWay {
    /// A refresh brings another refresh token, or tells that none comes.
    Refresh,
    /// Somebody signs in once more.
    SignIn,
}

impl RotationWay {
    /// By what is said of the app, and what was seen of the token: where nobody knows, a refresh
    /// tells, and one that brought no other refresh token has told.
    pub(crate) fn of(rotation: Rotation, token: Option<&TokenSummary>) -> Self {
        let refreshable = token.is_none_or(|token| token.refreshable);
        let rotates = match (rotation, token) {
            (_, Some(TokenSummary { rotated_at: Some(_), .. })) | (Rotation::Yes, _) => true,
            (Rotation::No, _) => false,
            (Rotation::Unknown, Some(token)) => token.issued_at <= token.signed_in_at,
            (Rotation::Unknown, None) => true,
        };
        if refreshable && rotates { Self::Refresh } else { Self::SignIn }
    }
}

/// Who got an access token last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// When, to the minute.
    pub(crate) at: UnixMillis,
    /// The program that asked.
    pub(crate) program: String,
    /// Its terminal, empty without one.
    pub(crate) terminal: String,
}

/// A token set that was replaced and works until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draining {
    /// When it is revoked.
    pub(crate) until: UnixMillis,
    /// Who got it last, where anybody did.
    pub(crate) taken: Option<Taken>,
}

impl Taken {
    /// Program and terminal, e.g. `nightly.sh on pts/3`.
    pub(crate) fn holder(&self) -> String {
        let program = if self.program.is_empty() { "a program" } else { self.program.as_str() };
        match self.terminal.trim_start_matches("/dev/") {
            "" => program.to_owned(),
            terminal => format!("{program} on {terminal}"),
        }
    }
}

/// How often the admins want tokens rotated, by app and by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RotateEvery {
    apps: BTreeMap<String, Duration>,
    tags: BTreeMap<String, Duration>,
}

impl RotateEvery {
    /// By names of apps and by tags; both without regard to case.
    pub(crate) fn new<'a>(
        apps: impl Iterator<Item = (&'a str, Duration)>,
        tags: impl Iterator<Item = (&'a str, Duration)>,
    ) -> Self {
        let folded = |(name, every): (&str, Duration)| (name.to_ascii_lowercase(), every);
        Self { apps: apps.map(folded).collect(), tags: tags.map(folded).collect() }
    }

    /// The shortest that an app and tags ask for.
    fn of(&self, app: &str, tags: &[String]) -> Option<Duration> {
        if self.apps.is_empty() && self.tags.is_empty() {
            return None;
        }
        let by_app = self.apps.get(&app.to_ascii_lowercase());
        let by_tag = tags.iter().filter_map(|tag| self.tags.get(&tag.to_ascii_lowercase()));
        by_app.into_iter().chain(by_tag).min().copied()
    }

    /// Writes into a credential when it is due.
    pub(crate) fn note(&self, credential: &mut Credential) {
        let every = self.of(&credential.app, &credential.tags);
        credential.rotate_due = rotate_due(credential.token.as_ref(), every);
    }
}

/// When a token is to be rotated: so long after its sign-in, or after the refresh that last
/// brought another refresh token, whichever is newer. A refused token needs a sign-in anyway.
fn rotate_due(token: Option<&TokenSummary>, every: Option<Duration>) -> Option<UnixMillis> {
    let token = token.filter(|token| token.refused.is_none())?;
    let last = token.signed_in_at.max(token.rotated_at.unwrap_or(token.signed_in_at));
    Some(last.plus(every?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::app::Flow;
    use crate::domain::credential::Cause;
    use crate::domain::host::InstanceUrl;
    use crate::domain::token::{Expiry, Generation};

    const DAY: u64 = 86_400;

    fn token(signed_in: i64, rotated: Option<i64>, refused: Option<Cause>) -> TokenSummary {
        TokenSummary {
            instance_url: InstanceUrl::from_stored("https://acme.my.salesforce.com".into()),
            // A refresh that brings no other refresh token moves this alone.
            issued_at: UnixMillis(9_000_000_000),
            expiry: Expiry { at: UnixMillis(9_100_000_000), known: false },
            scopes: Vec::new(),
            flow: Flow::Paste,
            generation: Generation(1),
            signed_in_at: UnixMillis(signed_in),
            refused,
            refreshable: true,
            rotated_at: rotated.map(UnixMillis),
        }
    }

    #[test]
    fn the_newest_of_sign_in_and_rotation_counts() {
        let day = Some(Duration::from_secs(DAY));
        let table = [
            ("no token", None, day, None),
            ("no rule", Some(token(1_000, None, None)), None, None),
            ("signed in", Some(token(1_000, None, None)), day, Some(86_401_000)),
            ("rotated since", Some(token(1_000, Some(5_000), None)), day, Some(86_405_000)),
            ("signed in since", Some(token(7_000, Some(5_000), None)), day, Some(86_407_000)),
            ("refused", Some(token(1_000, None, Some(Cause::Revoked))), day, None),
        ];
        for (name, token, every, expected) in table {
            assert_eq!(rotate_due(token.as_ref(), every), expected.map(UnixMillis), "{name}");
        }
    }

    #[test]
    fn the_shortest_of_app_and_tags_counts() {
        let days = |count: u64| Duration::from_secs(count * DAY);
        let every = RotateEvery::new(
            [("Default", days(90)), ("ci", days(5))].into_iter(),
            [("pci", days(30)), ("EU", days(10))].into_iter(),
        );
        let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let table = [
            ("default", tags(&[]), Some(90)),
            ("default", tags(&["other"]), Some(90)),
            ("DEFAULT", tags(&["pci"]), Some(30)),
            ("default", tags(&["pci", "eu"]), Some(10)),
            ("ci", tags(&["pci", "eu"]), Some(5)),
            ("unknown", tags(&[]), None),
            ("unknown", tags(&["PCI"]), Some(30)),
        ];
        for (app, tags, expected) in table {
            assert_eq!(every.of(app, &tags), expected.map(days), "{app} {tags:?}");
        }
        assert_eq!(RotateEvery::default().of("default", &tags(&["eu"])), None);
    }

    #[test]
    fn where_nobody_knows_a_refresh_tells() {
        let signed_in =
            |token: TokenSummary| TokenSummary { issued_at: token.signed_in_at, ..token };
        let plain = signed_in(token(1, None, None));
        // A refresh has moved the time of issue, and brought no other refresh token.
        let kept = token(1, None, None);
        let seen = token(1, Some(2), None);
        let single = TokenSummary { refreshable: false, ..token(1, None, None) };
        let table = [
            (Rotation::Yes, &plain, RotationWay::Refresh),
            (Rotation::Unknown, &plain, RotationWay::Refresh),
            (Rotation::Unknown, &kept, RotationWay::SignIn),
            (Rotation::Yes, &kept, RotationWay::Refresh),
            (Rotation::No, &plain, RotationWay::SignIn),
            (Rotation::No, &seen, RotationWay::Refresh),
            (Rotation::Yes, &single, RotationWay::SignIn),
        ];
        for (rotation, token, way) in table {
            assert_eq!(RotationWay::of(rotation, Some(token)), way, "{rotation:?} {token:?}");
        }
    }

    #[test]
    fn who_holds_a_token_is_told_in_words() {
        let taken = |program: &str, terminal: &str| Taken {
            at: UnixMillis(0),
            program: program.into(),
            terminal: terminal.into(),
        };
        assert_eq!(taken("nightly.sh", "/dev/pts/3").holder(), "nightly.sh on pts/3");
        assert_eq!(taken("cron", "").holder(), "cron");
        assert_eq!(taken("", "").holder(), "a program");
    }
}
