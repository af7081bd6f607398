//! What is sent, and what each answer means.

use super::*;
use crate::oauth::testing::{answer, form, shown};

const HOST: &str = "acme.my.salesforce.com";

fn login() -> LoginUrl {
    LoginUrl::from_stored(format!("https://{HOST}"))
}

#[test]
fn the_requests_are_salesforces_and_not_those_of_rfc_8628() {
    let scopes = ["api".to_owned(), "refresh_token".to_owned()];
    let start = start_request(&login(), "3MVG9", &scopes);
    assert_eq!(start.url, format!("https://{HOST}/services/oauth2/token"));
    assert_eq!(
        form(&start),
        ["response_type=device_code", "client_id=3MVG9", "scope=api refresh_token"]
    );
    assert_eq!(start.purpose, Purpose::Question);
    assert_eq!(form(&start_request(&login(), "3MVG9", &[])).len(), 2);

    let secret = SecretString::from("8472910365021987345");
    let client = Client { client_id: "3MVG9", client_secret: Some(&secret) };
    let poll = poll_request(&login(), &client, &"UGxhdGZvcm1".into());
    assert_eq!(
        form(&poll),
        [
            "grant_type=device",
            "code=UGxhdGZvcm1",
            "client_id=3MVG9",
            "client_secret=8472910365021987345"
        ]
    );
    assert_eq!(poll.purpose, Purpose::Exchange);
}

#[test]
fn the_codes_are_read_without_an_end_in_the_answer() {
    let body = r#"{"device_code":"UGxhdGZvcm1x","user_code":"08T3AY9D","verification_uri":"https://acme.my.salesforce.com/setup/connect","interval":5}"#;
    let read = start_response(HOST, &answer(200, body)).unwrap();
    assert_eq!(shown(&read.device_code), "UGxhdGZvcm1x");
    assert_eq!(read.user_code, "08T3AY9D");
    assert_eq!(read.verification_uri, "https://acme.my.salesforce.com/setup/connect");
    assert_eq!((read.interval, read.life), (Duration::from_secs(5), LIFE));
    assert!(!format!("{read:?}").contains("UGxhdGZvcm1x"));
}

#[test]
fn interval_and_life_are_kept_within_reason() {
    for (more, interval, life) in [
        ("", 5, 600),
        (r#","interval":0,"expires_in":900"#, 1, 900),
        (r#","interval":"7","expires_in":"300""#, 7, 300),
        (r#","interval":99999,"expires_in":99999999"#, 60, 3600),
        (r#","interval":-3,"expires_in":null"#, 5, 600),
    ] {
        let body = format!(
            r#"{{"device_code":"d","user_code":"08T3","verification_uri":"https://x"{more}}}"#
        );
        let read = start_response(HOST, &answer(200, &body)).unwrap();
        let expected = (Duration::from_secs(interval), Duration::from_secs(life));
        assert_eq!((read.interval, read.life), expected, "{more}");
    }
}

#[test]
fn an_answer_without_what_it_must_have_starts_nothing() {
    for (status, body, kind) in [
        (200, "{}", FaultKind::NotAnOAuthAnswer),
        (200, "no JSON", FaultKind::NotAnOAuthAnswer),
        (200, r#"{"device_code":"d","user_code":"08T3"}"#, FaultKind::NotAnOAuthAnswer),
        (
            200,
            r#"{"device_code":"d","user_code":"a\u001b[2J","verification_uri":"https://x"}"#,
            FaultKind::NotAnOAuthAnswer,
        ),
        (
            200,
            r#"{"device_code":"d","user_code":"call+me","verification_uri":"https://x"}"#,
            FaultKind::NotAnOAuthAnswer,
        ),
        (400, r#"{"error":"invalid_client_id"}"#, FaultKind::ClientIdInvalid),
        (400, r#"{"error":"unsupported_response_type"}"#, FaultKind::FlowNotSupported),
    ] {
        assert_eq!(start_response(HOST, &answer(status, body)).unwrap_err().kind, kind, "{body}");
    }
}

/// One word for what an answer means.
fn word(polled: &Polled) -> String {
    match polled {
        Polled::Token => "token".into(),
        Polled::Pending => "pending".into(),
        Polled::SlowDown => "slow down".into(),
        Polled::Unclear { lost: true, .. } => "unclear, perhaps lost".into(),
        Polled::Unclear { lost: false, .. } => "unclear".into(),
        Polled::Refused(fault) => fault.code().into(),
    }
}

#[test]
fn every_answer_to_a_poll_has_its_meaning() {
    let token = r#"{"access_token":"00D!x","instance_url":"https://acme.my.salesforce.com","id":"https://x/id/00D5g00000Abc1XEAR/0055g00000FgHiJAAV","token_type":"Bearer"}"#;
    let error =
        |code: &str, text: &str| format!(r#"{{"error":"{code}","error_description":"{text}"}}"#);
    let table = [
        (200, token.to_owned(), "token"),
        // What has a token in it is not thrown away, whatever else it is.
        (200, r#"{"access_token":"00D!x"}"#.to_owned(), "token"),
        (400, token.to_owned(), "token"),
        (400, error("authorization_pending", "not yet"), "pending"),
        (200, error("authorization_pending", "not yet"), "pending"),
        (400, r#"{"error":"authorization_pending"}"#.to_owned(), "pending"),
        (400, error("slow_down", "polling too quickly for the token endpoint"), "slow down"),
        (400, error("access_denied", "end-user denied authorization"), "access_denied"),
        (400, error("invalid_grant", "token exchange failed"), "device_code_refused"),
        (400, error("invalid_grant", "expired authorization code"), "device_code_refused"),
        (400, error("expired_token", ""), "device_code_refused"),
        (400, error("invalid_client_id", "client identifier invalid"), "client_id_invalid"),
        (400, error("invalid_grant", "inactive user"), "user_inactive"),
        (400, error("server_error", ""), "unclear, perhaps lost"),
        (503, "<html>down</html>".to_owned(), "unclear"),
        (429, String::new(), "unclear"),
        (500, "<html>oops</html>".to_owned(), "unclear, perhaps lost"),
        (200, "<html>portal</html>".to_owned(), "unclear, perhaps lost"),
        (200, r#"{"access_tok"#.to_owned(), "unclear, perhaps lost"),
        (200, "[]".to_owned(), "unclear, perhaps lost"),
    ];
    for (status, body, expected) in table {
        let polled = read_poll(HOST, &answer(status, &body), None);
        assert_eq!(word(&polled), expected, "{status} {body}");
    }
}

#[test]
fn only_what_may_hold_a_token_costs_a_write() {
    for (status, body, holds) in [
        (200, "", true),
        (400, r#"{"error":"authorization_pending","error_description":"x"}"#, false),
        (400, r#"{"error":"invalid_grant","error_description":"token exchange failed"}"#, false),
        (400, r#"{"refresh_token":"5Aep"}"#, true),
        (500, r#"{"access_token":"00D"}"#, true),
    ] {
        assert_eq!(may_hold_token(&answer(status, body)), holds, "{status} {body}");
    }
}
