//! A hold: nothing of a credential is handed out, refreshed or signed in until it is released.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::time::UnixMillis;

/// Who put a credential on hold, since when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// The admin's own words, cleaned.
    pub(crate) reason: String,
    /// Who, in words; empty where nobody knows.
    pub(crate) by: String,
    /// Since when.
    pub(crate) since: UnixMillis,
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, by, since } = self;
        write!(formatter, "{reason} (since {}", since.rfc3339())?;
        if !by.is_empty() {
            write!(formatter, ", by {by}")?;
        }
        formatter.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_says_why_since_when_and_by_whom() {
        let mut hold = Hold { reason: "audit".into(), by: "ana".into(), since: UnixMillis(0) };
        assert_eq!(hold.to_string(), "audit (since 1970-01-01T00:00:00Z, by ana)");
        hold.by.clear();
        assert_eq!(hold.to_string(), "audit (since 1970-01-01T00:00:00Z)");
    }
}
