//! The pages as a browser sees them, by host name and by path alias.

use serde_json::json;

use super::client::*;

/// The value of a hidden field, and the action of the form.
fn form_of(html: &str) -> (String, String) {
    let between = |start: &str| {
        let rest = html.split_once(start).unwrap_or_else(|| panic!("no {start} in {html}")).1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    (between("name=\"attempt\" value=\""), between("action=\""))
}

fn path_of(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

#[tokio::test]
async fn forms_lead_through_login_and_approval_on_either_kind_of_host() {
    let sim = Fixture::start().await;
    let url = sim.authorize_url("acme.my", PUBLIC, &[("login_hint", "ana@acme.example")]);
    for (host, prefix) in [("acme.my", ""), ("localhost", "/@acme.my")] {
        let login = sim.get(host, &format!("{prefix}{}", path_of(&url)), None).await;
        assert!(login.text.contains("value=\"ana@acme.example\""), "{}", login.text);
        let (attempt, action) = form_of(&login.text);
        assert_eq!(action, format!("{prefix}/login"));
        let wrong = [("attempt", &*attempt), ("username", "ana@acme.example"), ("pw", "wrong")];
        let login = sim.post(host, &action, &wrong).await;
        assert!(login.text.contains("Please check your username"), "{}", login.text);
        let (attempt, action) = form_of(&login.text);
        let right = [
            ("attempt", &*attempt),
            ("username", "ana@acme.example"),
            ("pw", "demo-ana-1-SIMCANARY"),
        ];
        let consent = sim.post(host, &action, &right).await;
        assert!(consent.text.contains("Allow access?"), "{}", consent.text);
        let cookie = consent.header("set-cookie");
        let path = if prefix.is_empty() { "/" } else { prefix };
        assert!(cookie.contains(&format!("; Path={path};")), "{cookie}");
        let (attempt, action) = form_of(&consent.text);
        let press = [("attempt", &*attempt), ("save", "Allow")];
        let back = sim.post(host, &action, &press).await;
        assert_eq!(back.status, 302);
        let location = back.header("location").to_owned();
        assert!(location.starts_with(&format!("{REDIRECT}?code=aPrxSIMCANARY")), "{location}");
        assert!(location.contains("%3D%3D&state=st%26te"), "{location}");
        let again = sim.post(host, &action, &press).await;
        assert!(again.header("location").contains("RemoteAccessErrorPage"), "a page serves once");
    }
}

#[tokio::test]
async fn a_remembered_browser_is_asked_again_by_prompt_or_for_another_user() {
    let sim = Fixture::start().await;
    let path = path_of(&sim.authorize_url("acme.my", PUBLIC, &[]));
    let (attempt, action) = form_of(&sim.get("acme.my", &path, None).await.text);
    let form =
        [("attempt", &*attempt), ("username", "ana@acme.example"), ("pw", "demo-ana-1-SIMCANARY")];
    let consent = sim.post("acme.my", &action, &form).await;
    let cookie = consent.header("set-cookie").split(';').next().unwrap().to_owned();
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[], "Allow access?"),
        (&[("login_hint", "ana@acme.example")], "Allow access?"),
        (&[("login_hint", "ben@acme.example")], "Log in to"),
        (&[("prompt", "login")], "Log in to"),
    ];
    for (more, page) in table {
        let path = path_of(&sim.authorize_url("acme.my", PUBLIC, more));
        let got = sim.get_with_cookie("acme.my", &path, &cookie).await;
        assert!(got.text.contains(page), "{more:?}: {}", got.text);
    }
    let other_host = path_of(&sim.authorize_url("login", PUBLIC, &[]));
    let got = sim.get_with_cookie("login", &other_host, &cookie).await;
    assert!(got.text.contains("Log in to"));
}

#[tokio::test]
async fn wrong_client_and_redirect_stay_on_the_page_and_the_rest_goes_back() {
    let sim = Fixture::start().await;
    let stays: [(&str, &str, &str); 3] = [
        ("client_id", "3MVG9wrong", "error=invalid_client_id"),
        ("redirect_uri", "http://127.0.0.1:1717/OauthRedirect", "error=redirect_uri_mismatch"),
        ("redirect_uri", "", "error=redirect_uri_missing"),
    ];
    for (name, value, error) in stays {
        let path = path_of(&sim.authorize_url("acme.my", PUBLIC, &[(name, value)]));
        let got = sim.get("acme.my", &path, None).await;
        let location = got.header("location").to_owned();
        assert!(location.starts_with("/setup/secur/RemoteAccessErrorPage.apexp?"), "{location}");
        assert!(location.contains(error), "{location}");
        let page = sim.get("acme.my", &location, None).await;
        assert!(page.text.contains("OAUTH_APPROVAL_ERROR_GENERIC"));
    }
    let returns: [(&str, &str, &str); 4] = [
        ("code_challenge", "", "error=invalid_request&error_description=missing+required+code"),
        ("code_challenge_method", "plain", "error=invalid_request"),
        ("scope", "api everything", "error=invalid_scope"),
        ("response_type", "token", "error=unsupported_response_type"),
    ];
    for (name, value, error) in returns {
        let path = path_of(&sim.authorize_url("acme.my", PUBLIC, &[(name, value)]));
        let got = sim.get("acme.my", &path, None).await;
        let location = got.header("location");
        assert!(location.starts_with(&format!("{REDIRECT}?{error}")), "{location}");
        assert!(location.ends_with("state=st%26te"), "{location}");
    }
}

#[tokio::test]
async fn people_who_may_not_sign_in_learn_it_where_salesforce_says_it() {
    let sim = Fixture::start().await;
    let deny = sim.authorize_url("acme.my", PUBLIC, &[("login_hint", "ana@acme.example")]);
    let back = sim.control("sign_in", json!({ "url": deny, "deny": true })).await;
    let expected = "error=access_denied&error_description=end-user+denied+authorization";
    assert!(back["redirect_url"].as_str().unwrap().contains(expected), "{back}");

    for (change, error) in [
        ("blocked", "error=OAUTH_APP_BLOCKED"),
        ("installed", "error=invalid_client&error_description=app+must+be+installed"),
        ("open_to_all", "error=OAUTH_APP_ACCESS_DENIED"),
    ] {
        let on = change == "blocked";
        sim.control("apps", json!({ "client_id": STATIC, change: on })).await;
        let url = sim.authorize_url("acme.my", STATIC, &[]);
        let stays = sim.control("sign_in", json!({ "url": url })).await;
        let stays = stays["redirect_url"].as_str().unwrap();
        let page = format!("http://acme.my.localhost:{}/setup/secur/", sim.simulator.port());
        assert!(stays.starts_with(&page) && stays.contains(error), "{stays}");
        sim.control("apps", json!({ "client_id": STATIC, change: !on })).await;
    }
    // Wrong host, inactive user, wrong password: the login page does not say which.
    for (host, user) in [
        ("login", "ana@acme.example.uat"),
        ("test", "ana@acme.example"),
        ("globex.my", "ana@acme.example"),
        ("acme.my", "dan@acme.example"),
    ] {
        let url = sim.authorize_url(host, PUBLIC, &[("login_hint", user)]);
        let path = "/_control/sign_in";
        let got = sim.post_json("localhost", path, &json!({ "url": url })).await;
        assert_eq!(got.field("error"), "the login was refused", "{host} {user}");
    }
}

#[tokio::test]
async fn the_success_page_and_unknown_hosts() {
    let sim = Fixture::start().await;
    let page = sim.get("login", "/services/oauth2/success?code=x&state=y", None).await;
    assert!(page.text.contains("Remote access application authorized"));
    let index = sim.get("localhost", "/", None).await;
    assert!(index.text.contains("ana@acme.example.uat") && index.status == 200);
    for host in ["evil", "nobody.my", "evil.login"] {
        assert_eq!(sim.get(host, "/_control/facts", None).await.status, 404, "{host}");
    }
}
