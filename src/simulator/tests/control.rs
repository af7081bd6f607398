//! The control plane's events, and who is kept out.

use serde_json::json;

use super::client::*;
use crate::domain::id::UserId;
use crate::simulator::server::StartError;
use crate::simulator::{Options, start};

#[tokio::test]
async fn it_listens_on_loopback_alone_and_says_so() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let refused = start(Options { listen }).await.err().unwrap();
    assert!(matches!(refused, StartError::NotLoopback(_)));
    let expected = "0.0.0.0:0 is not a loopback address; the simulated Salesforce listens on this machine only";
    assert_eq!(refused.to_string(), expected);
    let sim = Fixture::start().await;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], sim.simulator.port()));
    assert!(matches!(start(Options { listen }).await, Err(StartError::Listen { .. })));
}

#[tokio::test]
async fn facts_over_http_are_those_of_the_start() {
    let sim = Fixture::start().await;
    let told = sim.get("localhost", "/_control/facts", None).await.json();
    assert_eq!(told, serde_json::to_value(sim.facts()).unwrap());
    assert_eq!(told["schema"], 1);
    assert_eq!(told["orgs"][1]["environment"], "sandbox");
    assert!(told["apps"][0].get("client_secret").is_none());
}

#[tokio::test]
async fn events_end_tokens_for_good() {
    let ana = "ana@acme.example";
    let uat = "ana@acme.example.uat";
    let events = [
        ("revoke", json!({ "username": ana }), ana, "expired access/refresh token"),
        ("users", json!({ "username": ana, "active": false }), ana, "inactive user"),
        (
            "apps",
            json!({ "client_id": PUBLIC, "blocked": true }),
            ana,
            "expired access/refresh token",
        ),
        (
            "apps",
            json!({ "client_id": PUBLIC, "client_secret": "new" }),
            ana,
            "invalid client credentials",
        ),
        (
            "orgs",
            json!({ "name": "acme--uat", "new_org_id": "00D7e000002UaZQ" }),
            uat,
            "expired access/refresh token",
        ),
    ];
    for (call, body, username, description) in events {
        let sim = Fixture::start().await;
        let host = if username == uat { "test" } else { "login" };
        let tokens = sim.tokens(host, PUBLIC, username).await;
        sim.control(call, body.clone()).await;
        let org = if username == uat { "acme--uat.sandbox.my" } else { "acme.my" };
        assert_eq!(sim.limits(org, &tokens.field("access_token")).await.status, 401, "{body}");
        let refused = sim.refresh(host, PUBLIC, &tokens.field("refresh_token")).await;
        assert_eq!(refused.field("error_description"), description, "{body}");
        if call == "users" {
            sim.control(call, json!({ "username": ana, "active": true })).await;
            let refused = sim.refresh(host, PUBLIC, &tokens.field("refresh_token")).await;
            assert_eq!(refused.field("error_description"), "expired access/refresh token");
        }
    }
}

#[tokio::test]
async fn expired_sessions_are_renewed_by_their_refresh_token() {
    let sim = Fixture::start().await;
    for change in ["clock", "expire_sessions"] {
        let tokens = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await;
        let body = if change == "clock" { json!({ "advance_seconds": 7_200 }) } else { json!({}) };
        sim.control(change, body).await;
        assert_eq!(sim.limits("acme.my", &tokens.field("access_token")).await.status, 401);
        let renewed = sim.refresh("acme.my", PUBLIC, &tokens.field("refresh_token")).await;
        assert_eq!(sim.limits("acme.my", &renewed.field("access_token")).await.status, 200);
    }
    let listed = sim.get("localhost", "/_control/approvals", None).await.json();
    assert_eq!(listed["approvals"][0]["username"], "ana@acme.example");
    assert_eq!(listed["approvals"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_org_gets_as_many_users_as_are_asked_for_and_each_can_sign_in() {
    let sim = Fixture::start().await;
    for org in ["acme", "acme--uat"] {
        let asked = json!({ "org": org, "count": 300 });
        let added = sim.post_json("localhost", "/_control/more_users", &asked).await.json();
        let added = added["users"].as_array().unwrap();
        assert_eq!(added.len(), 300);
        for user in added {
            let id = user["user_id"].as_str().unwrap();
            assert_eq!(UserId::parse(&id[..15]).unwrap().as_str(), id);
        }
        let name = added[299]["username"].as_str().unwrap();
        let host = if org == "acme" { "login" } else { "test" };
        let tokens = sim.tokens(host, PUBLIC, name).await;
        assert!(tokens.field("id").ends_with(added[299]["user_id"].as_str().unwrap()));
    }
    let told = sim.get("localhost", "/_control/facts", None).await.json();
    assert_eq!(told["orgs"][1]["users"].as_array().unwrap().len(), 304);
}

#[tokio::test]
async fn calls_that_are_not_understood_are_refused() {
    let sim = Fixture::start().await;
    for (call, body, status) in [
        ("nothing", json!({}), 404),
        ("users", json!({ "username": "nobody" }), 404),
        ("users", json!({ "usrname": "ana@acme.example" }), 400),
        ("apps", json!({ "client_id": PUBLIC, "rotate": true }), 400),
        ("orgs", json!({ "name": "acme", "new_org_id": "00D" }), 400),
        ("more_users", json!({ "org": "nobody", "count": 1 }), 404),
        ("more_users", json!({ "org": "acme", "count": 1_000_000_000 }), 400),
        ("sign_in", json!({ "url": "https://login.salesforce.com/" }), 400),
    ] {
        let got = sim.post_json("localhost", &format!("/_control/{call}"), &body).await;
        assert_eq!(got.status, status, "{call} {body}: {}", got.text);
        assert!(!got.field("error").is_empty());
    }
    let elsewhere = sim.post_json("acme.my", "/_control/revoke", &json!({})).await;
    assert_eq!(elsewhere.status, 404, "the control plane is on plain localhost");
}
