//! What an org's admin does that keeps orgkey out, by Salesforce's own rules and not by a scripted
//! answer: addresses, hours, a closed org, a new app, a blocked one. Each is named, nothing is
//! lost, and all is well when it is taken back.

use serde_json::{Value, json};

use crate::common::{PUBLIC_APP, STATIC_APP};
use crate::scene::{ANA, Scene, check_error};

/// A change of the org `acme`, and of its user.
fn acme(change: &Value) -> (&'static str, Value) {
    let mut body = change.clone();
    body["name"] = json!("acme");
    ("orgs", body)
}

fn ana(change: &Value) -> (&'static str, Value) {
    let mut body = change.clone();
    body["username"] = json!(ANA);
    ("users", body)
}

#[test]
fn whoever_is_kept_out_is_told_why_and_loses_nothing() {
    let ranges = json!({ "login_ip_ranges": ["198.51.100.0-198.51.100.255"] });
    let inside = ("address", json!({ "address": "198.51.100.7" }));
    let never = json!({ "login_hours": "08:00-08:00" });
    let always = json!({ "login_hours": null });
    let open = json!({ "standing": "active" });
    // What is changed and how it is undone; the code at a refresh; words of the remedies at use
    // and at a refresh.
    let rows = [
        (acme(&ranges), inside.clone(), "ip_restricted", ["Session Settings", "Login IP Ranges"]),
        (ana(&ranges), inside, "ip_restricted", ["Session Settings", "Login IP Ranges"]),
        (acme(&never), acme(&always), "ip_restricted", ["Login Hours"; 2]),
        (ana(&never), ana(&always), "ip_restricted", ["Login Hours"; 2]),
        (acme(&json!({ "standing": "locked" })), acme(&open), "org_inactive", ["support"; 2]),
        (
            acme(&json!({ "standing": "trial_expired" })),
            acme(&open),
            "org_inactive",
            ["support"; 2],
        ),
    ];
    for ((call, change), (undo, undone), code, [at_use, at_refresh]) in rows {
        let scene = Scene::with(PUBLIC_APP, "rotation = \"yes\"");
        scene.simulator.control(call, &change);
        let run = scene.home.orgkey(&["test", "acme", "--json"]).expect(8);
        let result = &run.json()["results"][0];
        assert_eq!(result["outcome"], "misconfigured", "{change}: {run}");
        assert!(result["remedy"].as_str().unwrap().contains(at_use), "{change}: {run}");
        assert_eq!(scene.sent("refresh_token"), 0, "{change}: a refresh would not help");
        check_error(&scene.refresh(), 8, code, &[], &[at_refresh]);
        assert_eq!(scene.state(), ("misconfigured".to_owned(), None), "{change}");
        scene.simulator.control(undo, &undone);
        scene.refresh().ok();
        scene.home.orgkey(&["test", "acme"]).ok();
        assert_eq!(scene.state(), ("ready".to_owned(), None), "{change}");
        assert_eq!((scene.approvals(), scene.simulator.count("replays")), (1, 0), "{change}");
        scene.assert_only_at_acme();
    }
}

#[test]
fn a_new_app_is_told_to_be_waited_for_and_works_then() {
    let scene = Scene::unsaved(STATIC_APP, "");
    scene.home.save(&scene.simulator, "acme", ANA, &[]).ok();
    let new = json!({ "client_id": STATIC_APP, "propagation_seconds": 600 });
    scene.simulator.control("apps", &new);
    let page = scene.approve();
    let words = ["a new app takes up to 10 minutes"];
    check_error(&scene.finish(&page), 8, "client_id_invalid", &["Consumer Key"], &words);
    scene.simulator.control("clock", &json!({ "advance_seconds": 600 }));
    scene.finish(&scene.approve()).ok();
    assert!(scene.home.shown("acme")["token"].is_object());
}

#[test]
fn an_app_that_was_blocked_says_so_in_the_browser_and_needs_a_sign_in_afterwards() {
    let scene = Scene::with(STATIC_APP, "rotation = \"no\"");
    let block = |on: bool| json!({ "client_id": STATIC_APP, "blocked": on });
    scene.simulator.control("apps", &block(true));
    scene.home.orgkey(&["test", "acme"]).expect(3);
    assert_eq!(scene.state(), ("needs_setup".to_owned(), Some("unknown".to_owned())));
    let words = ["External Client App Manager", "Unblock"];
    check_error(&scene.finish(&scene.approve()), 8, "app_blocked", &["blocked"], &words);
    scene.simulator.control("apps", &block(false));
    scene.finish(&scene.approve()).ok();
    assert_eq!(scene.state(), ("ready".to_owned(), None));
}
