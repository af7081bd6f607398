//! What can go wrong between us and Salesforce: every error row of Salesforce OAuth facts
//! section 5 with its outcome, cause, message and remedy, in one table.
//!
//! [`table`] is that table, [`classify`] reads a refusal and finds its row. What is not here: the
//! transport (`net` says what kept an answer away), and what a caller knows beside the answer,
//! such as why a refresh token was refused.

mod classify;
mod table;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::domain::credential::{Cause, CheckOutcome};
use crate::domain::http::{TransportError, TransportFailure};
use crate::domain::text::{self, SecretKind};

pub(crate) use classify::{classify_api, classify_authorize, classify_token_endpoint};
pub(crate) use table::FaultKind;

/// Length from which an unbroken word of a server's text counts as a secret, in characters.
/// Salesforce's own words are shorter; device codes, opaque tokens and client secrets are longer.
const LONG_WORD: usize = 40;

/// One thing that went wrong, ready to be shown, stored and sent. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Its row.
    pub(crate) kind: FaultKind,
    /// The host that answered or was meant, cleaned.
    pub(crate) host: String,
    /// The server's own words, cleaned and masked, or the limit that was passed; may be empty.
    pub(crate) detail: String,
    /// The HTTP status; `None` where no answer came.
    pub(crate) status: Option<u16>,
}

impl Fault {
    /// A fault of a known kind. Host and detail are cleaned and masked here.
    pub(crate) fn new(kind: FaultKind, host: &str, detail: &str, status: Option<u16>) -> Self {
        Self { kind, host: text::clean_and_mask(host), detail: mask(detail), status }
    }

    /// The same, and what of an authorization request was refused: Salesforce does not name the
    /// redirect URI or the scopes that it got.
    pub(crate) fn of_request(mut self, authorization_url: &str) -> Self {
        let parameter = match self.kind {
            FaultKind::RedirectUriMismatch => "redirect_uri",
            FaultKind::InvalidScope => "scope",
            _ => return self,
        };
        let Ok(url) = url::Url::parse(authorization_url) else { return self };
        if let Some((_, asked)) = url.query_pairs().find(|(name, _)| name == parameter) {
            self.detail = format!("{}; orgkey asked for {}", self.detail, text::clean(&asked));
        }
        self
    }

    /// The outcome of the check that met it.
    pub(crate) fn outcome(&self) -> CheckOutcome {
        self.kind.row().outcome
    }

    /// Why a new set-up is needed, where it is; [`Cause::Unknown`] where the caller knows better.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.kind.row().cause
    }

    /// Whether one refresh and one repetition are worth while (facts 5.2, class R).
    pub(crate) fn wants_refresh(&self) -> bool {
        matches!(self.kind, FaultKind::SessionExpired | FaultKind::InstanceMoved)
    }

    /// The stable word for JSON.
    pub(crate) fn code(&self) -> &'static str {
        self.kind.row().code
    }

    /// What happened and why: one line, lower case, names the host.
    pub(crate) fn message(&self) -> String {
        let what = self.kind.row().what;
        if what.contains("{}") {
            format!("{} {}", self.host, what.replace("{}", &self.detail))
        } else if self.detail.is_empty() {
            format!("{} {what}", self.host)
        } else {
            format!("{} {what} ({})", self.host, self.detail)
        }
    }

    /// What to do next, in Salesforce's own words.
    pub(crate) fn remedy(&self) -> String {
        self.kind.row().remedy.to_owned()
    }
}

impl From<&TransportError> for Fault {
    fn from(error: &TransportError) -> Self {
        let (kind, detail) = match &error.failure {
            TransportFailure::Refused(why) => (FaultKind::HostRefused, why.clone()),
            TransportFailure::UnknownHost => (FaultKind::HostUnknown, String::new()),
            TransportFailure::Connect(why) => (FaultKind::ConnectFailed, why.clone()),
            TransportFailure::Tls(why) => (FaultKind::TlsFailed, why.clone()),
            TransportFailure::Proxy(proxy) => (FaultKind::ProxyFailed, proxy.clone()),
            TransportFailure::Timeout(seconds) => (FaultKind::Timeout, format!("{seconds} s")),
            TransportFailure::Interrupted => (FaultKind::Interrupted, String::new()),
            TransportFailure::NotHttp => (FaultKind::NotAnOAuthAnswer, "no HTTP".to_owned()),
            TransportFailure::TooLarge(limit) => (FaultKind::AnswerTooLarge, limit.to_string()),
        };
        Self::new(kind, &error.host, &detail, None)
    }
}

/// Cleans a server's text and takes out what looks like a secret. A key in PEM spans many words,
/// so its whole text goes; so does any word too long to be one.
fn mask(server_text: &str) -> String {
    if matches!(
        text::secret_kind(server_text),
        Some(SecretKind::PrivateKey | SecretKind::AgeIdentity | SecretKind::SfdxAuthUrl)
    ) {
        return "[redacted]".to_owned();
    }
    let words: Vec<&str> = server_text
        .split_whitespace()
        .map(|word| if is_secret_word(word) { "[redacted]" } else { word })
        .collect();
    text::clean_and_mask(&words.join(" "))
}

/// Wider than [`text::secret_kind`]: the beginnings of secrets count anywhere in a word.
fn is_secret_word(word: &str) -> bool {
    word.chars().count() >= LONG_WORD
        || ["5Aep", "aPrx", "eyJ"].iter().any(|beginning| word.contains(beginning))
        || (word.contains("00D") && word.contains('!'))
        || text::secret_kind(word).is_some()
}
