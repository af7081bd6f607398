//! The filter of dashboard and commands: `env:prod state:needs_setup user:bob org:00D app:x tag:eu
//! is:held is:owed due:7d overdue !word`. All words have to hold; a word with `!` in front must not.

use std::time::Duration;

use crate::domain::host;
use crate::domain::name::Environment;
use crate::domain::packed::{Details, Row};
use crate::domain::time::{UnixMillis, parse_span};

/// What may stand before a colon.
const KEYS: [&str; 8] = ["env", "state", "user", "org", "app", "tag", "is", "due"];

/// A parsed filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// As it was typed, without the blanks around it.
    typed: String,
    /// Its words, and whether each has to hold.
    words: Vec<(bool, Term)>,
}

/// What one word asks for; texts are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Of this environment.
    Environment(Environment),
    /// The state's word contains this.
    State(String),
    /// The username or User ID contains this.
    User(String),
    /// The Org ID contains this.
    Org(String),
    /// The app's name contains this.
    App(String),
    /// One of the tags contains this.
    Tag(String),
    /// It is on hold.
    Held,
    /// A revocation for it is owed.
    Owed,
    /// To be rotated within this span, or before now.
    Due(Duration),
    /// To be rotated before now.
    Overdue,
    /// Name, host or one of the others contains this.
    Any(String),
}

impl Filter {
    /// Reads what was typed; every text is a filter.
    pub(crate) fn parse(typed: &str) -> Self {
        let word = |word: &str| {
            let (wanted, word) = match word.strip_prefix('!') {
                Some(rest) => (false, rest),
                None => (true, word),
            };
            (!word.is_empty()).then(|| (wanted, Term::parse(&word.to_lowercase())))
        };
        Self {
            typed: typed.trim().to_owned(),
            words: typed.split_whitespace().filter_map(word).collect(),
        }
    }

    /// Reads a filter that something is done by: what a search takes for a plain word may be a
    /// mistyped key, and turned by `!` it would let everything pass. The error says what is wrong.
    pub(crate) fn parse_strictly(given: &str) -> Result<Self, String> {
        for word in given.split_whitespace() {
            let (key, value) = word.trim_start_matches('!').split_once(':').unwrap_or(("", word));
            let key = key.to_lowercase();
            if !key.is_empty() && !KEYS.contains(&key.as_str()) {
                return Err(format!("'{key}:' is none of {}:", KEYS.join(":, ")));
            }
            if value.trim_start_matches('!').is_empty() {
                return Err(format!("'{word}' says nothing to look for"));
            }
            if key == "is" && !["held", "owed"].contains(&value.to_lowercase().as_str()) {
                return Err(format!("'{word}' is neither is:held nor is:owed"));
            }
            if key == "env" && !matches!(Self::parse(word).words[..], [(_, Term::Environment(_))]) {
                return Err(format!("'{word}' is neither env:production nor env:sandbox"));
            }
        }
        if let Some(bad) = given.split_whitespace().find(|word| is_bad_due(word)) {
            return Err(format!("'{bad}' says no span: write e.g. due:7d"));
        }
        let filter = Self::parse(given);
        if filter.is_empty() { Err("the filter is empty".to_owned()) } else { Ok(filter) }
    }

    /// What was typed.
    pub(crate) fn typed(&self) -> &str {
        &self.typed
    }

    /// Whether nothing is filtered out.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether a credential passes.
    pub(crate) fn passes(&self, row: &Row<'_>, now: UnixMillis) -> bool {
        self.words.iter().all(|(wanted, term)| term.holds(row, now) == *wanted)
    }
}

impl Term {
    fn parse(word: &str) -> Self {
        let (key, rest) = word.split_once(':').unwrap_or(("", word));
        let rest = rest.to_owned();
        match key {
            "env" => match Environment::parse(&rest) {
                Some(environment) => Self::Environment(environment),
                None if !rest.is_empty() && "production".starts_with(&rest) => {
                    Self::Environment(Environment::Production)
                }
                None if !rest.is_empty() && "sandbox".starts_with(&rest) => {
                    Self::Environment(Environment::Sandbox)
                }
                None => Self::Any(rest),
            },
            "state" => Self::State(rest.replace(' ', "_")),
            "user" => Self::User(rest),
            "org" => Self::Org(rest),
            "app" => Self::App(rest),
            "tag" => Self::Tag(rest),
            "is" if rest == "held" => Self::Held,
            "is" if rest == "owed" => Self::Owed,
            // While the span is being typed: all that have a time.
            "due" => Self::Due(parse_span(&rest).unwrap_or(Duration::MAX)),
            "" if word == "overdue" => Self::Overdue,
            _ => Self::Any(word.to_owned()),
        }
    }

    /// What is read of a row with least effort is looked at first.
    fn holds(&self, row: &Row<'_>, now: UnixMillis) -> bool {
        match self {
            Self::Environment(environment) => row.environment == *environment,
            Self::Held => row.is_held(),
            Self::Owed => row.owes_revocation(),
            Self::State(part) => row.state(now).as_str().contains(part.as_str()),
            Self::Due(within) => row.rotate_due.is_some_and(|due| due <= now.plus(*within)),
            Self::Overdue => row.rotate_due.is_some_and(|due| due <= now),
            Self::Any(part)
                if contains(row.name.as_bytes(), part)
                    || row.environment.as_str().starts_with(part.as_str()) =>
            {
                true
            }
            _ => row.details().is_some_and(|details| self.holds_for(&details)),
        }
    }

    fn holds_for(&self, details: &Details<'_>) -> bool {
        let Details { org_id, user_id, app, tags, .. } = details;
        let username = details.username.as_deref().unwrap_or_default().as_bytes();
        let is_tagged = |part| tags.iter().any(|tag| contains(tag.as_bytes(), part));
        match self {
            Self::Environment(_)
            | Self::State(_)
            | Self::Held
            | Self::Owed
            | Self::Due(_)
            | Self::Overdue => false,
            Self::User(part) => contains(username, part) || contains(user_id, part),
            Self::Org(part) => contains(org_id, part),
            Self::App(part) => contains(app.as_bytes(), part),
            Self::Tag(part) => is_tagged(part),
            Self::Any(part) => {
                contains(username, part)
                    || contains(host::host_of(&details.login_url).as_bytes(), part)
                    || contains(org_id, part)
                    || contains(user_id, part)
                    || is_tagged(part)
            }
        }
    }
}

/// Whether a word is about a due time and says no span.
fn is_bad_due(word: &str) -> bool {
    let word = word.trim_start_matches('!').to_lowercase();
    word.strip_prefix("due:").is_some_and(|span| parse_span(span).is_err())
}

/// Whether `text` contains `part`, which is in lower case, without regard to ASCII case and
/// without a copy: it runs over every row at every key.
fn contains(text: &[u8], part: &str) -> bool {
    let part = part.as_bytes();
    let Some((first, rest)) = part.split_first() else { return true };
    let Some(last) = text.len().checked_sub(part.len()) else { return false };
    // Most places fail at their first byte.
    text[..=last].iter().enumerate().any(|(at, byte)| {
        byte.to_ascii_lowercase() == *first
            && text[at + 1..at + part.len()].eq_ignore_ascii_case(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_something_is_done_by_must_not_be_mistyped() {
        for good in [
            "acme",
            "env:prod",
            "!tag:eu",
            "state:needs_setup user:bob",
            "ENV:SANDBOX",
            "due:7d",
            "!overdue",
            "!is:held",
        ] {
            assert_eq!(Filter::parse_strictly(good), Ok(Filter::parse(good)), "{good}");
        }
        for bad in [
            "",
            " ",
            "!",
            "!tga:eu",
            "tag:",
            "!tag:",
            "env:prdo",
            "env:",
            "acme stat:x",
            "due:7",
            "!due:",
            "is:old",
        ] {
            assert!(Filter::parse_strictly(bad).is_err(), "{bad}");
        }
    }
}
