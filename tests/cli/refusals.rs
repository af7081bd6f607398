//! Every refusal of Salesforce OAuth facts 5.1 and 5.2, from the simulated Salesforce to text,
//! JSON, exit code and state; and that a passing fault never takes a good token away.

use serde_json::{Value, json};

use crate::common::REDIRECT_URI;
use crate::stage::Class::{Account, Configure, Limited, Passing, SignIn};
use crate::stage::{Class, Stage, check_error, oauth_error, side_by_side};

/// Error, description, code in JSON, class: facts 5.1.
const OAUTH: &[(&str, &str, &str, Class)] = &[
    ("invalid_grant", "expired authorization code", "code_expired", SignIn),
    ("invalid_grant", "invalid authorization code", "code_expired", SignIn),
    ("invalid_grant", "expired access/refresh token", "token_refused", SignIn),
    ("invalid_grant", "inactive user", "user_inactive", SignIn),
    ("inactive_user", "", "user_inactive", SignIn),
    ("invalid_grant", "inactive organization", "org_inactive", Configure),
    ("inactive_org", "", "org_inactive", Configure),
    ("invalid_grant", "ip restricted", "ip_restricted", Configure),
    ("invalid_grant", "ip restricted or invalid login hours", "ip_restricted", Configure),
    ("invalid_grant", "IP not in trusted ranges", "ip_restricted", Configure),
    ("invalid_grant", "user hasn't approved this consumer", "consumer_not_approved", Configure),
    ("invalid_grant", "audience is invalid", "audience_invalid", Configure),
    ("invalid_grant", "Audience validation failed", "audience_invalid", Configure),
    ("invalid_grant", "invalid assertion", "assertion_invalid", Configure),
    ("invalid_grant", "Couldn't validate jwt", "assertion_invalid", Configure),
    ("invalid_grant", "no client credentials user enabled", "no_run_as_user", Configure),
    ("invalid_grant", "no valid scopes defined", "no_valid_scopes", Configure),
    ("invalid_grant", "request not supported on this domain", "domain_not_supported", Configure),
    ("invalid_grant", "authentication failure", "authentication_failure", Configure),
    ("invalid_grant", "invalid user credentials", "authentication_failure", Configure),
    ("invalid_grant", "the moon is wrong", "grant_refused", SignIn),
    ("invalid_client_id", "client identifier invalid", "client_id_invalid", Configure),
    ("invalid_client", "invalid client credentials", "client_secret_invalid", Configure),
    ("invalid_client", "app must be installed into org", "app_not_installed", Configure),
    (
        "app_not_found",
        "External client app is not installed in this org",
        "app_not_found",
        Configure,
    ),
    (
        "invalid_app_access",
        "user is not admin approved to access this app",
        "user_not_approved",
        Configure,
    ),
    (
        "redirect_uri_mismatch",
        "redirect_uri must match configuration",
        "redirect_uri_mismatch",
        Configure,
    ),
    ("redirect_uri_missing", "", "redirect_uri_missing", Configure),
    ("invalid_request", "must use HTTP POST", "invalid_request", Configure),
    ("invalid_request", "HTTPS required", "invalid_request", Configure),
    ("invalid_request", "missing required code challenge", "code_challenge_required", Configure),
    ("invalid_request", "invalid code verifier", "code_verifier_invalid", Configure),
    ("invalid_scope", "the requested scope is not allowed", "invalid_scope", Configure),
    ("access_denied", "end-user denied authorization", "access_denied", SignIn),
    ("immediate_unsuccessful", "", "interaction_required", SignIn),
    ("interaction_required", "", "interaction_required", SignIn),
    ("unsupported_response_type", "response type not supported", "flow_not_supported", Configure),
    ("unsupported_grant_type", "grant type not supported", "flow_not_supported", Configure),
    ("unauthorized_client", "", "unauthorized_client", Configure),
    ("rate_limit_exceeded", "login rate exceeded", "login_rate_exceeded", Passing),
    ("server_error", "", "server_error", Passing),
    ("temporarily_unavailable", "", "server_error", Passing),
    ("unknown_error", "retry your request", "server_error", Passing),
    ("user_authentication_failed", "", "user_authentication_failed", Configure),
    (
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "An unexpected error has occurred during authentication",
        "approval_error",
        Configure,
    ),
    ("OAUTH_APP_BLOCKED", "this app is blocked by admin", "app_blocked", Configure),
    ("OAUTH_APP_ACCESS_DENIED", "", "app_access_denied", Configure),
    ("OAUTH_EC_APP_NOT_FOUND", "", "app_not_found", Configure),
    ("brand_new_error", "never seen before", "unknown_oauth_error", Configure),
];

/// Status, errorCode, message, class: facts 5.2.
const API: &[(u16, &str, &str, Class)] = &[
    (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", Configure),
    (401, "INVALID_SESSION_ID", "Connected app is not attached to Agent", Configure),
    (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", Configure),
    (403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner", Limited),
    (403, "API_CURRENTLY_DISABLED", "API is disabled", Limited),
    (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Limited),
    (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (x) Limit exceeded.", Limited),
    (403, "INSUFFICIENT_ACCESS", "no access", Limited),
    (403, "FUNCTIONALITY_NOT_ENABLED", "not enabled", Limited),
    (400, "INVALID_TYPE", "sObject type 'X' is not supported.", Limited),
    (403, "ORG_LOCKED", "org locked", Configure),
    (403, "TRIAL_EXPIRED", "trial expired", Configure),
    (403, "PASSWORD_LOCKOUT", "user is locked out", Configure),
    (403, "X", "outside of login hours", Configure),
    (404, "NOT_FOUND", "The requested resource does not exist", Configure),
    (410, "UNSUPPORTED_API_VERSION", "retired", Configure),
    (
        400,
        "URL_NOT_RESET",
        "Destination URL not reset. The URL returned from login must be set",
        Configure,
    ),
    (500, "UNKNOWN_EXCEPTION", "unexpected", Passing),
    (503, "SERVER_UNAVAILABLE", "down", Passing),
    (429, "TOO_MANY", "slow down", Passing),
    (403, "SOMETHING_NEW", "never seen before", Limited),
];

#[test]
fn each_refusal_at_the_browser_keeps_the_attempt_and_the_old_token() {
    side_by_side(OAUTH, |stage, (error, description, code, class)| {
        let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        stage.script(&json!([{ "match": { "path": "/services/oauth2/authorize" },
            "callback_error": { "error": error, "error_description": description } }]));
        let redirect = stage.simulator.sign_in(&url, "ana@acme.example");
        assert!(redirect.starts_with(REDIRECT_URI) && redirect.contains("error="), "{redirect}");
        let run = stage.home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
        check_error(&run, *class, code, error);
        let shown = stage.home.shown("acme");
        assert_eq!(shown["state"], "ready", "{error} {description}");
        assert!(shown["authorization"].is_object(), "the attempt pends on");
        stage.token().ok();
        // The same attempt passes once Salesforce lets it.
        let redirect = stage.simulator.sign_in(&url, "ana@acme.example");
        stage.home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    });
}

#[test]
fn each_refusal_of_a_code_keeps_the_old_token() {
    side_by_side(OAUTH, |stage, (error, description, code, class)| {
        let before = stage.token().ok().json()["access_token"].clone();
        stage.script(&json!([{ "match": { "grant_type": "authorization_code" }, "status": 400,
            "body": oauth_error(error, description) }]));
        let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = stage.simulator.sign_in(&url, "ana@acme.example");
        let run = stage.home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
        check_error(&run, *class, code, error);
        assert_eq!(stage.state().0, "ready", "{error} {description}");
        assert_eq!(stage.token().ok().json()["access_token"], before);
        stage.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    });
}

#[test]
fn each_refusal_of_a_first_code_says_what_the_state_says() {
    side_by_side(OAUTH, |stage, (error, description, code, class)| {
        stage.home.orgkey(&["delete", "acme", "--confirm", "acme"]).ok();
        stage.home.save(&stage.simulator, "acme", "ana@acme.example", &[]).ok();
        stage.script(&json!([{ "match": { "grant_type": "authorization_code" }, "status": 400,
            "body": oauth_error(error, description) }]));
        let url = stage.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
        let redirect = stage.simulator.sign_in(&url, "ana@acme.example");
        let run = stage.home.orgkey_with(&["setup", "acme", "--finish", "-", "--json"], &redirect);
        check_error(&run, *class, code, error);
        assert_eq!(stage.state(), ("authorizing".to_owned(), None));
        stage.home.orgkey(&["setup", "acme", "--cancel"]).ok();
        let state = if *class == Configure { "misconfigured" } else { "no_token" };
        assert_eq!(stage.state(), (state.to_owned(), None), "{error} {description}");
        stage.token().expect(3);
        stage.restore();
    });
}

#[test]
fn each_refusal_of_a_refresh_has_its_state_and_only_a_final_one_takes_the_token() {
    side_by_side(OAUTH, |stage, (error, description, code, class)| {
        stage.script(&json!([{ "match": { "grant_type": "refresh_token" }, "times": 0,
            "status": 400, "body": oauth_error(error, description) }]));
        let run = stage.refreshed_token();
        let code = if *class == SignIn { "needs_setup" } else { code };
        check_error(&run, *class, code, error);
        let (state, cause) = stage.state();
        assert_eq!(state, class.state(), "{error} {description}");
        assert_eq!(cause.is_some(), *class == SignIn, "{error} {description}");
        if *class == SignIn {
            stage.token().expect(3);
            let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(3);
            assert_eq!(run.json()["results"][0]["outcome"], "needs_setup");
            return stage.restore();
        }
        // The access token is handed out while it lives, and all is well when the fault is over.
        stage.token().ok();
        stage.simulator.clear_script();
        stage.refreshed_token().ok();
        stage.home.orgkey(&["test", "acme"]).ok();
        assert_eq!(stage.state().0, "ready", "{error} {description}");
    });
}

#[test]
fn each_refusal_of_a_refresh_within_a_test_is_the_result_of_the_test() {
    side_by_side(OAUTH, |stage, (error, description, _, class)| {
        stage.simulator.control("expire_sessions", &json!({}));
        stage.script(&json!([{ "match": { "grant_type": "refresh_token" }, "times": 0,
            "status": 400, "body": oauth_error(error, description) }]));
        let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(class.exit_code());
        let result = &run.json()["results"][0];
        assert_eq!(result["outcome"], class.outcome(), "{run}");
        assert!(result["message"].as_str().unwrap().contains(error), "{run}");
        assert!(!result["remedy"].as_str().unwrap().is_empty(), "{run}");
        let shown = stage.home.shown("acme");
        assert_eq!(shown["state"], class.state(), "{error} {description}");
        assert_eq!(shown["last_test"]["outcome"], class.outcome());
        if *class == SignIn {
            return stage.restore();
        }
        stage.simulator.clear_script();
        stage.home.orgkey(&["test", "acme"]).ok();
    });
}

#[test]
fn each_refusal_of_the_api_is_the_result_of_the_test_and_the_token_stays() {
    side_by_side(API, |stage, (status, code, message, class)| {
        stage.script(&json!([{ "match": { "path": "/services/data/v*" }, "times": 0,
            "status": status, "body": [{ "message": message, "errorCode": code }] }]));
        let before = stage.simulator.count("refreshes");
        let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(class.exit_code());
        let result = &run.json()["results"][0];
        assert_eq!(result["outcome"], class.outcome(), "{run}");
        assert!(!result["remedy"].as_str().unwrap().is_empty(), "{run}");
        assert_eq!(stage.state().0, class.state(), "{code}");
        assert_eq!(stage.simulator.count("refreshes"), before, "a refresh does not help: {code}");
        stage.token().ok();
        stage.simulator.clear_script();
        stage.home.orgkey(&["test", "acme"]).ok();
        assert_eq!(stage.state().0, "ready", "{code}");
    });
}

#[test]
fn plain_text_refusals_of_the_api_are_told_apart() {
    let rows = [
        (403, "Missing_OAuth_Token", Configure),
        (403, "Wrong_Org", Account),
        (404, "", Configure),
        (503, "<html><body>Down for maintenance</body></html>", Passing),
        (200, "<html><body>Welcome to this hotel</body></html>", Passing),
    ];
    side_by_side(&rows, |stage, (status, body, class)| {
        stage.script(&json!([{ "match": { "path": "/services/data/v*" }, "times": 0,
            "status": status, "body": body, "content_type": "text/html" }]));
        let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(class.exit_code());
        assert_eq!(run.json()["results"][0]["outcome"], class.outcome(), "{run}");
        assert_eq!(stage.state().0, class.state(), "{body}");
        stage.token().ok();
        stage.simulator.clear_script();
        stage.home.orgkey(&["test", "acme"]).ok();
    });
}

#[test]
fn an_expired_session_is_refreshed_once_and_a_second_refusal_is_told() {
    let rows = [
        json!([{ "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID" }]),
        json!("Bad_OAuth_Token"),
    ];
    side_by_side(&rows, |stage, body| {
        let fault = |times| {
            json!([{ "match": { "path": "/services/data/v*" }, "times": times, "status": 401,
                "body": body }])
        };
        stage.script(&fault(1));
        let before = stage.simulator.count("refreshes");
        stage.home.orgkey(&["test", "acme"]).ok();
        assert_eq!(stage.simulator.count("refreshes"), before + 1);
        stage.script(&fault(0));
        let run = stage.home.orgkey(&["test", "acme", "--json"]).expect(3);
        assert_eq!(run.json()["results"][0]["outcome"], "needs_setup");
        assert_eq!(stage.simulator.count("refreshes"), before + 2, "once, not again and again");
        stage.simulator.clear_script();
        stage.home.orgkey(&["test", "acme"]).ok();
    });
}

#[test]
fn a_token_that_is_already_being_processed_is_waited_for() {
    let stage = Stage::new();
    let busy = oauth_error("invalid_grant", "token request is already being processed");
    let fault = |times| {
        json!([{ "match": { "grant_type": "refresh_token" }, "times": times, "status": 400,
            "body": busy }])
    };
    stage.script(&fault(1));
    stage.refreshed_token().ok();
    stage.script(&fault(0));
    let run = stage.refreshed_token();
    check_error(&run, Passing, "already_being_processed", "already being processed");
    stage.token().ok();
    stage.simulator.clear_script();
    stage.refreshed_token().ok();
    stage.home.orgkey(&["test", "acme"]).ok();
}

/// How an answer gets lost or spoilt: the fault, what a refresh says then, what a test and a
/// sign-in say.
fn lost_answers() -> Vec<(Value, i32, i32)> {
    vec![
        (json!({ "then": "reset", "commit": false }), 10, 4),
        (json!({ "then": "reset" }), 10, 4),
        (json!({ "then": "stall" }), 10, 4),
        (json!({ "then": "truncate@20" }), 10, 4),
        (json!({ "status": 502, "body": "<html>Bad Gateway</html>", "commit": true }), 10, 4),
        (json!({ "status": 504, "body": "", "commit": true }), 10, 4),
        (json!({ "status": 503, "body": "" }), 4, 4),
        (json!({ "status": 429, "body": "" }), 4, 4),
        (json!({ "status": 400, "body": "<html>outage</html>" }), 4, 4),
    ]
}

#[test]
fn a_lost_answer_of_a_refresh_is_uncertain_and_the_access_token_is_served_on() {
    for (spoil, refresh, _) in lost_answers() {
        let stage = Stage::new();
        stage.answer_within_a_second();
        let mut fault = spoil.clone();
        fault["match"] = json!({ "grant_type": "refresh_token" });
        stage.script(&json!([fault]));
        let run = stage.refreshed_token();
        assert_eq!(run.status, refresh, "{spoil}: {run}");
        let expected = if refresh == 10 { "uncertain" } else { "unreachable" };
        assert_eq!(stage.state().0, expected, "{spoil}");
        if refresh == 10 {
            assert_eq!(run.error()["code"], "uncertain", "{spoil}: {run}");
        }
        stage.token().ok();
        assert!(stage.home.shown("acme")["token"].is_object(), "{spoil}");
    }
}

#[test]
fn a_lost_answer_of_the_api_is_passing() {
    let stage = Stage::new();
    stage.answer_within_a_second();
    for (spoil, _, test) in lost_answers() {
        let mut fault = spoil.clone();
        fault["match"] = json!({ "path": "/services/data/v*" });
        // What only reads is asked once more by itself.
        fault["times"] = json!(0);
        stage.script(&json!([fault]));
        let run = stage.home.orgkey(&["test", "acme", "--json"]);
        assert_eq!(run.status, test, "{spoil}: {run}");
        assert_eq!(run.json()["results"][0]["outcome"], "unreachable", "{spoil}");
        stage.token().ok();
        stage.simulator.clear_script();
        stage.home.orgkey(&["test", "acme"]).ok();
    }
}

#[test]
fn a_lost_answer_of_a_sign_in_keeps_the_old_token() {
    let stage = Stage::new();
    stage.answer_within_a_second();
    let before = stage.home.orgkey(&["token", "acme"]).ok().stdout;
    for (spoil, _, sign_in) in lost_answers() {
        let mut fault = spoil.clone();
        fault["match"] = json!({ "grant_type": "authorization_code" });
        stage.script(&json!([fault]));
        let run = stage.home.set_up(&stage.simulator, "acme", "ana@acme.example");
        assert_eq!(run.status, sign_in, "{spoil}: {run}");
        assert_eq!(stage.state().0, "ready", "{spoil}");
        assert_eq!(stage.home.orgkey(&["token", "acme"]).ok().stdout, before, "{spoil}");
    }
}

#[test]
fn a_salesforce_that_is_not_there_costs_nothing() {
    let Stage { simulator, home } = Stage::new();
    let token = home.orgkey(&["token", "acme"]).ok().stdout;
    drop(simulator);
    let run = home.orgkey(&["test", "acme", "--json"]).expect(4);
    assert_eq!(run.json()["results"][0]["outcome"], "unreachable");
    let run = home.orgkey_with(&["token", "acme", "--not", "-", "--json"], &token).expect(4);
    assert_eq!(run.error()["code"], "connect_failed");
    assert_eq!(home.shown("acme")["state"], "unreachable");
    assert_eq!(home.orgkey(&["token", "acme"]).ok().stdout, token);
}

#[test]
fn a_redirect_is_never_followed() {
    let stage = Stage::new();
    let elsewhere = format!("redirect:{}/services/oauth2/token", stage.simulator.url("globex.my"));
    stage.script(&json!([{ "match": { "grant_type": "refresh_token" }, "then": elsewhere }]));
    let run = stage.refreshed_token();
    check_error(&run, Configure, "login_host_moved", "redirect");
    let at_globex =
        |entry: &Value| entry["host"].as_str().is_some_and(|host| host.starts_with("globex"));
    assert!(!stage.simulator.journal().iter().any(at_globex));
    stage.token().ok();
    stage.home.orgkey(&["test", "acme"]).ok();
}
