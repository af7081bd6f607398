//! Rows about what arrives in an answer's place: N9 to N16, and N20.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::front::{Act, ok};
use super::{Stage, can, check, check_test};

/// Runs a refresh and gives its end with the most memory that it ever held, in KiB.
fn refresh_and_weigh(stage: &Stage) -> (i32, u64) {
    use std::io::Write;
    let stored = stage.stored_token();
    let mut command = stage.home.command(&["token", "acme", "--not", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(stored.as_bytes()).unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut heaviest = 0;
    crate::common::until("the refresh to end", || {
        let mut text = String::new();
        let _ = std::fs::File::open(&path).and_then(|mut file| file.read_to_string(&mut text));
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        heaviest = heaviest.max(number.unwrap_or(0));
        child.try_wait().unwrap().is_some()
    });
    (child.wait().unwrap().code().unwrap(), heaviest)
}

#[test]
fn n09_a_body_without_end_is_capped_and_not_kept() {
    let stage = Stage::new();
    // What a refresh weighs whose answer is small and unfit.
    stage.spoil("refresh_token", &json!({ "status": 200, "body": "no", "commit": false }));
    let (status, light) = refresh_and_weigh(&stage);
    assert_eq!(status, 10);
    stage.simulator.clear_script();
    stage.refresh().ok();
    stage.is_well();
    for then in ["huge@1073741824", "endless"] {
        stage.simulator.clear_journal();
        stage.spoil("refresh_token", &json!({ "then": then }));
        let (status, heavy) = refresh_and_weigh(&stage);
        assert_eq!(status, 10, "{then}");
        assert!(heavy < light + 2048, "{then}: {heavy} KiB, {light} KiB without");
        stage.simulator.clear_script();
        assert_eq!(stage.state(), "uncertain");
        assert_eq!(stage.refreshes().pop().unwrap()["whole"], false, "{then}: it was not read");
        stage.refresh().expect(3);
        stage.sign_in().ok();
        stage.is_well();
    }
}

#[test]
fn n09_the_cap_is_told() {
    let stage = Stage::new();
    stage.spoil("refresh_token", &json!({ "then": "endless" }));
    let endless = stage.refresh();
    stage.is_uncertain(&endless, true, &["answered more than 61440 bytes"]);
    let data = json!({ "path": "/services/data*" });
    stage.simulator.script(&json!([{ "match": data, "then": "huge@1073741824", "times": 0 }]));
    let huge = stage.test();
    check_test(&huge, 4, "unreachable", &["answered more than 262144 bytes", "proxy"]);
    stage.simulator.clear_journal();
    stage.goes_on(false);
}

/// 40 MiB of zeros, packed by the program gzip.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut command = Command::new("gzip");
    let mut child = command.arg("-9").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let filling = std::thread::spawn(move || {
        for _ in 0..40 {
            input.write_all(&vec![0; 1024 * 1024]).unwrap();
        }
    });
    let packed = child.wait_with_output().unwrap().stdout;
    filling.join().unwrap();
    packed
}

#[test]
fn n10_a_gzip_bomb_is_not_unpacked() {
    if !can(Command::new("gzip").arg("--version"), "N10, a gzip bomb") {
        return;
    }
    let packed = bomb();
    assert!(packed.len() < 60 * 1024, "it passes the cap on what arrives: {}", packed.len());
    let (stage, front) = Stage::with_front();
    let answer = |body: &[u8]| {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(body);
        Act::Answer(answer)
    };
    front.next(answer(b"no"));
    let (_, light) = refresh_and_weigh(&stage);
    stage.refresh().ok();
    front.next(answer(&packed));
    let (status, heavy) = refresh_and_weigh(&stage);
    assert_eq!(status, 10);
    assert!(heavy < light + 2048, "{heavy} KiB, {light} KiB without");
    stage.refresh().ok();
    stage.simulator.clear_journal();
    front.next(answer(&packed));
    let met = stage.refresh();
    stage.is_uncertain(&met, false, &["not of OAuth", "application/json", "no UTF-8"]);
}

/// Each body in the place of an answer to a refresh: content type, body, words.
#[track_caller]
fn are_no_answers(bodies: &[(&str, &[u8], &[&str])]) {
    let (stage, front) = Stage::with_front();
    for (content_type, body, words) in bodies {
        stage.simulator.clear_journal();
        front.next(Act::Answer(ok(content_type, body)));
        let unfit = stage.refresh();
        assert!(!unfit.stderr.contains("00D5g"), "what may be a token is not quoted: {unfit}");
        stage.is_uncertain(&unfit, false, words);
    }
}

const JSON: &str = "application/json";
const NOT_OAUTH: &str = "not of OAuth";

#[test]
fn n11_what_is_no_oauth_answer_is_described_and_makes_a_refresh_uncertain() {
    let page = format!("<html><title>Log in</title>{}</html>", "Welcome. ".repeat(440));
    are_no_answers(&[
        (JSON, b"", &[NOT_OAUTH, "empty"]),
        (JSON, b"{\"access_token\":\"00D5g", &[NOT_OAUTH, "application/json, 22 bytes"]),
        ("text/plain", b"no route to host", &[NOT_OAUTH, "text/plain", "no route to host"]),
        ("text/html", page.as_bytes(), &["a web page", "text/html, 4 KiB", "Log in"]),
    ]);
}

#[test]
fn n14_what_is_no_utf_8_is_refused_with_the_reason() {
    let utf16: Vec<u8> =
        [0xFF, 0xFE].into_iter().chain("{}".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    are_no_answers(&[
        (JSON, b"\xEF\xBB\xBF{}", &[NOT_OAUTH, "byte order mark"]),
        (JSON, &utf16, &[NOT_OAUTH, "UTF-16"]),
        (JSON, b"{\"scope\":\"caf\xE9\"}", &[NOT_OAUTH, "no UTF-8"]),
    ]);
}

#[test]
fn n11_a_code_that_met_no_oauth_answer_may_be_spent() {
    let (stage, front) = Stage::with_front();
    for (content_type, body, code) in [
        ("text/html", "<html>Log in", "html_answer"),
        ("application/json", "{\"access", "not_an_oauth_answer"),
    ] {
        let redirect = stage.redirect();
        front.next(Act::CarryOutAndAnswer(ok(content_type, body.as_bytes())));
        let unfit = stage.finish(&redirect);
        stage.code_is_at_risk(&unfit, code, &["check"]);
    }
}

#[test]
fn n12_the_right_json_with_a_wrong_label_is_taken_and_noted() {
    let mut stage = Stage::new();
    stage.home.set("ORGKEY_LOG", "warn");
    for label in ["text/html", "text/plain", "application/octet-stream"] {
        stage.spoil("refresh_token", &json!({ "content_type": label }));
        let before = stage.stored_token();
        let refreshed = stage.refresh().ok();
        assert_ne!(refreshed.json()["access_token"], json!(before), "{label}");
    }
    let log = std::fs::read_to_string(stage.home.path().join("orgkey.log")).unwrap();
    assert_eq!(log.matches("not labelled as JSON").count(), 3, "{log}");
    assert!(!log.contains(crate::common::MARKER), "{log}");
    stage.is_well();
    // A page in the place of an answer of the API is none, whatever it is called.
    let data = json!({ "path": "/services/data*" });
    let page = json!({ "match": data, "status": 200, "body": "<html>", "times": 0 });
    stage.simulator.script(&json!([page]));
    check_test(&stage.test(), 4, "unreachable", &["web page"]);
}

#[test]
fn n13_a_nesting_without_end_and_a_number_without_measure_are_refused() {
    let nested = "[".repeat(20_000);
    let deep = format!("{{\"access_token\":{nested}{}}}", nested.replace('[', "]"));
    are_no_answers(&[
        (JSON, deep.as_bytes(), &[NOT_OAUTH, "40 KiB"]),
        (JSON, b"{\"issued_at\":1e400}", &[NOT_OAUTH]),
    ]);
}

#[test]
fn n13_a_field_twice_and_a_nul_are_refused_and_what_can_be_saved_is_kept() {
    let (stage, front) = Stage::with_front();
    // Tokens that can be read out of an unfit answer are kept, and not served.
    for body in [
        "{\"access_token\":\"00Dx!SIMCANARYa\",\"access_token\":\"00Dx!SIMCANARYb\",\"refresh_token\":\"5Aep\"}",
        "{\"access_token\":\"00Dx!SIMCANARY\\u0000\",\"refresh_token\":\"5Aep861SIMCANARY\"}",
    ] {
        front.next(Act::Answer(ok("application/json", body.as_bytes())));
        let unfit = stage.refresh();
        check(&unfit, 8, "token_response_invalid", &["can't be used", "set up the OAuth token"]);
        assert_eq!(stage.state(), "needs_setup");
        stage.home.orgkey(&["token", "acme"]).expect(3);
        stage.sign_in().ok();
        stage.is_well();
    }
}

/// A server that counts who comes.
fn elsewhere() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for _stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

#[test]
fn n15_a_redirect_is_not_followed_with_a_secret() {
    let stage = Stage::new();
    let (port, visitors) = elsewhere();
    let target = format!("http://evil.localhost:{port}/services/oauth2/token?code=aPrxSIMCANARY");
    for status in [301, 302, 303, 307, 308] {
        stage.simulator.clear_journal();
        let moved = json!({ "then": format!("redirect:{target}"), "status": status,
            "commit": false });
        stage.spoil("refresh_token", &moved);
        let words = ["redirect", "not followed", "evil.localhost", "My Domain"];
        stage.is_kept(&stage.refresh(), 8, "login_host_moved", &words);

        let redirect = stage.redirect();
        stage.spoil("authorization_code", &moved);
        check(&stage.finish(&redirect), 8, "login_host_moved", &words);
        stage.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    }
    assert_eq!(visitors.load(Ordering::SeqCst), 0, "nobody came to the other host");
}

#[test]
fn n15_a_redirect_of_the_api_is_not_followed_with_a_token() {
    let stage = Stage::new();
    let (port, visitors) = elsewhere();
    let target = format!("http://evil.localhost:{port}/services/data/");
    let data = json!({ "path": "/services/data*" });
    for status in [301, 302, 303, 307, 308] {
        let moved = json!({ "match": data, "then": format!("redirect:{target}"),
            "status": status, "times": 0 });
        stage.simulator.script(&json!([moved]));
        let words = ["points to another host", "evil.localhost"];
        check_test(&stage.test(), 8, "misconfigured", &words);
    }
    stage.simulator.clear_script();
    stage.is_well();
    assert_eq!(visitors.load(Ordering::SeqCst), 0, "nobody came to the other host");
}

#[test]
fn n16_a_redirect_to_https_on_the_same_host_says_to_use_https() {
    let stage = Stage::new();
    let (port, visitors) = elsewhere();
    let target = format!("https://acme.my.localhost:{port}/services/oauth2/token");
    stage.spoil("refresh_token", &json!({ "then": format!("redirect:{target}") }));
    let words = ["not followed", "acme.my.localhost, the same host over https", "login URL"];
    stage.is_kept(&stage.refresh(), 8, "login_host_moved", &words);
    assert_eq!(visitors.load(Ordering::SeqCst), 0);
}

#[test]
fn n20_a_captive_portal_is_recognised_by_its_page_and_by_its_redirect() {
    let stage = Stage::new();
    let page = "<html><title>Hotel Wi-Fi</title>Accept the terms to go on</html>";
    let portal = |times: u64| json!({ "status": 200, "body": page, "content_type": "text/html", "times": times });
    stage.spoil("refresh_token", &portal(1));
    let met = stage.refresh();
    stage.is_uncertain(&met, false, &["a web page instead of data", "Hotel Wi-Fi"]);

    let mut of_api = portal(0);
    of_api["match"] = json!({ "path": "/services/data*" });
    stage.simulator.clear_journal();
    stage.simulator.script(&Value::Array(vec![of_api]));
    check_test(&stage.test(), 4, "unreachable", &["web page", "captive portal"]);
    stage.goes_on(false);

    stage.simulator.clear_journal();
    let to_portal = json!({ "then": "redirect:http://portal.hotel.example/login" });
    stage.spoil("refresh_token", &to_portal);
    let words = ["redirect", "not followed", "portal.hotel.example"];
    stage.is_kept(&stage.refresh(), 8, "login_host_moved", &words);
}
