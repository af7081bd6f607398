//! Who is kept out, from where, when and by which org; whom a browser remembers; an app that has
//! not got around yet; and errors that stay on Salesforce's page.

use serde_json::{Value, json};

use super::client::*;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";
const USERINFO: &str = "/services/oauth2/userinfo";

/// What a login, a code, a refresh, the REST API and userinfo answer.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    login: &'static str,
    code: String,
    refresh: String,
    api: String,
    userinfo: String,
}

/// A sign-in that was approved and a token set, from before something changes.
struct Before {
    sim: Fixture,
    code: String,
    access: String,
    refresh: String,
}

impl Before {
    async fn new() -> Self {
        let sim = Fixture::start().await;
        let tokens = sim.tokens("acme.my", STATIC, ANA).await;
        let code = sim.sign_in("acme.my", STATIC, ANA).await;
        let (access, refresh) = (tokens.field("access_token"), tokens.field("refresh_token"));
        Self { sim, code, access, refresh }
    }

    async fn ask(&self) -> Heard {
        let said = |got: &Got| match got.status {
            200 => "ok".to_owned(),
            _ => got.refusal(),
        };
        let url = self.sim.authorize_url("acme.my", STATIC, &[]);
        let person = json!({ "url": url, "username": ANA });
        let login = self.sim.post_json("localhost", "/_control/sign_in", &person).await;
        let code = self.sim.exchange("acme.my", STATIC, &self.code).await;
        let refresh = self.sim.refresh("acme.my", STATIC, &self.refresh).await;
        let api = self.sim.limits("acme.my", &self.access).await;
        let userinfo = self.sim.get("acme.my", USERINFO, Some(&self.access)).await;
        let errors = |got: &Got| format!("{} {}", got.status, got.json()[0]["errorCode"]);
        Heard {
            login: if login.status == 200 { "ok" } else { "refused" },
            code: said(&code),
            refresh: said(&refresh),
            api: if api.status == 200 { "ok".to_owned() } else { errors(&api).replace('"', "") },
            userinfo: if userinfo.status == 200 { "ok".to_owned() } else { userinfo.text },
        }
    }
}

#[tokio::test]
async fn ranges_hours_and_a_closed_org_refuse_at_login_code_refresh_and_use() {
    let acme = |change: Value| {
        let mut body = change;
        body["name"] = json!("acme");
        ("orgs", body)
    };
    let ana = |change: Value| {
        let mut body = change;
        body["username"] = json!(ANA);
        ("users", body)
    };
    // The address of every client is 127.0.0.1 until it is said otherwise; the hours end before
    // they begin, so that no moment is in them.
    let ranges = json!({ "login_ip_ranges": ["198.51.100.0-198.51.100.255"] });
    let hours = json!({ "login_hours": "08:00-08:00" });
    let address = ("ip restricted", "401 INVALID_SESSION_ID");
    let hour = ("ip restricted or invalid login hours", "403 LOGIN_DURING_RESTRICTED_TIME");
    let rows = [
        (acme(ranges.clone()), address, acme(json!({ "login_ip_ranges": [] }))),
        (ana(ranges), address, ("address", json!({ "address": "198.51.100.7" }))),
        (acme(hours.clone()), hour, acme(json!({ "login_hours": null }))),
        (ana(hours), hour, ana(json!({ "login_hours": "00:00-23:59" }))),
        (
            acme(json!({ "standing": "locked" })),
            ("inactive organization", "403 ORG_LOCKED"),
            acme(json!({ "standing": "active" })),
        ),
        (
            acme(json!({ "standing": "trial_expired" })),
            ("inactive organization", "403 TRIAL_EXPIRED"),
            acme(json!({ "standing": "active" })),
        ),
    ];
    for ((call, change), (description, api), (undo, undone)) in rows {
        let before = Before::new().await;
        before.sim.control(call, change.clone()).await;
        let refusal = format!("400 invalid_grant: {description}");
        let expected = Heard {
            login: "refused",
            code: refusal.clone(),
            refresh: refusal,
            api: api.to_owned(),
            userinfo: "Bad_OAuth_Token".to_owned(),
        };
        assert_eq!(before.ask().await, expected, "{change}");
        let told =
            before.sim.control("refresh_tokens", json!({ "username": ANA, "client_id": STATIC }));
        assert_eq!(told.await["alive"], false, "{change}");
        // Tokens are kept out, not ended: the code alone was spent.
        before.sim.control(undo, undone).await;
        let heard = before.ask().await;
        assert_eq!((heard.login, &*heard.refresh, &*heard.api), ("ok", "ok", "ok"), "{change}");
        assert_eq!(heard.code, "400 invalid_grant: expired authorization code");
    }
}

#[tokio::test]
async fn what_is_changed_is_told_and_what_is_malformed_is_refused() {
    let sim = Fixture::start().await;
    let change = json!({ "name": "acme", "login_ip_ranges": ["::1"], "login_hours": "8:00-18:30" });
    sim.control("orgs", change).await;
    sim.control("users", json!({ "username": BEN, "login_hours": "22:00-06:00" })).await;
    sim.control("apps", json!({ "client_id": STATIC, "blocked": true, "installed": false })).await;
    let told = sim.get("localhost", "/_control/facts", None).await.json();
    let login = json!({ "ip_ranges": ["::1-::1"], "hours": "08:00-18:30" });
    assert_eq!(told["orgs"][0]["login"], login);
    assert_eq!(told["orgs"][0]["standing"], "active");
    assert_eq!(told["orgs"][0]["users"][1]["login"]["hours"], "22:00-06:00");
    assert_eq!(told["apps"][2]["blocked"], true);
    assert_eq!(told["apps"][2]["installed"], false);
    for (call, body) in [
        ("orgs", json!({ "name": "acme", "standing": "gone" })),
        ("orgs", json!({ "name": "acme", "login_ip_ranges": ["10.0.0.9-10.0.0.1"] })),
        ("users", json!({ "username": BEN, "login_hours": "25:00-26:00" })),
        ("address", json!({ "address": "acme" })),
        ("address", json!({})),
    ] {
        let got = sim.post_json("localhost", &format!("/_control/{call}"), &body).await;
        assert_eq!(got.status, 400, "{body}: {}", got.text);
    }
    let nobody = json!({ "username": "nobody" });
    assert_eq!(sim.post_json("localhost", "/_control/browser", &nobody).await.status, 404);
}

/// The user of the token that a sign-in as Ana led to.
async fn came_in(sim: &Fixture, more: &[(&str, &str)]) -> String {
    let url = sim.authorize_url("acme.my", PUBLIC, more);
    let back = sim.control("sign_in", json!({ "url": url, "username": ANA })).await;
    let back = url::Url::parse(back["redirect_url"].as_str().unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let got = sim.exchange("acme.my", PUBLIC, &code).await;
    let id = got.field("id");
    let user = id.rsplit('/').next().unwrap();
    let users = &sim.facts().orgs[0].users;
    users.iter().find(|known| known.user_id == user).unwrap().username.clone()
}

#[tokio::test]
async fn a_browser_that_remembers_somebody_signs_them_in_unless_it_is_told_to_ask() {
    let sim = Fixture::start().await;
    assert_eq!(came_in(&sim, &[]).await, ANA);
    sim.control("browser", json!({ "username": BEN })).await;
    assert_eq!(came_in(&sim, &[]).await, BEN, "he is not asked for a name");
    // He has approved by now, and is asked for nothing at all.
    let authorize = |more: &[(&str, &str)]| {
        let url = sim.authorize_url("acme.my", PUBLIC, more);
        url.split_once(".localhost").unwrap().1.split_once('/').map(|(_, it)| format!("/{it}"))
    };
    let at_once = sim.get("acme.my", &authorize(&[]).unwrap(), None).await;
    assert!(at_once.header("location").starts_with(REDIRECT), "{}", at_once.text);
    let asks = sim.get("acme.my", &authorize(&[("prompt", "consent")]).unwrap(), None).await;
    assert!(asks.text.contains(BEN), "{}", asks.text);
    for prompt in ["login", "login consent", "select_account"] {
        assert_eq!(came_in(&sim, &[("prompt", prompt)]).await, ANA, "{prompt}");
    }
    // On another org's host he is nobody, and neither is he where he may not log in.
    let other = sim.get("globex.my", &authorize(&[]).unwrap(), None).await;
    assert!(other.text.contains("Log in to"), "{}", other.text);
    sim.control("users", json!({ "username": BEN, "login_hours": "08:00-08:00" })).await;
    assert_eq!(came_in(&sim, &[]).await, ANA);
    sim.control("users", json!({ "username": BEN, "login_hours": null })).await;
    // An app that was blocked meanwhile stops him on the page.
    sim.control("apps", json!({ "client_id": PUBLIC, "installed": false })).await;
    let stays = sim.get("acme.my", &authorize(&[]).unwrap(), None).await;
    assert!(stays.header("location").contains("app+must+be+installed"), "{}", stays.text);
    sim.control("apps", json!({ "client_id": PUBLIC, "installed": true })).await;
    sim.control("browser", json!({})).await;
    assert_eq!(came_in(&sim, &[]).await, ANA, "forgotten");
}

#[tokio::test]
async fn a_new_app_is_unknown_until_it_has_got_around() {
    let sim = Fixture::start().await;
    let tokens = sim.tokens("acme.my", PUBLIC, ANA).await;
    sim.control("apps", json!({ "client_id": PUBLIC, "propagation_seconds": 600 })).await;
    let url = sim.authorize_url("acme.my", PUBLIC, &[]);
    let person = json!({ "url": url, "username": ANA });
    let stays = sim.control("sign_in", person.clone()).await;
    let stays = stays["redirect_url"].as_str().unwrap();
    let unknown = "RemoteAccessErrorPage.apexp?error=invalid_client_id&error_description=client+identifier+invalid";
    assert!(stays.contains(unknown), "{stays}");
    let refused = sim.refresh("acme.my", PUBLIC, &tokens.field("refresh_token")).await;
    assert_eq!(refused.refusal(), "400 invalid_client_id: client identifier invalid");
    let form = [("response_type", "device_code"), ("client_id", PUBLIC)];
    let refused = sim.post("acme.my", TOKEN, &form).await;
    assert_eq!(refused.refusal(), "400 invalid_client_id: client identifier invalid");
    sim.control("clock", json!({ "advance_seconds": 600 })).await;
    let back = sim.control("sign_in", person).await;
    assert!(back["redirect_url"].as_str().unwrap().starts_with(REDIRECT), "{back}");
    assert_eq!(sim.refresh("acme.my", PUBLIC, &tokens.field("refresh_token")).await.status, 200);
}

#[tokio::test]
async fn a_scripted_error_stays_on_the_page_on_either_kind_of_host() {
    let sim = Fixture::start().await;
    let error = json!({ "error": "OAUTH_EC_APP_NOT_FOUND", "error_description": "a & b" });
    for (host, prefix) in [("acme.my", ""), ("localhost", "/@acme.my")] {
        let path = format!("{prefix}/services/oauth2/authorize");
        sim.control("faults", json!({ "page_error": error })).await;
        let got = sim.get(host, &format!("{path}?redirect_uri={REDIRECT}"), None).await;
        assert_eq!(got.status, 302);
        let page = format!("{prefix}/setup/secur/RemoteAccessErrorPage.apexp");
        let expected = "?error=OAUTH_EC_APP_NOT_FOUND&error_description=a+%26+b";
        assert_eq!(got.header("location"), format!("{page}{expected}"));
        let shown = sim.get(host, got.header("location"), None).await;
        assert!(shown.text.contains("OAUTH_EC_APP_NOT_FOUND: a &amp; b"), "{}", shown.text);
    }
}
