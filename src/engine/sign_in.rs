//! Completing a set-up: the code is exchanged, the account is pinned, the candidate is durable,
//! and only a token that passed takes the place of the old one.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::fault::{Fault, FaultKind, classify_token_endpoint};
use crate::domain::host::InstanceUrl;
use crate::domain::name::Environment;
use crate::domain::policy::{Account, EnvironmentProof, prove_environment};
use crate::domain::record::RecordId;
use crate::domain::token::{Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::keyring::OpenKey;
use crate::engine::operation::CompleteSetup;
use crate::engine::outcome::{Progress, Revocation, SetupReceipt, WrongAccount};
use crate::engine::refresh::INTENT_LIFE;
use crate::engine::save::{account_detail, account_to_sign_in};
use crate::engine::seal::PendingAuthorization;
use crate::engine::select::PlainName;
use crate::engine::token::{expiry_from, refuse_held};
use crate::engine::{Engine, Outcome, Reporter, check, now};
use crate::oauth::authorization_code::exchange_request;
use crate::oauth::redirect::{ExpectedRedirect, RedirectError, read_redirect};
use crate::oauth::token_response::TokenResponseError;
use crate::oauth::{Client, introspect, token_response};
use crate::platform;
use crate::store::{
    AuthorizationRow, CredentialRow, IntentOperation, IntentRow, Promotion, TokenRow, new_record_id,
};

impl Engine {
    /// Completes a set-up with what the browser ended at. Once the code was sent, it runs to its
    /// end, whatever becomes of the caller.
    pub(super) async fn complete_setup(
        self: &Arc<Self>,
        request: CompleteSetup,
        reporter: &Reporter,
    ) -> Result<Outcome, Error> {
        let row = self.select(&request.selection, PlainName::InUse).await?;
        refuse_held(&row)?;
        let pending = self.pending_authorizations(&row).await?;
        let (attempt, code) = match_attempt(&row, pending, &request.pasted.0)?;
        let (engine, reporter) = (Arc::clone(self), reporter.clone());
        let sign_in = tokio::spawn(async move {
            let _lock = engine.lock(row.id, &reporter).await?;
            let row = engine.reload(row.id).await?;
            engine.sign_in(&row, &attempt, &code, &reporter).await
        });
        match sign_in.await {
            Ok(result) => result.map(|receipt| Outcome::SetupCompleted(Box::new(receipt))),
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
        let token = self.exchange(row, attempt, code, reporter).await?;
        let (check, replaced) = self.test_and_promote(row.id, token, reporter).await?;
        let credential = self.reload(row.id).await?.credential;
        self.retry_owed(reporter).await?;
        Ok(SetupReceipt { credential, test: check, replaced })
    }

    /// Spends the code. What comes back is the saved account's and durable as candidate, or it is
    /// revoked.
    async fn exchange(
        &self,
        row: &CredentialRow,
        attempt: &PendingAuthorization,
        code: &SecretString,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        let key = self.key().await?;
        let secret = self.client_secret(&attempt.app, &attempt.client_id).await?;
        let client = Client { client_id: &attempt.client_id, client_secret: secret.as_ref() };
        let request = exchange_request(
            &attempt.login_url,
            &client,
            code,
            &attempt.redirect_uri,
            &attempt.code_verifier,
        );
        let http = self.http()?;
        let _exchange = self.begin_exchange();
        self.commit_sign_in_intent(row, &key, code).await?;
        reporter.progress(Progress::Exchanging);
        let started = tokio::time::Instant::now();
        let answer = http.send(request).await.map_err(|error| Fault::from(&error));
        let host = attempt.login_url.host();
        let refused = |fault: Fault| check::failed(CheckKind::SignIn, started.elapsed(), &fault);
        let response = match answer {
            Ok(response) if response.status == 200 => response,
            Ok(response) => {
                let fault = classify_token_endpoint(
                    host,
                    response.status,
                    &response.content_type,
                    &response.body,
                );
                return self.end_sign_in(row, refused(fault.clone()), fault).await;
            }
            Err(fault) => return self.end_sign_in(row, refused(fault.clone()), fault).await,
        };
        let answer = match token_response::response(host, &response, secret.as_ref()) {
            Ok(answer) => answer,
            Err(error) => return self.refuse_answer(row, attempt, &key, error, reporter).await,
        };
        reporter.progress(Progress::CheckingIdentity);
        let policy = self.settings.config.host_policy();
        let instance_url = InstanceUrl::parse(&answer.instance_url, &attempt.login_url, &policy);
        let token = TokenSet {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            // A token for a host that we don't trust is revoked, not used.
            instance_url: instance_url
                .clone()
                .unwrap_or_else(|_| InstanceUrl::from_stored(attempt.login_url.as_str().into())),
            identity_url: answer.identity_url,
            org_id: answer.org_id,
            user_id: answer.user_id,
            login_url: attempt.login_url.clone(),
            client_id: attempt.client_id.clone(),
            scopes: answer.scopes,
            flow: crate::domain::app::Flow::Paste,
            issued_at: now(),
            known_expiry: answer.known_expiry,
        };
        if let Err(error) = instance_url {
            let fault = Fault::new(FaultKind::HostRefused, host, &error.to_string(), None);
            self.revoke_unstored(&key, &row.credential, &token, reporter).await?;
            return self.end_sign_in(row, refused(fault.clone()), fault).await;
        }
        self.pin_account(row, &key, &token, reporter).await?;
        self.keep_candidate(row, key, token).await
    }

    /// Refuses every token but the saved account's (design: identity pin).
    async fn pin_account(
        &self,
        row: &CredentialRow,
        key: &OpenKey,
        token: &TokenSet,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let saved = account_to_sign_in(&row.credential);
        let by_host = crate::domain::host::environment_by_host(token.instance_url.host());
        let expected = row.credential.address.environment;
        let other = by_host.filter(|environment| *environment != expected);
        if saved.org_id == token.org_id && saved.user_id == token.user_id && other.is_none() {
            return Ok(());
        }
        Err(self.wrong_account(row, key, token, other, reporter).await?)
    }

    /// The debt is durable first, then the person is named, then the token is revoked.
    async fn wrong_account(
        &self,
        row: &CredentialRow,
        key: &OpenKey,
        token: &TokenSet,
        environment: Option<Environment>,
        reporter: &Reporter,
    ) -> Result<Error, Error> {
        let credential = &row.credential;
        let saved = account_to_sign_in(credential);
        let owed = self.owe(key, credential, token)?;
        let detail = format!("org {} user {}", token.org_id, token.user_id);
        let entry = self.audit(AuditEvent::WrongAccount, credential, detail);
        let (id, kept) = (row.id, owed.clone());
        let end = self.audit(AuditEvent::SetupAbandoned, credential, "wrong account".into());
        self.store
            .call(move |store| {
                store.owe_revocation(&kept, &entry)?;
                store.end_exchange(id, IntentOperation::SignIn, None)?;
                store.delete_authorizations(id, &end)
            })
            .await?;
        let signed_in_username = self.username_of(token).await;
        let revocation = self.settle(key, &owed, reporter).await?;
        let wrong = WrongAccount {
            address: credential.address.clone(),
            saved: Account { org_id: saved.org_id, user_id: saved.user_id },
            saved_username: saved.username,
            signed_in: Account { org_id: token.org_id.clone(), user_id: token.user_id.clone() },
            signed_in_username,
            signed_in_environment: environment,
            revocation,
            old_token_kept: credential.token.as_ref().is_some_and(|old| old.refused.is_none()),
        };
        let error = Error::WrongAccount(Box::new(wrong));
        let failed = Check {
            kind: CheckKind::SignIn,
            at: now(),
            outcome: CheckOutcome::WrongAccount,
            latency_ms: 0,
            message: error.message(),
            remedy: error.remedy(),
        };
        // History only: a live token's state is its own.
        if credential.token.is_none() {
            self.store.call(move |store| store.record_check(id, &failed)).await?;
        }
        Ok(error)
    }

    async fn commit_sign_in_intent(
        &self,
        row: &CredentialRow,
        key: &OpenKey,
        code: &SecretString,
    ) -> Result<(), Error> {
        let started_at = now();
        let intent = IntentRow {
            operation: IntentOperation::SignIn,
            generation: row.generation,
            attempt: 1,
            spent_tag: key.sealer().key.tag("spent", code),
            boot_id: platform::who::boot_id().unwrap_or_default(),
            host_mark: platform::who::host_mark(),
            pid: std::process::id(),
            started_at,
            deadline: started_at.plus(INTENT_LIFE),
        };
        let id = row.id;
        Ok(self.store.call(move |store| store.begin_exchange(id, &intent)).await?)
    }

    /// Nothing came of the code: the attempt stays open for another sign-in.
    async fn end_sign_in<T>(
        &self,
        row: &CredentialRow,
        failed: Check,
        fault: Fault,
    ) -> Result<T, Error> {
        let id = row.id;
        // A live token's state is its own: only a credential without one shows the failure.
        let shown = row.credential.token.is_none().then_some(failed);
        self.store
            .call(move |store| store.end_exchange(id, IntentOperation::SignIn, shown.as_ref()))
            .await?;
        Err(fault.into())
    }

    /// An answer that can't be used may hold tokens: they are revoked.
    async fn refuse_answer(
        &self,
        row: &CredentialRow,
        attempt: &PendingAuthorization,
        key: &OpenKey,
        error: TokenResponseError,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        let fault = error.reason.fault(attempt.login_url.host());
        let salvaged = error.salvage.and_then(|tokens| {
            let access_token = tokens.access_token.or_else(|| tokens.refresh_token.clone())?;
            Some((access_token, tokens.refresh_token))
        });
        if let Some((access_token, refresh_token)) = salvaged {
            let saved = account_to_sign_in(&row.credential);
            let token = TokenSet {
                access_token,
                refresh_token,
                instance_url: InstanceUrl::from_stored(attempt.login_url.as_str().into()),
                identity_url: String::new(),
                org_id: saved.org_id,
                user_id: saved.user_id,
                login_url: attempt.login_url.clone(),
                client_id: attempt.client_id.clone(),
                scopes: Vec::new(),
                flow: crate::domain::app::Flow::Paste,
                issued_at: now(),
                known_expiry: None,
            };
            self.revoke_unstored(key, &row.credential, &token, reporter).await?;
        }
        let failed = check::failed(CheckKind::SignIn, std::time::Duration::ZERO, &fault);
        self.end_sign_in(row, failed, fault).await
    }

    /// Makes a signed-in token set durable before anything is asked with it.
    async fn keep_candidate(
        &self,
        row: &CredentialRow,
        key: OpenKey,
        token: TokenSet,
    ) -> Result<Candidate, Error> {
        let id = new_record_id()?;
        let generation = row.generation.next();
        let saved = account_to_sign_in(&row.credential);
        let session = self.session_timeout(&saved.app).await?;
        let stored = TokenRow {
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
            sealed: key.sealer().seal_token_set(id, generation, &token)?,
        };
        let detail = format!("generation {} {}", generation.0, account_detail(&saved));
        let entry = self.audit(AuditEvent::SignedIn, &row.credential, detail);
        let (credential, kept) = (row.id, stored.clone());
        self.store.call(move |store| store.insert_candidate(credential, &kept, &entry)).await?;
        Ok(Candidate { stored, token, key })
    }

    /// Takes up a candidate that an ended process left behind.
    pub(super) async fn resume_candidate(
        &self,
        credential: RecordId,
        reporter: &Reporter,
    ) -> Result<Check, Error> {
        let _lock = self.lock(credential, reporter).await?;
        let stored =
            self.store.call(move |store| store.token_set(credential, TokenRole::Candidate)).await?;
        let row = self.reload(credential).await?;
        let Some(stored) = stored else {
            // Somebody else was faster.
            return match row.credential.last_test {
                Some(check) => Ok(check),
                None => Err(Error::Setup(SetupNeed::NoToken(row.credential.address))),
            };
        };
        let key = self.key().await?;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        self.pin_account(&row, &key, &token, reporter).await?;
        let (check, _) =
            self.test_and_promote(credential, Candidate { stored, token, key }, reporter).await?;
        Ok(check)
    }

    /// Tests a candidate and puts it in the place of the old set, which drains or is revoked.
    ///
    /// Where an old set still works, only a passed test replaces it. Where there is none, a token
    /// that signed in is worth keeping even though the API refuses it or does not answer.
    async fn test_and_promote(
        &self,
        credential: RecordId,
        candidate: Candidate,
        reporter: &Reporter,
    ) -> Result<(Check, Revocation), Error> {
        reporter.progress(Progress::TestingAccess);
        let Candidate { stored, token, key } = candidate;
        let probe = self.probe(&token, CheckKind::Test).await?;
        let row = self.reload(credential).await?;
        let environment = row.credential.address.environment;
        let proof = prove_environment(environment, token.instance_url.host(), probe.is_sandbox);
        if let EnvironmentProof::Contradicted(found) = proof {
            let error = self.wrong_account(&row, &key, &token, Some(found), reporter).await?;
            self.discard_candidate(&row, stored.generation).await?;
            return Err(error);
        }
        let old_works = row.credential.token.as_ref().is_some_and(|old| old.refused.is_none());
        if let Some(fault) = probe.fault.filter(|_| old_works) {
            self.revoke_stored(&key, (credential, &row.credential), &stored, reporter).await?;
            return Err(fault.into());
        }
        let username = self.username_of(&token).await;
        let mut account = account_to_sign_in(&row.credential);
        account.username = username.or(account.username);
        let session = self.session_timeout(&account.app).await?;
        let promotion = Promotion {
            generation: stored.generation,
            account,
            environment_proven: proof == EnvironmentProof::Proven,
            drain_until: self.drain_end(&row, session).await?,
            check: probe.check.clone(),
        };
        let detail = format!("generation {}", stored.generation.0);
        let entry = self.audit(AuditEvent::TokenPromoted, &row.credential, detail);
        self.store.call(move |store| store.promote(credential, &promotion, &entry)).await?;
        self.learn_expiry(&row, stored.generation, &token).await?;
        let replaced = self.revoke_drained(credential, &key, reporter).await?;
        Ok((probe.check, replaced))
    }

    async fn discard_candidate(
        &self,
        row: &CredentialRow,
        generation: Generation,
    ) -> Result<(), Error> {
        let detail = format!("generation {}", generation.0);
        let entry = self.audit(AuditEvent::CandidateDiscarded, &row.credential, detail);
        let id = row.id;
        Ok(self.store.call(move |store| store.remove_token_set(id, generation, &entry)).await?)
    }

    /// Asks once after a set-up when the token ends, where the app has a secret to ask with.
    async fn learn_expiry(
        &self,
        row: &CredentialRow,
        generation: Generation,
        token: &TokenSet,
    ) -> Result<(), Error> {
        let app = account_to_sign_in(&row.credential).app;
        let secret = self.client_secret(&app, &token.client_id).await?;
        if secret.is_none() || token.known_expiry.is_some() {
            return Ok(());
        }
        let client = Client { client_id: &token.client_id, client_secret: secret.as_ref() };
        let request = introspect::request(&token.login_url, &client, &token.access_token);
        let answer = self.ask(request).await?;
        let said = answer
            .and_then(|response| introspect::response(token.login_url.host(), &response))
            .ok();
        if let Some(at) = said.filter(|said| said.active).and_then(|said| said.expires_at) {
            let (id, expiry) = (row.id, crate::domain::token::Expiry { at, known: true });
            self.store.call(move |store| store.set_expiry(id, generation, expiry)).await?;
        }
        Ok(())
    }
}

/// A signed-in token set that is durable, but not yet in use.
pub(super) struct Candidate {
    stored: TokenRow,
    token: TokenSet,
    key: OpenKey,
}

/// Finds the pending attempt that the pasted text belongs to, by its `state`; a bare code goes to
/// the newest one. A text that fits none spends nothing.
#[expect(clippy::disallowed_methods, reason = "the pasted redirect URL is read for its code")]
fn match_attempt(
    row: &CredentialRow,
    pending: Vec<(AuthorizationRow, PendingAuthorization)>,
    pasted: &SecretString,
) -> Result<(PendingAuthorization, SecretString), Error> {
    let mut first_refusal = None;
    for (_, attempt) in pending {
        let expected = ExpectedRedirect {
            state: &attempt.state,
            redirect_uri: &attempt.redirect_uri,
            login_host: attempt.login_url.host(),
        };
        match read_redirect(pasted.expose_secret(), &expected) {
            Ok(code) => return Ok((attempt, code.0)),
            Err(RedirectError::Refused(fault)) => return Err(fault.into()),
            Err(error) => {
                let remedy = error.remedy(&expected);
                let is_other = error == RedirectError::WrongState;
                let refusal = Error::Redirect(error, remedy);
                if !is_other {
                    return Err(refusal);
                }
                first_refusal = first_refusal.or(Some(refusal));
            }
        }
    }
    Err(first_refusal
        .unwrap_or_else(|| Error::Setup(SetupNeed::NothingPending(row.credential.address.clone()))))
}
