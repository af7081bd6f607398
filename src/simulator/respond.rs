//! From a request to an answer: takes the fault that matches, lets the rules act, notes it in the
//! journal, spoils the answer. The one lock is never held while time passes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use crate::domain::time::UnixMillis;
use crate::simulator::answer::Answer;
use crate::simulator::fault::{Fault, Script, Then};
use crate::simulator::host::VirtualHost;
use crate::simulator::journal::Journal;
use crate::simulator::leave::Leaving;
use crate::simulator::oauth::{self, TokenStart};
use crate::simulator::page;
use crate::simulator::request::Request;
use crate::simulator::world::World;
use crate::simulator::{device, identity, rest};

/// The path of the token endpoint.
pub(crate) const TOKEN_PATH: &str = "/services/oauth2/token";

/// Everything that changes.
pub(crate) struct State {
    /// Orgs, users, apps and what was issued.
    pub(crate) world: World,
    /// What is to go wrong.
    pub(crate) script: Script,
    /// What happened.
    pub(crate) journal: Journal,
    /// How far the virtual clock is ahead.
    pub(crate) ahead: Duration,
}

impl State {
    /// The virtual clock, which every rule goes by.
    pub(crate) fn now(&self) -> UnixMillis {
        wall_clock().plus(self.ahead)
    }

    /// Notes in the journal what the rules made of a request.
    fn carried_out(&mut self, number: u64, answer: &Answer) {
        let at = self.now().rfc3339();
        self.journal.carried_out(number, at, answer);
    }
}

/// The state behind its lock, and the sign to stop.
pub(crate) struct Shared {
    state: Mutex<State>,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Wraps a state; what waits ends when `stopping` turns true.
    pub(crate) fn new(state: State, stopping: watch::Receiver<bool>) -> Self {
        Self { state: Mutex::new(state), stopping }
    }

    /// The state, for as long as nothing is awaited.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves plain data behind, which is still the truth.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits on the wall clock, or until the simulator stops.
    async fn pause(&self, span: Duration) {
        if !span.is_zero() {
            let _ = tokio::time::timeout(span, self.stopped()).await;
        }
    }

    /// Waits until the simulator stops.
    pub(crate) async fn stopped(&self) {
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

/// The time of the machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the simulated Salesforce is another machine: its clock is not the client's"
)]
fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(0).plus(since)
}

/// Answers a request: the answer, how it leaves, and its number in the journal.
pub(crate) async fn respond(shared: &Shared, request: &Request) -> (Answer, Leaving, u64) {
    let (fault, number) = {
        let mut state = shared.lock();
        let fault = state.script.take(request);
        let at = state.now();
        let number = state.journal.arrived(at, request, fault.is_some());
        (fault.unwrap_or_default(), number)
    };
    shared.pause(fault.delay_before()).await;
    let answer = if fault.commits() {
        carry_out(shared, request, &fault, number).await
    } else {
        let page = "<html><body><h1>Service Unavailable</h1></body></html>".to_owned();
        let answer = Answer::html(503, page, "not carried out");
        shared.lock().carried_out(number, &answer);
        answer
    };
    shared.pause(fault.delay_after()).await;
    let answer = fault.spoil(request, answer);
    let (leaving, word) = fault.then.leaving();
    let sent = match leaving {
        Leaving::Reset => word.to_owned(),
        _ => format!("{} {word}", answer.status).trim_end().to_owned(),
    };
    {
        let mut state = shared.lock();
        state.journal.sent(number, sent);
        if leaving == Leaving::Reset {
            state.journal.left(number, false);
        }
    }
    if fault.then == Then::Stall {
        shared.stopped().await;
    }
    (answer, leaving, number)
}

/// Lets the rules act. A refresh takes two steps, between which it is in flight.
async fn carry_out(shared: &Shared, request: &Request, fault: &Fault, number: u64) -> Answer {
    let start = {
        let mut state = shared.lock();
        let start = begin(&mut state, request);
        if let TokenStart::Answered(answer) = &start {
            state.carried_out(number, answer);
        }
        start
    };
    let ticket = match start {
        TokenStart::Answered(answer) => return *answer,
        TokenStart::InFlight(ticket) => ticket,
    };
    shared.pause(ticket.hold + fault.hold()).await;
    let mut state = shared.lock();
    let now = state.now();
    let answer = oauth::finish_refresh(&mut state.world, now, &ticket);
    state.carried_out(number, &answer);
    answer
}

fn begin(state: &mut State, request: &Request) -> TokenStart {
    let now = state.now();
    let place = &request.place;
    if place.path == TOKEN_PATH && place.host != VirtualHost::Plain {
        oauth::token(&mut state.world, now, request)
    } else {
        TokenStart::Answered(Box::new(route(&mut state.world, now, request)))
    }
}

/// Finds the endpoint of a path.
fn route(world: &mut World, now: UnixMillis, request: &Request) -> Answer {
    let place = &request.place;
    if place.host == VirtualHost::Plain {
        return if place.path == "/" { page::index(&world.facts()) } else { page::not_found() };
    }
    match (request.method.as_str(), place.path.as_str()) {
        ("GET", path) if path == "/services/oauth2/authorize" || is_branded(path) => {
            oauth::authorize(world, now, request)
        }
        ("POST", "/login") => oauth::log_in(world, now, request),
        ("POST", page::APPROVE_PATH) => oauth::decide(world, now, request),
        ("GET", page::ERROR_PATH) => {
            let parameter = |name| request.query.get(name).unwrap_or_default();
            page::error(parameter("error"), parameter("error_description"))
        }
        ("GET" | "POST", device::CONNECT_PATH) => device::connect(world, now, request),
        ("GET", "/services/oauth2/success") => page::success(),
        ("GET" | "POST", "/services/oauth2/revoke") => oauth::revoke(world, now, request),
        (_, "/services/oauth2/introspect") => oauth::introspect(world, now, request),
        ("GET" | "POST", "/services/oauth2/userinfo") => identity::userinfo(world, now, request),
        ("GET", "/.well-known/openid-configuration") => oauth::discovery(world, request),
        ("GET", path) => {
            if let Some(below) = path.strip_prefix("/id/") {
                identity::identity(world, now, request, below)
            } else if let Some(below) = path.strip_prefix("/services/data") {
                rest::data(world, now, request, below)
            } else {
                page::not_found()
            }
        }
        _ => page::not_found(),
    }
}

/// An authorization endpoint with the name of a branded login page behind it.
fn is_branded(path: &str) -> bool {
    path.strip_prefix("/services/oauth2/authorize/").is_some_and(|brand| !brand.contains('/'))
}
