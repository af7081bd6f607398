//! The device authorization grant in Salesforce's dialect: Salesforce OAuth facts 3.4. It is not
//! RFC 8628: the token endpoint starts it, the grant is called `device`, the device code is sent as
//! `code`, and the answer tells no end.
//!
//! When to poll again is the engine's matter; here is what is sent, and what an answer means.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use super::{Client, TOKEN_ENDPOINT, accept_oauth, text_field, token_response, unreadable};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::LoginUrl;
use crate::domain::http::{Method, Purpose, Request, Response};

/// How long both codes live where the answer does not say (facts 3.4).
const LIFE: Duration = Duration::from_secs(10 * 60);
/// Longest life that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(3600);
/// Seconds between two polls where the answer names none (RFC 8628 section 3.2).
const INTERVAL: u64 = 5;
/// Longest interval that is believed, in seconds.
const LONGEST_INTERVAL: u64 = 60;
/// What a `slow_down` adds to the interval (RFC 8628 section 3.5).
pub(crate) const SLOWER_BY: Duration = Duration::from_secs(5);
/// Longest user code, in characters; Salesforce's have 8.
const USER_CODE_LIMIT: usize = 32;
/// Longest device code and URL, in bytes.
const TEXT_LIMIT: usize = 2_048;

/// What a set-up by device flow begins with. Its `Debug` shows no device code.
pub(crate) struct DeviceAuthorization {
    /// Presented at each poll. A secret: whoever has it gets the token.
    pub(crate) device_code: SecretString,
    /// What the person types.
    pub(crate) user_code: String,
    /// Where it is typed, as answered; whose host it is has to be checked.
    pub(crate) verification_uri: String,
    /// At least so long between two polls.
    pub(crate) interval: Duration,
    /// How long both codes live.
    pub(crate) life: Duration,
}

impl std::fmt::Debug for DeviceAuthorization {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("DeviceAuthorization")
            .field("user_code", &self.user_code)
            .field("verification_uri", &self.verification_uri)
            .finish_non_exhaustive()
    }
}

/// Asks for the codes. It spends nothing.
pub(crate) fn start_request(login_url: &LoginUrl, client_id: &str, scopes: &[String]) -> Request {
    let mut form = vec![("response_type", "device_code".into()), ("client_id", client_id.into())];
    if !scopes.is_empty() {
        form.push(("scope", scopes.join(" ").into()));
    }
    Request {
        method: Method::Post,
        url: login_url.endpoint(TOKEN_ENDPOINT),
        purpose: Purpose::Question,
        form,
        bearer: None,
    }
}

/// Reads the codes.
pub(crate) fn start_response(
    host: &str,
    response: &Response,
) -> Result<DeviceAuthorization, Fault> {
    accept_oauth(host, response)?;
    let refuse = |why: &str| unreadable(host, response.status, why);
    let value: Value = serde_json::from_slice(&response.body).map_err(|_| refuse("no JSON"))?;
    let text = |name: &str| {
        text_field(&value, name)
            .filter(|text| text.len() <= TEXT_LIMIT && text.bytes().all(|c| c.is_ascii_graphic()))
            .filter(|text| !text.is_empty())
            .ok_or_else(|| refuse(&format!("no '{name}'")))
    };
    let user_code = text("user_code")?;
    let is_code = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if user_code.len() > USER_CODE_LIMIT || !user_code.chars().all(is_code) {
        return Err(refuse("a 'user_code' that nobody can type"));
    }
    let verification_uri = text("verification_uri").or_else(|_| text("verification_url"))?;
    let seconds = |name: &str| match value.get(name) {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
        None => None,
    };
    let life = seconds("expires_in").map_or(LIFE, Duration::from_secs).min(LONGEST_LIFE);
    Ok(DeviceAuthorization {
        device_code: text("device_code")?.into(),
        user_code,
        verification_uri,
        interval: Duration::from_secs(
            seconds("interval").unwrap_or(INTERVAL).clamp(1, LONGEST_INTERVAL),
        ),
        life,
    })
}

/// Asks whether the person approved; the answer may be the token.
pub(crate) fn poll_request(
    login_url: &LoginUrl,
    client: &Client<'_>,
    device_code: &SecretString,
) -> Request {
    client.spend(login_url, vec![("grant_type", "device".into()), ("code", device_code.clone())])
}

/// Whether an answer may hold a token, told without reading it as JSON: such a one has to be
/// durable before anybody looks into it.
pub(crate) fn may_hold_token(response: &Response) -> bool {
    let names = |name: &[u8]| response.body.windows(name.len()).any(|part| part == name);
    response.status == 200 || names(b"access_token") || names(b"refresh_token")
}

/// What the answer to a poll means.
#[derive(Debug)]
pub(crate) enum Polled {
    /// A token is in it, good or not: it is settled as that of every sign-in.
    Token,
    /// The person has not answered yet.
    Pending,
    /// The same, and the interval is to grow.
    SlowDown,
    /// Nothing that says what became of the code; the next poll tells. `lost` is whether a token
    /// may have been issued to nobody.
    Unclear {
        /// What came instead.
        fault: Fault,
        /// Whether the request may have been looked at.
        lost: bool,
    },
    /// It is over.
    Refused(Fault),
}

/// Reads the answer to a poll.
pub(crate) fn read_poll(
    host: &str,
    response: &Response,
    client_secret: Option<&SecretString>,
) -> Polled {
    use token_response::TokenResponseProblem as Problem;
    let error = match token_response::response(host, response, client_secret) {
        Ok(_) => return Polled::Token,
        Err(error) if error.salvage.is_some() => return Polled::Token,
        Err(error) => error,
    };
    let fault = error.reason.fault(host);
    match (error.reason, fault.kind) {
        (Problem::Refused(_), FaultKind::AuthorizationPending) => Polled::Pending,
        (Problem::Refused(_), FaultKind::SlowDown) => Polled::SlowDown,
        (Problem::Refused(_), kind) if !passes(kind) => Polled::Refused(read_refusal(fault)),
        // 429 and 503 say that the request was not looked at.
        _ => Polled::Unclear { lost: !matches!(response.status, 429 | 503), fault },
    }
}

/// What asking again may mend.
fn passes(kind: FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::AlreadyProcessing
            | FaultKind::ServerError
            | FaultKind::ServerUnavailable
            | FaultKind::Maintenance
            | FaultKind::TooManyRequests
            | FaultKind::HtmlAnswer
            | FaultKind::NotAnOAuthAnswer
            | FaultKind::ProxyFailed
    )
}

/// `invalid_grant` of a device code is about the code, not about a token.
fn read_refusal(fault: Fault) -> Fault {
    match fault.kind {
        FaultKind::GrantRefused | FaultKind::CodeExpired | FaultKind::TokenRefused => {
            fault.of_kind(FaultKind::DeviceCodeRefused)
        }
        _ => fault,
    }
}

#[cfg(test)]
mod tests;
