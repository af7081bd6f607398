//! Names of connections and how a credential is addressed: `acme`, `acme/production`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::text;

/// Longest name of a connection, in characters.
const NAME_LIMIT: usize = 64;

/// Which of a connection's two sets of IDs and tokens is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Environment {
    /// Production, a Developer Edition or a Trailhead org.
    Production,
    /// A sandbox or a scratch org.
    Sandbox,
}

impl Environment {
    /// The word in addresses, JSON and flags.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Production => Self::Sandbox,
            Self::Sandbox => Self::Production,
        }
    }

    /// Reads the word, or one of its common short forms.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "production" | "prod" => Some(Self::Production),
            "sandbox" | "sbx" => Some(Self::Sandbox),
            _ => None,
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why a text is no name or no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    /// Nothing was entered.
    #[error("the name is empty")]
    Empty,
    /// Longer than 64 characters.
    #[error("the name has {0} characters; 64 are the most")]
    TooLong(usize),
    /// It starts with a dot, a dash or an underscore.
    #[error("the name starts with '{0}'; it starts with a letter or a digit")]
    FirstCharacter(String),
    /// A character other than letters, digits, `.`, `_` and `-`.
    #[error(
        "character {position} of the name is {shown}; a name has letters, digits, '.', '_' and '-'"
    )]
    Character {
        /// Counted from 1.
        position: usize,
        /// The character in quotes, made printable.
        shown: String,
    },
    /// What follows the slash is no environment.
    #[error("'{0}' is no environment: write NAME/production or NAME/sandbox")]
    Environment(String),
}

/// One character as it may stand between quotes.
fn shown(character: char) -> String {
    if character.is_whitespace() {
        "a blank".to_owned()
    } else {
        format!("'{}'", text::clean(&character.to_string()))
    }
}

/// The name of a connection: 1 to 64 letters, digits, `.`, `_`, `-`, unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ConnectionName(String);

impl ConnectionName {
    /// Parses a name; blanks around it are dropped.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let name = text.trim();
        let Some(first) = name.chars().next() else { return Err(NameError::Empty) };
        let length = name.chars().count();
        if length > NAME_LIMIT {
            return Err(NameError::TooLong(length));
        }
        for (index, character) in name.chars().enumerate() {
            if !character.is_ascii_alphanumeric() && !matches!(character, '.' | '_' | '-') {
                let shown = shown(character);
                return Err(NameError::Character { position: index + 1, shown });
            }
        }
        if first.is_ascii_alphanumeric() {
            Ok(Self(name.to_owned()))
        } else {
            Err(NameError::FirstCharacter(first.to_string()))
        }
    }

    /// As the admin wrote it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form by which names are compared.
    pub(crate) fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl TryFrom<String> for ConnectionName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<ConnectionName> for String {
    fn from(name: ConnectionName) -> Self {
        name.0
    }
}

/// What a command's NAME says: a connection, with or without its environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Target {
    /// The connection.
    pub(crate) name: ConnectionName,
    /// The environment, where it was written; otherwise the one in use is meant.
    pub(crate) environment: Option<Environment>,
}

impl Target {
    /// Parses `NAME` or `NAME/ENVIRONMENT`.
    pub(crate) fn parse(text: &str) -> Result<Self, NameError> {
        let (name, environment) = match text.split_once('/') {
            None => (text, None),
            Some((name, word)) => {
                let environment = Environment::parse(word)
                    .ok_or_else(|| NameError::Environment(text::clean(word)))?;
                (name, Some(environment))
            }
        };
        Ok(Self { name: ConnectionName::parse(name)?, environment })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.environment {
            None => write!(formatter, "{}", self.name),
            Some(environment) => write!(formatter, "{}/{environment}", self.name),
        }
    }
}

/// The full address of one credential, `acme/production`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Address {
    /// The connection.
    pub(crate) name: ConnectionName,
    /// The environment.
    pub(crate) environment: Environment,
}

impl Address {
    /// The same credential, as a target that leaves nothing open.
    pub(crate) fn target(&self) -> Target {
        Target { name: self.name.clone(), environment: Some(self.environment) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}/{}", self.name, self.environment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_grammar() {
        for name in ["acme", "A", "0", "acme-uat.2_x", &"n".repeat(64)] {
            assert_eq!(ConnectionName::parse(name).map(String::from), Ok(name.to_owned()));
        }
        let table = [
            ("", "the name is empty"),
            ("a/b", "character 2 of the name is '/'; a name has letters, digits, '.', '_' and '-'"),
            (
                "a b",
                "character 2 of the name is a blank; a name has letters, digits, '.', '_' and '-'",
            ),
            ("-rf", "the name starts with '-'; it starts with a letter or a digit"),
            (
                "../x",
                "character 3 of the name is '/'; a name has letters, digits, '.', '_' and '-'",
            ),
            (
                "a\u{1b}[2J",
                "character 2 of the name is '\u{fffd}'; a name has letters, digits, '.', '_' and '-'",
            ),
            (
                "acmé",
                "character 4 of the name is 'é'; a name has letters, digits, '.', '_' and '-'",
            ),
            (&"n".repeat(300), "the name has 300 characters; 64 are the most"),
        ];
        for (name, message) in table {
            assert_eq!(ConnectionName::parse(name).unwrap_err().to_string(), message, "{name:?}");
        }
    }

    #[test]
    fn targets_name_a_connection_or_one_of_its_environments() {
        let plain = Target::parse("acme").unwrap();
        assert_eq!((plain.name.as_str(), plain.environment), ("acme", None));
        let full = Target::parse("acme/sandbox").unwrap();
        assert_eq!(
            (full.to_string(), full.environment),
            ("acme/sandbox".into(), Some(Environment::Sandbox))
        );
        assert_eq!(Target::parse("acme/prod").unwrap().to_string(), "acme/production");
        assert_eq!(
            Target::parse("acme/uat").unwrap_err().to_string(),
            "'uat' is no environment: write NAME/production or NAME/sandbox"
        );
    }
}
