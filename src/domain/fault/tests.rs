//! Every row of Salesforce OAuth facts 3.10, 5.1 and 5.2, verbatim, and what must hold of all.

use proptest::prelude::*;

use super::*;
use FaultKind as Kind;

const HOST: &str = "acme.my.salesforce.com";

/// An answer with these parts.
fn answer(status: u16, content_type: &str, body: &[u8]) -> Response {
    Response {
        status,
        content_type: content_type.to_owned(),
        location: None,
        received_at: UnixMillis(1_795_473_512_345),
        date: None,
        retry_after: None,
        body: zeroize::Zeroizing::new(body.to_vec()),
    }
}

fn by_token_endpoint(status: u16, content_type: &str, body: &[u8]) -> Fault {
    classify_token_endpoint(HOST, &answer(status, content_type, body))
}

fn by_api(status: u16, content_type: &str, body: &[u8], location: Option<&str>) -> Fault {
    let location = location.map(str::to_owned);
    classify_api(HOST, &Response { location, ..answer(status, content_type, body) })
}

/// Error, description, kind: facts 5.1, and the texts of 3.4 to 3.6.
const TOKEN_ROWS: &[(&str, &str, Kind)] = &[
    ("invalid_grant", "expired authorization code", Kind::CodeExpired),
    ("invalid_grant", "invalid authorization code", Kind::CodeExpired),
    ("invalid_grant", "token request is already being processed", Kind::AlreadyProcessing),
    ("invalid_grant", "expired access/refresh token", Kind::TokenRefused),
    ("invalid_grant", "inactive user", Kind::UserInactive),
    ("inactive_user", "", Kind::UserInactive),
    ("invalid_grant", "inactive organization", Kind::OrgInactive),
    ("inactive_org", "", Kind::OrgInactive),
    ("invalid_grant", "ip restricted", Kind::IpRestricted),
    ("invalid_grant", "ip restricted or invalid login hours", Kind::IpRestricted),
    ("invalid_grant", "IP not in trusted ranges", Kind::IpRestricted),
    ("invalid_grant", "user hasn't approved this consumer", Kind::ConsumerNotApproved),
    ("invalid_grant", "audience is invalid", Kind::AudienceInvalid),
    ("invalid_grant", "Audience validation failed", Kind::AudienceInvalid),
    ("invalid_grant", "invalid assertion", Kind::AssertionInvalid),
    ("invalid_grant", "Couldn't validate jwt", Kind::AssertionInvalid),
    ("invalid_grant", "no client credentials user enabled", Kind::NoRunAsUser),
    ("invalid_grant", "no valid scopes defined", Kind::NoValidScopes),
    ("invalid_grant", "request not supported on this domain", Kind::DomainNotSupported),
    ("invalid_grant", "authentication failure", Kind::AuthenticationFailure),
    ("invalid_grant", "invalid user credentials", Kind::AuthenticationFailure),
    ("invalid_client_id", "client identifier invalid", Kind::ClientIdInvalid),
    ("invalid_client", "client identifier invalid", Kind::ClientIdInvalid),
    ("invalid_client_id", "", Kind::ClientIdInvalid),
    ("invalid_client", "invalid client credentials", Kind::ClientSecretInvalid),
    ("invalid_client", "", Kind::ClientSecretInvalid),
    ("invalid_client", "app must be installed into org", Kind::AppNotInstalled),
    (
        "app_not_found",
        "External client app is not installed in this org",
        Kind::ExternalClientAppNotFound,
    ),
    ("app_not_found", "", Kind::ExternalClientAppNotFound),
    ("invalid_app_access", "user is not admin approved to access this app", Kind::UserNotApproved),
    ("redirect_uri_mismatch", "redirect_uri must match configuration", Kind::RedirectUriMismatch),
    ("redirect_uri_missing", "", Kind::RedirectUriMissing),
    ("invalid_request", "must use HTTP POST", Kind::InvalidRequest),
    ("invalid_request", "HTTPS required", Kind::InvalidRequest),
    ("invalid_request", "missing required code challenge", Kind::CodeChallengeRequired),
    ("invalid_request", "invalid code verifier", Kind::CodeVerifierInvalid),
    ("invalid_scope", "the requested scope is not allowed", Kind::InvalidScope),
    ("access_denied", "end-user denied authorization", Kind::AccessDenied),
    ("immediate_unsuccessful", "", Kind::InteractionRequired),
    ("interaction_required", "", Kind::InteractionRequired),
    ("unsupported_response_type", "response type not supported", Kind::FlowNotSupported),
    ("unsupported_grant_type", "grant type not supported", Kind::FlowNotSupported),
    ("invalid_grant", "client credentials flow not enabled", Kind::FlowNotSupported),
    ("unauthorized_client", "", Kind::UnauthorizedClient),
    ("rate_limit_exceeded", "login rate exceeded", Kind::LoginRateExceeded),
    ("server_error", "", Kind::ServerError),
    ("temporarily_unavailable", "", Kind::ServerError),
    ("unknown_error", "retry your request", Kind::ServerError),
    ("user_authentication_failed", "", Kind::UserAuthenticationFailed),
    ("OAUTH_APPROVAL_ERROR_GENERIC", "", Kind::ApprovalError),
    ("", "An unexpected error has occurred during authentication", Kind::ApprovalError),
    ("OAUTH_APP_BLOCKED", "this app is blocked by admin", Kind::AppBlocked),
    ("OAUTH_APP_ACCESS_DENIED", "", Kind::AppAccessDenied),
    ("OAUTH_EC_APP_NOT_FOUND", "", Kind::ExternalClientAppNotFound),
    ("unsupported_token_type", "", Kind::TokenGone),
    ("invalid_token", "", Kind::TokenGone),
    ("authorization_pending", "waiting", Kind::AuthorizationPending),
    ("slow_down", "polling too quickly for the token endpoint", Kind::SlowDown),
    ("expired_token", "", Kind::DeviceCodeRefused),
    ("invalid_grant", "", Kind::GrantRefused),
    ("invalid_grant", "the moon is wrong", Kind::GrantRefused),
    ("brand_new_error", "never seen", Kind::UnknownOAuthError),
];

/// Status, content type, body, kind: facts 5.2 and 3.10.
const API_ROWS: &[(u16, &str, &str, Kind)] = &[
    (
        401,
        "application/json",
        r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#,
        Kind::SessionExpired,
    ),
    (
        401,
        "application/json",
        r#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#,
        Kind::SessionNotValidForApi,
    ),
    (
        401,
        "application/json",
        r#"[{"message":"Connected app is not attached to Agent","errorCode":"INVALID_SESSION_ID"}]"#,
        Kind::SessionNotValidForApi,
    ),
    (401, "", "", Kind::SessionExpired),
    (
        401,
        "application/json",
        r#"[{"message":"INVALID_HEADER_TYPE","errorCode":"INVALID_AUTH_HEADER"}]"#,
        Kind::AuthHeaderInvalid,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"API is not enabled for this Organization or Partner","errorCode":"API_DISABLED_FOR_ORG"}]"#,
        Kind::ApiDisabled,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"x","errorCode":"API_CURRENTLY_DISABLED"}]"#,
        Kind::ApiDisabled,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
        Kind::RequestLimitExceeded,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#,
        Kind::RequestLimitExceeded,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"x","errorCode":"INSUFFICIENT_ACCESS"}]"#,
        Kind::InsufficientAccess,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"x","errorCode":"FUNCTIONALITY_NOT_ENABLED"}]"#,
        Kind::InsufficientAccess,
    ),
    (
        400,
        "application/json",
        r#"[{"message":"sObject type 'X' is not supported.","errorCode":"INVALID_TYPE"}]"#,
        Kind::InsufficientAccess,
    ),
    (403, "text/plain", "Bad_OAuth_Token", Kind::SessionExpired),
    (403, "text/html", "Bad_OAuth_Token\n", Kind::SessionExpired),
    (403, "text/plain", "Missing_OAuth_Token", Kind::AuthHeaderInvalid),
    (403, "text/plain", "Wrong_Org", Kind::WrongOrg),
    (403, "application/json", r#"[{"message":"x","errorCode":"ORG_LOCKED"}]"#, Kind::OrgInactive),
    (
        403,
        "application/json",
        r#"[{"message":"x","errorCode":"TRIAL_EXPIRED"}]"#,
        Kind::OrgInactive,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"x","errorCode":"PASSWORD_LOCKOUT"}]"#,
        Kind::UserLockedOut,
    ),
    (
        403,
        "application/json",
        r#"[{"message":"outside login hours","errorCode":"X"}]"#,
        Kind::IpRestricted,
    ),
    (
        404,
        "application/json",
        r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#,
        Kind::NotFound,
    ),
    (404, "text/plain", "", Kind::NotFound),
    (
        410,
        "application/json",
        r#"[{"errorCode":"UNSUPPORTED_API_VERSION","message":"x"}]"#,
        Kind::ApiVersionUnsupported,
    ),
    (301, "", "", Kind::InstanceMoved),
    (302, "text/html", "<html>", Kind::InstanceMoved),
    (420, "", "", Kind::InstanceMoved),
    (421, "", "", Kind::InstanceMoved),
    (431, "", "", Kind::InstanceMoved),
    (
        400,
        "application/json",
        r#"[{"errorCode":"URL_NOT_RESET","message":"Destination URL not reset. The URL returned from login must be set"}]"#,
        Kind::UrlNotReset,
    ),
    (
        500,
        "application/json",
        r#"[{"errorCode":"UNKNOWN_EXCEPTION","message":"x"}]"#,
        Kind::ServerUnavailable,
    ),
    (502, "text/html", "<html>Bad Gateway", Kind::ServerUnavailable),
    (
        503,
        "application/json",
        r#"[{"errorCode":"SERVER_UNAVAILABLE","message":"x"}]"#,
        Kind::ServerUnavailable,
    ),
    (503, "text/html", "<html>We are down for maintenance.</html>", Kind::Maintenance),
    (200, "text/html", "<html>We are down for Maintenance.</html>", Kind::Maintenance),
    (200, "text/html", "<html>Wi-Fi login", Kind::HtmlAnswer),
    (429, "", "", Kind::TooManyRequests),
    (407, "", "", Kind::ProxyFailed),
    (
        403,
        "application/json",
        r#"[{"errorCode":"NEW","message":"never seen"}]"#,
        Kind::UnknownApiError,
    ),
    (
        401,
        "application/json",
        r#"{"error":"invalid_something","error_description":"x"}"#,
        Kind::UnknownApiError,
    ),
];

#[test]
fn every_row_of_the_token_endpoint_is_told_apart_in_json_and_as_a_form() {
    for (error, description, kind) in TOKEN_ROWS {
        let json =
            serde_json::json!({"error": error, "error_description": description}).to_string();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("error", error)
            .append_pair("error_description", &description.to_uppercase())
            .finish();
        let by_json = by_token_endpoint(400, "application/json", json.as_bytes());
        let by_form = by_token_endpoint(400, "application/x-www-form-urlencoded", form.as_bytes());
        assert_eq!(by_json.kind, *kind, "{error} {description}");
        assert_eq!(by_form.kind, *kind, "{error} {description}");
        assert_eq!(
            classify_authorize(HOST, error, description).kind,
            *kind,
            "{error} {description}"
        );
    }
}

#[test]
fn every_row_of_the_api_is_told_apart() {
    for (status, content_type, body, kind) in API_ROWS {
        let fault = by_api(*status, content_type, body.as_bytes(), None);
        assert_eq!(fault.kind, *kind, "{status} {body}");
    }
}

#[test]
fn every_kind_that_has_a_text_is_reached_by_a_row() {
    let unreached: Vec<&Kind> = Kind::ALL
        .iter()
        .filter(|kind| {
            !TOKEN_ROWS.iter().any(|row| row.2 == **kind)
                && !API_ROWS.iter().any(|row| row.3 == **kind)
        })
        .collect();
    let expected = [
        Kind::UserCodeExpired,
        Kind::NoApiScope,
        Kind::ForeignRefresh,
        Kind::LoginHostMoved,
        Kind::NotAnOAuthAnswer,
        Kind::TokenResponseInvalid,
        Kind::SignatureMismatch,
        Kind::HostRefused,
        Kind::HostUnknown,
        Kind::ConnectFailed,
        Kind::ConnectionCut,
        Kind::TlsCertificateExpired,
        Kind::TlsCertificateNotYetValid,
        Kind::TlsIssuerUnknown,
        Kind::TlsNameMismatch,
        Kind::TlsVersionRefused,
        Kind::TlsMissing,
        Kind::TlsFailed,
        Kind::Timeout,
        Kind::Interrupted,
        Kind::AnswerTooLarge,
    ];
    assert_eq!(unreached, expected.iter().collect::<Vec<_>>());
}

#[test]
fn an_outage_is_passing_whatever_its_body_says() {
    let dead = br#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#;
    for (status, content_type, body, kind) in [
        (503, "application/json", dead.as_slice(), Kind::ServerUnavailable),
        (429, "application/json", dead, Kind::TooManyRequests),
        (400, "text/html", b"<html>error=invalid_grant", Kind::HtmlAnswer),
        (200, "", b" \n<!doctype html>maintenance", Kind::Maintenance),
        (407, "text/plain", b"", Kind::ProxyFailed),
        (400, "text/plain", b"forbidden by the firewall", Kind::NotAnOAuthAnswer),
        (400, "application/json", b"{\"error\":17}", Kind::NotAnOAuthAnswer),
        (400, "application/json", b"{\"error\":\"inv", Kind::NotAnOAuthAnswer),
        (400, "", b"", Kind::NotAnOAuthAnswer),
    ] {
        let fault = by_token_endpoint(status, content_type, body);
        assert_eq!((fault.kind, fault.outcome()), (kind, CheckOutcome::Unreachable), "{status}");
        assert_eq!((fault.outcome(), fault.cause()), (CheckOutcome::Unreachable, None), "{status}");
    }
    assert_eq!(by_token_endpoint(302, "", b"").kind, Kind::LoginHostMoved);
}

#[test]
fn only_a_session_that_a_refresh_heals_asks_for_one() {
    let wanting: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| Fault::new(*kind, HOST, "", None).wants_refresh())
        .collect();
    assert_eq!(wanting, [Kind::SessionExpired, Kind::InstanceMoved]);
}

#[test]
fn each_kind_has_its_own_code_a_message_with_the_host_and_a_remedy() {
    let mut codes = std::collections::HashSet::new();
    for kind in Kind::ALL {
        let fault = Fault::new(*kind, HOST, "detail", Some(400));
        assert!(codes.insert(fault.code()), "{kind:?}");
        assert!(
            fault.code().bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()),
            "{kind:?}"
        );
        assert_eq!(serde_json::to_value(kind).unwrap(), fault.code());
        assert!(fault.message().starts_with(&format!("{HOST} ")), "{kind:?}");
        assert!(fault.message().contains("detail") || fault.message().ends_with("DNS"), "{kind:?}");
        assert!(!fault.message().contains("{}") && !fault.message().ends_with('.'), "{kind:?}");
        assert!(!fault.remedy().is_empty() && !fault.remedy().ends_with('.'), "{kind:?}");
        assert_eq!(
            fault.cause().is_some(),
            fault.outcome() == CheckOutcome::NeedsSetup,
            "{kind:?}"
        );
        let stored = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&stored).unwrap(), fault);
    }
}

#[test]
fn the_message_tells_what_the_server_said_and_no_secret() {
    let body = br#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#;
    assert_eq!(
        by_token_endpoint(400, "application/json", body).message(),
        "acme.my.salesforce.com refused the refresh token for good: it was revoked, replaced, unused for too long, or pushed out by a newer approval (invalid_grant: expired access/refresh token)"
    );
    let timeout =
        TransportError { host: HOST.into(), failure: TransportFailure::Timeout(20), sent: true };
    assert_eq!(
        Fault::from(&timeout).message(),
        "acme.my.salesforce.com did not answer within 20 s"
    );
    for secret in [
        "token 5Aep861InventedInvented.x is dead",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\n-----END RSA PRIVATE KEY-----",
        "UGxhdGZvcm1JbnZlbnRlZEludmVudGVkSW52ZW50ZWQ0",
    ] {
        let message = classify_authorize(HOST, "invalid_grant", secret).message();
        assert!(message.contains("[redacted]"), "{message}");
        assert!(!message.contains("MIIE") && !message.contains("Invented"), "{message}");
    }
}

#[test]
fn a_redirect_names_its_target_host_alone() {
    let fault = by_api(302, "", b"", Some("https://acme2.my.salesforce.com/x?sid=00D!secret"));
    assert_eq!(fault.detail, "acme2.my.salesforce.com");
}

#[test]
fn a_redirect_of_the_token_endpoint_names_its_target_host_alone() {
    let detail = |location: &str| {
        let location = Some(location.to_owned());
        let host = "acme.my.localhost:8080";
        classify_token_endpoint(host, &Response { location, ..answer(307, "", b"") }).detail
    };
    assert_eq!(detail("https://evil.example/x?code=aPrxSecret"), "HTTP 307 to evil.example");
    let same = "HTTP 307 to acme.my.localhost, the same host over https";
    assert_eq!(detail("https://acme.my.localhost/services/oauth2/token"), same);
    assert_eq!(detail("/elsewhere"), "HTTP 307");
}

#[test]
fn what_is_no_oauth_answer_is_described_and_quoted_only_where_it_holds_no_secret() {
    let long = format!("<html>{}</html>", "Please pay. ".repeat(400));
    let utf16: Vec<u8> = [0xFF_u8, 0xFE].into_iter().chain("{}".bytes()).collect();
    let table: [(&str, &[u8], &str); 9] = [
        ("text/plain", b"no route", "HTTP 200, text/plain, 8 bytes: no route"),
        ("", b"", "HTTP 200, no content type, empty"),
        ("text/html", b"<html>Log in", "HTTP 200, text/html, 12 bytes: <html>Log in"),
        ("application/json", b"{\"access_token\":\"00D", "HTTP 200, application/json, 20 bytes"),
        ("text/plain", b"5Aep861abc is yours", "HTTP 200, text/plain, 19 bytes"),
        ("text/plain", b"a secret: x", "HTTP 200, text/plain, 11 bytes"),
        (
            "application/json",
            b"\xEF\xBB\xBF{}",
            "HTTP 200, application/json, 5 bytes, it begins with a byte order mark",
        ),
        (
            "application/json",
            &utf16,
            "HTTP 200, application/json, 4 bytes, it is UTF-16, not UTF-8",
        ),
        (
            "application/json",
            b"{\"a\":\"\xC3\x28\"}",
            "HTTP 200, application/json, 10 bytes, it is no UTF-8",
        ),
    ];
    for (content_type, body, detail) in table {
        let fault = classify_unreadable(HOST, &answer(200, content_type, body));
        assert_eq!(fault.detail, detail);
        assert_eq!(fault.outcome(), CheckOutcome::Unreachable);
    }
    let fault = classify_unreadable(HOST, &answer(200, "text/html", long.as_bytes()));
    assert!(fault.detail.starts_with("HTTP 200, text/html, 5 KiB: <html>Please pay."));
    assert!(fault.detail.chars().count() < 120, "{}", fault.detail);
}

#[test]
fn when_to_try_again_and_a_wrong_clock_are_told() {
    let minute = std::time::Duration::from_secs(60);
    let received = answer(429, "", b"").received_at;
    let told = |status, body: &[u8]| {
        let date = Some(received.plus(minute * 180));
        let answer =
            Response { retry_after: Some(minute * 5), date, ..answer(status, "text/html", body) };
        classify_token_endpoint(HOST, &answer)
    };
    // 22:38:32 and five minutes.
    let clock = "this machine's clock is 3 h behind the server's";
    let busy = told(429, b"");
    assert!(busy.message().ends_with(clock), "{}", busy.message());
    assert!(busy.remedy().starts_with("try again after 22:44 UTC; set this machine's clock"));
    let down = told(503, b"<html>maintenance");
    assert!(down.remedy().starts_with("try again after 22:44 UTC; status.salesforce.com"));
    // A refusal for good is not healed by waiting.
    let dead = told(400, br#"{"error":"invalid_grant","error_description":"inactive user"}"#);
    assert!(!dead.remedy().contains("22:44") && dead.message().ends_with(clock));
    let lost = busy.with_code_at_risk().remedy();
    assert!(lost.starts_with("the code may be spent: ") && lost.contains("22:44"), "{lost}");
}

#[test]
fn what_salesforce_does_not_name_is_named_from_the_request() {
    let url = "https://acme.my.salesforce.com/services/oauth2/authorize?scope=api+id&redirect_uri=http%3A%2F%2Flocalhost%3A1717%2Fx&state=secret";
    for (error, asked) in [
        ("redirect_uri_mismatch", Some("orgkey asked for http://localhost:1717/x")),
        ("invalid_scope", Some("orgkey asked for api id")),
        ("access_denied", None),
    ] {
        let plain = classify_authorize(HOST, error, "");
        let named = plain.clone().of_request(url);
        match asked {
            Some(asked) => assert!(named.message().contains(asked), "{}", named.message()),
            None => assert_eq!(named, plain),
        }
        assert_eq!(plain.clone().of_request("no address"), plain);
        assert!(!named.message().contains("secret"));
    }
}

proptest! {
    #[test]
    fn no_answer_panics_and_no_message_holds_a_secret(
        status in 0_u16..1000,
        content_type in "(text/html|text/plain|application/json|)",
        body in proptest::collection::vec(any::<u8>(), 0..300),
        planted in "(5Aep[A-Za-z0-9._]{20,60}|00D[A-Za-z0-9]{12}![A-Za-z0-9._]{20,90}|force://a:b:[a-z0-9]{9}@h)",
        around in "[ -~]{0,12}",
    ) {
        let described = serde_json::json!([{"errorCode": around, "message": format!("{around} {planted} x")}]);
        let described = described.to_string();
        let refused = serde_json::json!({"error": planted, "error_description": format!("{around}{planted}")});
        let refused = refused.to_string();
        for body in [body.as_slice(), described.as_bytes(), refused.as_bytes(), planted.as_bytes()] {
            for fault in [
                by_token_endpoint(status, &content_type, body),
                by_api(status, &content_type, body, Some(&planted)),
                classify_authorize(HOST, &String::from_utf8_lossy(body), &planted),
            ] {
                let message = fault.message();
                prop_assert!(text::secret_kind(&message).is_none(), "{}", message);
                prop_assert!(!message.contains(planted.as_str()), "{}", message);
                prop_assert!(!message.chars().any(text::is_unprintable));
            }
        }
    }
}
