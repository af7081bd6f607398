//! Rows O1 to O13: what Salesforce refuses at the token endpoint and in the browser.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Home, PUBLIC_APP, REDIRECT_URI, STATIC_APP, set_mode};
use crate::scene::{ANA, Scene, check_error, oauth_error};

/// What is final; the words stand in Salesforce OAuth facts 5.1.
const DEAD: &str = "expired access/refresh token";

/// Ends every token of the user at Salesforce, as its admin does.
fn revoke_all(scene: &Scene) {
    scene.simulator.control("revoke", &json!({ "username": ANA }));
}

/// A refresh that is refused for good: told once, not tried again, and no token is handed out.
#[track_caller]
fn check_dead(scene: &Scene, cause: &str, message: &[&str], remedy: &[&str]) {
    let stored = scene.token();
    let before = scene.sent("refresh_token");
    let run = scene.refresh_after(&stored);
    check_error(&run, 3, "needs_setup", message, remedy);
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some(cause.to_owned())));
    // What was said stays the answer, and Salesforce is not asked again.
    let again = scene.home.orgkey(&["token", "acme", "--json"]);
    check_error(&again, 3, "needs_setup", message, remedy);
    let tested = scene.home.orgkey(&["test", "acme", "--json"]).expect(3);
    assert_eq!(tested.json()["results"][0]["outcome"], "needs_setup", "{tested}");
    assert_eq!(scene.sent("refresh_token"), before + 1, "it was asked again");
    scene.assert_only_at_acme();
    // Only a sign-in mends it, and it does.
    scene.restore();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
    assert_eq!(scene.roles().last().map(String::as_str), Some("active"));
}

#[test]
fn o01_an_unspent_single_use_token_that_is_refused_is_an_alarm() {
    let alarm: (&[&str], &[&str]) = (
        &["used elsewhere", "revoked", "pushed out", "invalid_grant: expired access/refresh token"],
        &["leak", "Login History", "set up the OAuth token"],
    );
    // Said of the app, or seen: the token came by a rotation.
    let scene = Scene::with(PUBLIC_APP, "rotation = \"yes\"");
    revoke_all(&scene);
    check_dead(&scene, "superseded_elsewhere", alarm.0, alarm.1);
    let scene = Scene::new();
    scene.refresh().ok();
    revoke_all(&scene);
    check_dead(&scene, "superseded_elsewhere", alarm.0, alarm.1);
}

#[test]
fn o01_the_alarm_stands_in_the_list() {
    let scene = Scene::with(PUBLIC_APP, "rotation = \"yes\"");
    revoke_all(&scene);
    scene.refresh().expect(3);
    let list = scene.home.orgkey(&["list"]).ok().stdout;
    assert!(list.contains("! needs setup"), "{list}");
    let shown = scene.home.orgkey(&["show", "acme"]).ok().stdout;
    assert!(shown.contains("superseded_elsewhere"), "{shown}");
}

#[test]
fn o01_a_refusal_that_proves_nothing_names_what_it_may_be() {
    let words = ["revoked", "replaced", "unused for too long", "newer approval"];
    for (client_id, more) in [(PUBLIC_APP, ""), (STATIC_APP, "rotation = \"no\"")] {
        let scene = Scene::with(client_id, more);
        revoke_all(&scene);
        check_dead(&scene, "unknown", &words, &["Login History"]);
    }
}

#[test]
fn o01_a_token_that_was_unused_for_too_long_is_told_as_that() {
    let scene = Scene::with(PUBLIC_APP, "rotation = \"yes\"\nidle_limit = \"30d\"");
    let month = 31 * 24 * 3600;
    scene.simulator.control(
        "apps",
        &json!({ "client_id": PUBLIC_APP, "idle_limit_seconds": month - 24 * 3600 }),
    );
    scene.simulator.control("clock", &json!({ "advance_seconds": month }));
    // The same month goes by here; the access token is asked for all the same.
    let store = rusqlite::Connection::open(scene.home.path().join("orgkey.db")).unwrap();
    store.execute("UPDATE token_set SET issued_at = issued_at - ?1 * 1000", [month]).unwrap();
    drop(store);
    check_dead(
        &scene,
        "idle_expired",
        &["not used for 31 d", "idle limit is 30 d", DEAD],
        &["set up the OAuth token again", "within the idle limit"],
    );
}

#[test]
fn o01_a_copy_of_the_store_is_the_one_that_raises_the_alarm() {
    let scene = Scene::new();
    scene.refresh().ok();
    let copy = Home::empty();
    for entry in fs::read_dir(scene.home.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let copied = copy.path().join(path.file_name().unwrap());
            fs::copy(&path, &copied).unwrap();
            set_mode(&copied, 0o600);
        }
    }
    let stored = scene.token();
    scene.refresh_after(&stored).ok();
    let run = copy.orgkey_with(&["token", "acme", "--not", "-", "--json"], &stored);
    check_error(&run, 3, "needs_setup", &["used elsewhere"], &["copies of this store"]);
    assert_eq!(copy.shown("acme")["cause"], "superseded_elsewhere");
    assert_eq!(scene.simulator.count("replays"), 1);
    copy.orgkey(&["token", "acme"]).expect(3);
    assert_eq!(scene.simulator.count("replays"), 1, "it is not fought for");
    // The one that used it is none the worse.
    scene.refresh().ok();
    scene.home.orgkey(&["test", "acme"]).ok();
    assert_eq!(scene.state().0, "ready");
}

#[test]
fn o01_what_salesforce_says_is_cleaned_and_holds_no_token() {
    let scene = Scene::new();
    let planted = "5Aep861InventedInventedInvented.x";
    let body = oauth_error("invalid_grant", &format!("{DEAD} \u{1b}[31m\u{202e}{planted}"));
    scene.spoil("refresh_token", 0, &json!({ "status": 400, "body": body }));
    let run = scene.refresh();
    check_error(&run, 3, "needs_setup", &[DEAD, "[redacted]"], &[]);
    let history = scene.home.orgkey(&["show", "acme", "--json"]).ok().stdout;
    for text in [&run.stderr, &history] {
        assert!(!text.contains(planted) && !text.contains("\\u001b") && !text.contains('\u{202e}'));
    }
}

#[test]
fn o02_a_code_that_is_too_old_or_was_used_says_so_and_the_old_token_lives() {
    let scene = Scene::new();
    let before = scene.token();
    let words: (&[&str], &[&str]) =
        (&["older than 15 minutes", "used before"], &["start the set-up", "at once"]);
    let redirect = scene.approve();
    scene.simulator.control("clock", &json!({ "advance_seconds": 15 * 60 }));
    check_error(&scene.finish(&redirect), 3, "code_expired", words.0, words.1);
    // Spent by a request whose answer never came.
    let redirect = scene.approve();
    scene.spoil("authorization_code", 1, &json!({ "status": 503, "body": "", "commit": true }));
    scene.finish(&redirect).expect(4);
    check_error(&scene.finish(&redirect), 3, "code_expired", words.0, words.1);
    assert_eq!(scene.simulator.count("replays"), 1);
    let shown = scene.home.shown("acme");
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("ready"), &Value::Null));
    assert!(shown["authorization"].is_object(), "the attempt pends on");
    assert_eq!(scene.token(), before);
    assert_eq!(scene.roles(), ["active"]);
    scene.assert_only_at_acme();
}

/// One refusal that the admin of the org or of the app mends: error, description, code, and words
/// of message and remedy.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a [&'a str]);

/// Refuses in the browser, at the code and at the refresh: exit 8, nothing is lost, and all is
/// well when it is mended.
#[track_caller]
fn check_misconfigured(row: Row<'_>) {
    let (error, description, code, message, remedy) = row;
    let scene = Scene::new();
    let before = scene.token();
    let refusal = json!({ "status": 400, "body": oauth_error(error, description) });
    // The page on which Salesforce stops, as its address is pasted.
    scene.home.orgkey(&["setup", "acme", "--start"]).ok();
    let page = format!(
        "{}/setup/secur/RemoteAccessErrorPage.apexp?error={error}&error_description={}",
        scene.simulator.url("acme.my"),
        description.replace(' ', "+")
    );
    check_error(&scene.finish(&page), 8, code, message, remedy);
    assert_eq!(scene.sent("authorization_code"), 0, "nothing was sent");
    assert!(scene.home.shown("acme")["authorization"].is_object(), "the attempt pends on");
    // The code.
    let redirect = scene.approve();
    scene.spoil("authorization_code", 1, &refusal);
    check_error(&scene.finish(&redirect), 8, code, message, remedy);
    assert_eq!(scene.state(), ("ready".to_owned(), None));
    assert_eq!(scene.roles(), ["active"]);
    assert_eq!(scene.token(), before);
    // The refresh: once for each that asks, and the access token is served on.
    scene.spoil("refresh_token", 0, &refusal);
    check_error(&scene.refresh(), 8, code, &[error], remedy);
    assert_eq!(scene.sent("refresh_token"), 1);
    assert_eq!(scene.state(), ("misconfigured".to_owned(), None));
    assert_eq!(scene.token(), before);
    scene.simulator.clear_script();
    scene.refresh().ok();
    scene.home.orgkey(&["test", "acme"]).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
    assert_eq!(scene.simulator.count("replays"), 0, "no token was lost");
    scene.assert_only_at_acme();
}

#[test]
fn o03_a_client_id_or_secret_that_is_not_known_names_where_it_stands() {
    let place = "Consumer Key and Secret";
    check_misconfigured((
        "invalid_client_id",
        "client identifier invalid",
        "client_id_invalid",
        &["does not know this Consumer Key"],
        &[place, "a new app takes up to 10 minutes"],
    ));
    check_misconfigured((
        "invalid_client",
        "invalid client credentials",
        "client_secret_invalid",
        &["refused the Consumer Secret"],
        &[place, "rotated"],
    ));
}

#[test]
fn o04_an_app_that_is_not_installed_names_the_two_ways_to_install_it() {
    check_misconfigured((
        "invalid_client",
        "app must be installed into org",
        "app_not_installed",
        &["not installed in the org"],
        &["Connected Apps OAuth Usage", "Install", "Approve Uninstalled Connected Apps"],
    ));
    check_misconfigured((
        "app_not_found",
        "External client app is not installed in this org",
        "app_not_found",
        &["not installed in this org"],
        &["My Domain", "External Client App Manager"],
    ));
}

#[test]
fn o05_the_general_error_page_names_what_is_behind_it() {
    check_misconfigured((
        "OAUTH_APPROVAL_ERROR_GENERIC",
        "An unexpected error has occurred during authentication",
        "approval_error",
        &["OAUTH_APPROVAL_ERROR_GENERIC", "not installed"],
        &["Connected Apps OAuth Usage", "Install"],
    ));
    check_misconfigured((
        "invalid_app_access",
        "user is not admin approved to access this app",
        "user_not_approved",
        &["not admin approved"],
        &["permission set or profile"],
    ));
}

#[test]
fn o06_a_flow_that_is_not_enabled_names_the_check_box() {
    for (error, description, code) in [
        ("unauthorized_client", "", "unauthorized_client"),
        ("unsupported_grant_type", "grant type not supported", "flow_not_supported"),
    ] {
        let remedy: &[&str] = &["Settings > OAuth Flows: enable the flow"];
        check_misconfigured((error, description, code, &["flow"], remedy));
    }
}

#[test]
fn o07_another_redirect_uri_is_shown_as_we_sent_it() {
    check_misconfigured((
        "redirect_uri_mismatch",
        "redirect_uri must match configuration",
        "redirect_uri_mismatch",
        &["another Callback URL", &format!("orgkey asked for {REDIRECT_URI}")],
        &["Callback URL", "wait 10 minutes"],
    ));
}

#[test]
fn o08_scopes_that_are_refused_are_named() {
    check_misconfigured((
        "invalid_scope",
        "the requested scope is not allowed",
        "invalid_scope",
        &["does not allow a requested scope", "orgkey asked for api refresh_token id"],
        &["OAuth Scopes"],
    ));
}

#[test]
fn o09_deny_changes_nothing_and_the_attempt_stays_open() {
    let scene = Scene::new();
    let before = scene.home.shown("acme")["token"].clone();
    let url = scene.home.orgkey(&["setup", "acme", "--start"]).ok().stdout;
    let person = json!({ "url": url.trim(), "username": ANA, "deny": true });
    let redirect = scene.simulator.play(&person).unwrap();
    check_error(
        &scene.finish(&redirect),
        3,
        "access_denied",
        &["denied"],
        &["press Allow", "nothing was changed"],
    );
    assert_eq!(scene.sent("authorization_code"), 0);
    let shown = scene.home.shown("acme");
    assert_eq!((&shown["state"], &shown["token"]), (&json!("ready"), &before));
    assert_eq!(scene.approvals(), 1);
    scene.finish(&scene.simulator.sign_in(&url, ANA)).ok();
}

#[test]
fn o11_an_inactive_user_is_named_and_not_asked_for_again() {
    let scene = Scene::with(PUBLIC_APP, "rotation = \"yes\"");
    let stored = scene.token();
    scene.simulator.control("users", &json!({ "username": ANA, "active": false }));
    for _ in 0..3 {
        let run = scene.refresh_after(&stored);
        check_error(&run, 3, "needs_setup", &["deactivated or frozen"], &["Setup > Users"]);
    }
    assert_eq!(scene.sent("refresh_token"), 1, "no storm");
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some("user_inactive".to_owned())));
    scene.simulator.control("users", &json!({ "username": ANA, "active": true }));
    scene.restore();
    assert_eq!(scene.state().0, "ready");
}

#[test]
fn o11_an_org_that_is_locked_or_over_is_asked_once_for_each_who_asks() {
    for (error, description) in [("invalid_grant", "inactive organization"), ("inactive_org", "")] {
        let scene = Scene::new();
        let stored = scene.token();
        let body = oauth_error(error, description);
        scene.spoil("refresh_token", 0, &json!({ "status": 400, "body": body }));
        for asked in 1..=3 {
            let run = scene.refresh_after(&stored);
            check_error(&run, 8, "org_inactive", &["trial is over"], &["Salesforce support"]);
            assert_eq!(scene.sent("refresh_token"), asked, "no storm");
        }
        assert_eq!(scene.state(), ("misconfigured".to_owned(), None));
        assert_eq!(scene.token(), stored, "the access token is served while it lives");
        scene.simulator.clear_script();
        scene.refresh().ok();
    }
}

#[test]
fn o12_the_wrong_login_host_is_named_before_and_after_the_sign_in() {
    let scene = Scene::unsaved(PUBLIC_APP, "");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sandbox_user = "ana@acme.example.uat";
    let sandbox = text(&scene.simulator.org_of(sandbox_user)["org_id"]);
    let production = text(&scene.simulator.org_of(ANA)["org_id"]);
    let user = text(&scene.simulator.user(sandbox_user)["user_id"]);
    let ids = ["save", "acme", "--org-id", &sandbox, "--user-id", &user, "--json"];
    // Where the host tells, it is said at Save, with the host that fits.
    for (more, remedy) in [
        (["--sandbox", "--login-url", "https://login.salesforce.com"], "test.salesforce.com"),
        (["--tag", "x", "--login-url=https://acme--uat.sandbox.my.salesforce.com"], "--sandbox"),
    ] {
        let run = scene.home.orgkey(&[ids.as_slice(), &more].concat());
        check_error(&run, 8, "invalid_input", &["is to be"], &[remedy]);
    }
    // Where it does not, the account does: both pairs of IDs, and nothing is kept.
    let login = scene.simulator.url("login");
    scene.home.orgkey(&[ids.as_slice(), &["--login-url", &login]].concat()).ok();
    let run = scene.finish(&scene.approve());
    check_error(
        &run,
        6,
        "wrong_account",
        &[&sandbox, &production, &user, "nothing was stored"],
        &["orgkey reset"],
    );
    assert_eq!(scene.approvals(), 0, "the other account's token is revoked");
    assert!(scene.roles().is_empty());
    assert_eq!(scene.home.shown("acme")["token"], Value::Null);
}

#[test]
fn o13_an_address_or_an_hour_that_is_not_let_in_names_the_lists() {
    for description in
        ["ip restricted", "ip restricted or invalid login hours", "IP not in trusted ranges"]
    {
        check_misconfigured((
            "invalid_grant",
            description,
            "ip_restricted",
            &["this machine's IP address", "hour"],
            &["outgoing IP address", "allowlist", "Login IP Ranges", "Login Hours"],
        ));
    }
}
