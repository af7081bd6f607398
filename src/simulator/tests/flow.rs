//! From the login to a working token and its end, as a client goes through it.

use base64::Engine as _;
use hmac::Mac as _;
use serde_json::json;

use super::client::*;

const EXPIRED: &str = "400 invalid_grant: expired access/refresh token";

#[tokio::test]
async fn a_sign_in_gives_tokens_that_work_are_refreshed_and_revoked() {
    let sim = Fixture::start().await;
    let tokens = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await;
    assert_eq!(tokens.header("cache-control"), "no-store");
    let (access, refresh) = (tokens.field("access_token"), tokens.field("refresh_token"));
    assert!(access.starts_with("00D5g000004XyZT!SIMCANARY") && access.len() >= 112);
    assert!(refresh.starts_with("5Aep861SIMCANARY"));
    assert!(tokens.json().get("expires_in").is_none());
    assert_eq!(tokens.field("issued_at").len(), 13);
    let port = sim.simulator.port();
    assert_eq!(tokens.field("instance_url"), format!("http://acme.my.localhost:{port}"));
    let id = format!("http://login.localhost:{port}/id/00D5g000004XyZTEA0/0055g00000AnaToAAJ");
    assert_eq!(tokens.field("id"), id);

    let limits = sim.limits("acme.my", &access).await;
    assert_eq!(limits.status, 200, "{}", limits.text);
    assert_eq!(limits.header("sforce-limit-info"), "api-usage=1/100000");

    let renewed = sim.refresh("acme.my", PUBLIC, &refresh).await;
    let newer = renewed.field("refresh_token");
    assert_ne!(newer, refresh);
    assert_eq!(sim.refresh("acme.my", PUBLIC, &refresh).await.refusal(), EXPIRED);
    assert_eq!(sim.count("replays").await, 1);

    let gone = sim.post("acme.my", "/services/oauth2/revoke", &[("token", &newer)]).await;
    assert_eq!((gone.status, gone.text.as_str()), (200, ""));
    assert_eq!(sim.limits("acme.my", &renewed.field("access_token")).await.status, 401);
    assert_eq!(sim.refresh("acme.my", PUBLIC, &newer).await.refusal(), EXPIRED);
    let again = sim.post("acme.my", "/services/oauth2/revoke", &[("token", &newer)]).await;
    assert_eq!((again.status, again.field("error").as_str()), (400, "invalid_token"));
    sim.simulator.stop().await;
}

#[tokio::test]
async fn without_rotation_a_refresh_answers_no_refresh_token() {
    let sim = Fixture::start().await;
    let refresh = sim.tokens("login", STATIC, "ben@acme.example").await.field("refresh_token");
    for _ in 0..2 {
        let renewed = sim.refresh("login", STATIC, &refresh).await;
        assert_eq!(renewed.status, 200);
        assert!(renewed.json().get("refresh_token").is_none());
    }
    assert_eq!(sim.count("replays").await, 0);
}

#[tokio::test]
async fn a_replay_kills_the_family_where_the_app_says_so() {
    for (app, survives) in [(PUBLIC, true), (STRICT, false)] {
        let sim = Fixture::start().await;
        let old = sim.tokens("acme.my", app, "ana@acme.example").await.field("refresh_token");
        let new = sim.refresh("acme.my", app, &old).await;
        assert_eq!(sim.refresh("acme.my", app, &old).await.refusal(), EXPIRED);
        let newest = sim.refresh("acme.my", app, &new.field("refresh_token")).await;
        assert_eq!(newest.status == 200, survives, "{app}");
        let session = sim.limits("acme.my", &new.field("access_token")).await;
        assert_eq!(session.status == 200, survives, "{app}");
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_the_second_is_told_to_wait() {
    let sim = Fixture::start().await;
    let refresh = sim.tokens("acme.my", PUBLIC, "ana@acme.example").await.field("refresh_token");
    sim.control("apps", json!({ "client_id": PUBLIC, "hold_ms": 300 })).await;
    let (first, second) = tokio::join!(
        sim.refresh("acme.my", PUBLIC, &refresh),
        sim.refresh("acme.my", PUBLIC, &refresh)
    );
    let (won, lost) = if first.status == 200 { (first, second) } else { (second, first) };
    assert_eq!(won.status, 200);
    let busy = "400 invalid_grant: token request is already being processed";
    assert_eq!(lost.refusal(), busy);
    assert_eq!(sim.count("refused_in_flight").await, 1);
    assert_eq!(sim.count("replays").await, 0);
}

#[tokio::test]
async fn a_code_serves_once_with_its_verifier_and_its_redirect_uri() {
    let sim = Fixture::start().await;
    let code = sim.sign_in("acme.my", PUBLIC, "ana@acme.example").await;
    assert!(code.starts_with("aPrxSIMCANARY") && code.ends_with("=="), "{code}");
    assert_eq!(sim.exchange("acme.my", PUBLIC, &code).await.status, 200);
    let again = sim.exchange("acme.my", PUBLIC, &code).await.refusal();
    assert_eq!(again, "400 invalid_grant: expired authorization code");

    let table = [
        ("code_verifier", "wrong", "400 invalid_request: invalid code verifier"),
        ("code_verifier", "", "400 invalid_grant: missing required code verifier"),
        (
            "redirect_uri",
            "http://localhost:1718/x",
            "400 invalid_grant: invalid authorization code",
        ),
        ("client_id", STATIC, "400 invalid_grant: invalid authorization code"),
        ("client_id", "nobody", "400 invalid_client_id: client identifier invalid"),
        ("code", "aPrxUnknown==", "400 invalid_grant: invalid authorization code"),
        ("grant_type", "password", "400 unsupported_grant_type: grant type not supported"),
    ];
    for (name, value, refusal) in table {
        let code = sim.sign_in("acme.my", PUBLIC, "ana@acme.example").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("client_id", PUBLIC),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
            ("some_parameter", "unknown ones are ignored"),
        ];
        let form = form.map(|(field, usual)| (field, if field == name { value } else { usual }));
        assert_eq!(sim.post("acme.my", TOKEN, &form).await.refusal(), refusal);
    }

    let code = sim.sign_in("acme.my", PUBLIC, "ana@acme.example").await;
    sim.control("clock", json!({ "advance_seconds": 900 })).await;
    let late = sim.exchange("acme.my", PUBLIC, &code).await.refusal();
    assert_eq!(late, "400 invalid_grant: expired authorization code");
}

#[tokio::test]
async fn a_secret_is_required_by_either_way_and_signs_the_response() {
    let sim = Fixture::start().await;
    let app = sim.facts().apps.iter().find(|app| app.client_id == SECRET).unwrap().clone();
    let secret = app.client_secret.unwrap();
    let code = sim.sign_in("acme.my", SECRET, "ana@acme.example").await;
    let refused = sim.exchange("acme.my", SECRET, &code).await.refusal();
    assert_eq!(refused, "400 invalid_client: invalid client credentials");
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    let tokens = sim.post_basic("acme.my", &form, SECRET, &secret).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text);
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{}{}", tokens.field("id"), tokens.field("issued_at")).as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(tokens.field("signature"), signature);

    let form = [
        ("token", tokens.field("access_token")),
        ("client_id", SECRET.to_owned()),
        ("client_secret", secret),
    ];
    let form = form.each_ref().map(|(name, value)| (*name, value.as_str()));
    let told = sim.post("acme.my", "/services/oauth2/introspect", &form).await.json();
    assert_eq!(told["active"], true);
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 7_200);
    let public = [("token", form[0].1), ("client_id", PUBLIC)];
    let refused = sim.post("acme.my", "/services/oauth2/introspect", &public).await;
    assert_eq!(refused.field("error"), "invalid_client");
}

#[tokio::test]
async fn tokens_work_on_their_own_org_alone_and_say_so_in_each_service_s_way() {
    let sim = Fixture::start().await;
    let tokens = sim.tokens("test", PUBLIC, "ana@acme.example.uat").await;
    let access = tokens.field("access_token");
    let query = "/services/data/v68.0/query?q=SELECT+Id,IsSandbox+FROM+Organization";
    let row = sim.get("acme--uat.sandbox.my", query, Some(&access)).await.json();
    assert_eq!(row["records"][0]["IsSandbox"], true);
    assert_eq!(row["records"][0]["Id"], "00D7e000002UatQEAS");

    let foreign = sim.limits("acme.my", &access).await;
    assert_eq!(foreign.status, 401);
    assert_eq!(foreign.json()[0]["errorCode"], "INVALID_SESSION_ID");
    assert_eq!(sim.limits("test", &access).await.json()[0]["errorCode"], "URL_NOT_RESET");
    let refresh = tokens.field("refresh_token");
    assert_eq!(sim.refresh("acme.my", PUBLIC, &refresh).await.refusal(), EXPIRED);

    let own = "/id/00D7e000002UatQEAS/0055g00000AnaToAAJ";
    assert_eq!(sim.get("test", own, Some(&access)).await.field("username"), "ana@acme.example.uat");
    assert_eq!(sim.get("test", own, None).await.text, "Missing_OAuth_Token");
    sim.control("expire_sessions", json!({})).await;
    let dead = sim.get("test", own, Some(&access)).await;
    assert_eq!((dead.status, dead.text.as_str()), (403, "Bad_OAuth_Token"));
    assert!(dead.header("content-type").starts_with("text/html"));
    assert_eq!(sim.get("acme--uat.sandbox.my", "/services/data/", None).await.status, 200);
}

#[tokio::test]
async fn permission_and_scope_are_told_apart_from_a_dead_session() {
    let sim = Fixture::start().await;
    let cara = sim.tokens("acme.my", PUBLIC, "cara@acme.example").await.field("access_token");
    let refused = sim.limits("acme.my", &cara).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.json()[0]["errorCode"], "API_DISABLED_FOR_ORG");
    assert_eq!(sim.get("acme.my", "/services/oauth2/userinfo", Some(&cara)).await.status, 200);

    let url = sim.authorize_url(
        "acme.my",
        PUBLIC,
        &[("scope", "id"), ("login_hint", "ana@acme.example")],
    );
    let back = sim.control("sign_in", json!({ "url": url })).await;
    let back = url::Url::parse(back["redirect_url"].as_str().unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1;
    let tokens = sim.exchange("acme.my", PUBLIC, &code).await;
    assert!(tokens.json().get("refresh_token").is_none());
    let refused = sim.limits("acme.my", &tokens.field("access_token")).await;
    assert_eq!(refused.status, 401);
    let message = "This session is not valid for use with the REST API";
    assert_eq!(refused.json()[0]["message"], message);
}
