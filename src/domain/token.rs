//! A token set: what a token response brought, and what it belongs to.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::domain::app::Flow;
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::id::{OrgId, UserId};
use crate::domain::time::UnixMillis;

/// Counts the token sets of a credential. It never decreases; a result computed from an older one
/// is dropped.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Generation(pub(crate) u64);

impl Generation {
    /// The one after this.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What part a token set plays for its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenRole {
    /// The one that is handed out; at most one.
    Active,
    /// Signed in, but not yet tested and promoted; at most one.
    Candidate,
    /// Replaced; works until nobody needs it, then it is revoked.
    Draining,
    /// Received but not fit to serve (a lost fence, a refresh for another account).
    Orphan,
}

impl TokenRole {
    /// The word in the store.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Candidate => "candidate",
            Self::Draining => "draining",
            Self::Orphan => "orphan",
        }
    }

    /// Reads the word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Candidate, Self::Draining, Self::Orphan]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// When an access token ends, and whether the server said so (design: expiry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expiry {
    /// The end.
    pub(crate) at: UnixMillis,
    /// From a JWT's `exp` or an introspection; otherwise assumed from the session timeout.
    pub(crate) known: bool,
}

impl Expiry {
    /// The assumed end of an opaque access token: the session lives `session_timeout` from its
    /// issue or its last proven use.
    pub(crate) fn assumed(last_use: UnixMillis, session_timeout: Duration) -> Self {
        Self { at: last_use.plus(session_timeout), known: false }
    }
}

/// A token set with its secrets, as it is sealed. Its `Debug` shows none of them.
#[derive(Clone)]
pub(crate) struct TokenSet {
    /// RFC 6749 section 1.4.
    pub(crate) access_token: SecretString,
    /// RFC 6749 section 1.5; absent for grants that give none.
    pub(crate) refresh_token: Option<SecretString>,
    /// Where the access token is used.
    pub(crate) instance_url: InstanceUrl,
    /// The identity URL, `https://HOST/id/ORG/USER`.
    pub(crate) identity_url: String,
    /// Org as Salesforce answered it.
    pub(crate) org_id: OrgId,
    /// User as Salesforce answered it.
    pub(crate) user_id: UserId,
    /// Login host that issued it; the token endpoint for its refresh.
    pub(crate) login_url: LoginUrl,
    /// The client that it was issued to.
    pub(crate) client_id: String,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// How it was set up.
    pub(crate) flow: Flow,
    /// When Salesforce issued it.
    pub(crate) issued_at: UnixMillis,
    /// The `exp` of a JWT access token.
    pub(crate) known_expiry: Option<UnixMillis>,
    /// Whether a refresh ever answered another refresh token than it was asked with.
    pub(crate) rotated: bool,
}

impl std::fmt::Debug for TokenSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenSet")
            .field("org_id", &self.org_id)
            .field("user_id", &self.user_id)
            .field("instance_url", &self.instance_url)
            .field("issued_at", &self.issued_at)
            .finish_non_exhaustive()
    }
}
