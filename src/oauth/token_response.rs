//! The answer of the token endpoint: RFC 6749 section 5.1 and Salesforce OAuth facts 3.1.
//!
//! Read leniently, since a refused answer may hold the only copy of a token: what is optional may
//! be missing or of another type, and a refusal carries the tokens that could be read.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use super::{accept_oauth, text_field};
use crate::domain::app::Flow;
use crate::domain::fault::{Fault, FaultKind, classify_authorize, classify_unreadable};
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::http::Response;
use crate::domain::id::{IdError, OrgId, UserId};
use crate::domain::time::UnixMillis;
use crate::domain::token::TokenSet;

/// Longest token that is taken, in bytes. Salesforce's opaque ones have some 112, its JWTs up to
/// 2,000.
const TOKEN_LIMIT: usize = 8 * 1024;
/// Longest URL that is taken, in bytes.
const URL_LIMIT: usize = 2_048;
/// A time of issue from here on counts milliseconds, below it seconds (1973 or 5138).
const MILLIS_FROM: i64 = 100_000_000_000;

/// A token response. Its `Debug` shows no token.
pub(crate) struct TokenResponse {
    /// RFC 6749 section 1.4.
    pub(crate) access_token: SecretString,
    /// Only where the scope was granted; on a refresh only under Refresh Token Rotation.
    pub(crate) refresh_token: Option<SecretString>,
    /// As answered; check it with [`InstanceUrl::parse`] before a token is sent there.
    pub(crate) instance_url: String,
    /// `https://HOST/id/ORG/USER`; its host says nothing reliable.
    pub(crate) identity_url: String,
    /// From the identity URL.
    pub(crate) org_id: OrgId,
    /// From the identity URL.
    pub(crate) user_id: UserId,
    /// Granted scopes.
    pub(crate) scopes: Vec<String>,
    /// When it was issued, by the server's clock.
    pub(crate) issued_at: Option<UnixMillis>,
    /// The `exp` of a JWT access token; an opaque one says nothing of its end.
    pub(crate) known_expiry: Option<UnixMillis>,
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TokenResponse")
            .field("org_id", &self.org_id)
            .field("user_id", &self.user_id)
            .field("scopes", &self.scopes)
            .field("issued_at", &self.issued_at)
            .field("has_refresh_token", &self.refresh_token.is_some())
            .finish_non_exhaustive()
    }
}

impl TokenResponse {
    /// The token set it makes. `instance_url` is the checked one; `received_at` stands in for a
    /// missing time of issue.
    pub(crate) fn into_token_set(
        self,
        instance_url: InstanceUrl,
        login_url: LoginUrl,
        client_id: String,
        flow: Flow,
        received_at: UnixMillis,
    ) -> TokenSet {
        TokenSet {
            access_token: self.access_token,
            refresh_token: self.refresh_token,
            instance_url,
            identity_url: self.identity_url,
            org_id: self.org_id,
            user_id: self.user_id,
            login_url,
            client_id,
            scopes: self.scopes,
            flow,
            issued_at: self.issued_at.unwrap_or(received_at),
            known_expiry: self.known_expiry,
            rotated: false,
        }
    }
}

/// Tokens out of a refused answer: to be kept or revoked, never to be served.
#[derive(Clone, Debug)]
pub(crate) struct Salvage {
    /// Where it could be read.
    pub(crate) access_token: Option<SecretString>,
    /// Where it could be read.
    pub(crate) refresh_token: Option<SecretString>,
}

/// Why an answer is no token response, and what could be saved out of it.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct TokenResponseError {
    /// Why.
    pub(crate) reason: TokenResponseProblem,
    /// The tokens in it, if any.
    pub(crate) salvage: Option<Salvage>,
}

/// What is wrong with an answer of the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenResponseProblem {
    /// Salesforce refused; also where `error` stands in a 200.
    #[error("{}", .0.message())]
    Refused(Box<Fault>),
    /// The body is no JSON.
    #[error("{}", .0.message())]
    NotAnOAuthAnswer(Box<Fault>),
    /// The body is JSON, and no object, or names a field twice.
    #[error("the answer is no JSON object, or names a field twice")]
    NotAnObject,
    /// A required field is missing or empty.
    #[error("the answer has no '{0}'")]
    Missing(&'static str),
    /// A field has another type than its specification says.
    #[error("'{0}' of the answer has the wrong type")]
    WrongType(&'static str),
    /// A field is longer than the cap.
    #[error("'{0}' of the answer is longer than {1} bytes")]
    TooLong(&'static str, usize),
    /// A token or URL with blanks, control characters, or characters beyond ASCII.
    #[error("'{0}' of the answer has characters that none may have")]
    Characters(&'static str),
    /// Only bearer tokens are known here (RFC 6750).
    #[error("the token is not of type Bearer")]
    TokenType,
    /// The identity URL does not end in an Org ID and a User ID.
    #[error("the identity URL of the answer names no account: {0}")]
    Identity(IdError),
    /// The HMAC does not fit the client secret.
    #[error("the signature of the answer does not fit the app's client secret")]
    SignatureMismatch,
}

impl TokenResponseProblem {
    /// As a fault, with outcome, message and remedy.
    pub(crate) fn fault(&self, host: &str) -> Fault {
        let kind = match self {
            Self::Refused(fault) | Self::NotAnOAuthAnswer(fault) => return (**fault).clone(),
            Self::SignatureMismatch => FaultKind::SignatureMismatch,
            Self::NotAnObject
            | Self::Missing(_)
            | Self::WrongType(_)
            | Self::TooLong(..)
            | Self::Characters(_)
            | Self::TokenType
            | Self::Identity(_) => FaultKind::TokenResponseInvalid,
        };
        Fault::new(kind, host, &self.to_string(), Some(200))
    }
}

/// The fields as they stand in the answer. A field named twice does not deserialize.
#[derive(Deserialize)]
struct Fields {
    access_token: Option<Value>,
    refresh_token: Option<Value>,
    instance_url: Option<Value>,
    id: Option<Value>,
    token_type: Option<Value>,
    scope: Option<Value>,
    issued_at: Option<Value>,
    signature: Option<Value>,
    error: Option<Value>,
    error_description: Option<Value>,
}

/// Reads an answer. The signature is checked where the client secret is known and the answer has
/// one.
pub(crate) fn response(
    host: &str,
    response: &Response,
    client_secret: Option<&SecretString>,
) -> Result<TokenResponse, TokenResponseError> {
    accept_oauth(host, response)
        .map_err(|fault| TokenResponseProblem::Refused(fault.into()))
        .and_then(|()| read(host, response, client_secret))
        .map_err(|reason| TokenResponseError { reason, salvage: salvage(&response.body) })
}

/// Whether an answer holds a token, whatever its status: then it must not be dropped.
pub(crate) fn holds_token(response: &Response) -> bool {
    salvage(&response.body).is_some()
}

fn read(
    host: &str,
    response: &Response,
    client_secret: Option<&SecretString>,
) -> Result<TokenResponse, TokenResponseProblem> {
    let body = &response.body;
    let is_json = || serde_json::from_slice::<Value>(body).is_ok();
    let fields: Fields = serde_json::from_slice(body).map_err(|_| {
        if is_json() {
            TokenResponseProblem::NotAnObject
        } else {
            TokenResponseProblem::NotAnOAuthAnswer(classify_unreadable(host, response).into())
        }
    })?;
    if !response.content_type.contains("json") {
        // Read all the same: it may be the only copy of a token.
        tracing::warn!(host, response.content_type, "a token response is not labelled as JSON");
    }
    if let Some(error) = &fields.error {
        let description = fields.error_description.as_ref().and_then(Value::as_str);
        let error = error.as_str().unwrap_or("error");
        let fault = classify_authorize(host, error, description.unwrap_or_default());
        return Err(TokenResponseProblem::Refused(fault.timed(response).into()));
    }
    let access_token = required("access_token", fields.access_token, TOKEN_LIMIT)?;
    let refresh_token = optional("refresh_token", fields.refresh_token, TOKEN_LIMIT)?;
    let token_type = optional("token_type", fields.token_type, URL_LIMIT)?;
    if token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(TokenResponseProblem::TokenType);
    }
    let identity_url = required("id", fields.id, URL_LIMIT)?;
    let issued_at = fields.issued_at.as_ref().and_then(number_text);
    if let (Some(secret), Some(signature), Some(issued_at)) =
        (client_secret, fields.signature.as_ref().and_then(Value::as_str), &issued_at)
        && !signature_fits(secret, &identity_url, issued_at, signature)
    {
        return Err(TokenResponseProblem::SignatureMismatch);
    }
    let (org_id, user_id) = account(&identity_url).map_err(TokenResponseProblem::Identity)?;
    let scope = fields.scope.as_ref().and_then(Value::as_str).unwrap_or_default();
    Ok(TokenResponse {
        instance_url: required("instance_url", fields.instance_url, URL_LIMIT)?,
        known_expiry: jwt_expiry(&access_token),
        access_token: access_token.into(),
        refresh_token: refresh_token.map(SecretString::from),
        identity_url,
        org_id,
        user_id,
        scopes: scope.split_whitespace().map(crate::domain::text::clean).collect(),
        issued_at: issued_at.and_then(|text| text.parse().ok()).map(millis),
    })
}

/// A field as printable ASCII without blanks; empty counts as missing.
fn optional(
    name: &'static str,
    value: Option<Value>,
    limit: usize,
) -> Result<Option<String>, TokenResponseProblem> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() > limit => {
            Err(TokenResponseProblem::TooLong(name, limit))
        }
        Some(Value::String(text)) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(text))
        }
        Some(Value::String(_)) => Err(TokenResponseProblem::Characters(name)),
        Some(_) => Err(TokenResponseProblem::WrongType(name)),
    }
}

fn required(
    name: &'static str,
    value: Option<Value>,
    limit: usize,
) -> Result<String, TokenResponseProblem> {
    optional(name, value, limit)?.ok_or(TokenResponseProblem::Missing(name))
}

/// The tokens of a body, whatever else is wrong with it.
fn salvage(body: &[u8]) -> Option<Salvage> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let token = |name: &'static str| {
        let text = text_field(&value, name).map(Value::String);
        optional(name, text, TOKEN_LIMIT).ok().flatten().map(SecretString::from)
    };
    let (access_token, refresh_token) = (token("access_token"), token("refresh_token"));
    (access_token.is_some() || refresh_token.is_some())
        .then_some(Salvage { access_token, refresh_token })
}

/// Org and user: the last two path segments of the identity URL.
fn account(identity_url: &str) -> Result<(OrgId, UserId), IdError> {
    let path = identity_url.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.trim_end_matches('/').rsplit('/');
    let user = segments.next().unwrap_or_default();
    let org = segments.next().unwrap_or_default();
    Ok((OrgId::parse(org)?, UserId::parse(user)?))
}

/// The time of issue as it was signed: a text, or a number's digits.
fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn millis(issued_at: i64) -> UnixMillis {
    let factor = if issued_at >= MILLIS_FROM { 1 } else { 1000 };
    UnixMillis(issued_at.saturating_mul(factor))
}

/// Whether the signature is Base64 of HMAC-SHA256 over identity URL and time of issue, keyed by
/// the client secret (facts 3.1). Compared in constant time.
#[expect(clippy::disallowed_methods, reason = "facts 3.1: the client secret is the HMAC's key")]
fn signature_fits(secret: &SecretString, id: &str, issued_at: &str, signature: &str) -> bool {
    let Ok(tag) = STANDARD.decode(signature) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return false;
    };
    mac.update(id.as_bytes());
    mac.update(issued_at.as_bytes());
    mac.verify_slice(&tag).is_ok()
}

/// The `exp` of a JWT (RFC 7519 section 4.1.4); its signature is the resource server's concern.
fn jwt_expiry(access_token: &str) -> Option<UnixMillis> {
    let mut parts = access_token.split('.');
    let (header, payload) = (parts.next()?, parts.next()?);
    parts.next().filter(|_| header.starts_with("eyJ"))?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    claims.get("exp")?.as_i64().filter(|exp| *exp > 0).map(millis)
}

#[cfg(test)]
mod tests;
