//! The HTTP server: binds, turns HTTP into requests and answers into HTTP, and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State as Extracted};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::simulator::answer::Answer;
use crate::simulator::facts::Facts;
use crate::simulator::fault::Script;
use crate::simulator::host::{VirtualHost, locate};
use crate::simulator::journal::Journal;
use crate::simulator::leave::{Leaving, into_response};
use crate::simulator::request::{Form, Request};
use crate::simulator::respond::{Shared, State, respond};
use crate::simulator::sign_in::{SignIn, SignInError, sign_in};
use crate::simulator::wire::{Departure, Line, Wires};
use crate::simulator::{control, oauth, page, seed};

/// Longest request body, in bytes.
const BODY_LIMIT: usize = 256 * 1024;
/// Wait for open connections at a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Where the control plane begins.
const CONTROL: &str = "/_control/";

/// How to start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Where to listen: loopback only; port 0 takes any.
    pub(crate) listen: SocketAddr,
}

/// Why the simulated Salesforce did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// It hands out its passwords to whoever asks.
    #[error("{0} is not a loopback address; the simulated Salesforce listens on this machine only")]
    NotLoopback(SocketAddr),
    /// The port is taken, or may not be used.
    #[error("could not listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(getrandom::Error),
}

/// A running simulated Salesforce. Dropped, it goes on until the runtime ends.
pub(crate) struct Simulator {
    facts: Facts,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Starts it on the current tokio runtime; it answers from the moment this returns.
///
/// # Errors
/// When the address is not loopback or can't be bound, or there are no random bytes.
pub(crate) async fn start(options: Options) -> Result<Simulator, StartError> {
    let address = options.listen;
    if !address.ip().is_loopback() {
        return Err(StartError::NotLoopback(address));
    }
    let refuse = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(refuse)?;
    let port = listener.local_addr().map_err(refuse)?.port();
    let mut tokens = [0; 32];
    getrandom::fill(&mut tokens).map_err(StartError::Random)?;
    let state = State {
        world: seed::world(port, tokens),
        script: Script::default(),
        journal: Journal::default(),
        ahead: Duration::ZERO,
    };
    let facts = state.world.facts();
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(Shared::new(state, stopping.clone()));
    let app = Router::new().fallback(serve).with_state(Arc::clone(&shared));
    let service = app.into_make_service_with_connect_info::<Line>();
    let stopped = async move {
        let mut stopping = stopping;
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let server = axum::serve(Wires(listener), service).with_graceful_shutdown(stopped);
    let serving = tokio::spawn(async move { server.await });
    Ok(Simulator { facts, shared, stop, serving })
}

impl Simulator {
    /// Orgs, users, apps and addresses, as they were at the start.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The port that all of its hosts share.
    #[cfg(test)]
    pub(crate) fn port(&self) -> u16 {
        self.shared.lock().world.port
    }

    /// The person at the browser, for those who have none at hand.
    pub(crate) fn person(&self) -> Person {
        Person(Arc::clone(&self.shared))
    }

    /// Stops it: no new connections, waiting requests end, and after 2 s so do the rest.
    pub(crate) async fn stop(self) {
        let Self { stop, mut serving, .. } = self;
        let _ = stop.send(true);
        if tokio::time::timeout(STOP_PATIENCE, &mut serving).await.is_err() {
            serving.abort();
        }
    }
}

/// Someone who signs in when asked to.
#[derive(Clone)]
pub(crate) struct Person(Arc<Shared>);

impl Person {
    /// Follows an authorization URL as a browser would, signs in as `username` (else as the user
    /// that the URL hints at, else the first of the org), allows, and answers where it ended.
    pub(crate) async fn sign_in(
        &self,
        url: &str,
        username: Option<&str>,
    ) -> Result<String, SignInError> {
        let person = SignIn {
            url: url.to_owned(),
            username: username.map(str::to_owned),
            password: None,
            deny: false,
        };
        sign_in(&self.0, &person).await
    }
}

/// Serves one HTTP request.
async fn serve(
    Extracted(shared): Extracted<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    incoming: axum::extract::Request,
) -> Response {
    // A task of its own: Salesforce, too, finishes what was sent to it when the client is gone.
    let answering = tokio::spawn(async move { answer(&shared, incoming).await });
    let answered = answering.await.unwrap_or_else(|_| Answered {
        answer: Answer::html(500, String::new(), "failed"),
        leaving: Leaving::Whole,
        departure: None,
    });
    if answered.leaving == Leaving::Reset {
        line.cut();
    }
    into_response(&answered.answer, answered.leaving, &line, answered.departure)
}

/// An answer on its way out; dropped, because nobody waits for it any more, it has not left.
struct Answered {
    answer: Answer,
    leaving: Leaving,
    departure: Option<Departure>,
}

async fn answer(shared: &Arc<Shared>, incoming: axum::extract::Request) -> Answered {
    let (parts, body) = incoming.into_parts();
    let whole = |answer| Answered { answer, leaving: Leaving::Whole, departure: None };
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return whole(Answer::html(413, String::new(), "too large"));
    };
    let header = |name| text_of(&parts.headers, name);
    let authority = header(header::HOST)
        .or_else(|| parts.uri.authority().map(ToString::to_string))
        .unwrap_or_default();
    let place = locate(&shared.lock().world, &authority, parts.uri.path());
    let Some(place) = place else { return whole(page::not_found()) };
    if place.host == VirtualHost::Plain
        && let Some(call) = place.path.strip_prefix(CONTROL)
    {
        if header(header::ORIGIN).is_some_and(|origin| !is_local(&origin)) {
            return whole(Answer::text(403, "no control from other web sites"));
        }
        return whole(control::answer(shared, parts.method.as_str(), call, &body).await);
    }
    let host_name = shared.lock().world.name_of(place.host);
    let request = Request {
        method: parts.method.as_str().to_owned(),
        host_name,
        query: Form::decode(parts.uri.query().unwrap_or_default().as_bytes()),
        form: form_of(&parts.headers, &body),
        authorization: header(header::AUTHORIZATION),
        browser: header(header::COOKIE).and_then(|cookies| cookie_of(&cookies)),
        place,
    };
    let (answer, leaving, number) = respond(shared, &request).await;
    let journal = Arc::clone(shared);
    let departure = (leaving != Leaving::Reset)
        .then(|| Departure::new(move |whole| journal.lock().journal.left(number, whole)));
    Answered { answer, leaving, departure }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Whether a page of this machine sent the request.
fn is_local(origin: &str) -> bool {
    let host = url::Url::parse(origin).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host == "localhost" || host == "127.0.0.1")
}

/// The body as a form; Salesforce reads no other kind.
fn form_of(headers: &HeaderMap, body: &Bytes) -> Form {
    let kind = text_of(headers, header::CONTENT_TYPE).unwrap_or_default();
    if kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        Form::decode(body)
    } else {
        Form::default()
    }
}

fn cookie_of(cookies: &str) -> Option<String> {
    let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == oauth::COOKIE).map(|(_, value)| value.to_owned())
}
