//! A secret inside an operation or an outcome.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is shown nowhere: `Debug` is redacted, the memory is wiped.
///
/// It can be serialized for one place only, the agent's private socket; what people and scripts
/// get as JSON is made from types that hold none.
#[derive(Clone)]
pub(crate) struct Sensitive(pub(crate) SecretString);

impl Sensitive {
    /// Takes a text over.
    pub(crate) fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Whether nothing is in it.
    #[expect(clippy::disallowed_methods, reason = "only the length is looked at")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl PartialEq for Sensitive {
    #[expect(clippy::disallowed_methods, reason = "compared without telling where they differ")]
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (self.0.expose_secret().as_bytes(), other.0.expose_secret().as_bytes());
        left.len() == right.len()
            && left.iter().zip(right).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl Eq for Sensitive {}

impl Serialize for Sensitive {
    #[expect(clippy::disallowed_methods, reason = "frames of the agent's private socket")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_compares_by_content() {
        let secret = Sensitive::new("5Aep861canary".into());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret, Sensitive::new("5Aep861canary".into()));
        assert_ne!(secret, Sensitive::new("5Aep861canarY".into()));
    }
}
