//! Token responses as Salesforce sends them, and as it should not.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::oauth::testing::{answer, shown};

/// The secret of the signature vector in facts 3.1.
const SECRET: &str = "8472910365021987345";

/// The example answer of facts 3.1.
fn example() -> Value {
    json!({
        "access_token": "00D5g00000Abc1X!AQEAQInventedInventedInvented.ab_CD",
        "refresh_token": "5Aep861InventedInvented.Invented_x",
        "signature": "nnrfH/OQXykJNJEuzsTrNcFI9I6X7A4PYmoJoAPkf+Q=",
        "scope": "refresh_token api id",
        "instance_url": "https://acme.my.salesforce.com",
        "id": "https://login.salesforce.com/id/00D5g00000Abc1XEAR/0055g00000FgHiJAAV",
        "token_type": "Bearer",
        "issued_at": "1795473512345",
        "api_instance_url": "https://api.salesforce.com"
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut body = example();
    body[name] = value;
    body
}

fn without(name: &str) -> Value {
    let mut body = example();
    body.as_object_mut().unwrap().remove(name);
    body
}

fn parse(body: &Value) -> Result<TokenResponse, TokenResponseError> {
    response("acme.my.salesforce.com", &answer(200, &body.to_string()), Some(&SECRET.into()))
}

#[test]
fn the_example_of_the_facts_is_read_and_its_signature_fits() {
    let token = parse(&example()).unwrap();
    assert_eq!(shown(&token.access_token), "00D5g00000Abc1X!AQEAQInventedInventedInvented.ab_CD");
    assert_eq!(shown(&token.refresh_token.unwrap()), "5Aep861InventedInvented.Invented_x");
    assert_eq!(token.instance_url, "https://acme.my.salesforce.com");
    assert_eq!(token.org_id.as_str(), "00D5g00000Abc1XEAR");
    assert_eq!(token.user_id.as_str(), "0055g00000FgHiJAAV");
    assert_eq!(token.scopes, ["refresh_token", "api", "id"]);
    assert_eq!(token.issued_at, Some(UnixMillis(1_795_473_512_345)));
    assert_eq!(token.known_expiry, None);
}

#[test]
fn what_is_optional_may_be_missing_or_of_another_type() {
    for body in [
        without("scope"),
        without("signature"),
        without("issued_at"),
        without("refresh_token"),
        without("token_type"),
        with("refresh_token", Value::Null),
        with("refresh_token", json!("")),
        with("scope", json!(["api"])),
        with("token_type", json!("bearer")),
        with("issued_at", json!(1_795_473_512_345_i64)),
        with("signature", json!(17)),
    ] {
        assert!(parse(&body).is_ok(), "{body}");
    }
    let no_secret = answer(200, &with("signature", json!("AAAA")).to_string());
    assert!(response("h", &no_secret, None).is_ok());
}

#[test]
fn the_time_of_issue_is_read_in_seconds_and_milliseconds() {
    for (issued_at, read) in [
        (json!("1795473512345"), Some(1_795_473_512_345)),
        (json!("1795473512"), Some(1_795_473_512_000)),
        (json!(1_795_473_512), Some(1_795_473_512_000)),
        (json!("yesterday"), None),
        (json!({}), None),
    ] {
        let mut body = with("issued_at", issued_at.clone());
        body.as_object_mut().unwrap().remove("signature");
        assert_eq!(parse(&body).unwrap().issued_at, read.map(UnixMillis), "{issued_at}");
    }
}

#[test]
fn a_bad_answer_is_named_and_its_tokens_are_saved() {
    use TokenResponseProblem as P;
    let identity = |text: &str| with("id", json!(text)).as_object().cloned().map(Value::Object);
    let table = [
        (without("access_token"), P::Missing("access_token")),
        (with("access_token", json!(17)), P::WrongType("access_token")),
        (with("access_token", json!("a\nb")), P::Characters("access_token")),
        (with("access_token", json!("a\u{1b}b")), P::Characters("access_token")),
        (with("access_token", json!("x".repeat(8_193))), P::TooLong("access_token", TOKEN_LIMIT)),
        (with("refresh_token", json!(["x"])), P::WrongType("refresh_token")),
        (without("instance_url"), P::Missing("instance_url")),
        (without("id"), P::Missing("id")),
        (with("token_type", json!("mac")), P::TokenType),
        (with("signature", json!("AAAA")), P::SignatureMismatch),
        (with("signature", json!("no base64")), P::SignatureMismatch),
        (with("issued_at", json!("1795473512346")), P::SignatureMismatch),
        (
            identity("https://evil.example/id/00D5g00000Abc1XEAR/0055g00000FgHiJAAV").unwrap(),
            P::SignatureMismatch,
        ),
    ];
    for (body, reason) in table {
        let error = parse(&body).unwrap_err();
        assert_eq!(error.reason, reason, "{body}");
        assert!(error.salvage.is_some(), "{body}");
        assert!(!format!("{error:?} {error}").contains("Invented"), "{error:?}");
        assert!(!reason.fault("h").message().contains("Invented"));
    }
}

#[test]
fn an_error_in_a_200_is_an_error_and_a_token_in_a_400_is_saved() {
    let error = parse(&with("error", json!("invalid_grant"))).unwrap_err();
    assert_eq!(error.reason.fault("h").kind, FaultKind::GrantRefused);
    assert!(error.salvage.is_some());
    let refused = answer(400, &example().to_string());
    let error = response("h", &refused, None).unwrap_err();
    assert_eq!(error.reason.fault("h").kind, FaultKind::NotAnOAuthAnswer);
    let salvage = error.salvage.unwrap();
    assert!(salvage.access_token.is_some() && salvage.refresh_token.is_some());
}

#[test]
fn what_is_no_json_object_is_no_oauth_answer() {
    let twice = example().to_string().replacen('{', "{\"scope\":\"api\",", 1);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in ["[]", "17", &twice] {
        let error = response("h", &answer(200, body), None).unwrap_err();
        assert_eq!(error.reason, TokenResponseProblem::NotAnObject);
        assert_eq!(error.reason.fault("h").kind, FaultKind::TokenResponseInvalid);
    }
    for (body, kind) in [
        ("", FaultKind::NotAnOAuthAnswer),
        (&deep, FaultKind::NotAnOAuthAnswer),
        ("{\"issued_at\":1e400}", FaultKind::NotAnOAuthAnswer),
        ("\u{feff}{}", FaultKind::NotAnOAuthAnswer),
        ("{\"access_token\":\"00D", FaultKind::NotAnOAuthAnswer),
        ("<html>Log in", FaultKind::HtmlAnswer),
        ("<html>maintenance", FaultKind::Maintenance),
    ] {
        let error = response("h", &answer(200, body), None).unwrap_err();
        // An outage is no refusal: it says nothing of what became of the token.
        assert!(matches!(error.reason, TokenResponseProblem::NotAnOAuthAnswer(_)), "{body}");
        assert_eq!(error.reason.fault("h").kind, kind);
    }
}

#[test]
fn an_identity_url_without_an_account_is_refused() {
    for id in ["https://login.salesforce.com/id/x/y", "https://login.salesforce.com", "nonsense"] {
        let mut body = with("id", json!(id));
        body.as_object_mut().unwrap().remove("signature");
        let error = parse(&body).unwrap_err();
        assert!(matches!(error.reason, TokenResponseProblem::Identity(_)), "{id}");
    }
}

#[test]
fn the_end_of_a_jwt_is_known() {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = |claims| format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims));
    for (claims, expiry) in [
        (json!({"exp": 1_795_480_712}), Some(1_795_480_712_000)),
        (json!({"exp": "soon"}), None),
        (json!({}), None),
    ] {
        let answered = parse(&with("access_token", json!(token(claims)))).unwrap();
        assert_eq!(answered.known_expiry, expiry.map(UnixMillis));
    }
}

proptest! {
    #[test]
    fn no_body_panics_and_no_error_shows_a_token(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        name in "(access_token|refresh_token|id|issued_at|signature|instance_url|scope|token_type)",
        text in any::<String>(),
    ) {
        let bytes = answer(200, &String::from_utf8_lossy(&body));
        let _ = response("h", &bytes, Some(&SECRET.into()));
        if let Err(error) = parse(&with(&name, json!(text))) {
            let shown = format!("{error:?}");
            prop_assert!(!shown.contains("Invented"));
        }
    }
}
