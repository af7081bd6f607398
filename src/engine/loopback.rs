//! A set-up whose answer comes back by itself: the listener of a loopback redirect, which lives as
//! long as its attempt, whoever waits for it.
//!
//! What arrives is completed like a paste, by the same checks. The first of both wins: a code is
//! spent under the credential's lock, and only while its attempt is still pending.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::{mpsc, watch};

use crate::domain::app::{App, Flow};
use crate::domain::loopback::LoopbackRedirect;
use crate::domain::name::Address;
use crate::domain::record::RecordId;
use crate::engine::error::{Error, NotListening, taken_by};
use crate::engine::key_use::KeyAccess;
use crate::engine::operation::{CompleteDiscovery, CompleteSetup, Selection};
use crate::engine::outcome::{Event, Failure, Progress};
use crate::engine::seal::PendingAuthorization;
use crate::engine::select::PlainName;
use crate::engine::sensitive::Sensitive;
use crate::engine::{Engine, Outcome, Reporter};
use crate::net::{Attempt, Judgement, LoopbackListener};
use crate::oauth::redirect::{ExpectedRedirect, RedirectError, is_of_attempt, read_redirect};
use crate::platform::port::listening_process;
use crate::store::DiscoveryStage;

/// How long a listener waits: as long as a code of Salesforce lives.
const LISTEN_FOR: Duration = Duration::from_secs(15 * 60);
/// How often it looks whether its attempt was ended by another process.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for a port that another attempt of this process gives back.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);
/// Steps of an attempt that are kept for those who ask late.
const STEPS_KEPT: usize = 64;

/// The listeners of this process, by credential: one each.
#[derive(Default)]
pub(super) struct Listeners(Mutex<BTreeMap<RecordId, Listening>>);

/// What a redirect completes.
#[derive(Clone, Copy)]
pub(super) enum Awaited {
    /// The set-up of a credential, by this attempt.
    Setup(RecordId),
    /// A sign-in that tells the IDs of one.
    Discovery,
}

/// One listener.
#[derive(Clone)]
pub(super) struct Listening {
    address: Address,
    port: u16,
    heard: watch::Sender<Heard>,
}

/// What is known of an attempt by now.
#[derive(Default)]
struct Heard {
    /// What is going on, in order.
    steps: Vec<Event>,
    /// Whether the port is open.
    is_open: bool,
    /// Whether a code is being spent: the redirect's, or one that was pasted.
    is_completing: bool,
    /// How it ended.
    end: Option<Result<Outcome, Failure>>,
}

impl Listening {
    fn tell(&self, step: Event) {
        self.heard.send_if_modified(|heard| {
            let is_new = heard.steps.len() < STEPS_KEPT && heard.steps.last() != Some(&step);
            if is_new {
                heard.steps.push(step);
            }
            is_new
        });
    }

    fn tell_tunnel(&self) {
        let seen = Event::Progress(Progress::TunnelSeen);
        if !self.heard.borrow().steps.contains(&seen) {
            self.tell(seen);
        }
    }

    /// The first end counts.
    fn end(&self, end: Result<Outcome, Failure>) {
        self.heard.send_if_modified(|heard| {
            let is_first = heard.end.is_none();
            heard.end.get_or_insert(end);
            is_first
        });
    }

    /// Ends it, unless a code is being spent: that has an end of its own.
    fn close(&self) {
        if !self.heard.borrow().is_completing {
            self.end(Err(Error::from(NotListening::Closed(self.address.clone())).into()));
        }
    }

    /// Waits until the port is free again.
    async fn released(&self) {
        let mut heard = self.heard.subscribe();
        let _ = tokio::time::timeout(RELEASE_LIMIT, heard.wait_for(|heard| !heard.is_open)).await;
    }
}

impl Listeners {
    fn all(&self) -> MutexGuard<'_, BTreeMap<RecordId, Listening>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, credential: RecordId) -> Option<Listening> {
        self.all().get(&credential).cloned()
    }

    fn on_port(&self, port: u16) -> Option<Listening> {
        let is_wanted = |one: &&Listening| one.port == port && one.heard.borrow().is_open;
        self.all().values().find(is_wanted).cloned()
    }

    /// Ends the listener of a credential and waits until its port is free.
    pub(super) async fn close(&self, credential: RecordId) {
        let known = self.all().remove(&credential);
        if let Some(listening) = known {
            listening.close();
            listening.released().await;
        }
    }

    /// Ends all that wait for a redirect: the process is about to end.
    pub(super) fn close_all(&self) {
        for listening in self.all().values() {
            listening.close();
        }
    }

    /// A code of this credential is being spent.
    pub(super) fn completing(&self, credential: RecordId) {
        if let Some(listening) = self.get(credential) {
            listening.heard.send_modify(|heard| heard.is_completing = true);
        }
    }

    /// How that went. What was completed is completed for all; after a failure a port that is open
    /// still waits.
    pub(super) fn completed(&self, credential: RecordId, result: &Result<Outcome, Error>) {
        let Some(listening) = self.get(credential) else { return };
        match result {
            Ok(outcome) => listening.end(Ok(outcome.clone())),
            Err(_) => listening.heard.send_modify(|heard| heard.is_completing = !heard.is_open),
        }
    }
}

/// An open port, and the redirect URI that it is for.
pub(super) struct OpenPort {
    /// As registered.
    pub(super) redirect: LoopbackRedirect,
    listener: LoopbackListener,
}

impl Engine {
    /// Whether a port is open in this process.
    pub(crate) fn is_listening(&self) -> bool {
        self.listeners.all().values().any(|one| one.heard.borrow().is_open)
    }

    /// Ends all listeners that still wait for a redirect.
    pub(crate) fn stop_listening(&self) {
        self.listeners.close_all();
    }

    /// Opens the first port of the app that is free. One that an older sign-in of this process
    /// waits on is taken over: its answer can still be pasted.
    pub(super) async fn open_port(
        &self,
        app: &App,
        reporter: &Reporter,
    ) -> Result<OpenPort, Error> {
        let redirects = app.loopback_redirects();
        if redirects.is_empty() {
            return Err(NotListening::NoRedirectUri { app: app.name.clone() }.into());
        }
        let mut taken: Vec<(u16, Option<String>)> = Vec::new();
        for redirect in &redirects {
            if let Some(listener) = bind(redirect.port).await? {
                for (port, by) in &taken {
                    let free = redirect.port;
                    reporter.note(format!(
                        "{}; {free} is used instead",
                        taken_by(*port, by.as_deref())
                    ));
                }
                return Ok(OpenPort { redirect: redirect.clone(), listener });
            }
            taken.push((redirect.port, listening_process(redirect.port)));
        }
        for redirect in redirects {
            let Some(older) = self.listeners.on_port(redirect.port) else { continue };
            older.close();
            older.released().await;
            if let Some(listener) = bind(redirect.port).await? {
                let older = &older.address;
                reporter.note(format!(
                    "the older sign-in of {older} is not listened for any more; its answer can be pasted"
                ));
                return Ok(OpenPort { redirect, listener });
            }
        }
        Err(NotListening::PortTaken { taken }.into())
    }

    /// Listens for the redirect of an attempt, beside everything else.
    pub(super) fn listen(
        self: &Arc<Self>,
        id: RecordId,
        address: &Address,
        awaited: Awaited,
        pending: &PendingAuthorization,
        open: OpenPort,
    ) {
        let heard = Heard { is_open: true, ..Heard::default() };
        let listening = Listening {
            address: address.clone(),
            port: open.redirect.port,
            heard: watch::channel(heard).0,
        };
        self.listeners.all().insert(id, listening.clone());
        let (seen, judged) = (listening.clone(), pending.clone());
        let attempt = Attempt {
            redirect: open.redirect,
            authorization_url: pending.url.clone(),
            judge: Box::new(move |target| judge(target, &judged)),
            seen: Box::new(move || seen.tell_tunnel()),
        };
        // The key may be changed while a person signs in.
        let (engine, listener) = (self.without_key_access(), open.listener);
        tokio::spawn(async move {
            let arrived = engine.arrival(listener, attempt, &listening, (id, awaited)).await;
            listening.heard.send_modify(|heard| {
                heard.is_open = false;
                heard.is_completing |= arrived.is_some();
            });
            if let Some(redirect) = arrived {
                let end = match engine.with_key_access(KeyAccess::Use, &Reporter(None)).await {
                    Ok(engine) => engine.complete_arrived(&listening, awaited, redirect).await,
                    Err(error) => Err(error.into()),
                };
                listening.end(end);
            }
        });
    }

    /// Waits for the redirect, at most as long as it can be worth anything.
    async fn arrival(
        &self,
        listener: LoopbackListener,
        attempt: Attempt,
        listening: &Listening,
        (id, awaited): (RecordId, Awaited),
    ) -> Option<SecretString> {
        let mut heard = listening.heard.subscribe();
        let ended_elsewhere = async {
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                if matches!(self.is_awaited(id, awaited).await, Ok(false)) {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            _ = heard.wait_for(|heard| heard.end.is_some()) => None,
            redirect = listener.serve(attempt) => Some(redirect),
            () = ended_elsewhere => {
                listening.close();
                None
            }
            () = tokio::time::sleep(LISTEN_FOR) => {
                let over = NotListening::TimeOver(listening.address.clone());
                listening.end(Err(Error::from(over).into()));
                None
            }
        }
    }

    /// Completes what arrived as if it had been pasted, telling its steps to whoever waits.
    async fn complete_arrived(
        self: &Arc<Self>,
        listening: &Listening,
        awaited: Awaited,
        redirect: SecretString,
    ) -> Result<Outcome, Failure> {
        listening.tell(Event::Progress(Progress::RedirectCame));
        let (sender, mut steps) = mpsc::channel(STEPS_KEPT);
        let selection = Selection::exactly(&listening.address);
        let pasted = Sensitive(redirect);
        let relay = async {
            while let Some(step) = steps.recv().await {
                listening.tell(step);
            }
        };
        let reporter = Reporter(Some(sender));
        let work = async {
            let result = match awaited {
                Awaited::Setup(_) => {
                    self.complete_setup(CompleteSetup { selection, pasted }, &reporter).await
                }
                Awaited::Discovery => {
                    let request = CompleteDiscovery { selection, pasted };
                    self.complete_discovery(request, &reporter).await
                }
            };
            drop(reporter);
            result
        };
        let (result, ()) = tokio::join!(work, relay);
        result.map_err(Failure::from)
    }

    /// Whether a redirect can still complete anything.
    async fn is_awaited(&self, id: RecordId, awaited: Awaited) -> Result<bool, Error> {
        match awaited {
            Awaited::Setup(authorization) => self.is_pending(id, authorization).await,
            Awaited::Discovery => {
                let row = self.discovery(id).await?;
                Ok(row.is_some_and(|row| row.stage == DiscoveryStage::Waiting))
            }
        }
    }

    /// Whether an attempt can still be completed.
    pub(super) async fn is_pending(
        &self,
        credential: RecordId,
        authorization: RecordId,
    ) -> Result<bool, Error> {
        let kept = self.store.call(move |store| store.authorizations(credential)).await?;
        Ok(kept.iter().any(|kept| kept.id == authorization))
    }

    /// Waits for the end of a set-up by loopback redirect, and listens again where nobody does any
    /// more. Whoever stops waiting changes nothing.
    pub(super) async fn await_redirect(
        self: &Arc<Self>,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let listening = if let Some(listening) = self.listeners.get(row.id) {
            listening
        } else {
            let engine = self.with_key_access(KeyAccess::Use, reporter).await?;
            engine.listen_again(selection, reporter).await?
        };
        self.await_end(row.id, listening, reporter).await
    }

    /// Tells the steps of a listener until its end.
    pub(super) async fn await_end(
        &self,
        id: RecordId,
        listening: Listening,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        reporter.progress(Progress::Listening);
        let (mut told, mut heard) = (0, listening.heard.subscribe());
        loop {
            let end = {
                let heard = heard.borrow_and_update();
                for step in &heard.steps[told..] {
                    reporter.send(step.clone());
                }
                told = heard.steps.len();
                heard.end.clone()
            };
            if let Some(end) = end {
                self.forget(id, &listening);
                return end.map_err(|failure| Error::Told(Box::new(failure)));
            }
            // The sender lives as long as `listening`.
            let _ = heard.changed().await;
        }
    }

    async fn listen_again(
        self: &Arc<Self>,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Listening, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let pending = self.pending_authorizations(&row).await?;
        let address = &row.credential.address;
        let newest = pending.into_iter().next().filter(|(kept, _)| kept.flow == Flow::Loopback);
        let Some((kept, pending)) = newest else {
            return Err(NotListening::OtherFlow(address.clone()).into());
        };
        let awaited = Awaited::Setup(kept.id);
        self.listen_anew(row.id, address, awaited, &pending, reporter).await
    }

    /// Listens for an attempt that nobody listens for any more.
    pub(super) async fn listen_anew(
        self: &Arc<Self>,
        id: RecordId,
        address: &Address,
        awaited: Awaited,
        pending: &PendingAuthorization,
        reporter: &Reporter,
    ) -> Result<Listening, Error> {
        if pending.flow != Flow::Loopback {
            return Err(NotListening::OtherFlow(address.clone()).into());
        }
        // The URI is in the address already: no other port will do.
        let only = App {
            redirect_uris: vec![pending.redirect_uri.clone()],
            ..App::named(pending.app.clone())
        };
        let open = self.open_port(&only, reporter).await?;
        self.listen(id, address, awaited, pending, open);
        self.listeners.get(id).ok_or_else(|| NotListening::Closed(address.clone()).into())
    }

    /// An end that was told is not told again to who begins anew.
    fn forget(&self, credential: RecordId, told: &Listening) {
        let mut all = self.listeners.all();
        if all.get(&credential).is_some_and(|known| known.heard.same_channel(&told.heard)) {
            all.remove(&credential);
        }
    }
}

/// `None` where the port is taken.
async fn bind(port: u16) -> Result<Option<LoopbackListener>, Error> {
    match LoopbackListener::bind(port).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(NotListening::PortRefused { port, why: error.to_string() }.into()),
    }
}

/// Whose an address is: its `state` first, then what it says.
fn judge(target: &str, attempt: &PendingAuthorization) -> Judgement {
    if !is_of_attempt(target, &attempt.state) {
        return Judgement::OtherAttempt;
    }
    let expected = ExpectedRedirect {
        state: &attempt.state,
        redirect_uri: &attempt.redirect_uri,
        login_host: attempt.login_url.host(),
    };
    let address = format!("http://localhost{target}");
    match read_redirect(&address, &expected) {
        Ok(_) => Judgement::Answer(None),
        Err(RedirectError::Refused(fault)) => {
            let fault = fault.of_request(&attempt.url);
            Judgement::Answer(Some(format!("{}. {}", fault.message(), fault.remedy())))
        }
        Err(_) => Judgement::Nothing,
    }
}
