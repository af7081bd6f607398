//! Fault scripts and the journal.

use std::time::Duration;

use serde_json::json;

use super::client::*;

const REVOKE: &str = "/services/oauth2/revoke";

#[tokio::test]
async fn an_answer_lost_after_the_commit_leaves_the_old_token_dead() {
    let sim = Fixture::start().await;
    let old = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    let on_refresh = json!({ "path": TOKEN, "grant_type": "refresh_token" });
    sim.control("faults", json!({ "match": on_refresh, "then": "reset" })).await;
    assert!(sim.try_refresh("acme.my", PUBLIC, &old).await.is_err());
    assert_eq!(sim.count("refreshes").await, 1);
    assert_eq!(sim.refresh("acme.my", PUBLIC, &old).await.status, 400);
    assert_eq!(sim.count("replays").await, 1);
}

#[tokio::test]
async fn a_connection_lost_before_the_commit_leaves_the_old_token_alive() {
    let sim = Fixture::start().await;
    let old = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    sim.control("faults", json!({ "then": "reset", "commit": false })).await;
    assert!(sim.try_refresh("acme.my", PUBLIC, &old).await.is_err());
    assert_eq!(sim.count("refreshes").await, 0);
    assert_eq!(sim.refresh("acme.my", PUBLIC, &old).await.status, 200);
}

#[tokio::test]
async fn a_truncated_answer_announces_more_than_it_sends() {
    let sim = Fixture::start().await;
    let old = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    sim.control("faults", json!([{ "match": { "path": TOKEN }, "then": "truncate@20" }])).await;
    let body = format!("grant_type=refresh_token&client_id={PUBLIC}&refresh_token={old}");
    let bytes = raw_exchange(sim.simulator.port(), &body).await.0;
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body.len(), 20, "{body}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(length.parse::<usize>().unwrap() > 400);
}

#[tokio::test]
async fn a_reset_is_one_on_the_wire() {
    let sim = Fixture::start().await;
    sim.control("faults", json!({ "match": { "path": TOKEN }, "then": "reset" })).await;
    let (bytes, end) = raw_exchange(sim.simulator.port(), "grant_type=refresh_token").await;
    assert_eq!(bytes, "");
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
}

/// What arrives on a plain socket until it ends, and how it ends.
async fn raw_exchange(port: u16, body: &str) -> (String, Result<(), std::io::ErrorKind>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "POST {TOKEN} HTTP/1.1\r\nHost: acme.my.localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(|_| ()).map_err(|error| error.kind());
    (String::from_utf8(bytes).unwrap(), end)
}

#[tokio::test]
async fn entries_are_used_in_order_and_as_often_as_they_say() {
    let sim = Fixture::start().await;
    let html = "<html><body>Down for maintenance</body></html>";
    let faults = json!({ "faults": [
        { "match": { "path": REVOKE }, "times": 2, "status": 503, "body": html, "content_type": "text/html" },
        { "match": { "path": REVOKE }, "status": 429, "headers": { "Retry-After": "7" },
          "body": { "error": "rate_limit_exceeded", "error_description": "login rate exceeded" } },
        { "match": { "path": "/services/data*", "host": "globex.my" }, "then": "redirect:http://evil.example/" },
    ]});
    sim.control("faults", faults).await;
    for _ in 0..2 {
        let got = sim.post("acme.my", REVOKE, &[("token", "x")]).await;
        assert_eq!((got.status, got.header("content-type")), (503, "text/html"));
        assert_eq!(got.text, html);
    }
    let got = sim.post("acme.my", REVOKE, &[("token", "x")]).await;
    assert_eq!((got.status, got.header("retry-after")), (429, "7"));
    assert_eq!(got.field("error"), "rate_limit_exceeded");
    assert_eq!(sim.post("acme.my", REVOKE, &[("token", "x")]).await.status, 400);
    assert_eq!(sim.get("acme.my", "/services/data/", None).await.status, 200);
    let moved = sim.get("globex.my", "/services/data/", None).await;
    assert_eq!((moved.status, moved.header("location")), (302, "http://evil.example/"));
    let left = sim.get("localhost", "/_control/faults", None).await.json();
    assert_eq!(left["faults"], json!([]));
}

#[tokio::test]
async fn fields_are_set_and_dropped_and_the_browser_gets_any_error() {
    let sim = Fixture::start().await;
    let code = sim.sign_in("acme.my", PUBLIC, "ana@acme.example").await;
    let fault = json!({
        "match": { "grant_type": "authorization_code" },
        "set_fields": { "instance_url": "http://evil.example" },
        "drop_fields": ["signature", "issued_at"],
    });
    sim.control("faults", fault).await;
    let tokens = sim.exchange("acme.my", PUBLIC, &code).await.json();
    assert_eq!(tokens["instance_url"], "http://evil.example");
    assert!(tokens.get("signature").is_none() && tokens.get("issued_at").is_none());
    assert!(tokens["access_token"].is_string());

    let error = json!({ "error": "server_error", "error_description": "try later" });
    let on_authorize = json!({ "path": "/services/oauth2/authorize" });
    sim.control("faults", json!({ "match": on_authorize, "callback_error": error })).await;
    let url = sim.authorize_url("acme.my", PUBLIC, &[]);
    let back = sim.control("sign_in", json!({ "url": url })).await;
    let expected =
        format!("{REDIRECT}?error=server_error&error_description=try+later&state=st%26te");
    assert_eq!(back["redirect_url"], expected);

    for wrong in [json!({ "then": "explode" }), json!({ "thn": "reset" }), json!("reset")] {
        let got = sim.post_json("localhost", "/_control/faults", &wrong).await;
        assert_eq!(got.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn what_was_sent_is_carried_out_although_the_client_left() {
    let sim = Fixture::start().await;
    let old = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    sim.control("faults", json!({ "match": { "path": TOKEN }, "delay_before_ms": 100 })).await;
    let patience = Duration::from_millis(40);
    let left = tokio::time::timeout(patience, sim.refresh("acme.my", PUBLIC, &old)).await;
    assert!(left.is_err());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while sim.count("refreshes").await == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the refresh was dropped");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_stalled_request_neither_answers_nor_keeps_the_simulator_from_stopping() {
    let sim = Fixture::start().await;
    sim.control("faults", json!({ "then": "stall", "times": 0 })).await;
    let patience = Duration::from_millis(100);
    let silent = tokio::time::timeout(patience, sim.get("login", "/services/data/", None)).await;
    assert!(silent.is_err());
    let stopped = tokio::time::timeout(Duration::from_secs(10), sim.simulator.stop()).await;
    assert!(stopped.is_ok());
}

#[tokio::test]
async fn the_journal_tells_what_happened_without_any_secret() {
    let sim = Fixture::start().await;
    let tokens = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await;
    let refresh = tokens.field("refresh_token");
    sim.limits("acme.my", &tokens.field("access_token")).await;
    sim.refresh("acme.my", PUBLIC, &refresh).await;
    sim.refresh("acme.my", PUBLIC, &refresh).await;
    sim.get("acme.my", &format!("{REVOKE}?token={refresh}"), None).await;
    let journal = sim.get("localhost", "/_control/journal", None).await.text;
    assert!(!journal.contains("SIMCANARY") && !journal.contains(&refresh), "{journal}");
    let entries: Vec<serde_json::Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let tag = crate::simulator::mint::tag(&refresh);
    let spent: Vec<_> = entries.iter().filter(|entry| entry["tag"] == json!(tag)).collect();
    assert_eq!(spent.len(), 3, "{journal}");
    assert_eq!(spent[0]["outcome"], "ok");
    assert_eq!(spent[1]["replay"], true);
    assert_eq!(spent[1]["host"], "acme.my.localhost");
    assert_eq!(spent[1]["sent"], "400");
}
