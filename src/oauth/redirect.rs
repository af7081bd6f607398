//! Reads what the admin pastes back after the sign-in: the redirect (RFC 6749 section 4.1.2, RFC
//! 8252), whole, cut, or something else altogether. Salesforce OAuth facts 3.2.
//!
//! Nothing of a pasted host is ever used: the code goes to the login host of the authorization.
//! Nothing pasted is echoed, but for Salesforce's own error text, cleaned and masked.

mod misplaced;
mod query;
#[cfg(test)]
mod tests;

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::domain::fault::{Fault, classify_authorize};
pub(crate) use misplaced::Misplaced;
use query::Parameters;

/// Longest paste that is read, in bytes.
pub(crate) const PASTE_LIMIT: usize = 8 * 1024;
/// Shortest text that can be a code, in characters; Salesforce's have some 60.
const CODE_MINIMUM: usize = 16;
/// Shortest text without Salesforce's mark that is taken for a code, in characters.
const FOREIGN_CODE_MINIMUM: usize = 40;
/// How codes of Salesforce begin.
const CODE_BEGINNING: &str = "aPrx";
/// How they end.
const CODE_END: &str = "==";

/// What the redirect must agree with.
pub(crate) struct ExpectedRedirect<'a> {
    /// The `state` of the authorization.
    pub(crate) state: &'a SecretString,
    /// Its redirect URI, named in the remedies.
    pub(crate) redirect_uri: &'a str,
    /// Its login host, named in Salesforce's refusals.
    pub(crate) login_host: &'a str,
}

/// An authorization code (RFC 6749 section 1.3.1): a secret until it is exchanged.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationCode(pub(crate) SecretString);

/// Why a paste gives no code. The authorization stays pending after each but [`Self::Refused`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RedirectError {
    /// Nothing but blanks.
    #[error("nothing was pasted")]
    Empty,
    /// Larger than the cap.
    #[error("the paste has {0} bytes; {PASTE_LIMIT} are the most")]
    TooLong(usize),
    /// Salesforce, or the user on its page, said no.
    #[error("{}", .0.message())]
    Refused(Fault),
    /// The beginning or the end is missing.
    #[error("the pasted text was cut: it breaks off after {0} characters")]
    Cut(usize),
    /// An address with a code and without `state`.
    #[error("the pasted address has no state: it was cut, or it is not of this sign-in")]
    StateMissing,
    /// The `state` of another attempt.
    #[error("the pasted address belongs to another attempt to sign in")]
    WrongState,
    /// Two different codes in one paste.
    #[error("two addresses were pasted at once")]
    TwoAddresses,
    /// The address that opens the sign-in, not the one at its end.
    #[error("this is the address that starts the sign-in, not the one it ends at")]
    AuthorizationUrl,
    /// Some other address.
    #[error("the pasted address has no code in it: the sign-in is not finished there")]
    NoCode,
    /// A secret or a name that belongs elsewhere.
    #[error("this is no authorization code but {0}")]
    Misplaced(Misplaced),
    /// Anything else, e.g. a password.
    #[error("this is neither the address that the browser ended at nor a code")]
    NotACode,
}

impl RedirectError {
    /// What to do next.
    pub(crate) fn remedy(&self, expected: &ExpectedRedirect<'_>) -> String {
        let whole = format!(
            "copy the whole address bar of the browser after the sign-in (it begins with {} and has code= and state= in it) and paste it here",
            expected.redirect_uri
        );
        match self {
            Self::Empty | Self::TooLong(_) | Self::Cut(_) | Self::StateMissing => whole,
            Self::TwoAddresses => format!("{whole}, once"),
            Self::Refused(fault) => fault.remedy(),
            Self::WrongState => {
                format!("sign in by the address shown last, then {whole}; older tabs are of no use")
            }
            Self::AuthorizationUrl => {
                format!("open it in a browser on your own machine and sign in; then {whole}")
            }
            Self::NoCode => format!("finish the sign-in and press Allow; then {whole}"),
            Self::Misplaced(what) => format!("{}; then {whole}", what.advice()),
            Self::NotACode => {
                format!("if it was a password or another secret, it went no further; {whole}")
            }
        }
    }
}

/// Most words behind the address, e.g. of a mail, that are tried to be left out.
const TRAILING_WORDS: usize = 32;

/// Reads a paste: the whole redirect with any host, `code=...&state=...`, or the bare code, with
/// line breaks, blanks and quotes of a terminal or a mail in it, and words before and behind.
pub(crate) fn read_redirect(
    pasted: &str,
    expected: &ExpectedRedirect<'_>,
) -> Result<AuthorizationCode, RedirectError> {
    if pasted.len() > PASTE_LIMIT {
        return Err(RedirectError::TooLong(pasted.len()));
    }
    let whole = read_words(pasted, expected);
    let may_trail = matches!(
        whole,
        Err(RedirectError::WrongState | RedirectError::NotACode | RedirectError::Cut(_))
    );
    if !may_trail {
        return whole;
    }
    // A line that a terminal broke is whole with its parts together; only what is right by itself
    // may be followed by words.
    let ends = pasted.trim_end().char_indices().rev();
    let mut shorter = ends
        .filter(|(_, character)| character.is_whitespace())
        .take(TRAILING_WORDS)
        .map(|(end, _)| &pasted[..end]);
    shorter.find_map(|text| read_words(text, expected).ok()).map_or(whole, Ok)
}

/// Whether an address that a browser was sent to carries the `state` of this attempt, and no other.
pub(crate) fn is_of_attempt(address: &str, state: &SecretString) -> bool {
    let parameters = Parameters::read(address);
    !parameters.contradict("state")
        && parameters.get("state").is_some_and(|answered| is_expected(&answered, state))
}

fn read_words(
    pasted: &str,
    expected: &ExpectedRedirect<'_>,
) -> Result<AuthorizationCode, RedirectError> {
    let text = query::compact(pasted);
    if text.is_empty() {
        return Err(RedirectError::Empty);
    }
    if let Some(what) = misplaced::secret(pasted, &text) {
        return Err(RedirectError::Misplaced(what));
    }
    let parameters = Parameters::read(&text);
    if is_authorization_url(&text, &parameters) {
        return Err(RedirectError::AuthorizationUrl);
    }
    if let Some(error) = refusal(pasted, &text, &parameters) {
        check_state_if_any(&parameters, expected)?;
        let (error, description) = error;
        let fault = classify_authorize(expected.login_host, &error, &description);
        return Err(RedirectError::Refused(fault));
    }
    if parameters.contradict("code") || parameters.contradict("state") {
        return Err(RedirectError::TwoAddresses);
    }
    match (parameters.get("code"), parameters.get("state")) {
        (Some(code), Some(state)) => {
            check_state(&state, expected, text.len())?;
            accept(code, text.len())
        }
        (None, Some(_)) => Err(RedirectError::Cut(text.len())),
        (Some(_), None) if query::is_address(&text) => Err(RedirectError::StateMissing),
        (Some(code), None) => accept(code, text.len()),
        (None, None) if query::is_address(&text) => Err(RedirectError::NoCode),
        (None, None) => bare_code(&text),
    }
}

/// A code as it stands in a `code` parameter.
fn accept(code: String, characters: usize) -> Result<AuthorizationCode, RedirectError> {
    let is_salesforce_code = code.starts_with(CODE_BEGINNING);
    if code.len() < CODE_MINIMUM
        || code.contains('%')
        || (is_salesforce_code && !code.ends_with(CODE_END))
    {
        return Err(RedirectError::Cut(characters));
    }
    if code.bytes().all(is_code_byte) {
        Ok(AuthorizationCode(code.into()))
    } else {
        Err(RedirectError::NotACode)
    }
}

/// A text without any parameter: a code, or something that belongs elsewhere.
fn bare_code(text: &str) -> Result<AuthorizationCode, RedirectError> {
    if let Some(what) = misplaced::name(text) {
        return Err(RedirectError::Misplaced(what));
    }
    let code = query::decode_value(text);
    if code.starts_with(CODE_BEGINNING) || CODE_BEGINNING.starts_with(&code) {
        return accept(code, text.len());
    }
    if code.len() >= FOREIGN_CODE_MINIMUM {
        accept(code, text.len())
    } else {
        Err(RedirectError::NotACode)
    }
}

fn is_code_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~' | b'=' | b'+' | b'/')
}

fn is_authorization_url(text: &str, parameters: &Parameters) -> bool {
    parameters.get("code").is_none()
        && (text.contains("/services/oauth2/authorize")
            || parameters.get("code_challenge").is_some()
            || parameters.get("response_type").is_some())
}

/// `error` and `error_description`, also of Salesforce's own error page, or the page's headline.
fn refusal(pasted: &str, text: &str, parameters: &Parameters) -> Option<(String, String)> {
    const HEADLINES: [&str; 4] = [
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "OAUTH_APP_BLOCKED",
        "OAUTH_APP_ACCESS_DENIED",
        "OAUTH_EC_APP_NOT_FOUND",
    ];
    if let Some(error) = parameters.get("error").filter(|error| !error.is_empty()) {
        // The description keeps its blanks: Salesforce's texts are told apart by their words.
        let loose = Parameters::read(&query::keep_blanks(pasted));
        let description = loose.get("error_description").unwrap_or_default();
        return Some((error, description.replace('+', " ")));
    }
    if parameters.get("code").is_some() {
        return None;
    }
    let headline = HEADLINES.iter().find(|headline| text.contains(**headline))?;
    Some(((*headline).to_owned(), String::new()))
}

fn check_state_if_any(
    parameters: &Parameters,
    expected: &ExpectedRedirect<'_>,
) -> Result<(), RedirectError> {
    match parameters.get("state") {
        Some(state) if !is_expected(&state, expected.state) => Err(RedirectError::WrongState),
        _ => Ok(()),
    }
}

fn check_state(
    state: &str,
    expected: &ExpectedRedirect<'_>,
    characters: usize,
) -> Result<(), RedirectError> {
    if is_expected(state, expected.state) {
        Ok(())
    } else if state.len() < expected_length(expected.state) {
        Err(RedirectError::Cut(characters))
    } else {
        Err(RedirectError::WrongState)
    }
}

#[expect(clippy::disallowed_methods, reason = "the length of a state is no secret")]
fn expected_length(state: &SecretString) -> usize {
    state.expose_secret().len()
}

/// Compares in constant time: both sides are hashed under a key, and the tags compared by `hmac`.
#[expect(clippy::disallowed_methods, reason = "RFC 6749 section 10.12: the state is compared")]
fn is_expected(state: &str, expected: &SecretString) -> bool {
    let keyed = || Hmac::<Sha256>::new_from_slice(b"state").ok();
    let (Some(mut answered), Some(mut wanted)) = (keyed(), keyed()) else { return false };
    answered.update(state.as_bytes());
    wanted.update(expected.expose_secret().as_bytes());
    wanted.verify_slice(&answered.finalize().into_bytes()).is_ok()
}
