//! Completing a set-up: the code is exchanged, the account is pinned, and the token set is durable
//! as candidate before anything is asked with it.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::audit::AuditEvent;
use crate::domain::credential::{CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::InstanceUrl;
use crate::domain::http::{Response, TransportError};
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::exchange::Exchanged;
use crate::engine::keyring::OpenKey;
use crate::engine::operation::CompleteSetup;
use crate::engine::outcome::{Progress, SetupReceipt};
use crate::engine::promote::Candidate;
use crate::engine::save::{account_detail, account_to_sign_in};
use crate::engine::seal::{PendingAuthorization, TokenEndpoint};
use crate::engine::select::PlainName;
use crate::engine::token::{expiry_from, refuse_held};
use crate::engine::{Engine, Outcome, Reporter, check, now};
use crate::oauth::authorization_code::exchange_request;
use crate::oauth::redirect::{ExpectedRedirect, RedirectError, read_redirect};
use crate::oauth::token_response::TokenResponse;
use crate::oauth::{Client, token_response};
use crate::store::{AuthorizationRow, CredentialRow, IntentOperation, TokenRow, new_record_id};

impl Engine {
    /// Completes a set-up with what the browser ended at. Once the code was sent, it runs to its
    /// end, whatever becomes of the caller.
    pub(super) async fn complete_setup(
        self: &Arc<Self>,
        request: CompleteSetup,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::InUse).await?;
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        let pending = self.pending_authorizations(&row).await?;
        let (authorization, attempt, code) = match_attempt(&row, pending, &request.pasted.0)?;
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let sign_in = tokio::spawn(async move {
            let _lock = engine.lock(row.id, &reporter).await?;
            let row = engine.reload(row.id).await?;
            refuse_held(&row.credential.address, row.credential.held.as_ref())?;
            engine.refuse_copy(&row).await?;
            // Of a paste and a redirect at once, the first spent its code.
            if !engine.is_pending(row.id, authorization).await? {
                return Err(Error::Setup(SetupNeed::NothingPending(row.credential.address)));
            }
            engine.listeners.completing(row.id);
            let signed_in = engine.sign_in(&row, &attempt, &code, &reporter).await;
            let result = signed_in.map(|receipt| Outcome::SetupCompleted(Box::new(receipt)));
            engine.listeners.completed(row.id, &result);
            result
        });
        match sign_in.await {
            Ok(result) => result,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    async fn sign_in(
        &self,
        row: &CredentialRow,
        attempt: &PendingAuthorization,
        code: &SecretString,
        reporter: &Reporter,
    ) -> Result<SetupReceipt, Error> {
        let spent = self.spend_code(row, attempt, code, reporter).await;
        let token = spent.map_err(|error| match error {
            Error::Salesforce(fault) => fault.of_request(&attempt.url).into(),
            other => other,
        })?;
        self.complete_sign_in(row, token, attempt.is_rotation, reporter).await
    }

    /// The token is durable: it is tested, and takes the place of the old one.
    pub(super) async fn complete_sign_in(
        &self,
        row: &CredentialRow,
        token: Candidate,
        is_rotation: bool,
        reporter: &Reporter,
    ) -> Result<SetupReceipt, Error> {
        let (check, replaced) = self.test_and_promote(row.id, token, reporter).await?;
        let credential = self.reload(row.id).await?.credential;
        self.settle_debts(reporter).await?;
        Ok(SetupReceipt { credential, test: check, replaced, is_rotation })
    }

    /// Spends the code. What comes back is the saved account's and durable as candidate, or it is
    /// revoked.
    async fn spend_code(
        &self,
        row: &CredentialRow,
        attempt: &PendingAuthorization,
        code: &SecretString,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        let key = self.key().await?;
        let endpoint = attempt.endpoint();
        let secret = self.client_secret(&endpoint.app, &endpoint.client_id).await?;
        let client = Client { client_id: &endpoint.client_id, client_secret: secret.as_ref() };
        let request = exchange_request(
            &endpoint.login_url,
            &client,
            code,
            &attempt.redirect_uri,
            &attempt.code_verifier,
        );
        let operation = IntentOperation::SignIn;
        let (id, generation) = (row.id, row.generation);
        let slot =
            self.claim_slot(id, operation, generation, endpoint.clone(), key.clone()).await?;
        let _exchange = self.begin_exchange();
        let tag = key.sealer().key.tag("spent", code);
        let intent = Self::intent(operation, generation, 1, tag);
        let exchanged = self.exchange(request, slot, intent, reporter).await?;
        self.settle_securely(row, &endpoint, &key, exchanged, secret.as_ref(), reporter).await
    }

    /// Settles an answer until it, or what it holds, is safe.
    pub(super) async fn settle_securely(
        &self,
        row: &CredentialRow,
        endpoint: &TokenEndpoint,
        key: &OpenKey,
        mut exchanged: Exchanged,
        secret: Option<&SecretString>,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        loop {
            let settled = match &exchanged.answer {
                Err(error) => self.settle_no_sign_in(row, exchanged.latency, error).await,
                Ok(response) => {
                    self.settle_sign_in(row, endpoint, key, response, secret, reporter).await
                }
            };
            if let Some(result) = self.secure(&mut exchanged, settled, reporter).await {
                return result;
            }
        }
    }

    /// Salesforce answered: with a token set, or with something else.
    async fn settle_sign_in(
        &self,
        row: &CredentialRow,
        endpoint: &TokenEndpoint,
        key: &OpenKey,
        response: &Response,
        secret: Option<&SecretString>,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        match token_response::response(endpoint.login_url.host(), response, secret) {
            Ok(answer) => self.accept(row, endpoint, key, answer, reporter).await,
            Err(error) => self.refuse_answer(row, endpoint, key, error, reporter).await,
        }
    }

    /// The request was not sent, or its answer did not come to its end.
    async fn settle_no_sign_in(
        &self,
        row: &CredentialRow,
        latency: Duration,
        error: &TransportError,
    ) -> Result<Candidate, Error> {
        let mut fault = Fault::from(error);
        if error.sent {
            fault = fault.with_code_at_risk();
        }
        if !error.sent || row.credential.token.is_some() {
            return self.end_sign_in(row, latency, fault).await;
        }
        Err(self.lose_sign_in(row, latency, &fault).await?)
    }

    /// A token may have been issued that nobody got. Where there is no other one, the credential is
    /// uncertain until the next sign-in begins.
    pub(super) async fn lose_sign_in(
        &self,
        row: &CredentialRow,
        latency: Duration,
        fault: &Fault,
    ) -> Result<Error, Error> {
        let (id, address) = (row.id, row.credential.address.clone());
        let message = format!("a sign-in was sent and its answer was lost: {}", fault.message());
        let lost = Error::SignInLost { address, message: message.clone(), discovers: false };
        let mut check = check::failed(CheckKind::SignIn, latency, fault);
        check.outcome = CheckOutcome::Uncertain;
        check.message.clone_from(&message);
        check.remedy = lost.remedy();
        let entry = self.audit(AuditEvent::AnswerLost, &row.credential, message);
        // A live token's state is its own: its history does not show it, the audit does.
        let has_token = row.credential.token.is_some();
        self.store
            .call(move |store| {
                if has_token {
                    store.end_exchange(id, IntentOperation::SignIn, None)?;
                    return store.record(&entry);
                }
                store.lose_answer(id, IntentOperation::SignIn, now(), &check, &entry)
            })
            .await?;
        Ok(lost)
    }

    /// Settles a sign-in's answer that waited in the inbox. The token set becomes the candidate, and
    /// is tested when somebody asks for it.
    pub(super) async fn accept_late(
        &self,
        id: RecordId,
        generation: Generation,
        key: &OpenKey,
        answer: (&Response, &TokenEndpoint),
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let (response, endpoint) = answer;
        let row = self.reload(id).await?;
        let intent =
            self.store.call(move |store| store.intent(id, IntentOperation::SignIn)).await?;
        if intent.is_none_or(|intent| intent.generation != generation)
            || row.generation != generation
        {
            // It was settled before.
            return Ok(());
        }
        let secret = self.client_secret(&endpoint.app, &endpoint.client_id).await?;
        self.settle_sign_in(&row, endpoint, key, response, secret.as_ref(), reporter).await?;
        Ok(())
    }

    /// Keeps a token set if it is the saved account's and for a host that we trust; revokes it
    /// otherwise.
    async fn accept(
        &self,
        row: &CredentialRow,
        endpoint: &TokenEndpoint,
        key: &OpenKey,
        answer: TokenResponse,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        reporter.progress(Progress::CheckingIdentity);
        let (token, untrusted) = self.token_set_of(answer, endpoint);
        if let Some(fault) = untrusted {
            self.revoke_unstored(key, &row.credential, &token, reporter).await?;
            return self.end_sign_in(row, Duration::ZERO, fault).await;
        }
        self.pin_account(row, key, &token, reporter).await?;
        self.keep_candidate(row, key.clone(), token, endpoint.drain_limit).await
    }

    /// The token set of an answer; with a fault where its instance URL is none that we trust, and the
    /// token set is good for a revocation alone.
    pub(super) fn token_set_of(
        &self,
        answer: TokenResponse,
        endpoint: &TokenEndpoint,
    ) -> (TokenSet, Option<Fault>) {
        let policy = self.settings.config.host_policy();
        let parsed = InstanceUrl::parse(&answer.instance_url, &endpoint.login_url, &policy);
        let (instance_url, fault) = match parsed {
            Ok(instance_url) => (instance_url, None),
            Err(error) => {
                let (kind, host) = (FaultKind::HostRefused, endpoint.login_url.host());
                let login = InstanceUrl::from_stored(endpoint.login_url.as_str().into());
                (login, Some(Fault::new(kind, host, &error.to_string(), None)))
            }
        };
        let (login_url, client_id) = (endpoint.login_url.clone(), endpoint.client_id.clone());
        let token = answer.into_token_set(instance_url, login_url, client_id, endpoint.flow, now());
        // Times are told and compared by this machine's clock.
        (TokenSet { issued_at: now(), ..token }, fault)
    }

    /// Nothing came of the code: the attempt stays open for another sign-in.
    pub(super) async fn end_sign_in<T>(
        &self,
        row: &CredentialRow,
        latency: Duration,
        fault: Fault,
    ) -> Result<T, Error> {
        let id = row.id;
        // A live token's state is its own: only a credential without one shows the failure.
        let failed = || check::failed(CheckKind::SignIn, latency, &fault);
        let shown = row.credential.token.is_none().then(failed);
        self.store
            .call(move |store| store.end_exchange(id, IntentOperation::SignIn, shown.as_ref()))
            .await?;
        Err(fault.into())
    }

    /// Makes a signed-in token set durable before anything is asked with it.
    async fn keep_candidate(
        &self,
        row: &CredentialRow,
        key: OpenKey,
        token: TokenSet,
        drain_limit: Option<u64>,
    ) -> Result<Candidate, Error> {
        let generation = row.generation.next();
        let saved = account_to_sign_in(&row.credential);
        let stored = self.candidate_row(&key, &saved.app, generation, &token, drain_limit).await?;
        let detail = format!("generation {} {}", generation.0, account_detail(&saved));
        let entry = self.audit(AuditEvent::SignedIn, &row.credential, detail);
        let (credential, kept) = (row.id, stored.clone());
        self.store.call(move |store| store.insert_candidate(credential, &kept, &entry)).await?;
        Ok(Candidate { stored, token, key })
    }
}

impl Engine {
    /// The row of a token set that signed in and is not tested yet.
    pub(super) async fn candidate_row(
        &self,
        key: &OpenKey,
        app: &str,
        generation: Generation,
        token: &TokenSet,
        drain_limit: Option<u64>,
    ) -> Result<TokenRow, Error> {
        let id = new_record_id()?;
        let session = self.session_timeout(app).await?;
        Ok(TokenRow {
            id,
            generation,
            role: TokenRole::Candidate,
            issued_at: token.issued_at,
            expiry: expiry_from(token.known_expiry, token.issued_at, session),
            instance_url: token.instance_url.clone(),
            scopes: token.scopes.clone(),
            flow: token.flow,
            refreshable: token.refresh_token.is_some(),
            signed_in_at: token.issued_at,
            environment_proven: false,
            refused: None,
            drain_until: None,
            rotated_at: None,
            drain_limit,
            sealed: key.sealer().seal_token_set(id, generation, token)?,
        })
    }
}

/// Finds the pending attempt that the pasted text belongs to, by its `state`; a bare code goes to
/// the newest one. A text that fits none spends nothing.
fn match_attempt(
    row: &CredentialRow,
    pending: Vec<(AuthorizationRow, PendingAuthorization)>,
    pasted: &SecretString,
) -> Result<(RecordId, PendingAuthorization, SecretString), Error> {
    let mut first_refusal = None;
    for (kept, attempt) in pending {
        match code_of(&attempt, pasted) {
            Ok(code) => return Ok((kept.id, attempt, code)),
            Err(refusal @ Error::Redirect(RedirectError::WrongState, _)) => {
                first_refusal = first_refusal.or(Some(refusal));
            }
            Err(error) => return Err(error),
        }
    }
    Err(first_refusal
        .unwrap_or_else(|| Error::Setup(SetupNeed::NothingPending(row.credential.address.clone()))))
}

/// The code in what was pasted, if it is an attempt's own.
#[expect(clippy::disallowed_methods, reason = "the pasted redirect URL is read for its code")]
pub(super) fn code_of(
    attempt: &PendingAuthorization,
    pasted: &SecretString,
) -> Result<SecretString, Error> {
    let expected = ExpectedRedirect {
        state: &attempt.state,
        redirect_uri: &attempt.redirect_uri,
        login_host: attempt.login_url.host(),
    };
    match read_redirect(pasted.expose_secret(), &expected) {
        Ok(code) => Ok(code.0),
        Err(RedirectError::Refused(fault)) => Err(fault.of_request(&attempt.url).into()),
        Err(error) => {
            let remedy = error.remedy(&expected);
            Err(Error::Redirect(error, remedy))
        }
    }
}
