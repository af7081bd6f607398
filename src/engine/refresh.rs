//! The refresh: the one exchange that can lose an org when it is done carelessly.
//!
//! The order is the safety argument; each step says why it stands where it does. What is spent
//! here may be single-use: Salesforce can kill the old refresh token at the moment it answers.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Cause, CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind, classify_token_endpoint};
use crate::domain::host::InstanceUrl;
use crate::domain::http::{Response, TransportError};
use crate::domain::policy::Account;
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, Refusal, SetupNeed};
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::Progress;
use crate::engine::token::{expiry_from, refuse_dead, refuse_held};
use crate::engine::{Engine, Reporter, check, now};
use crate::oauth::token_response::{TokenResponse, TokenResponseError, TokenResponseProblem};
use crate::oauth::{Client, refresh, token_response};
use crate::platform;
use crate::store::{CredentialRow, IntentOperation, IntentRow, Store, TokenRow, new_record_id};

/// Tries when Salesforce says that it is at the same token already, and the waits between them.
const BUSY_WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Tries at a token whose answer was lost: the first, and one more.
const ATTEMPTS: u32 = 2;
/// How long after its start an intent may still get its answer: the deadline of a request and the
/// commit after it.
pub(super) const INTENT_LIFE: Duration = Duration::from_secs(25);

/// How one try under the lock ended.
enum Tried {
    /// The store has a newer token set than the caller saw.
    Fresh,
    /// Salesforce is at the same token already, for someone who does not hold our lock.
    Busy(Fault),
}

/// What is being spent.
struct Spending {
    row: CredentialRow,
    stored: TokenRow,
    token: TokenSet,
    rotation: Rotation,
    session: Duration,
    attempt: u32,
    key: OpenKey,
}

impl Spending {
    /// The row of a refreshed token set: a generation further, of the same sign-in.
    fn seal_refreshed(&self, token: &TokenSet, role: TokenRole) -> Result<TokenRow, Error> {
        let id = new_record_id()?;
        let generation = self.row.generation.next();
        Ok(TokenRow {
            id,
            generation,
            role,
            issued_at: token.issued_at,
            expiry: expiry_from(token.known_expiry, token.issued_at, self.session),
            instance_url: token.instance_url.clone(),
            scopes: token.scopes.clone(),
            flow: token.flow,
            refreshable: token.refresh_token.is_some(),
            signed_in_at: self.stored.signed_in_at,
            environment_proven: self.stored.environment_proven,
            refused: None,
            drain_until: None,
            sealed: self.key.sealer().seal_token_set(id, generation, token)?,
        })
    }
}

impl Engine {
    /// Gets a newer token set than `seen`: by an exchange, or by taking over another process's.
    ///
    /// Once begun it runs to its end, whatever becomes of the caller.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let exchange =
            tokio::spawn(async move { engine.refresh_locked(credential, seen, &reporter).await });
        match exchange.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    async fn refresh_locked(
        &self,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let mut waits = BUSY_WAITS.iter();
        loop {
            // 1. One exchange at a time; what another process did meanwhile is read under it.
            let lock = self.lock(credential, reporter).await?;
            let tried = self.try_refresh(credential, seen, reporter).await?;
            drop(lock);
            let Tried::Busy(fault) = tried else { return Ok(()) };
            let Some(wait) = waits.next() else { return Err(fault.into()) };
            reporter.progress(Progress::Waiting);
            tokio::time::sleep(*wait).await;
        }
    }

    async fn try_refresh(
        &self,
        credential: RecordId,
        seen: Generation,
        reporter: &Reporter,
    ) -> Result<Tried, Error> {
        let Some(spending) = self.prepare(credential, seen).await? else {
            return Ok(Tried::Fresh);
        };
        let secret =
            self.client_secret(&spending.row.credential.app, &spending.token.client_id).await?;
        let Some(refresh_token) = &spending.token.refresh_token else {
            return Err(Error::Setup(no_refresh_token(&spending)));
        };
        let client =
            Client { client_id: &spending.token.client_id, client_secret: secret.as_ref() };
        let request = refresh::request(&spending.token.login_url, &client, refresh_token);
        let http = self.http()?;
        // 2. From here to the commit the process waits for us before it ends.
        let _exchange = self.begin_exchange();
        // 3. 'May have been sent' is durable before the request can leave.
        self.commit_intent(&spending).await?;
        reporter.progress(Progress::Exchanging);
        let started = tokio::time::Instant::now();
        let answer = http.send(request).await;
        let latency = started.elapsed();
        // 4. Whatever came is made durable before anyone hears of it.
        match answer {
            Err(error) => self.settle_no_answer(&spending, latency, &error).await,
            Ok(response) if response.status == 200 => {
                self.settle_answer(&spending, latency, &response, secret.as_ref()).await
            }
            Ok(response) => self.settle_refusal(&spending, latency, &response).await,
        }
    }

    /// Reads again under the lock. `None` when a newer token set is there already.
    async fn prepare(
        &self,
        credential: RecordId,
        seen: Generation,
    ) -> Result<Option<Spending>, Error> {
        let row = self.reload(credential).await?;
        refuse_held(&row.credential.address, row.credential.held.as_deref())?;
        let address = row.credential.address.clone();
        let (stored, intent) = self
            .store
            .call(move |store| {
                let stored = store.token_set(credential, TokenRole::Active)?;
                Ok((stored, store.intent(credential, IntentOperation::Refresh)?))
            })
            .await?;
        let Some(stored) = stored else { return Err(Error::Setup(SetupNeed::NoToken(address))) };
        if stored.generation > seen && stored.refused.is_none() {
            return Ok(None);
        }
        refuse_dead(&row, &stored)?;
        // We hold the lock, so whoever wrote an open intent is dead or lost its answer.
        let attempt = intent
            .filter(|intent| intent.generation == stored.generation)
            .map_or(1, |intent| intent.attempt + 1);
        if attempt > ATTEMPTS {
            let message =
                "the answer to two refreshes was lost; trying again would look like theft";
            return Err(Error::Uncertain { address, message: message.into() });
        }
        let app = self.app(&row.credential.app).await?;
        let key = self.key().await?;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        Ok(Some(Spending {
            rotation: app.as_ref().map_or(Rotation::Unknown, |app| app.rotation),
            session: app
                .map_or(crate::domain::app::DEFAULT_SESSION_TIMEOUT, |app| app.session_timeout()),
            row,
            stored,
            token,
            attempt,
            key,
        }))
    }

    async fn commit_intent(&self, spending: &Spending) -> Result<(), Error> {
        let started_at = now();
        let spent = spending.token.refresh_token.as_ref().unwrap_or(&spending.token.access_token);
        let intent = IntentRow {
            operation: IntentOperation::Refresh,
            generation: spending.stored.generation,
            attempt: spending.attempt,
            spent_tag: spending.key.sealer().key.tag("spent", spent),
            boot_id: platform::who::boot_id().unwrap_or_default(),
            host_mark: platform::who::host_mark(),
            pid: std::process::id(),
            started_at,
            deadline: started_at.plus(INTENT_LIFE),
        };
        let credential = spending.row.id;
        Ok(self.store.call(move |store| store.begin_exchange(credential, &intent)).await?)
    }

    /// The request was not sent, or its answer did not come to its end.
    async fn settle_no_answer(
        &self,
        spending: &Spending,
        latency: Duration,
        error: &TransportError,
    ) -> Result<Tried, Error> {
        let may_be_spent = error.sent && spending.rotation != Rotation::No;
        let fault = Fault::from(error);
        if may_be_spent {
            return self.lose_answer(spending, latency, &fault).await;
        }
        self.keep_token(spending, latency, &fault).await?;
        Err(fault.into())
    }

    /// Salesforce answered with something else than a token.
    async fn settle_refusal(
        &self,
        spending: &Spending,
        latency: Duration,
        response: &Response,
    ) -> Result<Tried, Error> {
        let host = spending.token.login_url.host();
        let fault =
            classify_token_endpoint(host, response.status, &response.content_type, &response.body);
        if fault.kind == FaultKind::AlreadyProcessing {
            self.keep_token(spending, latency, &fault).await?;
            return Ok(Tried::Busy(fault));
        }
        if fault.outcome() == CheckOutcome::NeedsSetup {
            return self.refuse(spending, latency, &fault).await;
        }
        // A gateway that gave up waiting says nothing of what happened behind it.
        let gateway = matches!(response.status, 500 | 502 | 504) && !is_oauth_error(response);
        if gateway && spending.rotation != Rotation::No {
            return self.lose_answer(spending, latency, &fault).await;
        }
        self.keep_token(spending, latency, &fault).await?;
        Err(fault.into())
    }

    /// Status 200: a token set, or something that has to be kept all the same.
    async fn settle_answer(
        &self,
        spending: &Spending,
        latency: Duration,
        response: &Response,
        secret: Option<&secrecy::SecretString>,
    ) -> Result<Tried, Error> {
        let host = spending.token.login_url.host();
        let TokenResponseError { reason, salvage } =
            match token_response::response(host, response, secret) {
                Ok(answer) => return self.commit_refresh(spending, latency, answer).await,
                Err(error) => error,
            };
        let fault = reason.fault(host);
        if let Some(tokens) = salvage {
            // Not fit to serve, but the old token may be dead: what came is kept.
            let old = spending.token.clone();
            let token = TokenSet {
                access_token: tokens.access_token.unwrap_or(old.access_token),
                refresh_token: tokens.refresh_token.or(old.refresh_token),
                issued_at: now(),
                ..spending.token.clone()
            };
            self.keep_orphan(spending, latency, token, &fault).await?;
        } else if matches!(reason, TokenResponseProblem::Refused(_))
            || spending.rotation == Rotation::No
        {
            self.keep_token(spending, latency, &fault).await?;
        } else {
            return self.lose_answer(spending, latency, &fault).await;
        }
        Err(fault.into())
    }

    async fn commit_refresh(
        &self,
        spending: &Spending,
        latency: Duration,
        answer: TokenResponse,
    ) -> Result<Tried, Error> {
        let old = &spending.token;
        let account = Account { org_id: answer.org_id.clone(), user_id: answer.user_id.clone() };
        let foreign = account.org_id != old.org_id || account.user_id != old.user_id;
        // A hostile or broken instance URL must not cost the token: the proven one stays.
        let instance_url = InstanceUrl::parse(
            &answer.instance_url,
            &old.login_url,
            &self.settings.config.host_policy(),
        )
        .unwrap_or_else(|_| old.instance_url.clone());
        let token = TokenSet {
            access_token: answer.access_token,
            // Without rotation the answer has none: the old one goes on.
            refresh_token: answer.refresh_token.or_else(|| old.refresh_token.clone()),
            instance_url,
            identity_url: answer.identity_url,
            org_id: account.org_id.clone(),
            user_id: account.user_id.clone(),
            scopes: if answer.scopes.is_empty() { old.scopes.clone() } else { answer.scopes },
            issued_at: now(),
            known_expiry: answer.known_expiry,
            ..old.clone()
        };
        if foreign {
            let fault = Fault::new(FaultKind::ForeignRefresh, old.login_url.host(), "", Some(200));
            self.keep_orphan(spending, latency, token, &fault).await?;
            let address = spending.row.credential.address.clone();
            return Err(Error::Refused(Refusal::ForeignRefresh { address, answered: account }));
        }
        let row = spending.seal_refreshed(&token, TokenRole::Active)?;
        let entry = self.audit(
            AuditEvent::Refreshed,
            &spending.row.credential,
            format!("generation {} after {}", row.generation.0, spending.stored.generation.0),
        );
        let (credential, spent) = (spending.row.id, spending.stored.generation);
        // A passing fault ends with the first refresh that passes; a test's result stays.
        let ended_fault = spending.row.credential.last_check.as_ref().is_some_and(|last| {
            last.kind == CheckKind::Refresh && last.outcome != CheckOutcome::Ok
        });
        let passed = ended_fault
            .then(|| check::passed(CheckKind::Refresh, latency, "access token refreshed"));
        self.store
            .call(move |store| {
                store.finish_refresh(credential, spent, &row, passed.as_ref(), &entry)
            })
            .await?;
        // A failed fence kept the pair as an orphan; the caller reads what is active now.
        Ok(Tried::Fresh)
    }

    /// Keeps what came, not served; the spent set is out of use, because its refresh token is.
    async fn keep_orphan(
        &self,
        spending: &Spending,
        latency: Duration,
        token: TokenSet,
        fault: &Fault,
    ) -> Result<(), Error> {
        let row = spending.seal_refreshed(&token, TokenRole::Orphan)?;
        let credential = &spending.row.credential;
        let entry = self.audit(AuditEvent::RefreshedForeign, credential, fault.message());
        let refusal = self.audit(AuditEvent::TokenRefused, credential, fault.message());
        let failed = check::failed(CheckKind::Refresh, latency, fault);
        let (id, spent) = (spending.row.id, spending.stored.generation);
        self.store
            .call(move |store| {
                store.finish_refresh(id, spent, &row, None, &entry)?;
                store.refuse_token(id, spent, Cause::Unknown, &failed, &refusal)
            })
            .await?;
        Ok(())
    }

    /// Salesforce refused the refresh token for good.
    async fn refuse(
        &self,
        spending: &Spending,
        latency: Duration,
        fault: &Fault,
    ) -> Result<Tried, Error> {
        let mut refusal = check::failed(CheckKind::Refresh, latency, fault);
        if spending.attempt > 1 {
            refusal.message = format!(
                "the answer to an earlier refresh was lost, and Salesforce refuses the old token now: {}",
                refusal.message
            );
        }
        let cause = fault.cause().unwrap_or(Cause::Unknown);
        let entry =
            self.audit(AuditEvent::TokenRefused, &spending.row.credential, refusal.message.clone());
        let (id, generation) = (spending.row.id, spending.stored.generation);
        let (message, remedy) = (refusal.message.clone(), refusal.remedy.clone());
        self.store
            .call(move |store| store.refuse_token(id, generation, cause, &refusal, &entry))
            .await?;
        let address = spending.row.credential.address.clone();
        Err(Error::Setup(SetupNeed::Refused { address, message, remedy }))
    }

    /// The refresh token may be spent and its successor was never seen: said, never guessed.
    async fn lose_answer(
        &self,
        spending: &Spending,
        latency: Duration,
        fault: &Fault,
    ) -> Result<Tried, Error> {
        let mut lost = check::failed(CheckKind::Refresh, latency, fault);
        lost.outcome = CheckOutcome::Uncertain;
        lost.message = format!("a refresh was sent and its answer was lost: {}", fault.message());
        lost.remedy =
            "the access token is served while it lives; one more try is made when it ends".into();
        let message = lost.message.clone();
        let entry = self.audit(AuditEvent::AnswerLost, &spending.row.credential, message.clone());
        let id = spending.row.id;
        self.store
            .call(move |store| {
                store.lose_answer(id, IntentOperation::Refresh, now(), &lost, &entry)
            })
            .await?;
        Err(Error::Uncertain { address: spending.row.credential.address.clone(), message })
    }

    /// This try spent nothing: the token stays, and the history says why. The intent ends, unless it
    /// is an earlier try's whose answer was lost: what that one did is still not known.
    async fn keep_token(
        &self,
        spending: &Spending,
        latency: Duration,
        fault: &Fault,
    ) -> Result<(), Error> {
        let failed = check::failed(CheckKind::Refresh, latency, fault);
        let (id, earlier) = (spending.row.id, spending.attempt - 1);
        let settle = move |store: &mut Store| {
            if earlier == 0 {
                store.end_exchange(id, IntentOperation::Refresh, Some(&failed))
            } else {
                store.reopen_exchange(id, IntentOperation::Refresh, earlier, now(), &failed)
            }
        };
        Ok(self.store.call(settle).await?)
    }

    /// Counts an exchange until the answer is durable.
    pub(super) fn begin_exchange(&self) -> ExchangeUnderWay {
        self.exchanges.send_modify(|count| *count += 1);
        ExchangeUnderWay(self.exchanges.clone())
    }
}

/// While it lives, [`Engine::settled`] waits.
pub(super) struct ExchangeUnderWay(tokio::sync::watch::Sender<usize>);

impl Drop for ExchangeUnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn is_oauth_error(response: &Response) -> bool {
    serde_json::from_slice::<serde_json::Value>(&response.body)
        .is_ok_and(|body| body.get("error").is_some_and(serde_json::Value::is_string))
}

fn no_refresh_token(spending: &Spending) -> SetupNeed {
    SetupNeed::Refused {
        address: spending.row.credential.address.clone(),
        message: "the session has ended and there is no refresh token".into(),
        remedy: "set up the OAuth token; for one that renews itself the app and the request need the scope refresh_token".into(),
    }
}
