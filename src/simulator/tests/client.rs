//! A client that knows Salesforce's wire format and nothing of the simulator's insides.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::simulator::{Facts, Options, Simulator, start};

/// The standard vector of RFC 7636 appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(super) const PUBLIC: &str = "3MVG9simulated.orgkey_public";
pub(super) const SECRET: &str = "3MVG9simulated.orgkey_secret";
pub(super) const STATIC: &str = "3MVG9simulated.orgkey_static";
pub(super) const STRICT: &str = "3MVG9simulated.orgkey_strict";
pub(super) const REDIRECT: &str = "http://localhost:1717/OauthRedirect";
pub(super) const TOKEN: &str = "/services/oauth2/token";

/// A running simulator and a client without redirects.
pub(super) struct Fixture {
    pub(super) simulator: Simulator,
    http: reqwest::Client,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: reqwest::header::HeaderMap,
    pub(super) text: String,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(super) fn field(&self, name: &str) -> String {
        let value = self.json();
        value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}")).to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The description of an OAuth error.
    pub(super) fn refusal(&self) -> String {
        let value = self.json();
        format!("{} {}: {}", self.status, value["error"], value["error_description"])
            .replace('"', "")
    }
}

impl Fixture {
    pub(super) async fn start() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = start(Options { listen }).await.unwrap();
        let policy = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().redirect(policy).no_proxy().build().unwrap();
        Self { simulator, http }
    }

    pub(super) fn facts(&self) -> &Facts {
        self.simulator.facts()
    }

    fn request(&self, method: reqwest::Method, host: &str, path: &str) -> reqwest::RequestBuilder {
        let port = self.simulator.port();
        let url = format!("http://127.0.0.1:{port}{path}");
        let name = if host == "localhost" { host.to_owned() } else { format!("{host}.localhost") };
        self.http.request(method, url).header("Host", format!("{name}:{port}"))
    }

    async fn send(request: reqwest::RequestBuilder) -> Result<Got, reqwest::Error> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Got { status, headers, text: answer.text().await? })
    }

    pub(super) async fn get(&self, host: &str, path: &str, bearer: Option<&str>) -> Got {
        let mut request = self.request(reqwest::Method::GET, host, path);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        Self::send(request).await.unwrap()
    }

    pub(super) async fn get_with_cookie(&self, host: &str, path: &str, cookie: &str) -> Got {
        let request = self.request(reqwest::Method::GET, host, path).header("Cookie", cookie);
        Self::send(request).await.unwrap()
    }

    pub(super) async fn post(&self, host: &str, path: &str, form: &[(&str, &str)]) -> Got {
        self.try_post(host, path, form).await.unwrap()
    }

    pub(super) async fn try_post(
        &self,
        host: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Got, reqwest::Error> {
        Self::send(self.request(reqwest::Method::POST, host, path).form(form)).await
    }

    pub(super) async fn post_basic(
        &self,
        host: &str,
        form: &[(&str, &str)],
        id: &str,
        secret: &str,
    ) -> Got {
        let request = self.request(reqwest::Method::POST, host, TOKEN).form(form);
        Self::send(request.basic_auth(id, Some(secret))).await.unwrap()
    }

    pub(super) async fn control(&self, call: &str, body: Value) -> Value {
        let path = format!("/_control/{call}");
        let request = self.request(reqwest::Method::POST, "localhost", &path).json(&body);
        let got = Self::send(request).await.unwrap();
        assert_eq!(got.status, 200, "{call}: {}", got.text);
        got.json()
    }

    pub(super) async fn post_json(&self, host: &str, path: &str, body: &Value) -> Got {
        Self::send(self.request(reqwest::Method::POST, host, path).json(body)).await.unwrap()
    }

    pub(super) async fn count(&self, name: &str) -> u64 {
        self.get("localhost", "/_control/counts", None).await.json()[name].as_u64().unwrap()
    }

    /// The URL of an authorization request.
    pub(super) fn authorize_url(
        &self,
        host: &str,
        client_id: &str,
        more: &[(&str, &str)],
    ) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let usual = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "st&te"),
        ];
        let is_replaced = |name: &str| more.iter().any(|(other, _)| *other == name);
        query.extend_pairs(usual.iter().filter(|(name, _)| !is_replaced(name)));
        query.extend_pairs(more.iter().filter(|(_, value)| !value.is_empty()));
        let port = self.simulator.port();
        format!("http://{host}.localhost:{port}/services/oauth2/authorize?{}", query.finish())
    }

    /// Signs in by the control plane and gives the parameters that came back.
    pub(super) async fn sign_in(&self, host: &str, client_id: &str, username: &str) -> String {
        let url = self.authorize_url(host, client_id, &[]);
        let answer = self.control("sign_in", json!({ "url": url, "username": username })).await;
        let back = url::Url::parse(answer["redirect_url"].as_str().unwrap()).unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code");
        code.unwrap_or_else(|| panic!("no code in {back}")).1.into_owned()
    }

    pub(super) async fn exchange(&self, host: &str, client_id: &str, code: &str) -> Got {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.post(host, TOKEN, &form).await
    }

    /// A whole sign-in: the token response.
    pub(super) async fn tokens(&self, host: &str, client_id: &str, username: &str) -> Got {
        let code = self.sign_in(host, client_id, username).await;
        let got = self.exchange(host, client_id, &code).await;
        assert_eq!(got.status, 200, "{}", got.text);
        got
    }

    pub(super) async fn refresh(&self, host: &str, client_id: &str, token: &str) -> Got {
        self.try_refresh(host, client_id, token).await.unwrap()
    }

    pub(super) async fn try_refresh(
        &self,
        host: &str,
        client_id: &str,
        token: &str,
    ) -> Result<Got, reqwest::Error> {
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", client_id)];
        self.try_post(host, TOKEN, &form).await
    }

    pub(super) async fn limits(&self, host: &str, token: &str) -> Got {
        self.get(host, "/services/data/v68.0/limits", Some(token)).await
    }
}
