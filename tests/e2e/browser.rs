//! Sign-ins in real browsers: the address that `setup --start` prints is opened, the pages are
//! filled in, and what the address bar shows in the end goes to `setup --finish -`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::common::{DEADLINE, Home, PUBLIC_APP, REDIRECT_URI, Simulator, config};
use crate::installed;

const ANA: &str = "ana@acme.example";
const BEN: &str = "ben@acme.example";
/// The browser does nothing of its own beside what the test does.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// A browser of its own with an empty profile; ended when it is dropped.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one; `None` where it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with more flags.
    pub fn start_with(more: &[&str]) -> Option<Self> {
        if !installed(&["chromium", "chromedriver"], "sign-ins in Chromium") {
            return None;
        }
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own, so that the browser ends with it.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut words = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = words
            .find_map(|line| {
                let line = line.unwrap();
                let port = line.split_once("started successfully on port ")?.1;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("the driver says its port");
        // What it says later has to go somewhere.
        std::thread::spawn(move || words.for_each(drop));
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).to_vec();
        flags.extend(more.iter().map(|flag| (*flag).to_owned()));
        flags.push(format!("--user-data-dir={}", profile.path().join("profile").display()));
        let options = json!({ "goog:chromeOptions": { "args": flags } });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(options.as_object().unwrap().clone());
            let driver = format!("http://127.0.0.1:{port}");
            timeout(DEADLINE, builder.connect(&driver)).await.expect("the browser starts in time")
        });
        let client = client.expect("the browser starts");
        Some(Self { runtime, client, driver, _profile: profile })
    }

    /// Does something with the page within the deadline.
    fn with<T>(
        &self,
        what: impl AsyncFnOnce(&Client) -> Result<T, fantoccini::error::CmdError>,
    ) -> T {
        let done = self.runtime.block_on(async { timeout(DEADLINE, what(&self.client)).await });
        done.expect("the browser is done in time").expect("the browser does it")
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.with(async |client| client.goto(url.trim()).await);
    }

    /// The element with this ID, as soon as there is one.
    pub fn press(&self, id: &str) {
        self.with(async |client| {
            let button = client.wait().at_most(DEADLINE).for_element(Locator::Id(id)).await?;
            button.click().await
        });
    }

    /// Fills in the login page and sends it.
    pub fn log_in(&self, username: &str, password: &str) {
        self.with(async |client| {
            let field =
                client.wait().at_most(DEADLINE).for_element(Locator::Id("username")).await?;
            field.clear().await?;
            field.send_keys(username).await?;
            client.find(Locator::Id("password")).await?.send_keys(password).await
        });
        self.press("Login");
    }

    /// Waits until the page says this: a form that was sent is answered some time later.
    pub fn says(&self, text: &str) {
        let mut last = String::new();
        let found = self.runtime.block_on(async {
            timeout(DEADLINE, async {
                while !last.contains(text) {
                    // The body of a page that is just being left can't be read.
                    if let Ok(body) = self.client.find(Locator::Css("body")).await {
                        last = body.text().await.unwrap_or_default();
                    }
                }
            })
            .await
        });
        assert!(found.is_ok(), "in vain waited for '{text}': {last}");
    }

    /// What the address bar shows, as soon as it begins so.
    fn address(&self, beginning: &str) -> String {
        self.with(async |client| {
            loop {
                let url = client.current_url().await?;
                if url.as_str().starts_with(beginning) {
                    return Ok(url.to_string());
                }
            }
        })
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ =
            self.runtime.block_on(async { timeout(DEADLINE, self.client.clone().close()).await });
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}

pub fn password(simulator: &Simulator, username: &str) -> String {
    simulator.user(username)["password"].as_str().unwrap().to_owned()
}

/// A home whose app has this one redirect URI.
fn home_with(redirect_uri: &str) -> Home {
    let home = Home::new();
    let app = format!("{}redirect_uris = [\"{redirect_uri}\"]\n", config(PUBLIC_APP));
    home.write("config.toml", &app);
    home
}

/// Ana of acme is saved, and her browser is to end at the success page, the third of these.
fn saved() -> (Simulator, Home, String) {
    let simulator = Simulator::start();
    let success = format!("{}/services/oauth2/success", simulator.url("acme.my"));
    let home = home_with(&success);
    home.save(&simulator, "acme", ANA, &[]).ok();
    (simulator, home, success)
}

fn start(home: &Home, name: &str) -> String {
    home.orgkey(&["setup", name, "--start"]).ok().stdout.trim().to_owned()
}

#[test]
fn a_sign_in_in_chromium_ends_at_the_success_page_and_gives_a_token() {
    let Some(browser) = Browser::start() else { return };
    let (simulator, home, success) = saved();
    browser.open(&start(&home, "acme"));
    browser.log_in(ANA, "not the password");
    browser.says("Please check your username and password");
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.press("oaapprove");
    let redirect = browser.address(&success);
    browser.says("authorized");
    let finished = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert!(finished.stdout.contains("Access test successful"), "{finished}");
    home.orgkey(&["test", "acme"]).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
    assert_eq!(home.shown("acme")["username"], ANA);
    assert!(home.orgkey(&["token", "acme"]).ok().stdout.starts_with("00D"));
}

#[test]
fn the_address_that_does_not_load_is_good_enough() {
    let Some(browser) = Browser::start() else { return };
    let simulator = Simulator::start();
    let home = Home::new();
    home.save(&simulator, "acme", ANA, &["--username", ANA]).ok();
    browser.open(&start(&home, "acme"));
    // The saved username is filled in already.
    let filled = browser
        .with(async |client| client.find(Locator::Id("username")).await?.prop("value").await);
    assert_eq!(filled.as_deref(), Some(ANA));
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.press("oaapprove");
    let redirect = browser.address(REDIRECT_URI);
    assert!(redirect.contains("code=") && redirect.contains("state="), "it has both");
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn a_browser_that_remembers_somebody_else_asks_who_signs_in() {
    let Some(browser) = Browser::start() else { return };
    let (simulator, home, success) = saved();
    home.save(&simulator, "other", BEN, &[]).ok();
    browser.open(&start(&home, "other"));
    browser.log_in(BEN, &password(&simulator, BEN));
    browser.press("oaapprove");
    let redirect = browser.address(&success);
    home.orgkey_with(&["setup", "other", "--finish", "-"], &redirect).ok();

    let url = start(&home, "acme");
    // Without the request to ask, the browser would sign Ben in again.
    let unasked = url.replace("prompt=login", "prompt=consent");
    assert_ne!(unasked, url);
    browser.open(&unasked);
    browser.says("allow access for ben@acme.example");

    browser.open(&url);
    browser.says("Log in to");
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.says("allow access for ana@acme.example");
    browser.press("oaapprove");
    let redirect = browser.address(&success);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}

#[test]
fn the_address_of_a_set_up_asks_who_signs_in_where_another_one_would_bring_the_wrong_user() {
    let Some(browser) = Browser::start() else { return };
    let (simulator, home, success) = saved();
    // Ben has approved the app before, and this browser remembers him.
    home.ready_credential(&simulator, "other", BEN);
    simulator.control("browser", &json!({ "username": BEN }));

    // Without the request to ask, he comes back at once: the pin alone stands between.
    let url = start(&home, "acme");
    let unasked = url.replace("&prompt=login", "");
    assert_ne!(unasked, url);
    browser.open(&unasked);
    let redirect = browser.address(&success);
    let wrong = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).expect(6);
    assert!(wrong.stderr.contains("0055g00000BenKaAAJ"), "{wrong}");
    assert_eq!(home.shown("acme")["token"], json!(null));

    let url = start(&home, "acme");
    browser.open(&url);
    browser.says("Log in to");
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.press("oaapprove");
    let redirect = browser.address(&success);
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).ok();
    assert_eq!(home.shown("acme")["username"], ANA);
    assert_eq!(home.shown("other")["state"], "ready", "Ben's own token lives on");
}

#[test]
fn deny_and_the_wrong_account_store_nothing() {
    let Some(browser) = Browser::start() else { return };
    let (simulator, home, success) = saved();

    browser.open(&start(&home, "acme"));
    browser.log_in(ANA, &password(&simulator, ANA));
    browser.press("oadeny");
    let redirect = browser.address(&success);
    let denied = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect);
    assert_ne!(denied.status, 0);
    assert!(denied.stderr.to_lowercase().contains("den"), "{denied}");
    assert_eq!(home.shown("acme")["token"], json!(null));
    assert_eq!(simulator.count("codes_exchanged"), 0);

    browser.open(&start(&home, "acme"));
    browser.log_in(BEN, &password(&simulator, BEN));
    browser.press("oaapprove");
    let redirect = browser.address(&success);
    let wrong = home.orgkey_with(&["setup", "acme", "--finish", "-"], &redirect).expect(6);
    for id in ["0055g00000AnaToAAJ", "0055g00000BenKaAAJ"] {
        assert!(wrong.stderr.contains(id), "both users are shown: {wrong}");
    }
    assert_eq!(home.shown("acme")["token"], json!(null));
    assert_eq!(simulator.read("approvals")["approvals"], json!([]), "Ben's token is revoked");
}

/// Fetches or posts with w3m, and gives the source of the page and where it is.
fn w3m(home: &Home, url: &str, form: Option<&str>) -> (String, String) {
    let mut command = Command::new("w3m");
    command.env("HOME", home.outside()).stdin(Stdio::null()).arg("-dump_extra");
    if let Some(form) = form {
        let path = home.outside().join("form");
        std::fs::write(&path, form).unwrap();
        command.arg("-post").arg(path);
    }
    let output = command.arg(url).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let place = text.lines().find_map(|line| line.strip_prefix("W3m-current-url: "));
    let place = place.unwrap_or_else(|| panic!("no address: {text}")).trim().to_owned();
    (text, place)
}

/// The value of the hidden field that every page of a sign-in has.
fn attempt(page: &str) -> &str {
    let after = page.split("name=\"attempt\" value=\"").nth(1);
    after.and_then(|rest| rest.split('"').next()).unwrap_or_else(|| panic!("no form: {page}"))
}

#[test]
fn a_sign_in_in_w3m_over_the_path_alias_gives_a_token() {
    if !installed(&["w3m"], "a sign-in in w3m") {
        return;
    }
    let simulator = Simulator::start();
    // For clients that can't resolve names below localhost.
    let alias = format!("http://localhost:{}/@acme.my", simulator.port);
    let success = format!("{alias}/services/oauth2/success");
    let home = home_with(&success);
    home.save(&simulator, "acme", ANA, &[]).ok();
    let url = start(&home, "acme").replace(&simulator.url("acme.my"), &alias);

    let (page, _) = w3m(&home, &url, None);
    assert!(page.contains("Log in to"), "{page}");
    let encode = |pairs: &[(&str, &str)]| {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let secret = password(&simulator, ANA);
    let form = encode(&[("attempt", attempt(&page)), ("username", ANA), ("pw", &secret)]);
    let (page, _) = w3m(&home, &format!("{alias}/login"), Some(&form));
    assert!(page.contains("Allow access?"), "{page}");
    let form = encode(&[("attempt", attempt(&page)), ("save", "Allow")]);
    let approve = format!("{alias}/setup/secur/RemoteAccessAuthorizationPage.apexp");
    let (page, place) = w3m(&home, &approve, Some(&form));
    assert!(page.contains("authorized"), "{page}");
    assert!(place.starts_with(&success), "{place}");
    home.orgkey_with(&["setup", "acme", "--finish", "-"], &place).ok();
    assert_eq!(home.shown("acme")["state"], "ready");
}
