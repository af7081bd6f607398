//! Reads a refusal and finds its row. The status comes first, then the texts, then the codes:
//! `invalid_grant` is many conditions, and an outage may dress as one (facts 3 and 5.1).

use serde_json::Value;

use super::{Fault, FaultKind, mask};
use crate::domain::http::Response;
use crate::domain::text;

/// Characters of an unreadable body that are shown.
const BEGINNING: usize = 80;

/// Texts of the token and authorization endpoints, lower case, searched in error and description
/// together; the first hit counts (facts 5.1).
const TEXTS: &[(&str, FaultKind)] = &[
    ("already being processed", FaultKind::AlreadyProcessing),
    ("expired authorization code", FaultKind::CodeExpired),
    ("invalid authorization code", FaultKind::CodeExpired),
    ("expired access/refresh token", FaultKind::TokenRefused),
    ("inactive user", FaultKind::UserInactive),
    ("inactive_user", FaultKind::UserInactive),
    ("inactive organization", FaultKind::OrgInactive),
    ("inactive_org", FaultKind::OrgInactive),
    ("ip restricted", FaultKind::IpRestricted),
    ("ip_restricted", FaultKind::IpRestricted),
    ("login hours", FaultKind::IpRestricted),
    ("trusted ip", FaultKind::IpRestricted),
    ("ip not in trusted", FaultKind::IpRestricted),
    ("approved this consumer", FaultKind::ConsumerNotApproved),
    ("audience is invalid", FaultKind::AudienceInvalid),
    ("audience validation failed", FaultKind::AudienceInvalid),
    ("invalid assertion", FaultKind::AssertionInvalid),
    ("validate jwt", FaultKind::AssertionInvalid),
    ("no client credentials user", FaultKind::NoRunAsUser),
    ("no valid scopes", FaultKind::NoValidScopes),
    ("not supported on this domain", FaultKind::DomainNotSupported),
    ("authentication failure", FaultKind::AuthenticationFailure),
    ("invalid user credentials", FaultKind::AuthenticationFailure),
    ("client identifier invalid", FaultKind::ClientIdInvalid),
    ("must be installed into org", FaultKind::AppNotInstalled),
    ("external client app is not installed", FaultKind::ExternalClientAppNotFound),
    ("oauth_ec_app_not_found", FaultKind::ExternalClientAppNotFound),
    ("not admin approved", FaultKind::UserNotApproved),
    ("redirect_uri must match", FaultKind::RedirectUriMismatch),
    ("invalid code verifier", FaultKind::CodeVerifierInvalid),
    ("code challenge", FaultKind::CodeChallengeRequired),
    ("code_challenge", FaultKind::CodeChallengeRequired),
    ("login rate exceeded", FaultKind::LoginRateExceeded),
    ("client credentials flow not enabled", FaultKind::FlowNotSupported),
    ("oauth_approval_error_generic", FaultKind::ApprovalError),
    ("unexpected error has occurred during authentication", FaultKind::ApprovalError),
    ("oauth_app_blocked", FaultKind::AppBlocked),
    ("blocked by admin", FaultKind::AppBlocked),
    ("oauth_app_access_denied", FaultKind::AppAccessDenied),
    ("invalid client credentials", FaultKind::ClientSecretInvalid),
];

/// Error codes where no text decided, compared without regard to case (facts 5.1).
const CODES: &[(&str, FaultKind)] = &[
    ("invalid_grant", FaultKind::GrantRefused),
    ("invalid_client_id", FaultKind::ClientIdInvalid),
    ("invalid_client", FaultKind::ClientSecretInvalid),
    ("app_not_found", FaultKind::ExternalClientAppNotFound),
    ("invalid_app_access", FaultKind::UserNotApproved),
    ("redirect_uri_mismatch", FaultKind::RedirectUriMismatch),
    ("redirect_uri_missing", FaultKind::RedirectUriMissing),
    ("invalid_request", FaultKind::InvalidRequest),
    ("invalid_scope", FaultKind::InvalidScope),
    ("access_denied", FaultKind::AccessDenied),
    ("immediate_unsuccessful", FaultKind::InteractionRequired),
    ("interaction_required", FaultKind::InteractionRequired),
    ("login_required", FaultKind::InteractionRequired),
    ("consent_required", FaultKind::InteractionRequired),
    ("unsupported_response_type", FaultKind::FlowNotSupported),
    ("unsupported_grant_type", FaultKind::FlowNotSupported),
    ("unauthorized_client", FaultKind::UnauthorizedClient),
    ("rate_limit_exceeded", FaultKind::LoginRateExceeded),
    ("server_error", FaultKind::ServerError),
    ("temporarily_unavailable", FaultKind::ServerError),
    ("unknown_error", FaultKind::ServerError),
    ("user_authentication_failed", FaultKind::UserAuthenticationFailed),
    ("unsupported_token_type", FaultKind::TokenGone),
    ("invalid_token", FaultKind::TokenGone),
    ("authorization_pending", FaultKind::AuthorizationPending),
    ("slow_down", FaultKind::SlowDown),
    ("expired_token", FaultKind::DeviceCodeRefused),
];

/// Texts of the API and of the identity service, lower case, in message and code together.
/// The session that is not fit for REST stands before the one that expired: they share a code, and
/// only the second is healed by a refresh (facts 5.2, 3.10).
const API_TEXTS: &[(&str, FaultKind)] = &[
    ("not valid for use with the rest api", FaultKind::SessionNotValidForApi),
    ("not attached to agent", FaultKind::SessionNotValidForApi),
    ("invalid_session_id", FaultKind::SessionExpired),
    ("session expired or invalid", FaultKind::SessionExpired),
    ("bad_oauth_token", FaultKind::SessionExpired),
    ("missing_oauth_token", FaultKind::AuthHeaderInvalid),
    ("invalid_auth_header", FaultKind::AuthHeaderInvalid),
    ("wrong_org", FaultKind::WrongOrg),
    ("api_disabled_for_org", FaultKind::ApiDisabled),
    ("api_currently_disabled", FaultKind::ApiDisabled),
    ("api is not enabled", FaultKind::ApiDisabled),
    ("request_limit_exceeded", FaultKind::RequestLimitExceeded),
    ("insufficient_access", FaultKind::InsufficientAccess),
    ("functionality_not_enabled", FaultKind::InsufficientAccess),
    ("invalid_type", FaultKind::InsufficientAccess),
    ("org_locked", FaultKind::OrgInactive),
    ("trial_expired", FaultKind::OrgInactive),
    ("password_lockout", FaultKind::UserLockedOut),
    ("login hours", FaultKind::IpRestricted),
    ("login_during_restricted", FaultKind::IpRestricted),
    ("ip restricted", FaultKind::IpRestricted),
    ("restricted_ip", FaultKind::IpRestricted),
    ("unsupported_api_version", FaultKind::ApiVersionUnsupported),
    ("url_not_reset", FaultKind::UrlNotReset),
    ("destination url not reset", FaultKind::UrlNotReset),
    ("server_unavailable", FaultKind::ServerUnavailable),
    ("unknown_exception", FaultKind::ServerUnavailable),
];

/// Reads a refusal of the token, revocation or introspection endpoint. A body is JSON or a form,
/// and may lack `error_description`.
pub(crate) fn classify_token_endpoint(host: &str, response: &Response) -> Fault {
    let Response { status, body, .. } = response;
    if (300..400).contains(status) {
        let detail = redirect_detail(host, response);
        return Fault::new(FaultKind::LoginHostMoved, host, &detail, Some(*status)).timed(response);
    }
    match oauth_error(body).filter(|_| outage(response).is_none()) {
        Some((error, description)) => Fault::new(
            find_oauth(&error, &description),
            host,
            &join(&error, &description),
            Some(*status),
        )
        .timed(response),
        None => classify_unreadable(host, response),
    }
}

/// Judges an answer that is neither a result nor a refusal of OAuth: an outage, a web page in its
/// place, or nothing that can be read.
pub(crate) fn classify_unreadable(host: &str, response: &Response) -> Fault {
    let kind = outage(response).unwrap_or(FaultKind::NotAnOAuthAnswer);
    let detail = match kind {
        FaultKind::HtmlAnswer | FaultKind::NotAnOAuthAnswer => describe(response),
        _ => status_detail(kind, response.status),
    };
    Fault::new(kind, host, &detail, Some(response.status)).timed(response)
}

/// Where a redirect leads: the host alone, since the rest may hold a secret.
fn redirect_detail(host: &str, response: &Response) -> String {
    let target = response.location.as_deref().and_then(|location| url::Url::parse(location).ok());
    let Some((url, target)) =
        target.as_ref().and_then(|url| Some((url, url.host_str()?.to_owned())))
    else {
        return format!("HTTP {}", response.status);
    };
    let own = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let advice =
        if url.scheme() == "https" && target == own { ", the same host over https" } else { "" };
    format!("HTTP {} to {target}{advice}", response.status)
}

/// Kind, size and beginning of a body that can't be read. A body that may hold a secret is not
/// quoted: a token that is cut looks like none.
fn describe(response: &Response) -> String {
    let Response { status, content_type, body, .. } = response;
    let kind = if content_type.is_empty() { "no content type" } else { content_type };
    let mut words = format!("HTTP {status}, {kind}, {}", size_in_words(body.len()));
    if let Some(why) = encoding_fault(body) {
        return format!("{words}, {why}");
    }
    let whole = text::clean(&String::from_utf8_lossy(body));
    let whole = whole.split_whitespace().collect::<Vec<_>>().join(" ");
    let tells = ["token", "secret", "code", "{"].iter().any(|word| whole.contains(word));
    if !whole.is_empty() && !tells && mask(&whole) == text::clean(&whole) {
        words.push_str(": ");
        words.extend(whole.chars().take(BEGINNING));
    }
    words
}

/// Why a body is no UTF-8 without a byte order mark (RFC 8259 section 8.1).
fn encoding_fault(body: &[u8]) -> Option<&'static str> {
    match body {
        [0xEF, 0xBB, 0xBF, ..] => Some("it begins with a byte order mark"),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] => Some("it is UTF-16, not UTF-8"),
        _ if std::str::from_utf8(body).is_err() => Some("it is no UTF-8"),
        _ => None,
    }
}

fn size_in_words(bytes: usize) -> String {
    match bytes {
        0 => "empty".to_owned(),
        1..1024 => format!("{bytes} bytes"),
        _ => format!("{} KiB", bytes.div_ceil(1024)),
    }
}

/// Reads the `error` and `error_description` of a redirect or of Salesforce's own error page,
/// already decoded.
pub(crate) fn classify_authorize(host: &str, error: &str, description: &str) -> Fault {
    Fault::new(find_oauth(error, description), host, &join(error, description), None)
}

/// Reads a refusal of the REST API, the identity URL or userinfo. `location` is that of a
/// redirect, which is never followed.
pub(crate) fn classify_api(host: &str, response: &Response) -> Fault {
    let Response { status, location, body, .. } = response;
    let (status, location) = (*status, location.as_deref());
    if (300..400).contains(&status) || matches!(status, 420 | 421 | 431) {
        let target = location
            .and_then(|location| url::Url::parse(location).ok())
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_else(|| format!("HTTP {status}"));
        return Fault::new(FaultKind::InstanceMoved, host, &target, Some(status)).timed(response);
    }
    if outage(response).is_some() {
        return classify_unreadable(host, response);
    }
    let (code, message) = api_error(body);
    let haystack = format!("{code} {message}").to_lowercase();
    let kind = find(API_TEXTS, &haystack).unwrap_or(match status {
        401 if code.is_empty() => FaultKind::SessionExpired,
        404 => FaultKind::NotFound,
        410 => FaultKind::ApiVersionUnsupported,
        _ => FaultKind::UnknownApiError,
    });
    let detail = join(&code, &message);
    let detail = if detail.is_empty() { format!("HTTP {status}") } else { detail };
    Fault::new(kind, host, &detail, Some(status)).timed(response)
}

fn status_detail(kind: FaultKind, status: u16) -> String {
    if kind == FaultKind::ProxyFailed {
        format!("on the way (HTTP {status})")
    } else {
        format!("HTTP {status}")
    }
}

/// What the status or the kind of body alone decides, whatever the body says.
fn outage(response: &Response) -> Option<FaultKind> {
    let Response { status, content_type, body, .. } = response;
    let status = *status;
    if status == 429 {
        return Some(FaultKind::TooManyRequests);
    }
    if status == 407 {
        return Some(FaultKind::ProxyFailed);
    }
    // The identity service labels its one-word refusals as HTML too.
    let is_markup = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
        || (content_type == "text/html" && body.contains(&b'<'));
    if status < 500 && !is_markup {
        return None;
    }
    let says_maintenance =
        is_markup && String::from_utf8_lossy(body).to_lowercase().contains("maintenance");
    Some(match (says_maintenance, status >= 500) {
        (true, _) => FaultKind::Maintenance,
        (false, true) => FaultKind::ServerUnavailable,
        (false, false) => FaultKind::HtmlAnswer,
    })
}

fn find(table: &[(&str, FaultKind)], haystack: &str) -> Option<FaultKind> {
    table.iter().find(|(text, _)| haystack.contains(text)).map(|(_, kind)| *kind)
}

fn find_oauth(error: &str, description: &str) -> FaultKind {
    let haystack = format!("{error} {description}").to_lowercase();
    let by_code = || {
        CODES
            .iter()
            .find(|(code, _)| code.eq_ignore_ascii_case(error.trim()))
            .map_or(FaultKind::UnknownOAuthError, |(_, kind)| *kind)
    };
    find(TEXTS, &haystack).unwrap_or_else(by_code)
}

/// `error` and `error_description` of a JSON object or a form (RFC 6749 section 5.2).
fn oauth_error(body: &[u8]) -> Option<(String, String)> {
    let named =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        let error = named(&value, "error")?;
        return Some((error, named(&value, "error_description").unwrap_or_default()));
    }
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(body).into_owned().collect();
    let named =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    Some((named("error")?, named("error_description").unwrap_or_default()))
}

/// Code and message of a REST error: an array of objects, one object, an OAuth error object, or
/// plain text, which then is the message.
fn api_error(body: &[u8]) -> (String, String) {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return (String::new(), String::from_utf8_lossy(body).into_owned());
    };
    let first = value.as_array().and_then(|errors| errors.first()).unwrap_or(&value);
    let text = |names: [&str; 2]| {
        names.iter().find_map(|name| first.get(name)?.as_str()).unwrap_or_default().to_owned()
    };
    let message =
        first.as_str().map_or_else(|| text(["message", "error_description"]), str::to_owned);
    (text(["errorCode", "error"]), message)
}

fn join(code: &str, message: &str) -> String {
    match (code.trim(), message.trim()) {
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{code}: {message}"),
    }
}
