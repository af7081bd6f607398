//! The control plane, `http://localhost:PORT/_control/...`: what a test, or the demo, does to the
//! simulated Salesforce beside being its client. JSON in, JSON out.

use std::net::IpAddr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::domain::id::OrgId;
use crate::domain::time::UnixMillis;
use crate::simulator::answer::Answer;
use crate::simulator::device;
use crate::simulator::entry::{Hours, IpRange, Standing};
use crate::simulator::fault::Fault;
use crate::simulator::respond::{Shared, State};
use crate::simulator::rotation::RotationPolicy;
use crate::simulator::seed::more_users;
use crate::simulator::sign_in::{SignIn, sign_in};
use crate::simulator::world::{App, AppIndex, OrgIndex, Replay, UserIndex, World};

/// Most users that one call adds.
const MOST_USERS: usize = 100_000;

/// Answers a call; `call` is what follows `/_control/`.
pub(crate) async fn answer(shared: &Shared, method: &str, call: &str, body: &[u8]) -> Answer {
    let result = match (method, call) {
        ("POST", "sign_in") => play(shared, body).await,
        ("GET", _) => read(&shared.lock(), call),
        ("POST", _) => write(&mut shared.lock(), call, body),
        ("DELETE", "faults") => {
            shared.lock().script.clear();
            Ok(done())
        }
        ("DELETE", "journal") => {
            shared.lock().journal.clear();
            Ok(done())
        }
        _ => Err(ControlError::NoSuchCall),
    };
    result.unwrap_or_else(|error| {
        Answer::json(json!({ "error": error.to_string() })).with_status(error.status())
    })
}

/// Why a call was not carried out.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("there is no such call")]
    NoSuchCall,
    #[error("the body is not as this call needs it: {0}")]
    Body(serde_json::Error),
    #[error("there is no {0} of that name")]
    Unknown(&'static str),
    #[error("{0}")]
    SignIn(crate::simulator::sign_in::SignInError),
    #[error("{0}")]
    Id(crate::domain::id::IdError),
    #[error("at most {MOST_USERS} users are added at once")]
    TooMany,
}

impl ControlError {
    fn status(&self) -> u16 {
        match self {
            Self::NoSuchCall | Self::Unknown(_) => 404,
            Self::Body(_) | Self::SignIn(_) | Self::Id(_) | Self::TooMany => 400,
        }
    }
}

type Called = Result<Answer, ControlError>;

fn done() -> Answer {
    Answer::json(json!({ "ok": true }))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ControlError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(ControlError::Body)
}

async fn play(shared: &Shared, body: &[u8]) -> Called {
    let person: SignIn = parse(body)?;
    let redirect_url = sign_in(shared, &person).await.map_err(ControlError::SignIn)?;
    Ok(Answer::json(json!({ "redirect_url": redirect_url })))
}

fn read(state: &State, call: &str) -> Called {
    match call {
        "facts" => Ok(Answer::json(json!(state.world.facts()))),
        "journal" => {
            let answer = Answer::text(200, "").with_outcome("ok");
            let body = crate::simulator::answer::Body::Text(state.journal.lines());
            Ok(Answer { content_type: "application/x-ndjson".to_owned(), body, ..answer })
        }
        "counts" => Ok(Answer::json(state.journal.counts())),
        "faults" => Ok(Answer::json(json!({ "faults": state.script.entries() }))),
        "clock" => Ok(Answer::json(clock(state))),
        "devices" => Ok(Answer::json(device::listed(&state.world, state.now()))),
        "approvals" => Ok(Answer::json(approvals(&state.world, state.now()))),
        _ => Err(ControlError::NoSuchCall),
    }
}

fn clock(state: &State) -> Value {
    json!({ "now": state.now().rfc3339(), "ahead_seconds": state.ahead.as_secs() })
}

/// Living approvals, the oldest first: their living sessions, whether a refresh would pass now, the
/// tag of the refresh token that it would have to present, and of replaced ones that pass as well.
fn approvals(world: &World, now: UnixMillis) -> Value {
    let mut ids: Vec<_> = world.approvals.keys().copied().collect();
    ids.sort_unstable();
    let rows = ids.iter().filter_map(|id| world.approvals.get(id).map(|approval| (id, approval)));
    let rows = rows.map(|(id, approval)| {
        let sessions = world.sessions.values().filter(|session| session.approval == Some(*id));
        let accepted = world.accepted_tags(now, *id);
        json!({
            "number": id.0,
            "username": world.user(approval.subject.user).username,
            "client_id": world.app(approval.subject.app).client_id,
            "scopes": approval.scopes,
            "approved_at": approval.approved_at.rfc3339(),
            "refreshes": approval.refreshes,
            "sessions": sessions.count(),
            "alive": !accepted.is_empty(),
            "tag": accepted.first(),
            "tolerated_tags": accepted.get(1..).unwrap_or_default(),
        })
    });
    json!({ "approvals": rows.collect::<Vec<_>>() })
}

fn write(state: &mut State, call: &str, body: &[u8]) -> Called {
    match call {
        "faults" => {
            let Faults { clear, faults } = parse_faults(body)?;
            if clear {
                state.script.clear();
            }
            state.script.append(faults);
            Ok(done())
        }
        "clock" => {
            let Clock { advance_seconds } = parse(body)?;
            state.ahead += Duration::from_secs(advance_seconds);
            Ok(Answer::json(clock(state)))
        }
        "expire_sessions" => {
            let Whose { username } = parse(body)?;
            let user = username.map(|name| find_user(&state.world, &name)).transpose()?;
            Ok(Answer::json(json!({ "expired": state.world.expire_sessions(user) })))
        }
        "revoke" => {
            let User { username, .. } = parse(body)?;
            let user = find_user(&state.world, &username)?;
            state.world.end_all(|subject| subject.user == user);
            Ok(done())
        }
        "refresh_tokens" => {
            let Through { username, client_id } = parse(body)?;
            let user = find_user(&state.world, &username)?;
            let app = find_app(&state.world, &client_id)?;
            Ok(Answer::json(json!(state.world.live_tokens(state.now(), user, app))))
        }
        "users" => change_user(&mut state.world, parse(body)?),
        "more_users" => add_users(&mut state.world, &parse(body)?),
        "apps" => {
            let now = state.now();
            change_app(&mut state.world, now, parse(body)?)
        }
        "orgs" => change_org(&mut state.world, parse(body)?),
        "browser" => {
            let Whose { username } = parse(body)?;
            let user = username.map(|name| find_user(&state.world, &name)).transpose()?;
            state.world.remembered = user;
            Ok(done())
        }
        "address" => {
            let Address { address } = parse(body)?;
            state.world.client_address = address;
            Ok(done())
        }
        _ => Err(ControlError::NoSuchCall),
    }
}

/// A list of faults, with the wish to forget the former ones first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Faults {
    #[serde(default)]
    clear: bool,
    faults: Vec<Fault>,
}

/// Reads one fault, a bare list of them, or a list in its object; told apart by shape, so that an
/// error names the field that is wrong.
fn parse_faults(body: &[u8]) -> Result<Faults, ControlError> {
    let sent: Value = parse(body)?;
    if sent.get("faults").is_some() {
        return serde_json::from_value(sent).map_err(ControlError::Body);
    }
    let list = if sent.is_array() { sent } else { json!([sent]) };
    let faults = serde_json::from_value(list).map_err(ControlError::Body)?;
    Ok(Faults { clear: false, faults })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    advance_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    username: Option<String>,
}

/// Asks for the refresh tokens of a user through an app.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Through {
    username: String,
    client_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    username: String,
    active: Option<bool>,
    api_enabled: Option<bool>,
    password: Option<String>,
    login_ip_ranges: Option<Vec<IpRange>>,
    #[serde(default)]
    login_hours: HoursChange,
}

/// Users to be added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct More {
    org: String,
    count: usize,
}

/// What may be changed of an org; what is absent stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Org {
    name: String,
    new_org_id: Option<String>,
    standing: Option<Standing>,
    login_ip_ranges: Option<Vec<IpRange>>,
    #[serde(default)]
    login_hours: HoursChange,
}

/// What becomes of login hours: `null` takes them away, what is absent keeps them.
#[derive(Default)]
enum HoursChange {
    #[default]
    Keep,
    Set(Option<Hours>),
}

impl<'de> Deserialize<'de> for HoursChange {
    fn deserialize<D: Deserializer<'de>>(hours: D) -> Result<Self, D::Error> {
        Option::deserialize(hours).map(Self::Set)
    }
}

impl HoursChange {
    fn apply(self, hours: &mut Option<Hours>) {
        if let Self::Set(change) = self {
            *hours = change;
        }
    }
}

/// The address that all clients seem to come from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    address: IpAddr,
}

/// What may be changed of an app; what is absent stays. A limit of 0 takes it away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppChange {
    client_id: String,
    rotation: Option<bool>,
    rotation_policy: Option<RotationPolicy>,
    replay: Option<Replay>,
    blocked: Option<bool>,
    installed: Option<bool>,
    open_to_all: Option<bool>,
    device_enabled: Option<bool>,
    device_interval_seconds: Option<u64>,
    session_timeout_seconds: Option<u64>,
    idle_limit_seconds: Option<u64>,
    age_limit_seconds: Option<u64>,
    approval_limit: Option<usize>,
    propagation_seconds: Option<u64>,
    hold_ms: Option<u64>,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    add_redirect_uris: Vec<String>,
    client_secret: Option<String>,
}

fn find_user(world: &World, username: &str) -> Result<UserIndex, ControlError> {
    world.user_by_name(username).ok_or(ControlError::Unknown("user"))
}

fn find_org(world: &World, name: &str) -> Result<OrgIndex, ControlError> {
    let index = world.orgs.iter().position(|org| org.name == name);
    index.map(OrgIndex).ok_or(ControlError::Unknown("org"))
}

fn find_app(world: &World, client_id: &str) -> Result<AppIndex, ControlError> {
    world.app_by_client_id(client_id).ok_or(ControlError::Unknown("app"))
}

fn change_user(world: &mut World, change: User) -> Called {
    let index = find_user(world, &change.username)?;
    let user = &mut world.users[index.0];
    set(&mut user.active, change.active);
    set(&mut user.api_enabled, change.api_enabled);
    set(&mut user.password, change.password);
    set(&mut user.login.ip_ranges, change.login_ip_ranges);
    change.login_hours.apply(&mut user.login.hours);
    if change.active == Some(false) {
        world.deactivate(index);
    }
    Ok(done())
}

/// Adds users and tells who they are.
fn add_users(world: &mut World, more: &More) -> Called {
    if more.count > MOST_USERS {
        return Err(ControlError::TooMany);
    }
    let org = find_org(world, &more.org)?;
    let added = more_users(world, org, more.count);
    let users = world.users[added].iter();
    let users = users.map(|user| json!({ "username": user.username, "user_id": user.id }));
    Ok(Answer::json(json!({ "users": users.collect::<Vec<_>>() })))
}

/// A sandbox that is refreshed gets a new Org ID, and all of its tokens are dead.
fn change_org(world: &mut World, change: Org) -> Called {
    let index = find_org(world, &change.name)?;
    let new_id = change.new_org_id.map(|id| OrgId::parse(&id)).transpose();
    let new_id = new_id.map_err(ControlError::Id)?;
    let org = &mut world.orgs[index.0];
    set(&mut org.standing, change.standing);
    set(&mut org.login.ip_ranges, change.login_ip_ranges);
    change.login_hours.apply(&mut org.login.hours);
    if let Some(id) = new_id {
        id.as_str().clone_into(&mut org.id);
        world.end_all(|subject| subject.org == index);
    }
    Ok(done())
}

fn change_app(world: &mut World, now: UnixMillis, change: AppChange) -> Called {
    let index = find_app(world, &change.client_id)?;
    // A blocked app, and one whose secret was changed, loses all of its tokens.
    if change.blocked == Some(true) || change.client_secret.is_some() {
        world.end_all(|subject| subject.app == index);
    }
    let app = &mut world.apps[index.0];
    let limit = |seconds: Option<u64>, now| match seconds {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => now,
    };
    app.idle_limit = limit(change.idle_limit_seconds, app.idle_limit);
    app.age_limit = limit(change.age_limit_seconds, app.age_limit);
    app.redirect_uris.extend(change.add_redirect_uris);
    set(&mut app.rotation, change.rotation);
    set(&mut app.policy, change.rotation_policy);
    set(&mut app.approval_limit, change.approval_limit);
    set(&mut app.replay, change.replay);
    set(&mut app.blocked, change.blocked);
    set(&mut app.installed, change.installed);
    set(&mut app.open_to_all, change.open_to_all);
    set(&mut app.device_enabled, change.device_enabled);
    set(&mut app.device_interval, change.device_interval_seconds.map(Duration::from_secs));
    set(&mut app.scopes, change.scopes);
    set(&mut app.session_timeout, change.session_timeout_seconds.map(Duration::from_secs));
    set(&mut app.hold, change.hold_ms.map(Duration::from_millis));
    if let Some(seconds) = change.propagation_seconds {
        app.known_from = Some(now.plus(Duration::from_secs(seconds)));
    }
    if let Some(secret) = change.client_secret {
        let App { secret: kept, signing_key, .. } = app;
        signing_key.clone_from(&secret);
        *kept = Some(secret);
    }
    Ok(done())
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
