//! Rows about time: N6, N18, N21 and N22.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Stage, check, check_test};

/// Longest that a command may take which waits one second for an answer.
const SHORT: Duration = Duration::from_secs(4);
const HOUR: i64 = 3_600;

#[test]
fn n06_a_drip_of_bytes_does_not_outlive_the_deadline() {
    // Side by side: each waits its second.
    std::thread::scope(|scope| {
        for then in ["drip@2", "drip_body@20", "stall"] {
            scope.spawn(move || {
                let stage = Stage::new();
                stage.spoil("refresh_token", &json!({ "then": then }));
                let began = Instant::now();
                let late = stage.refresh();
                assert!(began.elapsed() < SHORT, "{then}: one deadline for all, not one per read");
                stage.is_uncertain(&late, true, &["did not answer within 1 s"]);
            });
        }
    });
}

#[test]
fn n06_a_slow_answer_to_a_code_or_a_call_is_given_up() {
    let stage = Stage::new();
    let redirect = stage.redirect();
    stage.spoil("authorization_code", &json!({ "then": "drip@2" }));
    let late = stage.finish(&redirect);
    stage.code_is_at_risk(&late, "timeout", &["did not answer within 1 s"]);
    let data = json!({ "path": "/services/data*" });
    stage.simulator.script(&json!([{ "match": data, "then": "drip@2", "times": 0 }]));
    check_test(&stage.test(), 4, "unreachable", &["did not answer within 1 s", "try again"]);
    stage.simulator.clear_journal();
    stage.goes_on(false);
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A date as HTTP writes it (RFC 9110 section 5.6.7).
fn http_date(unix: i64) -> String {
    let at = jiff::Timestamp::from_second(unix).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn n18_a_clock_that_is_off_is_told_with_the_amount() {
    let stage = Stage::new();
    for (offset, words) in [
        (3 * HOUR + 60, "clock is 3 h behind the server's"),
        (-26 * HOUR - 60, "clock is 26 h ahead of the server's"),
        (150, "clock is 2 min behind the server's"),
    ] {
        let headers = json!({ "Date": http_date(unix_now() + offset) });
        let data = json!({ "path": "/services/data*" });
        let shifted = json!({ "match": data, "headers": headers, "times": 0 });
        stage.simulator.script(&json!([shifted]));
        let test = stage.test();
        check_test(
            &test,
            0,
            "ok",
            &["Access test successful; this machine's", words, "timedatectl"],
        );

        let refusal = json!({ "status": 400, "headers": headers, "commit": false,
            "body": { "error": "invalid_grant", "error_description": "audience is invalid" } });
        stage.spoil("refresh_token", &refusal);
        check(&stage.refresh(), 8, "audience_invalid", &[words, "timedatectl"]);
        stage.simulator.clear_script();
        stage.is_well();
    }
    for harmless in [http_date(unix_now() + 100), http_date(unix_now() - 100), "soon".to_owned()] {
        let data = json!({ "path": "/services/data*" });
        let headers = json!({ "Date": harmless });
        stage.simulator.script(&json!([{ "match": data, "headers": headers, "times": 0 }]));
        let test = stage.test().ok();
        let result = test.json()["results"][0].clone();
        assert_eq!(result["message"], "Access test successful", "{harmless}");
        assert_eq!(result["remedy"], "");
    }
}

/// The minute of the day that a text says may be tried again after.
#[track_caller]
fn told_minute(text: &str) -> i64 {
    let (_, rest) = text.split_once("try again after ").unwrap_or_else(|| panic!("{text}"));
    let (time, rest) = rest.split_at(5);
    assert!(rest.starts_with(" UTC"), "{text}");
    let (hour, minute) = time.split_once(':').unwrap();
    hour.parse::<i64>().unwrap() * 60 + minute.parse::<i64>().unwrap()
}

/// Fails unless the text names the minute that ends the wait, give or take the one in which the
/// command ran.
#[track_caller]
fn assert_wait(text: &str, began: i64, seconds: i64) {
    let earliest = (began + seconds + 59) / 60;
    let latest = (unix_now() + seconds + 119) / 60;
    let told = told_minute(text);
    assert!((earliest..=latest).any(|minute| minute % 1440 == told), "{text}: {seconds} s");
}

#[test]
fn n21_retry_after_is_told_in_seconds_and_as_a_date_and_is_never_long() {
    let stage = Stage::new();
    let now = unix_now();
    let table = [
        ("120", Some(120)),
        ("31536000", Some(900)),
        (&*http_date(now + 300), Some(300)),
        (&*http_date(now + 365 * 24 * HOUR), Some(900)),
        ("soon", None),
        ("-5", None),
        ("", None),
        (&*http_date(now - 300), None),
    ];
    for (value, wait) in table {
        stage.simulator.clear_journal();
        let headers = json!({ "Retry-After": value, "Date": http_date(now) });
        let busy = json!({ "status": 429, "headers": headers, "commit": false });
        stage.spoil("refresh_token", &busy);
        let began = unix_now();
        let refused = stage.refresh();
        let remedy = refused.error()["remedy"].as_str().unwrap().to_owned();
        match wait {
            Some(wait) => assert_wait(&remedy, began, wait),
            None => assert!(remedy.starts_with("wait and try again"), "{value}: {refused}"),
        }
        stage.is_kept(&refused, 4, "too_many_requests", &["fewer requests", "HTTP 429", "again"]);
    }
}

#[test]
fn n21_a_test_and_a_sign_in_tell_when_to_try_again_and_do_not_wait() {
    let stage = Stage::new();
    let headers = json!({ "Retry-After": "600" });
    let data = json!({ "path": "/services/data*" });
    let busy = json!({ "match": data, "status": 429, "headers": headers, "times": 0 });
    stage.simulator.script(&json!([busy]));
    let (instant, began) = (Instant::now(), unix_now());
    let test = stage.test();
    assert!(instant.elapsed() < SHORT, "no command sleeps: {test}");
    check_test(&test, 4, "unreachable", &["fewer requests"]);
    assert_wait(test.json()["results"][0]["remedy"].as_str().unwrap(), began, 600);
    stage.simulator.clear_journal();
    stage.goes_on(false);

    let redirect = stage.redirect();
    let busy = json!({ "status": 429, "headers": headers, "commit": false });
    stage.spoil("authorization_code", &busy);
    let refused = stage.finish(&redirect);
    check(&refused, 4, "too_many_requests", &["fewer requests"]);
    assert_wait(refused.error()["remedy"].as_str().unwrap(), began, 600);
    // The code was not looked at: the same address passes.
    stage.finish(&redirect).ok();
}

#[test]
fn n22_maintenance_and_an_error_of_salesforce_s_own_cost_nothing() {
    let stage = Stage::new();
    let page = "<html>We are down for maintenance.</html>";
    // 503: nobody looked at the request.
    for (body, code, words) in [
        (json!(page), "maintenance", "down for maintenance"),
        (json!("Service Unavailable"), "server_unavailable", "out of order"),
    ] {
        stage.simulator.clear_journal();
        let down = json!({ "status": 503, "body": body, "headers": { "Retry-After": "60" } });
        stage.spoil("refresh_token", &down);
        let began = unix_now();
        let refused = stage.refresh();
        assert_wait(refused.error()["remedy"].as_str().unwrap(), began, 60);
        stage.is_kept(&refused, 4, code, &[words, "status.salesforce.com"]);
    }
    // A clean OAuth error is Salesforce's own word: nothing was spent.
    stage.simulator.clear_journal();
    let own = json!({ "status": 500, "body": { "error": "server_error" }, "commit": false });
    stage.spoil("refresh_token", &own);
    stage.is_kept(&stage.refresh(), 4, "server_unavailable", &["out of order"]);
}

#[test]
fn n22_a_gateway_does_not_know_what_came_of_a_refresh() {
    let stage = Stage::new();
    // Whoever answers in between knows not what came of it.
    for (status, committed) in [(500, false), (502, true), (502, false), (504, true)] {
        stage.simulator.clear_journal();
        let gateway = json!({ "status": status, "body": "<html>Bad Gateway</html>",
            "content_type": "text/html", "commit": committed });
        stage.spoil("refresh_token", &gateway);
        let lost = stage.refresh();
        let number = format!("HTTP {status}");
        stage.is_uncertain(&lost, committed, &["out of order", &number]);
    }
}

#[test]
fn n22_a_gateway_at_a_code_says_that_it_may_be_spent_and_at_a_test_nothing() {
    let stage = Stage::new();
    let redirect = stage.redirect();
    let gateway = json!({ "status": 504, "body": "", "commit": true });
    stage.spoil("authorization_code", &gateway);
    let lost = stage.finish(&redirect);
    stage.code_is_at_risk(&lost, "server_unavailable", &["out of order", "HTTP 504"]);
    for status in [502, 503, 504] {
        let data = json!({ "path": "/services/data*" });
        stage.simulator.script(&json!([{ "match": data, "status": status, "body": "" }]));
        check_test(&stage.test(), 4, "unreachable", &["out of order", "try again later"]);
        assert_eq!(stage.state(), "unreachable");
        stage.test().ok();
        assert_eq!(stage.state(), "ready", "it passes by itself");
    }
}
