//! What comes of a refresh: an answer, a refusal or none, each settled in one commit. The same for
//! an answer that was just read and for one that waited in the inbox.

use std::time::Duration;

use secrecy::SecretString;

use crate::domain::app::Rotation;
use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Cause, CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind, classify_token_endpoint};
use crate::domain::host::InstanceUrl;
use crate::domain::http::{Response, TransportError};
use crate::domain::policy::Account;
use crate::domain::refused::RefusedToken;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, Refusal, SetupNeed};
use crate::engine::keyring::OpenKey;
use crate::engine::revoke::{account_of, owe};
use crate::engine::sensitive::Sensitive;
use crate::engine::token::expiry_from;
use crate::engine::{Engine, check, now};
use crate::oauth::token_response;
use crate::oauth::token_response::{TokenResponse, TokenResponseError, TokenResponseProblem};
use crate::store::{self, CredentialRow, IntentOperation, Store, TokenRow, new_record_id};

/// Tries to keep a pair that came too late, each with a generation of its own.
const FENCED_ATTEMPTS: u32 = 3;

/// How one try under the lock ended.
pub(super) enum Tried {
    /// The store has a newer token set than the caller saw.
    Fresh,
    /// Salesforce is at the same token already, for someone who does not hold our lock.
    Busy(Fault),
}

/// What is being spent.
pub(super) struct Spending {
    /// Whose.
    pub(super) row: CredentialRow,
    /// The token set as it is stored.
    pub(super) stored: TokenRow,
    /// The token set.
    pub(super) token: TokenSet,
    /// Whether a refresh spends the refresh token.
    pub(super) rotation: Rotation,
    /// How long an unused session lives.
    pub(super) session: Duration,
    /// The app's idle limit, where it is said.
    pub(super) idle_limit: Option<Duration>,
    /// Counts the tries at this token set.
    pub(super) attempt: u32,
    /// Seals what comes of it.
    pub(super) key: OpenKey,
}

impl Spending {
    /// What is known of the refresh token when it is refused for good.
    fn refused(&self) -> RefusedToken {
        RefusedToken {
            answer_was_lost: self.attempt > 1,
            rotation: self.rotation,
            rotated: self.token.rotated,
            unused: now().since(self.stored.issued_at),
            idle_limit: self.idle_limit,
            environment: self.row.credential.address.environment,
        }
    }

    /// Tells the token that is spent, and not what it is.
    pub(super) fn spent_tag(&self) -> [u8; 32] {
        self.tag(&self.token)
    }

    /// Tells which token the next refresh spends.
    fn tag(&self, token: &TokenSet) -> [u8; 32] {
        let spends = token.refresh_token.as_ref().unwrap_or(&token.access_token);
        self.key.sealer().key.tag("spent", spends)
    }

    /// The row of a refreshed token set: a generation further, of the same sign-in.
    fn seal_refreshed(
        &self,
        token: &TokenSet,
        role: TokenRole,
        generation: Generation,
    ) -> Result<TokenRow, Error> {
        let id = new_record_id()?;
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
            rotated_at: if self.tag(token) == self.spent_tag() {
                self.stored.rotated_at
            } else {
                Some(token.issued_at)
            },
            drain_limit: None,
            sealed: self.key.sealer().seal_token_set(id, generation, token)?,
        })
    }
}

impl Engine {
    /// The request was not sent, or its answer did not come to its end.
    pub(super) async fn settle_no_answer(
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

    /// Salesforce answered.
    pub(super) async fn settle(
        &self,
        spending: &Spending,
        latency: Duration,
        response: &Response,
        secret: Option<&SecretString>,
    ) -> Result<Tried, Error> {
        if response.status == 200 || token_response::holds_token(response) {
            self.settle_answer(spending, latency, response, secret).await
        } else {
            self.settle_refusal(spending, latency, response).await
        }
    }

    /// Salesforce answered with something else than a token.
    async fn settle_refusal(
        &self,
        spending: &Spending,
        latency: Duration,
        response: &Response,
    ) -> Result<Tried, Error> {
        let host = spending.token.login_url.host();
        let fault = classify_token_endpoint(host, response);
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

    /// A token set, or something that has to be kept all the same.
    async fn settle_answer(
        &self,
        spending: &Spending,
        latency: Duration,
        response: &Response,
        secret: Option<&SecretString>,
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
        } else if fault.outcome() == CheckOutcome::NeedsSetup {
            return self.refuse(spending, latency, &fault).await;
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
        let token = successor(old, answer, instance_url);
        if foreign {
            let fault = Fault::new(FaultKind::ForeignRefresh, old.login_url.host(), "", Some(200));
            self.keep_orphan(spending, latency, token, &fault).await?;
            let address = spending.row.credential.address.clone();
            return Err(Error::Refused(Refusal::ForeignRefresh { address, answered: account }));
        }
        let next = spending.row.generation.next();
        let row = spending.seal_refreshed(&token, TokenRole::Active, next)?;
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
        let finished = self
            .store
            .call(move |store| {
                store.finish_refresh(credential, spent, &row, passed.as_ref(), &entry)
            })
            .await;
        match finished {
            // Somebody went on without us: what they have is active, what we got is not thrown away.
            Err(store::Error::Stale) => self.keep_fenced(spending, &token).await?,
            finished => {
                finished?;
                if spending.tag(&token) == spending.spent_tag() {
                    self.note_kept(credential, spent, spending.spent_tag()).await;
                }
            }
        }
        Ok(Tried::Fresh)
    }

    /// Keeps a pair that came too late to be active: as an orphan, or as a debt where its credential
    /// is gone. The intent, which is another process's by now, stays.
    async fn keep_fenced(&self, spending: &Spending, token: &TokenSet) -> Result<(), Error> {
        let (id, credential) = (spending.row.id, &spending.row.credential);
        for _ in 0..FENCED_ATTEMPTS {
            let Ok(row) = self.reload(id).await else { break };
            let next = row.generation.next();
            let orphan = spending.seal_refreshed(token, TokenRole::Orphan, next)?;
            let detail = format!("generation {} came too late", orphan.generation.0);
            let entry = self.audit(AuditEvent::RefreshedLate, credential, detail);
            match self.store.call(move |store| store.insert_orphan(id, &orphan, &entry)).await {
                Err(store::Error::Stale) => {}
                kept => return Ok(kept?),
            }
        }
        let owed = owe(&spending.key, &credential.address, token)?;
        let entry = self.audit(AuditEvent::RevocationOwed, credential, account_of(&owed));
        Ok(self.store.call(move |store| store.owe_revocation(&owed, &entry)).await?)
    }

    /// Keeps what came, not served; the spent set is out of use, because its refresh token is.
    async fn keep_orphan(
        &self,
        spending: &Spending,
        latency: Duration,
        token: TokenSet,
        fault: &Fault,
    ) -> Result<(), Error> {
        let next = spending.row.generation.next();
        let row = spending.seal_refreshed(&token, TokenRole::Orphan, next)?;
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
        let refused = spending.refused();
        let mut refusal = check::failed(CheckKind::Refresh, latency, fault);
        (refusal.message, refusal.remedy) = refused.words(fault);
        if refused.answer_was_lost {
            refusal.message = format!(
                "the answer to an earlier refresh was lost, and Salesforce refuses the old token now: {}",
                refusal.message
            );
        }
        let cause = refused.cause(fault);
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
        self.store.call(settle).await?;
        if earlier == 0 {
            self.note_kept(id, spending.stored.generation, spending.spent_tag()).await;
        }
        Ok(())
    }
}

/// The token set that a refresh makes of an old one.
fn successor(old: &TokenSet, answer: TokenResponse, instance_url: InstanceUrl) -> TokenSet {
    let is_other = |new: &SecretString| {
        Some(Sensitive(new.clone())) != old.refresh_token.clone().map(Sensitive)
    };
    TokenSet {
        rotated: old.rotated || answer.refresh_token.as_ref().is_some_and(is_other),
        access_token: answer.access_token,
        // Without rotation the answer has none: the old one goes on.
        refresh_token: answer.refresh_token.or_else(|| old.refresh_token.clone()),
        instance_url,
        identity_url: answer.identity_url,
        org_id: answer.org_id,
        user_id: answer.user_id,
        scopes: if answer.scopes.is_empty() { old.scopes.clone() } else { answer.scopes },
        issued_at: now(),
        known_expiry: answer.known_expiry,
        ..old.clone()
    }
}

fn is_oauth_error(response: &Response) -> bool {
    serde_json::from_slice::<serde_json::Value>(&response.body)
        .is_ok_and(|body| body.get("error").is_some_and(serde_json::Value::is_string))
}
