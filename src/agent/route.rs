//! Where a front end's operations go: to the agent what is the agent's, where there is one, and to
//! the engine in this process all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};

use super::client::{self, Client};
use super::{is_for_agent, start};
use crate::config::settings::AgentUse;
use crate::engine::{Engine, Event, Failure, Operation, Outcome};

/// Events that an asker may be behind.
const EVENT_BUFFER: usize = 64;

/// Which agent is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// None: all is done in this process.
    None,
    /// The one that is there.
    Present,
    /// The one that is there, else a new one.
    Started,
}

/// Passes the steps of an operation on, and answers its end.
async fn pass_on(
    mut events: mpsc::Receiver<Event>,
    sender: &mpsc::Sender<Event>,
) -> Result<Outcome, Failure> {
    while let Some(event) = events.recv().await {
        match event {
            Event::Done(result) => return result,
            // An asker that has gone misses the rest; what was sent goes on.
            step => {
                let _ = sender.send(step).await;
            }
        }
    }
    Err(client::gone())
}

/// The ways of one front end.
#[derive(Clone)]
pub(crate) struct Route {
    engine: Arc<Engine>,
    which: Which,
    open_for: Option<Duration>,
    agent: Arc<Mutex<Option<Arc<Client>>>>,
    /// Whether it was said that there is none.
    told: Arc<AtomicBool>,
}

impl Route {
    /// The ways from an engine; `agent = "never"` in config.toml is obeyed.
    pub(crate) fn new(engine: Arc<Engine>, which: Which, open_for: Option<Duration>) -> Self {
        let which = match engine.settings().config.agent {
            AgentUse::Auto => which,
            AgentUse::Never => Which::None,
        };
        Self { engine, which, open_for, agent: Arc::default(), told: Arc::default() }
    }

    /// The engine in this process.
    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// The agent, where there is one or may be one.
    pub(crate) async fn agent(&self) -> Option<Arc<Client>> {
        self.find(self.which).await
    }

    async fn find(&self, which: Which) -> Option<Arc<Client>> {
        let mut known = self.agent.lock().await;
        if let Some(client) = known.as_ref().filter(|client| client.is_alive()) {
            return Some(Arc::clone(client));
        }
        let settings = self.engine.settings();
        let found = match which {
            Which::None => None,
            Which::Present => {
                Client::connect(&settings.locations.agent_socket(), self.open_for).await
            }
            Which::Started => start::ensure(settings, self.open_for).await,
        };
        *known = found.map(Arc::new);
        known.clone()
    }

    /// Begins an operation.
    pub(crate) fn submit(&self, operation: Operation) -> mpsc::Receiver<Event> {
        if self.which == Which::None || !is_for_agent(&operation) {
            return self.engine.submit(operation);
        }
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        let route = self.clone();
        tokio::spawn(async move {
            // To look at the key starts nothing.
            let which = match operation {
                Operation::KeyStatus if route.which == Which::Started => Which::Present,
                _ => route.which,
            };
            let agent = route.find(which).await;
            if let Some(agent) = agent {
                match pass_on(agent.submit(operation.clone()), &sender).await {
                    // The agent has no passphrase, but this process has.
                    Err(failure)
                        if failure.is_about_the_key()
                            && route.engine.settings().opens_unattended() => {}
                    ended => {
                        let _ = sender.send(Event::Done(ended)).await;
                        return;
                    }
                }
            }
            if route.which == Which::Started
                && which == Which::Started
                && !route.told.swap(true, Ordering::Relaxed)
            {
                let note = "no agent could be started: what is under way ends with this program";
                let _ = sender.send(Event::Note(note.into())).await;
            }
            let ended = pass_on(route.engine.submit(operation), &sender).await;
            let _ = sender.send(Event::Done(ended)).await;
        });
        receiver
    }
}
