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
use crate::domain::http::{Response, TlsProblem, TransportError, TransportFailure};
use crate::domain::http_time::ClockOffset;
use crate::domain::text::{self, SecretKind};
use crate::domain::time::UnixMillis;

pub(crate) use classify::{
    classify_api, classify_authorize, classify_token_endpoint, classify_unreadable,
};
pub(crate) use table::FaultKind;

/// Length from which an unbroken word of a server's text counts as a secret, in characters.
/// Salesforce's own words are shorter; device codes, opaque tokens and client secrets are longer.
const LONG_WORD: usize = 40;

/// Stands before the remedy of a lost answer to an authorization code.
const CODE_AT_RISK: &str = "the code may be spent: open the same address again, sign in, and paste the new address; if this comes back: ";

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
    /// What the circumstances add.
    #[serde(default)]
    circumstances: Circumstances,
}

/// What is told of a fault beside what its kind says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Circumstances {
    /// Not before then may be asked again.
    retry_at: Option<UnixMillis>,
    /// This machine's clock is wrong, or the server's.
    clock_offset: Option<ClockOffset>,
    /// An authorization code was sent, and it is not known what became of it.
    code_at_risk: bool,
}

impl Fault {
    /// A fault of a known kind. Host and detail are cleaned and masked here.
    pub(crate) fn new(kind: FaultKind, host: &str, detail: &str, status: Option<u16>) -> Self {
        let host = text::clean_and_mask(host);
        Self { kind, host, detail: mask(detail), status, circumstances: Circumstances::default() }
    }

    /// The same, with what the answer tells of times: when to try again, where that helps, and how
    /// far off a clock is.
    pub(crate) fn timed(mut self, response: &Response) -> Self {
        let passes = self.outcome() == CheckOutcome::Unreachable;
        let wait = response.retry_after.filter(|_| passes);
        self.circumstances.retry_at = wait.map(|wait| response.received_at.plus(wait));
        self.circumstances.clock_offset = response.clock_offset();
        self
    }

    /// The same, of a request with an authorization code that may be spent now: a code is of one
    /// use, and the answer to its use was lost.
    pub(crate) fn with_code_at_risk(mut self) -> Self {
        self.circumstances.code_at_risk = true;
        self
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

    /// The same of another kind, where the caller knows what was refused.
    pub(crate) fn of_kind(mut self, kind: FaultKind) -> Self {
        self.kind = kind;
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
        let message = if what.contains("{}") {
            format!("{} {}", self.host, what.replace("{}", &self.detail))
        } else if self.detail.is_empty() {
            format!("{} {what}", self.host)
        } else {
            format!("{} {what} ({})", self.host, self.detail)
        };
        match self.circumstances.clock_offset {
            Some(offset) => format!("{message}; {offset}"),
            None => message,
        }
    }

    /// What to do next, in Salesforce's own words.
    pub(crate) fn remedy(&self) -> String {
        let Circumstances { retry_at, clock_offset, code_at_risk } = self.circumstances;
        let mut remedy = self.kind.row().remedy.to_owned();
        if let Some(at) = retry_at {
            let when = format!("try again after {}", at.minute_after());
            let vague = ["wait and try again", "try again later"];
            remedy = match vague.into_iter().find(|words| remedy.contains(words)) {
                Some(words) => remedy.replacen(words, &when, 1),
                None => format!("{when}; {remedy}"),
            };
        }
        if code_at_risk {
            remedy.insert_str(0, CODE_AT_RISK);
        }
        if clock_offset.is_some() {
            remedy = format!("{remedy}; {}", ClockOffset::REMEDY);
        }
        remedy
    }
}

impl From<&TransportError> for Fault {
    fn from(error: &TransportError) -> Self {
        let (kind, detail) = match &error.failure {
            TransportFailure::Refused(why) => (FaultKind::HostRefused, why.clone()),
            TransportFailure::UnknownHost => (FaultKind::HostUnknown, String::new()),
            TransportFailure::Connect(why) => (FaultKind::ConnectFailed, why.clone()),
            TransportFailure::Cut => (FaultKind::ConnectionCut, String::new()),
            TransportFailure::Tls(problem, why) => (tls_kind(*problem), why.clone()),
            TransportFailure::Proxy(proxy) => (FaultKind::ProxyFailed, proxy.clone()),
            TransportFailure::Timeout(seconds) => (FaultKind::Timeout, format!("{seconds} s")),
            TransportFailure::Interrupted => (FaultKind::Interrupted, String::new()),
            TransportFailure::NotHttp => (FaultKind::NotAnOAuthAnswer, "no HTTP".to_owned()),
            TransportFailure::TooLarge(limit) => (FaultKind::AnswerTooLarge, limit.to_string()),
        };
        Self::new(kind, &error.host, &detail, None)
    }
}

fn tls_kind(problem: TlsProblem) -> FaultKind {
    match problem {
        TlsProblem::Expired => FaultKind::TlsCertificateExpired,
        TlsProblem::NotYetValid => FaultKind::TlsCertificateNotYetValid,
        TlsProblem::UnknownIssuer => FaultKind::TlsIssuerUnknown,
        TlsProblem::WrongName => FaultKind::TlsNameMismatch,
        TlsProblem::Version => FaultKind::TlsVersionRefused,
        TlsProblem::NoTls => FaultKind::TlsMissing,
        TlsProblem::Other => FaultKind::TlsFailed,
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
