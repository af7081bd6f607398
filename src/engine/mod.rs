//! The engine between the stores and both front ends: dashboard and commands send the same
//! [`Operation`] and get the same [`Event`]s; neither reaches around it.
//!
//! It brings store, vault, oauth and net together in an order that is the safety argument
//! (design: an exchange): one at a time per credential across processes, the intent durable
//! before the request leaves, the answer durable before anyone hears of it. It knows no terminal
//! and no screen.

mod apps;
mod audit;
mod backup;
mod change;
mod check;
mod clock;
mod copies;
mod delete;
mod device;
mod discover;
mod drain;
mod edit;
mod error;
mod examine;
mod exchange;
mod found;
mod hold;
mod inbox;
mod key_folder;
mod key_use;
mod keyring;
mod list;
mod lock;
mod loopback;
mod open;
pub(crate) mod operation;
pub(crate) mod outcome;
mod pin;
mod probe;
mod promote;
mod refresh;
mod rekey;
mod revoke;
mod rotate;
mod round;
mod save;
mod saved;
mod seal;
mod select;
pub(crate) mod sensitive;
mod settle;
mod setup;
mod sign_in;
mod token;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::config::locations::Locations;
use crate::config::settings::Config;
use crate::domain::audit::{AuditEntry, AuditEvent};
use crate::domain::credential::Credential;
use crate::domain::record::RecordId;
use crate::domain::text;
use crate::net::{self, HttpClient};
use crate::platform;
use crate::platform::ballast::Ballast;
use crate::platform::who::Who;
use crate::store;
use crate::store::owner::StoreThread;
use crate::store::{CredentialRow, Durability, Store};
use crate::vault::key_files::KeyFiles;
use key_folder::PrivateFolder;
use open::{Opened, name_holder, open_store};

pub(crate) use backup::{inspect_backup, set_damaged_aside};
pub(crate) use clock::now;
pub(crate) use error::{Error, Invalid, Refusal, exit, exit_code_of};
pub(crate) use examine::{finding, inspect_absent_store, inspect_home, ok};
pub(crate) use operation::{Operation, Selection};
pub(crate) use outcome::{Event, Failure, Outcome, Progress};
use select::PlainName;
pub(crate) use token::serve_stored;

/// Events that an asker may be behind; more are dropped, the last one never is.
const EVENT_BUFFER: usize = 64;

/// What an engine is made with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where everything lies.
    pub(crate) locations: Locations,
    /// config.toml.
    pub(crate) config: Config,
    /// File with the passphrase of the sealing key (`ORGKEY_PASSPHRASE_FILE`, or systemd's
    /// credential).
    pub(crate) passphrase_file: Option<PathBuf>,
    /// File with an age identity that opens it (systemd's credential).
    pub(crate) identity_file: Option<PathBuf>,
}

impl Settings {
    /// Whether a file of this process opens a key that has a passphrase.
    pub(crate) fn opens_unattended(&self) -> bool {
        self.passphrase_file.is_some() || self.identity_file.is_some()
    }
}

/// The engine in this process.
pub(crate) struct Engine {
    settings: Settings,
    store: StoreThread,
    keys: KeyFiles<PrivateFolder>,
    key: Arc<Mutex<Option<Arc<keyring::HeldKey>>>>,
    http: Arc<OnceLock<HttpClient>>,
    who: Who,
    /// The admin's own words for the rows of one operation.
    reason: Option<String>,
    /// Exchanges that were sent and are not durable yet.
    exchanges: watch::Sender<usize>,
    /// Those who wait for the approval of a device flow.
    pollers: device::Pollers,
    /// Whether an answer was, at any time, in this process's memory alone.
    only_in_memory: watch::Sender<bool>,
    /// Told when there may be another time at which a drained token is to be revoked.
    drains: watch::Sender<()>,
    /// Ports that are open for a loopback redirect.
    listeners: Arc<loopback::Listeners>,
    /// What opening the store told, until someone is there to hear it.
    notes: Mutex<Vec<String>>,
}

/// Tells the asker what is going on. An asker that is gone, or behind, is no reason to stop.
#[derive(Clone)]
pub(crate) struct Reporter(Option<mpsc::Sender<Event>>);

impl Reporter {
    /// Tells a step.
    fn progress(&self, progress: Progress) {
        self.send(Event::Progress(progress));
    }

    /// Tells something that stops nothing.
    fn note(&self, note: String) {
        self.send(Event::Note(note));
    }

    /// Tells what must not be overlooked.
    fn alarm(&self, alarm: String) {
        self.send(Event::Alarm(alarm));
    }

    /// Tells several of them.
    fn notes(&self, notes: Vec<String>) {
        for note in notes {
            self.note(note);
        }
    }

    fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(event);
        }
    }
}

impl Engine {
    /// Opens the store and makes the engine. No network, no key and no certificate is touched yet.
    pub(crate) fn open(settings: Settings) -> Result<Arc<Self>, Error> {
        let Opened { mut store, notes } = open_store(&settings.locations, Durability::Full)?;
        store.listen(audit::listener(&settings.config));
        let keys = KeyFiles::new(PrivateFolder(settings.locations.key_folder().to_owned()));
        Ok(Arc::new(Self {
            keys,
            store: StoreThread::start(store)?,
            key: Arc::default(),
            http: Arc::default(),
            who: who_is_here(),
            reason: None,
            exchanges: watch::channel(0).0,
            pollers: device::Pollers::default(),
            only_in_memory: watch::channel(false).0,
            drains: watch::channel(()).0,
            listeners: Arc::default(),
            notes: Mutex::new(notes),
            settings,
        }))
    }

    /// The same engine on behalf of somebody else: store, key and what is under way are shared.
    pub(crate) fn for_client(&self, who: Who) -> Arc<Self> {
        Arc::new(Self { who, ..self.share() })
    }

    /// The same engine with another configuration, from its next operation on.
    pub(crate) fn with_config(&self, config: Config) -> Arc<Self> {
        let settings = Settings { config, ..self.settings.clone() };
        Arc::new(Self { settings, http: Arc::default(), ..self.share() })
    }

    fn share(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            store: self.store.clone(),
            keys: self.keys.clone(),
            key: Arc::clone(&self.key),
            http: Arc::clone(&self.http),
            who: self.who.clone(),
            reason: self.reason.clone(),
            exchanges: self.exchanges.clone(),
            pollers: self.pollers.clone(),
            only_in_memory: self.only_in_memory.clone(),
            drains: self.drains.clone(),
            listeners: Arc::clone(&self.listeners),
            notes: Mutex::default(),
        }
    }

    /// Begins an operation. It runs to its end even when the receiver is dropped, but for the
    /// steps before anything was sent.
    pub(crate) fn submit(self: &Arc<Self>, operation: Operation) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let reporter = Reporter(Some(sender.clone()));
            let result = tokio::select! {
                result = engine.run(operation, reporter) => result,
                () = sender.closed() => return,
            };
            // The last event waits for room: an answer is never dropped.
            let _ = sender.send(Event::Done(result)).await;
        });
        receiver
    }

    /// Runs an operation to its end, with nobody to tell its steps to.
    pub(crate) async fn run_quietly(
        self: &Arc<Self>,
        operation: Operation,
    ) -> Result<Outcome, Failure> {
        self.run(operation, Reporter(None)).await
    }

    /// Runs an operation to its end.
    pub(crate) async fn run(
        self: &Arc<Self>,
        operation: Operation,
        reporter: Reporter,
    ) -> Result<Outcome, Failure> {
        let name = operation.name();
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        reporter.notes(notes);
        let access = operation.key_access();
        let mut result = match self.with_key_access(access, &reporter).await {
            Ok(engine) => engine.perform(operation, &reporter).await,
            Err(error) => Err(error),
        };
        if let Ok(outcome) = &mut result {
            // What was done is done: that the due time is not known changes nothing of it.
            if let Err(error) = self.note_due(outcome).await {
                tracing::warn!(error = error.message(), "when to rotate is not known");
            }
        }
        self.finish_rekey().await;
        let result =
            result.map_err(|error| Failure::from(name_holder(error, &self.settings.locations)));
        match &result {
            Ok(_) => tracing::info!(operation = name, "done"),
            Err(failure) => tracing::info!(operation = name, code = failure.code, "failed"),
        }
        result
    }

    /// Ends in order: what was sent becomes durable, then the store is closed. What is asked after
    /// that fails.
    pub(crate) async fn close(&self) {
        self.stop_polling().await;
        self.settled().await;
        self.store.close().await;
    }

    /// What it was made with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether an answer is in this process's memory alone: then it must not end.
    pub(crate) fn is_only_in_memory(&self) -> bool {
        *self.only_in_memory.borrow()
    }

    /// Waits until nothing that was sent is still to be made durable.
    pub(crate) async fn settled(&self) {
        let mut exchanges = self.exchanges.subscribe();
        // The sender lives as long as `self`, so this ends only when the count is 0.
        let _ = exchanges.wait_for(|count| *count == 0).await;
    }

    #[expect(clippy::too_many_lines, reason = "one line for each operation")]
    async fn perform(
        self: &Arc<Self>,
        operation: Operation,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        match operation {
            Operation::List => {
                self.heal_all().await?;
                self.note_discoveries(reporter).await?;
                self.list().await
            }
            Operation::Index => {
                self.heal_all().await?;
                self.index(reporter).await
            }
            Operation::Show(selection) => {
                self.heal_all().await?;
                let row = self.select(&selection, PlainName::InUse).await?;
                let row = self.with_dead_refresh_seen(row).await;
                Ok(Outcome::Credential(Box::new(row.credential)))
            }
            Operation::History(selection) => self.history(&selection).await,
            Operation::Save(requests) => self.save(requests, reporter).await,
            Operation::Reset(request) => self.reset(request, reporter).await,
            Operation::DiscardPending(selection) => self.discard_pending(&selection).await,
            Operation::Use(address) => self.put_in_use(address).await,
            Operation::Delete(request) => self.delete(request, reporter).await,
            Operation::BeginSetup(request) => self.begin_setup(request, reporter).await,
            Operation::CompleteSetup(request) => self.complete_setup(request, reporter).await,
            Operation::ShowSetup(selection) => self.show_setup(&selection).await,
            Operation::AbandonSetup(selection) => self.abandon_setup(&selection).await,
            Operation::Test(selection) => self.test(&selection, reporter).await,
            Operation::Token(request) => self.token(request, reporter).await,
            Operation::Apps => self.apps().await.map(Outcome::Apps),
            Operation::AddApps(requests) => self.add_apps(requests).await,
            Operation::EditApp(request) => self.edit_app(request).await,
            Operation::DeleteApp(name) => self.delete_app(name).await,
            Operation::TestApp(name) => self.test_app(&name).await,
            Operation::Hold(request) => self.set_holds(request, true).await,
            Operation::Release(request) => self.set_holds(request, false).await,
            Operation::Revoke(request) => self.revoke(request, reporter).await,
            Operation::Owed => self.owed().await,
            Operation::PayOwed => self.pay_owed(reporter).await,
            Operation::KeyStatus => self.key_status().await,
            Operation::CreateKey(request) => self.create_key(request).await,
            Operation::OpenKey(passphrase) => self.open_key(passphrase).await,
            Operation::ProtectKey(passphrase) => self.protect_key(passphrase).await,
            Operation::Recipients => self.recipients().await,
            Operation::AddRecipient(request) => self.add_recipient(request).await,
            Operation::LockKey => self.lock_key(),
            Operation::AwaitApproval(selection) => self.await_approval(&selection, reporter).await,
            Operation::Examine => Ok(self.examine().await),
            Operation::ExamineHosts => self.examine_hosts().await,
            Operation::Hosts => self.hosts().await,
            Operation::Rotate(request) => self.rotate(request, reporter).await,
            Operation::CopyStanding => self.copy_standing().await.map(Outcome::CopyStanding),
            Operation::Backup(request) => self.backup(request).await,
            Operation::Restore(request) => self.restore(request).await,
            Operation::MoveTo(request) => self.move_to(request, reporter).await,
            Operation::Adopt(reason) => self.adopt(reason).await,
            Operation::LeaveToCopy(reason) => self.leave_to_copy(reason).await,
            Operation::Audit(request) => self.audit_page(request).await,
            Operation::AuditHead => self.audit_head().await,
            Operation::VerifyAudit(noted) => self.verify_audit(noted).await,
            Operation::WithReason(reason, operation) => {
                let engine = Arc::new(Self { reason: Some(reason), ..self.share() });
                Box::pin(engine.perform(*operation, reporter)).await
            }
            Operation::AwaitRedirect(selection) => self.await_redirect(&selection, reporter).await,
            Operation::RotateKey(reason) => self.rotate_key(reason).await,
            Operation::RemoveRecipient(request) => self.remove_recipient(request).await,
            Operation::KeyFacts => self.key_facts().await,
            Operation::StartRound(request) => self.start_round(request).await,
            Operation::Round => self.round().await,
            Operation::SkipInRound(request) => self.skip_in_round(request).await,
            Operation::EndRound => self.end_round().await,
            Operation::AwaitChange(seen) => self.await_change(seen).await,
            Operation::BeginDiscovery(request) => self.begin_discovery(request, reporter).await,
            Operation::CompleteDiscovery(request) => {
                self.complete_discovery(request, reporter).await
            }
            Operation::ShowDiscovery(selection) => self.show_discovery(&selection, reporter).await,
            Operation::AwaitDiscovery(selection) => {
                self.await_discovery(&selection, reporter).await
            }
            Operation::ConfirmDiscovery(request) => self.confirm_discovery(request, reporter).await,
            Operation::DeclineDiscovery(selection) => {
                self.decline_discovery(&selection, reporter).await
            }
        }
    }

    async fn history(&self, selection: &Selection) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        audit::history(&self.store, row.id, row.credential.address.to_string()).await
    }

    /// Finds the credential that is meant.
    async fn select(
        &self,
        selection: &Selection,
        plain: PlainName,
    ) -> Result<CredentialRow, Error> {
        let selection = selection.clone();
        self.store.call(move |store| Ok(select::select(store, &selection, plain))).await?
    }

    /// A credential as it stands now.
    async fn reload(&self, id: RecordId) -> Result<CredentialRow, Error> {
        Ok(self.store.call(move |store| store.credential(id)).await?)
    }

    /// Lets the store do what gives room, also where the disk has none: what was held back for it is
    /// given up then.
    async fn call_with_room<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let ballast = Ballast::new(self.settings.locations.ballast_file());
        let call = move |store: &mut Store| match work(store) {
            Err(store::Error::Full) if ballast.give_up() => work(store),
            done => done,
        };
        Ok(self.store.call(call).await?)
    }

    /// The one HTTP client, made at its first use: reading the system's certificates takes time
    /// that a command without network does not spend.
    fn http(&self) -> Result<&HttpClient, Error> {
        if let Some(client) = self.http.get() {
            return Ok(client);
        }
        let client = HttpClient::new(&net_settings(&self.settings.config))?;
        Ok(self.http.get_or_init(|| client))
    }

    /// An audit row of now, by who runs this process.
    fn audit(&self, event: AuditEvent, credential: &Credential, detail: String) -> AuditEntry {
        self.audit_of(event, credential.address.to_string(), detail, None)
    }

    /// An audit row with the admin's own words.
    fn audit_of(
        &self,
        event: AuditEvent,
        subject: String,
        detail: String,
        reason: Option<&str>,
    ) -> AuditEntry {
        AuditEntry {
            at: now(),
            event,
            subject,
            detail,
            reason: reason.or(self.reason.as_deref()).map(text::clean_and_mask).unwrap_or_default(),
            who: who_as_json(&self.who),
        }
    }
}

/// Who acts, as the audit keeps it.
fn who_as_json(who: &Who) -> String {
    serde_json::to_string(who).unwrap_or_else(|_| "{}".into())
}

/// Reads config.toml.
pub(crate) fn read_config(path: &std::path::Path) -> Result<Config, Error> {
    match platform::files::read_trusted_file(path)? {
        None => Ok(Config::default()),
        Some(text) => Ok(Config::parse(&text, path)?),
    }
}

/// How the HTTP client is made: what the configuration says, within the program's own limits.
fn net_settings(config: &Config) -> net::Settings {
    net::Settings {
        policy: config.host_policy(),
        connect_timeout: net::DEFAULT_CONNECT_TIMEOUT.min(config.network.deadline),
        deadline: config.network.deadline,
        user_agent: concat!("orgkey/", env!("CARGO_PKG_VERSION")).to_owned(),
        clock: now,
    }
}

/// Who runs this process, for the audit.
fn who_is_here() -> Who {
    let mut who = Who::of_this_process();
    who.ask_tmux();
    who
}
