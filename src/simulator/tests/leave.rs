//! Answers that leave late, in pieces, without end or not to their end, and what the journal says
//! of them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::*;
use crate::simulator::fault::Then;

const DATA: &str = "/services/data/";

/// Sends a request, and gives the connection.
async fn ask(sim: &Fixture) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", sim.simulator.port())).await.unwrap();
    let request =
        format!("GET {DATA} HTTP/1.1\r\nHost: acme.my.localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Everything that comes, head and body.
async fn read_all(mut stream: TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    (head.to_owned(), body.to_owned())
}

/// The last entry of the journal, once it is known whether its answer left whole.
async fn last_entry(sim: &Fixture) -> Value {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let journal = sim.get("localhost", "/_control/journal", None).await.text;
        let last = journal.lines().last().map(|line| serde_json::from_str::<Value>(line).unwrap());
        if let Some(last) = last.filter(|last| !last["whole"].is_null()) {
            return last;
        }
        assert!(Instant::now() < deadline, "{journal}");
        tokio::task::yield_now().await;
    }
}

async fn script(sim: &Fixture, then: &str) {
    sim.control("faults", json!({ "match": { "path": DATA }, "then": then })).await;
}

#[tokio::test]
async fn an_answer_that_arrives_has_left_whole_and_one_that_is_cut_has_not() {
    let sim = Fixture::start().await;
    let table = [
        ("answer", "200", true),
        ("truncate@3", "200 truncated", false),
        ("cut_chunks@3", "200 chunks cut", false),
        ("reset", "reset", false),
    ];
    for (then, sent, whole) in table {
        script(&sim, then).await;
        read_all(ask(&sim).await).await;
        let entry = last_entry(&sim).await;
        assert_eq!((&entry["sent"], &entry["whole"]), (&json!(sent), &json!(whole)), "{then}");
        assert_eq!(entry["outcome"], "ok", "{then}");
    }
    // A body without bytes leaves, too.
    let tokens = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await;
    let form = [("token", tokens.field("refresh_token"))];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(sim.post("acme.my", "/services/oauth2/revoke", &form).await.text, "");
    assert_eq!(last_entry(&sim).await["whole"], true);
}

#[tokio::test]
async fn chunks_that_are_cut_have_no_end_whatever_was_sent() {
    let sim = Fixture::start().await;
    for (then, begins) in [("cut_chunks@3", "3\r\n[{\""), ("cut_chunks@99999", "")] {
        script(&sim, then).await;
        let (head, body) = read_all(ask(&sim).await).await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert!(body.starts_with(begins) && !body.is_empty(), "{body}");
        assert!(!body.ends_with("0\r\n\r\n"), "{body}");
    }
}

#[tokio::test]
async fn a_drip_comes_byte_by_byte_from_the_status_line_or_from_the_body_on() {
    let sim = Fixture::start().await;
    for (then, is_head_slow) in [("drip@2", true), ("drip_body@2", false)] {
        script(&sim, then).await;
        let mut stream = ask(&sim).await;
        let mut bytes = [0; 4096];
        let first = stream.read(&mut bytes).await.unwrap();
        let text = String::from_utf8_lossy(&bytes[..first]).into_owned();
        assert_eq!(text.contains("\r\n\r\n"), !is_head_slow, "{then}: {text}");
        assert!(text.len() < 3 || !is_head_slow, "{then}: {text}");
        drop(stream);
        assert_eq!(last_entry(&sim).await["whole"], false, "{then}");
    }
    // Fast enough to be awaited, and whole in the end.
    for then in ["drip@20000", "drip_body@5000"] {
        script(&sim, then).await;
        let (head, body) = read_all(ask(&sim).await).await;
        assert!(head.starts_with("HTTP/1.1 200") && body.ends_with(']'), "{head} {body}");
        assert_eq!(last_entry(&sim).await["whole"], true, "{then}");
    }
}

#[tokio::test]
async fn a_pace_ends_with_its_answer() {
    let sim = Fixture::start().await;
    script(&sim, "drip@20000").await;
    let mut stream = TcpStream::connect(("127.0.0.1", sim.simulator.port())).await.unwrap();
    let mut taken = Vec::new();
    for wanted in 1..=2 {
        let request = format!("GET {DATA} HTTP/1.1\r\nHost: acme.my.localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = [0; 4096];
        while String::from_utf8_lossy(&taken).matches("HTTP/1.1 200").count() < wanted
            || !taken.ends_with(b"]")
        {
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "it is kept open");
            taken.extend_from_slice(&bytes[..count]);
        }
    }
    let journal = sim.get("localhost", "/_control/journal", None).await.text;
    assert_eq!(journal.matches("\"sent\":\"200 dripped\"").count(), 1);
}

#[tokio::test]
async fn a_huge_body_announces_its_length_and_stays_json() {
    let sim = Fixture::start().await;
    script(&sim, "huge@100000").await;
    let (head, body) = read_all(ask(&sim).await).await;
    assert!(head.contains("content-length: 100000"), "{head}");
    assert_eq!(body.len(), 100_000);
    assert!(serde_json::from_str::<Value>(&body).is_ok());
    assert_eq!(last_entry(&sim).await["whole"], true);
    script(&sim, "huge@1073741824").await;
    let mut stream = ask(&sim).await;
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    drop(stream);
    assert_eq!(last_entry(&sim).await["whole"], false);
}

#[tokio::test]
async fn an_endless_body_goes_on_until_the_client_leaves() {
    let sim = Fixture::start().await;
    script(&sim, "endless").await;
    let mut stream = ask(&sim).await;
    let mut bytes = vec![0; 64 * 1024];
    let mut taken = 0;
    while taken < 4 * 1024 * 1024 {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0);
        taken += count;
    }
    drop(stream);
    let entry = last_entry(&sim).await;
    assert_eq!((&entry["sent"], &entry["whole"]), (&json!("200 endless"), &json!(false)));
}

#[tokio::test]
async fn a_client_that_is_gone_gets_no_whole_answer() {
    let sim = Fixture::start().await;
    let delayed = json!({ "match": { "path": DATA }, "delay_before_ms": 100 });
    sim.control("faults", delayed).await;
    drop(ask(&sim).await);
    let entry = last_entry(&sim).await;
    assert_eq!((&entry["outcome"], &entry["whole"]), (&json!("ok"), &json!(false)));
}

#[tokio::test]
async fn the_journal_links_a_spent_token_to_its_successor() {
    let sim = Fixture::start().await;
    let old = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    let new = sim.refresh("acme.my", PUBLIC, &old).await.field("refresh_token");
    let entry = last_entry(&sim).await;
    let tag = crate::simulator::mint::tag;
    assert_eq!((&entry["tag"], &entry["issued"]), (&json!(tag(&old)), &json!(tag(&new))));
    assert_eq!((&entry["username"], &entry["approval"]), (&json!("ana@acme.example"), &json!(1)));
    assert!(entry["carried_out_at"].as_str() >= entry["at"].as_str());
    // Carried out and lost: the successor is known to the journal alone.
    let on_refresh = json!({ "grant_type": "refresh_token" });
    sim.control("faults", json!({ "match": on_refresh, "then": "reset" })).await;
    assert!(sim.try_refresh("acme.my", PUBLIC, &new).await.is_err());
    let lost = last_entry(&sim).await;
    assert_eq!((&lost["tag"], &lost["whole"]), (&json!(tag(&new)), &json!(false)));
    let whose = json!({ "username": "ana@acme.example", "client_id": PUBLIC });
    let live = sim.control("refresh_tokens", whose).await;
    assert_eq!(live["tag"], lost["issued"]);
    // An access token without refresh token, or a refusal, issues none.
    sim.refresh("acme.my", PUBLIC, &new).await;
    assert_eq!(last_entry(&sim).await["issued"], Value::Null);
}

#[test]
fn the_readme_names_every_way_to_leave_and_every_policy() {
    let readme = include_str!("../../../README.md");
    let words = Then::try_from("?".to_owned()).unwrap_err();
    let (_, list) = words.split_once("none of ").unwrap();
    for way in list.split(", ") {
        assert!(readme.contains(&format!("| `{way}` |")), "{way}");
    }
    for policy in ["strict", "grace", "until_first_use"] {
        assert!(readme.contains(&format!("\"{policy}\"")), "{policy}");
    }
}

#[tokio::test]
async fn every_way_to_leave_is_written_as_it_is_read() {
    let sim = Fixture::start().await;
    let ways = [
        "answer",
        "reset",
        "stall",
        "endless",
        "truncate@0",
        "cut_chunks@7",
        "drip@1",
        "drip_body@9",
        "huge@70000",
        "redirect:https://evil.example/a@b",
    ];
    for way in ways {
        script(&sim, way).await;
    }
    let listed = sim.get("localhost", "/_control/faults", None).await.json();
    let read: Vec<_> =
        listed["faults"].as_array().unwrap().iter().map(|fault| &fault["then"]).collect();
    assert_eq!(read, ways);
    for wrong in ["drip@0", "drip", "drip@fast", "huge@0", "truncate", "reset@1", "endless@5", ""] {
        let body = json!({ "then": wrong });
        let got = sim.post_json("localhost", "/_control/faults", &body).await;
        assert_eq!(got.status, 400, "{wrong}");
    }
}
