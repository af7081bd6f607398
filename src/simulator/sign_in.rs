//! Plays the person at the browser: follows an authorization request through login and approval,
//! by the same pages, faults and journal as a real one.

use serde::Deserialize;

use crate::simulator::answer::Answer;
use crate::simulator::device::CONNECT_PATH;
use crate::simulator::host::{VirtualHost, locate};
use crate::simulator::page::{self, APPROVE_PATH};
use crate::simulator::request::{Form, Request};
use crate::simulator::respond::{Shared, respond};
use crate::simulator::world::{OrgIndex, World};

/// Whom to play.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// The authorization request.
    pub(crate) url: String,
    /// Who logs in; else the one of the `login_hint`, else the first active user of the host.
    pub(crate) username: Option<String>,
    /// Else the user's own.
    pub(crate) password: Option<String>,
    /// Presses Deny instead of Allow.
    #[serde(default)]
    pub(crate) deny: bool,
}

/// Why the browser got no further.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignInError {
    /// The address is not one of ours.
    #[error("the address names no host of this simulated Salesforce")]
    NotOurs,
    /// No user is known for the host, or by that name.
    #[error("there is no such user on this host")]
    NoUser,
    /// The login page came again.
    #[error("the login was refused")]
    Refused,
    /// An answer that no browser gets further with.
    #[error("the page answered {0}")]
    Page(u16),
}

/// Signs in, and gives what the address bar shows in the end: the redirect URI with its
/// parameters, or the page on which an error stays.
pub(crate) async fn sign_in(shared: &Shared, person: &SignIn) -> Result<String, SignInError> {
    let first = first_request(shared, &person.url)?;
    let (username, password) = who(&shared.lock().world, &first, person)?;
    let port = shared.lock().world.port;
    let mut page = respond(shared, &first).await.0;
    if first.place.path == CONNECT_PATH {
        let user_code = first.query.get("user_code").unwrap_or_default();
        let typed = Form::of(&[("user_code", user_code)]);
        page = respond(shared, &next_request(&first, CONNECT_PATH, typed)).await.0;
    }
    let Some(attempt) = page.attempt.clone() else { return arrived(&first, port, &page) };
    // A browser that remembers somebody is not asked for a name.
    if page.outcome != page::APPROVAL_PAGE {
        let login = Form::of(&[("attempt", &attempt), ("username", &username), ("pw", &password)]);
        page = respond(shared, &next_request(&first, "/login", login)).await.0;
        if page.outcome == "login refused" {
            return Err(SignInError::Refused);
        }
    }
    let Some(attempt) = page.attempt.clone() else { return arrived(&first, port, &page) };
    let button = if person.deny { ("cancel", "Deny") } else { ("save", "Allow") };
    let press = Form::of(&[("attempt", &attempt), button]);
    let page = respond(shared, &next_request(&first, APPROVE_PATH, press)).await.0;
    arrived(&first, port, &page)
}

fn first_request(shared: &Shared, url: &str) -> Result<Request, SignInError> {
    let url = url::Url::parse(url).map_err(|_| SignInError::NotOurs)?;
    let world = &shared.lock().world;
    let host = url.host_str().unwrap_or_default();
    let place = locate(world, host, url.path()).ok_or(SignInError::NotOurs)?;
    if url.port_or_known_default() != Some(world.port) || place.host == VirtualHost::Plain {
        return Err(SignInError::NotOurs);
    }
    Ok(Request {
        method: "GET".to_owned(),
        host_name: world.name_of(place.host),
        place,
        query: Form::decode(url.query().unwrap_or_default().as_bytes()),
        form: Form::default(),
        authorization: None,
        browser: None,
    })
}

fn next_request(first: &Request, path: &str, form: Form) -> Request {
    let mut next = first.clone();
    "POST".clone_into(&mut next.method);
    path.clone_into(&mut next.place.path);
    next.query = Form::default();
    next.form = form;
    next
}

fn who(world: &World, first: &Request, person: &SignIn) -> Result<(String, String), SignInError> {
    let named = person.username.as_deref().or_else(|| first.query.get("login_hint"));
    let user = match named {
        Some(name) => world.user_by_name(name).map(|index| world.user(index)),
        None => {
            world.users.iter().find(|user| user.active && world.serves(first.place.host, user.org))
        }
    };
    match (user, named, &person.password) {
        (Some(user), _, None) => Ok((user.username.clone(), user.password.clone())),
        (Some(user), _, Some(password)) => Ok((user.username.clone(), password.clone())),
        (None, Some(name), Some(password)) => Ok((name.to_owned(), password.clone())),
        (None, _, _) => Err(SignInError::NoUser),
    }
}

/// Where a redirect leads, as an absolute address.
fn arrived(first: &Request, port: u16, page: &Answer) -> Result<String, SignInError> {
    let location = page.location().ok_or(SignInError::Page(page.status))?;
    let absolute = location.contains("://") || !location.starts_with('/');
    // Locations of our own begin with the prefix; the caller gets a host that stands for itself.
    let path = location.strip_prefix(&first.place.prefix).unwrap_or(location);
    let host = &first.host_name;
    Ok(if absolute { location.to_owned() } else { format!("http://{host}:{port}{path}") })
}

impl World {
    /// The name of a host: `acme.my.localhost`.
    pub(crate) fn name_of(&self, host: VirtualHost) -> String {
        match host {
            VirtualHost::Plain => "localhost".to_owned(),
            VirtualHost::Login => "login.localhost".to_owned(),
            VirtualHost::Test => "test.localhost".to_owned(),
            VirtualHost::MyDomain(OrgIndex(index)) => {
                format!("{}.localhost", self.orgs[index].my_domain)
            }
        }
    }
}
