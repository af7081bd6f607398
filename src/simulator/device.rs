//! The device flow in Salesforce's dialect (Salesforce OAuth facts 3.4): the codes, the page on
//! which the person types one, and the polls. A blocked or uninstalled app shows in the browser
//! alone; whoever polls goes on hearing that the person has not answered.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::time::UnixMillis;
use crate::simulator::answer::{Answer, Refusal};
use crate::simulator::authorize::Step;
use crate::simulator::host::{Place, VirtualHost};
use crate::simulator::mint;
use crate::simulator::oauth;
use crate::simulator::page::{self, escape, fill};
use crate::simulator::request::Request;
use crate::simulator::token::TokenReply;
use crate::simulator::world::{AppIndex, Attempt, Subject, UserIndex, World};

/// Path of the page on which a user code is typed.
pub(crate) const CONNECT_PATH: &str = "/setup/connect";
/// How long both codes live.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// What a poll that comes too early adds to the interval (RFC 8628 section 3.5).
const SLOWER_BY: Duration = Duration::from_secs(5);
/// Two clocks never agree to the millisecond.
const TOLERANCE: Duration = Duration::from_millis(50);

const CONNECT: &str = include_str!("../../assets/simulator/connect.html");
const CONNECTED: &str = include_str!("../../assets/simulator/connected.html");

const NOT_ENABLED: Refusal =
    Refusal::new("unsupported_response_type", "response type not supported");
const PENDING: Refusal =
    Refusal::new("authorization_pending", "the user has not approved this code yet");
const TOO_QUICKLY: Refusal =
    Refusal::new("slow_down", "polling too quickly for the token endpoint");
const DENIED: Refusal = Refusal::new("access_denied", "end-user denied authorization");
const DEAD_CODE: Refusal = Refusal::new("invalid_grant", "token exchange failed");

/// What the person made of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Nothing yet.
    NotYet,
    /// Allowed, by this user.
    Allowed(UserIndex),
    /// Denied.
    Denied,
}

/// A device code with its user code.
pub(crate) struct Device {
    /// What the person types.
    pub(crate) user_code: String,
    /// The host that it was asked of.
    pub(crate) host: VirtualHost,
    /// The app.
    pub(crate) app: AppIndex,
    /// What was asked for.
    pub(crate) scopes: Vec<String>,
    /// When.
    pub(crate) issued_at: UnixMillis,
    /// At least so long between two polls; grows when they come too early.
    pub(crate) interval: Duration,
    /// The last poll.
    pub(crate) polled_at: Option<UnixMillis>,
    /// What the person made of it.
    pub(crate) answered: Answered,
}

impl World {
    /// Hands out a device code and its user code. A former one of the same client that nobody
    /// answered stays: which one goes on is decided by the person.
    fn start_device(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        client_id: Option<&str>,
        scope: Option<&str>,
    ) -> Result<Value, Refusal> {
        let unknown = Refusal::new("invalid_client_id", "client identifier invalid");
        let app = client_id.and_then(|id| self.known_app(now, id)).ok_or(unknown)?;
        if !self.app(app).device_enabled {
            return Err(NOT_ENABLED);
        }
        let scopes = self.read_scopes(app, scope)?;
        let interval = self.app(app).device_interval;
        let (device_code, user_code) = (self.mint.device_code(), self.mint.user_code());
        let verification_uri = format!("{}{CONNECT_PATH}", self.host_url(host));
        let answer = json!({
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": verification_uri,
            "interval": interval.as_secs(),
        });
        let device = Device {
            user_code,
            host,
            app,
            scopes,
            issued_at: now,
            interval,
            polled_at: None,
            answered: Answered::NotYet,
        };
        self.devices.insert(device_code, device);
        Ok(answer)
    }

    fn host_url(&self, host: VirtualHost) -> String {
        format!("http://{}:{}", self.name_of(host), self.port)
    }

    /// Answers a poll. The first one after the approval gets the token, and the code is spent.
    fn poll_device(
        &mut self,
        now: UnixMillis,
        host: VirtualHost,
        app: AppIndex,
        device_code: &str,
    ) -> Result<TokenReply, Refusal> {
        let device = self.devices.get_mut(device_code).ok_or(DEAD_CODE)?;
        if device.app != app || device.host != host || now.since(device.issued_at) >= LIFE {
            return Err(DEAD_CODE);
        }
        let before = device.polled_at.replace(now);
        if before.is_some_and(|before| now.since(before) + TOLERANCE < device.interval) {
            device.interval += SLOWER_BY;
            return Err(TOO_QUICKLY);
        }
        let user = match device.answered {
            Answered::NotYet => return Err(PENDING),
            Answered::Denied => {
                self.devices.remove(device_code);
                return Err(DENIED);
            }
            Answered::Allowed(user) => user,
        };
        let Some(device) = self.devices.remove(device_code) else { return Err(DEAD_CODE) };
        let subject = Subject { org: self.user(user).org, user, app };
        self.grant(now, subject, &device.scopes)
    }

    /// Takes a typed user code: without regard to case, as people type it.
    fn enter_user_code(&mut self, now: UnixMillis, host: VirtualHost, typed: &str) -> Step {
        let typed = typed.trim().to_ascii_uppercase();
        let found = self.devices.iter().find(|(_, device)| {
            device.user_code == typed
                && device.host == host
                && device.answered == Answered::NotYet
                && now.since(device.issued_at) < LIFE
        });
        let Some((code, device)) = found else {
            return Step::Stay(Refusal::new("invalid_request", "the code is not valid"));
        };
        let attempt = Attempt {
            host,
            app: device.app,
            redirect_uri: String::new(),
            state: None,
            scopes: device.scopes.clone(),
            challenge: String::new(),
            login_hint: None,
            user: None,
            began_at: now,
            device: Some(code.clone()),
        };
        self.ask_login(attempt, None)
    }

    /// The press of Allow or Deny on the page of a user code.
    pub(crate) fn answer_device(
        &mut self,
        device_code: &str,
        user: UserIndex,
        allow: bool,
    ) -> Step {
        let Some(device) = self.devices.get_mut(device_code) else {
            return Step::Stay(Refusal::new("invalid_request", "the code is not valid"));
        };
        device.answered = if allow { Answered::Allowed(user) } else { Answered::Denied };
        let (answer, outcome) = if allow { ("allowed", "ok") } else { ("denied", "denied") };
        Step::Below { path: format!("{CONNECT_PATH}?done={answer}"), outcome: outcome.to_owned() }
    }
}

/// `POST /services/oauth2/token` with `response_type=device_code`.
pub(crate) fn start(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let (client_id, _) = request.client();
    let host = request.place.host;
    let started = world.start_device(now, host, client_id.as_deref(), request.form.get("scope"));
    started.map_or_else(|refusal| Answer::oauth_error(&refusal), Answer::json)
}

/// `POST /services/oauth2/token` with `grant_type=device`.
pub(crate) fn poll(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let (id, secret) = request.client();
    let code = request.form.get("code").unwrap_or_default();
    let reply = world
        .authenticate(now, id.as_deref(), secret.as_deref())
        .and_then(|app| world.poll_device(now, request.place.host, app, code));
    oauth::answer(world, reply).about(code)
}

/// The page of the user code: the form, and what came of it.
pub(crate) fn connect(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let place = &request.place;
    if request.method == "POST" {
        let typed = request.form.get("user_code").unwrap_or_default();
        let step = world.enter_user_code(now, place.host, typed);
        return oauth::show(world, request, step);
    }
    match request.query.get("done") {
        Some(answer) => done_page(answer == "allowed"),
        None => code_page(place, request.query.get("user_code").unwrap_or_default()),
    }
}

fn code_page(place: &Place, user_code: &str) -> Answer {
    let prefix = escape(&place.prefix);
    let content = fill(CONNECT, &[("prefix", &prefix), ("user_code", &escape(user_code))]);
    page::page(200, "Connect a Device | Salesforce", "", &content, "user code page")
}

fn done_page(allowed: bool) -> Answer {
    let words = if allowed { "Connection Successful" } else { "Access Denied" };
    let content = fill(CONNECTED, &[("words", words)]);
    page::page(200, "Connect a Device | Salesforce", "", &content, "device page")
}

/// Codes that nobody has fetched a token with, for the control plane: what the person sees, never
/// the device code itself.
pub(crate) fn listed(world: &World, now: UnixMillis) -> Value {
    let rows = world.devices.iter().map(|(code, device)| {
        json!({
            "user_code": device.user_code,
            "client_id": world.app(device.app).client_id,
            "tag": mint::tag(code),
            "interval_seconds": device.interval.as_secs(),
            "alive": now.since(device.issued_at) < LIFE,
            "answered": match device.answered {
                Answered::NotYet => "not_yet",
                Answered::Allowed(_) => "allowed",
                Answered::Denied => "denied",
            },
        })
    });
    json!({ "devices": rows.collect::<Vec<_>>() })
}
