//! Rows O14 to O22: answers that hold a token and are not what they should be, what the API says
//! of a token, and what becomes of a revocation.

use serde_json::{Value, json};

use crate::common::{PUBLIC_APP, SECRET_APP, STATIC_APP};
use crate::scene::{ANA, Scene, check_error, oauth_error};

const INVALID: &str = "token_response_invalid";

/// An answer to a code that is no good: the new token is revoked at Salesforce, the old one lives.
#[track_caller]
fn check_sign_in(scene: &Scene, fault: &Value, status: i32, code: &str, message: &[&str]) {
    let (before, held) = (scene.token(), scene.home.shown("acme")["token"].clone());
    let redirect = scene.approve();
    scene.spoil("authorization_code", 1, fault);
    check_error(&scene.finish(&redirect), status, code, message, &[]);
    let shown = scene.home.shown("acme");
    assert_eq!((&shown["state"], &shown["token"]), (&json!("ready"), &held), "{fault}");
    assert_eq!(shown["revocation_owed"], false, "{fault}");
    assert_eq!(scene.token(), before, "{fault}");
    assert_eq!(scene.roles(), ["active"], "nothing of it is stored: {fault}");
    assert_eq!(scene.approvals(), 1, "the new token is revoked, the old one lives: {fault}");
    scene.home.orgkey(&["setup", "acme", "--cancel"]).ok();
    scene.home.orgkey(&["test", "acme"]).ok();
    scene.assert_only_at_acme();
}

/// An answer to a refresh that is no good but holds a token: what came is kept apart and served to
/// nobody, for the old token is spent.
#[track_caller]
fn check_refresh(scene: &Scene, fault: &Value, status: i32, code: &str, message: &[&str]) {
    let before = scene.token();
    scene.spoil("refresh_token", 1, fault);
    check_error(&scene.refresh(), status, code, message, &[]);
    assert_eq!(scene.state().0, "needs_setup", "{fault}");
    assert!(scene.roles().contains(&"orphan".to_owned()), "{fault}: {:?}", scene.roles());
    let run = scene.home.orgkey(&["token", "acme"]).expect(3);
    assert!(run.stdout.is_empty(), "{run}");
    assert_eq!(scene.sent("refresh_token"), 1, "{fault}");
    assert_eq!(scene.simulator.count("replays"), 0, "{fault}");
    scene.assert_only_at_acme();
    scene.restore();
    assert_ne!(scene.token(), before);
}

#[test]
fn o14_an_error_is_an_error_whatever_its_status() {
    let dead = oauth_error("invalid_grant", "expired access/refresh token");
    let scene = Scene::new();
    let before = scene.token();
    let code = oauth_error("invalid_grant", "expired authorization code");
    let redirect = scene.approve();
    scene.spoil("authorization_code", 1, &json!({ "status": 200, "body": code }));
    check_error(&scene.finish(&redirect), 3, "code_expired", &[], &[]);
    assert_eq!(scene.roles(), ["active"]);
    // A passing one keeps the token, a final one ends it, as with status 400.
    let busy = oauth_error("server_error", "");
    scene.spoil("refresh_token", 1, &json!({ "status": 200, "body": busy }));
    check_error(&scene.refresh(), 4, "server_error", &[], &[]);
    assert_eq!((scene.token(), scene.state().0.as_str()), (before, "unreachable"));
    scene.spoil("refresh_token", 1, &json!({ "status": 200, "body": dead }));
    check_error(&scene.refresh(), 3, "needs_setup", &["expired access/refresh token"], &[]);
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some("unknown".to_owned())));
    scene.home.orgkey(&["token", "acme"]).expect(3);
}

#[test]
fn o14_a_token_beside_an_error_is_revoked_at_a_sign_in_and_kept_apart_at_a_refresh() {
    let error = json!({ "error": "server_error", "error_description": "try later" });
    for status in [200, 400] {
        let fault = json!({ "status": status, "commit": true, "set_fields": error });
        check_sign_in(&Scene::new(), &fault, 4, "server_error", &["try later"]);
        check_refresh(&Scene::new(), &fault, 4, "server_error", &["try later"]);
    }
}

#[test]
fn o15_a_token_without_a_refresh_token_is_stored_and_explained_when_it_ends() {
    let scene = Scene::unsaved(PUBLIC_APP, "");
    scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
    scene.spoil("authorization_code", 1, &json!({ "drop_fields": ["refresh_token"] }));
    scene.home.set_up(&scene.simulator, "acme", ANA).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
    let stored = scene.token();
    scene.simulator.control("expire_sessions", &json!({}));
    let run = scene.refresh_after(&stored);
    check_error(&run, 3, "needs_setup", &["no refresh token"], &["scope refresh_token"]);
    assert_eq!(scene.sent("refresh_token"), 0, "there is nothing to refresh with");
    let run = scene.home.orgkey(&["test", "acme", "--json"]).expect(3);
    assert_eq!(run.json()["results"][0]["outcome"], "needs_setup");
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some("unknown".to_owned())));
}

#[test]
fn o16_the_refresh_token_of_the_answer_counts_and_without_one_the_old_one_does() {
    // What the journal tags is what was presented.
    let presented = |scene: &Scene| -> Vec<String> {
        let is_refresh = |entry: &Value| entry["grant_type"] == "refresh_token";
        let entries = scene.simulator.journal().into_iter().filter(is_refresh);
        entries.map(|entry| entry["tag"].as_str().unwrap().to_owned()).collect()
    };
    for (client_id, is_replaced) in [(PUBLIC_APP, true), (STATIC_APP, false)] {
        let scene = Scene::with(client_id, "");
        for _ in 0..3 {
            scene.refresh().ok();
        }
        let tags = presented(&scene);
        assert_eq!([tags[0] != tags[1], tags[1] != tags[2]], [is_replaced; 2], "{client_id}");
        assert_eq!(scene.simulator.count("replays"), 0);
    }
    // The same one in the answer is no rotation: its refusal is no alarm.
    let scene = Scene::unsaved(STATIC_APP, "");
    let same = "5Aep861SIMCANARYtheSameOneInEveryAnswer";
    let kept = json!({ "set_fields": { "refresh_token": same } });
    scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
    scene.spoil("authorization_code", 1, &kept);
    scene.home.set_up(&scene.simulator, "acme", ANA).ok();
    let org = scene.simulator.org_of(ANA);
    let body = json!({
        "access_token": "00D5g000004XyZT!SIMCANARYinvented.by_the_script",
        "refresh_token": same,
        "instance_url": org["my_domain"],
        "id": format!("https://login.salesforce.com/id/{}/{}", org["org_id"].as_str().unwrap(),
            scene.simulator.user(ANA)["user_id"].as_str().unwrap()),
        "token_type": "Bearer",
    });
    scene.simulator.clear_journal();
    scene.spoil("refresh_token", 2, &json!({ "status": 200, "body": body, "commit": true }));
    scene.refresh().ok();
    scene.refresh().ok();
    let tags = presented(&scene);
    assert_eq!(tags[0], tags[1]);
    scene.refresh().expect(3);
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some("unknown".to_owned())));
}

#[test]
fn o17_an_answer_without_a_host_or_an_account_is_not_used() {
    let no_account = json!({ "id": "https://login.salesforce.com/id/" });
    let damaged =
        json!({ "id": "https://login.salesforce.com/id/00D5g000004XyZTEA5/0055g00000AnaToAAJ" });
    let rows = [
        (json!({ "drop_fields": ["instance_url"] }), "instance_url"),
        (json!({ "drop_fields": ["id"] }), "'id'"),
        (json!({ "set_fields": no_account }), "names no account"),
        (json!({ "set_fields": damaged }), "names no account"),
    ];
    for (fault, said) in &rows {
        check_sign_in(&Scene::new(), fault, 8, INVALID, &[said]);
        check_refresh(&Scene::new(), fault, 8, INVALID, &[said]);
    }
}

#[test]
fn o17_another_account_is_told_with_both_pairs_of_ids() {
    let scene = Scene::new();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let own =
        [text(&scene.simulator.org_of(ANA)["org_id"]), text(&scene.simulator.user(ANA)["user_id"])];
    let ben = text(&scene.simulator.user("ben@acme.example")["user_id"]);
    let globex = text(&scene.simulator.org_of("eva@globex.example")["org_id"]);
    for (org, user) in [(&own[0], &ben), (&globex, &own[1])] {
        let id = format!("https://login.salesforce.com/id/{org}/{user}");
        let fault = json!({ "set_fields": { "id": id } });
        let both = [own[0].as_str(), own[1].as_str(), org, user, "nothing was stored", "revoked"];
        check_sign_in(&scene, &fault, 6, "wrong_account", &both);
        check_refresh(&Scene::new(), &fault, 6, "wrong_account", &[org, user, "not served"]);
    }
}

#[test]
fn o17_the_time_of_issue_is_our_own_whatever_the_answer_says() {
    let scene = Scene::new();
    for issued_at in [json!("4102444800000"), json!(1), json!("soon"), json!(-5)] {
        scene.spoil("refresh_token", 1, &json!({ "set_fields": { "issued_at": issued_at } }));
        scene.refresh().ok();
        let token = scene.home.shown("acme")["token"].clone();
        let (issued, expires) = (token["issued_at"].to_string(), token["expires_at"].to_string());
        assert!(issued < expires && !expires.contains("2100"), "{issued_at}: {token}");
        // It is neither taken for dead nor for one that never ends.
        scene.token();
        assert_eq!(token["expiry_known"], false);
    }
}

#[test]
fn o18_a_token_goes_to_no_host_that_an_answer_made_up() {
    for instance in [
        "http://acme.my.salesforce.com",
        "https://ana:secret@acme.my.salesforce.com",
        "https://acme.my.salesforce.com:8443",
        "https://acme.my.s\u{430}lesforce.com",
        "https://acme.my.xn--slesforce-w4g.com",
        "https://203.0.113.7",
        "https://[2001:db8::7]",
        "https://acme.my.salesforce.com.evil.example",
        "https://evilsalesforce.com",
        "ftp://acme.my.salesforce.com",
    ] {
        let scene = Scene::new();
        let fault = json!({ "set_fields": { "instance_url": instance } });
        let code = if instance.is_ascii() { "host_refused" } else { INVALID };
        check_sign_in(&scene, &fault, 8, code, &[]);
        if !instance.is_ascii() {
            check_refresh(&scene, &fault, 8, code, &[]);
            continue;
        }
        // A refresh must not cost the token: the host that was proved stays.
        let before = scene.home.shown("acme")["token"]["instance_url"].clone();
        scene.spoil("refresh_token", 1, &fault);
        scene.refresh().ok();
        assert_eq!(scene.home.shown("acme")["token"]["instance_url"], before, "{instance}");
        scene.home.orgkey(&["test", "acme"]).ok();
        scene.assert_only_at_acme();
    }
}

#[test]
fn o19_another_type_of_token_is_not_used() {
    for kind in [json!("mac"), json!("DPoP"), json!(7)] {
        let fault = json!({ "set_fields": { "token_type": kind } });
        check_sign_in(&Scene::new(), &fault, 8, INVALID, &["type"]);
        check_refresh(&Scene::new(), &fault, 8, INVALID, &["type"]);
    }
    let scene = Scene::new();
    for kind in [json!("bearer"), json!("BEARER"), Value::Null] {
        scene.spoil("refresh_token", 1, &json!({ "set_fields": { "token_type": kind } }));
        scene.refresh().ok();
    }
}

#[test]
fn o19_a_life_that_salesforce_never_sends_is_not_believed() {
    let scene = Scene::new();
    for expires_in in [json!(-1), json!("7200"), json!(1e300), json!(0), json!("never"), json!([])]
    {
        scene.spoil("refresh_token", 1, &json!({ "set_fields": { "expires_in": expires_in } }));
        scene.refresh().ok();
        // Still the session's own length, and still good.
        let run = scene.home.orgkey(&["token", "acme", "--min-ttl", "1h", "--json"]).ok();
        assert_eq!(run.json()["expiry_known"], false, "{expires_in}");
    }
    assert_eq!(scene.simulator.count("refreshes"), 6, "none more was needed");
}

#[test]
fn o20_a_token_that_is_too_long_or_steers_a_terminal_is_not_used() {
    let long = "x".repeat(9 * 1024);
    for (token, said) in [
        (long.as_str(), "longer than 8192"),
        ("00D\n!x", "characters"),
        ("00D\u{1b}[2J!x", "characters"),
    ] {
        let fault = json!({ "set_fields": { "access_token": token } });
        check_sign_in(&Scene::new(), &fault, 8, INVALID, &[said]);
        check_refresh(&Scene::new(), &fault, 8, INVALID, &[said]);
    }
}

#[test]
fn o20_an_answer_beyond_the_cap_may_have_spent_the_token_and_that_is_said() {
    let scene = Scene::new();
    let before = scene.token();
    let fault = json!({ "set_fields": { "access_token": "x".repeat(64 * 1024) } });
    scene.spoil("refresh_token", 1, &fault);
    check_error(&scene.refresh(), 10, "uncertain", &["answer was lost", "more than"], &["served"]);
    assert_eq!(scene.state(), ("uncertain".to_owned(), None));
    assert_eq!(scene.token(), before, "the access token is served while it lives");
    let redirect = scene.approve();
    scene.spoil("authorization_code", 1, &fault);
    check_error(&scene.finish(&redirect), 4, "answer_too_large", &["more than"], &[]);
    assert_eq!(scene.roles(), ["active"]);
}

#[test]
fn o21_only_an_ended_session_costs_a_refresh() {
    // Status, code, message, outcome, exit code, words of the remedy.
    let rows = [
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", "limited", 8, "wait"),
        (403, "API_DISABLED_FOR_ORG", "API is not enabled", "limited", 8, "API Enabled"),
        (
            401,
            "INVALID_SESSION_ID",
            "This session is not valid for use with the REST API",
            "misconfigured",
            8,
            "a new token does not help",
        ),
        (503, "SERVER_UNAVAILABLE", "down", "unreachable", 4, "try again"),
    ];
    let scene = Scene::new();
    let before = scene.token();
    for (status, code, message, outcome, exit, remedy) in rows {
        scene.simulator.script(&json!([{ "match": { "path": "/services/data/v*" }, "times": 0,
            "status": status, "body": [{ "message": message, "errorCode": code }] }]));
        let run = scene.home.orgkey(&["test", "acme", "--json"]).expect(exit);
        let result = &run.json()["results"][0];
        assert_eq!(result["outcome"], outcome, "{run}");
        assert!(result["remedy"].as_str().unwrap().contains(remedy), "{run}");
        assert_eq!(scene.state(), (outcome.to_owned(), None), "{code}");
        assert_eq!(scene.sent("refresh_token"), 0, "{code}");
        assert_eq!(scene.token(), before, "{code}");
    }
    scene.simulator.clear_script();
    scene.home.orgkey(&["test", "acme"]).ok();
    // The session ended: one refresh, and the test passes.
    scene.simulator.control("expire_sessions", &json!({}));
    let run = scene.home.orgkey(&["test", "acme", "--json"]).ok();
    assert_eq!(run.json()["results"][0]["message"], "Access test successful");
    assert_eq!(scene.sent("refresh_token"), 1);
    assert_ne!(scene.token(), before);
    // A second 401 is an answer, not the beginning of a loop.
    scene.simulator.script(&json!([{ "match": { "path": "/services/data/v*" }, "times": 0,
        "status": 401, "body": [{ "message": "Session expired or invalid",
        "errorCode": "INVALID_SESSION_ID" }] }]));
    scene.home.orgkey(&["test", "acme"]).expect(3);
    assert_eq!(scene.sent("refresh_token"), 2);
    scene.assert_only_at_acme();
}

#[test]
fn o22_a_token_that_salesforce_does_not_know_counts_as_revoked() {
    for body in [
        oauth_error("invalid_token", ""),
        oauth_error("unsupported_token_type", "this type of token is not supported"),
        json!("error=invalid_token&error_description=invalid+token"),
    ] {
        let scene = Scene::with(SECRET_APP, "");
        scene.simulator.script(&json!([{ "match": { "path": "/services/oauth2/revoke" },
            "times": 0, "status": 400, "body": body }]));
        let run = scene.home.orgkey(&["delete", "acme", "--confirm", "acme", "--json"]).ok();
        assert_eq!(run.json()["deleted"][0]["revocation"], "confirmed", "{body}: {run}");
        scene.home.orgkey(&["show", "acme"]).expect(7);
        scene.assert_only_at_acme();
    }
}

#[test]
fn o22_a_revocation_that_could_not_be_delivered_is_owed_until_it_is() {
    let unsettled = [
        json!({ "status": 503, "body": "" }),
        json!({ "status": 400, "body": oauth_error("invalid_client", "invalid client") }),
        json!({ "status": 200, "body": "<html>Welcome to this hotel</html>",
            "content_type": "text/html", "commit": false }),
        json!({ "then": "redirect:https://evil.example/services/oauth2/revoke" }),
        json!({ "then": "reset", "commit": false }),
    ];
    for fault in &unsettled {
        let scene = Scene::new();
        let mut spoiled = fault.clone();
        spoiled["match"] = json!({ "path": "/services/oauth2/revoke" });
        spoiled["times"] = json!(0);
        scene.simulator.script(&json!([spoiled]));
        let run = scene.home.orgkey(&["delete", "acme", "--confirm", "acme", "--json"]).ok();
        assert_eq!(run.json()["deleted"][0]["revocation"], "owed", "{fault}: {run}");
        assert_eq!(scene.approvals(), 1, "it still lives at Salesforce: {fault}");
        // Whoever saves that name again is told, and the next way to Salesforce pays it.
        scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
        assert_eq!(scene.home.shown("acme")["revocation_owed"], true, "{fault}");
        scene.restore();
        assert_eq!(scene.home.shown("acme")["revocation_owed"], false, "{fault}");
        assert_eq!(scene.approvals(), 1, "the old one is revoked, the new one lives: {fault}");
        scene.assert_only_at_acme();
    }
}
