//! The identity pin: a sign-in counts only for the account and the environment that are saved
//! (design: identity pin). Whatever else comes is revoked, and both sides are shown.

use std::time::Duration;

use crate::domain::audit::AuditEvent;
use crate::domain::credential::{Check, CheckKind, CheckOutcome};
use crate::domain::fault::Fault;
use crate::domain::host::{InstanceUrl, environment_by_host};
use crate::domain::name::Environment;
use crate::domain::policy::Account;
use crate::domain::token::TokenSet;
use crate::engine::error::Error;
use crate::engine::keyring::OpenKey;
use crate::engine::outcome::WrongAccount;
use crate::engine::promote::Candidate;
use crate::engine::revoke::owe;
use crate::engine::save::account_to_sign_in;
use crate::engine::seal::TokenEndpoint;
use crate::engine::{Engine, Reporter, now};
use crate::oauth::token_response::TokenResponseError;
use crate::store::{CredentialRow, IntentOperation};

impl Engine {
    /// Refuses every token but the saved account's (design: identity pin).
    pub(super) async fn pin_account(
        &self,
        row: &CredentialRow,
        key: &OpenKey,
        token: &TokenSet,
        reporter: &Reporter,
    ) -> Result<(), Error> {
        let saved = account_to_sign_in(&row.credential);
        let by_host = environment_by_host(token.instance_url.host());
        let expected = row.credential.address.environment;
        let other = by_host.filter(|environment| *environment != expected);
        if saved.org_id == token.org_id && saved.user_id == token.user_id && other.is_none() {
            return Ok(());
        }
        Err(self.wrong_account(row, key, token, other, reporter).await?)
    }

    /// The debt is durable first, then the person is named, then the token is revoked.
    pub(super) async fn wrong_account(
        &self,
        row: &CredentialRow,
        key: &OpenKey,
        token: &TokenSet,
        environment: Option<Environment>,
        reporter: &Reporter,
    ) -> Result<Error, Error> {
        let credential = &row.credential;
        let saved = account_to_sign_in(credential);
        let owed = owe(key, &credential.address, token)?;
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
        let revocation = self.pay(key, &owed, reporter).await?;
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

    /// An answer that can't be used may hold tokens: they are revoked.
    pub(super) async fn refuse_answer(
        &self,
        row: &CredentialRow,
        endpoint: &TokenEndpoint,
        key: &OpenKey,
        error: TokenResponseError,
        reporter: &Reporter,
    ) -> Result<Candidate, Error> {
        let fault = fault_of_answer(endpoint, &error);
        let salvaged = error.salvage.and_then(|tokens| {
            let access_token = tokens.access_token.or_else(|| tokens.refresh_token.clone())?;
            Some((access_token, tokens.refresh_token))
        });
        if let Some((access_token, refresh_token)) = salvaged {
            let saved = account_to_sign_in(&row.credential);
            let token = TokenSet {
                access_token,
                refresh_token,
                instance_url: InstanceUrl::from_stored(endpoint.login_url.as_str().into()),
                identity_url: String::new(),
                org_id: saved.org_id,
                user_id: saved.user_id,
                login_url: endpoint.login_url.clone(),
                client_id: endpoint.client_id.clone(),
                scopes: Vec::new(),
                flow: endpoint.flow,
                issued_at: now(),
                known_expiry: None,
                rotated: false,
            };
            self.revoke_unstored(key, &row.credential, &token, reporter).await?;
        }
        self.end_sign_in(row, Duration::ZERO, fault).await
    }
}

/// What an answer that can't be used says.
pub(super) fn fault_of_answer(endpoint: &TokenEndpoint, error: &TokenResponseError) -> Fault {
    match error.reason.fault(endpoint.login_url.host()) {
        // An answer in Salesforce's place says nothing of what became of the code; 429 and 503 say
        // that the request was not looked at.
        fault
            if fault.outcome() == CheckOutcome::Unreachable
                && !matches!(fault.status, Some(429 | 503)) =>
        {
            fault.with_code_at_risk()
        }
        fault => fault,
    }
}
