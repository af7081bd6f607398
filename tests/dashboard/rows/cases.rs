//! The rows of Salesforce OAuth facts section 5 as Salesforce answers them, and what each has to
//! lead to. The outcomes and causes are those of product.md, the words of `click` stand in the
//! remedy.

/// Where Salesforce says it, and how.
#[derive(Clone, Copy, Debug)]
pub enum By {
    /// Error and description come back to the redirect URI.
    Callback(&'static str, &'static str),
    /// Error and description stay on Salesforce's own page, whose address is pasted.
    Page(&'static str, &'static str),
    /// The code is refused, with status 400.
    Code(&'static str, &'static str),
    /// The poll of a device code is refused, with status 400.
    Poll(&'static str, &'static str),
    /// The refresh is refused, with status 400.
    Refresh(&'static str, &'static str),
    /// The refresh is answered with status, content type and body.
    Answer(u16, &'static str, &'static str),
    /// The REST API refuses with status, error code and message.
    Use(u16, &'static str, &'static str),
    /// The REST API answers with status, content type and body.
    UseAnswer(u16, &'static str, &'static str),
    /// The REST API redirects to another host.
    UseRedirect(&'static str),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its code in the table of faults.
    pub code: &'static str,
    /// How Salesforce says it.
    pub by: By,
    /// What it is for the credential.
    pub outcome: &'static str,
    /// Why a sign-in is needed, where it is.
    pub cause: Option<&'static str>,
    /// What the remedy names.
    pub click: &'static str,
}

const fn case(code: &'static str, by: By, outcome: &'static str, click: &'static str) -> Case {
    Case { code, by, outcome, cause: None, click }
}

const fn needs(code: &'static str, by: By, cause: &'static str, click: &'static str) -> Case {
    Case { code, by, outcome: "needs_setup", cause: Some(cause), click }
}

const WRONG: &str = "misconfigured";
const PASSES: &str = "unreachable";
const LIMITED: &str = "limited";
const MANAGER: &str = "Setup > External Client App Manager";

/// What the browser or the exchange of the code says: the sign-in stays pending.
pub const SIGN_IN: &[Case] = &[
    case(
        "client_id_invalid",
        By::Page("invalid_client_id", "client identifier invalid"),
        WRONG,
        "Consumer Key and Secret",
    ),
    case(
        "app_not_installed",
        By::Page("invalid_client", "app must be installed into org"),
        WRONG,
        "Install",
    ),
    case("app_not_found", By::Page("OAUTH_EC_APP_NOT_FOUND", ""), WRONG, MANAGER),
    case(
        "redirect_uri_mismatch",
        By::Page("redirect_uri_mismatch", "redirect_uri must match configuration"),
        WRONG,
        "Callback URL",
    ),
    case("redirect_uri_missing", By::Page("redirect_uri_missing", ""), WRONG, "Callback URL"),
    case(
        "approval_error",
        By::Page(
            "OAUTH_APPROVAL_ERROR_GENERIC",
            "An unexpected error has occurred during authentication",
        ),
        WRONG,
        "Install",
    ),
    case(
        "app_blocked",
        By::Page("OAUTH_APP_BLOCKED", "this app is blocked by admin"),
        WRONG,
        "Unblock",
    ),
    case(
        "app_access_denied",
        By::Page("OAUTH_APP_ACCESS_DENIED", "user is not approved"),
        WRONG,
        "App Policies",
    ),
    case(
        "user_not_approved",
        By::Page("invalid_app_access", "user is not admin approved to access this app"),
        WRONG,
        "permission set or profile",
    ),
    case("invalid_request", By::Page("invalid_request", "HTTPS required"), WRONG, ""),
    case("invalid_request", By::Callback("invalid_request", "must use HTTP POST"), WRONG, ""),
    case(
        "code_challenge_required",
        By::Callback("invalid_request", "missing required code challenge"),
        WRONG,
        "PKCE",
    ),
    case(
        "invalid_scope",
        By::Callback("invalid_scope", "the requested scope is not allowed"),
        WRONG,
        "OAuth Scopes",
    ),
    needs(
        "access_denied",
        By::Callback("access_denied", "end-user denied authorization"),
        "unknown",
        "press Allow",
    ),
    needs(
        "interaction_required",
        By::Callback("immediate_unsuccessful", ""),
        "unknown",
        "in a browser",
    ),
    needs(
        "interaction_required",
        By::Callback("interaction_required", ""),
        "unknown",
        "in a browser",
    ),
    case(
        "flow_not_supported",
        By::Callback("unsupported_response_type", "response type not supported"),
        WRONG,
        "OAuth and OpenID Connect Settings",
    ),
    case("unauthorized_client", By::Callback("unauthorized_client", ""), WRONG, "OAuth Flows"),
    case("server_error", By::Callback("server_error", ""), PASSES, "status.salesforce.com"),
    case(
        "server_error",
        By::Callback("temporarily_unavailable", ""),
        PASSES,
        "status.salesforce.com",
    ),
    case("server_error", By::Callback("unknown_error", ""), PASSES, "status.salesforce.com"),
    case("unknown_oauth_error", By::Callback("brand_new_error", "of another year"), WRONG, MANAGER),
    needs(
        "code_expired",
        By::Code("invalid_grant", "expired authorization code"),
        "unknown",
        "at once",
    ),
    needs(
        "code_expired",
        By::Code("invalid_grant", "invalid authorization code"),
        "unknown",
        "at once",
    ),
    case(
        "code_verifier_invalid",
        By::Code("invalid_request", "invalid code verifier"),
        WRONG,
        "another attempt",
    ),
    case(
        "client_secret_invalid",
        By::Code("invalid_client", "invalid client credentials"),
        WRONG,
        "Consumer Key and Secret",
    ),
    case(
        "user_authentication_failed",
        By::Code("user_authentication_failed", ""),
        WRONG,
        "API Enabled",
    ),
    case(
        "ip_restricted",
        By::Code("invalid_grant", "IP not in trusted ranges"),
        WRONG,
        "Login IP Ranges",
    ),
];

/// What a refresh is answered with.
pub const REFRESH: &[Case] = &[
    case(
        "already_being_processed",
        By::Refresh("invalid_grant", "token request is already being processed"),
        PASSES,
        "another program",
    ),
    needs(
        "token_refused",
        By::Refresh("invalid_grant", "expired access/refresh token"),
        "unknown",
        "Login History",
    ),
    needs(
        "user_inactive",
        By::Refresh("invalid_grant", "inactive user"),
        "user_inactive",
        "Setup > Users",
    ),
    needs("user_inactive", By::Refresh("inactive_user", ""), "user_inactive", "Setup > Users"),
    case(
        "org_inactive",
        By::Refresh("invalid_grant", "inactive organization"),
        WRONG,
        "Salesforce support",
    ),
    case("org_inactive", By::Refresh("inactive_org", ""), WRONG, "Salesforce support"),
    case("ip_restricted", By::Refresh("invalid_grant", "ip restricted"), WRONG, "Login IP Ranges"),
    case(
        "ip_restricted",
        By::Refresh("invalid_grant", "ip restricted or invalid login hours"),
        WRONG,
        "Login Hours",
    ),
    case(
        "consumer_not_approved",
        By::Refresh("invalid_grant", "user hasn't approved this consumer"),
        WRONG,
        "pre-authorized",
    ),
    case(
        "audience_invalid",
        By::Refresh("invalid_grant", "audience is invalid"),
        WRONG,
        "My Domain",
    ),
    case(
        "audience_invalid",
        By::Refresh("invalid_grant", "Audience validation failed"),
        WRONG,
        "My Domain",
    ),
    case(
        "assertion_invalid",
        By::Refresh("invalid_grant", "invalid assertion"),
        WRONG,
        "certificate",
    ),
    case(
        "assertion_invalid",
        By::Refresh("invalid_grant", "Couldn't validate jwt"),
        WRONG,
        "certificate",
    ),
    case(
        "no_run_as_user",
        By::Refresh("invalid_grant", "no client credentials user enabled"),
        WRONG,
        "Run As",
    ),
    case(
        "no_valid_scopes",
        By::Refresh("invalid_grant", "no valid scopes defined"),
        WRONG,
        "OAuth Scopes",
    ),
    case(
        "domain_not_supported",
        By::Refresh("invalid_grant", "request not supported on this domain"),
        WRONG,
        "My Domain",
    ),
    case(
        "authentication_failure",
        By::Refresh("invalid_grant", "authentication failure"),
        WRONG,
        "Login History",
    ),
    case(
        "authentication_failure",
        By::Refresh("invalid_grant", "invalid user credentials"),
        WRONG,
        "Login History",
    ),
    case(
        "client_id_invalid",
        By::Refresh("invalid_client_id", "client identifier invalid"),
        WRONG,
        "Consumer Key and Secret",
    ),
    case(
        "app_not_found",
        By::Refresh("app_not_found", "External client app is not installed in this org"),
        WRONG,
        MANAGER,
    ),
    case(
        "flow_not_supported",
        By::Refresh("unsupported_grant_type", "grant type not supported"),
        WRONG,
        "OAuth Flows",
    ),
    case(
        "login_rate_exceeded",
        By::Refresh("rate_limit_exceeded", "login rate exceeded"),
        PASSES,
        "Login History",
    ),
    needs(
        "grant_refused",
        By::Refresh("invalid_grant", "a text of another year"),
        "unknown",
        "Login History",
    ),
    case(
        "server_unavailable",
        By::Answer(
            503,
            "application/json",
            r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#,
        ),
        PASSES,
        "status.salesforce.com",
    ),
    case(
        "maintenance",
        By::Answer(503, "text/html", "<html>Down for maintenance</html>"),
        PASSES,
        "status.salesforce.com",
    ),
    case(
        "too_many_requests",
        By::Answer(429, "application/json", r#"{"error":"invalid_grant"}"#),
        PASSES,
        "try again",
    ),
];

/// What the REST API says of a token.
pub const USE: &[Case] = &[
    case(
        "session_not_valid_for_api",
        By::Use(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        WRONG,
        "Login IP Ranges",
    ),
    case(
        "session_not_valid_for_api",
        By::Use(401, "INVALID_SESSION_ID", "Connected app is not attached to Agent"),
        WRONG,
        "API Access Control",
    ),
    case(
        "auth_header_invalid",
        By::Use(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
        WRONG,
        "",
    ),
    case("auth_header_invalid", By::UseAnswer(403, "text/html", "Missing_OAuth_Token"), WRONG, ""),
    Case {
        code: "wrong_org",
        by: By::UseAnswer(403, "text/html", "Wrong_Org"),
        outcome: "wrong_account",
        cause: None,
        click: "Reset",
    },
    case(
        "api_disabled",
        By::Use(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"),
        LIMITED,
        "API Enabled",
    ),
    case(
        "api_disabled",
        By::Use(403, "API_CURRENTLY_DISABLED", "API is disabled"),
        LIMITED,
        "API Enabled",
    ),
    case(
        "request_limit_exceeded",
        By::Use(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        LIMITED,
        "API Requests",
    ),
    case(
        "request_limit_exceeded",
        By::Use(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        LIMITED,
        "API Requests",
    ),
    case(
        "insufficient_access",
        By::Use(403, "INSUFFICIENT_ACCESS", "insufficient access rights"),
        LIMITED,
        "Permission Sets",
    ),
    case(
        "insufficient_access",
        By::Use(403, "FUNCTIONALITY_NOT_ENABLED", "not enabled"),
        LIMITED,
        "Permission Sets",
    ),
    case(
        "insufficient_access",
        By::Use(400, "INVALID_TYPE", "sObject type is not supported"),
        LIMITED,
        "Permission Sets",
    ),
    case(
        "org_inactive",
        By::Use(403, "ORG_LOCKED", "The organization has been locked"),
        WRONG,
        "Salesforce support",
    ),
    case(
        "org_inactive",
        By::Use(403, "TRIAL_EXPIRED", "The trial is over"),
        WRONG,
        "Salesforce support",
    ),
    case(
        "user_locked_out",
        By::Use(403, "PASSWORD_LOCKOUT", "the user is locked out"),
        WRONG,
        "Unlock",
    ),
    case(
        "ip_restricted",
        By::Use(403, "LOGIN_DURING_RESTRICTED_TIME", "not at this time"),
        WRONG,
        "Login Hours",
    ),
    case(
        "ip_restricted",
        By::Use(403, "LOGIN_DURING_RESTRICTED_DOMAIN", "not from here"),
        WRONG,
        "Login IP Ranges",
    ),
    case(
        "not_found",
        By::Use(404, "NOT_FOUND", "The requested resource does not exist"),
        WRONG,
        "Setup > My Domain",
    ),
    case(
        "api_version_unsupported",
        By::Use(410, "UNSUPPORTED_API_VERSION", "retired"),
        WRONG,
        "newest version",
    ),
    case(
        "url_not_reset",
        By::Use(403, "URL_NOT_RESET", "Destination URL not reset"),
        WRONG,
        "instance URL",
    ),
    case(
        "instance_moved",
        By::UseRedirect("https://acme-new.my.salesforce.com/services/data"),
        WRONG,
        "Setup > My Domain",
    ),
    case(
        "instance_moved",
        By::UseAnswer(421, "text/html", "Misdirected"),
        WRONG,
        "Setup > My Domain",
    ),
    case(
        "server_unavailable",
        By::Use(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
        PASSES,
        "status.salesforce.com",
    ),
    case(
        "server_unavailable",
        By::Use(503, "SERVER_UNAVAILABLE", "busy"),
        PASSES,
        "status.salesforce.com",
    ),
    case(
        "maintenance",
        By::UseAnswer(503, "text/html", "<html>We are down for Maintenance.</html>"),
        PASSES,
        "status.salesforce.com",
    ),
    case(
        "html_answer",
        By::UseAnswer(200, "text/html", "<html>Welcome to this hotel</html>"),
        PASSES,
        "captive portal",
    ),
    case(
        "unknown_api_error",
        By::Use(400, "BRAND_NEW", "of another year"),
        LIMITED,
        "REST API Developer Guide",
    ),
    needs(
        "session_expired",
        By::Use(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        "unknown",
        "set up the OAuth token",
    ),
    needs(
        "session_expired",
        By::UseAnswer(403, "text/html", "Bad_OAuth_Token"),
        "unknown",
        "set up the OAuth token",
    ),
];

/// What a poll of the device flow is refused with, in the end.
pub const DEVICE: &[Case] = &[
    needs(
        "device_code_refused",
        By::Poll("invalid_grant", "token exchange failed"),
        "unknown",
        "the new code at once",
    ),
    needs("device_code_refused", By::Poll("expired_token", ""), "unknown", "the new code at once"),
    needs(
        "access_denied",
        By::Poll("access_denied", "end-user denied authorization"),
        "unknown",
        "press Allow",
    ),
    case(
        "client_id_invalid",
        By::Poll("invalid_client_id", "client identifier invalid"),
        WRONG,
        "Consumer Key and Secret",
    ),
];

/// Rows of the table that are none of section 5, or can't be had from a script alone, and the test
/// that drives each.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("authorization_pending", "o10_pending_polls_go_on_at_the_interval_until_the_token_comes"),
    ("slow_down", "o10_slow_down_adds_five_seconds_and_the_next_process_keeps_to_it"),
    ("user_code_expired", "o10_without_an_approval_in_time_it_ends_by_itself"),
    ("token_gone", "o22_a_token_that_salesforce_does_not_know_counts_as_revoked"),
    ("no_api_scope", "a_token_without_a_scope_for_the_api_is_limited"),
    ("foreign_refresh", "o17_another_account_is_told_with_both_pairs_of_ids"),
    ("login_host_moved", "n15_a_redirect_is_not_followed_with_a_secret"),
    (
        "not_an_oauth_answer",
        "n11_what_is_no_oauth_answer_is_described_and_makes_a_refresh_uncertain",
    ),
    ("token_response_invalid", "o17_an_answer_without_a_host_or_an_account_is_not_used"),
    ("signature_mismatch", "a_sign_in_with_an_unfit_answer_stores_nothing_and_revokes_what_came"),
    ("host_refused", "o18_a_token_goes_to_no_host_that_an_answer_made_up"),
    ("host_unknown", "n01_a_name_that_dns_does_not_know_fails_or_is_silent_about"),
    ("connect_failed", "n02_a_refused_connection_names_host_and_port_and_costs_nothing"),
    ("connection_cut", "n04_a_reset_before_the_request_is_tried_again_once_by_itself"),
    ("tls_certificate_expired", "n17_each_certificate_that_is_not_in_order_has_its_own_words"),
    (
        "tls_certificate_not_yet_valid",
        "n17_each_certificate_that_is_not_in_order_has_its_own_words",
    ),
    ("tls_issuer_unknown", "n17_each_certificate_that_is_not_in_order_has_its_own_words"),
    ("tls_name_mismatch", "n17_each_certificate_that_is_not_in_order_has_its_own_words"),
    ("tls_version_refused", "n17_an_old_version_and_no_tls_at_all_have_their_own_words"),
    ("tls_missing", "n17_an_old_version_and_no_tls_at_all_have_their_own_words"),
    ("tls_failed", "each_problem_is_found_in_what_wraps_it"),
    ("proxy_failed", "n19_a_proxy_that_refuses_is_named_without_its_password"),
    ("timeout", "n06_a_slow_answer_to_a_code_or_a_call_is_given_up"),
    ("interrupted", "n07_a_truncated_answer_is_never_read_as_a_token"),
    ("answer_too_large", "n09_the_cap_is_told"),
];
