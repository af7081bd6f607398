//! The device flow: the codes, the waiting, and the polls, one of which gets the token.
//!
//! # What is durable, and when
//!
//! Any poll may be answered with the token, and the device code is spent then. Three syncs for
//! each, as for other exchanges, would be a sync every two seconds for ten minutes, and nearly all
//! of these answers say nothing but 'not yet'. So:
//!
//! - One intent stands for the whole polling. It is committed before the first poll leaves, and
//!   again only where a refresh has moved the generation on in between. It is ended with the
//!   polling, in the same commit as the token set where one came.
//! - A slot of the inbox is held for each poll. An answer that may hold a token (status 200, or a
//!   token's name in it) is durable in it before it is read; a refusal is not written.
//! - After 'not yet' nothing is owed to anyone: until then no token was issued. A poll whose answer
//!   is lost leaves it open, and the next one tells: 'not yet', and all is well; the code unknown,
//!   and the token was lost, which is said. A process that finds the intent of one that was killed
//!   asks in the same way.
//!
//! The right to exchange is held for each poll alone, so that a token that lives goes on being
//! refreshed meanwhile. Who polls is decided by another lock; whoever else waits looks at the store.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::app::{App, Flow};
use crate::domain::audit::AuditEvent;
use crate::domain::credential::{CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{InstanceUrl, LoginUrl};
use crate::domain::record::RecordId;
use crate::domain::time::UnixMillis;
use crate::engine::error::{Error, SetupNeed};
use crate::engine::exchange::Exchanged;
use crate::engine::key_use::KeyAccess;
use crate::engine::operation::{BeginSetup, Selection};
use crate::engine::outcome::{AuthorizationStarted, DeviceCode, Revocation, SetupReceipt};
use crate::engine::promote::Candidate;
use crate::engine::refresh::INTENT_LIFE;
use crate::engine::save::account_to_sign_in;
use crate::engine::seal::PendingDevice;
use crate::engine::select::PlainName;
use crate::engine::token::refuse_held;
use crate::engine::{Engine, Outcome, Reporter, now};
use crate::oauth::Client;
use crate::oauth::device::{self, DeviceAuthorization, Polled, SLOWER_BY};
use crate::platform::files::create_private_folder;
use crate::platform::lock::LockFile;
use crate::store::{AuthorizationRow, CredentialRow, IntentOperation, IntentRow, new_record_id};

/// Between two looks at what another process that polls has come to.
const LOOK: Duration = Duration::from_millis(250);
/// Longest wait after a poll that was not answered as it should be.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Who polls in this process, so that all of it can end in order.
#[derive(Clone)]
pub(super) struct Pollers {
    stopping: watch::Sender<bool>,
    count: watch::Sender<usize>,
}

impl Default for Pollers {
    fn default() -> Self {
        Self { stopping: watch::channel(false).0, count: watch::channel(0).0 }
    }
}

/// Counts one while it lives.
struct Polling(watch::Sender<usize>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Pollers {
    fn begin(&self) -> Polling {
        self.count.send_modify(|count| *count += 1);
        Polling(self.count.clone())
    }

    /// Waits until then; `false` as soon as this process is to end.
    async fn rest_until(&self, due: Instant) -> bool {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            () = tokio::time::sleep_until(due) => !*self.stopping.borrow(),
            _ = stopping.wait_for(|stopping| *stopping) => false,
        }
    }
}

/// One polling as this process has it in hand.
struct Watch {
    /// Not before then is polled. By the clock that no one sets.
    due: Instant,
    /// What Salesforce wants between two polls.
    interval: Duration,
    /// What is waited beyond it after polls that were not answered as they should be.
    patience: Duration,
    /// Whether the intent in the store was looked at.
    known: bool,
    /// Whether a token may have been issued that nobody got.
    at_risk: bool,
}

impl Watch {
    /// A whole interval passes before the first poll: another process may have polled just now.
    fn new(interval: Duration) -> Self {
        let due = Instant::now() + interval;
        Self { due, interval, patience: Duration::ZERO, known: false, at_risk: false }
    }

    /// Salesforce answered as it should.
    fn answered(&mut self) {
        (self.patience, self.at_risk) = (Duration::ZERO, false);
        self.due = Instant::now() + self.interval;
    }

    /// Something came between: twice the wait each time (RFC 8628 section 3.5).
    fn disturbed(&mut self, lost: bool, retry_after: Option<Duration>) {
        self.at_risk |= lost;
        let longer = (self.interval + self.patience) * 2;
        self.patience = longer.min(LONGEST_WAIT).saturating_sub(self.interval);
        let wait = (self.interval + self.patience).max(retry_after.unwrap_or_default());
        self.due = Instant::now() + wait;
    }
}

/// What one poll came to.
enum Step {
    /// Not yet.
    Again,
    /// A token, durable.
    Granted(Box<CredentialRow>, Box<Candidate>),
    /// Nothing is pending here any more.
    Gone,
}

impl Engine {
    /// Begins a device flow. The codes are sealed and durable before the user code is shown.
    pub(super) async fn begin_device(
        &self,
        row: &CredentialRow,
        app: App,
        request: &BeginSetup,
    ) -> Result<Outcome, Error> {
        let account = account_to_sign_in(&row.credential);
        let (login_url, host) = (&account.login_url, account.login_url.host());
        let key = self.key_or_new().await?;
        self.end_lost_sign_in(row.id).await?;
        let answer =
            self.ask(device::start_request(login_url, &app.client_id, &app.scopes)).await?;
        let begun = answer.and_then(|response| device::start_response(host, &response))?;
        self.check_verification_uri(login_url, &begun)?;
        let (started_at, id) = (now(), new_record_id()?);
        let pending = PendingDevice {
            device_code: begun.device_code,
            user_code: begun.user_code,
            verification_uri: begun.verification_uri,
            interval: begun.interval,
            login_url: login_url.clone(),
            client_id: app.client_id,
            app: app.name,
            scopes: app.scopes,
            is_rotation: request.is_rotation,
            drain_limit: request.drain.map(|span| span.as_secs()),
        };
        let authorization = AuthorizationRow {
            id,
            flow: Flow::Device,
            started_at,
            expires_at: started_at.plus(begun.life),
            sealed: key.sealer().seal_device(id, &pending)?,
        };
        let what = if request.is_rotation { "rotation, " } else { "" };
        let detail = format!("{what}{} at {host}", Flow::Device);
        let (subject, reason) = (row.credential.address.to_string(), request.reason.as_deref());
        let entry = self.audit_of(AuditEvent::SetupStarted, subject, detail, reason);
        let (credential, kept) = (row.id, authorization.clone());
        self.store.call(move |store| store.insert_authorization(credential, &kept, &entry)).await?;
        Ok(device_started(row, &authorization, pending))
    }

    /// A person is sent to Salesforce or nowhere, whatever the answer says.
    fn check_verification_uri(
        &self,
        login_url: &LoginUrl,
        begun: &DeviceAuthorization,
    ) -> Result<(), Error> {
        let policy = self.settings.config.host_policy();
        let origin = url::Url::parse(&begun.verification_uri)
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default();
        match InstanceUrl::parse(&origin, login_url, &policy) {
            Ok(_) => Ok(()),
            Err(error) => {
                let (kind, host) = (FaultKind::HostRefused, login_url.host());
                Err(Fault::new(kind, host, &error.to_string(), None).into())
            }
        }
    }

    /// The newest device flow of a credential, opened; also one that is past its end.
    pub(super) async fn pending_device(
        &self,
        row: &CredentialRow,
    ) -> Result<Option<(AuthorizationRow, PendingDevice)>, Error> {
        let id = row.id;
        let kept = self.store.call(move |store| store.authorizations(id)).await?;
        let Some(kept) = kept.into_iter().find(|kept| kept.flow == Flow::Device) else {
            return Ok(None);
        };
        let pending = self.key().await?.sealer().open_device(kept.id, &kept.sealed)?;
        Ok(Some((kept, pending)))
    }

    /// Waits for the person, polling where nobody else does. Once begun it goes on to the end of
    /// the code, whatever becomes of the caller.
    pub(super) async fn await_approval(
        self: &Arc<Self>,
        selection: &Selection,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(selection, PlainName::InUse).await?;
        let credential = &row.credential;
        refuse_held(&credential.address, credential.held.as_ref())?;
        if self.pending_device(&row).await?.is_none() && !credential.has_candidate {
            return Err(Error::Setup(SetupNeed::NothingPending(credential.address.clone())));
        }
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let waiting = tokio::spawn(async move { engine.watch_device(&row, &reporter).await });
        match waiting.await {
            Ok(result) => result.map(|receipt| Outcome::SetupCompleted(Box::new(receipt))),
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Ends all polling of this process; what it stood at goes on in another one.
    pub(crate) async fn stop_polling(&self) {
        self.pollers.stopping.send_replace(true);
        let mut count = self.pollers.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }

    async fn watch_device(
        self: &Arc<Self>,
        begun: &CredentialRow,
        reporter: &Reporter,
    ) -> Result<SetupReceipt, Error> {
        let _polling = self.pollers.begin();
        let (id, since) = (begun.id, now());
        let address = &begun.credential.address;
        let still_pending = || Error::Setup(SetupNeed::StillPending(address.clone()));
        let _lock = loop {
            if let Some(lock) = self.try_polling_lock(id)? {
                break lock;
            }
            // Somebody else polls.
            if !self.pollers.rest_until(Instant::now() + LOOK).await {
                return Err(still_pending());
            }
        };
        let engine = self.with_key_access(KeyAccess::Use, reporter).await?;
        let Some((_, pending)) = engine.pending_device(&engine.reload(id).await?).await? else {
            return engine.how_it_ended(id, since, reporter).await;
        };
        drop(engine);
        let mut watch = Watch::new(pending.interval);
        loop {
            let rested = self.pollers.rest_until(watch.due).await;
            // The key may be changed between two polls.
            let engine = self.with_key_access(KeyAccess::Use, reporter).await?;
            if !rested {
                engine.leave_polling(id, &watch, &pending.device_code).await?;
                return Err(still_pending());
            }
            let lock = match engine.lock(id, reporter).await {
                Err(Error::Store(crate::store::Error::Busy { .. })) => continue,
                lock => lock?,
            };
            let step = engine.poll(id, &mut watch, reporter).await;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Granted(row, candidate)) => {
                    return engine
                        .complete_sign_in(&row, *candidate, pending.is_rotation, reporter)
                        .await;
                }
                Ok(Step::Gone) => {
                    drop(lock);
                    engine.leave_polling(id, &watch, &pending.device_code).await?;
                    return engine.how_it_ended(id, since, reporter).await;
                }
                Err(error) => {
                    drop(lock);
                    if error.storage().is_none() {
                        engine.leave_polling(id, &watch, &pending.device_code).await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Who polls for a credential; the right to exchange is another lock.
    fn try_polling_lock(&self, credential: RecordId) -> Result<Option<LockFile>, Error> {
        let folder = self.settings.locations.locks_folder();
        create_private_folder(&folder)?;
        Ok(LockFile::try_acquire(&folder.join(format!("{credential}.device")))?)
    }

    /// One poll, with the right to exchange held.
    async fn poll(
        &self,
        id: RecordId,
        watch: &mut Watch,
        reporter: &Reporter,
    ) -> Result<Step, Error> {
        let row = self.reload(id).await?;
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        self.refuse_copy(&row).await?;
        // What a process that was killed had got was taken over with the lock.
        let pending = self.pending_device(&row).await?.filter(|_| !row.credential.has_candidate);
        let Some((kept, pending)) = pending else { return Ok(Step::Gone) };
        let intent = self.polling_intent(&row, &kept, &pending, watch).await?;
        let (endpoint, key) = (pending.endpoint(), self.key().await?);
        let host = endpoint.login_url.host();
        if now() >= kept.expires_at {
            let fault = Fault::new(FaultKind::UserCodeExpired, host, "", None);
            return Err(self.end_device(&row, &kept, watch, fault).await?);
        }
        let secret = self.client_secret(&endpoint.app, &endpoint.client_id).await?;
        let client = Client { client_id: &endpoint.client_id, client_secret: secret.as_ref() };
        let request = device::poll_request(&endpoint.login_url, &client, &pending.device_code);
        let operation = IntentOperation::SignIn;
        let slot =
            self.claim_slot(id, operation, row.generation, endpoint.clone(), key.clone()).await?;
        let _exchange = self.begin_exchange();
        let exchanged = self.poll_exchange(request, slot, intent, device::may_hold_token).await?;
        let polled = match &exchanged.answer {
            Ok(response) => device::read_poll(host, response, secret.as_ref()),
            Err(error) => Polled::Unclear { fault: Fault::from(error), lost: error.sent },
        };
        let retry_after = exchanged.answer.as_ref().ok().and_then(|answer| answer.retry_after);
        match polled {
            Polled::Token => {
                let settled = self
                    .settle_securely(&row, &endpoint, &key, exchanged, secret.as_ref(), reporter)
                    .await;
                if settled.as_ref().is_err_and(|error| error.storage().is_none()) {
                    self.drop_device(&row, &kept, "the token was refused").await?;
                }
                return Ok(Step::Granted(Box::new(row), Box::new(settled?)));
            }
            Polled::Pending => watch.answered(),
            Polled::SlowDown => {
                watch.interval = (watch.interval + SLOWER_BY).min(LONGEST_WAIT);
                watch.answered();
                self.keep_interval(&kept, pending, watch.interval).await?;
            }
            Polled::Unclear { fault, lost } => {
                tracing::info!(
                    code = fault.code(),
                    lost,
                    "a poll was not answered as it should be"
                );
                watch.disturbed(lost, retry_after);
                exchanged.forget().await;
            }
            Polled::Refused(fault) => {
                exchanged.forget().await;
                return Err(self.end_device(&row, &kept, watch, fault).await?);
            }
        }
        Ok(Step::Again)
    }

    /// The intent to be committed before the next poll leaves; none where it stands already. One
    /// that this process did not commit is of a process that was killed: its last poll may have
    /// been answered.
    async fn polling_intent(
        &self,
        row: &CredentialRow,
        kept: &AuthorizationRow,
        pending: &PendingDevice,
        watch: &mut Watch,
    ) -> Result<Option<IntentRow>, Error> {
        let (id, operation) = (row.id, IntentOperation::SignIn);
        let tag = self.key().await?.sealer().key.tag("spent", &pending.device_code);
        let found = self.store.call(move |store| store.intent(id, operation)).await?;
        let found = found.filter(|intent| intent.spent_tag == tag);
        if !std::mem::replace(&mut watch.known, true) {
            watch.at_risk = found.is_some();
        }
        if found.is_some_and(|intent| intent.generation == row.generation) {
            return Ok(None);
        }
        let deadline = kept.expires_at.plus(INTENT_LIFE);
        Ok(Some(IntentRow { deadline, ..Self::intent(operation, row.generation, 1, tag) }))
    }

    /// Salesforce wants more time between polls, from whoever polls next, too.
    async fn keep_interval(
        &self,
        kept: &AuthorizationRow,
        pending: PendingDevice,
        interval: Duration,
    ) -> Result<(), Error> {
        let id = kept.id;
        let slower = PendingDevice { interval, ..pending };
        let sealed = self.key().await?.sealer().seal_device(id, &slower)?;
        Ok(self.store.call(move |store| store.reseal_authorization(id, &sealed)).await?)
    }

    /// The flow is over without a token. Where one may have been issued to nobody, that is said.
    async fn end_device(
        &self,
        row: &CredentialRow,
        kept: &AuthorizationRow,
        watch: &Watch,
        fault: Fault,
    ) -> Result<Error, Error> {
        let about_code =
            matches!(fault.kind, FaultKind::DeviceCodeRefused | FaultKind::UserCodeExpired);
        self.drop_device(row, kept, fault.code()).await?;
        if watch.at_risk && about_code {
            return self.lose_sign_in(row, Duration::ZERO, &fault).await;
        }
        match self.end_sign_in::<()>(row, Duration::ZERO, fault).await {
            Ok(()) => Ok(Error::Setup(SetupNeed::NothingPending(row.credential.address.clone()))),
            Err(error) => Ok(error),
        }
    }

    async fn drop_device(
        &self,
        row: &CredentialRow,
        kept: &AuthorizationRow,
        why: &str,
    ) -> Result<(), Error> {
        let entry = self.audit(AuditEvent::SetupAbandoned, &row.credential, why.to_owned());
        let id = kept.id;
        Ok(self.store.call(move |store| store.delete_authorization(id, &entry)).await?)
    }

    /// Ends the intent of a polling that is left, where it is known that no token was issued.
    async fn leave_polling(
        &self,
        id: RecordId,
        watch: &Watch,
        device_code: &SecretString,
    ) -> Result<(), Error> {
        // The key may be locked by now; what stays open is asked about by whoever polls next.
        let (Ok(key), true, false) = (self.key().await, watch.known, watch.at_risk) else {
            return Ok(());
        };
        let tag = key.sealer().key.tag("spent", device_code);
        let Some(_lock) = self.try_lock(id)? else { return Ok(()) };
        let operation = IntentOperation::SignIn;
        let end = move |store: &mut crate::store::Store| match store.intent(id, operation)? {
            Some(intent) if intent.spent_tag == tag => store.end_exchange(id, operation, None),
            _ => Ok(()),
        };
        Ok(self.store.call(end).await?)
    }

    /// What came of a flow that somebody else polled for, or that a process which was killed had
    /// the answer of.
    async fn how_it_ended(
        &self,
        id: RecordId,
        since: UnixMillis,
        reporter: &Reporter,
    ) -> Result<SetupReceipt, Error> {
        let replaced = Revocation::NothingToRevoke;
        let row = self.reload(id).await?;
        if row.credential.has_candidate {
            let test = self.resume_candidate(id, reporter).await?;
            let credential = self.reload(id).await?.credential;
            return Ok(SetupReceipt { credential, test, replaced, is_rotation: false });
        }
        let credential = row.credential;
        let is_new = credential.token.as_ref().is_some_and(|token| token.signed_in_at >= since);
        if let Some(test) = credential.last_test.clone().filter(|_| is_new) {
            return Ok(SetupReceipt { credential, test, replaced, is_rotation: false });
        }
        let failed = credential.last_check.filter(|check| {
            check.kind == CheckKind::SignIn
                && check.outcome != CheckOutcome::Ok
                && check.at >= since
        });
        let address = credential.address;
        Err(Error::Setup(match failed {
            Some(check) => {
                SetupNeed::Refused { address, message: check.message, remedy: check.remedy }
            }
            None => SetupNeed::NothingPending(address),
        }))
    }
}

impl Exchanged {
    /// Empties the slot of an answer that no token was in.
    async fn forget(&self) {
        if let Err(error) = self.clear().await {
            tracing::warn!(error = error.message(), "a slot of the inbox was not emptied");
        }
    }
}

/// A device flow that waits for the person.
pub(super) fn device_started(
    row: &CredentialRow,
    authorization: &AuthorizationRow,
    pending: PendingDevice,
) -> Outcome {
    let account = account_to_sign_in(&row.credential);
    let PendingDevice { user_code, verification_uri, app, scopes, .. } = pending;
    let separator = if verification_uri.contains('?') { '&' } else { '?' };
    Outcome::AuthorizationStarted(AuthorizationStarted {
        address: row.credential.address.clone(),
        flow: Flow::Device,
        url: format!("{verification_uri}{separator}user_code={user_code}"),
        redirect_uri: String::new(),
        started_at: authorization.started_at,
        expires_at: authorization.expires_at,
        username: account.username,
        user_id: account.user_id,
        device: Some(DeviceCode { user_code, verification_uri, app, scopes }),
    })
}
