//! From candidate to active: only a token that passed takes the place of one that works.

use std::time::Duration;

use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Check, CheckKind};
use crate::domain::policy::{EnvironmentProof, prove_environment};
use crate::domain::record::RecordId;
use crate::domain::token::{Expiry, Generation, TokenRole, TokenSet};
use crate::engine::error::{Error, SetupNeed};
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::{Progress, Revocation};
use crate::engine::save::account_to_sign_in;
use crate::engine::token::refuse_held;
use crate::engine::{Engine, Reporter, check};
use crate::oauth::{Client, introspect};
use crate::store::{CredentialRow, Promotion, TokenRow};

/// A signed-in token set that is durable, but not yet in use.
pub(super) struct Candidate {
    /// As it is stored.
    pub(super) stored: TokenRow,
    /// Opened.
    pub(super) token: TokenSet,
    /// What opened it.
    pub(super) key: OpenKey,
}

impl Engine {
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
        refuse_held(&row.credential.address, row.credential.held.as_ref())?;
        let Some(stored) = stored else {
            // Somebody else was faster.
            return match row.credential.last_test {
                Some(check) => Ok(check),
                None => Err(Error::Setup(SetupNeed::NoToken(row.credential.address))),
            };
        };
        let key = self.key().await?;
        let token = key.sealer().open_token_set(stored.id, stored.generation, &stored.sealed)?;
        if let Err(error) = self.pin_account(&row, &key, &token, reporter).await {
            self.discard_candidate(&row, stored.generation).await?;
            return Err(error);
        }
        let (check, _) =
            self.test_and_promote(credential, Candidate { stored, token, key }, reporter).await?;
        Ok(check)
    }

    /// Tests a candidate and puts it in the place of the old set, which drains or is revoked.
    ///
    /// Where an old set still works, only a passed test replaces it. Where there is none, a token
    /// that signed in is worth keeping even though the API refuses it or does not answer.
    pub(super) async fn test_and_promote(
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
        let who = username.clone().unwrap_or_else(|| token.user_id.to_string());
        let signed_in =
            check::passed(CheckKind::SignIn, Duration::ZERO, &format!("signed in as {who}"));
        self.store.call(move |store| store.record_check(credential, &signed_in)).await?;
        let mut account = account_to_sign_in(&row.credential);
        account.username = username.or(account.username);
        let session = self.session_timeout(&account.app).await?;
        // The hold may have come while Salesforce was asked: the token stays, as a candidate.
        let held = self.reload(credential).await?.credential.held;
        refuse_held(&row.credential.address, held.as_ref())?;
        let promotion = Promotion {
            generation: stored.generation,
            account,
            environment_proven: proof == EnvironmentProof::Proven,
            drain_until: self.drain_end(&row, session, stored.drain_limit).await?,
            check: probe.check.clone(),
        };
        let detail = format!("generation {}", stored.generation.0);
        let entry = self.audit(AuditEvent::TokenPromoted, &row.credential, detail);
        self.store.call(move |store| store.promote(credential, &promotion, &entry)).await?;
        self.drains_changed();
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
            let (id, expiry) = (row.id, Expiry { at, known: true });
            self.store.call(move |store| store.set_expiry(id, generation, expiry)).await?;
        }
        Ok(())
    }
}
